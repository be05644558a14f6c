//! Files of blocks, plain or, as in geth, compressed where the name ends in `.gz`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// The first bytes of a compressed file (RFC 1952, section 2.3.1); no block begins so.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file that blocks are written to.
pub(super) enum BlockWriter {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl BlockWriter {
    /// Writes to `file`, whose name will be `name`.
    pub(super) fn new(file: File, name: &Path) -> Self {
        let out = BufWriter::new(file);
        match name.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("gz")) {
            true => Self::Gzip(Box::new(GzEncoder::new(out, Compression::default()))),
            false => Self::Plain(out),
        }
    }

    /// Brings everything to the disk.
    pub(super) fn finish(self) -> io::Result<()> {
        let mut out = match self {
            Self::Plain(out) => out,
            Self::Gzip(out) => out.finish()?,
        };
        out.flush()?;
        out.get_ref().sync_all()
    }
}

impl Write for BlockWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(out) => out.flush(),
        }
    }
}

/// A file that blocks are read from.
pub(super) struct BlockReader {
    /// The blocks.
    pub(super) input: Box<dyn Read + Send>,
    /// How many bytes of a compressed file were read; none: it is not compressed.
    pub(super) compressed: Option<Arc<AtomicU64>>,
}

impl BlockReader {
    /// Reads `file`; what is in it tells whether it is compressed.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let mut input = BufReader::new(Counted { file, read: Arc::clone(&read) });
        if !input.fill_buf()?.starts_with(&GZIP) {
            return Ok(Self { input: Box::new(input), compressed: None });
        }
        Ok(Self { input: Box::new(BufReader::new(MultiGzDecoder::new(input))), compressed: Some(read) })
    }
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_names_that_end_in_gz_are_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let content = vec![0xc0; 100_000];
        for (name, is_small) in [("a.rlp", false), ("a.rlp.gz", true), ("B.GZ", true)] {
            let path = folder.path().join(name);
            let mut out = BlockWriter::new(File::create(&path).unwrap(), &path);
            out.write_all(&content).unwrap();
            out.finish().unwrap();
            let size = std::fs::metadata(&path).unwrap().len();
            assert_eq!(size < 10_000, is_small, "{name} has {size} bytes");
            let mut reader = BlockReader::new(File::open(&path).unwrap()).unwrap();
            let mut read = Vec::new();
            reader.input.read_to_end(&mut read).unwrap();
            assert!(read == content, "{name}");
            assert_eq!(reader.compressed.map(|read| read.load(Ordering::Relaxed)), is_small.then_some(size));
        }
    }
}
