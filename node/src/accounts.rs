//! Accounts at start: those of the development chain, passwords from files, terminals and pipes, and `--unlock`.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, IsTerminal, Read};
use std::path::Path;

use alloy_primitives::{Address, hex};
use bip32::{ChildNumber, XPrv};
use consensus::crypto::{self, SecretKey};
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::config::values::AccountRef;
use crate::config::{AccountsConfig, DevConfig};
use crate::exit::Fatal;
use crate::keystore::{KdfStrength, Keystore, KeystoreError};

/// The mnemonic that development tools share; its accounts are known to everybody.
pub const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// The path of these accounts below the seed: Ether, first account (BIP-44, SLIP-44).
pub const DEV_DERIVATION_PATH: &str = "m/44'/60'/0'/0";

/// The largest password file that is read, in bytes.
const PASSWORD_FILE_SIZE_BYTES_MAX: u64 = 1024 * 1024;

/// Derives the first `count` accounts of a mnemonic (BIP-39 seed without a passphrase, BIP-32 keys). The words are taken as
/// they are: any text gives accounts, and another text gives others.
///
/// # Errors
/// The mnemonic is empty.
pub fn dev_accounts(mnemonic: &str, count: u16) -> Result<Vec<(Address, SecretKey)>, Fatal> {
    let words = mnemonic.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() {
        return Err(Fatal::config("--dev.mnemonic is empty", "give the words, or leave the flag out"));
    }
    let seed = mnemonic_seed(&words);
    (0..count).map(|index| dev_account(&seed, index)).collect()
}

/// Returns the seed of a mnemonic without a passphrase (BIP-39): PBKDF2-HMAC-SHA512, 2048 rounds, salt "mnemonic".
pub fn mnemonic_seed(words: &str) -> Zeroizing<[u8; 64]> {
    let mut seed = Zeroizing::new([0; 64]);
    pbkdf2::pbkdf2_hmac::<Sha512>(words.as_bytes(), b"mnemonic", 2048, seed.as_mut());
    seed
}

/// Derives the key at `path` below a seed (BIP-32); each step is a number and whether it is hardened. `None` where a number is 2^31 or
/// more, and at one path in 2^127.
pub fn derive_key(seed: &[u8; 64], path: &[(u32, bool)]) -> Option<SecretKey> {
    let master = XPrv::new(seed.as_slice()).ok()?;
    let derived = path.iter().try_fold(master, |parent, &(number, hardened)| {
        parent.derive_child(ChildNumber::new(number, hardened).ok()?).ok()
    })?;
    crypto::secret_key(derived.private_key().to_bytes().into()).ok()
}

fn dev_account(seed: &[u8; 64], index: u16) -> Result<(Address, SecretKey), Fatal> {
    let path = [(44, true), (60, true), (0, true), (0, false), (u32::from(index), false)];
    // No mnemonic is known for which it happens.
    let key = derive_key(seed, &path)
        .ok_or_else(|| Fatal::config(format!("--dev.mnemonic has no account {index}"), "choose another mnemonic"))?;
    Ok((crypto::address_of(&key), key))
}

/// Returns what the development chain prints at start: accounts, keys, and where they come from. Everybody knows the keys
/// of the default mnemonic.
pub fn dev_banner(dev: &DevConfig, accounts: &[(Address, SecretKey)]) -> String {
    let mut text = String::from("Accounts\n");
    let line = |text: &mut String, index: usize, value: &dyn std::fmt::Display| {
        writeln!(text, "({index}) {value}").expect("writing to a String cannot fail");
    };
    for (index, (address, _)) in accounts.iter().enumerate() {
        line(&mut text, index, address);
    }
    text.push_str("\nPrivate keys\n");
    for (index, (_, key)) in accounts.iter().enumerate() {
        line(&mut text, index, &hex::encode_prefixed(key.to_secret_bytes()));
    }
    write!(text, "\nMnemonic         {}\nDerivation path  {DEV_DERIVATION_PATH}/\n", dev.mnemonic)
        .expect("writing to a String cannot fail");
    text
}

/// Opens the keystore; for a development chain its accounts are added, unlocked.
///
/// # Errors
/// The mnemonic of the development chain is empty.
pub fn open_keystore(accounts: &AccountsConfig, dev: Option<&DevConfig>) -> Result<Keystore, Fatal> {
    let strength = if accounts.light_kdf { KdfStrength::Light } else { KdfStrength::Standard };
    let keystore = Keystore::open(&accounts.keystore_dir, strength);
    if let Some(dev) = dev {
        for (_, key) in dev_accounts(&dev.mnemonic, dev.accounts)? {
            keystore.add_ephemeral(key);
        }
    }
    Ok(keystore)
}

/// Returns the address that `account` names.
///
/// # Errors
/// A place beyond the list, or the keystore cannot be read.
pub fn resolve(keystore: &Keystore, account: AccountRef) -> Result<Address, Fatal> {
    match account {
        AccountRef::Address(address) => Ok(address),
        AccountRef::Index(index) => {
            let accounts = keystore.list()?;
            accounts.get(index).map(|account| account.address).ok_or_else(|| {
                let count = accounts.len();
                Fatal::key(
                    format!("there is no account {index}: the keystore holds {count}"),
                    "`drawbridge account list` shows them, counted from 0",
                )
            })
        }
    }
}

/// Unlocks the accounts of `--unlock` until the program ends, and returns their addresses. The n-th account takes the n-th
/// line of `--password`, or the last one; without a file the passwords are asked for.
///
/// # Errors
/// An account is not there, or its password is missing or wrong.
pub fn unlock_at_start(keystore: &Keystore, config: &AccountsConfig) -> Result<Vec<Address>, Fatal> {
    let mut passwords = Passwords::open(config.password_file.as_deref())?;
    let mut unlocked = Vec::new();
    for account in &config.unlock {
        let address = resolve(keystore, *account)?;
        if !keystore.is_unlocked(address) {
            let password = passwords.next_or_last(&format!("Password of {address}: "))?;
            keystore.unlock(address, &password, None).map_err(|error| unlock_error(address, error))?;
        }
        unlocked.push(address);
    }
    Ok(unlocked)
}

fn unlock_error(address: Address, error: KeystoreError) -> Fatal {
    let cause = format!("account {address} cannot be unlocked: {error}");
    Fatal::key(cause, Fatal::from(error).remedy())
}

/// A password, whose memory is overwritten when it goes.
pub type Password = Zeroizing<String>;

/// Where passwords come from: the lines of a file, else the terminal, else the lines of standard input.
#[derive(Debug)]
pub struct Passwords {
    source: Source,
}

enum Source {
    File { lines: VecDeque<Password>, last: Password },
    Terminal,
    Pipe,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::File { .. } => "File",
            Self::Terminal => "Terminal",
            Self::Pipe => "Pipe",
        })
    }
}

impl Passwords {
    /// Reads the password file, or decides where to ask.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(file: Option<&Path>) -> Result<Self, Fatal> {
        let source = match file {
            Some(path) => {
                let lines = read_lines(path)?;
                let last = lines.back().cloned().unwrap_or_default();
                Source::File { lines, last }
            }
            None if std::io::stdin().is_terminal() => Source::Terminal,
            None => Source::Pipe,
        };
        Ok(Self { source })
    }

    /// Returns the next password; once a file is through, its last line again.
    ///
    /// # Errors
    /// Nobody can be asked.
    pub fn next_or_last(&mut self, prompt: &str) -> Result<Password, Fatal> {
        match &mut self.source {
            Source::File { lines, last } => Ok(lines.pop_front().unwrap_or_else(|| last.clone())),
            Source::Terminal => ask(prompt),
            Source::Pipe => read_piped()?.ok_or_else(nobody_to_ask),
        }
    }

    /// Returns a password for a key that is written: on a terminal it is asked for twice.
    ///
    /// # Errors
    /// Nobody can be asked, or the two differ.
    pub fn next_new(&mut self, prompt: &str) -> Result<Password, Fatal> {
        let password = self.next_or_last(prompt)?;
        let repeated = match self.source {
            Source::File { .. } => None,
            Source::Terminal => Some(ask("Repeat the password: ")?),
            // A script may give the password once or twice.
            Source::Pipe => read_piped()?,
        };
        match repeated {
            Some(repeated) if repeated != password => {
                Err(Fatal::key("the two passwords differ", "type the same one twice"))
            }
            _ => Ok(password),
        }
    }

    /// Returns whether a further line or a person can give another password.
    pub fn has_more(&self) -> bool {
        match &self.source {
            Source::File { lines, .. } => !lines.is_empty(),
            Source::Terminal | Source::Pipe => true,
        }
    }
}

fn read_lines(path: &Path) -> Result<VecDeque<Password>, Fatal> {
    let unreadable = |problem: &dyn std::fmt::Display| {
        Fatal::key(
            format!("password file {}: {problem}", path.display()),
            "give a text file with one password per line",
        )
    };
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    file.take(PASSWORD_FILE_SIZE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    if text.len() as u64 > PASSWORD_FILE_SIZE_BYTES_MAX {
        return Err(unreadable(&"too large"));
    }
    Ok(text.lines().map(|line| Zeroizing::new(line.to_owned())).collect())
}

fn ask(prompt: &str) -> Result<Password, Fatal> {
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|error| Fatal::key(format!("the password cannot be read: {error}"), "give a file with --password"))
}

fn read_piped() -> Result<Option<Password>, Fatal> {
    let mut line = Zeroizing::new(String::new());
    let size = std::io::stdin()
        .lock()
        .take(PASSWORD_FILE_SIZE_BYTES_MAX)
        .read_line(&mut line)
        .map_err(|error| Fatal::key(format!("standard input: {error}"), "give a file with --password"))?;
    let text = line.trim_end_matches(['\r', '\n']).to_owned();
    Ok((size > 0).then(|| Zeroizing::new(text)))
}

fn nobody_to_ask() -> Fatal {
    Fatal::key("a password is needed, and there is nobody to ask", "give a file with --password")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloy_primitives::address;

    #[test]
    fn the_development_accounts_are_those_that_every_tool_knows() {
        let accounts = dev_accounts(DEV_MNEMONIC, 10).unwrap();
        assert_eq!(accounts.len(), 10);
        assert_eq!(accounts[0].0, address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert_eq!(accounts[1].0, address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"));
        assert_eq!(accounts[9].0, address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"));
        let banner = dev_banner(&DevConfig::default(), &accounts);
        assert!(banner.contains("(0) 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"), "{banner}");
        assert!(banner.contains("(0) 0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"), "{banner}");
    }

    #[test]
    fn another_mnemonic_has_other_accounts_and_spaces_do_not_count() {
        let of = |mnemonic: &str| dev_accounts(mnemonic, 1).map(|accounts| accounts[0].0);
        assert_eq!(of(&DEV_MNEMONIC.replace(' ', "\n  ")), of(DEV_MNEMONIC));
        assert_ne!(of("another mnemonic"), of(DEV_MNEMONIC));
        assert_eq!(of(" ").unwrap_err().code(), 65);
    }

    #[test]
    fn the_keystore_of_a_development_chain_lists_its_accounts_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let config = AccountsConfig { keystore_dir: folder.path().into(), ..AccountsConfig::default() };
        let keystore = open_keystore(&config, Some(&DevConfig::default())).unwrap();
        let expected: Vec<_> = dev_accounts(DEV_MNEMONIC, 10).unwrap().iter().map(|(address, _)| *address).collect();
        assert_eq!(keystore.accounts(), expected);
        assert_eq!(resolve(&keystore, AccountRef::Index(3)).unwrap(), expected[3]);
        assert_eq!(resolve(&keystore, AccountRef::Index(10)).unwrap_err().code(), 77);
    }

    #[test]
    fn accounts_take_the_lines_of_the_password_file_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::open(folder.path().join("keys"), KdfStrength::Light);
        let accounts: Vec<_> =
            ["one", "two", "two"].map(|password| keystore.new_account(password).unwrap().address).into();
        let file = folder.path().join("pw.txt");
        let config = |unlock: Vec<AccountRef>| AccountsConfig {
            unlock,
            password_file: Some(file.clone()),
            ..AccountsConfig::default()
        };
        std::fs::write(&file, "one\r\ntwo\n").unwrap();
        let all = config(vec![AccountRef::Address(accounts[0]), AccountRef::Index(1), AccountRef::Index(2)]);
        assert_eq!(unlock_at_start(&keystore, &all).unwrap(), accounts, "the last line serves the rest");
        let locked = Keystore::open(folder.path().join("keys"), KdfStrength::Light);
        let wrong = unlock_at_start(&locked, &config(vec![AccountRef::Index(1)])).unwrap_err();
        assert_eq!(wrong.code(), 77);
        assert!(wrong.to_string().contains("could not decrypt key with given password"), "{wrong}");
        assert!(wrong.to_string().contains(&accounts[1].to_string()), "{wrong}");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(unlock_at_start(&locked, &config(vec![AccountRef::Index(0)])).unwrap_err().code(), 77);
    }
}
