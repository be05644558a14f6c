//! Who a node is to others, and the key that a private network shares: two small files.
//!
//! A node key is the seed of an Ed25519 key, 64 hexadecimal digits in its file; the peer id follows from it. A swarm key is
//! 32 bytes in the text format that go-libp2p introduced; nodes with another one cannot even begin to talk.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use alloy_primitives::hex;
use libp2p::PeerId;
use libp2p::identity::Keypair;
use libp2p::pnet::PreSharedKey;

/// The largest key file that is read, in bytes; real ones have about a hundred.
const FILE_BYTES_MAX: u64 = 4096;

/// Says why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{path}: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: KeyTextError,
    },
}

/// Says why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// A node key.
    #[error("a node key is 64 hexadecimal digits; `drawbridge bootnode --genkey FILE` writes one")]
    Node,
    /// A swarm key.
    #[error("a swarm key is three lines: /key/swarm/psk/1.0.0/, /base16/ and 64 hexadecimal digits")]
    Swarm,
}

/// The secret that a node's peer id follows from.
#[derive(Clone)]
pub struct NodeKey {
    seed: [u8; 32],
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.peer_id())
    }
}

impl FromStr for NodeKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        let mut seed = [0; 32];
        hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| KeyTextError::Node)?;
        Ok(Self { seed })
    }
}

impl NodeKey {
    /// Makes a new key from the system's randomness.
    pub fn generate() -> Self {
        let mut seed = [0; 32];
        rand::fill(&mut seed);
        Self { seed }
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// It is not there, cannot be read, or holds something else.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        load(path)
    }

    /// Reads a key file, or writes one with a new key where there is none.
    ///
    /// # Errors
    /// It cannot be read or written, or holds something else.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        if path.exists() {
            return Self::load(path);
        }
        let key = Self::generate();
        key.save(path)?;
        Ok(key)
    }

    /// Writes the key into a new file that its owner alone may read.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        save(path, &format!("{}\n", hex::encode(self.seed)))
    }

    /// Returns who the node is to others.
    pub fn peer_id(&self) -> PeerId {
        self.keypair().public().to_peer_id()
    }

    pub(crate) fn keypair(&self) -> Keypair {
        Keypair::ed25519_from_bytes(self.seed).expect("every 32 bytes are the seed of an Ed25519 key")
    }
}

/// The secret that all nodes of a private network share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SwarmKey {
    bytes: [u8; 32],
}

impl fmt::Debug for SwarmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SwarmKey({})", self.fingerprint())
    }
}

impl FromStr for SwarmKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let ["/key/swarm/psk/1.0.0/", "/base16/", digits] = lines[..] else { return Err(KeyTextError::Swarm) };
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| KeyTextError::Swarm)?;
        Ok(Self { bytes })
    }
}

impl SwarmKey {
    /// Makes a new key from the system's randomness.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes);
        Self { bytes }
    }

    /// Takes 32 bytes as a key.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes }
    }

    /// Returns the secret itself.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.bytes
    }

    /// Returns a short name for the key that does not give it away: equal where the keys are equal.
    pub fn fingerprint(&self) -> String {
        self.pre_shared().fingerprint().to_string()
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// It is not there, cannot be read, or holds something else.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        load(path)
    }

    /// Writes the key into a new file that its owner alone may read.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        save(path, &self.pre_shared().to_key_file())
    }

    pub(crate) fn pre_shared(&self) -> PreSharedKey {
        PreSharedKey::new(self.bytes)
    }
}

fn load<K: FromStr<Err = KeyTextError>>(path: &Path) -> Result<K, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_path_buf(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, FILE_BYTES_MAX), &mut text).map_err(failed)?;
    text.parse().map_err(|problem| KeyFileError::Malformed { path: path.to_path_buf(), problem })
}

fn save(path: &Path, text: &str) -> Result<(), KeyFileError> {
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let written =
        options.open(path).and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|source| KeyFileError::Io { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_file_gives_the_same_peer_at_every_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodekey");
        let first = NodeKey::load_or_create(&path).unwrap();
        assert_eq!(NodeKey::load_or_create(&path).unwrap().peer_id(), first.peer_id());
        assert_ne!(NodeKey::generate().peer_id(), first.peer_id());
        assert!(NodeKey::generate().save(&path).is_err(), "a key is never overwritten");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_swarm_key_s_file_is_that_of_other_libp2p_programs() {
        let folder = tempfile::tempdir().unwrap();
        let (key, path) = (SwarmKey::generate(), folder.path().join("swarm.key"));
        key.save(&path).unwrap();
        assert_eq!(SwarmKey::load(&path).unwrap(), key);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("/key/swarm/psk/1.0.0/\n/base16/\n"), "{text}");
        assert_eq!(text.parse::<PreSharedKey>().unwrap(), key.pre_shared());
    }

    #[test]
    fn what_is_no_key_says_what_one_looks_like() {
        for bad in ["", "zz", &"0".repeat(63), &"g".repeat(64)] {
            assert_eq!(bad.parse::<NodeKey>().unwrap_err(), KeyTextError::Node, "{bad}");
        }
        for bad in ["", &"0".repeat(64), "/key/swarm/psk/1.0.0/\n/base64/\nAA==", "/key/swarm/psk/1.0.0/\n/base16/\n00"]
        {
            assert_eq!(bad.parse::<SwarmKey>().unwrap_err(), KeyTextError::Swarm, "{bad}");
        }
        let shown = format!("{:?} {:?}", NodeKey { seed: [7; 32] }, SwarmKey { bytes: [7; 32] });
        assert!(!shown.contains("0707"), "{shown}");
    }
}
