//! Chains in files: RLP blocks one after another, as geth and Besu export and import them.
//!
//! Where the chain names authorized miners, each block is followed by its witness, a string of 65 bytes; other programs refuse
//! such a file, and it could not be imported without.

use std::io::{Read, Write};
use std::sync::Arc;

use alloy_rlp::Encodable;
use consensus::{Block, ChainSpec, RecoveredBlock, TransactionError, Witness, block};
use crossbeam_channel::bounded;

use crate::handle::LedgerHandle;
use crate::import::{ImportError, ImportOutcome};
use crate::view::{ChainView, ViewError};

/// The longest item that is read: a block is at most 10 MiB (EIP-7934), foreign ones before that fork had no limit.
const ITEM_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How many blocks are decoded ahead of the import, their senders recovered.
const READ_AHEAD: usize = 256;

/// Says why a chain cannot be written to or read from a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read or written.
    #[error("block file: {0}")]
    Io(#[from] std::io::Error),
    /// The bytes are no block.
    #[error("block file: item {item} at byte {offset}: {problem}")]
    Malformed {
        /// Which item, from 0.
        item: u64,
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// The range is not on the chain.
    #[error("block {number} is not on the chain, whose head is {head}")]
    Range {
        /// The block asked for.
        number: u64,
        /// The head.
        head: u64,
    },
    /// A block was not taken.
    #[error("block {number} ({hash}): {error}")]
    Import {
        /// Its number.
        number: u64,
        /// Its hash.
        hash: alloy_primitives::B256,
        /// Why.
        error: Box<ImportError>,
    },
    /// Our own store failed.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Counts what an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Blocks read.
    pub blocks: u64,
    /// Blocks that were known before.
    pub known: u64,
    /// Transactions in the blocks.
    pub transactions: u64,
    /// Gas used by the blocks.
    pub gas: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// Writes canonical blocks `first` to `last` to `out`; `progress` hears each number.
///
/// # Errors
/// The range is not on the chain, or `out` or the store failed.
pub fn export(
    view: &ChainView,
    out: &mut dyn Write,
    first: u64,
    last: u64,
    mut progress: impl FnMut(u64),
) -> Result<u64, FileError> {
    let mut written = 0;
    for number in first..=last {
        let block = view.block_by_number(number)?.ok_or(FileError::Range { number, head: view.head().number })?;
        let mut bytes = Vec::new();
        block.to_block().encode(&mut bytes);
        if let Some(witness) = block.witness {
            witness.to_bytes().as_slice().encode(&mut bytes);
        }
        out.write_all(&bytes)?;
        written += 1;
        progress(number);
    }
    out.flush()?;
    Ok(written)
}

/// Imports all blocks of `input`, decoding and recovering senders ahead on another thread; a genesis block is passed over.
/// `now` is the clock in seconds; `progress` hears the report so far after each block.
///
/// # Errors
/// The bytes are no chain, a block is refused (those before it stay), or the store failed.
pub fn import(
    ledger: &LedgerHandle,
    input: impl Read + Send,
    now: impl Fn() -> u64,
    mut progress: impl FnMut(&ImportReport),
) -> Result<ImportReport, FileError> {
    let (sender, receiver) = bounded(READ_AHEAD);
    let spec = ledger.view().spec().clone();
    let takes_impersonated = ledger.pool().takes_impersonated();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut items = Items { spec, takes_impersonated, input, item: 0, offset: 0, peeked: None };
            // The importer hangs up at its first error; reading on would serve nobody.
            while let Some(block) = items.next_block().transpose() {
                let failed = block.is_err();
                if sender.send(block).is_err() || failed {
                    break;
                }
            }
        });
        let mut report = ImportReport::default();
        for block in receiver {
            let (block, bytes) = block?;
            report.blocks += 1;
            report.bytes = bytes;
            report.transactions += u64::try_from(block.transactions.len()).unwrap_or(u64::MAX);
            report.gas = report.gas.saturating_add(block.header.gas_used);
            let (number, hash) = (block.number(), block.hash());
            if hash == ledger.view().genesis_hash() {
                report.known += 1;
                continue;
            }
            let outcome = ledger.import(block, now()).map_err(|error| FileError::Import {
                number,
                hash,
                error: Box::new(error),
            })?;
            report.known += u64::from(outcome == ImportOutcome::Known);
            progress(&report);
        }
        Ok(report)
    })
}

/// Cuts a stream into RLP items.
struct Items<R> {
    spec: Arc<ChainSpec>,
    /// Whether this is a development chain, where transactions may name their sender instead of a signature.
    takes_impersonated: bool,
    input: R,
    item: u64,
    offset: u64,
    /// What was read while a witness was looked for and is none: the next block, or why there is none.
    peeked: Option<Result<Vec<u8>, FileError>>,
}

impl<R: Read> Items<R> {
    /// Returns the next block, senders recovered, with the offset after it.
    fn next_block(&mut self) -> Result<Option<(RecoveredBlock, u64)>, FileError> {
        let Some(bytes) = self.next_item()? else { return Ok(None) };
        let block: Block = block::decode_block(&bytes).map_err(|error| self.malformed(error.to_string()))?;
        let witness = self.next_witness()?;
        let recovered = if self.takes_impersonated {
            RecoveredBlock::recover_or_impersonate(block, witness)
        } else {
            RecoveredBlock::recover_by(&self.spec, block, witness)
        };
        let recovered = recovered.map_err(|error: TransactionError| self.malformed(error.to_string()))?;
        Ok(Some((recovered, self.offset)))
    }

    fn next_witness(&mut self) -> Result<Option<Witness>, FileError> {
        let bytes = match self.next_item() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            // The block before the break is whole.
            Err(error) => {
                self.peeked = Some(Err(error));
                return Ok(None);
            }
        };
        let item = rlp::Rlp::new(&bytes);
        if item.is_list() {
            self.peeked = Some(Ok(bytes));
            return Ok(None);
        }
        let problem = |error: &dyn std::fmt::Display| self.malformed(format!("witness: {error}"));
        let witness = item.data().map_err(|error| problem(&error))?;
        Witness::from_bytes(witness).map(Some).map_err(|error| problem(&error))
    }

    fn malformed(&self, problem: String) -> FileError {
        FileError::Malformed { item: self.item.saturating_sub(1), offset: self.offset, problem }
    }

    fn next_item(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        if let Some(peeked) = self.peeked.take() {
            return peeked.map(Some);
        }
        let mut head = [0; 9];
        if self.input.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        self.item += 1;
        let (length_bytes, short) = match head[0] {
            0..=0x7f => return Err(self.malformed("a single byte is no block".to_owned())),
            first @ 0x80..=0xb7 => (0, usize::from(first - 0x80)),
            first @ 0xb8..=0xbf => (usize::from(first - 0xb7), 0),
            first @ 0xc0..=0xf7 => (0, usize::from(first - 0xc0)),
            first @ 0xf8..=0xff => (usize::from(first - 0xf7), 0),
        };
        self.read_exact(&mut head[1..=length_bytes])?;
        let long = head[1..=length_bytes].iter().try_fold(0usize, |length, byte| {
            length.checked_mul(256).and_then(|length| length.checked_add(usize::from(*byte)))
        });
        let length = if length_bytes == 0 { Some(short) } else { long };
        let length = length.filter(|length| *length <= ITEM_BYTES_MAX);
        let length = length.ok_or_else(|| self.malformed(format!("an item of more than {ITEM_BYTES_MAX} bytes")))?;
        let mut bytes = head[..=length_bytes].to_vec();
        let start = bytes.len();
        bytes.resize(start + length, 0);
        self.read_exact(&mut bytes[start..])?;
        self.offset += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(Some(bytes))
    }

    fn read_exact(&mut self, out: &mut [u8]) -> Result<(), FileError> {
        self.input.read_exact(out).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.malformed("the file ends within an item".to_owned()),
            _ => FileError::Io(error),
        })
    }
}
