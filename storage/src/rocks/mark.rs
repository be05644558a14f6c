//! The mark: a file beside the database that says which change last reached the disk.
//!
//! Recovery replays the log up to its first torn record. After a power cut that is right: what follows was never synced. But damage to
//! a part of the log that had been synced looks the same to RocksDB, which would drop what comes after it without a word. The
//! mark tells the two apart: a database that reopens below it has lost what was promised.
//!
//! The mark is written after each sync and is itself not synced, nor need it be: it is a lower bound, so that a mark that is old, torn or
//! gone only tells less.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parking_lot::Mutex;

const FILE_NAME: &str = "drawbridge.synced";
/// Twenty digits, a space, sixteen hexadecimal digits and the end of the line: within one sector, so that it is not torn.
const SIZE_BYTES: usize = 38;

/// Writes the mark of an open database.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    last: Mutex<u64>,
}

impl Mark {
    /// Opens the mark of the database in `directory`, and sets it to `synced` whatever it was.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn create(directory: &Path, synced: u64) -> io::Result<Self> {
        let file = File::options().write(true).create(true).truncate(false).open(directory.join(FILE_NAME))?;
        let mark = Self { file, last: Mutex::new(synced) };
        mark.write(synced);
        Ok(mark)
    }

    /// Says that all changes up to `sequence` have reached the disk.
    pub(super) fn raise(&self, sequence: u64) {
        let mut last = self.last.lock();
        if sequence > *last {
            *last = sequence;
            self.write(sequence);
        }
    }

    fn write(&self, sequence: u64) {
        // A mark that cannot be written stays lower than it might be, which is no error.
        let _ = self.file.write_all_at(line(sequence).as_bytes(), 0);
    }
}

/// Reads the mark; 0 where there is none, or none that can be trusted.
pub(super) fn read(directory: &Path) -> u64 {
    let Ok(text) = std::fs::read_to_string(directory.join(FILE_NAME)) else { return 0 };
    let sequence = text.get(..20).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    if text.len() == SIZE_BYTES && text == line(sequence) { sequence } else { 0 }
}

fn line(sequence: u64) -> String {
    format!("{sequence:020} {:016x}\n", checksum(sequence))
}

/// FNV-1a of the number's bytes.
fn checksum(sequence: u64) -> u64 {
    sequence
        .to_be_bytes()
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_highest_mark_is_read_back_and_a_damaged_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()), 0);
        let mark = Mark::create(directory.path(), 5).unwrap();
        for (raised, expected) in [(7, 7), (6, 7), (u64::MAX, u64::MAX)] {
            mark.raise(raised);
            assert_eq!(read(directory.path()), expected);
        }
        Mark::create(directory.path(), 3).unwrap();
        assert_eq!(read(directory.path()), 3);
        let path = directory.path().join(FILE_NAME);
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), SIZE_BYTES);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(read(directory.path()), 0, "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(read(directory.path()), 0, "cut at {at}");
        }
    }
}
