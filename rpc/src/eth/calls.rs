//! `eth_call`, `eth_estimateGas` and `eth_createAccessList`.

use std::sync::Arc;
use std::time::Duration;

use alloy_eips::eip2930::AccessList;
use alloy_primitives::{TxKind, U64};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::state::StateOverride;
use evm_runtime::call::{self, CreatedAccessList, Estimate};
use evm_runtime::{
    AccountOverride, BlockOverrides, CallContext, CallOutcome, CallRequest, StateOverrides, TraceContext, TraceError,
};
use serde::Serialize;

use crate::api::{Answer, Api, reply};
use crate::block_id::{BlockId, BlockTag};
use crate::deadline::Deadline;
use crate::debug::mined::trace_error;
use crate::dev;
use crate::errors::RpcError;
use crate::eth::blocks::next_header;
use crate::params::Call;

/// What a call request says, read and checked.
pub(crate) struct Question {
    pub(crate) request: CallRequest,
    block: BlockId,
    pub(crate) state_overrides: StateOverrides,
    pub(crate) block_overrides: BlockOverrides,
}

pub(crate) fn call(api: &Arc<Api>, arguments: &mut Call<'_>) -> Answer {
    let question = Question::read(arguments)?;
    let (outcome, came_to_console) = question.run(api, |context, question| {
        call::call_with_console(context, &question.request, &question.state_overrides, &question.block_overrides)
    })?;
    if came_to_console {
        dev::tell_call(api, &question);
    }
    match &outcome {
        CallOutcome::Success { output, .. } => reply(output),
        CallOutcome::Revert { .. } | CallOutcome::Halt { .. } => Err(failure(&outcome)),
    }
}

pub(crate) fn estimate_gas(api: &Arc<Api>, arguments: &mut Call<'_>) -> Answer {
    // A development chain's clients expect the block to come, whose time they may have chosen.
    let default = if api.dev.is_some() { BlockId::Tag(BlockTag::Pending) } else { BlockId::LATEST };
    reply(&U64::from(Question::read_with(arguments, default)?.estimate(api)?))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessListResult {
    access_list: AccessList,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    gas_used: U64,
}

pub(crate) fn create_access_list(api: &Arc<Api>, arguments: &mut Call<'_>) -> Answer {
    let question = Question::read(arguments)?;
    let created = question.run(api, |context, question| {
        call::create_access_list(context, &question.request, &question.state_overrides, &question.block_overrides)
    })?;
    let CreatedAccessList { access_list, gas_used, error } = created;
    reply(&AccessListResult { access_list, error, gas_used: U64::from(gas_used) })
}

/// Estimates the gas of a transaction on the pending block.
pub(crate) fn estimate_request(api: &Api, request: CallRequest) -> Result<u64, RpcError> {
    let question = Question {
        request,
        block: BlockId::Tag(BlockTag::Pending),
        state_overrides: StateOverrides::new(),
        block_overrides: BlockOverrides::default(),
    };
    question.estimate(api)
}

impl Question {
    pub(crate) fn read(arguments: &mut Call<'_>) -> Result<Self, RpcError> {
        Self::read_with(arguments, BlockId::LATEST)
    }

    /// Reads a question that is about the block `default` where it names none.
    fn read_with(arguments: &mut Call<'_>, default: BlockId) -> Result<Self, RpcError> {
        let request = arguments.required()?;
        let block = arguments.optional()?.unwrap_or(default);
        let state_overrides = arguments.optional::<StateOverride>()?;
        let block_overrides = arguments.optional::<alloy_rpc_types_eth::BlockOverrides>()?;
        Self::new(request, block, state_overrides, block_overrides)
    }

    /// Puts a question together from what a request says.
    pub(crate) fn new(
        request: TransactionRequest,
        block: BlockId,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<alloy_rpc_types_eth::BlockOverrides>,
    ) -> Result<Self, RpcError> {
        Ok(Self {
            request: call_request(request)?,
            block,
            state_overrides: read_state_overrides(state_overrides.unwrap_or_default())?,
            block_overrides: read_block_overrides(block_overrides.unwrap_or_default())?,
        })
    }

    /// Returns what the call says by `console.log`.
    pub(crate) fn console_lines(&self, api: &Api) -> Result<Vec<String>, RpcError> {
        self.run(api, |context, question| {
            call::console_lines(context, &question.request, &question.state_overrides, &question.block_overrides)
        })
    }

    fn estimate(&self, api: &Api) -> Result<u64, RpcError> {
        let estimate = self.run(api, |context, question| {
            call::estimate_gas(context, &question.request, &question.state_overrides, &question.block_overrides)
        })?;
        match estimate {
            Estimate::Gas(gas) => Ok(gas),
            Estimate::Fails(outcome) => Err(failure(&outcome)),
        }
    }

    /// Resolves the block once, and runs `execute` on its state within the time limit.
    fn run<T>(
        &self,
        api: &Api,
        execute: impl FnOnce(&CallContext<'_>, &Self) -> Result<T, evm_runtime::CallError>,
    ) -> Result<T, RpcError> {
        let limit = api.limits.evm_timeout;
        self.run_for(api, limit, execute)?.map_err(|error| RpcError::of_call(&error, limit))
    }

    /// Resolves the block once, and traces on its state within `limit`. The block must be mined.
    pub(crate) fn trace<T>(
        &self,
        api: &Api,
        limit: Duration,
        trace: impl FnOnce(&CallContext<'_>, &Self) -> Result<T, TraceError>,
    ) -> Result<T, RpcError> {
        if self.block.is_pending() {
            return Err(RpcError::server("tracing on top of pending is not supported"));
        }
        self.run_for(api, limit, trace)?.map_err(|error| trace_error(&error))
    }

    /// Returns the context of a call on a state within the block that is replayed.
    pub(crate) fn context<'a, D>(&self, api: &Api, replayed: &TraceContext<'a>, state: &'a D) -> CallContext<'a, D> {
        CallContext {
            spec: replayed.spec,
            state,
            header: replayed.header,
            gas_cap: api.limits.gas_cap,
            cancelled: replayed.cancelled,
        }
    }

    fn run_for<T, E>(
        &self,
        api: &Api,
        limit: Duration,
        execute: impl FnOnce(&CallContext<'_>, &Self) -> Result<T, E>,
    ) -> Result<Result<T, E>, RpcError> {
        let view = api.view();
        let header = match self.block.is_pending() {
            true => next_header(api, &view),
            false => self.block.header(&view)?.ok_or_else(RpcError::header_not_found)?.into_header(),
        };
        let state = self.block.state(&view)?;
        let deadline: Deadline = api.deadline(limit);
        let context = CallContext {
            spec: view.spec(),
            state: &state,
            header: &header,
            gas_cap: api.limits.gas_cap,
            cancelled: deadline.flag(),
        };
        Ok(execute(&context, self))
    }
}

/// Words a failure; a success here is a bug.
fn failure(outcome: &CallOutcome) -> RpcError {
    RpcError::of_outcome(outcome).unwrap_or_else(RpcError::internal)
}

/// Reads a transaction object as a call.
pub(crate) fn call_request(request: TransactionRequest) -> Result<CallRequest, RpcError> {
    let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    if request.gas_price.is_some() && dynamic {
        return Err(RpcError::server("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"));
    }
    if request.blob_versioned_hashes.is_some() {
        return Err(RpcError::server(consensus::TransactionError::BlobsUnsupported));
    }
    let input = request.input.try_into_unique_input().map_err(RpcError::server)?;
    Ok(CallRequest {
        from: request.from,
        to: request.to.filter(|to| matches!(to, TxKind::Call(_))),
        gas: request.gas,
        gas_price: request.gas_price,
        max_fee_per_gas: request.max_fee_per_gas,
        max_priority_fee_per_gas: request.max_priority_fee_per_gas,
        value: request.value,
        input: input.unwrap_or_default(),
        nonce: request.nonce,
        access_list: request.access_list,
        authorization_list: request.authorization_list,
    })
}

pub(crate) fn read_state_overrides(overrides: StateOverride) -> Result<StateOverrides, RpcError> {
    let one = |(address, account): (alloy_primitives::Address, alloy_rpc_types_eth::state::AccountOverride)| {
        if account.state.is_some() && account.state_diff.is_some() {
            return Err(RpcError::server(format!("account {address} has both 'state' and 'stateDiff'")));
        }
        let read = AccountOverride {
            balance: account.balance,
            nonce: account.nonce,
            code: account.code,
            state: account.state.map(|slots| slots.into_iter().collect()),
            state_diff: account.state_diff.map(|slots| slots.into_iter().collect()),
            move_precompile_to: account.move_precompile_to,
        };
        Ok((address, read))
    };
    overrides.into_iter().map(one).collect()
}

pub(crate) fn read_block_overrides(overrides: alloy_rpc_types_eth::BlockOverrides) -> Result<BlockOverrides, RpcError> {
    let too_large = |field: &str| RpcError::invalid_argument(3, format!("{field} does not fit 64 bits"));
    let narrow = |field: &str, value: Option<alloy_primitives::U256>| {
        value.map(|value| u64::try_from(value).map_err(|_| too_large(field))).transpose()
    };
    Ok(BlockOverrides {
        number: narrow("number", overrides.number)?,
        difficulty: overrides.difficulty,
        timestamp: overrides.time,
        gas_limit: overrides.gas_limit,
        beneficiary: overrides.coinbase,
        mix_hash: overrides.random,
        base_fee: narrow("baseFeePerGas", overrides.base_fee)?,
        blob_base_fee: overrides.blob_base_fee.map(|price| u128::try_from(price).unwrap_or(u128::MAX)),
        block_hashes: overrides.block_hash.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloy_primitives::{Address, Bytes, U256};

    fn read(json: &str) -> Result<CallRequest, String> {
        let request = serde_json::from_str::<TransactionRequest>(json).map_err(|error| error.to_string())?;
        call_request(request).map_err(|error| error.message.into_owned())
    }

    #[test]
    fn input_and_data_mean_the_same() {
        let data = Some(Bytes::from_static(&[1]));
        for json in ["{\"data\":\"0x01\"}", "{\"input\":\"0x01\"}", "{\"data\":\"0x01\",\"input\":\"0x01\"}"] {
            assert_eq!(read(json).ok().map(|request| request.input), data, "{json}");
        }
        let error = read("{\"data\":\"0x01\",\"input\":\"0x02\"}").unwrap_err();
        assert!(error.starts_with("both \"data\" and \"input\" are set and not equal"), "{error}");
    }

    #[test]
    fn two_kinds_of_price_exclude_each_other() {
        let error = read("{\"gasPrice\":\"0x1\",\"maxFeePerGas\":\"0x1\"}").unwrap_err();
        assert_eq!(error, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified");
    }

    #[test]
    fn a_null_recipient_creates() {
        assert_eq!(read("{\"to\":null,\"value\":\"0x1\"}").unwrap().to, None);
        let to = format!("{{\"to\":\"{:?}\"}}", Address::repeat_byte(2));
        assert_eq!(read(&to).unwrap().to, Some(TxKind::Call(Address::repeat_byte(2))));
    }

    #[test]
    fn overrides_are_read() {
        let address = Address::repeat_byte(1);
        let json = format!("{{\"{address:?}\":{{\"balance\":\"0x5\",\"nonce\":\"0x2\",\"code\":\"0x00\"}}}}");
        let read = read_state_overrides(serde_json::from_str(&json).unwrap()).unwrap();
        assert_eq!(read[&address].balance, Some(U256::from(5)));
        assert_eq!(read[&address].nonce, Some(2));
        let both = format!("{{\"{address:?}\":{{\"state\":{{}},\"stateDiff\":{{}}}}}}");
        let error = read_state_overrides(serde_json::from_str(&both).unwrap()).unwrap_err();
        assert!(error.message.ends_with("has both 'state' and 'stateDiff'"));
        let json =
            "{\"number\":\"0x5\",\"time\":\"0x6\",\"feeRecipient\":\"0x0101010101010101010101010101010101010101\"}";
        let block = read_block_overrides(serde_json::from_str(json).unwrap()).unwrap();
        assert_eq!((block.number, block.timestamp, block.beneficiary), (Some(5), Some(6), Some(address)));
    }
}
