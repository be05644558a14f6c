//! Signals: a node stops in time, a killed one opens again, and what was answered is still there.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Client, Home, Node, RECEIVER, Signal, Stopped};

/// Sends transactions from four accounts at once and asks for their receipts, until the node is gone; then returns the hashes
/// whose receipts were served.
fn load_until(client: Client, accounts: &Value, during: impl FnOnce()) -> Vec<String> {
    let (served, done) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for account in accounts.as_array().unwrap().iter().take(4) {
            let (served, done) = (&served, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let transaction = json!({"from": account, "to": RECEIVER, "value": "0x1"});
                    let Ok(hash) = client.try_call("eth_sendTransaction", json!([transaction])) else { continue };
                    while !done.load(Ordering::Relaxed) {
                        match client.try_call("eth_getTransactionReceipt", json!([hash])) {
                            Ok(Value::Null) => {}
                            Ok(_) => {
                                served.lock().unwrap().push(hash.as_str().unwrap().to_owned());
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                }
            });
        }
        during();
        done.store(true, Ordering::Relaxed);
    });
    served.into_inner().unwrap()
}

/// Stops a node by `signal` under load, opens it again, and demands that all it had said holds.
fn stop_under_load(signal: Signal) -> Stopped {
    let home = Home::new();
    let node = Node::dev(&home, "");
    let (client, accounts) = (*node, node.call("eth_accounts", json!([])));
    let mut stopped = None;
    let served = load_until(client, &accounts, || {
        client.wait_head(40, Duration::from_secs(20));
        stopped = Some(node.stop(signal));
    });
    assert!(served.len() > 10, "{}", served.len());
    home.verify("node");
    let node = Node::dev(&home, "");
    println!("{signal:?}: {} receipts, opened again in {:?}", served.len(), node.started_in);
    assert!(node.started_in < Duration::from_secs(2));
    for hash in &served {
        let receipt = node.call("eth_getTransactionReceipt", json!([hash]));
        assert_eq!(receipt["status"], "0x1", "{hash} was lost");
    }
    // It goes on mining where it was.
    let hash = node.send(json!({"from": accounts[9], "to": RECEIVER}));
    node.wait_receipt(&hash, Duration::from_secs(10));
    node.end();
    stopped.unwrap()
}

#[test]
fn a_quiet_node_stops_by_either_signal_and_keeps_its_head() {
    for signal in [Signal::Term, Signal::Int] {
        let home = Home::new();
        let node = Node::dev(&home, "");
        let hash = node.send(json!({"from": node.call("eth_accounts", json!([]))[0], "to": RECEIVER}));
        let block = node.wait_receipt(&hash, Duration::from_secs(10))["blockHash"].clone();
        let stopped = node.stop(signal);
        println!("{signal:?}: stopped in {:?}", stopped.took);
        assert_eq!(stopped.code, Some(0), "{}", stopped.log);
        assert!(stopped.took < Duration::from_secs(2), "{:?}", stopped.took);
        assert!(stopped.log.contains("stopping") && stopped.log.contains("stopped"), "{}", stopped.log);
        assert!(!home.join("node/drawbridge.ipc").exists(), "the local socket is removed");
        assert_eq!(home.head("node"), (block.as_str().unwrap().to_owned(), 1));
        let again = Node::dev(&home, "");
        println!("{signal:?}: opened again in {:?}", again.started_in);
        assert_eq!(again.block(1)["hash"], block);
        again.end();
    }
}

#[test]
fn a_loaded_node_stops_in_time_and_loses_nothing() {
    let stopped = stop_under_load(Signal::Term);
    println!("under load: stopped in {:?}", stopped.took);
    assert_eq!(stopped.code, Some(0), "{}", stopped.log);
    assert!(stopped.took < Duration::from_secs(2), "{:?}", stopped.took);
}

#[test]
fn a_killed_node_opens_again_and_loses_nothing() {
    let stopped = stop_under_load(Signal::Kill);
    assert_eq!(stopped.code, None);
}

#[test]
fn open_connections_do_not_delay_the_stop() {
    let home = Home::new();
    let mut node = Node::dev(&home, "");
    let ipc = node.ipc(&home);
    let idle = std::net::TcpStream::connect(node.address).unwrap();
    // Half a request, whose rest never comes.
    let mut half = std::net::TcpStream::connect(node.address).unwrap();
    std::io::Write::write_all(
        &mut half,
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{",
    )
    .unwrap();
    let local = std::os::unix::net::UnixStream::connect(&ipc).unwrap();
    node.block_number();
    let stopped = node.end();
    println!("open connections: stopped in {:?}", stopped.took);
    drop((idle, half, local));
}

#[test]
fn a_dev_chain_without_a_data_directory_leaves_nothing_behind() {
    let home = Home::new();
    let node = Node::start(&home, "--dev");
    node.block_number();
    let before: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(before.iter().any(|path| path.join("chaindata").exists()), "{before:?}");
    node.end();
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.is_file()), "{left:?}");
}

#[test]
fn a_node_that_is_stopped_while_it_starts_stops_cleanly_too() {
    let home = Home::new();
    for signal in [Signal::Term, Signal::Int] {
        let mut command = home.program();
        // The first line of the log, which stands there before the database is opened.
        command.args(["--datadir", "node", "--color", "never", "--rpc", "--http.port", "0"]);
        let mut node = Node::launch(command);
        node.wait_line("--rpc");
        let stopped = node.stop(signal);
        assert_eq!(stopped.code, Some(0), "{}", stopped.log);
    }
    home.verify("node");
}
