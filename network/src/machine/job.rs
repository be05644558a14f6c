//! Work that takes long, apart from the machine: seals, signatures, bodies, snapshots. A job is a value; running it needs the ledger
//! and the time and nothing else, so that the shell may run it on any thread and a simulation at once.

use alloy_primitives::{B256, keccak256};
use chain::snapshot::Rows;
use chain::{LedgerHandle, PoolError, SnapshotBuilder, SnapshotFault, TransactionOrigin};
use consensus::transaction::decode_transaction;
use consensus::{BlockBody, RecoveredBlock, RecoveredTransaction, Transaction};
use rayon::prelude::*;

use super::event::PeerId;
use super::verify::{self, Anchor, HeaderEntry, HeaderFault};
use crate::message::WitnessedHeader;

/// Work to be done.
#[allow(clippy::large_enum_variant, reason = "a job is boxed as a whole")]
pub enum Job {
    /// Verify headers that follow one another.
    VerifyHeaders {
        /// The machine's name for the sync that they belong to.
        session: u64,
        /// Who sent them.
        peer: PeerId,
        /// What the first one follows.
        anchor: Box<Anchor>,
        /// The headers.
        headers: Vec<WitnessedHeader>,
        /// The hash of the last one, where they were verified before and are fetched again.
        ends_at: Option<B256>,
    },
    /// Decode bodies, compare them with their headers and recover the senders.
    RecoverBodies {
        /// The machine's name for the sync that they belong to.
        session: u64,
        /// Who sent them.
        peer: PeerId,
        /// Header, parent's timestamp and body (RLP) of each.
        blocks: Vec<(HeaderEntry, u64, Vec<u8>)>,
    },
    /// Verify a piece of a state snapshot.
    Snapshot {
        /// The machine's name for the attempt that it belongs to.
        session: u64,
        /// What is here so far.
        builder: Box<SnapshotBuilder>,
        /// What has come.
        piece: Piece,
    },
    /// Put a block together that was announced compactly.
    Rebuild(Box<Rebuild>),
    /// Decode transactions, recover their senders, and add them to the pool.
    AddTransactions {
        /// Who sent them.
        peer: PeerId,
        /// Their EIP-2718 encodings.
        transactions: Vec<Vec<u8>>,
    },
}

/// A piece of a state snapshot.
pub enum Piece {
    /// Accounts.
    Accounts(Rows),
    /// Slots of one account.
    Slots(Rows),
    /// Codes.
    Codes(Vec<Vec<u8>>),
    /// The body of the block.
    Block(Vec<Vec<u8>>),
}

/// Holds what a compactly announced block is put together from.
pub struct Rebuild {
    /// The machine's name for it.
    pub id: u64,
    /// Who announced it.
    pub peer: PeerId,
    /// The header, already verified.
    pub entry: HeaderEntry,
    /// The parent's timestamp.
    pub parent_timestamp: u64,
    /// The hashes of its transactions; none where all were fetched.
    pub hashes: Vec<B256>,
    /// Those that the pool had; in block order, `None` where it had none.
    pub found: Vec<Option<RecoveredTransaction>>,
    /// Those that were fetched (EIP-2718), in block order.
    pub fetched: Vec<Vec<u8>>,
}

/// What came of a job.
pub enum JobResult {
    /// Of [`Job::VerifyHeaders`].
    Headers {
        /// The machine's name for the sync that they belong to.
        session: u64,
        /// Who sent them.
        peer: PeerId,
        /// The headers, or what is wrong with them.
        result: Result<Vec<HeaderEntry>, HeaderFault>,
    },
    /// Of [`Job::RecoverBodies`].
    Bodies {
        /// The machine's name for the sync that they belong to.
        session: u64,
        /// Who sent them.
        peer: PeerId,
        /// The block hashes of the job.
        hashes: Vec<B256>,
        /// The blocks, or what is wrong with one of them.
        result: Result<Vec<RecoveredBlock>, String>,
    },
    /// Of [`Job::Snapshot`].
    Snapshot {
        /// The machine's name for the attempt that it belongs to.
        session: u64,
        /// The snapshot with the piece.
        builder: Box<SnapshotBuilder>,
        /// What is wrong with the piece.
        result: Result<(), String>,
    },
    /// Of [`Job::Rebuild`].
    Rebuilt {
        /// The machine's name for it.
        id: u64,
        /// The block, or what is wrong with it.
        result: Result<Box<RecoveredBlock>, RebuildFault>,
    },
    /// Of [`Job::AddTransactions`].
    Transactions {
        /// Who sent them.
        peer: PeerId,
        /// The hash of each that is a transaction, with what the pool says.
        outcomes: Vec<(B256, Result<(), PoolError>)>,
        /// What is wrong with those that are none, by keccak256 of their bytes.
        malformed: Vec<(B256, String)>,
    },
}

/// Says why a block could not be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RebuildFault {
    /// What was fetched is not what was asked for.
    #[error("the transactions that were fetched are not those of the block: {0}")]
    Fetched(String),
    /// The block does not hold together: header or transactions break a rule.
    #[error("{0}")]
    Block(String),
}

impl Job {
    /// Does the work. `now` is the clock in seconds.
    pub fn run(self, ledger: &LedgerHandle, now: u64) -> JobResult {
        match self {
            Self::VerifyHeaders { session, peer, anchor, headers, ends_at } => {
                let result = match ends_at {
                    Some(last) => verify::headers_again(&anchor, headers, last),
                    None => verify::headers(ledger.view().spec(), &anchor, headers),
                };
                JobResult::Headers { session, peer, result }
            }
            Self::RecoverBodies { session, peer, blocks } => {
                let view = ledger.view();
                let hashes = blocks.iter().map(|(entry, ..)| entry.header.hash()).collect();
                let recover = |(entry, parent_timestamp, body): (HeaderEntry, u64, Vec<u8>)| {
                    let number = entry.header.number;
                    verify::decode_body(&body)
                        .and_then(|body| verify::block(view.spec(), entry, body, parent_timestamp))
                        .map_err(|problem| format!("block {number}: {problem}"))
                };
                let result = blocks.into_par_iter().map(recover).collect();
                JobResult::Bodies { session, peer, hashes, result }
            }
            Self::Snapshot { session, mut builder, piece } => {
                let result = add_piece(ledger, &mut builder, piece);
                JobResult::Snapshot { session, builder, result }
            }
            Self::Rebuild(rebuild) => {
                let id = rebuild.id;
                JobResult::Rebuilt { id, result: rebuild.run(ledger).map(Box::new) }
            }
            Self::AddTransactions { peer, transactions } => add_transactions(ledger, now, peer, transactions),
        }
    }
}

impl Rebuild {
    fn run(self, ledger: &LedgerHandle) -> Result<RecoveredBlock, RebuildFault> {
        let view = ledger.view();
        let decoded = self.fetched.par_iter().map(|bytes| recover(bytes)).collect::<Result<Vec<_>, _>>();
        let mut fetched = decoded.map_err(RebuildFault::Fetched)?.into_iter();
        let mut transactions = Vec::with_capacity(self.hashes.len());
        let is_bare = self.hashes.is_empty();
        if is_bare {
            transactions.extend(fetched.by_ref());
        }
        for (expected, found) in self.hashes.iter().zip(self.found) {
            let tx = found.or_else(|| fetched.next());
            let tx = tx.ok_or_else(|| RebuildFault::Fetched(format!("transaction {expected} is missing")))?;
            if tx.hash() != *expected {
                return Err(RebuildFault::Fetched(format!("{} in place of {expected}", tx.hash())));
            }
            transactions.push(tx);
        }
        if fetched.next().is_some() {
            return Err(RebuildFault::Fetched("more than was asked for".to_owned()));
        }
        let header = self.entry.header;
        let withdrawals = header.withdrawals_root.map(|_| Default::default());
        let body = BlockBody {
            transactions: transactions.iter().map(|tx| tx.transaction().clone()).collect(),
            ommers: Vec::new(),
            withdrawals: withdrawals.clone(),
        };
        consensus::validation::validate_body(view.spec(), &header, &body, self.parent_timestamp)
            // Where nothing was named, it is not the announcement that lies.
            .map_err(|error| error.to_string())
            .map_err(if is_bare && !transactions.is_empty() { RebuildFault::Fetched } else { RebuildFault::Block })?;
        let witness = self.entry.witness;
        Ok(RecoveredBlock { header, transactions, ommers: Vec::new(), withdrawals, witness })
    }
}

fn add_piece(ledger: &LedgerHandle, builder: &mut SnapshotBuilder, piece: Piece) -> Result<(), String> {
    let text = |fault: SnapshotFault| fault.to_string();
    match piece {
        Piece::Accounts(rows) => builder.add_accounts(rows).map_err(text),
        Piece::Slots(rows) => builder.add_slots(rows).map_err(text),
        Piece::Codes(codes) => builder.add_codes(codes).map_err(text),
        Piece::Block(bodies) => {
            let [body] = &bodies[..] else { return Err(format!("{} bodies in place of one", bodies.len())) };
            let body = verify::decode_body(body)?;
            let (header, witness) = builder.target_entry();
            let entry = HeaderEntry { header, witness };
            let block = verify::block(ledger.view().spec(), entry, body, builder.parent_timestamp())?;
            builder.add_block(block).map_err(text)
        }
    }
}

fn recover(bytes: &[u8]) -> Result<RecoveredTransaction, String> {
    let transaction: Transaction = decode_transaction(bytes).map_err(|error| error.to_string())?;
    RecoveredTransaction::recover(transaction).map_err(|error| error.to_string())
}

fn add_transactions(ledger: &LedgerHandle, now: u64, peer: PeerId, transactions: Vec<Vec<u8>>) -> JobResult {
    let recovered: Vec<_> = transactions.par_iter().map(|bytes| recover(bytes)).collect();
    let (mut outcomes, mut malformed) = (Vec::new(), Vec::new());
    for (bytes, transaction) in transactions.iter().zip(recovered) {
        match transaction {
            Ok(transaction) => {
                let hash = transaction.hash();
                let added = ledger.add_transaction(transaction, TransactionOrigin::Remote, now);
                outcomes.push((hash, added.map(drop)));
            }
            Err(problem) => malformed.push((keccak256(bytes), problem)),
        }
    }
    JobResult::Transactions { peer, outcomes, malformed }
}
