//! The flags of the node about data, chain, accounts and logs. Names are geth's. Every value is optional here:
//! defaults belong to the configuration.

use std::path::PathBuf;

use clap::Args;

use crate::config::values::{AccountRef, Color, Fsync, GcMode, List, LogFormat, SyncMode};

use super::device_registry::MqttArgs;
use super::network_flags::{MetricsArgs, NetworkArgs};
use super::serving_flags::{GasPriceArgs, HttpArgs, IpcArgs, RpcArgs, WsArgs};
use super::work_flags::{DevArgs, MinerArgs, PoolArgs};

/// All flags of `drawbridge node`.
#[derive(Args, Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct NodeArgs {
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub storage: StorageArgs,
    #[command(flatten)]
    pub chain: ChainArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(flatten)]
    pub http: HttpArgs,
    #[command(flatten)]
    pub ws: WsArgs,
    #[command(flatten)]
    pub ipc: IpcArgs,
    #[command(flatten)]
    pub mqtt: MqttArgs,
    #[command(flatten)]
    pub rpc: RpcArgs,
    #[command(flatten)]
    pub keys: KeyArgs,
    #[command(flatten)]
    pub accounts: AccountArgs,
    #[command(flatten)]
    pub miner: MinerArgs,
    #[command(flatten)]
    pub pool: PoolArgs,
    #[command(flatten)]
    pub gas_price: GasPriceArgs,
    #[command(flatten)]
    pub dev: DevArgs,
    #[command(flatten)]
    pub metrics: MetricsArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// Where everything is.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Data")]
pub struct DataArgs {
    /// Directory of the database and the keystore [default: ~/.drawbridge]
    #[arg(long, value_name = "DIR")]
    pub datadir: Option<PathBuf>,
    /// Configuration file (TOML); `drawbridge config print` writes one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How the database is kept.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Data")]
pub struct StorageArgs {
    /// Keep the state history of this many blocks; 0 keeps all of it [default: 0]
    #[arg(long, value_name = "BLOCKS")]
    pub history: Option<u64>,
    /// archive is --history 0, full is --history 90000
    #[arg(long, value_name = "MODE", hide_possible_values = true)]
    pub gcmode: Option<GcMode>,
    /// Keep an index of addresses and events, so that pages about accounts and contracts are quick [default: as the database has it; with --dev
    /// true]
    #[arg(long)]
    pub index: Option<bool>,
    /// Memory for the database's caches, in MiB [default: 64]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(8..=1_048_576))]
    pub cache: Option<u64>,
    /// When commits reach the disk: with every block, or at least every second: block or second [default: second]
    #[arg(long, value_name = "WHEN", hide_possible_values = true)]
    pub fsync: Option<Fsync>,
}

/// Which chain.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Chain")]
pub struct ChainArgs {
    /// Chain file for the first start in a data directory [default: the private chain that ships with the program]
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// Network id; the chain id where it is not given
    #[arg(long, value_name = "ID")]
    pub networkid: Option<u64>,
    /// How an empty node catches up: full executes every block, snap begins with the state of a finalized one [default: full]
    #[arg(long, value_name = "MODE", hide_possible_values = true)]
    pub syncmode: Option<SyncMode>,
}

/// Where keys and passwords are.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Accounts")]
pub struct KeyArgs {
    /// Directory of the key files [default: keystore in the data directory]
    #[arg(long, value_name = "DIR")]
    pub keystore: Option<PathBuf>,
    /// File with passwords, one per line, in the order of --unlock
    #[arg(long, value_name = "FILE")]
    pub password: Option<PathBuf>,
    /// Protect new keys with 4 MiB of scrypt instead of 256, for small boards
    #[arg(long)]
    pub lightkdf: Option<bool>,
}

/// Which accounts the node may use.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Accounts")]
pub struct AccountArgs {
    /// Accounts to unlock at start, separated by commas
    #[arg(long, value_name = "ADDRESSES")]
    pub unlock: Option<List<AccountRef>>,
    /// Allow unlocked accounts while HTTP or WebSocket is served
    #[arg(long = "allow-insecure-unlock")]
    pub allow_insecure_unlock: Option<bool>,
}

/// What the program writes about itself.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// 0 silent, 1 errors, 2 warnings, 3 information, 4 debug, 5 everything [default: 3]
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(0..=5))]
    pub verbosity: Option<u8>,
    /// text, json, or auto: text on a terminal, else JSON [default: text]
    #[arg(long = "log.format", value_name = "FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
    /// Append the log to this file as well
    #[arg(long = "log.file", value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Start a new log file at this size; the one before is kept as FILE.1 [default: 100]
    #[arg(long = "log.maxsize", value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub log_maxsize: Option<u64>,
    /// Colours: auto, always or never; NO_COLOR is honoured [default: auto]
    #[arg(long, value_name = "WHEN", hide_possible_values = true)]
    pub color: Option<Color>,
}
