//! The journal: local transactions in a file, so that they survive a restart.
//!
//! The file is a row of transactions in their network encoding (an RLP list for type 0, an RLP string for the others), as
//! geth's `transactions.rlp` is. It is appended to, and written anew by a rotation. A torn tail is what a crash leaves.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use alloy_rlp::{Decodable, Encodable};
use consensus::{RecoveredTransaction, Transaction};

use super::config::TRANSACTION_BYTES_MAX;

/// When so many bytes were appended, the journal is written anew without waiting for its hour.
const APPENDED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The longest entry that is read: a transaction and its header.
const ENTRY_BYTES_MAX: usize = TRANSACTION_BYTES_MAX + 16;

/// Says that the journal could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the transaction journal {} cannot be read or written: {problem}", path.display())]
pub struct JournalError {
    /// The file.
    pub path: PathBuf,
    /// What the operating system says.
    pub problem: String,
}

/// Counts what a journal held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalReport {
    /// Transactions that are in the pool again.
    pub added: usize,
    /// Transactions that the pool refuses now; most were mined.
    pub refused: usize,
    /// Entries that are no transactions.
    pub unreadable: usize,
    /// Whether the file ended within an entry.
    pub torn: bool,
}

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Option<File>,
    appended_bytes: usize,
    pub(super) appended_bytes_max: usize,
}

impl Journal {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, appended_bytes: 0, appended_bytes_max: APPENDED_BYTES_MAX }
    }

    /// Tells whether so much was appended that the file should be written anew.
    pub(super) fn is_long(&self) -> bool {
        self.appended_bytes > self.appended_bytes_max
    }

    pub(super) fn append(&mut self, transaction: &Transaction) -> Result<(), JournalError> {
        let mut bytes = Vec::with_capacity(transaction.length());
        transaction.encode(&mut bytes);
        self.appended_bytes += bytes.len();
        let written = self.open().and_then(|file| file.write_all(&bytes));
        written.map_err(|error| self.error(&error))
    }

    /// Writes the journal anew; a crash leaves the old one or the new one.
    pub(super) fn rotate(&mut self, transactions: &[RecoveredTransaction]) -> Result<(), JournalError> {
        self.file = None;
        self.appended_bytes = 0;
        let new = self.path.with_extension("new");
        write_all(&new, transactions).and_then(|()| fs::rename(&new, &self.path)).map_err(|error| self.error(&error))
    }

    /// Reads the journal in batches of at most `batch` transactions. A missing file is an empty one.
    pub(super) fn read(
        &self,
        batch: usize,
        mut take: impl FnMut(Vec<Transaction>),
    ) -> Result<JournalReport, JournalError> {
        let mut report = JournalReport::default();
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(report),
            Err(error) => return Err(self.error(&error)),
        };
        let mut reader = BufReader::new(file);
        let mut transactions = Vec::new();
        loop {
            match read_entry(&mut reader).map_err(|error| self.error(&error))? {
                Item::End => break,
                Item::Torn => {
                    report.torn = true;
                    break;
                }
                Item::Entry(bytes) => match Transaction::decode(&mut &bytes[..]) {
                    Ok(transaction) => transactions.push(transaction),
                    Err(_) => report.unreadable += 1,
                },
            }
            if transactions.len() == batch {
                take(std::mem::take(&mut transactions));
            }
        }
        take(transactions);
        Ok(report)
    }

    fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(OpenOptions::new().create(true).append(true).open(&self.path)?);
        }
        Ok(self.file.as_mut().expect("opened above"))
    }

    fn error(&self, error: &io::Error) -> JournalError {
        JournalError { path: self.path.clone(), problem: error.to_string() }
    }
}

fn write_all(path: &Path, transactions: &[RecoveredTransaction]) -> io::Result<()> {
    let mut writer = BufWriter::new(File::create(path)?);
    let mut bytes = Vec::new();
    for transaction in transactions {
        bytes.clear();
        transaction.transaction().encode(&mut bytes);
        writer.write_all(&bytes)?;
    }
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

enum Item {
    End,
    /// The file ends within an entry, or an entry claims more bytes than any transaction has: what follows has no frame.
    Torn,
    Entry(Vec<u8>),
}

/// Reads one RLP item with its header.
fn read_entry(reader: &mut impl BufRead) -> io::Result<Item> {
    let mut first = [0];
    if reader.read(&mut first)? == 0 {
        return Ok(Item::End);
    }
    // Yellow Paper, appendix B: a byte alone; a short string or list; the length of the length of a long one.
    let (length_bytes, length) = match first[0] {
        0..=0x7f => (0, 0),
        byte @ 0x80..=0xb7 => (0, usize::from(byte - 0x80)),
        byte @ 0xb8..=0xbf => (usize::from(byte - 0xb7), 0),
        byte @ 0xc0..=0xf7 => (0, usize::from(byte - 0xc0)),
        byte @ 0xf8..=0xff => (usize::from(byte - 0xf7), 0),
    };
    let mut bytes = first.to_vec();
    if !read_more(reader, &mut bytes, length_bytes)? {
        return Ok(Item::Torn);
    }
    let long = bytes[1..].iter().try_fold(0_usize, |long, byte| long.checked_mul(256)?.checked_add(usize::from(*byte)));
    let length = long.and_then(|long| long.checked_add(length)).unwrap_or(usize::MAX);
    if length > ENTRY_BYTES_MAX || !read_more(reader, &mut bytes, length)? {
        return Ok(Item::Torn);
    }
    Ok(Item::Entry(bytes))
}

/// Appends `count` bytes, and tells whether there were so many.
fn read_more(reader: &mut impl BufRead, bytes: &mut Vec<u8>, count: usize) -> io::Result<bool> {
    let limit = u64::try_from(count).unwrap_or(u64::MAX);
    Ok(reader.take(limit).read_to_end(bytes)? == count)
}
