//! An attacker with a listed key that has much hash power for a moment, twice. First it leaves the chain above the finalized block and
//! comes back with a branch of more work and fewer blocks: difficulty follows the time between blocks, and those of the branch come fast.
//! Every node takes it, and its head moves down. Then it leaves below the finalized block, where a node that counted finality from
//! its present head would see nothing final any more. No node may take that one.

use alloy_primitives::U256;
use chain::{AfterRewind, RewindTarget};

use super::{Happening, Simulation};

/// The attacker's hash rate in a sprint, where that of all honest nodes is 1.
const SPRINT_RATE: f64 = 40.0;
/// The attacker's hash rate between the sprints, so that the difficulty comes down again.
const REST_RATE: f64 = 1.0;
/// A first sprint leaves the chain this far above the finalized block, so that it has not become final at the end.
const MARGIN_BLOCKS: u64 = 4;
/// A first sprint begins when so many blocks are final.
const FINAL_MIN: u64 = 4;
/// How long an attacker waits for the next chance, in microseconds.
const WAIT_US: u64 = 2_000_000;

/// Where the attacker stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sprints {
    /// The block on which the branch stands that is being mined; `None`: none is.
    pub(super) from: Option<u64>,
    /// How many branches were shown.
    pub(crate) shown: u64,
}

impl Simulation {
    /// Leaves the chain where there is a chance, or waits for one.
    pub(super) fn sprint(&mut self) {
        let attacker = self.plan.honest;
        let Some(from) = self.leaving_point() else {
            self.schedule(self.at_us + WAIT_US, Happening::Sprint);
            return;
        };
        self.sprints.from = Some(from);
        for other in self.neighbours(attacker) {
            self.disconnect(attacker, other, 0);
        }
        self.nodes[attacker].role.hash_rate = SPRINT_RATE;
        self.go_back(from);
    }

    /// Returns the block on which the attacker's next branch stands, when all nodes have one head.
    fn leaving_point(&self) -> Option<u64> {
        let views = self.nodes.iter().map(|node| Some(node.running.as_ref()?.ledger.view()));
        let views = views.collect::<Option<Vec<_>>>()?;
        let is_one = views.iter().all(|view| view.head().hash() == views[0].head().hash());
        let finalized = views[..self.plan.honest].iter().map(|view| view.finalized_number());
        let (least, most) = (finalized.clone().min()?, finalized.max()?);
        if !is_one {
            return None;
        }
        match self.sprints.shown {
            0 => (most >= FINAL_MIN).then_some(most + MARGIN_BLOCKS),
            _ => least.checked_sub(1),
        }
    }

    /// Shows the attacker's branch as soon as it has half as much work again as any honest one, so that a few more blocks do not make up
    /// for it; where the honest nodes have made final what the first branch leaves out, the attacker gives it up.
    pub(super) fn after_attackers_block(&mut self) {
        let Some(from) = self.sprints.from else { return };
        let attacker = self.plan.honest;
        let views = self.nodes.iter().filter_map(|node| Some(node.running.as_ref()?.ledger.view()));
        let views: Vec<_> = views.collect();
        let (honest, own) = views.split_at(views.len() - 1);
        let common =
            own[0].canonical_hash(from).unwrap().and_then(|hash| own[0].total_difficulty(hash).unwrap()).unwrap();
        let most = honest.iter().map(|view| view.head_td()).max().unwrap_or_default();
        if (own[0].head_td() - common) * U256::from(2) < most.saturating_sub(common) * U256::from(3) {
            return;
        }
        let (at_us, number) = (self.at_us, own[0].head().number);
        self.sprints.from = None;
        if self.sprints.shown == 0 && honest.iter().any(|view| view.finalized_number() + 1 >= from) {
            self.nodes[attacker].role.hash_rate = 0.0;
            self.go_back(from);
        } else {
            self.sprints.shown += 1;
            self.nodes[attacker].role.hash_rate = if self.sprints.shown == 1 { REST_RATE } else { 0.0 };
            self.trace.add(at_us, attacker, || format!("shows a branch from block {from} to {number}"));
        }
        if self.sprints.shown < 2 {
            self.schedule(at_us + WAIT_US, Happening::Sprint);
        }
    }

    /// Makes an earlier block the attacker's head.
    fn go_back(&mut self, to: u64) {
        let attacker = self.plan.honest;
        let now = self.nodes[attacker].clock_ms(self.at_us) / 1000;
        let Some(running) = &self.nodes[attacker].running else { return };
        running.ledger.rewind(RewindTarget::block(to), AfterRewind::ReturnTransactions, now).unwrap();
        let at_us = self.at_us;
        self.trace.add(at_us, attacker, || format!("goes back to block {to}"));
        self.tell_facts(attacker);
    }
}
