//! `join`: from a ticket to a data directory that is ready to run, and the configuration to run it with.

use std::fs;
use std::io::Write;

use network::p2p::NodeKey;

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
/// The line is no ticket, the password is wrong, or the directory belongs to another chain.
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
    // Asked for before anything is written.
    let key_file = datadir.join("swarm.key");
    let swarm_key = if key_file.exists() || ticket.swarm_key.is_none() {
        None
    } else {
        let password =
            Passwords::open(config.accounts.password_file.as_deref())?.next_or_last("Password of the ticket: ")?;
        ticket.open_swarm_key(&password)?
    };
    fs::create_dir_all(&datadir).map_err(|error| Fatal::io(&datadir, &error))?;
    let chain_file = datadir.join("genesis.json");
    if !chain_file.exists() {
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
