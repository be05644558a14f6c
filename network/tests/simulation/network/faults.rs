//! What goes wrong for a while.

use super::{Happening, Simulation};
use crate::plan::{Fault, between};

impl Simulation {
    pub(super) fn fault_begins(&mut self, index: usize) {
        self.active.insert(index);
        let fault = self.plan.troubles[index].fault.clone();
        let at_us = self.at_us;
        self.trace.add(at_us, 0, || format!("begins: {fault:?}"));
        match fault {
            Fault::Partition(side) => {
                let across =
                    self.links.keys().filter(|(a, b)| side.contains(a) != side.contains(b) && *b < self.plan.honest);
                let across: Vec<_> = across.copied().collect();
                // A connection that carries nothing is noticed after a while; some are not before it is over.
                for (a, b) in across {
                    let at = at_us + between(&mut self.rng, 1_000_000, 12_000_000);
                    if at < self.plan.troubles[index].to_us {
                        self.schedule(at, Happening::Cut(a, b));
                    }
                }
            }
            Fault::Crash(node) => {
                if self.nodes[node].running.is_some() {
                    self.nodes[node].crash();
                    let others = self.neighbours(node);
                    for other in others {
                        self.disconnect(node, other, 0);
                    }
                }
            }
            Fault::Clock(node, offset_ms) => self.nodes[node].skew_ms += offset_ms,
            Fault::OneWay(..) | Fault::Lossy(_) => {}
        }
    }

    pub(super) fn fault_ends(&mut self, index: usize) {
        self.active.remove(&index);
        let fault = self.plan.troubles[index].fault.clone();
        let at_us = self.at_us;
        self.trace.add(at_us, 0, || format!("ends: {fault:?}"));
        match fault {
            Fault::Crash(node) if self.nodes[node].running.is_none() && self.has_joined(node) => self.start(node),
            Fault::Clock(node, offset_ms) => self.nodes[node].skew_ms -= offset_ms,
            Fault::Crash(_) | Fault::Partition(_) | Fault::OneWay(..) | Fault::Lossy(_) => {}
        }
    }
}
