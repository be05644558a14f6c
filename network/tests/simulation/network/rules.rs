//! What must hold at every moment: one chain of final blocks, no honest node blamed by another, no alarm without an attack.

use network::machine::{Alarm, Offence};

use super::Simulation;
use crate::plan::Attack;

impl Simulation {
    /// Compares what nodes take for final: it must be one chain, at every moment.
    pub(super) fn on_head(&mut self, node: usize) {
        let simulated = &self.nodes[node];
        let Some(running) = simulated.running.as_ref().filter(|_| simulated.role.is_honest) else { return };
        let view = running.ledger.view();
        let (number, hash) = (view.head().number, view.head().hash());
        let at_us = self.at_us;
        self.trace.add(at_us, node, || format!("head {number} {hash}"));
        for number in self.finalized_up_to[node].max(1)..=view.finalized_number() {
            let hash = view.canonical_hash(number).unwrap().unwrap();
            let first = *self.finalized.entry(number).or_insert(hash);
            if first != hash {
                self.violations.push(format!("node {node} finalized {hash} as block {number}, another node {first}"));
            }
        }
        self.finalized_up_to[node] = self.finalized_up_to[node].max(view.finalized_number());
    }

    pub(super) fn on_alarm(&mut self, node: usize, alarm: &Alarm) {
        let at_us = self.at_us;
        self.trace.add(at_us, node, || format!("alarm: {alarm}"));
        let expected = self.plan.attack == Attack::Withheld || !self.nodes[node].role.is_honest;
        match alarm {
            Alarm::BelowFinalized { .. } if expected => {
                self.counts.alarms += u64::from(self.nodes[node].role.is_honest)
            }
            Alarm::BelowFinalized { .. } => self.violations.push(format!("node {node}: {alarm}")),
            // A node without a snapshot executes the chain, and is judged like the others.
            Alarm::ClockOff { .. } | Alarm::SnapshotFailed(_) => {}
        }
    }

    /// An honest node that is blamed by an honest one for what is invalid would be a fault of the machine.
    pub(super) fn on_punish(&mut self, node: usize, other: usize, offence: Offence, detail: &str, points: u32) {
        let at_us = self.at_us;
        self.trace.add(at_us, node, || format!("blames {other}: {offence:?} {points} {detail}"));
        if self.nodes[node].role.is_honest && self.nodes[other].role.is_honest && offence != Offence::FalseClaim {
            self.violations.push(format!("node {node} blames node {other}: {offence:?}: {detail}"));
        }
    }
}
