//! Each condition that ends the program: its exit code, what it says, and that nothing on the disk is worse afterwards.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use storage::{Batch, Durability, Reader, RocksOptions, RocksStore, Store, Table};

use super::database::mine;
use super::support::{ADDRESS, Home, Node, RECEIVER, Ran, chain_file};

#[test]
fn a_data_directory_in_use_names_the_process() {
    let home = Home::new();
    let node = Node::dev(&home, "");
    let holder = format!("PID {}", node.id());
    for line in ["--dev --datadir node --http.port 0", "db verify --datadir node", "export --datadir node chain.rlp"] {
        home.run(line).failed(73, &[&holder, "already used by another process"]);
    }
    assert_eq!(node.block_number(), 0);
    node.end();
}

#[test]
fn another_genesis_is_refused_by_the_field_that_differs() {
    let home = Home::with_chain(json!({"empty_blocks": "never"}));
    let mut other = chain_file(json!({"empty_blocks": "never"}));
    other["gasLimit"] = json!(30_000_000);
    home.write("gas.json", other.to_string());
    other["gasLimit"] = json!(36_000_000);
    other["alloc"][RECEIVER] = json!({"balance": "1"});
    home.write("alloc.json", other.to_string());
    for (file, field) in [("gas.json", "gasLimit"), ("alloc.json", "alloc")] {
        let expected = [field, "have 0x", "removedb --datadir node"];
        home.run(&format!("init {file} --datadir node")).failed(66, &expected);
        home.run(&format!("--genesis {file} --datadir node")).failed(66, &expected);
    }
    home.run("init chain.json --datadir node").succeeded();
    home.verify("node");
}

#[test]
fn a_port_in_use_names_its_flag() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (datadir, flags, flag) in [
        ("http", format!("--http --http.port {port}"), "--http.port"),
        ("ws", format!("--ws --ws.port {port}"), "--ws.port"),
        ("dev", format!("--dev --http.port {port}"), "--http.port"),
    ] {
        let address = format!(":{port} is already in use");
        home.run(&format!("--datadir {datadir} {flags}")).failed(69, &[&address, flag]);
    }
}

#[test]
fn a_local_socket_in_use_names_its_flag() {
    let home = Home::new();
    let mut node = Node::dev(&home, "");
    let path = node.ipc(&home);
    let line = format!("--dev --datadir other --http.port 0 --ipcpath {}", path.display());
    home.run(&line).failed(69, &["--ipcpath"]);
    assert!(path.exists(), "the other node's socket stays");
    node.end();
}

#[test]
fn a_bad_chain_file_starts_nothing() {
    let home = Home::new();
    let good = chain_file(json!({}));
    let with = |path: &str, value: Value| {
        let mut file = good.clone();
        *file.pointer_mut(path).unwrap() = value;
        file.to_string()
    };
    for (name, content, expected) in [
        ("text", "no chain".to_owned(), "JSON"),
        ("cut", good.to_string()[..200].to_owned(), "JSON"),
        ("gas", with("/gasLimit", json!("plenty")), "gasLimit"),
        ("difficulty", with("/config/pow/difficulty", json!({"fixed": -1})), "difficulty"),
        ("balance", with("/alloc/0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", json!({"balance": "x"})), "balance"),
    ] {
        home.write(&format!("{name}.json"), content);
        for line in [format!("init {name}.json --datadir {name}"), format!("--genesis {name}.json --datadir {name}")] {
            home.run(&line).failed(65, &["chain file", expected]);
        }
        // The right file starts the chain where the wrong one did not.
        home.write("good.json", good.to_string());
        home.run(&format!("init good.json --datadir {name}")).succeeded();
    }
    home.run("init absent.json --datadir absent").failed(65, &["absent.json"]);
}

#[test]
fn a_wrong_password_ends_the_start() {
    let home = Home::with_chain(json!({"empty_blocks": "never"}));
    home.write("wrong.txt", "not this\n");
    let line = "--datadir node --lightkdf --unlock 0 --password";
    home.run(&format!("{line} wrong.txt")).failed(77, &["could not decrypt key with given password", "password file"]);
    home.run(&format!("{line} absent.txt")).failed(77, &["absent.txt"]);
    home.run(&format!("--datadir node --unlock {RECEIVER} --password pw.txt")).failed(77, &["account list"]);
}

/// Returns the files of the database in `datadir` that end in or begin with `part`, smallest first.
fn files(home: &Home, datadir: &str, part: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.join(datadir).join("chaindata")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_str().unwrap().contains(part));
    files.sort_by_key(|path| fs::metadata(path).unwrap().len());
    files
}

fn copy(home: &Home, from: &str, to: &str) {
    fs::create_dir_all(home.join(to).join("chaindata")).unwrap();
    for file in files(home, from, "") {
        fs::copy(&file, home.join(to).join("chaindata").join(file.file_name().unwrap())).unwrap();
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_in_any_file_is_found_and_never_answered_from() {
    let home = Home::new();
    mine(&home, 6);
    home.run("db compact --datadir node").succeeded();
    let head = home.head("node");
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        (".sst", |path| flip(path, 12)),
        (".sst", |path| flip(path, usize::try_from(fs::metadata(path).unwrap().len()).unwrap() - 20)),
        (".sst", |path| fs::write(path, b"").unwrap()),
        (".sst", |path| fs::remove_file(path).unwrap()),
        ("MANIFEST", |path| flip(path, 20)),
        ("CURRENT", |path| fs::remove_file(path).unwrap()),
    ];
    for (index, (part, damage)) in damages.into_iter().enumerate() {
        let datadir = format!("damaged{index}");
        copy(&home, "node", &datadir);
        // The largest of its kind: a table with rows.
        damage(files(&home, &datadir, part).last().unwrap());
        home.run(&format!("db verify --datadir {datadir}")).failed(75, &["corrupt", "removedb"]);
        // Where the damage is met the program ends; where it is not, the bytes are right.
        let exported = home.run(&format!("export --datadir {datadir} {datadir}.rlp"));
        assert!([0, 75].contains(&exported.code), "{index}: {}", exported.err);
        if exported.code == 0 {
            home.run("export --datadir node good.rlp").succeeded();
            assert!(home.read(&format!("{datadir}.rlp")) == home.read("good.rlp"), "{index}: wrong bytes");
        }
    }
    assert_eq!(home.head("node"), head);
}

#[test]
fn every_table_file_is_guarded_by_its_checksums() {
    let home = Home::new();
    mine(&home, 3);
    home.run("db compact --datadir node").succeeded();
    let names: Vec<_> = files(&home, "node", ".sst").iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        copy(&home, "node", "damaged");
        flip(&home.join("damaged/chaindata").join(&name), 5);
        let verified = home.run("db verify --datadir damaged");
        assert_eq!(verified.code, 75, "{name:?}: {}{}", verified.out, verified.err);
        fs::remove_dir_all(home.join("damaged")).unwrap();
    }
}

#[test]
fn a_node_that_cannot_build_on_its_state_ends() {
    let home = Home::new();
    mine(&home, 2);
    {
        let store = RocksStore::open(&home.join("node/chaindata"), RocksOptions::default()).unwrap();
        let mut batch = Batch::default();
        // The root is looked at when the chain is opened; what is below it when a block needs it.
        for row in store.iterate(Table::AccountTrie, b"").skip(1) {
            batch.put(Table::AccountTrie, row.unwrap().0, b"no node");
        }
        store.commit(batch, Durability::Disk).unwrap();
    }
    home.run("db verify --datadir node").failed(75, &["corrupt"]);
    let node = Node::dev(&home, "");
    // The node waits with its answer for a block that it cannot make, and ends first or not.
    let _ = node.try_call("eth_sendTransaction", json!([{"from": ADDRESS, "to": RECEIVER}]));
    let stopped = node.wait_end();
    assert_eq!(stopped.code, Some(75), "{}", stopped.log);
    assert!(stopped.log.contains("remedy: run `drawbridge db recover"), "{}", stopped.log);
}

#[test]
fn a_newer_format_is_left_alone() {
    let home = Home::new();
    mine(&home, 2);
    {
        let store = RocksStore::open(&home.join("node/chaindata"), RocksOptions::default()).unwrap();
        let key = store
            .iterate(Table::Meta, b"")
            .map(Result::unwrap)
            .find(|(_, value)| value[..] == chain::FORMAT.to_be_bytes());
        let mut batch = Batch::default();
        batch.put(Table::Meta, key.unwrap().0, (chain::FORMAT + 1).to_be_bytes());
        store.commit(batch, Durability::Disk).unwrap();
    }
    let newer = format!("has format {}", chain::FORMAT + 1);
    for line in
        ["--dev --http.port 0", "db inspect", "db verify", "db prune --history 1", "db compact", "export chain.rlp"]
    {
        home.run(&format!("{line} --datadir node")).failed(76, &[&newer, "start a newer drawbridge"]);
    }
}

/// Runs the program as nobody where root tests; to other users the permissions apply themselves.
pub(crate) fn as_nobody(home: &Home, line: &str) -> Ran {
    let is_root =
        fs::metadata("/proc/self").map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0).unwrap();
    let mut command = home.program();
    if is_root {
        let program = home.join("drawbridge");
        if !program.exists() {
            fs::copy(env!("CARGO_BIN_EXE_drawbridge"), &program).unwrap();
        }
        let mut as_nobody = Command::new(program);
        as_nobody.current_dir(home.path()).env_clear().env("HOME", home.path()).uid(65534).gid(65534);
        command = as_nobody;
    }
    Ran::of(&command.args(line.split_whitespace()).output().unwrap())
}

#[test]
fn a_directory_that_may_not_be_written_is_a_permission_that_is_missing() {
    let home = Home::new();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(home.join("closed")).unwrap();
    fs::set_permissions(home.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    for datadir in ["closed", "closed/node"] {
        as_nobody(&home, &format!("--dev --http.port 0 --datadir {datadir}")).failed(77, &["closed", "--datadir"]);
    }
    // A file where a directory should be is no matter of permissions.
    home.run("--dev --http.port 0 --datadir pw.txt").failed(74, &["pw.txt"]);
}

/// A file system of a few mebibytes, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(path))
    }

    fn grow(&self, size: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.0).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The temporary folder's removal tells what is left.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_writes_alone_and_loses_no_answered_receipt() {
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(home.join("disk"), "3m") else {
        println!("skipped: this user may not mount a file system");
        return;
    };
    let mut node = Node::start(&home, "--dev --datadir disk/node");
    let client = *node;
    let data = format!("0x{}", "ff".repeat(100_000));
    let send = || client.send(json!({"from": ADDRESS, "to": RECEIVER, "data": data, "gas": "0x500000"}));
    let receipt = |hash: &Value| client.call("eth_getTransactionReceipt", json!([hash]));
    let mut sent = Vec::new();
    // More than the disk holds, in the pool: the node writes until it cannot.
    for _ in 0..40 {
        sent.push(json!(send()));
    }
    node.wait_line("the disk is full");
    let served: Vec<_> = sent.iter().filter(|hash| !receipt(hash).is_null()).collect();
    assert!(!served.is_empty() && served.len() < sent.len(), "{}", served.len());
    let head = node.block_number();
    assert_eq!(node.call("eth_getBalance", json!([ADDRESS, "latest"])).as_str().map(|text| &text[..2]), Some("0x"));
    assert!(node.is_running());
    println!("full disk at block {head}");
    home.run("--dev --http.port 0 --datadir disk/other").failed(74, &["No space left on device"]);
    assert_eq!(node.block_number(), head);

    disk.grow("90m");
    node.wait_line("there is space on the disk again");
    for hash in &sent {
        node.wait_receipt(hash.as_str().unwrap(), Duration::from_secs(20));
    }
    node.end();
    home.verify("disk/node");
    let node = Node::start(&home, "--dev --datadir disk/node");
    for hash in &sent {
        assert_eq!(node.call("eth_getTransactionReceipt", json!([hash]))["status"], "0x1", "{hash} was lost");
    }
    node.end();
}

#[test]
fn a_log_that_lost_what_was_synced_is_refused_until_the_loss_is_accepted() {
    let home = Home::new();
    mine(&home, 6);
    // Opening a database begins another log, so that the head is asked of a copy.
    copy(&home, "node", "twin");
    let (hash, number) = home.head("twin");
    let log = files(&home, "node", ".log").pop().unwrap();
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 40]).unwrap();
    for line in ["--dev --http.port 0", "db verify", "db inspect", "export chain.rlp"] {
        home.run(&format!("{line} --datadir node")).failed(75, &["log is damaged", "db recover --datadir node"]);
    }
    let recovered = home.run("db recover --datadir node");
    assert_eq!(recovered.code, 0, "{}", recovered.err);
    assert!(recovered.out.ends_with("the database is whole\n"), "{}", recovered.out);
    let (left, left_number) = home.head("node");
    assert!(left_number < number && left != hash, "block {left_number} of {number} is the head");
    mine(&home, 2);
    home.verify("node");
}

#[test]
fn a_wrong_path_is_told_as_one() {
    let home = Home::new();
    mine(&home, 1);
    home.run("backup create --datadir node copy").succeeded();
    for (line, code, expected) in [
        ("network run nope", 74, ["nope", "nothing is there"]),
        ("network new --lightkdf --out pw.txt", 74, ["pw.txt", "something else stands there"]),
        ("import --datadir node --dev nope.rlp", 74, ["nope.rlp", "nothing is there"]),
        ("export --datadir node nope/x.rlp", 74, ["nope/x.rlp", "nothing is there"]),
        ("bootnode --nodekey node", 74, ["node", "a folder stands"]),
        ("backup restore --datadir pw.txt copy", 74, ["pw.txt", "something else stands there"]),
        ("bootnode --genkey nope/key", 77, ["nope/key", "no such folder"]),
        ("--datadir other --port 0 --p2p.swarmkey none.key", 77, ["none.key", "no such file"]),
        ("--datadir other --port 0 --nodekey nope/key", 77, ["nope/key", "no such folder"]),
    ] {
        home.run(line).failed(code, &expected);
    }
    // One that is no text is not taken for a folder of that name.
    home.write("number.toml", "datadir = 5\n");
    home.run("config print --config number.toml").failed(65, &["number.toml", "datadir", "in quotes"]);
}
