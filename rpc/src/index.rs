//! An address's transactions, token transfers and logs, page by page, newest first: by the index where the node has one, else by looking at
//! block after block for a while, in which case a page may be short and tells where to go on.

use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, Log as RawLog, TxKind, U64, U256};
use chain::index::{EventRow, EventScope, IndexReader, TRANSFER};
use chain::{ChainView, ViewError};
use consensus::SealedHeader;
use serde_json::{Value, json};

use crate::api::{Answer, Api, reply};
use crate::deadline::Deadline;
use crate::errors::RpcError;
use crate::page::{Page, Place};
use crate::params::{Call, LogQuery};

/// How many first topics or contracts one query may name.
const SCOPES_MAX: usize = 8;
/// How many rows of the index are looked at for one page, at most: others may be among those of a scope.
const ROWS_MAX: usize = 20_000;
/// How many blocks are looked at for one page where there is no index.
const BLOCKS_MAX: u64 = 20_000;

/// A page of items, and where the next one begins.
pub(crate) struct Found {
    items: Vec<Value>,
    next: Option<Place>,
    is_indexed: bool,
}

impl Found {
    pub(crate) fn answer(self) -> Answer {
        reply(&json!({ "items": self.items, "next": self.next, "indexed": self.is_indexed }))
    }
}

/// Reads blocks for a page; of the last one it keeps the header, as items of one block follow each other.
struct Blocks<'a> {
    view: &'a ChainView,
    last: Option<SealedHeader>,
}

impl<'a> Blocks<'a> {
    fn new(view: &'a ChainView) -> Self {
        Self { view, last: None }
    }

    fn header(&mut self, number: u64) -> Result<SealedHeader, RpcError> {
        if let Some(header) = self.last.as_ref().filter(|header| header.number == number) {
            return Ok(header.clone());
        }
        let header = self.view.header_by_number(number)?.ok_or_else(RpcError::header_not_found)?;
        Ok(self.last.insert(header).clone())
    }

    /// Shows a transaction on one line.
    fn transaction(&mut self, number: u64, index: u32, roles: &[&'static str]) -> Result<Value, RpcError> {
        let header = self.header(number)?;
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let missing = || RpcError::server(format!("transaction {index} of block {number} is missing"));
        let tx = self.view.transaction_at(&header, at)?.ok_or_else(missing)?;
        let (receipt, before) = self.view.receipt_at(&header, at)?.ok_or_else(missing)?;
        let gas = receipt.cumulative_gas_used().saturating_sub(before);
        let price = tx.effective_gas_price(header.base_fee_per_gas);
        let created = match tx.kind() {
            TxKind::Create => Some(tx.sender().create(tx.nonce())),
            TxKind::Call(_) => None,
        };
        Ok(json!({
            "hash": tx.hash(),
            "blockNumber": U64::from(number),
            "blockHash": header.hash(),
            "transactionIndex": U64::from(index),
            "timestamp": U64::from(header.timestamp),
            "from": tx.sender(),
            "to": tx.to(),
            "contractAddress": created,
            "value": tx.value(),
            "method": tx.function_selector().filter(|_| created.is_none()),
            "gasUsed": U64::from(gas),
            "fee": U256::from(gas).saturating_mul(U256::from(price)),
            "status": U64::from(u64::from(receipt.status())),
            "roles": roles,
        }))
    }

    /// Reads a log; none: it is not there.
    fn log(&mut self, row: &EventRow) -> Result<Option<(SealedHeader, RawLog)>, RpcError> {
        let header = self.header(row.number)?;
        let narrow = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let Some((receipt, _)) = self.view.receipt_at(&header, narrow(row.index))? else { return Ok(None) };
        Ok(receipt.logs().get(narrow(row.place)).cloned().map(|log| (header, log)))
    }

    fn transaction_hash(&self, header: &SealedHeader, index: u32) -> Result<B256, RpcError> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let tx = self.view.transaction_at(header, at)?;
        tx.map(|tx| tx.hash()).ok_or_else(|| RpcError::server("a log's transaction is missing"))
    }
}

pub(crate) fn address_transactions(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let address = call.required::<Address>()?;
    let page: Page = call.optional()?.unwrap_or_default();
    let view = api.view();
    let before = start(&view, &page);
    let mut blocks = Blocks::new(&view);
    let Some(index) = view.index()? else {
        let deadline = api.deadline(api.limits.logs_timeout);
        return look_for_address(&mut blocks, address, before, page.items(), &deadline)?.answer();
    };
    let (mut items, mut next) = (Vec::new(), None);
    for row in index.address(address, (before.number, before.index)) {
        let row = row?;
        if items.len() == page.items() {
            break;
        }
        items.push(blocks.transaction(row.number, row.index, &row.roles.names())?);
        next = Some(Place { number: row.number, index: row.index });
    }
    let next = next.filter(|last| has_more(&index, address, *last));
    Found { items, next, is_indexed: true }.answer()
}

fn has_more(index: &IndexReader, address: Address, last: Place) -> bool {
    index.address(address, (last.number, last.index)).next().is_some()
}

/// Returns where a page begins.
fn start(view: &ChainView, page: &Page) -> Place {
    let end = Place { number: view.head().number.saturating_add(1), index: 0 };
    page.before.map_or(end, |before| before.min(end))
}

/// Looks for an address as sender, recipient and creation alone, block after block.
fn look_for_address(
    blocks: &mut Blocks<'_>,
    address: Address,
    before: Place,
    size: usize,
    deadline: &Deadline,
) -> Result<Found, RpcError> {
    let mut items = Vec::new();
    let newest = if before.index == 0 { before.number.checked_sub(1) } else { Some(before.number) };
    let mut number = newest;
    let mut looked = 0;
    while let Some(at) = number {
        if looked >= BLOCKS_MAX || deadline.has_passed() {
            let next = Some(Place { number: at.saturating_add(1), index: 0 });
            return Ok(Found { items, next, is_indexed: false });
        }
        looked += 1;
        let header = blocks.header(at)?;
        let block = match header.transactions_root == alloy_consensus::EMPTY_ROOT_HASH {
            true => None,
            false => blocks.view.block_by_hash(header.hash())?,
        };
        let transactions = block.iter().flat_map(|block| block.transactions.iter().enumerate().rev());
        for (index, tx) in transactions {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let place = Place { number: at, index };
            if place >= before {
                continue;
            }
            let to = tx.to();
            let created = to.is_none().then(|| tx.sender().create(tx.nonce()));
            let roles = [(Some(tx.sender()), "sender"), (to, "recipient"), (created, "created")];
            let roles: Vec<_> =
                roles.into_iter().filter(|(who, _)| *who == Some(address)).map(|(_, role)| role).collect();
            if roles.is_empty() {
                continue;
            }
            items.push(blocks.transaction(at, index, &roles)?);
            if items.len() == size {
                return Ok(Found { items, next: Some(place), is_indexed: false });
            }
        }
        number = at.checked_sub(1);
    }
    Ok(Found { items, next: None, is_indexed: false })
}

pub(crate) fn events(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let query = call.required::<LogQuery>()?;
    query.check(&api.limits)?;
    if query.block_hash.is_some() || query.from_block.is_some() || query.to_block.is_some() {
        return Err(RpcError::invalid_params(
            "drawbridge_events takes address and topics; `before` says where a page begins",
        ));
    }
    let search = Search { scopes: scopes_of(&query)?, query, holder: None };
    let page: Page = call.optional()?.unwrap_or_default();
    search.find(api, &page, show_log)?.answer()
}

pub(crate) fn token_transfers(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let holder = call.required::<Address>()?;
    let page: Page = call.optional()?.unwrap_or_default();
    let query = LogQuery { topics: vec![vec![TRANSFER]], ..LogQuery::default() };
    let search = Search { scopes: vec![EventScope::Holder(holder)], query, holder: Some(holder.into_word()) };
    search.find(api, &page, show_transfer)?.answer()
}

/// A log that was found.
pub(crate) struct FoundLog {
    pub(crate) header: SealedHeader,
    pub(crate) row: EventRow,
    pub(crate) log: RawLog,
    pub(crate) hash: B256,
}

fn show_log(found: &FoundLog) -> Option<Value> {
    let FoundLog { header, row, log, hash } = found;
    Some(json!({
        "address": log.address,
        "topics": log.topics(),
        "data": log.data.data,
        "blockNumber": U64::from(row.number),
        "blockHash": header.hash(),
        "timestamp": U64::from(header.timestamp),
        "transactionHash": hash,
        "transactionIndex": U64::from(row.index),
        "logIndex": U64::from(row.log_index),
        "removed": false,
    }))
}

fn show_transfer(found: &FoundLog) -> Option<Value> {
    let FoundLog { header, row, log, hash } = found;
    let topics = log.topics();
    let address = |topic: &B256| Address::from_word(*topic);
    let token = topics.get(3).map(|id| U256::from_be_bytes(id.0));
    Some(json!({
        "token": log.address,
        "kind": if token.is_some() { "erc721" } else { "erc20" },
        "from": address(topics.get(1)?),
        "to": address(topics.get(2)?),
        "value": token.or_else(|| U256::try_from_be_slice(&log.data.data))?,
        "hash": hash,
        "blockNumber": U64::from(row.number),
        "transactionIndex": U64::from(row.index),
        "logIndex": U64::from(row.log_index),
        "timestamp": U64::from(header.timestamp),
    }))
}

/// Returns the scopes whose logs together are those of a query, and perhaps more.
fn scopes_of(query: &LogQuery) -> Result<Vec<EventScope>, RpcError> {
    let firsts = query.topics.first().map_or(&[][..], Vec::as_slice);
    let scopes: Vec<_> = match (&query.addresses[..], firsts) {
        ([], []) => return Err(RpcError::invalid_params("an address or a first topic is needed")),
        ([], firsts) => firsts.iter().map(|first| EventScope::Topic(*first)).collect(),
        (addresses, []) => addresses.iter().map(|address| EventScope::Emitter(*address)).collect(),
        (addresses, firsts) => {
            let pairs = addresses.iter().flat_map(|address| firsts.iter().map(move |first| (*address, *first)));
            pairs.map(|(address, first)| EventScope::EmitterAndTopic(address, first)).collect()
        }
    };
    if scopes.len() > SCOPES_MAX {
        let words = format!("too many addresses and first topics, want at most {SCOPES_MAX} pairs of them");
        return Err(RpcError::invalid_params(words));
    }
    Ok(scopes)
}

/// A search for logs.
pub(crate) struct Search {
    /// Where the index has them.
    pub(crate) scopes: Vec<EventScope>,
    /// What they must have.
    pub(crate) query: LogQuery,
    /// Who a transfer's second or third topic must name.
    pub(crate) holder: Option<B256>,
}

impl Search {
    fn wants(&self, log: &RawLog) -> bool {
        let names = |holder: &B256| log.topics().get(1..3).is_some_and(|holders| holders.contains(holder));
        self.query.matches(log) && self.holder.as_ref().is_none_or(names)
    }

    /// Finds a page of logs, of those that `show` shows.
    pub(crate) fn find(
        &self,
        api: &Api,
        page: &Page,
        show: impl Fn(&FoundLog) -> Option<Value>,
    ) -> Result<Found, RpcError> {
        let view = api.view();
        let (before, mut blocks) = (start(&view, page), Blocks::new(&view));
        match view.index()? {
            Some(index) => self.find_indexed(&index, &mut blocks, before, page.items(), show),
            None => {
                let deadline = api.deadline(api.limits.logs_timeout);
                self.look(&mut blocks, before, page.items(), &deadline, show)
            }
        }
    }

    fn find_indexed(
        &self,
        index: &IndexReader,
        blocks: &mut Blocks<'_>,
        before: Place,
        size: usize,
        show: impl Fn(&FoundLog) -> Option<Value>,
    ) -> Result<Found, RpcError> {
        let walk = |scope| index.events(scope, (before.number, before.index)).peekable();
        let mut walks: Vec<_> = self.scopes.iter().map(walk).collect();
        let (mut items, mut last) = (Vec::new(), None);
        for _ in 0..ROWS_MAX {
            if items.len() == size {
                break;
            }
            let Some(row) = newest(&mut walks).transpose()? else {
                return Ok(Found { items, next: None, is_indexed: true });
            };
            last = Some(Place { number: row.number, index: row.log_index });
            let Some((header, log)) = blocks.log(&row)?.filter(|(_, log)| self.wants(log)) else { continue };
            let hash = blocks.transaction_hash(&header, row.index)?;
            items.extend(show(&FoundLog { header, row, log, hash }));
        }
        let next = last.filter(|_| walks.iter_mut().any(|walk| walk.peek().is_some()));
        Ok(Found { items, next, is_indexed: true })
    }

    /// Looks at block after block, as far as their blooms admit such logs.
    fn look(
        &self,
        blocks: &mut Blocks<'_>,
        before: Place,
        size: usize,
        deadline: &Deadline,
        show: impl Fn(&FoundLog) -> Option<Value>,
    ) -> Result<Found, RpcError> {
        let mut items = Vec::new();
        let mut number = if before.index == 0 { before.number.checked_sub(1) } else { Some(before.number) };
        let mut looked = 0;
        while let Some(at) = number {
            if looked >= BLOCKS_MAX || deadline.has_passed() {
                return Ok(Found { items, next: Some(Place { number: at + 1, index: 0 }), is_indexed: false });
            }
            looked += 1;
            for found in self.logs_of(blocks, at)?.into_iter().rev() {
                let place = Place { number: at, index: found.row.log_index };
                if place < before {
                    items.extend(show(&found));
                }
                if items.len() == size {
                    return Ok(Found { items, next: Some(place), is_indexed: false });
                }
            }
            number = at.checked_sub(1);
        }
        Ok(Found { items, next: None, is_indexed: false })
    }

    /// Returns the wanted logs of a block.
    fn logs_of(&self, blocks: &mut Blocks<'_>, number: u64) -> Result<Vec<FoundLog>, RpcError> {
        let header = blocks.header(number)?;
        if header.logs_bloom.is_zero() || !self.query.may_match(&header.logs_bloom) {
            return Ok(Vec::new());
        }
        let Some(block) = blocks.view.block_by_hash(header.hash())? else { return Ok(Vec::new()) };
        let receipts = blocks.view.receipts(header.hash())?.unwrap_or_default();
        let mut found = Vec::new();
        let mut log_index = 0_u32;
        for (index, (tx, receipt)) in (0_u32..).zip(block.transactions.iter().zip(&*receipts)) {
            for (place, log) in (0_u32..).zip(receipt.logs()) {
                if self.wants(log) {
                    let row = EventRow { number, log_index, index, place };
                    found.push(FoundLog { header: header.clone(), row, log: log.clone(), hash: tx.hash() });
                }
                log_index = log_index.saturating_add(1);
            }
        }
        Ok(found)
    }
}

/// A scope's rows, newest first.
type Walk<I> = std::iter::Peekable<I>;

/// Takes the newest row of several scopes; what more than one has is taken from all of them.
fn newest<I>(walks: &mut [Walk<I>]) -> Option<Result<EventRow, ViewError>>
where
    I: Iterator<Item = Result<EventRow, ViewError>>,
{
    let mut best: Option<EventRow> = None;
    for walk in walks.iter_mut() {
        match walk.peek() {
            Some(Err(_)) => return walk.next(),
            Some(Ok(row)) => best = best.max(Some(*row)),
            None => {}
        }
    }
    let best = best?;
    for walk in walks.iter_mut() {
        walk.next_if(|row| row.as_ref().is_ok_and(|row| *row == best));
    }
    Some(Ok(best))
}
