//! The directory of key files: names, scanning and atomic writing.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, hex};

use super::KeystoreError;
use super::file::{EncryptedKey, FILE_SIZE_BYTES_MAX, parse_address};

/// Remembers what each file held, so that an unchanged file is not read again.
#[derive(Debug, Default)]
pub(super) struct Directory {
    path: PathBuf,
    seen: BTreeMap<PathBuf, Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    modified: Option<SystemTime>,
    size: u64,
    address: Option<Address>,
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, seen: BTreeMap::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns each key's address and file, in the order of file names. What is not a key file is passed over: hidden and
    /// backup files, folders, garbage, and files that name no address. A directory that does not exist holds no key.
    pub(super) fn scan(&mut self) -> Result<Vec<(Address, PathBuf)>, KeystoreError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(KeystoreError::io(&self.path, &error)),
        };
        let mut seen = BTreeMap::new();
        for entry in entries {
            let path = entry.map_err(|error| KeystoreError::io(&self.path, &error))?.path();
            if !may_be_key_file(&path) {
                continue;
            }
            // A file that vanishes between listing and reading was not a key of ours.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if !metadata.is_file() {
                continue;
            }
            let (modified, size) = (metadata.modified().ok(), metadata.len());
            let address = match self.seen.get(&path) {
                Some(known) if known.modified == modified && known.size == size => known.address,
                _ => address_of_file(&path, size),
            };
            seen.insert(path, Seen { modified, size, address });
        }
        self.seen = seen;
        Ok(self.seen.iter().filter_map(|(path, file)| Some((file.address?, path.clone()))).collect())
    }

    /// Returns the first file that holds the key of `address`.
    pub(super) fn find(&mut self, address: Address) -> Result<Option<PathBuf>, KeystoreError> {
        Ok(self.scan()?.into_iter().find(|(known, _)| *known == address).map(|(_, path)| path))
    }

    /// Writes a new key file, named by the time and the address, and returns its path.
    pub(super) fn create(&self, address: Address, now: SystemTime, text: &str) -> Result<PathBuf, KeystoreError> {
        create_private_folder(&self.path).map_err(|error| KeystoreError::io(&self.path, &error))?;
        let path = self.path.join(file_name(address, now));
        write_atomically(&path, text).map_err(|error| KeystoreError::io(&path, &error))?;
        Ok(path)
    }
}

/// Reads and parses a key file.
pub(super) fn read(path: &Path) -> Result<EncryptedKey, KeystoreError> {
    let text = read_bounded(path).map_err(|error| KeystoreError::io(path, &error))?;
    EncryptedKey::parse(&text)
}

/// Replaces `path` by a file with `text` so that a crash leaves the old content or the new one; only the owner may read it.
pub(super) fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let temporary = folder.join(format!(".{name}.{:016x}.tmp", rand::random::<u64>()));
    let written = write_private(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
        return written;
    }
    File::open(folder)?.sync_all()
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path)
}

fn may_be_key_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && !name.ends_with('~')
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_SIZE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_SIZE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too large for a key file"));
    }
    Ok(text)
}

/// Returns the address a file stands for: the one it names, else the one in its file name.
fn address_of_file(path: &Path, size: u64) -> Option<Address> {
    if size == 0 || size > FILE_SIZE_BYTES_MAX {
        return None;
    }
    let key = EncryptedKey::parse(&read_bounded(path).ok()?).ok()?;
    let address = key.address.or_else(|| {
        let name = path.file_name()?.to_str()?.strip_prefix("UTC--")?;
        parse_address(name.rsplit_once("--")?.1)
    });
    address.filter(|address| !address.is_zero())
}

/// Returns `UTC--<time>--<address>`, the time in UTC to the nanosecond with `-` for `:`.
fn file_name(address: Address, now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let nanos = since.subsec_nanos();
    format!(
        "UTC--{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}.{nanos:09}Z--{}",
        hex::encode(address)
    )
}

/// Returns year, month and day of a count of days since 1970-01-01 in the Gregorian calendar.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // 400 years have 146,097 days; whole cycles first, so that the loops below are short.
    let (mut year, mut rest) = (1970 + days / 146_097 * 400, days % 146_097);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if rest < length {
            break;
        }
        rest -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_name_holds_the_time_and_the_address() {
        let check = |seconds: u64, nanos: u32, expected: &str| {
            let name = file_name(Address::repeat_byte(0xab), UNIX_EPOCH + Duration::new(seconds, nanos));
            assert_eq!(name, format!("UTC--{expected}--{}", "ab".repeat(20)));
        };
        check(0, 0, "1970-01-01T00-00-00.000000000Z");
        check(1_458_651_475, 920_751_759, "2016-03-22T12-57-55.920751759Z");
        check(951_782_400, 1, "2000-02-29T00-00-00.000000001Z");
        check(4_107_542_399, 0, "2100-02-28T23-59-59.000000000Z");
        check(4_107_542_400, 0, "2100-03-01T00-00-00.000000000Z");
        check(13_569_465_600, 0, "2400-01-01T00-00-00.000000000Z");
    }

    #[test]
    #[cfg(unix)]
    fn files_are_private_and_leave_no_temporary_behind() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_atomically(&path, "one").unwrap();
        write_atomically(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_directory_holds_no_key() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Directory::new(folder.path().join("absent")).scan().unwrap(), []);
    }
}
