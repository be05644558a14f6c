//! What a connection may ask for.

use std::collections::BTreeSet;
use std::sync::Arc;

use jsonrpsee::core::middleware::Request;

use crate::errors::RpcError;
use crate::exposure;
use crate::gate::Key;

/// Names a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// HTTP.
    Http,
    /// WebSocket.
    WebSocket,
    /// The unix socket.
    Ipc,
}

/// Holds a transport and the namespaces that it offers.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The transport.
    pub(crate) transport: Transport,
    /// The key that was shown, where there is a gate.
    key: Option<Arc<Key>>,
    namespaces: Arc<BTreeSet<String>>,
    audience: Audience,
}

/// Says who reaches a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Who is on this machine, or shows that it may.
    Known,
    /// Whoever finds it.
    Strangers,
}

impl Session {
    /// Offers `namespaces` on a transport; `rpc` is always among them.
    pub(crate) fn new<'a>(transport: Transport, namespaces: impl IntoIterator<Item = &'a str>) -> Self {
        let named = namespaces.into_iter().map(|name| name.trim().to_ascii_lowercase());
        let namespaces = named.chain(["rpc".to_owned()]).filter(|name| !name.is_empty()).collect();
        Self { transport, key: None, namespaces: Arc::new(namespaces), audience: Audience::Known }
    }

    /// Returns the same session for an audience.
    pub(crate) fn for_audience(self, audience: Audience) -> Self {
        Self { audience, ..self }
    }

    /// Returns the same session for who showed a key.
    pub(crate) fn with_key(&self, key: Option<Arc<Key>>) -> Self {
        Self { key, ..self.clone() }
    }

    /// Admits a request by the key that was shown, or says why not.
    pub(crate) fn admit(&self, request: &Request<'_>) -> Result<(), RpcError> {
        if self.audience == Audience::Strangers && exposure::is_changing(&request.method) {
            return Err(RpcError::kept_from_strangers(&request.method));
        }
        self.key.as_ref().map_or(Ok(()), |key| key.admit(&request.method, request.params.as_deref()))
    }

    /// Tells whether a namespace is offered.
    pub(crate) fn offers(&self, namespace: &str) -> bool {
        self.namespaces.contains(namespace)
    }

    /// Returns what is offered, sorted.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.iter().map(String::as_str)
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self::new(Transport::Ipc, ["eth", "net", "web3"])
    }
}
