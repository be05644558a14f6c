//! The table of all methods: name, arguments, what they answer, and where they run.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::api::{Answer, Api};
use crate::debug::{database, raw, state as whole_state, tracing};
use crate::dev;
use crate::errors::RpcError;
use crate::eth::{
    blocks, calls, chain_info, fees, fork_config, logs, polling, proof, send, sign, simulate, state, transactions, work,
};
use crate::ots::{blocks as ots_blocks, search, transactions as ots_transactions};
use crate::params::Call;
use crate::server::ServeError;
use crate::trace::{calls as trace_calls, filter, replays};
use crate::{
    admin, backup, dashboard, device, discover, explain, index, logging, miner, net, ots, ownership, perm, personal,
    txpool,
};

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

const fn waiting(
    name: &'static str,
    arguments: &'static [&'static str],
    waiting: Waiting,
    about: &'static str,
) -> Method {
    Method { name, arguments, about, handler: Handler::Waiting(waiting) }
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
    quick("eth_config", &[], fork_config::config, "The rules that hold now, the next ones and the last ones that are known (EIP-7910): precompiles, system contracts, blobs, fork id."),
    quick("eth_capabilities", &[], fork_config::capabilities, "From which block on the node has blocks, receipts, logs, states and proofs."),

    quick("eth_getBalance", &["address", "block?"], state::balance, "A balance in wei."),
    quick("eth_getTransactionCount", &["address", "block?"], state::transaction_count, "A nonce; `pending` counts the pool."),
    quick("eth_getCode", &["address", "block?"], state::code, "A contract's code."),
    quick("eth_getStorageAt", &["address", "slot", "block?"], state::storage_at, "A storage slot, 32 bytes."),
    slow("eth_getStorageValues", &["slots", "block?"], state::storage_values, "Many storage slots at once: an object of addresses with lists of slots; the same with values."),

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
    slow("eth_getTransactionBySenderAndNonce", &["address", "nonce"], transactions::by_sender_and_nonce, "The transaction that took a nonce, mined or in the pool; `null` where there is none."),
    quick("eth_getTransactionReceipt", &["hash"], transactions::receipt, "A mined transaction's receipt; `null` before."),
    quick("eth_getRawTransactionByHash", &["hash"], transactions::raw_by_hash, "A transaction's encoding (EIP-2718)."),
    slow("eth_getRawTransactionByBlockNumberAndIndex", &["block", "index"], transactions::raw_by_block_number, "The same by place."),
    slow("eth_getRawTransactionByBlockHashAndIndex", &["hash", "index"], transactions::raw_by_block_hash, "The same by block hash."),
    slow("eth_pendingTransactions", &[], transactions::pending, "The pool's executable transactions of the node's own accounts."),

    slow("eth_call", &["transaction", "block?", "stateOverrides?", "blockOverrides?"], calls::call, "What a call returns; a revert is error 3 with its data."),
    slow("eth_estimateGas", &["transaction", "block?", "stateOverrides?", "blockOverrides?"], calls::estimate_gas, "The least gas limit with which a transaction succeeds."),

    slow("eth_createAccessList", &["transaction", "block?", "stateOverrides?", "blockOverrides?"], calls::create_access_list, "The accounts and slots that a transaction touches, and the gas that it uses with them listed (EIP-2930)."),
    slow("eth_simulateV1", &["payload", "block?"], simulate::simulate_blocks, "Calls on simulated blocks that follow a block, each on what the ones before left; `blockStateCalls` with `blockOverrides`, `stateOverrides` and `calls`, and `validation`, `traceTransfers`, `returnFullTransactions`."),
    slow("eth_getProof", &["address", "slots", "block?"], proof::proof, "An account and slots with the trie nodes that prove them (EIP-1186), at any block whose history is kept."),

    quick("eth_sendRawTransaction", &["raw"], send::send_raw, "Adds a signed transaction to the pool; its hash."),
    Method { name: "eth_sendRawTransactionSync", arguments: &["raw", "timeoutMs?", "confirmations?"], about: "The same, and waits for the receipt (EIP-7966): until it is mined, or until its block is the first of so many `confirmations`.", handler: Handler::Waiting(send::send_raw_sync) },
    slow("eth_sendTransaction", &["transaction"], send::send, "Fills, signs and adds a transaction of an unlocked account; its hash."),
    slow("eth_signTransaction", &["transaction"], send::sign_transaction, "Signs a complete transaction of an unlocked account."),
    slow("eth_fillTransaction", &["transaction"], send::fill_transaction, "Fills what a transaction leaves open."),
    quick("eth_sign", &["address", "message"], sign::sign, "Signs a message (EIP-191) with an unlocked account."),
    slow("eth_signTypedData_v4", &["address", "typedData"], sign::sign_typed_data, "Signs typed data (EIP-712) with an unlocked account; an object, or JSON in text."),
    slow("eth_signTypedData", &["address", "typedData"], sign::sign_typed_data, "The same under its old name."),
    slow("eth_resend", &["transaction", "gasPrice?", "gasLimit?"], explain::resend_request, "Sends a waiting transaction of an unlocked account, named by sender, nonce and content, again at a higher price, or with another gas limit; the new hash."),

    slow("eth_getLogs", &["query"], logs::get_logs, "The logs of a block or a range that a query asks for."),
    quick("eth_newFilter", &["query"], polling::new_filter, "Installs a filter for logs; its id."),
    quick("eth_newBlockFilter", &[], polling::new_block_filter, "Installs a filter for blocks; its id."),
    quick("eth_newPendingTransactionFilter", &["full?"], polling::new_pending_transaction_filter, "Installs a filter for transactions that enter the pool; its id."),
    slow("eth_getFilterChanges", &["id"], polling::filter_changes, "What happened since the last poll."),
    slow("eth_getFilterLogs", &["id"], polling::filter_logs, "All logs that a filter's query asks for."),
    quick("eth_uninstallFilter", &["id"], polling::uninstall_filter, "Uninstalls a filter; whether it was there."),
    subscription("eth_subscribe", &["kind", "option?"], "Pushes `newHeads` (option: `{includeTransactions}` for whole blocks), `logs` (option: the query), `newPendingTransactions` (option: `true` for whole ones), `droppedPendingTransactions` (hashes of those that leave the pool unmined), `transactionReceipts` (option: `{transactionHashes}`), `reorg` or `syncing`; over WebSocket and IPC. With `{\"cursor\": null}` in the option of the first two each item has a cursor, and with the last one instead of `null` a client that was away gets exactly what it missed, removals first."),
    subscription("eth_unsubscribe", &["id"], "Ends a subscription; whether it was there."),
    slow("eth_getWork", &[], work::get_work, "A block to seal for a miner elsewhere: its seal hash, zero (Ethash's seed hash), the greatest digest that counts, its number. A nonce of 8 bytes seals it where keccak256(seal hash, nonce) is not above that."),
    slow("eth_submitWork", &["nonce", "sealHash", "mixDigest?"], work::submit_work, "The nonce that was found; whether the block is on the chain now. `false` for one that came too late. The mix digest means nothing here."),
    quick("eth_submitHashrate", &["hashrate", "id"], work::submit_hash_rate, "What a miner elsewhere says of its speed; `eth_hashrate` counts it for 10 seconds."),
    quick("eth_getHashrate", &[], work::get_hash_rate, "`eth_hashrate` as a plain number, as geth had it."),

    slow("ethash_getWork", &[], work::get_work, "`eth_getWork` under geth's other name, as are those below."),
    slow("ethash_submitWork", &["nonce", "sealHash", "mixDigest?"], work::submit_work, "`eth_submitWork`."),
    quick("ethash_submitHashrate", &["hashrate", "id"], work::submit_hash_rate, "`eth_submitHashrate`."),
    quick("ethash_getHashrate", &[], work::get_hash_rate, "`eth_getHashrate`."),

    quick("net_version", &[], net::version, "The network id, in decimal."),
    quick("net_listening", &[], net::listening, "Whether the node listens for others; `true` also where it runs alone."),
    quick("net_peerCount", &[], net::peer_count, "How many peers have introduced themselves."),

    quick("web3_clientVersion", &[], net::client_version, "Name and version of the node."),
    quick("web3_sha3", &["data"], net::sha3, "keccak256."),

    quick("rpc_modules", &[], net::modules, "The namespaces of this transport."),
    slow("rpc_discover", &[], discover::discover, "This table as an OpenRPC document."),

    quick("drawbridge_finality", &[], chain_info::finality, "The `latest`, `safe` and `finalized` blocks, and how deep the latter two are."),
    quick("drawbridge_status", &[], dashboard::status, "What a page about the node shows at once: head, `safe` and `finalized`, the chain's rules, pool, peers, miner, devices, and the node's clock."),
    slow("drawbridge_series", &["range?"], dashboard::series, "Block time, difficulty, hash rate, gas, transactions and base fee of the last `blocks` (256, at most 4096) up to block `to`, put together into `points` (128, at most 512), column by column; and the miners with their share of the work."),
    slow("drawbridge_forks", &["depth?"], dashboard::forks, "The blocks of all known branches from `depth` (64, at most 256) below the head on, newest first, and whether each is canonical."),
    slow("drawbridge_addressTransactions", &["address", "page?"], index::address_transactions, "The transactions in which an address takes part, newest first, a line each with its `roles` (`sender`, `recipient`, `created`, `tokenFrom`, `tokenTo`, `emitter`): `{items, next, indexed}`; the page is `{before, limit}`, and `next` is the next page's `before`. Without an index (`--index`) only the first three roles are found, and a page may be short."),
    slow("drawbridge_tokenTransfers", &["address", "page?"], index::token_transfers, "The ERC-20 and ERC-721 transfers from and to an address, in the same way."),
    slow("drawbridge_events", &["query", "page?"], index::events, "The logs by `address` and `topics` as in `eth_getLogs`, newest first, in the same way; an address or a first topic is needed."),
    slow("drawbridge_ownershipProof", &["order", "registry", "anchor", "depth"], ownership::ownership_proof, "An order and its registry at `depth` blocks below the head, proven from block `anchor` on: headers with their signatures, trie nodes. The `proof` crate verifies it."),

    quick("txpool_status", &[], txpool::status, "How many transactions are executable and how many wait for an earlier nonce."),
    slow("txpool_content", &[], txpool::content, "All of them, by sender and nonce."),
    slow("txpool_contentFrom", &["address"], txpool::content_from, "Those of one sender."),
    slow("txpool_inspect", &[], txpool::inspect, "All of them, a line each."),
    slow("txpool_explain", &["hash"], explain::explain, "Why a transaction is not mined: what it waits for, or why it was dropped."),
    slow("txpool_cancel", &["hash"], explain::cancel, "Replaces a waiting transaction of an unlocked account by one that does nothing; the new hash."),
    slow("txpool_resend", &["hash", "price?"], explain::resend, "Sends it again at a higher price per gas; the new hash."),
    slow("txpool_drop", &["hash"], explain::drop_one, "Takes it out of this node's pool; whether it was there."),

    slow("miner_start", &["threads?"], miner::start, "Starts mining."),
    slow("miner_stop", &[], miner::stop, "Stops mining."),
    slow("miner_setEtherbase", &["address"], miner::set_etherbase, "Sets who is credited."),
    slow("miner_setCoinbase", &["address"], miner::set_etherbase, "The same."),
    slow("miner_setExtra", &["text"], miner::set_extra, "Sets the extra data of blocks, at most 32 bytes."),
    slow("miner_setGasPrice", &["wei"], miner::set_gas_price, "Sets the least tip that miner and pool take."),
    slow("miner_setRecommitInterval", &["ms"], miner::set_recommit_interval, "Sets how often the block being mined takes in new transactions."),
    slow("miner_setGasLimit", &["gas"], miner::set_gas_limit, "Sets the gas limit to move towards."),

    quick("personal_listAccounts", &[], personal::list_accounts, "The keystore's accounts."),
    slow("personal_listWallets", &[], personal::list_wallets, "The keystore's accounts with their key files, and whether they are unlocked."),
    slow("personal_newAccount", &["password"], personal::new_account, "Makes an account; its address."),
    slow("personal_importRawKey", &["key", "password"], personal::import_raw_key, "Adds a private key to the keystore; its address."),
    slow("personal_unlockAccount", &["address", "password", "seconds?"], personal::unlock_account, "Unlocks an account, by default for 300 s, with 0 for good. Refused while HTTP or WebSocket is on, without `--allow-insecure-unlock`."),
    quick("personal_lockAccount", &["address"], personal::lock_account, "Locks an account."),
    slow("personal_sendTransaction", &["transaction", "password?"], personal::send_transaction, "Fills, signs and adds a transaction; its hash."),
    slow("personal_signTransaction", &["transaction", "password?"], personal::sign_transaction, "Signs a complete transaction."),
    slow("personal_sign", &["message", "address", "password?"], personal::sign, "Signs a message (EIP-191)."),
    quick("personal_ecRecover", &["message", "signature"], personal::ec_recover, "Who signed a message."),

    slow("debug_traceTransaction", &["hash", "options?"], tracing::transaction, "What a mined transaction did: each step, or what the tracer of the options records (`callTracer`, `prestateTracer`, `4byteTracer`, `flatCallTracer`, `muxTracer`, `noopTracer`, `erc7562Tracer`)."),
    slow("debug_traceCall", &["transaction", "block?", "options?"], tracing::call, "The same for a call; the options may hold `stateOverrides`, `blockOverrides` and `txIndex`, the place in the block before which it runs."),
    slow("debug_traceBlockByNumber", &["block", "options?"], tracing::block_by_number, "The same for all transactions of a block."),
    slow("debug_traceBlockByHash", &["hash", "options?"], tracing::block_by_hash, "The same by hash."),
    slow("debug_traceBlock", &["rlp", "options?"], tracing::encoded_block, "The same for a block that is given by its encoding, on the state of its parent."),
    slow("debug_storageRangeAt", &["block", "transactionIndex", "address", "startKey", "most"], whole_state::storage_range_at, "Slots of a contract as they are before a transaction, in the order of their hashes."),
    slow("debug_accountRange", &["block", "start?", "most?", "noCode?", "noStorage?", "incompletes?"], whole_state::account_range, "Accounts in the order of their hashed addresses, at most 256. An account whose address is not known is shown under its hash."),
    slow("debug_dumpBlock", &["block"], whole_state::dump_block, "The whole state of a block, at most 10,000 accounts; `next` says where `debug_accountRange` goes on."),
    slow("debug_getModifiedAccountsByNumber", &["start", "end?"], whole_state::modified_accounts_by_number, "The accounts that changed after block `start` up to block `end`; without `end`, in block `start`."),
    slow("debug_getModifiedAccountsByHash", &["start", "end?"], whole_state::modified_accounts_by_hash, "The same by hash."),
    slow("debug_getRawHeader", &["block"], raw::header, "A header's RLP."),
    slow("debug_getRawBlock", &["block"], raw::block, "A block's RLP."),
    slow("debug_getRawReceipts", &["block"], raw::receipts, "The encodings of a block's receipts (EIP-2718)."),
    slow("debug_getRawTransaction", &["hash"], raw::transaction, "A transaction's encoding (EIP-2718)."),
    slow("debug_setHead", &["number"], |api, call| dev::nothing(dev::set_head(api, call)), "Makes an earlier block the head, whatever is final; the transactions of the blocks that leave go back to the pool."),
    slow("debug_getBadBlocks", &[], raw::bad_blocks, "Up to ten blocks that were refused: hash and reason; their content is not kept."),

    slow("debug_verbosity", &["level"], logging::verbosity, "Sets how much the node logs, 0 (nothing) to 5 (everything)."),
    slow("debug_vmodule", &["patterns"], logging::vmodule, "Sets it for modules, such as `network=5,rpc/*=4`; empty: for none."),
    slow("debug_clearTxpool", &[], txpool::clear, "Takes all transactions out of this node's pool."),
    slow("debug_dbGet", &["key", "table?"], database::get, "A row of the database: the key in hexadecimal or as text, the table by its name (`drawbridge db inspect` shows them), or the first one that has the key."),
    slow("debug_dbAncient", &["kind", "number"], database::ancient, "A finalized block's `headers`, `hashes`, `bodies` or `diffs` (its total difficulty), in geth's encoding."),
    slow("debug_dbAncients", &[], database::ancients, "How many blocks from genesis on are finalized."),
    slow("debug_chaindbProperty", &["property?"], database::property, "How large the database's tables are, and what it says about itself (`stats`)."),
    slow("debug_chaindbCompact", &[], database::compact, "Rewrites the database, so that deleted rows give their space back; the chain goes on meanwhile."),

    slow("trace_block", &["block"], replays::block, "The calls of all transactions of a block, and its reward."),
    slow("trace_transaction", &["hash"], replays::transaction, "The calls of a transaction; `null` where unknown."),
    slow("trace_get", &["hash", "place"], replays::get, "The call at a place (`traceAddress`) of a transaction."),
    slow("trace_filter", &["query"], filter::filter, "The calls of a range of blocks (`fromBlock`, `toBlock`) by `fromAddress` and `toAddress`, page by page (`after`, `count`)."),
    slow("trace_call", &["transaction", "types", "block?", "stateOverrides?", "blockOverrides?"], trace_calls::call, "What a call does: `trace`, `vmTrace`, `stateDiff`, as `types` say."),
    slow("trace_callMany", &["calls", "block?"], trace_calls::call_many, "The same for pairs of call and types, each on what the ones before left."),
    slow("trace_rawTransaction", &["raw", "types", "block?"], trace_calls::raw_transaction, "The same for a signed transaction."),
    slow("trace_replayTransaction", &["hash", "types"], replays::replay_transaction, "The same for a mined transaction."),
    slow("trace_replayBlockTransactions", &["block", "types"], replays::replay_block_transactions, "The same for all transactions of a block."),

    quick("ots_getApiLevel", &[], ots::api_level, "The version of this interface: 8."),
    quick("ots_hasCode", &["address", "block?"], ots_transactions::has_code, "Whether there is code."),
    slow("ots_getInternalOperations", &["hash"], ots_transactions::internal_operations, "The transfers, creations and destructions inside a transaction."),
    slow("ots_getTransactionError", &["hash"], ots_transactions::error, "What a failed transaction returned."),
    slow("ots_traceTransaction", &["hash"], ots_transactions::trace_transaction, "The calls of a transaction, with their depths."),
    slow("ots_getBlockDetails", &["block"], ots_blocks::details, "A block without its transactions, with its reward and fees."),
    slow("ots_getBlockDetailsByHash", &["hash"], ots_blocks::details_by_hash, "The same by hash."),
    slow("ots_getBlockTransactions", &["block", "page", "pageSize"], ots_blocks::transactions, "A page of a block's transactions, the last ones on page 0."),
    slow("ots_searchTransactionsBefore", &["address", "block", "pageSize"], search::before, "Transactions before a block in which an address takes part; block 0: from the head on."),
    slow("ots_searchTransactionsAfter", &["address", "block", "pageSize"], search::after, "The same after a block."),
    slow("ots_getTransactionBySenderAndNonce", &["address", "nonce"], ots_transactions::by_sender_and_nonce, "The hash of a sender's mined transaction."),
    slow("ots_getContractCreator", &["address"], ots_transactions::contract_creator, "Who created a contract, in which transaction."),

    quick("erigon_getHeaderByNumber", &["block"], blocks::header_by_number, "`eth_getHeaderByNumber` under the name that Otterscan asks for."),
    quick("admin_nodeInfo", &[], admin::node_info, "Who the node is: peer id, multiaddrs (the first also as `enode`), port, genesis and head."),
    slow("admin_peers", &[], admin::peers, "The peers, and those that were refused of late with the reason (`refused`)."),
    slow("admin_addPeer", &["multiaddr"], admin::add_peer, "Connects to a peer and stays connected."),
    slow("admin_removePeer", &["peer"], admin::remove_peer, "Parts from a peer (peer id or multiaddr) and forgets it."),
    slow("admin_addTrustedPeer", &["peer"], admin::add_trusted_peer, "Lets a peer come whatever the number of peers."),
    slow("admin_removeTrustedPeer", &["peer"], admin::remove_trusted_peer, "Ends that."),
    quick("admin_datadir", &[], admin::datadir, "The data directory."),
    slow("admin_exportChain", &["file", "first?", "last?"], admin::export_chain, "Writes canonical blocks to a new file on the node's machine (RLP; compressed where its name ends in .gz)."),
    slow("admin_importChain", &["file"], admin::import_chain, "Imports all blocks of a file on the node's machine (RLP, plain or compressed by gzip)."),
    slow("admin_backup", &["path"], backup::create, "Copies the chain's database, as it is now, into a new directory on the node's machine; head and genesis of the copy. `drawbridge backup verify` and `restore` read it."),
    slow("admin_changeLogLevel", &["level", "modules?"], logging::change_log_level, "Sets how much the node logs, `OFF` to `ALL`, or what these modules log."),
    waiting("admin_startHTTP", &["host?", "port?", "cors?", "apis?", "vhosts?"], admin::start_http, "Starts JSON-RPC over HTTP; lists are separated by commas. As at the start, what steers the node is not served beyond its machine without keys or tokens."),
    waiting("admin_startRPC", &["host?", "port?", "cors?", "apis?", "vhosts?"], admin::start_http, "The same under its old name."),
    waiting("admin_stopHTTP", &[], admin::stop_http, "Stops it."),
    waiting("admin_stopRPC", &[], admin::stop_http, "The same."),
    waiting("admin_startWS", &["host?", "port?", "origins?", "apis?"], admin::start_ws, "Starts JSON-RPC over WebSocket, on HTTP's socket where host and port are the same."),
    waiting("admin_stopWS", &[], admin::stop_ws, "Stops it, and closes its connections."),
    subscription("admin_subscribe", &["kind"], "Pushes `peerEvents`: peers that come (`add`) and go (`drop`, with the reason); over WebSocket and IPC."),
    subscription("admin_unsubscribe", &["id"], "Ends a subscription; whether it was there."),

    slow("device_list", &["page?"], device::list, "The devices by name with their certificates, `{items, next}`: those after the name `after`, at most `limit`. Times are seconds since 1970, here and below."),
    slow("device_get", &["device"], device::get, "One of them."),
    slow("device_revoke", &["device", "certificate?"], device::revoke, "Revokes the device's certificates for ever, all of them or the one whose id begins so; their ids. It is cut off at once."),
    slow("device_scan", &["device", "code"], device::scan, "Gives a connected device a code to read as if it had scanned it, for devices that run with `--desk`; `true`. What became of it is told by `device_subscribe`, kind `devices`, event `scan`."),
    slow("device_shadows", &["device"], device::shadows, "The names of its named shadows."),
    Method { name: "device_getShadow", arguments: &["device", "shadow?"], about: "A shadow as AWS IoT's, with what differs (`delta`); without a name the classic one. What a shadow refuses has its code (404, 409, …) as data.", handler: Handler::Waiting(device::get_shadow) },
    Method { name: "device_updateShadow", arguments: &["device", "shadow", "document"], about: "Merges `{\"state\": {\"desired\": …}}` into a shadow (`null`: the classic one), with `version` only into this version; what was accepted.", handler: Handler::Waiting(device::update_shadow) },
    Method { name: "device_deleteShadow", arguments: &["device", "shadow?"], about: "Deletes a shadow.", handler: Handler::Waiting(device::delete_shadow) },
    slow("device_history", &["device", "shadow?", "page?"], device::history, "The last versions of a shadow, newest first, `{items, next}`: those before the version `before`, at most `limit`. A hundred are kept."),
    slow("device_openings", &["option?", "page?"], device::openings, "Releases (`released`) and openings (`opened`) that stand on the chain, newest first: job, device, order, buyer, and where; of one `device` where the option names it. Pages as in `drawbridge_events`."),
    subscription("device_subscribe", &["kind", "option?"], "Pushes `devices` (`connected`, `disconnected`, `changed`, `alarm`) or `shadow` (option: `{name, shadow}`), each change of a shadow with what is desired, reported and different; over WebSocket and IPC."),
    subscription("device_unsubscribe", &["id"], "Ends a subscription; whether it was there."),

    quick("perm_getNodesAllowlist", &[], perm::nodes, "The only nodes that may come."),
    slow("perm_addNodesToAllowlist", &["nodes"], perm::add_nodes, "Adds nodes (peer ids or multiaddrs) to that list, and to its file."),
    slow("perm_removeNodesFromAllowlist", &["nodes"], perm::remove_nodes, "Removes nodes from that list; they are cut off at once."),
    quick("perm_getAccountsAllowlist", &[], perm::accounts, "The only accounts whose transactions are taken over JSON-RPC."),
    slow("perm_addAccountsToAllowlist", &["addresses"], perm::add_accounts, "Adds accounts to that list, and to its file."),
    slow("perm_removeAccountsFromAllowlist", &["addresses"], perm::remove_accounts, "Removes accounts from that list."),
    slow("perm_reloadPermissionsFromFile", &[], perm::reload, "Reads both lists from their file anew."),

    slow("evm_snapshot", &[], |api, call| dev::found(dev::snapshot(api, call)), "Remembers the chain as it is (head, changes by hand, pool, time, settings); the snapshot's id. Ids last as long as the node runs."),
    slow("evm_revert", &["id"], |api, call| dev::found(dev::revert(api, call)), "Goes back to a snapshot, which is gone then with all later ones; whether there was one."),
    slow("evm_mine", &["options?"], |api, call| dev::found(dev::evm_mine(api, call)), "Mines a block now, with the timestamp given, or by `{timestamp, blocks}` several; `\"0x0\"`."),
    slow("evm_increaseTime", &["seconds"], |api, call| dev::found(dev::increase_time(api, call)), "Moves the chain's time forward; how far it is from the system's, in seconds."),
    slow("evm_setTime", &["time"], |api, call| dev::found(dev::set_time(api, call)), "Sets the chain's time, in seconds or milliseconds; how far it moved, in seconds."),
    slow("evm_setNextBlockTimestamp", &["seconds"], |api, call| dev::nothing(dev::set_next_timestamp(api, call)), "Sets the next block's timestamp, above the head's."),
    slow("evm_setAutomine", &["automine"], |api, call| dev::nothing(dev::set_automine(api, call)), "Whether each transaction is mined as it comes."),
    slow("evm_setIntervalMining", &["interval"], |api, call| dev::nothing(dev::evm_set_interval(api, call)), "Mines a block every so often, in milliseconds; less than 100 are seconds. 0 ends it."),
    slow("evm_setBlockGasLimit", &["gas"], |api, call| dev::yes(dev::set_block_gas_limit(api, call)), "Sets the gas limit of all blocks to come."),
    slow("evm_setAccountBalance", &["address", "wei"], |api, call| dev::yes(dev::set_balance(api, call)), "Sets a balance."),
    slow("evm_setAccountNonce", &["address", "nonce"], |api, call| dev::yes(dev::set_nonce(api, call)), "Sets a nonce."),
    slow("evm_setAccountCode", &["address", "code"], |api, call| dev::yes(dev::set_code(api, call)), "Sets the code of an account."),
    slow("evm_setAccountStorageAt", &["address", "slot", "value"], |api, call| dev::yes(dev::set_storage_at(api, call)), "Sets a storage slot."),
    slow("evm_addAccount", &["address", "password"], |api, call| dev::found(dev::add_account(api, call)), "Adds an account without a key, which `personal_unlockAccount` opens; whether it is new."),
    slow("evm_removeAccount", &["address", "password"], |api, call| dev::found(dev::remove_account(api, call)), "Removes it again; whether it was there and the password is right."),

    slow("hardhat_mine", &["blocks?", "interval?"], |api, call| dev::yes(dev::mine_many(api, call)), "Mines blocks now, by default one, from the second on `interval` seconds apart (default 1)."),
    slow("hardhat_reset", &["options?"], |api, call| dev::yes(dev::reset(api, call)), "Goes back to the genesis block without any change by hand, with an empty pool."),
    slow("hardhat_impersonateAccount", &["address"], |api, call| dev::yes(dev::impersonate(api, call)), "Lets an account send without its key, also a contract's."),
    slow("hardhat_stopImpersonatingAccount", &["address"], |api, call| dev::found(dev::stop_impersonating(api, call)), "Ends that; whether it was so."),
    slow("hardhat_setBalance", &["address", "wei"], |api, call| dev::yes(dev::set_balance(api, call)), "Sets a balance."),
    slow("hardhat_setCode", &["address", "code"], |api, call| dev::yes(dev::set_code(api, call)), "Sets the code of an account."),
    slow("hardhat_setNonce", &["address", "nonce"], |api, call| dev::yes(dev::set_nonce(api, call)), "Sets a nonce."),
    slow("hardhat_setStorageAt", &["address", "slot", "value"], |api, call| dev::yes(dev::set_storage_at(api, call)), "Sets a storage slot."),
    slow("hardhat_setCoinbase", &["address"], |api, call| dev::yes(dev::set_coinbase(api, call)), "Sets who is credited for blocks."),
    slow("hardhat_setNextBlockBaseFeePerGas", &["wei"], |api, call| dev::yes(dev::set_next_base_fee(api, call)), "Sets the next block's base fee."),
    slow("hardhat_setPrevRandao", &["word"], |api, call| dev::yes(dev::set_prev_randao(api, call)), "Sets the next block's PREVRANDAO."),
    slow("hardhat_setMinGasPrice", &["wei"], |api, call| dev::yes(dev::set_min_gas_price(api, call)), "Sets the least tip that miner and pool take."),
    slow("hardhat_setLoggingEnabled", &["enabled"], |api, call| dev::yes(dev::set_logging(api, call)), "Whether the log tells what `console.log` says."),
    slow("hardhat_getAutomine", &[], |api, call| dev::found(dev::get_automine(api, call)), "Whether each transaction is mined as it comes."),
    slow("hardhat_dropTransaction", &["hash"], |api, call| dev::found(dev::drop_transaction(api, call)), "Takes a transaction out of the pool; whether it was there."),
    slow("hardhat_metadata", &[], |api, call| dev::found(dev::hardhat_metadata(api, call)), "What the node is: version, chain id, this run's id, head."),

    slow("anvil_snapshot", &[], |api, call| dev::found(dev::snapshot(api, call)), "`evm_snapshot`."),
    slow("anvil_revert", &["id"], |api, call| dev::found(dev::revert(api, call)), "`evm_revert`."),
    slow("anvil_mine", &["blocks?", "interval?"], |api, call| dev::nothing(dev::mine_many(api, call)), "Mines blocks now, by default one, from the second on `interval` seconds apart (default 1)."),
    slow("anvil_reset", &["options?"], |api, call| dev::nothing(dev::reset(api, call)), "Goes back to the genesis block without any change by hand, with an empty pool."),
    slow("anvil_rollback", &["depth?"], |api, call| dev::nothing(dev::rollback(api, call)), "Takes the newest blocks off the chain, by default one, and forgets their transactions."),
    slow("anvil_reorg", &["options", "pairs?"], |api, call| dev::nothing(dev::reorganise(api, call)), "Replaces the newest `depth` blocks by others. `tx_block_pairs` are transactions (raw, or requests of the node's accounts), each with the index of its block."),
    slow("anvil_impersonateAccount", &["address"], |api, call| dev::nothing(dev::impersonate(api, call)), "Lets an account send without its key, also a contract's."),
    slow("anvil_stopImpersonatingAccount", &["address"], |api, call| dev::nothing(dev::stop_impersonating(api, call).map(drop)), "Ends that."),
    slow("anvil_autoImpersonateAccount", &["enabled"], |api, call| dev::nothing(dev::impersonate_everybody(api, call)), "Whether every account may send without its key."),
    slow("anvil_setBalance", &["address", "wei"], |api, call| dev::nothing(dev::set_balance(api, call)), "Sets a balance."),
    slow("anvil_setCode", &["address", "code"], |api, call| dev::nothing(dev::set_code(api, call)), "Sets the code of an account."),
    slow("anvil_setNonce", &["address", "nonce"], |api, call| dev::nothing(dev::set_nonce(api, call)), "Sets a nonce."),
    slow("anvil_setStorageAt", &["address", "slot", "value"], |api, call| dev::yes(dev::set_storage_at(api, call)), "Sets a storage slot; `true`."),
    slow("anvil_setCoinbase", &["address"], |api, call| dev::nothing(dev::set_coinbase(api, call)), "Sets who is credited for blocks."),
    slow("anvil_setNextBlockBaseFeePerGas", &["wei"], |api, call| dev::nothing(dev::set_next_base_fee(api, call)), "Sets the next block's base fee."),
    slow("anvil_setMinGasPrice", &["wei"], |api, call| dev::nothing(dev::set_min_gas_price(api, call)), "Sets the least tip that miner and pool take."),
    slow("anvil_setLoggingEnabled", &["enabled"], |api, call| dev::nothing(dev::set_logging(api, call)), "Whether the log tells what `console.log` says."),
    slow("anvil_setAutomine", &["automine"], |api, call| dev::nothing(dev::set_automine(api, call)), "Whether each transaction is mined as it comes."),
    slow("anvil_getAutomine", &[], |api, call| dev::found(dev::get_automine(api, call)), "The same, asked."),
    slow("anvil_setIntervalMining", &["seconds"], |api, call| dev::nothing(dev::anvil_set_interval(api, call)), "Mines a block every so many seconds; 0 ends it."),
    slow("anvil_getIntervalMining", &[], |api, call| dev::found(dev::get_interval(api, call)), "The same, asked; `null` where it does not."),
    slow("anvil_increaseTime", &["seconds"], |api, call| dev::found(dev::increase_time(api, call)), "`evm_increaseTime`."),
    slow("anvil_setTime", &["time"], |api, call| dev::found(dev::set_time(api, call)), "`evm_setTime`."),
    slow("anvil_setNextBlockTimestamp", &["seconds"], |api, call| dev::nothing(dev::set_next_timestamp(api, call)), "`evm_setNextBlockTimestamp`."),
    slow("anvil_setBlockTimestampInterval", &["seconds"], |api, call| dev::nothing(dev::set_timestamp_interval(api, call)), "Sets how far apart the timestamps of blocks are."),
    slow("anvil_removeBlockTimestampInterval", &[], |api, call| dev::found(dev::remove_timestamp_interval(api, call)), "Lets them follow the chain's time again; whether they did not."),
    slow("anvil_setBlockGasLimit", &["gas"], |api, call| dev::yes(dev::set_block_gas_limit(api, call)), "Sets the gas limit of all blocks to come; `true`."),
    slow("anvil_dropTransaction", &["hash"], |api, call| dev::found(dev::anvil_drop_transaction(api, call)), "Takes a transaction out of the pool; its hash, or `null`."),
    slow("anvil_dropAllTransactions", &[], |api, call| dev::nothing(dev::drop_all_transactions(api, call)), "Empties the pool."),
    slow("anvil_dumpState", &[], |api, call| dev::found(dev::dump_state(api, call)), "All accounts with code and storage, packed."),
    slow("anvil_loadState", &["dump"], |api, call| dev::found(dev::load_state(api, call)), "Sets all accounts of a dump, one of Anvil's too."),
    slow("anvil_metadata", &[], |api, call| dev::found(dev::anvil_metadata(api, call)), "What the node is, and its snapshots."),
    slow("anvil_nodeInfo", &[], |api, call| dev::found(dev::node_info(api, call)), "Head, fork and fees."),
];

/// Namespaces that are accepted where namespaces are chosen, though they hold nothing: old commands name them.
pub const EMPTY_NAMESPACES: &[&str] = &["db"];

/// Returns all namespaces with methods, sorted.
pub fn namespaces() -> BTreeSet<&'static str> {
    METHODS.iter().map(Method::namespace).collect()
}

/// What the page says of the namespaces that only a development chain has.
const DEV_NOTE: &str = "Only on a development chain (`--dev`); see [development chains](development-chains.md).\n\n";
/// Refuses namespaces that there are not, naming the flag that names them.
pub(crate) fn check_namespaces(names: &[String], flag: &'static str) -> Result<(), ServeError> {
    let known = namespaces();
    for name in names {
        let plain = name.trim().to_ascii_lowercase();
        if !plain.is_empty() && !known.contains(plain.as_str()) && !EMPTY_NAMESPACES.contains(&plain.as_str()) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(ServeError::UnknownNamespace { name: name.clone(), flag, known });
        }
    }
    Ok(())
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
            let note = if dev::NAMESPACES.contains(&namespace) { DEV_NOTE } else { "" };
            let _ = write!(text, "\n## {namespace}\n\n{note}| method | arguments | answers |\n|---|---|---|\n");
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
    fn an_unknown_namespace_is_named() {
        let check = |names: &[&str]| {
            check_namespaces(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), "--http.api")
        };
        assert!(check(&["personal", "db", "ETH", " net", "web3", "txpool", "miner", ""]).is_ok());
        let error = check(&["eth", "shh"]).unwrap_err().to_string();
        assert!(error.contains("\"shh\"") && error.contains("--http.api") && error.contains("txpool"), "{error}");
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
