//! The status: what a node says of its chain and itself when two meet, and again whenever it is asked.

use alloy_primitives::{B256, U256, keccak256};
use rlp::{Rlp, RlpStream};

use super::codec::{self, DecodeError, Wire};
use super::limits::{AGENT_BYTES_MAX, RULE_NAME_BYTES_MAX, RULE_VALUE_BYTES_MAX, RULES_MAX};

/// Tells which forks a chain has passed, and when the next one comes (EIP-2124, EIP-6122).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkId {
    /// CRC-32 of the genesis hash and all forks that were passed.
    pub hash: u32,
    /// Block number or timestamp of the next fork; 0: none is known.
    pub next: u64,
}

/// Names one rule of the chain file with its value, so that two nodes that differ can say in what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The field's path in the chain file, such as `pow.block_reward`.
    pub name: String,
    /// Its value as text.
    pub value: String,
}

/// Says what a node is there for; bits that are not known are kept and ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(pub u64);

impl Roles {
    /// The node mines.
    pub const MINER: Self = Self(1);
    /// The node serves JSON-RPC.
    pub const RPC: Self = Self(2);
    /// The node keeps the state of every block and can serve snapshots.
    pub const ARCHIVE: Self = Self(4);

    /// Tells whether all of `roles` are among these.
    pub fn has(self, roles: Self) -> bool {
        self.0 & roles.0 == roles.0
    }

    /// Returns these roles and `roles`.
    pub fn with(self, roles: Self) -> Self {
        Self(self.0 | roles.0)
    }
}

/// Holds what a node says of its chain and itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The version of the messages.
    pub protocol: u64,
    /// The chain id.
    pub chain_id: u64,
    /// The genesis hash.
    pub genesis: B256,
    /// [`rules_digest`] of `rules`.
    pub rules_digest: B256,
    /// What the genesis hash does not tell: the rules of the chain file, sorted by name.
    pub rules: Vec<Rule>,
    /// The forks.
    pub fork_id: ForkId,
    /// The head's hash.
    pub head: B256,
    /// The head's number.
    pub head_number: u64,
    /// The head's total difficulty.
    pub total_difficulty: U256,
    /// The number of the finalized block.
    pub finalized: u64,
    /// The hash of the finalized block.
    pub finalized_hash: B256,
    /// The clock when this was sent, in milliseconds since 1970.
    pub clock_ms: u64,
    /// The first block whose state the node can read.
    pub history_from: u64,
    /// The program and its version.
    pub agent: String,
    /// What the node is there for.
    pub roles: Roles,
}

/// Returns keccak256 of the rules' names and values.
pub fn rules_digest(rules: &[Rule]) -> B256 {
    let mut out = RlpStream::new();
    codec::append_all(&mut out, rules);
    keccak256(out.out())
}

impl Wire for Rule {
    fn append(&self, out: &mut RlpStream) {
        out.begin_list(2).append(&self.name.as_bytes()).append(&self.value.as_bytes());
    }

    fn read(item: &Rlp<'_>) -> Result<Self, DecodeError> {
        let [name, value] = codec::fields(item, "rule")?;
        Ok(Self {
            name: codec::text(&name, "name of a rule", RULE_NAME_BYTES_MAX)?,
            value: codec::text(&value, "value of a rule", RULE_VALUE_BYTES_MAX)?,
        })
    }
}

impl Wire for Status {
    fn append(&self, out: &mut RlpStream) {
        out.begin_list(16).append(&self.protocol).append(&self.chain_id);
        codec::append_hash(out, self.genesis);
        codec::append_hash(out, self.rules_digest);
        codec::append_all(out, &self.rules);
        out.append(&self.fork_id.hash).append(&self.fork_id.next);
        codec::append_hash(out, self.head);
        out.append(&self.head_number);
        codec::append_big_number(out, self.total_difficulty);
        out.append(&self.finalized);
        codec::append_hash(out, self.finalized_hash);
        out.append(&self.clock_ms).append(&self.history_from);
        out.append(&self.agent.as_bytes()).append(&self.roles.0);
    }

    fn read(item: &Rlp<'_>) -> Result<Self, DecodeError> {
        let fields: [Rlp<'_>; 16] = codec::fields(item, "status")?;
        let number = |index: usize, what| codec::number(&fields[index], what);
        let fork_hash = u32::try_from(number(5, "fork hash")?).map_err(|error| codec::malformed("fork hash", error))?;
        Ok(Self {
            protocol: number(0, "protocol")?,
            chain_id: number(1, "chain id")?,
            genesis: codec::hash(&fields[2], "genesis")?,
            rules_digest: codec::hash(&fields[3], "rules digest")?,
            rules: codec::read_all(&fields[4], "rules", RULES_MAX)?,
            fork_id: ForkId { hash: fork_hash, next: number(6, "next fork")? },
            head: codec::hash(&fields[7], "head")?,
            head_number: number(8, "head number")?,
            total_difficulty: codec::big_number(&fields[9], "total difficulty")?,
            finalized: number(10, "finalized")?,
            finalized_hash: codec::hash(&fields[11], "finalized hash")?,
            clock_ms: number(12, "clock")?,
            history_from: number(13, "history")?,
            agent: codec::text(&fields[14], "agent", AGENT_BYTES_MAX)?,
            roles: Roles(number(15, "roles")?),
        })
    }
}
