//! The `config` section: chain id, forks, Besu's fee and size rules, and `pow`.

use alloy_primitives::U256;
use serde_json::value::RawValue;

use crate::fees::BASE_FEE_INITIAL;
use crate::spec::{ChainSpec, FeeRules, PowRules};

use super::block::BlockFields;
use super::ethereum::{self, Origin};
use super::json::{Object, Read, boolean, list, number, number_u64, text};
use super::pow::Pow;
use super::{GenesisError, GenesisWarning, forks};

/// Consensus by a list of signers, which is not run here.
const AUTHORITY: [&str; 6] = ["clique", "ibft", "ibft2", "qbft", "aura", "istanbul"];

/// What geth and Besu write and a chain without validators and peers of Ethereum's main network can leave aside.
const WITHOUT_EFFECT: [&str; 8] = [
    "networkId",
    "eip150Hash",
    "withdrawalRequestContractAddress",
    "consolidationRequestContractAddress",
    "checkpoint",
    "enableVerkleAtGenesis",
    "isDev",
    "comment",
];

/// The only depth of the EVM's stack (Yellow Paper 9.1); Besu can set another.
const EVM_STACK_SIZE: u64 = 1024;

/// Holds what the section says.
pub(super) struct Config {
    pub(super) spec: ChainSpec,
    pub(super) bootnodes: Vec<String>,
}

/// Makes the error for a file without the section.
pub(super) fn missing() -> GenesisError {
    GenesisError::at("config.chainId", "missing; every chain needs its own id (EIP-155), such as 4242")
}

impl Config {
    /// Reads the section.
    pub(super) fn read(raw: &RawValue, block: &BlockFields, warnings: &mut Vec<GenesisWarning>) -> Read<Self> {
        let mut config = Object::read(raw)?;
        let mut own_warnings = Vec::new();
        let chain_id = config.take("chainId", number_u64)?.filter(|id| *id > 0).ok_or_else(|| {
            GenesisError::at("chainId", "missing or 0; every chain needs its own id (EIP-155), such as 4242")
        })?;
        refuse_authority(&mut config)?;
        let own = config.take("pow", |raw| Pow::read(raw, &mut own_warnings))?;
        let origin = ethereum::read_origin(&mut config, own.as_ref().map(Pow::own_section).unwrap_or_default())?;
        let fixed_by_besu = config.take("ethash", |raw| read_ethash(raw, &mut own_warnings))?.flatten();
        let ethereum = match origin {
            Origin::Drawbridge => {
                forks::ignore_ethereum(&mut config, &mut own_warnings)?;
                None
            }
            Origin::Ethereum(seal, hand_over) => {
                Some(ethereum::read_rules(&mut config, seal, hand_over, fixed_by_besu, &mut own_warnings)?)
            }
        };
        let forks = forks::read(&mut config, block.timestamp, ethereum.as_ref())?;
        let fees = read_fees(&mut config, block.base_fee.unwrap_or(BASE_FEE_INITIAL))?;
        let contract_size_limit = read_limits(&mut config)?;
        let bootnodes = config.take("discovery", |raw| read_discovery(raw, &mut own_warnings))?.unwrap_or_default();
        config.note(
            "transitions",
            "rules that change during the chain are not supported; ignored",
            &mut own_warnings,
        )?;
        config.ignore(&WITHOUT_EFFECT);
        config.finish("", &mut own_warnings);
        warnings.extend(own_warnings.into_iter().map(|warning| warning.within("config")));
        let pow = match &ethereum {
            None => own.unwrap_or_default().into_rules(fixed_by_besu)?,
            Some(rules) if rules.hand_over.is_some() => own.unwrap_or_default().into_rules(None)?,
            Some(_) => PowRules::of_imported_chain(),
        };
        Ok(Self { spec: ChainSpec { chain_id, forks, pow, fees, contract_size_limit, ethereum }, bootnodes })
    }
}

fn refuse_authority(config: &mut Object<'_>) -> Read<()> {
    for name in AUTHORITY {
        if config.take(name, |_| Ok(()))?.is_some() {
            let problem = "proof of authority is not run here: blocks are sealed by work; remove this section and the \
                           signers from extraData, and name who may mine in config.pow.authorized_miners";
            return Err(GenesisError::at(name, problem));
        }
    }
    Ok(())
}

/// Reads Besu's `zeroBaseFee` and `fixedBaseFee`. In Besu the latter is `true` and the fee a setting of each node; here it
/// is a number of wei, or `true` for the genesis block's.
fn read_fees(config: &mut Object<'_>, genesis_base_fee: u64) -> Read<FeeRules> {
    let zero = config.take("zeroBaseFee", boolean)?.unwrap_or(false);
    let fixed = config.take("fixedBaseFee", |raw| read_fixed_base_fee(raw, genesis_base_fee))?.flatten();
    match (zero, fixed) {
        (true, Some(fee)) if fee > 0 => {
            Err(GenesisError::at("fixedBaseFee", "contradicts zeroBaseFee; keep one of them"))
        }
        (true, _) => Ok(FeeRules { fixed_base_fee: Some(0) }),
        (false, fixed_base_fee) => Ok(FeeRules { fixed_base_fee }),
    }
}

fn read_fixed_base_fee(raw: &RawValue, genesis_base_fee: u64) -> Read<Option<u64>> {
    match raw.get() {
        "false" => Ok(None),
        "true" => Ok(Some(genesis_base_fee)),
        _ => number_u64(raw).map(Some),
    }
}

/// Reads Besu's `contractSizeLimit` (bytes) and checks its `evmStackSize`.
fn read_limits(config: &mut Object<'_>) -> Read<Option<usize>> {
    if let Some(size) = config.take("evmStackSize", number_u64)?.filter(|size| *size != EVM_STACK_SIZE) {
        let problem = format!("{size} is not supported, the EVM's stack has {EVM_STACK_SIZE} words; remove it");
        return Err(GenesisError::at("evmStackSize", problem));
    }
    config.take("contractSizeLimit", |raw| match usize::try_from(number_u64(raw)?) {
        Ok(0) => Err(GenesisError::here("0 would allow no contract; remove it for the fork's own limit")),
        Ok(limit) => Ok(limit),
        Err(_) => Err(GenesisError::here("larger than this machine can address")),
    })
}

/// Reads Besu's `ethash.fixeddifficulty`.
fn read_ethash(raw: &RawValue, warnings: &mut Vec<GenesisWarning>) -> Read<Option<U256>> {
    let mut ethash = Object::read(raw)?;
    let fixed = ethash.take("fixeddifficulty", number)?;
    ethash.finish("ethash", warnings);
    Ok(fixed)
}

/// Reads Besu's `discovery.bootnodes`.
fn read_discovery(raw: &RawValue, warnings: &mut Vec<GenesisWarning>) -> Read<Vec<String>> {
    let mut discovery = Object::read(raw)?;
    let bootnodes = discovery.take("bootnodes", |raw| list(raw)?.into_iter().map(text).collect())?;
    discovery.ignore(&["dns"]);
    discovery.finish("discovery", warnings);
    Ok(bootnodes.unwrap_or_default())
}
