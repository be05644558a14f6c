//! What must not be reached by strangers: whoever steers the node, or signs with its accounts, is on this machine, or shows a key.

use std::net::IpAddr;

/// Namespaces that steer the node or sign with its accounts.
pub const STEERING: [&str; 8] = ["admin", "anvil", "device", "evm", "hardhat", "miner", "perm", "personal"];

/// Methods that change something in namespaces that otherwise only read.
const CHANGING: [&str; 8] = [
    "debug_chaindbCompact",
    "debug_clearTxpool",
    "debug_setHead",
    "debug_verbosity",
    "debug_vmodule",
    "txpool_cancel",
    "txpool_drop",
    "txpool_resend",
];

/// Tells whether a host to listen on is this machine's own.
pub fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns those of the namespaces that strangers must not reach.
pub fn steering<'a>(namespaces: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let is_steering = |name: &&str| STEERING.iter().any(|steering| steering.eq_ignore_ascii_case(name.trim()));
    namespaces.into_iter().filter(is_steering).collect()
}

/// Tells whether a method is kept from strangers though its namespace is not.
pub(crate) fn is_changing(method: &str) -> bool {
    CHANGING.contains(&method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_are_known() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["0.0.0.0", "::", "[::]", "10.0.0.1", "node.example", "localhost.example", ""] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn steering_namespaces_are_named_as_they_were_written() {
        assert_eq!(steering(["eth", " Admin", "debug", "personal"]), [" Admin", "personal"]);
    }

    #[test]
    fn what_changes_is_in_the_table_or_not_yet_there() {
        let reading: Vec<_> = CHANGING.iter().filter(|name| !name.starts_with("debug_")).collect();
        for name in reading {
            assert!(crate::METHODS.iter().any(|method| method.name == *name), "{name}");
        }
    }
}
