//! The texts that `network new` writes: a configuration for each node, and what starts them.

use std::fmt::Write as _;
use std::path::Path;

use super::new::PlannedNode;
use crate::cli::network_commands::NewArgs;

/// What a node for JSON-RPC offers: what clients, and the desk's explorer, ask for.
const APIS: [&str; 6] = ["eth", "net", "web3", "drawbridge", "txpool", "ots"];

/// Returns the configuration of one node. Paths are those from the network's folder.
pub(super) fn config(args: &NewArgs, node: &PlannedNode, all: &[PlannedNode]) -> String {
    let others: Vec<_> =
        all.iter().filter(|other| other.name != node.name).map(|other| format!("{:?}", other.address())).collect();
    let name = &node.name;
    let mut text = format!(
        "# {name}: start it in the folder above this file, by `drawbridge --config {name}/node.toml`.\n\
         datadir = \"{name}\"\ngenesis = \"genesis.json\"\nidentity = \"{name}\"\nport = {}\n",
        node.port
    );
    if node.miner.is_some() {
        // The key is open only to the local socket: HTTP is off.
        let _ = writeln!(text, "mine = true\nunlock = [\"0\"]\npassword = \"{name}/password.txt\"");
    }
    if node.rpc_port.is_some() {
        // People open the desk there.
        text.push_str("index = true\n");
    }
    let _ = writeln!(text, "\n[p2p]\nenabled = true\nreserved = [{}]", others.join(", "));
    if let Some(miner) = node.miner {
        let _ = writeln!(text, "\n[miner]\nthreads = 1\ncpu = {}\netherbase = \"{miner}\"", args.miner_cpu);
    }
    if let Some(port) = node.rpc_port {
        for transport in ["http", "ws"] {
            let _ = writeln!(text, "\n[{transport}]\nenabled = true\nport = {port}\napi = {APIS:?}");
        }
    }
    let _ = writeln!(text, "\n[metrics]\nenabled = true\nport = {}", node.metrics_port);
    text
}

/// Returns a compose file in which each node is a container that the others reach by its name.
pub(super) fn compose(args: &NewArgs, nodes: &[PlannedNode]) -> String {
    let mut text = String::from(
        "# One container per node; the image holds the drawbridge program as its entry point.\n# docker compose up -d\nservices:\n",
    );
    for node in nodes {
        let others: Vec<_> =
            nodes.iter().filter(|other| other.name != node.name).map(|other| other.address_at(&other.name)).collect();
        let name = &node.name;
        let _ = write!(
            text,
            "  {name}:\n    image: {}\n    command: [\"--config\", \"{name}/node.toml\"]\n    working_dir: /network\n    \
             volumes: [\".:/network\"]\n    environment:\n      DRAWBRIDGE_P2P_RESERVED: \"{}\"\n      \
             DRAWBRIDGE_METRICS_ADDR: \"0.0.0.0\"\n",
            args.image,
            others.join(",")
        );
        if let Some(port) = node.rpc_port {
            let _ = write!(
                text,
                "      DRAWBRIDGE_HTTP_ADDR: \"0.0.0.0\"\n      DRAWBRIDGE_WS_ADDR: \"0.0.0.0\"\n    ports: [\"127.0.0.1:{port}:{port}\"]\n"
            );
        }
        text.push_str("    stop_grace_period: 30s\n    restart: unless-stopped\n");
    }
    text
}

/// Returns a systemd unit, one for all nodes: its instance is the node's name.
pub(super) fn unit(folder: &Path) -> String {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    format!(
        "# cp drawbridge@.service /etc/systemd/system/ ; systemctl enable --now drawbridge@node1\n\
         [Unit]\nDescription=Drawbridge node %i\nAfter=network-online.target\nWants=network-online.target\n\n\
         [Service]\nWorkingDirectory={}\nExecStart=/usr/local/bin/drawbridge --config %i/node.toml\n\
         KillSignal=SIGTERM\nTimeoutStopSec=30\nRestart=on-failure\n\
         RestartPreventExitStatus=2 65 66 75 76 77\nLimitNOFILE=65536\nNoNewPrivileges=true\n\n\
         [Install]\nWantedBy=multi-user.target\n",
        folder.display()
    )
}

/// Returns a script that starts the nodes which are named, or all, and ends them together.
pub(super) fn start_script(nodes: &[PlannedNode]) -> String {
    let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
    START_SCRIPT.replace("NAMES", &names.join(" "))
}

/// The log goes to a file; of what a node writes beside it only the reason for which it ended is shown.
const START_SCRIPT: &str = r#"#!/bin/sh
# Starts all nodes of this network on this machine, or those that are named: ./start.sh node1 rpc1
# DRAWBRIDGE names the program. Ctrl-C ends them.
set -eu
program=${DRAWBRIDGE:-drawbridge}
command -v "$program" >/dev/null || {
  echo "error: there is no program $program" >&2
  echo "remedy: put drawbridge into a folder of PATH, or name it: DRAWBRIDGE=/path/to/drawbridge $0" >&2
  exit 127
}
case $program in */*) program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program") ;; esac
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- NAMES
for name in "$@"; do
  [ -f "$name/node.toml" ] || {
    echo "error: there is no $name/node.toml" >&2
    echo "remedy: name nodes of this folder: NAMES" >&2
    exit 65
  }
done
pids= names=$*
finish() {
  trap - INT TERM EXIT
  kill $pids 2>/dev/null || :
  wait
  for name in $names; do rm -f "$name/stderr"; done
}
trap finish EXIT
trap 'finish; exit 0' INT TERM
for name in "$@"; do
  rm -f "$name/stderr"
  mkfifo "$name/stderr"
  sed -n -e "s|^error: |$name: error: |p" -e "s|^remedy: |$name: remedy: |p" <"$name/stderr" >&2 &
  "$program" --config "$name/node.toml" --log.file "$name/node.log" 2>"$name/stderr" >/dev/null &
  pids="$pids $!"
  echo "$name: process $!, log $name/node.log"
done
status=0
for pid in $pids; do
  wait "$pid" || status=$?
done
exit $status
"#;

/// Returns what to do with the folder.
pub(super) fn readme(nodes: &[PlannedNode]) -> String {
    let mut text = String::from(
        "A Drawbridge network. This folder holds secrets: swarm.key (who may talk at all), and for each miner its key and\n\
         password. Nobody but the operators may read it.\n\n\
         On this machine       drawbridge network run .       (or ./start.sh)\n\
         On several machines   copy genesis.json, drawbridge@.service and the folder of a node to its machine, into one\n\
         \x20                     folder there, and start it by `drawbridge --config NAME/node.toml` or by systemd\n\
         In containers         docker compose up -d\n\
         Further machines      drawbridge network ticket .    prints one line; there: drawbridge join LINE\n\nNodes:\n",
    );
    for node in nodes {
        let role = if node.miner.is_some() { "mines" } else { "serves JSON-RPC" };
        let _ = writeln!(text, "  {:<8} {role}, {}", node.name, node.address());
    }
    text
}
