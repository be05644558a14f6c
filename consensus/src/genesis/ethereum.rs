//! What a chain file says of blocks that other clients made: `seal`, the DAO fork, the terminal total difficulty, the blob
//! schedule. Read only where the file asks for such blocks.

use alloy_primitives::U256;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::ethereum::blobs::BlobLimits;
use crate::ethereum::{BlobSchedule, DEPOSIT_CONTRACT, DaoFork, EthashSeal, EthereumRules, HandOver};
use crate::spec::Fork;

use super::json::{Object, Read, address, boolean, excerpt, number, number_u64, text};
use super::{GenesisError, GenesisWarning};

/// The entries of the blob schedule that belong to a fork.
const BY_FORK: [(Fork, &str); 3] = [(Fork::Cancun, "cancun"), (Fork::Prague, "prague"), (Fork::Osaka, "osaka")];

/// The forks that change blob parameters only: when, and the entry of the blob schedule.
const BLOBS_ONLY: [(&str, &str); 5] =
    [("bpo1Time", "bpo1"), ("bpo2Time", "bpo2"), ("bpo3Time", "bpo3"), ("bpo4Time", "bpo4"), ("bpo5Time", "bpo5")];

/// Says whose blocks the chain has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Drawbridge's own from the first on.
    Drawbridge,
    /// Other clients', up to the hand-over where there is one.
    Ethereum(EthashSeal, Option<HandOver>),
}

/// Holds what `config.pow` says about the origin of the chain's blocks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OwnSection {
    /// Whether the file has the section.
    pub(super) present: bool,
    /// The first block under Drawbridge's seal.
    pub(super) from_block: Option<u64>,
    /// The difficulty of that block.
    pub(super) start_difficulty: Option<U256>,
}

/// Reads `config.seal` and decides whose blocks the chain has: without it Drawbridge's own, or, where `pow.fromBlock` names a
/// later block than the genesis block, other clients' up to there.
pub(super) fn read_origin(config: &mut Object<'_>, own: OwnSection) -> Read<Origin> {
    let seal = config.take("seal", |raw| match text(raw)?.as_str() {
        "drawbridge" => Ok(None),
        "ethash" => Ok(Some(EthashSeal::Verified)),
        "none" => Ok(Some(EthashSeal::Trusted)),
        other => {
            let problem = format!("expected \"ethash\", \"none\" or \"drawbridge\", found {}", excerpt(other));
            Err(GenesisError::here(problem))
        }
    })?;
    let first = own.from_block.filter(|first| *first > 0);
    if own.start_difficulty.is_some() && first.is_none() {
        let problem = "belongs to pow.fromBlock; without it the genesis block's difficulty starts the chain";
        return Err(GenesisError::at("pow.difficulty.start", problem));
    }
    let hand_over = first.map(|first| HandOver { first, start_difficulty: own.start_difficulty });
    match (seal, hand_over) {
        (Some(None), Some(_)) => {
            Err(GenesisError::at("seal", "contradicts pow.fromBlock: blocks before it have another seal; remove it"))
        }
        (Some(Some(_)), None) if own.present => {
            let problem = "names other clients' blocks, and config.pow has no fromBlock, the first block that is sealed \
                           here; add it, or remove config.pow for a chain that is imported only";
            Err(GenesisError::at("seal", problem))
        }
        (Some(Some(seal)), hand_over) => Ok(Origin::Ethereum(seal, hand_over)),
        (None, Some(_)) => Ok(Origin::Ethereum(EthashSeal::Verified, hand_over)),
        (None | Some(None), None) => Ok(Origin::Drawbridge),
    }
}

/// Reads the rules of other clients' blocks.
pub(super) fn read_rules(
    config: &mut Object<'_>,
    seal: EthashSeal,
    hand_over: Option<HandOver>,
    fixed_difficulty: Option<U256>,
    warnings: &mut Vec<GenesisWarning>,
) -> Read<EthereumRules> {
    let dao_block = config.take("daoForkBlock", number_u64)?;
    // Besu's files name the block alone, and mean that the balances move.
    let support = config.take("daoForkSupport", boolean)?.unwrap_or(true);
    let terminal_total_difficulty = config.take("terminalTotalDifficulty", number)?;
    config.ignore(&["terminalTotalDifficultyPassed", "terminalBlockHash", "terminalBlockNumber"]);
    Ok(EthereumRules {
        seal,
        fixed_difficulty,
        dao: dao_block.map(|block| DaoFork { block, support }),
        terminal_total_difficulty,
        blobs: read_blobs(config, warnings)?,
        deposit_contract: config.take("depositContractAddress", address)?.unwrap_or(DEPOSIT_CONTRACT),
        hand_over,
    })
}

fn read_blobs(config: &mut Object<'_>, warnings: &mut Vec<GenesisWarning>) -> Read<BlobSchedule> {
    let mut blobs = BlobSchedule::default();
    let mut only = [None; BLOBS_ONLY.len()];
    config.take("blobSchedule", |raw| {
        let mut entries = Object::read(raw)?;
        for (fork, name) in BY_FORK {
            if let Some(limits) = entries.take(name, |raw| read_limits(raw, warnings))? {
                blobs.set(fork, limits);
            }
        }
        for ((_, name), limits) in BLOBS_ONLY.into_iter().zip(&mut only) {
            *limits = entries.take(name, |raw| read_limits(raw, warnings))?;
        }
        entries.finish("blobSchedule", warnings);
        Ok(())
    })?;
    for ((time_name, name), limits) in BLOBS_ONLY.into_iter().zip(only) {
        let Some(timestamp) = config.take(time_name, number_u64)? else { continue };
        let missing = || GenesisError::at(time_name, format!("blobSchedule.{name} is missing; add its target and max"));
        blobs.add(timestamp, limits.ok_or_else(missing)?);
    }
    Ok(blobs)
}

/// Reads `{"target": n, "max": n, "baseFeeUpdateFraction": n}`.
fn read_limits(raw: &RawValue, warnings: &mut Vec<GenesisWarning>) -> Read<BlobLimits> {
    let mut entry = Object::read(raw)?;
    let mut required = |name| {
        entry.take(name, number_u64)?.ok_or_else(|| GenesisError::at(name, "missing; a blob schedule's entry has it"))
    };
    let limits = BlobLimits {
        target: required("target")?,
        max: required("max")?,
        update_fraction: required("baseFeeUpdateFraction")?,
    };
    entry.finish("blobSchedule", warnings);
    if limits.max == 0 || limits.target > limits.max {
        let problem = format!("{}, expected at least 1 and not below the target, {}", limits.max, limits.target);
        return Err(GenesisError::at("max", problem));
    }
    if limits.update_fraction == 0 {
        return Err(GenesisError::at("baseFeeUpdateFraction", "0 divides nothing; Cancun's is 3338477"));
    }
    Ok(limits)
}

/// Writes what [`read_origin`] and [`read_rules`] read.
pub(super) fn write(rules: &EthereumRules, config: &mut Map<String, Value>) {
    let seal = match rules.seal {
        EthashSeal::Verified => "ethash",
        EthashSeal::Trusted => "none",
    };
    config.insert("seal".to_owned(), seal.into());
    if let Some(fixed) = rules.fixed_difficulty {
        config.insert("ethash".to_owned(), json!({ "fixeddifficulty": fixed.to_string() }));
    }
    if let Some(DaoFork { block, support }) = rules.dao {
        config.insert("daoForkBlock".to_owned(), block.into());
        config.insert("daoForkSupport".to_owned(), support.into());
    }
    if let Some(terminal) = rules.terminal_total_difficulty {
        config.insert("terminalTotalDifficulty".to_owned(), terminal.to_string().into());
    }
    config.insert("depositContractAddress".to_owned(), rules.deposit_contract.to_string().into());
    let entry = |limits: BlobLimits| json!({ "target": limits.target, "max": limits.max, "baseFeeUpdateFraction": limits.update_fraction });
    let mut schedule = Map::new();
    for ((_, limits), (_, name)) in rules.blobs.by_fork().into_iter().zip(BY_FORK) {
        schedule.insert(name.to_owned(), entry(limits));
    }
    for ((timestamp, limits), (time_name, name)) in rules.blobs.by_time().zip(BLOBS_ONLY) {
        config.insert(time_name.to_owned(), timestamp.into());
        schedule.insert(name.to_owned(), entry(limits));
    }
    config.insert("blobSchedule".to_owned(), Value::Object(schedule));
}
