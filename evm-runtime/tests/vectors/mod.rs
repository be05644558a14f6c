//! Finds the official test vectors and unpacks them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Returns the unpacked folder of `archive` (its name without `.tar.zst`), or says that the tests over it are skipped and returns
/// `None`.
///
/// Looked for in the directory that the environment variable `DRAWBRIDGE_VECTORS` names, then in `../shared/conformance` beside the
/// repository; an unpacked folder is taken before an archive. Archives are unpacked once, by the `tar` command, into the build
/// directory.
pub(crate) fn unpacked(archive: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    let places: Vec<PathBuf> =
        env::var_os("DRAWBRIDGE_VECTORS").map(PathBuf::from).into_iter().chain([beside]).collect();
    for place in &places {
        let folder = place.join(archive);
        if folder.is_dir() {
            return Some(folder);
        }
        let packed = place.join(format!("{archive}.tar.zst"));
        if packed.is_file() {
            return Some(unpack(archive, &packed));
        }
    }
    println!(
        "SKIPPED: test vectors {archive}.tar.zst not found in {places:?}; set DRAWBRIDGE_VECTORS to their directory"
    );
    None
}

fn unpack(archive: &str, packed: &Path) -> PathBuf {
    let bytes = fs::metadata(packed).unwrap().len();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("vectors-{archive}-{bytes}"));
    if !cache.is_dir() {
        // Other test processes may be at it too: each unpacks for itself, and the first to be done gives the folder its name.
        let own = cache.with_extension(std::process::id().to_string());
        fs::create_dir_all(&own).unwrap();
        let status = Command::new("tar").arg("--zstd").arg("-xf").arg(packed).arg("-C").arg(&own).status();
        assert!(status.expect("tar runs").success(), "tar cannot unpack {}", packed.display());
        if fs::rename(&own, &cache).is_err() {
            fs::remove_dir_all(&own).unwrap();
        }
    }
    cache.join(archive)
}
