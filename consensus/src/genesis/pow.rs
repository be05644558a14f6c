//! The `config.pow` section, and what holds where it says nothing.

use std::collections::BTreeSet;

use alloy_primitives::{Address, U256};
use serde_json::value::RawValue;

use crate::spec::{DifficultyRule, EmptyBlocks, PowRules};

use super::ethereum::OwnSection;
use super::json::{Object, Read, address, excerpt, kind, list, number, number_u64, text};
use super::{GenesisError, GenesisWarning};

/// The block time aimed at where the file names none, in milliseconds.
pub const TARGET_MS_DEFAULT: u64 = 5_000;
/// The greatest block time that can be aimed at, in milliseconds: a day.
pub const TARGET_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// The half-life where the file names none, in block times.
pub const HALF_LIFE_BLOCKS_DEFAULT: u64 = 40;
/// The floor of difficulty where the file names none: Ethereum's own.
pub const DIFFICULTY_MIN_DEFAULT: u64 = 131_072;
/// The block reward where the file names none, in wei: 2 ETH, Ethereum's own since Constantinople.
pub const BLOCK_REWARD_DEFAULT: u64 = 2_000_000_000_000_000_000;
/// The depth of `safe` where the file names none.
pub const SAFE_DEPTH_DEFAULT: u64 = 6;
/// The depth of `finalized` where the file names none: an attacker with a quarter of the hash power gets this deep with a
/// chance below 0.1 %.
pub const FINALITY_DEPTH_DEFAULT: u64 = 20;

/// Holds what the section says; what is absent gets its default in [`Pow::into_rules`].
#[derive(Default)]
pub(super) struct Pow {
    difficulty: Option<DifficultyRule>,
    start_difficulty: Option<U256>,
    from_block: Option<u64>,
    empty_blocks: Option<EmptyBlocks>,
    block_reward: Option<U256>,
    authorized_miners: BTreeSet<Address>,
    safe_depth: Option<u64>,
    finality_depth: Option<u64>,
}

impl Pow {
    /// Reads the section.
    pub(super) fn read(raw: &RawValue, warnings: &mut Vec<GenesisWarning>) -> Read<Self> {
        let mut pow = Object::read(raw)?;
        let difficulty = pow.take("difficulty", |raw| read_difficulty(raw, warnings))?;
        let (difficulty, start_difficulty) = difficulty.map_or((None, None), |(rule, start)| (Some(rule), start));
        let rules = Self {
            difficulty,
            start_difficulty,
            from_block: pow.take("fromBlock", number_u64)?.or(pow.take("from_block", number_u64)?),
            empty_blocks: pow.take("empty_blocks", |raw| read_empty_blocks(raw, warnings))?,
            block_reward: pow.take("block_reward", number)?,
            authorized_miners: pow.take("authorized_miners", read_miners)?.unwrap_or_default(),
            safe_depth: pow.take("safe_depth", number_u64)?,
            finality_depth: pow.take("finality_depth", number_u64)?,
        };
        pow.ignore(&["comment"]);
        pow.finish("pow", warnings);
        Ok(rules)
    }

    /// Returns what the section says about the origin of the chain's blocks.
    pub(super) fn own_section(&self) -> OwnSection {
        OwnSection { present: true, from_block: self.from_block, start_difficulty: self.start_difficulty }
    }

    /// Fills in defaults; `fixed_by_besu` is `config.ethash.fixeddifficulty`.
    pub(super) fn into_rules(self, fixed_by_besu: Option<U256>) -> Read<PowRules> {
        let difficulty = match (self.difficulty, fixed_by_besu) {
            (Some(_), Some(_)) => {
                let problem = "contradicts config.pow.difficulty; keep one of them";
                return Err(GenesisError::at("ethash.fixeddifficulty", problem));
            }
            (None, Some(fixed)) if fixed.is_zero() => {
                return Err(GenesisError::at("ethash.fixeddifficulty", "0 has no target, the least difficulty is 1"));
            }
            (Some(rule), None) => rule,
            (None, Some(fixed)) => DifficultyRule::Fixed(fixed),
            (None, None) => DifficultyRule::Target {
                target_ms: TARGET_MS_DEFAULT,
                half_life_blocks: HALF_LIFE_BLOCKS_DEFAULT,
                min: U256::from(DIFFICULTY_MIN_DEFAULT),
                max: U256::MAX,
            },
        };
        // A depth that is named moves the default of the other one along.
        let safe_depth = self.safe_depth.unwrap_or(SAFE_DEPTH_DEFAULT.min(self.finality_depth.unwrap_or(u64::MAX)));
        let finality_depth = self.finality_depth.unwrap_or(FINALITY_DEPTH_DEFAULT.max(safe_depth));
        if safe_depth > finality_depth {
            let problem =
                format!("{safe_depth} is deeper than finality_depth, {finality_depth}: a final block is safe too");
            return Err(GenesisError::at("pow.safe_depth", problem));
        }
        Ok(PowRules {
            difficulty,
            empty_blocks: self.empty_blocks.unwrap_or(EmptyBlocks::Always),
            block_reward: self.block_reward.unwrap_or(U256::from(BLOCK_REWARD_DEFAULT)),
            authorized_miners: self.authorized_miners,
            safe_depth,
            finality_depth,
        })
    }
}

/// Reads `{"fixed": n}` or `{"target_ms": n, "min": n, "max": n, "half_life_blocks": n, "start": n}`; returns the rule, and the
/// difficulty that it starts with at a hand-over.
fn read_difficulty(raw: &RawValue, warnings: &mut Vec<GenesisWarning>) -> Read<(DifficultyRule, Option<U256>)> {
    if kind(raw) != "an object" {
        let problem = format!("expected {{\"fixed\": n}} or {{\"target_ms\": n}}, found {}", kind(raw));
        return Err(GenesisError::here(problem));
    }
    let mut object = Object::read(raw)?;
    let fixed = object.take("fixed", number)?;
    let target_ms = object.take("target_ms", number_u64)?;
    let half_life_blocks = object.take("half_life_blocks", number_u64)?;
    let min = object.take("min", number)?;
    let max = object.take("max", number)?;
    let start = object.take("start", number)?;
    object.finish("pow.difficulty", warnings);
    let Some(fixed) = fixed else {
        return Ok((target_rule(target_ms, half_life_blocks, min, max)?, start));
    };
    if start.is_some() || target_ms.is_some() || half_life_blocks.is_some() || min.is_some() || max.is_some() {
        return Err(GenesisError::at("fixed", "a fixed difficulty follows no target; remove it or the other fields"));
    }
    if fixed.is_zero() {
        return Err(GenesisError::at("fixed", "0 has no target, the least difficulty is 1"));
    }
    Ok((DifficultyRule::Fixed(fixed), None))
}

fn target_rule(
    target_ms: Option<u64>,
    half_life_blocks: Option<u64>,
    min: Option<U256>,
    max: Option<U256>,
) -> Read<DifficultyRule> {
    let target_ms = target_ms.unwrap_or(TARGET_MS_DEFAULT);
    if !(1..=TARGET_MS_MAX).contains(&target_ms) {
        let problem = format!("{target_ms} ms, expected 1 to {TARGET_MS_MAX} (a day), such as 5000");
        return Err(GenesisError::at("target_ms", problem));
    }
    let half_life_blocks = half_life_blocks.unwrap_or(HALF_LIFE_BLOCKS_DEFAULT);
    if half_life_blocks == 0 {
        return Err(GenesisError::at("half_life_blocks", "0, expected at least 1; 40 is usual, 20 with few miners"));
    }
    let max = max.unwrap_or(U256::MAX);
    let min = min.unwrap_or(U256::from(DIFFICULTY_MIN_DEFAULT).min(max));
    if min.is_zero() {
        return Err(GenesisError::at("min", "0 has no target, the least difficulty is 1"));
    }
    if min > max {
        return Err(GenesisError::at("min", format!("{min} is above max, {max}; exchange them")));
    }
    Ok(DifficultyRule::Target { target_ms, half_life_blocks, min, max })
}

/// Reads `"always"`, `"never"`, `{"heartbeat": seconds}` or `"heartbeat(seconds)"`.
fn read_empty_blocks(raw: &RawValue, warnings: &mut Vec<GenesisWarning>) -> Read<EmptyBlocks> {
    const EXPECTED: &str = "expected \"always\", \"never\" or {\"heartbeat\": seconds}";
    let seconds = match kind(raw) {
        "a text" => match text(raw)?.trim() {
            "always" => return Ok(EmptyBlocks::Always),
            "never" => return Ok(EmptyBlocks::Never),
            other => other
                .strip_prefix("heartbeat(")
                .and_then(|rest| rest.strip_suffix(')'))
                .and_then(|seconds| seconds.trim().parse().ok())
                .ok_or_else(|| GenesisError::here(format!("{EXPECTED}, found {}", excerpt(other))))?,
        },
        "an object" => {
            let mut object = Object::read(raw)?;
            let seconds = object.take("heartbeat", number_u64)?;
            object.finish("pow.empty_blocks", warnings);
            seconds.ok_or_else(|| GenesisError::here(EXPECTED))?
        }
        other => return Err(GenesisError::here(format!("{EXPECTED}, found {other}"))),
    };
    if seconds == 0 {
        return Err(GenesisError::here("a heartbeat of 0 s restricts nothing; write \"always\""));
    }
    Ok(EmptyBlocks::Heartbeat { seconds })
}

fn read_miners(raw: &RawValue) -> Read<BTreeSet<Address>> {
    let miners = list(raw)?.into_iter().enumerate();
    miners.map(|(index, raw)| address(raw).map_err(|error| error.within(&index.to_string()))).collect()
}
