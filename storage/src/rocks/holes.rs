//! Holes in the write-ahead log.
//!
//! A power cut may leave the pages of a log on the disk in any order: a page that was not written reads as zeros, while a later one is there.
//! RocksDB stops at a record whose checksum is wrong, but it takes a record header of zeros for the unused rest of a block and goes
//! on with the next block, so that batches behind a hole would be applied without those in it. Before a database is opened,
//! each log is therefore cut off at its first such header with anything but zeros behind it: recovery then ends where the log does.
//! Whether that loses what had been synced is told by the mark.
//!
//! The format of logs: `rocksdb/db/log_format.h`. A record never crosses a block; a tail too short for a header is zeros.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of a block.
const BLOCK_BYTES: u64 = 32 * 1024;
/// Checksum (4), length (2), type (1).
const HEADER_BYTES: u64 = 7;
/// What records of a recycled log have besides: the log's number (4).
const RECYCLABLE_BYTES: u64 = 4;
/// The types of recyclable records: full, first, middle, last, and the two of metadata.
const RECYCLABLE_TYPES: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// Cuts off each log in `directory` at its first hole. Returns how many were cut.
///
/// # Errors
/// A log cannot be read or written.
pub(super) fn cut_logs(directory: &Path) -> io::Result<usize> {
    let mut cut = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|kind| kind != "log") {
            continue;
        }
        if let Some(hole) = first_hole(&File::open(&path)?)? {
            let log = File::options().write(true).open(&path)?;
            log.set_len(hole)?;
            log.sync_all()?;
            cut += 1;
        }
    }
    Ok(cut)
}

/// Returns where the first header of zeros stands that something follows. Reads the headers alone.
fn first_hole(log: &File) -> io::Result<Option<u64>> {
    let size = log.metadata()?.len();
    let mut at = 0;
    loop {
        let left_in_block = BLOCK_BYTES - at % BLOCK_BYTES;
        if left_in_block < HEADER_BYTES {
            at += left_in_block;
            continue;
        }
        if at + HEADER_BYTES > size {
            return Ok(None);
        }
        let mut header = [0; 7];
        log.read_exact_at(&mut header, at)?;
        let (length, kind) = (u64::from(u16::from_le_bytes([header[4], header[5]])), header[6]);
        if kind == 0 && length == 0 {
            return Ok(is_followed(log, at)?.then_some(at));
        }
        let taken = HEADER_BYTES + if RECYCLABLE_TYPES.contains(&kind) { RECYCLABLE_BYTES } else { 0 } + length;
        if taken > left_in_block {
            // No header that was ever written: RocksDB stops here.
            return Ok(None);
        }
        at += taken;
    }
}

/// Tells whether there is anything but zeros from `at` on.
fn is_followed(log: &File, at: u64) -> io::Result<bool> {
    let mut rest = BufReader::new(log);
    rest.seek(SeekFrom::Start(at))?;
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
        let read = bytes.len();
        rest.consume(read);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BLOCK: usize = 32 * 1024;
    const HEADER: usize = 7;

    /// Makes a log of full records with these lengths, none of which crosses a block.
    fn log(lengths: &[usize]) -> Vec<u8> {
        let mut log = Vec::new();
        for length in lengths {
            let left = BLOCK - log.len() % BLOCK;
            if left < HEADER {
                log.resize(log.len() + left, 0);
            }
            log.extend([1, 2, 3, 4]);
            log.extend(u16::try_from(*length).unwrap().to_le_bytes());
            log.push(1);
            log.resize(log.len() + length, 9);
        }
        log
    }

    fn check(case: &str, log: &[u8], expected: Option<usize>) {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("000004.log"), directory.path().join("000005.sst"));
        for path in [&path, &other] {
            fs::write(path, log).unwrap();
        }
        assert_eq!(cut_logs(directory.path()).unwrap(), usize::from(expected.is_some()), "{case}");
        assert_eq!(fs::read(path).unwrap(), log[..expected.unwrap_or(log.len())], "{case}");
        assert_eq!(fs::read(other).unwrap(), log, "{case}");
    }

    #[test]
    fn a_hole_is_a_header_of_zeros_with_something_behind_it() {
        let whole = log(&[100, 200, 300]);
        let (second, third) = (HEADER + 100, HEADER + 100 + HEADER + 200);
        let zeroed = |from: usize, to: usize| {
            let mut log = whole.clone();
            log[from..to].fill(0);
            log
        };
        check("whole", &whole, None);
        check("empty", &[], None);
        check("zeros", &vec![0; 70_000], None);
        check("preallocated", &[whole.clone(), vec![0; 50_000]].concat(), None);
        check("torn header", &whole[..second + 3], None);
        check("torn body", &whole[..third + 50], None);
        check("a record is missing", &zeroed(second, third), Some(second));
        check("the first is missing", &zeroed(0, second), Some(0));
        check("the last is missing", &zeroed(third, whole.len()), None);
        check("a body is missing", &zeroed(second + HEADER, third), None);
    }

    #[test]
    fn records_are_followed_over_the_ends_of_blocks() {
        for spare in 0..HEADER {
            let mut log = log(&[100, BLOCK - 2 * HEADER - 100 - spare, 50, 60]);
            check("whole", &log, None);
            log[BLOCK..BLOCK + HEADER + 50].fill(0);
            check("the second block begins with a hole", &log, Some(BLOCK));
        }
    }
}
