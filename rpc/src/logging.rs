//! How much the node writes about itself, changed while it runs: in geth's way by numbers, in Besu's by names.

use std::sync::Arc;

use serde_json::Value;

use crate::api::{Answer, Api, reply};
use crate::errors::RpcError;
use crate::params::{Call, Quantity};

/// The largest verbosity: everything.
const VERBOSITY_MAX: u64 = 5;
/// The most modules that may have their own.
const MODULES_MAX: usize = 64;

/// `debug_verbosity`: 0 is silent, and all above 5 is 5.
pub(crate) fn verbosity(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let Quantity(level) = call.required()?;
    api.services.operation.log.set_verbosity(narrow(level));
    reply(&Value::Null)
}

/// `debug_vmodule`: patterns such as `network=5,rpc/*=4`; an empty one takes back what was set.
pub(crate) fn vmodule(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let modules = read_patterns(&call.required::<String>()?)?;
    api.services.operation.log.set_modules(&modules).map_err(|problem| RpcError::invalid_argument(0, problem))?;
    reply(&Value::Null)
}

/// `admin_changeLogLevel`: a level for all, or for the modules that are named.
pub(crate) fn change_log_level(api: &Arc<Api>, call: &mut Call<'_>) -> Answer {
    let level = read_level(&call.required::<String>()?)?;
    let log = &api.services.operation.log;
    match call.optional::<Vec<String>>()? {
        None => log.set_verbosity(level),
        Some(names) => {
            let modules = names.iter().map(|name| read_module(name).map(|module| (module, level)));
            let modules = modules.collect::<Result<Vec<_>, RpcError>>()?;
            check_count(modules.len())?;
            log.set_modules(&modules).map_err(|problem| RpcError::invalid_argument(1, problem))?;
        }
    }
    reply(&"Success")
}

fn narrow(level: u64) -> u8 {
    u8::try_from(level.min(VERBOSITY_MAX)).expect("5 at the most")
}

/// Besu's names.
fn read_level(name: &str) -> Result<u8, RpcError> {
    match name.to_ascii_uppercase().as_str() {
        "OFF" => Ok(0),
        "FATAL" | "ERROR" => Ok(1),
        "WARN" => Ok(2),
        "INFO" => Ok(3),
        "DEBUG" => Ok(4),
        "TRACE" | "ALL" => Ok(5),
        _ => Err(RpcError::invalid_argument(0, "the level is one of OFF, ERROR, WARN, INFO, DEBUG, TRACE, ALL")),
    }
}

fn read_patterns(text: &str) -> Result<Vec<(String, u8)>, RpcError> {
    let patterns = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
    let modules = patterns.map(|pattern| {
        let malformed = || RpcError::invalid_argument(0, "expect comma-separated list of filename=N");
        let (name, level) = pattern.split_once('=').ok_or_else(malformed)?;
        let level = level.trim().parse::<u64>().map_err(|_| malformed())?;
        Ok((read_module(name)?, narrow(level)))
    });
    let modules = modules.collect::<Result<Vec<_>, RpcError>>()?;
    check_count(modules.len())?;
    Ok(modules)
}

fn check_count(count: usize) -> Result<(), RpcError> {
    if count > MODULES_MAX {
        return Err(RpcError::invalid_params(format!("at most {MODULES_MAX} modules")));
    }
    Ok(())
}

/// Turns a path of files into one of modules: `rpc/http.go` and `rpc/http` are `rpc::http`, `rpc/*` is `rpc`.
fn read_module(text: &str) -> Result<String, RpcError> {
    let path = text.trim().trim_end_matches('*').trim_end_matches('/').trim_end_matches(".go").trim_end_matches(".rs");
    let module = path.replace('/', "::");
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if module.is_empty() || !module.chars().all(is_name) {
        return Err(RpcError::invalid_params(format!("no module: {:?}", text.chars().take(50).collect::<String>())));
    }
    Ok(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_geth_writes_them() {
        let read = |text: &str| read_patterns(text).map_err(|error| error.code);
        let module = |name: &str, level| (name.to_owned(), level);
        for (text, expected) in [
            ("", Ok(vec![])),
            ("network=5", Ok(vec![module("network", 5)])),
            ("rpc/*=4, chain/pool.go=9", Ok(vec![module("rpc", 4), module("chain::pool", 5)])),
            ("network", Err(-32602)),
            ("network=x", Err(-32602)),
            ("=3", Err(-32602)),
            ("a b=3", Err(-32602)),
            ("info,rpc=3", Err(-32602)),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
        assert!(read(&"a=1,".repeat(65)).is_err());
    }

    #[test]
    fn levels_have_besus_names() {
        let levels: Vec<_> =
            ["off", "ERROR", "warn", "INFO", "debug", "ALL"].iter().map(|name| read_level(name).ok()).collect();
        assert_eq!(levels, [0, 1, 2, 3, 4, 5].map(Some));
        assert!(read_level("loud").is_err());
    }
}
