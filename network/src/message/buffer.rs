//! The bytes of a message as they came.

use std::fmt;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// From how many bytes on a message lies in pages of its own.
const LONG_BYTES: usize = 256 * 1024;

/// The bytes of a message. A long one lies in pages of its own, which are taken from the system as they are written and go back to it with
/// the message: what an allocator keeps of one long message is not there for the next one, which comes on another thread.
pub struct Buffer(Kind);

enum Kind {
    Short(Vec<u8>),
    Long(MmapMut),
}

impl Buffer {
    /// Returns so many zeros.
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        // Where the system gives no pages the allocator may still have some.
        let pages = if length < LONG_BYTES { None } else { MmapMut::map_anon(length).ok() };
        Self(pages.map_or_else(|| Kind::Short(vec![0; length]), Kind::Long))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kind::Short(bytes) => bytes,
            Kind::Long(pages) => pages,
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Kind::Short(bytes) => bytes,
            Kind::Long(pages) => pages,
        }
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Kind::Short(bytes))
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_ones_begin_as_zeros_and_take_what_is_written() {
        for length in [0, 1, LONG_BYTES - 1, LONG_BYTES, LONG_BYTES + 1] {
            let mut buffer = Buffer::zeroed(length);
            assert!(buffer.len() == length && buffer.iter().all(|byte| *byte == 0));
            assert_eq!(matches!(buffer.0, Kind::Long(_)), length >= LONG_BYTES);
            buffer.fill(7);
            assert!(buffer.iter().all(|byte| *byte == 7));
        }
    }
}
