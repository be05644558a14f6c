//! The built program, as a person or a script calls it: what it prints, and its exit codes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const ADDRESS: &str = "f39fd6e51aad88f6f4ce6ab8827279cfffb92266";

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    command.current_dir(folder).env_clear().env("HOME", folder);
    command
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the program in `folder` without anybody to ask.
fn run(folder: &Path, line: &str) -> Ran {
    ran(program(folder).args(line.split_whitespace()).stdin(Stdio::null()).output().unwrap())
}

/// Runs the program with `input` on its standard input.
fn run_with_input(folder: &Path, line: &str, input: &str) -> Ran {
    let mut child = program(folder)
        .args(line.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    ran(child.wait_with_output().unwrap())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pw.txt"), "secret\n").unwrap();
    fs::write(folder.path().join("key.hex"), format!("{KEY}\n")).unwrap();
    folder
}

#[test]
fn accounts_are_made_listed_imported_and_updated() {
    let folder = folder();
    let path = folder.path();
    let new = run(path, "account new --datadir node --password pw.txt --lightkdf");
    assert_eq!(new.code, 0, "{}", new.err);
    let address =
        new.out.lines().find_map(|line| line.strip_prefix("Public address of the key:   0x")).unwrap().to_lowercase();
    let file = new.out.lines().find_map(|line| line.strip_prefix("Path of the secret key file: ")).unwrap();
    assert!(file.starts_with("node/keystore/UTC--") && file.ends_with(&format!("--{address}")), "{file}");

    let imported = run(path, "--datadir node account import --password pw.txt --lightkdf key.hex");
    assert_eq!(
        (imported.code, imported.out.trim()),
        (0, format!("Address: {{{ADDRESS}}}").as_str()),
        "{}",
        imported.err
    );
    let again = run(path, "account import --datadir node --password pw.txt --lightkdf key.hex");
    assert_eq!(again.code, 77);
    assert!(again.err.contains("error: account already exists\nremedy: "), "{}", again.err);

    let list = run(path, "account list --datadir node").out;
    let lines: Vec<_> = list.lines().collect();
    assert!(lines[0].starts_with(&format!("Account #0: {{{address}}} keystore://node/keystore/UTC--")), "{list}");
    assert!(lines[1].starts_with(&format!("Account #1: {{{ADDRESS}}} keystore://")), "{list}");

    let no_new = run(path, &format!("account update --datadir node --lightkdf --password pw.txt 0x{ADDRESS}"));
    assert_eq!(no_new.code, 77);
    assert!(no_new.err.contains("second"), "{}", no_new.err);
    fs::write(path.join("both.txt"), "secret\nbetter\n").unwrap();
    let update = format!("account update --datadir node --lightkdf --password both.txt 0x{ADDRESS}");
    assert_eq!(run(path, &update).code, 0);
    let wrong = run(path, &update);
    assert_eq!(wrong.code, 77);
    assert!(wrong.err.contains("could not decrypt key with given password"), "{}", wrong.err);
    // The updated file opens by the new password, in another keystore.
    let file = list.lines().nth(1).unwrap().split("keystore://").nth(1).unwrap();
    fs::write(path.join("two.txt"), "better\nthird\n").unwrap();
    let moved = run(path, &format!("account import --keystore other --lightkdf --password two.txt {file}"));
    assert_eq!((moved.code, moved.out.trim()), (0, format!("Address: {{{ADDRESS}}}").as_str()), "{}", moved.err);
}

#[test]
fn passwords_come_through_a_pipe_once_or_twice_and_must_agree() {
    let folder = folder();
    let new = |input: &str| run_with_input(folder.path(), "account new --datadir node --lightkdf", input);
    assert_eq!(new("secret\n").code, 0);
    assert_eq!(new("secret\nsecret\n").code, 0);
    let differ = new("secret\nother\n");
    assert_eq!(differ.code, 77);
    assert!(differ.err.contains("differ"), "{}", differ.err);
    let nobody = new("");
    assert_eq!(nobody.code, 77);
    assert!(nobody.err.contains("--password"), "{}", nobody.err);
}

#[test]
#[cfg(unix)]
fn key_files_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    assert_eq!(run(folder.path(), "account import --datadir node --lightkdf --password pw.txt key.hex").code, 0);
    let keystore = folder.path().join("node/keystore");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&keystore), 0o700);
    let files: Vec<_> = fs::read_dir(&keystore).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(mode(&files[0]), 0o600);
}

#[test]
fn broken_key_files_are_refused_with_the_reason() {
    let folder = folder();
    for (content, expected) in [
        ("", "not a secret key"),
        ("0x12", "not a secret key"),
        (&"0".repeat(64), "not a secret key"),
        (&"f".repeat(64), "not a secret key"),
        ("{}", "version"),
        ("{\"version\": 3, \"crypto\": {\"cipher\": \"none\"}}", "cipher"),
        ("{", "not JSON"),
    ] {
        fs::write(folder.path().join("bad"), content).unwrap();
        let bad = run(folder.path(), "account import --datadir node --lightkdf --password pw.txt bad");
        assert_eq!(bad.code, 77, "{content}");
        assert!(bad.err.contains(expected), "{content}: {}", bad.err);
    }
    let missing = run(folder.path(), "account import --datadir node absent");
    assert_eq!(missing.code, 77);
    assert!(missing.err.contains("absent"), "{}", missing.err);
}

#[test]
fn a_chain_file_is_checked_and_a_misspelt_field_named() {
    let folder = folder();
    let good = r#"{"config": {"chainId": 4242}, "difficulty": "1", "gasLimit": "30000000", "alloc": {}}"#;
    let misspelt = good.replace("chainId\": 4242", "chainId\": 4242, \"londonBlok\": 0");
    let wrong = good.replace("\"30000000\"", "\"plenty\"");
    for (name, text) in [("good", good), ("misspelt", &misspelt), ("wrong", &wrong), ("text", "hello")] {
        fs::write(folder.path().join(format!("{name}.json")), text).unwrap();
    }
    let check = |line: &str| run(folder.path(), &format!("genesis check {line}"));
    let fine = check("good.json");
    assert_eq!((fine.code, fine.err.as_str()), (0, ""));
    assert!(fine.out.contains("id 4242") && fine.out.contains("genesis hash 0x"), "{}", fine.out);
    let warned = check("misspelt.json");
    assert_eq!(warned.code, 0);
    assert!(warned.err.contains("londonBlok") && warned.err.contains("londonBlock"), "{}", warned.err);
    assert_eq!(check("misspelt.json --strict").code, 65);
    for (file, expected) in [("wrong.json", "gasLimit"), ("text.json", "JSON"), ("absent.json", "absent.json")] {
        let refused = check(file);
        assert_eq!(refused.code, 65, "{file}");
        assert!(refused.err.contains(expected) && refused.err.contains("\nremedy: "), "{file}: {}", refused.err);
    }
}

#[test]
fn the_chains_that_ship_are_shown_and_dumped() {
    let folder = folder();
    for which in ["dev", "private"] {
        let shown = run(folder.path(), &format!("genesis show {which}"));
        assert_eq!((shown.code, shown.err.as_str()), (0, ""), "{which}");
        for expected in ["chain id", "genesis hash     0x", "difficulty rule", "accounts"] {
            assert!(shown.out.contains(expected), "{which}: {}", shown.out);
        }
    }
    let dumped = run(folder.path(), "dumpgenesis --dev").out;
    fs::write(folder.path().join("dev.json"), &dumped).unwrap();
    let checked = run(folder.path(), "genesis check dev.json --strict");
    assert_eq!(checked.code, 0, "{}", checked.err);
    assert_ne!(run(folder.path(), "dumpgenesis").out, dumped);
}

#[test]
fn the_command_that_papers_print_is_understood() {
    let folder = folder();
    let line = format!(
        "config print --datadir node/ --syncmode full --port 30303 --rpc --rpcaddr localhost --rpcport 8545 \
         --rpcapi personal,db,eth,net,web3,txpool,miner --networkid 4242 --gasprice 1 -unlock 0x{ADDRESS} \
         --password pw.txt --mine --allow-insecure-unlock"
    );
    let printed = run(folder.path(), &line);
    assert_eq!(printed.code, 0, "{}", printed.err);
    let config: toml::Table = printed.out.parse().unwrap();
    let at = |path: &str| {
        path.split('.').try_fold(&toml::Value::Table(config.clone()), |value, key| value.get(key)).unwrap().to_string()
    };
    for (path, expected) in [
        ("datadir", "\"node/\""),
        ("networkid", "4242"),
        ("http.enabled", "true"),
        ("http.api", r#"["personal", "eth", "net", "web3", "txpool", "miner"]"#),
        ("miner.gasprice", "1"),
        ("mine", "true"),
        ("password", "\"pw.txt\""),
        ("unlock", r#"["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"]"#),
    ] {
        assert_eq!(at(path), expected, "{path}");
    }
    let warnings = printed.err.lines().filter(|line| line.starts_with("warning: --")).count();
    assert_eq!(warnings, 6, "{}", printed.err);
    assert!(
        printed.out.lines().any(|line| line.starts_with("networkid = 4242") && line.ends_with("# flag")),
        "{}",
        printed.out
    );
}

#[test]
fn a_wrong_command_line_ends_with_2_and_names_the_nearest_flag() {
    let folder = folder();
    for (line, expected) in
        [("--htp.port 1", "--http.port"), ("-minr", "--mine"), ("acount list", "account"), ("db prune", "--history")]
    {
        let refused = run(folder.path(), line);
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{line}");
        assert!(refused.err.contains(expected), "{line}: {}", refused.err);
    }
}

#[test]
fn settings_come_from_environment_and_file_with_their_origin() {
    let folder = folder();
    fs::write(folder.path().join("node.toml"), "mine = true\n[http]\nport = 1001\n").unwrap();
    let output = program(folder.path())
        .args(["config", "print", "--config", "node.toml", "--http.addr", "127.0.0.1"])
        .env("DRAWBRIDGE_HTTP_PORT", "1002")
        .env("DRAWBRIDGE_HTTP_PROT", "1")
        .output()
        .unwrap();
    let printed = ran(output);
    let has = |start: &str, end: &str| printed.out.lines().any(|line| line.starts_with(start) && line.ends_with(end));
    assert!(
        has("port = 1002", "# environment") && has("mine = true", "# file") && has("addr = \"127.0.0.1\"", "# flag")
    );
    assert!(printed.err.contains("did you mean DRAWBRIDGE_HTTP_PORT"), "{}", printed.err);
    fs::write(folder.path().join("node.toml"), "[http]\nprot = 1001\n").unwrap();
    let refused = run(folder.path(), "config print --config node.toml");
    assert_eq!(refused.code, 65);
    assert!(refused.err.contains("did you mean `http.port`?"), "{}", refused.err);
    // What dumpconfig prints is a file for --config.
    let dumped = run(folder.path(), "dumpconfig --http --datadir here").out;
    fs::write(folder.path().join("node.toml"), &dumped).unwrap();
    assert_eq!(run(folder.path(), "dumpconfig --config node.toml").out, dumped);
}

#[test]
fn version_and_help_are_printed() {
    let folder = folder();
    let version = run(folder.path(), "version");
    assert_eq!(version.code, 0);
    for expected in
        ["Drawbridge\n", concat!("Version: ", env!("CARGO_PKG_VERSION")), "Newest fork: Osaka", "Compiler: rustc1."]
    {
        assert!(version.out.contains(expected), "{}", version.out);
    }
    assert_eq!(run(folder.path(), "--version").code, 0);
    let help = run(folder.path(), "--help");
    assert_eq!(help.code, 0);
    assert!(help.out.contains("Examples:") && help.out.contains("Transaction pool:"), "{}", help.out);
}

#[test]
fn unlocking_for_the_network_is_refused_unless_allowed() {
    let folder = folder();
    let refused = run(folder.path(), "--datadir node --http --unlock 0 --password pw.txt");
    assert_eq!(refused.code, 77);
    assert!(refused.err.contains("account unlock with HTTP access is forbidden"), "{}", refused.err);
    assert!(!folder.path().join("node").exists(), "nothing is made before the configuration is checked");
}

#[test]
fn removedb_asks_and_a_quiet_no_deletes_nothing() {
    let folder = folder();
    fs::create_dir_all(folder.path().join("node/chaindata")).unwrap();
    let kept = run_with_input(folder.path(), "removedb --datadir node", "n\n");
    assert_eq!(kept.code, 0);
    assert!(folder.path().join("node/chaindata").exists());
    assert_eq!(run(folder.path(), "removedb --yes --datadir node").code, 0);
    assert!(!folder.path().join("node/chaindata").exists());
}
