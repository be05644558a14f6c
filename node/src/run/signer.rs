//! What JSON-RPC needs of the keystore and of the miner.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, Signature};
use consensus::crypto;
use rpc::{DevMiner, DevPace, MinerControl, MinerError, Signer, SignerError, WalletView};

use crate::config::values::EXTRA_DATA_SIZE_MAX;
use crate::keystore::{Account, Keystore, KeystoreError};
use crate::miner::{Miner, Pace};

/// Signs with the keystore's accounts.
pub(super) struct KeystoreSigner(pub(super) Arc<Keystore>);

fn signer_error(error: KeystoreError) -> SignerError {
    match error {
        KeystoreError::WrongPassword => SignerError::WrongPassword,
        KeystoreError::NoMatch => SignerError::NoKey,
        KeystoreError::Locked => SignerError::Locked,
        KeystoreError::UnknownAccount => SignerError::UnknownAccount,
        KeystoreError::AlreadyExists => SignerError::AlreadyExists,
        KeystoreError::InvalidKey => SignerError::InvalidKey,
        other @ (KeystoreError::OtherKey { .. } | KeystoreError::InvalidFile { .. } | KeystoreError::Io { .. }) => {
            SignerError::Store(other.to_string())
        }
    }
}

impl Signer for KeystoreSigner {
    fn accounts(&self) -> Vec<Address> {
        self.0.accounts()
    }

    fn sign_hash(&self, address: Address, digest: B256) -> Result<Signature, SignerError> {
        self.0.sign_hash(address, digest).map_err(signer_error)
    }

    fn sign_with_password(&self, address: Address, password: &str, digest: B256) -> Result<Signature, SignerError> {
        self.0.sign_with_password(address, password, digest).map_err(signer_error)
    }

    fn new_account(&self, password: &str) -> Result<Address, SignerError> {
        self.0.new_account(password).map(|account| account.address).map_err(signer_error)
    }

    fn import(&self, key: B256, password: &str) -> Result<Address, SignerError> {
        let key = crypto::secret_key(key.0).map_err(|_| SignerError::InvalidKey)?;
        self.0.import(key, password).map(|account| account.address).map_err(signer_error)
    }

    fn unlock(&self, address: Address, password: &str, duration: Option<Duration>) -> Result<(), SignerError> {
        self.0.unlock(address, password, duration).map_err(signer_error)
    }

    fn lock(&self, address: Address) -> bool {
        let known = self.0.accounts().contains(&address);
        self.0.lock(address);
        known
    }

    fn wallets(&self) -> Vec<WalletView> {
        let accounts = self.0.list().unwrap_or_default().into_iter();
        let show = |account: Account| WalletView {
            is_unlocked: self.0.is_unlocked(account.address),
            address: account.address,
            file: account.path,
        };
        accounts.map(show).collect()
    }
}

/// Switches the miner.
pub(super) struct MinerSwitch(pub(super) Miner);

impl MinerSwitch {
    fn check(&self, etherbase: Address) -> Result<(), MinerError> {
        let authorized = self.0.authorized();
        if authorized.is_empty() || authorized.contains(&etherbase) {
            Ok(())
        } else {
            Err(MinerError::NotAuthorized(etherbase))
        }
    }
}

/// The miner of a development chain.
impl DevMiner for MinerSwitch {
    fn mine(&self) -> Result<(), MinerError> {
        self.0.mine_now().map_err(MinerError::Other)
    }

    fn pace(&self) -> DevPace {
        let (automine, interval) = match self.0.settings().pace {
            Pace::Chain | Pace::OnDemand => (true, None),
            Pace::Period(period) => (false, Some(period)),
            Pace::OnDemandOrPeriod(period) => (true, Some(period)),
            Pace::OnOrder => (false, None),
        };
        DevPace { automine, interval }
    }

    fn set_pace(&self, DevPace { automine, interval }: DevPace) {
        let pace = match (automine, interval) {
            (true, None) => Pace::OnDemand,
            (true, Some(period)) => Pace::OnDemandOrPeriod(period),
            (false, Some(period)) => Pace::Period(period),
            (false, None) => Pace::OnOrder,
        };
        self.0.set(|settings| settings.pace = pace);
    }
}

impl MinerControl for MinerSwitch {
    fn start(&self, threads: Option<usize>) -> Result<(), MinerError> {
        self.check(self.0.settings().etherbase.ok_or(MinerError::NoEtherbase)?)?;
        if let Some(threads) = threads {
            self.0.set(|settings| settings.threads = threads.max(1));
        }
        self.0.start();
        Ok(())
    }

    fn stop(&self) {
        self.0.stop();
    }

    fn is_mining(&self) -> bool {
        self.0.is_mining()
    }

    fn hash_rate(&self) -> u64 {
        self.0.hash_rate()
    }

    fn etherbase(&self) -> Option<Address> {
        self.0.settings().etherbase
    }

    fn set_etherbase(&self, address: Address) -> Result<(), MinerError> {
        self.check(address)?;
        self.0.set(|settings| settings.etherbase = Some(address));
        Ok(())
    }

    fn set_extra(&self, extra: Bytes) -> Result<(), MinerError> {
        if extra.len() > EXTRA_DATA_SIZE_MAX {
            return Err(MinerError::ExtraTooLong { actual: extra.len() });
        }
        self.0.set(|settings| settings.extra_data = extra);
        Ok(())
    }

    fn set_gas_price(&self, wei: u128) {
        self.0.set(|settings| settings.min_tip_wei = wei);
    }

    fn set_recommit(&self, every: Duration) {
        self.0.set(|settings| settings.recommit = every);
    }

    fn set_gas_limit(&self, gas: u64) {
        self.0.set(|settings| settings.gas_limit = gas);
    }
}
