//! `drawbridge device bridge`: records releases and openings on the chain, and drives locks.

use std::sync::Arc;

use device_bridge::bridge::outbox::Outbox;
use device_bridge::bridge::runner::{self, BridgeError, BridgeSettings};
use device_bridge::bridge_chain::Operator;
use device_bridge::chain_client::Settled;
use device_bridge::chain_client::sender::{Account, Sender, Signing};

use super::device::{OPEN_TIME, check_chain, client, link, runtime, span, stopped, trust};
use crate::accounts::{Passwords, open_keystore, resolve};
use crate::cli::device_flags::DeviceBridgeArgs;
use crate::config::NodeConfig;
use crate::exit::Fatal;

/// Runs `drawbridge device bridge`.
///
/// # Errors
/// A condition that ends the program.
pub fn run(args: &DeviceBridgeArgs, config: &NodeConfig) -> Result<(), Fatal> {
    let name = args.name.as_deref().unwrap_or("bridge");
    let settings = BridgeSettings {
        link: link(&args.broker, name)?,
        things: args.things.iter().flat_map(|things| &things.0).map(|t| (t.name.clone(), t.actuator.clone())).collect(),
        open_time: span(args.open_time, OPEN_TIME),
    };
    let client = client(&args.ask)?;
    let sender = Sender::new(client.clone(), args.ask.chain_id, operator_account(args, config)?);
    tracing::info!(account = %sender.address(), "the operator's account");
    let operator = Operator {
        client: client.clone(),
        chain_id: args.ask.chain_id,
        trust: trust(&args.ask)?,
        settled: args.ask.settled.unwrap_or(Settled::Safe),
        static_codes: args.ask.static_codes,
        sender: tokio::sync::Mutex::new(sender),
    };
    let folder = args.outbox.clone().unwrap_or_else(|| config.data.dir.join("bridge"));
    let outbox = Outbox::open(&folder).map_err(|error| crate::run::storage_failure(&folder, error))?;
    runtime()?.block_on(async {
        let stop = stopped()?;
        check_chain(&client, args.ask.chain_id, false).await?;
        runner::run(settings, operator, outbox, stop).await.map_err(|error| match error {
            BridgeError::Outbox(error) => crate::run::storage_failure(&folder, error),
            other => Fatal::config(other, "check --things and the connection to the broker"),
        })
    })
}

/// Returns who signs for the operator, with the account's key unlocked.
fn operator_account(args: &DeviceBridgeArgs, config: &NodeConfig) -> Result<Account, Fatal> {
    let keystore = Arc::new(open_keystore(&config.accounts, None)?);
    let address = resolve(&keystore, args.account)?;
    if args.account_of_node {
        return Ok(Account::OfNode(address));
    }
    let mut passwords = Passwords::open(config.accounts.password_file.as_deref())?;
    let password = passwords.next_or_last(&format!("Password of {address}: "))?;
    keystore.unlock(address, &password, None)?;
    let sign: Signing = Arc::new(move |digest| keystore.sign_hash(address, digest).map_err(|error| error.to_string()));
    Ok(Account::Local(address, sign))
}
