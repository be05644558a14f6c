//! `bootnode`: tells nodes about each other, and has no chain.

use std::io::Write;
use std::net::SocketAddr;

use network::p2p::{KeyFileError, NodeKey, P2pConfig, SwarmKey, run_bootnode};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use super::{say, version};
use crate::cli::BootnodeArgs;
use crate::config::NetworkConfig;
use crate::exit::Fatal;
use crate::run::{key_error, start_error};

/// The port of the old tool.
const PORT: u16 = 30301;

/// Writes a key, names the node, or runs until a signal ends it.
///
/// # Errors
/// A key file that cannot be read or written, or an address that cannot be listened on.
pub fn run(args: &BootnodeArgs, network: &NetworkConfig, out: &mut dyn Write) -> Result<(), Fatal> {
    if let Some(path) = &args.genkey {
        let key = NodeKey::generate();
        key.save(path).map_err(|error| key_error(&error))?;
        return say(out, format_args!("{}", key.peer_id()));
    }
    let Some(path) = &args.nodekey else {
        let cause = "bootnode needs --nodekey FILE: others know it by its key, which must stay the same";
        return Err(Fatal::key(cause, "`drawbridge bootnode --genkey FILE` writes a key"));
    };
    let key = NodeKey::load(path).map_err(missing_key)?;
    if args.writeaddress {
        return say(out, key.peer_id());
    }
    let swarm_key = args.p2p_swarmkey.as_deref().map(SwarmKey::load).transpose();
    let config = P2pConfig {
        listen: parse_listen(args.addr.as_deref().unwrap_or(":30301"))?,
        external: network.external.iter().map(|place| place.0.clone()).collect(),
        swarm_key: swarm_key.map_err(|error| key_error(&error))?,
        quic: network.quic,
        boot_nodes: network.boot_nodes.clone(),
        agent: version::client_version(Some("bootnode")),
        peers_max: usize::try_from(network.peers_max).unwrap_or(usize::MAX).max(500),
        per_address_max: usize::try_from(network.per_address_max).unwrap_or(usize::MAX),
        ..P2pConfig::new(key)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Fatal::Internal { cause: format!("no runtime: {error}") })?;
    let ended = runtime.block_on(serve(config, out));
    info!("stopped");
    ended
}

async fn serve(config: P2pConfig, out: &mut dyn Write) -> Result<(), Fatal> {
    let internal = |error: std::io::Error| Fatal::Internal { cause: format!("no signals: {error}") };
    let mut interrupted = signal(SignalKind::interrupt()).map_err(internal)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(internal)?;
    let stop = async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    };
    let tell = |address| {
        // Nobody may read standard output; the log tells the same.
        let _ = say(out, &address).and_then(|()| out.flush().map_err(|_| Fatal::Usage { cause: String::new() }));
        info!(%address, "others name this boot node so");
    };
    run_bootnode(config, tell, stop).await.map_err(|error| start_error(error, "-addr"))
}

fn missing_key(error: KeyFileError) -> Fatal {
    match &error {
        KeyFileError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Fatal::key(&error, "`drawbridge bootnode --genkey FILE` writes a key")
        }
        _ => key_error(&error),
    }
}

/// Reads `HOST:PORT`, `:PORT` or `HOST`, as the old tool did.
fn parse_listen(text: &str) -> Result<SocketAddr, Fatal> {
    let whole = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    let parsed = whole.parse::<SocketAddr>().ok();
    let parsed = parsed.or_else(|| whole.parse().ok().map(|host| SocketAddr::new(host, PORT)));
    parsed.ok_or_else(|| Fatal::Usage {
        cause: format!("-addr: `{text}` is no address such as :30301 or 10.0.0.7:30301"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_old_tool_read_them() {
        let check = |text: &str| parse_listen(text).ok().map(|address| address.to_string());
        assert_eq!(check(":30301").as_deref(), Some("0.0.0.0:30301"));
        assert_eq!(check("127.0.0.1:0").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(check("10.0.0.7").as_deref(), Some("10.0.0.7:30301"));
        assert_eq!(check("[::1]:5").as_deref(), Some("[::1]:5"));
        assert_eq!(check("localhost:x"), None);
    }
}
