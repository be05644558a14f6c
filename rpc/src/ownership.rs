//! `drawbridge_ownershipProof`: what a device needs to verify an order without believing this node.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, U64, U256};
use evm_runtime::state::AccountProof;
use serde::Serialize;

use crate::api::{Answer, Api, reply};
use crate::block_id::{BlockId, BlockTag};
use crate::debug::state::read_error;
use crate::errors::RpcError;
use crate::params::Call;

/// The most headers of one proof: a device pins later blocks as it goes.
const HEADERS_MAX: u64 = 4096;

#[derive(Serialize)]
struct ShownOwnership {
    /// The block whose state is proven.
    number: U64,
    /// Headers from the pinned block to the head.
    headers: Vec<Bytes>,
    /// Their beneficiaries' signatures; empty where the chain needs none.
    witnesses: Vec<Bytes>,
    order: ShownAccount,
    registry: ShownAccount,
}

#[derive(Serialize)]
struct ShownAccount {
    account: Bytes,
    nodes: Vec<Bytes>,
    slots: Vec<ShownSlot>,
}

#[derive(Serialize)]
struct ShownSlot {
    slot: U256,
    value: U256,
    nodes: Vec<Bytes>,
}

pub(crate) fn ownership_proof(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let (order, registry) = (call.required::<Address>()?, call.required::<Address>()?);
    let (anchor, depth) = (call.required::<U64>()?.to::<u64>(), call.required::<U64>()?.to::<u64>());
    let view = api.view();
    let head = view.head().number;
    let number = head.checked_sub(depth).filter(|number| *number >= anchor);
    let number = number.ok_or_else(|| RpcError::server("the chain is not that long above the pinned block"))?;
    if head - anchor >= HEADERS_MAX {
        return Err(RpcError::server(format!("more than {HEADERS_MAX} headers: pin a later block")));
    }
    let (mut headers, mut witnesses) = (Vec::new(), Vec::new());
    for number in anchor..=head {
        let header = view.header_by_number(number)?.ok_or_else(RpcError::header_not_found)?;
        let witness = view.witness(header.hash())?;
        witnesses.push(witness.map_or_else(Bytes::new, |witness| witness.to_bytes().into()));
        headers.push(alloy_rlp::encode(&*header).into());
    }
    let header = view.header_by_number(number)?.ok_or_else(RpcError::header_not_found)?;
    let state = BlockId::Tag(BlockTag::Number(number)).state(&view)?;
    let deadline = api.deadline(api.limits.evm_timeout);
    let prove = |address: Address, slots: &[U256]| {
        let proof = state.prove(head, header.state_root, address, slots, deadline.flag());
        proof.map(|proof| shown(proof, slots)).map_err(|error| read_error(&error))
    };
    reply(&ShownOwnership {
        number: U64::from(number),
        headers,
        witnesses,
        order: prove(order, &proof::slots())?,
        registry: prove(registry, &[proof::registry_slot(order)])?,
    })
}

fn shown(proof: AccountProof, slots: &[U256]) -> ShownAccount {
    let AccountProof { account, nodes, slots: proven } = proof;
    let slots = slots.iter().zip(proven);
    ShownAccount {
        account: account.map_or_else(Bytes::new, |account| alloy_rlp::encode(account).into()),
        nodes,
        slots: slots
            .map(|(slot, proven)| ShownSlot { slot: *slot, value: proven.value, nodes: proven.nodes })
            .collect(),
    }
}
