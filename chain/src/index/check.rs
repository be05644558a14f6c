//! Checking the index against the blocks that it covers.

use consensus::RecoveredBlock;
use evm_runtime::Receipt;
use storage::{Reader, StorageError, Table};

use super::{Coverage, rows_of};
use crate::records::{canonical_hash, number_of};

/// Compares the index with blocks, one after the other.
pub(crate) struct IndexCheck {
    /// The first and the last block that are covered; none: there is no index, or not of this chain, and the next build makes it anew.
    covered: Option<(u64, u64)>,
    addresses: u64,
    events: u64,
}

impl IndexCheck {
    /// Begins to check the index of a database.
    pub(crate) fn begin(reader: &dyn Reader) -> Result<Self, StorageError> {
        let covered = match Coverage::read(reader)? {
            Some(coverage) => number_of(reader, coverage.last)?.map(|last| (coverage, last)),
            None => None,
        };
        let covered = match covered {
            Some((coverage, last)) if canonical_hash(reader, last)? == Some(coverage.last) => {
                Some((coverage.first, last))
            }
            _ => None,
        };
        Ok(Self { covered, addresses: 0, events: 0 })
    }

    /// Checks the rows of a block; returns what is wrong.
    pub(crate) fn add(
        &mut self,
        reader: &dyn Reader,
        block: &RecoveredBlock,
        receipts: &[Receipt],
    ) -> Result<Option<String>, StorageError> {
        let number = block.number();
        if self.covered.is_none_or(|(first, last)| number < first || number > last) {
            return Ok(None);
        }
        let rows = rows_of(block, receipts);
        let (addresses, events) = rows.counts();
        self.addresses = self.addresses.saturating_add(addresses);
        self.events = self.events.saturating_add(events);
        let missing = rows.missing(reader)?;
        Ok((missing > 0).then(|| format!("block {number}: {missing} rows of the index are not as they should be")))
    }

    /// Ends the check: rows that belong to no block are wrong too.
    pub(crate) fn end(self, reader: &dyn Reader) -> Result<Vec<String>, StorageError> {
        let mut problems = Vec::new();
        if self.covered.is_some() {
            for (table, expected) in [(Table::AddressIndex, self.addresses), (Table::EventIndex, self.events)] {
                let mut found = 0_u64;
                for row in reader.iterate(table, &[]) {
                    row?;
                    found += 1;
                }
                if found != expected {
                    problems.push(format!("{}: {found} rows, the blocks have {expected}", table.name()));
                }
            }
        }
        Ok(problems)
    }
}
