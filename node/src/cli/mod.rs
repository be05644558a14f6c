//! The command line: subcommands, flags with geth's names, and the names of old geth versions.
//!
//! It only reads what was typed. What the values mean together with the environment, the configuration file and the
//! defaults is decided in `config`.

pub mod device_flags;
pub mod device_registry;
pub mod flags;
pub mod legacy;
pub mod mine_flags;
pub mod network_commands;
pub mod network_flags;
pub mod serving_flags;
pub mod work_flags;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use device_flags::{CodeCommand, ProxyCommand};
use device_registry::DeviceCommand;
use network::p2p::PeerAddress;

use crate::config::values::{List, Place};
use flags::{DataArgs, KeyArgs, LogArgs, NodeArgs, StorageArgs};
use mine_flags::MineArgs;
use network_commands::{JoinArgs, NetworkCommand};

const EXAMPLES: &str = "\
Examples:
  drawbridge --dev                                  a development chain with ten funded accounts
  drawbridge --dev --datadir chain --http.port 9545 the same, kept in ./chain
  drawbridge init --datadir node genesis.json       start a chain from a geth or Besu chain file
  drawbridge account new --datadir node             make an account
  drawbridge --datadir node --http --mine           serve JSON-RPC and mine
  drawbridge device add lock-1 --datadir node       give a device its certificate
  drawbridge genesis check genesis.json             look for mistakes in a chain file
  drawbridge network new --nodes 4 --out cluster    make a network: four miners and JSON-RPC
  drawbridge join TICKET --datadir node             join one
  drawbridge config print --datadir node            show every setting and where it comes from

Settings: a flag wins over the environment, that over the configuration file (--config), that over
the default.
  --http.port 9545   is   DRAWBRIDGE_HTTP_PORT=9545   and in the file   [http] port = 9545
Exit codes are listed in docs/exit-codes.md.";

/// The command line of `drawbridge`.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "drawbridge",
    version,
    about = "A private, Ethereum-compatible, proof-of-work chain",
    long_about = "A private, Ethereum-compatible, proof-of-work chain.\nWithout a command it runs a node.",
    after_help = EXAMPLES,
    args_override_self = true,
    disable_help_subcommand = true,
    max_term_width = 120
)]
pub struct Cli {
    /// What to do; nothing is [`Command::Node`].
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of the node, which may stand before a command too.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// The commands.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Run a node (the default)
    Node(Box<NodeArgs>),
    /// Open a console for JSON-RPC on a node that runs
    #[command(
        after_help = "Examples:\n  drawbridge attach --datadir node\n  drawbridge attach http://localhost:8545 --exec 'eth.getBalance(eth.accounts[0])'\n\n\
        Names are those of web3 and of geth's console: eth.blockNumber, personal.newAccount(),\n\
        web3.fromWei(1e18)."
    )]
    Attach(Box<AttachArgs>),
    /// Start a chain in a data directory from a chain file
    #[command(after_help = "Example:\n  drawbridge init --datadir node genesis.json")]
    Init {
        /// Chain file (JSON of geth, Besu or Drawbridge)
        file: PathBuf,
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Make, list, import and re-encrypt accounts
    #[command(subcommand)]
    Account(AccountCommand),
    /// Give certificates to devices, and serve their shadows over MQTT
    #[command(subcommand)]
    Device(Box<DeviceCommand>),
    /// Check or show a chain file
    #[command(subcommand)]
    Genesis(GenesisCommand),
    /// Write blocks to a file (RLP, as geth writes it; compressed where its name ends in .gz)
    #[command(after_help = "Example:\n  drawbridge export --datadir node chain.rlp 1 1000")]
    Export {
        /// File to write
        file: PathBuf,
        /// The first block [default: 0]
        first: Option<u64>,
        /// The last block [default: the head]
        last: Option<u64>,
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Read blocks from files (RLP, as geth writes them, plain or compressed by gzip)
    #[command(
        after_help = "Examples:\n  drawbridge import --datadir node chain.rlp\n  drawbridge import --datadir node --no-verify-seal geth-export.rlp"
    )]
    Import {
        /// Files to read, one after the other
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Take other clients' Ethash seals as they are; everything else is checked, and Drawbridge's own seals always
        #[arg(long)]
        no_verify_seal: bool,
        /// Into a development chain, which takes transactions of impersonated accounts
        #[arg(long)]
        dev: bool,
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Look into the database, verify, prune or compact it
    #[command(subcommand)]
    Db(DbCommand),
    /// Copy the chain while the node runs, check a copy, put it back
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Look for what keeps a node from running or from meeting others, and say a remedy for each finding
    #[command(
        after_help = "Example:\n  drawbridge doctor --config node.toml\n\nGive the flags that the node is started with. A node that runs is asked over its local socket."
    )]
    Doctor(Box<NodeArgs>),
    /// Make and run a network of several nodes
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Join a network by the line that `network ticket` has printed, and run a node
    #[command(after_help = "Example:\n  drawbridge join drawbridge1.xyz… --datadir node --password ticket.txt --http")]
    Join(Box<JoinArgs>),
    /// Run a boot node, which tells nodes about each other and has no chain
    #[command(
        after_help = "Example:\n  drawbridge bootnode --genkey boot.key\n  drawbridge bootnode --nodekey boot.key -addr :30301\n\n\
        It prints the addresses under which nodes name it by --bootnodes."
    )]
    Bootnode(Box<BootnodeArgs>),
    /// Search seals for the blocks of a node elsewhere, over JSON-RPC
    #[command(after_help = "Example:\n  drawbridge mine --rpc http://10.0.0.7:8545 --threads 4\n\n\
        The node need not mine itself, but it must know who is paid: --miner.etherbase. It builds the\n\
        blocks and signs them where its chain names its miners; what runs here holds no key.")]
    Mine(Box<MineArgs>),
    /// Print the chain file: of the data directory, of --genesis, or of --dev
    Dumpgenesis(Box<NodeArgs>),
    /// Print the settings as a configuration file
    Dumpconfig(Box<NodeArgs>),
    /// Look at the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make and read the codes that buyers show at devices
    #[command(subcommand)]
    Code(CodeCommand),
    /// Configure a reverse proxy in front of the nodes
    #[command(subcommand)]
    Proxy(ProxyCommand),
    /// Print the version
    Version,
    /// Delete the chain of a data directory; keys stay
    Removedb {
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// The flags of `drawbridge attach`.
#[derive(Args, Clone, Debug, Default)]
pub struct AttachArgs {
    /// http://HOST:PORT, ws://HOST:PORT or the path of a local socket [default: the one in the data directory]
    pub endpoint: Option<String>,
    /// Run this instead of asking for lines, and print what it comes to
    #[arg(long, value_name = "LINE")]
    pub exec: Option<String>,
    /// File with the secret that the node knows by --rpc.jwtsecret
    #[arg(long, value_name = "FILE")]
    pub jwtsecret: Option<PathBuf>,
    /// Where.
    #[command(flatten)]
    pub data: DataArgs,
    /// Where its socket is.
    #[command(flatten)]
    pub ipc: serving_flags::IpcArgs,
}

/// The flags of `drawbridge bootnode`, those of the old tool among them.
#[derive(Args, Clone, Debug, Default)]
pub struct BootnodeArgs {
    /// Write a new key into this file, print its peer id, and end
    #[arg(long, value_name = "FILE")]
    pub genkey: Option<PathBuf>,
    /// File with the key that the boot node is known by
    #[arg(long, value_name = "FILE")]
    pub nodekey: Option<PathBuf>,
    /// Print the peer id of the key, and end
    #[arg(long)]
    pub writeaddress: bool,
    /// Address to listen on [default: :30301]
    #[arg(long, value_name = "HOST:PORT")]
    pub addr: Option<String>,
    /// Other boot nodes, separated by commas
    #[arg(long, value_name = "ADDRESSES")]
    pub bootnodes: Option<List<PeerAddress>>,
    /// File with the secret of a private network
    #[arg(long = "p2p.swarmkey", value_name = "FILE")]
    pub p2p_swarmkey: Option<PathBuf>,
    /// Addresses (multiaddrs) under which others reach it, where it stands behind a router
    #[arg(long = "p2p.external", value_name = "ADDRESSES")]
    pub p2p_external: Option<List<Place>>,
    /// What it writes about itself.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The flags of commands that work on a data directory.
#[derive(Args, Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct PlaceArgs {
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub storage: StorageArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// The flags of commands that work on keys.
#[derive(Args, Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct KeyPlaceArgs {
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub keys: KeyArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// `drawbridge account …`.
#[derive(Subcommand, Clone, Debug)]
pub enum AccountCommand {
    /// Make an account; its key is encrypted by a password
    #[command(after_help = "Example:\n  drawbridge account new --datadir node --password pw.txt")]
    New {
        /// Where.
        #[command(flatten)]
        place: KeyPlaceArgs,
    },
    /// List the accounts
    List {
        /// Where.
        #[command(flatten)]
        place: KeyPlaceArgs,
    },
    /// Import a key: 64 hexadecimal digits, or a key file of another program
    #[command(after_help = "Example:\n  drawbridge account import --datadir node --password pw.txt key.hex\n\n\
        A key file (JSON) is decrypted by its own password first: the first line of --password, or\n\
        asked for; the second line, if there is one, is the new password.")]
    Import {
        /// File with the key
        file: PathBuf,
        /// Where.
        #[command(flatten)]
        place: KeyPlaceArgs,
    },
    /// Change the password of accounts, and write their files in the current format
    #[command(
        after_help = "Example:\n  drawbridge account update --datadir node 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266\n\n\
        With --password the first line of the file is the old password and the second the new one."
    )]
    Update {
        /// Accounts: addresses, or places in the list
        #[arg(required = true)]
        accounts: Vec<crate::config::values::AccountRef>,
        /// Where.
        #[command(flatten)]
        place: KeyPlaceArgs,
    },
}

/// `drawbridge genesis …`.
#[derive(Subcommand, Clone, Debug)]
pub enum GenesisCommand {
    /// Check a chain file: its values, and names that mean nothing
    Check {
        /// Chain file
        file: PathBuf,
        /// Fail on names that mean nothing, too
        #[arg(long)]
        strict: bool,
    },
    /// Show what a chain file means
    Show {
        /// Chain file, or `dev` or `private` for the ones that ship with the program
        #[arg(default_value = "private", value_name = "FILE|dev|private")]
        which: PathBuf,
    },
}

/// `drawbridge config …`.
#[derive(Subcommand, Clone, Debug)]
pub enum ConfigCommand {
    /// Print every setting with its origin: flag, environment, file or default
    #[command(
        after_help = "Example:\n  drawbridge config print --http --mine > node.toml\n  drawbridge --config node.toml"
    )]
    Print(Box<NodeArgs>),
}

/// `drawbridge db …`.
#[derive(Subcommand, Clone, Debug)]
pub enum DbCommand {
    /// Show tables, sizes and the head
    Inspect {
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Compute every root anew from the flat state, and compare
    Verify {
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Drop state history older than --history blocks
    #[command(after_help = "Example:\n  drawbridge db prune --datadir node --history 90000")]
    Prune {
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Give back the space of what was deleted
    Compact {
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Build or drop the index of addresses and events
    #[command(subcommand)]
    Index(IndexCommand),
    /// Make an earlier block the head, whatever is final; a node that runs is asked by debug_setHead instead
    #[command(after_help = "Example:\n  drawbridge db rewind --datadir node 1200\n\n\
        The blocks above stay in the database as a branch that was left, and come back when they are\n\
        imported again.")]
    Rewind {
        /// The block's number
        number: u64,
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Open a database whose log was damaged: whole blocks before the damage stay, the rest is given up; then verify
    #[command(after_help = "Example:\n  drawbridge db recover --datadir node")]
    Recover {
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// `drawbridge db index …`.
#[derive(Subcommand, Clone, Debug)]
pub enum IndexCommand {
    /// Build it for all blocks that are there, or complete it; imports extend it from then on
    #[command(after_help = "Example:\n  drawbridge db index build --datadir node")]
    Build {
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Drop it; imports no longer extend it
    #[command(
        after_help = "Example:\n  drawbridge db index drop --datadir node && drawbridge db compact --datadir node"
    )]
    Drop {
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// `drawbridge backup …`.
#[derive(Subcommand, Clone, Debug)]
pub enum BackupCommand {
    /// Copy the chain as it is now into a new directory; a running node is asked over its local socket
    #[command(after_help = "Example:\n  drawbridge backup create --datadir node /backups/monday")]
    Create {
        /// Directory to make
        dir: PathBuf,
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Compute every hash and root of a backup anew, and compare
    #[command(after_help = "Example:\n  drawbridge backup verify /backups/monday")]
    Verify {
        /// The backup
        dir: PathBuf,
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Put a backup into a data directory that holds no chain
    #[command(after_help = "Example:\n  drawbridge backup restore --datadir node /backups/monday")]
    Restore {
        /// The backup
        dir: PathBuf,
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// What was typed: the parsed form, and the matches that tell which flags were given.
#[derive(Clone, Debug)]
pub struct Typed {
    /// The parsed form.
    pub cli: Cli,
    /// What clap saw.
    pub matches: ArgMatches,
}

/// Returns the command line's definition.
pub fn command() -> clap::Command {
    with_switches(Cli::command())
}

/// Returns the definition of the node's flags alone.
pub fn node_flags() -> clap::Command {
    with_switches(NodeArgs::augment_args(
        clap::Command::new("drawbridge").no_binary_name(true).args_override_self(true),
    ))
}

/// Reads a command line, program name first, in today's names.
///
/// # Errors
/// Something in it is unknown or malformed, or help or the version is asked for.
pub fn parse(args: Vec<OsString>) -> Result<Typed, clap::Error> {
    let matches = command().try_get_matches_from(args)?;
    let cli = Cli::from_arg_matches(&matches)?;
    Ok(Typed { cli, matches })
}

/// Returns the names (without dashes) of all flags that take a value as the next word.
pub(crate) fn flags_with_values() -> BTreeSet<String> {
    fn collect(command: &clap::Command, names: &mut BTreeSet<String>) {
        for arg in command.get_arguments() {
            let takes_next_word = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !is_switch(arg);
            if let (true, Some(name)) = (takes_next_word, arg.get_long()) {
                names.insert(name.to_owned());
            }
        }
        command.get_subcommands().for_each(|subcommand| collect(subcommand, names));
    }
    let mut names = BTreeSet::new();
    collect(&command(), &mut names);
    names
}

fn is_switch(arg: &clap::Arg) -> bool {
    arg.get_value_parser().type_id() == clap::builder::ValueParser::bool().type_id()
}

/// Lets `--http`, `--http=true` and `--http=false` all be written, here and in all subcommands.
fn with_switches(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            if is_switch(&arg) && matches!(arg.get_action(), ArgAction::Set) {
                arg.num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .value_name("true|false")
                    .hide_possible_values(true)
            } else {
                arg
            }
        })
        .args_override_self(true)
        .mut_subcommands(with_switches)
}

#[cfg(test)]
mod tests;
