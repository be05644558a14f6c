//! What the methods of operators work on: the network, the lists of who may come, chains in files, and the node's health. The node
//! implements these traits, because it imports this crate and not the other way round; a node that runs alone has [`Alone`].

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use tokio::sync::broadcast;

use crate::devices::{Devices, NoDevices};

/// Holds what the methods of operators work on.
#[derive(Clone)]
pub struct Operation {
    /// The other nodes.
    pub network: Arc<dyn NetworkControl>,
    /// Who may come.
    pub permissions: Arc<dyn Permissions>,
    /// Chains in files.
    pub files: Arc<dyn ChainFiles>,
    /// The node's health.
    pub health: Arc<dyn Health>,
    /// The devices.
    pub devices: Arc<dyn Devices>,
    /// What the desk is told to work with.
    pub desk: DeskFacts,
    /// What the node writes about itself.
    pub log: Arc<dyn LogControl>,
}

/// Holds what an operator tells the desk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeskFacts {
    /// The registries whose orders it shows and adds to.
    pub registries: Vec<Address>,
    /// The bridge's account, which sellers name as their order's operator.
    pub operator: Option<Address>,
}

impl Operation {
    /// Returns the operation of a node that runs alone in a data directory.
    pub fn alone(datadir: PathBuf) -> Self {
        let alone = Arc::new(Alone { datadir });
        Self {
            network: alone.clone(),
            permissions: alone.clone(),
            files: alone.clone(),
            health: alone.clone(),
            log: alone,
            devices: Arc::new(NoDevices),
            desk: DeskFacts::default(),
        }
    }
}

/// Says how the node stands to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkStatus {
    /// Whether the node listens for others.
    pub is_listening: bool,
    /// How many peers have introduced themselves.
    pub peers: usize,
    /// The most peers at a time.
    pub peers_max: usize,
    /// How far the node is behind, where it is.
    pub sync: Option<SyncStatus>,
    /// The highest block that a peer says it has.
    pub best_known: Option<u64>,
}

/// Says how far a node is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncStatus {
    /// Where it began to catch up.
    pub starting: u64,
    /// The highest block of the branch that it follows.
    pub highest: u64,
}

/// Says who the node is to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The peer id.
    pub id: String,
    /// The addresses under which others can name it, multiaddrs with the peer id; the best one first.
    pub addresses: Vec<String>,
    /// Where it listens.
    pub listen: Option<SocketAddr>,
}

/// Describes one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerView {
    /// The peer id.
    pub id: String,
    /// Where it is, a multiaddr with the peer id.
    pub address: String,
    /// Our end of the connection, a multiaddr.
    pub local: String,
    /// What the peer calls itself.
    pub name: String,
    /// Whether it called us.
    pub is_inbound: bool,
    /// Whether we stay connected with it.
    pub is_static: bool,
    /// Whether it may come whatever the number of peers.
    pub is_trusted: bool,
    /// What it says of its chain, where it has introduced itself and is one of ours.
    pub chain: Option<PeerChain>,
    /// Points of blame; at 100 a peer is cut off.
    pub points: u32,
    /// Round trip, in milliseconds.
    pub latency_ms: Option<u64>,
    /// Why it is not one of ours, where it is not.
    pub refused: Option<String>,
}

/// Holds what a peer says of its chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerChain {
    /// The head's number.
    pub head_number: u64,
    /// The head's hash.
    pub head: B256,
    /// The head's total difficulty.
    pub total_difficulty: U256,
    /// The number of the finalized block.
    pub finalized: u64,
    /// Its clock minus ours, in milliseconds.
    pub clock_offset_ms: i64,
    /// What it is there for, such as `miner`.
    pub roles: Vec<&'static str>,
}

/// A change among the peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerChange {
    /// The peer id.
    pub id: String,
    /// Where it is.
    pub address: String,
    /// Why it is gone; none: it has come.
    pub gone: Option<String>,
}

/// Looks at the network and steers it.
pub trait NetworkControl: Send + Sync {
    /// Returns how the node stands to the others.
    fn status(&self) -> NetworkStatus;

    /// Returns who the node is; none where it runs alone.
    fn identity(&self) -> Option<NodeIdentity>;

    /// Returns the peers, and those that were refused of late.
    fn peers(&self) -> Vec<PeerView>;

    /// Connects to a peer and stays connected; tells whether it is new.
    ///
    /// # Errors
    /// The address cannot be read, or there is no network.
    fn add_peer(&self, address: &str) -> Result<bool, String>;

    /// Parts from a peer and forgets it; tells whether it was known.
    ///
    /// # Errors
    /// The name cannot be read, or there is no network.
    fn remove_peer(&self, peer: &str) -> Result<bool, String>;

    /// Lets a peer come whatever the number of peers, or no longer.
    ///
    /// # Errors
    /// The name cannot be read, or there is no network.
    fn set_trusted(&self, peer: &str, trusted: bool) -> Result<bool, String>;

    /// Follows the changes among the peers; none where the node runs alone.
    fn changes(&self) -> Option<broadcast::Receiver<PeerChange>>;
}

/// Says why a list of who may come does not change, in Besu's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PermissionError {
    #[error("Node/Account allowlist has not been enabled")]
    NotEnabled,
    #[error("Node allowlist has not been enabled")]
    NodesNotEnabled,
    #[error("Account allowlist has not been enabled")]
    AccountsNotEnabled,
    #[error("Request contains an empty list of nodes")]
    NoNodes,
    #[error("Request contains an invalid node")]
    InvalidNode,
    #[error("Request contains duplicate nodes")]
    DuplicateNodes,
    #[error("Cannot add an existing node to allowlist")]
    ExistingNode,
    #[error("Cannot remove an absent node from allowlist")]
    AbsentNode,
    #[error("Cannot remove a fixed node (bootnode or static node) from allowlist")]
    FixedNode,
    #[error("Request contains an empty list of accounts")]
    NoAccounts,
    #[error("Request contains an invalid account")]
    InvalidAccount,
    #[error("Request contains duplicate accounts")]
    DuplicateAccounts,
    #[error("Cannot add an existing account to allowlist")]
    ExistingAccount,
    #[error("Cannot remove an absent account from allowlist")]
    AbsentAccount,
    #[error(
        "The permissioning allowlist configuration file is out of sync.  The changes have been applied, but not persisted to disk"
    )]
    NotPersisted,
    #[error(
        "Error reloading permissions file. Please use perm_getAccountsAllowlist and perm_getNodesAllowlist to review the current state of the lists: {0}"
    )]
    Reload(String),
}

/// Keeps the lists of who may come.
pub trait Permissions: Send + Sync {
    /// Returns the nodes that may come; none: all.
    fn nodes(&self) -> Option<Vec<String>>;

    /// Adds nodes to the list.
    ///
    /// # Errors
    /// There is no list, or the nodes cannot be added.
    fn add_nodes(&self, nodes: &[String]) -> Result<(), PermissionError>;

    /// Removes nodes from the list; their connections are closed.
    ///
    /// # Errors
    /// There is no list, or the nodes cannot be removed.
    fn remove_nodes(&self, nodes: &[String]) -> Result<(), PermissionError>;

    /// Returns the accounts whose transactions are taken; none: all.
    fn accounts(&self) -> Option<Vec<Address>>;

    /// Adds accounts to the list.
    ///
    /// # Errors
    /// There is no list, or the accounts cannot be added.
    fn add_accounts(&self, accounts: &[Address]) -> Result<(), PermissionError>;

    /// Removes accounts from the list.
    ///
    /// # Errors
    /// There is no list, or the accounts cannot be removed.
    fn remove_accounts(&self, accounts: &[Address]) -> Result<(), PermissionError>;

    /// Reads both lists from their file anew.
    ///
    /// # Errors
    /// There is no file, or it cannot be read.
    fn reload(&self) -> Result<(), PermissionError>;

    /// Tells whether an account's transactions are taken.
    fn allows_account(&self, account: Address) -> bool;
}

/// Writes and reads chains in files.
pub trait ChainFiles: Send + Sync {
    /// Returns the data directory.
    fn datadir(&self) -> &Path;

    /// Writes canonical blocks to a new file; all of them where no range is given.
    ///
    /// # Errors
    /// The file exists or cannot be written, or the range is not on the chain.
    fn export(&self, file: &Path, range: Option<(u64, u64)>) -> Result<(), String>;

    /// Imports all blocks of a file.
    ///
    /// # Errors
    /// The file cannot be read, or a block is refused; those before it stay.
    fn import(&self, file: &Path) -> Result<(), String>;
}

/// What readiness demands; none of it is what the node's configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadinessDemands {
    /// The least number of peers.
    pub peers_min: Option<usize>,
    /// How many blocks the node may be behind.
    pub blocks_behind_max: Option<u64>,
}

/// One thing that must be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criterion {
    /// Its name, such as `peers`.
    pub name: &'static str,
    /// Whether it is so.
    pub holds: bool,
    /// What is found, with what is demanded.
    pub detail: String,
}

/// Tells how the node is.
pub trait Health: Send + Sync {
    /// Returns what must be so for the node not to need a restart.
    fn alive(&self) -> Vec<Criterion>;

    /// Returns what must be so for the node to be asked by others.
    fn ready(&self, demands: &ReadinessDemands) -> Vec<Criterion>;
}

/// Changes how much the node writes about itself, 0 (nothing) to 5 (everything).
pub trait LogControl: Send + Sync {
    /// Sets it for all of the program; what was set for modules stays.
    fn set_verbosity(&self, verbosity: u8);

    /// Sets it for these modules (`network`, or `rpc::http`) alone, and for no others.
    ///
    /// # Errors
    /// A name is none.
    fn set_modules(&self, modules: &[(String, u8)]) -> Result<(), String>;
}

/// The operation of a node without a network.
#[derive(Clone, Debug)]
pub struct Alone {
    datadir: PathBuf,
}

const NO_NETWORK: &str = "the node runs alone: start it with --p2p or --port to meet others";

impl NetworkControl for Alone {
    fn status(&self) -> NetworkStatus {
        NetworkStatus::default()
    }

    fn identity(&self) -> Option<NodeIdentity> {
        None
    }

    fn peers(&self) -> Vec<PeerView> {
        Vec::new()
    }

    fn add_peer(&self, _: &str) -> Result<bool, String> {
        Err(NO_NETWORK.to_owned())
    }

    fn remove_peer(&self, _: &str) -> Result<bool, String> {
        Err(NO_NETWORK.to_owned())
    }

    fn set_trusted(&self, _: &str, _: bool) -> Result<bool, String> {
        Err(NO_NETWORK.to_owned())
    }

    fn changes(&self) -> Option<broadcast::Receiver<PeerChange>> {
        None
    }
}

impl Permissions for Alone {
    fn nodes(&self) -> Option<Vec<String>> {
        None
    }

    fn add_nodes(&self, _: &[String]) -> Result<(), PermissionError> {
        Err(PermissionError::NodesNotEnabled)
    }

    fn remove_nodes(&self, _: &[String]) -> Result<(), PermissionError> {
        Err(PermissionError::NodesNotEnabled)
    }

    fn accounts(&self) -> Option<Vec<Address>> {
        None
    }

    fn add_accounts(&self, _: &[Address]) -> Result<(), PermissionError> {
        Err(PermissionError::AccountsNotEnabled)
    }

    fn remove_accounts(&self, _: &[Address]) -> Result<(), PermissionError> {
        Err(PermissionError::AccountsNotEnabled)
    }

    fn reload(&self) -> Result<(), PermissionError> {
        Err(PermissionError::NotEnabled)
    }

    fn allows_account(&self, _: Address) -> bool {
        true
    }
}

impl ChainFiles for Alone {
    fn datadir(&self) -> &Path {
        &self.datadir
    }

    fn export(&self, _: &Path, _: Option<(u64, u64)>) -> Result<(), String> {
        Err("this node writes no files".to_owned())
    }

    fn import(&self, _: &Path) -> Result<(), String> {
        Err("this node reads no files".to_owned())
    }
}

impl LogControl for Alone {
    fn set_verbosity(&self, _: u8) {}

    fn set_modules(&self, _: &[(String, u8)]) -> Result<(), String> {
        Err("this node has no log that could be changed".to_owned())
    }
}

impl Health for Alone {
    fn alive(&self) -> Vec<Criterion> {
        Vec::new()
    }

    fn ready(&self, _: &ReadinessDemands) -> Vec<Criterion> {
        Vec::new()
    }
}
