//! Key files that other programs wrote: geth, ethers, web3, eth-account and cast, and the official test vectors.
//!
//! The vectors are looked for in `$DRAWBRIDGE_VECTORS` and in `../shared/conformance` beside the repository: a folder
//! `unit-vectors`, or its archive `unit-vectors.tar.zst`, which is unpacked by `tar`. Without them the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alloy_primitives::{Address, hex};
use consensus::crypto::address_of;
use node::keystore::{EncryptedKey, KdfStrength, Keystore, KeystoreError};
use serde_json::Value;

/// The folder of the vectors; the second value keeps an unpacked archive alive.
fn vectors() -> Option<(PathBuf, Option<tempfile::TempDir>)> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    for root in std::env::var_os("DRAWBRIDGE_VECTORS").map(PathBuf::from).into_iter().chain([beside]) {
        let folder = root.join("unit-vectors");
        if folder.is_dir() {
            return Some((folder, None));
        }
        let archive = root.join("unit-vectors.tar.zst");
        if archive.is_file() {
            let unpacked = tempfile::tempdir().unwrap();
            let parts = ["unit-vectors/keystore", "unit-vectors/KeyStoreTests", "unit-vectors/ethers-testcases"];
            let status = Command::new("tar")
                .arg("--zstd")
                .arg("-xf")
                .arg(&archive)
                .arg("-C")
                .arg(unpacked.path())
                .args(parts)
                .status();
            if status.is_ok_and(|status| status.success()) {
                return Some((unpacked.path().join("unit-vectors"), Some(unpacked)));
            }
            println!("SKIPPED: {} cannot be unpacked (tar with zstd is needed)", archive.display());
        }
    }
    println!("SKIPPED: no unit-vectors in $DRAWBRIDGE_VECTORS or ../shared/conformance");
    None
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Checks that the password gives the key, and that another one does not.
fn check(name: &str, file: &str, password: &str, key: &str) {
    let encrypted = EncryptedKey::parse(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    let decrypted = encrypted.decrypt(password).unwrap_or_else(|error| panic!("{name}: {error}"));
    let expected = format!("{:0>64}", key.trim_start_matches("0x"));
    assert_eq!(hex::encode(decrypted.to_secret_bytes()), expected, "{name}");
    if let Some(address) = encrypted.address {
        assert_eq!(address, address_of(&decrypted), "{name}");
    }
    let wrong = format!("{password}x");
    assert_eq!(encrypted.decrypt(&wrong), Err(KeystoreError::WrongPassword), "{name}");
}

#[test]
fn official_vectors_decrypt() {
    let Some((folder, _guard)) = vectors() else { return };
    let mut count = 0;
    for file in ["KeyStoreTests/basic_tests.json", "keystore/geth_v3_test_vector.json"] {
        for (name, case) in json(&folder.join(file)).as_object().unwrap() {
            let text = |field: &str| case[field].as_str().unwrap();
            // `priv` of the last bytes alone is a key with leading zeros.
            check(&format!("{file} {name}"), &case["json"].to_string(), text("password"), text("priv"));
            count += 1;
        }
    }
    println!("{count} official key files decrypted");
    assert!(count >= 5);
}

#[test]
fn files_of_other_tools_decrypt() {
    let Some((folder, _guard)) = vectors() else { return };
    let mut count = 0;
    for case in json(&folder.join("keystore/generated_by_other_tools.json")).as_array().unwrap() {
        let text = |field: &str| case[field].as_str().unwrap();
        let file = case["json"].as_str().map_or_else(|| case["json"].to_string(), str::to_owned);
        check(text("tool"), &file, text("password"), text("priv"));
        let address: Address = text("address").parse().unwrap();
        let key = EncryptedKey::parse(&file).unwrap().decrypt(text("password")).unwrap();
        assert_eq!(address_of(&key), address);
        count += 1;
    }
    for case in json(&folder.join("ethers-testcases/wallets.json")).as_array().unwrap() {
        let text = |field: &str| case[field].as_str().unwrap();
        if text("type") == "secret-storage" {
            check(text("name"), text("json"), text("password"), text("privateKey"));
            count += 1;
        }
    }
    println!("{count} key files of other tools decrypted");
    assert!(count >= 10);
}

#[test]
fn a_directory_of_geth_is_listed_without_its_garbage() {
    let Some((folder, _guard)) = vectors() else { return };
    let keystore = Keystore::open(folder.join("keystore/geth-dir"), KdfStrength::Light);
    let address: Address = "7ef5a6135f1fd6a02593eedc869c6d41d934aef8".parse().unwrap();
    assert_eq!(keystore.accounts(), [address]);
    assert_eq!(keystore.unlock(address, "wrong", None), Err(KeystoreError::WrongPassword));
    keystore.unlock(address, "foobar", None).unwrap();
    let very_light = fs::read_to_string(folder.join("keystore/very-light-scrypt.json")).unwrap();
    EncryptedKey::parse(&very_light).unwrap().decrypt("").unwrap();
}
