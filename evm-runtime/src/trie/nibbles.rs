//! Nibble paths, and their packed form inside leaves and extensions (hex prefix encoding, Yellow Paper, appendix C).

use alloy_primitives::B256;
use std::fmt::Write;

/// Nibbles of a hashed key.
pub(super) const HASH_NIBBLES: usize = 64;

/// Writes the 64 nibbles of `hash` to `path`.
pub(super) fn unpack_hash(hash: &B256, path: &mut [u8]) {
    for (pair, byte) in path.chunks_exact_mut(2).zip(hash) {
        pair[0] = byte >> 4;
        pair[1] = byte & 0x0f;
    }
}

/// Returns how many nibbles `a` and `b` share at their beginning.
pub(super) fn common_length(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Writes a path as hexadecimal digits, for error texts.
pub(super) fn display(path: &[u8]) -> String {
    let mut text = String::from("0x");
    for nibble in path {
        write!(text, "{nibble:x}").expect("a string grows");
    }
    text
}

/// Packed nibbles as they stand in a leaf or extension, the flags taken off.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    /// The nibble that shares its byte with the flags, where their number is odd.
    odd: Option<u8>,
    pairs: &'a [u8],
}

impl<'a> Packed<'a> {
    /// Reads the flags: returns whether it is a leaf, and the nibbles.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<(bool, Self)> {
        let (&first, pairs) = bytes.split_first()?;
        let odd = match first & 0xd0 {
            0x00 if first & 0x0f == 0 => None,
            0x10 => Some(first & 0x0f),
            _ => return None,
        };
        Some((first & 0x20 != 0, Self { odd, pairs }))
    }

    /// Tells whether there are no nibbles.
    pub(super) fn is_empty(self) -> bool {
        self.odd.is_none() && self.pairs.is_empty()
    }

    /// Tells whether these are the nibbles of `path`.
    pub(super) fn equals(self, path: &[u8]) -> bool {
        let rest = match (self.odd, path.split_first()) {
            (None, _) => path,
            (Some(odd), Some((first, rest))) if odd == *first => rest,
            (Some(_), _) => return false,
        };
        rest.len() == self.pairs.len() * 2
            && rest.chunks_exact(2).zip(self.pairs).all(|(pair, byte)| pair[0] == byte >> 4 && pair[1] == byte & 0x0f)
    }

    /// Returns `path` with these nibbles behind it.
    pub(super) fn append_to(self, path: &[u8]) -> Vec<u8> {
        let mut whole = Vec::with_capacity(path.len() + 1 + self.pairs.len() * 2);
        whole.extend_from_slice(path);
        whole.extend(self.odd);
        whole.extend(self.pairs.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]));
        whole
    }
}

/// Returns the length of the packed form of `count` nibbles.
pub(super) fn packed_length(count: usize) -> usize {
    count / 2 + 1
}

/// Appends the packed form of `path` to `out`.
pub(super) fn pack(path: &[u8], is_leaf: bool, out: &mut Vec<u8>) {
    let kind = if is_leaf { 0x20 } else { 0x00 };
    let pairs = if path.len() % 2 == 1 {
        out.push(kind | 0x10 | path[0]);
        &path[1..]
    } else {
        out.push(kind);
        path
    };
    out.extend(pairs.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn packed_paths_come_back() {
        for path in [&[][..], &[1], &[1, 2], &[15, 0, 15], &[0, 0, 0, 0]] {
            for is_leaf in [true, false] {
                let mut bytes = Vec::new();
                pack(path, is_leaf, &mut bytes);
                assert_eq!(bytes.len(), packed_length(path.len()));
                let (kind, packed) = Packed::decode(&bytes).unwrap();
                assert_eq!((kind, packed.append_to(&[])), (is_leaf, path.to_vec()));
                assert!(packed.equals(path));
                assert!(!packed.equals(&[path, &[3]].concat()));
                assert_eq!(packed.is_empty(), path.is_empty());
                if let Some((_, shorter)) = path.split_last() {
                    assert!(!packed.equals(shorter));
                }
            }
        }
    }

    #[test]
    fn wrong_flags_do_not_decode() {
        for bytes in [&[][..], &[0x01], &[0x2f], &[0x40], &[0x80, 1], &[0xf0]] {
            assert!(Packed::decode(bytes).is_none(), "{bytes:?}");
        }
    }
}
