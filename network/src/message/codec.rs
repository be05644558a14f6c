//! How messages become bytes and come back: RLP, strictly. What decodes encodes to the very same bytes, so that a message has
//! one form and one id.

use alloy_primitives::{B256, U256};
use alloy_rlp::{Decodable, Encodable};
use bytes::BytesMut;
use consensus::{Header, Witness};
use rlp::{PayloadInfo, Rlp, RlpStream};

/// Says why bytes are no message; whoever sent them is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum DecodeError {
    #[error("message of {actual} bytes, at most {max}")]
    TooLong { max: usize, actual: usize },
    #[error("{what}: more than {max} items")]
    TooMany { what: &'static str, max: usize },
    #[error("{what}: {actual} bytes, at most {max}")]
    TooLarge { what: &'static str, max: usize, actual: usize },
    #[error("{what}: {problem}")]
    Malformed { what: &'static str, problem: String },
    #[error("message kind {0} is unknown")]
    UnknownKind(u64),
    #[error("not the canonical encoding of a message")]
    NotCanonical,
}

/// Makes the error for a field that is not what it must be.
pub(crate) fn malformed(what: &'static str, problem: impl ToString) -> DecodeError {
    DecodeError::Malformed { what, problem: problem.to_string() }
}

/// A value with one RLP form.
pub(crate) trait Wire: Sized {
    /// Appends the value as one item.
    fn append(&self, out: &mut RlpStream);
    /// Returns about how long the encoding is, at least where it is long.
    fn length_hint(&self) -> usize {
        0
    }
    /// Reads the value from one item.
    fn read(item: &Rlp<'_>) -> Result<Self, DecodeError>;
    /// Tells whether these bytes, of which the value was read, are its encoding.
    fn is_encoded_as(&self, bytes: &[u8]) -> bool {
        let mut again = RlpStream::new();
        self.append(&mut again);
        again.as_raw() == bytes
    }
}

/// Returns the encoding of a message.
pub(crate) fn encode<T: Wire>(message: &T) -> Vec<u8> {
    // A long message has its place at once: one that grows takes twice as much and as much again while it moves.
    let mut out = RlpStream::new_with_buffer(BytesMut::with_capacity(message.length_hint()));
    message.append(&mut out);
    out.out().into()
}

/// Decodes a message of at most `max` bytes.
pub(crate) fn decode<T: Wire>(bytes: &[u8], max: usize) -> Result<T, DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { max, actual: bytes.len() });
    }
    if bytes.is_empty() {
        // What is too long to be read, or about nothing that we listen to, comes here as nothing.
        return Err(malformed("message", "empty, longer than any of its kind, or of another topic"));
    }
    let whole = PayloadInfo::from(bytes).map_err(|error| malformed("message", error))?;
    if whole.header_len.checked_add(whole.value_len) != Some(bytes.len()) {
        return Err(malformed("message", "the length prefix says another length"));
    }
    let message = T::read(&Rlp::new(bytes))?;
    // The readers are lenient where RLP has two ways to write a thing; this is not.
    if message.is_encoded_as(bytes) { Ok(message) } else { Err(DecodeError::NotCanonical) }
}

/// Returns how many bytes stand before the items of a list that take `payload` bytes together.
pub(crate) fn prefix_bytes(payload: usize) -> usize {
    /// A list that is no longer says its length in its first byte.
    const SHORT_MAX: usize = 55;
    let length_bits = usize::BITS - payload.leading_zeros();
    if payload <= SHORT_MAX { 1 } else { 1 + usize::try_from(length_bits.div_ceil(8)).unwrap_or(usize::MAX) }
}

/// Reads the items of a list one after the other, at most `max`: no more is held than what `read` makes of them.
pub(crate) fn items<'a, T>(
    list: &Rlp<'a>,
    what: &'static str,
    max: usize,
    read: impl Fn(&Rlp<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    if !list.is_list() {
        return Err(malformed(what, "not a list"));
    }
    // How many there are beyond the limit is not even counted.
    let count = list.iter().take(max + 1).count();
    if count > max {
        return Err(DecodeError::TooMany { what, max });
    }
    // What is held for long takes no more than it is counted for.
    let mut found = Vec::with_capacity(count);
    for item in list.iter() {
        found.push(read(&item)?);
    }
    Ok(found)
}

/// Returns the items of a list of exactly `N`.
pub(crate) fn fields<'a, const N: usize>(list: &Rlp<'a>, what: &'static str) -> Result<[Rlp<'a>; N], DecodeError> {
    let found = items(list, what, N, |item| Ok(item.clone()))?;
    let actual = found.len();
    found.try_into().map_err(|_| malformed(what, format!("{actual} fields, expected {N}")))
}

/// Reads the bytes of a string of at most `max` bytes.
pub(crate) fn bytes<'a>(item: &Rlp<'a>, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
    if !item.is_data() {
        return Err(malformed(what, "not a string"));
    }
    let data = item.data().map_err(|error| malformed(what, error))?;
    if data.len() > max {
        return Err(DecodeError::TooLarge { what, max, actual: data.len() });
    }
    Ok(data)
}

/// Reads text of at most `max` bytes.
pub(crate) fn text(item: &Rlp<'_>, what: &'static str, max: usize) -> Result<String, DecodeError> {
    let bytes = bytes(item, what, max)?;
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| malformed(what, error))
}

/// Reads a number of at most 8 bytes.
pub(crate) fn number(item: &Rlp<'_>, what: &'static str) -> Result<u64, DecodeError> {
    let bytes = bytes(item, what, 8)?;
    Ok(bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
}

/// Reads a number of at most 32 bytes.
pub(crate) fn big_number(item: &Rlp<'_>, what: &'static str) -> Result<U256, DecodeError> {
    let bytes = bytes(item, what, 32)?;
    U256::try_from_be_slice(bytes).ok_or_else(|| malformed(what, "longer than 32 bytes"))
}

/// Appends a number without leading zeros.
pub(crate) fn append_big_number(out: &mut RlpStream, number: U256) {
    out.append(&number.to_be_bytes_trimmed_vec());
}

/// Reads a hash.
pub(crate) fn hash(item: &Rlp<'_>, what: &'static str) -> Result<B256, DecodeError> {
    let bytes = bytes(item, what, 32)?;
    B256::try_from(bytes).map_err(|_| malformed(what, format!("{} bytes, expected 32", bytes.len())))
}

/// Appends a hash.
pub(crate) fn append_hash(out: &mut RlpStream, hash: B256) {
    out.append(&hash.as_slice());
}

/// Reads a list of hashes.
pub(crate) fn hashes(list: &Rlp<'_>, what: &'static str, max: usize) -> Result<Vec<B256>, DecodeError> {
    items(list, what, max, |item| hash(item, what))
}

/// Appends a list of hashes.
pub(crate) fn append_hashes(out: &mut RlpStream, hashes: &[B256]) {
    out.begin_list(hashes.len());
    hashes.iter().for_each(|hash| append_hash(out, *hash));
}

/// Appends a list of values.
pub(crate) fn append_all<T: Wire>(out: &mut RlpStream, values: &[T]) {
    out.begin_list(values.len());
    values.iter().for_each(|value| value.append(out));
}

/// Reads a list of values.
pub(crate) fn read_all<T: Wire>(list: &Rlp<'_>, what: &'static str, max: usize) -> Result<Vec<T>, DecodeError> {
    items(list, what, max, T::read)
}

/// Appends a list of byte strings.
pub(crate) fn append_strings(out: &mut RlpStream, strings: &[Vec<u8>]) {
    out.begin_list(strings.len());
    strings.iter().for_each(|string| {
        out.append(string);
    });
}

/// Reads a list of byte strings, each of at most `bytes_max` bytes.
pub(crate) fn strings(
    list: &Rlp<'_>,
    what: &'static str,
    max: usize,
    bytes_max: usize,
) -> Result<Vec<Vec<u8>>, DecodeError> {
    items(list, what, max, |item| Ok(bytes(item, what, bytes_max)?.to_vec()))
}

/// Appends a header as Ethereum encodes it.
pub(crate) fn append_header(out: &mut RlpStream, header: &Header) {
    let mut raw = Vec::with_capacity(super::limits::HEADER_BYTES_MAX);
    header.encode(&mut raw);
    out.append_raw(&raw, 1);
}

/// Reads a header.
pub(crate) fn header(item: &Rlp<'_>) -> Result<Header, DecodeError> {
    const WHAT: &str = "header";
    let raw = item.as_raw();
    if raw.len() > super::limits::HEADER_BYTES_MAX {
        let (max, actual) = (super::limits::HEADER_BYTES_MAX, raw.len());
        return Err(DecodeError::TooLarge { what: WHAT, max, actual });
    }
    Header::decode(&mut &raw[..]).map_err(|error| malformed(WHAT, error))
}

/// Appends a witness, or an empty string.
pub(crate) fn append_witness(out: &mut RlpStream, witness: Option<&Witness>) {
    out.append(&witness.map(|witness| witness.to_bytes().to_vec()).unwrap_or_default());
}

/// Reads a witness or an empty string.
pub(crate) fn witness(item: &Rlp<'_>) -> Result<Option<Witness>, DecodeError> {
    const WHAT: &str = "witness";
    match bytes(item, WHAT, 65)? {
        [] => Ok(None),
        bytes => Witness::from_bytes(bytes).map(Some).map_err(|error| malformed(WHAT, error)),
    }
}
