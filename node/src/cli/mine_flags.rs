//! The flags of `drawbridge mine`.

use std::path::PathBuf;

use clap::Args;

use super::flags::LogArgs;

/// `drawbridge mine`: the node whose blocks are sealed, and what may be spent on it.
#[derive(Args, Clone, Debug)]
pub struct MineArgs {
    /// The node: http://… or https://…
    #[arg(long = "rpc", value_name = "URL", default_value = "http://127.0.0.1:8545")]
    pub url: String,
    /// Authority (PEM) that the server's certificate must come from; https:// needs it
    #[arg(long = "rpc.ca", value_name = "FILE")]
    pub rpc_ca: Option<PathBuf>,
    /// Name for a proxy's basic authentication
    #[arg(long = "rpc.user", value_name = "NAME", requires = "rpc_password")]
    pub rpc_user: Option<String>,
    /// File with its password
    #[arg(long = "rpc.password", value_name = "FILE", requires = "rpc_user")]
    pub rpc_password: Option<PathBuf>,
    /// File with an API key of the node's gate
    #[arg(long = "rpc.key", value_name = "FILE", conflicts_with = "rpc_user")]
    pub rpc_key: Option<PathBuf>,
    /// Threads that search; 0 is one per core
    #[arg(long = "threads", value_name = "N", default_value_t = 0)]
    pub search_threads: u16,
    /// Share of the time that each thread searches, in percent
    #[arg(long = "cpu", value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub search_cpu: u8,
    /// What it writes about itself.
    #[command(flatten)]
    pub log: LogArgs,
}
