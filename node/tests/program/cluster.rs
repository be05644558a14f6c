//! A cluster in one command, and a ticket into it.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{ADDRESS, Home, Node, Ran, Signal, number};

const SOON: Duration = Duration::from_secs(60);

/// Returns the first of `count` ports that are free now.
fn free_ports(count: u16) -> u16 {
    let start = 20_000 + u16::try_from(std::process::id() % 20_000).unwrap();
    (0..1000)
        .map(|step| start + step * count)
        .find(|first| (*first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()))
        .expect("free ports")
}

/// Makes a network of two miners and one node for JSON-RPC in the folder `net`.
fn network(home: &Home) -> String {
    let first = free_ports(12);
    let made = home.run(&format!(
        "network new --nodes 2 --out net --lightkdf --block-ms 500 --miner-cpu 20 --chain-id 777 --fund {ADDRESS} \
         --port {first} --rpc-port {} --metrics-port {}",
        first + 4,
        first + 8
    ));
    made.succeeded()
}

fn rows(table: &str, name: &str) -> Vec<Vec<String>> {
    let lines = table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|cells| cells.first().is_some_and(|cell| cell == name) && cells.len() > 2).collect()
}

#[test]
fn one_command_makes_a_network_and_one_runs_it() {
    let home = Home::new();
    let told = network(&home);
    assert!(told.contains("chain id      777") && told.contains("node2"), "{told}");
    let genesis: Value = serde_json::from_slice(&home.read("net/genesis.json")).unwrap();
    assert_eq!(genesis["config"]["pow"]["authorized_miners"].as_array().unwrap().len(), 2);
    home.run("genesis check net/genesis.json --strict").succeeded();
    for name in ["node1", "node2", "rpc1"] {
        home.run(&format!("config print --config net/{name}/node.toml")).succeeded();
    }
    for text in ["compose.yaml", "drawbridge@.service", "start.sh", "README.txt", "swarm.key", "node1/password.txt"] {
        assert!(!home.read(&format!("net/{text}")).is_empty(), "{text}");
    }
    home.run("network new --out net").failed(2, &["not empty"]);
    // A block takes as long as it should from the first one on, wherever that is measured or said.
    let difficulty = |folder: &str| {
        let file: Value = serde_json::from_slice(&home.read(&format!("{folder}/genesis.json"))).unwrap();
        file["difficulty"].as_u64().unwrap()
    };
    home.run("network new --out slow --nodes 2 --lightkdf --block-ms 60000").succeeded();
    assert!(difficulty("slow") > 20 * difficulty("net"), "{} and {}", difficulty("slow"), difficulty("net"));
    home.run("network new --out said --nodes 1 --lightkdf --difficulty 5000000").succeeded();
    assert_eq!(difficulty("said"), 5_000_000);
    // What cannot be is known before anything is written.
    for (flags, expected) in [
        (["--hosts", "foo bar"], "`foo bar` is neither"),
        (["--rpc-port", "30304"], "--port 30303 and --rpc-port 30304"),
        (["--image", "a: b"], "--image"),
        (["--heartbeat", "99999999"], "99999999 is not in"),
        (["--chain-id", "0"], "0 is not in"),
    ] {
        let ran = Ran::of(
            &home.program().args(["network", "new", "--out", "bad", "--lightkdf"]).args(flags).output().unwrap(),
        );
        assert!(ran.code == 2 && ran.err.contains(expected), "{flags:?}: {}{}", ran.out, ran.err);
        assert!(!home.join("bad").exists(), "{flags:?}");
    }
    let low = home.run("network new --out low --difficulty 5");
    assert!(low.code == 2 && low.err.contains("5 is not in 131072.."), "{} {}", low.code, low.err);

    let ran = home.run("network run net --seconds 20");
    let out = ran.succeeded();
    assert!(out.ends_with("all nodes have stopped cleanly\n"), "{out}");
    for name in ["node1", "node2", "rpc1"] {
        let last = rows(&out, name).pop().unwrap_or_else(|| panic!("no {name} in {out}"));
        assert!(last[1].parse::<u64>().unwrap() >= 2, "{name} has blocks: {out}");
        assert_eq!(last[3], "2", "{name} has peers: {out}");
    }
    for name in ["node1", "node2", "rpc1"] {
        home.verify(&format!("net/{name}"));
    }
}

#[test]
fn a_ticket_is_all_that_a_new_machine_needs() {
    let home = Home::new();
    network(&home);
    home.write("ticket.txt", "open sesame\n");
    home.write("wrong.txt", "abracadabra\n");
    let ticket = home.run("network ticket net --password ticket.txt --lightkdf").succeeded();
    let ticket = ticket.trim();
    let start = |name: &str, more: &str| {
        let mut program = home.program();
        program.current_dir(home.join("net")).args(["--config", &format!("{name}/node.toml"), "--color", "never"]);
        program.args("--http --http.port 0 --http.api eth,net,admin --allow-insecure-unlock --ws=false".split(' '));
        program.args(more.split_whitespace());
        Node::spawn(program)
    };
    let miners = [start("node1", ""), start("node2", "")];
    let join =
        |name: &str, password: &str, more: &str| format!("join {ticket} --datadir {name} --password {password} {more}");
    home.run(&join("new", "wrong.txt", "--prepare")).failed(77, &["could not decrypt"]);
    home.run(&format!("join {} --datadir new --prepare", &ticket[..200])).failed(65, &["not a whole one"]);
    assert!(!home.join("new/swarm.key").exists());

    let http = "--port 0 --p2p.addr 127.0.0.1 --nodiscover --http --http.api eth,net,admin";
    let joined = Node::start(&home, &join("new", "ticket.txt", http));
    let head = miners[0].wait_head(2, SOON);
    joined.wait_head(head, SOON);
    let hash = |node: &Node| node.block(head)["hash"].clone();
    assert_eq!(hash(&joined), hash(&miners[0]));
    assert_eq!(number(&joined.call("eth_chainId", json!([]))), 777);
    joined.end();
    // To join again changes nothing; what is of another network is named.
    home.run(&join("new", "ticket.txt", "--prepare")).succeeded();
    home.write("new/swarm.key", format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", "11".repeat(32)));
    let other = ["new/swarm.key is the key of another network", "--datadir"];
    home.run(&join("new", "ticket.txt", "--prepare")).failed(65, &other);
    home.write("new/swarm.key", home.read("net/swarm.key"));
    let chain_file = String::from_utf8(home.read("new/genesis.json")).unwrap();
    let mut chain: Value = serde_json::from_str(&chain_file).unwrap();
    chain["config"]["pow"]["block_reward"] = json!("7");
    home.write("new/genesis.json", chain.to_string());
    let other = ["new/genesis.json has other rules", "config.pow.block_reward", "--datadir"];
    home.run(&join("new", "ticket.txt", "--prepare")).failed(65, &other);
    chain["gasLimit"] = json!("0x1000000");
    home.write("new/genesis.json", chain.to_string());
    let other = ["new/genesis.json is the chain file of another network", "--datadir"];
    home.run(&join("new", "ticket.txt", "--prepare")).failed(65, &other);
    home.write("new/genesis.json", chain_file);
    // What it wrote is enough for the next time.
    let again = Node::start(
        &home,
        &format!("--config new/node.toml --port 0 --p2p.addr 127.0.0.1 {}", "--http --http.api eth,net"),
    );
    again.wait("a peer", SOON, |node| (number(&node.call("net_peerCount", json!([]))) > 0).then_some(()));
    again.end();
    for miner in miners {
        let stopped = miner.stop(Signal::Term);
        assert_eq!(stopped.code, Some(0), "{}", stopped.log);
    }
}

#[test]
fn a_node_that_cannot_start_says_why_through_whatever_started_it() {
    let home = Home::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    home.run(&format!("network new --nodes 1 --rpc-nodes 0 --lightkdf --out net --port {port}")).succeeded();
    let reason = format!("{port} is already in use");
    home.run("network run net --seconds 20").failed(65, &[&reason, "--port", "net/node1/node.log"]);

    let script = |names: &[&str], program: &str| {
        let mut script = std::process::Command::new(home.join("net/start.sh"));
        script.args(names).current_dir(home.path()).env_clear().env("HOME", home.path()).env("PATH", "/usr/bin:/bin");
        Ran::of(&script.env("DRAWBRIDGE", program).output().unwrap())
    };
    let program = env!("CARGO_BIN_EXE_drawbridge");
    let ran = script(&[], program);
    assert_eq!(ran.code, 69, "{}{}", ran.out, ran.err);
    for expected in [format!("node1: error: 0.0.0.0:{reason}"), "node1: remedy: ".to_owned()] {
        assert!(ran.err.contains(&expected), "no `{expected}` in {}", ran.err);
    }
    assert!(!home.join("net/node1/stderr").exists());
    script(&["node7"], program).failed(65, &["node7/node.toml", "node1"]);
    script(&[], "no-such-program").failed(127, &["no-such-program", "PATH", "DRAWBRIDGE="]);
}
