//! The words in which a request that breaks a rule of transactions is refused: geth's, which clients match.

use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::Cfg;
use revm::context_interface::result::InvalidTransaction;

/// Returns geth's words for why `tx` cannot run.
pub(crate) fn text(refusal: &InvalidTransaction, cfg: &CfgEnv, block: &BlockEnv, tx: &TxEnv) -> String {
    let (sender, max_fee) = (tx.caller, tx.gas_price);
    match refusal {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            insufficient_funds(format!("have {balance} want {fee}"), tx)
        }
        InvalidTransaction::OverflowPaymentInTransaction => {
            insufficient_funds("required balance exceeds 256 bits".to_owned(), tx)
        }
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
        }
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            format!("insufficient gas for floor data gas cost: have {gas_limit}, want {gas_floor}")
        }
        InvalidTransaction::GasPriceLessThanBasefee => format!(
            "max fee per gas less than block base fee: address {sender}, maxFeePerGas: {max_fee}, baseFee: {}",
            block.basefee
        ),
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => format!(
            "max priority fee per gas higher than max fee per gas: address {sender}, maxPriorityFeePerGas: {}, maxFeePerGas: {max_fee}",
            tx.gas_priority_fee.unwrap_or_default()
        ),
        InvalidTransaction::CreateInitCodeSizeLimit => {
            format!("max initcode size exceeded: code size {} limit {}", tx.data.len(), cfg.max_initcode_size())
        }
        InvalidTransaction::NonceOverflowInTransaction => {
            format!("nonce has max value: address {sender}, nonce: {}", tx.nonce)
        }
        InvalidTransaction::EmptyAuthorizationList => {
            format!("EIP-7702 transaction with empty auth list (sender {sender})")
        }
        InvalidTransaction::AuthorizationListInvalidFields => {
            format!("EIP-7702 transaction cannot be used to create contract (sender {sender})")
        }
        other => other.to_string(),
    }
}

fn insufficient_funds(how: String, tx: &TxEnv) -> String {
    format!("insufficient funds for gas * price + value: address {} {how}", tx.caller)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, U256};

    use super::*;

    #[test]
    fn every_refusal_has_the_words_that_clients_match() {
        let a = "0x0101010101010101010101010101010101010101";
        let tx = TxEnv {
            caller: Address::repeat_byte(1),
            gas_price: 5,
            gas_priority_fee: Some(6),
            nonce: u64::MAX,
            data: vec![0; 50_000].into(),
            ..TxEnv::default()
        };
        let block = BlockEnv { basefee: 7, ..BlockEnv::default() };
        for (refusal, expected) in [
            (
                InvalidTransaction::LackOfFundForMaxFee {
                    fee: Box::new(U256::from(9)),
                    balance: Box::new(U256::from(8)),
                },
                format!("insufficient funds for gas * price + value: address {a} have 8 want 9"),
            ),
            (
                InvalidTransaction::OverflowPaymentInTransaction,
                format!("insufficient funds for gas * price + value: address {a} required balance exceeds 256 bits"),
            ),
            (
                InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas: 21000, gas_limit: 1 },
                "intrinsic gas too low: have 1, want 21000".to_owned(),
            ),
            (
                InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor: 30000, gas_limit: 25000 },
                "insufficient gas for floor data gas cost: have 25000, want 30000".to_owned(),
            ),
            (
                InvalidTransaction::GasPriceLessThanBasefee,
                format!("max fee per gas less than block base fee: address {a}, maxFeePerGas: 5, baseFee: 7"),
            ),
            (
                InvalidTransaction::PriorityFeeGreaterThanMaxFee,
                format!(
                    "max priority fee per gas higher than max fee per gas: address {a}, maxPriorityFeePerGas: 6, maxFeePerGas: 5"
                ),
            ),
            (
                InvalidTransaction::CreateInitCodeSizeLimit,
                "max initcode size exceeded: code size 50000 limit 49152".to_owned(),
            ),
            (
                InvalidTransaction::NonceOverflowInTransaction,
                format!("nonce has max value: address {a}, nonce: 18446744073709551615"),
            ),
            (
                InvalidTransaction::EmptyAuthorizationList,
                format!("EIP-7702 transaction with empty auth list (sender {a})"),
            ),
            (
                InvalidTransaction::AuthorizationListInvalidFields,
                format!("EIP-7702 transaction cannot be used to create contract (sender {a})"),
            ),
        ] {
            assert_eq!(text(&refusal, &CfgEnv::default(), &block, &tx), expected);
        }
    }
}
