//! `join`: from a ticket to a data directory that is ready to run, and the configuration to run it with.

use std::fs;
use std::io::Write;
use std::path::Path;

use network::machine::rules_of;
use network::p2p::{NodeKey, SwarmKey};

use super::super::say;
use super::ticket::{Ticket, TicketError};
use crate::accounts::Passwords;
use crate::config::{ChainFileChoice, NodeConfig};
use crate::exit::Fatal;
use crate::run::key_error;

/// Writes chain file, swarm key, node key and configuration into the data directory, and returns the configuration that a node runs
/// with. A directory that has joined the same network before stays as it is.
///
/// # Errors
/// The line is no ticket, the password is wrong, or the directory has the chain file or the swarm key of another network.
pub fn prepare(ticket: &str, mut config: NodeConfig, out: &mut dyn Write) -> Result<NodeConfig, Fatal> {
    let ticket = Ticket::decode(ticket).map_err(|error| ticket_error(&error))?;
    let datadir = config.data.dir.clone();
    let text = match (&config.chain.file, &ticket.chain_file) {
        (ChainFileChoice::File(path), _) => super::super::genesis::read(path)?,
        (_, Some(text)) => text.clone(),
        (_, None) => {
            let place = ticket.chain_file_address.as_deref().unwrap_or("the one who gave you the ticket");
            let cause = format!("the ticket does not hold the chain file: get it from {place}");
            return Err(Fatal::config(cause, "name it by --genesis FILE; its hash is compared with the ticket's"));
        }
    };
    ticket.check_chain_file(&text).map_err(|error| ticket_error(&error))?;
    // All that is there is looked at, and the password asked for, before anything is written.
    let (chain_file, key_file) = (datadir.join("genesis.json"), datadir.join("swarm.key"));
    let is_new = check_chain_file(&chain_file, &text)?;
    let swarm_key = missing_swarm_key(&key_file, &ticket, &config)?;
    fs::create_dir_all(&datadir).map_err(|error| Fatal::io(&datadir, &error))?;
    if is_new {
        super::new::write(&chain_file, &text)?;
    }
    if let Some(key) = swarm_key {
        key.save(&key_file).map_err(|error| key_error(&error))?;
    }
    let node_key = NodeKey::load_or_create(&config.network.node_key_file).map_err(|error| key_error(&error))?;
    write_config(&config, &ticket)?;
    say(out, format_args!("chain id      {}", ticket.chain_id))?;
    say(out, format_args!("genesis hash  {}", ticket.genesis))?;
    say(out, format_args!("this node is  {}", node_key.peer_id()))?;
    say(out, format_args!("next time     drawbridge --config {}", datadir.join("node.toml").display()))?;
    config.chain.file = ChainFileChoice::File(chain_file);
    config.network.enabled = true;
    config.network.swarm_key_file = key_file.exists().then_some(key_file);
    config.network.boot_nodes.extend(ticket.boot_nodes.iter().cloned());
    config.network.static_peers.extend(ticket.boot_nodes);
    // The password file was the ticket's.
    if config.accounts.unlock.is_empty() {
        config.accounts.password_file = None;
    }
    Ok(config)
}

/// What to do where a file of another network is in the way.
const REMEDY: &str = "choose another directory by --datadir, or move the file away";

/// Tells whether the chain file is to be written; one that is there must say what the ticket's does.
fn check_chain_file(path: &Path, text: &str) -> Result<bool, Fatal> {
    if !path.exists() {
        return Ok(true);
    }
    let name = path.display().to_string();
    let (theirs, _) = super::super::genesis::parse("the ticket's chain file", text)?;
    let (ours, _) = super::super::genesis::parse(&name, &super::super::genesis::read(path)?)?;
    let (found, wanted) = (ours.header.hash(), theirs.header.hash());
    if found != wanted {
        let cause = format!("{name} is the chain file of another network: genesis {found}, the ticket's is {wanted}");
        return Err(Fatal::config(cause, REMEDY));
    }
    let (ours, theirs) = (rules_of(&ours), rules_of(&theirs));
    let differing = ours.iter().find(|rule| !theirs.contains(rule)).or(theirs.iter().find(|rule| !ours.contains(rule)));
    match differing {
        None => Ok(false),
        Some(rule) => {
            let cause = format!("{name} has other rules than the ticket's chain file: {}", rule.name);
            Err(Fatal::config(cause, REMEDY))
        }
    }
}

/// Returns the swarm key that is to be written, where one is; one that is there must be the ticket's.
fn missing_swarm_key(path: &Path, ticket: &Ticket, config: &NodeConfig) -> Result<Option<SwarmKey>, Fatal> {
    let other = |why: &str| Fatal::config(format!("{} is the key of another network: {why}", path.display()), REMEDY);
    if ticket.swarm_key.is_none() {
        return if path.exists() { Err(other("the ticket's has none")) } else { Ok(None) };
    }
    let password =
        Passwords::open(config.accounts.password_file.as_deref())?.next_or_last("Password of the ticket: ")?;
    let key = ticket.open_swarm_key(&password)?;
    if !path.exists() {
        return Ok(key);
    }
    let found = SwarmKey::load(path).map_err(|error| key_error(&error))?;
    match key.filter(|key| *key != found) {
        None => Ok(None),
        Some(key) => {
            let (found, wanted) = (found.fingerprint(), key.fingerprint());
            Err(other(&format!("its fingerprint is {found}, that of the ticket's key is {wanted}")))
        }
    }
}

/// Writes the file for the next start, where there is none.
fn write_config(config: &NodeConfig, ticket: &Ticket) -> Result<(), Fatal> {
    let path = config.data.dir.join("node.toml");
    if path.exists() {
        return Ok(());
    }
    let datadir = std::path::absolute(&config.data.dir).map_err(|error| Fatal::io(&config.data.dir, &error))?;
    let nodes: Vec<_> = ticket.boot_nodes.iter().map(|node| format!("{:?}", node.to_string())).collect();
    let nodes = nodes.join(", ");
    let text = format!(
        "# Written from a ticket for chain {}.\ndatadir = {:?}\nport = {}\nbootnodes = [{nodes}]\n\n[p2p]\nenabled = true\nstatic = [{nodes}]\n",
        ticket.chain_id,
        datadir.display().to_string(),
        config.network.port,
    );
    super::new::write(&path, &text)
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
