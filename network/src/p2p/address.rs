//! Where a peer is: a multiaddr that ends in its peer id, such as `/ip4/10.0.0.7/tcp/30303/p2p/12D3Koo…`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// A peer and one address of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddress {
    /// The peer.
    pub peer: PeerId,
    /// Where it is, without the peer id.
    pub address: Multiaddr,
}

/// Says why a text names no peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// An address of geth's network.
    #[error(
        "`{given}` is an address of another network protocol; write {instead}: the other node prints it at its start, \
         and admin_nodeInfo shows it"
    )]
    Enode {
        /// The text, shortened.
        given: String,
        /// What to write.
        instead: String,
    },
    /// No multiaddr at all.
    #[error("`{0}` is no multiaddr such as /ip4/10.0.0.7/tcp/30303/p2p/12D3Koo… or /dns4/node1/tcp/30303/p2p/12D3Koo…")]
    Malformed(String),
    /// The peer id is missing.
    #[error("`{0}` does not say who is there: add /p2p/ and the peer id that the other node prints at its start")]
    NoPeer(String),
    /// The peer id alone.
    #[error("`{0}` says who but not where: write it as /ip4/HOST/tcp/PORT/p2p/{0}")]
    NoPlace(String),
    /// A transport that is not spoken.
    #[error("`{0}` is neither /ip4, /ip6 or /dns with /tcp/PORT nor with /udp/PORT/quic-v1")]
    Transport(String),
}

/// How much of a text that cannot be read is repeated.
const SHOWN_CHARS: usize = 80;

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let shown: String = text.chars().take(SHOWN_CHARS).collect();
        if let Some(rest) = text.strip_prefix("enode://").or_else(|| text.strip_prefix("enr:")) {
            return Err(AddressError::Enode { given: shown, instead: instead_of_enode(rest) });
        }
        if text.parse::<PeerId>().is_ok() {
            return Err(AddressError::NoPlace(shown));
        }
        let mut address: Multiaddr = text.parse().map_err(|_| AddressError::Malformed(shown.clone()))?;
        let Some(Protocol::P2p(peer)) = address.iter().last() else { return Err(AddressError::NoPeer(shown)) };
        address.pop();
        if place_of(&address).is_none() {
            return Err(AddressError::Transport(shown));
        }
        Ok(Self { peer, address })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/p2p/{}", self.address, self.peer)
    }
}

/// Reads who is meant: a peer id, or an address that ends in one.
///
/// # Errors
/// It is neither.
pub fn parse_peer(text: &str) -> Result<PeerId, AddressError> {
    let text = text.trim();
    text.parse().or_else(|_| text.parse::<PeerAddress>().map(|peer| peer.peer))
}

/// Says what stands for `enode://KEY@HOST:PORT` here.
fn instead_of_enode(rest: &str) -> String {
    let place = rest.split_once('@').map(|(_, place)| place.split('?').next().unwrap_or(place));
    let place = place.and_then(|place| place.rsplit_once(':'));
    let Some((host, port)) = place.filter(|(_, port)| port.parse::<u16>().is_ok()) else {
        return "a multiaddr such as /ip4/HOST/tcp/PORT/p2p/PEERID".to_owned();
    };
    let host = host.trim_matches(['[', ']']);
    let kind = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => "ip4",
        Ok(IpAddr::V6(_)) => "ip6",
        Err(_) => "dns",
    };
    format!("/{kind}/{host}/tcp/{port}/p2p/PEERID")
}

/// Where a multiaddr leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name that must be looked up.
    Name(String),
}

/// Returns host and port of an address with one of the transports that are spoken.
pub(crate) fn place_of(address: &Multiaddr) -> Option<(Host, u16)> {
    let mut parts = address.iter();
    let host = match parts.next()? {
        Protocol::Ip4(ip) => Host::Ip(ip.into()),
        Protocol::Ip6(ip) => Host::Ip(ip.into()),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => Host::Name(name.into_owned()),
        _ => return None,
    };
    let port = match (parts.next()?, parts.next(), parts.next()) {
        (Protocol::Tcp(port), None, None) | (Protocol::Udp(port), Some(Protocol::QuicV1), None) => port,
        _ => return None,
    };
    Some((host, port))
}

/// Returns the host that an address names by number.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    })
}

/// Returns `address` with its host's name looked up; every other address as it is.
pub(crate) async fn resolve(address: &Multiaddr) -> std::io::Result<Vec<Multiaddr>> {
    let Some((Host::Name(name), port)) = place_of(address) else { return Ok(vec![address.clone()]) };
    let wants = |ip: &IpAddr| match address.iter().next() {
        Some(Protocol::Dns4(_)) => ip.is_ipv4(),
        Some(Protocol::Dns6(_)) => ip.is_ipv6(),
        _ => true,
    };
    let rest: Vec<_> = address.iter().skip(1).collect();
    let found = tokio::net::lookup_host((name, port)).await?;
    Ok(found
        .map(|found| found.ip())
        .filter(wants)
        .map(|ip| std::iter::once(Protocol::from(ip)).chain(rest.iter().cloned()).collect())
        .collect())
}

/// Returns an address without the peer id at its end.
pub(crate) fn without_peer(mut address: Multiaddr) -> Multiaddr {
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PEER: &str = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";

    #[test]
    fn addresses_are_read_and_written_alike() {
        for place in
            ["/ip4/10.0.0.7/tcp/30303", "/ip6/::1/tcp/1", "/dns4/node1/tcp/30303", "/ip4/10.0.0.7/udp/9/quic-v1"]
        {
            let text = format!("{place}/p2p/{PEER}");
            let parsed: PeerAddress = text.parse().unwrap();
            assert_eq!((parsed.to_string(), parsed.address.to_string()), (text.clone(), place.to_owned()));
            assert_eq!(parse_peer(&text), Ok(parsed.peer));
        }
        assert_eq!(parse_peer(PEER).unwrap().to_string(), PEER);
    }

    #[test]
    fn what_cannot_be_read_says_what_to_write() {
        let key = "ab".repeat(64);
        for (text, expected) in [
            (format!("enode://{key}@10.1.2.3:30301"), "write /ip4/10.1.2.3/tcp/30301/p2p/PEERID"),
            (format!("enode://{key}@[::1]:30301?discport=0"), "write /ip6/::1/tcp/30301/p2p/PEERID"),
            (format!("enode://{key}@boot.example:30301"), "write /dns/boot.example/tcp/30301/p2p/PEERID"),
            (format!("enode://{key}"), "a multiaddr such as"),
            ("enr:-abc".to_owned(), "a multiaddr such as"),
            (String::new(), "does not say who"),
            ("10.0.0.7:30303".to_owned(), "no multiaddr"),
            ("/ip4/10.0.0.7/tcp/30303".to_owned(), "add /p2p/"),
            (PEER.to_owned(), "not where"),
            (format!("/ip4/10.0.0.7/udp/1/p2p/{PEER}"), "neither /ip4"),
            (format!("/ip4/10.0.0.7/tcp/1/ws/p2p/{PEER}"), "neither /ip4"),
        ] {
            let error = text.parse::<PeerAddress>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn names_become_numbers_and_numbers_stay() {
        let of = |text: &str| text.parse::<Multiaddr>().unwrap();
        assert_eq!(resolve(&of("/ip4/10.0.0.7/tcp/1")).await.unwrap(), [of("/ip4/10.0.0.7/tcp/1")]);
        assert_eq!(resolve(&of("/dns4/localhost/tcp/1")).await.unwrap(), [of("/ip4/127.0.0.1/tcp/1")]);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,80}", tail in "(/ip4/1.2.3.4)?(/tcp/[0-9]{1,6})?(/p2p/[0-9a-zA-Z]{0,60})?") {
            let _ = (text.parse::<PeerAddress>(), tail.parse::<PeerAddress>(), parse_peer(&format!("enode://{text}")));
        }
    }
}
