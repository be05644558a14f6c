//! `network new`: everything that a cluster of several nodes needs, in one folder.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

use alloy_primitives::{Address, hex};
use consensus::Genesis;
use network::p2p::{NodeKey, SwarmKey};
use serde_json::{Value, json};

use super::super::say;
use super::files;
use crate::cli::network_commands::NewArgs;
use crate::exit::Fatal;
use crate::keystore::{KdfStrength, Keystore};
use crate::miner::search::measure_hash_rate;
use crate::run::key_error;

/// The most nodes that one command makes; each miner's key takes a second of scrypt.
const NODES_MAX: u16 = 64;
/// What each funded account has at the start: a million ether, in wei.
const FUND_WEI: &str = "0xd3c21bcecceda1000000";
/// The least difficulty of the chain.
const DIFFICULTY_MIN: u64 = 131_072;
/// How long this machine's hash rate is measured.
const MEASURE: Duration = Duration::from_millis(100);

/// One node of the plan.
#[derive(Clone, Debug)]
pub(super) struct PlannedNode {
    /// Its name and that of its folder, such as `node1`.
    pub(super) name: String,
    /// Its peer id.
    pub(super) peer: String,
    /// The machine that it runs on.
    pub(super) host: String,
    /// The port for other nodes.
    pub(super) port: u16,
    /// The port of JSON-RPC, where it is served.
    pub(super) rpc_port: Option<u16>,
    /// The account that its blocks pay.
    pub(super) miner: Option<Address>,
    /// The port of its metrics.
    pub(super) metrics_port: u16,
}

impl PlannedNode {
    /// Returns where others reach it, at `host`.
    pub(super) fn address_at(&self, host: &str) -> String {
        let kind = match host.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => "ip4",
            Ok(std::net::IpAddr::V6(_)) => "ip6",
            Err(_) => "dns",
        };
        format!("/{kind}/{host}/tcp/{}/p2p/{}", self.port, self.peer)
    }

    pub(super) fn address(&self) -> String {
        self.address_at(&self.host)
    }
}

/// Writes the folder.
///
/// # Errors
/// The folder is not empty, cannot be written, or the numbers make no network.
pub(super) fn run(args: &NewArgs, out: &mut dyn Write) -> Result<(), Fatal> {
    check(args)?;
    let folder = &args.out;
    fs::create_dir_all(folder).map_err(|error| Fatal::io(folder, &error))?;
    SwarmKey::generate().save(&folder.join("swarm.key")).map_err(|error| key_error(&error))?;
    let mut nodes = Vec::new();
    for index in 0..args.nodes + args.rpc_nodes {
        nodes.push(make_node(args, index)?);
    }
    let genesis = genesis(args, &nodes);
    write(&folder.join("genesis.json"), &format!("{genesis:#}\n"))?;
    for node in &nodes {
        write(&folder.join(&node.name).join("node.toml"), &files::config(args, node, &nodes))?;
        fs::copy(folder.join("swarm.key"), folder.join(&node.name).join("swarm.key"))
            .map_err(|error| Fatal::io(folder, &error))?;
    }
    write(&folder.join("compose.yaml"), &files::compose(args, &nodes))?;
    write(&folder.join("drawbridge@.service"), &files::unit(folder))?;
    let start = folder.join("start.sh");
    write(&start, &files::start_script(&nodes))?;
    make_executable(&start)?;
    write(&folder.join("README.txt"), &files::readme(&nodes))?;
    tell(folder, &genesis, &nodes, out)
}

fn check(args: &NewArgs) -> Result<(), Fatal> {
    let usage = |cause: String| Err(Fatal::Usage { cause });
    if args.nodes == 0 || args.nodes.saturating_add(args.rpc_nodes) > NODES_MAX {
        return usage(format!(
            "--nodes {} and --rpc-nodes {}: 1 to {NODES_MAX} in all, at least one miner",
            args.nodes, args.rpc_nodes
        ));
    }
    let hosts = args.hosts.0.len();
    if hosts > 1 && hosts != usize::from(args.nodes + args.rpc_nodes) {
        let all = args.nodes + args.rpc_nodes;
        return usage(format!("--hosts names {hosts} machines for {all} nodes: name one for all, or one for each"));
    }
    let highest =
        u32::from(args.port.max(args.rpc_port).max(args.metrics_port)) + u32::from(args.nodes + args.rpc_nodes);
    if highest > u32::from(u16::MAX) {
        return usage("the ports run beyond 65535: choose lower ones".to_owned());
    }
    check_ports(args)?;
    if let Some(host) = args.hosts.0.iter().find(|host| !is_host(host)) {
        return usage(format!("--hosts: `{host}` is neither an address nor the name of a machine"));
    }
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "._-/:@".contains(char);
    if args.image.is_empty() || !args.image.chars().all(is_plain) {
        return usage(format!("--image: `{}` is no name of an image", args.image));
    }
    let is_empty = fs::read_dir(&args.out).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty {
        return usage(format!("{} is not empty: choose another --out", args.out.display()));
    }
    // Whatever else a chain file may not hold is known before anything is written.
    Genesis::parse(&genesis(args, &[]).to_string())
        .map(drop)
        .map_err(|error| Fatal::config(format!("the chain file would be refused: {error}"), "choose another value"))
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|char| char.is_ascii_alphanumeric() || char == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.parse::<std::net::IpAddr>().is_ok() || host.len() <= 253 && host.split('.').all(is_label)
}

/// Refuses ports of one machine that would be wanted twice.
fn check_ports(args: &NewArgs) -> Result<(), Fatal> {
    let is_one_machine = args.hosts.0.len() <= 1;
    let (all, serving) = (u32::from(args.nodes + args.rpc_nodes), u32::from(args.rpc_nodes));
    let count = |nodes: u32| if is_one_machine { nodes } else { nodes.min(1) };
    let ranges = [
        ("--port", args.port, count(all)),
        ("--rpc-port", args.rpc_port, count(serving)),
        ("--metrics-port", args.metrics_port, count(all)),
    ];
    for (index, (flag, first, count)) in ranges.iter().enumerate() {
        for (other, start, others) in &ranges[index + 1..] {
            let (first, start) = (u32::from(*first), u32::from(*start));
            if *others > 0 && *count > 0 && first < start + others && start < first + count {
                let cause = format!("{flag} {first} and {other} {start}: {all} nodes would want a port twice");
                return Err(Fatal::Usage { cause });
            }
        }
    }
    Ok(())
}

fn make_node(args: &NewArgs, index: u16) -> Result<PlannedNode, Fatal> {
    let is_miner = index < args.nodes;
    let name = if is_miner { format!("node{}", index + 1) } else { format!("rpc{}", index - args.nodes + 1) };
    let folder = args.out.join(&name);
    fs::create_dir_all(&folder).map_err(|error| Fatal::io(&folder, &error))?;
    restrict(&folder)?;
    let key = NodeKey::generate();
    key.save(&folder.join("nodekey")).map_err(|error| key_error(&error))?;
    // On machines of their own all nodes have the same ports.
    let hosts = &args.hosts.0;
    let offset = if hosts.len() > 1 { 0 } else { index };
    Ok(PlannedNode {
        miner: is_miner.then(|| make_account(args, &folder)).transpose()?,
        peer: key.peer_id().to_string(),
        host: hosts.get(usize::from(index)).or(hosts.first()).cloned().unwrap_or_else(|| "127.0.0.1".to_owned()),
        port: args.port + offset,
        rpc_port: (!is_miner).then(|| args.rpc_port + if hosts.len() > 1 { 0 } else { index - args.nodes }),
        metrics_port: args.metrics_port + offset,
        name,
    })
}

/// Makes a miner's account, and its password.
fn make_account(args: &NewArgs, folder: &Path) -> Result<Address, Fatal> {
    let strength = if args.lightkdf { KdfStrength::Light } else { KdfStrength::Standard };
    let mut random = [0; 24];
    rand::fill(&mut random);
    let password = hex::encode(random);
    write_private(&folder.join("password.txt"), &format!("{password}\n"))?;
    Ok(Keystore::open(folder.join("keystore"), strength).new_account(&password)?.address)
}

fn genesis(args: &NewArgs, nodes: &[PlannedNode]) -> Value {
    let miners: Vec<String> = nodes.iter().filter_map(|node| node.miner).map(|miner| miner.to_string()).collect();
    let mut file: Value = serde_json::from_str(consensus::genesis::PRIVATE).expect("the chain file that ships is JSON");
    let chain_id = args.chain_id.unwrap_or_else(|| 100_000 + u64::from(rand::random::<u32>() >> 1));
    file["config"]["chainId"] = json!(chain_id);
    file["config"]["pow"]["authorized_miners"] = json!(miners);
    // With few miners the difficulty follows their number faster.
    let half_life = if nodes.len() <= 5 { 20 } else { 40 };
    file["config"]["pow"]["difficulty"] =
        json!({"target_ms": args.block_ms, "half_life_blocks": half_life, "min": DIFFICULTY_MIN});
    file["difficulty"] = json!(args.difficulty.unwrap_or_else(|| start_difficulty(args)).max(DIFFICULTY_MIN));
    file["config"]["pow"]["empty_blocks"] = match args.heartbeat {
        0 => json!("always"),
        seconds => json!({ "heartbeat": seconds }),
    };
    file["timestamp"] = json!(crate::run::now_seconds());
    for account in &args.fund.0 {
        file["alloc"][account.to_string()] = json!({"balance": FUND_WEI});
    }
    file
}

/// Returns the difficulty at which miners like this machine find a block in the time aimed at. From a difficulty far below it the first
/// blocks would come faster than they travel, and branches could grow beyond the depth of finality.
fn start_difficulty(args: &NewArgs) -> u64 {
    // Each miner searches on one thread.
    let miners = u64::from(args.nodes) * u64::from(args.miner_cpu);
    let is_one_machine = args.hosts.0.len() <= 1;
    let cores = available_parallelism().map_or(1, |cores| u64::try_from(cores.get()).unwrap_or(u64::MAX));
    let percent = if is_one_machine { miners.min(cores.saturating_mul(100)) } else { miners };
    let rate = u128::from(measure_hash_rate(MEASURE));
    u64::try_from(rate * u128::from(percent) * u128::from(args.block_ms) / 100_000).unwrap_or(u64::MAX)
}

fn tell(folder: &Path, genesis: &Value, nodes: &[PlannedNode], out: &mut dyn Write) -> Result<(), Fatal> {
    let (genesis, _) = super::super::genesis::parse("genesis.json", &genesis.to_string())?;
    say(out, format_args!("a network of {} nodes in {}", nodes.len(), folder.display()))?;
    say(out, format_args!("chain id      {}", genesis.spec.chain_id))?;
    say(out, format_args!("genesis hash  {}", genesis.header.hash()))?;
    say(out, format_args!("difficulty    {}, at the start", genesis.header.difficulty))?;
    for node in nodes {
        match node.miner {
            Some(miner) => say(out, format_args!("{:<6} mines for {miner}, at {}", node.name, node.address()))?,
            None => say(out, format_args!("{:<6} serves JSON-RPC, at {}", node.name, node.address()))?,
        }
    }
    let folder = folder.display();
    say(out, format_args!("\nstart it here:   drawbridge network run {folder}"))?;
    say(out, format_args!("elsewhere:       see {folder}/README.txt"))?;
    say(out, format_args!("let others in:   drawbridge network ticket {folder}"))
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), Fatal> {
    fs::write(path, text).map_err(|error| Fatal::io(path, &error))
}

/// Writes a file that its owner alone may read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Fatal> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| Fatal::io(path, &error))
}

fn restrict(folder: &Path) -> Result<(), Fatal> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(|error| Fatal::io(folder, &error))
}

fn make_executable(path: &Path) -> Result<(), Fatal> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|error| Fatal::io(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_or_names() {
        for good in ["127.0.0.1", "::1", "fe80::7", "node1", "a.b-c.example"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "foo bar", "a..b", "-a", "a-", "a/tcp/1", "a\nb", &"a".repeat(64)] {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
