//! The lists of nodes and accounts that may come, kept in Besu's file: TOML with `nodes-allowlist` and `accounts-allowlist`. A list
//! that the file does not have is not enabled: everyone may come.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use network::p2p::{PeerId, parse_peer};
use parking_lot::Mutex;
use rpc::{PermissionError, Permissions};
use toml::{Table, Value};

/// The largest file that is read, in bytes: some ten thousand entries.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
const NODES: &str = "nodes-allowlist";
const ACCOUNTS: &str = "accounts-allowlist";

/// Hears the nodes that may come, whenever they change.
pub type NodesSink = Box<dyn Fn(Option<Vec<PeerId>>) + Send + Sync>;

/// Both lists, as they stand in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// The nodes, each a peer id or a multiaddr that ends in one.
    pub nodes: Option<Vec<String>>,
    /// The accounts.
    pub accounts: Option<Vec<Address>>,
}

impl Lists {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// It is no TOML, or an entry is neither node nor account; which one is named.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())?;
        if let Some(unknown) = table.keys().find(|key| ![NODES, ACCOUNTS].contains(&key.as_str())) {
            return Err(format!("there is no list `{unknown}`; {NODES} and {ACCOUNTS} are known"));
        }
        let texts = |name: &str| -> Result<Option<Vec<String>>, String> {
            let Some(value) = table.get(name) else { return Ok(None) };
            let items = value.as_array().ok_or_else(|| format!("{name}: a list of texts is expected"))?;
            let text = |item: &Value| item.as_str().map(str::to_owned);
            items.iter().map(text).collect::<Option<_>>().map(Some).ok_or_else(|| format!("{name}: texts are expected"))
        };
        let nodes = texts(NODES)?;
        for node in nodes.iter().flatten() {
            parse_peer(node).map_err(|error| format!("{NODES}: {error}"))?;
        }
        let accounts = texts(ACCOUNTS)?.map(|accounts| {
            let parse = |text: &String| text.parse().map_err(|_| format!("{ACCOUNTS}: `{text}` is no address"));
            accounts.iter().map(parse).collect::<Result<Vec<Address>, _>>()
        });
        Ok(Self { nodes, accounts: accounts.transpose()? })
    }

    /// Returns the text of a file that reads back as the same lists.
    pub fn to_toml(&self) -> String {
        let list = |items: Vec<String>| Value::Array(items.into_iter().map(Value::String).collect());
        let mut table = Table::new();
        if let Some(nodes) = &self.nodes {
            table.insert(NODES.to_owned(), list(nodes.clone()));
        }
        if let Some(accounts) = &self.accounts {
            table.insert(ACCOUNTS.to_owned(), list(accounts.iter().map(ToString::to_string).collect()));
        }
        table.to_string()
    }

    fn peers(&self) -> Option<Vec<PeerId>> {
        self.nodes.as_ref().map(|nodes| nodes.iter().filter_map(|node| parse_peer(node).ok()).collect())
    }
}

/// Keeps the lists and their file.
pub struct PermissionFile {
    path: PathBuf,
    lists: Mutex<Lists>,
    /// Nodes that the configuration names; a list must not shut them out.
    fixed: Vec<PeerId>,
    sink: NodesSink,
}

impl PermissionFile {
    /// Reads the file. `fixed` are the nodes that the configuration names; `sink` hears changes of the nodes, not the first state.
    ///
    /// # Errors
    /// The file cannot be read; the entry is named.
    pub fn open(path: PathBuf, fixed: Vec<PeerId>, sink: NodesSink) -> Result<Self, String> {
        let lists = Mutex::new(read(&path)?);
        Ok(Self { path, lists, fixed, sink })
    }

    /// Returns the nodes that may come, those of the configuration among them; none: all.
    pub fn peers(&self) -> Option<Vec<PeerId>> {
        self.with_fixed(self.lists.lock().peers())
    }

    fn with_fixed(&self, peers: Option<Vec<PeerId>>) -> Option<Vec<PeerId>> {
        peers.map(|peers| peers.into_iter().chain(self.fixed.iter().copied()).collect())
    }

    /// Changes the lists, tells the network, and writes the file.
    fn change(&self, change: impl FnOnce(&mut Lists) -> Result<(), PermissionError>) -> Result<(), PermissionError> {
        let mut lists = self.lists.lock();
        let mut changed = lists.clone();
        change(&mut changed)?;
        if changed.nodes != lists.nodes {
            (self.sink)(self.with_fixed(changed.peers()));
        }
        *lists = changed;
        let part = self.path.with_extension("part");
        let written = fs::write(&part, lists.to_toml()).and_then(|()| fs::rename(&part, &self.path));
        written.map_err(|_| PermissionError::NotPersisted)
    }
}

fn read(path: &Path) -> Result<Lists, String> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| error.to_string())
        .and_then(|_| Lists::parse(&text))
        .map_err(|problem| format!("{}: {problem}", path.display()))
}

/// Reads who is meant by each entry; the same peer twice is refused.
fn peers_of(nodes: &[String]) -> Result<Vec<PeerId>, PermissionError> {
    if nodes.is_empty() {
        return Err(PermissionError::NoNodes);
    }
    let peers: Result<Vec<_>, _> = nodes.iter().map(|node| parse_peer(node)).collect();
    let peers = peers.map_err(|_| PermissionError::InvalidNode)?;
    match peers.iter().collect::<BTreeSet<_>>().len() == peers.len() {
        true => Ok(peers),
        false => Err(PermissionError::DuplicateNodes),
    }
}

fn check_accounts(accounts: &[Address]) -> Result<(), PermissionError> {
    if accounts.is_empty() {
        return Err(PermissionError::NoAccounts);
    }
    match accounts.iter().collect::<BTreeSet<_>>().len() == accounts.len() {
        true => Ok(()),
        false => Err(PermissionError::DuplicateAccounts),
    }
}

impl Permissions for PermissionFile {
    fn nodes(&self) -> Option<Vec<String>> {
        self.lists.lock().nodes.clone()
    }

    fn add_nodes(&self, nodes: &[String]) -> Result<(), PermissionError> {
        let peers = peers_of(nodes)?;
        self.change(|lists| {
            let known = lists.peers().ok_or(PermissionError::NodesNotEnabled)?;
            if peers.iter().any(|peer| known.contains(peer)) {
                return Err(PermissionError::ExistingNode);
            }
            lists.nodes.get_or_insert_default().extend_from_slice(nodes);
            Ok(())
        })
    }

    fn remove_nodes(&self, nodes: &[String]) -> Result<(), PermissionError> {
        let peers = peers_of(nodes)?;
        self.change(|lists| {
            let known = lists.peers().ok_or(PermissionError::NodesNotEnabled)?;
            if peers.iter().any(|peer| self.fixed.contains(peer)) {
                return Err(PermissionError::FixedNode);
            }
            if peers.iter().any(|peer| !known.contains(peer)) {
                return Err(PermissionError::AbsentNode);
            }
            let stays = |node: &String| parse_peer(node).is_ok_and(|peer| !peers.contains(&peer));
            lists.nodes.get_or_insert_default().retain(stays);
            Ok(())
        })
    }

    fn accounts(&self) -> Option<Vec<Address>> {
        self.lists.lock().accounts.clone()
    }

    fn add_accounts(&self, accounts: &[Address]) -> Result<(), PermissionError> {
        check_accounts(accounts)?;
        self.change(|lists| {
            let known = lists.accounts.as_mut().ok_or(PermissionError::AccountsNotEnabled)?;
            if accounts.iter().any(|account| known.contains(account)) {
                return Err(PermissionError::ExistingAccount);
            }
            known.extend_from_slice(accounts);
            Ok(())
        })
    }

    fn remove_accounts(&self, accounts: &[Address]) -> Result<(), PermissionError> {
        check_accounts(accounts)?;
        self.change(|lists| {
            let known = lists.accounts.as_mut().ok_or(PermissionError::AccountsNotEnabled)?;
            if accounts.iter().any(|account| !known.contains(account)) {
                return Err(PermissionError::AbsentAccount);
            }
            known.retain(|account| !accounts.contains(account));
            Ok(())
        })
    }

    fn reload(&self) -> Result<(), PermissionError> {
        let read = read(&self.path).map_err(PermissionError::Reload)?;
        let mut lists = self.lists.lock();
        if read.nodes != lists.nodes {
            (self.sink)(self.with_fixed(read.peers()));
        }
        *lists = read;
        Ok(())
    }

    fn allows_account(&self, account: Address) -> bool {
        self.lists.lock().accounts.as_ref().is_none_or(|accounts| accounts.contains(&account))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use network::p2p::NodeKey;

    use super::*;

    type Heard = Arc<Mutex<Vec<Option<usize>>>>;

    fn open(text: &str, fixed: Vec<PeerId>) -> (tempfile::TempDir, PermissionFile, Heard) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("permissions.toml");
        fs::write(&path, text).unwrap();
        let heard = Heard::default();
        let sink = Arc::clone(&heard);
        let sink = Box::new(move |peers: Option<Vec<PeerId>>| sink.lock().push(peers.map(|peers| peers.len())));
        let file = PermissionFile::open(path, fixed, sink).unwrap();
        (folder, file, heard)
    }

    fn peer() -> PeerId {
        NodeKey::generate().peer_id()
    }

    #[test]
    fn nodes_come_and_go_in_besu_s_words_and_the_file_follows() {
        let (first, second, fixed) = (peer(), peer(), peer());
        let (folder, file, heard) = open(&format!("nodes-allowlist = [\"{first}\"]"), vec![fixed]);
        let one = |peer: PeerId| vec![peer.to_string()];
        assert_eq!(file.peers().unwrap(), [first, fixed]);
        assert_eq!(file.add_nodes(&one(first)), Err(PermissionError::ExistingNode));
        let multiaddr = vec![format!("/ip4/10.0.0.7/tcp/30303/p2p/{second}")];
        assert_eq!(file.add_nodes(&multiaddr), Ok(()));
        assert_eq!(file.nodes().unwrap(), [first.to_string(), multiaddr[0].clone()]);
        assert_eq!(file.remove_nodes(&one(fixed)), Err(PermissionError::FixedNode));
        assert_eq!(file.remove_nodes(&one(first)), Ok(()));
        assert_eq!(file.remove_nodes(&one(first)), Err(PermissionError::AbsentNode));
        assert_eq!(*heard.lock(), [Some(3), Some(2)]);
        let written = fs::read_to_string(folder.path().join("permissions.toml")).unwrap();
        assert_eq!(Lists::parse(&written).unwrap().nodes.unwrap(), multiaddr);
        assert_eq!(file.add_nodes(&[]), Err(PermissionError::NoNodes));
        assert_eq!(file.add_nodes(&["enode://x".to_owned()]), Err(PermissionError::InvalidNode));
        assert_eq!(file.add_nodes(&[one(first), one(first)].concat()), Err(PermissionError::DuplicateNodes));
    }

    #[test]
    fn accounts_are_taken_by_the_list_and_without_one_all_are() {
        let account = Address::repeat_byte(7);
        let (_folder, file, _) = open("", vec![]);
        assert!(file.allows_account(account));
        assert_eq!(file.add_accounts(&[account]), Err(PermissionError::AccountsNotEnabled));
        assert_eq!(file.add_nodes(&[peer().to_string()]), Err(PermissionError::NodesNotEnabled));
        let (_folder, file, _) = open("accounts-allowlist = []", vec![]);
        assert!(!file.allows_account(account));
        assert_eq!(file.remove_accounts(&[account]), Err(PermissionError::AbsentAccount));
        assert_eq!(file.add_accounts(&[account]), Ok(()));
        assert!(file.allows_account(account));
        assert_eq!(file.add_accounts(&[account]), Err(PermissionError::ExistingAccount));
        assert_eq!(file.add_accounts(&[account, account]), Err(PermissionError::DuplicateAccounts));
        assert_eq!(file.remove_accounts(&[]), Err(PermissionError::NoAccounts));
    }

    #[test]
    fn a_reload_takes_what_the_file_says_or_leaves_what_was() {
        let (folder, file, heard) = open("", vec![]);
        let path = folder.path().join("permissions.toml");
        fs::write(&path, "nodes-allowlist = []").unwrap();
        assert_eq!(file.reload(), Ok(()));
        assert_eq!((file.nodes(), heard.lock().clone()), (Some(vec![]), vec![Some(0)]));
        for (text, expected) in [
            ("nodes-allowlist = [\"enode://ab@1.2.3.4:1\"]", "write /ip4/1.2.3.4/tcp/1/p2p/PEERID"),
            ("accounts-allowlist = [\"0x12\"]", "no address"),
            ("accounts-allowlist = 7", "a list of texts"),
            ("nodes = []", "no list `nodes`"),
            ("nodes-allowlist = [", "TOML"),
        ] {
            fs::write(&path, text).unwrap();
            let error = file.reload().unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("permissions.toml"), "{text}: {error}");
        }
        assert_eq!(file.nodes(), Some(vec![]));
    }
}
