//! The accounts this node can sign for: encrypted key files (Web3 Secret Storage, version 3), unlocked on request, and
//! accounts of a development chain that live in memory and are never locked.
//!
//! Not here: passwords' origin (files, prompts) and the mnemonic of the development accounts, which are in `accounts`.

mod directory;
mod file;
mod kdf;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use alloy_primitives::{Address, B256, Signature};
use consensus::crypto::{self, SecretKey};
use parking_lot::Mutex;
use zeroize::Zeroizing;

pub use file::EncryptedKey;
pub(crate) use file::{unwrap_secret, wrap_secret};
pub use kdf::KdfStrength;

use directory::Directory;

/// Says why an account cannot be used. The first five texts are matched by clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum KeystoreError {
    #[error("could not decrypt key with given password")]
    WrongPassword,
    #[error("no key for given address or file")]
    NoMatch,
    #[error("authentication needed: password or unlock")]
    Locked,
    #[error("unknown account")]
    UnknownAccount,
    #[error("account already exists")]
    AlreadyExists,
    #[error("not a secret key: zero, or not below the order of the curve")]
    InvalidKey,
    #[error("key content mismatch: the file names {expected}, its key is of {actual}")]
    OtherKey { expected: Address, actual: Address },
    #[error("not a key file: {problem}")]
    InvalidFile { problem: String },
    #[error("{}: {problem}", path.display())]
    Io { path: PathBuf, problem: String },
}

impl KeystoreError {
    fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), problem: error.to_string() }
    }
}

/// Names an account and where its key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The address.
    pub address: Address,
    /// The key file; none for an account that lives in memory.
    pub path: Option<PathBuf>,
}

/// Holds the accounts of one node. All methods may be called from any thread.
#[derive(Debug)]
pub struct Keystore {
    strength: KdfStrength,
    directory: Mutex<Directory>,
    unlocked: Mutex<BTreeMap<Address, Unlocked>>,
    /// The accounts that live in memory, in the order in which they were added.
    ephemeral: Mutex<Vec<Address>>,
    /// Held during a key derivation: it takes up to half a gigabyte, so there is one at a time.
    deriving: Mutex<()>,
    clock: fn() -> Instant,
}

/// A decrypted key. Its memory is overwritten when it goes.
struct Unlocked {
    key: SecretKey,
    expires: Expiry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    At(Instant),
    OnLock,
    Never,
}

impl std::fmt::Debug for Unlocked {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Unlocked").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        self.key.non_secure_erase();
    }
}

impl Keystore {
    /// Opens the keystore in `dir`, which need not exist; new key files get `strength`.
    pub fn open(dir: impl Into<PathBuf>, strength: KdfStrength) -> Self {
        Self::with_clock(dir.into(), strength, Instant::now)
    }

    fn with_clock(dir: PathBuf, strength: KdfStrength, clock: fn() -> Instant) -> Self {
        Self {
            strength,
            directory: Mutex::new(Directory::new(dir)),
            unlocked: Mutex::default(),
            ephemeral: Mutex::default(),
            deriving: Mutex::default(),
            clock,
        }
    }

    /// Returns the directory of the key files.
    pub fn directory(&self) -> PathBuf {
        self.directory.lock().path().to_path_buf()
    }

    /// Returns all accounts: those in memory in the order they were added, then the key files in the order of their
    /// names, which is the order of their creation.
    ///
    /// # Errors
    /// The directory exists and cannot be read.
    pub fn list(&self) -> Result<Vec<Account>, KeystoreError> {
        let in_memory = self.in_memory();
        let mut accounts: Vec<_> = in_memory.iter().map(|&address| Account { address, path: None }).collect();
        for (address, path) in self.directory.lock().scan()? {
            if accounts.iter().all(|known| known.address != address) {
                accounts.push(Account { address, path: Some(path) });
            }
        }
        Ok(accounts)
    }

    /// Returns the addresses of [`Self::list`]; those in memory alone where the directory cannot be read.
    pub fn accounts(&self) -> Vec<Address> {
        match self.list() {
            Ok(accounts) => accounts.into_iter().map(|account| account.address).collect(),
            Err(_) => self.in_memory(),
        }
    }

    /// Adds an account that lives in memory, is never locked, and needs no password.
    pub fn add_ephemeral(&self, key: SecretKey) -> Address {
        let address = crypto::address_of(&key);
        self.unlocked.lock().insert(address, Unlocked { key, expires: Expiry::Never });
        let mut ephemeral = self.ephemeral.lock();
        if !ephemeral.contains(&address) {
            ephemeral.push(address);
        }
        address
    }

    /// Makes a new key, encrypted by `password`, and writes its file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new_account(&self, password: &str) -> Result<Account, KeystoreError> {
        let key = loop {
            let mut bytes = Zeroizing::new([0; 32]);
            rand::fill(bytes.as_mut_slice());
            // One draw in 2^128 is not a key.
            if let Ok(key) = crypto::secret_key(*bytes) {
                break key;
            }
        };
        self.store(Unlocked { key, expires: Expiry::OnLock }, password)
    }

    /// Writes the file of a key that exists, encrypted by `password`.
    ///
    /// # Errors
    /// The account is here already, or the file cannot be written.
    pub fn import(&self, key: SecretKey, password: &str) -> Result<Account, KeystoreError> {
        let key = Unlocked { key, expires: Expiry::OnLock };
        let address = crypto::address_of(&key.key);
        if self.in_memory().contains(&address) || self.find(address)?.is_some() {
            return Err(KeystoreError::AlreadyExists);
        }
        self.store(key, password)
    }

    /// Encrypts the key of `address` anew by another password, with the strength of this keystore.
    ///
    /// # Errors
    /// No such key file, the old password is wrong, or the file cannot be written; the old file then stands.
    pub fn update(&self, address: Address, old: &str, new: &str) -> Result<(), KeystoreError> {
        let path = self.find(address)?.ok_or(KeystoreError::NoMatch)?;
        let key = self.decrypt(&path, address, old)?;
        let text = self.encrypt(&key, new);
        directory::write_atomically(&path, &text).map_err(|error| KeystoreError::io(&path, &error))
    }

    /// Decrypts the key of `address` and keeps it for `duration`; without one, until [`Self::lock`] or the end of the program.
    /// An account unlocked without a limit stays so; a limit replaces an earlier one. An account in memory needs nothing.
    ///
    /// # Errors
    /// No such account, or the password is wrong.
    pub fn unlock(&self, address: Address, password: &str, duration: Option<Duration>) -> Result<(), KeystoreError> {
        if self.in_memory().contains(&address) {
            return Ok(());
        }
        let path = self.find(address)?.ok_or(KeystoreError::NoMatch)?;
        let mut key = self.decrypt(&path, address, password)?;
        // A time beyond what the clock can say is no limit.
        key.expires =
            duration.and_then(|duration| (self.clock)().checked_add(duration)).map_or(Expiry::OnLock, Expiry::At);
        let mut unlocked = self.unlocked.lock();
        self.forget_expired(&mut unlocked);
        match unlocked.get(&address).map(|known| known.expires) {
            Some(Expiry::OnLock | Expiry::Never) => {}
            Some(Expiry::At(_)) | None => {
                unlocked.insert(address, key);
            }
        }
        Ok(())
    }

    /// Forgets the decrypted key of `address`. An account in memory stays usable.
    pub fn lock(&self, address: Address) {
        let mut unlocked = self.unlocked.lock();
        if unlocked.get(&address).is_some_and(|key| key.expires != Expiry::Never) {
            unlocked.remove(&address);
        }
    }

    /// Returns whether `address` can sign without a password now.
    pub fn is_unlocked(&self, address: Address) -> bool {
        let mut unlocked = self.unlocked.lock();
        self.forget_expired(&mut unlocked);
        unlocked.contains_key(&address)
    }

    /// Signs a 32-byte digest with an unlocked account.
    ///
    /// # Errors
    /// The account is locked, or unknown here.
    pub fn sign_hash(&self, address: Address, hash: B256) -> Result<Signature, KeystoreError> {
        {
            let mut unlocked = self.unlocked.lock();
            self.forget_expired(&mut unlocked);
            if let Some(key) = unlocked.get(&address) {
                return Ok(crypto::sign(&key.key, hash));
            }
        }
        Err(if self.find(address)?.is_some() { KeystoreError::Locked } else { KeystoreError::UnknownAccount })
    }

    /// Signs a 32-byte digest with the key that `password` decrypts, which is forgotten at once.
    ///
    /// # Errors
    /// The account is unknown here, or the password is wrong.
    pub fn sign_with_password(&self, address: Address, password: &str, hash: B256) -> Result<Signature, KeystoreError> {
        if self.in_memory().contains(&address) {
            return self.sign_hash(address, hash);
        }
        let path = self.find(address)?.ok_or(KeystoreError::UnknownAccount)?;
        let key = self.decrypt(&path, address, password)?;
        Ok(crypto::sign(&key.key, hash))
    }

    fn in_memory(&self) -> Vec<Address> {
        self.ephemeral.lock().clone()
    }

    fn find(&self, address: Address) -> Result<Option<PathBuf>, KeystoreError> {
        self.directory.lock().find(address)
    }

    fn forget_expired(&self, unlocked: &mut BTreeMap<Address, Unlocked>) {
        let now = (self.clock)();
        unlocked.retain(|_, key| !matches!(key.expires, Expiry::At(end) if end <= now));
    }

    fn decrypt(&self, path: &Path, address: Address, password: &str) -> Result<Unlocked, KeystoreError> {
        let encrypted = directory::read(path)?;
        let _one_at_a_time = self.deriving.lock();
        let key = Unlocked { key: encrypted.decrypt(password)?, expires: Expiry::OnLock };
        // A file that claims no address is listed by its name, which may lie.
        let actual = crypto::address_of(&key.key);
        if actual != address {
            return Err(KeystoreError::OtherKey { expected: address, actual });
        }
        Ok(key)
    }

    fn encrypt(&self, key: &Unlocked, password: &str) -> String {
        let _one_at_a_time = self.deriving.lock();
        file::encrypt(&key.key, password, self.strength)
    }

    fn store(&self, key: Unlocked, password: &str) -> Result<Account, KeystoreError> {
        let address = crypto::address_of(&key.key);
        let text = self.encrypt(&key, password);
        let path = self.directory.lock().create(address, SystemTime::now(), &text)?;
        Ok(Account { address, path: Some(path) })
    }
}

#[cfg(test)]
mod tests;
