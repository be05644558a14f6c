//! The state before a transaction, in a store of its own, and running a transaction on it.

use alloy_primitives::{B256, Log, U256, keccak256};
use consensus::spec::Fork;
use consensus::{Genesis, Header, SealedHeader};
use evm_runtime::execute::BlockExecutor;
use evm_runtime::state::{self, StateView};
use evm_runtime::{BlockState, ExecutedBlock, Receipt, TransactionRefused};
use storage::{Durability, Stage, Table};

use super::format::{self, Case, Test};
use crate::conformance::spec;
use crate::conformance::stores::{FreshStore, Stores};
use crate::conformance::suite::{Checked, expect_equal};

/// How many blocks back the EVM sees hashes.
const HASHES_SEEN: u64 = 256;

/// The state before the transaction.
pub(super) struct PreState {
    store: FreshStore,
    root: B256,
    header: Header,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl PreState {
    /// Commits the accounts of `test` to a fresh store.
    ///
    /// # Errors
    /// The vectors are malformed, or the store fails.
    pub(super) fn new(test: &Test, stores: &Stores) -> Result<Self, String> {
        let store = stores.open().map_err(text)?;
        let mut stage = Stage::new(store.store().snapshot());
        let genesis = Genesis {
            spec: spec::of_fork(Fork::NEWEST),
            header: SealedHeader::new(Header::default()),
            alloc: test.alloc()?,
            bootnodes: Vec::new(),
        };
        let root = state::put_genesis(&mut stage, &genesis).map_err(text)?;
        let header = test.header()?;
        for number in header.number.saturating_sub(HASHES_SEEN)..header.number {
            stage.put(Table::Canonical, number.to_be_bytes(), keccak256(number.to_string()).0);
        }
        store.store().commit(stage.into_batch(), Durability::Process).map_err(text)?;
        Ok(Self { store, root, header })
    }

    /// Executes the case's transaction as a block of its own, compares root and logs, commits, checks the committed state against
    /// itself, and undoes the block, which must give the root before.
    ///
    /// # Errors
    /// Says what differs. The store is then in an unknown state.
    pub(super) fn run(&self, test: &Test, fork: Fork, case: &Case) -> Checked {
        let Some(block) = self.execute(test, fork, case)? else { return self.expect_untouched(fork, case) };
        let number = self.header.number;
        let mut stage = Stage::new(self.store.store().snapshot());
        let root = state::apply(&mut stage, number, &block.changes).map_err(text)?;
        expect_equal("state root", &case.hash, &root)?;
        expect_equal("logs", &case.logs, &logs_hash(&block.receipts))?;
        self.commit(stage)?;
        self.expect_whole(root)?;
        let mut stage = Stage::new(self.store.store().snapshot());
        let undone = state::undo(&mut stage, number).map_err(text)?;
        expect_equal("state root after undoing", &self.root, &undone)?;
        self.commit(stage)
    }

    /// Returns the executed block, or `None` where the transaction is refused as the case expects.
    fn execute(&self, test: &Test, fork: Fork, case: &Case) -> Result<Option<ExecutedBlock>, String> {
        let Some(transaction) = test.transaction(case)? else {
            return if case.expect_exception.is_some() { Ok(None) } else { Err("no transaction".to_owned()) };
        };
        let spec = spec::of_fork(fork);
        let header = format::header_at(fork, self.header.clone());
        let snapshot = self.store.store().snapshot();
        let view = StateView::at_head(snapshot.clone());
        let mut executor = BlockExecutor::begin(&spec, &header, &view, &*snapshot).map_err(text)?;
        match (executor.transact(&transaction), &case.expect_exception) {
            (Ok(()), None) => executor.finish().map(Some).map_err(text),
            (Ok(()), Some(expected)) => Err(format!("accepted, but expected {expected}")),
            (Err(TransactionRefused::State(error)), _) => Err(error.to_string()),
            (Err(_), Some(_)) => Ok(None),
            (Err(error), None) => Err(format!("refused: {error}")),
        }
    }

    fn commit(&self, stage: Stage) -> Checked {
        self.store.store().commit(stage.into_batch(), Durability::Process).map_err(text)
    }

    /// Rebuilds every trie from the flat rows of the store.
    fn expect_whole(&self, root: B256) -> Checked {
        let check = state::check(&*self.store.store().snapshot()).map_err(text)?;
        if check.root == root && check.problems.is_empty() {
            return Ok(());
        }
        Err(format!("the state does not check out: root {}, {:?}", check.root, check.problems))
    }

    /// A refused transaction leaves the state as it was, save that the tests credit the beneficiary with nothing, which before state
    /// clearing (EIP-161) makes an empty account.
    fn expect_untouched(&self, fork: Fork, case: &Case) -> Checked {
        if fork >= Fork::SpuriousDragon {
            return expect_equal("state root", &case.hash, &self.root);
        }
        let snapshot = self.store.store().snapshot();
        let view = StateView::at_head(snapshot.clone());
        let mut state = BlockState::new(&view);
        state.credit(self.header.beneficiary, U256::ZERO).map_err(text)?;
        let applied = state::compute(&*snapshot, &state.changes()).map_err(text)?;
        expect_equal("state root", &case.hash, &applied.root)
    }
}

/// Returns keccak256 of the RLP list of all logs.
fn logs_hash(receipts: &[Receipt]) -> B256 {
    let logs: Vec<&Log> = receipts.iter().flat_map(|receipt| receipt.logs()).collect();
    let mut out = Vec::new();
    alloy_rlp::encode_list::<_, Log>(&logs, &mut out);
    keccak256(out)
}
