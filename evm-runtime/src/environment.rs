//! What the EVM sees around a transaction: the fork's rules, the block, the transaction itself; and the EVM's type.

use alloy_consensus::Transaction as _;
use alloy_eips::eip7702::{RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_primitives::{Address, B256, U256, uint};
use consensus::ethereum::blobs::BlobParams;
use consensus::{ChainSpec, Fork, Header, Transaction};
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::either::Either;
use revm::handler::{MainBuilder, MainContext, MainnetContext, MainnetEvm};
use revm::primitives::hardfork::SpecId;
use revm::{Context, Database};

/// Names the EVM over a database, with Ethereum's own instructions and precompiles.
pub type Evm<DB> = MainnetEvm<MainnetContext<DB>>;

/// Half of the order of secp256k1: a greater `s` is refused (EIP-2).
const SIGNATURE_S_MAX: U256 = uint!(0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0_U256);

/// Returns the EVM's rules of `fork`. The glacier forks moved only the difficulty bomb, so they run the rules of the fork before
/// them. Constantinople runs Petersburg's: no chain kept the net gas metering (EIP-1283) that Petersburg took back, and the EVM has none.
pub fn spec_id(fork: Fork) -> SpecId {
    match fork {
        Fork::Frontier => SpecId::FRONTIER,
        Fork::Homestead => SpecId::HOMESTEAD,
        Fork::TangerineWhistle => SpecId::TANGERINE,
        Fork::SpuriousDragon => SpecId::SPURIOUS_DRAGON,
        Fork::Byzantium => SpecId::BYZANTIUM,
        Fork::Constantinople | Fork::Petersburg => SpecId::PETERSBURG,
        Fork::Istanbul | Fork::MuirGlacier => SpecId::ISTANBUL,
        Fork::Berlin => SpecId::BERLIN,
        Fork::London | Fork::ArrowGlacier | Fork::GrayGlacier => SpecId::LONDON,
        Fork::Paris => SpecId::MERGE,
        Fork::Shanghai => SpecId::SHANGHAI,
        Fork::Cancun => SpecId::CANCUN,
        Fork::Prague => SpecId::PRAGUE,
        Fork::Osaka => SpecId::OSAKA,
    }
}

/// Returns the EVM's configuration: gas prices and limits of `fork` (those of blobs at `timestamp`, in seconds), chain id and code
/// size limit of the chain.
pub fn cfg_env(spec: &ChainSpec, fork: Fork, timestamp: u64) -> CfgEnv {
    let mut cfg = CfgEnv::new_with_spec(spec_id(fork));
    cfg.chain_id = spec.chain_id;
    // Init code may be twice as long as the code that it leaves (EIP-3860).
    cfg.limit_contract_code_size = spec.contract_size_limit;
    cfg.limit_contract_initcode_size = spec.contract_size_limit.map(|limit| limit.saturating_mul(2));
    let blobs = spec.blob_params(fork, timestamp);
    cfg.max_blobs_per_tx = (fork >= Fork::Cancun).then_some(blobs.max_blobs_per_tx);
    cfg.blob_base_fee_update_fraction = Some(fraction(&blobs));
    cfg
}

/// Returns what the opcodes of a block see. The seal's `mixHash` is PREVRANDAO from Paris on.
pub fn block_env(spec: &ChainSpec, fork: Fork, header: &Header) -> BlockEnv {
    let blob_excess_gas_and_price = (fork >= Fork::Cancun).then(|| {
        let blobs = spec.blob_params(fork, header.timestamp);
        BlobExcessGasAndPrice::new(header.excess_blob_gas.unwrap_or_default(), fraction(&blobs))
    });
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: header.difficulty,
        prevrandao: (fork >= Fork::Paris).then_some(header.mix_hash),
        blob_excess_gas_and_price,
        slot_num: 0,
    }
}

/// Returns what the EVM executes for `tx`, whose signature gave `sender`.
pub fn tx_env(tx: &Transaction, sender: Address) -> TxEnv {
    let authorizations = tx.authorization_list().unwrap_or_default();
    TxEnv {
        tx_type: tx.tx_type().into(),
        caller: sender,
        gas_limit: tx.gas_limit(),
        gas_price: tx.max_fee_per_gas(),
        kind: tx.kind(),
        value: tx.value(),
        data: tx.input().clone(),
        nonce: tx.nonce(),
        chain_id: tx.chain_id(),
        access_list: tx.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: tx.max_priority_fee_per_gas(),
        blob_hashes: tx.blob_versioned_hashes().map(<[B256]>::to_vec).unwrap_or_default(),
        max_fee_per_blob_gas: tx.max_fee_per_blob_gas().unwrap_or_default(),
        authorization_list: authorizations.iter().map(|signed| Either::Right(recover_authority(signed))).collect(),
    }
}

/// Recovers who signed an authorization; one whose signature gives nobody stays in the list and is paid for,
/// without effect (EIP-7702).
pub fn recover_authority(signed: &SignedAuthorization) -> RecoveredAuthorization {
    let authority = match signed.signature() {
        Ok(signature) if signature.s() <= SIGNATURE_S_MAX => {
            consensus::crypto::recover_address(&signature, signed.inner().signature_hash())
                .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid)
        }
        _ => RecoveredAuthority::Invalid,
    };
    RecoveredAuthorization::new_unchecked(signed.inner().clone(), authority)
}

/// Builds the EVM that executes the block of `header` over `db`.
pub fn evm<DB: Database>(spec: &ChainSpec, fork: Fork, header: &Header, db: DB) -> Evm<DB> {
    evm_with(cfg_env(spec, fork, header.timestamp), block_env(spec, fork, header), db)
}

/// Builds an EVM over `db` from its parts.
pub(crate) fn evm_with<DB: Database>(cfg: CfgEnv, block: BlockEnv, db: DB) -> Evm<DB> {
    Context::mainnet().with_db(db).with_cfg(cfg).with_block(block).build_mainnet()
}

/// Returns the divisor of the blob fee's exponent, which chain files limit to 64 bits.
fn fraction(blobs: &BlobParams) -> u64 {
    u64::try_from(blobs.update_fraction).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_consensus::{SignableTransaction, TxEip7702};
    use alloy_eips::eip7702::Authorization;
    use consensus::spec::ForkSchedule;
    use consensus::{DifficultyRule, EmptyBlocks, FeeRules, PowRules};
    use revm::context_interface::Cfg;

    use super::*;

    fn spec(contract_size_limit: Option<usize>) -> ChainSpec {
        ChainSpec {
            chain_id: 4242,
            forks: ForkSchedule::only(Fork::NEWEST),
            pow: PowRules {
                difficulty: DifficultyRule::Fixed(U256::from(1)),
                empty_blocks: EmptyBlocks::Always,
                block_reward: U256::ZERO,
                authorized_miners: Default::default(),
                safe_depth: 0,
                finality_depth: 0,
            },
            fees: FeeRules::default(),
            contract_size_limit,
            ethereum: None,
        }
    }

    #[test]
    fn forks_follow_each_other_in_the_evm_too() {
        assert!(Fork::ALL.iter().map(|fork| spec_id(*fork)).is_sorted());
        assert_eq!(spec_id(Fork::Frontier), SpecId::FRONTIER);
        assert_eq!(spec_id(Fork::NEWEST), SpecId::OSAKA);
    }

    #[test]
    fn a_block_has_what_its_fork_has() {
        let header = Header {
            number: 7,
            timestamp: 8,
            gas_limit: 9,
            difficulty: U256::from(10),
            mix_hash: B256::repeat_byte(11),
            base_fee_per_gas: None,
            ..Header::default()
        };
        for (fork, random, blob) in [
            (Fork::GrayGlacier, None, None),
            (Fork::Paris, Some(header.mix_hash), None),
            (Fork::Shanghai, Some(header.mix_hash), None),
            (Fork::Cancun, Some(header.mix_hash), Some(1)),
            (Fork::Osaka, Some(header.mix_hash), Some(1)),
        ] {
            let block = block_env(&spec(None), fork, &header);
            assert_eq!(block.prevrandao, random, "{fork:?}");
            assert_eq!(block.blob_excess_gas_and_price.map(|blob| blob.blob_gasprice), blob, "{fork:?}");
            assert_eq!((block.difficulty, block.basefee), (U256::from(10), 0), "{fork:?}");
        }
    }

    #[test]
    fn the_chain_sets_id_and_code_size() {
        for (limit, code, init_code) in [(None, 24_576, 49_152), (Some(100_000), 100_000, 200_000)] {
            let cfg = cfg_env(&spec(limit), Fork::NEWEST, 0);
            assert_eq!((cfg.chain_id, cfg.max_code_size(), cfg.max_initcode_size()), (4242, code, init_code));
        }
    }

    #[test]
    fn an_authorization_without_a_proper_signature_has_nobody() {
        let key = consensus::crypto::secret_key([9; 32]).unwrap();
        let inner = Authorization { chain_id: U256::from(4242), address: Address::repeat_byte(1), nonce: 3 };
        let signature = consensus::crypto::sign(&key, inner.signature_hash());
        let (r, s, odd) = (signature.r(), signature.s(), u8::from(signature.v()));
        let order = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
        let list: Vec<_> = [(odd, r, s), (1 - odd, r, order - s), (2, r, s), (odd, U256::ZERO, s)]
            .into_iter()
            .map(|(parity, r, s)| SignedAuthorization::new_unchecked(inner.clone(), parity, r, s))
            .collect();
        let tx = TxEip7702 { chain_id: 4242, gas_limit: 1, authorization_list: list, ..TxEip7702::default() };
        let signed: Transaction = tx.into_signed(signature).into();
        let env = tx_env(&signed, Address::repeat_byte(2));
        let authorities =
            env.authorization_list.iter().map(|entry| entry.as_ref().right().and_then(|one| one.authority()));
        let signer = Some(consensus::crypto::address_of(&key));
        assert_eq!(authorities.collect::<Vec<_>>(), [signer, None, None, None]);
        assert_eq!((env.tx_type, env.caller, env.chain_id), (4, Address::repeat_byte(2), Some(4242)));
    }
}
