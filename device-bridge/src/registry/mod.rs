//! The registry of devices: things, their certificates and the states of these.
//!
//! It is a journal, a file with one JSON line for each change, brought to the disk before a command ends. Whoever holds the
//! registry open follows the file, so that a revocation by the command line reaches a broker in another process: it looks at the file
//! every [`WATCH_EVERY`]. Writers exclude each other by a lock on the file. The last line of a thing is what holds; a file that has
//! grown long by lines that hold no more is written anew.

mod authority;
mod journal;

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::policy::{Policy, PolicyError};
use crate::shadow::{Writes, is_thing_name};

pub(crate) use authority::read_text;
pub use authority::{Authority, Issued, certificate_times};
use journal::Journal;

/// How often a running broker looks for changes.
pub const WATCH_EVERY: Duration = Duration::from_millis(200);
/// The most certificates of one thing that are not revoked.
pub const CERTIFICATES_PER_THING_MAX: usize = 10;
/// A certificate that ends sooner than this is warned of, in seconds: 30 days.
pub const EXPIRY_WARNING_SECONDS: u64 = 30 * 24 * 3600;

/// Says what is wrong with a registry, an authority or a change to them.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has something else than what belongs there.
    #[error("{path}: {cause}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// There is no certificate authority in the folder yet.
    #[error("{0} has no certificate authority")]
    NoAuthority(PathBuf),
    /// There is one already.
    #[error("{0} has a certificate authority already")]
    AuthorityExists(PathBuf),
    /// The name cannot be a thing's.
    #[error("{0:?} cannot name a device: 1 to 128 letters, digits, `:`, `_` or `-`")]
    Name(String),
    /// There is such a thing already.
    #[error("there is a device {0} already")]
    Exists(String),
    /// There is no such thing.
    #[error("there is no device {0}")]
    Unknown(String),
    /// A thing has no such certificate.
    #[error("the device {thing} has no certificate {id}")]
    UnknownCertificate {
        /// The thing.
        thing: String,
        /// The beginning of the certificate's id, as it was given.
        id: String,
    },
    /// A thing has as many certificates as it may have.
    #[error("the device {0} has {CERTIFICATES_PER_THING_MAX} certificates that are not revoked")]
    TooMany(String),
    /// A signing request is malformed, or its signature is wrong.
    #[error("the signing request cannot be used: {0}")]
    Request(String),
    /// A certificate or a key cannot be made or read.
    #[error("{0}")]
    Certificate(String),
    /// A policy is refused.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl RegistryError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// A certificate's id: the SHA-256 of its DER form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateId([u8; 32]);

impl CertificateId {
    /// Returns the id of a certificate.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl Display for CertificateId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, formatter)
    }
}

/// The state of a certificate, in AWS IoT's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CertificateState {
    /// It may connect.
    Active,
    /// It may not connect for now.
    Inactive,
    /// It may never connect again.
    Revoked,
}

/// A certificate of a thing. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its id, hexadecimal.
    pub id: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Its state.
    pub state: CertificateState,
    /// When it was issued.
    pub issued_at: u64,
    /// When it ends.
    pub expires_at: u64,
    /// When it stops being accepted, because another one takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires_at: Option<u64>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
}

impl Certificate {
    /// Says at `now` why the certificate is not accepted; none: it is.
    pub fn refusal(&self, now: u64) -> Option<&'static str> {
        match self.state {
            CertificateState::Revoked => Some("revoked"),
            CertificateState::Inactive => Some("inactive"),
            CertificateState::Active if self.expires_at <= now => Some("expired"),
            CertificateState::Active if self.retires_at.is_some_and(|retires| retires <= now) => Some("replaced"),
            CertificateState::Active => None,
        }
    }
}

/// What a thing may do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Its own shadow and topics.
    #[default]
    Device,
    /// All shadows and all topics of devices: a bridge.
    Service,
    /// What this policy document says.
    Custom(String),
}

impl Role {
    /// Returns the policy.
    ///
    /// # Errors
    /// The document is refused.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        match self {
            Self::Device => Ok(Policy::of_device()),
            Self::Service => Ok(Policy::of_service()),
            Self::Custom(text) => Policy::parse(text),
        }
    }
}

/// A device, or whatever else has a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    /// Its name, and its MQTT client id.
    pub name: String,
    /// What it may do.
    #[serde(default)]
    pub role: Role,
    /// Which sections of shadows it may write.
    #[serde(default)]
    pub writes: Writes,
    /// When it was added, in seconds since 1970.
    pub added_at: u64,
    /// Its certificates, the newest last.
    pub certificates: Vec<Certificate>,
}

/// The registry, as of the last look at its journal.
pub struct Registry {
    folder: PathBuf,
    journal: Journal,
    view: RwLock<View>,
    /// Grows with each change that was read.
    revision: AtomicU64,
}

#[derive(Default)]
struct View {
    things: BTreeMap<String, Arc<Thing>>,
    /// Certificate id (hexadecimal) ⇒ thing.
    owners: HashMap<String, String>,
}

impl View {
    fn put(&mut self, thing: Thing) {
        for certificate in &thing.certificates {
            self.owners.insert(certificate.id.clone(), thing.name.clone());
        }
        self.things.insert(thing.name.clone(), Arc::new(thing));
    }
}

impl Registry {
    /// Opens the registry in `folder`, which is made with an empty journal where it is not there.
    ///
    /// # Errors
    /// The folder or the journal cannot be read.
    pub fn open(folder: &Path) -> Result<Self, RegistryError> {
        let journal = Journal::open(folder)?;
        let registry =
            Self { folder: folder.to_owned(), journal, view: RwLock::default(), revision: AtomicU64::new(0) };
        registry.refresh()?;
        Ok(registry)
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads what was written since the last look; tells whether that was anything.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn refresh(&self) -> Result<bool, RegistryError> {
        // The lock is held over the reading, so that two readers do not apply lines out of order.
        let mut view = self.view.write();
        let lines = self.journal.read_new()?;
        let is_new = !lines.is_empty();
        for line in lines {
            let thing: Thing = serde_json::from_str(&line).map_err(|error| RegistryError::Damaged {
                path: self.journal.path().to_owned(),
                cause: format!("{error} in `{line}`"),
            })?;
            view.put(thing);
        }
        if is_new {
            self.revision.fetch_add(1, Ordering::Release);
        }
        Ok(is_new)
    }

    /// Returns a number that grows with each change that was read.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Returns all things, by name.
    pub fn things(&self) -> Vec<Arc<Thing>> {
        self.view.read().things.values().cloned().collect()
    }

    /// Returns a thing.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn thing(&self, name: &str) -> Result<Arc<Thing>, RegistryError> {
        self.view.read().things.get(name).cloned().ok_or_else(|| RegistryError::Unknown(name.to_owned()))
    }

    /// Returns the thing and the certificate of this id, if it is accepted at `now`; else why not.
    ///
    /// # Errors
    /// The certificate is not in the registry, or not accepted.
    pub fn accept(&self, id: &CertificateId, now: u64) -> Result<(Arc<Thing>, Certificate), &'static str> {
        let id = id.to_string();
        let view = self.view.read();
        let owner = view.owners.get(&id).and_then(|name| view.things.get(name)).ok_or("not registered")?;
        let known = owner.certificates.iter().find(|certificate| certificate.id == id).ok_or("not registered")?;
        match known.refusal(now) {
            Some(why) => Err(why),
            None => Ok((owner.clone(), known.clone())),
        }
    }

    /// Adds a thing with its first certificate.
    ///
    /// # Errors
    /// There is one of that name, the name or the policy cannot be used, or the journal cannot be written.
    pub fn add(&self, thing: Thing) -> Result<(), RegistryError> {
        if !is_thing_name(&thing.name) {
            return Err(RegistryError::Name(thing.name));
        }
        thing.role.policy()?;
        let name = thing.name.clone();
        self.change(&name, |known| match known {
            Some(_) => Err(RegistryError::Exists(name.clone())),
            None => Ok(thing),
        })
    }

    /// Gives a thing another certificate; the others stop being accepted at `retire_at`.
    ///
    /// # Errors
    /// There is no such thing, it has too many certificates, or the journal cannot be written.
    pub fn rotate(&self, name: &str, certificate: Certificate, retire_at: u64) -> Result<(), RegistryError> {
        self.change(name, |known| {
            let mut thing = known.ok_or_else(|| RegistryError::Unknown(name.to_owned()))?;
            let now = certificate.issued_at;
            // What expired or was replaced is refused as well when it is not known.
            thing.certificates.retain(|old| {
                old.expires_at > now && (old.state == CertificateState::Revoked || old.refusal(now).is_none())
            });
            for old in thing.certificates.iter_mut().filter(|old| old.state == CertificateState::Active) {
                old.retires_at = Some(old.retires_at.map_or(retire_at, |earlier| earlier.min(retire_at)));
            }
            let live = thing.certificates.iter().filter(|known| known.state != CertificateState::Revoked).count();
            if live >= CERTIFICATES_PER_THING_MAX {
                return Err(RegistryError::TooMany(name.to_owned()));
            }
            thing.certificates.push(certificate);
            Ok(thing)
        })
    }

    /// Revokes the certificates of a thing for ever: all of them, or the one whose id begins with `id`. Returns their ids.
    ///
    /// # Errors
    /// There is no such thing or certificate, or the journal cannot be written.
    pub fn revoke(&self, name: &str, id: Option<&str>, now: u64) -> Result<Vec<String>, RegistryError> {
        let mut revoked = Vec::new();
        self.change(name, |known| {
            let mut thing = known.ok_or_else(|| RegistryError::Unknown(name.to_owned()))?;
            let chosen = |certificate: &Certificate| id.is_none_or(|id| certificate.id.starts_with(id));
            for certificate in thing.certificates.iter_mut().filter(|certificate| chosen(certificate)) {
                certificate.state = CertificateState::Revoked;
                certificate.revoked_at.get_or_insert(now);
                revoked.push(certificate.id.clone());
            }
            match id {
                Some(id) if revoked.is_empty() => {
                    Err(RegistryError::UnknownCertificate { thing: name.to_owned(), id: id.to_owned() })
                }
                _ => Ok(thing),
            }
        })?;
        Ok(revoked)
    }

    /// Writes the list of revoked certificates for brokers that are not ours, and returns where it is.
    ///
    /// # Errors
    /// There is no authority here that could sign it, or a file cannot be read or written.
    pub fn write_revocation_list(&self, now: u64) -> Result<PathBuf, RegistryError> {
        let authority = Authority::open(&self.folder)?;
        loop {
            let listed = self.revoked();
            authority.write_revocation_list(&listed, now)?;
            // Another command may have revoked more meanwhile, and the last list written must have all of it.
            self.refresh()?;
            if self.revoked().len() == listed.len() {
                return Ok(Authority::revocation_list_path(&self.folder));
            }
        }
    }

    /// Returns serial numbers (hexadecimal) and times of all revoked certificates.
    pub fn revoked(&self) -> Vec<(String, u64)> {
        let view = self.view.read();
        let certificates = view.things.values().flat_map(|thing| &thing.certificates);
        certificates.filter_map(|known| Some((known.serial.clone(), known.revoked_at?))).collect()
    }

    /// Makes one change under the journal's lock, on the newest state.
    fn change(
        &self,
        name: &str,
        make: impl FnOnce(Option<Thing>) -> Result<Thing, RegistryError>,
    ) -> Result<(), RegistryError> {
        let mut writer = self.journal.lock()?;
        self.refresh()?;
        let known = self.view.read().things.get(name).map(|thing| Thing::clone(thing));
        let thing = make(known)?;
        let line = line_of(&thing);
        writer.append(&line)?;
        self.refresh()?;
        #[cfg(unix)]
        if let things = self.things()
            && self.journal.is_long(things.len())
        {
            writer.write_anew(things.iter().map(|thing| line_of(thing)))?;
            self.refresh()?;
        }
        Ok(())
    }
}

fn line_of(thing: &Thing) -> String {
    serde_json::to_string(thing).expect("a thing is always written as JSON")
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Registry").field("folder", &self.folder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
