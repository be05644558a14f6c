//! Blocks of other clients: ommers and rewards, the merge, the hand-over to Drawbridge's seal. Seals are trusted here; that they
//! are verified, the published vectors show.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B64, B256, U256};
use chain::{ImportError, ImportOutcome, LedgerHandle, verify};
use consensus::block::{BlockBody, ommers_hash};
use consensus::genesis::state_root;
use consensus::{Block, Genesis, GenesisAccount, Header, RecoveredBlock, SealedHeader, difficulty, fees};
use storage::{MemoryStore, Store};

use crate::world::{NOW, chain_file, mine, open};

const GWEI: u64 = 1_000_000_000;

/// A chain as another client would make it: blocks without transactions, whose state is the accounts' balances alone. A clone is
/// another branch.
#[derive(Clone)]
struct Foreign {
    genesis: Genesis,
    balances: BTreeMap<Address, GenesisAccount>,
    parent: SealedHeader,
    grandparent_timestamp: Option<u64>,
}

impl Foreign {
    fn new(file: &str) -> Self {
        let (genesis, _) = Genesis::parse(file).unwrap();
        let (balances, parent) = (genesis.alloc.clone(), genesis.header.clone());
        Self { genesis, balances, parent, grandparent_timestamp: None }
    }

    fn pay(&mut self, address: Address, wei: u128) {
        self.balances.entry(address).or_default().balance += U256::from(wei);
    }

    /// Makes a block by `miner` with these ommers, `seconds` after its parent, and builds on it.
    fn block(&mut self, miner: u8, ommers: Vec<Header>, seconds: u64) -> RecoveredBlock {
        const REWARD: u128 = 2_000_000_000_000_000_000;
        let number = self.parent.number + 1;
        for ommer in &ommers {
            self.pay(ommer.beneficiary, REWARD / 8 * u128::from(8 + ommer.number - number));
        }
        let nephew = REWARD / 32 * ommers.len() as u128;
        self.pay(Address::repeat_byte(miner), REWARD + nephew);
        self.sealed(miner, ommers, seconds)
    }

    fn sealed(&mut self, miner: u8, ommers: Vec<Header>, seconds: u64) -> RecoveredBlock {
        let (spec, parent) = (&self.genesis.spec, &self.parent);
        let timestamp = parent.timestamp + seconds;
        let mut header = Header {
            parent_hash: parent.hash(),
            number: parent.number + 1,
            beneficiary: Address::repeat_byte(miner),
            ommers_hash: ommers_hash(&ommers),
            timestamp,
            gas_limit: parent.gas_limit,
            base_fee_per_gas: fees::next_base_fee(spec, parent, timestamp),
            state_root: state_root(&self.balances),
            mix_hash: B256::repeat_byte(miner),
            nonce: B64::repeat_byte(miner),
            difficulty: U256::ONE,
            ..Header::default()
        };
        header.difficulty = difficulty::expected(spec, &header, parent, self.grandparent_timestamp);
        self.add(header, BlockBody { ommers, ..BlockBody::default() })
    }

    /// Makes a block past the merge.
    fn merged(&mut self, withdrawals: Vec<Withdrawal>, shanghai: bool) -> RecoveredBlock {
        for withdrawal in &withdrawals {
            self.pay(withdrawal.address, u128::from(withdrawal.amount) * u128::from(GWEI));
        }
        self.balances.retain(|_, account| !account.balance.is_zero());
        let parent = &self.parent;
        let timestamp = parent.timestamp + 12;
        let root = alloy_consensus::proofs::calculate_withdrawals_root(&withdrawals);
        let header = Header {
            parent_hash: parent.hash(),
            number: parent.number + 1,
            timestamp,
            gas_limit: parent.gas_limit,
            base_fee_per_gas: fees::next_base_fee(&self.genesis.spec, parent, timestamp),
            state_root: state_root(&self.balances),
            mix_hash: B256::repeat_byte(0x77),
            withdrawals_root: shanghai.then_some(root),
            ..Header::default()
        };
        self.add(header, BlockBody { withdrawals: shanghai.then(|| withdrawals.into()), ..BlockBody::default() })
    }

    fn add(&mut self, header: Header, body: BlockBody) -> RecoveredBlock {
        let block = RecoveredBlock::recover_by(&self.genesis.spec, Block { header, body }, None).unwrap();
        self.grandparent_timestamp = Some(self.parent.timestamp);
        self.parent = block.header.clone();
        block
    }
}

/// A changed copy of a block, as another block.
fn changed(block: &RecoveredBlock, change: impl FnOnce(&mut Header)) -> RecoveredBlock {
    let mut header = block.header.clone().into_header();
    change(&mut header);
    RecoveredBlock { header: SealedHeader::new(header), ..block.clone() }
}

fn refused(ledger: &LedgerHandle, block: RecoveredBlock, part: &str) {
    match ledger.import(block, NOW) {
        Err(ImportError::Invalid(reason)) => assert!(reason.contains(part), "{part}: {reason}"),
        other => panic!("{part}: {other:?}"),
    }
}

fn taken(ledger: &LedgerHandle, block: &RecoveredBlock) -> ImportOutcome {
    ledger.import(block.clone(), NOW).unwrap()
}

const CANONICAL: ImportOutcome = ImportOutcome::Canonical { reverted: 0 };

fn london(config: &str) -> String {
    chain_file(&format!(r#""londonBlock": 0, {config}"#))
}

#[test]
fn ommers_are_paid_and_their_rules_hold() {
    let file = london(r#""seal": "none""#);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = open(store.clone(), &file);
    let mut chain = Foreign::new(&file);
    let first = chain.block(1, vec![], 13);
    let lost = changed(&first, |header| header.beneficiary = Address::repeat_byte(9));
    assert_eq!(taken(&ledger, &first), CANONICAL);
    let with_own_ommer = Foreign::new(&file).block(1, vec![lost.header.clone().into_header()], 13);
    refused(&ledger, with_own_ommer, "its parent is no ancestor");
    // As many as the state says are paid, and the parent's ommers count in the difficulty after it.
    let second = chain.block(2, vec![lost.header.clone().into_header()], 13);
    refused(&ledger, changed(&second, |header| header.ommers_hash = B256::ZERO), "ommers hash");
    assert_eq!(taken(&ledger, &second), CANONICAL);
    let again = chain.clone().block(3, vec![lost.header.clone().into_header()], 13);
    refused(&ledger, again, "named before");
    let bad = changed(&lost, |header| header.difficulty += U256::ONE);
    let with_bad = chain.clone().block(3, vec![bad.header.into_header()], 13);
    refused(&ledger, with_bad, "difficulty");
    let view = ledger.view();
    let ommer_reward = view.head_state().balance(Address::repeat_byte(9)).unwrap();
    assert_eq!(ommer_reward, U256::from(1_750_000_000_000_000_000u64));
    assert_eq!(view.block_by_number(2).unwrap().unwrap().ommers.len(), 1);
    ledger.shut_down().unwrap();
    assert_eq!(verify::verify(&*store, |_| {}).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_tie_keeps_the_first_and_more_work_wins_at_any_depth() {
    let file = london(r#""seal": "none""#);
    let ledger = open(Arc::new(MemoryStore::new()), &file);
    let (mut first, mut second) = (Foreign::new(&file), Foreign::new(&file));
    for _ in 0..25 {
        assert_eq!(taken(&ledger, &first.block(1, vec![], 13)), CANONICAL);
    }
    for _ in 0..25 {
        assert_eq!(taken(&ledger, &second.block(2, vec![], 13)), ImportOutcome::SideBranch);
    }
    assert_eq!(ledger.view().head().hash(), first.parent.hash());
    assert_eq!(taken(&ledger, &second.block(2, vec![], 13)), ImportOutcome::Canonical { reverted: 25 });
}

#[test]
fn a_bad_block_on_a_lighter_branch_is_refused_when_it_comes() {
    let file = london(r#""seal": "none""#);
    let ledger = open(Arc::new(MemoryStore::new()), &file);
    let (mut first, mut second) = (Foreign::new(&file), Foreign::new(&file));
    for _ in 0..3 {
        assert_eq!(taken(&ledger, &first.block(1, vec![], 13)), CANONICAL);
    }
    assert_eq!(taken(&ledger, &second.block(2, vec![], 13)), ImportOutcome::SideBranch);
    let good = second.block(2, vec![], 13);
    refused(&ledger, changed(&good, |header| header.state_root = B256::ZERO), "state root");
    assert_eq!(taken(&ledger, &good), ImportOutcome::SideBranch);
    assert_eq!(ledger.view().head().hash(), first.parent.hash());
}

#[test]
fn timestamps_rise_and_nothing_is_made_on_an_imported_chain() {
    let file = london(r#""seal": "none""#);
    let ledger = open(Arc::new(MemoryStore::new()), &file);
    let mut chain = Foreign::new(&file);
    let block = chain.block(1, vec![], 13);
    refused(&ledger, changed(&block, |header| header.timestamp = 0), "not after the parent's");
    assert_eq!(taken(&ledger, &block), CANONICAL);
    let built = ledger.build(&crate::world::request("own")).map(drop);
    assert!(matches!(built, Err(ImportError::MadeElsewhere { number: 2, .. })), "{built:?}");
}

#[test]
fn work_ends_at_the_terminal_difficulty_and_the_last_block_is_the_head() {
    let file = london(r#""seal": "none", "shanghaiTime": 40, "terminalTotalDifficulty": 131074"#);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = open(store.clone(), &file);
    let mut chain = Foreign::new(&file);
    refused(&ledger, chain.clone().merged(vec![], false), "has not reached the terminal one");
    assert_eq!(taken(&ledger, &chain.block(1, vec![], 13)), CANONICAL);
    assert_eq!(taken(&ledger, &chain.block(1, vec![], 13)), CANONICAL);
    refused(&ledger, chain.clone().block(1, vec![], 13), "the work has ended");

    let first = chain.merged(vec![], false);
    refused(&ledger, changed(&first, |header| header.nonce = B64::repeat_byte(1)), "nonce");
    assert_eq!(taken(&ledger, &first), CANONICAL);
    let paid = Withdrawal { index: 0, validator_index: 1, address: Address::repeat_byte(0xaa), amount: 7 };
    let nothing = Withdrawal { index: 1, validator_index: 1, address: Address::repeat_byte(0xbb), amount: 0 };
    let mut other = chain.clone();
    let second = chain.merged(vec![paid, nothing], true);
    refused(&ledger, changed(&second, |header| header.withdrawals_root = Some(B256::ZERO)), "withdrawals root");
    assert_eq!(taken(&ledger, &second), CANONICAL);
    assert_eq!(ledger.view().head_state().balance(Address::repeat_byte(0xaa)).unwrap(), U256::from(7 * GWEI));
    assert_eq!(ledger.view().head_state().account(Address::repeat_byte(0xbb)).unwrap(), None);
    // The same total difficulty: what comes last is the consensus layer's choice.
    let instead = other.merged(vec![nothing], true);
    assert_eq!(taken(&ledger, &instead), ImportOutcome::Canonical { reverted: 1 });
    assert_eq!(ledger.view().head_state().account(Address::repeat_byte(0xaa)).unwrap(), None);
    ledger.shut_down().unwrap();
    assert_eq!(verify::verify(&*store, |_| {}).unwrap().problems, Vec::<String>::new());
}

#[test]
fn drawbridge_goes_on_where_the_chain_file_says() {
    let file = london(
        r#""seal": "none", "pow": {"fromBlock": 3, "difficulty": {"min": 1, "start": 5}, "block_reward": 11, "finality_depth": 1, "safe_depth": 1}"#,
    );
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = open(store.clone(), &file);
    let mut chain = Foreign::new(&file);
    let blocks = [chain.block(1, vec![], 13), chain.block(1, vec![], 13)];
    assert_eq!(taken(&ledger, &blocks[0]), CANONICAL);
    let built = ledger.build(&crate::world::request("early")).map(drop);
    assert!(
        matches!(&built, Err(error @ ImportError::MadeElsewhere { number: 2, .. }) if error.to_string().contains("from block 3")),
        "{built:?}"
    );
    assert_eq!(taken(&ledger, &blocks[1]), CANONICAL);
    let mut foreign_third = chain.block(1, vec![], 13);
    foreign_third.witness = None;
    assert!(matches!(ledger.import(foreign_third, NOW), Err(ImportError::Invalid(_))));

    let own: Vec<_> = (0..4).map(|_| mine(&ledger, "own", &[])).collect();
    let difficulties: Vec<u64> = own.iter().map(|block| block.header.difficulty.to()).collect();
    // The start, the same again, and the rule from there: blocks of the same second come too fast.
    assert_eq!(difficulties[..2], [5, 5]);
    assert!(difficulties[3] >= 5, "{difficulties:?}");
    assert!(own[0].header.withdrawals_root.is_some() && own[0].header.requests_hash.is_some(), "the newest fork");
    let view = ledger.view();
    assert_eq!(
        view.total_difficulty(own[0].hash()).unwrap().unwrap(),
        view.total_difficulty(blocks[1].hash()).unwrap().unwrap() + U256::from(5)
    );
    assert_eq!(
        view.state_at(2).unwrap().balance(Address::repeat_byte(1)).unwrap(),
        U256::from(4_000_000_000_000_000_000u64)
    );
    assert_eq!(view.head_state().balance(crate::world::address(9)).unwrap(), U256::from(44));
    ledger.shut_down().unwrap();
    assert_eq!(verify::verify(&*store, |_| {}).unwrap().problems, Vec::<String>::new());

    // A node that is given all blocks one after the other agrees.
    let follower = open(Arc::new(MemoryStore::new()), &file);
    blocks.iter().chain(&own).for_each(|block| assert_eq!(taken(&follower, block), CANONICAL));
    assert_eq!(follower.view().head().hash(), own[3].hash());
}
