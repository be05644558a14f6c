//! The keystore's behaviour, with light key derivation and a clock that the tests move.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::fs;

use super::*;

thread_local! {
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static START: Instant = Instant::now();
}

fn test_clock() -> Instant {
    START.with(|start| *start) + PASSED.get()
}

fn keystore() -> (tempfile::TempDir, Keystore) {
    let folder = tempfile::tempdir().unwrap();
    let keystore = Keystore::with_clock(folder.path().join("keystore"), KdfStrength::Light, test_clock);
    (folder, keystore)
}

fn key(byte: u8) -> SecretKey {
    crypto::secret_key([byte; 32]).unwrap()
}

const HASH: B256 = B256::repeat_byte(0x5a);

#[test]
fn a_new_account_signs_once_unlocked_and_not_after_locking() {
    let (_folder, keystore) = keystore();
    let account = keystore.new_account("pw").unwrap();
    let address = account.address;
    assert_eq!(keystore.list().unwrap(), vec![account]);
    assert_eq!(keystore.sign_hash(address, HASH), Err(KeystoreError::Locked));
    assert_eq!(keystore.unlock(address, "no", None), Err(KeystoreError::WrongPassword));
    assert!(!keystore.is_unlocked(address));
    keystore.unlock(address, "pw", None).unwrap();
    let signature = keystore.sign_hash(address, HASH).unwrap();
    assert_eq!(crypto::recover_address(&signature, HASH), Ok(address));
    keystore.lock(address);
    assert_eq!(keystore.sign_hash(address, HASH), Err(KeystoreError::Locked));
}

#[test]
fn a_timed_unlock_ends_and_never_shortens_an_endless_one() {
    let (_folder, keystore) = keystore();
    let address = keystore.import(key(1), "pw").unwrap().address;
    let seconds = Duration::from_secs;
    keystore.unlock(address, "pw", Some(seconds(10))).unwrap();
    PASSED.set(seconds(9));
    assert!(keystore.sign_hash(address, HASH).is_ok());
    keystore.unlock(address, "pw", Some(seconds(3))).unwrap();
    PASSED.set(seconds(11));
    assert!(keystore.is_unlocked(address), "the later limit replaces the earlier one");
    PASSED.set(seconds(12));
    assert_eq!(keystore.sign_hash(address, HASH), Err(KeystoreError::Locked));
    keystore.unlock(address, "pw", None).unwrap();
    keystore.unlock(address, "pw", Some(seconds(1))).unwrap();
    PASSED.set(seconds(1_000_000));
    assert!(keystore.is_unlocked(address));
    keystore.lock(address);
    keystore.unlock(address, "pw", Some(Duration::MAX)).unwrap();
    assert!(keystore.is_unlocked(address), "a limit beyond the clock is none");
}

#[test]
fn accounts_that_are_not_here_have_the_words_that_clients_match() {
    let (_folder, keystore) = keystore();
    let nobody = Address::repeat_byte(9);
    let check =
        |actual: Result<(), KeystoreError>, expected: &str| assert_eq!(actual.unwrap_err().to_string(), expected);
    check(keystore.unlock(nobody, "", None), "no key for given address or file");
    check(keystore.update(nobody, "", ""), "no key for given address or file");
    check(keystore.sign_hash(nobody, HASH).map(drop), "unknown account");
    check(keystore.sign_with_password(nobody, "", HASH).map(drop), "unknown account");
    let address = keystore.import(key(1), "pw").unwrap().address;
    check(keystore.sign_hash(address, HASH).map(drop), "authentication needed: password or unlock");
    check(keystore.sign_with_password(address, "", HASH).map(drop), "could not decrypt key with given password");
    check(keystore.import(key(1), "other").map(drop), "account already exists");
}

#[test]
fn a_password_can_sign_once_without_unlocking() {
    let (_folder, keystore) = keystore();
    let address = keystore.import(key(1), "密码").unwrap().address;
    let signature = keystore.sign_with_password(address, "密码", HASH).unwrap();
    assert_eq!(crypto::recover_address(&signature, HASH), Ok(address));
    assert!(!keystore.is_unlocked(address));
}

#[test]
fn an_update_changes_the_password_and_keeps_the_file() {
    let (_folder, keystore) = keystore();
    let account = keystore.import(key(1), "old").unwrap();
    assert_eq!(keystore.update(account.address, "wrong", "new"), Err(KeystoreError::WrongPassword));
    keystore.update(account.address, "old", "new").unwrap();
    assert_eq!(keystore.list().unwrap(), vec![account.clone()]);
    assert_eq!(keystore.unlock(account.address, "old", None), Err(KeystoreError::WrongPassword));
    keystore.unlock(account.address, "new", None).unwrap();
}

#[test]
fn accounts_in_memory_come_first_and_are_never_locked() {
    let (_folder, keystore) = keystore();
    let on_disk = keystore.import(key(1), "pw").unwrap().address;
    let in_memory = keystore.add_ephemeral(key(2));
    assert_eq!(keystore.accounts(), vec![in_memory, on_disk]);
    keystore.lock(in_memory);
    keystore.unlock(in_memory, "whatever", Some(Duration::ZERO)).unwrap();
    assert!(keystore.sign_hash(in_memory, HASH).is_ok());
    assert!(keystore.sign_with_password(in_memory, "", HASH).is_ok());
    assert_eq!(keystore.import(key(2), "pw"), Err(KeystoreError::AlreadyExists));
}

#[test]
fn files_come_and_go_while_the_keystore_is_open() {
    let (_folder, keystore) = keystore();
    let account = keystore.import(key(1), "pw").unwrap();
    let path = account.path.clone().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(keystore.accounts().is_empty());
    let folder = keystore.directory();
    let upper = serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let mut nameless = upper.as_object().unwrap().clone();
    nameless.remove("address");
    let nameless = serde_json::to_string(&nameless).unwrap();
    for garbage in ["garbage", ".hidden", "backup~", "no-address"] {
        let content = match garbage {
            "garbage" => "\u{1}\u{2}garbage",
            "no-address" => &nameless,
            _ => &text,
        };
        fs::write(folder.join(garbage), content).unwrap();
    }
    fs::write(folder.join("not-utf8"), [0xff, 0xfe, 0x00]).unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(folder.join("huge"), vec![b' '; 100_000]).unwrap();
    fs::create_dir(folder.join("folder")).unwrap();
    assert!(keystore.accounts().is_empty(), "none of these is a key file");
    fs::write(folder.join(path.file_name().unwrap()), &nameless).unwrap();
    assert_eq!(keystore.accounts(), [account.address], "the file name tells the address");
    keystore.unlock(account.address, "pw", None).unwrap();
    fs::rename(&path, folder.join(format!("UTC--x--{}", "11".repeat(20)))).unwrap();
    let lied = keystore.unlock(Address::repeat_byte(0x11), "pw", None).unwrap_err();
    assert!(matches!(lied, KeystoreError::OtherKey { .. }), "{lied}");
}

#[test]
fn threads_share_a_keystore() {
    let folder = tempfile::tempdir().unwrap();
    let keystore = Keystore::open(folder.path(), KdfStrength::Light);
    let address = keystore.add_ephemeral(key(3));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    keystore.sign_hash(address, HASH).unwrap();
                    assert_eq!(keystore.accounts()[0], address);
                }
            });
        }
    });
}
