#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use alloy_primitives::{address, hex};
use consensus::spec::ForkSchedule;
use consensus::{DifficultyRule, EmptyBlocks, FeeRules, Fork, PowRules};
use revm::bytecode::Bytecode;
use revm::database::{CacheDB, EmptyDB};
use revm::state::AccountInfo;

use super::*;

const RICH: Address = address!("0x00000000000000000000000000000000000000aa");
const CODE: Address = address!("0x00000000000000000000000000000000000000cc");
const PLAIN: Address = address!("0x00000000000000000000000000000000000000dd");
const OTHER: Address = address!("0x00000000000000000000000000000000000000ee");

impl From<Infallible> for CallError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A chain at one block with an account of 10^18 wei and one contract.
struct World {
    spec: ChainSpec,
    header: Header,
    db: CacheDB<EmptyDB>,
    cancelled: AtomicBool,
    gas_cap: u64,
    state_overrides: StateOverrides,
    block_overrides: BlockOverrides,
}

fn world(fork: Fork, code: &[u8]) -> World {
    let spec = ChainSpec {
        chain_id: 1337,
        forks: ForkSchedule::only(fork),
        pow: PowRules {
            difficulty: DifficultyRule::Fixed(U256::from(1)),
            empty_blocks: EmptyBlocks::Always,
            block_reward: U256::ZERO,
            authorized_miners: Default::default(),
            safe_depth: 0,
            finality_depth: 0,
        },
        fees: FeeRules::default(),
        contract_size_limit: None,
        ethereum: None,
    };
    let header = Header {
        number: 100,
        timestamp: 1_000,
        gas_limit: 30_000_000,
        base_fee_per_gas: (fork >= Fork::London).then_some(1_000),
        mix_hash: B256::repeat_byte(7),
        difficulty: U256::from(5),
        ..Header::default()
    };
    let mut db = CacheDB::<EmptyDB>::default();
    db.insert_account_info(RICH, AccountInfo::from_balance(U256::from(10).pow(U256::from(18))));
    db.insert_account_info(CODE, AccountInfo::from_bytecode(Bytecode::new_raw(Bytes::copy_from_slice(code))));
    let (state_overrides, block_overrides) = Default::default();
    World { spec, header, db, cancelled: AtomicBool::new(false), gas_cap: 50_000_000, state_overrides, block_overrides }
}

impl World {
    fn context(&self) -> CallContext<'_, CacheDB<EmptyDB>> {
        CallContext {
            spec: &self.spec,
            state: &self.db,
            header: &self.header,
            gas_cap: self.gas_cap,
            cancelled: &self.cancelled,
        }
    }

    fn call(&self, request: &CallRequest) -> Result<CallOutcome, CallError> {
        call(&self.context(), request, &self.state_overrides, &self.block_overrides)
    }

    fn estimate(&self, request: &CallRequest) -> Result<Estimate, CallError> {
        estimate_gas(&self.context(), request, &self.state_overrides, &self.block_overrides)
    }

    fn add_code(&mut self, address: Address, code: &[u8]) {
        let info = AccountInfo::from_bytecode(Bytecode::new_raw(Bytes::copy_from_slice(code)));
        self.db.insert_account_info(address, info);
    }
}

fn to(callee: Address) -> CallRequest {
    CallRequest { from: Some(RICH), to: Some(TxKind::Call(callee)), ..CallRequest::default() }
}

fn creation(init_code: &[u8]) -> CallRequest {
    CallRequest { to: None, input: Bytes::copy_from_slice(init_code), ..to(CODE) }
}

/// Returns the word that a call gives back.
fn word(outcome: Result<CallOutcome, CallError>) -> U256 {
    match outcome {
        Ok(CallOutcome::Success { output, .. }) => U256::from_be_slice(&output),
        other => panic!("{other:?}"),
    }
}

fn halt(outcome: Result<CallOutcome, CallError>) -> String {
    match outcome {
        Ok(CallOutcome::Halt { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

fn invalid<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> String {
    match outcome {
        Err(CallError::Invalid(words)) => words,
        other => panic!("{other:?}"),
    }
}

/// Code that returns the word left by `opcodes`.
fn returning(opcodes: &[u8]) -> Vec<u8> {
    [opcodes, &hex!("60005260206000f3")].concat()
}

#[test]
fn opcodes_see_the_block_and_its_overrides() {
    let overridden = BlockOverrides {
        number: Some(7),
        difficulty: Some(U256::from(8)),
        timestamp: Some(9),
        gas_limit: Some(10),
        beneficiary: Some(Address::with_last_byte(11)),
        mix_hash: Some(U256::from(12).into()),
        base_fee: Some(13),
        blob_base_fee: None,
        block_hashes: BTreeMap::from([(5, U256::from(14).into())]),
    };
    let seven = U256::from_be_bytes([7; 32]);
    let n = U256::from;
    for (fork, code, plain, changed) in [
        (Fork::Osaka, &hex!("43")[..], n(100), n(7)),
        (Fork::London, &hex!("44")[..], n(5), n(8)),
        (Fork::Osaka, &hex!("44")[..], seven, n(12)),
        (Fork::Osaka, &hex!("42")[..], n(1000), n(9)),
        (Fork::Osaka, &hex!("45")[..], n(30_000_000), n(10)),
        (Fork::Osaka, &hex!("41")[..], n(0), n(11)),
        (Fork::Osaka, &hex!("48")[..], n(1000), n(13)),
        (Fork::Osaka, &hex!("46")[..], n(1337), n(1337)),
        (Fork::Osaka, &hex!("3a")[..], n(2000), n(2000)),
        (Fork::Osaka, &hex!("600540")[..], U256::from_be_bytes(alloy_primitives::keccak256("5").0), n(14)),
        (Fork::Osaka, &hex!("33")[..], n(0xaa), n(0xaa)),
    ] {
        let mut world = world(fork, &returning(code));
        let priced = CallRequest { gas_price: Some(2000), gas: Some(100_000), ..to(CODE) };
        assert_eq!(word(world.call(&priced)), plain, "{fork:?} {}", hex::encode(code));
        world.block_overrides = overridden.clone();
        assert_eq!(word(world.call(&priced)), changed, "{fork:?} {}", hex::encode(code));
    }
}

#[test]
fn without_a_price_the_base_fee_is_zero_and_gas_is_free() {
    let world = world(Fork::Osaka, &returning(&hex!("48")));
    for request in [
        CallRequest { from: Some(OTHER), ..to(CODE) },
        CallRequest { from: None, ..to(CODE) },
        CallRequest { gas_price: Some(0), ..to(CODE) },
        CallRequest { max_fee_per_gas: Some(0), max_priority_fee_per_gas: Some(0), ..to(CODE) },
    ] {
        assert_eq!(word(world.call(&request)), U256::ZERO);
    }
    let tipped = CallRequest { max_fee_per_gas: Some(1500), max_priority_fee_per_gas: Some(1), ..to(CODE) };
    assert_eq!(word(world.call(&tipped)), U256::from(1000));
}

#[test]
fn nonce_sender_code_and_block_limit_are_not_checked() {
    let mut world = world(Fork::Osaka, &returning(&hex!("5a")));
    world.header.gas_limit = 1_000_000;
    let request = CallRequest { from: Some(CODE), nonce: Some(99), gas: Some(40_000_000), ..to(CODE) };
    let left = word(world.call(&request));
    assert!(left > U256::from(39_000_000), "more than the block's limit and than the transaction cap: {left}");
    let request = CallRequest { gas: Some(u64::MAX), ..request };
    assert!(word(world.call(&request)) < U256::from(world.gas_cap), "cut to the cap");
}

#[test]
fn refusals_speak_geths_words() {
    let a = RICH;
    let supplied = |words: String, gas: u64| format!("err: {words} (supplied gas {gas})");
    let base = || to(PLAIN);
    for (request, expected) in [
        (
            CallRequest { from: Some(OTHER), value: Some(U256::from(5)), ..base() },
            supplied(format!("insufficient funds for gas * price + value: address {OTHER} have 0 want 5"), 50_000_000),
        ),
        (
            CallRequest { gas_price: Some(10u128.pow(12)), ..base() },
            supplied(
                format!(
                    "insufficient funds for gas * price + value: address {a} have 1000000000000000000 want 50000000000000000000"
                ),
                50_000_000,
            ),
        ),
        (
            CallRequest { gas: Some(20_999), ..base() },
            supplied("intrinsic gas too low: have 20999, want 21000".into(), 20_999),
        ),
        (
            CallRequest { gas_price: Some(999), gas: Some(21_000), ..base() },
            supplied(
                format!("max fee per gas less than block base fee: address {a}, maxFeePerGas: 999, baseFee: 1000"),
                21_000,
            ),
        ),
        (
            CallRequest { max_priority_fee_per_gas: Some(2), gas: Some(21_000), ..base() },
            supplied(
                format!(
                    "max priority fee per gas higher than max fee per gas: address {a}, maxPriorityFeePerGas: 2, maxFeePerGas: 0"
                ),
                21_000,
            ),
        ),
        (
            CallRequest { gas_price: Some(1), max_fee_per_gas: Some(1), ..base() },
            "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified".into(),
        ),
        (
            CallRequest { authorization_list: Some(vec![]), ..base() },
            supplied(format!("EIP-7702 transaction with empty auth list (sender {a})"), 50_000_000),
        ),
        (
            CallRequest { authorization_list: Some(vec![]), ..creation(&[]) },
            format!("EIP-7702 transaction cannot be used to create contract (sender {a})"),
        ),
        (
            creation(&[0; 49_153]),
            supplied("max initcode size exceeded: code size 49153 limit 49152".into(), 50_000_000),
        ),
    ] {
        assert_eq!(invalid(world(Fork::Osaka, &[]).call(&request)), expected);
    }
}

#[test]
fn outcomes_carry_data_logs_and_address() {
    // PUSH1 5, PUSH0, PUSH0, LOG1, PUSH1 42 as the result.
    let outcome = world(Fork::Osaka, &returning(&hex!("60055f5fa1602a"))).call(&to(CODE)).unwrap();
    let CallOutcome::Success { output, gas_used, logs, created: None } = outcome else { panic!("{outcome:?}") };
    assert_eq!((U256::from_be_slice(&output), logs.len(), logs[0].address), (U256::from(42), 1, CODE));
    assert_eq!(logs[0].topics(), [B256::with_last_byte(5)]);
    assert!(gas_used > 21_000 + 750, "{gas_used}");

    let outcome = world(Fork::Osaka, &hex!("602a5f5260205ffd")).call(&to(CODE)).unwrap();
    let CallOutcome::Revert { output, gas_used } = outcome else { panic!("{outcome:?}") };
    assert_eq!(U256::from_be_slice(&output), U256::from(42));
    assert!(gas_used < 22_000, "the rest is given back: {gas_used}");

    // Leaves the code 0x00.
    let outcome = world(Fork::Osaka, &[]).call(&creation(&hex!("60015ff3"))).unwrap();
    let CallOutcome::Success { output, created: Some(created), .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!((&output[..], created), (&[0][..], RICH.create(0)));
}

#[test]
fn halts_speak_geths_words() {
    for (fork, code, expected) in [
        (Fork::Osaka, &hex!("fe")[..], "invalid opcode: INVALID"),
        (Fork::Osaka, &hex!("0c")[..], "invalid opcode: opcode 0xc not defined"),
        (Fork::London, &hex!("5f")[..], "invalid opcode: PUSH0"),
        (Fork::Shanghai, &hex!("5f5f5e")[..], "invalid opcode: MCOPY"),
        (Fork::Osaka, &hex!("600101")[..], "stack underflow (1 <=> 2)"),
        (Fork::Osaka, &hex!("5f5f90919293")[..], "stack underflow (2 <=> 3)"),
        (Fork::Osaka, &hex!("50")[..], "stack underflow (0 <=> 1)"),
        (Fork::Osaka, &hex!("5b6001600056")[..], "stack limit reached 1024 (1023)"),
        (Fork::Osaka, &hex!("5f56")[..], "invalid jump destination"),
        (Fork::Osaka, &hex!("60015f5f3e")[..], "return data out of bounds"),
        (Fork::Osaka, &hex!("5b5f56")[..], "out of gas"),
        (
            Fork::Osaka,
            &hex!("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff51")[..],
            "gas uint64 overflow",
        ),
    ] {
        let world = world(fork, code);
        let request = CallRequest { gas: Some(1_000_000), ..to(CODE) };
        assert_eq!(halt(world.call(&request)), expected, "{fork:?} {}", hex::encode(code));
    }
    let world = world(Fork::Osaka, &[]);
    let small = |init: &[u8], gas| CallRequest { gas: Some(gas), ..creation(init) };
    // Leaves a code byte 0xef; leaves 24,577 bytes; leaves 1,000 bytes with too little gas to store them.
    assert_eq!(halt(world.call(&creation(&hex!("60ef5f5360015ff3")))), "invalid code: must not begin with 0xef");
    assert_eq!(halt(world.call(&creation(&hex!("6160015ff3")))), "max code size exceeded");
    assert_eq!(halt(world.call(&small(&hex!("6103e85ff3"), 100_000))), "contract creation code storage out of gas");
    assert_eq!(halt(world.call(&small(&hex!("5b5f56"), 100_000))), "out of gas");
}

#[test]
fn recursion_past_the_call_depth_and_the_stack_is_survived() {
    // Calls itself with all gas until it may not; then stops.
    let world = world(Fork::Osaka, &hex!("5f5f5f5f5f305af100"));
    assert!(matches!(world.call(&to(CODE)), Ok(CallOutcome::Success { .. })));
}

#[test]
fn state_overrides_change_what_is_named_and_nothing_else() {
    let slots = |pairs: &[(u64, u64)]| -> Option<BTreeMap<B256, B256>> {
        Some(pairs.iter().map(|(slot, value)| (U256::from(*slot).into(), U256::from(*value).into())).collect())
    };
    // Returns slot 1 * 100 + slot 2.
    let sums = returning(&hex!("600154606402600254 01"));
    let check = |overrides: AccountOverride, code: &[u8], expected: u64| {
        let mut world = world(Fork::Osaka, code);
        for slot in [1, 2] {
            world.db.insert_account_storage(CODE, U256::from(slot), U256::from(slot)).unwrap();
        }
        world.state_overrides.insert(CODE, overrides);
        assert_eq!(word(world.call(&to(CODE))), U256::from(expected));
    };
    let none = AccountOverride::default;
    check(none(), &sums, 102);
    check(AccountOverride { state_diff: slots(&[(2, 9)]), ..none() }, &sums, 109);
    check(AccountOverride { state: slots(&[(2, 9)]), ..none() }, &sums, 9);
    check(AccountOverride { state: slots(&[]), ..none() }, &sums, 0);
    check(AccountOverride { balance: Some(U256::from(77)), ..none() }, &returning(&hex!("47")), 77);
    check(AccountOverride { code: Some(returning(&hex!("6005")).into()), ..none() }, &[], 5);
}

#[test]
fn code_that_only_looks_like_a_delegation_runs_as_code() {
    let mut world = world(Fork::Osaka, &[]);
    world.state_overrides.insert(CODE, AccountOverride { code: Some(hex!("ef0100").into()), ..Default::default() });
    assert_eq!(halt(world.call(&to(CODE))), "invalid opcode: opcode 0xef not defined");
}

#[test]
fn an_overridden_account_need_not_exist() {
    let mut world = world(Fork::Osaka, &[]);
    let overrides = AccountOverride {
        balance: Some(U256::from(3)),
        nonce: Some(7),
        code: Some(returning(&hex!("47600154015f54")).into()),
        state_diff: Some(BTreeMap::from([(B256::ZERO, U256::from(4).into())])),
        ..AccountOverride::default()
    };
    world.state_overrides.insert(OTHER, overrides);
    assert_eq!(word(world.call(&to(OTHER))), U256::from(4));
    let sends = CallRequest { value: Some(U256::from(3)), ..creation(&[]) };
    let CallOutcome::Success { created, .. } = world.call(&CallRequest { from: Some(OTHER), ..sends }).unwrap() else {
        panic!("refused")
    };
    assert_eq!(created, Some(OTHER.create(7)));
}

#[test]
fn state_and_state_diff_exclude_each_other() {
    let mut world = world(Fork::Osaka, &[]);
    let both =
        AccountOverride { state: Some(BTreeMap::new()), state_diff: Some(BTreeMap::new()), ..Default::default() };
    world.state_overrides.insert(CODE, both);
    assert_eq!(invalid(world.call(&to(CODE))), format!("account {CODE} has both 'state' and 'stateDiff'"));
}

#[test]
fn a_call_changes_nothing() {
    let world = world(Fork::Osaka, &hex!("6001545f52 6001600155 60205ff3"));
    for _ in 0..2 {
        assert_eq!(word(world.call(&to(CODE))), U256::ZERO);
    }
}

#[test]
fn cancelling_ends_endless_loops_and_endless_recursion() {
    let looping = hex!("5b5f56").to_vec();
    let conditional = hex!("5b60015f57").to_vec();
    // Calls itself three times in straight code, each with what gas is left.
    let branching = [hex!("5f5f5f5f5f305af150"); 3].concat();
    let from_inside = hex!("5f5f5f5f5f60ee5af100").to_vec();
    for code in [looping.clone(), conditional, branching, from_inside] {
        let mut world = world(Fork::Osaka, &code);
        world.add_code(OTHER, &looping);
        world.gas_cap = u64::MAX / 4;
        let began = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while began.elapsed() < Duration::from_millis(20) {
                    std::thread::yield_now();
                }
                world.cancelled.store(true, Ordering::Relaxed);
            });
            assert_eq!(world.call(&to(CODE)), Err(CallError::Cancelled), "{}", hex::encode(&code));
        });
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[test]
fn an_estimate_suffices_and_one_less_does_not() {
    let store_and_clear = hex!("60016001555f600155").to_vec();
    let pays_out = hex!("5f5f5f5f600160dd5af1600e57fe5b00").to_vec();
    let forwards = hex!("5f5f5f5f5f60ee5af1600d57fe5b00").to_vec();
    for (name, code, request) in [
        ("stops", hex!("00").to_vec(), to(CODE)),
        ("stores", hex!("6001600155").to_vec(), to(CODE)),
        ("refunded", store_and_clear, to(CODE)),
        ("data", hex!("00").to_vec(), CallRequest { input: vec![1; 1000].into(), ..to(CODE) }),
        ("pays out", pays_out, to(CODE)),
        ("forwards", forwards, to(CODE)),
        ("creates", vec![], creation(&hex!("60205ff3"))),
        ("value", vec![], CallRequest { value: Some(U256::from(1)), ..to(PLAIN) }),
        ("priced", hex!("6001600155").to_vec(), CallRequest { gas_price: Some(2000), ..to(CODE) }),
        ("capped by funds", hex!("6001600155").to_vec(), CallRequest { gas_price: Some(10u128.pow(13)), ..to(CODE) }),
    ] {
        let mut world = world(Fork::Osaka, &code);
        world.db.insert_account_storage(CODE, U256::from(9), U256::ZERO).unwrap();
        world.add_code(OTHER, &hex!("6001600155600160025500"));
        world.state_overrides.insert(CODE, AccountOverride { balance: Some(U256::from(10)), ..Default::default() });
        let estimate = world.estimate(&request);
        let Ok(Estimate::Gas(gas)) = estimate else { panic!("{name}: {estimate:?}") };
        let with = |gas| world.call(&CallRequest { gas: Some(gas), ..request.clone() });
        assert!(matches!(with(gas), Ok(CallOutcome::Success { .. })), "{name} with {gas}: {:?}", with(gas));
        assert!(!matches!(with(gas - 1), Ok(CallOutcome::Success { .. })), "{name} with one less than {gas}");
    }
    let world = world(Fork::Osaka, &[]);
    assert_eq!(world.estimate(&to(PLAIN)), Ok(Estimate::Gas(21_000)));
    assert_eq!(world.estimate(&CallRequest { from: None, ..to(PLAIN) }), Ok(Estimate::Gas(21_000)));
}

#[test]
fn an_estimate_that_cannot_be_says_why() {
    let reverting = world(Fork::Osaka, &hex!("602a5f5260205ffd"));
    let Ok(Estimate::Fails(CallOutcome::Revert { output, .. })) = reverting.estimate(&to(CODE)) else { panic!() };
    assert_eq!(U256::from_be_slice(&output), U256::from(42));

    let invalid_opcode = world(Fork::Osaka, &hex!("0c"));
    let Ok(Estimate::Fails(CallOutcome::Halt { reason, .. })) = invalid_opcode.estimate(&to(CODE)) else { panic!() };
    assert_eq!(reason, "invalid opcode: opcode 0xc not defined");

    let looping = || world(Fork::Osaka, &hex!("5b5f56"));
    // The block's limit is 30 million, but a transaction of Osaka has at most 2^24.
    assert_eq!(looping().estimate(&to(CODE)), Err(CallError::GasAllowance(1 << 24)));
    assert_eq!(world(Fork::Prague, &hex!("5b5f56")).estimate(&to(CODE)), Err(CallError::GasAllowance(30_000_000)));
    let asked = CallRequest { gas: Some(100_000), ..to(CODE) };
    assert_eq!(looping().estimate(&asked), Err(CallError::GasAllowance(100_000)));
    let priced = CallRequest { gas_price: Some(10u128.pow(13)), ..to(CODE) };
    assert_eq!(looping().estimate(&priced), Err(CallError::GasAllowance(100_000)));
    let capped = World { gas_cap: 50_000, ..looping() };
    assert_eq!(capped.estimate(&to(CODE)), Err(CallError::GasAllowance(50_000)));

    let poor = CallRequest { from: Some(OTHER), value: Some(U256::from(1)), ..to(PLAIN) };
    let words = format!("insufficient funds for gas * price + value: address {OTHER} have 0 want 1");
    assert_eq!(invalid(looping().estimate(&poor)), format!("failed with {} gas: {words}", 1 << 24));
    let poor = CallRequest { gas_price: Some(2000), ..poor };
    assert_eq!(invalid(looping().estimate(&poor)), "insufficient funds for transfer");
}

#[test]
fn an_access_list_names_what_is_touched_and_settles() {
    // Reads slot 3, the balance of 0xdd, and calls 0xee, which writes slot 5; calls the identity precompile.
    let code = hex!("60035460dd315f5f5f5f5f60ee5af15f5f5f5f5f60045af100");
    let mut world = world(Fork::Osaka, &code);
    world.add_code(OTHER, &hex!("600160055500"));
    let (context, none) = (world.context(), Default::default());
    let created = create_access_list(&context, &to(CODE), &world.state_overrides, &none).unwrap();
    let item = |address, slots: &[u8]| alloy_eips::eip2930::AccessListItem {
        address,
        storage_keys: slots.iter().map(|slot| B256::with_last_byte(*slot)).collect(),
    };
    let expected = AccessList(vec![item(CODE, &[3]), item(PLAIN, &[]), item(OTHER, &[5])]);
    assert_eq!((created.access_list.clone(), created.error), (expected, None));
    let listed = CallRequest { access_list: Some(created.access_list), ..to(CODE) };
    let CallOutcome::Success { gas_used, .. } = world.call(&listed).unwrap() else { panic!() };
    assert_eq!(gas_used, created.gas_used);
}

#[test]
fn fields_that_the_fork_does_not_know_are_left_out() {
    let world = world(Fork::Istanbul, &returning(&hex!("3a")));
    let request = CallRequest {
        max_fee_per_gas: Some(9),
        access_list: Some(AccessList::default()),
        authorization_list: Some(vec![]),
        ..to(CODE)
    };
    assert_eq!(word(world.call(&request)), U256::ZERO);
}
