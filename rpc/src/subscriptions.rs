//! `eth_subscribe`: what is pushed over WebSocket and IPC.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::Log;
use chain::Reorganisation;
use consensus::RecoveredBlock;
use jsonrpsee::server::{PendingSubscriptionSink, SubscriptionSink};
use jsonrpsee::{Methods, RpcModule};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::admin;
use crate::api::{Api, reply};
use crate::cursor::{Cursor, Feed};
use crate::device::Watched;
use crate::devices::NoDevices;
use crate::errors::{METHOD_NOT_FOUND, RpcError};
use crate::eth::logs;
use crate::eth::polling::announce;
use crate::events::NewHead;
use crate::objects::{self, BlockObject, Branch, ReceiptObject, Transactions, matching_logs};
use crate::params::{Call, LogQuery};
use crate::session::{Session, Transport};

/// How many transactions a subscription to receipts may name.
const RECEIPT_HASHES_MAX: usize = 1024;
/// How often it is looked whether the node is behind.
const SYNC_LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a client asks to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Headers of blocks that become canonical.
    NewHeads,
    /// The same blocks, whole.
    NewBlocks,
    /// Logs of blocks that become canonical, and those of blocks that leave, marked as removed.
    Logs(LogQuery),
    /// Transactions that enter the pool.
    PendingTransactions(Transactions),
    /// Hashes of transactions that leave the pool unmined.
    DroppedTransactions,
    /// Heads or logs by cursor: what was missed since it, then what comes.
    Following(Feed, Option<Cursor>),
    /// Receipts of transactions that are mined: of all, or of those named.
    Receipts(Vec<B256>),
    /// Reorganisations: what left, what came, and which transactions went back to the pool.
    Reorganisations,
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
    module
        .register_subscription_raw(
            "device_subscribe",
            "device_subscription",
            "device_unsubscribe",
            |params, sink, api, _| match read_watched(params.as_str()) {
                Ok(watched) => drop(tokio::spawn(serve_devices(api, sink, watched))),
                Err(error) => drop(tokio::spawn(sink.reject(error))),
            },
        )
        .expect("the names are others");
    module.into()
}

/// Reads what `device_subscribe` is asked for.
fn read_watched(params: Option<&str>) -> Result<Watched, RpcError> {
    let params: Option<&RawValue> =
        params.map(serde_json::from_str).transpose().map_err(|_| RpcError::non_array_arguments())?;
    let session = Session::new(Transport::WebSocket, []);
    let mut call = Call::new(params, 2, &session)?;
    let kind = call.required::<String>()?;
    Watched::read(&kind, &mut call)?.ok_or_else(|| unknown_kind(&kind, "device"))
}

/// Pushes what happens among the devices; a node without devices refuses.
async fn serve_devices(api: Arc<Api>, sink: PendingSubscriptionSink, watched: Watched) {
    match api.services.operation.devices.events() {
        Some(events) => push(sink, events, |event| watched.show(event).into_iter().collect()).await,
        None => sink.reject(RpcError::from(NoDevices::refusal())).await,
    }
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
        "newHeads" => match (read_cursor(&mut call.clone())?, call.optional::<HeadsOption>()?.unwrap_or_default()) {
            (Some(cursor), _) => Kind::Following(Feed::Heads, cursor),
            (None, HeadsOption { include_transactions: true }) => Kind::NewBlocks,
            (None, _) => Kind::NewHeads,
        },
        "logs" => {
            let cursor = read_cursor(&mut call.clone())?;
            let query = call.optional::<LogQuery>()?.unwrap_or_default();
            query.check(&api.limits)?;
            match cursor {
                Some(cursor) => Kind::Following(Feed::Logs(query), cursor),
                None => Kind::Logs(query),
            }
        }
        "transactionReceipts" => Kind::Receipts(read_hashes(call.optional::<ReceiptsOption>()?)?),
        "reorg" => Kind::Reorganisations,
        "newPendingTransactions" => Kind::PendingTransactions(call.optional::<bool>()?.into()),
        "droppedPendingTransactions" => Kind::DroppedTransactions,
        "syncing" => Kind::Syncing,
        other => return Err(unknown_kind(other, "eth")),
    })
}

/// The option of a subscription that wants cursors; without the key it wants none.
#[derive(Deserialize)]
struct CursorOption {
    #[serde(default, deserialize_with = "crate::params::some")]
    cursor: Option<Option<Cursor>>,
}

/// Returns the cursor that a client brings: `Some(None)` where it wants cursors from now on.
fn read_cursor(call: &mut Call<'_>) -> Result<Option<Option<Cursor>>, RpcError> {
    Ok(call.optional::<CursorOption>()?.and_then(|option| option.cursor))
}

/// The option of `newHeads`, which is Besu's.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HeadsOption {
    include_transactions: bool,
}

/// The option of `transactionReceipts`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptsOption {
    transaction_hashes: Option<Vec<B256>>,
}

fn read_hashes(option: Option<ReceiptsOption>) -> Result<Vec<B256>, RpcError> {
    let hashes = option.and_then(|option| option.transaction_hashes).unwrap_or_default();
    if hashes.len() > RECEIPT_HASHES_MAX {
        let words = format!("too many transaction hashes, want at most {RECEIPT_HASHES_MAX}");
        return Err(RpcError::invalid_params(words));
    }
    Ok(hashes)
}

/// Accepts a subscription and pushes until it ends. It listens before it accepts, so that nothing is missed in between.
async fn serve(api: Arc<Api>, sink: PendingSubscriptionSink, kind: Kind) {
    match kind {
        Kind::NewHeads => {
            let heads = api.events.heads.subscribe();
            push(sink, heads, |head| new_headers(head)).await;
        }
        Kind::NewBlocks => {
            let heads = api.events.heads.subscribe();
            push(sink, heads, |head| new_blocks(head)).await;
        }
        Kind::Logs(query) => {
            let heads = api.events.heads.subscribe();
            push(sink, heads, |head| changed_logs(&api, head, &query)).await;
        }
        Kind::PendingTransactions(form) => {
            let transactions = api.events.transactions.subscribe();
            push(sink, transactions, |tx| vec![announce(tx, form)]).await;
        }
        Kind::DroppedTransactions => {
            let dropped = api.events.dropped.subscribe();
            push(sink, dropped, |(hash, _)| vec![*hash]).await;
        }
        Kind::Following(feed, cursor) => follow(api, sink, feed, cursor).await,
        Kind::Receipts(hashes) => {
            let heads = api.events.heads.subscribe();
            push(sink, heads, |head| mined_receipts(&api, head, &hashes)).await;
        }
        Kind::Reorganisations => {
            let heads = api.events.heads.subscribe();
            push(sink, heads, |head| head.reorganisation.iter().map(|moved| reorganisation(head, moved)).collect())
                .await;
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

/// Pushes what a client missed since its cursor, and then what comes, until the client or the node ends it. A change of the head
/// only wakes it: what to push follows from the chain, so that a slow reader misses nothing.
async fn follow(api: Arc<Api>, sink: PendingSubscriptionSink, feed: Feed, cursor: Option<Cursor>) {
    let mut heads = api.events.heads.subscribe();
    let mut cursor = cursor.unwrap_or_else(|| Cursor::after(api.view().head().hash()));
    // An unknown cursor is refused before the client is told that it is subscribed.
    if let Err(error) = feed.step(&api, &api.view(), cursor) {
        return sink.reject(error).await;
    }
    let Ok(sink) = sink.accept().await else { return };
    loop {
        loop {
            let (for_step, feed) = (Arc::clone(&api), feed.clone());
            let step = tokio::task::spawn_blocking(move || feed.step(&for_step, &for_step.view(), cursor)).await;
            let step = match step {
                Ok(Ok(step)) => step,
                Ok(Err(error)) => {
                    tracing::error!(%cursor, error = %error.message, "a subscription cannot go on from its cursor");
                    return;
                }
                Err(_) => return,
            };
            for item in &step.items {
                if send(&sink, item).await.is_err() {
                    return;
                }
            }
            cursor = step.cursor;
            if step.at_head {
                break;
            }
        }
        tokio::select! {
            () = sink.closed() => return,
            event = heads.recv() => if matches!(event, Err(RecvError::Closed)) { return },
        }
    }
}

/// Returns the headers of the blocks that became canonical; where somebody has gone back, that of the block gone back to, as in geth.
fn new_headers(head: &NewHead) -> Vec<alloy_rpc_types_eth::Header> {
    if head.added.is_empty() {
        return vec![objects::header(head.view.head())];
    }
    head.added.iter().map(|block| objects::header(&block.header)).collect()
}

/// Returns the same blocks, whole.
fn new_blocks(head: &NewHead) -> Vec<BlockObject> {
    let show = |block: &Arc<RecoveredBlock>| objects::block(&head.view, block, Transactions::Full).ok();
    if head.added.is_empty() {
        return head.view.block_by_hash(head.view.head().hash()).ok().flatten().iter().filter_map(show).collect();
    }
    head.added.iter().filter_map(show).collect()
}

/// Returns the receipts of the blocks that became canonical, a list per block that has some.
fn mined_receipts(api: &Api, head: &NewHead, hashes: &[B256]) -> Vec<Vec<ReceiptObject>> {
    let of_block = |block: &Arc<RecoveredBlock>| {
        let found = api.block(&head.view, block.hash()).ok().flatten()?;
        let receipts = found.receipts(&head.view).ok().flatten()?;
        let wanted = |index: &usize| hashes.is_empty() || hashes.contains(&block.transactions[*index].hash());
        let wanted = (0..block.transactions.len()).filter(wanted);
        let receipts: Vec<_> = wanted
            .filter_map(|index| objects::whole_receipt(head.view.spec(), found.block(), &receipts, index))
            .collect();
        (!receipts.is_empty()).then_some(receipts)
    };
    head.added.iter().filter_map(of_block).collect()
}

/// Describes a reorganisation.
fn reorganisation(head: &NewHead, moved: &Reorganisation) -> Value {
    let place = |block: &RecoveredBlock| json!({ "number": U64::from(block.number()), "hash": block.hash() });
    let mined: HashSet<B256> = head.added.iter().flat_map(|block| &block.transactions).map(|tx| tx.hash()).collect();
    let left = moved.dropped.iter().flat_map(|(block, _)| &block.transactions).map(|tx| tx.hash());
    json!({
        "depth": U64::from(moved.dropped.len()),
        "ancestor": U64::from(moved.ancestor),
        "dropped": moved.dropped.iter().map(|(block, _)| place(block)).collect::<Vec<_>>(),
        "added": head.added.iter().map(|block| place(block)).collect::<Vec<_>>(),
        "transactions": left.filter(|hash| !mined.contains(hash)).collect::<Vec<_>>(),
    })
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
