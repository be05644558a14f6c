//! `eth_simulateV1`.

use std::sync::Arc;

use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{B256, Bytes, U64};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{Log, TransactionRequest};
use chain::ChainView;
use evm_runtime::simulate::{
    BlockPlan, SimulatedBlock, SimulatedCall, SimulationContext, Transfers, Validation, simulate,
};
use evm_runtime::{CallOutcome, CallRequest};
use serde::{Deserialize, Serialize};

use crate::api::{Answer, Api, reply};
use crate::block_id::BlockId;
use crate::errors::{REVERTED, RpcError, VM_ERROR};
use crate::eth::calls::{call_request, read_block_overrides, read_state_overrides};
use crate::objects::{self, BlockObject, Transactions};
use crate::params::Call;

/// The most calls of a request, all blocks together: each takes at least 21,000 gas of the one allowance.
const CALLS_MAX: usize = 5_000;
/// The most withdrawals of a block (EIP-4895).
const WITHDRAWALS_MAX: usize = 16;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    block_state_calls: Vec<PlannedBlock>,
    #[serde(default)]
    trace_transfers: bool,
    #[serde(default)]
    validation: bool,
    #[serde(default)]
    return_full_transactions: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlannedBlock {
    block_overrides: Option<PlannedEnvironment>,
    state_overrides: Option<StateOverride>,
    calls: Option<Vec<TransactionRequest>>,
}

#[derive(Default, Deserialize)]
struct PlannedEnvironment {
    withdrawals: Option<Vec<Withdrawal>>,
    #[serde(flatten)]
    common: alloy_rpc_types_eth::BlockOverrides,
}

#[derive(Serialize)]
struct ShownBlock {
    #[serde(flatten)]
    block: BlockObject,
    calls: Vec<ShownCall>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownCall {
    return_data: Bytes,
    logs: Vec<Log>,
    gas_used: U64,
    max_used_gas: U64,
    status: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ShownError>,
}

#[derive(Serialize)]
struct ShownError {
    code: i32,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Bytes>,
}

pub(crate) fn simulate_blocks(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let payload = call.required::<Payload>()?;
    let base = call.optional()?.unwrap_or(BlockId::LATEST);
    if payload.block_state_calls.is_empty() {
        return Err(RpcError::invalid_params("empty input"));
    }
    let calls = payload.block_state_calls.iter().filter_map(|block| block.calls.as_ref()).map(Vec::len);
    if calls.sum::<usize>() > CALLS_MAX {
        return Err(RpcError::client_limit(format!("too many calls (max {CALLS_MAX})")));
    }
    let view = api.view();
    let chain_id = view.spec().chain_id;
    let plans = payload.block_state_calls.into_iter().map(|block| block.plan(chain_id)).collect::<Result<_, _>>()?;
    let header = base.known_header(&view)?;
    let state = base.state(&view)?;
    let limit = api.limits.evm_timeout;
    let deadline = api.deadline(limit);
    let context = SimulationContext {
        spec: view.spec(),
        state: &state,
        base: &header,
        head: view.head().number,
        gas_cap: api.limits.gas_cap,
        cancelled: deadline.flag(),
        validation: if payload.validation { Validation::Full } else { Validation::Relaxed },
        transfers: if payload.trace_transfers { Transfers::Logged } else { Transfers::Hidden },
    };
    let blocks = simulate(&context, plans).map_err(|error| RpcError::of_simulation(&error, limit))?;
    let form = Transactions::from(Some(payload.return_full_transactions));
    let shown = blocks.iter().map(|block| show(&view, block, form));
    reply(&shown.collect::<Result<Vec<_>, _>>()?)
}

impl PlannedBlock {
    fn plan(self, chain_id: u64) -> Result<BlockPlan, RpcError> {
        let PlannedEnvironment { withdrawals, common } = self.block_overrides.unwrap_or_default();
        let withdrawals = withdrawals.unwrap_or_default();
        if withdrawals.len() > WITHDRAWALS_MAX {
            return Err(RpcError::client_limit(format!("too many withdrawals (max {WITHDRAWALS_MAX})")));
        }
        let beacon_root = common.beacon_root;
        let calls = self.calls.unwrap_or_default().into_iter().map(|call| read_call(call, chain_id));
        Ok(BlockPlan {
            block: read_block_overrides(common)?,
            withdrawals,
            beacon_root,
            state: read_state_overrides(self.state_overrides.unwrap_or_default())?,
            calls: calls.collect::<Result<_, _>>()?,
        })
    }
}

fn read_call(request: TransactionRequest, want: u64) -> Result<CallRequest, RpcError> {
    if let Some(have) = request.chain_id.filter(|have| *have != want) {
        return Err(RpcError::server(format!("chainId does not match node's (have={have}, want={want})")));
    }
    call_request(request)
}

fn show(view: &ChainView, simulated: &SimulatedBlock, form: Transactions) -> Result<ShownBlock, RpcError> {
    let block = objects::block(view, &simulated.block, form)?;
    let mut first_log = 0;
    let mut calls = Vec::with_capacity(simulated.calls.len());
    for (index, call) in simulated.calls.iter().enumerate() {
        let hash = simulated.block.transactions.get(index).map(consensus::RecoveredTransaction::hash);
        calls.push(show_call(simulated, call, index, hash, first_log));
        first_log += call.logs.len();
    }
    Ok(ShownBlock { block, calls })
}

fn show_call(
    simulated: &SimulatedBlock,
    call: &SimulatedCall,
    index: usize,
    transaction_hash: Option<B256>,
    first_log: usize,
) -> ShownCall {
    let block = &simulated.block;
    let log = |(place, log): (usize, &alloy_primitives::Log)| Log {
        inner: log.clone(),
        block_hash: Some(block.hash()),
        block_number: Some(block.number()),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash,
        transaction_index: u64::try_from(index).ok(),
        log_index: u64::try_from(first_log + place).ok(),
        removed: false,
    };
    let error = match &call.outcome {
        CallOutcome::Success { .. } => None,
        CallOutcome::Revert { output, .. } => {
            let message = RpcError::reverted(output).message.into_owned();
            Some(ShownError { code: REVERTED, message, data: Some(output.clone()) })
        }
        CallOutcome::Halt { reason, .. } => Some(ShownError { code: VM_ERROR, message: reason.clone(), data: None }),
    };
    ShownCall {
        return_data: call.output(),
        logs: call.logs.iter().enumerate().map(log).collect(),
        gas_used: U64::from(call.gas_used()),
        max_used_gas: U64::from(call.gas_max),
        status: U64::from(u8::from(error.is_none())),
        error,
    }
}
