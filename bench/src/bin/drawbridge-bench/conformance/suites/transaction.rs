//! Transactions as bytes: which of them a fork takes, their hashes, senders and intrinsic gas; and signing them.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_consensus::SignableTransaction;
use alloy_consensus::proofs::calculate_transaction_root;
use alloy_consensus::transaction::SignerRecoverable;
use alloy_primitives::{Address, B256, Bytes, U256};
use bench::Failure;
use chain::pool::intrinsic_gas;
use consensus::block::BlockBody;
use consensus::spec::Fork;
use consensus::transaction::{decode_transaction, encode_transaction};
use consensus::validation::validate_body;
use consensus::{Genesis, GenesisAccount, Header, RecoveredTransaction, SealedHeader, Transaction};
use evm_runtime::execute::BlockExecutor;
use evm_runtime::state::{self, StateView};
use serde::Deserialize;
use storage::{Durability, MemoryStore, Stage, Store};

use crate::conformance::spec;
use crate::conformance::suite::{Cases, Checked, Context, Job, NO_FORK, RunFile, Skip, Suite, expect_equal};
use crate::conformance::vectors::{json_files, read_json};

pub(crate) const SUITE: Suite = Suite {
    name: "transaction",
    about: "bytes decoded, recovered, validated as a block's body and executed, or refused; hash, sender and intrinsic gas; \
            ethers' transactions encoded and signed again",
    archive: "unit-vectors",
    skips: &SKIPS,
    jobs,
};

const SKIPS: [Skip; 5] = [
    Skip { fork: None, part: GAS_BEYOND_64_BITS, reason: "a gas limit beyond 64 bits, which no block has room for" },
    huge_fee("London"),
    huge_fee("Paris"),
    huge_fee("Shanghai"),
    huge_fee("Cancun"),
];

/// Before London the transaction is refused for its type, as it should be.
const fn huge_fee(fork: &'static str) -> Skip {
    Skip {
        fork: Some(fork),
        part: "GasLimitPriceProductOverflowtMinusOne",
        reason: "a fee cap beyond 128 bits, which no account can pay; geth leaves it out too",
    }
}

/// What the names of such cases end with.
const GAS_BEYOND_64_BITS: &str = "(gas limit beyond 64 bits)";

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let job = |path: std::path::PathBuf, run: RunFile| Job::new(context.name_of(&path), move |cases| run(&path, cases));
    let mut jobs = vec![
        job(context.folder.join("ethers-testcases/transactions.json"), run_legacy),
        job(context.folder.join("ethers-testcases/typed-transactions.json"), run_typed),
    ];
    let official = json_files(&context.folder.join("TransactionTests"))?;
    jobs.extend(official.into_iter().map(|path| job(path, run_official)));
    Ok(jobs)
}

#[derive(Deserialize)]
struct Official {
    txbytes: Bytes,
    result: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expected {
    exception: Option<String>,
    hash: Option<B256>,
    sender: Option<Address>,
    intrinsic_gas: Option<U256>,
}

fn run_official(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for (name, test) in read_json::<BTreeMap<String, Official>>(path)? {
        for (fork_name, expected) in &test.result {
            cases.run(fork_name, &name, || check_official(&test.txbytes, fork_name, expected));
        }
    }
    Ok(())
}

fn check_official(bytes: &[u8], fork_name: &str, expected: &Expected) -> Checked {
    let fork = match fork_name {
        // What a transaction looks like, that fork did not change.
        "Constantinople" => Fork::Constantinople,
        name => spec::fork_named(name).ok_or_else(|| format!("unknown fork {name}"))?,
    };
    match (take(bytes, fork), &expected.exception) {
        (Err(_), Some(_)) => Ok(()),
        (Err(reason), None) => Err(format!("refused: {reason}")),
        (Ok(_), Some(exception)) => Err(format!("taken, but expected {exception}")),
        (Ok(transaction), None) => {
            let gas = U256::from(intrinsic_gas(transaction.transaction(), fork));
            expect_equal("hash", &expected.hash.ok_or("no hash")?, &transaction.hash())?;
            expect_equal("sender", &expected.sender.ok_or("no sender")?, &transaction.sender())?;
            expect_equal("intrinsic gas", &expected.intrinsic_gas.ok_or("no gas")?, &gas)
        }
    }
}

/// Takes a transaction as a block would: decodes it, recovers its sender, validates it as a body, and executes it for a sender that can
/// pay anything.
fn take(bytes: &[u8], fork: Fork) -> Result<RecoveredTransaction, String> {
    let decoded = decode_transaction(bytes).map_err(|error| error.to_string())?;
    let recover =
        if fork < Fork::Homestead { RecoveredTransaction::recover_frontier } else { RecoveredTransaction::recover };
    let transaction = recover(decoded).map_err(|error| error.to_string())?;
    let spec = spec::of_fork(fork);
    let body = BlockBody {
        transactions: vec![transaction.transaction().clone()],
        withdrawals: (fork >= Fork::Shanghai).then(Default::default),
        ..BlockBody::default()
    };
    let header = Header {
        number: 1,
        gas_limit: u64::MAX,
        transactions_root: calculate_transaction_root(&body.transactions),
        base_fee_per_gas: (fork >= Fork::London).then_some(0),
        excess_blob_gas: (fork >= Fork::Cancun).then_some(0),
        ..Header::default()
    };
    validate_body(&spec, &header, &body, 0).map_err(|error| error.to_string())?;
    execute(&spec, &header, &transaction)?;
    Ok(transaction)
}

fn execute(spec: &consensus::ChainSpec, header: &Header, transaction: &RecoveredTransaction) -> Checked {
    use alloy_consensus::Transaction as _;
    let store = MemoryStore::new();
    let mut stage = Stage::new(store.snapshot());
    let sender = GenesisAccount { balance: U256::MAX, nonce: transaction.nonce(), ..GenesisAccount::default() };
    let genesis = Genesis {
        spec: spec.clone(),
        header: SealedHeader::new(Header::default()),
        alloc: BTreeMap::from([(transaction.sender(), sender)]),
        bootnodes: Vec::new(),
    };
    let text = |error: evm_runtime::StateError| error.to_string();
    state::put_genesis(&mut stage, &genesis).map_err(text)?;
    store.commit(stage.into_batch(), Durability::Process).map_err(|error| error.to_string())?;
    let snapshot = store.snapshot();
    let view = StateView::at_head(snapshot.clone());
    let mut executor = BlockExecutor::begin(spec, header, &view, &*snapshot).map_err(|error| error.to_string())?;
    executor.transact(transaction).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Legacy {
    name: String,
    account_address: Address,
    private_key: B256,
    signed_transaction: Bytes,
    signed_transaction_chain_id5: Bytes,
    unsigned_transaction: Bytes,
    unsigned_transaction_chain_id5: Bytes,
    gas_limit: Option<Bytes>,
}

fn run_legacy(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for test in read_json::<Vec<Legacy>>(path)? {
        let signed = [
            ("plain", &test.signed_transaction, &test.unsigned_transaction, None),
            ("chain 5", &test.signed_transaction_chain_id5, &test.unsigned_transaction_chain_id5, Some(5)),
        ];
        let is_huge = test.gas_limit.as_ref().is_some_and(|gas| gas.len() > size_of::<u64>());
        for (kind, bytes, unsigned, chain_id) in signed {
            let note = if is_huge { GAS_BEYOND_64_BITS } else { "" };
            cases.run(NO_FORK, format!("{} {kind} {note}", test.name).trim_end(), || {
                let transaction = check_signed(bytes, unsigned, test.private_key, test.account_address)?;
                use alloy_consensus::Transaction as _;
                if transaction.chain_id() == chain_id { Ok(()) } else { Err("another chain id".to_owned()) }
            });
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Typed {
    name: String,
    address: Address,
    key: B256,
    signed: Bytes,
    unsigned: Bytes,
}

fn run_typed(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for test in read_json::<Vec<Typed>>(path)? {
        cases.run(NO_FORK, &test.name, || {
            check_signed(&test.signed, &test.unsigned, test.key, test.address).map(|_| ())
        });
    }
    Ok(())
}

/// Checks that a transaction comes back from its bytes, that its signature gives its sender, that what is signed is as expected, and that
/// signing it again gives the same bytes.
fn check_signed(bytes: &[u8], unsigned: &[u8], key: B256, sender: Address) -> Result<Transaction, String> {
    let transaction = decode_transaction(bytes).map_err(|error| error.to_string())?;
    if encode_transaction(&transaction)[..] != *bytes {
        return Err("encoded again to other bytes".to_owned());
    }
    let recovered = transaction.recover_signer().map_err(|error| error.to_string())?;
    expect_equal("sender", &sender, &recovered)?;
    let key = consensus::crypto::secret_key(key.0).map_err(|error| error.to_string())?;
    let again = match transaction.clone() {
        Transaction::Legacy(signed) => sign_again(&key, signed, unsigned)?,
        Transaction::Eip2930(signed) => sign_again(&key, signed, unsigned)?,
        Transaction::Eip1559(signed) => sign_again(&key, signed, unsigned)?,
        Transaction::Eip4844(signed) => sign_again(&key, signed, unsigned)?,
        Transaction::Eip7702(signed) => sign_again(&key, signed, unsigned)?,
    };
    if again == transaction { Ok(transaction) } else { Err("signed again to another signature".to_owned()) }
}

fn sign_again<T>(
    key: &consensus::crypto::SecretKey,
    signed: alloy_consensus::Signed<T>,
    unsigned: &[u8],
) -> Result<Transaction, String>
where
    T: SignableTransaction<alloy_primitives::Signature>,
    Transaction: From<alloy_consensus::Signed<T>>,
{
    let plain = signed.strip_signature();
    if plain.encoded_for_signing() != unsigned {
        return Err("other bytes are signed".to_owned());
    }
    let signature = consensus::crypto::sign(key, plain.signature_hash());
    Ok(plain.into_signed(signature).into())
}
