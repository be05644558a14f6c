//! What an operator chooses about the network's core.

use crate::message::{Roles, Rule};

/// Holds what an operator chooses.
#[derive(Clone, Debug)]
pub struct MachineConfig {
    /// The rules of the chain file, by [`super::rules_of`].
    pub rules: Vec<Rule>,
    /// The program and its version, for peers.
    pub agent: String,
    /// What the node is there for.
    pub roles: Roles,
    /// How many peers there are at most; reserved ones are not counted.
    pub peers_max: usize,
    /// Whether a node that is at its genesis block starts from a state snapshot, where peers are far enough ahead.
    pub start_from_snapshot: bool,
    /// How many blocks must be final there for it.
    pub snapshot_distance_min: u64,
    /// Room for a snapshot before it is verified, in bytes; a larger one is not taken.
    pub snapshot_bytes_max: usize,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            agent: "drawbridge".to_owned(),
            roles: Roles::default(),
            peers_max: 50,
            start_from_snapshot: false,
            snapshot_distance_min: super::limits::SNAPSHOT_DISTANCE_MIN,
            snapshot_bytes_max: super::limits::SNAPSHOT_BYTES_MAX,
        }
    }
}
