//! Nodes: decoding without copies, encoding into one buffer.

use super::nibbles::{self, Packed};
use alloy_primitives::B256;
use alloy_rlp::{Encodable, Header};

/// What stands in a branch where there is no child, and where a value is absent: the empty string.
pub(super) const EMPTY_ITEM: &[u8] = &[0x80];
/// Encoded nodes of this length or longer are named by their hash.
pub(super) const HASHED_BYTES: usize = 32;
/// A hash as an item: a string of 32 bytes.
const HASH_ITEM_BYTES: usize = 33;
const HASH_ITEM_PREFIX: u8 = 0xa0;

/// How a parent names a child, encoded as it stands in the parent: nothing, the child's hash, or the short child itself.
#[derive(Clone, Copy)]
pub(super) struct Item {
    bytes: [u8; HASH_ITEM_BYTES],
    length: usize,
}

impl Item {
    pub(super) const EMPTY: Self = Self { bytes: [0x80; HASH_ITEM_BYTES], length: 1 };

    pub(super) fn hash(hash: &B256) -> Self {
        let mut bytes = [HASH_ITEM_PREFIX; HASH_ITEM_BYTES];
        bytes[1..].copy_from_slice(hash.as_slice());
        Self { bytes, length: HASH_ITEM_BYTES }
    }

    /// Copies an item of at most 33 bytes, as all items of a decoded node are.
    pub(super) fn copy(item: &[u8]) -> Self {
        let mut bytes = [0; HASH_ITEM_BYTES];
        bytes[..item.len()].copy_from_slice(item);
        Self { bytes, length: item.len() }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Tells whether an item names a stored node.
pub(super) fn is_hash(item: &[u8]) -> bool {
    item.len() == HASH_ITEM_BYTES
}

/// A decoded node: slices of its encoding.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack for one step of the descent; a box would be an allocation a node"
)]
pub(super) enum Node<'a> {
    /// The rest of the key, and the value.
    Leaf { suffix: Packed<'a>, value: &'a [u8] },
    /// The nibbles down to the branch below, and how it is named.
    Extension { key: Packed<'a>, child: &'a [u8] },
    /// The children's items, and the value of the key that ends here (empty: none).
    Branch { children: [&'a [u8]; 16], value: &'a [u8] },
}

/// Decodes a node; `None` where the bytes are none.
pub(super) fn decode(encoded: &[u8]) -> Option<Node<'_>> {
    let mut rest = encoded;
    let header = Header::decode(&mut rest).ok()?;
    if !header.list || header.payload_length != rest.len() {
        return None;
    }
    let first = next_item(&mut rest)?;
    let second = next_item(&mut rest)?;
    if rest.is_empty() {
        return decode_short(first, second);
    }
    let mut children = [EMPTY_ITEM; 16];
    children[0] = as_child(first)?;
    children[1] = as_child(second)?;
    for child in &mut children[2..] {
        *child = as_child(next_item(&mut rest)?)?;
    }
    let value = as_string(next_item(&mut rest)?)?;
    rest.is_empty().then_some(Node::Branch { children, value })
}

fn decode_short<'a>(key: &'a [u8], second: &'a [u8]) -> Option<Node<'a>> {
    let (is_leaf, key) = Packed::decode(as_string(key)?)?;
    if is_leaf {
        return Some(Node::Leaf { suffix: key, value: as_string(second)? });
    }
    let child = as_child(second)?;
    (!key.is_empty() && child != EMPTY_ITEM).then_some(Node::Extension { key, child })
}

/// Takes the next whole item, header included, off `rest`.
fn next_item<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let start = *rest;
    let length = match *start.first()? {
        HASH_ITEM_PREFIX => HASH_ITEM_BYTES,
        0x80 => 1,
        _ => {
            let mut payload = start;
            let header = Header::decode(&mut payload).ok()?;
            start.len() - payload.len() + header.payload_length
        }
    };
    let (item, after) = start.split_at_checked(length)?;
    *rest = after;
    Some(item)
}

/// Checks that an item can name a child.
fn as_child(item: &[u8]) -> Option<&[u8]> {
    let is_short_node = item.first().is_some_and(|byte| *byte >= 0xc0) && item.len() < HASHED_BYTES;
    let is_child = item == EMPTY_ITEM || is_short_node || (item[0] == HASH_ITEM_PREFIX && is_hash(item));
    is_child.then_some(item)
}

/// Returns the payload of a string item.
fn as_string(item: &[u8]) -> Option<&[u8]> {
    let mut payload = item;
    let header = Header::decode(&mut payload).ok()?;
    (!header.list && header.payload_length == payload.len()).then_some(payload)
}

/// Encodes a leaf into `out`, which is cleared first.
pub(super) fn encode_leaf(suffix: &[u8], value: &[u8], out: &mut Vec<u8>) {
    begin_short(suffix, value.length(), out);
    push_packed(suffix, true, out);
    value.encode(out);
}

/// Encodes an extension into `out`, which is cleared first.
pub(super) fn encode_extension(key: &[u8], child: &Item, out: &mut Vec<u8>) {
    begin_short(key, child.as_slice().len(), out);
    push_packed(key, false, out);
    out.extend_from_slice(child.as_slice());
}

/// Encodes a branch into `out`, which is cleared first.
pub(super) fn encode_branch(children: &[&[u8]; 16], value: &[u8], out: &mut Vec<u8>) {
    let payload_length = children.iter().map(|child| child.len()).sum::<usize>() + value.length();
    begin(payload_length, out);
    for child in children {
        out.extend_from_slice(child);
    }
    value.encode(out);
}

fn begin_short(key: &[u8], second_length: usize, out: &mut Vec<u8>) {
    let packed = nibbles::packed_length(key.len());
    // A single packed byte is its own encoding, since the flags are below 0x80.
    let key_length = if packed == 1 { 1 } else { packed + alloy_rlp::length_of_length(packed) };
    begin(key_length + second_length, out);
}

fn begin(payload_length: usize, out: &mut Vec<u8>) {
    out.clear();
    Header { list: true, payload_length }.encode(out);
}

fn push_packed(key: &[u8], is_leaf: bool, out: &mut Vec<u8>) {
    let packed = nibbles::packed_length(key.len());
    if packed > 1 {
        Header { list: false, payload_length: packed }.encode(out);
    }
    nibbles::pack(key, is_leaf, out);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn nibble_path() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0_u8..16, 0..150)
    }

    fn item() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(EMPTY_ITEM.to_vec()),
            any::<[u8; 32]>().prop_map(|hash| Item::hash(&hash.into()).as_slice().to_vec()),
            (nibble_path(), any::<u8>()).prop_filter_map("short", |(path, value)| {
                let mut node = Vec::new();
                encode_leaf(&path, &[value], &mut node);
                (node.len() < HASHED_BYTES).then_some(node)
            }),
        ]
    }

    proptest! {
        #[test]
        fn leaves_come_back(suffix in nibble_path(), value in prop::collection::vec(any::<u8>(), 1..100)) {
            let mut encoded = Vec::new();
            encode_leaf(&suffix, &value, &mut encoded);
            let Some(Node::Leaf { suffix: packed, value: decoded }) = decode(&encoded) else { panic!("no leaf") };
            prop_assert_eq!(packed.append_to(&[]), suffix);
            prop_assert_eq!(decoded, &value[..]);
        }

        #[test]
        fn branches_come_back(items in prop::collection::vec(item(), 16), value in prop::collection::vec(any::<u8>(), 0..100)) {
            let slices: [&[u8]; 16] = std::array::from_fn(|n| &items[n][..]);
            let mut encoded = Vec::new();
            encode_branch(&slices, &value, &mut encoded);
            let Some(Node::Branch { children, value: decoded }) = decode(&encoded) else { panic!("no branch") };
            prop_assert_eq!(children, slices);
            prop_assert_eq!(decoded, &value[..]);
        }

        #[test]
        fn extensions_come_back(key in prop::collection::vec(0_u8..16, 1..150), child in item()) {
            let mut encoded = Vec::new();
            encode_extension(&key, &Item::copy(&child), &mut encoded);
            match decode(&encoded) {
                Some(Node::Extension { key: packed, child: decoded }) => {
                    prop_assert_eq!(packed.append_to(&[]), key);
                    prop_assert_eq!(decoded, &child[..]);
                }
                Some(_) => panic!("another node"),
                None => prop_assert_eq!(&child[..], EMPTY_ITEM),
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), flip in 0_usize..600) {
            let _ = decode(&bytes);
            let mut encoded = Vec::new();
            encode_branch(&[Item::hash(&B256::ZERO).as_slice(); 16], &bytes, &mut encoded);
            let at = flip % encoded.len();
            encoded[at] = encoded[at].wrapping_add(77);
            let _ = decode(&encoded);
            encoded.truncate(at);
            prop_assert!(decode(&encoded).is_none());
        }
    }
}
