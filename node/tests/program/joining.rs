//! Data directories that a ticket makes, and those that it must not touch.

use serde_json::json;

use super::support::{Home, Node, Signal, number};

/// Makes a network of one miner in `folder`, with a chain id of its own, and returns a ticket of it.
fn ticket(home: &Home, folder: &str, chain_id: u64, more: &str) -> String {
    home.write("ticket.txt", "open sesame\n");
    if !home.join(folder).exists() {
        home.run(&format!("network new --nodes 1 --rpc-nodes 0 --lightkdf --chain-id {chain_id} --out {folder}"))
            .succeeded();
    }
    let line = home.run(&format!("network ticket {folder} --password ticket.txt --lightkdf {more}")).succeeded();
    line.trim().to_owned()
}

fn bootnode(port: u16) -> String {
    format!("/ip4/127.0.0.1/tcp/{port}/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X")
}

fn join(home: &Home, ticket: &str, datadir: &str, more: &str) -> super::support::Ran {
    home.run(&format!("join {ticket} --datadir {datadir} --prepare --password ticket.txt {more}"))
}

fn text(home: &Home, file: &str) -> String {
    String::from_utf8(home.read(file)).unwrap()
}

#[test]
fn the_printed_next_start_runs_the_chain_of_the_ticket_with_what_was_given() {
    let home = Home::new();
    let line = ticket(&home, "net", 777, &format!("--bootnodes {}", bootnode(1)));
    let given = "--p2p.addr 127.0.0.1 --port 0 --nodiscover --http --http.port 0 --http.api eth,net --maxpeers 7";
    let told = join(&home, &line, "new", given);
    assert_eq!(told.field("chain id"), "777");
    assert_eq!(told.field("next time"), "drawbridge --config new/node.toml");
    let printed = home.run("config print --config new/node.toml").succeeded();
    for expected in ["maxpeers = 7", "api = [\"eth\", \"net\"]", "nodiscover = true"] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    assert!(!text(&home, "new/node.toml").contains("ticket.txt"), "the password was the ticket's alone");
    let doctor = home.run("doctor --config new/node.toml");
    assert!(doctor.out.contains("chain id 777"), "{}", doctor.out);

    // From another folder than the one where the ticket was taken: the paths are whole.
    let mut program = home.program();
    program.current_dir("/").args(["--color", "never", "--config"]).arg(home.join("new/node.toml"));
    let node = Node::spawn(program);
    assert_eq!(number(&node.call("eth_chainId", json!([]))), 777);
    node.end();

    // The chain file in a data directory counts as well where no configuration names it.
    join(&home, &line, "bare", "").succeeded();
    let node = Node::start(&home, "--datadir bare --p2p=false --http");
    assert_eq!(number(&node.call("eth_chainId", json!([]))), 777);
    node.end();
}

#[test]
fn joining_again_brings_new_addresses_and_keeps_the_rest() {
    let home = Home::new();
    let first = ticket(&home, "net", 777, &format!("--bootnodes {}", bootnode(1)));
    let again = ticket(&home, "net", 777, &format!("--bootnodes {}", bootnode(2)));
    join(&home, &first, "new", "--maxpeers 7 --metrics").succeeded();
    let (key, chain) = (home.read("new/nodekey"), home.read("new/genesis.json"));
    // The swarm key is there already, so no password is needed.
    home.run(&format!("join {again} --datadir new --prepare --identity second")).succeeded();
    let config = text(&home, "new/node.toml");
    for expected in ["maxpeers = 7", "identity = \"second\"", "/tcp/2/"] {
        assert!(config.contains(expected), "{expected}: {config}");
    }
    assert!(!config.contains("/tcp/1/") && text(&home, "new/node.toml.old").contains("/tcp/1/"), "{config}");
    assert_eq!((home.read("new/nodekey"), home.read("new/genesis.json")), (key, chain));
    join(&home, &again, "new", "").succeeded();
    assert_eq!(text(&home, "new/node.toml"), config);
}

#[test]
fn a_data_directory_of_another_network_is_refused_with_the_file_that_says_so() {
    let home = Home::new();
    let nodes = format!("--bootnodes {}", bootnode(1));
    let (ours, other) = (ticket(&home, "net", 777, &nodes), ticket(&home, "other", 778, &nodes));
    let refused = |datadir: &str, code: i32, expected: &[&str]| {
        let before = std::fs::read_dir(home.join(datadir)).unwrap().count();
        join(&home, &other, datadir, "").failed(code, expected);
        let after = std::fs::read_dir(home.join(datadir)).unwrap();
        let added = after.filter(|entry| entry.as_ref().unwrap().file_name() != "LOCK").count();
        assert!(added <= before, "nothing is written into {datadir}");
    };
    join(&home, &ours, "whole", "").succeeded();
    refused("whole", 66, &["whole/genesis.json", "have 0x", "want 0x", "another --datadir"]);

    std::fs::create_dir(home.join("key")).unwrap();
    home.write("key/swarm.key", home.read("net/swarm.key"));
    refused("key", 77, &["key/swarm.key", "another --datadir"]);

    std::fs::create_dir(home.join("config")).unwrap();
    home.write("config/node.toml", format!("genesis = \"{}\"\n", home.join("net/genesis.json").display()));
    refused("config", 66, &["config/node.toml", "another --datadir"]);

    home.run("init net/genesis.json --datadir chain").succeeded();
    std::fs::remove_file(home.join("chain/genesis.json")).unwrap();
    refused("chain", 66, &["chain contains incompatible genesis", "removedb"]);

    // A node that has its own settings is not made another one by a ticket, not even by that of its network.
    join(&home, &ours, "net/node1", "").failed(65, &["net/node1/node.toml", "drawbridge --config net/node1/node.toml"]);
    let node = Node::start(&home, "--datadir whole --p2p=false --http");
    join(&home, &ours, "whole", "").failed(73, &["whole", "stop process"]);
    assert_eq!(node.stop(Signal::Term).code, Some(0));
}

#[test]
fn a_chain_file_of_a_deleted_chain_gives_way_to_that_of_the_new_one() {
    let home = Home::new();
    for (name, chain_id) in [("one", 777), ("two", 778)] {
        ticket(&home, name, chain_id, &format!("--bootnodes {}", bootnode(1)));
    }
    home.run("init one/genesis.json --datadir node").succeeded();
    home.run("removedb --yes --datadir node").succeeded();
    home.run("init two/genesis.json --datadir node").succeeded();
    assert!(home.run("dumpgenesis --datadir node").succeeded().contains("778"));
    assert!(text(&home, "node/genesis.json.old").contains("777"));
}

#[test]
fn a_ticket_warns_of_addresses_that_each_machine_has_and_names_what_a_joined_node_knows() {
    let home = Home::new();
    home.write("ticket.txt", "open sesame\n");
    home.run("network new --nodes 2 --rpc-nodes 0 --lightkdf --out net").succeeded();
    let ran = home.run("network ticket net --password ticket.txt --lightkdf");
    assert!(
        ran.err.contains("warning: ") && ran.err.contains("127.0.0.1") && ran.err.contains("--hosts"),
        "{}",
        ran.err
    );
    let line = ran.succeeded();
    assert_eq!(line.lines().count(), 1, "the line alone is what goes on: {line}");
    let there = "/ip4/10.0.0.7/tcp/30303/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";
    let ran = home.run(&format!("network ticket net --password ticket.txt --lightkdf --bootnodes {there}"));
    assert_eq!(ran.err, "");
    // A node that has joined knows whom to name.
    join(&home, ran.out.trim(), "new", "").succeeded();
    let again = home.run("network ticket new --password ticket.txt --lightkdf").succeeded();
    join(&home, again.trim(), "second", "").succeeded();
    assert!(text(&home, "second/node.toml").contains(there));
}
