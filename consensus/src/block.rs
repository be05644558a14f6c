//! Blocks and headers: Ethereum's own, plus the witness that travels beside a header and is never hashed.

use std::sync::Arc;

use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{B256, keccak256};
use alloy_rlp::{Decodable, Encodable};

pub use alloy_consensus::Header;

use crate::spec::{ChainSpec, Fork};
use crate::transaction::{RecoveredTransaction, Transaction, TransactionError, recover_all};
use crate::witness::Witness;

/// Names a block as Ethereum encodes it: header, transactions, ommers and, since Shanghai, withdrawals.
pub type Block = alloy_consensus::Block<Transaction>;
/// Names a block's body.
pub type BlockBody = alloy_consensus::BlockBody<Transaction>;

/// Pairs a header with its hash, computed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedHeader {
    header: Header,
    hash: B256,
}

impl SealedHeader {
    /// Computes the hash of `header`: keccak256 of its RLP.
    pub fn new(header: Header) -> Self {
        let hash = header.hash_slow();
        Self { header, hash }
    }

    /// Pairs a header with a hash that the caller has read from its own store.
    pub fn with_known_hash(header: Header, hash: B256) -> Self {
        Self { header, hash }
    }

    /// Returns the block hash.
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// Returns the header without its hash.
    pub fn into_header(self) -> Header {
        self.header
    }
}

impl std::ops::Deref for SealedHeader {
    type Target = Header;
    fn deref(&self) -> &Header {
        &self.header
    }
}

/// Holds a block whose senders are recovered: what execution and the ledger work on.
#[derive(Clone, Debug)]
pub struct RecoveredBlock {
    /// The header with its hash.
    pub header: SealedHeader,
    /// The transactions in block order, each with its sender.
    pub transactions: Vec<RecoveredTransaction>,
    /// The ommer headers; empty on Drawbridge's own chains.
    pub ommers: Vec<Header>,
    /// The withdrawals; `Some` and empty since Shanghai on Drawbridge's own chains.
    pub withdrawals: Option<Withdrawals>,
    /// The beneficiary's signature over the block hash, where the chain names authorized miners.
    pub witness: Option<Witness>,
}

impl RecoveredBlock {
    /// Recovers all senders of `block`, in parallel.
    ///
    /// # Errors
    /// The first transaction whose signature gives no sender.
    pub fn recover(block: Block, witness: Option<Witness>) -> Result<Self, TransactionError> {
        let transactions = recover_all(block.body.transactions)?;
        Ok(Self {
            header: SealedHeader::new(block.header),
            transactions,
            ommers: block.body.ommers,
            withdrawals: block.body.withdrawals,
            witness,
        })
    }

    /// Recovers all senders of `block` by the rules of its fork, in parallel: before Homestead a signature's `s` may be in the upper
    /// half (EIP-2).
    ///
    /// # Errors
    /// As [`RecoveredBlock::recover`].
    pub fn recover_by(spec: &ChainSpec, block: Block, witness: Option<Witness>) -> Result<Self, TransactionError> {
        if spec.fork_of(&block.header) >= Fork::Homestead {
            return Self::recover(block, witness);
        }
        let Block { header, mut body } = block;
        let transactions = std::mem::take(&mut body.transactions).into_iter();
        let mut recovered = Self::recover(Block { header, body }, witness)?;
        recovered.transactions = transactions.map(RecoveredTransaction::recover_frontier).collect::<Result<_, _>>()?;
        Ok(recovered)
    }

    /// Recovers all senders of `block` as a development chain does: see [`RecoveredTransaction::recover_or_impersonate`].
    ///
    /// # Errors
    /// The first transaction without a sender.
    pub fn recover_or_impersonate(block: Block, witness: Option<Witness>) -> Result<Self, TransactionError> {
        let Block { header, mut body } = block;
        let transactions = std::mem::take(&mut body.transactions).into_iter();
        let mut recovered = Self::recover(Block { header, body }, witness)?;
        recovered.transactions =
            transactions.map(RecoveredTransaction::recover_or_impersonate).collect::<Result<_, _>>()?;
        Ok(recovered)
    }

    /// Returns the block hash.
    pub fn hash(&self) -> B256 {
        self.header.hash()
    }

    /// Returns the block number.
    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// Returns the block as Ethereum encodes it, without witness and senders.
    pub fn to_block(&self) -> Block {
        Block {
            header: self.header.clone().into_header(),
            body: BlockBody {
                transactions: self.transactions.iter().map(|tx| tx.transaction().clone()).collect(),
                ommers: self.ommers.clone(),
                withdrawals: self.withdrawals.clone(),
            },
        }
    }
}

/// Shares a block between the ledger's cache, readers and subscribers.
pub type SharedBlock = Arc<RecoveredBlock>;

/// Decodes one RLP block and requires that it is encoded in the one way that a block has: the decoder alone would take a
/// typed transaction whose length prefix is wrong, and nothing may follow the block.
///
/// # Errors
/// Malformed RLP, another encoding, or bytes after the block.
pub fn decode_block(bytes: &[u8]) -> Result<Block, alloy_rlp::Error> {
    let mut rest = bytes;
    let block = Block::decode(&mut rest)?;
    if !rest.is_empty() {
        return Err(alloy_rlp::Error::Custom("bytes after the block"));
    }
    if alloy_rlp::encode(&block) != bytes {
        return Err(alloy_rlp::Error::Custom("not the encoding of a block"));
    }
    Ok(block)
}

/// Computes the ommers hash: keccak256 of the RLP list of ommer headers (Yellow Paper 4.4, H_o).
pub fn ommers_hash(ommers: &[Header]) -> B256 {
    if ommers.is_empty() {
        return alloy_consensus::EMPTY_OMMER_ROOT_HASH;
    }
    let mut out = Vec::new();
    alloy_rlp::encode_list(ommers, &mut out);
    keccak256(out)
}

/// Returns the length in bytes of a block's RLP, which JSON-RPC reports as `size`.
pub fn block_size_bytes(block: &Block) -> usize {
    block.length()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_chain::{any_header, block_on, genesis_header, spec, transfer};

    fn block() -> Block {
        let transactions = (0..=4).map(|kind| transfer(kind, Some(1337))).collect();
        block_on(&spec(), &genesis_header(&spec()), None, transactions)
    }

    #[test]
    fn blocks_come_back_from_their_encoding() {
        let block = block();
        let encoded = alloy_rlp::encode(&block);
        assert_eq!(decode_block(&encoded), Ok(block.clone()));
        assert_eq!(block_size_bytes(&block), encoded.len());
        assert!(decode_block(&[&encoded[..], &[0]].concat()).is_err());
        let recovered = RecoveredBlock::recover(block.clone(), None).unwrap();
        assert_eq!((recovered.hash(), recovered.to_block()), (block.header.hash_slow(), block));
    }

    #[test]
    fn a_transaction_with_a_wrong_length_prefix_is_refused() {
        let mut encoded = alloy_rlp::encode(block());
        // The type 1 transaction: a string of 102 bytes that begin with its type.
        let at = encoded.windows(3).position(|bytes| bytes == [0xb8, 102, 1]).unwrap();
        encoded[at + 1] -= 40;
        assert!(Block::decode(&mut &encoded[..]).is_ok());
        assert!(decode_block(&encoded).is_err());
    }

    #[test]
    fn the_hash_of_no_ommers_is_that_of_the_empty_list() {
        assert_eq!(ommers_hash(&[]), keccak256([0xc0]));
        let one = [Header::default()];
        assert_eq!(ommers_hash(&one), keccak256(alloy_rlp::encode(one.to_vec())));
    }

    proptest! {
        #[test]
        fn headers_come_back_from_their_encoding(header in any_header()) {
            let encoded = alloy_rlp::encode(&header);
            prop_assert_eq!(Header::decode(&mut &encoded[..]), Ok(header.clone()));
            prop_assert_eq!(SealedHeader::new(header).hash(), keccak256(&encoded));
        }

        #[test]
        fn any_bytes_are_a_block_or_refused(bytes: Vec<u8>, at: prop::sample::Index, with: u8, cut: prop::sample::Index) {
            let _ = decode_block(&bytes);
            let mut encoded = alloy_rlp::encode(block());
            let _ = decode_block(&encoded[..cut.index(encoded.len())]);
            let index = at.index(encoded.len());
            encoded[index] = with;
            if let Ok(block) = decode_block(&encoded) {
                // What is read is what was written: there is no second encoding of a block.
                prop_assert_eq!(alloy_rlp::encode(&block), encoded);
                let _ = RecoveredBlock::recover(block, None);
            }
        }
    }
}
