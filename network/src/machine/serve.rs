//! The answers to peers' requests that need the ledger's store. Each is bounded in items and bytes.

use std::sync::atomic::AtomicBool;

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::B256;
use chain::{ChainView, LedgerHandle, ViewError};
use evm_runtime::state::ReadError;

use super::limits::STATE_SERVED;
use crate::message::limits::{
    HEADERS_MAX, POOL_NOTICES_MAX, RESPONSE_BYTES_SOFT, STATE_ROWS_MAX, TRANSACTION_BYTES_MAX,
};
use crate::message::{Notice, Request, Response, StateChunk, WitnessedHeader};

/// Answers a request from the ledger. What the ledger lacks is left out.
///
/// # Errors
/// Our own store failed.
pub fn answer(ledger: &LedgerHandle, request: &Request) -> Result<Response, ViewError> {
    let view = ledger.view();
    match request {
        Request::Status(_) => Ok(Response::Refused("a status is answered by the machine".to_owned())),
        Request::Headers { locator, count } => headers(&view, locator, *count),
        Request::Bodies(hashes) => bodies(&view, hashes),
        Request::Transactions(hashes) => Ok(Response::Transactions(pooled(ledger, hashes))),
        Request::BlockTransactions { block, transactions } => block_transactions(&view, *block, transactions),
        Request::Pool => Ok(Response::Pool(pool(ledger))),
        Request::Accounts { block, from } => accounts(&view, *block, *from),
        Request::Slots { block, account, from } => slots(&view, *block, *account, *from),
        Request::Codes(hashes) => codes(&view, hashes),
    }
}

/// Returns canonical headers after the first known one of the locator; none where none is known.
fn headers(view: &ChainView, locator: &[B256], count: u64) -> Result<Response, ViewError> {
    let count = count.min(u64::try_from(HEADERS_MAX).unwrap_or(u64::MAX));
    let mut known = None;
    for hash in locator {
        if let Some(header) = view.header_by_hash(*hash)?
            && view.is_canonical(header.number, *hash)?
        {
            known = Some(header.number);
            break;
        }
    }
    let Some(known) = known else { return Ok(Response::Headers(Vec::new())) };
    let last = known.saturating_add(count).min(view.head().number);
    let mut found = Vec::new();
    for number in known.saturating_add(1)..=last {
        let Some(hash) = view.canonical_hash(number)? else { break };
        let Some(record) = view.record(hash)? else { break };
        found.push(WitnessedHeader { header: record.header, witness: record.witness });
    }
    Ok(Response::Headers(found))
}

/// Returns the bodies of the first of `hashes`, as many as fit; at least one where the first is known.
fn bodies(view: &ChainView, hashes: &[B256]) -> Result<Response, ViewError> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for hash in hashes {
        let Some(body) = view.body(*hash)? else { break };
        bytes += body.len();
        found.push(body);
        if bytes >= RESPONSE_BYTES_SOFT {
            break;
        }
    }
    Ok(Response::Bodies(found))
}

/// Returns those of the transactions that the pool has, as many as fit.
fn pooled(ledger: &LedgerHandle, hashes: &[B256]) -> Vec<Vec<u8>> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for hash in hashes {
        if bytes >= RESPONSE_BYTES_SOFT {
            break;
        }
        if let Some(pooled) = ledger.pool().get(*hash) {
            let encoded = pooled.transaction.transaction().encoded_2718();
            bytes += encoded.len();
            found.push(encoded);
        }
    }
    found
}

/// Returns those of a stored block's transactions that are asked for: all of them, since a block cannot be built without.
fn block_transactions(view: &ChainView, block: B256, hashes: &[B256]) -> Result<Response, ViewError> {
    let Some(block) = view.block_by_hash(block)? else { return Ok(Response::BlockTransactions(Vec::new())) };
    Ok(Response::BlockTransactions(pick(&block.transactions, hashes)))
}

/// Returns the encodings of those of `transactions` that `hashes` name, which is in block order; of all where they name none.
pub(crate) fn pick(transactions: &[consensus::RecoveredTransaction], hashes: &[B256]) -> Vec<Vec<u8>> {
    if hashes.is_empty() {
        return transactions.iter().map(|tx| tx.transaction().encoded_2718()).collect();
    }
    let mut wanted = hashes.iter().peekable();
    let mut found = Vec::new();
    for tx in transactions {
        if wanted.next_if(|hash| **hash == tx.hash()).is_some() {
            found.push(tx.transaction().encoded_2718());
        }
    }
    found
}

/// Returns the name of a transaction.
pub(crate) fn notice(tx: &consensus::RecoveredTransaction) -> Notice {
    use alloy_consensus::Typed2718;
    Notice { hash: tx.hash(), kind: tx.ty(), size_bytes: u64::try_from(tx.size_bytes()).unwrap_or(u64::MAX) }
}

fn pool(ledger: &LedgerHandle) -> Vec<Notice> {
    let pending = ledger.pool().pending_transactions();
    let pending = pending.iter().filter(|tx| tx.size_bytes() <= TRANSACTION_BYTES_MAX);
    pending.take(POOL_NOTICES_MAX).map(notice).collect()
}

/// Returns the number of a canonical block whose state can be read and is served.
fn readable(view: &ChainView, block: B256) -> Result<Option<u64>, ViewError> {
    let Some(header) = view.header_by_hash(block)? else { return Ok(None) };
    let first = view.finalized_number().saturating_sub(STATE_SERVED).max(view.history_floor()?);
    let canonical = view.is_canonical(header.number, block)? && header.number >= first;
    Ok(canonical.then_some(header.number))
}

/// A page of rows of a state that is not much older than the head's is short enough to need no deadline.
static UNBOUNDED: AtomicBool = AtomicBool::new(false);

fn failed(error: ReadError) -> ViewError {
    match error {
        ReadError::State(error) => error.into(),
        ReadError::Cancelled => unreachable!("nobody sets the flag of a page without a deadline"),
    }
}

fn no_state() -> Response {
    Response::Refused("the state of this block is not here".to_owned())
}

fn accounts(view: &ChainView, block: B256, from: B256) -> Result<Response, ViewError> {
    let Some(number) = readable(view, block)? else { return Ok(no_state()) };
    let page = view.state_at(number)?.accounts_from(from, STATE_ROWS_MAX, &UNBOUNDED).map_err(failed)?;
    let (rows, is_last) = (page.entries.iter(), page.next.is_none());
    let rows = rows.map(|(key, account)| (*key, alloy_rlp::encode(account))).collect();
    Ok(Response::Accounts(StateChunk { rows, is_last }))
}

fn slots(view: &ChainView, block: B256, account: B256, from: B256) -> Result<Response, ViewError> {
    let Some(number) = readable(view, block)? else { return Ok(no_state()) };
    let page = view.state_at(number)?.slots_from(account, from, STATE_ROWS_MAX, &UNBOUNDED).map_err(failed)?;
    let (rows, is_last) = (page.entries.iter(), page.next.is_none());
    let rows = rows.map(|(key, value)| (*key, value.to_be_bytes_trimmed_vec())).collect();
    Ok(Response::Slots(StateChunk { rows, is_last }))
}

fn codes(view: &ChainView, hashes: &[B256]) -> Result<Response, ViewError> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    let state = view.head_state();
    for hash in hashes {
        let Some(code) = state.code_of(*hash)? else { break };
        bytes += code.len();
        found.push(code.to_vec());
        if bytes >= RESPONSE_BYTES_SOFT {
            break;
        }
    }
    Ok(Response::Codes(found))
}
