//! Nodes that meet: over loopback, each a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{ADDRESS, Home, Node, RECEIVER, Signal, number};

/// How long two nodes may take to meet, or a block to travel.
const SOON: Duration = Duration::from_secs(20);
const APIS: &str = "--http --http.api eth,net,web3,txpool,miner,personal,admin,perm";

/// A folder with several data directories of one chain, each with the funded account.
fn home(pow: Value) -> Home {
    Home::with_chain(pow)
}

/// Starts a node of the chain `chain.json` in the data directory `name`, on a free port of loopback.
#[track_caller]
fn start(home: &Home, name: &str, more: &str) -> Node {
    start_on(home, name, "chain.json", more)
}

#[track_caller]
fn start_on(home: &Home, name: &str, chain: &str, more: &str) -> Node {
    let keys = "--keystore node/keystore --unlock 0 --password pw.txt --allow-insecure-unlock --lightkdf";
    let network = "--port 0 --p2p.addr 127.0.0.1 --nodiscover";
    Node::start(home, &format!("--datadir {name} --genesis {chain} {APIS} {keys} {network} --identity {name} {more}"))
}

/// Returns where others reach a node.
#[track_caller]
fn address(node: &Node) -> String {
    node.wait("an address", SOON, |client| {
        let info = client.call("admin_nodeInfo", json!([]));
        info["enode"].as_str().filter(|address| !address.is_empty()).map(str::to_owned)
    })
}

fn peer_id(node: &Node) -> String {
    node.call("admin_nodeInfo", json!([]))["id"].as_str().unwrap().to_owned()
}

fn peers(node: &Node) -> u64 {
    number(&node.call("net_peerCount", json!([])))
}

#[track_caller]
fn wait_peers(node: &Node, count: u64) {
    node.wait(&format!("{count} peers"), SOON, |_| (peers(node) == count).then_some(()));
}

/// Waits until a node says that it refused a peer for a reason that has `text`.
#[track_caller]
fn wait_refusal(node: &Node, text: &str) -> Value {
    node.wait(&format!("a refusal for `{text}`"), SOON, |client| {
        let peers = client.call("admin_peers", json!([]));
        let refused = |peer: &&Value| peer["refused"].as_str().is_some_and(|reason| reason.contains(text));
        peers.as_array().unwrap().iter().find(refused).cloned()
    })
}

fn hash_of(node: &Node, block: u64) -> Value {
    node.block(block)["hash"].clone()
}

fn transfer() -> Value {
    json!({"from": ADDRESS, "to": RECEIVER, "value": "0x1"})
}

#[test]
fn transactions_and_blocks_reach_every_node() {
    let home = home(json!({"empty_blocks": "never"}));
    let miner = start(&home, "a", "--mine");
    let other = start(&home, "b", &format!("--p2p.static {}", address(&miner)));
    wait_peers(&miner, 1);
    wait_peers(&other, 1);

    // A block of the miner's own.
    let hash = miner.send(transfer());
    other.wait_receipt(&hash, SOON);
    // A transaction that enters where nobody mines.
    let hash = other.send(transfer());
    let receipt = other.wait_receipt(&hash, SOON);
    let block = number(&receipt["blockNumber"]);
    assert_eq!(hash_of(&miner, block), hash_of(&other, block));

    let info = other.call("admin_peers", json!([]));
    let peer = &info[0];
    assert_eq!(peer["id"], json!(peer_id(&miner)));
    assert!(peer["name"].as_str().unwrap().starts_with("Drawbridge/a/"), "{peer}");
    assert_eq!((&peer["network"]["static"], &peer["network"]["inbound"]), (&json!(true), &json!(false)));
    assert!(peer["drawbridge"]["roles"].as_array().unwrap().contains(&json!("miner")), "{peer}");
    assert!(peer["drawbridge"]["clockOffsetMs"].as_i64().unwrap().abs() < 2000, "{peer}");
    assert_eq!(other.call("eth_syncing", json!([])), json!(false));
    miner.end();
    wait_peers(&other, 0);
    other.end();
}

#[test]
fn a_node_that_comes_late_or_was_killed_catches_up() {
    let home = home(json!({"empty_blocks": "never"}));
    let miner = start(&home, "a", "--mine");
    let mine = |count: u64| {
        for _ in 0..count {
            miner.wait_receipt(&miner.send(transfer()), SOON);
        }
    };
    mine(30);
    let address = address(&miner);
    let late = start(&home, "b", &format!("--p2p.static {address}"));
    late.wait_head(30, SOON);
    assert_eq!(hash_of(&late, 30), hash_of(&miner, 30));
    late.stop(Signal::Kill);
    mine(10);
    let again = start(&home, "b", &format!("--p2p.static {address}"));
    again.wait_head(40, SOON);
    assert_eq!(hash_of(&again, 40), hash_of(&miner, 40));
    again.end();
    miner.end();
    home.verify("b");
}

#[test]
fn a_node_that_starts_from_a_state_has_it_and_follows() {
    let home = home(json!({"empty_blocks": "always"}));
    let miner = start(&home, "a", "--mine");
    // Enough of them must be final for it to be worth it.
    miner.wait_head(400, SOON);
    miner.call("miner_stop", json!([]));
    let sent = miner.call("eth_getBalance", json!([ADDRESS, "latest"]));
    let late = start(&home, "b", &format!("--syncmode snap --p2p.static {}", address(&miner)));
    let head = miner.block_number();
    late.wait_head(head, SOON);
    assert_eq!(hash_of(&late, head), hash_of(&miner, head));
    assert_eq!(late.call("eth_getBalance", json!([ADDRESS, "latest"])), sent);
    // It has executed nothing of the beginning, and says so.
    let refused = late.try_call("eth_getBalance", json!([ADDRESS, "0x1"])).unwrap_err();
    assert!(refused["message"].as_str().unwrap().contains("history begins at block"), "{refused}");
    assert!(miner.try_call("eth_getBalance", json!([ADDRESS, "0x1"])).is_ok());
    // From then on it executes blocks like everyone, also after it was killed.
    late.stop(Signal::Kill);
    let again = start(&home, "b", &format!("--syncmode snap --p2p.static {}", address(&miner)));
    let hash = again.send(transfer());
    miner.call("miner_start", json!([1]));
    let block = number(&again.wait_receipt(&hash, SOON)["blockNumber"]);
    assert_eq!(hash_of(&again, block), hash_of(&miner, block));
    again.end();
    miner.end();
    home.verify("b");
}

#[test]
fn nodes_of_another_chain_are_told_which_rule_differs() {
    let home = home(json!({"empty_blocks": "never"}));
    home.write(
        "other.json",
        super::support::chain_file(json!({"empty_blocks": "never", "block_reward": "7"})).to_string(),
    );
    let mut one = start(&home, "a", "");
    let other = start_on(&home, "b", "other.json", &format!("--p2p.static {}", address(&one)));
    for node in [&one, &other] {
        let refused = wait_refusal(node, "config.pow.block_reward: ours");
        assert!(refused["name"].as_str().unwrap().starts_with("Drawbridge/"), "{refused}");
        assert_eq!(peers(node), 0);
    }
    let line = one.wait_line("parted from a peer");
    assert!(line.contains("block_reward") && line.contains("theirs 7"), "{line}");
    // The caller calls again and is not let in; what it had been told stays.
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        let refused = other.call("admin_peers", json!([]))[0]["refused"].clone();
        assert!(refused.as_str().is_some_and(|reason| reason.contains("config.pow.block_reward: ours")), "{refused}");
    }
    other.end();
    one.end();
}

#[test]
fn a_node_without_the_swarm_key_cannot_talk() {
    let home = home(json!({"empty_blocks": "never"}));
    home.write("swarm.key", format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", "11".repeat(32)));
    home.write("other.key", format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", "22".repeat(32)));
    let one = start(&home, "a", "--p2p.swarmkey swarm.key");
    let address = address(&one);
    let member = start(&home, "b", &format!("--p2p.swarmkey swarm.key --p2p.static {address}"));
    wait_peers(&member, 1);
    for (name, key) in [("c", "--p2p.swarmkey other.key"), ("d", "")] {
        let stranger = start(&home, name, &format!("{key} --p2p.static {address}"));
        wait_refusal(&stranger, "swarm key");
        assert_eq!(peers(&stranger), 0);
        stranger.end();
    }
    assert_eq!(peers(&one), 1);
    member.end();
    one.end();
    let refused = home.run("--datadir e --genesis chain.json --port 0 --p2p.quic --p2p.swarmkey swarm.key");
    refused.failed(65, &["QUIC keeps no swarm key", "leave out one"]);
}

#[test]
fn quic_carries_the_same() {
    let home = home(json!({"empty_blocks": "never"}));
    let miner = start(&home, "a", "--mine --p2p.quic");
    let quic = miner.wait("a QUIC address", SOON, |client| {
        let info = client.call("admin_nodeInfo", json!([]));
        let addresses = info["multiaddrs"].as_array().unwrap().clone();
        addresses.iter().filter_map(Value::as_str).find(|address| address.contains("/quic-v1/")).map(str::to_owned)
    });
    let other = start(&home, "b", &format!("--p2p.quic --p2p.static {quic}"));
    other.wait_receipt(&miner.send(transfer()), SOON);
    let peer = &other.call("admin_peers", json!([]))[0];
    assert!(peer["enode"].as_str().unwrap().contains("/quic-v1"), "{peer}");
    other.end();
    miner.end();
}

#[test]
fn the_list_of_nodes_decides_who_comes_and_follows_perm_methods_and_its_file() {
    let home = home(json!({"empty_blocks": "never"}));
    home.write("permissions.toml", "nodes-allowlist = []\n");
    let mut one = start(&home, "a", "--p2p.permissions permissions.toml");
    let other = start(&home, "b", &format!("--p2p.static {}", address(&one)));
    wait_refusal(&one, "is not on the allow-list");
    wait_refusal(&other, "it may not list this node");
    one.wait_line("refused a connection");

    let id = peer_id(&other);
    assert_eq!(one.call("perm_getNodesAllowlist", json!([])), json!([]));
    assert_eq!(one.call("perm_addNodesToAllowlist", json!([[id]])), json!("Success"));
    wait_peers(&one, 1);
    let again = one.try_call("perm_addNodesToAllowlist", json!([[id]])).unwrap_err();
    assert_eq!(again["message"], json!("Cannot add an existing node to allowlist"));
    assert!(String::from_utf8(home.read("permissions.toml")).unwrap().contains(&id));
    // Whoever leaves the list is cut off at once, also when the file is read anew.
    home.write("permissions.toml", "nodes-allowlist = []\n");
    assert_eq!(one.call("perm_reloadPermissionsFromFile", json!([])), json!("Success"));
    wait_peers(&one, 0);
    let unlisted = other.try_call("perm_getNodesAllowlist", json!([])).unwrap_err();
    assert_eq!(unlisted["message"], json!("Node allowlist has not been enabled"));
    other.end();
    one.end();
}

#[test]
fn the_list_of_accounts_decides_whose_transactions_are_taken() {
    let home = home(json!({"empty_blocks": "never"}));
    home.write("permissions.toml", "accounts-allowlist = []\n");
    let node = start(&home, "a", "--p2p.permissions permissions.toml");
    let refused = node.try_call("eth_sendTransaction", json!([transfer()])).unwrap_err();
    assert_eq!(refused["code"], json!(-32007));
    assert_eq!(refused["message"], json!("Sender account not authorized to send transactions"));
    assert_eq!(node.call("perm_addAccountsToAllowlist", json!([[ADDRESS]])), json!("Success"));
    assert_eq!(node.call("perm_getAccountsAllowlist", json!([])), json!([ADDRESS]));
    for method in ["perm_addAccountsToAllowlist", "perm_removeAccountsFromAllowlist"] {
        let refused = node.try_call(method, json!([["0x1"]])).unwrap_err();
        assert_eq!(
            (&refused["code"], &refused["message"]),
            (&json!(-32000), &json!("Request contains an invalid account"))
        );
    }
    node.send(transfer());
    node.end();
}

#[test]
fn peers_are_added_and_removed_by_admin_methods() {
    let home = home(json!({"empty_blocks": "never"}));
    let (one, other) = (start(&home, "a", ""), start(&home, "b", ""));
    let bad = one.try_call("admin_addPeer", json!(["enode://ab@10.0.0.7:30303"])).unwrap_err();
    assert!(bad["message"].as_str().unwrap().contains("write /ip4/10.0.0.7/tcp/30303/p2p/PEERID"), "{bad}");
    assert_eq!(one.call("admin_addPeer", json!([address(&other)])), json!(true));
    wait_peers(&one, 1);
    assert_eq!(other.call("admin_addTrustedPeer", json!([peer_id(&one)])), json!(true));
    assert_eq!(one.call("admin_removePeer", json!([address(&other)])), json!(true));
    wait_peers(&one, 0);
    assert_eq!(other.call("admin_removeTrustedPeer", json!([peer_id(&one)])), json!(true));
    assert_eq!(one.call("admin_datadir", json!([])), json!(home.join("a")));
    one.end();
    other.end();
}

/// A boot node, killed when the test is done with it.
struct Boot(Child);

impl Drop for Boot {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nodes_find_each_other_through_a_boot_node() {
    let home = home(json!({"empty_blocks": "never"}));
    let id = home.run("bootnode --genkey boot.key").succeeded().trim().to_owned();
    assert_eq!(home.run("bootnode --nodekey boot.key -writeaddress").succeeded().trim(), id);
    home.run("bootnode").failed(77, &["--nodekey", "--genkey"]);
    home.run("bootnode --nodekey none.key").failed(77, &["none.key", "--genkey"]);
    let mut program = home.program();
    program.args(["bootnode", "-nodekey", "boot.key", "-addr", "127.0.0.1:0", "-verbosity", "3"]);
    let mut boot = Boot(program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(boot.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let line = line.trim();
    assert!(line.starts_with("/ip4/127.0.0.1/tcp/") && line.ends_with(&id), "{line}");

    let start = |name: &str| {
        let network = format!("--port 0 --p2p.addr 127.0.0.1 --bootnodes {line}");
        Node::start(&home, &format!("--datadir {name} --genesis chain.json {APIS} {network}"))
    };
    let nodes = [start("a"), start("b"), start("c")];
    for node in &nodes {
        wait_peers(node, 2);
    }
    let refused = home.run(&format!("--datadir d --port 0 --bootnodes enode://{}@10.1.2.3:30301", "ab".repeat(64)));
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("write /ip4/10.1.2.3/tcp/30301/p2p/PEERID"), "{}", refused.err);
    for node in nodes {
        node.end();
    }
}

#[test]
fn two_nodes_cannot_have_one_port() {
    let home = home(json!({"empty_blocks": "never"}));
    let one = start(&home, "a", "");
    let address = address(&one);
    let port = address.split('/').nth(4).unwrap();
    let refused = home.run(&format!("--datadir b --genesis chain.json --p2p.addr 127.0.0.1 --port {port}"));
    refused.failed(69, &[port, "--port"]);
    one.end();
}

#[test]
fn chains_are_written_and_read_over_json_rpc() {
    let home = home(json!({"empty_blocks": "never"}));
    let one = start(&home, "a", "--mine");
    for _ in 0..3 {
        one.wait_receipt(&one.send(transfer()), SOON);
    }
    let file = home.join("chain.rlp").display().to_string();
    assert_eq!(one.call("admin_exportChain", json!([file])), json!(true));
    let again = one.try_call("admin_exportChain", json!([file])).unwrap_err();
    assert!(again["message"].as_str().unwrap().contains("overwrite"), "{again}");
    let other = start(&home, "b", "");
    assert_eq!(other.call("admin_importChain", json!([file])), json!(true));
    assert_eq!((other.block_number(), hash_of(&other, 3)), (3, hash_of(&one, 3)));
    let packed = home.join("packed.rlp.gz").display().to_string();
    assert_eq!(one.call("admin_exportChain", json!([packed])), json!(true));
    assert!(home.read("packed.rlp.gz").starts_with(&[0x1f, 0x8b]));
    assert_eq!(other.call("admin_importChain", json!([packed])), json!(true));
    let part = home.join("part.rlp").display().to_string();
    assert_eq!(other.call("admin_exportChain", json!([part, 2, 3])), json!(true));
    assert!(home.read("part.rlp").len() < home.read("chain.rlp").len());
    assert!(other.try_call("admin_importChain", json!(["/nowhere"])).is_err());
    one.end();
    other.end();
}

#[test]
fn limits_are_told_on_both_sides_and_no_swarm_key_is_blamed() {
    let home = home(json!({"empty_blocks": "never"}));
    let full = start(&home, "a", "--maxpeers 1");
    let first = start(&home, "b", &format!("--p2p.static {}", address(&full)));
    wait_peers(&full, 1);
    for (name, flag) in [("c", "--p2p.static"), ("d", "--bootnodes")] {
        let mut late = start(&home, name, &format!("{flag} {}", address(&full)));
        wait_refusal(&full, "(--maxpeers)");
        wait_refusal(&late, "have no room");
        let doctor = home.run(&format!("doctor --datadir {name} --genesis chain.json"));
        assert!(doctor.out.contains("raise --maxpeers there"), "{}", doctor.out);
        assert!(late.log().contains("no connection to a peer"), "{}", late.log());
        late.end();
    }
    first.end();
    full.end();

    let narrow = start(&home, "a", "--p2p.maxperip 1");
    let first = start(&home, "b", &format!("--p2p.static {}", address(&narrow)));
    wait_peers(&narrow, 1);
    let late = start(&home, "c", &format!("--p2p.static {}", address(&narrow)));
    wait_refusal(&narrow, "(--p2p.maxperip)");
    let refused = wait_refusal(&late, "may have no room");
    assert!(!refused["refused"].as_str().unwrap().contains("keys differ"), "{refused}");
    late.end();
    first.end();
    narrow.end();

    // Who has no memory for others neither calls nor lets anybody in, and says so.
    let other = start(&home, "b", "");
    let mut poor = start(&home, "a", &format!("--p2p.maxmemory 1 --p2p.static {}", address(&other)));
    wait_refusal(&poor, "(--p2p.maxmemory)");
    assert_eq!(other.call("admin_addPeer", json!([address(&poor)])), json!(true));
    wait_refusal(&other, "may have no room");
    for line in ["no connection to a peer", "refused a connection"] {
        assert!(poor.log().contains(line), "{}", poor.log());
    }
    poor.end();
    other.end();
}

#[test]
fn whoever_hangs_up_or_begins_anew_is_not_suspected_of_another_key() {
    let home = home(json!({"empty_blocks": "never"}));
    home.write("swarm.key", format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", "11".repeat(32)));
    for (name, key) in [("a", "--p2p.swarmkey swarm.key"), ("b", "")] {
        let mut one = start(&home, name, key);
        let place: Vec<String> = address(&one).split('/').map(str::to_owned).collect();
        // As whoever looks whether the port is open does, and a node that ends.
        for bytes in [&b""[..], b"/multi"] {
            let mut visitor = std::net::TcpStream::connect(format!("{}:{}", place[2], place[4])).unwrap();
            std::io::Write::write_all(&mut visitor, bytes).unwrap();
        }
        let member = start(&home, "c", &format!("{key} --p2p.static {}", address(&one)));
        wait_peers(&one, 1);
        member.end();
        wait_peers(&one, 0);
        let peers = one.call("admin_peers", json!([]));
        assert!(!peers.to_string().contains("swarm key") && !one.log().contains("swarm keys differ"), "{}", one.log());
        one.end();
    }
}
