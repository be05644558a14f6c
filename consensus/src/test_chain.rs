//! What the tests of this crate share: a spec, random headers, signed transactions, sealed blocks.

use alloy_consensus::proofs::calculate_transaction_root;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, TxKind, U256};
use proptest::prelude::*;

use crate::block::{Block, BlockBody, Header, RecoveredBlock, SealedHeader};
use crate::crypto::{self, SecretKey};
use crate::difficulty::next_difficulty;
use crate::fees::next_base_fee;
use crate::genesis::{DEV, Genesis};
use crate::seal;
use crate::search::{SearchJob, search};
use crate::spec::{ChainSpec, Fork, ForkSchedule};
use crate::transaction::Transaction;
use crate::witness::Witness;

/// The rules of the dev chain.
pub(crate) fn spec() -> ChainSpec {
    Genesis::parse(DEV).unwrap().0.spec
}

/// The rules of the dev chain with one fork from genesis.
pub(crate) fn spec_of(fork: Fork) -> ChainSpec {
    ChainSpec { forks: ForkSchedule::only(fork), ..spec() }
}

/// The genesis header of the dev chain under `spec`.
pub(crate) fn genesis_header(spec: &ChainSpec) -> SealedHeader {
    let mut header = Genesis::parse(DEV).unwrap().0.header.into_header();
    set_fork_fields(spec, &mut header);
    SealedHeader::new(header)
}

/// A key that signs.
pub(crate) fn key(number: u8) -> SecretKey {
    crypto::secret_key([number; 32]).unwrap()
}

/// Leaves in `header` the fields of its fork only.
fn set_fork_fields(spec: &ChainSpec, header: &mut Header) {
    let fork = spec.fork_at(header.number, header.timestamp);
    header.base_fee_per_gas = header.base_fee_per_gas.filter(|_| fork >= Fork::London);
    header.withdrawals_root = (fork >= Fork::Shanghai).then_some(alloy_consensus::constants::EMPTY_WITHDRAWALS);
    header.blob_gas_used = (fork >= Fork::Cancun).then_some(0);
    header.excess_blob_gas = (fork >= Fork::Cancun).then_some(0);
    header.parent_beacon_block_root = (fork >= Fork::Cancun).then_some(B256::ZERO);
    header.requests_hash = (fork >= Fork::Prague).then_some(alloy_eips::eip7685::EMPTY_REQUESTS_HASH);
}

/// A valid, unsealed block on `parent`.
pub(crate) fn block_on(
    spec: &ChainSpec,
    parent: &SealedHeader,
    grandparent_timestamp: Option<u64>,
    transactions: Vec<Transaction>,
) -> Block {
    let timestamp = parent.timestamp + 5;
    let mut header = Header {
        parent_hash: parent.hash(),
        number: parent.number + 1,
        beneficiary: crypto::address_of(&key(9)),
        mix_hash: seal::next_mix_hash(parent),
        timestamp,
        gas_limit: parent.gas_limit,
        gas_used: 21_000,
        difficulty: next_difficulty(&spec.pow, parent, grandparent_timestamp),
        base_fee_per_gas: next_base_fee(spec, parent, timestamp),
        transactions_root: calculate_transaction_root(&transactions),
        ..Header::default()
    };
    set_fork_fields(spec, &mut header);
    let withdrawals = header.withdrawals_root.map(|_| Default::default());
    Block { header, body: BlockBody { transactions, ommers: Vec::new(), withdrawals } }
}

/// Seals a block and signs it as its beneficiary (key 9).
pub(crate) fn seal_block(mut block: Block) -> RecoveredBlock {
    let nonce = search(&SearchJob::new(&block.header), 0, 1).unwrap();
    seal::apply(&mut block.header, nonce);
    let witness = Witness::sign(&key(9), block.header.hash_slow());
    RecoveredBlock::recover(block, Some(witness)).unwrap()
}

/// A transfer of the given type for the given chain id (`None`: legacy without one), signed with key 1.
pub(crate) fn transfer(kind: u8, chain_id: Option<u64>) -> Transaction {
    fn signed<T: SignableTransaction<alloy_primitives::Signature>>(tx: T) -> alloy_consensus::Signed<T> {
        let signature = crypto::sign(&key(1), tx.signature_hash());
        tx.into_signed(signature)
    }
    let (to, value, gas_limit) = (Address::repeat_byte(2), U256::from(3), 21_000);
    let id = chain_id.unwrap_or_default();
    match kind {
        0 => signed(TxLegacy { chain_id, gas_limit, to: TxKind::Call(to), value, ..Default::default() }).into(),
        1 => signed(TxEip2930 { chain_id: id, gas_limit, to: TxKind::Call(to), value, ..Default::default() }).into(),
        2 => signed(TxEip1559 { chain_id: id, gas_limit, to: TxKind::Call(to), value, ..Default::default() }).into(),
        3 => signed(TxEip4844 { chain_id: id, gas_limit, to, value, ..Default::default() }).into(),
        4 => signed(TxEip7702 { chain_id: id, gas_limit, to, value, ..Default::default() }).into(),
        _ => panic!("no type {kind}"),
    }
}

prop_compose! {
    /// Random headers of every fork.
    pub(crate) fn any_header()(
        words in any::<[[u8; 32]; 8]>(),
        numbers in any::<[u64; 8]>(),
        extra in prop::collection::vec(any::<u8>(), 0..=32),
        fork in 0usize..=5,
        bloom: u8,
    ) -> Header {
        let [a, b, c, d, e, f, g, h] = words.map(B256::from);
        Header {
            parent_hash: a,
            ommers_hash: b,
            beneficiary: Address::from_word(c),
            state_root: d,
            transactions_root: e,
            receipts_root: f,
            logs_bloom: Bloom::repeat_byte(bloom),
            difficulty: U256::from_be_bytes(g.0) >> (numbers[0] % 256),
            number: numbers[0],
            gas_limit: numbers[1],
            gas_used: numbers[2],
            timestamp: numbers[3],
            extra_data: Bytes::from(extra),
            mix_hash: h,
            nonce: B64::from(numbers[4]),
            base_fee_per_gas: (fork >= 1).then_some(numbers[5]),
            withdrawals_root: (fork >= 2).then_some(a),
            blob_gas_used: (fork >= 3).then_some(numbers[6]),
            excess_blob_gas: (fork >= 3).then_some(numbers[7]),
            parent_beacon_block_root: (fork >= 3).then_some(b),
            requests_hash: (fork >= 4).then_some(c),
            block_access_list_hash: (fork >= 5).then_some(d),
            slot_number: (fork >= 5).then_some(numbers[0]),
        }
    }
}
