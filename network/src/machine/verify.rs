//! What the network checks of blocks before the ledger sees them: headers, alone and against their parents, and bodies. Nothing is
//! executed.

use alloy_primitives::B256;
use alloy_rlp::Decodable;
use chain::{ChainView, ViewError};
use consensus::{
    Block, BlockBody, ChainSpec, RecoveredBlock, SealedHeader, TransactionError, ValidationError, Witness, validation,
};
use rayon::prelude::*;

use crate::message::WitnessedHeader;

/// A header with its hash and what travels beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderEntry {
    /// The header.
    pub header: SealedHeader,
    /// The beneficiary's signature, where the chain names miners.
    pub witness: Option<Witness>,
}

/// Holds what a header is checked against: its parent, and the timestamp before that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The parent.
    pub parent: SealedHeader,
    /// The timestamp of the parent's own parent; absent where the parent is the genesis block.
    pub grandparent_timestamp: Option<u64>,
}

impl Anchor {
    /// Reads what the children of a known block are checked against; `None` where it is unknown.
    ///
    /// # Errors
    /// Our own store failed.
    pub fn read(view: &ChainView, parent: SealedHeader) -> Result<Option<Self>, ViewError> {
        if parent.number == 0 {
            return Ok(Some(Self { parent, grandparent_timestamp: None }));
        }
        let grandparent = view.header_by_hash(parent.parent_hash)?;
        Ok(grandparent.map(|grandparent| Self { parent, grandparent_timestamp: Some(grandparent.timestamp) }))
    }

    /// Returns what the children of `child` are checked against, which is the parent's own child.
    fn advance(&self, child: SealedHeader) -> Self {
        Self { grandparent_timestamp: Some(self.parent.timestamp), parent: child }
    }
}

/// Says which header of a batch breaks which rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("header {number}: {problem}")]
pub struct HeaderFault {
    /// The header's number, as it says.
    pub number: u64,
    /// The rule that it breaks.
    pub problem: String,
}

/// Validates one header alone: fields, seal and witness. A witness that the chain does not ask for is refused, since it would
/// give one block several messages.
///
/// # Errors
/// The first rule that is broken.
pub fn header_alone(spec: &ChainSpec, entry: &HeaderEntry) -> Result<(), String> {
    let text = |error: ValidationError| error.to_string();
    if spec.pow.authorized_miners.is_empty() && entry.witness.is_some() {
        return Err("a witness, which this chain does not ask for".to_owned());
    }
    let (header, witness) = (entry.header.clone(), entry.witness);
    let bare = RecoveredBlock { header, transactions: Vec::new(), ommers: Vec::new(), withdrawals: None, witness };
    validation::validate_header_alone(spec, &bare).map_err(text)
}

/// Validates a header against its parent.
///
/// # Errors
/// The first rule that is broken.
pub fn header_against(spec: &ChainSpec, entry: &HeaderEntry, anchor: &Anchor) -> Result<(), String> {
    validation::validate_header_against_parent(spec, &entry.header, &anchor.parent, anchor.grandparent_timestamp)
        .map_err(|error| error.to_string())
}

/// Validates headers that follow one another from `anchor` on: each alone, in parallel, and against its parent. The first one is validated
/// before anything is made of the others: who has done no work makes us do none.
///
/// # Errors
/// The first header that breaks a rule.
pub fn headers(
    spec: &ChainSpec,
    anchor: &Anchor,
    mut headers: Vec<WitnessedHeader>,
) -> Result<Vec<HeaderEntry>, HeaderFault> {
    let rest = headers.split_off(headers.len().min(1));
    let mut entries: Vec<HeaderEntry> = linked(anchor, headers)?;
    let mut at = anchor.clone();
    for entry in &entries {
        header_against(spec, entry, &at).and_then(|()| header_alone(spec, entry)).map_err(|it| fault(entry, it))?;
        at = at.advance(entry.header.clone());
    }
    let rest = linked(&at, rest)?;
    for entry in &rest {
        header_against(spec, entry, &at).map_err(|it| fault(entry, it))?;
        at = at.advance(entry.header.clone());
    }
    let broken = rest.par_iter().find_map_first(|entry| header_alone(spec, entry).map_err(|it| fault(entry, it)).err());
    entries.extend(rest);
    broken.map_or(Ok(entries), Err)
}

/// Takes headers that were verified before, which their hashes show: they follow one another from `anchor` on to `last`.
///
/// # Errors
/// They are others.
pub fn headers_again(
    anchor: &Anchor,
    headers: Vec<WitnessedHeader>,
    last: B256,
) -> Result<Vec<HeaderEntry>, HeaderFault> {
    let entries = linked(anchor, headers)?;
    match entries.last() {
        Some(entry) if entry.header.hash() != last => Err(fault(entry, "is not the one that was verified".to_owned())),
        _ => Ok(entries),
    }
}

/// Hashes headers, in parallel, and checks that they follow one another from `anchor` on. That costs nothing, and nobody is made to recover
/// signatures of what does not hang together.
fn linked(anchor: &Anchor, headers: Vec<WitnessedHeader>) -> Result<Vec<HeaderEntry>, HeaderFault> {
    let entry =
        |header: WitnessedHeader| HeaderEntry { header: SealedHeader::new(header.header), witness: header.witness };
    let entries: Vec<HeaderEntry> = headers.into_par_iter().map(entry).collect();
    let mut parent_hash = anchor.parent.hash();
    for entry in &entries {
        if entry.header.parent_hash != parent_hash {
            return Err(fault(entry, "does not follow the header before it".to_owned()));
        }
        parent_hash = entry.header.hash();
    }
    Ok(entries)
}

fn fault(entry: &HeaderEntry, problem: String) -> HeaderFault {
    HeaderFault { number: entry.header.number, problem }
}

/// Validates a body against its header and recovers the senders by the rules of its fork, in parallel.
///
/// # Errors
/// The first rule that is broken, or a transaction whose signature gives no sender.
pub fn block(
    spec: &ChainSpec,
    entry: HeaderEntry,
    body: BlockBody,
    parent_timestamp: u64,
) -> Result<RecoveredBlock, String> {
    validation::validate_body(spec, &entry.header, &body, parent_timestamp).map_err(|error| error.to_string())?;
    let block = Block { header: entry.header.into_header(), body };
    RecoveredBlock::recover_by(spec, block, entry.witness).map_err(|error: TransactionError| error.to_string())
}

/// Decodes a body of at most [`crate::message::limits::BLOCK_TRANSACTIONS_MAX`] transactions, strictly.
///
/// # Errors
/// Malformed RLP, another encoding than the one that a body has, or too many transactions.
pub fn decode_body(bytes: &[u8]) -> Result<BlockBody, String> {
    use crate::message::limits::BLOCK_TRANSACTIONS_MAX;
    let list = rlp::Rlp::new(bytes);
    let transactions = list.at(0).and_then(|list| list.item_count()).map_err(|error| error.to_string())?;
    if transactions > BLOCK_TRANSACTIONS_MAX {
        return Err(format!("{transactions} transactions, at most {BLOCK_TRANSACTIONS_MAX}"));
    }
    let mut rest = bytes;
    let body = BlockBody::decode(&mut rest).map_err(|error| error.to_string())?;
    // The decoder alone would take a typed transaction whose length prefix is wrong.
    if !rest.is_empty() || alloy_rlp::encode(&body) != bytes {
        return Err("not the encoding of a body".to_owned());
    }
    Ok(body)
}
