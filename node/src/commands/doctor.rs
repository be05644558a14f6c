//! `doctor`: looks at what keeps nodes from running and from meeting each other, and says a remedy for each finding.
//!
//! A node that runs is asked over its local socket; of one that does not, ports, files and the boot nodes' addresses are tried.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use network::p2p::{NodeKey, PeerAddress, SwarmKey};
use rustix::fs::{Access, access};
use serde_json::Value;

use super::ask::call;
use super::{genesis, say, version};
use crate::accounts::{Passwords, open_keystore, unlock_at_start};
use crate::config::{ChainFileChoice, NodeConfig};
use crate::exit::Fatal;
use crate::permissions::Lists;

/// The least space on the disk, in bytes, that needs no attention.
const DISK_BYTES_MIN: u64 = 1 << 30;
/// The least number of open files that serves a database and some hundred connections.
const FILES_MIN: u64 = 4096;
/// How long a boot node may take to answer.
const REACH_TIMEOUT: Duration = Duration::from_secs(3);
/// From how much on clocks are said to differ, in milliseconds.
const CLOCK_MS_MAX: i64 = 2_000;

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    told: String,
    /// What to do; none: all is well.
    remedy: Option<String>,
}

fn well(what: &'static str, told: impl Into<String>) -> Finding {
    Finding { what, told: told.into(), remedy: None }
}

fn ill(what: &'static str, told: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { what, told: told.into(), remedy: Some(remedy.into()) }
}

/// Looks at everything and prints it.
///
/// # Errors
/// There is a finding that needs a remedy.
pub fn run(config: &NodeConfig, out: &mut dyn Write) -> Result<(), Fatal> {
    let findings = look(config);
    let ills = findings.iter().filter(|finding| finding.remedy.is_some()).count();
    for finding in &findings {
        let mark = if finding.remedy.is_none() { "[+]" } else { "[-]" };
        say(out, format_args!("{mark} {:<10} {}", finding.what, finding.told))?;
        if let Some(remedy) = &finding.remedy {
            say(out, format_args!("    {:<10} {remedy}", "remedy:"))?;
        }
    }
    match ills {
        0 => say(out, "all is well"),
        ills => Err(Fatal::config(format!("{ills} of {} findings need a remedy", findings.len()), "each stands above")),
    }
}

fn look(config: &NodeConfig) -> Vec<Finding> {
    let socket = &config.ipc.path;
    let mut findings = vec![disk(&config.data.dir), files()];
    if let Some(closed) = access_to(&config.data.dir) {
        // What is in it, and whether a node runs there, cannot be seen.
        findings.insert(0, closed);
        return findings;
    }
    findings.push(chain(config, socket));
    findings.extend(keys(config));
    findings.extend(accounts(config));
    if call(socket, "web3_clientVersion").is_some() {
        findings.insert(0, well("node", "runs, and answers on its local socket"));
        findings.extend(served_ports(config, socket));
        findings.extend(peers(socket));
    } else {
        findings.insert(0, well("node", "does not run: its ports and the boot nodes are tried instead"));
        findings.extend(ports(config));
        findings.extend(reach(config));
        findings.push(well("clock", "is compared with the peers' while the node runs"));
    }
    findings
}

/// Tells why this user cannot work in the data directory, where it is there.
fn access_to(datadir: &Path) -> Option<Finding> {
    let told = match fs::metadata(datadir) {
        Ok(found) if found.is_dir() => {
            let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
            access(datadir, wanted).err().map(std::io::Error::from).map(|error| error.to_string())
        }
        Ok(_) => Some("it is no directory".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(error.to_string()),
    }?;
    let remedy = "run doctor as the user that runs the node, give this user access, or choose another --datadir";
    Some(ill("datadir", format!("{}: {told}", datadir.display()), remedy))
}

/// Tries to open the accounts that a start unlocks, where their passwords stand in a file.
fn accounts(config: &NodeConfig) -> Option<Finding> {
    let file = config.accounts.password_file.as_ref()?;
    let opened = open_keystore(&config.accounts, None).and_then(|keystore| {
        let unlocked = unlock_at_start(&keystore, &config.accounts)?;
        Passwords::open(Some(file)).map(|_| unlocked.len())
    });
    Some(match opened {
        Ok(count) => well("accounts", format!("{} can be read, and opens {count} accounts", file.display())),
        Err(fatal) => ill("accounts", fatal.to_string(), fatal.remedy()),
    })
}

fn disk(datadir: &Path) -> Finding {
    // A directory that is not there yet is made on the disk of its parent.
    let place = datadir.ancestors().find(|place| place.exists()).unwrap_or(Path::new("."));
    match rustix::fs::statvfs(if place.as_os_str().is_empty() { Path::new(".") } else { place }) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let told = format!("{} MiB free for {}", free >> 20, datadir.display());
            if free >= DISK_BYTES_MIN {
                well("disk", told)
            } else {
                ill("disk", told, "free space, or choose another --datadir")
            }
        }
        Err(error) => ill("disk", format!("{}: {error}", datadir.display()), "check that the path can be read"),
    }
}

fn files() -> Finding {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let Some(limit) = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()) else {
        return well("files", "this system does not say how many may be open");
    };
    let told = format!("{limit} may be open");
    match limit >= FILES_MIN {
        true => well("files", told),
        false => {
            ill("files", told, format!("raise the limit: `ulimit -n {FILES_MIN}`, or LimitNOFILE in the systemd unit"))
        }
    }
}

/// Compares the chain file that a start would use with the one of the data directory.
fn chain(config: &NodeConfig, socket: &Path) -> Finding {
    let remedy = "name the chain file that the network uses by --genesis; `drawbridge genesis check FILE` looks at one";
    let text = match genesis::chain_file_text(config) {
        Ok(text) => text,
        Err(fatal) => return ill("genesis", fatal.to_string(), fatal.remedy()),
    };
    let parsed = match consensus::Genesis::parse(&text) {
        Ok((parsed, _)) => parsed,
        Err(error) => return ill("genesis", error.to_string(), remedy),
    };
    let hash = parsed.header.hash();
    let stored = config.data.chain_file();
    if let (ChainFileChoice::File(_), Ok(stored)) = (&config.chain.file, fs::read_to_string(&stored))
        && let Ok((stored, _)) = consensus::Genesis::parse(&stored)
        && stored.header.hash() != hash
    {
        let told = format!("--genesis gives {hash}, the data directory holds {}", stored.header.hash());
        return ill("genesis", told, "use the chain file of the data directory, or another --datadir");
    }
    let runs =
        call(socket, "admin_nodeInfo").and_then(|info| info["protocols"]["eth"]["genesis"].as_str().map(str::to_owned));
    match runs {
        Some(running) if running != hash.to_string() => {
            ill("genesis", format!("the node runs {running}, the chain file gives {hash}"), remedy)
        }
        _ => well("genesis", format!("chain id {}, genesis {hash}", parsed.spec.chain_id)),
    }
}

fn keys(config: &NodeConfig) -> Vec<Finding> {
    let network = &config.network;
    let mut found = Vec::new();
    if network.node_key_file.exists() {
        found.push(match NodeKey::load(&network.node_key_file) {
            Ok(key) => well("node key", format!("this node is {}", key.peer_id())),
            Err(error) => {
                ill("node key", error.to_string(), "name the right file by --nodekey, or remove it for a new key")
            }
        });
    }
    if let Some(path) = &network.swarm_key_file {
        found.push(match SwarmKey::load(path) {
            Ok(key) => {
                well("swarm key", format!("fingerprint {}; that of all nodes must be the same", key.fingerprint()))
            }
            Err(error) => ill("swarm key", error.to_string(), "copy swarm.key from another node of the network"),
        });
    }
    if let Some(path) = &network.permissions_file {
        let lists = fs::read_to_string(path).map_err(|error| error.to_string()).and_then(|text| Lists::parse(&text));
        found.push(match lists {
            Ok(lists) => {
                let count = |count: Option<usize>| count.map_or_else(|| "all".to_owned(), |count| count.to_string());
                let (nodes, accounts) =
                    (lists.nodes.map(|nodes| nodes.len()), lists.accounts.map(|accounts| accounts.len()));
                well("lists", format!("{} nodes and {} accounts may come", count(nodes), count(accounts)))
            }
            Err(problem) => {
                ill("lists", format!("{}: {problem}", path.display()), "correct the file that --p2p.permissions names")
            }
        });
    }
    found
}

/// An address to listen on, and the flag that chooses its port.
type Port = (String, u16, &'static str);

/// Returns where the configuration serves, beside other nodes.
fn doors(config: &NodeConfig) -> Vec<Port> {
    let (http, ws, metrics) = (&config.http, &config.ws, &config.metrics);
    let mut wanted = Vec::new();
    if http.enabled {
        wanted.push((http.host.clone(), http.port, "--http.port"));
    }
    if ws.enabled && (!http.enabled || ws.port != http.port) {
        wanted.push((ws.host.clone(), ws.port, "--ws.port"));
    }
    if metrics.enabled {
        wanted.push((metrics.host.to_string(), metrics.port, "--metrics.port"));
    }
    wanted
}

/// Tries the ports of a running node.
fn served_ports(config: &NodeConfig, socket: &Path) -> Vec<Finding> {
    let other = "the node was started with other settings: start it again with these, or give doctor those of the node";
    let info = call(socket, "admin_nodeInfo").unwrap_or_default();
    let listens = match info["listenAddr"].as_str() {
        Some(address) => well("port", format!("{address} is listened on for other nodes")),
        None if config.network.enabled => ill("port", "the node that runs meets no other nodes", other),
        None => well("port", "none for other nodes: the node runs alone"),
    };
    // One that the system chooses cannot be known.
    let doors = doors(config).into_iter().filter(|(_, port, _)| *port != 0);
    let tried = doors.map(|(host, port, flag)| match connect(&host, port) {
        Ok(()) => well("port", format!("{host}:{port} answers ({flag})")),
        Err(error) => ill("port", format!("{host}:{port}: {error} ({flag})"), other),
    });
    std::iter::once(listens).chain(tried).collect()
}

/// Tries the ports that a start would listen on.
fn ports(config: &NodeConfig) -> Vec<Finding> {
    let network = &config.network;
    let meeting = network.enabled.then(|| (network.host.to_string(), network.port, "--port"));
    let look = |(host, port, flag): Port| match TcpListener::bind((host.as_str(), port)) {
        Ok(_) => well("port", format!("{host}:{port} is free ({flag})")),
        Err(error) => {
            let remedy = format!("stop the program that listens there, or choose another one with {flag}");
            ill("port", format!("{host}:{port}: {error}"), remedy)
        }
    };
    meeting.into_iter().chain(doors(config)).map(look).collect()
}

/// Tries the addresses of the nodes that the configuration names.
fn reach(config: &NodeConfig) -> Vec<Finding> {
    let network = &config.network;
    let named: BTreeSet<_> = network.boot_nodes.iter().chain(&network.static_peers).chain(&network.reserved).collect();
    named.into_iter().take(16).map(|peer| reach_one(peer, network.quic)).collect()
}

fn reach_one(peer: &PeerAddress, speaks_quic: bool) -> Finding {
    let text = peer.address.to_string();
    if text.contains("/quic") && !speaks_quic {
        let remedy = "start the node with --p2p.quic, or name a TCP address";
        return ill("peer", format!("{text}: this node speaks no QUIC"), remedy);
    }
    let mut parts = text.split('/').skip(1);
    let (Some(_), Some(host), Some("tcp"), Some(port)) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return well("peer", format!("{text} is not tried: no TCP"));
    };
    let port: u16 = port.parse().unwrap_or(0);
    match connect(host, port) {
        Ok(()) => well("peer", format!("{text} answers")),
        Err(error) => {
            let remedy = "check that the node runs there, and that firewalls let its port through";
            ill("peer", format!("{text}: {error}"), remedy)
        }
    }
}

/// Connects, and hangs up.
fn connect(host: &str, port: u16) -> std::io::Result<()> {
    let mut last = std::io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, REACH_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Looks at the peers of a running node.
fn peers(socket: &Path) -> Vec<Finding> {
    let Some(Value::Array(peers)) = call(socket, "admin_peers") else { return Vec::new() };
    let (refused, welcome): (Vec<_>, Vec<_>) = peers.iter().partition(|peer| peer["refused"].is_string());
    let mut found = Vec::new();
    found.push(match welcome.len() {
        0 if refused.is_empty() => ill("peers", "none", "name one by --bootnodes or --p2p.static, or by admin_addPeer"),
        0 => ill("peers", "none", "see below why those that were met were refused"),
        count => well("peers", format!("{count}")),
    });
    found.push(clock(&welcome).unwrap_or_else(|| well("clock", "there is no peer to compare it with")));
    found.push(versions(&welcome));
    for peer in refused {
        let (id, at) = (peer["id"].as_str().unwrap_or("?"), peer["enode"].as_str().unwrap_or("?"));
        let reason = peer["refused"].as_str().unwrap_or("?");
        found.push(ill("refused", format!("{id} at {at}: {reason}"), remedy_of(reason)));
    }
    found
}

/// Says what helps against a reason for which a peer is refused.
fn remedy_of(reason: &str) -> &'static str {
    let table = [
        ("clock", "set the clocks of both machines, by NTP"),
        ("protocol version", "run the same version of the program on both"),
        ("genesis hash", "start both nodes from the same chain file; begin anew where a data directory holds another"),
        ("chain id", "start both nodes from the same chain file; begin anew where a data directory holds another"),
        ("config.", "start both nodes from the same chain file: the rules named differ"),
        ("forks", "give both nodes the same schedule of forks"),
        ("not on the allow-list", "add it by perm_addNodesToAllowlist, if it is to come"),
        (
            "may not list this node",
            "its log says why: have its operator add this node to the list there, or raise --maxpeers there",
        ),
        (
            "may have no room",
            "its log says why: raise --p2p.maxperip or --p2p.maxmemory there, or copy swarm.key if its network has one",
        ),
        ("the swarm keys", "copy swarm.key from a node of the network"),
        ("--maxpeers", "raise --maxpeers, or make the peer trusted"),
        ("--p2p.maxperip", "raise --p2p.maxperip"),
        ("--p2p.maxmemory", "raise --p2p.maxmemory, or free memory on this machine"),
        ("speaks no QUIC", "start the node with --p2p.quic, or name a TCP address"),
        ("another node is there", "correct the peer id in the address"),
        ("firewall", "check that the node runs there, and that firewalls let its port through"),
    ];
    let found = table.into_iter().find(|(part, _)| reason.contains(part)).map(|(_, remedy)| remedy);
    found.unwrap_or("the log of both nodes says more")
}

fn clock(peers: &[&Value]) -> Option<Finding> {
    let mut offsets: Vec<i64> = peers.iter().filter_map(|peer| peer["drawbridge"]["clockOffsetMs"].as_i64()).collect();
    offsets.sort_unstable();
    let median = *offsets.get(offsets.len() / 2)?;
    let told = format!("the peers' clocks differ from ours by {median} ms in the median");
    Some(match median.abs() <= CLOCK_MS_MAX {
        true => well("clock", told),
        false => ill("clock", told, "set this machine's clock by NTP, such as `timedatectl set-ntp true`"),
    })
}

fn versions(peers: &[&Value]) -> Finding {
    let number = |name: &str| name.split('/').find(|part| part.starts_with('v')).unwrap_or("?").to_owned();
    let ours = number(&version::client_version(None));
    let mut others: Vec<String> = peers.iter().filter_map(|peer| peer["name"].as_str().map(number)).collect();
    others.sort();
    others.dedup();
    match others.iter().any(|other| *other != ours) {
        false => well("versions", format!("all run {ours}")),
        true => ill(
            "versions",
            format!("ours is {ours}, the peers run {}", others.join(", ")),
            "bring all nodes to one version, one after the other",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_reason_that_nodes_give_has_its_remedy() {
        for (reason, expected) in [
            ("clock off by 31 s: theirs is ahead of ours", "NTP"),
            ("config.pow.block_reward: ours 1, theirs 2", "chain file"),
            ("12D3Koo is not on the allow-list", "perm_addNodesToAllowlist"),
            ("the handshake failed (x): the swarm keys differ, or it is no such node", "swarm.key"),
            ("no handshake in time (x): the swarm keys may differ, or it is no such node", "swarm.key"),
            (
                "it closed the connection before it said anything: it may have no room, have just ended",
                "--p2p.maxperip",
            ),
            ("it closed the connection at once: it may not list this node, 12D, or have no room", "--maxpeers there"),
            ("too many peers, at most 1 (--maxpeers)", "raise --maxpeers"),
            ("10.0.0.7 has 16 connections already (--p2p.maxperip)", "raise --p2p.maxperip"),
            ("no memory for further connections: more than 1 MiB (--p2p.maxmemory)", "raise --p2p.maxmemory"),
            ("connection refused: check address, port and firewall", "firewalls"),
            ("something else", "log"),
        ] {
            assert!(remedy_of(reason).contains(expected), "{reason}");
        }
    }

    #[test]
    fn clocks_and_versions_of_peers_are_compared() {
        let peer = |offset: i64, version: &str| json!({"name": format!("Drawbridge/{version}/linux"), "drawbridge": {"clockOffsetMs": offset}});
        let ours = format!("v{}", version::version());
        let (a, b, c) = (peer(100, &ours), peer(9_000, &ours), peer(-50, "v0.0.0"));
        assert!(clock(&[&a, &c]).is_some_and(|finding| finding.remedy.is_none()));
        assert!(clock(&[&b]).is_some_and(|finding| finding.remedy.is_some()));
        assert!(clock(&[]).is_none());
        assert!(versions(&[&a, &b]).remedy.is_none());
        assert!(versions(&[&a, &c]).remedy.is_some());
    }
}
