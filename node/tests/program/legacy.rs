//! `init`, then the command line that papers and courses print, as a shell takes it.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::support::{Home, Node, RECEIVER, number};

/// Replaced: the ports by free ones, the account by the one that was made.
const LINE: &str = "drawbridge --datadir node/ --syncmode 'full' --port 0 --rpc --rpcaddr 'localhost' --rpcport 0 \
    --rpcapi 'personal,db,eth,net,web3,txpool,miner' --networkid 4242 --gasprice '1' -unlock 'ACCOUNT' \
    --password pw.txt --mine --allow-insecure-unlock";

fn shell(home: &Home, line: &str) -> Command {
    let program = home.program();
    let folder = std::path::Path::new(program.get_program()).parent().unwrap().to_owned();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("exec {line}")]).current_dir(home.path()).env_clear().env("HOME", home.path());
    command.env("PATH", folder).stdin(std::process::Stdio::null());
    command
}

#[test]
fn the_command_that_papers_print_mines_and_answers() {
    let home = Home::new();
    let made = home.run("account new --datadir node/ --password pw.txt --lightkdf");
    let account = made.field("Public address of the key:   ").to_lowercase();
    home.write("private.json", include_str!("../../../genesis/private.json"));
    home.run("init --datadir node/ private.json").succeeded();
    let mut node = Node::spawn(shell(&home, &LINE.replace("ACCOUNT", &account)));

    // The first block is found in about a second by one thread; it pays its miner.
    node.wait_head(1, Duration::from_secs(30));
    assert_eq!(node.call("eth_accounts", json!([])), json!([account]));
    assert_eq!(node.call("personal_listAccounts", json!([])), json!([account]));
    assert_eq!(node.call("eth_coinbase", json!([])), json!(account));
    assert_eq!(node.call("eth_mining", json!([])), json!(true));
    assert_eq!(node.call("net_version", json!([])), json!("4242"));
    assert_eq!(node.call("eth_chainId", json!([])), json!("0x1092"));
    assert_eq!(node.call("txpool_status", json!([])), json!({"pending": "0x0", "queued": "0x0"}));
    assert!(node.call("web3_clientVersion", json!([])).as_str().unwrap().starts_with("Drawbridge/"));
    let transaction = json!({"from": account, "to": RECEIVER, "value": "0x1"});
    let sent = node.call("personal_sendTransaction", json!([transaction, "secret"]));
    let receipt = node.wait_receipt(sent.as_str().unwrap(), Duration::from_secs(40));
    assert_eq!(number(&receipt["status"]), 1);
    assert_eq!(node.call("miner_stop", json!([])), json!(null));
    assert_eq!(node.call("eth_mining", json!([])), json!(false));
    assert_eq!(node.call("miner_start", json!([1])), json!(null));
    assert_eq!(node.call("eth_mining", json!([])), json!(true));
    // There has been no such namespace for years.
    assert_eq!(node.try_call("db_getString", json!(["a", "b"])).unwrap_err()["code"], -32601);

    let log = node.log();
    for new in ["--http", "--http.addr", "--http.port", "--http.api", "--miner.gasprice", "`db`"] {
        assert!(log.lines().any(|line| line.contains("WARN") && line.contains(new)), "{new}: {log}");
    }
    let stopped = node.end();
    println!("legacy node: stopped in {:?}", stopped.took);
}
