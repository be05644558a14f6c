//! One case: contracts, and transactions that set them off. A case stands for itself: it creates what it uses, so that it can be run
//! again, alone, and with parts left out.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization as Delegation, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex, keccak256};
use bench::accounts::{Account, Raw};
use consensus::Transaction;

use crate::differential::generate::AUTHORITIES;
use crate::differential::program::{Contract, Program, Target, reads_what_differs};

/// The gas limit of a creation of one of the case's contracts.
const DEPLOY_GAS: u64 = 900_000;
/// The most that is paid for a unit of gas, in wei.
const FEE_WEI: u128 = 2_000_000_000;

/// Contracts and what is done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) number: u64,
    pub(crate) contracts: Vec<Contract>,
    pub(crate) transactions: Vec<Planned>,
}

/// A transaction that is not signed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) sender: usize,
    pub(crate) to: To,
    pub(crate) fee: Fee,
    pub(crate) value: U256,
    pub(crate) input: Bytes,
    pub(crate) gas: u64,
    pub(crate) access_list: Vec<(Target, Vec<U256>)>,
    pub(crate) authorizations: Vec<Authorization>,
}

/// Where a transaction goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// To an account.
    Target(Target),
    /// It creates a contract by running this.
    Create(Program),
}

/// The type of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fee {
    /// Type 0.
    Legacy,
    /// Type 1.
    AccessList,
    /// Type 2.
    Dynamic,
    /// Type 4.
    Delegating,
}

/// A delegation that is not signed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authorization {
    pub(crate) authority: usize,
    pub(crate) to: Target,
    /// `None`: the chain's own.
    pub(crate) chain_id: Option<u64>,
    pub(crate) nonce: u64,
}

/// Who the names of a case are in one run of it.
pub(crate) struct Names {
    contracts: Vec<Address>,
    senders: Vec<Address>,
    authorities: Vec<Account>,
    /// Tells runs of a case from each other.
    run: u64,
}

impl Names {
    /// Gives names to a case that is about to be run; the first sender creates its contracts.
    pub(crate) fn new(case: &Case, senders: &[Account], seed: u64, run: u64) -> Self {
        let deployer = &senders[0];
        Self {
            contracts: (deployer.nonce..)
                .take(case.contracts.len())
                .map(|nonce| deployer.address.create(nonce))
                .collect(),
            senders: senders.iter().map(|sender| sender.address).collect(),
            authorities: (0..AUTHORITIES as u64).map(|index| Account::numbered(seed ^ run, index)).collect(),
            run,
        }
    }

    /// Returns the address of a name. A name that was left out of the case is an account that nobody has.
    pub(crate) fn address(&self, target: Target) -> Address {
        match target {
            Target::Contract(index) => self.contracts.get(index).copied().unwrap_or(Address::repeat_byte(0xdd)),
            Target::Authority(index) => self.authorities[index].address,
            Target::Sender(index) => self.senders[index],
            Target::Precompile(number) => Address::left_padding_from(&number.to_be_bytes()),
            Target::Fresh(number) => {
                let hash = keccak256([&self.run.to_be_bytes()[..], &[number]].concat());
                Address::from_slice(&hash[12..])
            }
        }
    }

    /// Lists the accounts that a case names and that a run can change.
    pub(crate) fn all(&self) -> impl Iterator<Item = Address> {
        let authorities = self.authorities.iter().map(|authority| authority.address);
        self.contracts.iter().copied().chain(authorities).chain(self.senders.iter().copied())
    }
}

/// What all transactions of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) chain_id: u64,
    /// The most that goes to the block's beneficiary per unit of gas, in wei.
    pub(crate) tip_wei: u128,
}

impl Terms {
    /// Lets senders pay the same on both nodes whatever the base fee is, or with a base fee that both share.
    pub(crate) fn new(chain_id: u64, same_base_fee: bool) -> Self {
        Self { chain_id, tip_wei: if same_base_fee { 1_000_000_000 } else { FEE_WEI } }
    }
}

impl Case {
    /// Tells whether code of the case, as it is assembled, reads what differs from node to node.
    pub(crate) fn reads_what_differs(&self, names: &Names, forbidden: &[u8]) -> bool {
        let address = |target| names.address(target);
        let created = self.transactions.iter().filter_map(|planned| match &planned.to {
            // What is sent along stands behind the program, and runs where the program does not end before.
            To::Create(program) => Some(program.assemble(&planned.input, &address)),
            To::Target(_) => None,
        });
        let runtime = self.contracts.iter().map(|contract| contract.runtime.assemble(&[], &address));
        let creation = self.contracts.iter().map(|contract| contract.constructor.assemble(&[], &address));
        created.chain(runtime).chain(creation).any(|code| reads_what_differs(&code, forbidden))
    }

    /// Signs the creations of the contracts, and gives each authority a wei: Anvil refunds gas for the delegation of an account that
    /// does not exist as if it did, which EIP-7702 does not.
    pub(crate) fn deployments(&self, names: &Names, senders: &mut [Account], terms: Terms) -> Vec<Raw> {
        let address = |target| names.address(target);
        let create = |contract: &Contract| TxLegacy {
            chain_id: Some(terms.chain_id),
            gas_price: FEE_WEI,
            gas_limit: DEPLOY_GAS,
            to: TxKind::Create,
            input: contract.init_code(&address).into(),
            ..TxLegacy::default()
        };
        let deployer = &mut senders[0];
        let mut signed: Vec<_> =
            self.contracts.iter().map(|contract| sign_legacy(deployer, create(contract))).collect();
        for authority in &names.authorities {
            let transfer = TxLegacy {
                chain_id: Some(terms.chain_id),
                gas_price: FEE_WEI,
                gas_limit: 21_000,
                to: TxKind::Call(authority.address),
                value: U256::ONE,
                ..TxLegacy::default()
            };
            signed.push(sign_legacy(deployer, transfer));
        }
        signed
    }

    /// Signs the transactions.
    pub(crate) fn transactions(&self, names: &Names, senders: &mut [Account], terms: Terms) -> Vec<Raw> {
        self.transactions.iter().map(|planned| planned.sign(names, senders, terms)).collect()
    }

    /// Describes the case as it ran, so that it can be looked at without this program.
    pub(crate) fn describe(&self, names: &Names) -> String {
        use std::fmt::Write as _;
        let address = |target| names.address(target);
        let mut text = String::new();
        for (index, contract) in self.contracts.iter().enumerate() {
            let code = hex::encode(contract.runtime.assemble(&[], &address));
            let _ = writeln!(
                text,
                "  contract {index} {}: init {}",
                address(Target::Contract(index)),
                hex::encode(contract.init_code(&address))
            );
            let _ = writeln!(text, "    runtime {code}");
        }
        for (index, planned) in self.transactions.iter().enumerate() {
            let to = match &planned.to {
                To::Target(target) => format!("to {}", address(*target)),
                To::Create(program) => {
                    format!("creates by {}", hex::encode(program.assemble(&planned.input, &address)))
                }
            };
            let Planned { sender, fee, value, input, gas, access_list, authorizations, .. } = planned;
            let _ = writeln!(
                text,
                "  transaction {index}: {fee:?} by sender {sender} {to}, value {value}, gas {gas}, input {input}, access list {access_list:?}, authorizations {authorizations:?}"
            );
        }
        text
    }
}

impl Planned {
    fn sign(&self, names: &Names, senders: &mut [Account], terms: Terms) -> Raw {
        let Terms { chain_id, tip_wei } = terms;
        let address = |target| names.address(target);
        let (to, input) = match &self.to {
            To::Target(target) => (TxKind::Call(address(*target)), self.input.clone()),
            To::Create(program) => (TxKind::Create, program.assemble(&self.input, &address).into()),
        };
        let access_list = self.access_list(&address);
        let account = &mut senders[self.sender];
        let (nonce, gas_limit, value) = (account.nonce, self.gas, self.value);
        match (self.fee, to) {
            (Fee::Legacy, to) => {
                let tx = TxLegacy { chain_id: Some(chain_id), gas_price: FEE_WEI, gas_limit, to, value, input, nonce };
                sign_legacy(account, tx)
            }
            (Fee::AccessList, to) => {
                let tx = TxEip2930 { chain_id, nonce, gas_price: FEE_WEI, gas_limit, to, value, access_list, input };
                sign(account, tx, |tx, signature| tx.into_signed(signature).into())
            }
            (Fee::Delegating, TxKind::Call(to)) => {
                let tx = TxEip7702 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: FEE_WEI,
                    max_priority_fee_per_gas: tip_wei,
                    to,
                    value,
                    access_list,
                    authorization_list: self.authorizations.iter().map(|one| one.sign(names, chain_id)).collect(),
                    input,
                };
                sign(account, tx, |tx, signature| tx.into_signed(signature).into())
            }
            (Fee::Dynamic | Fee::Delegating, to) => {
                let tx = TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: FEE_WEI,
                    max_priority_fee_per_gas: tip_wei,
                    to,
                    value,
                    access_list,
                    input,
                };
                sign(account, tx, |tx, signature| tx.into_signed(signature).into())
            }
        }
    }

    fn access_list(&self, address: &impl Fn(Target) -> Address) -> AccessList {
        let item = |(target, slots): &(Target, Vec<U256>)| AccessListItem {
            address: address(*target),
            storage_keys: slots.iter().map(|slot| B256::from(*slot)).collect(),
        };
        AccessList(self.access_list.iter().map(item).collect())
    }
}

impl Authorization {
    fn sign(&self, names: &Names, chain_id: u64) -> SignedAuthorization {
        let chain_id = U256::from(self.chain_id.unwrap_or(chain_id));
        let delegation = Delegation { chain_id, address: names.address(self.to), nonce: self.nonce };
        let signature = names.authorities[self.authority].sign_hash(delegation.signature_hash());
        delegation.into_signed(signature)
    }
}

fn sign_legacy(account: &mut Account, tx: TxLegacy) -> Raw {
    let tx = TxLegacy { nonce: account.nonce, ..tx };
    sign(account, tx, |tx, signature| tx.into_signed(signature).into())
}

fn sign<T: SignableTransaction<Signature>>(
    account: &mut Account,
    tx: T,
    join: impl FnOnce(T, Signature) -> Transaction,
) -> Raw {
    account.nonce += 1;
    let signature = account.sign_hash(tx.signature_hash());
    let signed = join(tx, signature);
    Raw { hash: *signed.tx_hash(), hex: hex::encode_prefixed(signed.encoded_2718()) }
}
