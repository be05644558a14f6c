//! Compact blocks that wait: for their parent, or for their time. Bounded in bytes, in all and per peer; each has a valid seal.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::B256;

use super::event::PeerId;
use super::limits::{ORPHAN_BYTES_MAX, ORPHAN_BYTES_PER_PEER, ORPHAN_MS};
use crate::message::CompactBlock;

/// A block that waits.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) peer: PeerId,
    pub(crate) block: Box<CompactBlock>,
    /// Milliseconds since 1970 from which on its timestamp is not too far ahead; 0: it waits for its parent only.
    pub(crate) due_at: u64,
    bytes: usize,
    since_ms: u64,
}

/// Holds the blocks that wait.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    by_hash: BTreeMap<B256, Orphan>,
    by_parent: BTreeMap<B256, Vec<B256>>,
    order: VecDeque<B256>,
    by_peer: BTreeMap<PeerId, usize>,
    bytes: usize,
}

/// Returns about how many bytes a compact block takes.
fn size(block: &CompactBlock) -> usize {
    /// A header with its indexes here.
    const FIXED: usize = 1200;
    FIXED + block.transactions.len() * 32
}

impl Orphans {
    /// Keeps a block and tells whether there is room for it in its sender's share. The oldest leave where there is none in all.
    pub(crate) fn keep(
        &mut self,
        hash: B256,
        peer: PeerId,
        block: Box<CompactBlock>,
        due_at: u64,
        now_ms: u64,
    ) -> bool {
        let bytes = size(&block);
        let share = self.by_peer.get(&peer).copied().unwrap_or(0);
        if self.by_hash.contains_key(&hash) {
            return true;
        }
        if share + bytes > ORPHAN_BYTES_PER_PEER {
            return false;
        }
        self.by_parent.entry(block.header.parent_hash).or_default().push(hash);
        self.by_hash.insert(hash, Orphan { peer, block, due_at, bytes, since_ms: now_ms });
        self.order.push_back(hash);
        *self.by_peer.entry(peer).or_default() += bytes;
        self.bytes += bytes;
        while self.bytes > ORPHAN_BYTES_MAX {
            let Some(oldest) = self.order.front().copied() else { break };
            self.take(oldest);
        }
        true
    }

    fn take(&mut self, hash: B256) -> Option<Orphan> {
        let orphan = self.by_hash.remove(&hash)?;
        self.bytes = self.bytes.saturating_sub(orphan.bytes);
        self.order.retain(|known| *known != hash);
        let parent = orphan.block.header.parent_hash;
        if let Some(siblings) = self.by_parent.get_mut(&parent) {
            siblings.retain(|sibling| *sibling != hash);
            if siblings.is_empty() {
                self.by_parent.remove(&parent);
            }
        }
        if let Some(share) = self.by_peer.get_mut(&orphan.peer) {
            *share = share.saturating_sub(orphan.bytes);
            if *share == 0 {
                self.by_peer.remove(&orphan.peer);
            }
        }
        Some(orphan)
    }

    /// Takes the blocks whose parent has come.
    pub(crate) fn children(&mut self, parent: B256) -> Vec<Orphan> {
        let children = self.by_parent.get(&parent).cloned().unwrap_or_default();
        children.into_iter().filter_map(|hash| self.take(hash)).collect()
    }

    /// Takes the blocks whose time has come, and drops those that waited too long.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<Orphan> {
        let stale = |orphan: &Orphan| orphan.due_at == 0 && now_ms.saturating_sub(orphan.since_ms) > ORPHAN_MS;
        let due = |orphan: &Orphan| orphan.due_at > 0 && orphan.due_at <= now_ms;
        let (mut ready, mut old) = (Vec::new(), Vec::new());
        for (hash, orphan) in &self.by_hash {
            if due(orphan) {
                ready.push(*hash);
            } else if stale(orphan) {
                old.push(*hash);
            }
        }
        for hash in old {
            self.take(hash);
        }
        ready.into_iter().filter_map(|hash| self.take(hash)).collect()
    }

    /// Drops what a peer has sent.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        let of_peer = self.by_hash.iter().filter(|(_, orphan)| orphan.peer == peer);
        let of_peer: Vec<_> = of_peer.map(|(hash, _)| *hash).collect();
        for hash in of_peer {
            self.take(hash);
        }
    }

    /// Returns how many bytes are held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use consensus::Header;

    use super::*;

    fn block(number: u64, hashes: usize) -> Box<CompactBlock> {
        let header = Header { number, parent_hash: B256::with_last_byte(1), ..Header::default() };
        Box::new(CompactBlock { header, witness: None, transactions: vec![B256::ZERO; hashes] })
    }

    fn hash(number: u64) -> B256 {
        B256::from(alloy_primitives::U256::from(number))
    }

    #[test]
    fn sixty_four_megabytes_of_orphans_leave_the_newest_four() {
        let mut orphans = Orphans::default();
        for number in 0..64u64 {
            // About a megabyte each, from as many peers.
            assert!(orphans.keep(hash(number), PeerId(number), block(number, 32_000), 0, 0));
            assert!(orphans.bytes() <= ORPHAN_BYTES_MAX);
        }
        let kept: Vec<_> =
            orphans.children(B256::with_last_byte(1)).iter().map(|orphan| orphan.block.header.number).collect();
        assert_eq!(kept, (60..64).collect::<Vec<_>>());
        assert_eq!((orphans.bytes(), orphans.by_peer.len(), orphans.order.len()), (0, 0, 0));
    }

    #[test]
    fn one_peer_has_its_share_only() {
        let mut orphans = Orphans::default();
        let kept = (0..8).filter(|number| orphans.keep(hash(*number), PeerId(1), block(*number, 32_000), 0, 0)).count();
        assert_eq!(kept, 1);
        assert!(orphans.keep(hash(9), PeerId(2), block(9, 32_000), 0, 0));
        orphans.forget(PeerId(1));
        assert_eq!(orphans.children(B256::with_last_byte(1)).len(), 1);
    }

    #[test]
    fn a_block_comes_back_when_its_time_has_come() {
        let mut orphans = Orphans::default();
        orphans.keep(hash(1), PeerId(1), block(1, 0), 5000, 0);
        orphans.keep(hash(2), PeerId(1), block(2, 0), 0, 0);
        assert_eq!(orphans.due(4999).len(), 0);
        assert_eq!(orphans.due(5000).len(), 1);
        // The other one's parent never came.
        assert_eq!((orphans.due(ORPHAN_MS + 1).len(), orphans.bytes()), (0, 0));
    }
}
