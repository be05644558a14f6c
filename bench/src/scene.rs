//! What the measured reads find on a chain: a sale that is bought, and blocks of token transfers, a tenth of them to one account.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, TxKind, U256, hex, keccak256};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Failure;
use crate::accounts::{Account, Order, Raw, Terms};
use crate::client::{Client, ClientError, quantity};
use crate::funding::{Sponsors, read_nonces, receipts, send_and_wait, sign_all, wait_for_all};
use crate::token::{TRANSFER_GAS, transfer_order};

const SALE_ARTIFACT: &str = include_str!("../../contracts/artifacts/SaleOrder.json");
/// The price of the sale, in wei.
const PRICE_WEI: u64 = 1_000_000_000;
/// Gas limits of placing the sale and of buying.
const PLACE_GAS: u64 = 2_000_000;
const BUY_GAS: u64 = 200_000;
/// What the sale's transactions cost at most: nodes refuse to take one that offers more than an ether.
const SALE_FEE_MAX_WEI: u128 = 900_000_000_000_000_000;
/// Of how many transfers one goes to the account whose logs are asked for.
const FAVOURED: usize = 10;
/// Names the accounts that transfer, apart from those of other runs.
const SEED: u64 = 0x5ce4e;

/// How much is put on a chain.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Blocks of transfers.
    pub blocks: usize,
    /// Transfers in each, where the node lets its blocks be made by call.
    pub transfers: usize,
}

/// Holds what stands on the chain after [`Scene::set`].
#[derive(Clone, Debug)]
pub struct Scene {
    /// The bought sale.
    pub sale: Address,
    /// Who bought it.
    pub buyer: Address,
    /// Accounts with ether.
    pub accounts: Vec<Address>,
    /// The token.
    pub token: Address,
    /// Who received a tenth of the transfers.
    pub favourite: Address,
    /// How many transfers that are.
    pub favoured: usize,
    /// The first and the last block with transfers.
    pub range: (u64, u64),
    /// The fullest blocks with transfers, as many as were asked for at most: number and count of transactions.
    pub blocks: Vec<(u64, usize)>,
}

impl Scene {
    /// Puts a sale and transfers on the chain of the node behind `client`, paid by the accounts of `mnemonic`.
    ///
    /// # Errors
    /// The node does not answer, or a transaction is refused, fails, or is not mined in time.
    pub fn set(client: &mut Client, mnemonic: &str, size: Size) -> Result<Self, Failure> {
        consensus::crypto::install();
        let count = u64::try_from(size.transfers)?;
        let mut accounts: Vec<_> = (0..count).map(|index| Account::numbered(SEED, index)).collect();
        let gas = u64::try_from((size.blocks + 2) * size.transfers)?.saturating_mul(TRANSFER_GAS);
        let mut sponsors = Sponsors::find(client, mnemonic, gas.saturating_add(2 * PLACE_GAS))?;
        let (sale, buyer) = sell(client, &mut sponsors)?;
        let wei = u128::from(TRANSFER_GAS) * sponsors.terms.fee_per_gas_wei * u128::try_from(size.blocks)?;
        sponsors.fund(client, &accounts, wei)?;
        let token = sponsors.create_token(client, &accounts)?;
        read_nonces(client, &mut accounts)?;

        let favourite = Account::numbered(SEED, u64::MAX).address;
        let recipient =
            |index: usize| if index.is_multiple_of(FAVOURED) { favourite } else { Address::with_last_byte(1) };
        let orders = (0..size.transfers)
            .map(|index| (0..size.blocks).map(|_| transfer_order(token, recipient(index), 1)).collect())
            .collect();
        let raws = sign_all(&mut accounts, &sponsors.terms, orders);
        let by_block = (0..size.blocks).map(|block| raws.iter().map(|own| own[block].clone()).collect()).collect();
        let mined = mine_in_blocks(client, by_block)?;
        let range = mined.first_key_value().zip(mined.last_key_value());
        let range = range.map(|(first, last)| (*first.0, *last.0)).ok_or("no transfer was mined")?;
        let mut blocks: Vec<(u64, usize)> = mined.into_iter().collect();
        blocks.sort_by_key(|(number, count)| (std::cmp::Reverse(*count), *number));
        blocks.truncate(size.blocks);
        Ok(Self {
            sale,
            buyer,
            accounts: accounts.iter().map(|account| account.address).collect(),
            token,
            favourite,
            favoured: size.blocks * size.transfers.div_ceil(FAVOURED),
            range,
            blocks,
        })
    }
}

/// Places a sale and buys it; returns the sale and the buyer.
fn sell(client: &mut Client, sponsors: &mut Sponsors) -> Result<(Address, Address), Failure> {
    let fee_per_gas_wei = sponsors.terms.fee_per_gas_wei.min(SALE_FEE_MAX_WEI / u128::from(PLACE_GAS));
    let terms = Terms { fee_per_gas_wei, ..sponsors.terms };
    let [seller, buyer, ..] = sponsors.accounts.as_mut_slice() else { return Err("too few accounts".into()) };
    let sale = seller.address.create(seller.nonce);
    let placed = seller.sign_raw(&terms, &place_order()?);
    send_and_wait(client, &[placed])?;
    let selector = Bytes::copy_from_slice(&keccak256(b"buy()")[..4]);
    let purchase = Order { to: TxKind::Call(sale), value: U256::from(PRICE_WEI), input: selector, gas_limit: BUY_GAS };
    let bought = buyer.sign_raw(&terms, &purchase);
    send_and_wait(client, &[bought])?;
    Ok((sale, buyer.address))
}

#[derive(Deserialize)]
struct Artifact {
    bytecode: String,
}

/// Returns the creation of a sale: `constructor(string, string, uint16, string, uint256)`.
fn place_order() -> Result<Order, Failure> {
    let artifact: Artifact = serde_json::from_str(SALE_ARTIFACT)?;
    let mut input = hex::decode(artifact.bytecode)?;
    // A text takes its length and one word; the three of them stand behind the five words of the arguments.
    let place = |text: u64| U256::from(32 * (5 + 2 * text));
    for word in [place(0), place(1), U256::from(2019), place(2), U256::from(PRICE_WEI)] {
        input.extend(word.to_be_bytes::<32>());
    }
    for text in ["drone", "alpha", "4AA6"] {
        input.extend(U256::from(text.len()).to_be_bytes::<32>());
        let mut word = [0; 32];
        word[..text.len()].copy_from_slice(text.as_bytes());
        input.extend(word);
    }
    Ok(Order { to: TxKind::Create, value: U256::ZERO, input: input.into(), gas_limit: PLACE_GAS })
}

/// Sends each group of transactions and has it mined in one block, where the node can be told so (`evm_setAutomine`,
/// `evm_mine`); elsewhere as the node likes. Returns how many each block has.
fn mine_in_blocks(client: &mut Client, groups: Vec<Vec<Raw>>) -> Result<BTreeMap<u64, usize>, Failure> {
    let obeys = told(client, "evm_setAutomine", json!([false]))?;
    let mined = mine_groups(client, &groups);
    if obeys {
        told(client, "evm_setAutomine", json!([true]))?;
    }
    mined?;
    let hashes: Vec<_> = groups.iter().flatten().map(|raw| raw.hash).collect();
    let mut counts = BTreeMap::new();
    for receipt in receipts(client, &hashes)?.into_iter().flatten() {
        let number = receipt.get("blockNumber").map_or(Ok(0), quantity)?;
        *counts.entry(number).or_default() += 1;
    }
    Ok(counts)
}

fn mine_groups(client: &mut Client, groups: &[Vec<Raw>]) -> Result<(), Failure> {
    for group in groups {
        let calls: Vec<_> = group.iter().map(|raw| ("eth_sendRawTransaction", json!([raw.hex]))).collect();
        for answer in client.batch(&calls)? {
            answer?;
        }
        told(client, "evm_mine", json!([]))?;
        let hashes: Vec<_> = group.iter().map(|raw| raw.hash).collect();
        if let Some(hash) = wait_for_all(client, &hashes)? {
            return Err(format!("transaction {hash} is not mined").into());
        }
    }
    Ok(())
}

/// Tells the node something that only nodes for development know; returns whether it obeys.
fn told(client: &mut Client, method: &str, params: Value) -> Result<bool, ClientError> {
    match client.call(method, params) {
        Ok(_) => Ok(true),
        Err(ClientError::Node { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sales_arguments_are_encoded_as_the_abi_says() {
        let order = place_order().unwrap();
        let arguments = &order.input[order.input.len() - 11 * 32..];
        let word = |index: usize| U256::from_be_slice(&arguments[32 * index..32 * (index + 1)]);
        for (index, text) in [(0, "drone"), (1, "alpha"), (3, "4AA6")] {
            let place = usize::try_from(word(index)).unwrap();
            assert_eq!(place % 32, 0);
            assert_eq!(word(place / 32), U256::from(text.len()));
            assert_eq!(&arguments[place + 32..place + 32 + text.len()], text.as_bytes());
        }
        assert_eq!((word(2), word(4)), (U256::from(2019), U256::from(PRICE_WEI)));
    }
}
