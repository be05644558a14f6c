//! Mutations of RLP: of the tree that bytes say, and of the bytes themselves. A seed decides everything.

use rand::Rng;
use rand::rngs::StdRng;

/// Draws a number below `end`, which is not 0.
pub(crate) fn below(rng: &mut StdRng, end: usize) -> usize {
    usize::try_from(rng.next_u64() % u64::try_from(end).unwrap()).unwrap()
}

/// An RLP item with everything in it.
#[derive(Clone)]
enum Item {
    String(Vec<u8>),
    List(Vec<Item>),
}

impl Item {
    /// Reads what is RLP; `None` where it is not.
    fn read(item: &rlp::Rlp<'_>, depth: usize) -> Option<Self> {
        if item.is_list() && depth < 16 {
            return item.iter().map(|item| Self::read(&item, depth + 1)).collect::<Option<_>>().map(Self::List);
        }
        item.data().ok().map(|data| Self::String(data.to_vec()))
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::String(data) if data.len() == 1 && data[0] < 0x80 => out.push(data[0]),
            Self::String(data) => {
                prefix(out, 0x80, data.len());
                out.extend_from_slice(data);
            }
            Self::List(items) => {
                let mut payload = Vec::new();
                items.iter().for_each(|item| item.write(&mut payload));
                prefix(out, 0xc0, payload.len());
                out.extend(payload);
            }
        }
    }

    /// Goes to some item within.
    fn some(&mut self, rng: &mut StdRng) -> &mut Self {
        let count = if let Self::List(items) = &*self { items.len() } else { 0 };
        if count == 0 || below(rng, 4) == 0 {
            return self;
        }
        let index = below(rng, count);
        match self {
            Self::List(items) => items[index].some(rng),
            Self::String(_) => unreachable!("a string holds no items"),
        }
    }
}

fn prefix(out: &mut Vec<u8>, base: u8, length: usize) {
    if length < 56 {
        out.push(base + u8::try_from(length).unwrap());
        return;
    }
    let bytes = length.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte > 0).unwrap();
    out.push(base + 55 + u8::try_from(bytes.len() - first).unwrap());
    out.extend_from_slice(&bytes[first..]);
}

/// Strings that decoders may stumble over.
fn odd_string(rng: &mut StdRng) -> Vec<u8> {
    let length = [0, 1, 2, 8, 9, 20, 31, 32, 33, 64, 65, 66, 255, 256, 1025, 70_000][below(rng, 16)];
    let byte = [0, 1, 0x7f, 0x80, 0xff][below(rng, 5)];
    vec![byte; length]
}

/// Changes the tree of a message in one place; `other` is another message, of which a part may be taken.
fn change_tree(message: &[u8], other: &[u8], rng: &mut StdRng) -> Option<Vec<u8>> {
    let mut tree = Item::read(&rlp::Rlp::new(message), 0)?;
    let donor = Item::read(&rlp::Rlp::new(other), 0).map(|mut donor| donor.some(rng).clone());
    let place = tree.some(rng);
    match (below(rng, 9), &mut *place) {
        (0, Item::List(items)) if !items.is_empty() => {
            let index = below(rng, items.len());
            items.remove(index);
        }
        (1, Item::List(items)) if !items.is_empty() => {
            let (from, to) = (below(rng, items.len()), below(rng, items.len()));
            items.swap(from, to);
        }
        (2, Item::List(items)) if !items.is_empty() => {
            let index = below(rng, items.len());
            let again = vec![items[index].clone(); [1, 2, 200][below(rng, 3)]];
            items.extend(again);
        }
        (3, place) => *place = Item::List(vec![place.clone()]),
        (4, place) => *place = Item::List(Vec::new()),
        (5, place) => {
            let deep =
                (0..[2, 20, 2000][below(rng, 3)]).fold(Item::List(Vec::new()), |inner, _| Item::List(vec![inner]));
            *place = deep;
        }
        (6, place) => *place = donor?,
        (_, place) => *place = Item::String(odd_string(rng)),
    }
    let mut out = Vec::new();
    tree.write(&mut out);
    Some(out)
}

/// Changes the bytes of a message in one place.
fn change_bytes(message: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut out = message.to_vec();
    let at = below(rng, out.len());
    match below(rng, 7) {
        0 => out[at] ^= 1 << below(rng, 8),
        1 => out[at] = [0, 0x7f, 0x80, 0x81, 0xb7, 0xb8, 0xbf, 0xc0, 0xf7, 0xf8, 0xff][below(rng, 11)],
        2 => out.truncate(at),
        3 => {
            out.remove(at);
        }
        4 => out.insert(at, rng.next_u64().to_be_bytes()[0]),
        // A promise of more than there is, up to 2^64 bytes.
        5 => {
            let promise = [&[[0xb8, 0xbb, 0xbf, 0xf8, 0xfb, 0xff][below(rng, 6)]][..], &rng.next_u64().to_be_bytes()];
            out.splice(at..at, promise.concat());
        }
        _ => out.extend((0..below(rng, 40)).map(|_| rng.next_u64().to_be_bytes()[0])),
    }
    out
}

/// Mutates a message one to four times; `other` is another one, of which parts may be taken.
pub(crate) fn mutate(message: &[u8], other: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut out = message.to_vec();
    for _ in 0..=below(rng, 4) {
        let changed = if below(rng, 2) == 0 { change_tree(&out, other, rng) } else { None };
        out = match changed {
            Some(changed) => changed,
            None if out.is_empty() => vec![rng.next_u64().to_be_bytes()[0]],
            None => change_bytes(&out, rng),
        };
    }
    out
}
