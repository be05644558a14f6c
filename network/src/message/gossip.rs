//! What is told to everyone: new blocks, compactly, and new transactions, by name.

use alloy_primitives::{B256, Keccak256};
use consensus::{Header, RecoveredBlock, Witness};
use rlp::{Rlp, RlpStream};

use super::codec::{self, DecodeError, Wire};
use super::limits::{ANNOUNCED_TRANSACTIONS_MAX, GOSSIP_BYTES_MAX, NOTICES_MAX};

/// Names what a gossip message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// [`CompactBlock`]s.
    Blocks,
    /// [`Announcement`]s of transactions.
    Transactions,
}

impl Topic {
    /// All topics.
    pub const ALL: [Self; 2] = [Self::Blocks, Self::Transactions];

    /// Returns the topic's name on the wire, for one chain.
    pub fn name(self, genesis: B256) -> String {
        let kind = match self {
            Self::Blocks => "blocks",
            Self::Transactions => "transactions",
        };
        format!("/drawbridge/{}/{kind}/{genesis}", super::limits::PROTOCOL_VERSION)
    }
}

/// Names a gossip message by its content: the first 20 bytes of keccak256 of topic and message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GossipId(pub [u8; 20]);

impl GossipId {
    /// Computes the id of a message.
    pub fn of(topic: Topic, message: &[u8]) -> Self {
        let tag = match topic {
            Topic::Blocks => 0,
            Topic::Transactions => 1,
        };
        let mut hasher = Keccak256::new();
        hasher.update([tag]);
        hasher.update(message);
        let mut id = [0; 20];
        id.copy_from_slice(&hasher.finalize()[..20]);
        Self(id)
    }
}

/// Announces a block: all of it but the transactions, which the receiver usually has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactBlock {
    /// The header.
    pub header: Header,
    /// The beneficiary's signature, where the chain names miners.
    pub witness: Option<Witness>,
    /// The hashes of the transactions, in block order; none where there are more than [`ANNOUNCED_TRANSACTIONS_MAX`].
    pub transactions: Vec<B256>,
}

impl CompactBlock {
    /// Returns the same announcement without its transactions.
    fn without_transactions(&self) -> Self {
        Self { header: self.header.clone(), witness: self.witness, transactions: Vec::new() }
    }

    /// Makes the announcement of a block.
    pub fn of(block: &RecoveredBlock) -> Self {
        let named =
            if block.transactions.len() > ANNOUNCED_TRANSACTIONS_MAX { &[][..] } else { &block.transactions[..] };
        Self {
            header: block.header.clone().into_header(),
            witness: block.witness,
            transactions: named.iter().map(|tx| tx.hash()).collect(),
        }
    }
}

/// Names a transaction that the sender holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The transaction's hash.
    pub hash: B256,
    /// Its type (EIP-2718).
    pub kind: u8,
    /// The length of its encoding in bytes.
    pub size_bytes: u64,
}

/// Names transactions that the sender holds and gives to whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Drawn by the sender, so that its word and another's about the same transactions are two messages.
    pub salt: u64,
    /// The transactions.
    pub notices: Vec<Notice>,
}

/// A gossip message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gossip {
    /// A new block.
    Block(Box<CompactBlock>),
    /// New transactions.
    Transactions(Announcement),
}

impl Gossip {
    /// Returns the topic that the message belongs to.
    pub fn topic(&self) -> Topic {
        match self {
            Self::Block(_) => Topic::Blocks,
            Self::Transactions(_) => Topic::Transactions,
        }
    }

    /// Returns the message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Block(block) => codec::encode(&**block),
            Self::Transactions(announcement) => codec::encode(announcement),
        }
    }

    /// Decodes a message of `topic`.
    ///
    /// # Errors
    /// The bytes are none, or above a limit.
    pub fn decode(topic: Topic, bytes: &[u8]) -> Result<Self, DecodeError> {
        match topic {
            Topic::Blocks => codec::decode(bytes, GOSSIP_BYTES_MAX).map(|block| Self::Block(Box::new(block))),
            Topic::Transactions => codec::decode(bytes, GOSSIP_BYTES_MAX).map(Self::Transactions),
        }
    }
}

impl Wire for CompactBlock {
    fn append(&self, out: &mut RlpStream) {
        out.begin_list(3);
        codec::append_header(out, &self.header);
        codec::append_witness(out, self.witness.as_ref());
        codec::append_hashes(out, &self.transactions);
    }

    fn read(item: &Rlp<'_>) -> Result<Self, DecodeError> {
        let [header, witness, transactions] = codec::fields(item, "block")?;
        Ok(Self {
            header: codec::header(&header)?,
            witness: codec::witness(&witness)?,
            transactions: codec::hashes(&transactions, "transactions of a block", ANNOUNCED_TRANSACTIONS_MAX)?,
        })
    }

    /// The hashes are megabytes where there are many. They were all read, so that their encoding is theirs where it is no longer than it
    /// must be; only what stands before them is encoded anew, with no hash behind it.
    fn is_encoded_as(&self, bytes: &[u8]) -> bool {
        const HASH: usize = 33;
        let Ok(items) = codec::fields::<3>(&Rlp::new(bytes), "block") else { return false };
        let [header, witness, hashes] = items.map(|item| item.as_raw());
        let bare = codec::encode(&self.without_transactions());
        let Ok([bare_header, bare_witness, _]) = codec::fields::<3>(&Rlp::new(&bare), "block") else { return false };
        let payload = self.transactions.len() * HASH;
        let contents = header.len() + witness.len() + hashes.len();
        header == bare_header.as_raw()
            && witness == bare_witness.as_raw()
            && hashes.len() == payload + codec::prefix_bytes(payload)
            && bytes.len() == contents + codec::prefix_bytes(contents)
    }
}

impl Wire for Notice {
    fn append(&self, out: &mut RlpStream) {
        out.begin_list(3);
        codec::append_hash(out, self.hash);
        out.append(&self.kind).append(&self.size_bytes);
    }

    fn read(item: &Rlp<'_>) -> Result<Self, DecodeError> {
        let [hash, kind, size] = codec::fields(item, "notice")?;
        let kind = u8::try_from(codec::number(&kind, "type")?).map_err(|error| codec::malformed("type", error))?;
        Ok(Self { hash: codec::hash(&hash, "transaction")?, kind, size_bytes: codec::number(&size, "size")? })
    }
}

impl Wire for Announcement {
    fn append(&self, out: &mut RlpStream) {
        out.begin_list(2).append(&self.salt);
        codec::append_all(out, &self.notices);
    }

    fn read(item: &Rlp<'_>) -> Result<Self, DecodeError> {
        let [salt, notices] = codec::fields(item, "announcement")?;
        Ok(Self {
            salt: codec::number(&salt, "salt")?,
            notices: codec::read_all(&notices, "announced transactions", NOTICES_MAX)?,
        })
    }
}
