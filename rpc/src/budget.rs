//! A budget of bytes: what all clients together may have lying in memory, of requests that are not answered and of answers that are not
//! read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::RpcLimits;

/// The budget.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    most: usize,
}

impl Budget {
    /// Makes a budget of so many bytes.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), most })
    }

    /// Returns a share of nothing, which can grow.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }

    /// Takes bytes, where there are so many left.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let mut share = self.share();
        share.grow(bytes).then_some(share)
    }
}

/// Bytes that wait: of all requests that are not answered, and of all answers that are not read.
#[derive(Clone)]
pub(crate) struct Budgets {
    pub(crate) requests: Arc<Budget>,
    pub(crate) answers: Arc<Budget>,
}

impl Budgets {
    /// Makes the budgets that the limits give.
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        let (requests, answers) = (limits.pending_request_bytes, limits.pending_answer_bytes);
        Self { requests: Budget::new(requests), answers: Budget::new(answers) }
    }
}

/// A part of the budget, which is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// Takes more bytes; tells whether there were so many left. Where not, nothing changes.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let most = self.budget.most;
        let add = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= most);
        let taken = self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        if taken {
            self.bytes += bytes;
        }
        taken
    }
}

impl Share {
    /// Holds so many bytes from now on; tells whether there were so many left. Where not, nothing changes.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            return self.grow(more);
        }
        self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes that count as long as somebody holds them.
pub(crate) struct Held {
    pub(crate) bytes: Vec<u8>,
    pub(crate) _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = Budget::new(10);
        let mut first = budget.take(6).unwrap();
        assert!(budget.take(5).is_none());
        assert!(!first.grow(5) && first.grow(4));
        assert!(budget.take(1).is_none());
        assert!(!first.grow(usize::MAX));
        assert!(first.resize(3) && budget.take(8).is_none() && budget.take(7).is_some());
        assert!(!first.resize(11) && first.resize(10) && budget.take(1).is_none());
        drop(first);
        let held = Held { bytes: vec![1], _share: budget.take(10).unwrap() };
        assert!(budget.take(1).is_none());
        assert_eq!(held.as_ref(), [1]);
        drop(held);
        assert!(budget.take(10).is_some());
    }
}
