//! The journal's file: whole lines, appended under a lock and brought to the disk, read by whoever follows.
//!
//! A file that has grown long is written anew beside the old one and put in its place; who follows sees that it is another file, and reads it
//! from its beginning.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::RegistryError;

const FILE: &str = "registry.jsonl";
/// The longest line, in bytes: a thing with its policy and certificates is far below.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Lines that the journal may have beyond four for each thing before it is written anew.
const SPARE_LINES_MAX: usize = 256;

/// A journal and how far it was read.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    reader: Mutex<Reader>,
}

#[derive(Debug)]
struct Reader {
    file: File,
    /// The end of the last whole line that was read.
    read_to: u64,
    /// The lines up to there.
    lines: usize,
}

/// The right to append; given back when dropped.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    path: &'a Path,
    file: File,
}

impl Journal {
    pub(super) fn open(folder: &Path) -> Result<Self, RegistryError> {
        create_private(folder).map_err(|error| RegistryError::io(folder, error))?;
        let path = folder.join(FILE);
        let io = |error| RegistryError::io(&path, error);
        // Made by whoever comes first; a reader needs no more than to read it.
        if !path.exists() {
            File::options().append(true).create(true).open(&path).map_err(io)?.sync_all().map_err(io)?;
        }
        let file = File::open(&path).map_err(io)?;
        Ok(Self { reader: Mutex::new(Reader { file, read_to: 0, lines: 0 }), path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the whole lines after the last one that was read; all of them where the journal was written anew.
    pub(super) fn read_new(&self) -> Result<Vec<String>, RegistryError> {
        let io = |error| RegistryError::io(&self.path, error);
        let mut reader = self.reader.lock();
        if !is_at(&reader.file, &self.path).map_err(io)? {
            *reader = Reader { file: File::open(&self.path).map_err(io)?, read_to: 0, lines: 0 };
        }
        if reader.file.metadata().map_err(io)?.len() <= reader.read_to {
            return Ok(Vec::new());
        }
        let from = reader.read_to;
        reader.file.seek(SeekFrom::Start(from)).map_err(io)?;
        let mut bytes = Vec::new();
        reader.file.read_to_end(&mut bytes).map_err(io)?;
        // A line without its end is being written, or was torn by a crash; the next writer cuts it off.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        reader.read_to += whole as u64;
        let text = std::str::from_utf8(&bytes[..whole])
            .map_err(|error| RegistryError::Damaged { path: self.path.clone(), cause: error.to_string() })?;
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        reader.lines += lines.len();
        Ok(lines)
    }

    /// Tells whether most of what was read is history that a journal of so many things can do without.
    pub(super) fn is_long(&self, things: usize) -> bool {
        self.reader.lock().lines > things.saturating_mul(4).saturating_add(SPARE_LINES_MAX)
    }

    /// Waits for the lock, and cuts off a torn last line.
    pub(super) fn lock(&self) -> Result<Writer<'_>, RegistryError> {
        let io = |error| RegistryError::io(&self.path, error);
        let mut file = loop {
            let file = File::options().read(true).append(true).open(&self.path).map_err(io)?;
            file.lock().map_err(io)?;
            // Whoever had the lock may have put another file in its place.
            if is_at(&file, &self.path).map_err(io)? {
                break file;
            }
        };
        let length = file.metadata().map_err(io)?.len();
        let tail_from = length.saturating_sub(LINE_BYTES_MAX as u64 + 1);
        file.seek(SeekFrom::Start(tail_from)).map_err(io)?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail).map_err(io)?;
        if tail.last().is_some_and(|last| *last != b'\n') {
            let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
            file.set_len(tail_from + whole as u64).map_err(io)?;
        }
        Ok(Writer { path: &self.path, file })
    }
}

impl Writer<'_> {
    /// Appends a line and brings it to the disk.
    pub(super) fn append(&mut self, line: &str) -> Result<(), RegistryError> {
        if line.len() > LINE_BYTES_MAX || line.contains('\n') {
            let cause = format!("a line of {} bytes is too long", line.len());
            return Err(RegistryError::Damaged { path: self.path.to_owned(), cause });
        }
        let written = writeln!(self.file, "{line}").and_then(|()| self.file.sync_all());
        written.map_err(|error| RegistryError::io(self.path, error))
    }

    /// Puts a journal of these lines in the old one's place; a crash leaves the one or the other. The lock is on the old one, and ends here.
    #[cfg(unix)]
    pub(super) fn write_anew(self, lines: impl Iterator<Item = String>) -> Result<(), RegistryError> {
        let text: String = lines.flat_map(|line| [line, "\n".to_owned()]).collect();
        write_file(self.path, text.as_bytes(), Private::No)
    }
}

/// Tells whether an open file is still the one at this path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (open, there) = (file.metadata()?, fs::metadata(path)?);
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}

/// Elsewhere a file that is open keeps its place, so the journal is never written anew.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> std::io::Result<bool> {
    Ok(true)
}

/// Makes a folder that its owner alone can read: keys lie in it.
pub(super) fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Writes a file whole or not at all; a private one is for its owner alone.
pub(super) fn write_file(path: &Path, bytes: &[u8], is_private: Private) -> Result<(), RegistryError> {
    let io = |error| RegistryError::io(path, error);
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.new"));
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(if is_private == Private::Yes { 0o600 } else { 0o644 });
    }
    let mut file = options.open(&new).map_err(io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(&new, path).map_err(io)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

/// Says who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Private {
    Yes,
    No,
}
