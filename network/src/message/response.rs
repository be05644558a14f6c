//! What a peer answers.

use alloy_primitives::B256;
use consensus::{Header, Witness};
use rlp::{Rlp, RlpStream};

use super::codec::{self, DecodeError, Wire};
use super::gossip::Notice;
use super::limits::{
    BLOCK_TRANSACTIONS_MAX, BODIES_MAX, CODES_MAX, HEADERS_MAX, POOL_NOTICES_MAX, REFUSAL_BYTES_MAX,
    RESPONSE_BYTES_MAX, STATE_ROW_BYTES_MAX, STATE_ROWS_MAX,
};
use super::status::Status;

/// A header with what travels beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessedHeader {
    /// The header.
    pub header: Header,
    /// The beneficiary's signature, where the chain names miners.
    pub witness: Option<Witness>,
}

/// Holds a piece of the state, in ascending order of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChunk {
    /// Hashed key and row: an account's RLP, or a slot's value without leading zeros.
    pub rows: Vec<(B256, Vec<u8>)>,
    /// Whether nothing follows the last row.
    pub is_last: bool,
}

/// A response, of the kind of its request. What the sender lacks is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The sender's status.
    Status(Box<Status>),
    /// Canonical headers, ascending; empty: the locator's first known hash is the sender's head, or none is known.
    Headers(Vec<WitnessedHeader>),
    /// The RLP of bodies (transactions, ommers, withdrawals) for the first of the requested blocks, up to the first that is missing.
    Bodies(Vec<Vec<u8>>),
    /// The EIP-2718 encodings of those of the transactions that the sender has, in the order of the request.
    Transactions(Vec<Vec<u8>>),
    /// The same of a block's transactions.
    BlockTransactions(Vec<Vec<u8>>),
    /// The executable transactions of the pool.
    Pool(Vec<Notice>),
    /// Accounts.
    Accounts(StateChunk),
    /// Slots.
    Slots(StateChunk),
    /// Codes, in the order of the request, up to the first that is missing.
    Codes(Vec<Vec<u8>>),
    /// The request is not answered, and why. Nobody is to blame.
    Refused(String),
}

impl Response {
    /// Returns the response's bytes.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes a response.
    ///
    /// # Errors
    /// The bytes are none, or above a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, RESPONSE_BYTES_MAX)
    }
}

impl Wire for WitnessedHeader {
    fn append(&self, out: &mut RlpStream) {
        out.begin_list(2);
        codec::append_header(out, &self.header);
        codec::append_witness(out, self.witness.as_ref());
    }

    fn read(item: &Rlp<'_>) -> Result<Self, DecodeError> {
        let [header, witness] = codec::fields(item, "header")?;
        Ok(Self { header: codec::header(&header)?, witness: codec::witness(&witness)? })
    }
}

impl Wire for StateChunk {
    fn append(&self, out: &mut RlpStream) {
        out.begin_list(2).begin_list(self.rows.len());
        for (key, row) in &self.rows {
            out.begin_list(2);
            codec::append_hash(out, *key);
            out.append(row);
        }
        out.append(&u8::from(self.is_last));
    }

    fn read(item: &Rlp<'_>) -> Result<Self, DecodeError> {
        let [rows, is_last] = codec::fields(item, "chunk")?;
        let rows = codec::items(&rows, "rows", STATE_ROWS_MAX, |item| {
            let [key, row] = codec::fields(item, "row")?;
            Ok((codec::hash(&key, "key")?, codec::bytes(&row, "row", STATE_ROW_BYTES_MAX)?.to_vec()))
        })?;
        match codec::number(&is_last, "end")? {
            0 => Ok(Self { rows, is_last: false }),
            1 => Ok(Self { rows, is_last: true }),
            _ => Err(codec::malformed("end", "neither 0 nor 1")),
        }
    }
}

/// The number of each kind; requests have the same.
const REFUSED: u64 = 9;

impl Wire for Response {
    fn append(&self, out: &mut RlpStream) {
        let kind = |out: &mut RlpStream, kind: u64| {
            out.begin_list(2).append(&kind);
        };
        match self {
            Self::Status(status) => {
                kind(out, 0);
                status.append(out);
            }
            Self::Headers(headers) => {
                kind(out, 1);
                codec::append_all(out, headers);
            }
            Self::Bodies(bodies) => {
                kind(out, 2);
                out.begin_list(bodies.len());
                bodies.iter().for_each(|body| {
                    out.append_raw(body, 1);
                });
            }
            Self::Transactions(transactions) => {
                kind(out, 3);
                codec::append_strings(out, transactions);
            }
            Self::BlockTransactions(transactions) => {
                kind(out, 4);
                codec::append_strings(out, transactions);
            }
            Self::Pool(notices) => {
                kind(out, 5);
                codec::append_all(out, notices);
            }
            Self::Accounts(chunk) => {
                kind(out, 6);
                chunk.append(out);
            }
            Self::Slots(chunk) => {
                kind(out, 7);
                chunk.append(out);
            }
            Self::Codes(codes) => {
                kind(out, 8);
                codec::append_strings(out, codes);
            }
            Self::Refused(reason) => {
                kind(out, REFUSED);
                out.append(&reason.as_bytes());
            }
        }
    }

    fn length_hint(&self) -> usize {
        /// The lengths of an item and of the lists around it.
        const PREFIX: usize = 9;
        match self {
            Self::Bodies(items) | Self::Transactions(items) | Self::BlockTransactions(items) | Self::Codes(items) => {
                items.iter().map(|item| item.len() + PREFIX).sum::<usize>() + 4 * PREFIX
            }
            _ => 0,
        }
    }

    fn read(item: &Rlp<'_>) -> Result<Self, DecodeError> {
        let [kind, content] = codec::fields(item, "response")?;
        match codec::number(&kind, "kind")? {
            0 => Ok(Self::Status(Box::new(Status::read(&content)?))),
            1 => Ok(Self::Headers(codec::read_all(&content, "headers", HEADERS_MAX)?)),
            2 => {
                let bodies = codec::items(&content, "bodies", BODIES_MAX, |body| Ok(body.as_raw().to_vec()))?;
                Ok(Self::Bodies(bodies))
            }
            3 => Ok(Self::Transactions(codec::strings(
                &content,
                "transactions",
                BLOCK_TRANSACTIONS_MAX,
                RESPONSE_BYTES_MAX,
            )?)),
            4 => Ok(Self::BlockTransactions(codec::strings(
                &content,
                "transactions",
                BLOCK_TRANSACTIONS_MAX,
                RESPONSE_BYTES_MAX,
            )?)),
            5 => Ok(Self::Pool(codec::read_all(&content, "pool", POOL_NOTICES_MAX)?)),
            6 => Ok(Self::Accounts(StateChunk::read(&content)?)),
            7 => Ok(Self::Slots(StateChunk::read(&content)?)),
            8 => Ok(Self::Codes(codec::strings(&content, "codes", CODES_MAX, RESPONSE_BYTES_MAX)?)),
            REFUSED => Ok(Self::Refused(codec::text(&content, "reason", REFUSAL_BYTES_MAX)?)),
            other => Err(DecodeError::UnknownKind(other)),
        }
    }
}
