//! Building the shim (`bench/shim/shim.c`) and loading it into nodes.

use std::path::{Path, PathBuf};
use std::process::Command;

use bench::Failure;
use bench::process::path_text;

use crate::crash::run::Environment;

/// The source, so that the program needs nothing but a C compiler.
const SOURCE: &str = include_str!("../../../../shim/shim.c");

/// A shim that was compiled.
pub(crate) struct Shim(PathBuf);

impl Shim {
    /// Compiles the shim into `folder`.
    pub(crate) fn build(folder: &Path) -> Result<Self, Failure> {
        let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
        std::fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-shared", "-fPIC", "-o", path_text(&library)?, path_text(&source)?, "-ldl"]);
        let output = compiler.output().map_err(|error| format!("the shim needs a C compiler (cc): {error}"))?;
        if output.status.success() {
            return Ok(Self(library));
        }
        Err(format!("the shim does not compile: {}", String::from_utf8_lossy(&output.stderr)).into())
    }

    /// Returns the environment of a program whose changes below `root` are written to `journal`.
    pub(crate) fn recording(&self, root: &Path, journal: &Path) -> Result<Environment, Failure> {
        self.environment(root, "SHIM_JOURNAL", path_text(journal)?)
    }

    /// Returns the environment of a program whose calls on files below `root` fail as `plan` says: `CALL:ERRNO:NTH:once|on`.
    pub(crate) fn failing(&self, root: &Path, plan: &str) -> Result<Environment, Failure> {
        self.environment(root, "SHIM_FAIL", plan)
    }

    fn environment(&self, root: &Path, name: &str, value: &str) -> Result<Environment, Failure> {
        let pairs = [("LD_PRELOAD", path_text(&self.0)?), ("SHIM_DIR", path_text(root)?), (name, value)];
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
    }
}
