//! What one peer asks of another.

use alloy_primitives::B256;
use rlp::{Rlp, RlpStream};

use super::codec::{self, DecodeError, Wire};
use super::limits::{
    ANNOUNCED_TRANSACTIONS_MAX, BODIES_MAX, CODES_MAX, HEADER_BYTES_MAX, HEADERS_MAX, LOCATOR_MAX, POOL_NOTICES_MAX,
    REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX, RESPONSE_BYTES_SOFT, STATE_ROW_BYTES_MAX, STATE_ROWS_MAX, STATUS_BYTES_MAX,
    TRANSACTION_BYTES_MAX, TRANSACTIONS_MAX,
};
use super::status::Status;

/// A request; each kind is answered by the response of the same name, or by a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Tells the sender's status and asks for the receiver's.
    Status(Box<Status>),
    /// Asks for canonical headers after the first hash of the locator that is canonical at the receiver.
    Headers {
        /// Block hashes of the sender's chain, newest first, the genesis block last.
        locator: Vec<B256>,
        /// How many headers are wanted at most.
        count: u64,
    },
    /// Asks for the bodies of blocks of any branch.
    Bodies(Vec<B256>),
    /// Asks for transactions in the pool.
    Transactions(Vec<B256>),
    /// Asks for transactions of a block that the receiver has announced.
    BlockTransactions {
        /// The block.
        block: B256,
        /// The hashes of the transactions; none: all are wanted.
        transactions: Vec<B256>,
    },
    /// Asks what is in the pool.
    Pool,
    /// Asks for accounts of the state at the end of a canonical block.
    Accounts {
        /// The block.
        block: B256,
        /// The first keccak256 of an address that is wanted.
        from: B256,
    },
    /// Asks for storage slots of one account of the state at the end of a canonical block.
    Slots {
        /// The block.
        block: B256,
        /// keccak256 of the account's address.
        account: B256,
        /// The first keccak256 of a slot's number that is wanted.
        from: B256,
    },
    /// Asks for codes by their hashes.
    Codes(Vec<B256>),
}

impl Request {
    /// Returns the request's bytes.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes a request.
    ///
    /// # Errors
    /// The bytes are none, or above a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, REQUEST_BYTES_MAX)
    }

    /// Returns the longest response to a request of these bytes, in bytes, by its kind, and how many headers it asks for: who is asked for
    /// a status need not be listened to for as long as who is asked for the body of a block.
    pub fn response_bytes_max(request: &[u8]) -> usize {
        /// What stands around an item, and around all of them.
        const AROUND: usize = 16;
        const WITNESS: usize = 65;
        const NOTICE: usize = 64;
        const HASH: usize = 32;
        let request = Rlp::new(request);
        let kind = request.at(0).ok().and_then(|kind| codec::number(&kind, "kind").ok());
        let headers = || {
            let count = request.at(1).and_then(|content| content.at(1)).ok();
            let count = count.and_then(|count| codec::number(&count, "count").ok()).unwrap_or(u64::MAX);
            usize::try_from(count).map_or(HEADERS_MAX, |count| count.min(HEADERS_MAX))
        };
        match kind {
            Some(0) => STATUS_BYTES_MAX,
            Some(1) => headers() * (HEADER_BYTES_MAX + WITNESS + AROUND) + AROUND,
            Some(3) => RESPONSE_BYTES_SOFT + TRANSACTION_BYTES_MAX + TRANSACTIONS_MAX * AROUND,
            Some(5) => POOL_NOTICES_MAX * NOTICE + AROUND,
            Some(6 | 7) => STATE_ROWS_MAX * (HASH + STATE_ROW_BYTES_MAX + AROUND) + AROUND,
            // Bodies, the transactions of a block, and codes, of which one alone may be long.
            _ => RESPONSE_BYTES_MAX,
        }
    }

    /// Returns the request's name, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Headers { .. } => "headers",
            Self::Bodies(_) => "bodies",
            Self::Transactions(_) => "transactions",
            Self::BlockTransactions { .. } => "block transactions",
            Self::Pool => "pool",
            Self::Accounts { .. } => "accounts",
            Self::Slots { .. } => "slots",
            Self::Codes(_) => "codes",
        }
    }
}

impl Wire for Request {
    fn append(&self, out: &mut RlpStream) {
        let kind = |out: &mut RlpStream, kind: u64| {
            out.begin_list(2).append(&kind);
        };
        match self {
            Self::Status(status) => {
                kind(out, 0);
                status.append(out);
            }
            Self::Headers { locator, count } => {
                kind(out, 1);
                out.begin_list(2);
                codec::append_hashes(out, locator);
                out.append(count);
            }
            Self::Bodies(hashes) => {
                kind(out, 2);
                codec::append_hashes(out, hashes);
            }
            Self::Transactions(hashes) => {
                kind(out, 3);
                codec::append_hashes(out, hashes);
            }
            Self::BlockTransactions { block, transactions } => {
                kind(out, 4);
                out.begin_list(2);
                codec::append_hash(out, *block);
                codec::append_hashes(out, transactions);
            }
            Self::Pool => {
                kind(out, 5);
                out.begin_list(0);
            }
            Self::Accounts { block, from } => {
                kind(out, 6);
                codec::append_hashes(out, &[*block, *from]);
            }
            Self::Slots { block, account, from } => {
                kind(out, 7);
                codec::append_hashes(out, &[*block, *account, *from]);
            }
            Self::Codes(hashes) => {
                kind(out, 8);
                codec::append_hashes(out, hashes);
            }
        }
    }

    fn read(item: &Rlp<'_>) -> Result<Self, DecodeError> {
        let [kind, content] = codec::fields(item, "request")?;
        match codec::number(&kind, "kind")? {
            0 => Ok(Self::Status(Box::new(Status::read(&content)?))),
            1 => {
                let [locator, count] = codec::fields(&content, "headers")?;
                let count = codec::number(&count, "count")?;
                let max = u64::try_from(HEADERS_MAX).unwrap_or(u64::MAX);
                if count > max {
                    return Err(codec::malformed("count", format!("{count} headers, at most {max}")));
                }
                Ok(Self::Headers { locator: codec::hashes(&locator, "locator", LOCATOR_MAX)?, count })
            }
            2 => Ok(Self::Bodies(codec::hashes(&content, "bodies", BODIES_MAX)?)),
            3 => Ok(Self::Transactions(codec::hashes(&content, "transactions", TRANSACTIONS_MAX)?)),
            4 => {
                let [block, transactions] = codec::fields(&content, "block transactions")?;
                let transactions = codec::hashes(&transactions, "transactions", ANNOUNCED_TRANSACTIONS_MAX)?;
                Ok(Self::BlockTransactions { block: codec::hash(&block, "block")?, transactions })
            }
            5 => codec::fields::<0>(&content, "pool").map(|_| Self::Pool),
            6 => {
                let [block, from] = codec::fields(&content, "accounts")?;
                Ok(Self::Accounts { block: codec::hash(&block, "block")?, from: codec::hash(&from, "from")? })
            }
            7 => {
                let [block, account, from] = codec::fields(&content, "slots")?;
                Ok(Self::Slots {
                    block: codec::hash(&block, "block")?,
                    account: codec::hash(&account, "account")?,
                    from: codec::hash(&from, "from")?,
                })
            }
            8 => Ok(Self::Codes(codec::hashes(&content, "codes", CODES_MAX)?)),
            other => Err(DecodeError::UnknownKind(other)),
        }
    }
}
