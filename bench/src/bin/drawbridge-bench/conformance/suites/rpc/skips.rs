//! Cases whose answers differ, by name, each with the reason.

use crate::conformance::suite::Skip;

const OWN_METHOD: &str = "a method, or a form of one, that Besu alone has";
const OWN_CODE: &str = "Besu's own error code; geth's is answered, which clients match";
const OLD_STEPS: &str =
    "steps in a form that Besu has left: memory, storage and a reason in each, words of 64 digits without 0x";
const STEP_STORAGE: &str = "steps with all of the storage touched so far in each, numbers for its words, no refunds; geth has it at loads and stores alone";
const NO_CODE: &str = "a STOP where there is no code, under Besu's own cap on gas; geth has no step there";
const FILTER_ID: &str = "counts its filters from 1; here ids cannot be guessed";
const UNCHECKED_POOL: &str = "the sender has no ether on this chain: Besu's test has a pool that takes everything";
const COLLISION: &str = "Besu's words for a creation where a contract is already (`Illegal state change`); OpenEthereum's were those for gas, here it is named";

#[rustfmt::skip]
pub(super) const SKIPS: [Skip; 30] = [
    skip("execution-apis-2026/tests/testing_buildBlockV1", "builds blocks past the merge for tests of consensus clients; optional"),
    skip("execution-apis-2026/tests/eth_estimateGas/estimate-with-eip4844", "blob transactions are refused: a private chain has no layer for their data"),
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
    skip("specs/debug/debug_traceTransaction_complete", OLD_STEPS),
    skip("specs/debug/debug_traceTransaction_disableMemory", OLD_STEPS),
    skip("trace-block/debug_traceBlock_default", STEP_STORAGE),
    skip("trace-block/debug_traceBlock_disableStack", STEP_STORAGE),
    skip("trace-call/debug_traceCall_noGasPrice", NO_CODE),
    skip("trace_call_14_1_trace", COLLISION),
    skip("trace_rawTransaction_14_1_trace", COLLISION),
];

/// Skips what has `part` in its path.
const fn skip(part: &'static str, reason: &'static str) -> Skip {
    Skip { fork: None, part, reason }
}
