//! The pool beside a simple model: random additions, blocks, reorganisations, spending and time.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::{Transaction as _, TxEip1559};
use alloy_primitives::{Address, B256, U256};
use consensus::RecoveredTransaction;
use proptest::prelude::*;

use super::support::{World, address, check, dynamic, signed};
use crate::pool::{DropReason, HeadState, Pool, PoolConfig, PoolError, TransactionOrder, TransactionOrigin};

#[derive(Clone, Debug)]
enum Step {
    Add {
        sender: u64,
        nonce: u64,
        fee_cap: u128,
        tip_cap: u128,
        value: u64,
        local: bool,
    },
    /// Mines so many of the best.
    Mine {
        count: usize,
        by_price: bool,
    },
    /// Takes the last block away and mines so many of what then is best.
    Reorganise {
        count: usize,
    },
    /// Sets a balance, as a payment from elsewhere or the sender's delegate does.
    Pay {
        sender: u64,
        balance: u64,
    },
    Remove {
        pick: usize,
    },
    Limit {
        price: u128,
    },
    Wait {
        seconds: u64,
    },
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let add = (0..6_u64, 0..9_u64, 0..40_u128, 0..40_u128, 0..3_u64, prop::bool::weighted(0.15)).prop_map(
        |(sender, nonce, fee_cap, tip_cap, value, local)| Step::Add {
            sender,
            nonce,
            fee_cap,
            tip_cap,
            value: value * 300_000,
            local,
        },
    );
    prop_oneof![
        40 => add,
        4 => (0..8_usize, any::<bool>()).prop_map(|(count, by_price)| Step::Mine { count, by_price }),
        2 => (0..8_usize).prop_map(|count| Step::Reorganise { count }),
        2 => (0..6_u64, 0..3_000_000_u64).prop_map(|(sender, balance)| Step::Pay { sender, balance }),
        2 => (0..20_usize).prop_map(|pick| Step::Remove { pick }),
        1 => (0..5_u128).prop_map(|price| Step::Limit { price }),
        1 => (0..300_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Clear),
    ]
}

/// What the model remembers: who is in the pool, and the chain.
struct Model {
    pool: Pool,
    config: PoolConfig,
    world: World,
    now: u64,
    held: BTreeMap<B256, RecoveredTransaction>,
    /// The last block, and the accounts before it.
    last: Option<(Vec<RecoveredTransaction>, World)>,
    locals: BTreeSet<Address>,
}

impl Model {
    fn new() -> Self {
        let config = PoolConfig {
            account_slots: 3,
            global_slots: 10,
            account_queue: 3,
            global_queue: 6,
            lifetime_s: 200,
            bytes_max: 20 * 900,
            ..PoolConfig::default()
        };
        let mut world = World::default();
        for sender in 0..6 {
            world.set(sender, 0, 2_000_000);
        }
        let pool = Pool::new(config.clone());
        // The pool hears of its first head, so that it knows which state is its own.
        pool.on_new_head(&world, &mut [].iter(), Vec::new(), 0);
        Self { pool, config, world, now: 0, held: BTreeMap::new(), last: None, locals: BTreeSet::new() }
    }

    fn lose(&mut self, dropped: Vec<(B256, DropReason)>) {
        for (hash, reason) in dropped {
            assert!(self.held.remove(&hash).is_some(), "{hash} was dropped ({reason}) and is not held");
        }
    }

    /// Says what a pool without limits must answer.
    fn expected(&self, tx: &RecoveredTransaction, is_local: bool) -> Result<(), PoolError> {
        let cost = |tx: &RecoveredTransaction| U256::from(tx.max_fee_per_gas()) * U256::from(21_000) + tx.value();
        let (next, balance, _) = self.world.account(tx.sender()).unwrap();
        let tip = tx.max_priority_fee_per_gas().unwrap();
        if self.held.contains_key(&tx.hash()) {
            return Err(PoolError::AlreadyKnown);
        }
        if tip > tx.max_fee_per_gas() {
            return Err(PoolError::TipAboveFeeCap);
        }
        if tip < self.config.price_limit_wei && !is_local {
            return Err(PoolError::Underpriced { tip_wei: tip, minimum_wei: self.config.price_limit_wei });
        }
        if tx.nonce() < next {
            return Err(PoolError::NonceTooLow { next, tx: tx.nonce() });
        }
        if cost(tx) > balance {
            return Err(PoolError::InsufficientFunds { balance, cost: cost(tx), overshot: cost(tx) - balance });
        }
        let mine: BTreeMap<u64, &RecoveredTransaction> =
            self.held.values().filter(|held| held.sender() == tx.sender()).map(|held| (held.nonce(), held)).collect();
        let mut queued = U256::ZERO;
        let mut executable = BTreeSet::new();
        for nonce in next.. {
            let Some(held) = mine.get(&nonce).filter(|held| queued + cost(held) <= balance) else { break };
            queued += cost(held);
            executable.insert(nonce);
        }
        let old = mine.get(&tx.nonce());
        if let Some(old) = old.filter(|_| executable.contains(&tx.nonce())) {
            let bump = cost(tx).saturating_sub(cost(old));
            if queued + bump > balance {
                return Err(PoolError::OverdraftByReplacement { balance, queued, bump });
            }
        } else if queued + cost(tx) > balance {
            return Err(PoolError::Overdraft { balance, queued, cost: cost(tx) });
        }
        let outbids = |old: u128, new: u128| new >= old * 110 / 100 && (old == 0 || new > old);
        match old {
            Some(old)
                if !outbids(old.max_fee_per_gas(), tx.max_fee_per_gas())
                    || !outbids(old.max_priority_fee_per_gas().unwrap(), tip) =>
            {
                Err(PoolError::ReplacementUnderpriced)
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, tx: RecoveredTransaction, local: bool) {
        let origin = if local { TransactionOrigin::Local } else { TransactionOrigin::Remote };
        let is_local = local || self.locals.contains(&tx.sender());
        let expected = self.expected(&tx, is_local);
        match self.pool.add(tx.clone(), origin, &self.world, self.now) {
            Ok(added) => {
                assert_eq!(expected, Ok(()));
                self.held.insert(tx.hash(), tx.clone());
                self.lose(added.dropped);
                assert!(self.held.contains_key(&tx.hash()), "accepted and dropped at once");
                if local {
                    self.locals.insert(tx.sender());
                }
            }
            Err(PoolError::PoolFull | PoolError::Outbid) => assert_eq!(expected, Ok(())),
            Err(error) => assert_eq!(expected, Err(error)),
        }
    }

    fn mine(&mut self, count: usize, order: TransactionOrder, returned: Vec<RecoveredTransaction>, before: World) {
        // A reorganisation builds on the state before the dropped block.
        let number = self.world.head.number;
        let mined: Vec<RecoveredTransaction> = if returned.is_empty() {
            self.pool.best(order, Some(0), 0).take(count).collect()
        } else {
            returned.iter().take(count).cloned().collect()
        };
        self.world = before.clone();
        self.world.head.number = number;
        self.world.mine(&mined);
        for tx in &returned {
            self.held.insert(tx.hash(), tx.clone());
        }
        let dropped = self.pool.on_new_head(&self.world, &mut mined.iter(), returned, self.now);
        for tx in &mined {
            self.held.remove(&tx.hash());
        }
        self.lose(dropped);
        self.last = Some((mined, before));
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Add { sender, nonce, fee_cap, tip_cap, value, local } => {
                let next = self.world.account(address(sender)).unwrap().0;
                // Mostly near the account's nonce, before and behind it.
                let nonce = (next + nonce).saturating_sub(2);
                let tx = TxEip1559 { value: U256::from(value), ..dynamic(nonce, fee_cap, tip_cap) };
                self.add(signed(sender, tx), local);
            }
            Step::Mine { count, by_price } => {
                let order = if by_price { TransactionOrder::Price } else { TransactionOrder::Arrival };
                self.mine(count, order, Vec::new(), self.world.clone());
            }
            Step::Reorganise { count } => {
                if let Some((returned, before)) = self.last.take() {
                    self.mine(count, TransactionOrder::Arrival, returned, before);
                    // Balances outside the block may have changed with it: the ledger's builder would name such senders.
                    let senders: Vec<Address> = (0..6).map(address).collect();
                    let dropped = self.pool.recheck(&senders, &self.world);
                    self.lose(dropped);
                    self.last = None;
                }
            }
            Step::Pay { sender, balance } => {
                let nonce = self.world.account(address(sender)).unwrap().0;
                self.world.set(sender, nonce, u128::from(balance));
                let dropped = self.pool.recheck(&[address(sender)], &self.world);
                self.lose(dropped);
            }
            Step::Remove { pick } => {
                let hash = self.held.keys().nth(pick).copied().unwrap_or_default();
                assert_eq!(self.pool.remove(hash), self.held.contains_key(&hash));
                let dropped = self.pool.take_dropped();
                self.lose(dropped);
            }
            Step::Limit { price } => {
                self.config.price_limit_wei = price;
                self.pool.set_price_limit(price);
                let dropped = self.pool.take_dropped();
                self.lose(dropped);
            }
            Step::Wait { seconds } => {
                self.now += seconds;
                let dropped = self.pool.expire(self.now);
                self.lose(dropped);
            }
            Step::Clear => {
                assert_eq!(self.pool.clear(), self.held.len());
                let dropped = self.pool.take_dropped();
                self.lose(dropped);
            }
        }
    }

    /// Compares the pool with the model.
    fn compare(&self) {
        check(&self.pool);
        let content = self.pool.content();
        let lists = content.pending.values().chain(content.queued.values());
        let hashes: BTreeSet<B256> = lists.flat_map(|list| list.values().map(RecoveredTransaction::hash)).collect();
        assert!(hashes.iter().eq(self.held.keys()), "the pool holds others than the model");
        for (sender, list) in &content.pending {
            let (next, balance, _) = self.world.account(*sender).unwrap();
            assert!(list.keys().copied().eq(next..next + list.len() as u64), "not contiguous from the account's nonce");
            let costs = list.values().map(|tx| U256::from(tx.max_fee_per_gas()) * U256::from(21_000) + tx.value());
            assert!(costs.fold(U256::ZERO, |sum, cost| sum + cost) <= balance);
            assert_eq!(self.pool.pending_nonce(*sender), Some(next + list.len() as u64));
        }
        for order in [TransactionOrder::Arrival, TransactionOrder::Price] {
            assert_eq!(self.pool.best(order, Some(0), 0).count(), self.pool.status().pending);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_pool_agrees_with_a_simple_model(steps in proptest::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
            model.compare();
        }
    }
}
