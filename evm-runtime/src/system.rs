//! System contracts: what a fork calls at the start and at the end of a block, outside of any transaction.
//!
//! On Drawbridge's own chains a contract without code is passed over, so that a chain file need not deploy contracts of no use to
//! a private chain. Past Ethereum's merge the contracts of requests must be there.

use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_primitives::{Address, B256, Bytes};
use consensus::{Era, Fork, Header};
use revm::context_interface::ContextTr;
use revm::context_interface::result::{EVMError, ExecutionResult};
use revm::{Database, DatabaseCommit, SystemCallEvm};

use crate::environment::Evm;

/// Says why a system call could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SystemCallError<E> {
    /// A contract that the fork relies on failed: the block is invalid (EIP-7002, EIP-7251).
    #[error("system contract {contract} failed: {reason}")]
    Failed {
        /// The contract's address.
        contract: Address,
        /// How it ended.
        reason: String,
    },
    /// The state could not be read.
    #[error("{0}")]
    State(E),
}

/// Calls what the fork demands before the first transaction: the beacon root's contract since Cancun, and the contract of past
/// block hashes since Prague. What they return does not matter, and their failing changes nothing.
///
/// # Errors
/// The state could not be read.
pub fn before_transactions<DB: Database + DatabaseCommit>(
    evm: &mut Evm<DB>,
    fork: Fork,
    header: &Header,
) -> Result<(), SystemCallError<DB::Error>> {
    if fork >= Fork::Cancun
        && let Some(root) = header.parent_beacon_block_root
    {
        call_unless_empty(evm, eip4788::BEACON_ROOTS_ADDRESS, word(root))?;
    }
    if fork >= Fork::Prague {
        call_unless_empty(evm, eip2935::HISTORY_STORAGE_ADDRESS, word(header.parent_hash))?;
    }
    Ok(())
}

/// Calls what the fork demands after the last transaction, and returns the requests of the contracts (EIP-7685): for each kind
/// that is not empty one type byte and its data, ordered by type. On Drawbridge's own chains there are none.
///
/// # Errors
/// A contract failed, or the state could not be read.
pub fn after_transactions<DB: Database + DatabaseCommit>(
    evm: &mut Evm<DB>,
    era: Era,
    fork: Fork,
) -> Result<Vec<Bytes>, SystemCallError<DB::Error>> {
    const CONTRACTS: [(u8, Address); 2] = [
        (eip7002::WITHDRAWAL_REQUEST_TYPE, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS),
        (eip7251::CONSOLIDATION_REQUEST_TYPE, eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS),
    ];
    let mut requests = Vec::new();
    if fork < Fork::Prague {
        return Ok(requests);
    }
    for (kind, contract) in CONTRACTS {
        match call_unless_empty(evm, contract, Bytes::new())? {
            None if era == Era::Merged => {
                return Err(SystemCallError::Failed { contract, reason: "it has no code".to_owned() });
            }
            None => {}
            Some(ExecutionResult::Success { output, .. }) if output.data().is_empty() => {}
            Some(ExecutionResult::Success { output, .. }) => {
                requests.push([&[kind], output.data().as_ref()].concat().into());
            }
            Some(ExecutionResult::Revert { .. }) => {
                return Err(SystemCallError::Failed { contract, reason: "execution reverted".to_owned() });
            }
            Some(ExecutionResult::Halt { reason, .. }) => {
                return Err(SystemCallError::Failed { contract, reason: reason.to_string() });
            }
        }
    }
    Ok(requests)
}

/// Runs one call with 30 million gas that nobody pays for and commits what it changed; the caller's account is not touched.
fn call_unless_empty<DB: Database + DatabaseCommit>(
    evm: &mut Evm<DB>,
    contract: Address,
    input: Bytes,
) -> Result<Option<ExecutionResult>, SystemCallError<DB::Error>> {
    let account = evm.ctx.db_mut().basic(contract).map_err(SystemCallError::State)?;
    if account.is_none_or(|account| account.is_empty_code_hash()) {
        return Ok(None);
    }
    let mut called = evm.system_call(contract, input).map_err(|error| match error {
        EVMError::Database(error) => SystemCallError::State(error),
        other => SystemCallError::Failed { contract, reason: other.to_string() },
    })?;
    called.state.remove(&eip4788::SYSTEM_ADDRESS);
    evm.ctx.db_mut().commit(called.state);
    Ok(Some(called.result))
}

fn word(value: B256) -> Bytes {
    Bytes::copy_from_slice(value.as_slice())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::{U256, hex};
    use consensus::spec::ForkSchedule;
    use consensus::{ChainSpec, DifficultyRule, EmptyBlocks, FeeRules, PowRules};
    use revm::DatabaseRef;
    use revm::bytecode::Bytecode;
    use revm::database::{CacheDB, EmptyDB};
    use revm::state::AccountInfo;

    use super::*;
    use crate::environment;

    fn spec(fork: Fork) -> ChainSpec {
        ChainSpec {
            chain_id: 1,
            forks: ForkSchedule::only(fork),
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
            ethereum: None,
        }
    }

    fn predeployed() -> CacheDB<EmptyDB> {
        let mut db = CacheDB::default();
        for (address, code) in [
            (eip4788::BEACON_ROOTS_ADDRESS, eip4788::BEACON_ROOTS_CODE.clone()),
            (eip2935::HISTORY_STORAGE_ADDRESS, eip2935::HISTORY_STORAGE_CODE.clone()),
            (eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone()),
            (eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone()),
        ] {
            db.insert_account_info(address, AccountInfo::from_bytecode(Bytecode::new_raw(code)).with_nonce(1));
        }
        db
    }

    fn header() -> Header {
        Header {
            number: 9,
            timestamp: 1000,
            parent_hash: B256::repeat_byte(0xaa),
            parent_beacon_block_root: Some(B256::repeat_byte(0xbb)),
            base_fee_per_gas: Some(7),
            beneficiary: Address::repeat_byte(0xcb),
            gas_limit: 30_000_000,
            ..Header::default()
        }
    }

    /// Runs the calls of a block and returns the database and the requests.
    fn run(fork: Fork, mut db: CacheDB<EmptyDB>) -> (CacheDB<EmptyDB>, Result<Vec<Bytes>, String>) {
        let requests = {
            let mut evm = environment::evm(&spec(fork), fork, &header(), &mut db);
            before_transactions(&mut evm, fork, &header()).unwrap();
            after_transactions(&mut evm, Era::Drawbridge, fork).map_err(|error| error.to_string())
        };
        (db, requests)
    }

    fn slot(db: &CacheDB<EmptyDB>, contract: Address, slot: u64) -> U256 {
        db.storage_ref(contract, U256::from(slot)).unwrap()
    }

    #[test]
    fn a_fork_writes_what_its_contracts_keep() {
        let beacon = U256::from_be_bytes([0xbb; 32]);
        let parent = U256::from_be_bytes([0xaa; 32]);
        for (fork, beacon, parent) in [
            (Fork::Shanghai, U256::ZERO, U256::ZERO),
            (Fork::Cancun, beacon, U256::ZERO),
            (Fork::Prague, beacon, parent),
            (Fork::Osaka, beacon, parent),
        ] {
            let (db, requests) = run(fork, predeployed());
            assert_eq!(requests, Ok(vec![]), "{fork:?}");
            assert_eq!(slot(&db, eip4788::BEACON_ROOTS_ADDRESS, 1000 + 8191), beacon, "{fork:?}");
            assert_eq!(slot(&db, eip2935::HISTORY_STORAGE_ADDRESS, 8), parent, "{fork:?}");
        }
    }

    #[test]
    fn caller_and_beneficiary_stay_untouched() {
        let (db, _) = run(Fork::NEWEST, predeployed());
        assert!(!db.cache.accounts.contains_key(&eip4788::SYSTEM_ADDRESS));
        assert!(!db.cache.accounts.contains_key(&header().beneficiary));
    }

    #[test]
    fn contracts_without_code_are_passed_over() {
        let (db, requests) = run(Fork::NEWEST, CacheDB::default());
        assert_eq!(requests, Ok(vec![]));
        assert!(db.cache.accounts.values().all(|account| account.info().is_none()));
    }

    #[test]
    fn requests_carry_their_type_and_a_failing_contract_makes_the_block_invalid() {
        let answers = |code: &'static [u8]| {
            let mut db = predeployed();
            let info = AccountInfo::from_bytecode(Bytecode::new_raw(Bytes::from_static(code)));
            db.insert_account_info(eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, info);
            run(Fork::Prague, db).1
        };
        // PUSH1 7, PUSH0, MSTORE8, PUSH1 1, PUSH0, RETURN.
        assert_eq!(answers(&hex!("60075f5360015ff3")), Ok(vec![Bytes::from_static(&[2, 7])]));
        assert!(answers(&hex!("5f5ffd")).unwrap_err().contains("execution reverted"));
        assert!(answers(&hex!("fe")).unwrap_err().contains("failed"));
    }
}
