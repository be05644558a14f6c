//! `drawbridge version`.

use std::io::Write;

use consensus::Fork;

use crate::exit::Fatal;

use super::say;

/// Returns the version of the program, such as `0.1.0`.
pub const fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Returns the commit that the program was built from, where the build told it.
pub const fn commit() -> Option<&'static str> {
    option_env!("DRAWBRIDGE_COMMIT")
}

/// Returns what `web3_clientVersion` answers: name, version, system and compiler, with the node's own name if it has one.
pub fn client_version(identity: Option<&str>) -> String {
    let identity = identity.map_or_else(String::new, |name| format!("/{name}"));
    let commit = commit().map_or_else(String::new, |commit| format!("-{commit:.8}"));
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("Drawbridge{identity}/v{}{commit}/{os}-{arch}/{}", version(), rustc())
}

/// Prints what was built, from what, and the newest rules it knows.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(out: &mut dyn Write) -> Result<(), Fatal> {
    say(out, "Drawbridge")?;
    say(out, format_args!("Version: {}", version()))?;
    say(out, format_args!("Commit: {}", commit().unwrap_or("unknown")))?;
    say(out, format_args!("Newest fork: {:?}", Fork::NEWEST))?;
    say(out, format_args!("Compiler: {}", rustc()))?;
    say(out, format_args!("System: {}-{}", std::env::consts::OS, std::env::consts::ARCH))
}

/// The compiler's version, such as `rustc1.94.1`; the build script asks for it.
const fn rustc() -> &'static str {
    env!("DRAWBRIDGE_RUSTC")
}
