use alloy_consensus::proofs::calculate_transaction_root;
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{B64, Bloom, Bytes};
use proptest::prelude::*;

use super::ValidationError as E;
use super::body::transaction_type_exists;
use super::*;
use crate::block::{Block, BlockBody};
use crate::crypto;
use crate::spec::{Activation, DifficultyRule, EmptyBlocks, ForkSchedule};
use crate::test_chain::{any_header, block_on, genesis_header, key, seal_block, spec, spec_of, transfer};
use crate::transaction::Transaction;

/// Everything that validates a block, in the order of an import.
fn validate(spec: &ChainSpec, block: &RecoveredBlock, parent: &SealedHeader) -> Result<(), ValidationError> {
    validate_not_future(&block.header, block.header.timestamp)?;
    validate_header_alone(spec, block)?;
    validate_header_against_parent(spec, &block.header, parent, None)?;
    validate_body(spec, &block.header, &block.to_block().body, parent.timestamp)
}

/// A block of the fork with a transfer, and what it needs.
fn sealed(spec: &ChainSpec, transactions: Vec<Transaction>) -> (RecoveredBlock, SealedHeader) {
    let parent = genesis_header(spec);
    (seal_block(block_on(spec, &parent, None, transactions)), parent)
}

/// Changes a valid block, seals it again and validates it.
fn after_change(spec: &ChainSpec, change: impl FnOnce(&mut Block)) -> Result<(), ValidationError> {
    let parent = genesis_header(spec);
    let mut block = block_on(spec, &parent, None, vec![transfer(0, Some(1337))]);
    change(&mut block);
    validate(spec, &seal_block(block), &parent)
}

#[test]
fn valid_blocks_of_every_fork_are_accepted() {
    for fork in Fork::ALL {
        let spec = spec_of(fork);
        let kinds: &[u8] = match fork {
            Fork::Prague | Fork::Osaka => &[0, 1, 2, 4],
            fork if fork >= Fork::London => &[0, 1, 2],
            fork if fork >= Fork::Berlin => &[0, 1],
            _ => &[0],
        };
        let mut transactions: Vec<_> =
            kinds.iter().filter(|kind| **kind > 0).map(|kind| transfer(*kind, Some(1337))).collect();
        transactions.push(transfer(0, None));
        let (block, parent) = sealed(&spec, transactions);
        assert_eq!(validate(&spec, &block, &parent), Ok(()), "{fork:?}");
    }
}

type Change = fn(&mut Block);
type Expected = fn(&ValidationError) -> bool;

/// Asserts that each change of a valid block is refused with the error that belongs to it.
fn check_changes(spec: &ChainSpec, cases: &[(&str, Change, Expected)]) {
    assert_eq!(after_change(spec, |_| ()), Ok(()));
    for (name, change, expected) in cases {
        let error = after_change(spec, change).expect_err(name);
        assert!(expected(&error), "{name}: {error}");
        assert!(error.is_invalid() || matches!(error, E::FutureBlock { .. }), "{name}");
    }
}

/// A change of a valid block's header that breaks a rule for its value.
const VALUE_CHANGES: &[(&str, Change, Expected)] = &[
    ("parent hash", |b| b.header.parent_hash.0[0] ^= 1, |e| matches!(e, E::ParentHash { .. })),
    ("mix hash", |b| b.header.mix_hash.0[0] ^= 1, |e| matches!(e, E::MixHash { .. })),
    ("transactions root", |b| b.header.transactions_root.0[0] ^= 1, |e| matches!(e, E::TransactionsRoot { .. })),
    ("difficulty up", |b| b.header.difficulty = U256::from(2), |e| matches!(e, E::Difficulty { .. })),
    ("number", |b| b.header.number += 1, |e| matches!(e, E::Number { expected: 1, actual: 2 })),
    ("gas limit up", |b| b.header.gas_limit += 36_000_000 / 1024, |e| matches!(e, E::GasLimitStep { .. })),
    ("gas limit down", |b| b.header.gas_limit -= 36_000_000 / 1024, |e| matches!(e, E::GasLimitStep { .. })),
    ("gas limit low", set_gas_limit::<4999>, |e| matches!(e, E::GasLimitBounds { actual: 4999 })),
    ("gas limit high", |b| b.header.gas_limit = 1 << 63, |e| matches!(e, E::GasLimitBounds { .. })),
    ("gas used", |b| b.header.gas_used = b.header.gas_limit + 1, |e| matches!(e, E::GasUsed { .. })),
    ("timestamp", |b| b.header.timestamp -= 6, |e| matches!(e, E::Timestamp { .. })),
    ("extra data", |b| b.header.extra_data = vec![0; 33].into(), |e| matches!(e, E::ExtraDataSize { actual: 33 })),
    ("base fee", |b| b.header.base_fee_per_gas = Some(1), |e| matches!(e, E::BaseFee { actual: Some(1), .. })),
];

/// A field of which a rule says whether the header has it, and which value: the change that puts another value there, and what that is
/// called. None: the field must be absent.
type FieldChange = (&'static str, Change, Option<FieldError>);

/// What is wrong with a field that has another value than it must.
#[derive(Clone, Copy)]
enum FieldError {
    Hash,
    Number,
}

const FIELD_CHANGES: &[FieldChange] = &[
    ("ommers hash", |b| b.header.ommers_hash.0[0] ^= 1, Some(FieldError::Hash)),
    ("withdrawals root", |b| b.header.withdrawals_root = Some(B256::ZERO), Some(FieldError::Hash)),
    ("blob gas used", |b| b.header.blob_gas_used = Some(1), Some(FieldError::Number)),
    ("excess blob gas", |b| b.header.excess_blob_gas = Some(1), Some(FieldError::Number)),
    ("parent beacon block root", |b| b.header.parent_beacon_block_root = Some(ONES), Some(FieldError::Hash)),
    ("requests hash", |b| b.header.requests_hash = Some(B256::ZERO), Some(FieldError::Hash)),
    ("block access list hash", |b| b.header.block_access_list_hash = Some(B256::ZERO), None),
    ("slot number", |b| b.header.slot_number = Some(0), None),
];
const ONES: B256 = B256::repeat_byte(1);

/// Fields that a header of the newest fork must have, left out.
const MISSING_FIELDS: &[(&str, Change)] = &[
    ("base fee", |b| b.header.base_fee_per_gas = None),
    ("withdrawals root", |b| b.header.withdrawals_root = None),
    ("blob gas used", |b| b.header.blob_gas_used = None),
    ("excess blob gas", |b| b.header.excess_blob_gas = None),
    ("parent beacon block root", |b| b.header.parent_beacon_block_root = None),
    ("requests hash", |b| b.header.requests_hash = None),
];

fn set_gas_limit<const LIMIT: u64>(block: &mut Block) {
    (block.header.gas_limit, block.header.gas_used) = (LIMIT, 0);
}

#[test]
fn each_changed_header_field_is_refused_with_its_own_error() {
    check_changes(&spec(), VALUE_CHANGES);
}

#[test]
fn fields_that_are_missing_wrong_or_too_many_are_refused_by_name() {
    let spec = spec();
    for (name, change, expected) in FIELD_CHANGES {
        let error = after_change(&spec, change).expect_err(name);
        let named = match (&error, expected) {
            (E::FieldHash { field, .. }, Some(FieldError::Hash)) => field,
            (E::FieldNumber { field, .. }, Some(FieldError::Number)) => field,
            (E::FieldUnexpected { field, .. }, None) => field,
            _ => panic!("{name}: {error}"),
        };
        assert!(named == name && error.is_invalid(), "{name}: {error}");
    }
    for (name, change) in MISSING_FIELDS {
        let error = after_change(&spec, change).expect_err(name);
        assert!(matches!(error, E::FieldMissing { field, .. } if field == *name), "{name}: {error}");
        assert!(error.is_invalid(), "{name}");
    }
}

#[test]
fn each_changed_body_is_refused_with_its_own_error() {
    /// Replaces the transactions and makes the root fit.
    fn put(block: &mut Block, transactions: Vec<Transaction>) {
        block.header.transactions_root = calculate_transaction_root(&transactions);
        block.body.transactions = transactions;
    }
    check_changes(
        &spec(),
        &[
            (
                "a transaction more",
                |b| b.body.transactions.push(transfer(2, Some(1337))),
                |e| matches!(e, E::TransactionsRoot { .. }),
            ),
            ("no transaction", |b| b.body.transactions.clear(), |e| matches!(e, E::TransactionsRoot { .. })),
            ("an ommer", |b| b.body.ommers.push(Header::default()), |e| matches!(e, E::Ommers { actual: 1 })),
            (
                "no withdrawals",
                |b| b.body.withdrawals = None,
                |e| matches!(e, E::Withdrawals { expected: Some(0), actual: None }),
            ),
            (
                "a withdrawal",
                |b| b.body.withdrawals = Some(Withdrawals::new(vec![Default::default()])),
                |e| matches!(e, E::Withdrawals { actual: Some(1), .. }),
            ),
            (
                "a blob transaction",
                |b| put(b, vec![transfer(3, Some(1337))]),
                |e| matches!(e, E::BlobTransaction { index: 0 }),
            ),
            (
                "another chain's",
                |b| put(b, vec![transfer(0, None), transfer(2, Some(1338))]),
                |e| matches!(e, E::ChainId { index: 1, expected: 1337, actual: 1338 }),
            ),
            (
                "another chain's legacy",
                |b| put(b, vec![transfer(0, Some(1))]),
                |e| matches!(e, E::ChainId { index: 0, .. }),
            ),
        ],
    );
}

#[test]
fn fields_that_execution_proves_are_left_to_it() {
    for change in [
        (|b| b.header.state_root.0[0] ^= 1) as Change,
        |b| b.header.receipts_root.0[0] ^= 1,
        |b| b.header.logs_bloom = Bloom::repeat_byte(1),
        |b| b.header.beneficiary.0[0] ^= 1,
        |b| b.header.gas_used += 1,
        |b| b.header.gas_limit += 36_000_000 / 1024 - 1,
    ] {
        assert_eq!(after_change(&spec(), change), Ok(()));
    }
}

#[test]
fn a_broken_seal_is_refused() {
    let mut spec = spec();
    spec.pow.difficulty = DifficultyRule::Fixed(U256::from(5000));
    let (block, parent) = sealed(&spec, vec![transfer(0, None)]);
    assert_eq!(validate(&spec, &block, &parent), Ok(()));
    let with = |change: fn(&mut Header)| {
        let mut header = block.header.clone().into_header();
        change(&mut header);
        let block = RecoveredBlock { header: SealedHeader::new(header), ..block.clone() };
        validate_header_alone(&spec, &block)
    };
    let header = Header { mix_hash: !block.header.mix_hash, ..block.header.clone().into_header() };
    let mix = validate_header_against_parent(&spec, &header, &parent, None);
    assert!(matches!(mix, Err(ValidationError::MixHash { .. })), "{mix:?}");
    for change in
        [(|header| header.nonce = B64::from(u64::MAX)) as fn(&mut Header), |header| header.state_root.0[0] ^= 1]
    {
        let work = with(change);
        assert!(matches!(work, Err(ValidationError::Seal(SealError::Work { .. }))), "{work:?}");
    }
    let zero = with(|header| header.difficulty = U256::ZERO);
    assert_eq!(zero, Err(ValidationError::Seal(SealError::ZeroDifficulty)));
}

#[test]
fn where_miners_are_authorized_only_they_seal() {
    let (miner, other) = (crypto::address_of(&key(9)), crypto::address_of(&key(8)));
    let mut spec = spec();
    let (block, parent) = sealed(&spec, vec![transfer(0, None)]);
    let refused = Err(ValidationError::Witness(miner));
    let with = |spec: &ChainSpec, witness| validate(spec, &RecoveredBlock { witness, ..block.clone() }, &parent);
    assert_eq!(with(&spec, None), Ok(()));
    spec.pow.authorized_miners = [miner, other].into();
    assert_eq!(with(&spec, block.witness), Ok(()));
    assert_eq!(with(&spec, None), refused);
    assert_eq!(with(&spec, Some(Witness::sign(&key(8), block.hash()))), refused);
    assert_eq!(with(&spec, Some(Witness::sign(&key(9), parent.hash()))), refused);
    spec.pow.authorized_miners = [other].into();
    assert_eq!(with(&spec, block.witness), refused);
}

#[test]
fn transactions_exist_since_their_fork() {
    for (kind, since) in [(1, Fork::Berlin), (2, Fork::London), (4, Fork::Prague)] {
        for fork in Fork::ALL {
            let result = transaction_type_exists(Era::Drawbridge, fork, 3, &transfer(kind, Some(1337)));
            let expected = if fork >= since { Ok(()) } else { Err(E::TransactionType { index: 3, kind, fork }) };
            assert_eq!(result, expected);
        }
    }
    for fork in Fork::ALL {
        let expected = if fork >= Fork::SpuriousDragon { Ok(()) } else { Err(E::ReplayProtection { index: 3, fork }) };
        assert_eq!(transaction_type_exists(Era::Drawbridge, fork, 3, &transfer(0, Some(1337))), expected);
        assert_eq!(transaction_type_exists(Era::Drawbridge, fork, 3, &transfer(0, None)), Ok(()));
        assert_eq!(
            transaction_type_exists(Era::Drawbridge, fork, 3, &transfer(3, Some(1337))),
            Err(E::BlobTransaction { index: 3 })
        );
    }
}

#[test]
fn empty_blocks_follow_the_chains_rule() {
    for (rule, seconds, expected) in [
        (EmptyBlocks::Always, 0, Ok(())),
        (EmptyBlocks::Never, 1_000_000, Err(E::EmptyBlock)),
        (EmptyBlocks::Heartbeat { seconds: 60 }, 59, Err(E::EmptyBlockEarly { expected: 60, actual: 59 })),
        (EmptyBlocks::Heartbeat { seconds: 60 }, 60, Ok(())),
    ] {
        let mut spec = spec();
        spec.pow.empty_blocks = rule;
        let parent = genesis_header(&spec);
        let mut block = block_on(&spec, &parent, None, Vec::new());
        block.header.timestamp = parent.timestamp + seconds;
        assert_eq!(validate(&spec, &seal_block(block), &parent), expected, "{rule:?}, {seconds} s");
        // A block with a transaction is valid at once.
        let mut block = block_on(&spec, &parent, None, vec![transfer(0, None)]);
        block.header.timestamp = parent.timestamp;
        assert_eq!(validate(&spec, &seal_block(block), &parent), Ok(()), "{rule:?}");
    }
}

#[test]
fn a_block_ahead_of_the_clock_is_held_and_nobody_blamed() {
    let header = Header { timestamp: 115, ..Header::default() };
    for (now, good) in [(100, true), (99, false), (1000, true), (u64::MAX, true)] {
        let result = validate_not_future(&header, now);
        assert_eq!(result.is_ok(), good, "{now}");
        assert!(result.map_or_else(|error| !error.is_invalid(), |()| true));
    }
    assert!(!ValidationError::UnknownParent(B256::ZERO).is_invalid());
}

#[test]
fn london_may_start_with_twice_the_gas_limit() {
    let mut spec = spec();
    spec.forks = ForkSchedule::new(vec![(Fork::London, Activation::Block(1))]);
    let parent = genesis_header(&spec);
    for (factor, good) in [(2, true), (1, false), (3, false)] {
        let mut block = block_on(&spec, &parent, None, vec![transfer(0, None)]);
        block.header.gas_limit = parent.gas_limit * factor;
        assert_eq!(block.header.base_fee_per_gas, Some(1_000_000_000));
        assert_eq!(validate(&spec, &seal_block(block), &parent).is_ok(), good, "×{factor}");
    }
}

#[test]
fn osaka_limits_the_size_of_a_block() {
    use alloy_consensus::{SignableTransaction, TxLegacy};
    let large = |bytes| {
        let tx = TxLegacy { input: Bytes::from(vec![1; bytes]), ..Default::default() };
        let signature = crypto::sign(&key(1), tx.signature_hash());
        Transaction::from(tx.into_signed(signature))
    };
    for (fork, bytes, good) in [
        (Fork::Osaka, BLOCK_SIZE_BYTES_MAX - 1000, true),
        (Fork::Osaka, BLOCK_SIZE_BYTES_MAX, false),
        (Fork::Prague, BLOCK_SIZE_BYTES_MAX, true),
    ] {
        let spec = spec_of(fork);
        let (block, parent) = sealed(&spec, vec![large(bytes)]);
        let result = validate(&spec, &block, &parent);
        assert_eq!(result.is_ok(), good, "{fork:?} {bytes}: {result:?}");
    }
}

#[test]
fn every_error_says_what_and_which() {
    let (spec, header) = (spec(), Header { number: 7, ..Header::default() });
    let error = number_follows(&header, &Header { number: 4, ..Header::default() }).unwrap_err();
    assert_eq!(error.to_string(), "number: expected 5, header says 7");
    let error = difficulty_follows(&spec, &header, &header, None).unwrap_err();
    assert_eq!(error.to_string(), "difficulty: expected 1, header says 0");
    let error = fork_fields_are_present(&spec, &header).unwrap_err();
    assert_eq!(error.to_string(), "base fee: missing, Osaka has it");
}

proptest! {
    #[test]
    fn any_header_is_judged_without_panic(header in any_header(), parent in any_header(), grandparent: Option<u64>, now: u64, fork in 0usize..18) {
        let spec = spec_of(Fork::ALL[fork]);
        let parent = SealedHeader::new(parent);
        let _ = validate_header_fields(&spec, &header);
        let _ = validate_header_against_parent(&spec, &header, &parent, grandparent);
        let _ = validate_not_future(&header, now);
        let _ = validate_body(&spec, &header, &BlockBody::default(), parent.timestamp);
        let _ = crate::fees::next_gas_limit(&spec, &parent, now, header.timestamp);
    }
}
