//! What a device remembers over restarts: the codes that were shown, and the jobs that were carried out.
//!
//! A file of lines, appended and brought to the disk before the step that they stand for; a line that a crash cut off counts for nothing. Lines
//! whose time is over are dropped when the file is opened. One process at a time holds it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::{B256, hex};

/// The most codes that are remembered at a time. Each is forgotten when its time is over.
const CODES_MAX: usize = 100_000;

/// What is remembered of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    job: B256,
    nonce: [u8; 16],
    until: u64,
    opened: bool,
}

/// Holds the codes in use. A code is in use from the moment that the device asks for its job until its time is over.
#[derive(Debug)]
pub struct Journal {
    file: File,
    jobs: BTreeMap<B256, ([u8; 16], u64, bool)>,
    /// Held as long as the journal is; the kernel drops it with the process.
    _lock: File,
}

impl Journal {
    /// Opens the journal, which is made where there is none; what was over at `now` (seconds since 1970) is forgotten.
    ///
    /// # Errors
    /// It is in use, damaged, or cannot be read or written.
    pub fn open(path: &Path, now: u64) -> io::Result<Self> {
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(with_suffix(path, "lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process of this device uses it"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut jobs = BTreeMap::new();
        for line in whole_lines(&text) {
            let line = Line::read(line).ok_or_else(|| damaged(line))?;
            if line.until >= now {
                jobs.insert(line.job, (line.nonce, line.until, line.opened));
            }
        }
        let file = Self::rewrite(path, &jobs)?;
        Ok(Self { file, jobs, _lock: lock })
    }

    /// Writes a fresh file beside the old one, and puts it in its place.
    fn rewrite(path: &Path, jobs: &BTreeMap<B256, ([u8; 16], u64, bool)>) -> io::Result<File> {
        let fresh = with_suffix(path, "new");
        let text: String = jobs
            .iter()
            .map(|(job, (nonce, until, opened))| {
                Line { job: *job, nonce: *nonce, until: *until, opened: *opened }.write()
            })
            .collect();
        let mut file = File::create(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        OpenOptions::new().append(true).open(path)
    }

    /// Tells whether a nonce was used.
    pub fn is_used(&self, nonce: &[u8; 16]) -> bool {
        self.jobs.values().any(|(used, ..)| used == nonce)
    }

    /// Tells whether no more codes can be remembered.
    pub fn is_full(&self) -> bool {
        self.jobs.len() >= CODES_MAX
    }

    /// Tells whether a job was asked for here and not carried out yet.
    pub fn is_waiting(&self, job: &B256) -> bool {
        self.jobs.get(job).is_some_and(|(.., opened)| !opened)
    }

    /// Tells whether a job was carried out.
    pub fn is_opened(&self, job: &B256) -> bool {
        self.jobs.get(job).is_some_and(|(.., opened)| *opened)
    }

    /// Remembers that a code was shown; forgets what was over at `now`.
    ///
    /// # Errors
    /// It cannot be written: the job must not be asked for.
    pub fn use_code(&mut self, job: B256, nonce: [u8; 16], until: u64, now: u64) -> io::Result<()> {
        self.jobs.retain(|_, (_, until, _)| *until >= now);
        self.append(Line { job, nonce, until, opened: false })
    }

    /// Remembers that a job is carried out, before it is.
    ///
    /// # Errors
    /// It was not waiting, or cannot be written: the lock must not be opened.
    pub fn carry_out(&mut self, job: B256) -> io::Result<()> {
        match self.jobs.get(&job) {
            Some((nonce, until, false)) => self.append(Line { job, nonce: *nonce, until: *until, opened: true }),
            Some(_) => Err(io::Error::other("the job was carried out before")),
            None => Err(io::Error::other("the job was not asked for here")),
        }
    }

    fn append(&mut self, line: Line) -> io::Result<()> {
        self.file.write_all(line.write().as_bytes())?;
        self.file.sync_data()?;
        self.jobs.insert(line.job, (line.nonce, line.until, line.opened));
        Ok(())
    }
}

impl Line {
    fn write(&self) -> String {
        let word = if self.opened { "opened" } else { "used" };
        format!("{word} {} {} {}\n", self.job, hex::encode_prefixed(self.nonce), self.until)
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let opened = match words.next()? {
            "used" => false,
            "opened" => true,
            _ => return None,
        };
        let job = words.next()?.parse().ok()?;
        let nonce = hex::decode_to_array(words.next()?).ok()?;
        let until = words.next()?.parse().ok()?;
        words.next().is_none().then_some(Self { job, nonce, until, opened })
    }
}

fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    let end = text.rfind('\n').map_or(0, |end| end + 1);
    text[..end].lines()
}

fn damaged(line: &str) -> io::Error {
    let shown: String = line.chars().take(40).collect();
    io::Error::new(io::ErrorKind::InvalidData, format!("the line {shown:?} is none of a device's journal"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u8) -> B256 {
        B256::repeat_byte(number)
    }

    #[test]
    fn a_job_is_carried_out_once_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path, 100).unwrap();
        assert!(journal.carry_out(id(1)).is_err(), "it was not asked for here");
        journal.use_code(id(1), [1; 16], 200, 100).unwrap();
        assert!(journal.is_waiting(&id(1)) && journal.is_used(&[1; 16]) && !journal.is_used(&[2; 16]));
        drop(journal);
        let mut journal = Journal::open(&path, 150).unwrap();
        assert!(journal.is_waiting(&id(1)));
        journal.carry_out(id(1)).unwrap();
        drop(journal);
        let mut journal = Journal::open(&path, 200).unwrap();
        assert!(journal.is_opened(&id(1)) && !journal.is_waiting(&id(1)));
        assert!(journal.carry_out(id(1)).is_err(), "it was carried out before");
        drop(journal);
        let journal = Journal::open(&path, 201).unwrap();
        assert!(!journal.is_opened(&id(1)) && !journal.is_used(&[1; 16]), "its time is over");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn a_line_that_a_crash_cut_off_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path, 100).unwrap();
        journal.use_code(id(1), [1; 16], 200, 100).unwrap();
        journal.use_code(id(2), [2; 16], 200, 100).unwrap();
        drop(journal);
        let text = std::fs::read_to_string(&path).unwrap();
        let first = text.find('\n').unwrap() + 1;
        for end in first..text.len() {
            std::fs::write(&path, &text[..end]).unwrap();
            let journal = Journal::open(&path, 100).unwrap();
            assert!(journal.is_waiting(&id(1)) && !journal.is_waiting(&id(2)), "{end}");
        }
    }

    #[test]
    fn damage_and_a_second_process_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(&path, "used 0x1\n").unwrap();
        assert!(Journal::open(&path, 0).unwrap_err().to_string().contains("used 0x1"));
        let path = folder.path().join("other");
        let _journal = Journal::open(&path, 0).unwrap();
        assert!(Journal::open(&path, 0).unwrap_err().to_string().contains("another process"));
    }

    proptest! {
        #[test]
        fn lines_come_back(job: [u8; 32], nonce: [u8; 16], until: u64, opened: bool) {
            let line = Line { job: job.into(), nonce, until, opened };
            prop_assert_eq!(Line::read(line.write().trim_end()), Some(line));
        }

        #[test]
        fn any_line_is_read_or_refused(text: String) {
            let _ = Line::read(&text);
        }
    }
}
