//! Simulated blocks: calls on a chain of blocks that nobody mines, each on what the ones before it left (`eth_simulateV1`).
//!
//! What execution-apis leaves open follows geth: gaps between numbers are filled with empty blocks, a block comes twelve seconds
//! after its parent, all calls together have one allowance of gas, and without validation nonces are not checked and the base
//! fee is 0. Nothing is ever written.

mod block;
mod observer;
mod plan;

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes, Log};
use consensus::{ChainSpec, Header, RecoveredBlock, SealedHeader};
use storage::{Reader, Stage};

use crate::call::{BlockOverrides, CallError, CallOutcome, CallRequest, StateOverrides};
use crate::execute::ExecutionError;
use crate::overlay::BlockState;
use crate::receipt::Receipt;
use crate::state::{self, StateError, StateSource, StateView};

use self::block::Simulator;

/// The most simulated blocks, those that fill gaps among them (geth's limit).
pub const BLOCKS_MAX: u64 = 256;
/// The most blocks that are undone in memory to come to the state that a simulation begins on.
const UNDONE_MAX: u64 = 8192;

/// Says what one block is to be.
#[derive(Clone, Debug, Default)]
pub struct BlockPlan {
    /// What its environment differs in.
    pub block: BlockOverrides,
    /// What a consensus layer gives back in it, past Ethereum's merge; none where it is left open.
    pub withdrawals: Vec<Withdrawal>,
    /// The root of the beacon chain's block before it; zero where it is left open.
    pub beacon_root: Option<B256>,
    /// What the state differs in when it begins.
    pub state: StateOverrides,
    /// Its transactions.
    pub calls: Vec<CallRequest>,
}

/// Says how strictly calls are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Nonces are not checked, and a call without a price pays nothing whatever the base fee.
    Relaxed,
    /// As in a block, but that contracts may send.
    Full,
}

/// Says whether transfers of ether are shown as logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfers {
    /// They are not.
    Hidden,
    /// They are, as ERC-20's event from [`TRANSFERS_FROM`].
    Logged,
}

/// The address that stands for ether in logs of transfers.
pub const TRANSFERS_FROM: Address = Address::repeat_byte(0xee);

/// Holds where a simulation begins and its limits.
#[derive(Debug)]
pub struct SimulationContext<'a> {
    /// The chain's rules.
    pub spec: &'a ChainSpec,
    /// The state at the end of `base`.
    pub state: &'a StateView,
    /// The block before the first simulated one.
    pub base: &'a SealedHeader,
    /// The number of the head that `state` is read from.
    pub head: u64,
    /// The most gas of all calls together.
    pub gas_cap: u64,
    /// Ends the simulation when set.
    pub cancelled: &'a AtomicBool,
    /// How strictly calls are looked at.
    pub validation: Validation,
    /// Whether transfers are shown as logs.
    pub transfers: Transfers,
}

/// Holds a simulated block.
#[derive(Clone, Debug)]
pub struct SimulatedBlock {
    /// The block; its transactions have no signatures.
    pub block: RecoveredBlock,
    /// Their receipts.
    pub receipts: Vec<Receipt>,
    /// What came of its calls.
    pub calls: Vec<SimulatedCall>,
}

/// Holds what came of a call.
#[derive(Clone, Debug)]
pub struct SimulatedCall {
    /// How it ended.
    pub outcome: CallOutcome,
    /// What it emitted, in order, transfers among it where they are asked for; nothing where it failed.
    pub logs: Vec<Log>,
    /// The most gas that it needed at a time: refunds are not taken off.
    pub gas_max: u64,
}

/// Says which rule a call breaks; the specification gives each a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenRule {
    /// Its nonce is below the account's.
    NonceTooLow,
    /// Its nonce is above the account's.
    NonceTooHigh,
    /// It pays less than the base fee.
    BaseFeeTooHigh,
    /// Its gas does not pay for its bytes.
    IntrinsicGas,
    /// Its sender cannot pay for it.
    Funds,
    /// A contract sends it.
    SenderHasCode,
    /// Its init code is too long.
    InitCodeTooLong,
    /// Another one.
    Other,
}

/// Says why a simulation has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SimulationError {
    /// A block's number is not above the one before.
    #[error("block numbers must be in order: {number} <= {previous}")]
    NumberOrder {
        /// Its number.
        number: u64,
        /// The number before.
        previous: u64,
    },
    /// A block's time is not after the one before.
    #[error("block timestamps must be in order: {timestamp} <= {previous}")]
    TimestampOrder {
        /// Its time in seconds.
        timestamp: u64,
        /// The time before.
        previous: u64,
    },
    /// There are more blocks than [`BLOCKS_MAX`].
    #[error("too many blocks")]
    TooManyBlocks,
    /// A call wants more gas than is left in its block.
    #[error("block gas limit reached: {wanted} > {available}")]
    GasLimitReached {
        /// Its gas limit.
        wanted: u64,
        /// What is left.
        available: u64,
    },
    /// A call breaks a rule of transactions.
    #[error("{words}")]
    Refused {
        /// Which.
        rule: BrokenRule,
        /// In geth's words.
        words: String,
    },
    /// The request is malformed, the simulation was cancelled, or the store failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A system contract failed.
    #[error("{0}")]
    System(String),
    /// The state of the block before is too far back.
    #[error("the state of block {number} is more than {UNDONE_MAX} blocks old, and blocks cannot be simulated on it")]
    TooOld {
        /// The block.
        number: u64,
    },
}

impl From<StateError> for SimulationError {
    fn from(error: StateError) -> Self {
        Self::Call(error.into())
    }
}

impl From<ExecutionError> for SimulationError {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::State(error) => error.into(),
            other => Self::System(other.to_string()),
        }
    }
}

/// Simulates blocks one on the other, the first on `context.base`.
///
/// # Errors
/// A plan is out of order, a call breaks a rule, the simulation was cancelled, or the store failed.
pub fn simulate(
    context: &SimulationContext<'_>,
    plans: Vec<BlockPlan>,
) -> Result<Vec<SimulatedBlock>, SimulationError> {
    let plans = plan::fill_gaps(context.base, plans)?;
    let stage = base_state(context)?;
    let reader: &dyn Reader = &stage;
    let source: &dyn StateSource = &reader;
    let headers: Vec<OnceCell<Header>> = plans.iter().map(|_| OnceCell::new()).collect();
    let mut simulator = Simulator::new(context, reader);
    let mut state = BlockState::new(source);
    let mut parent = context.base.clone();
    let mut blocks = Vec::with_capacity(plans.len());
    for (plan, cell) in plans.iter().zip(&headers) {
        let header = cell.get_or_init(|| plan::header(context, &parent, plan));
        let (block, left) = simulator.block(plan, header, state)?;
        state = left;
        parent = block.block.header.clone();
        state.set_block_hash(parent.number, parent.hash());
        blocks.push(block);
    }
    Ok(blocks)
}

/// Returns the tables with the state of the block that the simulation begins on: those that came later are undone in memory.
fn base_state(context: &SimulationContext<'_>) -> Result<Stage, SimulationError> {
    let mut stage = Stage::new(context.state.snapshot());
    let number = context.base.number;
    if context.head.saturating_sub(number) > UNDONE_MAX {
        return Err(SimulationError::TooOld { number });
    }
    for undone in (number.saturating_add(1)..=context.head).rev() {
        look_at(context.cancelled)?;
        state::undo(&mut stage, undone)?;
    }
    Ok(stage)
}

fn look_at(cancelled: &AtomicBool) -> Result<(), SimulationError> {
    if cancelled.load(Ordering::Relaxed) { Err(CallError::Cancelled.into()) } else { Ok(()) }
}

impl SimulatedCall {
    /// Returns what it returned, or its revert data.
    pub fn output(&self) -> Bytes {
        match &self.outcome {
            CallOutcome::Success { output, .. } | CallOutcome::Revert { output, .. } => output.clone(),
            CallOutcome::Halt { .. } => Bytes::new(),
        }
    }

    /// Returns the gas that it used in all.
    pub fn gas_used(&self) -> u64 {
        match &self.outcome {
            CallOutcome::Success { gas_used, .. }
            | CallOutcome::Revert { gas_used, .. }
            | CallOutcome::Halt { gas_used, .. } => *gas_used,
        }
    }
}
