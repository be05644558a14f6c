//! Chains of other clients, imported from their files, and continued under Drawbridge's own seal.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, Bytes};
use bench::Failure;
use chain::files::{self, FileError};
use chain::{BuildRequest, ImportError, Ledger, LedgerConfig, LedgerHandle, TransactionOrder};
use consensus::block::decode_block;
use consensus::search::{SearchJob, search};
use consensus::{Era, Fork, Genesis, Header, RecoveredBlock, SealedHeader};
use serde_json::{Value, json};

use super::block::expect_whole;
use crate::conformance::stores::{FreshStore, Stores};
use crate::conformance::suite::{Cases, Checked, Context, Job, NO_FORK, Suite, expect_equal};
use crate::conformance::vectors::read_json;

pub(crate) const SEALED: Suite = Suite {
    name: "chain",
    about: "chains of other clients with their Ethash seals, imported from their files: head, state root, every row of the database; \
            a forged seal refused; then the chain goes on under Drawbridge's seal and newest fork, and its export is imported again",
    archive: "chains",
    skips: &[],
    jobs: sealed_jobs,
};

pub(crate) const SERVED: Suite = Suite {
    name: "served-chain",
    about: "the chains that other nodes' JSON-RPC answers were recorded on, imported from their files: through every fork, past the \
            merge, with withdrawals, blobs and requests",
    archive: "rpc",
    skips: &[],
    jobs: served_jobs,
};

/// A chain of the archive `rpc`.
#[derive(Clone, Copy)]
pub(super) struct ServedChain {
    /// Its folder.
    pub(super) folder: &'static str,
    /// Its file of blocks.
    pub(super) blocks: &'static str,
    /// How its seals are checked: `ethash` where they are real, else `none`.
    pub(super) seal: &'static str,
    /// The number of its last block.
    head: u64,
}

const fn served(folder: &'static str, blocks: &'static str, seal: &'static str, head: u64) -> ServedChain {
    ServedChain { folder, blocks, seal, head }
}

/// The chains of the archive `rpc`.
pub(super) const SERVED_CHAINS: [ServedChain; 5] = [
    served("execution-apis-2023-pow", "chain.rlp", "ethash", 3),
    served("execution-apis-2026", "chain.rlp", "none", 54),
    served("besu-2023-pow", "blocks.rlp", "ethash", 32),
    served("besu-2025-trace-pow", "blocks.rlp", "none", 33),
    served("besu-2026-geth-tracers-pos", "blocks.rlp", "none", 34),
];

/// How many blocks Drawbridge adds to a chain.
const OWN_BLOCKS: u64 = 5;

fn sealed_jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(&context.folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    folders.retain(|folder| folder.join("expected.json").is_file());
    folders.sort();
    let job = |folder: PathBuf| {
        let stores = context.stores.clone();
        Job::new(context.name_of(&folder), move |cases| run_sealed(&folder, &stores, cases))
    };
    Ok(folders.into_iter().map(job).collect())
}

fn served_jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let job = |ServedChain { folder: name, blocks: file, seal, head }: ServedChain| {
        let (folder, stores) = (context.folder.join(name), context.stores.clone());
        Job::new(name, move |cases| {
            cases.run(NO_FORK, "imports", || {
                let chain = Chain::open(&folder, &json!({ "seal": seal }), &stores)?;
                chain.import(&folder.join(file))?;
                expect_equal("head", &head, &chain.ledger.view().head().number)?;
                chain.close_whole()
            });
            let bad = folder.join("bad.rlp");
            if bad.is_file() {
                cases.run(NO_FORK, "refuses a block that says more gas than it used", || {
                    // Seals are not looked at here: the changed block has none.
                    let chain = Chain::open(&folder, &json!({ "seal": "none" }), &stores)?;
                    chain.import(&folder.join(file))?;
                    expect_gas_checked(&chain, &bad)?;
                    chain.close_whole()
                });
            }
            Ok(())
        })
    };
    Ok(SERVED_CHAINS.into_iter().map(job).collect())
}

/// Expects that the block in a file is refused with its gas used raised by one, and is taken as it stands.
///
/// Those who made the file meant to raise it and dropped the changed copy, so that the block in it is valid.
fn expect_gas_checked(chain: &Chain, path: &Path) -> Checked {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let block = decode_block(&bytes).map_err(|error| error.to_string())?;
    let head = chain.ledger.view().head().hash();
    let mut lying = block.clone();
    lying.header.gas_used += 1;
    let spec = chain.ledger.view().spec().clone();
    let lying = RecoveredBlock::recover_by(&spec, lying, None).map_err(|error| error.to_string())?;
    match chain.ledger.import(lying, now()) {
        Err(ImportError::Invalid(_)) => expect_equal("head", &head, &chain.ledger.view().head().hash())?,
        Err(error) => return Err(format!("refused for another reason: {error}")),
        Ok(outcome) => return Err(format!("taken: {outcome:?}")),
    }
    let right = RecoveredBlock::recover_by(&spec, block, None).map_err(|error| error.to_string())?;
    let number = right.number();
    chain.ledger.import(right, now()).map_err(|error| error.to_string())?;
    expect_equal("head", &number, &chain.ledger.view().head().number)
}

fn run_sealed(folder: &Path, stores: &Stores, cases: &mut Cases<'_>) -> Result<(), Failure> {
    let expected: Value = read_json(&folder.join("expected.json"))?;
    let blocks = folder.join("blocks.rlp");
    cases.run(NO_FORK, "imports with its seals", || {
        let chain = Chain::open(folder, &json!({ "seal": "ethash" }), stores)?;
        chain.import(&blocks)?;
        chain.expect(&expected)?;
        expect_seal_refused(&chain.ledger)?;
        chain.close_whole()
    });
    cases.run(NO_FORK, "imports without looking at seals", || {
        let chain = Chain::open(folder, &json!({ "seal": "none" }), stores)?;
        chain.import(&blocks)?;
        chain.expect(&expected)?;
        chain.close_whole()
    });
    cases.run(NO_FORK, "goes on under Drawbridge's seal", || go_on(folder, &expected, stores));
    Ok(())
}

/// A ledger of one chain on a store of its own.
pub(super) struct Chain {
    pub(super) ledger: LedgerHandle,
    store: FreshStore,
}

impl Chain {
    /// Opens a ledger with the chain file of `folder`, to whose `config` the fields of `extra` are added; the rest stays as it is
    /// written, numbers of more than 64 bits among it.
    ///
    /// # Errors
    /// The chain file cannot be read or used.
    pub(super) fn open(folder: &Path, extra: &Value, stores: &Stores) -> Result<Self, String> {
        let path = folder.join("genesis.json");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (before, rest) = text.split_once("\"config\"").ok_or("the chain file has no config")?;
        let (colon, fields) = rest.split_once('{').ok_or("config is no object")?;
        let extra = extra.to_string();
        let extra = extra.strip_prefix('{').and_then(|extra| extra.strip_suffix('}')).ok_or("no fields")?;
        let text = format!("{before}\"config\"{colon}{{{extra},{fields}");
        let (genesis, _) = Genesis::parse(&text).map_err(|error| error.to_string())?;
        let store = stores.open().map_err(|error| error.to_string())?;
        let ledger = Ledger::open(store.store().clone(), &genesis, &text, LedgerConfig::default());
        Ok(Self { ledger: ledger.map_err(|error| error.to_string())?, store })
    }

    /// Imports all blocks of a file.
    ///
    /// # Errors
    /// A block is not valid, or the file cannot be read.
    pub(super) fn import(&self, path: &Path) -> Checked {
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let imported = files::import(&self.ledger, BufReader::new(file), now, |_| {});
        imported.map(drop).map_err(|error: FileError| error.to_string())
    }

    fn expect(&self, expected: &Value) -> Checked {
        let view = self.ledger.view();
        let hash = |name: &str| expected[name].as_str().and_then(|text| text.parse::<B256>().ok()).unwrap_or_default();
        expect_equal("head hash", &hash("head_hash"), &view.head().hash())?;
        expect_equal("state root", &hash("head_state_root"), &view.head().state_root)
    }

    fn close_whole(self) -> Checked {
        self.ledger.shut_down().map_err(|error| error.to_string())?;
        expect_whole(&**self.store.store())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The head with one bit of its seal changed is another block, and must be refused for its seal.
fn expect_seal_refused(ledger: &LedgerHandle) -> Checked {
    let view = ledger.view();
    let head = view.block_by_hash(view.head().hash()).map_err(|error| error.to_string())?.ok_or("no head")?;
    let changes: [fn(&mut Header); 2] = [|header| header.nonce.0[0] ^= 128, |header| header.mix_hash.0[0] ^= 128];
    for change in changes {
        let mut header = head.header.clone().into_header();
        change(&mut header);
        let forged = RecoveredBlock { header: SealedHeader::new(header), ..(*head).clone() };
        match ledger.import(forged, now()) {
            Err(ImportError::Invalid(reason)) if reason.contains("mix hash") => {}
            other => return Err(format!("a forged seal: {other:?}")),
        }
    }
    Ok(())
}

/// Imports a chain whose file names the block after its last as the first under Drawbridge's seal, mines on, exports all, and
/// imports the export elsewhere.
fn go_on(folder: &Path, expected: &Value, stores: &Stores) -> Checked {
    let first = expected["head_number"].as_u64().ok_or("no head_number")? + 1;
    let own = json!({ "seal": "ethash", "pow": { "fromBlock": first, "difficulty": { "min": 1, "start": 16 } } });
    let chain = Chain::open(folder, &own, stores)?;
    chain.import(&folder.join("blocks.rlp"))?;
    chain.expect(expected)?;
    for _ in 0..OWN_BLOCKS {
        mine(&chain.ledger)?;
    }
    let view = chain.ledger.view();
    let (head, spec) = (view.head(), view.spec());
    expect_equal("head", &(first - 1 + OWN_BLOCKS), &head.number)?;
    if spec.era_of(head) != Era::Drawbridge {
        return Err("the head is not sealed by Drawbridge's rules".to_owned());
    }
    // A file that schedules forks past the merge by time keeps its own schedule.
    let scheduled = spec.forks.activations().iter().any(|(fork, _)| *fork == Fork::NEWEST);
    if scheduled && spec.fork_of(head) != Fork::NEWEST {
        return Err(format!("the head runs {:?}", spec.fork_of(head)));
    }
    let mut exported = Vec::new();
    files::export(&view, &mut exported, 0, head.number, |_| {}).map_err(|error| error.to_string())?;
    let again = Chain::open(folder, &own, stores)?;
    files::import(&again.ledger, &exported[..], now, |_| {}).map_err(|error| error.to_string())?;
    expect_equal("head of the copy", &head.hash(), &again.ledger.view().head().hash())?;
    again.close_whole()?;
    chain.close_whole()
}

fn mine(ledger: &LedgerHandle) -> Checked {
    let request = BuildRequest {
        beneficiary: Address::repeat_byte(0xdb),
        timestamp: now(),
        extra_data: Bytes::new(),
        gas_limit: 30_000_000,
        order: TransactionOrder::Arrival,
        min_tip_wei: 0,
    };
    let candidate = ledger.build(&request).map_err(|error| error.to_string())?;
    let nonce = search(&SearchJob::new(candidate.header()), 0, 1).ok_or("the search was cancelled")?;
    ledger.import_mined(candidate, nonce, None, now()).map(drop).map_err(|error| error.to_string())
}
