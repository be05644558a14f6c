//! `debug_trace*` and `trace_*`.

use alloy_primitives::{Address, hex};
use serde_json::{Value, json};

use crate::node::{Node, account, config};

/// Increments slot 0 and emits a log without topics: SLOAD, ADD, SSTORE, LOG0.
const COUNTS: &str = "5f5460010180 5f55 5f52 6020 5f a0 00";
/// Calls the address in the call data and returns what comes back, or reverts with it.
const CALLS: &str = "5f5f5f5f5f 5f35 5a f1 3d5f5f3e 6013 57 3d5f fd 5b 3d5f f3";

fn code(spaced: &str) -> String {
    spaced.split_whitespace().collect()
}

/// A chain with a contract that counts and one that calls it, and the hash of a transaction that does both.
async fn node_with_a_call() -> (Node, Address, Address, Value) {
    let node = Node::usual().await;
    let counts = node.deploy(&code(COUNTS)).await;
    let calls = node.deploy(&code(CALLS)).await;
    let data = hex::encode_prefixed(counts.into_word());
    let request = json!([{ "from": account(0), "to": calls, "data": data, "gas": "0x30d40" }]);
    let hash = node.call("eth_sendTransaction", request).await;
    node.chain.mine();
    (node, counts, calls, hash)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_traced_step_by_step() {
    let (node, _, calls, hash) = node_with_a_call().await;
    let receipt = node.call("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!((&receipt["status"], &receipt["to"]), (&json!("0x1"), &json!(calls)));
    let trace = node.call("debug_traceTransaction", json!([hash])).await;
    assert_eq!((&trace["failed"], &trace["returnValue"]), (&json!(false), &json!("0x")));
    let gas_used = u64::from_str_radix(&receipt["gasUsed"].as_str().unwrap()[2..], 16).unwrap();
    assert_eq!(trace["gas"], json!(gas_used));
    let steps = trace["structLogs"].as_array().unwrap();
    assert_eq!((&steps[0]["pc"], &steps[0]["op"], &steps[0]["depth"]), (&json!(0), &json!("PUSH0"), &json!(1)));
    assert_eq!(steps[1]["stack"], json!(["0x0"]));
    let store = steps.iter().find(|step| step["op"] == "SSTORE").unwrap();
    let (zero, one) = (format!("0x{:064x}", 0), format!("0x{:064x}", 1));
    assert_eq!((&store["depth"], &store["storage"]), (&json!(2), &json!({ zero: one })));
    assert!(steps.iter().all(|step| step.get("memory").is_none() && step.get("returnData").is_none()));

    let options = json!({ "disableStack": true, "disableStorage": true, "enableMemory": true, "enableReturnData": true, "limit": 5 });
    let bare = node.call("debug_traceTransaction", json!([hash, options])).await;
    let steps = bare["structLogs"].as_array().unwrap();
    assert_eq!(steps.len(), 5);
    assert!(steps.iter().all(|step| step.get("stack").is_none() && step["memory"].is_array()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_tracers_answer() {
    let (node, counts, calls, hash) = node_with_a_call().await;
    let trace = |tracer: &str, config: Value| {
        let params = json!([hash, { "tracer": tracer, "tracerConfig": config }]);
        let node = &node;
        async move { node.call("debug_traceTransaction", params).await }
    };
    let frames = trace("callTracer", json!({ "withLog": true })).await;
    assert_eq!((&frames["type"], &frames["to"], &frames["from"]), (&json!("CALL"), &json!(calls), &json!(account(0))));
    assert_eq!(
        (&frames["calls"][0]["to"], &frames["calls"][0]["logs"][0]["address"]),
        (&json!(counts), &json!(counts))
    );
    let top = trace("callTracer", json!({ "onlyTopCall": true })).await;
    assert!(top.get("calls").is_none());
    let before = trace("prestateTracer", Value::Null).await;
    assert!(before[counts.to_string().to_lowercase()]["code"].is_string());
    let bare = trace("prestateTracer", json!({ "disableCode": true })).await;
    assert!(bare[counts.to_string().to_lowercase()].get("code").is_none());
    let diff = trace("prestateTracer", json!({ "diffMode": true })).await;
    let slot = format!("0x{:064x}", 0);
    assert_eq!(diff["post"][counts.to_string().to_lowercase()]["storage"][&slot], json!(format!("0x{:064x}", 1)));
    let flat = trace("flatCallTracer", Value::Null).await;
    assert_eq!((&flat[1]["traceAddress"], &flat[1]["transactionHash"]), (&json!([0]), &hash));
    assert_eq!(trace("noopTracer", Value::Null).await, json!({}));
    assert_eq!(trace("4byteTracer", Value::Null).await, json!({ "0x00000000-28": 1 }));
    let both = trace("muxTracer", json!({ "callTracer": null, "noopTracer": null })).await;
    assert_eq!((&both["callTracer"]["to"], &both["noopTracer"]), (&json!(calls), &json!({})));
    let block = node.call("debug_traceBlockByNumber", json!(["latest", { "tracer": "callTracer" }])).await;
    assert_eq!((&block[0]["txHash"], &block[0]["result"]["to"]), (&hash, &json!(calls)));
    let raw = node.call("debug_getRawBlock", json!(["latest"])).await;
    assert_eq!(node.call("debug_traceBlock", json!([raw, { "tracer": "callTracer" }])).await, block);
    let hash = node.call("eth_getBlockByNumber", json!(["latest", false])).await["hash"].clone();
    assert_eq!(node.call("debug_traceBlockByHash", json!([hash, { "tracer": "callTracer" }])).await, block);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_traced_with_overrides_and_within_a_block() {
    let (node, counts, ..) = node_with_a_call().await;
    let call = json!({ "to": counts });
    let stored = |trace: &Value| {
        let steps = trace["structLogs"].as_array().unwrap().clone();
        let store = steps.iter().find(|step| step["op"] == "SSTORE").unwrap();
        store["stack"][1].as_str().unwrap().to_owned()
    };
    assert_eq!(stored(&node.call("debug_traceCall", json!([call])).await), "0x2");
    assert_eq!(stored(&node.call("debug_traceCall", json!([call, "0x1"])).await), "0x1");
    // The block's transaction counts once: before it the count is 0.
    let within = node.call("debug_traceCall", json!([call, "latest", { "txIndex": "0x0" }])).await;
    assert_eq!(stored(&within), "0x1");
    let slot = format!("0x{:064x}", 0);
    let nine = format!("0x{:064x}", 9);
    let overrides = json!({ "stateOverrides": { counts.to_string(): { "stateDiff": { slot: nine } } } });
    assert_eq!(stored(&node.call("debug_traceCall", json!([call, "latest", overrides])).await), "0xa");
    let number = node.deploy("43 5f52 6020 5f f3".replace(' ', "").as_str()).await;
    let overrides = json!({ "blockOverrides": { "number": "0x1234" }, "tracer": "callTracer" });
    let frame = node.call("debug_traceCall", json!([{ "to": number }, "latest", overrides])).await;
    assert_eq!(frame["output"], json!(format!("0x{:064x}", 0x1234)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_traced_is_refused_in_the_words_of_geth() {
    let (node, _, _, hash) = node_with_a_call().await;
    let unknown = format!("0x{}", "1".repeat(64));
    for (method, params, expected) in [
        ("debug_traceTransaction", json!([unknown]), "transaction not found"),
        ("debug_traceTransaction", json!([hash, { "timeout": "soon" }]), "time: invalid duration \"soon\""),
        ("debug_traceBlockByNumber", json!(["0x0"]), "genesis is not traceable"),
        ("debug_traceBlockByNumber", json!(["0x99"]), "block #153 not found"),
        ("debug_traceBlockByNumber", json!(["pending"]), "tracing on top of pending is not supported"),
        ("debug_traceCall", json!([{}, "pending"]), "tracing on top of pending is not supported"),
        ("debug_traceCall", json!([{}, "0x99"]), "header not found"),
    ] {
        assert_eq!(node.refusal(method, params.clone()).await, (-32000, expected.to_owned()), "{method} {params}");
    }
    let (code, words) = node.refusal("debug_traceTransaction", json!([hash, { "tracer": "noTracer" }])).await;
    assert!(code == -32000 && words.contains("noTracer") && words.contains("callTracer"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_has_limits_of_size_and_time() {
    let mut small = config();
    small.limits.batch_response_bytes = 20_000;
    small.limits.trace_timeout = std::time::Duration::from_millis(300);
    small.limits.evm_timeout = small.limits.trace_timeout;
    small.limits.gas_cap = 500_000_000;
    let node = Node::start(small).await;
    let loops = node.deploy("5b5f56").await;
    let (code, words) = node.refusal("debug_traceCall", json!([{ "to": loops, "gas": "0x30d40" }])).await;
    assert_eq!((code, words.as_str()), (-32003, "response too large"));
    let limited =
        node.call("debug_traceCall", json!([{ "to": loops, "gas": "0x30d40" }, "latest", { "limit": 10 }])).await;
    assert_eq!(limited["structLogs"].as_array().map(Vec::len), Some(10));
    let endless = json!([{ "to": loops, "gas": "0x1dcd6500" }, "latest", { "tracer": "callTracer" }]);
    assert_eq!(node.refusal("debug_traceCall", endless).await, (-32000, "execution timeout".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_offered_where_they_are_named() {
    let mut default = config();
    if let Some(http) = default.http.as_mut() {
        http.api = ["eth", "net", "web3"].map(str::to_owned).to_vec();
    }
    let node = Node::start(default).await;
    for method in ["debug_traceCall", "trace_block", "ots_getApiLevel", "erigon_getHeaderByNumber"] {
        let words = format!("the method {method} does not exist/is not available");
        assert_eq!(node.refusal(method, json!([])).await, (-32601, words));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parity_traces_agree_with_each_other() {
    let (node, counts, calls, hash) = node_with_a_call().await;
    let traces = node.call("trace_transaction", json!([hash])).await;
    assert_eq!((&traces[0]["action"]["to"], &traces[1]["action"]["to"]), (&json!(calls), &json!(counts)));
    assert_eq!((&traces[0]["subtraces"], &traces[1]["traceAddress"]), (&json!(1), &json!([0])));
    assert_eq!(node.call("trace_block", json!(["latest"])).await, traces);
    assert_eq!(node.call("trace_get", json!([hash, ["0x0"]])).await, traces[1]);
    assert_eq!(node.call("trace_get", json!([hash, ["0x7"]])).await, Value::Null);
    assert_eq!(node.call("trace_transaction", json!([format!("0x{}", "1".repeat(64))])).await, Value::Null);
    for (query, expected) in [
        (json!({ "toAddress": [counts] }), vec![traces[1].clone()]),
        (json!({ "fromAddress": [calls] }), vec![traces[1].clone()]),
        (json!({ "fromAddress": [account(0)], "toAddress": [calls] }), vec![traces[0].clone()]),
        (json!({ "fromAddress": [counts] }), vec![]),
        (json!({ "after": 1, "count": 1 }), vec![traces[1].clone()]),
    ] {
        assert_eq!(node.call("trace_filter", json!([query])).await, json!(expected), "{query}");
    }
    let (code, words) = node.refusal("trace_filter", json!([{ "fromBlock": "0x0", "toBlock": "0x99" }])).await;
    assert_eq!((code, words.as_str()), (-32602, "block range extends beyond current head block"));

    let types = json!(["trace", "vmTrace", "stateDiff"]);
    let replayed = node.call("trace_replayTransaction", json!([hash, types])).await;
    assert_eq!(replayed["trace"][1]["action"], traces[1]["action"]);
    let slot = format!("0x{:064x}", 0);
    let change = &replayed["stateDiff"][counts.to_string().to_lowercase()]["storage"][&slot]["*"];
    assert_eq!(change["to"], json!(format!("0x{:064x}", 1)));
    assert!(replayed["vmTrace"]["ops"].as_array().is_some_and(|ops| ops.len() > 10));
    let block = node.call("trace_replayBlockTransactions", json!(["latest", ["trace"]])).await;
    assert_eq!((&block[0]["transactionHash"], &block[0]["trace"]), (&hash, &replayed["trace"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn parity_calls_follow_each_other() {
    let (node, counts, ..) = node_with_a_call().await;
    let call = json!([{ "to": counts }, ["stateDiff"]]);
    let slot = format!("0x{:064x}", 0);
    let counted =
        |result: &Value| result["stateDiff"][counts.to_string().to_lowercase()]["storage"][&slot]["*"]["to"].clone();
    let one = node.call("trace_call", json!([{ "to": counts }, ["stateDiff"]])).await;
    assert_eq!(counted(&one), json!(format!("0x{:064x}", 2)));
    let many = node.call("trace_callMany", json!([[call, call], "latest"])).await;
    assert_eq!(counted(&many[0]), json!(format!("0x{:064x}", 2)));
    assert_eq!(counted(&many[1]), json!(format!("0x{:064x}", 3)));
    let raw = crate::node::transfer(1, 0);
    let traced = node.call("trace_rawTransaction", json!([raw, ["trace"]])).await;
    assert_eq!(traced["trace"][0]["action"]["from"], json!(account(1)));
}

/// Traces a call of 248 gas with this code, once by geth's step logger and once as Parity's machine; returns the last step of each.
async fn last_steps(node: &Node, code: &str) -> (Value, Value) {
    let contract = Address::repeat_byte(0xc0);
    let call = json!({ "from": account(0), "to": contract, "value": "0x1", "gas": format!("{:#x}", 21_000 + 248) });
    let overrides = json!({ contract.to_string(): { "code": format!("0x{}", self::code(code)) } });
    let options = json!({ "stateOverrides": overrides });
    let geth = node.call("debug_traceCall", json!([call, "latest", options])).await;
    let parity = node.call("trace_call", json!([call, ["vmTrace"], "latest", overrides])).await;
    let last = |steps: &Value| steps.as_array().unwrap().last().unwrap().clone();
    (last(&geth["structLogs"]), last(&parity["vmTrace"]["ops"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_paid_has_its_price() {
    let node = Node::usual().await;
    for (code, op, geth, parity) in [
        // 30, 6 a word, and 128 words of memory.
        ("611000 5f 20", "KECCAK256", 30 + 6 * 128 + 3 * 128 + 128 * 128 / 512, None),
        ("6001 610fff 52", "MSTORE", 3 + 3 * 129 + 129 * 129 / 512, None),
        // What is touched for the first time costs more.
        ("6077 31", "BALANCE", 2600, None),
        ("6077 54", "SLOAD", 2100, None),
        ("5f5f5f5f 6001 6077 5a f1", "CALL", 100 + 2500 + 9000 + 25_000, None),
        ("5f5f5f5f 6001 30 5a f1", "CALL", 100 + 9000, None),
        ("6077 ff", "SELFDESTRUCT", 5000, Some(5000 + 2600 + 25_000)),
        ("6020 5f 5f f0", "CREATE", 32_000, Some(32_000 + 2 + 3)),
    ] {
        let (step, instruction) = last_steps(&node, code).await;
        assert_eq!((&step["op"], &step["gasCost"], &step["error"]), (&json!(op), &json!(geth), &json!("out of gas")));
        assert_eq!((&instruction["op"], &instruction["cost"]), (&json!(op), &json!(parity.unwrap_or(geth))));
        assert_eq!(instruction["ex"], Value::Null, "{op}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_is_shown_as_openethereum_did() {
    let node = Node::usual().await;
    // A jump to nowhere has been made.
    let (_, jump) = last_steps(&node, "5f 56").await;
    assert_eq!((&jump["cost"], &jump["ex"]["used"], &jump["ex"]["push"]), (&json!(8), &json!(238), &json!([])));
    // A call that may write a word, of which it writes nothing: the word is shown.
    let contract = Address::repeat_byte(0xc0);
    let code = format!("0x{}", code("60ff 5f 52 6020 5f 5f 5f 5f 6077 5a f1 00"));
    let overrides = json!({ contract.to_string(): { "code": code } });
    let traced = node.call("trace_call", json!([{ "to": contract }, ["vmTrace"], "latest", overrides])).await;
    let call = traced["vmTrace"]["ops"].as_array().unwrap().iter().find(|step| step["op"] == "CALL").unwrap();
    assert_eq!(call["ex"]["mem"], json!({ "off": 0, "data": format!("0x{:064x}", 0xff) }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destruction_in_ones_own_favour_is_told_with_its_value() {
    let node = Node::usual().await;
    let (contract, other) = (Address::repeat_byte(0xc0), Address::repeat_byte(0xc1));
    let overrides = json!({
        contract.to_string(): { "code": "0x30ff", "balance": "0x300" },
        // The same code for another account.
        other.to_string(): { "code": format!("0x5f5f5f5f73{contract:x}5af400"), "balance": "0x5" },
    });
    for (called, value) in [(contract, "0x300"), (other, "0x5")] {
        let request = json!({ "to": called });
        let options = json!({ "tracer": "callTracer", "stateOverrides": overrides });
        let frames = node.call("debug_traceCall", json!([request, "latest", options])).await;
        let frames = if called == contract { &frames["calls"] } else { &frames["calls"][0]["calls"] };
        let destroyed = json!({
            "type": "SELFDESTRUCT", "from": called, "to": called, "value": value, "gas": "0x0", "gasUsed": "0x0", "input": "0x",
        });
        assert_eq!(frames[0], destroyed);
        let traced = node.call("trace_call", json!([request, ["trace"], "latest", overrides])).await;
        let last = traced["trace"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["action"], json!({ "address": called, "refundAddress": called, "balance": value }));
    }
}
