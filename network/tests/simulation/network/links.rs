//! The lines between the nodes: who is connected, what is lost, doubled and late on the way.

use network::machine::{Event, InboundId, RequestFailure, Verdict};
use network::message::{Buffer, GossipId, Topic};

use super::{Happening, Message, Simulation, ordered, peer_of};
use crate::plan::{Fault, HEAL_US, between, exponential, unit};

impl Simulation {
    pub(super) fn respond(&mut self, node: usize, inbound: InboundId, data: Vec<u8>) {
        let Some((to, request, connection)) = self.inbound.remove(&(node, inbound)) else { return };
        if self.links.get(&ordered(node, to)).is_some_and(|link| link.is_up && link.connection == connection) {
            self.transmit(node, to, Message::Response(request, Ok(data)));
        }
    }

    pub(super) fn neighbours(&self, node: usize) -> Vec<usize> {
        let up = self.links.iter().filter(|(_, link)| link.is_up);
        up.filter_map(|((a, b), _)| if *a == node { Some(*b) } else { (*b == node).then_some(*a) }).collect()
    }

    pub(super) fn publish(&mut self, node: usize, topic: Topic, data: Vec<u8>) {
        let Some(running) = &mut self.nodes[node].running else { return };
        if !running.seen.insert(GossipId::of(topic, &data)) {
            return;
        }
        self.trace_message(node, "publishes", node, &data);
        for other in self.neighbours(node) {
            self.transmit(node, other, Message::Gossip(topic, data.clone()));
        }
    }

    pub(super) fn decide(&mut self, node: usize, id: GossipId, verdict: Verdict) {
        let Some(running) = &mut self.nodes[node].running else { return };
        let Some(index) = running.undecided.iter().position(|(known, ..)| *known == id) else {
            self.violations.push(format!("node {node}: a second verdict on one message"));
            return;
        };
        let (_, topic, data) = running.undecided.swap_remove(index);
        if verdict == Verdict::Accept {
            for other in self.neighbours(node) {
                self.transmit(node, other, Message::Gossip(topic, data.clone()));
            }
        }
    }

    /// Tells whether a fault keeps anything from getting from one node to another.
    pub(super) fn is_blocked(&self, from: usize, to: usize) -> bool {
        let sprints = self.sprints.from.is_some() && from.max(to) == self.plan.honest;
        sprints
            || self.active.iter().any(|index| match &self.plan.troubles[*index].fault {
                Fault::Partition(side) => side.contains(&from) != side.contains(&to) && from.max(to) < self.plan.honest,
                Fault::OneWay(a, b) => (from, to) == (*a, *b),
                Fault::Crash(_) | Fault::Lossy(_) | Fault::Clock(..) => false,
            })
    }

    pub(super) fn loss(&self) -> f64 {
        let worse = self.active.iter().map(|index| match self.plan.troubles[*index].fault {
            Fault::Lossy(part) => part,
            _ => 0.0,
        });
        // At the end the line is better, but not perfect.
        let usual = if self.at_us < HEAL_US { self.plan.loss } else { self.plan.loss / 5.0 };
        worse.fold(usual, f64::max)
    }

    pub(super) fn transmit(&mut self, from: usize, to: usize, message: Message) {
        self.counts.messages += 1;
        let link = self.links.get(&ordered(from, to)).filter(|link| link.is_up);
        let Some(connection) = link.map(|link| link.connection) else {
            if let Message::Request(request, _) = message {
                let life = self.nodes[from].life;
                let failed = Event::Response { peer: peer_of(to), request, result: Err(RequestFailure::Disconnected) };
                if self.is_alive(from, life) {
                    self.tell(from, failed);
                }
            }
            return;
        };
        if self.is_blocked(from, to) || unit(&mut self.rng) < self.loss() {
            self.counts.lost += 1;
            let kind = message.kind();
            self.trace.add(self.at_us, from, || format!("to {to}: {kind} is lost"));
            return;
        }
        let copies = if unit(&mut self.rng) < self.plan.duplicates { 2 } else { 1 };
        for _ in 0..copies {
            let delay = 1_000 + exponential(&mut self.rng, self.plan.delay_us);
            let message = message.clone();
            self.schedule(self.at_us + delay, Happening::Deliver { from, to, connection, message });
        }
    }

    pub(super) fn deliver(&mut self, from: usize, to: usize, connection: u64, message: Message) {
        let same = self.links.get(&ordered(from, to)).is_some_and(|link| link.is_up && link.connection == connection);
        let Some(running) = self.nodes[to].running.as_mut().filter(|_| same) else { return };
        let peer = peer_of(from);
        let event = match message {
            Message::Gossip(topic, data) => {
                let id = GossipId::of(topic, &data);
                if !running.seen.insert(id) {
                    return;
                }
                running.undecided.push((id, topic, data.clone()));
                Event::Gossip { peer, id, topic, data }
            }
            Message::Request(request, data) => {
                let inbound = InboundId(self.next_inbound);
                self.next_inbound += 1;
                self.inbound.insert((to, inbound), (from, request, connection));
                Event::Request { peer, inbound, data: data.into() }
            }
            Message::Response(request, result) => Event::Response { peer, request, result: result.map(Buffer::from) },
        };
        self.tell(to, event);
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let both_run = self.nodes[a].running.is_some() && self.nodes[b].running.is_some();
        let blocked = self.is_blocked(a, b) || self.is_blocked(b, a);
        let at_us = self.at_us;
        let Some(link) = self.links.get_mut(&ordered(a, b)) else { return };
        if link.is_up {
            return;
        }
        if !both_run || blocked || link.banned_until_us > at_us {
            let again = at_us + between(&mut self.rng, 500_000, 2_000_000);
            self.schedule(again, Happening::Connect(a, b));
            return;
        }
        link.is_up = true;
        link.connection += 1;
        self.tell(a, Event::Connected { peer: peer_of(b), is_reserved: false });
        // The first one may have parted at once.
        if self.links.get(&ordered(a, b)).is_some_and(|link| link.is_up) {
            self.tell(b, Event::Connected { peer: peer_of(a), is_reserved: false });
        }
    }

    pub(super) fn disconnect(&mut self, a: usize, b: usize, ban_ms: u64) {
        let at_us = self.at_us;
        let Some(link) = self.links.get_mut(&ordered(a, b)) else { return };
        link.banned_until_us = link.banned_until_us.max(at_us + ban_ms * 1000);
        if !link.is_up {
            return;
        }
        link.is_up = false;
        if self.nodes[a].role.is_honest && !self.nodes[b].role.is_honest {
            self.counts.attacker_cut_off += 1;
        }
        self.tell(a, Event::Disconnected { peer: peer_of(b) });
        self.tell(b, Event::Disconnected { peer: peer_of(a) });
        let again = at_us + between(&mut self.rng, 500_000, 2_000_000);
        self.schedule(again, Happening::Connect(a, b));
    }
}
