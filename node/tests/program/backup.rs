//! `backup`: made beside a running node or without one, checked, put back; refused where something is in the way.

use std::fs;

use serde_json::{Value, json};

use super::database::mine;
use super::support::{ADDRESS, Home, Node, RECEIVER};

#[test]
fn a_backup_is_made_while_the_node_mines_and_put_back() {
    let home = Home::new();
    mine(&home, 5);
    let mut node = Node::dev(&home, "");
    node.ipc(&home);
    let made = home.run("backup create --datadir node monday");
    assert_eq!(made.code, 0, "{}", made.err);
    let head = made.field("head  ");
    assert_eq!(head, format!("5 {}", node.block(5)["hash"].as_str().unwrap()));
    // The chain goes on; the backup does not.
    let hash = node.send(json!({"from": ADDRESS, "to": RECEIVER}));
    node.wait_receipt(&hash, std::time::Duration::from_secs(10));
    node.end();

    let verified = home.run("backup verify monday");
    assert_eq!(verified.code, 0, "{}", verified.err);
    assert!(verified.out.ends_with("the backup is whole\n"), "{}", verified.out);
    assert_eq!(verified.field("head  "), head);
    let restored = home.run("backup restore --datadir second/node monday");
    assert_eq!((restored.code, restored.field("head  ")), (0, head.clone()), "{}", restored.err);
    home.verify("second/node");
    assert_eq!(format!("{} {}", home.head("second/node").1, home.head("second/node").0), head);

    // What was restored is a chain like any other, and the backup can be used again.
    let node = Node::start(&home, "--dev --datadir second/node");
    let hash = node.send(json!({"from": ADDRESS, "to": RECEIVER}));
    node.wait_receipt(&hash, std::time::Duration::from_secs(10));
    node.end();
    home.run("backup restore --datadir third monday").succeeded();
}

#[test]
fn a_backup_is_made_without_a_node_too() {
    let home = Home::new();
    mine(&home, 3);
    home.run("backup create --datadir node copy").succeeded();
    for name in ["chaindata", "genesis.json", "backup.txt"] {
        assert!(home.join("copy").join(name).exists(), "{name}");
    }
    assert!(!home.join("copy.part").exists());
    // A chain that does not name its file on the command line is known by the backup alone.
    home.run("backup restore --datadir other copy").succeeded();
    assert_eq!(home.head("other"), home.head("node"));
}

#[test]
fn nothing_is_overwritten_and_each_refusal_says_what_to_do() {
    let home = Home::new();
    mine(&home, 2);
    home.run("backup create --datadir node copy").succeeded();
    let before = home.head("node");
    home.run("backup create --datadir node copy").failed(65, &["copy exists", "does not exist"]);
    home.run("backup create --datadir absent other").failed(65, &["there is no database in absent"]);
    home.run("backup restore --datadir node copy").failed(65, &["there is a chain in node", "removedb --datadir node"]);
    home.run("backup restore --datadir other node").failed(65, &["node is no backup", "backup create"]);
    home.run("backup verify absent").failed(65, &["absent is no backup"]);
    home.write("copy/backup.txt", "genesis none\n");
    home.run("backup verify copy").failed(65, &["copy is no backup", "backup.txt"]);
    assert_eq!(home.head("node"), before);
    assert!(!home.join("other").exists() && !home.join("absent").exists());
}

#[test]
fn a_damaged_backup_is_found_and_not_put_back() {
    let home = Home::new();
    mine(&home, 4);
    home.run("backup create --datadir node good").succeeded();
    let good = home.read("good/backup.txt");
    let files: Vec<_> = fs::read_dir(home.join("good/chaindata")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let table = files.iter().filter(|path| path.extension().is_some_and(|kind| kind == "sst"));
    let table = table.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let whole = fs::read(table).unwrap();
    let other_head = String::from_utf8(good.clone()).unwrap().replace("number 4", "number 3");
    for (case, bytes, record) in [
        ("a flipped bit", [&whole[..40], &[whole[40] ^ 1], &whole[41..]].concat(), good.clone()),
        ("a cut file", whole[..whole.len() / 2].to_vec(), good.clone()),
        ("another record", whole.clone(), other_head.into_bytes()),
    ] {
        fs::write(table, bytes).unwrap();
        home.write("good/backup.txt", record);
        home.run("backup verify good").failed(78, &["the backup in good is damaged"]);
        home.run("backup restore --datadir restored good").failed(78, &["damaged", "another backup"]);
        assert!(!home.join("restored").exists(), "{case}: nothing of it stays");
    }
    fs::write(table, whole).unwrap();
    home.write("good/backup.txt", good);
    let chain_file = home.read("good/genesis.json");
    let edited = String::from_utf8(chain_file.clone()).unwrap().replacen("chainId", "chainID", 1);
    home.write("good/genesis.json", edited);
    home.run("backup verify good").failed(78, &["good", "genesis.json is not the chain file of its database"]);
    fs::remove_file(home.join("good/genesis.json")).unwrap();
    home.run("backup verify good").failed(78, &["good", "genesis.json", "No such file"]);
    home.write("good/genesis.json", chain_file);
    home.run("backup verify good").succeeded();
    home.run("backup restore --datadir restored good").succeeded();
    home.verify("restored");
}

#[test]
fn the_method_wants_an_absolute_path_that_is_not_there() {
    let home = Home::new();
    let node = Node::dev(&home, "");
    let ask = |path: &str| node.try_call("admin_backup", json!([path]));
    let message = |answer: Result<Value, Value>| answer.unwrap_err()["message"].as_str().unwrap_or_default().to_owned();
    assert!(message(ask("relative")).contains("absolute"));
    let path = home.join("copy");
    let made = ask(path.to_str().unwrap()).unwrap();
    assert_eq!((&made["number"], &made["hash"]), (&json!("0x0"), &node.block(0)["hash"]));
    assert!(message(ask(path.to_str().unwrap())).contains("exists"));
    node.end();
    // The namespace is served over HTTP only where it is asked for.
    let home = Home::with_chain(json!({"empty_blocks": "never"}));
    let node = Node::chain(&home, "");
    assert!(message(node.try_call("admin_backup", json!(["/tmp/x"]))).contains("not available"));
    node.end();
}
