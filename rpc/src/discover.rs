//! `rpc_discover`: the table of methods as an OpenRPC document.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::{Answer, Api, reply};
use crate::methods::{METHODS, Method};
use crate::params::Call;

/// The version of the OpenRPC specification that the document follows.
const OPENRPC: &str = "1.3.2";

pub(crate) fn discover(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let served = |method: &&Method| call.session.offers(method.namespace());
    let methods: Vec<Value> = METHODS.iter().filter(served).map(describe).collect();
    reply(&json!({
        "openrpc": OPENRPC,
        "info": { "title": "Drawbridge JSON-RPC", "version": api.services.client_version },
        "methods": methods,
    }))
}

fn describe(method: &Method) -> Value {
    let argument = |name: &&str| {
        let (name, required) = name.strip_suffix('?').map_or((*name, true), |name| (name, false));
        json!({ "name": name, "required": required, "schema": {} })
    };
    json!({
        "name": method.name,
        "summary": method.about,
        "paramStructure": "by-position",
        "params": method.arguments.iter().map(argument).collect::<Vec<_>>(),
        "result": { "name": "result", "schema": {} },
    })
}
