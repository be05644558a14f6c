//! The checked configuration of a node: one struct per component, made once from flags, environment, file and defaults,
//! and handed down. Rules of the chain are not here: they come from the chain file alone.

mod checks;
pub mod layers;
mod network;
pub mod print;
pub mod values;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::{Address, Bytes};

use values::{AccountRef, Color, Fsync, LogFormat, MinerOrder, SyncMode};

pub use crate::accounts::DEV_MNEMONIC;
pub use checks::{build, log_config};
pub use layers::{Loaded, Origin, load};
pub use network::{MetricsConfig, NetworkConfig};

/// The namespaces of JSON-RPC that this program serves.
pub const APIS: [&str; 18] = [
    "eth",
    "net",
    "web3",
    "drawbridge",
    "txpool",
    "admin",
    "device",
    "perm",
    "miner",
    "personal",
    "debug",
    "trace",
    "ots",
    "erigon",
    "rpc",
    "evm",
    "hardhat",
    "anvil",
];

/// Those of them that only a development chain has.
pub const DEV_APIS: [&str; 3] = ["evm", "hardhat", "anvil"];

/// How many blocks of state history `--gcmode full` keeps.
pub const FULL_HISTORY_BLOCKS: u64 = 90_000;

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct NodeConfig {
    pub data: DataConfig,
    pub chain: ChainConfig,
    pub network: NetworkConfig,
    pub http: HttpConfig,
    pub ws: WsConfig,
    pub ipc: IpcConfig,
    pub mqtt: MqttConfig,
    pub rpc: RpcLimits,
    pub gas_price: GasPriceConfig,
    pub accounts: AccountsConfig,
    pub miner: MinerConfig,
    pub pool: PoolConfig,
    /// The development chain, where it runs.
    pub dev: Option<DevConfig>,
    pub metrics: MetricsConfig,
    pub log: LogConfig,
}

/// Where the data is and how it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct DataConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Whether it is removed at the end: the development chain without `--datadir`.
    pub temporary: bool,
    /// How many blocks of state history are kept; none: all.
    pub history_blocks: Option<NonZeroU64>,
    /// Whether there is an index of addresses and events; none: as the database has it.
    pub index: Option<bool>,
    /// Memory for the database's caches, in MiB.
    pub cache_mib: u64,
    /// When commits reach the disk.
    pub fsync: Fsync,
}

impl DataConfig {
    /// Returns the directory of the database.
    pub fn database_dir(&self) -> PathBuf {
        self.dir.join("chaindata")
    }

    /// Returns the directory of the devices: their certificate authority, registry and shadows.
    pub fn devices_dir(&self) -> PathBuf {
        self.dir.join("devices")
    }

    /// Returns where `init` keeps the chain file that the chain was started with.
    pub fn chain_file(&self) -> PathBuf {
        self.dir.join(CHAIN_FILE)
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from(".drawbridge"),
            temporary: false,
            history_blocks: None,
            index: None,
            cache_mib: 64,
            fsync: Fsync::Second,
        }
    }
}

/// Which chain a node runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChainConfig {
    /// The chain file.
    pub file: ChainFileChoice,
    /// The network id; none: the chain id.
    pub network_id: Option<u64>,
    /// How the node catches up: by executing every block, or from a snapshot of the state.
    pub sync_mode: SyncMode,
}

/// Says where the chain's rules and first block come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ChainFileChoice {
    /// The chain that the data directory holds, in its database or, before the first start, as `genesis.json`; else the private chain
    /// that ships with the program.
    #[default]
    Stored,
    /// The development chain that ships with the program.
    Dev,
    /// This file; the data directory must be empty or hold the same chain.
    File(PathBuf),
}

/// JSON-RPC over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    /// Whether it is served.
    pub enabled: bool,
    /// The host to listen on, an address or a name.
    pub host: String,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// The namespaces, each one of [`APIS`].
    pub apis: Vec<String>,
    /// Origins of web pages that may ask; `*` is any.
    pub cors_origins: Vec<String>,
    /// Host names under which the node may be asked; `*` is any.
    pub virtual_hosts: Vec<String>,
    /// Whether the desk, the browser application, is served there.
    pub desk: bool,
    /// The order registries that the desk works with.
    pub desk_registries: Vec<Address>,
    /// The bridge's account that the desk proposes to sellers.
    pub desk_operator: Option<Address>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            host: "localhost".into(),
            port: 8545,
            apis: default_apis(),
            cors_origins: Vec::new(),
            virtual_hosts: vec!["localhost".into()],
            desk: true,
            desk_registries: Vec::new(),
            desk_operator: None,
        }
    }
}

/// JSON-RPC over WebSocket.
#[derive(Clone, Debug, PartialEq)]
pub struct WsConfig {
    /// Whether it is served.
    pub enabled: bool,
    /// The host to listen on, an address or a name.
    pub host: String,
    /// The port to listen on; it may be the HTTP port, and then one server serves both. 0 takes a free one.
    pub port: u16,
    /// The namespaces, each one of [`APIS`].
    pub apis: Vec<String>,
    /// Origins of web pages that may connect; `*` is any.
    pub origins: Vec<String>,
}

impl Default for WsConfig {
    fn default() -> Self {
        Self { enabled: false, host: "localhost".into(), port: 8546, apis: default_apis(), origins: Vec::new() }
    }
}

fn default_apis() -> Vec<String> {
    ["eth", "net", "web3", "drawbridge"].map(str::to_owned).to_vec()
}

/// JSON-RPC over a local socket, with every namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct IpcConfig {
    /// Whether it is served.
    pub enabled: bool,
    /// The path of the socket.
    pub path: PathBuf,
}

impl Default for IpcConfig {
    fn default() -> Self {
        Self { enabled: true, path: PathBuf::from(IPC_FILE) }
    }
}

/// MQTT and shadows for devices.
#[derive(Clone, Debug, PartialEq)]
pub struct MqttConfig {
    /// Whether they are served.
    pub enabled: bool,
    /// The host to listen on, an address or a name.
    pub host: String,
    /// The port for MQTT over TLS; 0 takes a free one.
    pub port: u16,
    /// The port for the shadows over HTTPS, where they are served there; 0 takes a free one.
    pub https_port: Option<u16>,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self { enabled: false, host: "localhost".into(), port: 8883, https_port: Some(HTTPS_PORT) }
    }
}

/// The port for the shadows over HTTPS, as AWS IoT's.
pub(crate) const HTTPS_PORT: u16 = 8443;

/// The name of the chain file in the data directory.
pub(crate) const CHAIN_FILE: &str = "genesis.json";

/// The name of the local socket in the data directory.
pub(crate) const IPC_FILE: &str = "drawbridge.ipc";

/// What a request may cost. In `Option` none is no limit.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcLimits {
    /// Gas that a call may use.
    pub gas_cap: Option<NonZeroU64>,
    /// Time that a call may take.
    pub evm_timeout: Option<Duration>,
    /// The highest fee of a transaction sent over RPC, in wei.
    pub tx_fee_cap_wei: Option<u128>,
    /// Requests in one batch.
    pub batch_requests_max: Option<u32>,
    /// Bytes in the answer to one batch.
    pub batch_response_bytes_max: Option<u32>,
    /// Whether transactions without EIP-155 are accepted.
    pub allow_unprotected_txs: bool,
    /// The file with the API keys of the gate; none: no keys.
    pub keys_file: Option<PathBuf>,
    /// The file with the secret of tokens; none: no tokens.
    pub jwt_secret_file: Option<PathBuf>,
    /// Whether whoever asks may steer the node from beyond this machine.
    pub allow_exposed: bool,
    /// Connections for HTTP and WebSocket together.
    pub connections_max: u32,
}

impl RpcLimits {
    /// Tells whether clients show that they may ask.
    pub fn is_authenticated(&self) -> bool {
        self.keys_file.is_some() || self.jwt_secret_file.is_some()
    }
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            gas_cap: NonZeroU64::new(50_000_000),
            evm_timeout: Some(Duration::from_secs(5)),
            tx_fee_cap_wei: Some(1_000_000_000_000_000_000),
            batch_requests_max: Some(1000),
            batch_response_bytes_max: Some(25_000_000),
            allow_unprotected_txs: false,
            keys_file: None,
            jwt_secret_file: None,
            allow_exposed: false,
            connections_max: 16_384,
        }
    }
}

/// What the node answers when asked for a gas price.
#[derive(Clone, Debug, PartialEq)]
pub struct GasPriceConfig {
    /// Recent blocks to look at.
    pub blocks: u32,
    /// The percentile of their tips to suggest.
    pub percentile: u8,
    /// The highest tip to suggest, in wei.
    pub tip_wei_max: u128,
    /// Tips below this are passed over, in wei.
    pub tip_wei_ignored: u128,
}

impl Default for GasPriceConfig {
    fn default() -> Self {
        Self { blocks: 20, percentile: 60, tip_wei_max: 500_000_000_000, tip_wei_ignored: 2 }
    }
}

/// The node's own accounts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountsConfig {
    /// The directory of the key files.
    pub keystore_dir: PathBuf,
    /// Whether new keys are protected by 4 MiB of scrypt instead of 256.
    pub light_kdf: bool,
    /// A file with passwords, one per line, in the order of `unlock`.
    pub password_file: Option<PathBuf>,
    /// The accounts to unlock at start.
    pub unlock: Vec<AccountRef>,
    /// Whether accounts may be unlocked while HTTP or WebSocket is served.
    pub allow_insecure_unlock: bool,
}

/// Mining.
#[derive(Clone, Debug, PartialEq)]
pub struct MinerConfig {
    /// Whether the node mines from the start.
    pub enabled: bool,
    /// Threads that search seals; 0 is one per core.
    pub threads: u16,
    /// The account that is paid; none: the node's first account.
    pub etherbase: Option<AccountRef>,
    /// The gas limit that the blocks move towards.
    pub gas_limit: u64,
    /// The lowest tip of a transaction that this node mines, in wei.
    pub tip_wei_min: u128,
    /// The `extraData` of mined blocks, at most 32 bytes.
    pub extra_data: Bytes,
    /// Which transactions come first.
    pub order: MinerOrder,
    /// The share of the time that each thread searches, in percent, 1 to 100.
    pub cpu_percent: u8,
    /// How often the block being mined takes in new transactions.
    pub recommit: Duration,
}

impl Default for MinerConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            threads: 1,
            etherbase: None,
            gas_limit: 36_000_000,
            tip_wei_min: 0,
            extra_data: Bytes::new(),
            order: MinerOrder::Arrival,
            cpu_percent: 100,
            recommit: Duration::from_secs(2),
        }
    }
}

/// The transaction pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Accounts whose transactions count as local.
    pub locals: Vec<Address>,
    /// Whether no transaction is treated as local.
    pub no_locals: bool,
    /// The file that keeps local transactions over a restart, if any.
    pub journal: Option<PathBuf>,
    /// How often that file is written anew.
    pub rejournal: Duration,
    /// The lowest tip that the pool takes, in wei.
    pub price_limit_wei: u128,
    /// How much more a replacement must pay, in percent.
    pub price_bump_percent: u32,
    /// Executable transactions that each account may always have.
    pub account_slots: u32,
    /// Executable transactions of all accounts.
    pub global_slots: u32,
    /// Transactions of each account that wait for an earlier nonce.
    pub account_queue: u32,
    /// Such transactions of all accounts.
    pub global_queue: u32,
    /// How long they may wait.
    pub lifetime: Duration,
}

/// The name of the pool's journal in the data directory.
pub(crate) const JOURNAL_FILE: &str = "transactions.rlp";

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            locals: Vec::new(),
            no_locals: false,
            journal: Some(PathBuf::from(JOURNAL_FILE)),
            rejournal: Duration::from_secs(3600),
            price_limit_wei: 0,
            price_bump_percent: 10,
            account_slots: 16,
            global_slots: 5120,
            account_queue: 64,
            global_queue: 1024,
            lifetime: Duration::from_secs(3 * 3600),
        }
    }
}

/// The development chain.
#[derive(Clone, Debug, PartialEq)]
pub struct DevConfig {
    /// How often a block is mined; none: on demand.
    pub period: Option<Duration>,
    /// How many unlocked accounts there are.
    pub accounts: u16,
    /// Their mnemonic.
    pub mnemonic: String,
}

impl Default for DevConfig {
    fn default() -> Self {
        Self { period: None, accounts: 10, mnemonic: DEV_MNEMONIC.into() }
    }
}

/// What the program writes about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// 0 silent to 5 everything.
    pub verbosity: u8,
    /// How lines look.
    pub format: LogFormat,
    /// A file that gets the lines as well.
    pub file: Option<PathBuf>,
    /// The size at which a new file is started, in MiB.
    pub file_size_mib_max: u64,
    /// Whether lines are coloured.
    pub color: Color,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { verbosity: 3, format: LogFormat::Text, file: None, file_size_mib_max: 100, color: Color::Auto }
    }
}
