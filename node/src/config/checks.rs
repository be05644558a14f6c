//! From what was given to what holds: defaults filled in, values checked against each other.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rpc::exposure::{STEERING, is_local, steering};

use crate::cli::device_registry::MqttArgs;
use crate::cli::flags::{AccountArgs, ChainArgs, DataArgs, KeyArgs, LogArgs, NodeArgs, StorageArgs};
use crate::cli::legacy::Warning;
use crate::cli::serving_flags::{GasPriceArgs, HttpArgs, IpcArgs, RpcArgs, WsArgs};
use crate::cli::work_flags::{DevArgs, MinerArgs, PoolArgs};
use crate::exit::Fatal;

use super::network::{build_metrics, build_network};
use super::values::{GcMode, List, Span, SyncMode, Wei};
use super::{
    APIS, AccountsConfig, ChainConfig, ChainFileChoice, DataConfig, DevConfig, FULL_HISTORY_BLOCKS, GasPriceConfig,
    HTTPS_PORT, HttpConfig, IPC_FILE, IpcConfig, JOURNAL_FILE, LogConfig, MinerConfig, MqttConfig, NodeConfig,
    PoolConfig, RpcLimits, WsConfig,
};

/// Where paths that nobody gave lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The data directory of a node.
    pub datadir: PathBuf,
    /// The data directory of a development chain that goes at the end.
    pub temporary: PathBuf,
}

/// Makes the configuration from what flags, environment and file gave.
///
/// # Errors
/// Values that contradict each other; unlocked accounts that the network could use.
pub fn build(args: NodeArgs, places: &Places) -> Result<(NodeConfig, Vec<Warning>), Fatal> {
    let dev = build_dev(args.dev);
    let is_dev = dev.is_some();
    let mut warnings = Vec::new();
    let data = build_data(args.data, args.storage, places, is_dev)?;
    let rpc = build_rpc(args.rpc);
    let is_open = !rpc.allow_exposed && !rpc.is_authenticated();
    let http = build_http(args.http, is_dev, is_open, &mut warnings);
    let config = NodeConfig {
        chain: build_chain(args.chain, is_dev, &mut warnings),
        network: build_network(args.network, &data.dir),
        ws: build_ws(args.ws, is_dev, is_open, http.port, &mut warnings),
        http,
        ipc: build_ipc(args.ipc, &data.dir),
        mqtt: build_mqtt(args.mqtt),
        rpc,
        gas_price: build_gas_price(args.gas_price),
        accounts: build_accounts(args.keys, args.accounts, &data.dir, is_dev),
        miner: build_miner(args.miner, is_dev),
        pool: build_pool(args.pool, &data.dir),
        dev,
        metrics: build_metrics(args.metrics),
        log: log_config(args.log),
        data,
    };
    check_together(&config)?;
    check_exposure(&config)?;
    warn_of_exposure(&config, &mut warnings);
    Ok((config, warnings))
}

fn check_together(config: &NodeConfig) -> Result<(), Fatal> {
    let served = config.http.enabled || config.ws.enabled;
    if !config.accounts.unlock.is_empty() && served && !config.accounts.allow_insecure_unlock {
        return Err(Fatal::key(
            "account unlock with HTTP access is forbidden: whoever reaches the port could spend from the account",
            "leave out --http and --ws, or --unlock; in a network that you trust, add --allow-insecure-unlock",
        ));
    }
    if config.network.quic && config.network.swarm_key_file.is_some() {
        return Err(Fatal::config(
            "QUIC keeps no swarm key: with --p2p.quic everyone could reach a network that --p2p.swarmkey closes",
            "leave out one of them",
        ));
    }
    let (http, ws) = (&config.http, &config.ws);
    if http.enabled && ws.enabled && http.port == ws.port && http.port != 0 && http.host != ws.host {
        return Err(Fatal::config(
            format!(
                "port {} is to be served on two addresses: {} for HTTP, {} for WebSocket",
                http.port, http.host, ws.host
            ),
            "give --http.addr and --ws.addr the same value, or choose another --ws.port",
        ));
    }
    Ok(())
}

/// A transport that is served: where, which namespaces, and the flag that names them.
type Door<'a> = (&'a str, &'a [String], &'static str);

/// Returns the transports that are served beyond this machine.
fn open_doors(config: &NodeConfig) -> Vec<Door<'_>> {
    let (http, ws) = (&config.http, &config.ws);
    let http = http.enabled.then_some((http.host.as_str(), &http.apis[..], "--http.api"));
    let ws = ws.enabled.then_some((ws.host.as_str(), &ws.apis[..], "--ws.api"));
    http.into_iter().chain(ws).filter(|(host, ..)| !is_local(host)).collect()
}

/// Refuses to let strangers steer the node or spend from its accounts.
fn check_exposure(config: &NodeConfig) -> Result<(), Fatal> {
    const REMEDY: &str = "name API keys by --rpc.keys or a secret for tokens by --rpc.jwtsecret; in a network that you trust, add --rpc.allow-exposed";
    if config.rpc.allow_exposed || config.rpc.is_authenticated() {
        return Ok(());
    }
    for (host, apis, flag) in open_doors(config) {
        let named = steering(apis.iter().map(String::as_str));
        if !named.is_empty() {
            let named = named.join(", ");
            let cause =
                format!("{flag} would serve {named} on {host}: whoever reaches that address could steer the node");
            return Err(Fatal::key(cause, format!("leave them out, or {REMEDY}")));
        }
        if !config.accounts.unlock.is_empty() {
            let cause = format!("--unlock opens accounts to whoever reaches {host}");
            return Err(Fatal::key(cause, format!("leave it out, or {REMEDY}")));
        }
    }
    Ok(())
}

/// Tells the operator what others can reach.
fn warn_of_exposure(config: &NodeConfig, warnings: &mut Vec<Warning>) {
    if config.rpc.is_authenticated() {
        return;
    }
    for (host, apis, flag) in open_doors(config) {
        let named = steering(apis.iter().map(String::as_str)).join(", ");
        warnings.push(Warning(match (named.is_empty(), config.dev.is_some()) {
            (false, _) => format!(
                "{flag} serves {named} on {host}: whoever reaches that address steers the node; the local socket serves them to this user \
                 alone"
            ),
            (true, true) => format!(
                "{host} serves the development chain to whoever reaches it, with its unlocked accounts, whose keys are public"
            ),
            (true, false) => format!(
                "{host} serves JSON-RPC to whoever reaches it: --rpc.keys or --rpc.jwtsecret, or a proxy in front, say who may ask"
            ),
        }));
    }
}

fn build_dev(args: DevArgs) -> Option<DevConfig> {
    let defaults = DevConfig::default();
    args.dev.unwrap_or(false).then(|| DevConfig {
        period: args.dev_period.and_then(unlimited),
        accounts: args.dev_accounts.unwrap_or(defaults.accounts),
        mnemonic: args.dev_mnemonic.unwrap_or(defaults.mnemonic),
    })
}

fn build_data(args: DataArgs, storage: StorageArgs, places: &Places, is_dev: bool) -> Result<DataConfig, Fatal> {
    let defaults = DataConfig::default();
    let history = match (storage.history, storage.gcmode) {
        (Some(blocks), Some(GcMode::Archive)) if blocks != 0 => {
            return Err(Fatal::config(
                format!("--gcmode archive keeps all history, and --history keeps {blocks} blocks"),
                "give one of them",
            ));
        }
        (Some(blocks), _) => blocks,
        (None, Some(GcMode::Full)) => FULL_HISTORY_BLOCKS,
        (None, Some(GcMode::Archive) | None) => 0,
    };
    let temporary = is_dev && args.datadir.is_none();
    let fallback = if temporary { &places.temporary } else { &places.datadir };
    Ok(DataConfig {
        dir: args.datadir.unwrap_or_else(|| fallback.clone()),
        temporary,
        history_blocks: NonZeroU64::new(history),
        index: storage.index.or(is_dev.then_some(true)),
        cache_mib: storage.cache.unwrap_or(defaults.cache_mib),
        fsync: storage.fsync.unwrap_or_default(),
    })
}

fn build_chain(args: ChainArgs, is_dev: bool, warnings: &mut Vec<Warning>) -> ChainConfig {
    let sync_mode = args.syncmode.unwrap_or_default();
    if matches!(sync_mode, SyncMode::Fast | SyncMode::Light) {
        warnings.push(Warning("--syncmode: only full and snap are here; every block is executed".into()));
    }
    let file = match args.genesis {
        Some(file) => ChainFileChoice::File(file),
        None if is_dev => ChainFileChoice::Dev,
        None => ChainFileChoice::Stored,
    };
    let sync_mode = if sync_mode == SyncMode::Snap { SyncMode::Snap } else { SyncMode::Full };
    ChainConfig { file, network_id: args.networkid, sync_mode }
}

fn build_http(args: HttpArgs, is_dev: bool, is_open: bool, warnings: &mut Vec<Warning>) -> HttpConfig {
    let defaults = HttpConfig::default();
    let host = args.http_addr.unwrap_or(defaults.host);
    let is_stranger = is_open && !is_local(&host);
    HttpConfig {
        enabled: args.http.unwrap_or(is_dev),
        port: args.http_port.unwrap_or(defaults.port),
        apis: apis(args.http_api, default_apis(is_dev, is_stranger), "--http.api", warnings),
        host,
        cors_origins: listed(args.http_corsdomain, dev_origins(is_dev)),
        virtual_hosts: listed(args.http_vhosts, defaults.virtual_hosts),
        desk: args.desk.unwrap_or(defaults.desk),
        desk_registries: listed(args.desk_registry, defaults.desk_registries),
        desk_operator: args.desk_operator,
    }
}

fn build_ws(args: WsArgs, is_dev: bool, is_open: bool, http_port: u16, warnings: &mut Vec<Warning>) -> WsConfig {
    let defaults = WsConfig::default();
    let host = args.ws_addr.unwrap_or(defaults.host);
    let is_stranger = is_open && !is_local(&host);
    WsConfig {
        enabled: args.ws.unwrap_or(is_dev),
        port: args.ws_port.unwrap_or(if is_dev { http_port } else { defaults.port }),
        apis: apis(args.ws_api, default_apis(is_dev, is_stranger), "--ws.api", warnings),
        host,
        origins: listed(args.ws_origins, dev_origins(is_dev)),
    }
}

/// The development chain's accounts are public, so any page may use them: that is how browser tools reach it.
fn dev_origins(is_dev: bool) -> Vec<String> {
    if is_dev { vec!["*".into()] } else { Vec::new() }
}

/// The development chain opens everything, but what steers the node to nobody beyond this machine.
fn default_apis(is_dev: bool, is_stranger: bool) -> Vec<String> {
    let is_served = |name: &&str| !is_stranger || !STEERING.contains(name);
    if is_dev { APIS.into_iter().filter(is_served).map(str::to_owned).collect() } else { super::default_apis() }
}

/// Keeps the namespaces that there are, each once; warns of the others.
fn apis(given: Option<List<String>>, defaults: Vec<String>, flag: &str, warnings: &mut Vec<Warning>) -> Vec<String> {
    let mut apis = Vec::new();
    for name in listed(given, defaults) {
        if !APIS.contains(&name.as_str()) {
            warnings.push(Warning(format!("{flag}: there is no namespace `{name}`; it is left out")));
        } else if !is_dev && super::DEV_APIS.contains(&name.as_str()) {
            warnings.push(Warning(format!("{flag}: only a development chain (--dev) has `{name}`; it is left out")));
        } else if !apis.contains(&name) {
            apis.push(name);
        }
    }
    apis
}

fn build_ipc(args: IpcArgs, datadir: &Path) -> IpcConfig {
    IpcConfig {
        enabled: !args.ipcdisable.unwrap_or(false),
        // As in geth, a bare name lies in the data directory.
        path: match args.ipcpath {
            Some(path) if path.components().count() > 1 || path.is_absolute() => path,
            Some(name) if !name.as_os_str().is_empty() => datadir.join(name),
            _ => datadir.join(IPC_FILE),
        },
    }
}

fn build_mqtt(args: MqttArgs) -> MqttConfig {
    let defaults = MqttConfig::default();
    MqttConfig {
        enabled: args.mqtt.unwrap_or(defaults.enabled),
        host: args.mqtt_addr.unwrap_or(defaults.host),
        port: args.mqtt_port.unwrap_or(defaults.port),
        https_port: args.mqtt_https.unwrap_or(true).then(|| args.mqtt_httpsport.unwrap_or(HTTPS_PORT)),
    }
}

fn build_rpc(args: RpcArgs) -> RpcLimits {
    let defaults = RpcLimits::default();
    let limited = |given: Option<u32>, default| given.map_or(default, |limit| (limit != 0).then_some(limit));
    RpcLimits {
        gas_cap: args.rpc_gascap.map_or(defaults.gas_cap, NonZeroU64::new),
        evm_timeout: args.rpc_evmtimeout.map_or(defaults.evm_timeout, unlimited),
        tx_fee_cap_wei: args.rpc_txfeecap.map_or(defaults.tx_fee_cap_wei, |cap| (cap.wei != 0).then_some(cap.wei)),
        batch_requests_max: limited(args.rpc_batch_request_limit, defaults.batch_requests_max),
        batch_response_bytes_max: limited(args.rpc_batch_response_max_size, defaults.batch_response_bytes_max),
        allow_unprotected_txs: args.rpc_allow_unprotected_txs.unwrap_or(defaults.allow_unprotected_txs),
        keys_file: args.rpc_keys,
        jwt_secret_file: args.rpc_jwtsecret,
        allow_exposed: args.rpc_allow_exposed.unwrap_or(defaults.allow_exposed),
        connections_max: args.rpc_connections.unwrap_or(defaults.connections_max),
    }
}

fn build_gas_price(args: GasPriceArgs) -> GasPriceConfig {
    let defaults = GasPriceConfig::default();
    GasPriceConfig {
        blocks: args.gpo_blocks.unwrap_or(defaults.blocks),
        percentile: args.gpo_percentile.unwrap_or(defaults.percentile),
        tip_wei_max: wei(args.gpo_maxprice, defaults.tip_wei_max),
        tip_wei_ignored: wei(args.gpo_ignoreprice, defaults.tip_wei_ignored),
    }
}

fn build_accounts(keys: KeyArgs, accounts: AccountArgs, datadir: &Path, is_dev: bool) -> AccountsConfig {
    AccountsConfig {
        keystore_dir: keys.keystore.unwrap_or_else(|| datadir.join("keystore")),
        light_kdf: keys.lightkdf.unwrap_or(false),
        password_file: keys.password,
        unlock: listed(accounts.unlock, Vec::new()),
        allow_insecure_unlock: accounts.allow_insecure_unlock.unwrap_or(is_dev),
    }
}

fn build_miner(args: MinerArgs, is_dev: bool) -> MinerConfig {
    let defaults = MinerConfig::default();
    MinerConfig {
        enabled: args.mine.unwrap_or(is_dev),
        threads: args.miner_threads.unwrap_or(defaults.threads),
        etherbase: args.miner_etherbase,
        gas_limit: args.miner_gaslimit.unwrap_or(defaults.gas_limit),
        tip_wei_min: wei(args.miner_gasprice, defaults.tip_wei_min),
        extra_data: args.miner_extradata.map_or(defaults.extra_data, |data| data.0),
        order: args.miner_order.unwrap_or_default(),
        cpu_percent: args.miner_cpu.unwrap_or(defaults.cpu_percent),
        recommit: span(args.miner_recommit, defaults.recommit),
    }
}

fn build_pool(args: PoolArgs, datadir: &Path) -> PoolConfig {
    let defaults = PoolConfig::default();
    let journal = args.txpool_journal.unwrap_or_else(|| JOURNAL_FILE.into());
    PoolConfig {
        locals: listed(args.txpool_locals, Vec::new()),
        no_locals: args.txpool_nolocals.unwrap_or(false),
        // As in geth: relative to the data directory, and an empty path is no journal.
        journal: (!journal.is_empty()).then(|| datadir.join(journal)),
        rejournal: span(args.txpool_rejournal, defaults.rejournal),
        price_limit_wei: wei(args.txpool_pricelimit, defaults.price_limit_wei),
        price_bump_percent: args.txpool_pricebump.unwrap_or(defaults.price_bump_percent),
        account_slots: args.txpool_accountslots.unwrap_or(defaults.account_slots),
        global_slots: args.txpool_globalslots.unwrap_or(defaults.global_slots),
        account_queue: args.txpool_accountqueue.unwrap_or(defaults.account_queue),
        global_queue: args.txpool_globalqueue.unwrap_or(defaults.global_queue),
        lifetime: span(args.txpool_lifetime, defaults.lifetime),
    }
}

/// Returns what the flags about the log mean.
pub fn log_config(args: LogArgs) -> LogConfig {
    let defaults = LogConfig::default();
    LogConfig {
        verbosity: args.verbosity.unwrap_or(defaults.verbosity),
        format: args.log_format.unwrap_or_default(),
        file: args.log_file,
        file_size_mib_max: args.log_maxsize.unwrap_or(defaults.file_size_mib_max),
        color: args.color.unwrap_or_default(),
    }
}

fn listed<T>(given: Option<List<T>>, default: Vec<T>) -> Vec<T> {
    given.map_or(default, |list| list.0)
}

fn wei(given: Option<Wei>, default: u128) -> u128 {
    given.map_or(default, |amount| amount.0)
}

fn span(given: Option<Span>, default: Duration) -> Duration {
    given.map_or(default, |span| span.0)
}

/// Zero is no limit.
fn unlimited(span: Span) -> Option<Duration> {
    (!span.0.is_zero()).then_some(span.0)
}
