//! Why a transaction is not mined, and what its owner can do about it: `txpool_explain`, and the three repairs.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, TxKind, U64, U128, U256};
use alloy_rpc_types_eth::TransactionRequest;
use chain::pool::{Obstacle, PooledTransaction, Waiting};
use consensus::RecoveredTransaction;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::api::{Answer, Api, reply};
use crate::errors::RpcError;
use crate::eth::send::{Authority, send_as};
use crate::eth::transactions::pooled;
use crate::eth::{fees, transactions};
use crate::params::{Call, Quantity};

/// How many dropped transactions are remembered with the reason.
const DROPPED_KEPT: usize = 16_384;
/// By how much in percent a repair raises both fee caps at least; geth's pools take 10.
const REPAIR_BUMP_PERCENT: u128 = 10;

/// Remembers why the latest dropped transactions left the pool.
#[derive(Default)]
pub(crate) struct DropLog(Mutex<Dropped>);

#[derive(Default)]
struct Dropped {
    reasons: HashMap<B256, String>,
    order: VecDeque<B256>,
}

impl DropLog {
    /// Remembers one; the oldest is forgotten where there are too many.
    pub(crate) fn record(&self, hash: B256, reason: String) {
        let mut dropped = self.0.lock();
        if dropped.reasons.insert(hash, reason).is_some() {
            return;
        }
        dropped.order.push_back(hash);
        if dropped.order.len() > DROPPED_KEPT
            && let Some(oldest) = dropped.order.pop_front()
        {
            dropped.reasons.remove(&oldest);
        }
    }

    fn reason(&self, hash: B256) -> Option<String> {
        self.0.lock().reasons.get(&hash).cloned()
    }
}

/// Answers where a transaction stands: `mined`, `ready`, `waiting` with its obstacles, `dropped` with the reason, or `unknown`.
pub(crate) fn explain(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let hash = call.required::<B256>()?;
    if let Some(receipt) = transactions::find_receipt(api, hash)? {
        return reply(&json!({ "hash": hash, "status": "mined", "receipt": receipt }));
    }
    let view = api.view();
    let base_fee = fees::base_fee(api, &view);
    let minimum = *api.price_limit_wei.lock();
    let (Some(pooled), Some(waiting)) = (api.pool().get(hash), api.pool().explain(hash, base_fee, minimum)) else {
        return reply(&match api.events.drop_log.reason(hash) {
            Some(reason) => json!({ "hash": hash, "status": "dropped", "reason": reason }),
            None => json!({
                "hash": hash,
                "status": "unknown",
                "reason": "it is neither on the chain nor in the pool, and did not leave the pool lately",
            }),
        });
    };
    reply(&explanation(&pooled, &waiting, api.services.miner.is_mining()))
}

fn explanation(pooled: &PooledTransaction, waiting: &Waiting, is_mining: bool) -> Value {
    let mut reasons: Vec<Value> = waiting.obstacles.iter().map(obstacle).collect();
    if !is_mining {
        let text = "this node does not mine: the transaction waits for another node's block, or for miner_start";
        reasons.push(json!({ "kind": "noMiner", "text": text }));
    }
    json!({
        "hash": pooled.transaction.hash(),
        "status": if reasons.is_empty() { "ready" } else { "waiting" },
        "from": pooled.transaction.sender(),
        "nonce": U64::from(pooled.transaction.nonce()),
        "executable": waiting.executable,
        "behind": U64::from(waiting.behind),
        "addedAt": U64::from(pooled.added_at),
        "reasons": reasons,
    })
}

fn obstacle(obstacle: &Obstacle) -> Value {
    match obstacle {
        Obstacle::NonceGap { next, missing, missing_count } => {
            let first = missing.first().copied().unwrap_or(*next);
            json!({
                "kind": "nonceGap",
                "nextNonce": U64::from(*next),
                "missing": missing.iter().copied().map(U64::from).collect::<Vec<_>>(),
                "missingCount": U64::from(*missing_count),
                "text": format!("{missing_count} earlier nonces are missing, the first is {first}: send a transaction with it"),
            })
        }
        Obstacle::Balance { nonce, balance, needed } => {
            let short = needed.saturating_sub(*balance);
            json!({
                "kind": "balance",
                "nonce": U64::from(*nonce),
                "balance": balance,
                "needed": needed,
                "short": short,
                "text": format!("the sender's balance is short by {short} wei for its transactions up to nonce {nonce}"),
            })
        }
        Obstacle::FeeCap { nonce, fee_cap_wei, base_fee_wei } => json!({
            "kind": "feeCap",
            "nonce": U64::from(*nonce),
            "feeCap": U128::from(*fee_cap_wei),
            "baseFee": U64::from(*base_fee_wei),
            "text": format!("nonce {nonce} pays at most {fee_cap_wei} wei for gas, the next block takes {base_fee_wei}"),
        }),
        Obstacle::Tip { nonce, tip_wei, minimum_wei } => json!({
            "kind": "tip",
            "nonce": U64::from(*nonce),
            "tip": U128::from(*tip_wei),
            "minimum": U128::from(*minimum_wei),
            "text": format!("nonce {nonce} leaves the miner {tip_wei} wei for gas, this node's miner asks for {minimum_wei}"),
        }),
    }
}

/// Takes a transaction of one of the node's accounts out of the pool; those behind it wait for its nonce then.
pub(crate) fn drop_one(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let pooled = own_pooled(api, call.required()?)?;
    reply(&api.services.ledger.drop_transaction(pooled.hash()))
}

/// Replaces a transaction of an unlocked account by one that does nothing, at a higher price.
pub(crate) fn cancel(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let old = own_pooled(api, call.required()?)?;
    let itself = TransactionRequest::default().from(old.sender()).to(old.sender()).value(U256::ZERO).gas_limit(21_000);
    replace(api, &old, itself, None)
}

/// Sends a transaction of an unlocked account again at a higher price: the given one per gas, or the least that replaces it.
pub(crate) fn resend(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let old = own_pooled(api, call.required()?)?;
    let price = call.optional::<U256>()?.map(u128::try_from).transpose();
    let price = price.map_err(|_| RpcError::invalid_argument(1, "more than 128 bits"))?;
    let mut same = TransactionRequest::default().from(old.sender()).value(old.value()).gas_limit(old.gas_limit());
    same.to = Some(old.kind());
    same.input = old.input().clone().into();
    same.access_list = old.access_list().cloned();
    same.authorization_list = old.authorization_list().map(<[_]>::to_vec);
    replace(api, &old, same, price)
}

/// `eth_resend`: sends a waiting transaction of an unlocked account, named by its sender, nonce and content, again at another price
/// or with another gas limit.
pub(crate) fn resend_request(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let mut request = call.required::<TransactionRequest>()?;
    let price = call.optional::<U256>()?.filter(|price| !price.is_zero()).map(u128::try_from).transpose();
    let price = price.map_err(|_| RpcError::invalid_argument(1, "more than 128 bits"))?;
    let gas = call.optional::<Quantity>()?.map(|Quantity(gas)| gas).filter(|gas| *gas > 0);
    let sender = request.from.ok_or_else(|| RpcError::server("from not specified"))?;
    let nonce = request.nonce.ok_or_else(|| RpcError::server("missing transaction nonce in transaction spec"))?;
    let found = pooled(api, sender, nonce).filter(|old| is_the_same(old, &request));
    let words = || RpcError::server(format!("transaction of {sender} with nonce {nonce} not found in the pool"));
    let old = own_pooled(api, found.ok_or_else(words)?.hash())?;
    request.gas = gas.or(request.gas).or_else(|| Some(old.gas_limit()));
    request.to = Some(old.kind());
    (request.gas_price, request.max_fee_per_gas, request.max_priority_fee_per_gas) = (None, None, None);
    replace(api, &old, request, price)
}

/// Tells whether a request asks for what a transaction does.
fn is_the_same(old: &RecoveredTransaction, request: &TransactionRequest) -> bool {
    let input = request.input.input().map_or(&[][..], |input| &input[..]);
    request.to.unwrap_or(TxKind::Create) == old.kind()
        && request.value.unwrap_or_default() == old.value()
        && input == &old.input()[..]
}

fn replace(api: &Api, old: &RecoveredTransaction, mut new: TransactionRequest, price: Option<u128>) -> Answer {
    new.nonce = Some(old.nonce());
    let raised = |old: u128| old.saturating_add((old * REPAIR_BUMP_PERCENT).div_ceil(100)).max(old.saturating_add(1));
    let market =
        fees::base_fee(api, &api.view()).map_or(0, u128::from).saturating_add(fees::suggested_tip(api, &api.view())?);
    match old.max_priority_fee_per_gas() {
        Some(tip) => {
            new.max_fee_per_gas = Some(price.unwrap_or_else(|| raised(old.max_fee_per_gas()).max(market)));
            new.max_priority_fee_per_gas = Some(price.map_or(raised(tip), |price| price.min(raised(tip))));
        }
        None => new.gas_price = Some(price.unwrap_or_else(|| raised(old.max_fee_per_gas()).max(market))),
    }
    send_as(api, new, &Authority::Unlocked)
}

/// Returns a transaction that waits in the pool, of an account that is here.
fn own_pooled(api: &Api, hash: B256) -> Result<RecoveredTransaction, RpcError> {
    let pooled = api.pool().get(hash).ok_or_else(|| RpcError::server("transaction not found in the pool"))?;
    let accounts: Vec<Address> = api.services.signer.accounts();
    if accounts.contains(&pooled.transaction.sender()) {
        Ok(pooled.transaction)
    } else {
        Err(RpcError::server("the sender is none of this node's accounts: its owner must repair the transaction"))
    }
}
