//! Published vectors of all precompiled contracts, as calls: output, gas and refusal.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use alloy_primitives::{Address, Bytes, TxKind, hex};
use bench::Failure;
use consensus::Header;
use consensus::spec::Fork;
use evm_runtime::state::StateView;
use evm_runtime::{CallContext, CallOutcome, CallRequest};
use serde::Deserialize;
use storage::{MemoryStore, Store};

use crate::conformance::spec;
use crate::conformance::suite::{Cases, Checked, Context, Job, Suite, expect_equal};
use crate::conformance::vectors::{json_files, read_json};

pub(crate) const SUITE: Suite = Suite {
    name: "precompile",
    about: "outputs, prices and refusals of all precompiled contracts, as `eth_call` executes them",
    archive: "unit-vectors",
    skips: &[],
    jobs,
};

/// File (without `fail-` and extension), address, and the fork whose prices the file has.
const FILES: [(&str, u16, &str); 18] = [
    ("ecRecover", 0x01, "Osaka"),
    ("modexp", 0x05, "Byzantium"),
    ("modexp_eip2565", 0x05, "Berlin"),
    ("modexp_eip7883", 0x05, "Osaka"),
    ("bn256Add", 0x06, "Osaka"),
    ("bn256ScalarMul", 0x07, "Osaka"),
    ("bn256Pairing", 0x08, "Osaka"),
    ("blake2F", 0x09, "Osaka"),
    ("blsG1Add", 0x0b, "Osaka"),
    ("blsG1Mul", 0x0c, "Osaka"),
    ("blsG1MultiExp", 0x0c, "Osaka"),
    ("blsG2Add", 0x0d, "Osaka"),
    ("blsG2Mul", 0x0e, "Osaka"),
    ("blsG2MultiExp", 0x0e, "Osaka"),
    ("blsPairing", 0x0f, "Osaka"),
    ("blsMapG1", 0x10, "Osaka"),
    ("blsMapG2", 0x11, "Osaka"),
    ("p256Verify", 0x100, "Osaka"),
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

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let files = json_files(&context.folder.join("precompiles"))?;
    Ok(files.into_iter().map(|path| Job::new(context.name_of(&path), move |cases| run_file(&path, cases))).collect())
}

fn run_file(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = stem.strip_prefix("fail-").unwrap_or(&stem);
    let (_, number, fork_name) = FILES
        .iter()
        .find(|(name, ..)| name.eq_ignore_ascii_case(plain))
        .ok_or_else(|| format!("vectors of an unknown precompiled contract: {stem}"))?;
    let fork = spec::fork_named(fork_name).ok_or("unknown fork")?;
    let address = Address::left_padding_from(&number.to_be_bytes());
    for vector in read_json::<Vec<Vector>>(path)? {
        cases.run(fork_name, &vector.name, || check(&vector, address, fork));
    }
    Ok(())
}

fn check(vector: &Vector, address: Address, fork: Fork) -> Checked {
    let input = Bytes::from(hex::decode(&vector.input).map_err(|error| error.to_string())?);
    match (call(address, fork, input.clone())?, &vector.expected_error) {
        (CallOutcome::Success { output, gas_used, .. }, None) => {
            expect_equal("output", &vector.expected, &hex::encode(output))?;
            let gas = vector.gas.ok_or("the vector has no gas")?;
            expect_equal("gas", &gas_of_call(fork, &input, gas), &gas_used)
        }
        (CallOutcome::Halt { .. }, Some(_)) => Ok(()),
        (outcome, _) => Err(format!("{outcome:?}")),
    }
}

/// Returns what a transaction with this input uses when the contract itself takes `gas` (EIP-2028 and EIP-7623).
fn gas_of_call(fork: Fork, input: &[u8], gas: u64) -> u64 {
    let count = |bytes: usize| u64::try_from(bytes).expect("a length in memory fits 64 bits");
    let zeros = count(input.iter().filter(|byte| **byte == 0).count());
    let others = count(input.len()) - zeros;
    let price = if fork >= Fork::Istanbul { 16 } else { 68 };
    let used = 21_000 + 4 * zeros + price * others + gas;
    if fork >= Fork::Prague { used.max(21_000 + 10 * (zeros + 4 * others)) } else { used }
}

fn call(address: Address, fork: Fork, input: Bytes) -> Result<CallOutcome, String> {
    let spec = spec::of_fork(fork);
    let context = CallContext {
        spec: &spec,
        state: &StateView::at_head(MemoryStore::new().snapshot()),
        header: &Header::default(),
        gas_cap: 1_000_000_000,
        cancelled: &AtomicBool::new(false),
    };
    let request = CallRequest { to: Some(TxKind::Call(address)), input, ..CallRequest::default() };
    evm_runtime::call::call(&context, &request, &Default::default(), &Default::default())
        .map_err(|error| error.to_string())
}
