//! Tickets: one line that lets a machine join a network. It holds the chain file (or its address), where others are, and the swarm
//! key, wrapped by a password as the keystore wraps keys.
//!
//! Layout: `drawbridge1.` and the base64url of the compressed JSON.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use alloy_primitives::B256;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use network::p2p::{PeerAddress, SwarmKey};
use serde_json::{Value, json};

use super::super::say;
use crate::accounts::Passwords;
use crate::cli::network_commands::TicketArgs;
use crate::exit::Fatal;
use crate::keystore::{KdfStrength, unwrap_secret, wrap_secret};
use crate::run::key_error;

const PREFIX: &str = "drawbridge1.";
/// The longest ticket that is read: what a terminal's line takes without harm.
const TICKET_CHARS_MAX: usize = 256 * 1024;
/// The most that a ticket may hold when it is unpacked.
const JSON_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Says why a text is no ticket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It is something else, or a part of one.
    #[error("this is no ticket, or not a whole one: {0}")]
    Malformed(String),
    /// The chain file in it is not the one that it promises.
    #[error("the ticket promises genesis {promised}, its chain file gives {found}")]
    Genesis {
        /// The hash in the ticket.
        promised: B256,
        /// The hash of the chain file.
        found: B256,
    },
}

/// What a ticket holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// The hash of the genesis block.
    pub genesis: B256,
    /// The chain id.
    pub chain_id: u64,
    /// The chain file's text; none: it must be fetched from `chain_file_address`.
    pub chain_file: Option<String>,
    /// Where the chain file is.
    pub chain_file_address: Option<String>,
    /// Nodes to ask for others.
    pub boot_nodes: Vec<PeerAddress>,
    /// The wrapped swarm key, where the network has one.
    pub swarm_key: Option<Value>,
    /// Its fingerprint, by which a key that is there already is known; tickets of earlier versions have none.
    pub swarm_key_fingerprint: Option<String>,
}

impl Ticket {
    /// Writes the line.
    pub fn encode(&self) -> String {
        let json = json!({
            "genesis": self.genesis,
            "chainId": self.chain_id,
            "chainFile": self.chain_file,
            "chainFileAt": self.chain_file_address,
            "boot": self.boot_nodes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "swarmKey": self.swarm_key,
            "swarmKeyFingerprint": self.swarm_key_fingerprint,
        });
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
        let bytes = packed.write_all(json.to_string().as_bytes()).and_then(|()| packed.finish());
        format!("{PREFIX}{}", base64url(&bytes.expect("writing to memory cannot fail")))
    }

    /// Reads the line, and compares the chain file with the promised hash.
    ///
    /// # Errors
    /// It is no ticket, or not a whole one.
    pub fn decode(text: &str) -> Result<Self, TicketError> {
        let malformed = |problem: &str| TicketError::Malformed(problem.to_owned());
        let text: String = text.chars().filter(|char| !char.is_whitespace()).collect();
        let body = text.strip_prefix(PREFIX).ok_or_else(|| malformed("it does not begin with drawbridge1."))?;
        if body.len() > TICKET_CHARS_MAX {
            return Err(malformed("it is too long"));
        }
        let packed = from_base64url(body).ok_or_else(|| malformed("a character that does not belong there"))?;
        let mut json = String::new();
        DeflateDecoder::new(&packed[..])
            .take(JSON_BYTES_MAX)
            .read_to_string(&mut json)
            .map_err(|_| malformed("its end is missing, or a character is wrong"))?;
        let json: Value = serde_json::from_str(&json).map_err(|_| malformed("its content is broken"))?;
        let ticket = Self::from_json(&json).ok_or_else(|| malformed("a field is missing or wrong"))?;
        match &ticket.chain_file {
            None => Ok(ticket),
            Some(text) => ticket.check_chain_file(text).map(|()| ticket.clone()),
        }
    }

    /// Compares a chain file with the promised hash.
    ///
    /// # Errors
    /// It cannot be read, or its genesis block is another.
    pub fn check_chain_file(&self, text: &str) -> Result<(), TicketError> {
        let (genesis, _) =
            consensus::Genesis::parse(text).map_err(|error| TicketError::Malformed(format!("chain file: {error}")))?;
        let found = genesis.header.hash();
        if found == self.genesis { Ok(()) } else { Err(TicketError::Genesis { promised: self.genesis, found }) }
    }

    fn from_json(json: &Value) -> Option<Self> {
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        let boot_nodes: Option<Vec<PeerAddress>> =
            json["boot"].as_array()?.iter().map(|item| item.as_str()?.parse().ok()).collect();
        Some(Self {
            genesis: text("genesis")?.parse().ok()?,
            chain_id: json["chainId"].as_u64()?,
            chain_file: text("chainFile"),
            chain_file_address: text("chainFileAt"),
            boot_nodes: boot_nodes?,
            swarm_key: Some(json["swarmKey"].clone()).filter(|key| !key.is_null()),
            swarm_key_fingerprint: text("swarmKeyFingerprint"),
        })
    }

    /// Opens the swarm key.
    ///
    /// # Errors
    /// The password is wrong.
    pub fn open_swarm_key(&self, password: &str) -> Result<Option<SwarmKey>, Fatal> {
        let Some(wrapped) = &self.swarm_key else { return Ok(None) };
        Ok(Some(SwarmKey::from_bytes(unwrap_secret(wrapped, password)?)))
    }
}

/// Prints the ticket of a network's folder, or of a node's data directory. What the operator should know goes to `notes`.
pub(super) fn run(args: &TicketArgs, out: &mut dyn Write, notes: &mut dyn Write) -> Result<(), Fatal> {
    let chain_file = args.genesis.clone().unwrap_or_else(|| args.folder.join("genesis.json"));
    let text = super::super::genesis::read(&chain_file)?;
    let (genesis, _) = super::super::genesis::parse(&chain_file.display().to_string(), &text)?;
    let boot_nodes = match &args.bootnodes {
        Some(nodes) => nodes.0.clone(),
        None => nodes_of(&args.folder)?,
    };
    if boot_nodes.is_empty() {
        return Err(Fatal::Usage { cause: "a ticket needs nodes to ask: name them by --bootnodes".to_owned() });
    }
    if let Some(here) = boot_nodes.iter().find(|node| is_loopback(node)) {
        say(
            notes,
            format_args!(
                "warning: the ticket is of use on this machine alone: {here} is each machine's own address. For others make the \
                 network by `network new --hosts HOST,…`, or name where the nodes are reached by --bootnodes"
            ),
        )?;
    }
    let key_file = args.swarmkey.clone().unwrap_or_else(|| args.folder.join("swarm.key"));
    let (swarm_key, swarm_key_fingerprint) = match key_file.exists() || args.swarmkey.is_some() {
        false => (None, None),
        true => {
            let key = SwarmKey::load(&key_file).map_err(|error| key_error(&error))?;
            let password = Passwords::open(args.password.as_deref())?.next_new("Password of the ticket: ")?;
            let strength = if args.lightkdf { KdfStrength::Light } else { KdfStrength::Standard };
            (Some(wrap_secret(&key.to_bytes(), &password, strength)), Some(key.fingerprint()))
        }
    };
    // Spaces and line breaks are of no use in a line.
    let compact = serde_json::from_str::<Value>(&text).map_or(text, |json| json.to_string());
    let ticket = Ticket {
        genesis: genesis.header.hash(),
        chain_id: genesis.spec.chain_id,
        chain_file: args.genesis_url.is_none().then_some(compact),
        chain_file_address: args.genesis_url.clone(),
        boot_nodes,
        swarm_key,
        swarm_key_fingerprint,
    };
    say(out, ticket.encode())
}

fn is_loopback(node: &PeerAddress) -> bool {
    let text = node.to_string();
    ["/ip4/127.", "/ip6/::1/", "/dns/localhost/", "/dns4/localhost/", "/dns6/localhost/"]
        .iter()
        .any(|start| text.starts_with(start))
}

/// Reads where the nodes of a network's folder are, from the configurations in it; those that a data directory's own names.
fn nodes_of(folder: &Path) -> Result<Vec<PeerAddress>, Fatal> {
    let mut found = std::collections::BTreeSet::new();
    let entries = fs::read_dir(folder).map_err(|error| Fatal::io(folder, &error))?;
    for entry in entries.flatten() {
        found.extend(named_by(&entry.path().join("node.toml"), &["p2p.reserved"]));
    }
    found.extend(named_by(&folder.join("node.toml"), &["p2p.reserved", "p2p.static", "bootnodes"]));
    Ok(found.into_iter().collect())
}

/// Returns the nodes that a configuration names under these keys.
fn named_by(config: &Path, keys: &[&str]) -> Vec<PeerAddress> {
    let text = fs::read_to_string(config).unwrap_or_default();
    let Ok(table) = text.parse::<toml::Table>() else { return Vec::new() };
    let mut found = Vec::new();
    for key in keys {
        let value = match key.split_once('.') {
            Some((section, key)) => table.get(section).and_then(|section| section.get(key)),
            None => table.get(*key),
        };
        let items = value.and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_str);
        let listed = value.and_then(toml::Value::as_str).into_iter().flat_map(|list| list.split(','));
        found.extend(items.chain(listed).filter_map(|node| node.trim().parse::<PeerAddress>().ok()));
    }
    found
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Writes bytes in base64url (RFC 4648, section 5) without padding.
fn base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            let sextet = usize::try_from(group >> (18 - 6 * index) & 63).expect("six bits");
            text.push(char::from(ALPHABET[sextet]));
        }
    }
    text
}

/// Reads what [`base64url`] writes.
fn from_base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in text.as_bytes().chunks(4) {
        let mut group = 0_u32;
        for char in chunk {
            let sextet = ALPHABET.iter().position(|known| known == char)?;
            group = group << 6 | u32::try_from(sextet).ok()?;
        }
        group <<= 6 * (4 - chunk.len());
        let count = match chunk.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        bytes.extend_from_slice(&group.to_be_bytes()[1..=count]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use network::p2p::NodeKey;
    use proptest::prelude::*;

    use super::*;

    fn ticket(swarm_key: Option<SwarmKey>) -> Ticket {
        let text = consensus::genesis::PRIVATE.to_owned();
        let (genesis, _) = consensus::Genesis::parse(&text).unwrap();
        let boot = format!("/ip4/10.0.0.7/tcp/30303/p2p/{}", NodeKey::generate().peer_id());
        Ticket {
            genesis: genesis.header.hash(),
            chain_id: genesis.spec.chain_id,
            chain_file: Some(text),
            chain_file_address: None,
            boot_nodes: vec![boot.parse().unwrap()],
            swarm_key: swarm_key.map(|key| wrap_secret(&key.to_bytes(), "pass", KdfStrength::Light)),
            swarm_key_fingerprint: swarm_key.map(|key| key.fingerprint()),
        }
    }

    #[test]
    fn a_ticket_is_one_line_that_reads_back() {
        let key = SwarmKey::generate();
        let ticket = ticket(Some(key));
        let line = ticket.encode();
        assert!(line.lines().count() == 1 && line.len() < 4000, "{} characters", line.len());
        let read = Ticket::decode(&format!(" {line}\n")).unwrap();
        assert_eq!(read, ticket);
        assert_eq!(read.open_swarm_key("pass").unwrap(), Some(key));
        assert_eq!(read.open_swarm_key("word").unwrap_err().code(), 77);
        assert!(!line.contains(&alloy_primitives::hex::encode(key.to_bytes())));
    }

    #[test]
    fn what_is_no_ticket_says_what_is_wrong() {
        let line = ticket(None).encode();
        for (bad, expected) in [
            ("".to_owned(), "drawbridge1."),
            ("enode://x".to_owned(), "drawbridge1."),
            (format!("{PREFIX}!"), "character"),
            (line[..line.len() - 40].to_owned(), "end is missing"),
        ] {
            let error = Ticket::decode(&bad).unwrap_err().to_string();
            assert!(error.contains(expected), "{bad}: {error}");
        }
        let mut other = ticket(None);
        other.genesis = B256::ZERO;
        assert!(matches!(Ticket::decode(&other.encode()), Err(TicketError::Genesis { promised: B256::ZERO, .. })));
    }

    proptest! {
        #[test]
        fn base64_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(from_base64url(&base64url(&bytes)), Some(bytes));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,60}") {
            let _ = (Ticket::decode(&text), Ticket::decode(&format!("{PREFIX}{text}")));
        }
    }
}
