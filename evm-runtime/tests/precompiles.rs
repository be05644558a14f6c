//! Runs published vectors of all precompiled contracts as calls: output, gas and refusal.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod vectors;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use alloy_primitives::{Address, Bytes, TxKind, U256, hex};
use consensus::spec::{Fork, ForkSchedule};
use consensus::{ChainSpec, DifficultyRule, EmptyBlocks, FeeRules, Header, PowRules};
use evm_runtime::state::StateView;
use evm_runtime::{CallContext, CallOutcome, CallRequest};
use serde::Deserialize;
use storage::{MemoryStore, Store};

/// File (without `fail-` and extension), address and the fork whose prices the file has.
const FILES: [(&str, u16, Fork); 18] = [
    ("ecRecover", 0x01, Fork::Osaka),
    ("modexp", 0x05, Fork::Byzantium),
    ("modexp_eip2565", 0x05, Fork::Berlin),
    ("modexp_eip7883", 0x05, Fork::Osaka),
    ("bn256Add", 0x06, Fork::Osaka),
    ("bn256ScalarMul", 0x07, Fork::Osaka),
    ("bn256Pairing", 0x08, Fork::Osaka),
    ("blake2F", 0x09, Fork::Osaka),
    ("blsG1Add", 0x0b, Fork::Osaka),
    ("blsG1Mul", 0x0c, Fork::Osaka),
    ("blsG1MultiExp", 0x0c, Fork::Osaka),
    ("blsG2Add", 0x0d, Fork::Osaka),
    ("blsG2Mul", 0x0e, Fork::Osaka),
    ("blsG2MultiExp", 0x0e, Fork::Osaka),
    ("blsPairing", 0x0f, Fork::Osaka),
    ("blsMapG1", 0x10, Fork::Osaka),
    ("blsMapG2", 0x11, Fork::Osaka),
    ("p256Verify", 0x100, Fork::Osaka),
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vector {
    name: String,
    input: String,
    #[serde(default)]
    expected: String,
    gas: Option<u64>,
    expected_error: Option<String>,
}

#[test]
fn precompiles_give_the_published_outputs_at_the_published_prices() {
    let Some(folder) = vectors::unpacked("unit-vectors") else { return };
    evm_runtime::install_crypto();
    let mut count = 0;
    for (name, address, fork) in FILES {
        let refused = format!("fail-{}", if name == "blake2F" { "blake2f" } else { name });
        for file in [name, &refused] {
            let file = folder.join("precompiles").join(file).with_extension("json");
            count += if file.exists() { check_file(&file, precompile(address), fork) } else { 0 };
        }
    }
    println!("{count} vectors of precompiled contracts");
    assert!(count > 900, "only {count} vectors in {}", folder.display());
}

fn precompile(number: u16) -> Address {
    Address::left_padding_from(&number.to_be_bytes())
}

fn check_file(file: &Path, address: Address, fork: Fork) -> usize {
    let vectors: Vec<Vector> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for vector in &vectors {
        let input = Bytes::from(hex::decode(&vector.input).unwrap());
        let label = format!("{} {}", file.display(), vector.name);
        match (run(address, fork, input.clone()), &vector.expected_error) {
            (CallOutcome::Success { output, gas_used, .. }, None) => {
                assert_eq!(hex::encode(output), vector.expected, "{label}");
                assert_eq!(gas_used, gas_of_call(fork, &input, vector.gas.unwrap()), "{label}");
            }
            (CallOutcome::Halt { .. }, Some(_)) => {}
            (outcome, _) => panic!("{label}: {outcome:?}"),
        }
    }
    vectors.len()
}

/// What a transaction with this input uses when the contract itself takes `gas` (EIP-2028 and EIP-7623).
fn gas_of_call(fork: Fork, input: &[u8], gas: u64) -> u64 {
    let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
    let others = input.len() as u64 - zeros;
    let price = if fork >= Fork::Istanbul { 16 } else { 68 };
    let used = 21_000 + 4 * zeros + price * others + gas;
    if fork >= Fork::Prague { used.max(21_000 + 10 * (zeros + 4 * others)) } else { used }
}

fn run(address: Address, fork: Fork, input: Bytes) -> CallOutcome {
    let spec = ChainSpec {
        chain_id: 1,
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
    let context = CallContext {
        spec: &spec,
        state: &StateView::at_head(MemoryStore::new().snapshot()),
        header: &Header::default(),
        gas_cap: 1_000_000_000,
        cancelled: &AtomicBool::new(false),
    };
    let request = CallRequest { to: Some(TxKind::Call(address)), input, ..CallRequest::default() };
    evm_runtime::call::call(&context, &request, &Default::default(), &Default::default()).unwrap()
}
