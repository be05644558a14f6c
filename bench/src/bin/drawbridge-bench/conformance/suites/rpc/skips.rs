//! Cases whose answers differ, by name, each with the reason.

use crate::conformance::suite::Skip;

const OWN_METHOD: &str = "a method, or a form of one, that Besu alone has";
const OWN_CODE: &str = "Besu's own error code; geth's is answered, which clients match";
const OWN_FORM: &str =
    "steps in the form that Besu had: the memory always, words without zeros, a step where no code ran; here geth's";
const FILTER_ID: &str = "counts its filters from 1; here ids cannot be guessed";
const UNCHECKED_POOL: &str = "the sender has no ether on this chain: Besu's test has a pool that takes everything";
const REVERT_OUTPUT: &str =
    "shows what a reverted call returned under a name of its own; here it is in the output or the result";
const UNWRITTEN_MEMORY: &str =
    "a step of `vmTrace` shows the memory where a call may write, also where it wrote nothing; here null";
const FAILED_STEP: &str = "an instruction that fails has an `ex` in Besu's `vmTrace`; here null, as in OpenEthereum";
const FAILED_COST: &str =
    "an instruction that cannot be paid has its price in Besu's `vmTrace`; here the gas that was left";
const COLLISION: &str =
    "a creation where a contract is already: Besu's words for it, and code that never ran in its `vmTrace`";

#[rustfmt::skip]
pub(super) const SKIPS: [Skip; 64] = [
    skip("execution-apis-2026/tests/testing_buildBlockV1", "builds blocks past the merge for tests of consensus clients; optional"),
    skip("execution-apis-2026/tests/eth_estimateGas/estimate-with-eip4844", "blob transactions are refused: a private chain has no layer for their data"),
    skip("execution-apis-2026/tests/eth_getBlockByNumber/get-safe", "a consensus client named the head safe; here the safe block lies at the chain's depth below it"),
    skip("ethSimulate-move-two-accounts-to-same-38023", "the specification has error -38023 for this, and it is answered; the recorded node took both"),
    skip("ethSimulate-overflow-nonce", "a nonce that goes over 2^64 - 1; the EVM refuses it (EIP-2681)"),
    skip("ethSimulate-use-as-many-features-as-possible", "the recorded node numbers logs on from those of calls that failed, which are not in the block"),
    skip("besu-2023-pow/specs/debug/debug_accountAt", OWN_METHOD),
    skip("besu-2023-pow/specs/debug/debug_accountRange", OWN_METHOD),
    skip("besu-2023-pow/specs/debug/debug_batchSendRawTransaction", OWN_METHOD),
    skip("besu-2023-pow/specs/eth/eth_getNewFilter_addressOnly", FILTER_ID),
    skip("besu-2023-pow/specs/eth/eth_getNewFilter_topicOnly", FILTER_ID),
    skip("besu-2023-pow/specs/eth/eth_newPendingTransactionFilter", FILTER_ID),
    skip("besu-2023-pow/specs/eth/eth_protocolVersion", "the version that the recorded node spoke"),
    skip("besu-2023-pow/specs/eth/net_version", "the network id that the recorded node was started with"),
    skip("besu-2023-pow/specs/eth/eth_call_gasLimitTooLow_block_8", OWN_CODE),
    skip("besu-2023-pow/specs/eth/eth_sendRawTransaction_invalidNonceTooLow", OWN_CODE),
    skip("besu-2023-pow/specs/eth/eth_sendRawTransaction_invalidRawTransaction", OWN_CODE),
    skip("besu-2025-trace-pow/specs/eth_latest/eth_estimateGas_revert", OWN_CODE),
    skip("besu-2023-pow/specs/eth/eth_call_invalidWithInputAndDataAttribute", "refuses input and data that are equal; geth and newer Besus take them"),
    skip("besu-2023-pow/specs/eth/eth_getBlockReceiptsByHash_NotFound", "the specification answers null"),
    skip("besu-2023-pow/specs/eth/eth_getBlockReceiptsByNumber_NotFound", "the specification answers null"),
    skip("besu-2023-pow/specs/eth/eth_getLogs_toBlockOutOfRange", "the specification has an error for a range beyond the head"),
    skip("besu-2023-pow/specs/eth/eth_sendRawTransaction_contractCreation", UNCHECKED_POOL),
    skip("besu-2023-pow/specs/eth/eth_sendRawTransaction_messageCall", UNCHECKED_POOL),
    skip("trace_replayBlockTransactions_traceOnly_0x12", REVERT_OUTPUT),
    skip("trace_replayBlockTransactions_all_0x12", REVERT_OUTPUT),
    skip("call-tracer/27-debug-call-tracer-0x1b-self-destruct-send-self", "a contract that destroys itself in its own favour (EIP-6780): the frame is there without the value, since the EVM tells no inspector of it"),
    skip("specs/debug/debug_traceTransaction_complete", OWN_FORM),
    skip("specs/debug/debug_traceTransaction_disableMemory", OWN_FORM),
    skip("trace-block/debug_traceBlock_default", OWN_FORM),
    skip("trace-block/debug_traceBlock_disableStack", OWN_FORM),
    skip("trace-call/debug_traceCall_noGasPrice", OWN_FORM),
    skip("trace-call/trace_call_12_1_trace", REVERT_OUTPUT),
    skip("trace-transaction/trace_transaction_12_1_trace", REVERT_OUTPUT),
    skip("trace_filter_0x0_0x21_after_2_count_19_0xfe3_all", REVERT_OUTPUT),
    skip("trace_filter_0x1_0x21_after_2_count_19_0xfe3_all", REVERT_OUTPUT),
    skip("trace_replayBlockTransactions_all_0x15", UNWRITTEN_MEMORY),
    skip("trace_replayBlockTransactions_all_0x16", UNWRITTEN_MEMORY),
    skip("trace_replayBlockTransactions_all_0x1A", UNWRITTEN_MEMORY),
    skip("vm-trace/trace_replayBlockTransactions_0x16", UNWRITTEN_MEMORY),
    skip("vm-trace/trace_replayBlockTransactions_0x1A", UNWRITTEN_MEMORY),
    skip("trace_call_15_0_vmTrace", UNWRITTEN_MEMORY),
    skip("trace_call_15_3_vmTrace", UNWRITTEN_MEMORY),
    skip("trace_call_16_0_vmTrace", UNWRITTEN_MEMORY),
    skip("trace_call_16_1_vmTrace", UNWRITTEN_MEMORY),
    skip("trace_call_1a_0_vmTrace", UNWRITTEN_MEMORY),
    skip("trace_rawTransaction_15_0_vmTrace", UNWRITTEN_MEMORY),
    skip("trace_rawTransaction_15_3_vmTrace", UNWRITTEN_MEMORY),
    skip("trace_rawTransaction_16_2_vmTrace", UNWRITTEN_MEMORY),
    skip("trace_replayBlockTransactions_all_0x10", FAILED_STEP),
    skip("trace_replayBlockTransactions_halt_case_0x10", FAILED_STEP),
    skip("vm-trace/trace_replayBlockTransactions_0x10", FAILED_STEP),
    skip("trace_call_10_2_vmTrace", FAILED_STEP),
    skip("trace_callMany_10_vmTrace", FAILED_STEP),
    skip("trace_rawTransaction_10_2_vmTrace", FAILED_STEP),
    skip("trace_replayBlockTransactions_all_0x1E", FAILED_COST),
    skip("vm-trace/trace_replayBlockTransactions_0x1E", FAILED_COST),
    skip("trace_call_20_0_vmTrace", FAILED_COST),
    skip("trace_callMany_1e_vmTrace", FAILED_COST),
    skip("trace_rawTransaction_1e_0_vmTrace", FAILED_COST),
    skip("trace_call_14_1_trace", COLLISION),
    skip("trace_call_14_1_vmTrace", COLLISION),
    skip("trace_callMany_14_vmTrace", COLLISION),
    skip("trace_rawTransaction_14_1_trace", COLLISION),
];

/// Skips what has `part` in its path.
const fn skip(part: &'static str, reason: &'static str) -> Skip {
    Skip { fork: None, part, reason }
}
