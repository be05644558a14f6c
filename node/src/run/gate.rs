//! Who may ask what over HTTP and WebSocket, from the files that the configuration names, and how many files the process may open.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rpc::{Gate, JwtSecret};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::config::RpcLimits;
use crate::exit::Fatal;

/// Files that everything but connections takes: the database (512 of its own), peers, logs, with room to spare.
const OTHER_FILES: u64 = 1500;

/// Reads the gate; none where neither keys nor tokens are asked for.
///
/// # Errors
/// A file cannot be read or is none.
pub(super) fn read(limits: &RpcLimits) -> Result<Option<Gate>, Fatal> {
    let keys = limits.keys_file.as_deref().map(read_keys).transpose()?;
    let secret = limits.jwt_secret_file.as_deref().map(read_secret).transpose()?;
    Ok(match secret {
        Some(secret) => Some(keys.unwrap_or_default().with_secret(secret)),
        None => keys,
    })
}

fn read_keys(path: &Path) -> Result<Gate, Fatal> {
    let text = fs::read_to_string(path).map_err(|error| Fatal::io(path, &error))?;
    Gate::read(&text).map_err(|error| {
        Fatal::config(format!("{}: {error}", path.display()), "correct the file, or leave --rpc.keys out")
    })
}

/// Reads the secret of tokens; as in geth it is made where the file is missing, for this user alone.
fn read_secret(path: &Path) -> Result<JwtSecret, Fatal> {
    match fs::read_to_string(path) {
        Ok(text) => JwtSecret::read(&text).map_err(|error| {
            Fatal::config(
                format!("{}: {error}", path.display()),
                "correct the file, remove it to have a new one made, or leave --rpc.jwtsecret out",
            )
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let secret = JwtSecret::new(rand::random());
            let written = File::options().write(true).create_new(true).mode(0o600).open(path);
            written
                .and_then(|mut file| writeln!(file, "{}", secret.to_hex()))
                .map_err(|error| Fatal::io(path, &error))?;
            info!(path = %path.display(), "made a secret for tokens");
            Ok(secret)
        }
        Err(error) => Err(Fatal::io(path, &error)),
    }
}

/// Lets the process open as many files as the system allows, and returns how many connections that leaves of those that are wanted.
pub(super) fn connections(wanted: u32) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let most = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let (allowed, is_less) = share(wanted, most);
    if is_less {
        warn!(
            wanted,
            allowed,
            files = most,
            "fewer connections than wanted: the process may open too few files (ulimit -Hn)"
        );
    }
    allowed
}

/// Returns how many connections a limit on open files leaves, at least a few, and whether they are fewer than wanted.
fn share(wanted: u32, files_max: Option<u64>) -> (usize, bool) {
    const LEAST: u64 = 64;
    let wanted = u64::from(wanted);
    let left = files_max.map_or(wanted, |files| files.saturating_sub(OTHER_FILES).max(LEAST));
    let allowed = wanted.min(left);
    (usize::try_from(allowed).unwrap_or(usize::MAX), allowed < wanted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_for_this_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let limits = RpcLimits { jwt_secret_file: Some(path.clone()), ..RpcLimits::default() };
        assert!(read(&limits).unwrap().is_some());
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim().len(), 64);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(read(&limits).unwrap().is_some());
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "the second start reads it");
        fs::write(&path, "not a secret").unwrap();
        let error = read(&limits).unwrap_err();
        assert_eq!(error.code(), 65);
        assert!(error.to_string().contains("64 hexadecimal digits") && error.remedy().contains("--rpc.jwtsecret"));
        assert!(read(&RpcLimits::default()).unwrap().is_none());
    }

    #[test]
    fn connections_leave_files_for_the_rest() {
        for (wanted, files, expected) in [
            (16_384, Some(20_000), (16_384, false)),
            (16_384, Some(4096), (2596, true)),
            (16_384, Some(1024), (64, true)),
            (100, Some(1_000_000), (100, false)),
            (100, None, (100, false)),
            (10, Some(256), (10, false)),
        ] {
            assert_eq!(share(wanted, files), expected, "{wanted} {files:?}");
        }
    }
}
