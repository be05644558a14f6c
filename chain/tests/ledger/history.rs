//! Historical reads against a model, restarts and pruning.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use chain::{LedgerConfig, LedgerHandle, ViewError};
use evm_runtime::StateView;
use proptest::prelude::*;
use storage::{MemoryStore, Table};

use crate::world::*;

/// What can be read of a state: balances, nonces, codes, and five slots of every account.
type Picture = BTreeMap<Address, (U256, u64, usize, Vec<U256>)>;

fn picture(state: &StateView, accounts: &[Address]) -> Picture {
    let of = |address: Address| {
        let slots = (0..5).map(|slot| state.storage(address, U256::from(slot)).unwrap()).collect();
        (state.balance(address).unwrap(), state.nonce(address).unwrap(), state.code(address).unwrap().len(), slots)
    };
    accounts.iter().map(|address| (*address, of(*address))).collect()
}

fn accounts(blocks: &[consensus::RecoveredBlock]) -> Vec<Address> {
    let plain = (1..=9).map(address).chain((0x40..0x46).map(Address::repeat_byte));
    plain.chain(blocks.iter().flat_map(created)).collect()
}

fn pictures(ledger: &LedgerHandle, accounts: &[Address]) -> Vec<Picture> {
    let view = ledger.view();
    (0..=view.head().number).map(|number| picture(&view.state_at(number).unwrap(), accounts)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_historical_read_is_what_the_head_was_then(seed: u64) {
        let file = shanghai();
        let trunk = random_chain(&file, &[], seed, 8);
        let branch = random_chain(&file, &trunk[..5], seed ^ 7, 5);
        let blocks = [trunk.clone(), branch.clone()].concat();
        let accounts = accounts(&blocks);
        let store = Arc::new(MemoryStore::new());
        let ledger = open(store.clone(), &file);
        let mut model = vec![picture(&ledger.view().head_state(), &accounts)];
        for block in &trunk {
            ledger.import(block.clone(), NOW).unwrap();
            model.push(picture(&ledger.view().head_state(), &accounts));
        }
        prop_assert_eq!(&pictures(&ledger, &accounts), &model);
        // The same holds after a reorganisation, and after a restart.
        import_all(&ledger, &branch).unwrap();
        model.truncate(6);
        let straight = open(Arc::new(MemoryStore::new()), &file);
        import_all(&straight, &trunk[..5]).unwrap();
        for block in &branch {
            straight.import(block.clone(), NOW).unwrap();
            model.push(picture(&straight.view().head_state(), &accounts));
        }
        prop_assert_eq!(&pictures(&ledger, &accounts), &model);
        ledger.shut_down().unwrap();
        let reopened = open(store.clone(), &file);
        prop_assert_eq!(&pictures(&reopened, &accounts), &model);
        assert_whole(&*store);
    }
}

#[test]
fn pruned_history_is_refused_and_the_rest_still_reads() {
    let file = shanghai();
    let blocks = random_chain(&file, &[], 3, 8);
    let accounts = accounts(&blocks);
    let (whole, running, later) =
        (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    let archive = open(whole, &file);
    let kept = open_with(running.clone(), &file, LedgerConfig { history: Some(3), ..LedgerConfig::default() });
    let pruned = open(later.clone(), &file);
    for ledger in [&archive, &kept, &pruned] {
        import_all(ledger, &blocks).unwrap();
    }
    pruned.shut_down().unwrap();
    assert_eq!(chain::verify::prune(&*later, 3, |_| {}).unwrap(), 5);
    let pruned = open(later.clone(), &file);
    for (ledger, store) in [(&kept, &running), (&pruned, &later)] {
        let view = ledger.view();
        assert_eq!(view.state_at(4).unwrap_err(), ViewError::Pruned { first: 5 });
        assert_eq!(view.state_at(9).unwrap_err(), ViewError::UnknownBlock);
        for number in 5..=8 {
            let expected = picture(&archive.view().state_at(number).unwrap(), &accounts);
            assert_eq!(picture(&view.state_at(number).unwrap(), &accounts), expected, "block {number}");
        }
        assert_eq!(storage::Reader::iterate(&**store, Table::Changes, &[]).count(), 3);
        assert_whole(&**store);
    }
}
