//! Ethash, the proof of work of Ethereum's own history, verified with the light cache (Yellow Paper, appendix J). It is never
//! searched here.

mod cache;
mod hashimoto;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{B256, U256};

use crate::block::Header;
use crate::seal::{SealError, seal_hash};

pub use cache::{EPOCH_BLOCKS, EPOCHS_MAX, LightCache, cache_bytes, dataset_bytes, seed_hash};
pub use hashimoto::{Work, work};

/// How many epochs' caches are kept, of 16 MiB and more each: a chain passes from one epoch to the next once.
const CACHES_MAX: usize = 2;

/// Keeps the light caches of the epochs that were verified last; clones share them.
#[derive(Clone, Debug, Default)]
pub struct LightCaches(Arc<Mutex<VecDeque<Arc<LightCache>>>>);

impl LightCaches {
    /// Returns the cache of an epoch, computed (about half a second for the first epochs) where it is not kept. Who asks for the
    /// same epoch meanwhile waits for it.
    ///
    /// # Errors
    /// The epoch is beyond [`EPOCHS_MAX`].
    fn of_epoch(&self, epoch: u64) -> Result<Arc<LightCache>, SealError> {
        // A panic while the lock was held left whole caches behind.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cache) = kept.iter().find(|cache| cache.epoch() == epoch) {
            return Ok(cache.clone());
        }
        let cache = Arc::new(LightCache::new(epoch).ok_or(SealError::Epoch { epoch })?);
        kept.truncate(CACHES_MAX - 1);
        kept.push_front(cache.clone());
        Ok(cache)
    }

    /// Verifies nonce and mix hash of `header` against its difficulty.
    ///
    /// # Errors
    /// What is wrong with the seal.
    pub fn verify(&self, header: &Header) -> Result<(), SealError> {
        let target = target(header.difficulty).ok_or(SealError::ZeroDifficulty)?;
        let cache = self.of_epoch(header.number / EPOCH_BLOCKS)?;
        let Work { mix_hash, result } = work(&cache, seal_hash(header), header.nonce);
        if mix_hash != header.mix_hash {
            return Err(SealError::MixHash { expected: mix_hash, actual: header.mix_hash });
        }
        if U256::from_be_bytes(result.0) > target {
            return Err(SealError::Work { digest: result, target: B256::from(target) });
        }
        Ok(())
    }
}

/// Returns 2^256 / difficulty, the greatest result that meets it; `None` for 0.
fn target(difficulty: U256) -> Option<U256> {
    let quotient = U256::MAX.checked_div(difficulty)?;
    // 2^256 is one more than the greatest number: a power of two divides it without rest.
    let divides = U256::MAX % difficulty == difficulty - U256::ONE;
    Some(if divides { quotient.saturating_add(U256::ONE) } else { quotient })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_divide_two_to_the_256th() {
        for (difficulty, expected) in [
            (U256::ZERO, None),
            (U256::ONE, Some(U256::MAX)),
            (U256::from(2), Some(U256::ONE << 255)),
            (U256::from(3), Some(U256::MAX / U256::from(3))),
            (U256::from(131_072), Some(U256::ONE << 239)),
        ] {
            assert_eq!(target(difficulty), expected, "{difficulty}");
        }
    }

    #[test]
    fn caches_are_shared_and_bounded() {
        let caches = LightCaches::default();
        let others = caches.clone();
        assert!(Arc::ptr_eq(&caches.of_epoch(0).unwrap(), &others.of_epoch(0).unwrap()));
        assert_eq!(caches.of_epoch(EPOCHS_MAX).unwrap_err(), SealError::Epoch { epoch: EPOCHS_MAX });
        for epoch in [1, 2] {
            caches.of_epoch(epoch).unwrap();
        }
        let kept: Vec<_> = caches.0.lock().unwrap().iter().map(|cache| cache.epoch()).collect();
        assert_eq!(kept, [2, 1]);
    }
}
