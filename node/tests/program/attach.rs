//! The console: one-shot, over the local socket, HTTP and WebSocket, with tokens, and from standard input.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::support::{Home, Node};

/// Runs a line of the console at an endpoint (empty: the data directory's socket) and returns what it prints.
#[track_caller]
fn exec(home: &Home, endpoint: &str, line: &str) -> String {
    let mut command = home.program();
    command.arg("attach").args(endpoint.split_whitespace()).args(["--exec", line]);
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{line}: {err}");
    out.trim_end().to_owned()
}

#[test]
fn the_console_asks_over_every_transport() {
    let home = Home::new();
    let mut node = Node::dev(&home, "");
    let socket = node.ipc(&home);
    let account = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
    let places = [
        "--datadir node".to_owned(),
        socket.display().to_string(),
        format!("http://{}", node.address),
        format!("ws://{}", node.address),
    ];
    for place in &places {
        for (line, expected) in [
            ("eth.blockNumber", "0"),
            ("eth.getBlock('latest').number", "0"),
            ("web3.fromWei(eth.getBalance(eth.accounts[0]), 'ether')", "\"100\""),
            ("txpool.status", "{\n  pending: 0,\n  queued: 0\n}"),
            ("eth.accounts.length", "10"),
            ("eth.accounts[0]", &format!("\"{account}\"")),
            ("net.version + '!'", "\"1337!\""),
            ("admin.peers", "[]"),
            ("web3.toWei(1.5, 'gwei') / 3", "500000000"),
        ] {
            assert_eq!(exec(&home, place, line), expected, "{place}: {line}");
        }
    }
    let sent = exec(
        &home,
        &places[0],
        "var a = eth.accounts; eth.sendTransaction({from: a[0], to: a[1], value: web3.toWei(1, 'ether')})",
    );
    assert!(sent.starts_with("\"0x") && sent.len() == 68, "{sent}");
    node.wait_head(1, Duration::from_secs(20));
    assert_eq!(exec(&home, &places[0], &format!("eth.getTransaction({sent}).value")), "1000000000000000000");
    assert_eq!(exec(&home, &places[0], "eth.getBalance(eth.accounts[1]) > web3.toWei(100)"), "true");
    let made = exec(&home, &places[0], "personal.newAccount('secret')");
    assert_eq!(exec(&home, &places[0], &format!("personal.listAccounts[10] == {made}")), "true");
    node.end();
}

#[test]
fn what_fails_says_so_and_why() {
    let home = Home::new();
    let node = Node::dev(&home, "");
    for (line, code, words) in [
        ("eth.getBalance('0x12')", 2, "Error: invalid argument 0"),
        ("nothing.at.all", 2, "ReferenceError: nothing is not defined"),
        ("eth.getBlock(", 2, "SyntaxError"),
    ] {
        let output = home.program().args(["attach", "--datadir", "node", "--exec", line]).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && err.contains(words), "{line}: {err}");
    }
    for (place, code, words) in [
        ("nowhere.ipc", 65, "start the node"),
        ("http://127.0.0.1:1", 65, "127.0.0.1:1"),
        ("ws://127.0.0.1:1", 65, "127.0.0.1:1"),
        ("https://127.0.0.1", 2, "not understood"),
    ] {
        let ran = home.run(&format!("attach {place} --exec 1"));
        assert!(ran.code == code && ran.err.contains(words), "{place}: {} {}", ran.code, ran.err);
    }
    node.end();
}

#[test]
fn lines_come_from_standard_input() {
    let home = Home::new();
    let node = Node::dev(&home, "");
    let mut command = home.program();
    command.args(["attach", "--datadir", "node"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut console = command.spawn().unwrap();
    console.stdin.take().unwrap().write_all(b"x = eth.blockNumber + 41\nx + 1\n\neth.mining\n").unwrap();
    let output = console.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "undefined\n42\ntrue\n");
    node.end();
}

#[test]
fn tokens_open_what_keys_open() {
    let home = Home::new();
    let node = Node::dev(&home, "--rpc.jwtsecret secret");
    assert_eq!(node.post(b"{}").unwrap().status, 401);
    for place in [format!("http://{}", node.address), format!("ws://{}", node.address)] {
        assert_eq!(exec(&home, &format!("{place} --jwtsecret secret"), "eth.chainId()"), "\"0x539\"");
        let refused = home.run(&format!("attach {place} --exec eth.blockNumber"));
        refused.failed(65, &["401", "--jwtsecret"]);
    }
    node.end();
}

/// What a value of geth's console is made of, by its own formatters.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Text,
    Quantity,
    Bool,
    List,
    Object(&'static [&'static str]),
}

impl Shape {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Quantity => value.as_str().is_some_and(|text| u128::from_str_radix(&text[2..], 16).is_ok()),
            Self::Bool => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Object(fields) => fields.iter().all(|field| !value[*field].is_null()),
        }
    }
}

/// Fields of a block that its formatter turns into numbers.
const BLOCK: &[&str] =
    &["difficulty", "extraData", "gasLimit", "gasUsed", "hash", "nonce", "number", "size", "timestamp", "transactions"];

/// What geth's console asks on its way to the prompt, in its order, and then for what is typed first: method, parameters as it writes them
/// (its Go half leaves them out, its JavaScript half does not), and what it makes of the answer.
const GETHS_CONSOLE: &[(&str, &str, Shape)] = &[
    ("rpc_modules", "", Shape::Object(&["admin", "debug", "eth", "miner", "net", "personal", "rpc", "txpool", "web3"])),
    ("web3_clientVersion", "[]", Shape::Text),
    ("eth_coinbase", "[]", Shape::Text),
    ("eth_blockNumber", "[]", Shape::Quantity),
    ("eth_getBlockByNumber", "[\"0x0\",false]", Shape::Object(BLOCK)),
    ("admin_datadir", "[]", Shape::Text),
    ("rpc_modules", "", Shape::Object(&["eth"])),
    ("eth_accounts", "[]", Shape::List),
    ("eth_getBlockByNumber", "[\"latest\",true]", Shape::Object(BLOCK)),
    ("eth_getBalance", "[\"0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266\",\"latest\"]", Shape::Quantity),
    ("eth_syncing", "[]", Shape::Bool),
    ("eth_mining", "[]", Shape::Bool),
    ("eth_hashrate", "[]", Shape::Quantity),
    ("eth_gasPrice", "[]", Shape::Quantity),
    ("eth_maxPriorityFeePerGas", "[]", Shape::Quantity),
    ("eth_chainId", "[]", Shape::Quantity),
    ("eth_pendingTransactions", "[]", Shape::List),
    ("net_version", "[]", Shape::Text),
    ("net_listening", "[]", Shape::Bool),
    ("net_peerCount", "[]", Shape::Quantity),
    ("admin_nodeInfo", "[]", Shape::Object(&["enode", "id", "name", "ports", "protocols"])),
    ("admin_peers", "[]", Shape::List),
    ("personal_listAccounts", "[]", Shape::List),
    ("personal_listWallets", "[]", Shape::List),
    ("txpool_status", "[]", Shape::Object(&["pending", "queued"])),
    ("txpool_inspect", "[]", Shape::Object(&["pending", "queued"])),
    ("txpool_content", "[]", Shape::Object(&["pending", "queued"])),
    ("debug_getBadBlocks", "[]", Shape::List),
];

/// Requests are counted from 1, end in a line feed, and may come in any pieces; an answer belongs to the request whose number it repeats byte for byte.
#[test]
fn geths_console_is_answered_in_its_own_words() {
    let home = Home::new();
    let mut node = Node::dev(&home, "");
    let mut socket = UnixStream::connect(node.ipc(&home)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answers = serde_json::Deserializer::from_reader(socket.try_clone().unwrap()).into_iter::<Value>();
    for (index, (method, params, shape)) in GETHS_CONSOLE.iter().enumerate() {
        let (id, params) = (index + 1, if params.is_empty() { String::new() } else { format!(",\"params\":{params}") });
        let request = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"{params}}}\n");
        for piece in request.as_bytes().chunks(7) {
            socket.write_all(piece).unwrap();
        }
        let answer = answers.next().unwrap().unwrap();
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&Value::from("2.0"), &Value::from(id)), "{method}");
        assert!(shape.is_of(&answer["result"]), "{method} is no {shape:?}: {answer}");
    }
    // Values that follow each other without anything between them, and a batch; what does not exist is an error with its number.
    let call = |id: usize, method: &str| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"}}");
    let (one, other, unknown) = (call(101, "eth_chainId"), call(102, "net_version"), call(103, "clique_getSigners"));
    socket.write_all(format!("{one}{other}{unknown}[{one},{other}]").as_bytes()).unwrap();
    let (mut single, mut batch) = (std::collections::BTreeMap::new(), Vec::new());
    for answer in answers.by_ref().take(4).map(Result::unwrap) {
        match answer {
            Value::Array(all) => batch.extend(all.into_iter().map(|answer| answer["id"].clone())),
            one => _ = single.insert(one["id"].as_u64().unwrap(), one),
        }
    }
    assert_eq!((&single[&101]["result"], &single[&102]["result"]), (&Value::from("0x539"), &Value::from("1337")));
    assert_eq!(single[&103]["error"]["code"], -32601, "{single:?}");
    assert_eq!(batch, [101, 102]);
    let mut rest = Vec::new();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    socket.read_to_end(&mut rest).unwrap();
    assert_eq!(String::from_utf8(rest).unwrap().trim(), "");
    node.end();
}
