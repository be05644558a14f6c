//! Every method of the table answers: one good request each, and bad ones that follow from its arguments. A method without an example
//! fails here.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::{Address, hex};
use rpc::{METHODS, Method, RpcConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::node::{Node, account, config, transfer};

/// What is to come of a good request.
#[derive(Clone, Copy)]
enum Answer {
    /// A result.
    Result,
    /// This result.
    Is(bool),
    /// The result `null`, of methods that only do something.
    Nothing,
    /// These words, because the node of the test has nothing that the method works on.
    Words(&'static str),
}
use Answer::{Is, Nothing, Result as Gives, Words};

/// Increments slot 0 and emits a log without topics.
const COUNTS: &str = "5f54600101805f555f5260205fa000";
const ALONE: Answer = Words("the node runs alone");
const NO_NODES: Answer = Words("Node allowlist has not been enabled");
const NO_ACCOUNTS: Answer = Words("Account allowlist has not been enabled");
/// Namespaces of development chains alone; what their methods do there is shown in `dev.rs`.
const DEV_NAMESPACES: [&str; 3] = ["anvil", "evm", "hardhat"];
const NO_DEVICES: Answer = Words("no devices");
const NO_LOG: Answer = Words("no log that could be changed");

/// Method, parameters of a good request (words with `$` are put in from the world of the test), and what comes of it.
#[rustfmt::skip]
const EXAMPLES: &[(&str, &str, Answer)] = &[
    ("eth_chainId", "[]", Gives),
    ("eth_blockNumber", "[]", Gives),
    ("eth_syncing", "[]", Gives),
    ("eth_accounts", "[]", Gives),
    ("eth_requestAccounts", "[]", Gives),
    ("eth_coinbase", "[]", Words("etherbase must be explicitly specified")),
    ("eth_etherbase", "[]", Words("etherbase must be explicitly specified")),
    ("eth_mining", "[]", Gives),
    ("eth_hashrate", "[]", Gives),
    ("eth_protocolVersion", "[]", Gives),
    ("eth_gasPrice", "[]", Gives),
    ("eth_maxPriorityFeePerGas", "[]", Gives),
    ("eth_baseFee", "[]", Gives),
    ("eth_blobBaseFee", "[]", Gives),
    ("eth_feeHistory", r#"["0x2", "latest", [50]]"#, Gives),
    ("eth_getBalance", r#"["$account", "latest"]"#, Gives),
    ("eth_getTransactionCount", r#"["$account", "pending"]"#, Gives),
    ("eth_getCode", r#"["$contract"]"#, Gives),
    ("eth_getStorageAt", r#"["$contract", "0x0", {"blockHash": "$block"}]"#, Gives),
    ("eth_getBlockByNumber", r#"["latest", true]"#, Gives),
    ("eth_getBlockByHash", r#"["$block", false]"#, Gives),
    ("eth_getHeaderByNumber", r#"["0x1"]"#, Gives),
    ("eth_getHeaderByHash", r#"["$block"]"#, Gives),
    ("eth_getBlockTransactionCountByNumber", r#"["latest"]"#, Gives),
    ("eth_getBlockTransactionCountByHash", r#"["$block"]"#, Gives),
    ("eth_getBlockReceipts", r#"["$block"]"#, Gives),
    ("eth_getUncleCountByBlockNumber", r#"["latest"]"#, Gives),
    ("eth_getUncleCountByBlockHash", r#"["$block"]"#, Gives),
    ("eth_getUncleByBlockNumberAndIndex", r#"["latest", "0x0"]"#, Gives),
    ("eth_getUncleByBlockHashAndIndex", r#"["$block", "0x0"]"#, Gives),
    ("eth_getTransactionByHash", r#"["$tx"]"#, Gives),
    ("eth_getTransactionByBlockNumberAndIndex", r#"["latest", "0x0"]"#, Gives),
    ("eth_getTransactionByBlockHashAndIndex", r#"["$block", "0x0"]"#, Gives),
    ("eth_getTransactionReceipt", r#"["$tx"]"#, Gives),
    ("eth_getRawTransactionByHash", r#"["$tx"]"#, Gives),
    ("eth_getRawTransactionByBlockNumberAndIndex", r#"["latest", "0x0"]"#, Gives),
    ("eth_getRawTransactionByBlockHashAndIndex", r#"["$block", "0x0"]"#, Gives),
    ("eth_pendingTransactions", "[]", Gives),
    ("eth_call", r#"[{"to": "$contract"}, "latest", {"$account": {"balance": "0x1"}}, {"number": "0x9"}]"#, Gives),
    ("eth_estimateGas", r#"[{"from": "$account", "to": "$contract"}]"#, Gives),
    ("eth_createAccessList", r#"[{"from": "$account", "to": "$contract"}]"#, Gives),
    ("eth_getProof", r#"["$contract", ["0x0"], "latest"]"#, Gives),
    ("eth_sendRawTransaction", r#"["$raw"]"#, Gives),
    ("eth_sendRawTransactionSync", r#"["$raw2", "0x1"]"#, Words("was not mined within")),
    ("eth_sendTransaction", r#"[{"from": "$account", "to": "$other", "value": "0x1"}]"#, Gives),
    ("eth_signTransaction", r#"[{"from": "$account", "to": "$other", "gas": "0x5208", "gasPrice": "0x77359400", "nonce": "0x9"}]"#, Gives),
    ("eth_fillTransaction", r#"[{"from": "$account", "to": "$other"}]"#, Gives),
    ("eth_sign", r#"["$account", "0x6869"]"#, Gives),
    ("eth_signTypedData_v4", r#"["$account", {"types": {"EIP712Domain": [], "Note": [{"name": "text", "type": "string"}]}, "primaryType": "Note", "domain": {}, "message": {"text": "hi"}}]"#, Gives),
    ("eth_config", "[]", Gives),
    ("eth_capabilities", "[]", Gives),
    ("eth_getStorageValues", r#"[{"$contract": ["0x0"]}, "latest"]"#, Gives),
    ("eth_getTransactionBySenderAndNonce", r#"["$account", "0x0"]"#, Gives),
    ("eth_simulateV1", r#"[{"blockStateCalls": [{"calls": [{"from": "$account", "to": "$contract"}]}]}, "latest"]"#, Gives),
    ("eth_signTypedData", r#"["$account", {"types": {"EIP712Domain": [], "Note": [{"name": "text", "type": "string"}]}, "primaryType": "Note", "domain": {}, "message": {"text": "hi"}}]"#, Gives),
    ("eth_resend", r#"[{"from": "$account", "to": "$other", "nonce": "0x63", "gas": "0x5208", "gasPrice": "0x77359400"}]"#, Words("not found")),
    ("eth_getWork", "[]", Words("etherbase must be explicitly specified")),
    ("eth_submitWork", r#"["0x0101010101010101", "0x0101010101010101010101010101010101010101010101010101010101010101"]"#, Is(false)),
    ("eth_submitHashrate", r#"["0x64", "0x0101010101010101010101010101010101010101010101010101010101010101"]"#, Is(true)),
    ("eth_getHashrate", "[]", Gives),
    ("eth_getLogs", r#"[{"fromBlock": "earliest", "toBlock": "latest"}]"#, Gives),
    ("eth_newFilter", r#"[{"address": "$contract"}]"#, Gives),
    ("eth_newBlockFilter", "[]", Gives),
    ("eth_newPendingTransactionFilter", "[true]", Gives),
    ("eth_getFilterChanges", r#"["$filter"]"#, Gives),
    ("eth_getFilterLogs", r#"["$filter"]"#, Gives),
    ("eth_uninstallFilter", r#"["$filter"]"#, Gives),
    ("eth_subscribe", r#"["logs", {"address": "$contract"}]"#, Gives),
    ("eth_unsubscribe", r#"["$subscription"]"#, Is(true)),
    ("ethash_getWork", "[]", Words("etherbase must be explicitly specified")),
    ("ethash_submitWork", r#"["0x0101010101010101", "0x0101010101010101010101010101010101010101010101010101010101010101"]"#, Is(false)),
    ("ethash_submitHashrate", r#"["0x64", "0x0101010101010101010101010101010101010101010101010101010101010101"]"#, Is(true)),
    ("ethash_getHashrate", "[]", Gives),
    ("net_version", "[]", Gives),
    ("net_listening", "[]", Gives),
    ("net_peerCount", "[]", Gives),
    ("web3_clientVersion", "[]", Gives),
    ("web3_sha3", r#"["0x"]"#, Gives),
    ("rpc_modules", "[]", Gives),
    ("rpc_discover", "[]", Gives),
    ("drawbridge_finality", "[]", Gives),
    ("drawbridge_status", "[]", Gives),
    ("drawbridge_series", "[]", Gives),
    ("drawbridge_forks", "[8]", Gives),
    ("drawbridge_addressTransactions", r#"["$account"]"#, Gives),
    ("drawbridge_tokenTransfers", r#"["$account"]"#, Gives),
    ("drawbridge_events", r#"[{"address": "$contract"}]"#, Gives),
    ("drawbridge_ownershipProof", r#"["$contract", "$other", "0x0", "0x0"]"#, Gives),
    ("txpool_status", "[]", Gives),
    ("txpool_content", "[]", Gives),
    ("txpool_contentFrom", r#"["$account"]"#, Gives),
    ("txpool_inspect", "[]", Gives),
    ("txpool_explain", r#"["$pending"]"#, Gives),
    ("txpool_cancel", r#"["$pending"]"#, Gives),
    ("txpool_resend", r#"["$second"]"#, Gives),
    ("txpool_drop", r#"["$third"]"#, Gives),
    ("miner_start", "[1]", Words("etherbase must be explicitly specified")),
    ("miner_stop", "[]", Gives),
    ("miner_setEtherbase", r#"["$other"]"#, Gives),
    ("miner_setCoinbase", r#"["$other"]"#, Gives),
    ("miner_setExtra", r#"["hello"]"#, Gives),
    ("miner_setGasPrice", r#"["0x1"]"#, Gives),
    ("miner_setGasLimit", r#"["0x1c9c380"]"#, Gives),
    ("miner_setRecommitInterval", "[2000]", Gives),
    ("personal_listAccounts", "[]", Gives),
    ("personal_listWallets", "[]", Gives),
    ("personal_newAccount", r#"["word"]"#, Gives),
    ("personal_importRawKey", r#"["0101010101010101010101010101010101010101010101010101010101010102", "word"]"#, Gives),
    ("personal_unlockAccount", r#"["$account", "password", 1]"#, Gives),
    ("personal_lockAccount", r#"["$account"]"#, Gives),
    ("personal_sendTransaction", r#"[{"from": "$account", "to": "$other"}, "password"]"#, Gives),
    ("personal_signTransaction", r#"[{"from": "$account", "to": "$other", "gas": "0x5208", "gasPrice": "0x77359400", "nonce": "0x9"}, "password"]"#, Gives),
    ("personal_sign", r#"["0x6869", "$account", "password"]"#, Gives),
    ("personal_ecRecover", r#"["0x6869", "$signature"]"#, Gives),
    ("debug_traceTransaction", r#"["$tx", {"tracer": "callTracer"}]"#, Gives),
    ("debug_traceCall", r#"[{"to": "$contract"}, "latest", {}]"#, Gives),
    ("debug_traceBlockByNumber", r#"["latest"]"#, Gives),
    ("debug_traceBlockByHash", r#"["$block"]"#, Gives),
    ("debug_traceBlock", r#"["$rawBlock"]"#, Gives),
    ("debug_storageRangeAt", r#"["$block", 0, "$contract", "0x0", 10]"#, Gives),
    ("debug_accountRange", r#"["latest"]"#, Gives),
    ("debug_dumpBlock", r#"["latest"]"#, Gives),
    ("debug_getModifiedAccountsByNumber", "[1]", Gives),
    ("debug_getModifiedAccountsByHash", r#"["$block"]"#, Gives),
    ("debug_getRawHeader", r#"["latest"]"#, Gives),
    ("debug_getRawBlock", r#"["$block"]"#, Gives),
    ("debug_getRawReceipts", r#"["latest"]"#, Gives),
    ("debug_getRawTransaction", r#"["$tx"]"#, Gives),
    ("debug_getBadBlocks", "[]", Gives),
    ("debug_verbosity", "[3]", Gives),
    ("debug_vmodule", r#"["rpc/*=3"]"#, NO_LOG),
    ("debug_clearTxpool", "[]", Gives),
    ("debug_dbGet", r#"["$block", "numbers"]"#, Gives),
    ("debug_dbAncient", r#"["headers", 0]"#, Gives),
    ("debug_dbAncients", "[]", Gives),
    ("debug_chaindbProperty", r#"["stats"]"#, Gives),
    ("debug_chaindbCompact", "[]", Gives),
    ("debug_setHead", r#"["0x1"]"#, Gives),
    ("trace_block", r#"["latest"]"#, Gives),
    ("trace_transaction", r#"["$tx"]"#, Gives),
    ("trace_get", r#"["$tx", ["0x0"]]"#, Gives),
    ("trace_filter", r#"[{"fromBlock": "0x1", "toBlock": "latest"}]"#, Gives),
    ("trace_call", r#"[{"to": "$contract"}, ["trace"]]"#, Gives),
    ("trace_callMany", r#"[[[{"to": "$contract"}, ["trace"]]]]"#, Gives),
    ("trace_rawTransaction", r#"["$raw", ["stateDiff"]]"#, Gives),
    ("trace_replayTransaction", r#"["$tx", ["vmTrace"]]"#, Gives),
    ("trace_replayBlockTransactions", r#"["latest", ["trace"]]"#, Gives),
    ("ots_getApiLevel", "[]", Gives),
    ("ots_hasCode", r#"["$contract"]"#, Gives),
    ("ots_getInternalOperations", r#"["$tx"]"#, Gives),
    ("ots_getTransactionError", r#"["$tx"]"#, Gives),
    ("ots_traceTransaction", r#"["$tx"]"#, Gives),
    ("ots_getBlockDetails", r#"["latest"]"#, Gives),
    ("ots_getBlockDetailsByHash", r#"["$block"]"#, Gives),
    ("ots_getBlockTransactions", "[1, 0, 25]", Gives),
    ("ots_searchTransactionsBefore", r#"["$account", 0, 25]"#, Gives),
    ("ots_searchTransactionsAfter", r#"["$account", 0, 25]"#, Gives),
    ("ots_getTransactionBySenderAndNonce", r#"["$account", 0]"#, Gives),
    ("ots_getContractCreator", r#"["$contract"]"#, Gives),
    ("erigon_getHeaderByNumber", r#"["latest"]"#, Gives),
    ("admin_nodeInfo", "[]", Gives),
    ("admin_peers", "[]", Gives),
    ("admin_addPeer", r#"["/ip4/10.0.0.1/tcp/1"]"#, ALONE),
    ("admin_removePeer", r#"["peer"]"#, ALONE),
    ("admin_addTrustedPeer", r#"["peer"]"#, ALONE),
    ("admin_removeTrustedPeer", r#"["peer"]"#, ALONE),
    ("admin_datadir", "[]", Gives),
    ("admin_exportChain", r#"["$folder/chain.rlp"]"#, Words("writes no files")),
    ("admin_importChain", r#"["$folder/chain.rlp"]"#, Words("reads no files")),
    ("admin_backup", r#"["$folder/copy"]"#, Words("no files")),
    ("admin_changeLogLevel", r#"["INFO"]"#, Gives),
    ("admin_stopHTTP", "[]", Gives),
    ("admin_startHTTP", r#"["127.0.0.1", 0]"#, Gives),
    ("admin_stopRPC", "[]", Gives),
    ("admin_startRPC", r#"["127.0.0.1", 0, "*", "eth,admin", "localhost"]"#, Gives),
    ("admin_stopWS", "[]", Gives),
    ("admin_startWS", r#"["127.0.0.1", 0]"#, Gives),
    ("admin_subscribe", r#"["peerEvents"]"#, Gives),
    ("admin_unsubscribe", r#"["$peers"]"#, Is(true)),
    ("perm_getNodesAllowlist", "[]", NO_NODES),
    ("perm_addNodesToAllowlist", r#"[["peer"]]"#, NO_NODES),
    ("perm_removeNodesFromAllowlist", r#"[["peer"]]"#, NO_NODES),
    ("perm_getAccountsAllowlist", "[]", NO_ACCOUNTS),
    ("perm_addAccountsToAllowlist", r#"[["$other"]]"#, NO_ACCOUNTS),
    ("perm_removeAccountsFromAllowlist", r#"[["$other"]]"#, NO_ACCOUNTS),
    ("perm_reloadPermissionsFromFile", "[]", Words("has not been enabled")),
    ("device_list", "[]", NO_DEVICES),
    ("device_get", r#"["lock-1"]"#, NO_DEVICES),
    ("device_revoke", r#"["lock-1"]"#, NO_DEVICES),
    ("device_scan", r#"["lock-1", "code"]"#, NO_DEVICES),
    ("device_shadows", r#"["lock-1"]"#, NO_DEVICES),
    ("device_getShadow", r#"["lock-1"]"#, NO_DEVICES),
    ("device_updateShadow", r#"["lock-1", null, {}]"#, NO_DEVICES),
    ("device_deleteShadow", r#"["lock-1"]"#, NO_DEVICES),
    ("device_history", r#"["lock-1"]"#, NO_DEVICES),
    ("device_openings", "[]", Gives),
    ("device_subscribe", r#"["devices"]"#, NO_DEVICES),
    ("device_unsubscribe", r#"["0x1"]"#, Is(false)),
    ("evm_snapshot", "[]", Gives),
    ("evm_revert", r#"["$snapshot"]"#, Is(true)),
    ("evm_mine", r#"[{"blocks": 2}]"#, Gives),
    ("evm_increaseTime", "[60]", Gives),
    ("evm_setTime", r#"["0x7fffffff"]"#, Gives),
    ("evm_setNextBlockTimestamp", "[2147483648]", Gives),
    ("evm_setAutomine", "[false]", Gives),
    ("evm_setIntervalMining", "[0]", Gives),
    ("evm_setBlockGasLimit", r#"["0x1c9c380"]"#, Is(true)),
    ("evm_setAccountBalance", r#"["$other", "0x5"]"#, Is(true)),
    ("evm_setAccountNonce", r#"["$other", "0x5"]"#, Is(true)),
    ("evm_setAccountCode", r#"["$other", "0x00"]"#, Is(true)),
    ("evm_setAccountStorageAt", r#"["$other", "0x0", "0x1"]"#, Is(true)),
    ("evm_addAccount", r#"["$stranger", "word"]"#, Is(true)),
    ("evm_removeAccount", r#"["$stranger", "word"]"#, Is(true)),
    ("hardhat_dropTransaction", r#"["$third"]"#, Is(true)),
    ("hardhat_mine", r#"["0x2", "0xa"]"#, Is(true)),
    ("hardhat_impersonateAccount", r#"["$stranger"]"#, Is(true)),
    ("hardhat_stopImpersonatingAccount", r#"["$stranger"]"#, Is(true)),
    ("hardhat_setBalance", r#"["$other", "0x5"]"#, Is(true)),
    ("hardhat_setCode", r#"["$other", "0x00"]"#, Is(true)),
    ("hardhat_setNonce", r#"["$other", "0x5"]"#, Is(true)),
    ("hardhat_setStorageAt", r#"["$other", "0x0", "0x1"]"#, Is(true)),
    ("hardhat_setCoinbase", r#"["$other"]"#, Is(true)),
    ("hardhat_setNextBlockBaseFeePerGas", r#"["0x7"]"#, Is(true)),
    ("hardhat_setPrevRandao", r#"["0x0101010101010101010101010101010101010101010101010101010101010101"]"#, Is(true)),
    ("hardhat_setMinGasPrice", r#"["0x0"]"#, Is(true)),
    ("hardhat_setLoggingEnabled", "[true]", Is(true)),
    ("hardhat_getAutomine", "[]", Is(false)),
    ("hardhat_metadata", "[]", Gives),
    ("hardhat_reset", "[{}]", Is(true)),
    ("anvil_snapshot", "[]", Gives),
    ("anvil_revert", r#"["$snapshot"]"#, Is(true)),
    ("anvil_dropTransaction", r#"["$third"]"#, Gives),
    ("anvil_mine", r#"["0x2", "0xa"]"#, Nothing),
    ("anvil_rollback", "[1]", Nothing),
    ("anvil_reorg", r#"[{"depth": 1, "tx_block_pairs": [["$raw", 0]]}]"#, Nothing),
    ("anvil_impersonateAccount", r#"["$stranger"]"#, Nothing),
    ("anvil_stopImpersonatingAccount", r#"["$stranger"]"#, Nothing),
    ("anvil_autoImpersonateAccount", "[false]", Nothing),
    ("anvil_setBalance", r#"["$other", "0x5"]"#, Nothing),
    ("anvil_setCode", r#"["$other", "0x00"]"#, Nothing),
    ("anvil_setNonce", r#"["$other", "0x5"]"#, Nothing),
    ("anvil_setStorageAt", r#"["$other", "0x0", "0x1"]"#, Is(true)),
    ("anvil_setCoinbase", r#"["$other"]"#, Nothing),
    ("anvil_setNextBlockBaseFeePerGas", r#"["0x7"]"#, Nothing),
    ("anvil_setMinGasPrice", r#"["0x0"]"#, Nothing),
    ("anvil_setLoggingEnabled", "[true]", Nothing),
    ("anvil_setAutomine", "[false]", Nothing),
    ("anvil_getAutomine", "[]", Is(false)),
    ("anvil_setIntervalMining", "[0]", Nothing),
    ("anvil_getIntervalMining", "[]", Nothing),
    ("anvil_increaseTime", "[60]", Gives),
    ("anvil_setTime", r#"["0x7fffffff"]"#, Gives),
    ("anvil_setNextBlockTimestamp", "[2147483648]", Nothing),
    ("anvil_setBlockTimestampInterval", "[5]", Nothing),
    ("anvil_removeBlockTimestampInterval", "[]", Is(true)),
    ("anvil_setBlockGasLimit", r#"["0x1c9c380"]"#, Is(true)),
    ("anvil_dropAllTransactions", "[]", Nothing),
    ("anvil_dumpState", "[]", Gives),
    ("anvil_loadState", r#"["$dump"]"#, Is(true)),
    ("anvil_metadata", "[]", Gives),
    ("anvil_nodeInfo", "[]", Gives),
    ("anvil_reset", "[]", Nothing),
];

/// A node, one connection to its unix socket, and what the examples name.
struct World {
    _node: Node,
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
    words: BTreeMap<&'static str, String>,
}

impl World {
    /// Opens one that has the methods of this namespace.
    async fn open(folder: &Path, namespace: &str) -> Self {
        let socket = folder.join("node.ipc");
        let (is_dev, config) =
            (DEV_NAMESPACES.contains(&namespace), RpcConfig { ipc: Some(socket.clone()), ..config() });
        let node = if is_dev { Node::dev_with(config).await } else { Node::start(config).await };
        let (reader, writer) = UnixStream::connect(&socket).await.unwrap().into_split();
        let lines = BufReader::new(reader).lines();
        let mut world = Self { _node: node, lines, writer, words: BTreeMap::new() };
        world.fill(folder).await;
        if is_dev {
            world.fill_dev().await;
        }
        world
    }

    /// Remembers the chain as it is in a snapshot and in a dump.
    async fn fill_dev(&mut self) {
        for (word, method) in [("$dump", "anvil_dumpState"), ("$snapshot", "evm_snapshot")] {
            let value = self.result(method, json!([])).await.as_str().unwrap().to_owned();
            self.words.insert(word, value);
        }
    }

    /// Deploys a contract, calls it, and leaves three transactions in the pool.
    async fn fill(&mut self, folder: &Path) {
        let (from, contract) = (account(0), self._node.deploy(COUNTS).await);
        let send = json!([{ "from": from, "to": contract, "gas": "0x30d40" }]);
        let tx = self.result("eth_sendTransaction", send.clone()).await;
        let block = self._node.chain.mine();
        let raw_block = self.result("debug_getRawBlock", json!([block])).await;
        let signature = self.result("eth_sign", json!([from, "0x6869"])).await;
        let filter = self.result("eth_newFilter", json!([{ "address": contract }])).await;
        let subscription = self.result("eth_subscribe", json!(["newHeads"])).await;
        let peers = self.result("admin_subscribe", json!(["peerEvents"])).await;
        let mut pending = Vec::new();
        for _ in 0..3 {
            pending.push(self.result("eth_sendTransaction", send.clone()).await);
        }
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.words = BTreeMap::from([
            ("$account", from.to_string()),
            ("$other", account(1).to_string()),
            ("$stranger", Address::repeat_byte(0xb0).to_string()),
            ("$contract", contract.to_string()),
            ("$tx", text(&tx)),
            ("$block", block.to_string()),
            ("$rawBlock", text(&raw_block)),
            ("$raw", hex::encode_prefixed(transfer(1, 0))),
            ("$raw2", hex::encode_prefixed(transfer(1, 1))),
            ("$signature", text(&signature)),
            ("$filter", text(&filter)),
            ("$pending", text(&pending[0])),
            ("$second", text(&pending[1])),
            ("$third", text(&pending[2])),
            ("$folder", folder.display().to_string()),
            ("$subscription", text(&subscription)),
            ("$peers", text(&peers)),
        ]);
    }

    /// Calls a method and returns the whole response.
    async fn ask(&mut self, method: &str, params: &Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        self.writer.write_all(body.as_bytes()).await.unwrap();
        loop {
            let response: Value = serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap();
            // What is pushed has no id.
            if response.get("id").is_some() {
                return response;
            }
        }
    }

    async fn result(&mut self, method: &str, params: Value) -> Value {
        let mut response = self.ask(method, &params).await;
        assert!(response.get("error").is_none(), "{method}: {response}");
        response["result"].take()
    }

    /// Puts the world's words into an example.
    fn read(&self, params: &str) -> Value {
        let mut params: Value = serde_json::from_str(params).unwrap();
        self.replace(&mut params);
        params
    }

    fn replace(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.replace_text(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.replace(value)),
            Value::Object(fields) => {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(mut name, mut value)| {
                        self.replace_text(&mut name);
                        self.replace(&mut value);
                        (name, value)
                    })
                    .collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn replace_text(&self, text: &mut String) {
        if let Some(word) = self.words.get(text.as_str()) {
            text.clone_from(word);
        } else if let Some(rest) = text.strip_prefix("$folder") {
            *text = format!("{}{rest}", self.words["$folder"]);
        }
    }

    async fn check_good(&mut self, method: &Method, params: &str, expected: Answer) {
        let params = self.read(params);
        let response = self.ask(method.name, &params).await;
        match expected {
            Gives => assert!(response.get("result").is_some(), "{} {params}: {response}", method.name),
            Nothing => assert_eq!(response.get("result"), Some(&Value::Null), "{} {params}: {response}", method.name),
            Is(result) => assert_eq!(response["result"], result, "{} {params}: {response}", method.name),
            Words(words) => {
                let message = response["error"]["message"].as_str().unwrap_or_default();
                assert!(message.contains(words), "{} {params}: {response}", method.name);
            }
        }
    }

    /// Too many arguments, none where one is needed, and a first one that is nothing that any method takes.
    async fn check_bad(&mut self, method: &Method) {
        let needs_one = method.arguments.first().is_some_and(|name| !name.ends_with('?'));
        let mut bad = vec![json!(vec![Value::Null; method.arguments.len() + 1]), json!({"named": 1})];
        if needs_one {
            bad.push(json!([]));
        }
        if !method.arguments.is_empty() {
            bad.push(json!([[[{ "nothing": [] }]]]));
        }
        for params in bad {
            let response = self.ask(method.name, &params).await;
            if method.name.ends_with("_unsubscribe") {
                assert_eq!(response["result"], false, "what is no subscription is not there: {params}: {response}");
                continue;
            }
            assert_eq!(response["error"]["code"], -32602, "{} {params}: {response}", method.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_answers_good_and_bad_requests() {
    let examples: BTreeMap<&str, (&str, Answer)> =
        EXAMPLES.iter().map(|(name, params, answer)| (*name, (*params, *answer))).collect();
    assert_eq!(examples.len(), EXAMPLES.len(), "a method has two examples");
    let is_dev = |method: &&Method| DEV_NAMESPACES.contains(&method.namespace());
    let missing: Vec<_> = METHODS.iter().filter(|method| !examples.contains_key(method.name)).collect();
    assert!(missing.is_empty(), "methods without an example in this file: {missing:?}");
    let unknown: Vec<_> = examples.keys().filter(|name| METHODS.iter().all(|method| method.name != **name)).collect();
    assert!(unknown.is_empty(), "examples of methods that are not in the table: {unknown:?}");

    let folder = tempfile::tempdir().unwrap();
    let mut world = World::open(folder.path(), "eth").await;
    for method in METHODS.iter().filter(is_dev) {
        let response = world.ask(method.name, &json!([])).await;
        assert_eq!(response["error"]["code"], -32601, "{} is not of this chain: {response}", method.name);
    }

    let mut open: Option<(&str, tempfile::TempDir, World)> = None;
    for (name, params, answer) in EXAMPLES {
        let method = METHODS.iter().find(|method| method.name == *name).unwrap();
        if open.as_ref().is_none_or(|(namespace, ..)| *namespace != method.namespace()) {
            let folder = tempfile::tempdir().unwrap();
            let world = World::open(folder.path(), method.namespace()).await;
            open = Some((method.namespace(), folder, world));
        }
        let (.., world) = open.as_mut().unwrap();
        world.check_bad(method).await;
        world.check_good(method, params, *answer).await;
    }
}
