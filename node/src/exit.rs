//! How the program ends when it cannot go on: each fatal condition has its own exit code, a cause and a remedy.
//!
//! The table for operators is `docs/exit-codes.md`; a test keeps the two alike.

use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};

use alloy_primitives::B256;

use crate::keystore::KeystoreError;

/// Says why the program ends. Its text is the cause; [`Fatal::remedy`] says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fatal {
    /// The command line cannot be understood.
    Usage {
        /// What is wrong.
        cause: String,
    },
    /// A chain file or a configuration value cannot be used.
    Config {
        /// What is wrong, with the file and the field.
        cause: String,
        /// What to change.
        remedy: String,
    },
    /// The data directory belongs to another chain.
    GenesisMismatch {
        /// The data directory.
        datadir: PathBuf,
        /// The genesis hash in the database.
        have: B256,
        /// The genesis hash of the chain file.
        want: B256,
        /// The first field that differs, where it is known.
        difference: Option<Box<str>>,
        /// The file in the data directory that says so; none: the database.
        file: Option<&'static str>,
    },
    /// A port or socket that the node must listen on is taken.
    PortInUse {
        /// The address, such as `127.0.0.1:8545`.
        address: String,
        /// The flag that chooses another one, such as `--http.port`.
        flag: &'static str,
    },
    /// A bug of this program.
    Internal {
        /// What happened.
        cause: String,
    },
    /// Another process works in the data directory.
    DatadirLocked {
        /// The data directory.
        datadir: PathBuf,
        /// The process, where it left its number.
        pid: Option<u32>,
    },
    /// The disk is full, or reading or writing failed.
    Disk {
        /// What failed, with the path.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The database contradicts itself or cannot be read.
    DatabaseCorrupt {
        /// The data directory.
        datadir: PathBuf,
        /// What was found.
        cause: String,
    },
    /// A backup contradicts itself or cannot be read.
    BackupDamaged {
        /// What was found, with the path.
        cause: String,
    },
    /// The database was written by a newer program.
    DatabaseNewer {
        /// The data directory.
        datadir: PathBuf,
        /// The format version in the database.
        have: u64,
        /// The newest format version this program knows.
        known: u64,
    },
    /// A key, a password or a permission is missing or wrong.
    Key {
        /// What is wrong.
        cause: String,
        /// What to do.
        remedy: String,
    },
}

impl Fatal {
    /// Returns a configuration error.
    pub fn config(cause: impl Display, remedy: impl Into<String>) -> Self {
        Self::Config { cause: cause.to_string(), remedy: remedy.into() }
    }

    /// Returns a key, password or permission error.
    pub fn key(cause: impl Display, remedy: impl Into<String>) -> Self {
        Self::Key { cause: cause.to_string(), remedy: remedy.into() }
    }

    /// Returns an error of the disk.
    pub fn disk(cause: impl Display) -> Self {
        let remedy = "free space on the disk, or check it, and start again; no committed block is lost";
        Self::Disk { cause: cause.to_string(), remedy }
    }

    /// Classifies an input or output error at `path`: a permission that is missing, a path that is wrong, or the disk.
    pub fn io(path: &Path, error: &io::Error) -> Self {
        let cause = format!("{}: {error}", path.display());
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let remedy = "give the user that runs the node access to the path, or choose another --datadir";
                return Self::key(cause, remedy);
            }
            io::ErrorKind::NotFound => "nothing is there: correct the path, or make the folder that it lies in",
            io::ErrorKind::NotADirectory => "a file stands where a folder should be: name another path",
            io::ErrorKind::IsADirectory => "a folder stands where a file should be: name another path",
            io::ErrorKind::AlreadyExists => "something else stands there: name another path",
            io::ErrorKind::ReadOnlyFilesystem => "name a path on a disk that may be written",
            io::ErrorKind::InvalidData => "the file does not hold what it should: name another one",
            _ => return Self::disk(cause),
        };
        Self::Disk { cause, remedy }
    }

    /// Returns the exit code.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Usage { .. } => 2,
            Self::Config { .. } => 65,
            Self::GenesisMismatch { .. } => 66,
            Self::PortInUse { .. } => 69,
            Self::Internal { .. } => 70,
            Self::DatadirLocked { .. } => 73,
            Self::Disk { .. } => 74,
            Self::DatabaseCorrupt { .. } => 75,
            Self::BackupDamaged { .. } => 78,
            Self::DatabaseNewer { .. } => 76,
            Self::Key { .. } => 77,
        }
    }

    /// Returns what the operator can do, in one line.
    pub fn remedy(&self) -> String {
        match self {
            Self::Usage { .. } => "see `drawbridge --help`".into(),
            Self::Config { remedy, .. } | Self::Key { remedy, .. } => remedy.clone(),
            Self::GenesisMismatch { datadir, file: Some(file), .. } => format!(
                "choose another --datadir; if nothing in {0} is needed any more, delete the old chain with `drawbridge removedb --datadir {0}` and remove {1}",
                datadir.display(),
                datadir.join(file).display()
            ),
            Self::GenesisMismatch { datadir, file: None, .. } => format!(
                "use the chain file that {0} was started with, choose another --datadir, or delete the old chain with `drawbridge removedb --datadir {0}`",
                datadir.display()
            ),
            Self::PortInUse { flag, .. } => {
                format!("stop the program that listens there, or choose another one with {flag}")
            }
            Self::Internal { .. } => "this is a bug: report it with the log above; the chain on disk is whole".into(),
            Self::DatadirLocked { pid: Some(pid), .. } => {
                format!("stop process {pid} first, or choose another --datadir")
            }
            Self::DatadirLocked { pid: None, .. } => "stop the other node first, or choose another --datadir".into(),
            Self::Disk { remedy, .. } => (*remedy).into(),
            Self::DatabaseCorrupt { datadir, .. } => format!(
                "run `drawbridge db recover --datadir {0}`, which keeps every whole block if it can; if that fails, `drawbridge removedb --datadir {0}` and restore a backup, import an export or synchronise again",
                datadir.display()
            ),
            Self::BackupDamaged { .. } => "take another backup, and make a new one of the running node".into(),
            Self::DatabaseNewer { .. } => "start a newer drawbridge, or choose another --datadir".into(),
        }
    }
}

impl Display for Fatal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage { cause }
            | Self::Config { cause, .. }
            | Self::Internal { cause }
            | Self::Disk { cause, .. }
            | Self::BackupDamaged { cause }
            | Self::Key { cause, .. } => formatter.write_str(cause),
            Self::GenesisMismatch { datadir, have, want, difference, file } => {
                let place = file.map_or_else(|| datadir.clone(), |file| datadir.join(file));
                let place = place.display();
                write!(formatter, "{place} contains incompatible genesis (have {have}, want {want})")?;
                match difference {
                    Some(field) => write!(formatter, "; they differ in {field}"),
                    None => Ok(()),
                }
            }
            Self::PortInUse { address, .. } => write!(formatter, "{address} is already in use"),
            Self::DatadirLocked { datadir, pid } => {
                write!(formatter, "{} is already used by another process", datadir.display())?;
                pid.map_or(Ok(()), |pid| write!(formatter, " (PID {pid})"))
            }
            Self::DatabaseCorrupt { datadir, cause } => {
                write!(formatter, "the database in {} is corrupt: {cause}", datadir.display())
            }
            Self::DatabaseNewer { datadir, have, known } => write!(
                formatter,
                "the database in {} has format {have}; this program knows formats up to {known}",
                datadir.display()
            ),
        }
    }
}

impl std::error::Error for Fatal {}

impl From<KeystoreError> for Fatal {
    fn from(error: KeystoreError) -> Self {
        let remedy = match &error {
            KeystoreError::WrongPassword => "check the password; a password file holds one password per line",
            KeystoreError::NoMatch | KeystoreError::UnknownAccount => {
                "`drawbridge account list` shows the accounts of --datadir or --keystore"
            }
            KeystoreError::Locked => "unlock the account with --unlock and --password",
            KeystoreError::AlreadyExists => "`drawbridge account update` changes its password",
            KeystoreError::InvalidKey | KeystoreError::InvalidFile { .. } | KeystoreError::OtherKey { .. } => {
                "give a version 3 key file, or a file with 64 hexadecimal digits"
            }
            KeystoreError::Io { .. } => "check that the path exists and that this user may read and write it",
        };
        Self::key(error, remedy)
    }
}

/// Writes cause and remedy to standard error.
pub fn report(fatal: &Fatal) {
    eprintln!("error: {fatal}\nremedy: {}", fatal.remedy());
}

/// Makes a panic on any thread end the program with the code of a bug. What is on disk stays whole, because every import is
/// one atomic batch; going on with a half-done computation in memory would be worse.
pub fn install_panic_hook() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default_hook(panic);
        let fatal = Fatal::Internal { cause: "the program panicked".into() };
        report(&fatal);
        std::process::exit(i32::from(fatal.code()));
    }));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn all() -> Vec<Fatal> {
        let datadir = PathBuf::from("/data");
        let text = String::new;
        vec![
            Fatal::Usage { cause: text() },
            Fatal::Config { cause: text(), remedy: "change it".into() },
            Fatal::GenesisMismatch {
                datadir: datadir.clone(),
                have: B256::ZERO,
                want: B256::ZERO,
                difference: Some("config.chainId".into()),
                file: None,
            },
            Fatal::PortInUse { address: "127.0.0.1:8545".into(), flag: "--http.port" },
            Fatal::Internal { cause: text() },
            Fatal::DatadirLocked { datadir: datadir.clone(), pid: Some(7) },
            Fatal::disk(text()),
            Fatal::DatabaseCorrupt { datadir: datadir.clone(), cause: text() },
            Fatal::DatabaseNewer { datadir, have: 2, known: 1 },
            Fatal::Key { cause: text(), remedy: "give it".into() },
            Fatal::BackupDamaged { cause: text() },
        ]
    }

    #[test]
    fn the_documented_codes_are_exactly_those_of_the_program() {
        let document = include_str!("../../docs/exit-codes.md");
        let documented: Vec<u8> = document
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
            .filter(|code| *code != 0)
            .collect();
        assert_eq!(documented, all().iter().map(Fatal::code).collect::<Vec<_>>());
    }

    #[test]
    fn each_condition_has_its_own_code_and_a_remedy() {
        let mut codes: Vec<_> = all().iter().map(Fatal::code).collect();
        codes.dedup();
        assert_eq!(codes.len(), all().len());
        for fatal in all() {
            assert!(!fatal.remedy().is_empty(), "{fatal:?}");
        }
    }

    #[test]
    fn texts_name_what_an_operator_must_know() {
        let texts: Vec<_> = all().iter().map(|fatal| format!("{fatal} / {}", fatal.remedy())).collect();
        for expected in [
            "incompatible genesis (have 0x0000",
            "differ in config.chainId",
            "127.0.0.1:8545 is already in use",
            "--http.port",
            "/data is already used by another process (PID 7)",
            "stop process 7",
            "has format 2",
        ] {
            assert!(texts.iter().any(|text| text.contains(expected)), "{expected}");
        }
    }

    #[test]
    fn a_missing_permission_is_not_a_broken_disk() {
        let of = |kind: io::ErrorKind| Fatal::io(Path::new("/x"), &kind.into()).code();
        assert_eq!((of(io::ErrorKind::PermissionDenied), of(io::ErrorKind::StorageFull)), (77, 74));
    }

    #[test]
    fn a_wrong_path_is_no_full_disk() {
        let of = |kind: io::ErrorKind| Fatal::io(Path::new("/x"), &kind.into()).remedy();
        assert!(of(io::ErrorKind::StorageFull).contains("free space"));
        for (kind, expected) in [
            (io::ErrorKind::NotFound, "nothing is there"),
            (io::ErrorKind::NotADirectory, "a file stands"),
            (io::ErrorKind::IsADirectory, "a folder stands"),
            (io::ErrorKind::AlreadyExists, "something else stands"),
        ] {
            assert!(of(kind).contains(expected), "{kind}: {}", of(kind));
        }
    }
}
