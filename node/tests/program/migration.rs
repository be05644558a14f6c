//! `docs/migrate-from-geth.md`, followed step by step: a chain that geth sealed is imported, and goes on under Drawbridge's seal.
//!
//! The chain and the key file are published ones, looked for in `$DRAWBRIDGE_VECTORS` and in `../shared/conformance` beside the repository, as archives or
//! unpacked folders. Without them the tests say so and pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Home, Node, RECEIVER, number};

/// The account of geth's keystore, and its password.
const ACCOUNT: &str = "0x7ef5a6135f1fd6a02593eedc869c6d41d934aef8";
const PASSWORD: &str = "foobar\n";
/// The account that the chain's genesis file funds.
const FUNDED: &str = "0x71562b71999873db5b286df957af199ec94617f7";
const PATIENCE: Duration = Duration::from_secs(60);

/// Copies a folder of an archive, which may be unpacked already, into the test's own.
fn take(home: &Home, archive: &str, folder: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    for place in std::env::var_os("DRAWBRIDGE_VECTORS").map(PathBuf::from).into_iter().chain([beside]) {
        let unpacked = place.join(archive).join(folder);
        if unpacked.is_dir() {
            return Some(unpacked);
        }
        let packed = place.join(format!("{archive}.tar.zst"));
        if packed.is_file() {
            let mut command = Command::new("tar");
            command.arg("--zstd").arg("-xf").arg(&packed).arg("-C").arg(home.path());
            let status = command.arg(format!("{archive}/{folder}")).status().unwrap();
            assert!(status.success(), "tar with zstd cannot unpack {}", packed.display());
            return Some(home.join(archive).join(folder));
        }
    }
    println!("SKIPPED: no {archive} in $DRAWBRIDGE_VECTORS or ../shared/conformance");
    None
}

/// A folder with what geth leaves: `blocks.rlp`, `old/keystore`, and the genesis file as `chain.json` with `pow` in its `config`. The second value is what the
/// chain must come to.
fn left_by_geth(pow: Value) -> Option<(Home, Value)> {
    let home = Home::new();
    let chain = take(&home, "chains", "hive-devp2p-half")?;
    let keys = take(&home, "unit-vectors", "keystore/geth-dir")?;
    fs::copy(chain.join("blocks.rlp"), home.join("blocks.rlp")).unwrap();
    fs::create_dir_all(home.join("old/keystore")).unwrap();
    for file in fs::read_dir(keys).unwrap() {
        let file = file.unwrap();
        fs::write(home.join("old/keystore").join(file.file_name()), fs::read(file.path()).unwrap()).unwrap();
    }
    let mut genesis: Value = serde_json::from_slice(&fs::read(chain.join("genesis.json")).unwrap()).unwrap();
    genesis["config"]["pow"] = pow;
    home.write("chain.json", genesis.to_string());
    home.write("pw.txt", PASSWORD);
    let expected = serde_json::from_slice(&fs::read(chain.join("expected.json")).unwrap()).unwrap();
    Some((home, expected))
}

#[test]
fn a_chain_of_geth_is_imported_and_goes_on() {
    let pow = json!({"fromBlock": 1000, "difficulty": {"target_ms": 2000, "min": 1000, "start": 200_000}});
    let Some((home, expected)) = left_by_geth(pow) else { return };
    let shown = home.run("genesis show chain.json").succeeded();
    assert!(shown.contains("Ethereum's own before block 1000, Drawbridge's from there on"), "{shown}");
    home.run("genesis check chain.json").succeeded();
    home.run("init --datadir node chain.json").succeeded();
    home.run("import --datadir node blocks.rlp").succeeded();
    let head = (expected["head_hash"].as_str().unwrap().to_owned(), expected["head_number"].as_u64().unwrap());
    assert_eq!(home.head("node"), head);
    let verified = home.run("db verify --datadir node").succeeded();
    assert!(verified.contains(expected["head_state_root"].as_str().unwrap()), "{verified}");
    home.verify("node");

    fs::create_dir_all(home.join("node/keystore")).unwrap();
    for file in fs::read_dir(home.join("old/keystore")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), home.join("node/keystore").join(file.file_name())).unwrap();
    }
    let listed = home.run("account list --datadir node").succeeded();
    assert!(listed.contains(&ACCOUNT[2..]) && listed.lines().count() == 1, "{listed}");

    let keys = format!("--unlock {ACCOUNT} --password pw.txt --allow-insecure-unlock");
    let node = Node::start(&home, &format!("--datadir node --http --mine {keys}"));
    node.wait_head(head.1 + 2, PATIENCE);
    goes_on(&node, &head);
    old_blocks_are_answered(&node);
    node.end();
    home.verify("node");
}

/// The first new block stands on geth's last one, under the newest fork, and the old account earns and spends.
fn goes_on(node: &Node, (hash, last): &(String, u64)) {
    let first = node.block(last + 1);
    assert_eq!(first["parentHash"], **hash);
    assert_eq!((&first["difficulty"], &first["baseFeePerGas"]), (&json!("0x30d40"), &json!("0x3b9aca00")));
    assert_eq!(first["miner"], ACCOUNT);
    assert!(first["requestsHash"].is_string(), "{first}");
    let sent = node.send(json!({"from": ACCOUNT, "to": RECEIVER, "value": "0x5"}));
    assert_eq!(node.wait_receipt(&sent, PATIENCE)["status"], "0x1");
    assert_eq!(node.call("eth_getBalance", json!([RECEIVER, "latest"])), "0x5");
}

/// History, receipts and logs of geth's blocks.
fn old_blocks_are_answered(node: &Node) {
    let balance = |block: &str| node.call("eth_getBalance", json!([FUNDED, block]));
    assert_eq!(balance("0x0"), "0xffffffffffffffffffffffffff");
    let first = node.block(1);
    let receipt = node.call("eth_getTransactionReceipt", json!([first["transactions"][0]]));
    assert_eq!((&receipt["blockHash"], number(&receipt["gasUsed"])), (&first["hash"], 21_000));
    let transaction = node.call("eth_getTransactionByHash", json!([first["transactions"][0]]));
    assert_eq!((&transaction["from"], &transaction["chainId"]), (&json!(FUNDED), &json!("0x4d33")));
    assert_ne!(balance("0x1"), balance("0x0"));
    let logs = node.call("eth_getLogs", json!([{"fromBlock": "0x1", "toBlock": "0x3e7"}]));
    assert!(!logs.as_array().unwrap().is_empty());
    // Geth's nonce of that block, which Drawbridge's own seal would not give.
    assert_eq!(node.block(100)["nonce"], "0x44fe7ea786393057");
}

#[test]
fn a_wrong_seal_is_refused_unless_seals_are_trusted() {
    let Some((home, _)) = left_by_geth(json!({"fromBlock": 1000})) else { return };
    let mut blocks = home.read("blocks.rlp");
    // The nonce is the last field of the first header: its 8 bytes stand before the transactions, which block 1 has one of.
    let nonce = b"\x88";
    let header_end = first_header_end(&blocks);
    assert_eq!(blocks[header_end - 9..header_end - 8], *nonce);
    blocks[header_end - 1] ^= 1;
    home.write("changed.rlp", &blocks);
    home.run("init --datadir strict chain.json").succeeded();
    home.run("import --datadir strict changed.rlp").failed(65, &["changed.rlp", "block 1", "mix hash"]);
    assert_eq!(home.head("strict").1, 0);
    // The hash of the changed block is another, so that block 2 does not follow it; block 1 alone is taken.
    home.run("init --datadir trusting chain.json").succeeded();
    let trusting = home.run("import --datadir trusting --no-verify-seal changed.rlp");
    trusting.failed(65, &["block 2"]);
    assert_eq!(home.head("trusting").1, 1);
}

/// Returns where the header of the first block ends: a list in a list, both with lengths of two bytes.
fn first_header_end(blocks: &[u8]) -> usize {
    assert_eq!((blocks[0], blocks[3]), (0xf9, 0xf9));
    3 + 3 + usize::from(u16::from_be_bytes([blocks[4], blocks[5]]))
}
