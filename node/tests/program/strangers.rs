//! Peers without a node behind them: they do what a node never would, and the node judges them.

use std::time::Duration;

use ::network::message::{Request, Response};
use ::network::p2p::{NodeKey, PeerId, RawError, RawPeer};
use alloy_primitives::B256;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::support::{Home, Node};

/// How long things may take that take no time.
const SOON: Duration = Duration::from_secs(20);

fn start(home: &Home) -> Node {
    let network = "--port 0 --p2p.addr 127.0.0.1 --nodiscover";
    Node::start(home, &format!("--datadir a --genesis chain.json --http --http.api eth,net,admin {network}"))
}

/// Connects to a node as one of its own: its status is what the node says of itself. Everything else it answers by `other`.
async fn enter(node: &Node, key: NodeKey, other: Response) -> Result<RawPeer, RawError> {
    let info = node.call("admin_nodeInfo", json!([]));
    let address = info["enode"].as_str().unwrap().parse().unwrap();
    let genesis: B256 = node.block(0)["hash"].as_str().unwrap().parse().unwrap();
    let answers = move |request: &[u8]| match Request::decode(request) {
        Ok(Request::Status(status)) => Some(Response::Status(status).encode()),
        _ => Some(other.encode()),
    };
    let peer = RawPeer::connect(&address, genesis, key, Box::new(answers)).await?;
    // The node asks who it is.
    peer.ask(Request::Pool.encode()).await?;
    Ok(peer)
}

/// Waits until the node shows a peer, not one that it has refused, of which `want` makes something.
#[track_caller]
fn wait_shown<T>(node: &Node, peer: PeerId, what: &str, want: impl Fn(&Value) -> Option<T>) -> T {
    node.wait(what, SOON, |client| {
        let peers = client.call("admin_peers", json!([]));
        let is_it = |shown: &&Value| shown["id"] == json!(peer.to_string()) && shown["refused"].is_null();
        peers.as_array().unwrap().iter().find(is_it).and_then(&want)
    })
}

fn nothing() -> Response {
    Response::Refused("nothing here".to_owned())
}

fn points(shown: &Value) -> u64 {
    shown["drawbridge"]["points"].as_u64().unwrap()
}

#[test]
fn blame_fades_while_a_peer_is_connected() {
    let (home, runtime) = (Home::with_chain(json!({"empty_blocks": "never"})), Runtime::new().unwrap());
    let node = start(&home);
    // The node asks what is in its pool, and gets headers: an offence for which nobody is cut off the first time.
    let peer = runtime.block_on(enter(&node, NodeKey::generate(), Response::Headers(Vec::new()))).unwrap();
    let blamed = wait_shown(&node, peer.id(), "points of blame", |shown| Some(points(shown)).filter(|some| *some > 0));
    wait_shown(&node, peer.id(), "fewer points", |shown| (points(shown) < blamed).then_some(()));
    assert!(peer.is_connected());
    drop(peer);
    node.end();
}

#[test]
fn whom_the_operator_adds_is_forgiven() {
    let (home, runtime) = (Home::with_chain(json!({"empty_blocks": "never"})), Runtime::new().unwrap());
    let (node, key) = (start(&home), NodeKey::generate());
    let mut peer = runtime.block_on(enter(&node, key.clone(), nothing())).unwrap();
    let id = peer.id();
    wait_shown(&node, id, "the peer", |_| Some(()));
    runtime.block_on(async {
        // Whoever is cut off gets no answer.
        let _ = peer.ask(vec![0xc0]).await;
        tokio::time::timeout(SOON, peer.cut_off()).await.expect("malformed requests cut off");
        assert!(enter(&node, key.clone(), nothing()).await.is_err(), "it is kept out");
    });
    // Nobody is there: it comes by itself.
    let address = format!("/ip4/127.0.0.1/tcp/1/p2p/{id}");
    assert_eq!(node.call("admin_addPeer", json!([address])), json!(true));
    let back = runtime.block_on(enter(&node, key, nothing())).unwrap();
    assert_eq!(wait_shown(&node, id, "the peer", |shown| Some(points(shown))), 0);
    assert!(back.is_connected());
    drop(back);
    node.end();
}
