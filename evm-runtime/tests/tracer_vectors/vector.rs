//! The published format: a genesis, a block's context, a signed transaction, a tracer's options and its answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use alloy_primitives::{Address, B256, Bytes, U256};
use consensus::spec::{Activation, Fork, ForkSchedule};
use consensus::transaction::decode_transaction;
use consensus::{
    ChainSpec, DifficultyRule, EmptyBlocks, FeeRules, Genesis, GenesisAccount, Header, PowRules, RecoveredTransaction,
    SealedHeader,
};
use evm_runtime::state::{self, StateView};
use evm_runtime::{GethTracer, TraceContext, trace};
use serde::Deserialize;
use serde_json::{Value, json};
use storage::{Durability, MemoryStore, Stage, Store};

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

/// One published case.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Vector {
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

fn number(text: &str) -> U256 {
    match text.strip_prefix("0x") {
        Some("") => U256::ZERO,
        Some(digits) => U256::from_str_radix(digits, 16).unwrap(),
        None => text.parse().unwrap(),
    }
}

fn small(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| number(value.as_str().unwrap()).to())
}

impl Vector {
    /// Reads a file.
    pub(crate) fn read(file: &Path) -> Self {
        serde_json::from_str(&std::fs::read_to_string(file).unwrap())
            .unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    }

    /// Returns the answer that geth gave.
    pub(crate) fn expected(&self) -> &Value {
        &self.result
    }

    /// Runs the transaction under `tracer`.
    pub(crate) fn trace(&self, tracer: &str) -> Value {
        let (spec, header) = (self.spec(), self.header());
        let store = MemoryStore::new();
        let mut stage = Stage::new(store.snapshot());
        let genesis = Genesis {
            spec: spec.clone(),
            header: SealedHeader::new(header.clone()),
            alloc: self.alloc(),
            bootnodes: vec![],
        };
        state::put_genesis(&mut stage, &genesis).unwrap();
        store.commit(stage.into_batch(), Durability::Process).unwrap();
        let parent = StateView::at_head(store.snapshot());
        let transaction = decode_transaction(&self.input).unwrap();
        let transactions = [RecoveredTransaction::recover_frontier(transaction).unwrap()];
        let cancelled = AtomicBool::new(false);
        let context = TraceContext {
            spec: &spec,
            header: &header,
            hash: B256::ZERO,
            transactions: &transactions,
            parent: &parent,
            cancelled: &cancelled,
            bytes_max: 50_000_000,
        };
        let options = json!({ "tracer": tracer, "tracerConfig": self.tracer_config });
        let tracer = GethTracer::new(serde_json::from_value(options).unwrap()).unwrap();
        serde_json::to_value(trace::trace_transaction(&context, 0, &tracer).unwrap()).unwrap()
    }

    fn spec(&self) -> ChainSpec {
        let config = &self.genesis.config;
        let activation = |name: &str, at: u64| match name.ends_with("Time") {
            true => Activation::Time(at),
            false => Activation::Block(at),
        };
        let listed = FORKS.iter().filter_map(|(name, fork)| Some((*fork, activation(name, small(config.get(*name)?)))));
        // The file says by this that its block has no proof of work.
        let merged = config.get("terminalTotalDifficulty").is_some_and(|total| small(total) == 0);
        let merged = merged.then_some((Fork::Paris, Activation::Block(0)));
        ChainSpec {
            chain_id: small(&config["chainId"]),
            forks: ForkSchedule::new(listed.chain(merged).collect()),
            pow: PowRules {
                difficulty: DifficultyRule::Fixed(U256::from(1)),
                empty_blocks: EmptyBlocks::Always,
                block_reward: U256::ZERO,
                authorized_miners: Default::default(),
                safe_depth: 0,
                finality_depth: 0,
            },
            fees: FeeRules::default(),
            contract_size_limit: None,
        }
    }

    fn header(&self) -> Header {
        let field = |name: &str| self.context.get(name).map(|text| number(text));
        let number = |name: &str| field(name).map(|value| value.to::<u64>());
        Header {
            number: number("number").unwrap(),
            timestamp: number("timestamp").unwrap(),
            difficulty: field("difficulty").unwrap(),
            gas_limit: number("gasLimit").unwrap(),
            beneficiary: self.context["miner"].parse().unwrap(),
            base_fee_per_gas: number("baseFeePerGas"),
            mix_hash: self.genesis.mix_hash.unwrap_or_default(),
            ..Header::default()
        }
    }

    fn alloc(&self) -> BTreeMap<Address, GenesisAccount> {
        let word = |text: &String| B256::from(number(text));
        let one = |(address, account): (&Address, &Account)| {
            let storage = account.storage.iter().flatten().map(|(slot, value)| (word(slot), word(value)));
            let made = GenesisAccount {
                balance: account.balance.as_deref().map(number).unwrap_or_default(),
                nonce: account.nonce.as_ref().map(small).unwrap_or_default(),
                code: account.code.clone().unwrap_or_default(),
                storage: storage.collect(),
            };
            (*address, made)
        };
        self.genesis.alloc.iter().map(one).collect()
    }
}
