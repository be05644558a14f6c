//! `drawbridge proxy …`: the configuration of the reverse proxy in front of the nodes.

use std::io::Write;
use std::path::{Path, PathBuf};

use device_bridge::proxy::{ProxySettings, nginx};

use super::say;
use crate::cli::device_flags::{ProxyArgs, ProxyCommand};
use crate::exit::Fatal;

/// Runs `drawbridge proxy …`.
///
/// # Errors
/// The settings cannot work.
pub fn run(command: &ProxyCommand, out: &mut dyn Write) -> Result<(), Fatal> {
    let ProxyCommand::Nginx(args) = command;
    let settings = settings(args)?;
    let text = nginx(&settings).map_err(|error| Fatal::config(error, "see `drawbridge proxy nginx --help`"))?;
    say(out, text.trim_end())
}

fn settings(args: &ProxyArgs) -> Result<ProxySettings, Fatal> {
    Ok(ProxySettings {
        listen: args.listen,
        nodes: args.nodes.0.clone(),
        ws_nodes: args.ws_nodes.clone().map_or_else(Vec::new, |nodes| nodes.0),
        // nginx looks for relative paths in its own folder.
        certificate: absolute(&args.certificate)?,
        certificate_key: absolute(&args.certificate_key)?,
        logins: absolute(&args.logins)?,
        rate: args.rate,
        burst: args.burst,
        connections: args.connections,
        body_kib: args.body_kib,
        read_key: args.read_key.as_deref().map(super::device::read_secret).transpose()?,
        standalone: args.standalone.as_deref().map(absolute).transpose()?,
    })
}

fn absolute(path: &Path) -> Result<PathBuf, Fatal> {
    std::path::absolute(path).map_err(|error| Fatal::io(path, &error))
}
