//! What attackers know of the node, and how one of them comes in.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use alloy_primitives::{B256, U256};
use bench::Failure;
use consensus::ChainSpec;
use network::message::{ForkId, Request, Response, Roles, Status, Topic};
use network::p2p::{Answers, Multiaddr, NodeKey, PeerAddress, RawError, RawPeer};

/// How long an attacker waits until it is cut off.
pub(crate) const CUT_OFF_MAX: Duration = Duration::from_secs(15);

/// What attackers know.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// Where the node is.
    pub(crate) target: PeerAddress,
    /// The chain's first block and its rules.
    pub(crate) genesis: B256,
    pub(crate) spec: Arc<ChainSpec>,
    /// What the node says of itself, and attackers repeat.
    pub(crate) status: Status,
}

impl Stage {
    /// Learns what the node says of itself.
    pub(crate) async fn learn(target: PeerAddress, genesis: B256, spec: Arc<ChainSpec>) -> Result<Self, Failure> {
        let peer = RawPeer::connect(&target, genesis, NodeKey::generate(), Box::new(|_| None)).await?;
        // A status of another chain: the node answers with its own, and parts.
        let status = of_another_chain();
        let answer = peer.ask(Request::Status(Box::new(status)).encode()).await?;
        match Response::decode(&answer)? {
            Response::Status(status) => Ok(Self { target, genesis, spec, status: *status }),
            other => Err(format!("no status but {other:?}").into()),
        }
    }

    /// Returns where the node is on a socket.
    pub(crate) fn socket(&self) -> Result<SocketAddr, Failure> {
        let text = self.target.address.to_string();
        let mut parts = text.split('/').skip(1);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("ip4"), Some(host), Some("tcp"), Some(port)) => {
                Ok(SocketAddr::new(host.parse::<IpAddr>()?, port.parse()?))
            }
            _ => Err(format!("no address of TCP: {text}").into()),
        }
    }

    /// Returns the same node behind a proxy.
    pub(crate) fn behind(&self, proxy: SocketAddr) -> Result<Self, Failure> {
        let address: Multiaddr = format!("/ip4/{}/tcp/{}", proxy.ip(), proxy.port()).parse()?;
        Ok(Self { target: PeerAddress { address, ..self.target.clone() }, ..self.clone() })
    }

    /// Connects an identity that says nothing of itself and answers nothing.
    pub(crate) async fn enter(&self, key: NodeKey) -> Result<RawPeer, RawError> {
        RawPeer::connect(&self.target, self.genesis, key, Box::new(|_| None)).await
    }

    /// Connects a new identity that answers by `answer` and has introduced itself with `status`.
    pub(crate) async fn enter_as(
        &self,
        status: Status,
        answer: impl Fn(Request) -> Option<Vec<u8>> + Send + 'static,
    ) -> Result<RawPeer, RawError> {
        let told = status.clone();
        let answers = move |request: &[u8]| match Request::decode(request) {
            Ok(Request::Status(_)) => Some(Response::Status(Box::new(now(told.clone()))).encode()),
            Ok(other) => answer(other),
            Err(_) => None,
        };
        let peer = RawPeer::connect(&self.target, self.genesis, NodeKey::generate(), Box::new(answers)).await?;
        peer.ask(Request::Status(Box::new(now(status))).encode()).await?;
        Ok(peer)
    }

    /// Connects a new identity that answers any bytes by `answers`, the node's own greeting too.
    pub(crate) async fn enter_raw(&self, answers: Answers) -> Result<RawPeer, RawError> {
        let peer = RawPeer::connect(&self.target, self.genesis, NodeKey::generate(), answers).await?;
        // It may be cut off before it is answered.
        let _ = peer.ask(Request::Status(Box::new(now(self.status.clone()))).encode()).await;
        Ok(peer)
    }

    /// Connects a new identity that the node takes for one of its own chain, with nothing to give.
    pub(crate) async fn enter_welcome(&self) -> Result<RawPeer, RawError> {
        self.enter_as(self.status.clone(), |_| Some(Response::Refused("nothing here".to_owned()).encode())).await
    }

    /// Connects a new identity that the node takes for one of its own chain, and that reads no long answers.
    pub(crate) async fn enter_unreading(&self) -> Result<RawPeer, RawError> {
        let peer = RawPeer::connect_unreading(&self.target, self.genesis, NodeKey::generate()).await?;
        peer.ask(Request::Status(Box::new(now(self.status.clone()))).encode()).await?;
        Ok(peer)
    }

    /// Returns the status of a node that claims to be far ahead.
    pub(crate) fn boastful(&self) -> Status {
        let head_number = self.status.head_number + 1_000;
        Status {
            head: B256::repeat_byte(0xee),
            head_number,
            total_difficulty: U256::from(u64::MAX),
            ..self.status.clone()
        }
    }
}

fn of_another_chain() -> Status {
    Status {
        protocol: 1,
        chain_id: 0,
        genesis: B256::ZERO,
        rules_digest: B256::ZERO,
        rules: Vec::new(),
        fork_id: ForkId { hash: 0, next: 0 },
        head: B256::ZERO,
        head_number: 0,
        total_difficulty: U256::ZERO,
        finalized: 0,
        finalized_hash: B256::ZERO,
        clock_ms: 0,
        history_from: 0,
        agent: "hostile".to_owned(),
        roles: Roles::default(),
    }
}

/// Sets a status's clock.
fn now(status: Status) -> Status {
    Status { clock_ms: clock_ms(), ..status }
}

/// Returns the time in milliseconds since 1970.
pub(crate) fn clock_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Publishes garbage, to be cut off.
pub(crate) async fn publish(peer: &RawPeer, topic: Topic, message: Vec<u8>) {
    // Whoever is cut off already has reached its aim.
    let _ = peer.publish(topic, message).await;
}

/// Waits until an offender is cut off, and returns how long that took since `since`.
pub(crate) async fn cut_off(mut peer: RawPeer, since: Instant) -> Option<Duration> {
    tokio::time::timeout(CUT_OFF_MAX, peer.cut_off()).await.ok()?;
    Some(since.elapsed())
}
