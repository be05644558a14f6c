//! The mark: a file beside the database that says what last reached the disk.
//!
//! Recovery replays the log up to its first torn record. After a power cut that is right: what follows was never synced. But damage to
//! a part of the log that had been synced looks the same to RocksDB, which would drop what comes after it without a word. The
//! mark tells the two apart: a database that reopens below it has lost what was promised. It holds the manifest's size and checksum for
//! the same reason: with an older one RocksDB would open without the table files that came later.
//!
//! The mark is written after each sync and is itself not synced, nor need it be: it is a lower bound, so that a mark that is old, torn or
//! gone only tells less.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

const FILE_NAME: &str = "drawbridge.synced";

/// What was on the disk for certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Synced {
    /// The number of the last change.
    pub(super) sequence: u64,
    manifest: Manifest,
}

/// The beginning of a manifest, which is only ever appended to. Number 0: none is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Manifest {
    number: u64,
    size: u64,
    checksum: u64,
}

/// Writes the mark of an open database.
#[derive(Debug)]
pub(super) struct Mark {
    directory: PathBuf,
    file: File,
    last: Mutex<Synced>,
}

impl Mark {
    /// Opens the mark of the database in `directory`, and sets it to the change `sequence` whatever it was.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn create(directory: &Path, sequence: u64) -> io::Result<Self> {
        let file = File::options().write(true).create(true).truncate(false).open(directory.join(FILE_NAME))?;
        let last = Synced { sequence, manifest: Manifest::default().follow(directory) };
        let mark = Self { directory: directory.to_owned(), file, last: Mutex::new(last) };
        mark.write(&last);
        Ok(mark)
    }

    /// Says that all changes up to `sequence` have reached the disk.
    pub(super) fn raise(&self, sequence: u64) {
        let mut last = self.last.lock();
        let raised = Synced { sequence: sequence.max(last.sequence), manifest: last.manifest.follow(&self.directory) };
        if raised != *last {
            *last = raised;
            self.write(&raised);
        }
    }

    fn write(&self, synced: &Synced) {
        // A mark that cannot be written stays lower than it might be, which is no error.
        let _ = self.file.write_all_at(line(synced).as_bytes(), 0);
    }
}

impl Synced {
    /// Reads the mark; the lowest one where there is none, or none that can be trusted.
    pub(super) fn read(directory: &Path) -> Self {
        let text = fs::read_to_string(directory.join(FILE_NAME)).unwrap_or_default();
        let mut fields = text.split_ascii_whitespace().map(|field| u64::from_str_radix(field, 16).unwrap_or(0));
        let mut next = || fields.next().unwrap_or(0);
        let (sequence, number, size, checksum) = (next(), next(), next(), next());
        let synced = Self { sequence, manifest: Manifest { number, size, checksum } };
        if text == line(&synced) { synced } else { Self::default() }
    }

    /// Tells whether the manifest still begins with what was synced of it; a newer one may have taken its place.
    pub(super) fn has_its_manifest(&self, directory: &Path) -> bool {
        let expected = self.manifest;
        match current_manifest(directory) {
            _ if expected.number == 0 => true,
            Some((number, _)) if number != expected.number => number > expected.number,
            Some((_, path)) => {
                let begin = Manifest { number: expected.number, ..Manifest::default() };
                begin.read_on(&path, expected.size).is_ok_and(|found| found == expected)
            }
            None => false,
        }
    }
}

impl Manifest {
    /// Brings the manifest that is in use to the disk, and returns what it is now.
    fn follow(self, directory: &Path) -> Self {
        let Some((number, path)) = current_manifest(directory) else { return Self::default() };
        let known = if number == self.number { self } else { Self { number, size: 0, checksum: FNV_BASIS } };
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() == known.size => known,
            Ok(metadata) => {
                // What is noted must be there after a power cut.
                let synced = File::open(&path).and_then(|file| file.sync_all());
                synced.and_then(|()| known.read_on(&path, metadata.len())).unwrap_or_default()
            }
            Err(_) => Self::default(),
        }
    }

    /// Reads on to the size `to`.
    fn read_on(self, path: &Path, to: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.size))?;
        let mut checksum = if self.size == 0 { FNV_BASIS } else { self.checksum };
        let mut size = self.size;
        for byte in BufReader::new(file).take(to.saturating_sub(self.size)).bytes() {
            checksum = fnv(checksum, byte?);
            size += 1;
        }
        Ok(Self { number: self.number, size, checksum })
    }
}

/// Returns the manifest that `CURRENT` names, and its number.
fn current_manifest(directory: &Path) -> Option<(u64, PathBuf)> {
    let text = fs::read_to_string(directory.join("CURRENT")).ok()?;
    let name = text.trim_end();
    Some((name.strip_prefix("MANIFEST-")?.parse().ok()?, directory.join(name)))
}

/// One line of fixed width, within one sector, so that it is not torn.
fn line(synced: &Synced) -> String {
    let Manifest { number, size, checksum } = synced.manifest;
    let fields = format!("{:016x} {number:016x} {size:016x} {checksum:016x}", synced.sequence);
    format!("{fields} {:016x}\n", fields.bytes().fold(FNV_BASIS, fnv))
}

/// Where FNV-1a begins (64 bits).
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_highest_mark_is_read_back_and_a_damaged_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let read = || Synced::read(directory.path()).sequence;
        assert_eq!(read(), 0);
        let mark = Mark::create(directory.path(), 5).unwrap();
        for (raised, expected) in [(7, 7), (6, 7), (u64::MAX, u64::MAX)] {
            mark.raise(raised);
            assert_eq!(read(), expected);
        }
        Mark::create(directory.path(), 3).unwrap();
        assert_eq!(read(), 3);
        let path = directory.path().join(FILE_NAME);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(Synced::read(directory.path()), Synced::default(), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(Synced::read(directory.path()), Synced::default(), "cut at {at}");
        }
    }

    #[test]
    fn a_manifest_may_grow_or_be_followed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        let holds = || Synced::read(directory.path()).has_its_manifest(directory.path());
        assert!(holds(), "nothing is known");
        write("CURRENT", "MANIFEST-000007\n");
        write("MANIFEST-000007", "abc");
        let mark = Mark::create(directory.path(), 1).unwrap();
        assert!(holds());
        write("MANIFEST-000007", "abcdef");
        assert!(holds(), "it grew");
        mark.raise(1);
        for (text, expected) in
            [("abcdef", true), ("abcdefg", true), ("abcde", false), ("abc", false), ("abcdeg", false)]
        {
            write("MANIFEST-000007", text);
            assert_eq!(holds(), expected, "{text}");
        }
        write("MANIFEST-000006", "old");
        for (current, expected) in [("MANIFEST-000006\n", false), ("MANIFEST-000008\n", true), ("", false)] {
            write("CURRENT", current);
            assert_eq!(holds(), expected, "{current}");
        }
    }
}
