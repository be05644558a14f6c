//! What nodes do by themselves: ticks, imports and jobs, mining, and what their users send.

use network::machine::{Event, TICK_MS};

use super::{Happening, Simulation, Work};
use crate::plan::{BLOCK_US, HEAL_US, between, exponential};
use crate::world::{USERS, hardness, transaction};

impl Simulation {
    pub(super) fn tick(&mut self, node: usize, life: u64, is_regular: bool) {
        if !self.is_alive(node, life) {
            return;
        }
        if is_regular {
            self.schedule(self.at_us + TICK_MS * 1000, Happening::Tick { node, life, is_regular });
        }
        self.tell(node, Event::Tick);
    }

    pub(super) fn work(&mut self, node: usize, life: u64, work: Work) {
        if !self.is_alive(node, life) {
            return;
        }
        let now = self.nodes[node].clock_ms(self.at_us) / 1000;
        let Some(running) = &self.nodes[node].running else { return };
        let event = match work {
            Work::Import(block) => {
                let hash = block.hash();
                let result = running.ledger.import(*block, now);
                Event::Imported { hash, result }
            }
            Work::Adopt(snapshot) => {
                let result = running.ledger.adopt(*snapshot, now);
                self.counts.snapshots += u64::from(result.is_ok());
                Event::Adopted(result)
            }
            Work::Job(job) => Event::JobDone(Box::new(job.run(&running.ledger, now))),
        };
        self.tell_facts(node);
        self.tell(node, event);
    }

    pub(super) fn mine(&mut self, node: usize, search: u64) {
        if self.nodes[node].search != search || self.nodes[node].running.is_none() {
            return;
        }
        if let Some(block) = self.nodes[node].mine(self.at_us) {
            let at_us = self.at_us;
            self.trace.add(at_us, node, || format!("mined {} {}", block.number(), block.hash()));
            if self.nodes[node].role.is_honest {
                self.counts.blocks_mined += 1;
            } else {
                self.counts.blocks_of_attacker += 1;
                self.attacker_blocks.push(block.hash());
                self.after_attackers_block();
            }
        }
        self.schedule_mining(node);
        self.tell_facts(node);
    }

    pub(super) fn submit(&mut self) {
        if self.at_us < HEAL_US {
            let wait = exponential(&mut self.rng, 7e6);
            self.schedule(self.at_us + wait, Happening::Submit);
        }
        let node = between(&mut self.rng, 0, self.plan.honest as u64 - 1) as usize;
        let user = between(&mut self.rng, 0, u64::from(USERS) - 1) as u8;
        let tx = transaction(user, self.nonces[usize::from(user)]);
        let hash = tx.hash();
        if self.nodes[node].submit(tx, self.at_us) {
            self.nonces[usize::from(user)] += 1;
            self.counts.transactions += 1;
            self.acknowledged.push((hash, node));
            let at_us = self.at_us;
            self.trace.add(at_us, node, || format!("acknowledges {hash}"));
        }
        self.tell_facts(node);
    }

    /// Begins the search for a block on the node's head, and forgets the one on the head before. Nothing is lost by that: a search
    /// has no memory.
    pub(super) fn schedule_mining(&mut self, node: usize) {
        let simulated = &mut self.nodes[node];
        let rate = simulated.role.hash_rate;
        simulated.search += 1;
        let search = simulated.search;
        let Some(running) = simulated.running.as_ref().filter(|_| rate > 0.0) else { return };
        let mean = BLOCK_US as f64 * hardness(&running.ledger.view()) / rate;
        let wait = exponential(&mut self.rng, mean);
        self.schedule(self.at_us + wait, Happening::Mine { node, search });
    }
}
