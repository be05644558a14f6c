//! The transactions in which an address takes part, page by page through the chain.
//!
//! An index (`--index`) and the account's history name the blocks to look at. Without an index most blocks are passed over by what is
//! known of them: the account's history says whether the block changed it, the bloom whether it may have emitted logs, the transactions
//! who sent and got them. Only blocks that one of these points to are replayed. Thus a contract that another one merely reads from is
//! not found in that transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_consensus::{EMPTY_ROOT_HASH, Transaction as _};
use alloy_primitives::{Address, BloomInput, keccak256};
use chain::ChainView;
use chain::index::IndexReader;
use consensus::RecoveredBlock;
use evm_runtime::{StateView, trace};
use serde::Serialize;
use serde_json::{Value, json};

use super::blocks;
use crate::api::{Answer, Api, reply};
use crate::deadline::Deadline;
use crate::debug::mined::Mined;
use crate::errors::RpcError;
use crate::params::{Call, Quantity};

/// The most transactions of a page, beside those of its last block.
const PAGE_MAX: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    /// The newest first.
    txs: Vec<Value>,
    receipts: Vec<Value>,
    /// Whether nothing newer follows.
    first_page: bool,
    /// Whether nothing older follows.
    last_page: bool,
}

/// Which way a search goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Towards {
    Older,
    Newer,
}

pub(crate) fn before(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    search(api, call, Towards::Older)
}

pub(crate) fn after(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    search(api, call, Towards::Newer)
}

/// Searches from a block that itself is not looked at any more; 0 begins at the end of the chain that the search comes from.
fn search(api: &Arc<Api>, call: &mut Call<'_>, towards: Towards) -> Answer {
    let (address, Quantity(from), Quantity(size)) = (call.required()?, call.required()?, call.required()?);
    let size = usize::try_from(size).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let view = api.view();
    let deadline = api.deadline(api.limits.trace_timeout);
    let mut found = Search {
        api,
        view: &view,
        state: view.head_state(),
        address,
        towards,
        deadline: &deadline,
        index: view.index()?,
        txs: Vec::new(),
        receipts: Vec::new(),
    };
    let head = view.head().number;
    let first = match towards {
        Towards::Older if from == 0 => Some(head),
        Towards::Older => from.checked_sub(1).map(|newest| newest.min(head)),
        Towards::Newer => from.checked_add(1).filter(|oldest| *oldest <= head),
    };
    let is_whole = found.walk(first, size)?;
    let (mut txs, mut receipts) = (found.txs, found.receipts);
    if towards == Towards::Newer {
        txs.reverse();
        receipts.reverse();
    }
    let (first_page, last_page) = match towards {
        Towards::Older => (from == 0, is_whole),
        Towards::Newer => (is_whole, from == 0),
    };
    reply(&Page { txs, receipts, first_page, last_page })
}

struct Search<'a> {
    api: &'a Arc<Api>,
    view: &'a Arc<ChainView>,
    state: StateView,
    address: Address,
    towards: Towards,
    deadline: &'a Deadline,
    index: Option<IndexReader>,
    txs: Vec<Value>,
    receipts: Vec<Value>,
}

impl Search<'_> {
    /// Looks at blocks from `first` on until the page is full or the time is up; tells whether all of them were looked at.
    fn walk(&mut self, first: Option<u64>, size: usize) -> Result<bool, RpcError> {
        let mut next = first;
        while let Some(at) = next {
            let Some(number) = self.candidate(at)? else { break };
            next = self.beyond(number);
            if self.txs.len() >= size {
                return Ok(false);
            }
            if self.deadline.has_passed() {
                // The explorer goes on from the last transaction that it has.
                return if self.txs.is_empty() { Err(RpcError::timed_out()) } else { Ok(false) };
            }
            self.look_at(number)?;
        }
        Ok(true)
    }

    /// Returns the block after `number` in the search's direction.
    fn beyond(&self, number: u64) -> Option<u64> {
        match self.towards {
            Towards::Older => number.checked_sub(1),
            Towards::Newer => number.checked_add(1).filter(|next| *next <= self.view.head().number),
        }
    }

    /// Returns the nearest block from `at` on that is worth looking at: by the index one in which the address takes part or that changed
    /// its account; without an index any but the genesis block.
    fn candidate(&self, at: u64) -> Result<Option<u64>, RpcError> {
        let Some(index) = self.index.as_ref().filter(|index| index.first <= 1) else {
            return Ok((at > 0).then_some(at));
        };
        let account = keccak256(self.address);
        let known = match self.towards {
            Towards::Older => index.block_before(self.address, at)?.max(self.state.previous_change(account, at)?),
            Towards::Newer => {
                let (named, changed) = (index.block_after(self.address, at)?, self.state.next_change(account, at)?);
                named.into_iter().chain(changed).min()
            }
        };
        Ok(known.filter(|number| (1..=self.view.head().number).contains(number)))
    }

    fn look_at(&mut self, number: u64) -> Result<(), RpcError> {
        let Some(header) = self.view.header_by_number(number)? else { return Ok(()) };
        if header.transactions_root == EMPTY_ROOT_HASH {
            return Ok(());
        }
        let Some(block) = self.view.block_by_number(number)? else { return Ok(()) };
        let direct = |tx: &consensus::RecoveredTransaction| {
            let to = tx.to().unwrap_or_else(|| tx.sender().create(tx.nonce()));
            tx.sender() == self.address || to == self.address
        };
        let is_direct: Vec<bool> = block.transactions.iter().map(direct).collect();
        let may_be_inside = header.logs_bloom.contains_input(BloomInput::Raw(self.address.as_slice()))
            || self.state.next_change(keccak256(self.address), number)? == Some(number);
        if !may_be_inside && !is_direct.contains(&true) {
            return Ok(());
        }
        let mut indexes: BTreeSet<usize> = (0..is_direct.len()).filter(|index| is_direct[*index]).collect();
        if may_be_inside && indexes.len() < is_direct.len() {
            indexes.extend(self.inside(&block)?);
        }
        match self.towards {
            Towards::Older => self.take(&block, indexes.into_iter().rev()),
            Towards::Newer => self.take(&block, indexes.into_iter()),
        }
    }

    /// Returns the indexes of the transactions inside which the address takes part.
    fn inside(&self, block: &Arc<RecoveredBlock>) -> Result<Vec<usize>, RpcError> {
        let mined = Mined::new(Arc::clone(self.view), Arc::clone(block))?;
        let count = block.transactions.len();
        let traces =
            mined.replay_until(self.api, self.deadline, |context| trace::transaction_traces(context, 0..count))?;
        let taking_part = traces.iter().filter(|trace| trace::callers_and_callees(trace).contains(&self.address));
        Ok(taking_part.filter_map(|trace| usize::try_from(trace.transaction_position?).ok()).collect())
    }

    fn take(&mut self, block: &RecoveredBlock, indexes: impl Iterator<Item = usize>) -> Result<(), RpcError> {
        let receipts = self.view.receipts(block.hash())?.unwrap_or_default();
        for index in indexes {
            let mut receipt = blocks::bare_receipt(block, &receipts, index)?;
            receipt["timestamp"] = json!(alloy_primitives::U64::from(block.header.timestamp));
            self.txs.push(blocks::transaction(block, index)?);
            self.receipts.push(receipt);
        }
        Ok(())
    }
}
