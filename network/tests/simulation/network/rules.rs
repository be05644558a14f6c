//! What must hold at every moment: one chain of final blocks, no honest node blamed by another, no alarm without an attack.

use network::machine::{Alarm, Offence};

use super::Simulation;
use crate::plan::Attack;

impl Simulation {
    /// Compares what nodes take for final: it must be one chain, at every moment and down to its beginning, and on no node may it go
    /// back, not by a reorganisation and not by a restart.
    pub(super) fn compare_finalized(&mut self) {
        for node in 0..self.plan.honest {
            let Some(running) = &self.nodes[node].running else { continue };
            let view = running.ledger.view();
            let (head, finalized) = (view.head().hash(), view.finalized_number());
            let (last_head, before) = std::mem::replace(&mut self.looked_at[node], (head, finalized));
            if finalized < before {
                self.violations.push(format!("node {node}: block {before} was final, now it is block {finalized}"));
            }
            if (last_head, before) == (head, finalized) {
                continue;
            }
            for number in 1..=finalized {
                let hash = view.canonical_hash(number).unwrap().unwrap();
                let first = *self.finalized.entry(number).or_insert(hash);
                if first != hash {
                    let problem = format!("node {node} calls {hash} final as block {number}, another node {first}");
                    self.violations.push(problem);
                }
            }
        }
    }

    pub(super) fn on_head(&mut self, node: usize) {
        self.schedule_mining(node);
        let simulated = &self.nodes[node];
        let Some(running) = simulated.running.as_ref().filter(|_| simulated.role.is_honest) else { return };
        let view = running.ledger.view();
        let (number, hash) = (view.head().number, view.head().hash());
        let at_us = self.at_us;
        self.trace.add(at_us, node, || format!("head {number} {hash}"));
    }

    pub(super) fn on_alarm(&mut self, node: usize, alarm: &Alarm) {
        let at_us = self.at_us;
        self.trace.add(at_us, node, || format!("alarm: {alarm}"));
        let expected = match self.plan.attack {
            Attack::Withheld => true,
            // The second branch is the one to refuse.
            Attack::Sprints => self.sprints.shown == 2,
            Attack::None | Attack::WithoutKey => false,
        };
        let expected = expected || !self.nodes[node].role.is_honest;
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
