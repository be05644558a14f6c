//! Fills what a transaction request leaves open: type, nonce, gas and fees.

use alloy_consensus::{EthereumTypedTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;

use crate::api::Api;
use crate::errors::RpcError;
use crate::eth::calls::{call_request, estimate_request};
use crate::eth::fees;

/// A complete transaction without its signature.
pub(crate) type Unsigned = EthereumTypedTransaction<TxEip4844>;

/// What a transaction pays per unit of gas, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Price {
    /// One price (types 0 and 1).
    Fixed(u128),
    /// A cap on the whole and a tip (types 2 and 4).
    Dynamic { cap: u128, tip: u128 },
}

/// What prices are filled with.
#[derive(Clone, Copy, Debug)]
struct Market {
    /// The next block's base fee; `None` before London.
    base_fee: Option<u64>,
    /// The suggested tip.
    tip: u128,
}

/// Returns the whole transaction of `sender` that a request asks for.
pub(crate) fn complete(api: &Api, sender: Address, request: TransactionRequest) -> Result<Unsigned, RpcError> {
    let call = call_request(request.clone())?;
    let view = api.view();
    let chain_id = view.spec().chain_id;
    if let Some(have) = request.chain_id.filter(|have| *have != chain_id) {
        return Err(RpcError::server(format!("chainId does not match node's (have={have}, want={chain_id})")));
    }
    if call.to.is_none() && call.input.is_empty() {
        return Err(RpcError::server("contract creation without any data provided"));
    }
    let market = Market { base_fee: fees::base_fee(api, &view), tip: fees::suggested_tip(api, &view)? };
    let price = price(&request, market)?;
    let nonce = match request.nonce {
        Some(nonce) => nonce,
        None => match api.pool().pending_nonce(sender) {
            Some(nonce) => nonce,
            None => view.head_state().nonce(sender)?,
        },
    };
    let gas = match request.gas {
        Some(gas) => gas,
        None => estimate_request(api, evm_runtime::CallRequest { from: Some(sender), gas: None, ..call.clone() })?,
    };
    let parts = Parts {
        chain_id,
        nonce,
        gas,
        to: call.to.unwrap_or(TxKind::Create),
        value: call.value.unwrap_or_default(),
        input: call.input,
    };
    build(parts, price, request)
}

/// Refuses to sign what the client has not filled, as geth does.
pub(crate) fn require_filled(request: &TransactionRequest) -> Result<(), RpcError> {
    let words = if request.gas.is_none() {
        "gas not specified"
    } else if request.gas_price.is_none()
        && (request.max_fee_per_gas.is_none() || request.max_priority_fee_per_gas.is_none())
    {
        "missing gasPrice or maxFeePerGas/maxPriorityFeePerGas"
    } else if request.nonce.is_none() {
        "nonce not specified"
    } else {
        return Ok(());
    };
    Err(RpcError::server(words))
}

/// Chooses what the transaction pays.
fn price(request: &TransactionRequest, market: Market) -> Result<Price, RpcError> {
    if let Some(price) = request.gas_price {
        return Ok(Price::Fixed(price));
    }
    let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    let Some(base_fee) = market.base_fee else {
        let words = "maxFeePerGas and maxPriorityFeePerGas are not valid before London is active";
        return if dynamic { Err(RpcError::server(words)) } else { Ok(Price::Fixed(market.tip)) };
    };
    if !dynamic && matches!(request.transaction_type, Some(0 | 1)) {
        return Ok(Price::Fixed(u128::from(base_fee).saturating_add(market.tip)));
    }
    let tip = match (request.max_priority_fee_per_gas, request.max_fee_per_gas) {
        (Some(tip), _) => tip,
        (None, Some(cap)) => market.tip.min(cap),
        (None, None) => market.tip,
    };
    let cap = request.max_fee_per_gas.unwrap_or_else(|| fees::fee_cap(base_fee, tip));
    if cap < tip {
        let words = format!("maxFeePerGas ({cap}) < maxPriorityFeePerGas ({tip})");
        return Err(RpcError::server(words));
    }
    Ok(Price::Dynamic { cap, tip })
}

/// What all types of transactions have.
struct Parts {
    chain_id: u64,
    nonce: u64,
    gas: u64,
    to: TxKind,
    value: U256,
    input: Bytes,
}

fn build(parts: Parts, price: Price, request: TransactionRequest) -> Result<Unsigned, RpcError> {
    let Parts { chain_id, nonce, gas: gas_limit, to, value, input } = parts;
    let access_list = request.access_list.clone().unwrap_or_default();
    Ok(match (price, request.authorization_list) {
        (Price::Dynamic { cap, tip }, Some(authorization_list)) => {
            let TxKind::Call(to) = to else {
                return Err(RpcError::server("set code transaction must not be a create transaction"));
            };
            let (max_fee_per_gas, max_priority_fee_per_gas) = (cap, tip);
            Unsigned::Eip7702(TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                authorization_list,
                input,
            })
        }
        (Price::Fixed(_), Some(_)) => {
            return Err(RpcError::server("authorizationList needs maxFeePerGas, not gasPrice"));
        }
        (Price::Dynamic { cap, tip }, None) => {
            let (max_fee_per_gas, max_priority_fee_per_gas) = (cap, tip);
            Unsigned::Eip1559(TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                input,
            })
        }
        (Price::Fixed(gas_price), None) if request.access_list.is_some() || request.transaction_type == Some(1) => {
            Unsigned::Eip2930(TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input })
        }
        (Price::Fixed(gas_price), None) => {
            Unsigned::Legacy(TxLegacy { chain_id: Some(chain_id), nonce, gas_price, gas_limit, to, value, input })
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request(json: &str) -> TransactionRequest {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn prices_are_filled_as_the_fork_and_the_request_want() {
        let london = Market { base_fee: Some(100), tip: 7 };
        let before = Market { base_fee: None, tip: 7 };
        let dynamic = |cap, tip| Ok(Price::Dynamic { cap, tip });
        let cases = [
            ("{}", london, dynamic(207, 7)),
            ("{}", before, Ok(Price::Fixed(7))),
            ("{\"type\":\"0x0\"}", london, Ok(Price::Fixed(107))),
            ("{\"gasPrice\":\"0x5\"}", london, Ok(Price::Fixed(5))),
            ("{\"maxFeePerGas\":\"0x96\"}", london, dynamic(150, 7)),
            ("{\"maxFeePerGas\":\"0x5\"}", london, dynamic(5, 5)),
            ("{\"maxPriorityFeePerGas\":\"0x3\"}", london, dynamic(203, 3)),
            (
                "{\"maxFeePerGas\":\"0x1\",\"maxPriorityFeePerGas\":\"0x2\"}",
                london,
                Err("maxFeePerGas (1) < maxPriorityFeePerGas (2)"),
            ),
            (
                "{\"maxFeePerGas\":\"0x1\"}",
                before,
                Err("maxFeePerGas and maxPriorityFeePerGas are not valid before London is active"),
            ),
        ];
        for (json, market, expected) in cases {
            let priced = price(&request(json), market).map_err(|error| error.message.into_owned());
            assert_eq!(priced, expected.map_err(str::to_owned), "{json}");
        }
    }

    #[test]
    fn the_type_follows_from_what_is_given() {
        let kind = |json: &str, price| {
            let parts = Parts {
                chain_id: 1,
                nonce: 0,
                gas: 21000,
                to: TxKind::Call(Address::ZERO),
                value: U256::ZERO,
                input: Bytes::new(),
            };
            build(parts, price, request(json)).map(|tx| u8::from(tx.tx_type())).map_err(|error| error.message)
        };
        let dynamic = Price::Dynamic { cap: 2, tip: 1 };
        assert_eq!(kind("{}", Price::Fixed(1)), Ok(0));
        assert_eq!(kind("{\"accessList\":[]}", Price::Fixed(1)), Ok(1));
        assert_eq!(kind("{}", dynamic), Ok(2));
        assert_eq!(kind("{\"authorizationList\":[]}", dynamic), Ok(4));
        assert!(kind("{\"authorizationList\":[]}", Price::Fixed(1)).is_err());
    }

    #[test]
    fn signing_alone_fills_nothing() {
        let cases = [
            ("{}", Some("gas not specified")),
            ("{\"gas\":\"0x1\"}", Some("missing gasPrice or maxFeePerGas/maxPriorityFeePerGas")),
            ("{\"gas\":\"0x1\",\"gasPrice\":\"0x1\"}", Some("nonce not specified")),
            ("{\"gas\":\"0x1\",\"gasPrice\":\"0x1\",\"nonce\":\"0x0\"}", None),
        ];
        for (json, expected) in cases {
            let error = require_filled(&request(json)).err().map(|error| error.message.into_owned());
            assert_eq!(error.as_deref(), expected, "{json}");
        }
    }
}
