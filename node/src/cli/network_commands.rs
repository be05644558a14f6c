//! The flags of `network …` and `join`.

use std::path::PathBuf;

use alloy_primitives::Address;
use clap::{Args, Subcommand};
use network::p2p::PeerAddress;

use super::flags::NodeArgs;
use crate::config::values::List;

/// `drawbridge network …`.
#[derive(Subcommand, Clone, Debug)]
pub enum NetworkCommand {
    /// Make a network: chain file, keys, and a configuration for each node
    #[command(
        after_help = "Example:\n  drawbridge network new --nodes 4 --out cluster\n  drawbridge network run cluster"
    )]
    New(NewArgs),
    /// Print one line that lets further machines join
    #[command(after_help = "Example:\n  drawbridge network ticket cluster --password ticket.txt")]
    Ticket(TicketArgs),
    /// Run all nodes of a network's folder on this machine and show how they are
    #[command(after_help = "Example:\n  drawbridge network run cluster --seconds 60")]
    Run(RunArgs),
}

/// The flags of `network new`.
#[derive(Args, Clone, Debug)]
pub struct NewArgs {
    /// Nodes that mine, each with a key of its own; no others may
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub nodes: u16,
    /// Nodes that serve JSON-RPC and do not mine
    #[arg(long = "rpc-nodes", value_name = "N", default_value_t = 1)]
    pub rpc_nodes: u16,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Machines: one for all nodes, or one for each, miners first; addresses or names, separated by commas
    #[arg(long, value_name = "HOSTS", default_value = "127.0.0.1")]
    pub hosts: List<String>,
    /// Port for other nodes; on one machine the next ones follow
    #[arg(long, value_name = "PORT", default_value_t = 30303)]
    pub port: u16,
    /// Port of JSON-RPC
    #[arg(long = "rpc-port", value_name = "PORT", default_value_t = 8545)]
    pub rpc_port: u16,
    /// Port of metrics
    #[arg(long = "metrics-port", value_name = "PORT", default_value_t = 6060)]
    pub metrics_port: u16,
    /// Chain id [default: drawn]
    #[arg(long = "chain-id", value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub chain_id: Option<u64>,
    /// Time between blocks, in milliseconds
    #[arg(long = "block-ms", value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(100..=86_400_000))]
    pub block_ms: u64,
    /// Difficulty at the start, at least 131072 [default: for miners with the hash rate of this machine]
    #[arg(long, value_name = "HASHES", value_parser = clap::value_parser!(u64).range(131_072..))]
    pub difficulty: Option<u64>,
    /// Seconds between empty blocks, at most a day; 0 mines them as any other
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub heartbeat: u64,
    /// Accounts that get a million ether at the start, separated by commas
    #[arg(long, value_name = "ADDRESSES", default_value = "")]
    pub fund: List<Address>,
    /// Share of the time that each miner searches, in percent
    #[arg(long = "miner-cpu", value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub miner_cpu: u8,
    /// Image of the compose file
    #[arg(long, value_name = "NAME", default_value = "drawbridge:latest")]
    pub image: String,
    /// Protect the miners' keys with 4 MiB of scrypt instead of 256
    #[arg(long)]
    pub lightkdf: bool,
}

/// The flags of `network ticket`.
#[derive(Args, Clone, Debug)]
pub struct TicketArgs {
    /// Folder of the network, or the data directory of a node that knows others
    pub folder: PathBuf,
    /// Chain file [default: genesis.json in the folder]
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// Put this address of the chain file into the ticket instead of the file itself
    #[arg(long = "genesis-url", value_name = "URL")]
    pub genesis_url: Option<String>,
    /// Nodes to ask for others, separated by commas [default: those of the folder]
    #[arg(long, value_name = "ADDRESSES")]
    pub bootnodes: Option<List<PeerAddress>>,
    /// File with the swarm key [default: swarm.key in the folder]
    #[arg(long = "p2p.swarmkey", value_name = "FILE", id = "p2p_swarmkey")]
    pub swarmkey: Option<PathBuf>,
    /// File with the password that wraps the swarm key; asked for where it is not given
    #[arg(long, value_name = "FILE")]
    pub password: Option<PathBuf>,
    /// Wrap with 4 MiB of scrypt instead of 256
    #[arg(long)]
    pub lightkdf: bool,
}

/// The flags of `network run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Folder that `network new` has made
    pub folder: PathBuf,
    /// End after so many seconds
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
}

/// The flags of `join`.
#[derive(Args, Clone, Debug)]
pub struct JoinArgs {
    /// The line that `network ticket` has printed
    pub ticket: String,
    /// Write the files and end, without running a node; the other flags are kept in node.toml for the next start
    #[arg(long)]
    pub prepare: bool,
    /// The node.
    #[command(flatten)]
    pub node: Box<NodeArgs>,
}
