//! `join`: from a ticket to a data directory that is ready to run, and the configuration to run it with.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf, absolute};

use alloy_primitives::B256;
use network::p2p::{NodeKey, PeerAddress, SwarmKey};
use toml::{Table, Value};

use super::super::{genesis, say};
use super::ticket::{Ticket, TicketError};
use crate::accounts::Passwords;
use crate::config::print::{given_settings, insert};
use crate::config::{CHAIN_FILE, ChainFileChoice, Loaded, NodeConfig};
use crate::datadir::Datadir;
use crate::exit::Fatal;
use crate::run::{key_error, stored_genesis};

/// The beginning of a configuration that was written from a ticket.
const HEAD: &str = "# Written from a ticket for chain ";

/// The configuration in the data directory.
const CONFIG_FILE: &str = "node.toml";

/// Writes chain file, swarm key, node key and configuration into the data directory, and returns the configuration that a node runs
/// with. A directory that has joined the same network before gets the ticket's addresses, and what was given anew.
///
/// # Errors
/// The line is no ticket, the password is wrong, or the directory belongs to another network, or to a node that has its configuration.
pub fn prepare(ticket: &str, loaded: Loaded, out: &mut dyn Write) -> Result<NodeConfig, Fatal> {
    let ticket = Ticket::decode(ticket).map_err(|error| ticket_error(&error))?;
    let config = &loaded.config;
    let text = chain_file_text(&ticket, config)?;
    // Nothing is made before everything is known to fit.
    let held = if config.data.dir.exists() { Some(Datadir::open(&config.data)?) } else { None };
    check_chain(&ticket, config)?;
    let old = old_settings(&ticket, &loaded)?;
    let key_file = config.network.swarm_key_file.clone().unwrap_or_else(|| config.data.dir.join("swarm.key"));
    let swarm_key = swarm_key(&ticket, config, &key_file)?;

    let _held = held.map_or_else(|| Datadir::open(&config.data), Ok)?;
    let chain_file = absolute(config.data.chain_file()).map_err(|error| Fatal::io(&config.data.dir, &error))?;
    if !chain_file.exists() {
        super::new::write(&chain_file, &text)?;
    }
    if let Some(key) = swarm_key {
        key.save(&key_file).map_err(|error| key_error(&error))?;
    }
    let node_key = NodeKey::load_or_create(&config.network.node_key_file).map_err(|error| key_error(&error))?;
    write_config(&loaded, &ticket, &chain_file, old)?;
    say(out, format_args!("chain id      {}", ticket.chain_id))?;
    say(out, format_args!("genesis hash  {}", ticket.genesis))?;
    say(out, format_args!("this node is  {}", node_key.peer_id()))?;
    say(out, format_args!("next time     drawbridge --config {}", config_file(config).display()))?;
    Ok(run_config(loaded.config, ticket, chain_file, key_file))
}

/// Returns the configuration to run with at once.
fn run_config(mut config: NodeConfig, ticket: Ticket, chain_file: PathBuf, key_file: PathBuf) -> NodeConfig {
    config.chain.file = ChainFileChoice::File(chain_file);
    config.network.enabled = true;
    config.network.swarm_key_file = key_file.exists().then_some(key_file);
    config.network.boot_nodes.extend(ticket.boot_nodes.iter().cloned());
    config.network.static_peers.extend(ticket.boot_nodes);
    // The password file was the ticket's.
    if config.accounts.unlock.is_empty() {
        config.accounts.password_file = None;
    }
    config
}

fn config_file(config: &NodeConfig) -> PathBuf {
    config.data.dir.join(CONFIG_FILE)
}

/// Returns the text of the chain file that the ticket promises.
fn chain_file_text(ticket: &Ticket, config: &NodeConfig) -> Result<String, Fatal> {
    let text = match (&config.chain.file, &ticket.chain_file) {
        (ChainFileChoice::File(path), _) => genesis::read(path)?,
        (_, Some(text)) => text.clone(),
        (_, None) => {
            let place = ticket.chain_file_address.as_deref().unwrap_or("the one who gave you the ticket");
            let cause = format!("the ticket does not hold the chain file: get it from {place}");
            return Err(Fatal::config(cause, "name it by --genesis FILE; its hash is compared with the ticket's"));
        }
    };
    ticket.check_chain_file(&text).map_err(|error| ticket_error(&error))?;
    Ok(text)
}

/// Refuses a data directory of another chain: its database says so, or its chain file.
fn check_chain(ticket: &Ticket, config: &NodeConfig) -> Result<(), Fatal> {
    if let Some(have) = stored_genesis(config)?.filter(|have| *have != ticket.genesis) {
        return Err(other_chain(ticket, config, have, None));
    }
    check_file(ticket, config, &config.data.chain_file(), CHAIN_FILE)
}

/// Compares the chain file `file`, where there is one, with the ticket; `place` is the file of the data directory that names it.
fn check_file(ticket: &Ticket, config: &NodeConfig, file: &Path, place: &'static str) -> Result<(), Fatal> {
    if !file.exists() {
        return Ok(());
    }
    let (found, _) = genesis::parse(&file.display().to_string(), &genesis::read(file)?)?;
    match found.header.hash() {
        same if same == ticket.genesis => Ok(()),
        have => Err(other_chain(ticket, config, have, Some(place))),
    }
}

fn other_chain(ticket: &Ticket, config: &NodeConfig, have: B256, file: Option<&'static str>) -> Fatal {
    Fatal::GenesisMismatch { datadir: config.data.dir.clone(), have, want: ticket.genesis, difference: None, file }
}

/// Returns the swarm key to write, where the data directory has none, and refuses one that is another network's.
fn swarm_key(ticket: &Ticket, config: &NodeConfig, file: &Path) -> Result<Option<SwarmKey>, Fatal> {
    let kept = if file.exists() { Some(SwarmKey::load(file).map_err(|error| key_error(&error))?) } else { None };
    if ticket.swarm_key.is_some() && config.network.quic {
        return Err(Fatal::config("QUIC keeps no swarm key, and the ticket's network has one", "leave out --p2p.quic"));
    }
    let other = || {
        let cause = format!("{} is not the swarm key of the ticket's network", file.display());
        Err(Fatal::key(cause, format!("choose another --datadir, or remove {} if nothing needs it", file.display())))
    };
    match (kept, &ticket.swarm_key, &ticket.swarm_key_fingerprint) {
        (None, None, _) => Ok(None),
        (Some(_), None, _) => other(),
        (Some(kept), Some(_), Some(fingerprint)) => {
            if kept.fingerprint() == *fingerprint {
                Ok(None)
            } else {
                other()
            }
        }
        (kept, Some(_), _) => {
            // It is asked for before anything is written.
            let mut passwords = Passwords::open(config.accounts.password_file.as_deref())?;
            let key = ticket.open_swarm_key(&passwords.next_or_last("Password of the ticket: ")?)?;
            match kept {
                Some(kept) if key != Some(kept) => other(),
                Some(_) => Ok(None),
                None => Ok(key),
            }
        }
    }
}

/// Returns the settings that an earlier ticket left, and refuses those of another chain, or of a node that has no ticket.
fn old_settings(ticket: &Ticket, loaded: &Loaded) -> Result<Table, Fatal> {
    let config = &loaded.config;
    let path = config_file(config);
    if !path.exists() {
        return Ok(Table::new());
    }
    let text = fs::read_to_string(&path).map_err(|error| Fatal::io(&path, &error))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let cause = format!("{}: {}", path.display(), error.to_string().trim_end());
        Fatal::config(cause, "correct the file, or remove it: `join` writes a new one")
    })?;
    if let Some(file) = table.get("genesis").and_then(Value::as_str) {
        check_file(ticket, config, Path::new(file), CONFIG_FILE)?;
    }
    if !text.starts_with(HEAD) {
        let cause = format!("{} is the configuration of a node that was not made from a ticket", path.display());
        let remedy = format!(
            "start that node by `drawbridge --config {}` with its own settings, or choose another --datadir to join",
            path.display()
        );
        return Err(Fatal::config(cause, remedy));
    }
    Ok(table)
}

/// Writes the file for the next start: what was there, what was given, and what the ticket says. What it replaces is put aside.
fn write_config(loaded: &Loaded, ticket: &Ticket, chain_file: &Path, old: Table) -> Result<(), Fatal> {
    let path = config_file(&loaded.config);
    let datadir = absolute(&loaded.config.data.dir).map_err(|error| Fatal::io(&loaded.config.data.dir, &error))?;
    let mut table = old.clone();
    for (name, value) in given_settings(loaded).map_err(|error| Fatal::io(&datadir, &error))? {
        // Without accounts to unlock the password was the ticket's.
        if name != "password" || !loaded.config.accounts.unlock.is_empty() {
            insert(&mut table, name, value);
        }
    }
    let network = &loaded.config.network;
    for (name, value) in [
        ("datadir", Value::String(datadir.display().to_string())),
        ("genesis", Value::String(chain_file.display().to_string())),
        ("p2p", Value::Boolean(true)),
        ("bootnodes", with_those(&network.boot_nodes, &ticket.boot_nodes)),
        ("p2p.static", with_those(&network.static_peers, &ticket.boot_nodes)),
    ] {
        insert(&mut table, name, value);
    }
    if table == old {
        return Ok(());
    }
    if !old.is_empty() {
        fs::rename(&path, path.with_extension("toml.old")).map_err(|error| Fatal::io(&path, &error))?;
    }
    super::new::write(&path, &format!("{HEAD}{}.\n{table}", ticket.chain_id))
}

/// Returns the list of the nodes that were given and those of the ticket, each once.
fn with_those(given: &[PeerAddress], of_ticket: &[PeerAddress]) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for node in given.iter().chain(of_ticket) {
        let node = Value::String(node.to_string());
        if !all.contains(&node) {
            all.push(node);
        }
    }
    Value::Array(all)
}

fn ticket_error(error: &TicketError) -> Fatal {
    match error {
        TicketError::Malformed(_) => {
            Fatal::config(error, "copy the whole line that `drawbridge network ticket` prints")
        }
        TicketError::Genesis { .. } => {
            Fatal::config(error, "ask for a new ticket, or name the right chain file by --genesis")
        }
    }
}
