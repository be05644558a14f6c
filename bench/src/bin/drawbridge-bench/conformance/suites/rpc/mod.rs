//! Requests and answers that others recorded from their nodes, sent over HTTP to this node's server on their chains.

mod compare;
mod schema;
mod served;
mod skips;
mod vector;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bench::Failure;
use serde_json::Value;

use self::compare::Compared;
use self::served::ServedNode;
use self::skips::SKIPS;
use self::vector::Exchange;
use super::chain::{SERVED_CHAINS, ServedChain};
use crate::conformance::stores::Stores;
use crate::conformance::suite::{Checked, Context, Job, NO_FORK, Suite};
use crate::conformance::vectors::read_json;

pub(crate) const SUITE: Suite = Suite {
    name: "rpc",
    about: "answers of other nodes' JSON-RPC, asked of this node's server over HTTP on the same chains, imported from their files",
    archive: "rpc",
    skips: &SKIPS,
    jobs,
};

/// A method that changes the pool: its cases get a node of their own.
const CHANGES: &str = "sendRawTransaction";

/// How the answers that belong to a chain are compared.
fn compared(folder: &str) -> Compared {
    match folder {
        "execution-apis-2023-pow" | "execution-apis-2026" => Compared::Specification,
        _ => Compared::Besu,
    }
}

/// A chain's node, started for the first case that asks it, and shared.
struct Lazy {
    chain: ServedChain,
    folder: PathBuf,
    stores: Stores,
    node: OnceLock<Result<ServedNode, String>>,
}

impl Lazy {
    fn node(&self) -> Result<&ServedNode, String> {
        self.node.get_or_init(|| self.start()).as_ref().map_err(Clone::clone)
    }

    fn start(&self) -> Result<ServedNode, String> {
        ServedNode::start(&self.chain, &self.folder, &self.stores)
    }
}

fn jobs(context: &Context) -> Result<Vec<Job>, Failure> {
    let mut jobs = Vec::new();
    for chain in SERVED_CHAINS {
        let folder = context.folder.join(chain.folder);
        let compared = compared(chain.folder);
        let openrpc = folder.join("openrpc.json");
        let openrpc: Option<Arc<Value>> = if openrpc.is_file() { Some(Arc::new(read_json(&openrpc)?)) } else { None };
        let files = vector::files(&folder)?;
        let (stores, node) = (context.stores.clone(), OnceLock::new());
        let lazy = Arc::new(Lazy { chain, folder, stores, node });
        for path in files {
            let (lazy, openrpc) = (Arc::clone(&lazy), openrpc.clone());
            jobs.push(Job::new(context.name_of(&path), move |cases| {
                cases.run(NO_FORK, "", || check(&path, &lazy, compared, openrpc.as_deref()));
                Ok(())
            }));
        }
    }
    Ok(jobs)
}

fn check(path: &Path, lazy: &Lazy, compared: Compared, openrpc: Option<&Value>) -> Checked {
    let case = vector::read(path)?;
    let own;
    let node = if case.exchanges.iter().any(|exchange| exchange.request.contains(CHANGES)) {
        own = lazy.start()?;
        &own
    } else {
        lazy.node()?
    };
    for exchange in &case.exchanges {
        let answer = node.ask(&exchange.request)?;
        check_answer(exchange, &answer, case.is_schema_only, compared, openrpc)
            .map_err(|reason| format!("{reason}; asked {}", shortened(&exchange.request)))?;
    }
    Ok(())
}

fn check_answer(
    exchange: &Exchange,
    answer: &Value,
    is_schema_only: bool,
    compared: Compared,
    openrpc: Option<&Value>,
) -> Checked {
    // An error has no schema: it is compared also where a result is not.
    if is_schema_only && exchange.expected.get("result").is_some() {
        let openrpc = openrpc.ok_or("no openrpc.json")?;
        let result = answer.get("result").ok_or_else(|| format!("no result: {answer}"))?;
        return schema::check(openrpc, &exchange.method(), result);
    }
    compare::answers(compared, &exchange.expected, answer).map_or(Ok(()), Err)
}

/// Returns the beginning of a request, for a message.
fn shortened(request: &str) -> String {
    const SHOWN: usize = 300;
    request.chars().take(SHOWN).collect()
}
