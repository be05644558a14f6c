//! The configuration as a TOML file that reads back as the same configuration, each line with its origin.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::path::Path;
use std::time::Duration;

use toml::Value;

use super::layers::{Loaded, key_of};
use super::values::{Ether, ExtraData, Span, name_of};
use super::{ChainFileChoice, DevConfig, NodeConfig, Origin};

/// A setting under its flag's name; none: nothing is set.
pub type Setting = (&'static str, Option<Value>);

/// The settings that name a file or a folder from the current directory.
pub(super) const PATHS: [&str; 11] = [
    "datadir",
    "genesis",
    "nodekey",
    "p2p.swarmkey",
    "p2p.permissions",
    "ipcpath",
    "rpc.keys",
    "rpc.jwtsecret",
    "keystore",
    "password",
    "log.file",
];

/// Says whether each line tells where its value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origins {
    /// A comment on each line.
    Shown,
    /// None.
    Hidden,
}

/// Returns the configuration as TOML.
pub fn to_toml(loaded: &Loaded, origins: Origins) -> String {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in settings(&loaded.config) {
        let key = key_of(name);
        let (table, key) = key.split_once('.').unwrap_or(("", &key));
        let line = match &value {
            Some(value) => format!("{key} = {value}"),
            None => format!("# {key} is not set"),
        };
        let origin = origin_of(loaded, name);
        let line = match (origins, value.is_some()) {
            (Origins::Shown, true) => format!("{line:<50} # {}", origin.name()),
            _ => line,
        };
        tables.entry(table.to_owned()).or_default().push(line);
    }
    let mut text = String::new();
    for (table, lines) in tables {
        if !table.is_empty() {
            write!(text, "\n[{table}]\n").expect("writing to a String cannot fail");
        }
        for line in lines {
            writeln!(text, "{line}").expect("writing to a String cannot fail");
        }
    }
    text
}

fn origin_of(loaded: &Loaded, name: &str) -> Origin {
    // History has two names.
    let given = [name, if name == "history" { "gcmode" } else { name }];
    given.iter().find_map(|name| loaded.origins.get(*name)).copied().unwrap_or(Origin::Default)
}

/// Returns the settings that somebody gave, with their paths from the root, so that they mean the same wherever the program is started.
///
/// # Errors
/// The current directory is not there.
pub fn given_settings(loaded: &Loaded) -> std::io::Result<Vec<(&'static str, Value)>> {
    let mut given = Vec::new();
    for (name, value) in settings(&loaded.config) {
        if origin_of(loaded, name) == Origin::Default {
            continue;
        }
        match value {
            Some(Value::String(file)) if PATHS.contains(&name) && !file.is_empty() => {
                given.push((name, Value::String(std::path::absolute(file)?.display().to_string())));
            }
            Some(value) => given.push((name, value)),
            None => {}
        }
    }
    Ok(given)
}

/// Adds a setting to a configuration file's table, under its key.
pub fn insert(table: &mut toml::Table, name: &str, value: Value) {
    let key = key_of(name);
    match key.split_once('.') {
        None => {
            table.insert(key, value);
        }
        Some((section, key)) => {
            let section = table.entry(section).or_insert_with(|| Value::Table(toml::Table::new()));
            if let Value::Table(section) = section {
                section.insert(key.to_owned(), value);
            }
        }
    }
}

/// Returns every setting with its value.
pub fn settings(config: &NodeConfig) -> Vec<Setting> {
    let mut settings = data_settings(config);
    settings.extend(network_settings(config));
    settings.extend(serving_settings(config));
    settings.extend(account_settings(config));
    settings.extend(miner_settings(config));
    settings.extend(pool_settings(config));
    settings.extend(dev_settings(config));
    settings.extend(log_settings(config));
    settings
}

fn data_settings(config: &NodeConfig) -> Vec<Setting> {
    let (data, chain) = (&config.data, &config.chain);
    let genesis = match &chain.file {
        ChainFileChoice::File(file) => path(file),
        ChainFileChoice::Stored | ChainFileChoice::Dev => None,
    };
    vec![
        // A temporary directory is not a setting: it is another one at each start.
        ("datadir", if data.temporary { None } else { path(&data.dir) }),
        ("history", number(data.history_blocks.map_or(0, std::num::NonZeroU64::get))),
        ("index", data.index.and_then(switch)),
        ("cache", number(data.cache_mib)),
        ("fsync", text(name_of(&data.fsync))),
        ("genesis", genesis),
        ("networkid", chain.network_id.and_then(number)),
        ("syncmode", text(name_of(&chain.sync_mode))),
    ]
}

fn network_settings(config: &NodeConfig) -> Vec<Setting> {
    let (network, metrics) = (&config.network, &config.metrics);
    vec![
        ("p2p", switch(network.enabled)),
        ("port", number(network.port)),
        ("p2p.addr", text(network.host)),
        ("p2p.external", list(&network.external)),
        ("nodekey", in_datadir(config, &network.node_key_file)),
        ("p2p.swarmkey", network.swarm_key_file.as_deref().and_then(path)),
        ("p2p.quic", switch(network.quic)),
        ("nodiscover", switch(!network.discover)),
        ("p2p.mdns", switch(network.mdns)),
        ("bootnodes", list(&network.boot_nodes)),
        ("p2p.static", list(&network.static_peers)),
        ("p2p.trusted", list(&network.trusted)),
        ("p2p.reserved", list(&network.reserved)),
        ("p2p.permissions", network.permissions_file.as_deref().and_then(path)),
        ("maxpeers", number(network.peers_max)),
        ("p2p.maxperip", number(network.per_address_max)),
        ("p2p.maxmemory", number(network.memory_mib_max.map_or(0, std::num::NonZeroU64::get))),
        ("identity", network.identity.as_ref().and_then(text)),
        ("metrics", switch(metrics.enabled)),
        ("metrics.addr", text(metrics.host)),
        ("metrics.port", number(metrics.port)),
    ]
}

fn serving_settings(config: &NodeConfig) -> Vec<Setting> {
    let (http, ws, ipc, rpc, gas_price) = (&config.http, &config.ws, &config.ipc, &config.rpc, &config.gas_price);
    let mqtt = &config.mqtt;
    vec![
        ("http", switch(http.enabled)),
        ("http.addr", text(&http.host)),
        ("http.port", number(http.port)),
        ("http.api", list(&http.apis)),
        ("http.corsdomain", list(&http.cors_origins)),
        ("http.vhosts", list(&http.virtual_hosts)),
        ("desk", switch(http.desk)),
        ("desk.registry", list(&http.desk_registries)),
        ("desk.operator", http.desk_operator.and_then(text)),
        ("ws", switch(ws.enabled)),
        ("ws.addr", text(&ws.host)),
        ("ws.port", number(ws.port)),
        ("ws.api", list(&ws.apis)),
        ("ws.origins", list(&ws.origins)),
        ("mqtt", switch(mqtt.enabled)),
        ("mqtt.addr", text(&mqtt.host)),
        ("mqtt.port", number(mqtt.port)),
        ("mqtt.https", switch(mqtt.https_port.is_some())),
        ("mqtt.httpsport", mqtt.https_port.and_then(number)),
        ("ipcdisable", switch(!ipc.enabled)),
        ("ipcpath", in_datadir(config, &ipc.path)),
        ("rpc.gascap", number(rpc.gas_cap.map_or(0, std::num::NonZeroU64::get))),
        ("rpc.evmtimeout", span(rpc.evm_timeout.unwrap_or_default())),
        ("rpc.txfeecap", text(Ether { wei: rpc.tx_fee_cap_wei.unwrap_or(0) })),
        ("rpc.batch-request-limit", number(rpc.batch_requests_max.unwrap_or(0))),
        ("rpc.batch-response-max-size", number(rpc.batch_response_bytes_max.unwrap_or(0))),
        ("rpc.keys", rpc.keys_file.as_deref().and_then(path)),
        ("rpc.jwtsecret", rpc.jwt_secret_file.as_deref().and_then(path)),
        ("rpc.allow-exposed", switch(rpc.allow_exposed)),
        ("rpc.connections", number(rpc.connections_max)),
        ("rpc.allow-unprotected-txs", switch(rpc.allow_unprotected_txs)),
        ("gpo.blocks", number(gas_price.blocks)),
        ("gpo.percentile", number(gas_price.percentile)),
        ("gpo.maxprice", wei(gas_price.tip_wei_max)),
        ("gpo.ignoreprice", wei(gas_price.tip_wei_ignored)),
    ]
}

fn account_settings(config: &NodeConfig) -> Vec<Setting> {
    let accounts = &config.accounts;
    vec![
        ("keystore", in_datadir(config, &accounts.keystore_dir)),
        ("password", accounts.password_file.as_deref().and_then(path)),
        ("lightkdf", switch(accounts.light_kdf)),
        ("unlock", list(&accounts.unlock)),
        ("allow-insecure-unlock", switch(accounts.allow_insecure_unlock)),
    ]
}

fn miner_settings(config: &NodeConfig) -> Vec<Setting> {
    let miner = &config.miner;
    vec![
        ("mine", switch(miner.enabled)),
        ("miner.threads", number(miner.threads)),
        ("miner.etherbase", miner.etherbase.and_then(text)),
        ("miner.gaslimit", number(miner.gas_limit)),
        ("miner.gasprice", wei(miner.tip_wei_min)),
        ("miner.extradata", text(ExtraData(miner.extra_data.clone()))),
        ("miner.order", text(name_of(&miner.order))),
        ("miner.cpu", number(miner.cpu_percent)),
        ("miner.recommit", span(miner.recommit)),
    ]
}

fn pool_settings(config: &NodeConfig) -> Vec<Setting> {
    let pool = &config.pool;
    let journal = pool.journal.as_deref().unwrap_or(Path::new(""));
    // It is read relative to the data directory.
    let journal = journal.strip_prefix(&config.data.dir).unwrap_or(journal);
    vec![
        ("txpool.locals", list(&pool.locals)),
        ("txpool.nolocals", switch(pool.no_locals)),
        ("txpool.journal", path(journal)),
        ("txpool.rejournal", span(pool.rejournal)),
        ("txpool.pricelimit", wei(pool.price_limit_wei)),
        ("txpool.pricebump", number(pool.price_bump_percent)),
        ("txpool.accountslots", number(pool.account_slots)),
        ("txpool.globalslots", number(pool.global_slots)),
        ("txpool.accountqueue", number(pool.account_queue)),
        ("txpool.globalqueue", number(pool.global_queue)),
        ("txpool.lifetime", span(pool.lifetime)),
    ]
}

fn dev_settings(config: &NodeConfig) -> Vec<Setting> {
    let defaults = DevConfig::default();
    let dev = config.dev.as_ref().unwrap_or(&defaults);
    vec![
        ("dev", switch(config.dev.is_some())),
        ("dev.period", span(dev.period.unwrap_or_default())),
        ("dev.accounts", number(dev.accounts)),
        ("dev.mnemonic", text(&dev.mnemonic)),
    ]
}

fn log_settings(config: &NodeConfig) -> Vec<Setting> {
    let log = &config.log;
    vec![
        ("verbosity", number(log.verbosity)),
        ("log.format", text(name_of(&log.format))),
        ("log.file", log.file.as_deref().and_then(path)),
        ("log.maxsize", number(log.file_size_mib_max)),
        ("color", text(name_of(&log.color))),
    ]
}

fn text(value: impl Display) -> Option<Value> {
    Some(Value::String(value.to_string()))
}

fn switch(value: bool) -> Option<Value> {
    Some(Value::Boolean(value))
}

/// TOML's numbers are 64 bits with a sign; larger ones are written as text, which reads the same.
fn number(value: impl Into<u64>) -> Option<Value> {
    let value = value.into();
    Some(i64::try_from(value).map_or_else(|_| Value::String(value.to_string()), Value::Integer))
}

fn wei(value: u128) -> Option<Value> {
    u64::try_from(value).map_or_else(|_| text(value), number)
}

fn span(value: Duration) -> Option<Value> {
    text(Span(value))
}

fn list(items: &[impl Display]) -> Option<Value> {
    Some(Value::Array(items.iter().map(|item| Value::String(item.to_string())).collect()))
}

fn path(path: &Path) -> Option<Value> {
    text(path.display())
}

/// A path in a temporary directory is no setting.
fn in_datadir(config: &NodeConfig, file: &Path) -> Option<Value> {
    if config.data.temporary && file.starts_with(&config.data.dir) { None } else { path(file) }
}
