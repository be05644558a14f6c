//! The table of all methods: name, arguments, what they answer, and where they run.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::api::{Answer, Api};
use crate::errors::RpcError;
use crate::eth::{blocks, calls, chain_info, fees, logs, polling, send, sign, state, transactions};
use crate::params::Call;
use crate::{admin, miner, net, perm, personal, txpool};

/// Answers a call at once.
pub(crate) type Answering = fn(&Arc<Api>, &mut Call<'_>) -> Answer;
/// Reads a call's arguments and returns what will answer it.
pub(crate) type Waiting = fn(&Arc<Api>, &mut Call<'_>) -> Result<BoxFuture<'static, Answer>, RpcError>;

/// Says how a method is answered.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// On the network's thread: well below half a millisecond.
    Quick(Answering),
    /// On a thread of its own, of which there is a limited number.
    Slow(Answering),
    /// By waiting for something to happen.
    Waiting(Waiting),
    /// By the subscription machinery.
    Subscription,
}

/// Describes one method.
#[derive(Clone, Copy)]
pub struct Method {
    /// The name, such as `eth_call`.
    pub name: &'static str,
    /// The arguments in order; a `?` ends the names of those that can be left out.
    pub arguments: &'static [&'static str],
    /// What it answers.
    pub about: &'static str,
    pub(crate) handler: Handler,
}

impl Method {
    /// Returns the namespace: what stands before the underscore.
    pub fn namespace(&self) -> &'static str {
        self.name.split_once('_').map_or(self.name, |(namespace, _)| namespace)
    }
}

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Method").field("name", &self.name).field("arguments", &self.arguments).finish_non_exhaustive()
    }
}

const fn quick(
    name: &'static str,
    arguments: &'static [&'static str],
    answering: Answering,
    about: &'static str,
) -> Method {
    Method { name, arguments, about, handler: Handler::Quick(answering) }
}

const fn slow(
    name: &'static str,
    arguments: &'static [&'static str],
    answering: Answering,
    about: &'static str,
) -> Method {
    Method { name, arguments, about, handler: Handler::Slow(answering) }
}

const fn subscription(name: &'static str, arguments: &'static [&'static str], about: &'static str) -> Method {
    Method { name, arguments, about, handler: Handler::Subscription }
}

/// All methods.
#[rustfmt::skip]
pub static METHODS: &[Method] = &[
    quick("eth_chainId", &[], chain_info::chain_id, "The chain id of EIP-155."),
    quick("eth_blockNumber", &[], chain_info::block_number, "The head's number."),
    quick("eth_syncing", &[], chain_info::syncing, "`false`, or how far the node is behind: `startingBlock`, `currentBlock`, `highestBlock`."),
    quick("eth_accounts", &[], chain_info::accounts, "The keystore's accounts."),
    quick("eth_requestAccounts", &[], chain_info::accounts, "The same (EIP-1102)."),
    quick("eth_coinbase", &[], chain_info::coinbase, "Who is credited for blocks."),
    quick("eth_etherbase", &[], chain_info::coinbase, "The same under geth's name."),
    quick("eth_mining", &[], chain_info::mining, "Whether the node mines."),
    quick("eth_hashrate", &[], chain_info::hash_rate, "Hashes per second."),
    quick("eth_protocolVersion", &[], chain_info::protocol_version, "The version of Ethereum's wire protocol that the answers follow."),

    quick("eth_gasPrice", &[], fees::gas_price, "The next block's base fee and the suggested tip, in wei."),
    quick("eth_maxPriorityFeePerGas", &[], fees::max_priority_fee_per_gas, "The suggested tip in wei: the pool's limit, and more only where blocks are full."),
    quick("eth_baseFee", &[], fees::next_base_fee, "The next block's base fee in wei."),
    quick("eth_blobBaseFee", &[], fees::blob_base_fee, "The blob base fee in wei, always 1."),
    slow("eth_feeHistory", &["blockCount", "newestBlock", "rewardPercentiles?"], fees::fee_history, "Base fees, fullness and tips of up to 1024 blocks."),

    quick("eth_getBalance", &["address", "block?"], state::balance, "A balance in wei."),
    quick("eth_getTransactionCount", &["address", "block?"], state::transaction_count, "A nonce; `pending` counts the pool."),
    quick("eth_getCode", &["address", "block?"], state::code, "A contract's code."),
    quick("eth_getStorageAt", &["address", "slot", "block?"], state::storage_at, "A storage slot, 32 bytes."),

    slow("eth_getBlockByNumber", &["block", "full?"], blocks::by_number, "A block, with its transactions' hashes or whole; `null` where unknown."),
    slow("eth_getBlockByHash", &["hash", "full?"], blocks::by_hash, "The same by hash, of any known branch."),
    quick("eth_getHeaderByNumber", &["block"], blocks::header_by_number, "A header."),
    quick("eth_getHeaderByHash", &["hash"], blocks::header_by_hash, "The same by hash."),
    slow("eth_getBlockTransactionCountByNumber", &["block"], blocks::transaction_count_by_number, "How many transactions a block has."),
    slow("eth_getBlockTransactionCountByHash", &["hash"], blocks::transaction_count_by_hash, "The same by hash."),
    slow("eth_getBlockReceipts", &["block"], blocks::receipts, "All receipts of a block."),
    slow("eth_getUncleCountByBlockNumber", &["block"], blocks::uncle_count_by_number, "How many ommers a block has."),
    slow("eth_getUncleCountByBlockHash", &["hash"], blocks::uncle_count_by_hash, "The same by hash."),
    slow("eth_getUncleByBlockNumberAndIndex", &["block", "index"], blocks::uncle_by_number, "An ommer; `null` on Drawbridge's own chains."),
    slow("eth_getUncleByBlockHashAndIndex", &["hash", "index"], blocks::uncle_by_hash, "The same by hash."),

    quick("eth_getTransactionByHash", &["hash"], transactions::by_hash, "A transaction, mined or in the pool."),
    slow("eth_getTransactionByBlockNumberAndIndex", &["block", "index"], transactions::by_block_number, "A mined transaction."),
    slow("eth_getTransactionByBlockHashAndIndex", &["hash", "index"], transactions::by_block_hash, "The same by hash."),
    quick("eth_getTransactionReceipt", &["hash"], transactions::receipt, "A mined transaction's receipt; `null` before."),
    quick("eth_getRawTransactionByHash", &["hash"], transactions::raw_by_hash, "A transaction's encoding (EIP-2718)."),
    slow("eth_getRawTransactionByBlockNumberAndIndex", &["block", "index"], transactions::raw_by_block_number, "The same by place."),
    slow("eth_getRawTransactionByBlockHashAndIndex", &["hash", "index"], transactions::raw_by_block_hash, "The same by block hash."),
    slow("eth_pendingTransactions", &[], transactions::pending, "The pool's executable transactions of the node's own accounts."),

    slow("eth_call", &["transaction", "block?", "stateOverrides?", "blockOverrides?"], calls::call, "What a call returns; a revert is error 3 with its data."),
    slow("eth_estimateGas", &["transaction", "block?", "stateOverrides?", "blockOverrides?"], calls::estimate_gas, "The least gas limit with which a transaction succeeds."),

    quick("eth_sendRawTransaction", &["raw"], send::send_raw, "Adds a signed transaction to the pool; its hash."),
    Method { name: "eth_sendRawTransactionSync", arguments: &["raw", "timeoutMs?"], about: "The same, and waits for the receipt (EIP-7966).", handler: Handler::Waiting(send::send_raw_sync) },
    slow("eth_sendTransaction", &["transaction"], send::send, "Fills, signs and adds a transaction of an unlocked account; its hash."),
    slow("eth_signTransaction", &["transaction"], send::sign_transaction, "Signs a complete transaction of an unlocked account."),
    slow("eth_fillTransaction", &["transaction"], send::fill_transaction, "Fills what a transaction leaves open."),
    quick("eth_sign", &["address", "message"], sign::sign, "Signs a message (EIP-191) with an unlocked account."),

    slow("eth_getLogs", &["query"], logs::get_logs, "The logs of a block or a range that a query asks for."),
    quick("eth_newFilter", &["query"], polling::new_filter, "Installs a filter for logs; its id."),
    quick("eth_newBlockFilter", &[], polling::new_block_filter, "Installs a filter for blocks; its id."),
    quick("eth_newPendingTransactionFilter", &["full?"], polling::new_pending_transaction_filter, "Installs a filter for transactions that enter the pool; its id."),
    slow("eth_getFilterChanges", &["id"], polling::filter_changes, "What happened since the last poll."),
    slow("eth_getFilterLogs", &["id"], polling::filter_logs, "All logs that a filter's query asks for."),
    quick("eth_uninstallFilter", &["id"], polling::uninstall_filter, "Uninstalls a filter; whether it was there."),
    subscription("eth_subscribe", &["kind", "option?"], "Pushes `newHeads`, `logs` (option: the query), `newPendingTransactions` (option: `true` for whole ones) or `syncing`; over WebSocket and IPC."),
    subscription("eth_unsubscribe", &["id"], "Ends a subscription; whether it was there."),

    quick("net_version", &[], net::version, "The network id, in decimal."),
    quick("net_listening", &[], net::listening, "Whether the node listens for others; `true` also where it runs alone."),
    quick("net_peerCount", &[], net::peer_count, "How many peers have introduced themselves."),

    quick("web3_clientVersion", &[], net::client_version, "Name and version of the node."),
    quick("web3_sha3", &["data"], net::sha3, "keccak256."),

    quick("rpc_modules", &[], net::modules, "The namespaces of this transport."),

    quick("txpool_status", &[], txpool::status, "How many transactions are executable and how many wait for an earlier nonce."),
    slow("txpool_content", &[], txpool::content, "All of them, by sender and nonce."),
    slow("txpool_contentFrom", &["address"], txpool::content_from, "Those of one sender."),
    slow("txpool_inspect", &[], txpool::inspect, "All of them, a line each."),

    slow("miner_start", &["threads?"], miner::start, "Starts mining."),
    slow("miner_stop", &[], miner::stop, "Stops mining."),
    slow("miner_setEtherbase", &["address"], miner::set_etherbase, "Sets who is credited."),
    slow("miner_setCoinbase", &["address"], miner::set_etherbase, "The same."),
    slow("miner_setExtra", &["text"], miner::set_extra, "Sets the extra data of blocks, at most 32 bytes."),
    slow("miner_setGasPrice", &["wei"], miner::set_gas_price, "Sets the least tip that miner and pool take."),
    slow("miner_setGasLimit", &["gas"], miner::set_gas_limit, "Sets the gas limit to move towards."),

    quick("personal_listAccounts", &[], personal::list_accounts, "The keystore's accounts."),
    slow("personal_newAccount", &["password"], personal::new_account, "Makes an account; its address."),
    slow("personal_importRawKey", &["key", "password"], personal::import_raw_key, "Adds a private key to the keystore; its address."),
    slow("personal_unlockAccount", &["address", "password", "seconds?"], personal::unlock_account, "Unlocks an account, by default for 300 s, with 0 for good. Refused while HTTP or WebSocket is on, without `--allow-insecure-unlock`."),
    quick("personal_lockAccount", &["address"], personal::lock_account, "Locks an account."),
    slow("personal_sendTransaction", &["transaction", "password?"], personal::send_transaction, "Fills, signs and adds a transaction; its hash."),
    slow("personal_signTransaction", &["transaction", "password?"], personal::sign_transaction, "Signs a complete transaction."),
    slow("personal_sign", &["message", "address", "password?"], personal::sign, "Signs a message (EIP-191)."),
    quick("personal_ecRecover", &["message", "signature"], personal::ec_recover, "Who signed a message."),

    quick("admin_nodeInfo", &[], admin::node_info, "Who the node is: peer id, multiaddrs (the first also as `enode`), port, genesis and head."),
    slow("admin_peers", &[], admin::peers, "The peers, and those that were refused of late with the reason (`refused`)."),
    slow("admin_addPeer", &["multiaddr"], admin::add_peer, "Connects to a peer and stays connected."),
    slow("admin_removePeer", &["peer"], admin::remove_peer, "Parts from a peer (peer id or multiaddr) and forgets it."),
    slow("admin_addTrustedPeer", &["peer"], admin::add_trusted_peer, "Lets a peer come whatever the number of peers."),
    slow("admin_removeTrustedPeer", &["peer"], admin::remove_trusted_peer, "Ends that."),
    quick("admin_datadir", &[], admin::datadir, "The data directory."),
    slow("admin_exportChain", &["file", "first?", "last?"], admin::export_chain, "Writes canonical blocks to a new file on the node's machine (RLP)."),
    slow("admin_importChain", &["file"], admin::import_chain, "Imports all blocks of a file on the node's machine (RLP)."),
    subscription("admin_subscribe", &["kind"], "Pushes `peerEvents`: peers that come (`add`) and go (`drop`, with the reason); over WebSocket and IPC."),
    subscription("admin_unsubscribe", &["id"], "Ends a subscription; whether it was there."),

    quick("perm_getNodesAllowlist", &[], perm::nodes, "The only nodes that may come."),
    slow("perm_addNodesToAllowlist", &["nodes"], perm::add_nodes, "Adds nodes (peer ids or multiaddrs) to that list, and to its file."),
    slow("perm_removeNodesFromAllowlist", &["nodes"], perm::remove_nodes, "Removes nodes from that list; they are cut off at once."),
    quick("perm_getAccountsAllowlist", &[], perm::accounts, "The only accounts whose transactions are taken over JSON-RPC."),
    slow("perm_addAccountsToAllowlist", &["addresses"], perm::add_accounts, "Adds accounts to that list, and to its file."),
    slow("perm_removeAccountsFromAllowlist", &["addresses"], perm::remove_accounts, "Removes accounts from that list."),
    slow("perm_reloadPermissionsFromFile", &[], perm::reload, "Reads both lists from their file anew."),
];

/// Namespaces that are accepted where namespaces are chosen, though they hold nothing: old commands name them.
pub const EMPTY_NAMESPACES: &[&str] = &["db"];

/// Returns all namespaces with methods, sorted.
pub fn namespaces() -> BTreeSet<&'static str> {
    METHODS.iter().map(Method::namespace).collect()
}

/// Writes the table of methods as Markdown: a section per namespace.
pub fn method_table_markdown() -> String {
    let mut text = String::from(
        "# JSON-RPC methods\n\nThis page is written from the program's own table. Arguments are positional; those with `?` can be left out.\n",
    );
    let mut namespace = "";
    for method in METHODS {
        if method.namespace() != namespace {
            namespace = method.namespace();
            let _ = write!(text, "\n## {namespace}\n\n| method | arguments | answers |\n|---|---|---|\n");
        }
        let arguments = method.arguments.join(", ");
        let _ = writeln!(text, "| `{}` | {arguments} | {} |", method.name, method.about);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_unique_and_namespaces_stand_together() {
        let names: BTreeSet<_> = METHODS.iter().map(|method| method.name).collect();
        assert_eq!(names.len(), METHODS.len());
        let mut runs: Vec<_> = METHODS.iter().map(Method::namespace).collect();
        runs.dedup();
        assert_eq!(runs.len(), namespaces().len());
    }

    #[test]
    fn arguments_that_can_be_left_out_come_last() {
        for method in METHODS {
            let first = method.arguments.iter().position(|name| name.ends_with('?')).unwrap_or(method.arguments.len());
            assert!(method.arguments[first..].iter().all(|name| name.ends_with('?')), "{}", method.name);
        }
    }

    #[test]
    fn the_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rpc.md");
        if std::env::var_os("DRAWBRIDGE_WRITE_DOCS").is_some() {
            std::fs::write(path, method_table_markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap();
        assert_eq!(page, method_table_markdown(), "run the tests with DRAWBRIDGE_WRITE_DOCS=1");
    }
}
