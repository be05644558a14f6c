//! The published format: a genesis, a block's context, a signed transaction, a tracer's options and its answer.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use alloy_primitives::{Address, B256, Bytes, U256};
use bench::Failure;
use consensus::spec::{Activation, Fork, ForkSchedule};
use consensus::transaction::decode_transaction;
use consensus::{ChainSpec, Genesis, GenesisAccount, Header, RecoveredTransaction, SealedHeader};
use evm_runtime::state::{self, StateView};
use evm_runtime::{GethTracer, TraceContext, trace};
use serde::Deserialize;
use serde_json::{Value, json};
use storage::{Durability, Stage};

use crate::conformance::spec;
use crate::conformance::stores::Stores;

/// The forks under their names in geth's genesis files.
const FORKS: [(&str, Fork); 16] = [
    ("homesteadBlock", Fork::Homestead),
    ("eip150Block", Fork::TangerineWhistle),
    ("eip158Block", Fork::SpuriousDragon),
    ("byzantiumBlock", Fork::Byzantium),
    ("constantinopleBlock", Fork::Constantinople),
    ("petersburgBlock", Fork::Petersburg),
    ("istanbulBlock", Fork::Istanbul),
    ("muirGlacierBlock", Fork::MuirGlacier),
    ("berlinBlock", Fork::Berlin),
    ("londonBlock", Fork::London),
    ("arrowGlacierBlock", Fork::ArrowGlacier),
    ("grayGlacierBlock", Fork::GrayGlacier),
    ("shanghaiTime", Fork::Shanghai),
    ("cancunTime", Fork::Cancun),
    ("pragueTime", Fork::Prague),
    ("osakaTime", Fork::Osaka),
];
/// More than any of the answers takes.
const TRACE_BYTES_MAX: usize = 50_000_000;

/// One published case.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Vector {
    genesis: GenesisFile,
    context: BTreeMap<String, String>,
    input: Bytes,
    tracer_config: Option<Value>,
    result: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenesisFile {
    config: BTreeMap<String, Value>,
    alloc: BTreeMap<Address, Account>,
    mix_hash: Option<B256>,
}

#[derive(Deserialize)]
struct Account {
    balance: Option<String>,
    nonce: Option<Value>,
    code: Option<Bytes>,
    storage: Option<BTreeMap<String, String>>,
}

fn number(text: &str) -> Result<U256, Failure> {
    Ok(match text.strip_prefix("0x") {
        Some("") => U256::ZERO,
        Some(digits) => U256::from_str_radix(digits, 16)?,
        None => text.parse()?,
    })
}

fn small(value: &Value) -> Result<u64, Failure> {
    match (value.as_u64(), value.as_str()) {
        (Some(number), _) => Ok(number),
        (None, Some(text)) => Ok(u64::try_from(number(text)?)?),
        (None, None) => Err(format!("{value} is no number").into()),
    }
}

impl Vector {
    /// Returns the answer that geth gave.
    pub(super) fn expected(&self) -> &Value {
        &self.result
    }

    /// Runs the transaction under `tracer`.
    ///
    /// # Errors
    /// The vector is malformed, or the transaction does not run.
    pub(super) fn trace(&self, tracer: &str, stores: &Stores) -> Result<Value, Failure> {
        let (spec, header) = (self.spec()?, self.header()?);
        let store = stores.open()?;
        let mut stage = Stage::new(store.store().snapshot());
        let sealed = SealedHeader::new(header.clone());
        let genesis = Genesis { spec: spec.clone(), header: sealed, alloc: self.alloc()?, bootnodes: Vec::new() };
        state::put_genesis(&mut stage, &genesis)?;
        store.store().commit(stage.into_batch(), Durability::Process)?;
        let parent = StateView::at_head(store.store().snapshot());
        let transactions = [RecoveredTransaction::recover_frontier(decode_transaction(&self.input)?)?];
        let context = TraceContext {
            spec: &spec,
            header: &header,
            hash: B256::ZERO,
            transactions: &transactions,
            parent: &parent,
            cancelled: &AtomicBool::new(false),
            bytes_max: TRACE_BYTES_MAX,
        };
        let options = json!({ "tracer": tracer, "tracerConfig": self.tracer_config });
        let tracer = GethTracer::new(serde_json::from_value(options)?)?;
        Ok(serde_json::to_value(trace::trace_transaction(&context, 0, &tracer)?)?)
    }

    fn spec(&self) -> Result<ChainSpec, Failure> {
        let config = &self.genesis.config;
        let mut activations = Vec::new();
        for (name, fork) in FORKS {
            let Some(at) = config.get(name).map(small).transpose()? else { continue };
            let activation = if name.ends_with("Time") { Activation::Time(at) } else { Activation::Block(at) };
            activations.push((fork, activation));
        }
        // The file says by this that its block has no proof of work.
        if config.get("terminalTotalDifficulty").map(small).transpose()? == Some(0) {
            activations.push((Fork::Paris, Activation::Block(0)));
        }
        let chain_id = small(config.get("chainId").ok_or("no chain id")?)?;
        Ok(ChainSpec { chain_id, forks: ForkSchedule::new(activations), ..spec::of_fork(Fork::NEWEST) })
    }

    fn header(&self) -> Result<Header, Failure> {
        let field = |name: &str| self.context.get(name).map(|text| number(text)).transpose();
        let required = |name: &str| field(name)?.ok_or_else(|| Failure::from(format!("no {name}")));
        Ok(Header {
            number: u64::try_from(required("number")?)?,
            timestamp: u64::try_from(required("timestamp")?)?,
            difficulty: required("difficulty")?,
            gas_limit: u64::try_from(required("gasLimit")?)?,
            beneficiary: self.context.get("miner").ok_or("no miner")?.parse()?,
            base_fee_per_gas: field("baseFeePerGas")?.map(u64::try_from).transpose()?,
            mix_hash: self.genesis.mix_hash.unwrap_or_default(),
            ..Header::default()
        })
    }

    fn alloc(&self) -> Result<BTreeMap<Address, GenesisAccount>, Failure> {
        let word = |text: &String| Ok::<_, Failure>(B256::from(number(text)?));
        let one = |(address, account): (&Address, &Account)| {
            let storage = account.storage.iter().flatten().map(|(slot, value)| Ok((word(slot)?, word(value)?)));
            let made = GenesisAccount {
                balance: account.balance.as_deref().map(number).transpose()?.unwrap_or_default(),
                nonce: account.nonce.as_ref().map(small).transpose()?.unwrap_or_default(),
                code: account.code.clone().unwrap_or_default(),
                storage: storage.collect::<Result<_, Failure>>()?,
            };
            Ok((*address, made))
        };
        self.genesis.alloc.iter().map(one).collect()
    }
}
