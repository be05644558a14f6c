//! Ommers of Ethash blocks: headers of valid blocks that lost, named by a block up to seven generations later (Yellow Paper
//! 11.1).

use std::collections::BTreeSet;

use alloy_primitives::B256;

use crate::block::{Header, SealedHeader};

/// The most ommers of a block.
pub const OMMERS_MAX: usize = 2;
/// An ommer is at most this many generations older than the block that names it, so that its parent is among this many
/// ancestors and one more.
pub const DEPTH_MAX: usize = 6;
/// How many ancestors of a block decide which ommers it may name.
pub const ANCESTORS: usize = DEPTH_MAX + 1;

/// Says what is wrong with a block's ommers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OmmerError {
    /// More than two.
    #[error("ommers: at most {OMMERS_MAX}, body has {actual}")]
    TooMany {
        /// How many.
        actual: usize,
    },
    /// The ommer is named twice, here or by an ancestor.
    #[error("ommer {0}: named before")]
    Repeated(B256),
    /// The ommer is an ancestor of the block, or the block itself.
    #[error("ommer {0}: is an ancestor")]
    Ancestor(B256),
    /// The ommer's parent is not among the ancestors that count, or is the block's own parent.
    #[error("ommer {0}: its parent is no ancestor, or too old, or the block's own parent")]
    Dangling(B256),
}

/// Holds an ancestor and the ommers that it names.
#[derive(Clone, Debug)]
pub struct Ancestor {
    /// The ancestor's header.
    pub header: SealedHeader,
    /// The hashes of its ommers.
    pub ommers: Vec<B256>,
}

/// Returns each ommer of a block with its parent, among `ancestors`: the block's parent first, then that one's parent, up
/// to [`ANCESTORS`] of them.
///
/// The ommers' own headers are still to be validated against these parents.
///
/// # Errors
/// There are too many, or one is repeated, an ancestor, or of no known parent.
pub fn with_parents<'a>(
    block: &SealedHeader,
    ommers: &[Header],
    ancestors: &'a [Ancestor],
) -> Result<Vec<(SealedHeader, &'a SealedHeader)>, OmmerError> {
    if ommers.len() > OMMERS_MAX {
        return Err(OmmerError::TooMany { actual: ommers.len() });
    }
    let ancestors = &ancestors[..ancestors.len().min(ANCESTORS)];
    let mut named: BTreeSet<B256> = ancestors.iter().flat_map(|ancestor| ancestor.ommers.iter().copied()).collect();
    let mut found = Vec::with_capacity(ommers.len());
    for ommer in ommers {
        let ommer = SealedHeader::new(ommer.clone());
        let hash = ommer.hash();
        if !named.insert(hash) {
            return Err(OmmerError::Repeated(hash));
        }
        if hash == block.hash() || ancestors.iter().any(|ancestor| ancestor.header.hash() == hash) {
            return Err(OmmerError::Ancestor(hash));
        }
        // A brother of the block has lost to nothing that the block builds on.
        let older = ancestors.iter().skip(1);
        let parent = older.map(|ancestor| &ancestor.header).find(|header| header.hash() == ommer.parent_hash);
        found.push((ommer, parent.ok_or(OmmerError::Dangling(hash))?));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nine blocks, the newest first, and the block on top of them.
    fn chain() -> (SealedHeader, Vec<Ancestor>) {
        let mut headers = vec![SealedHeader::new(Header::default())];
        for number in 1..10 {
            let parent_hash = headers[0].hash();
            headers.insert(0, SealedHeader::new(Header { number, parent_hash, ..Header::default() }));
        }
        let block = headers.remove(0);
        (block, headers.into_iter().map(|header| Ancestor { header, ommers: Vec::new() }).collect())
    }

    /// A brother of the ancestor `depth` generations above the block.
    fn ommer(ancestors: &[Ancestor], depth: usize) -> Header {
        let mut header = ancestors[depth - 1].header.clone().into_header();
        header.gas_limit = 7;
        header
    }

    #[test]
    fn ommers_of_six_generations_have_their_parent() {
        let (block, ancestors) = chain();
        for depth in 1..=DEPTH_MAX {
            let found = with_parents(&block, &[ommer(&ancestors, depth)], &ancestors).unwrap();
            assert_eq!(found[0].1, &ancestors[depth].header, "depth {depth}");
        }
        let older = ommer(&ancestors, DEPTH_MAX + 1);
        let hash = older.hash_slow();
        assert_eq!(with_parents(&block, &[older], &ancestors).unwrap_err(), OmmerError::Dangling(hash));
    }

    #[test]
    fn brothers_ancestors_and_repetitions_are_refused() {
        let (block, mut ancestors) = chain();
        let refused = |ommers: &[Header], ancestors: &[Ancestor]| with_parents(&block, ommers, ancestors).unwrap_err();
        let brother = Header { gas_limit: 7, ..block.clone().into_header() };
        assert_eq!(refused(std::slice::from_ref(&brother), &ancestors), OmmerError::Dangling(brother.hash_slow()));
        let ancestor = ancestors[2].header.clone();
        assert_eq!(refused(&[ancestor.clone().into_header()], &ancestors), OmmerError::Ancestor(ancestor.hash()));
        let one = ommer(&ancestors, 2);
        assert_eq!(refused(&[one.clone(), one.clone()], &ancestors), OmmerError::Repeated(one.hash_slow()));
        let many = [ommer(&ancestors, 1), ommer(&ancestors, 2), ommer(&ancestors, 3)];
        assert_eq!(refused(&many, &ancestors), OmmerError::TooMany { actual: 3 });
        ancestors[0].ommers = vec![one.hash_slow()];
        assert_eq!(refused(std::slice::from_ref(&one), &ancestors), OmmerError::Repeated(one.hash_slow()));
    }
}
