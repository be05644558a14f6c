//! One file: what of it is on the disk for certain, and what was changed since.

use std::collections::BTreeSet;

use crate::random::Random;

use super::Loss;

/// Bytes that a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// Bytes that the operating system writes back together.
const PAGE_BYTES: usize = 4096;

#[derive(Clone, Debug, Default)]
pub(super) struct File {
    durable: Vec<u8>,
    /// Changes that no sync has covered yet, each with the number of its record.
    pending: Vec<(u64, Change)>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl File {
    pub(super) fn durable(content: Vec<u8>) -> Self {
        Self { durable: content, pending: Vec::new() }
    }

    pub(super) fn change(&mut self, number: u64, change: Change) {
        self.pending.push((number, change));
    }

    /// Makes the changes before record `covered` durable.
    pub(super) fn sync(&mut self, covered: u64) {
        let pending = std::mem::take(&mut self.pending);
        let (synced, later): (Vec<_>, Vec<_>) = pending.into_iter().partition(|(number, _)| *number < covered);
        synced.iter().for_each(|(_, change)| apply(&mut self.durable, change));
        self.pending = later;
    }

    /// Returns what may be left of the file when the power goes now.
    pub(super) fn survivor(&self, loss: Loss, random: &mut Random) -> Vec<u8> {
        match loss {
            Loss::Unsynced => self.durable.clone(),
            Loss::Tail => self.cut_in_time(random),
            Loss::Pages => self.scattered(PAGE_BYTES, random),
            Loss::Sectors => self.scattered(SECTOR_BYTES, random),
            Loss::Mixed => {
                let losses = [Loss::Unsynced, Loss::Tail, Loss::Pages, Loss::Sectors];
                self.survivor(losses[random.index(losses.len())], random)
            }
        }
    }

    /// The first changes are there, the next one is torn, the others are not.
    fn cut_in_time(&self, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        let kept = random.index(self.pending.len() + 1);
        self.pending[..kept].iter().for_each(|(_, change)| apply(&mut content, change));
        if let Some((_, Change::Write { offset, data })) = self.pending.get(kept) {
            // Torn where a sector ends.
            let end = (offset + random.index(data.len() + 1)) / SECTOR_BYTES * SECTOR_BYTES;
            let torn = data[..end.saturating_sub(*offset).min(data.len())].to_vec();
            apply(&mut content, &Change::Write { offset: *offset, data: torn });
        }
        content
    }

    /// Of the units that were written since the last sync any are there, in whatever order they were written.
    fn scattered(&self, unit: usize, random: &mut Random) -> Vec<u8> {
        let mut newest = self.durable.clone();
        let mut touched = BTreeSet::new();
        for (_, change) in &self.pending {
            apply(&mut newest, change);
            if let Change::Write { offset, data } = change {
                touched.extend(offset / unit..(offset + data.len()).div_ceil(unit));
            }
        }
        let odds = [1, 4, 7][random.index(3)];
        let (kept, lost): (Vec<_>, Vec<_>) = touched.into_iter().partition(|_| random.below(8) < odds);
        let mut content = newest.clone();
        for place in lost {
            let to = ((place + 1) * unit).min(content.len());
            let from = (place * unit).min(to);
            for (at, byte) in content[from..to].iter_mut().enumerate() {
                *byte = self.durable.get(from + at).copied().unwrap_or(0);
            }
        }
        // The length is a change of its own, which may have come before or after.
        let last_kept = kept.last().map_or(0, |place| (place + 1) * unit);
        let shorter = self.durable.len().max(last_kept).min(newest.len());
        let length = if random.below(2) == 0 { newest.len() } else { shorter };
        content.resize(length, 0);
        content
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => content.resize(*length, 0),
        Change::Write { data, .. } if data.is_empty() => {}
        Change::Write { offset, data } => {
            let end = offset + data.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset..end].copy_from_slice(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: usize, byte: u8, length: usize) -> Change {
        Change::Write { offset, data: vec![byte; length] }
    }

    const LOSSES: [Loss; 5] = [Loss::Unsynced, Loss::Tail, Loss::Pages, Loss::Sectors, Loss::Mixed];

    #[test]
    fn what_was_synced_is_always_there() {
        let mut file = File::default();
        file.change(0, write(0, 1, 10_000));
        file.change(1, write(10_000, 2, 10_000));
        file.sync(2);
        file.change(2, write(20_000, 3, 10_000));
        for seed in 0..200 {
            for loss in LOSSES {
                let left = file.survivor(loss, &mut Random::new(seed));
                assert!(left[..10_000].iter().all(|byte| *byte == 1), "{loss:?} {seed}");
                assert!(left[10_000..20_000].iter().all(|byte| *byte == 2), "{loss:?} {seed}");
                assert!(left[20_000..].iter().all(|byte| [0, 3].contains(byte)), "{loss:?} {seed}");
            }
        }
    }

    #[test]
    fn a_sync_covers_what_came_before_it_began() {
        let mut file = File::default();
        file.change(3, write(0, 1, 4));
        file.change(5, write(0, 2, 2));
        file.sync(5);
        assert_eq!(file.survivor(Loss::Unsynced, &mut Random::new(1)), [1, 1, 1, 1]);
        file.sync(6);
        assert_eq!(file.survivor(Loss::Unsynced, &mut Random::new(1)), [2, 2, 1, 1]);
    }

    #[test]
    fn unsynced_units_may_be_there_in_any_order_and_are_never_mixed_within() {
        let mut file = File::durable(vec![1; 4 * 512]);
        file.change(0, write(0, 2, 8 * 512));
        let mut seen = BTreeSet::new();
        for seed in 0..500 {
            let left = file.survivor(Loss::Sectors, &mut Random::new(seed));
            for (place, sector) in left.chunks(512).enumerate() {
                let old = if place < 4 { 1 } else { 0 };
                assert!(sector.iter().all(|byte| *byte == sector[0]) && [old, 2].contains(&sector[0]));
            }
            seen.insert(left.chunks(512).map(|sector| sector[0]).collect::<Vec<_>>());
        }
        assert!(seen.len() > 50, "{}", seen.len());
        assert!(seen.iter().any(|left| left.len() == 8 && left[..7].contains(&0)), "holes");
        assert!(seen.iter().any(|left| left.len() < 8), "shorter ones");
    }

    #[test]
    fn a_tail_is_cut_in_time() {
        let mut file = File::default();
        (0..4u8).for_each(|n| file.change(u64::from(n), write(usize::from(n) * 1000, n + 1, 1000)));
        let mut lengths = BTreeSet::new();
        for seed in 0..300 {
            let left = file.survivor(Loss::Tail, &mut Random::new(seed));
            for (at, byte) in left.iter().enumerate() {
                assert_eq!(usize::from(*byte), at / 1000 + 1);
            }
            assert!(left.len() % 1000 == 0 || left.len() % 512 == 0, "{}", left.len());
            lengths.insert(left.len());
        }
        assert!(lengths.len() > 6, "{lengths:?}");
    }
}
