//! When blocks are mined, by whom, and what is in them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{ADDRESS, Home, Node, RECEIVER, number};

const SOON: Duration = Duration::from_secs(10);
/// Longer than the miner sleeps before it looks at the clock again.
const QUIET: Duration = Duration::from_millis(1300);

fn transfer() -> Value {
    json!({"from": ADDRESS, "to": RECEIVER, "value": "0x1"})
}

#[test]
fn a_dev_chain_mines_each_transaction_at_once_and_nothing_else() {
    let home = Home::new();
    let node = Node::dev(&home, "");
    let mut latencies = Vec::new();
    for expected in 1..=5 {
        let begun = Instant::now();
        let hash = node.send(transfer());
        let receipt = node.wait_receipt(&hash, SOON);
        latencies.push(begun.elapsed());
        assert_eq!(number(&receipt["blockNumber"]), expected);
    }
    println!("dev chain: served after {:?}, submission to receipt {latencies:?}", node.started_in);
    assert!(latencies.iter().all(|latency| *latency < Duration::from_secs(1)), "{latencies:?}");
    std::thread::sleep(QUIET);
    assert_eq!(node.block_number(), 5);
    for block in 1..=5 {
        assert_eq!(node.block(block)["transactions"].as_array().unwrap().len(), 1);
    }
    node.end();
}

#[test]
fn a_period_gives_empty_blocks_and_lets_transactions_wait() {
    let home = Home::new();
    let node = Node::dev(&home, "--dev.period 1");
    let begun = Instant::now();
    let first = node.block_number();
    let head = node.wait_head(first + 2, SOON);
    assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(node.block(head)["transactions"], json!([]));
    let receipt = node.wait_receipt(&node.send(transfer()), SOON);
    assert!(number(&receipt["blockNumber"]) > head);
    let times: Vec<u64> = (1..=head).map(|block| number(&node.block(block)["timestamp"])).collect();
    assert!(times.windows(2).all(|pair| pair[1] > pair[0]), "{times:?}");
    node.end();
}

#[test]
fn a_heartbeat_spaces_empty_blocks_and_no_others() {
    let home = Home::with_chain(json!({"empty_blocks": {"heartbeat": 2}}));
    let node = Node::chain(&home, "--mine");
    node.wait_head(2, SOON);
    let begun = Instant::now();
    let receipt = node.wait_receipt(&node.send(transfer()), SOON);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let with_transaction = number(&receipt["blockNumber"]);
    let head = node.wait_head(with_transaction + 1, SOON);
    let time = |block| number(&node.block(block)["timestamp"]);
    for block in (2..=head).filter(|block| *block != with_transaction) {
        assert!(time(block) >= time(block - 1) + 2, "block {block}");
    }
    node.end();
}

#[test]
fn a_chain_without_empty_blocks_waits_for_transactions() {
    let home = Home::with_chain(json!({"empty_blocks": "never"}));
    let node = Node::chain(&home, "--mine");
    std::thread::sleep(QUIET);
    assert_eq!(node.block_number(), 0);
    let receipt = node.wait_receipt(&node.send(transfer()), Duration::from_secs(1));
    assert_eq!(number(&receipt["blockNumber"]), 1);
    std::thread::sleep(QUIET);
    assert_eq!(node.block_number(), 1);
    node.end();
}

#[test]
fn a_fixed_difficulty_of_one_mines_without_pause_and_times_never_fall() {
    let home = Home::with_chain(json!({"empty_blocks": "always", "block_reward": "5"}));
    let node = Node::chain(&home, "--mine");
    let begun = Instant::now();
    let first = node.block_number();
    let head = node.wait_head(first + 30, SOON);
    println!("difficulty 1: {} blocks in {:?}", head - first, begun.elapsed());
    let blocks: Vec<Value> = (1..=head.min(20)).map(|block| node.block(block)).collect();
    assert!(blocks.windows(2).all(|pair| number(&pair[1]["timestamp"]) >= number(&pair[0]["timestamp"])));
    assert!(blocks.iter().all(|block| block["difficulty"] == "0x1" && block["miner"] == ADDRESS));
    // Each block pays its miner, who has no other income and pays for nothing.
    let balance = |block: u64| {
        let answer = node.call("eth_getBalance", json!([ADDRESS, format!("{block:#x}")]));
        u128::from_str_radix(answer.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
    };
    assert_eq!(balance(20) - balance(10), 50);
    node.end();
}

#[test]
fn authorized_miners_alone_mine_and_their_witnesses_travel_in_files() {
    let home = Home::with_chain(json!({"empty_blocks": "never", "authorized_miners": [ADDRESS]}));
    let mine = |flags: &str| home.run(&format!("--datadir node --mine {flags}"));
    mine(&format!("--miner.etherbase {RECEIVER}")).failed(77, &["authorized miners", "--miner.etherbase"]);
    mine("").failed(77, &["unlock"]);

    let node = Node::chain(&home, "--mine");
    let refused = node.try_call("miner_setEtherbase", json!([RECEIVER])).unwrap_err();
    assert!(refused["message"].as_str().unwrap().contains("authorized"), "{refused}");
    for _ in 0..3 {
        node.wait_receipt(&node.send(transfer()), SOON);
    }
    node.end();
    home.run("export --datadir node chain.rlp").succeeded();
    home.run("init chain.json --datadir copy").succeeded();
    home.run("import --datadir copy chain.rlp").succeeded();
    assert_eq!(home.head("copy"), home.head("node"));
    assert_eq!(home.head("copy").1, 3);
    home.verify("copy");

    // The file of the same blocks without the last witness ends 67 bytes earlier: a string of 65 bytes and its head.
    let mut bytes = home.read("chain.rlp");
    bytes.truncate(bytes.len() - 67);
    home.write("unsigned.rlp", bytes);
    home.run("init chain.json --datadir other").succeeded();
    home.run("import --datadir other unsigned.rlp").failed(65, &["block 3", "witness"]);
    assert_eq!(home.head("other").1, 2);
}

#[test]
fn the_processor_share_is_kept() {
    let home = Home::with_chain(json!({"empty_blocks": "always", "difficulty": {"fixed": 1_000_000_000_000u64}}));
    let node = Node::chain(&home, "--mine --miner.cpu 50 --miner.threads 1 --miner.recommit 500ms");
    let used = || {
        // Fields 14 and 15 of proc_pid_stat(5): user and system time in hundredths of a second.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    node.wait("hashes", SOON, |node| Some(()).filter(|()| number(&node.call("eth_hashrate", json!([]))) > 0));
    let (begun, before) = (Instant::now(), used());
    std::thread::sleep(Duration::from_secs(2));
    let percent = u128::from(used() - before) * 1000 / begun.elapsed().as_millis();
    println!("--miner.cpu 50: {percent} % of a core, {} hashes/s", number(&node.call("eth_hashrate", json!([]))));
    // Less where others use the machine.
    assert!((5..=65).contains(&percent), "{percent}");
    assert_eq!(node.block_number(), 0);
    // A search that will not end soon does not delay the stop.
    node.end();
}

/// Mines three transactions of three accounts, sent in this order with tips of 1, 3 and 2 gwei; returns their order in the block.
fn mined_order(order: &str) -> Vec<usize> {
    let home = Home::new();
    let node = Node::dev(&home, &format!("--miner.order {order}"));
    node.call("miner_stop", json!([]));
    let accounts = node.call("eth_accounts", json!([]));
    let sent: Vec<String> = [1u64, 3, 2]
        .iter()
        .enumerate()
        .map(|(index, tip)| {
            let tip_wei = format!("{:#x}", tip * 1_000_000_000);
            node.send(json!({"from": accounts[index], "to": RECEIVER, "maxPriorityFeePerGas": tip_wei,
                "maxFeePerGas": "0x174876e800"}))
        })
        .collect();
    std::thread::sleep(QUIET);
    assert_eq!(node.block_number(), 0, "a stopped miner mines nothing");
    node.call("miner_start", json!([]));
    node.wait_receipt(&sent[2], SOON);
    let block = node.block(1);
    let mined: Vec<&str> =
        block["transactions"].as_array().unwrap().iter().map(|hash| hash.as_str().unwrap()).collect();
    node.end();
    mined.iter().map(|hash| sent.iter().position(|sent| sent == hash).unwrap()).collect()
}

#[test]
fn transactions_come_in_the_order_of_arrival() {
    assert_eq!(mined_order("arrival"), [0, 1, 2]);
}

#[test]
fn transactions_come_in_the_order_of_price_where_that_is_chosen() {
    assert_eq!(mined_order("price"), [1, 2, 0]);
}

#[test]
fn the_etherbase_can_be_changed_while_the_node_runs() {
    let home = Home::new();
    let node = Node::dev(&home, "--miner.extradata door");
    node.wait_receipt(&node.send(transfer()), SOON);
    assert_ne!(node.block(1)["miner"], RECEIVER);
    assert_eq!(node.block(1)["extraData"], "0x646f6f72");
    assert_eq!(node.call("miner_setEtherbase", json!([RECEIVER])), json!(true));
    assert_eq!(node.call("eth_coinbase", json!([])), json!(RECEIVER));
    node.wait_receipt(&node.send(transfer()), SOON);
    assert_eq!(node.block(2)["miner"], RECEIVER);
    node.end();
}

#[test]
fn mining_without_an_account_is_refused() {
    let home = Home::new();
    home.run("--datadir node --mine").failed(77, &["etherbase must be explicitly specified", "account new"]);
}

/// Starts `drawbridge mine` for a node, with what it writes about itself.
fn external_miner(home: &Home, node: &Node) -> Node {
    let address = node.address;
    let mut command = home.program();
    command.args(format!("mine --rpc http://{address} --threads 1 --color never").split_whitespace());
    Node::launch(command)
}

#[test]
fn a_miner_elsewhere_seals_what_the_node_builds_and_signs() {
    let home = Home::with_chain(json!({"empty_blocks": "never", "authorized_miners": [ADDRESS]}));
    let node = Node::chain(&home, &format!("--miner.etherbase {ADDRESS}"));
    assert_eq!(node.call("eth_mining", json!([])), json!(false));
    let nothing = node.try_call("eth_getWork", json!([])).unwrap_err();
    assert_eq!(nothing["message"], "no mining work available yet");
    let mut miner = external_miner(&home, &node);
    miner.wait_line("no mining work available yet");
    for _ in 0..3 {
        node.wait_receipt(&node.send(transfer()), SOON);
    }
    assert_eq!(node.block_number(), 3);
    assert!((1..=3).all(|block| node.block(block)["miner"].as_str().unwrap().eq_ignore_ascii_case(ADDRESS)));

    // Work that was sealed already is stale.
    let waiting = node.send(transfer());
    node.wait_receipt(&waiting, SOON);
    let stale = json!(["0x0000000000000000", format!("0x{}", "1".repeat(64)), format!("0x{}", "0".repeat(64))]);
    assert_eq!(node.call("eth_submitWork", stale), json!(false));

    // A node that comes back finds its miner again, and the witnesses hold in a copy of the chain.
    let port = node.address.port();
    node.end();
    miner.wait_line("no answer from the node");
    let node = Node::chain(&home, &format!("--miner.etherbase {ADDRESS} --http.port {port}"));
    node.wait_receipt(&node.send(transfer()), Duration::from_secs(30));
    let stopped = miner.end();
    assert!(stopped.log.contains("sealed a block"), "{}", stopped.log);
    node.end();
    home.run("export --datadir node chain.rlp").succeeded();
    home.run("init chain.json --datadir copy").succeeded();
    home.run("import --datadir copy chain.rlp").succeeded();
    assert_eq!(home.head("copy"), home.head("node"));
}

#[test]
fn a_miner_elsewhere_reports_its_speed() {
    let home = Home::with_chain(json!({"empty_blocks": "always", "difficulty": {"fixed": 1_000_000_000_000_000u64}}));
    let node = Node::chain(&home, &format!("--miner.etherbase {ADDRESS}"));
    let miner = external_miner(&home, &node);
    node.wait("a reported hash rate", Duration::from_secs(60), |node| {
        (number(&node.call("eth_hashrate", json!([]))) > 0).then_some(())
    });
    miner.end();
    node.end();
    let home = Home::new();
    home.run("mine --rpc ftp://x").failed(65, &["http://", "--rpc"]);
}
