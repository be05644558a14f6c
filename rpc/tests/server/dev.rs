//! The methods of development chains.

use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};

use crate::node::{Node, account, transfer};

/// Whoever has no key here.
const STRANGER: Address = Address::repeat_byte(0xb0);
const ETHER: &str = "0xde0b6b3a7640000";

async fn number(node: &Node) -> u64 {
    quantity(&node.call("eth_blockNumber", json!([])).await)
}

fn quantity(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("no quantity: {value}"));
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

async fn head(node: &Node) -> Value {
    node.call("eth_getBlockByNumber", json!(["latest", false])).await
}

async fn balance(node: &Node, address: Address) -> Value {
    node.call("eth_getBalance", json!([address, "latest"])).await
}

async fn mine(node: &Node) {
    assert_eq!(node.call("evm_mine", json!([])).await, "0x0");
}

/// Sends as an impersonated account, mines, and returns the receipt.
async fn sent(node: &Node, request: Value) -> Value {
    let hash = node.call("eth_sendTransaction", json!([request])).await;
    mine(node).await;
    let receipt = node.call("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    receipt
}

#[tokio::test(flavor = "multi_thread")]
async fn other_chains_have_none_of_these_methods() {
    let node = Node::usual().await;
    for method in ["evm_mine", "hardhat_setBalance", "anvil_nodeInfo"] {
        let (code, words) = node.refusal(method, json!([])).await;
        assert_eq!((code, words), (-32601, format!("the method {method} does not exist/is not available")));
    }
    let modules = node.call("rpc_modules", json!([])).await;
    assert!(["evm", "hardhat", "anvil"].iter().all(|name| modules.get(name).is_none()), "{modules}");
    let unknown = json!([{ "from": STRANGER, "to": STRANGER }]);
    assert_eq!(node.refusal("eth_sendTransaction", unknown).await.1, "unknown account");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_brings_back_head_pool_state_and_time_and_uses_up_its_snapshot() {
    let node = Node::dev().await;
    mine(&node).await;
    let waiting = node.call("eth_sendRawTransaction", json!([transfer(0, 0)])).await;
    node.call("hardhat_setBalance", json!([STRANGER, "0x5"])).await;
    assert_eq!(node.call("evm_snapshot", json!([])).await, "0x1");
    let time = quantity(&head(&node).await["timestamp"]);

    node.call("hardhat_setBalance", json!([STRANGER, "0x6"])).await;
    assert_eq!(node.call("anvil_snapshot", json!([])).await, "0x2");
    node.call("evm_increaseTime", json!([100_000])).await;
    mine(&node).await;
    node.call("hardhat_impersonateAccount", json!([STRANGER])).await;
    assert_eq!(number(&node).await, 2);
    assert_eq!(node.call("eth_getTransactionByHash", json!([waiting])).await["blockNumber"], "0x2");

    assert_eq!(node.call("evm_revert", json!(["0x1"])).await, true);
    assert_eq!((number(&node).await, balance(&node, STRANGER).await), (1, json!("0x5")));
    assert_eq!(node.call("eth_getTransactionByHash", json!([waiting])).await["blockNumber"], json!(null));
    assert_eq!(node.call("txpool_status", json!([])).await["pending"], "0x1");
    mine(&node).await;
    assert!(quantity(&head(&node).await["timestamp"]) < time + 1000);
    let stranger = json!([{ "from": STRANGER, "to": STRANGER }]);
    assert_eq!(node.refusal("eth_sendTransaction", stranger).await.1, "unknown account");
    for gone in ["0x1", "0x2", "0x7"] {
        assert_eq!(node.call("evm_revert", json!([gone])).await, false);
    }
    assert_eq!(node.call("evm_snapshot", json!([])).await, "0x3");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_mined_at_the_times_that_are_asked_for() {
    let node = Node::dev().await;
    let time = |block: &Value| quantity(&block["timestamp"]);
    mine(&node).await;
    let first = time(&head(&node).await);
    assert_eq!(node.call("hardhat_mine", json!(["0x3", "0x3c"])).await, true);
    let fourth = head(&node).await;
    assert_eq!((quantity(&fourth["number"]), time(&fourth)), (4, first + 1 + 120));
    assert_eq!(node.call("anvil_mine", json!([2])).await, json!(null));
    assert_eq!(node.call("evm_mine", json!([{ "blocks": 2, "timestamp": first + 500 }])).await, "0x0");
    assert_eq!((number(&node).await, time(&head(&node).await)), (8, first + 501));
    node.call("evm_mine", json!([first + 600])).await;
    assert_eq!(time(&head(&node).await), first + 600);

    assert_eq!(node.call("evm_setNextBlockTimestamp", json!([first + 1000])).await, json!(null));
    assert_eq!(time(&node.call("eth_getBlockByNumber", json!(["pending", false])).await), first + 1000);
    mine(&node).await;
    assert_eq!(time(&head(&node).await), first + 1000);
    let (code, words) = node.refusal("evm_setNextBlockTimestamp", json!([first + 1000])).await;
    assert!(code == -32000 && words.contains("is lower than or equal to previous block's timestamp"), "{words}");

    let offset = node.call("evm_increaseTime", json!(["0x64"])).await.as_i64().unwrap();
    assert_eq!(node.call("evm_increaseTime", json!([50])).await.as_i64().unwrap(), offset + 50);
    mine(&node).await;
    assert_eq!(time(&head(&node).await), first + 1150);
    assert_eq!(node.call("evm_setTime", json!([(first + 2150) * 1000])).await, 1000);
    mine(&node).await;
    assert_eq!(time(&head(&node).await), first + 2150);
    node.call("anvil_setBlockTimestampInterval", json!([12])).await;
    mine(&node).await;
    assert_eq!(time(&head(&node).await), first + 2162);
    assert_eq!(node.call("anvil_removeBlockTimestampInterval", json!([])).await, true);
    assert!(node.refusal("hardhat_mine", json!(["0xffffffff"])).await.1.contains("at most"));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_set_at_the_head_and_stay_in_the_history() {
    let node = Node::dev().await;
    mine(&node).await;
    let slot = format!("0x{:064x}", 5);
    for (method, arguments, answer) in [
        ("hardhat_setBalance", json!([STRANGER, ETHER]), json!(true)),
        ("hardhat_setNonce", json!([STRANGER, "0x9"]), json!(true)),
        // SLOAD(5), returned.
        ("anvil_setCode", json!([STRANGER, "0x60055460005260206000f3"]), json!(null)),
        ("anvil_setStorageAt", json!([STRANGER, "0x5", format!("0x{:064x}", 0x77)]), json!(true)),
    ] {
        assert_eq!(node.call(method, arguments).await, answer, "{method}");
    }
    assert_eq!(number(&node).await, 1, "nothing was mined for it");
    let at = |block: &'static str| {
        let (node, slot) = (&node, &slot);
        async move {
            let call = json!([{ "to": STRANGER }, block]);
            [
                node.call("eth_getBalance", json!([STRANGER, block])).await,
                node.call("eth_getTransactionCount", json!([STRANGER, block])).await,
                node.call("eth_getStorageAt", json!([STRANGER, slot, block])).await,
                node.call("eth_call", call).await,
            ]
        }
    };
    let word = json!(format!("0x{:064x}", 0x77));
    let set = [json!(ETHER), json!("0x9"), word.clone(), word];
    assert_eq!(at("latest").await, set);
    let (_, words) = node.refusal("eth_getProof", json!([STRANGER, [], "latest"])).await;
    assert!(words.contains("changed by hand") && words.contains("mine a block"), "{words}");
    node.call("hardhat_mine", json!(["0x2"])).await;
    assert_eq!((at("latest").await, at("0x1").await), (set.clone(), set));
    assert_eq!(at("0x0").await[0], "0x0");
    let proof = node.call("eth_getProof", json!([STRANGER, ["0x5"], "latest"])).await;
    assert_eq!(proof["storageProof"][0]["value"], "0x77");
}

#[tokio::test(flavor = "multi_thread")]
async fn ganaches_names_do_the_same() {
    let node = Node::dev().await;
    for (method, value) in [("Balance", "0x11"), ("Nonce", "0x12"), ("Code", "0x00")] {
        assert_eq!(node.call(&format!("evm_setAccount{method}"), json!([STRANGER, value])).await, true);
    }
    assert_eq!(node.call("evm_setAccountStorageAt", json!([STRANGER, "0x1", "0x2"])).await, true);
    assert_eq!(balance(&node, STRANGER).await, "0x11");
    assert_eq!(node.call("eth_getTransactionCount", json!([STRANGER])).await, "0x12");
    let other = Address::repeat_byte(0xb1);
    node.call("evm_setAccountBalance", json!([other, ETHER])).await;
    assert_eq!(node.call("evm_addAccount", json!([other, "secret"])).await, true);
    assert_eq!(node.call("evm_addAccount", json!([other, "secret"])).await, false);
    let request = json!({ "from": other, "to": STRANGER, "value": "0x1" });
    assert_eq!(node.refusal("eth_sendTransaction", json!([request])).await.1, "unknown account");
    let wrong = node.refusal("personal_unlockAccount", json!([other, "wrong"])).await;
    assert_eq!(wrong.1, "could not decrypt key with given password");
    assert_eq!(node.call("personal_unlockAccount", json!([other, "secret"])).await, true);
    sent(&node, request).await;
    assert_eq!(balance(&node, STRANGER).await, "0x12");
    assert_eq!(node.call("evm_removeAccount", json!([other, "wrong"])).await, false);
    assert_eq!(node.call("evm_removeAccount", json!([other, "secret"])).await, true);
}

#[tokio::test(flavor = "multi_thread")]
async fn impersonated_accounts_send_and_their_transactions_say_so() {
    let node = Node::dev().await;
    // A contract that does nothing: no key could ever send for it.
    let contract = node.deploy("00").await;
    for sender in [STRANGER, contract] {
        node.call("hardhat_setBalance", json!([sender, ETHER])).await;
        assert_eq!(node.call("hardhat_impersonateAccount", json!([sender])).await, true);
        let request = json!({ "from": sender, "to": account(1), "value": "0x5" });
        let receipt = sent(&node, request).await;
        assert_eq!(receipt["from"], json!(sender));
        let mined = node.call("eth_getTransactionByHash", json!([receipt["transactionHash"]])).await;
        let named = format!("{:#x}", U256::from_be_slice(sender.as_slice()));
        assert_eq!((&mined["from"], &mined["r"], &mined["s"]), (&json!(sender), &json!(named), &json!("0x0")));
        let traced = node.call("debug_traceTransaction", json!([mined["hash"], { "tracer": "callTracer" }])).await;
        assert_eq!(traced["from"], json!(sender));
        // Nobody can bring such a transaction by itself.
        let raw = node.call("eth_getRawTransactionByHash", json!([mined["hash"]])).await;
        assert_eq!(node.refusal("eth_sendRawTransaction", json!([raw])).await.1, "invalid sender");
        assert_eq!(node.call("hardhat_stopImpersonatingAccount", json!([sender])).await, true);
    }
    let request = json!([{ "from": STRANGER, "to": account(1) }]);
    assert_eq!(node.refusal("eth_sendTransaction", request.clone()).await.1, "unknown account");
    assert_eq!(node.call("anvil_autoImpersonateAccount", json!([true])).await, json!(null));
    node.call("eth_sendTransaction", request).await;
    assert_eq!(node.call("hardhat_stopImpersonatingAccount", json!([STRANGER])).await, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_block_has_what_was_wanted_of_it_and_the_one_after_follows() {
    let node = Node::dev().await;
    let randao = B256::repeat_byte(0x17);
    for (method, argument) in [
        ("hardhat_setNextBlockBaseFeePerGas", json!("0x4d2")),
        ("hardhat_setPrevRandao", json!(randao)),
        ("evm_setBlockGasLimit", json!("0x5f5e100")),
        ("hardhat_setCoinbase", json!(STRANGER)),
    ] {
        assert_eq!(node.call(method, json!([argument])).await, true, "{method}");
    }
    assert_eq!(node.call("eth_baseFee", json!([])).await, "0x4d2");
    mine(&node).await;
    let first = head(&node).await;
    assert_eq!((&first["baseFeePerGas"], &first["mixHash"]), (&json!("0x4d2"), &json!(randao)));
    assert_eq!((&first["gasLimit"], &first["miner"]), (&json!("0x5f5e100"), &json!(STRANGER)));
    mine(&node).await;
    let second = head(&node).await;
    assert_eq!((quantity(&second["baseFeePerGas"]), &second["gasLimit"]), (1234 - 154, &json!("0x5f5e100")));
    assert_ne!(second["mixHash"], json!(randao));
    assert!(node.refusal("evm_setBlockGasLimit", json!(["0x1"])).await.1.contains("at least 5000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_goes_back_by_head_rollback_reorganisation_and_reset() {
    let node = Node::dev().await;
    let filter = node.call("eth_newBlockFilter", json!([])).await;
    let hash = node.call("eth_sendRawTransaction", json!([transfer(0, 0)])).await;
    node.call("hardhat_mine", json!(["0x4"])).await;
    let fourth = head(&node).await;

    assert_eq!(node.call("debug_setHead", json!(["0x0"])).await, json!(null));
    assert_eq!(
        (number(&node).await, node.call("txpool_status", json!([])).await["pending"].clone()),
        (0, json!("0x1"))
    );
    let refused = node.refusal("debug_setHead", json!(["0x9"])).await;
    assert_eq!(refused, (-32000, "block 9 is above the head, block 0".to_owned()));
    node.call("hardhat_mine", json!(["0x4"])).await;
    assert_eq!(node.call("eth_getTransactionByHash", json!([hash])).await["blockNumber"], "0x1");
    assert_eq!(node.call("eth_getBlockByHash", json!([fourth["hash"], false])).await["number"], "0x4");

    assert_eq!(node.call("anvil_rollback", json!([])).await, json!(null));
    assert_eq!(number(&node).await, 3);
    assert!(node.refusal("anvil_rollback", json!([7])).await.1.contains("more than the 3 blocks"));

    let third = head(&node).await["hash"].clone();
    let pairs = json!([[transfer(0, 1), 0], [{ "from": account(0), "to": account(1), "value": "0x1" }, 1]]);
    assert_eq!(node.call("anvil_reorg", json!([{ "depth": 2, "tx_block_pairs": pairs }])).await, json!(null));
    let new = head(&node).await;
    assert_eq!((&new["number"], new["transactions"].as_array().unwrap().len()), (&json!("0x3"), 1));
    assert_ne!(new["hash"], third);
    assert_eq!(node.call("anvil_reorg", json!([1, []])).await, json!(null));
    assert_eq!(head(&node).await["transactions"], json!([]));

    node.call("hardhat_setBalance", json!([STRANGER, "0x5"])).await;
    assert!(node.refusal("hardhat_reset", json!([{ "forking": { "jsonRpcUrl": "x" } }])).await.1.contains("forking"));
    assert_eq!(node.call("hardhat_reset", json!([])).await, true);
    assert_eq!((number(&node).await, balance(&node, STRANGER).await), (0, json!("0x0")));
    assert_eq!(node.call("eth_getTransactionByHash", json!([hash])).await, json!(null));
    let changes = node.call("eth_getFilterChanges", json!([filter])).await;
    assert!(changes.as_array().unwrap().len() >= 8, "{changes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_dumped_and_loaded_elsewhere() {
    let (from, to) = (Node::dev().await, Node::dev().await);
    let contract = from.deploy("60055460005260206000f3").await;
    from.call("hardhat_setStorageAt", json!([contract, "0x5", "0x9"])).await;
    from.call("hardhat_setBalance", json!([STRANGER, "0x7"])).await;
    let dump = from.call("anvil_dumpState", json!([])).await;
    to.call("hardhat_setStorageAt", json!([contract, "0x6", "0x1"])).await;
    assert_eq!(to.call("anvil_loadState", json!([dump])).await, true);
    assert_eq!(balance(&to, STRANGER).await, "0x7");
    let word = to.call("eth_call", json!([{ "to": contract }])).await;
    assert_eq!(word, json!(format!("0x{:064x}", 9)));
    let cleared = to.call("eth_getStorageAt", json!([contract, "0x6"])).await;
    assert_eq!(cleared, json!(B256::ZERO));
    mine(&to).await;
    assert_eq!(to.refusal("anvil_loadState", json!(["0x00"])).await.0, -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_learn_what_chain_it_is() {
    let node = Node::dev().await;
    node.call("evm_snapshot", json!([])).await;
    let head = head(&node).await;
    let metadata = node.call("hardhat_metadata", json!([])).await;
    assert_eq!((&metadata["chainId"], &metadata["latestBlockHash"]), (&json!(1337), &head["hash"]));
    assert_eq!(metadata["instanceId"].as_str().unwrap().len(), 66);
    let metadata = node.call("anvil_metadata", json!([])).await;
    assert_eq!(metadata["snapshots"], json!({ "0x1": [0, head["hash"]] }));
    let info = node.call("anvil_nodeInfo", json!([])).await;
    assert_eq!((&info["currentBlockHash"], &info["environment"]["chainId"]), (&head["hash"], &json!(1337)));
    assert_eq!(node.call("anvil_getAutomine", json!([])).await, false);
    assert_eq!(node.call("evm_setAutomine", json!([true])).await, json!(null));
    assert_eq!(node.call("hardhat_getAutomine", json!([])).await, true);
    assert_eq!(node.call("anvil_setIntervalMining", json!([7])).await, json!(null));
    assert_eq!(node.call("anvil_getIntervalMining", json!([])).await, 7);
    for (interval, seconds) in
        [(json!(3000), json!(3)), (json!(5), json!(5)), (json!([4000, 6000]), json!(5)), (json!(0), json!(null))]
    {
        assert_eq!(node.call("evm_setIntervalMining", json!([interval])).await, json!(null));
        assert_eq!(node.call("anvil_getIntervalMining", json!([])).await, seconds, "{interval}");
    }
    let hash = node.call("eth_sendRawTransaction", json!([transfer(0, 3)])).await;
    assert_eq!(node.call("hardhat_dropTransaction", json!([hash])).await, true);
    assert_eq!(node.call("hardhat_dropTransaction", json!([hash])).await, false);
    assert_eq!(node.call("hardhat_setMinGasPrice", json!(["0x0"])).await, true);
    assert_eq!(node.call("anvil_setLoggingEnabled", json!([false])).await, json!(null));
}
