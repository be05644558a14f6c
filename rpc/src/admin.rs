//! The `admin` namespace, in geth's shapes. Where geth writes an enode, a multiaddr stands here: what `admin_nodeInfo` shows is what
//! `admin_addPeer` of another node takes.

use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::U64;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use crate::api::{Answer, Api, reply};
use crate::config::{HttpConfig, WsConfig};
use crate::errors::RpcError;
use crate::operation::{PeerChange, PeerView};
use crate::params::{Call, Quantity};

pub(crate) fn node_info(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let view = api.view();
    let services = &api.services;
    let identity = services.operation.network.identity().unwrap_or_default();
    let address = identity.addresses.first().cloned().unwrap_or_default();
    let port = identity.listen.map_or(0, |listen| listen.port());
    reply(&json!({
        "id": identity.id,
        "name": services.client_version,
        "enode": address,
        "multiaddrs": identity.addresses,
        "ip": identity.listen.map(|listen| listen.ip().to_string()),
        "listenAddr": identity.listen.map(|listen| listen.to_string()),
        "ports": {"discovery": port, "listener": port},
        "protocols": {"eth": {
            "network": services.network_id,
            "difficulty": view.head_td(),
            "genesis": view.genesis_hash(),
            "head": view.head().hash(),
            "config": {"chainId": view.spec().chain_id},
        }},
    }))
}

pub(crate) fn peers(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&api.services.operation.network.peers().iter().map(show).collect::<Vec<_>>())
}

/// Writes a peer as geth does, and what geth has no place for under `drawbridge`. A refused one says why in place of its chain.
fn show(peer: &PeerView) -> Value {
    let chain = peer.chain.as_ref();
    let mut protocols = Map::new();
    if let Some(chain) = chain {
        let eth = json!({"version": 1, "difficulty": chain.total_difficulty, "head": chain.head});
        protocols.insert("eth".to_owned(), eth);
    }
    let mut value = json!({
        "id": peer.id,
        "name": peer.name,
        "enode": peer.address,
        "caps": if chain.is_some() { vec!["drawbridge/1"] } else { Vec::new() },
        "network": {
            "localAddress": peer.local,
            "remoteAddress": peer.address,
            "inbound": peer.is_inbound,
            "trusted": peer.is_trusted,
            "static": peer.is_static,
        },
        "protocols": protocols,
        "drawbridge": {
            "headNumber": chain.map(|chain| chain.head_number),
            "finalized": chain.map(|chain| chain.finalized),
            "clockOffsetMs": chain.map(|chain| chain.clock_offset_ms),
            "roles": chain.map(|chain| chain.roles.clone()),
            "points": peer.points,
            "latencyMs": peer.latency_ms,
        },
    });
    if let Some(reason) = &peer.refused {
        value["refused"] = json!(reason);
    }
    value
}

pub(crate) fn add_peer(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    steer(api.services.operation.network.add_peer(&call.required::<String>()?))
}

pub(crate) fn remove_peer(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    steer(api.services.operation.network.remove_peer(&call.required::<String>()?))
}

pub(crate) fn add_trusted_peer(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    steer(api.services.operation.network.set_trusted(&call.required::<String>()?, true))
}

pub(crate) fn remove_trusted_peer(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    steer(api.services.operation.network.set_trusted(&call.required::<String>()?, false))
}

/// As in geth the answer says that the word was taken, not that something changed.
fn steer(taken: Result<bool, String>) -> Answer {
    taken.map_err(RpcError::server)?;
    reply(&true)
}

pub(crate) fn datadir(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    reply(&api.services.operation.files.datadir().display().to_string())
}

pub(crate) fn export_chain(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let file: PathBuf = call.required::<String>()?.into();
    let first = call.optional::<Quantity>()?;
    let last = call.optional::<Quantity>()?;
    if first.is_none() && last.is_some() {
        return Err(RpcError::server("last cannot be specified without first"));
    }
    let head = api.view().head().number;
    let range = first.map(|Quantity(first)| (first, last.map_or(head, |Quantity(last)| last)));
    api.services.operation.files.export(&file, range).map_err(RpcError::server)?;
    reply(&true)
}

pub(crate) fn import_chain(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let file: PathBuf = call.required::<String>()?.into();
    api.services.operation.files.import(&file).map_err(RpcError::server)?;
    reply(&true)
}

/// Starts HTTP where `host`, `port`, `cors`, `apis` and `vhosts` say; what is left out is as it is where the node starts without flags.
pub(crate) fn start_http(api: &Arc<Api>, call: &mut Call<'_>) -> Result<BoxFuture<'static, Answer>, RpcError> {
    let defaults = HttpConfig::default();
    let http = HttpConfig {
        addr: call.optional()?.unwrap_or(defaults.addr),
        port: port(call, defaults.port)?,
        cors: list(call)?.unwrap_or(defaults.cors),
        api: list(call)?.unwrap_or(defaults.api),
        vhosts: list(call)?.unwrap_or(defaults.vhosts),
        desk: defaults.desk,
    };
    let switch = api.switch()?;
    Ok(Box::pin(async move {
        switch.start_http(&http).await.map_err(RpcError::server)?;
        reply(&true)
    }))
}

pub(crate) fn stop_http(api: &Arc<Api>, _: &mut Call<'_>) -> Result<BoxFuture<'static, Answer>, RpcError> {
    let switch = api.switch()?;
    Ok(Box::pin(async move {
        switch.stop_http().await;
        reply(&true)
    }))
}

/// Starts WebSocket where `host`, `port`, `origins` and `apis` say.
pub(crate) fn start_ws(api: &Arc<Api>, call: &mut Call<'_>) -> Result<BoxFuture<'static, Answer>, RpcError> {
    let defaults = WsConfig::default();
    let ws = WsConfig {
        addr: call.optional()?.unwrap_or(defaults.addr),
        port: port(call, defaults.port)?,
        origins: list(call)?.unwrap_or(defaults.origins),
        api: list(call)?.unwrap_or(defaults.api),
    };
    let switch = api.switch()?;
    Ok(Box::pin(async move {
        switch.start_ws(&ws).await.map_err(RpcError::server)?;
        reply(&true)
    }))
}

pub(crate) fn stop_ws(api: &Arc<Api>, _: &mut Call<'_>) -> Result<BoxFuture<'static, Answer>, RpcError> {
    let switch = api.switch()?;
    Ok(Box::pin(async move {
        switch.stop_ws().await;
        reply(&true)
    }))
}

/// Reads a port.
fn port(call: &mut Call<'_>, default: u16) -> Result<u16, RpcError> {
    const INDEX: usize = 1;
    let given = call.optional::<Quantity>()?.map(|Quantity(port)| u16::try_from(port));
    given.transpose().map(|port| port.unwrap_or(default)).map_err(|_| RpcError::invalid_argument(INDEX, "no port"))
}

/// Reads names that commas separate.
fn list(call: &mut Call<'_>) -> Result<Option<Vec<String>>, RpcError> {
    let split = |text: String| {
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    Ok(call.optional::<String>()?.map(split))
}

/// Writes a change among the peers as geth's `peerEvents` does.
pub(crate) fn show_change(change: &PeerChange) -> Value {
    let kind = if change.gone.is_some() { "drop" } else { "add" };
    let mut value = json!({"type": kind, "peer": change.id, "remote": change.address});
    if let Some(reason) = &change.gone {
        value["error"] = json!(reason);
    }
    value
}

/// Writes how far the node is behind: `false` where it is not.
pub(crate) fn show_sync(api: &Api) -> Value {
    match api.services.operation.network.status().sync {
        None => json!(false),
        Some(sync) => {
            let current = api.view().head().number;
            json!({
                "startingBlock": U64::from(sync.starting),
                "currentBlock": U64::from(current),
                "highestBlock": U64::from(sync.highest.max(current)),
            })
        }
    }
}
