//! Every error that JSON-RPC answers with: its code, its words and its data, in one table.
//!
//! Clients match the words, which are therefore geth's, in lower case; the codes are geth's too. Errors that other crates
//! word (the pool's, a call's) pass through [`RpcError::server`] unchanged.

use std::borrow::Cow;
use std::time::Duration;

use alloy_primitives::{B256, Bytes, hex};
use chain::ViewError;
use evm_runtime::simulate::{BrokenRule, SimulationError};
use evm_runtime::{CallError, CallOutcome, StateError};
use jsonrpsee::types::ErrorObjectOwned;

use crate::revert;
use crate::services::{MinerError, SignerError};

/// What a method answers when it does not answer with a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// The JSON-RPC error code.
    pub code: i32,
    /// The words.
    pub message: Cow<'static, str>,
    /// A bare string: revert data or a transaction hash, in hexadecimal.
    pub data: Option<String>,
}

/// The JSON is not JSON.
pub(crate) const PARSE_ERROR: i32 = -32700;
/// The JSON is no request, or a batch is too long.
pub(crate) const INVALID_REQUEST: i32 = -32600;
/// The method is not there, or not on this transport.
pub(crate) const METHOD_NOT_FOUND: i32 = -32601;
/// An argument is missing or wrong.
pub(crate) const INVALID_PARAMS: i32 = -32602;
/// A bug of ours.
pub(crate) const INTERNAL_ERROR: i32 = -32603;
/// Whatever a method reports.
pub(crate) const SERVER_ERROR: i32 = -32000;
/// The answer would take too long.
pub(crate) const TIMEOUT: i32 = -32002;
/// The answer would be too large.
pub(crate) const RESPONSE_TOO_LARGE: i32 = -32003;
/// A limit on results was reached; chunking clients ask for less on this code.
pub(crate) const LIMIT_EXCEEDED: i32 = -32005;
/// A transaction's sender is not on the list of accounts (Besu's code).
pub(crate) const NOT_AUTHORIZED: i32 = -32007;
/// A call reverted; the data is what it returned.
pub(crate) const REVERTED: i32 = 3;
/// A simulated call ended by an exception.
pub(crate) const VM_ERROR: i32 = -32015;
/// A simulated call's nonce is below its sender's; the codes from here on are those of `eth_simulateV1`.
pub(crate) const NONCE_TOO_LOW: i32 = -38010;
/// Its nonce is above its sender's.
pub(crate) const NONCE_TOO_HIGH: i32 = -38011;
/// It pays less than the base fee.
pub(crate) const BASE_FEE_TOO_HIGH: i32 = -38012;
/// Its gas does not pay for its bytes.
pub(crate) const INTRINSIC_GAS: i32 = -38013;
/// Its sender cannot pay for it.
pub(crate) const FUNDS: i32 = -38014;
/// Its block has no gas left for it.
pub(crate) const BLOCK_GAS_LIMIT: i32 = -38015;
/// The number of a block is not above the one before.
pub(crate) const BLOCK_NUMBER_ORDER: i32 = -38020;
/// The time of a block is not after the one before.
pub(crate) const BLOCK_TIME_ORDER: i32 = -38021;
/// A contract sends a call.
pub(crate) const SENDER_HAS_CODE: i32 = -38024;
/// Init code is too long.
pub(crate) const INIT_CODE_TOO_LONG: i32 = -38025;
/// A request asks for more than a limit of the node.
pub(crate) const CLIENT_LIMIT: i32 = -38026;
/// A precompile is to be moved to where it is.
pub(crate) const PRECOMPILE_TO_ITSELF: i32 = -38022;
/// Two precompiles are to be moved to one address.
pub(crate) const PRECOMPILES_TO_ONE: i32 = -38023;
/// A transaction that was waited for was not mined in time; the data is its hash.
pub(crate) const NOT_MINED_IN_TIME: i32 = 4;
/// A block is older than what this node keeps (EIP-4444).
pub(crate) const PRUNED_HISTORY: i32 = 4444;

impl RpcError {
    /// Makes an error without data.
    pub fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// Reports what a method found, in its own words.
    pub fn server(message: impl std::fmt::Display) -> Self {
        Self::new(SERVER_ERROR, message.to_string())
    }

    /// No such method, or not on this transport.
    pub fn method_not_found(method: &str) -> Self {
        /// A name longer than this is cut in the answer, so that an answer is never much larger than a useful question.
        const SHOWN_BYTES: usize = 100;
        let shown: String = method.chars().take(SHOWN_BYTES).collect();
        Self::new(METHOD_NOT_FOUND, format!("the method {shown} does not exist/is not available"))
    }

    /// A subscription was asked for where nothing can be pushed.
    pub fn notifications_not_supported() -> Self {
        Self::new(METHOD_NOT_FOUND, "notifications not supported")
    }

    /// An argument that must be there is not.
    pub fn missing_argument(index: usize) -> Self {
        Self::new(INVALID_PARAMS, format!("missing value for required argument {index}"))
    }

    /// An argument cannot be read.
    pub fn invalid_argument(index: usize, reason: impl std::fmt::Display) -> Self {
        Self::new(INVALID_PARAMS, format!("invalid argument {index}: {reason}"))
    }

    /// More arguments than the method takes.
    pub fn too_many_arguments(most: usize) -> Self {
        Self::new(INVALID_PARAMS, format!("too many arguments, want at most {most}"))
    }

    /// The parameters are an object.
    pub fn non_array_arguments() -> Self {
        Self::new(INVALID_PARAMS, "non-array args")
    }

    /// Parameters that are each readable but make no sense.
    pub fn invalid_params(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    /// A batch has more entries than allowed.
    pub fn batch_too_large() -> Self {
        Self::new(INVALID_REQUEST, "batch too large")
    }

    /// The answer is larger than allowed.
    pub fn response_too_large() -> Self {
        Self::new(RESPONSE_TOO_LARGE, "response too large")
    }

    /// The answer took longer than allowed.
    pub fn timed_out() -> Self {
        Self::new(TIMEOUT, "request timed out")
    }

    /// More is asked for than the node can answer now.
    pub fn busy() -> Self {
        Self::new(LIMIT_EXCEEDED, "the node is busy: too many requests wait, try again later")
    }

    /// A method that changes something was asked for by a stranger.
    pub fn kept_from_strangers(method: &str) -> Self {
        let words = format!(
            "the method {method} does not exist/is not available beyond the node's machine without an API key or a token (--rpc.keys, --rpc.jwtsecret)"
        );
        Self::new(METHOD_NOT_FOUND, words)
    }

    /// A bug of ours, which the log tells more about.
    pub fn internal() -> Self {
        Self::new(INTERNAL_ERROR, "internal error")
    }

    /// The state of a block was asked for that this node does not have.
    pub fn header_not_found() -> Self {
        Self::new(SERVER_ERROR, "header not found")
    }

    /// The same for a block that is named by its hash.
    pub fn header_for_hash_not_found() -> Self {
        Self::new(SERVER_ERROR, "header for hash not found")
    }

    /// Of this block the node has the header alone: it began with the state of a later one.
    pub fn pruned_history() -> Self {
        Self::new(PRUNED_HISTORY, "pruned history unavailable")
    }

    /// A polled filter is gone: uninstalled, or not polled for too long.
    pub fn filter_not_found() -> Self {
        Self::new(SERVER_ERROR, "filter not found")
    }

    /// A log query spans too many blocks.
    pub fn block_range_too_wide(most: u64) -> Self {
        Self::new(INVALID_PARAMS, format!("exceed maximum block range {most}"))
    }

    /// A log query finds too much.
    pub fn too_many_results(most: usize) -> Self {
        Self::new(LIMIT_EXCEEDED, format!("query returned more than {most} results"))
    }

    /// A call ran longer than allowed.
    pub fn execution_aborted(limit: Duration) -> Self {
        Self::new(SERVER_ERROR, format!("execution aborted (timeout = {limit:?})"))
    }

    /// A call reverted with `output`.
    pub fn reverted(output: &Bytes) -> Self {
        let message = match revert::reason(output) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        Self { code: REVERTED, message: message.into(), data: Some(hex::encode_prefixed(output)) }
    }

    /// A transaction that was waited for is still in the pool.
    pub fn not_mined_in_time(hash: B256, waited: Duration) -> Self {
        let message = format!("the transaction was added to the pool but was not mined within {waited:?}");
        Self { code: NOT_MINED_IN_TIME, message: message.into(), data: Some(hash.to_string()) }
    }

    /// A legacy transaction without a chain id.
    pub fn unprotected_transaction() -> Self {
        Self::new(SERVER_ERROR, "only replay-protected (EIP-155) transactions allowed over RPC")
    }

    /// A transaction for another chain.
    pub fn wrong_chain_id(have: u64, want: u64) -> Self {
        Self::new(SERVER_ERROR, format!("invalid chain id for signer: have {have} want {want}"))
    }

    /// A transaction may cost more than the configured cap; amounts in wei.
    pub fn fee_above_cap(fee_wei: u128, cap_wei: u128) -> Self {
        let (fee, cap) = (ether(fee_wei), ether(cap_wei));
        Self::new(SERVER_ERROR, format!("tx fee ({fee} ether) exceeds the configured cap ({cap} ether)"))
    }

    /// A transaction of an account that is not on the list of those whose transactions are taken.
    pub fn sender_not_authorized() -> Self {
        Self::new(NOT_AUTHORIZED, "Sender account not authorized to send transactions")
    }

    /// Unlocking over a network transport that others may reach.
    pub fn unlock_forbidden() -> Self {
        Self::new(SERVER_ERROR, "account unlock with HTTP access is forbidden")
    }

    /// Turns how a call failed into its error; `None` where it succeeded.
    pub fn of_outcome(outcome: &CallOutcome) -> Option<Self> {
        match outcome {
            CallOutcome::Success { .. } => None,
            CallOutcome::Revert { output, .. } => Some(Self::reverted(output)),
            CallOutcome::Halt { reason, .. } => Some(Self::server(reason)),
        }
    }

    /// A request asks for more than the specification lets a node limit.
    pub fn client_limit(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(CLIENT_LIMIT, message)
    }

    /// Turns the reason why a simulation has no result into its error. `limit` is the time it had.
    pub fn of_simulation(error: &SimulationError, limit: Duration) -> Self {
        let code = match error {
            SimulationError::Call(error) => return Self::of_call(error, limit),
            SimulationError::NumberOrder { .. } => BLOCK_NUMBER_ORDER,
            SimulationError::TimestampOrder { .. } => BLOCK_TIME_ORDER,
            SimulationError::TooManyBlocks => CLIENT_LIMIT,
            SimulationError::GasLimitReached { .. } => BLOCK_GAS_LIMIT,
            SimulationError::System(_) | SimulationError::TooOld { .. } => SERVER_ERROR,
            SimulationError::Refused { rule, .. } => match rule {
                BrokenRule::NonceTooLow => NONCE_TOO_LOW,
                BrokenRule::NonceTooHigh => NONCE_TOO_HIGH,
                BrokenRule::BaseFeeTooHigh => BASE_FEE_TOO_HIGH,
                BrokenRule::IntrinsicGas => INTRINSIC_GAS,
                BrokenRule::Funds => FUNDS,
                BrokenRule::SenderHasCode => SENDER_HAS_CODE,
                BrokenRule::InitCodeTooLong => INIT_CODE_TOO_LONG,
                BrokenRule::Other => INVALID_PARAMS,
            },
        };
        Self::new(code, error.to_string())
    }

    /// Turns the reason why a call did not run into its error. `limit` is the time it had.
    pub fn of_call(error: &CallError, limit: Duration) -> Self {
        match error {
            CallError::Cancelled => Self::execution_aborted(limit),
            CallError::PrecompileToItself(_) => Self::new(PRECOMPILE_TO_ITSELF, error.to_string()),
            CallError::PrecompilesToOne(_) => Self::new(PRECOMPILES_TO_ONE, error.to_string()),
            CallError::Invalid(_) | CallError::GasAllowance(_) | CallError::State(_) => Self::server(error),
        }
    }
}

/// Writes an amount in ether with two decimals, rounded to nearest.
fn ether(wei: u128) -> String {
    const HUNDREDTH: u128 = 10_000_000_000_000_000;
    let hundredths = wei.saturating_add(HUNDREDTH / 2) / HUNDREDTH;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

impl From<ViewError> for RpcError {
    fn from(error: ViewError) -> Self {
        Self::server(error)
    }
}

impl From<StateError> for RpcError {
    fn from(error: StateError) -> Self {
        Self::server(error)
    }
}

impl From<SignerError> for RpcError {
    fn from(error: SignerError) -> Self {
        Self::server(error)
    }
}

impl From<MinerError> for RpcError {
    fn from(error: MinerError) -> Self {
        Self::server(error)
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(error: RpcError) -> Self {
        Self::owned(error.code, error.message, error.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_that_clients_match() {
        let cases = [
            (RpcError::method_not_found("eth_foo"), -32601, "the method eth_foo does not exist/is not available"),
            (RpcError::notifications_not_supported(), -32601, "notifications not supported"),
            (RpcError::missing_argument(0), -32602, "missing value for required argument 0"),
            (RpcError::invalid_argument(1, "x"), -32602, "invalid argument 1: x"),
            (RpcError::batch_too_large(), -32600, "batch too large"),
            (RpcError::response_too_large(), -32003, "response too large"),
            (RpcError::timed_out(), -32002, "request timed out"),
            (RpcError::header_not_found(), -32000, "header not found"),
            (RpcError::header_for_hash_not_found(), -32000, "header for hash not found"),
            (RpcError::pruned_history(), 4444, "pruned history unavailable"),
            (RpcError::filter_not_found(), -32000, "filter not found"),
            (RpcError::block_range_too_wide(5000), -32602, "exceed maximum block range 5000"),
            (RpcError::execution_aborted(Duration::from_secs(5)), -32000, "execution aborted (timeout = 5s)"),
            (
                RpcError::unprotected_transaction(),
                -32000,
                "only replay-protected (EIP-155) transactions allowed over RPC",
            ),
            (RpcError::wrong_chain_id(1, 2), -32000, "invalid chain id for signer: have 1 want 2"),
            (
                RpcError::fee_above_cap(1_050_000_000_000_000_000, 1_000_000_000_000_000_000),
                -32000,
                "tx fee (1.05 ether) exceeds the configured cap (1.00 ether)",
            ),
            (RpcError::sender_not_authorized(), -32007, "Sender account not authorized to send transactions"),
            (RpcError::unlock_forbidden(), -32000, "account unlock with HTTP access is forbidden"),
            (SignerError::Locked.into(), -32000, "authentication needed: password or unlock"),
            (SignerError::WrongPassword.into(), -32000, "could not decrypt key with given password"),
            (SignerError::UnknownAccount.into(), -32000, "unknown account"),
            (SignerError::NoKey.into(), -32000, "no key for given address or file"),
            (MinerError::NoEtherbase.into(), -32000, "etherbase must be explicitly specified"),
        ];
        for (error, code, message) in cases {
            assert_eq!((error.code, error.message.as_ref()), (code, message));
        }
    }

    #[test]
    fn a_long_method_name_is_cut() {
        assert!(RpcError::method_not_found(&"é".repeat(5000)).message.len() < 300);
    }

    #[test]
    fn revert_data_is_a_bare_hex_string() {
        let error = RpcError::reverted(&Bytes::from_static(&[0xde, 0xad]));
        assert_eq!((error.code, error.message.as_ref()), (3, "execution reverted"));
        let object = ErrorObjectOwned::from(error);
        assert_eq!(object.data().map(|data| data.get()), Some("\"0xdead\""));
    }
}
