//! `eth_subscribe`: what is pushed over WebSocket and IPC.

use std::sync::Arc;
use std::time::Duration;

use alloy_rpc_types_eth::Log;
use jsonrpsee::server::{PendingSubscriptionSink, SubscriptionSink};
use jsonrpsee::{Methods, RpcModule};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::admin;
use crate::api::{Api, reply};
use crate::errors::{METHOD_NOT_FOUND, RpcError};
use crate::eth::logs;
use crate::eth::polling::announce;
use crate::events::NewHead;
use crate::objects::{self, Branch, Transactions, matching_logs};
use crate::params::{Call, LogQuery};
use crate::session::{Session, Transport};

/// How often it is looked whether the node is behind.
const SYNC_LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a client asks to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Headers of blocks that become canonical.
    NewHeads,
    /// Logs of blocks that become canonical, and those of blocks that leave, marked as removed.
    Logs(LogQuery),
    /// Transactions that enter the pool.
    PendingTransactions(Transactions),
    /// Changes between being behind and not.
    Syncing,
}

/// Returns the subscription methods; all others are answered before they get here.
pub(crate) fn methods(api: Arc<Api>) -> Methods {
    let mut module = RpcModule::from_arc(api);
    module
        .register_subscription_raw("eth_subscribe", "eth_subscription", "eth_unsubscribe", |params, sink, api, _| {
            match read_kind(params.as_str(), &api) {
                Ok(kind) => drop(tokio::spawn(serve(api, sink, kind))),
                Err(error) => drop(tokio::spawn(sink.reject(error))),
            }
        })
        .expect("the module holds nothing else");
    module
        .register_subscription_raw(
            "admin_subscribe",
            "admin_subscription",
            "admin_unsubscribe",
            |params, sink, api, _| match read_admin_kind(params.as_str()) {
                Ok(()) => drop(tokio::spawn(serve_peer_events(api, sink))),
                Err(error) => drop(tokio::spawn(sink.reject(error))),
            },
        )
        .expect("the names are others");
    module.into()
}

/// Reads what `admin_subscribe` is asked for, of which there is one kind.
fn read_admin_kind(params: Option<&str>) -> Result<(), RpcError> {
    let params: Option<&RawValue> =
        params.map(serde_json::from_str).transpose().map_err(|_| RpcError::non_array_arguments())?;
    let session = Session::new(Transport::WebSocket, []);
    let kind = Call::new(params, 1, &session)?.required::<String>()?;
    if kind == "peerEvents" { Ok(()) } else { Err(unknown_kind(&kind, "admin")) }
}

fn unknown_kind(kind: &str, namespace: &str) -> RpcError {
    let shown: String = kind.chars().take(50).collect();
    RpcError::new(METHOD_NOT_FOUND, format!("no \"{shown}\" subscription in {namespace} namespace"))
}

/// A node without a network has no peers that come or go; the subscription stays silent.
async fn serve_peer_events(api: Arc<Api>, sink: PendingSubscriptionSink) {
    match api.services.operation.network.changes() {
        Some(changes) => push(sink, changes, |change| vec![admin::show_change(change)]).await,
        None => {
            if let Ok(sink) = sink.accept().await {
                sink.closed().await;
            }
        }
    }
}

fn read_kind(params: Option<&str>, api: &Api) -> Result<Kind, RpcError> {
    let params: Option<&RawValue> =
        params.map(serde_json::from_str).transpose().map_err(|_| RpcError::non_array_arguments())?;
    let session = Session::new(Transport::WebSocket, []);
    let mut call = Call::new(params, 2, &session)?;
    let kind = call.required::<String>()?;
    Ok(match kind.as_str() {
        "newHeads" => Kind::NewHeads,
        "logs" => {
            let query = call.optional::<LogQuery>()?.unwrap_or_default();
            query.check(&api.limits)?;
            Kind::Logs(query)
        }
        "newPendingTransactions" => Kind::PendingTransactions(call.optional::<bool>()?.into()),
        "syncing" => Kind::Syncing,
        other => return Err(unknown_kind(other, "eth")),
    })
}

/// Accepts a subscription and pushes until it ends. It listens before it accepts, so that nothing is missed in between.
async fn serve(api: Arc<Api>, sink: PendingSubscriptionSink, kind: Kind) {
    match kind {
        Kind::NewHeads => {
            let heads = api.events.heads.subscribe();
            push(sink, heads, |head| head.added.iter().map(|block| objects::header(&block.header)).collect()).await;
        }
        Kind::Logs(query) => {
            let heads = api.events.heads.subscribe();
            push(sink, heads, |head| changed_logs(&api, head, &query)).await;
        }
        Kind::PendingTransactions(form) => {
            let transactions = api.events.transactions.subscribe();
            push(sink, transactions, |tx| vec![announce(tx, form)]).await;
        }
        Kind::Syncing => serve_syncing(&api, sink).await,
    }
}

/// Pushes, as geth does, when the node falls behind (with how far) and when it has caught up (`false`).
async fn serve_syncing(api: &Api, sink: PendingSubscriptionSink) {
    let Ok(sink) = sink.accept().await else { return };
    let mut was_behind = false;
    let mut look = tokio::time::interval(SYNC_LOOK_EVERY);
    loop {
        tokio::select! {
            () = sink.closed() => return,
            _ = look.tick() => {}
        }
        let status = admin::show_sync(api);
        let is_behind = status != serde_json::Value::Bool(false);
        if is_behind == was_behind {
            continue;
        }
        was_behind = is_behind;
        let item = if is_behind { serde_json::json!({"syncing": true, "status": status}) } else { status };
        if send(&sink, &item).await.is_err() {
            return;
        }
    }
}

/// Returns what a change of the head does to the logs that a query asks for: first what leaves, newest block first, then what
/// comes.
fn changed_logs(api: &Api, head: &NewHead, query: &LogQuery) -> Vec<Log> {
    let dropped = head.reorganisation.iter().flat_map(|moved| &moved.dropped);
    let mut changed: Vec<Log> =
        dropped.flat_map(|(block, receipts)| matching_logs(block, receipts, query, Branch::Dropped)).collect();
    for block in &head.added {
        if !query.may_match(&block.header.logs_bloom) {
            continue;
        }
        match logs::of_block(api, &head.view, block.hash(), query) {
            Ok(mut found) => changed.append(&mut found),
            Err(error) => tracing::error!(hash = %block.hash(), error = %error.message, "logs cannot be read"),
        }
    }
    changed
}

/// Pushes what `show` makes of each event until the client or the node ends it.
async fn push<E: Clone, T: Serialize>(
    sink: PendingSubscriptionSink,
    mut events: Receiver<E>,
    show: impl Fn(&E) -> Vec<T>,
) {
    let Ok(sink) = sink.accept().await else { return };
    loop {
        let event = tokio::select! {
            () = sink.closed() => return,
            event = events.recv() => event,
        };
        match event {
            Ok(event) => {
                for item in show(&event) {
                    if send(&sink, &item).await.is_err() {
                        return;
                    }
                }
            }
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "a subscriber reads too slowly and missed events"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Pushes one item; an error means that nobody listens any more.
async fn send<T: Serialize>(sink: &SubscriptionSink, item: &T) -> Result<(), ()> {
    let json = reply(item).map_err(|_| ())?;
    sink.send(json).await.map_err(|_| ())
}
