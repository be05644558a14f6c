//! Key files (Web3 Secret Storage, version 3) that other programs wrote, and a directory of geth's.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::{Address, address, hex};
use bench::Failure;
use consensus::crypto::address_of;
use node::keystore::{EncryptedKey, KdfStrength, Keystore, KeystoreError};
use serde::Deserialize;
use serde_json::Value;

use crate::conformance::suite::{Cases, Checked, Context, Job, NO_FORK, RunFile, Skip, Suite, expect_equal};
use crate::conformance::vectors::read_json;

pub(crate) const SUITE: Suite = Suite {
    name: "keystore",
    about: "key files of geth, ethers, web3, eth-account and cast decrypted by the node's keystore, wrong passwords refused",
    archive: "unit-vectors",
    skips: &[Skip {
        fork: None,
        part: "crowdsale",
        reason: "the pre-sale wallet of 2014 is another format than version 3",
    }],
    jobs,
};

/// The one key in geth's directory, and its password.
const GETH_ACCOUNT: Address = address!("7ef5a6135f1fd6a02593eedc869c6d41d934aef8");
const GETH_PASSWORD: &str = "foobar";

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let job = |file: &str, run: RunFile| {
        let path = context.folder.join(file);
        Job::new(context.name_of(&path), move |cases| run(&path, cases))
    };
    Ok(vec![
        job("KeyStoreTests/basic_tests.json", run_named),
        job("keystore/geth_v3_test_vector.json", run_named),
        job("keystore/generated_by_other_tools.json", run_tools),
        job("ethers-testcases/wallets.json", run_wallets),
        job("keystore/very-light-scrypt.json", |path, cases| {
            let file: Value = read_json(path)?;
            cases.run(NO_FORK, "", || check(&file.to_string(), "", None, None));
            Ok(())
        }),
        job("keystore/geth-dir", |path, cases| {
            cases.run(NO_FORK, "", || check_directory(path));
            Ok(())
        }),
    ])
}

#[derive(Deserialize)]
struct Named {
    json: Value,
    password: String,
    r#priv: String,
}

fn run_named(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for (name, Named { json, password, r#priv }) in read_json::<BTreeMap<String, Named>>(path)? {
        cases.run(NO_FORK, &name, || check(&json.to_string(), &password, Some(&r#priv), None));
    }
    Ok(())
}

#[derive(Deserialize)]
struct OfTool {
    tool: String,
    password: String,
    r#priv: String,
    address: Address,
    json: Value,
}

fn run_tools(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for OfTool { tool, password, r#priv, address, json } in read_json::<Vec<OfTool>>(path)? {
        let file = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
        let check = || check(&file, &password, Some(&r#priv), Some(address));
        cases.run(NO_FORK, &format!("{tool} {password:?}"), check);
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wallet {
    name: String,
    r#type: String,
    password: Option<String>,
    private_key: String,
    address: Address,
    json: String,
}

fn run_wallets(path: &Path, cases: &mut Cases<'_>) -> Result<(), Failure> {
    for wallet in read_json::<Vec<Wallet>>(path)? {
        cases.run(NO_FORK, &format!("{} {}", wallet.r#type, wallet.name), || {
            let password = wallet.password.as_deref().unwrap_or_default();
            check(&wallet.json, password, Some(&wallet.private_key), Some(wallet.address))
        });
    }
    Ok(())
}

/// Checks that the password gives the key and the address, and that another password does not.
fn check(file: &str, password: &str, key: Option<&str>, address: Option<Address>) -> Checked {
    let encrypted = EncryptedKey::parse(file).map_err(|error| error.to_string())?;
    let decrypted = encrypted.decrypt(password).map_err(|error| error.to_string())?;
    if let Some(key) = key {
        // Vectors leave out the leading zeros of a key.
        let expected = format!("{:0>64}", key.trim_start_matches("0x"));
        expect_equal("key", &expected, &hex::encode(decrypted.to_secret_bytes()))?;
    }
    for expected in [address, encrypted.address].into_iter().flatten() {
        expect_equal("address", &expected, &address_of(&decrypted))?;
    }
    match encrypted.decrypt(&format!("{password}x")) {
        Err(KeystoreError::WrongPassword) => Ok(()),
        Err(other) => Err(format!("a wrong password gives: {other}")),
        Ok(_) => Err("a wrong password decrypts it too".to_owned()),
    }
}

/// Checks that a directory with a key, an empty file, garbage and a text lists the key alone, and unlocks it.
fn check_directory(path: &Path) -> Checked {
    let keystore = Keystore::open(path, KdfStrength::Light);
    let listed = keystore.list().map_err(|error| error.to_string())?;
    let addresses: Vec<Address> = listed.into_iter().map(|account| account.address).collect();
    if addresses != [GETH_ACCOUNT] {
        return Err(format!("lists {addresses:?}"));
    }
    if keystore.unlock(GETH_ACCOUNT, "wrong", None) != Err(KeystoreError::WrongPassword) {
        return Err("a wrong password is not refused as such".to_owned());
    }
    keystore.unlock(GETH_ACCOUNT, GETH_PASSWORD, None).map_err(|error| error.to_string())
}
