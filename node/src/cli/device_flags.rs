//! The flags of the commands about devices: the device itself, the bridge, codes, and the proxy.

use std::net::SocketAddr;
use std::path::PathBuf;

use alloy_primitives::{Address, B256, U256};
use clap::{Args, Subcommand};
use device_bridge::actuator::ActuatorSpec;
use device_bridge::chain_client::Settled;
use device_bridge::chain_client::proven::Pinned;

use super::{KeyPlaceArgs, PlaceArgs};
use crate::config::values::{AccountRef, List, Span};

/// The node or the proxy that is asked.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Chain")]
pub struct AskArgs {
    /// The node, or the proxy in front of several: http://… or https://…
    #[arg(long = "rpc.url", value_name = "URL")]
    pub url: String,
    /// Authority (PEM) that the server's certificate must come from; https:// needs it
    #[arg(long = "rpc.ca", value_name = "FILE")]
    pub rpc_ca: Option<PathBuf>,
    /// Name for the proxy's basic authentication
    #[arg(long = "rpc.user", value_name = "NAME", requires = "rpc_password")]
    pub rpc_user: Option<String>,
    /// File with its password
    #[arg(long = "rpc.password", value_name = "FILE", requires = "rpc_user")]
    pub rpc_password: Option<PathBuf>,
    /// File with an API key of the node's gate
    #[arg(long = "rpc.key", value_name = "FILE", conflicts_with = "rpc_user")]
    pub rpc_key: Option<PathBuf>,
    /// How long an answer may take [default: 5s]
    #[arg(long = "rpc.timeout", value_name = "TIME")]
    pub rpc_timeout: Option<Span>,
    /// The chain's id, which the node must have too
    #[arg(long = "chain-id", value_name = "ID")]
    pub chain_id: u64,
    /// Registries whose orders count, separated by commas
    #[arg(long = "registry", value_name = "ADDRESSES")]
    pub registries: Option<List<Address>>,
    /// Hashes (keccak256) of codes that count wherever they stand, separated by commas
    #[arg(long = "code-hash", value_name = "HASHES")]
    pub code_hashes: Option<List<B256>>,
    /// The block that counts: safe, finalized, latest, or so many blocks below the head [default: safe]
    #[arg(long, value_name = "BLOCK")]
    pub settled: Option<Settled>,
    /// Take codes without a signature: whoever reads the chain can make them
    #[arg(long = "static-codes")]
    pub static_codes: bool,
}

/// The broker, and the identity there.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Broker")]
pub struct BrokerArgs {
    /// The broker's URL.
    #[arg(
        long = "broker",
        value_name = "URL",
        help = "The broker: mqtts://HOST[:PORT], or mqtt://HOST[:PORT] without certificates"
    )]
    pub broker: String,
    /// Authority (PEM) of the broker's certificate
    #[arg(long = "broker.ca", value_name = "FILE")]
    pub broker_ca: Option<PathBuf>,
    /// Own certificate (PEM)
    #[arg(long = "broker.cert", value_name = "FILE")]
    pub broker_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long = "broker.key", value_name = "FILE")]
    pub broker_key: Option<PathBuf>,
    /// Protocol named in the TLS handshake, such as x-amzn-mqtt-ca for AWS on port 443
    #[arg(long = "broker.alpn", value_name = "NAME")]
    pub broker_alpn: Option<String>,
}

/// `drawbridge device run`.
#[derive(Args, Clone, Debug)]
pub struct DeviceRunArgs {
    /// The device's name, which is its certificate's and its client id
    #[arg(long)]
    pub name: String,
    /// The chain.
    #[command(flatten)]
    pub ask: AskArgs,
    /// The broker.
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// Believe no node: demand proofs from this block on, NUMBER:HASH, such as the genesis block. --settled must be a number then
    #[arg(long = "verify-proof", value_name = "BLOCK", requires = "difficulty_min", help_heading = "Chain")]
    pub verify_proof: Option<Pinned>,
    /// The least difficulty that a header may have: the chain file's `fixed` or `min`
    #[arg(long = "difficulty-min", value_name = "N", help_heading = "Chain")]
    pub difficulty_min: Option<U256>,
    /// The miners that the chain file authorizes, separated by commas
    #[arg(long, value_name = "ADDRESSES", help_heading = "Chain")]
    pub miners: Option<List<Address>>,
    /// What moves the lock.
    #[arg(
        long,
        value_name = "ACTUATOR",
        help_heading = "Lock",
        help = "What moves: none, simulated[:FILE], command:PROGRAM ARGUMENT…, mqtt:TOPIC, gpio:CHIP:LINE[:low] [default: simulated]"
    )]
    pub actuator: Option<ActuatorSpec>,
    /// How long the lock stays open [default: 5s]
    #[arg(long = "open-time", value_name = "TIME", help_heading = "Lock")]
    pub open_time: Option<Span>,
    /// File that remembers used codes over restarts [default: NAME.journal]
    #[arg(long, value_name = "FILE", help_heading = "Lock")]
    pub journal: Option<PathBuf>,
    /// How long a code may still count when it is shown [default: 10m]
    #[arg(long = "code-lifetime", value_name = "TIME", help_heading = "Codes")]
    pub code_lifetime: Option<Span>,
    /// How long a scan waits for a chain that does not answer [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "Codes")]
    pub patience: Option<Span>,
    /// Codes as text; without any source the lines of standard input are read
    #[arg(value_name = "CODE", help_heading = "Codes")]
    pub codes: Vec<String>,
    /// Pictures of codes (PNG, JPEG), separated by commas
    #[arg(long = "picture", value_name = "FILES", help_heading = "Codes", conflicts_with_all = ["codes", "camera"])]
    pub pictures: Option<List<String>>,
    /// Take codes also from the camera of the desk, the browser page of the node whose broker this is. Whoever may use that page can then show
    /// a buyer's code from elsewhere
    #[arg(long, help_heading = "Codes")]
    pub desk: bool,
    /// Command that writes one camera picture (PNG, JPEG) to its standard output, run again and again
    #[arg(long, value_name = "COMMAND", help_heading = "Codes", conflicts_with = "codes")]
    pub camera: Option<String>,
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `drawbridge device run|bridge`.
#[derive(Subcommand, Clone, Debug)]
pub enum GateCommand {
    /// Run a device: read codes, ask the chain, open the lock
    #[command(after_help = "\
Example:
  drawbridge device run --name dock-1 --broker mqtts://gate.example:8883 --broker.ca ca.pem \\
      --broker.cert dock-1.pem --broker.key dock-1.key --rpc.url https://gate.example:8443/read \\
      --rpc.ca ca.pem --rpc.user dock-1 --rpc.password pw.txt --chain-id 4242 --registry 0x… \\
      --actuator gpio:/dev/gpiochip0:17

It prints a line for each code: `opened`, or `refused` and why. docs/devices.md tells the whole
story.")]
    Run(Box<DeviceRunArgs>),
    /// Run the bridge: record releases on the chain for what shadows desire, and drive locks
    #[command(after_help = "\
Example:
  drawbridge device bridge --broker mqtts://127.0.0.1:8883 --broker.ca ca.pem \\
      --broker.cert bridge.pem --broker.key bridge.key --rpc.url http://127.0.0.1:8545 \\
      --chain-id 4242 --registry 0x… --account 0x… --password pw.txt --datadir node")]
    Bridge(Box<DeviceBridgeArgs>),
}

/// `drawbridge device bridge`.
#[derive(Args, Clone, Debug)]
pub struct DeviceBridgeArgs {
    /// The bridge's name, which is its certificate's and its client id [default: bridge]
    #[arg(long)]
    pub name: Option<String>,
    /// The chain.
    #[command(flatten)]
    pub ask: AskArgs,
    /// The broker.
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// Account that records releases: an address or a place in the keystore's list. It is the orders' seller or their operator
    #[arg(long, value_name = "ACCOUNT", help_heading = "Operator")]
    pub account: AccountRef,
    /// The node holds the account unlocked; otherwise it is in the keystore, and --password opens it
    #[arg(long = "account-of-node", help_heading = "Operator")]
    pub account_of_node: bool,
    /// Devices that are looked after from the start, and what the bridge drives for them: NAME or NAME=ACTUATOR, separated by commas
    #[arg(long, value_name = "DEVICES", help_heading = "Lock")]
    pub things: Option<List<ThingSpec>>,
    /// How long a lock that the bridge drives stays open [default: 5s]
    #[arg(long = "open-time", value_name = "TIME", help_heading = "Lock")]
    pub open_time: Option<Span>,
    /// Directory that remembers jobs over restarts [default: bridge in the data directory]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub outbox: Option<PathBuf>,
    /// Where.
    #[command(flatten)]
    pub place: KeyPlaceArgs,
}

/// A device, and what the bridge drives for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThingSpec {
    /// The device's name.
    pub name: String,
    /// What moves; nothing where the device drives its lock itself.
    pub actuator: ActuatorSpec,
}

impl std::str::FromStr for ThingSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, actuator) = text.split_once('=').unwrap_or((text, "none"));
        device_bridge::code::check_device_name(name).map_err(|error| error.to_string())?;
        Ok(Self { name: name.to_owned(), actuator: actuator.parse()? })
    }
}

/// `drawbridge code …`.
#[derive(Subcommand, Clone, Debug)]
pub enum CodeCommand {
    /// Make the code with which a buyer collects an item at a device
    #[command(after_help = "\
Examples:
  drawbridge code make --contract 0x… --chain-id 1337 --device dock-1 --account 0x… \\
      --datadir buyer --png code.png
  drawbridge code make --contract 0x… --chain-id 1337 --device dock-1 --buyer 0x… --typed-data
      what another wallet signs (EIP-712); then again with --nonce, --not-after and --signature
  drawbridge code make --contract 0x… --buyer 0x… --plain")]
    Make(Box<CodeMakeArgs>),
    /// Read a code: what it says, and whether its signature is the buyer's
    #[command(
        after_help = "Examples:\n  drawbridge code read code.png\n  drawbridge code read 'T1:…'\n  drawbridge code read - < scanner"
    )]
    Read {
        /// The code as text, a picture (PNG, JPEG), or `-` for standard input
        code: String,
    },
}

/// `drawbridge code make`.
#[derive(Args, Clone, Debug)]
pub struct CodeMakeArgs {
    /// The order's contract
    #[arg(long, value_name = "ADDRESS")]
    pub contract: Address,
    /// The chain's id
    #[arg(long = "chain-id", value_name = "ID", required_unless_present = "plain")]
    pub chain_id: Option<u64>,
    /// The device at which the item is collected
    #[arg(long, value_name = "NAME", required_unless_present = "plain")]
    pub device: Option<String>,
    /// The buyer's account in the keystore, which signs: an address or a place in the list
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<AccountRef>,
    /// The buyer, where its key is elsewhere
    #[arg(long, value_name = "ADDRESS", conflicts_with = "account", required_unless_present = "account")]
    pub buyer: Option<Address>,
    /// The code without a signature
    #[arg(long, conflicts_with_all = ["typed_data", "signature"])]
    pub plain: bool,
    /// Print what a wallet signs (EIP-712 as JSON)
    #[arg(long = "typed-data")]
    pub typed_data: bool,
    /// The buyer's signature, 65 bytes, made by another wallet
    #[arg(long, value_name = "BYTES", requires = "nonce", requires = "not_after")]
    pub signature: Option<alloy_primitives::Bytes>,
    /// The signature of a contract wallet that is the buyer (EIP-1271), made by its owners; only the chain can say whether it counts
    #[arg(long = "wallet-signature", value_name = "BYTES", requires = "nonce", requires = "not_after", conflicts_with_all = ["signature", "account", "plain"])]
    pub wallet_signature: Option<alloy_primitives::Bytes>,
    /// The nonce, 16 bytes [default: random]
    #[arg(long, value_name = "BYTES")]
    pub nonce: Option<alloy_primitives::FixedBytes<16>>,
    /// How long the code counts [default: 5m]
    #[arg(long, value_name = "TIME", conflicts_with = "not_after")]
    pub lifetime: Option<Span>,
    /// The last second in which it counts, since 1970
    #[arg(long = "not-after", value_name = "SECONDS")]
    pub not_after: Option<u64>,
    /// Write a picture too
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// Write a drawing too
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Draw the code on the terminal too
    #[arg(long)]
    pub terminal: bool,
    /// Where.
    #[command(flatten)]
    pub place: KeyPlaceArgs,
}

/// `drawbridge proxy …`.
#[derive(Subcommand, Clone, Debug)]
pub enum ProxyCommand {
    /// Print an nginx configuration: TLS, a login per device, limits, balancing with failover
    #[command(after_help = "\
Example:
  drawbridge proxy nginx --listen 0.0.0.0:8443 --certificate proxy.pem \\
      --certificate-key proxy.key --logins htpasswd --nodes 127.0.0.1:8545,127.0.0.1:8547 \\
      > /etc/nginx/conf.d/drawbridge.conf
  htpasswd -B htpasswd dock-1      a login for the device dock-1 (Debian: apache2-utils)")]
    Nginx(Box<ProxyArgs>),
}

/// `drawbridge proxy nginx`.
#[derive(Args, Clone, Debug)]
pub struct ProxyArgs {
    /// Where the proxy listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,
    /// The nodes' HTTP addresses, separated by commas
    #[arg(long, value_name = "ADDRESSES")]
    pub nodes: List<SocketAddr>,
    /// The nodes' WebSocket addresses, in the same order [default: those of HTTP]
    #[arg(long = "ws-nodes", value_name = "ADDRESSES")]
    pub ws_nodes: Option<List<SocketAddr>>,
    /// Certificate of the proxy (PEM)
    #[arg(long, value_name = "FILE")]
    pub certificate: PathBuf,
    /// Its key (PEM)
    #[arg(long = "certificate-key", value_name = "FILE")]
    pub certificate_key: PathBuf,
    /// Password file (htpasswd) with a login for each device
    #[arg(long, value_name = "FILE")]
    pub logins: PathBuf,
    /// Requests that each address may send in a second
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// Requests beyond that rate that are still taken at once
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub burst: u32,
    /// Connections that each address may hold
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// The largest request, in KiB
    #[arg(long = "body-kib", value_name = "KIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub body_kib: u32,
    /// File with an API key of the nodes' gate that allows reads alone; sent with what comes to /read
    #[arg(long = "read-key", value_name = "FILE")]
    pub read_key: Option<PathBuf>,
    /// A whole nginx.conf that runs as this user in the foreground with its files in this folder, instead of a part for conf.d
    #[arg(long, value_name = "DIR")]
    pub standalone: Option<PathBuf>,
}
