//! A peer without a node behind it: it says what it is told to say, right or wrong. Tests and measurements of how a node bears
//! hostile peers are made of it; no node uses it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::B256;
use futures::StreamExt;
use libp2p::PeerId;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, MessageId, PublishError, ValidationMode};
use libp2p::request_response::{self, Message};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{DialError, NetworkBehaviour, Swarm, SwarmEvent};
use tokio::sync::{mpsc, oneshot, watch};

use super::address::PeerAddress;
use super::config::P2pConfig;
use super::exchange;
use super::identity::NodeKey;
use super::transport::transport;
use crate::message::Topic;
use crate::message::limits::GOSSIP_BYTES_MAX;

/// How long a node may take to let a peer in, and to tell what it listens to.
const MEET_MAX: Duration = Duration::from_secs(10);
/// How many commands may wait.
const COMMANDS_MAX: usize = 1024;

/// Says why a raw peer has not come in, or why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    /// The connection did not come about.
    #[error("no connection: {0}")]
    Refused(String),
    /// The connection is gone.
    #[error("the connection is gone")]
    Gone,
    /// The node has not answered.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

#[derive(NetworkBehaviour)]
struct RawBehaviour {
    gossip: gossipsub::Behaviour,
    exchange: request_response::Behaviour<exchange::Codec>,
}

enum Command {
    Ask(Vec<u8>, oneshot::Sender<Result<Vec<u8>, RawError>>),
    Publish(Topic, Vec<u8>),
    Leave,
}

/// How a raw peer answers requests: any bytes, or silence.
pub type Answers = Box<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send>;

/// A connected raw peer; dropping it ends the connection.
pub struct RawPeer {
    id: PeerId,
    commands: mpsc::Sender<Command>,
    connected: watch::Receiver<bool>,
}

impl fmt::Debug for RawPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawPeer({})", self.id)
    }
}

impl RawPeer {
    /// Connects as `key` to a node of the chain with this genesis block, on the current tokio runtime; it has come in when the node
    /// has told what gossip it wants.
    ///
    /// # Errors
    /// The node refuses the connection or does not take it up in time.
    pub async fn connect(node: &PeerAddress, genesis: B256, key: NodeKey, answers: Answers) -> Result<Self, RawError> {
        Self::connect_with(node, genesis, key, answers, exchange::behaviour()).await
    }

    /// Connects as [`RawPeer::connect`] does a peer that answers nothing, and leaves long answers to its own requests unread on the line.
    ///
    /// # Errors
    /// The node refuses the connection or does not take it up in time.
    pub async fn connect_unreading(node: &PeerAddress, genesis: B256, key: NodeKey) -> Result<Self, RawError> {
        Self::connect_with(node, genesis, key, Box::new(|_| None), exchange::unreading()).await
    }

    async fn connect_with(
        node: &PeerAddress,
        genesis: B256,
        key: NodeKey,
        answers: Answers,
        exchange: request_response::Behaviour<exchange::Codec>,
    ) -> Result<Self, RawError> {
        let keypair = key.keypair();
        let id = key.peer_id();
        let refused = |problem: &dyn fmt::Display| RawError::Refused(problem.to_string());
        let behaviour = RawBehaviour { gossip: gossip().map_err(|problem| refused(&problem))?, exchange };
        let transport = transport(&P2pConfig::new(key), &keypair).map_err(|problem| refused(&problem))?;
        let config =
            libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(3600));
        let mut swarm = Swarm::new(transport, behaviour, id, config);
        let dial = DialOpts::peer_id(node.peer).addresses(vec![node.address.clone()]).build();
        swarm.dial(dial).map_err(|problem| refused(&problem))?;
        let topics = Topic::ALL.map(|topic| (topic, IdentTopic::new(topic.name(genesis))));
        match tokio::time::timeout(MEET_MAX, meet(&mut swarm, &topics)).await {
            Ok(met) => met?,
            Err(_) => return Err(RawError::Refused("the node does not take the connection up".to_owned())),
        }
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let (alive, connected) = watch::channel(true);
        let task = Task { swarm, node: node.peer, topics, answers, open: Vec::new() };
        tokio::spawn(task.run(received, alive));
        Ok(Self { id, commands, connected })
    }

    /// Returns who it is.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Sends a request of any bytes and returns the answer's.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn ask(&self, request: Vec<u8>) -> Result<Vec<u8>, RawError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Ask(request, reply)).await.map_err(|_| RawError::Gone)?;
        answer.await.map_err(|_| RawError::Gone)?
    }

    /// Sends gossip of any bytes; waits where there is much of it already.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn publish(&self, topic: Topic, message: Vec<u8>) -> Result<(), RawError> {
        self.commands.send(Command::Publish(topic, message)).await.map_err(|_| RawError::Gone)
    }

    /// Tells whether the node still lets it be connected.
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Waits until the node has ended the connection.
    pub async fn cut_off(&mut self) {
        // An ended task is one whose connection is gone.
        let _ = self.connected.wait_for(|connected| !connected).await;
    }

    /// Ends the connection.
    pub async fn leave(self) {
        // It may be gone already.
        let _ = self.commands.send(Command::Leave).await;
    }
}

/// Gossip that lets the same message be published again and again: each has a number for a name.
fn gossip() -> Result<gossipsub::Behaviour, String> {
    let count = AtomicU64::new(0);
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix("/drawbridge/gossip")
        .validation_mode(ValidationMode::None)
        // Longer than a node takes, so that it is the node that refuses.
        .max_transmit_size(4 * GOSSIP_BYTES_MAX)
        .message_id_fn(move |_| MessageId::from(count.fetch_add(1, Ordering::Relaxed).to_be_bytes().to_vec()))
        .build()
        .map_err(|error| error.to_string())?;
    gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config).map_err(str::to_owned)
}

/// Waits until the node listens to all topics.
async fn meet(swarm: &mut Swarm<RawBehaviour>, topics: &[(Topic, IdentTopic)]) -> Result<(), RawError> {
    let mut heard = 0;
    while heard < topics.len() {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(RawBehaviourEvent::Gossip(gossipsub::Event::Subscribed { topic, .. })) => {
                heard += usize::from(topics.iter().any(|(_, known)| known.hash() == topic));
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(RawError::Refused(explain(&error))),
            SwarmEvent::ConnectionClosed { cause, .. } => {
                let cause = cause.map_or_else(|| "closed at once".to_owned(), |cause| cause.to_string());
                return Err(RawError::Refused(cause));
            }
            _ => {}
        }
    }
    Ok(())
}

fn explain(error: &DialError) -> String {
    match error {
        DialError::Transport(errors) => {
            errors.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

/// What came back for a request of bytes.
type RawAnswer = Result<Vec<u8>, RawError>;

struct Task {
    swarm: Swarm<RawBehaviour>,
    node: PeerId,
    topics: [(Topic, IdentTopic); 2],
    answers: Answers,
    open: Vec<(request_response::OutboundRequestId, oneshot::Sender<RawAnswer>)>,
}

impl Task {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, alive: watch::Sender<bool>) {
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    None | Some(Command::Leave) => break,
                    Some(Command::Ask(request, reply)) => {
                        let id = self.swarm.behaviour_mut().exchange.send_request(&self.node, request.into());
                        self.open.push((id, reply));
                    }
                    Some(Command::Publish(topic, message)) => self.publish(topic, message).await,
                },
                event = self.swarm.select_next_some() => match event {
                    SwarmEvent::ConnectionClosed { num_established: 0, .. } => break,
                    SwarmEvent::Behaviour(RawBehaviourEvent::Exchange(event)) => self.on_exchange(event),
                    _ => {}
                },
            }
        }
        // Nobody may look.
        let _ = alive.send(false);
    }

    async fn publish(&mut self, topic: Topic, message: Vec<u8>) {
        let Some((_, name)) = self.topics.iter().find(|(known, _)| *known == topic) else { return };
        if let Err(PublishError::AllQueuesFull(_)) = self.swarm.behaviour_mut().gossip.publish(name.hash(), message) {
            // More than the line carries: what was lost is made up for by the next one.
            tokio::task::yield_now().await;
        }
    }

    fn on_exchange(&mut self, event: request_response::Event<exchange::Parcel, exchange::Parcel>) {
        match event {
            request_response::Event::Message { message: Message::Request { request, channel, .. }, .. } => {
                if let Some(answer) = (self.answers)(&request.bytes) {
                    // The connection may be gone.
                    let _ = self.swarm.behaviour_mut().exchange.send_response(channel, answer.into());
                }
            }
            request_response::Event::Message { message: Message::Response { request_id, response }, .. } => {
                self.answered(request_id, Ok(response.bytes.to_vec()));
            }
            request_response::Event::OutboundFailure { request_id, error, .. } => {
                self.answered(request_id, Err(RawError::NoAnswer(error.to_string())));
            }
            request_response::Event::InboundFailure { .. } | request_response::Event::ResponseSent { .. } => {}
        }
    }

    fn answered(&mut self, id: request_response::OutboundRequestId, result: Result<Vec<u8>, RawError>) {
        if let Some(index) = self.open.iter().position(|(known, _)| *known == id) {
            // Whoever asked may have gone away.
            let _ = self.open.swap_remove(index).1.send(result);
        }
    }
}
