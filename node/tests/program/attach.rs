//! The console: one-shot, over the local socket, HTTP and WebSocket, with tokens, and from standard input.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

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
        assert!(refused.code == 65 && refused.err.contains("401"), "{}", refused.err);
    }
    node.end();
}
