//! The flags of the node about mining, the transaction pool and the development chain.

use std::ffi::OsString;

use alloy_primitives::Address;
use clap::Args;

use crate::config::values::{AccountRef, ExtraData, List, MinerOrder, Span, Wei};

/// Mining.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Mining")]
pub struct MinerArgs {
    /// Mine blocks
    #[arg(long)]
    pub mine: Option<bool>,
    /// Threads that search seals; 0 is one per core [default: 1]
    #[arg(long = "miner.threads", value_name = "N")]
    pub miner_threads: Option<u16>,
    /// Account that is paid for blocks [default: the first account]
    #[arg(long = "miner.etherbase", value_name = "ADDRESS")]
    pub miner_etherbase: Option<AccountRef>,
    /// Gas limit that the blocks move towards [default: 36000000]
    #[arg(long = "miner.gaslimit", value_name = "GAS")]
    pub miner_gaslimit: Option<u64>,
    /// The lowest tip of a transaction that this node mines, in wei [default: 0]
    #[arg(long = "miner.gasprice", value_name = "WEI")]
    pub miner_gasprice: Option<Wei>,
    /// Text, or bytes after 0x, put into mined blocks: at most 32 bytes
    #[arg(long = "miner.extradata", value_name = "DATA")]
    pub miner_extradata: Option<ExtraData>,
    /// Which transactions come first: arrival or price [default: arrival]
    #[arg(long = "miner.order", value_name = "ORDER", hide_possible_values = true)]
    pub miner_order: Option<MinerOrder>,
    /// Share of the time that each thread searches, in percent [default: 100]
    #[arg(long = "miner.cpu", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub miner_cpu: Option<u8>,
    /// How often the block being mined takes in new transactions [default: 2s]
    #[arg(long = "miner.recommit", value_name = "TIME")]
    pub miner_recommit: Option<Span>,
}

/// The transaction pool.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Transaction pool")]
pub struct PoolArgs {
    /// Accounts whose transactions count as local, separated by commas
    #[arg(long = "txpool.locals", value_name = "ADDRESSES")]
    pub txpool_locals: Option<List<Address>>,
    /// Treat no transaction as local
    #[arg(long = "txpool.nolocals")]
    pub txpool_nolocals: Option<bool>,
    /// File that keeps local transactions over a restart; empty for none [default: transactions.rlp in the data directory]
    #[arg(long = "txpool.journal", value_name = "FILE")]
    pub txpool_journal: Option<OsString>,
    /// How often that file is written anew [default: 1h]
    #[arg(long = "txpool.rejournal", value_name = "TIME")]
    pub txpool_rejournal: Option<Span>,
    /// The lowest tip that the pool takes, in wei [default: 0]
    #[arg(long = "txpool.pricelimit", value_name = "WEI")]
    pub txpool_pricelimit: Option<Wei>,
    /// How much more a replacement must pay, in percent [default: 10]
    #[arg(long = "txpool.pricebump", value_name = "PERCENT")]
    pub txpool_pricebump: Option<u32>,
    /// Executable transactions that each account may always have [default: 16]
    #[arg(long = "txpool.accountslots", value_name = "N")]
    pub txpool_accountslots: Option<u32>,
    /// Executable transactions of all accounts [default: 5120]
    #[arg(long = "txpool.globalslots", value_name = "N")]
    pub txpool_globalslots: Option<u32>,
    /// Transactions of each account that wait for an earlier nonce [default: 64]
    #[arg(long = "txpool.accountqueue", value_name = "N")]
    pub txpool_accountqueue: Option<u32>,
    /// Such transactions of all accounts [default: 1024]
    #[arg(long = "txpool.globalqueue", value_name = "N")]
    pub txpool_globalqueue: Option<u32>,
    /// How long they may wait [default: 3h]
    #[arg(long = "txpool.lifetime", value_name = "TIME")]
    pub txpool_lifetime: Option<Span>,
}

/// The development chain.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Development chain")]
pub struct DevArgs {
    /// Run the development chain: funded, unlocked accounts; a block for each transaction; HTTP, WebSocket and all namespaces.
    /// Without --datadir it lives in a temporary directory that is removed at the end
    #[arg(long)]
    pub dev: Option<bool>,
    /// Mine a block every so many seconds; 0 mines on demand [default: 0]
    #[arg(long = "dev.period", value_name = "SECONDS")]
    pub dev_period: Option<Span>,
    /// Unlocked accounts [default: 10]
    #[arg(long = "dev.accounts", value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub dev_accounts: Option<u16>,
    /// Mnemonic of these accounts; the chain file funds those of the default one
    #[arg(long = "dev.mnemonic", value_name = "WORDS")]
    pub dev_mnemonic: Option<String>,
}
