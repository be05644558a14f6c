//! Addresses of keys and their checksums, and keys below a mnemonic.

use std::path::Path;

use alloy_primitives::{Address, B256, hex};
use bench::Failure;
use consensus::crypto::{address_of, secret_key};
use node::accounts::{derive_key, mnemonic_seed};
use serde::Deserialize;

use crate::conformance::suite::{Cases, Checked, Context, Job, NO_FORK, Skip, Suite, expect_equal};
use crate::conformance::vectors::read_json;

pub(crate) const SUITE: Suite = Suite {
    name: "account",
    about: "addresses of keys, their checksums (EIP-55), and the keys below a mnemonic (BIP-39, BIP-32)",
    archive: "unit-vectors",
    skips: &[Skip {
        fork: None,
        part: "hdnode easyseed",
        reason: "a mnemonic with a passphrase; the node's development mnemonic has none",
    }],
    jobs,
};

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let folder = context.folder.join("ethers-testcases");
    let (accounts, nodes) = (folder.join("accounts.json"), folder.join("hdnode.json"));
    Ok(vec![
        Job::new(context.name_of(&accounts), move |cases| run_accounts(&accounts, cases)),
        Job::new(context.name_of(&nodes), move |cases| run_nodes(&nodes, cases)),
    ])
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    name: String,
    address: Address,
    checksum_address: String,
    private_key: Option<String>,
}

fn run_accounts(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for account in read_json::<Vec<Account>>(path)? {
        cases.run(NO_FORK, &account.name, || check_account(&account));
    }
    Ok(())
}

fn check_account(account: &Account) -> Checked {
    expect_equal("checksum", &account.checksum_address, &account.address.to_checksum(None))?;
    Address::parse_checksummed(&account.checksum_address, None).map_err(|error| error.to_string())?;
    match &account.private_key {
        Some(key) => expect_equal("address", &account.address, &address_of_text(key)?),
        None => Ok(()),
    }
}

fn address_of_text(key: &str) -> Result<Address, String> {
    let bytes = key.parse::<B256>().map_err(|error| format!("{key}: {error}"))?;
    secret_key(bytes.0).map(|key| address_of(&key)).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Mnemonic {
    name: String,
    mnemonic: String,
    seed: String,
    hdnodes: Vec<Derived>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Derived {
    path: String,
    private_key: String,
    address: Address,
}

fn run_nodes(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for mnemonic in read_json::<Vec<Mnemonic>>(path)? {
        cases.run(NO_FORK, &mnemonic.name, || check_mnemonic(&mnemonic));
    }
    Ok(())
}

fn check_mnemonic(mnemonic: &Mnemonic) -> Checked {
    let seed = mnemonic_seed(&mnemonic.mnemonic);
    expect_equal("seed", &mnemonic.seed, &hex::encode_prefixed(seed.as_slice()))?;
    for derived in &mnemonic.hdnodes {
        let path = path_steps(&derived.path)?;
        let key = derive_key(&seed, &path).ok_or_else(|| format!("no key at {}", derived.path))?;
        expect_equal(&derived.path, &derived.private_key, &hex::encode_prefixed(key.to_secret_bytes()))?;
        expect_equal(&derived.path, &derived.address, &address_of(&key))?;
    }
    Ok(())
}

/// Reads `m/44'/60'` as numbers, each with whether it is hardened.
fn path_steps(path: &str) -> Result<Vec<(u32, bool)>, String> {
    let step = |step: &str| {
        let (digits, is_hardened) = step.strip_suffix('\'').map_or((step, false), |digits| (digits, true));
        digits.parse::<u32>().map(|number| (number, is_hardened)).map_err(|error| format!("{path}: {error}"))
    };
    path.split('/').skip(1).map(step).collect()
}
