//! Why a connection did not come about, in words that claim no more than is known.
//!
//! Swarm keys that differ show in one way only: what comes cannot be read. A peer that closes the connection before it has said anything
//! may do so for another reason, such as a limit of its own, or its end.

use std::error::Error as _;
use std::io::ErrorKind;

use libp2p::Multiaddr;
use libp2p::core::transport::TransportError;
use libp2p::memory_connection_limits::MemoryUsageLimitExceeded;
use libp2p::swarm::{ConnectionDenied, DialError, ListenError};

use crate::p2p::gate::Refused;
use crate::p2p::identity::SwarmKey;

/// Why somebody was not reached, or was turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// In words, with what can be done.
    pub(super) text: String,
    /// Whether the other one did it and said nothing: what is known of it already says more.
    pub(super) is_guess: bool,
}

fn known(text: String) -> Cause {
    Cause { text, is_guess: false }
}

/// Says why a call was in vain; `key` is our swarm key.
pub(super) fn of_call(error: &DialError, key: Option<SwarmKey>) -> Cause {
    match error {
        DialError::Denied { cause } => of_denial(cause),
        DialError::WrongPeerId { obtained, .. } => {
            known(format!("another node is there, {obtained}: correct the peer id"))
        }
        DialError::LocalPeerId { .. } => known("the address is this node's own".to_owned()),
        DialError::Transport(errors) => {
            let causes: Vec<_> = errors.iter().map(|(address, error)| of_handshake(address, error, key)).collect();
            let texts: Vec<_> =
                errors.iter().zip(&causes).map(|((address, _), cause)| format!("{address}: {}", cause.text)).collect();
            Cause { text: texts.join("; "), is_guess: causes.iter().all(|cause| cause.is_guess) }
        }
        other => known(other.to_string()),
    }
}

/// Says why a visitor was turned away; none: it went by itself, as whoever looks whether the port is open does, and a node that ends.
pub(super) fn of_visit(error: &ListenError, from: &Multiaddr, key: Option<SwarmKey>) -> Option<Cause> {
    match error {
        ListenError::Denied { cause } => Some(of_denial(cause)),
        ListenError::Transport(error) => Some(of_handshake(from, error, key)).filter(|cause| !cause.is_guess),
        ListenError::LocalPeerId { .. } | ListenError::Aborted => None,
        other @ ListenError::WrongPeerId { .. } => Some(known(other.to_string())),
    }
}

fn of_denial(denied: &ConnectionDenied) -> Cause {
    if let Some(refused) = denied.downcast_ref::<Refused>() {
        // Why it was cut off is known already.
        return Cause { text: refused.to_string(), is_guess: matches!(refused, Refused::Banned { .. }) };
    }
    known(match denied.downcast_ref::<MemoryUsageLimitExceeded>() {
        Some(exceeded) => format!(
            "no memory for further connections: the program takes more than {} MiB (--p2p.maxmemory)",
            exceeded.max_allowed_bytes() >> 20
        ),
        None => denied.source().map_or_else(|| denied.to_string(), ToString::to_string),
    })
}

fn of_handshake(address: &Multiaddr, error: &TransportError<std::io::Error>, key: Option<SwarmKey>) -> Cause {
    let is_quic = address.to_string().contains("/quic");
    match error {
        TransportError::MultiaddrNotSupported(_) if is_quic => {
            known("this node speaks no QUIC: start it with --p2p.quic, or name a TCP address".to_owned())
        }
        TransportError::MultiaddrNotSupported(_) => known("no transport for this address".to_owned()),
        TransportError::Other(error) => {
            let text = deepest(error);
            explain(How::of(&text, error.kind()), &text, is_quic, key)
        }
    }
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// The system could not connect.
    Unreachable,
    /// The other one closed the connection before the swarm keys came into play, if there are any.
    ClosedFirst,
    /// The other one closed it later.
    Closed,
    /// Nothing came in time, or not enough.
    TimedOut,
    /// What came could not be read.
    Unreadable,
}

impl How {
    /// The errors below are wrapped several times; their texts alone are sure to be found.
    fn of(text: &str, kind: ErrorKind) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if has(&["reset by peer", "Broken pipe", "end of file", "negotiation failed", "closed by"]) {
            // The swarm keys' own error: the peer's first bytes, from which on all is encrypted, did not come.
            return if text.contains("Handshake error") { Self::ClosedFirst } else { Self::Closed };
        }
        match kind {
            ErrorKind::ConnectionRefused => Self::Unreachable,
            _ if text.contains("os error") => Self::Unreachable,
            _ if kind == ErrorKind::TimedOut || has(&["imed out", "imeout"]) => Self::TimedOut,
            _ => Self::Unreadable,
        }
    }
}

fn explain(how: How, text: &str, is_quic: bool, key: Option<SwarmKey>) -> Cause {
    let ours = match key {
        Some(key) => format!("ours has the fingerprint {}", key.fingerprint()),
        None => "ours has none".to_owned(),
    };
    let guess = |text: String| Cause { text, is_guess: true };
    match how {
        How::Unreachable => known(format!("{text}: check address, port and firewall")),
        _ if is_quic => known(format!(
            "the handshake failed ({text}): check address, port and firewall, and that the other node has --p2p.quic"
        )),
        How::ClosedFirst | How::Closed if key.is_none() => guess(format!(
            "it closed the connection before it said anything: it may have no room, have just ended, or want a swarm key, and {ours}"
        )),
        How::ClosedFirst => guess(format!(
            "it closed the connection before it said anything: it may have no room, have just ended, or have no swarm key; {ours}"
        )),
        How::Closed => guess(format!(
            "it closed the connection at its first words: the swarm keys differ, or it has just ended; {ours}"
        )),
        How::TimedOut => {
            known(format!("no handshake in time ({text}): the swarm keys may differ, or it is no such node; {ours}"))
        }
        How::Unreadable => {
            known(format!("the handshake failed ({text}): the swarm keys differ, or it is no such node; {ours}"))
        }
    }
}

/// Returns the text of the error that all others come from.
fn deepest(error: &std::io::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swarm_keys_are_blamed_where_what_came_could_not_be_read() {
        for (text, kind, expected) in [
            ("Connection refused (os error 111)", ErrorKind::Other, How::Unreachable),
            ("No route to host (os error 113)", ErrorKind::Other, How::Unreachable),
            ("Connection reset by peer (os error 104)", ErrorKind::Other, How::Closed),
            ("unexpected end of file", ErrorKind::Other, How::Closed),
            ("Handshake error: unexpected end of file", ErrorKind::Other, How::ClosedFirst),
            ("Handshake error: Connection reset by peer (os error 104)", ErrorKind::Other, How::ClosedFirst),
            ("Timeout has been reached", ErrorKind::Other, How::TimedOut),
            ("Received an invalid message.", ErrorKind::Other, How::Unreadable),
        ] {
            assert_eq!(How::of(text, kind), expected, "{text}");
        }
        let key = Some(SwarmKey::generate());
        let says = |how: How, is_quic: bool, key: Option<SwarmKey>| explain(how, "x", is_quic, key).text;
        let blame = "the swarm keys differ";
        assert!(says(How::Unreadable, false, key).contains(blame) && says(How::Closed, false, key).contains(blame));
        assert!(says(How::Unreadable, false, None).contains(blame));
        for how in [How::Closed, How::ClosedFirst, How::TimedOut] {
            assert!(!says(how, false, None).contains(blame), "{how:?}");
        }
        assert!(!says(How::ClosedFirst, false, key).contains(blame));
        for how in [How::Closed, How::TimedOut, How::Unreadable] {
            assert!(!says(how, true, None).contains("swarm key"), "QUIC keeps none");
        }
    }

    #[test]
    fn whoever_goes_by_itself_is_not_told_of() {
        let (from, key) = (Multiaddr::empty(), Some(SwarmKey::generate()));
        let visit = |error: std::io::Error| of_visit(&ListenError::Transport(TransportError::Other(error)), &from, key);
        assert_eq!(visit(ErrorKind::UnexpectedEof.into()), None);
        assert!(visit(std::io::Error::other("Received an invalid message.")).is_some());
        let full = Refused::Full { limit: 1 };
        let denied = ListenError::Denied { cause: ConnectionDenied::new(full.clone()) };
        assert_eq!(of_visit(&denied, &from, key), Some(known(full.to_string())));
    }
}
