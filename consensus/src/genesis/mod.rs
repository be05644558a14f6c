//! The chain file: geth's genesis.json, Besu's additions, and Drawbridge's own `config.pow`. Read once; everything else
//! works on the [`ChainSpec`] and the genesis block that come of it.

mod block;
mod config;
mod ethereum;
mod forks;
mod json;
mod pow;
mod show;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};

use crate::block::SealedHeader;
use crate::spec::ChainSpec;

pub use block::{GAS_LIMIT_DEFAULT, state_root};
pub use pow::{
    BLOCK_REWARD_DEFAULT, DIFFICULTY_MIN_DEFAULT, FINALITY_DEPTH_DEFAULT, HALF_LIFE_BLOCKS_DEFAULT, SAFE_DEPTH_DEFAULT,
    TARGET_MS_DEFAULT, TARGET_MS_MAX,
};

/// The chain file `dev.json`: mines on demand, ten accounts with 100 ETH each.
pub const DEV: &str = include_str!("../../../genesis/dev.json");
/// The chain file `private.json`: a private network with a block every 5 s.
pub const PRIVATE: &str = include_str!("../../../genesis/private.json");

/// Holds what the genesis block gives an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    /// Balance in wei.
    pub balance: U256,
    /// Nonce.
    pub nonce: u64,
    /// Contract code; empty for none.
    pub code: Bytes,
    /// Storage; zero values are left out.
    pub storage: BTreeMap<B256, B256>,
}

/// Holds a chain file's content: the rules and the genesis block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The rules.
    pub spec: ChainSpec,
    /// The genesis header, state root computed.
    pub header: SealedHeader,
    /// The accounts of the genesis state. Like geth, this keeps accounts that have nothing.
    pub alloc: BTreeMap<Address, GenesisAccount>,
    /// The boot nodes that Besu's `config.discovery.bootnodes` lists, as written.
    pub bootnodes: Vec<String>,
}

/// Says why a chain file cannot be read, naming the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum GenesisError {
    #[error("not a JSON object: {0}")]
    Json(String),
    #[error("{field}: {problem}")]
    Field { field: String, problem: String },
}

impl GenesisError {
    /// Makes an error about the value at hand; [`GenesisError::within`] adds where it stands.
    fn here(problem: impl Into<String>) -> Self {
        Self::Field { field: String::new(), problem: problem.into() }
    }

    /// Makes an error about a field of the object at hand.
    fn at(field: &str, problem: impl Into<String>) -> Self {
        Self::here(problem).within(field)
    }

    /// Puts the name of the enclosing field before the path.
    fn within(self, parent: &str) -> Self {
        match self {
            Self::Json(_) => self,
            Self::Field { field, problem } => Self::Field { field: join(parent, &field), problem },
        }
    }
}

/// Names a field that means nothing here, or not what its writer may think.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisWarning {
    /// The path of the field, such as `config.eip145Block`.
    pub field: String,
    /// The nearest known field of the same object, where one is near.
    pub nearest: Option<&'static str>,
    /// What to know about a field that is known but has no effect.
    pub note: Option<&'static str>,
}

impl GenesisWarning {
    fn within(mut self, parent: &str) -> Self {
        self.field = join(parent, &self.field);
        self
    }
}

impl std::fmt::Display for GenesisWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.note, self.nearest) {
            (Some(note), _) => write!(f, "{}: {note}", self.field),
            (None, Some(nearest)) => write!(f, "{}: unknown field, ignored; did you mean {nearest}?", self.field),
            (None, None) => write!(f, "{}: unknown field, ignored", self.field),
        }
    }
}

/// Joins two parts of a field's path, either of which may be empty.
fn join(parent: &str, field: &str) -> String {
    match (parent, field) {
        ("", only) | (only, "") => only.to_owned(),
        _ => format!("{parent}.{field}"),
    }
}

impl Genesis {
    /// Reads a chain file. Names of fields count in any case, as in geth and Besu.
    ///
    /// # Errors
    /// Not JSON, or a field with a value that it cannot have.
    pub fn parse(json: &str) -> Result<(Self, Vec<GenesisWarning>), GenesisError> {
        let mut warnings = Vec::new();
        let mut file = json::document(json)?;
        let block = block::BlockFields::read(&mut file)?;
        let config = file.take("config", |raw| config::Config::read(raw, &block, &mut warnings))?;
        let alloc = file.take("alloc", |raw| block::read_alloc(raw, &mut warnings))?.unwrap_or_default();
        file.finish("", &mut warnings);
        let config::Config { spec, bootnodes } = config.ok_or_else(config::missing)?;
        let header = SealedHeader::new(block.into_header(&spec, &alloc)?);
        Ok((Self { spec, header, alloc, bootnodes }, warnings))
    }
}

#[cfg(test)]
mod tests;
