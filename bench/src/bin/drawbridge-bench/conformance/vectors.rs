//! Finds the archives of test vectors and unpacks them, each once.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alloy_primitives::hex;
use bench::Failure;
use sha2::{Digest, Sha256};

/// Knows where vectors may be and where they are unpacked.
pub(crate) struct Vectors {
    places: Vec<PathBuf>,
    cache: PathBuf,
}

impl Vectors {
    /// Looks in the folder that the environment variable `DRAWBRIDGE_VECTORS` names, then in `../shared/conformance` beside the
    /// repository.
    ///
    /// # Errors
    /// There is neither a cache folder nor a home to put one in.
    pub(crate) fn new(cache: Option<PathBuf>) -> Result<Self, Failure> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
        let places = env::var_os("DRAWBRIDGE_VECTORS").map(PathBuf::from).into_iter().chain([beside]).collect();
        let cache = match cache {
            Some(cache) => cache,
            None => default_cache().ok_or("neither XDG_CACHE_HOME nor HOME is set: name a folder with --cache")?,
        };
        Ok(Self { places, cache })
    }

    /// Tells whether there is any archive or unpacked folder.
    pub(crate) fn any(&self) -> bool {
        super::suites::ALL.iter().any(|suite| self.find(suite.archive).is_some())
    }

    /// Returns where was looked, for a message.
    pub(crate) fn places(&self) -> String {
        self.places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(" and ")
    }

    /// Returns the unpacked folder of `archive` (its name without `.tar.zst`), or `None` where there is none. An unpacked folder is
    /// taken before an archive.
    ///
    /// # Errors
    /// The archive cannot be read or unpacked.
    pub(crate) fn unpacked(&self, archive: &str) -> Result<Option<PathBuf>, Failure> {
        match self.find(archive) {
            None => Ok(None),
            Some(folder) if folder.is_dir() => Ok(Some(folder)),
            Some(packed) => self.unpack(archive, &packed).map(Some),
        }
    }

    fn find(&self, archive: &str) -> Option<PathBuf> {
        self.places.iter().find_map(|place| {
            let folder = place.join(archive);
            let packed = place.join(format!("{archive}.tar.zst"));
            if folder.is_dir() { Some(folder) } else { packed.is_file().then_some(packed) }
        })
    }

    fn unpack(&self, archive: &str, packed: &Path) -> Result<PathBuf, Failure> {
        let digest = Sha256::digest(fs::read(packed)?);
        let cache = self.cache.join(format!("{archive}-{}", hex::encode(&digest[..8])));
        if !cache.is_dir() {
            // Another run may be at it too: each unpacks for itself, and the first to be done gives the folder its name.
            let own = cache.with_extension(std::process::id().to_string());
            fs::create_dir_all(&own).map_err(|error| format!("{}: {error}", own.display()))?;
            let status = Command::new("tar").arg("--zstd").arg("-xf").arg(packed).arg("-C").arg(&own).status();
            if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
                fs::remove_dir_all(&own)?;
                return Err(format!(
                    "{} cannot be unpacked: the commands tar and zstd are needed ({status:?})",
                    packed.display()
                )
                .into());
            }
            if fs::rename(&own, &cache).is_err() {
                fs::remove_dir_all(&own)?;
            }
        }
        Ok(cache.join(archive))
    }
}

fn default_cache() -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("drawbridge").join("vectors"))
}

/// Returns all files below `folder` that end with `.json`, sorted.
///
/// # Errors
/// A folder cannot be read.
pub(crate) fn json_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a file of JSON.
///
/// # Errors
/// The file cannot be read, or is not what `T` says.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
}
