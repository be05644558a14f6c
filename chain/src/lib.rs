//! The ledger: imports blocks, reorganises, keeps the canonical index and the transaction pool, and builds blocks.
//!
//! One thread owns the [`Ledger`]'s writing side and imports one block after the other; everyone else holds a [`LedgerHandle`]
//! and reads a [`ChainView`], one moment's snapshot, without waiting for the writer.

mod amendments;
pub mod backup;
mod build;
pub mod files;
mod finality;
mod handle;
mod head;
mod import;
pub mod index;
mod open;
pub mod pool;
mod records;
mod rewind;
pub mod snapshot;
pub mod verify;
mod view;

pub use build::{BuildRequest, Candidate};
pub use handle::{Fact, Ledger, LedgerHandle, PendingImport, Sink};
pub use import::{DroppedBlock, ImportError, ImportOutcome, Reorganisation};
pub use open::{FORMAT, LedgerConfig, OpenError, initialise, stored_chain_file};
pub use pool::{Pool, PoolConfig, PoolError, TransactionOrder, TransactionOrigin};
pub use records::HeaderRecord;
pub use rewind::{AfterRewind, RewindTarget};
pub use snapshot::{Need, SnapshotBuilder, SnapshotFault, StateSnapshot};
pub use view::{ChainView, TransactionLocation, ViewError};
