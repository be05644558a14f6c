//! The layers, and the round trip through a file.
#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;
use crate::cli::legacy::translate;
use crate::config::print::{Origins, settings, to_toml};
use crate::config::values::{AccountRef, MinerOrder};
use crate::config::{APIS, ChainFileChoice};

fn load_line(line: &str, environment: &[(&str, &str)]) -> Result<Loaded, Fatal> {
    let words = shell_words(line);
    let (args, mut warnings) = translate(std::iter::once("drawbridge".into()).chain(words).collect());
    let typed = crate::cli::parse(args).map_err(|error| Fatal::Usage { cause: error.to_string() })?;
    let environment: Vec<_> = std::iter::once(("HOME", "/home/me"))
        .chain(environment.iter().copied())
        .map(|(name, value)| (name.to_owned(), OsString::from(value)))
        .collect();
    let mut loaded = load(&typed.matches, &environment)?;
    warnings.append(&mut loaded.warnings);
    loaded.warnings = warnings;
    Ok(loaded)
}

/// Splits at spaces, except between single quotes, which go.
fn shell_words(line: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.into());
        } else {
            words.extend(part.split_whitespace().map(OsString::from));
        }
    }
    words
}

fn config_of(line: &str) -> NodeConfig {
    load_line(line, &[]).unwrap().config
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    fs::write(&path, text).unwrap();
    let line = format!("--config {}", path.display());
    (folder, line)
}

#[test]
fn the_command_that_papers_print_means_the_obvious() {
    let address = "0x00000000000000000000000000000000000000aB";
    let loaded = load_line(
        &format!(
            "--datadir node/ --syncmode 'full' --port 30303 --rpc --rpcaddr 'localhost' --rpcport 8545 \
             --rpcapi 'personal,db,eth,net,web3,txpool,miner' --networkid 4242 --gasprice '1' -unlock '{address}' \
             --password pw.txt --mine --allow-insecure-unlock"
        ),
        &[],
    )
    .unwrap();
    let config = loaded.config;
    assert_eq!(config.data.dir, PathBuf::from("node/"));
    assert!(!config.data.temporary);
    assert_eq!((config.network.enabled, config.network.port), (true, 30303));
    assert!(config.http.enabled && !config.ws.enabled);
    assert_eq!((config.http.host.as_str(), config.http.port), ("localhost", 8545));
    assert_eq!(config.http.apis, ["personal", "eth", "net", "web3", "txpool", "miner"]);
    assert_eq!(config.chain.network_id, Some(4242));
    assert_eq!(config.chain.file, ChainFileChoice::Stored);
    assert_eq!(config.miner.tip_wei_min, 1);
    assert_eq!(config.accounts.unlock, [address.parse::<AccountRef>().unwrap()]);
    assert_eq!(config.accounts.password_file, Some("pw.txt".into()));
    assert_eq!(config.accounts.keystore_dir, PathBuf::from("node/keystore"));
    assert!(config.miner.enabled && config.accounts.allow_insecure_unlock);
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "--rpc is an old name: write --http",
            "--rpcaddr is an old name: write --http.addr",
            "--rpcport is an old name: write --http.port",
            "--rpcapi is an old name: write --http.api",
            "--gasprice is an old name: write --miner.gasprice",
            "--http.api: there is no namespace `db`; it is left out",
        ]
    );
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let (_folder, with_file) = file("verbosity = 1\n[http]\nport = 1001\naddr = \"file\"\n[ws]\nport = 1002\n");
    let environment = [("DRAWBRIDGE_HTTP_PORT", "2001"), ("DRAWBRIDGE_HTTP_ADDR", "environment")];
    let loaded = load_line(&format!("{with_file} --http.port 3001"), &environment).unwrap();
    assert_eq!(loaded.config.http.port, 3001);
    assert_eq!(loaded.config.http.host, "environment");
    assert_eq!(loaded.config.ws.port, 1002);
    assert_eq!(loaded.config.ws.host, "localhost");
    let origin = |name: &str| loaded.origins.get(name).copied();
    assert_eq!(origin("http.port"), Some(Origin::Flag));
    assert_eq!(origin("http.addr"), Some(Origin::Environment));
    assert_eq!(origin("ws.port"), Some(Origin::File));
    assert_eq!(origin("ws.addr"), None);
    let (_folder, path) = file("mine = true");
    let from_environment = load_line("", &[("DRAWBRIDGE_CONFIG", path.strip_prefix("--config ").unwrap())]).unwrap();
    assert!(from_environment.config.miner.enabled);
}

#[test]
fn flags_may_stand_before_the_command_and_after_it() {
    let before = config_of("--datadir a --lightkdf account list");
    assert_eq!((before.data.dir, before.accounts.light_kdf), ("a".into(), true));
    assert_eq!(config_of("--datadir a account list --datadir b").data.dir, PathBuf::from("b"));
    assert_eq!(config_of("--http.port 7 config print --ws").http.port, 7);
}

#[test]
fn wrong_values_and_keys_name_their_layer() {
    let check = |line: &str, environment: &[(&str, &str)], code: u8, expected: &[&str]| {
        let fatal = load_line(line, environment).unwrap_err();
        assert_eq!(fatal.code(), code, "{fatal}");
        for expected in expected {
            assert!(fatal.to_string().contains(expected), "{expected}: {fatal}");
        }
    };
    check("", &[("DRAWBRIDGE_HTTP_PORT", "many")], 65, &["DRAWBRIDGE_HTTP_PORT", "many"]);
    for (text, expected) in [
        ("[http]\nprot = 1", ["http.prot", "did you mean `http.port`"]),
        ("htpp = true", ["htpp", "there is no setting"]),
        ("http = true", ["`http`", "there is no setting"]),
        ("[http]\nport = \"many\"", ["http.port", "many"]),
        ("[http]\nport = 1979-05-27", ["http.port", "neither"]),
        ("config = \"x\"", ["`config`", "there is no setting"]),
        ("verbosity = ", ["node.toml", "line 1"]),
    ] {
        let (_folder, line) = file(text);
        check(&line, &[], 65, &expected);
    }
    check("--config /does/not/exist.toml", &[], 65, &["/does/not/exist.toml"]);
    check("--unlock 0 --http", &[], 77, &["account unlock with HTTP access is forbidden"]);
    for line in ["--http --http.addr 0.0.0.0 --http.api eth,admin", "--dev --ws.addr :: --ws.api personal --ws.port 1"]
    {
        check(line, &[], 77, &["could steer the node"]);
    }
    check("--http --http.addr 10.0.0.1 --unlock 0 --allow-insecure-unlock", &[], 77, &["--unlock opens accounts to"]);
    check("--gcmode archive --history 5", &[], 65, &["--gcmode archive"]);
    check("--http --ws --ws.port 8545 --ws.addr 0.0.0.0", &[], 65, &["8545"]);
}

#[test]
fn a_misspelt_variable_warns() {
    let loaded = load_line("", &[("DRAWBRIDGE_HTTP_PROT", "1"), ("DRAWBRIDGE_SOMETHING_ELSE", "1")]).unwrap();
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["DRAWBRIDGE_HTTP_PROT is no setting; did you mean DRAWBRIDGE_HTTP_PORT?"]);
}

#[test]
fn the_development_chain_opens_everything_and_goes_at_the_end_unless_it_has_a_place() {
    let dev = config_of("--dev --http.port 9545");
    assert!(dev.data.temporary && dev.data.dir.starts_with(std::env::temp_dir()));
    assert!(dev.http.enabled && dev.ws.enabled && dev.miner.enabled);
    assert_eq!((dev.http.port, dev.ws.port), (9545, 9545));
    assert_eq!(dev.http.apis, APIS);
    assert_eq!(dev.http.cors_origins, ["*"]);
    assert_eq!(dev.http.virtual_hosts, ["localhost"]);
    assert_eq!(dev.chain.file, ChainFileChoice::Dev);
    assert_eq!(dev.dev.unwrap(), crate::config::DevConfig::default());
    let kept = config_of("--dev --datadir here --dev.period 2 --mine=false --http.api eth");
    assert!(!kept.data.temporary && !kept.miner.enabled);
    assert_eq!(kept.data.dir, PathBuf::from("here"));
    assert_eq!(kept.dev.unwrap().period, Some(std::time::Duration::from_secs(2)));
    assert_eq!(kept.http.apis, ["eth"]);
    assert_ne!(config_of("--dev").data.dir, dev.data.dir, "each has its own directory");
}

#[test]
fn strangers_reach_what_reads_and_known_clients_everything() {
    let all = "--http --http.addr 0.0.0.0 --http.api eth,admin,personal --unlock 0 --allow-insecure-unlock";
    for known in ["--rpc.keys k.json", "--rpc.jwtsecret secret", "--rpc.allow-exposed"] {
        assert_eq!(config_of(&format!("{all} {known}")).http.apis, ["eth", "admin", "personal"], "{known}");
    }
    let warnings = |line: &str| {
        let loaded = load_line(line, &[]).unwrap();
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(warnings("--http --http.addr 0.0.0.0").contains("to whoever reaches it"));
    assert!(warnings("--http --http.addr 0.0.0.0 --http.api admin --rpc.allow-exposed").contains("steers the node"));
    assert_eq!(warnings("--http --http.addr 0.0.0.0 --http.api admin --rpc.jwtsecret secret"), "");
    assert_eq!(warnings("--http --http.addr 127.0.0.2 --http.api admin"), "");
    // A development chain beyond this machine leaves out what nobody asked for.
    let dev = config_of("--dev --http.addr 0.0.0.0 --ws.addr 0.0.0.0");
    assert!(dev.http.apis.iter().any(|name| name == "debug") && !dev.http.apis.iter().any(|name| name == "admin"));
    assert_eq!(dev.http.apis, dev.ws.apis);
    assert!(warnings("--dev --http.addr 0.0.0.0 --ws=false").contains("whose keys are public"));
}

#[test]
fn defaults_are_quiet_and_private() {
    let config = config_of("");
    assert_eq!(config.data.dir, PathBuf::from("/home/me/.drawbridge"));
    assert!(!config.http.enabled && !config.ws.enabled && config.ipc.enabled && !config.miner.enabled);
    assert_eq!(config.http.apis, ["eth", "net", "web3", "drawbridge"]);
    assert!(config.http.cors_origins.is_empty() && config.ws.origins.is_empty());
    assert_eq!(config.ipc.path, PathBuf::from("/home/me/.drawbridge/drawbridge.ipc"));
    assert_eq!(config.pool.journal, Some("/home/me/.drawbridge/transactions.rlp".into()));
    assert_eq!(config.data.history_blocks, None);
    assert_eq!(config.miner.order, MinerOrder::Arrival);
    assert!(!config.rpc.allow_unprotected_txs);
}

#[test]
fn zero_is_no_limit_and_empty_is_none() {
    let config = config_of(
        "--rpc.gascap 0 --rpc.evmtimeout 0 --rpc.txfeecap 0 --rpc.batch-request-limit 0 --rpc.batch-response-max-size 0 \
         --txpool.journal= --http.vhosts= --unlock=",
    );
    assert_eq!(config.rpc.gas_cap, None);
    assert_eq!((config.rpc.evm_timeout, config.rpc.tx_fee_cap_wei), (None, None));
    assert_eq!((config.rpc.batch_requests_max, config.rpc.batch_response_bytes_max), (None, None));
    assert_eq!(config.pool.journal, None);
    assert!(config.http.virtual_hosts.is_empty() && config.accounts.unlock.is_empty());
    assert_eq!(config_of("--gcmode full").data.history_blocks.unwrap().get(), crate::config::FULL_HISTORY_BLOCKS);
    assert_eq!(config_of("--history 7").data.history_blocks.unwrap().get(), 7);
    assert_eq!(config_of("--ipcpath other.ipc").ipc.path, PathBuf::from("/home/me/.drawbridge/other.ipc"));
    assert_eq!(config_of("--ipcpath /tmp/other.ipc").ipc.path, PathBuf::from("/tmp/other.ipc"));
}

#[test]
fn every_setting_is_printed_and_is_a_flag() {
    let mut printed: Vec<String> =
        settings(&NodeConfig::default()).into_iter().map(|(name, _)| name.to_owned()).collect();
    let mut flags: Vec<String> =
        names().into_keys().filter(|name| !["config", "gcmode"].contains(&name.as_str())).collect();
    printed.sort();
    flags.sort();
    assert_eq!(printed, flags);
}

#[test]
fn what_is_printed_reads_back_as_the_same_configuration() {
    for line in [
        "",
        "--dev --datadir here --dev.period 2 --dev.accounts 3",
        "--datadir node/ --http --http.api eth,personal --http.vhosts a,b --unlock 0,0x00000000000000000000000000000000000000ab \
         --allow-insecure-unlock --password pw.txt --mine --miner.extradata 'hello' --miner.order price --miner.cpu 40 --history 90000",
        "--txpool.journal= --txpool.locals 0x00000000000000000000000000000000000000ab --txpool.lifetime 1h30m --http.vhosts= \
         --rpc.txfeecap 0.25 --rpc.gascap 0 --txpool.pricelimit 340282366920938463463374607431768211455 --networkid 18446744073709551615",
        "--genesis g.json --identity me --ipcdisable --nodiscover --p2p.mdns --p2p.quic --maxpeers 7 --p2p.addr ::1 --metrics --metrics.port 0 \
         --bootnodes /ip4/10.0.0.7/tcp/30303/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X,/dns4/b/tcp/1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X \
         --p2p.trusted 12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X --p2p.external /ip4/203.0.113.7/tcp/1 --log.format json --log.file x.log --color never \
         --rpc.jwtsecret secret --rpc.connections 100 --rpc.allow-exposed \
         --desk=false --desk.registry 0x00000000000000000000000000000000000000ab --desk.operator 0x00000000000000000000000000000000000000cd --index \
         --fsync block --cache 512 --miner.recommit 500ms --miner.etherbase 1 --ipcpath /tmp/x.ipc --keystore keys",
    ] {
        let loaded = load_line(line, &[]).unwrap();
        for origins in [Origins::Shown, Origins::Hidden] {
            let text = to_toml(&loaded, origins);
            let (_folder, with_file) = file(&text);
            let read = load_line(&with_file, &[]).unwrap();
            assert_eq!(read.config, loaded.config, "{line}\n{text}");
        }
    }
    let shown = to_toml(&load_line("--http", &[("DRAWBRIDGE_MINE", "true")]).unwrap(), Origins::Shown);
    let has = |start: &str, end: &str| shown.lines().any(|line| line.starts_with(start) && line.ends_with(end));
    assert!(has("enabled = true", "# flag"), "{shown}");
    assert!(has("mine = true", "# environment"), "{shown}");
    assert!(has("port = 8545", "# default"), "{shown}");
}
