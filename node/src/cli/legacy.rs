//! The names of old geth versions (1.9 to 1.11), so that the commands which papers, courses and scripts print still start
//! a node. Each old name gives one warning that says the new one. Pure: words in, words and warnings out.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;

/// Something the operator should know that does not stop the program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning(
    /// The text.
    pub String,
);

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What an old name means today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The same under another name.
    Renamed(&'static str),
    /// A switch that is now this flag with this value.
    SwitchTo(&'static str, &'static str),
    /// A switch without an effect here.
    IgnoredSwitch(&'static str),
    /// A flag with a value, without an effect here.
    IgnoredValue(&'static str),
}

use Meaning::{IgnoredSwitch, IgnoredValue, Renamed, SwitchTo};

const NO_DAG: &str = "the proof of work needs no DAG";
const OWN_NETWORK: &str = "nodes find each other by --bootnodes, --p2p.static and --p2p.mdns";
const ONE_CHAIN: &str = "nodes of another chain are refused by its genesis block";
const NOT_HERE: &str = "there is nothing like it here";
const ALWAYS_FULL: &str = "the node always executes every block";
const FLAT_STATE: &str = "the state is always kept flat";
const ONE_CACHE: &str = "--cache sizes all caches";
const ONLY_PROMETHEUS: &str = "metrics are served in Prometheus' format by --metrics";

/// Old name ⇒ what it means, both without dashes. Names that end in `.*` stand for all names that begin so.
const TABLE: &[(&str, Meaning)] = &[
    // JSON-RPC, geth 1.9.
    ("rpc", Renamed("http")),
    ("rpcaddr", Renamed("http.addr")),
    ("rpcport", Renamed("http.port")),
    ("rpcapi", Renamed("http.api")),
    ("rpccorsdomain", Renamed("http.corsdomain")),
    ("rpcvhosts", Renamed("http.vhosts")),
    ("wsaddr", Renamed("ws.addr")),
    ("wsport", Renamed("ws.port")),
    ("wsapi", Renamed("ws.api")),
    ("wsorigins", Renamed("ws.origins")),
    ("ipcapi", IgnoredValue("the local socket serves every namespace")),
    ("rpc.enabledeprecatedpersonal", IgnoredSwitch("add personal to --http.api")),
    ("http.rpcprefix", IgnoredValue("requests are served at /")),
    ("ws.rpcprefix", IgnoredValue("requests are served at /")),
    ("authrpc.*", IgnoredValue("there is no consensus client")),
    ("graphql", IgnoredSwitch(NOT_HERE)),
    ("graphql.*", IgnoredValue(NOT_HERE)),
    // Mining, geth 1.9.
    ("etherbase", Renamed("miner.etherbase")),
    ("gasprice", Renamed("miner.gasprice")),
    ("gaslimit", Renamed("miner.gaslimit")),
    ("targetgaslimit", Renamed("miner.gaslimit")),
    ("gastarget", Renamed("miner.gaslimit")),
    ("miner.gastarget", Renamed("miner.gaslimit")),
    ("minerthreads", Renamed("miner.threads")),
    ("extradata", Renamed("miner.extradata")),
    ("miner.noverify", IgnoredSwitch("every block is verified")),
    ("miner.notify", IgnoredValue(NOT_HERE)),
    ("miner.notify.full", IgnoredSwitch(NOT_HERE)),
    ("minernotify", IgnoredValue(NOT_HERE)),
    ("miner.newpayload-timeout", IgnoredValue("there is no consensus client")),
    ("gpoblocks", Renamed("gpo.blocks")),
    ("gpopercentile", Renamed("gpo.percentile")),
    // Proof of work.
    ("ethash.cacheslockmmap", IgnoredSwitch(NO_DAG)),
    ("ethash.dagslockmmap", IgnoredSwitch(NO_DAG)),
    ("ethash.*", IgnoredValue(NO_DAG)),
    ("fakepow", IgnoredSwitch("seals are always verified; set a low difficulty in the chain file")),
    // State and database.
    ("snapshot", IgnoredSwitch(FLAT_STATE)),
    ("bloomfilter.size", IgnoredValue(FLAT_STATE)),
    ("state.scheme", IgnoredValue(FLAT_STATE)),
    ("history.state", Renamed("history")),
    ("history.transactions", IgnoredValue("all transactions are indexed")),
    ("txlookuplimit", IgnoredValue("all transactions are indexed")),
    ("datadir.ancient", IgnoredValue("the database is one directory")),
    ("datadir.minfreedisk", IgnoredValue(NOT_HERE)),
    ("db.engine", IgnoredValue("the database is RocksDB")),
    ("cache.noprefetch", IgnoredSwitch(ONE_CACHE)),
    ("cache.preimages", IgnoredSwitch(ONE_CACHE)),
    ("cache.*", IgnoredValue(ONE_CACHE)),
    ("fdlimit", IgnoredValue(NOT_HERE)),
    // Catching up.
    ("fast", IgnoredSwitch(ALWAYS_FULL)),
    ("light", IgnoredSwitch(ALWAYS_FULL)),
    ("exitwhensynced", IgnoredSwitch(NOT_HERE)),
    ("lightserv", IgnoredValue(NOT_HERE)),
    ("lightpeers", IgnoredValue(NOT_HERE)),
    ("light.nosyncserve", IgnoredSwitch(NOT_HERE)),
    ("light.nopruning", IgnoredSwitch(NOT_HERE)),
    ("light.*", IgnoredValue(NOT_HERE)),
    ("ulc.*", IgnoredValue(NOT_HERE)),
    ("whitelist", IgnoredValue(ONE_CHAIN)),
    ("eth.requiredblocks", IgnoredValue(ONE_CHAIN)),
    // Other nodes.
    ("nat", IgnoredValue("name the address that others reach by --p2p.external")),
    ("netrestrict", IgnoredValue("list the nodes that may come by --p2p.permissions")),
    ("nodekeyhex", IgnoredValue("others could read it: write the key into a file and name it by --nodekey")),
    ("maxpendpeers", IgnoredValue("connections that are being made have a fixed limit")),
    ("discovery.dns", IgnoredValue(OWN_NETWORK)),
    ("discovery.port", IgnoredValue(OWN_NETWORK)),
    ("bootnodesv4", Renamed("bootnodes")),
    ("bootnodesv5", Renamed("bootnodes")),
    ("v5disc", IgnoredSwitch(OWN_NETWORK)),
    ("discovery.v4", IgnoredSwitch(OWN_NETWORK)),
    ("discovery.v5", IgnoredSwitch(OWN_NETWORK)),
    ("ethstats", IgnoredValue(NOT_HERE)),
    // Wallets.
    ("nousb", IgnoredSwitch("there are no hardware wallets")),
    ("usb", IgnoredSwitch("there are no hardware wallets")),
    ("pcscdpath", IgnoredValue("there are no hardware wallets")),
    ("signer", IgnoredValue("the node signs with its own keystore")),
    // Logs and measurements.
    ("log.json", SwitchTo("log.format", "json")),
    ("log.debug", IgnoredSwitch("use --verbosity 4")),
    ("debug", IgnoredSwitch("use --verbosity 4")),
    ("log.backtrace", IgnoredValue(NOT_HERE)),
    ("log.vmodule", IgnoredValue("use --verbosity")),
    ("vmodule", IgnoredValue("use --verbosity")),
    ("backtrace", IgnoredValue(NOT_HERE)),
    ("metrics.expensive", IgnoredSwitch("all metrics are cheap")),
    ("metrics.influxdb", IgnoredSwitch(ONLY_PROMETHEUS)),
    ("metrics.influxdbv2", IgnoredSwitch(ONLY_PROMETHEUS)),
    ("metrics.influxdb.*", IgnoredValue(ONLY_PROMETHEUS)),
    ("pprof", IgnoredSwitch(NOT_HERE)),
    ("pprof.*", IgnoredValue(NOT_HERE)),
    ("vmdebug", IgnoredSwitch(NOT_HERE)),
    // The console.
    ("jspath", IgnoredValue("there is no console")),
    ("preload", IgnoredValue("there is no console")),
    ("docroot", IgnoredValue("there is no console")),
];

/// Translates a command line, program name first, into today's names. A long flag may begin with one dash, as in Go.
pub fn translate(args: Vec<OsString>) -> (Vec<OsString>, Vec<Warning>) {
    let with_value = super::flags_with_values();
    let mut warned = BTreeSet::new();
    let (mut out, mut warnings) = (Vec::new(), Vec::new());
    let mut words = args.into_iter().peekable();
    out.extend(words.next());
    // A command of today, whose --rpc is no old name.
    let is_mine = words.peek().is_some_and(|word| word == "mine");
    while let Some(word) = words.next() {
        if word == "--" {
            out.push(word);
            out.extend(words);
            break;
        }
        let Some(flag) = Flag::parse(&word) else {
            out.push(word);
            continue;
        };
        let meaning = meaning_of(&flag.name).filter(|_| !is_mine);
        if let Some(meaning) = meaning
            && warned.insert(flag.name.clone())
        {
            warnings.push(meaning.warning(&flag.name));
        }
        let name = match meaning {
            None => flag.name.as_str(),
            Some(Renamed(new)) => new,
            Some(SwitchTo(new, value)) => {
                if flag.value.as_deref() != Some("false") {
                    out.push(format!("--{new}={value}").into());
                }
                continue;
            }
            Some(IgnoredSwitch(_)) => continue,
            Some(IgnoredValue(_)) => {
                if flag.value.is_none() {
                    words.next_if(|word| !word.to_string_lossy().starts_with('-'));
                }
                continue;
            }
        };
        match &flag.value {
            Some(value) => out.push(format!("--{name}={value}").into()),
            None => {
                out.push(format!("--{name}").into());
                if with_value.contains(name) {
                    out.extend(words.next());
                }
            }
        }
    }
    (out, warnings)
}

impl Meaning {
    fn warning(self, old: &str) -> Warning {
        Warning(match self {
            Renamed(new) => format!("--{old} is an old name: write --{new}"),
            SwitchTo(new, value) => format!("--{old} is an old name: write --{new} {value}"),
            IgnoredSwitch(reason) | IgnoredValue(reason) => format!("--{old} has no effect: {reason}"),
        })
    }
}

fn meaning_of(name: &str) -> Option<Meaning> {
    let matches = |old: &str| match old.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == old,
    };
    TABLE.iter().find(|(old, _)| matches(old)).map(|(_, meaning)| *meaning)
}

/// A word that is a long flag, after one dash or two.
struct Flag {
    name: String,
    value: Option<String>,
}

impl Flag {
    /// Returns nothing for values, short flags such as `-h`, numbers, and words that are no text.
    fn parse(word: &OsString) -> Option<Self> {
        let word = word.to_str()?;
        let body = word.strip_prefix("--").or_else(|| word.strip_prefix('-').filter(|body| body.len() > 1))?;
        if !body.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return None;
        }
        Some(match body.split_once('=') {
            Some((name, value)) => Self { name: name.into(), value: Some(value.into()) },
            None => Self { name: body.into(), value: None },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn split(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn translated(line: &str) -> (String, Vec<String>) {
        let (out, warnings) = translate(split(&format!("drawbridge {line}")));
        let out: Vec<_> = out[1..].iter().map(|word| word.to_str().unwrap()).collect();
        (out.join(" "), warnings.into_iter().map(|warning| warning.0).collect())
    }

    #[test]
    fn old_names_become_todays() {
        for (old, new) in [
            ("--rpc --rpcaddr localhost --rpcport 8545", "--http --http.addr localhost --http.port 8545"),
            ("--rpcapi=eth,db --rpccorsdomain=*", "--http.api=eth,db --http.corsdomain=*"),
            ("--rpc=false", "--http=false"),
            ("mine --rpc http://node:8545 --threads 2", "mine --rpc http://node:8545 --threads 2"),
            (
                "--ws --wsaddr 0.0.0.0 --wsport 8546 --wsorigins *",
                "--ws --ws.addr 0.0.0.0 --ws.port 8546 --ws.origins *",
            ),
            ("--gasprice 1 --targetgaslimit 9", "--miner.gasprice 1 --miner.gaslimit 9"),
            (
                "--minerthreads=2 --etherbase 0xab --extradata x",
                "--miner.threads=2 --miner.etherbase 0xab --miner.extradata x",
            ),
            ("-unlock 0 -mine", "--unlock 0 --mine"),
            ("-rpcport=1", "--http.port=1"),
            ("--nousb --snapshot=false --ethash.dagdir /d --ethash.cachesinmem=2 --mine", "--mine"),
            ("--ethash.dagslockmmap --mine", "--mine"),
            ("--cache 512 --cache.gc 25 --cache.noprefetch", "--cache 512"),
            ("--metrics --metrics.expensive --pprof --pprof.addr 0.0.0.0 --ethstats a:b@c --http", "--metrics --http"),
            ("--log.json", "--log.format=json"),
            ("--log.json=false", ""),
            ("--nat --mine", "--mine"),
            ("-h", "-h"),
            ("--datadir -rpc", "--datadir -rpc"),
            ("account new --password -x", "account new --password -x"),
            ("export file -- -rpc", "export file -- -rpc"),
            ("-5 - --", "-5 - --"),
            ("-nonsense", "--nonsense"),
        ] {
            assert_eq!(translated(old).0, new, "{old}");
        }
    }

    #[test]
    fn each_old_name_warns_once_with_the_new_one() {
        let (_, warnings) = translated("--rpcport 1 --rpcport 2 -rpc --nousb --http.api eth");
        assert_eq!(
            warnings,
            [
                "--rpcport is an old name: write --http.port",
                "--rpc is an old name: write --http",
                "--nousb has no effect: there are no hardware wallets"
            ]
        );
        assert!(translated("-unlock 0 --http --mine").1.is_empty());
    }

    #[test]
    fn the_table_renames_to_flags_that_exist_and_hides_none() {
        let flags: BTreeSet<_> =
            crate::cli::node_flags().get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
        for (old, meaning) in TABLE {
            assert!(!flags.contains(*old), "{old} is a flag of today");
            if let Renamed(new) | SwitchTo(new, _) = meaning {
                assert!(flags.contains(*new), "{old} leads to {new}");
            }
        }
        for flag in &flags {
            assert_eq!(meaning_of(flag), None, "{flag}");
        }
    }

    proptest! {
        #[test]
        fn any_words_are_translated_and_todays_names_stay(words in prop::collection::vec("-{0,2}[a-z0-9.=]{0,12}", 0..8)) {
            let args: Vec<OsString> = std::iter::once("drawbridge".into()).chain(words.into_iter().map(OsString::from)).collect();
            let (once, _) = translate(args);
            let (twice, warnings) = translate(once.clone());
            prop_assert_eq!(&once, &twice);
            prop_assert_eq!(warnings, vec![]);
        }
    }
}
