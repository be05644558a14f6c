//! The `txpool` namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, U64};
use consensus::RecoveredTransaction;
use serde_json::{Value, json};

use crate::api::{Answer, Api, reply};
use crate::objects;
use crate::params::Call;

type ByNonce = BTreeMap<u64, RecoveredTransaction>;

pub(crate) fn status(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let status = api.pool().status();
    reply(&json!({ "pending": U64::from(status.pending), "queued": U64::from(status.queued) }))
}

/// `debug_clearTxpool`: takes everything out of this node's pool; each is told as dropped.
pub(crate) fn clear(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let content = api.pool().content();
    let hashes = [content.pending, content.queued].into_iter().flatten().flat_map(|(_, all)| all.into_values());
    for hash in hashes.map(|tx| tx.hash()).collect::<Vec<_>>() {
        api.services.ledger.drop_transaction(hash);
    }
    reply(&Value::Null)
}

pub(crate) fn content(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let content = api.pool().content();
    let show = |senders| by_sender(senders, |tx| json!(objects::unmined(tx)));
    reply(&json!({ "pending": show(content.pending), "queued": show(content.queued) }))
}

pub(crate) fn inspect(api: &Arc<Api>, _: &mut Call<'_>) -> Answer {
    let content = api.pool().content();
    let show = |senders| by_sender(senders, |tx| Value::String(summary(tx)));
    reply(&json!({ "pending": show(content.pending), "queued": show(content.queued) }))
}

pub(crate) fn content_from(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let address = call.required::<Address>()?;
    let content = api.pool().content_from(address);
    let show = |mut senders: BTreeMap<Address, ByNonce>| {
        by_nonce(&senders.remove(&address).unwrap_or_default(), &|tx| json!(objects::unmined(tx)))
    };
    reply(&json!({ "pending": show(content.pending), "queued": show(content.queued) }))
}

/// Shows transactions by checksummed sender and decimal nonce, as geth does.
fn by_sender(senders: BTreeMap<Address, ByNonce>, show: impl Fn(&RecoveredTransaction) -> Value) -> Value {
    let shown = senders.iter().map(|(sender, transactions)| (sender.to_checksum(None), by_nonce(transactions, &show)));
    Value::Object(shown.collect())
}

fn by_nonce(transactions: &ByNonce, show: &dyn Fn(&RecoveredTransaction) -> Value) -> Value {
    Value::Object(transactions.iter().map(|(nonce, tx)| (nonce.to_string(), show(tx))).collect())
}

fn summary(tx: &RecoveredTransaction) -> String {
    let to = tx.to().map_or_else(|| "contract creation".to_owned(), |to| to.to_checksum(None));
    format!("{to}: {} wei + {} gas × {} wei", tx.value(), tx.gas_limit(), tx.max_fee_per_gas())
}
