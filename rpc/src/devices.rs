//! The node's devices, as JSON-RPC shows them. The node implements [`Devices`] over its broker; one without devices has
//! [`NoDevices`].

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::broadcast;

/// Says why a request about devices is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeviceError {
    /// The words.
    pub message: String,
    /// For what a shadow refuses: AWS IoT's code, an HTTP status.
    pub code: Option<u16>,
}

impl DeviceError {
    /// Makes an error without a code.
    pub fn new(message: impl std::fmt::Display) -> Self {
        Self { message: message.to_string(), code: None }
    }
}

/// A device, or whatever else has a certificate. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    /// Its name.
    pub name: String,
    /// `device`, `service` or `custom`.
    pub role: &'static str,
    /// Which sections of shadows it may write: `both`, `desired` or `reported`.
    pub writes: &'static str,
    /// When it was added.
    pub added_at: u64,
    /// Whether it is connected.
    pub connected: bool,
    /// Its certificates, the newest last.
    pub certificates: Vec<CertificateView>,
}

/// A device's certificate. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateView {
    /// Its id, hexadecimal.
    pub id: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// `active`, or why it is not accepted: `inactive`, `revoked`, `expired`, `replaced`.
    pub state: &'static str,
    /// When it was issued.
    pub issued_at: u64,
    /// When it ends.
    pub expires_at: u64,
    /// When it stops being accepted, because another one takes its place.
    pub retires_at: Option<u64>,
    /// When it was revoked.
    pub revoked_at: Option<u64>,
}

/// Names a shadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowPlace {
    /// The device.
    pub device: String,
    /// The shadow's name; none: the classic one.
    pub shadow: Option<String>,
}

/// What is asked of a shadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShadowAsk {
    /// The document.
    Get,
    /// To merge this document into it.
    Update(Vec<u8>),
    /// To delete it.
    Delete,
}

/// A shadow as of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShadowView {
    /// The device.
    pub name: String,
    /// The shadow's name; none: the classic one.
    pub shadow: Option<String>,
    /// The version.
    pub version: u64,
    /// When it came about, in seconds since 1970.
    pub timestamp: u64,
    /// `desired`, `reported` and `delta`, without those that are empty; none: it was deleted.
    pub state: Option<Map<String, Value>>,
}

/// Something that happened among the devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// A device came (`connected`), went (`disconnected`), or its entry changed (`changed`).
    Device(&'static str, DeviceView),
    /// A device did not do what it was told.
    Alarm(String, Value),
    /// A device says what became of a code that it was given to read.
    Scan(String, Map<String, Value>),
    /// A shadow changed.
    Shadow(ShadowView),
}

/// Looks after devices.
pub trait Devices: Send + Sync {
    /// Tells whether the node runs devices at all.
    fn are_here(&self) -> bool;

    /// Returns up to `most` devices by name, those after the name `after`.
    ///
    /// # Errors
    /// The node has no devices.
    fn list(&self, after: Option<&str>, most: usize) -> Result<Vec<DeviceView>, DeviceError>;

    /// Returns one device.
    ///
    /// # Errors
    /// There is none of that name.
    fn device(&self, name: &str) -> Result<DeviceView, DeviceError>;

    /// Revokes a device's certificates for ever, all of them or the one whose id begins so, and returns their ids.
    ///
    /// # Errors
    /// There is no such device or certificate, or it cannot be written down.
    fn revoke(&self, name: &str, certificate: Option<&str>) -> Result<Vec<String>, DeviceError>;

    /// Gives a connected device a code to read, as if it had scanned it.
    ///
    /// # Errors
    /// The device is unknown, not connected, or takes no codes so.
    fn scan(&self, name: &str, code: &str) -> Result<(), DeviceError>;

    /// Returns the names of a device's named shadows.
    ///
    /// # Errors
    /// The node has no devices, or the store failed.
    fn shadows(&self, name: &str) -> Result<Vec<String>, DeviceError>;

    /// Asks a shadow, and returns the answer's document once it is stored.
    fn ask(&self, place: ShadowPlace, ask: ShadowAsk) -> BoxFuture<'static, Result<Value, DeviceError>>;

    /// Returns up to `most` versions of a shadow before the version `before`, the newest first; only the newest hundred are kept.
    ///
    /// # Errors
    /// The name is none, or the store failed.
    fn changes(&self, place: &ShadowPlace, before: u64, most: usize) -> Result<Vec<ShadowView>, DeviceError>;

    /// Follows what happens; none where the node has no devices.
    fn events(&self) -> Option<broadcast::Receiver<DeviceEvent>>;
}

/// A node without devices.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDevices;

impl NoDevices {
    /// Returns what such a node answers to everything.
    pub(crate) fn refusal() -> DeviceError {
        DeviceError::new("no devices here: start the node with --mqtt")
    }
}

impl Devices for NoDevices {
    fn are_here(&self) -> bool {
        false
    }

    fn list(&self, _: Option<&str>, _: usize) -> Result<Vec<DeviceView>, DeviceError> {
        Err(Self::refusal())
    }

    fn device(&self, _: &str) -> Result<DeviceView, DeviceError> {
        Err(Self::refusal())
    }

    fn revoke(&self, _: &str, _: Option<&str>) -> Result<Vec<String>, DeviceError> {
        Err(Self::refusal())
    }

    fn scan(&self, _: &str, _: &str) -> Result<(), DeviceError> {
        Err(Self::refusal())
    }

    fn shadows(&self, _: &str) -> Result<Vec<String>, DeviceError> {
        Err(Self::refusal())
    }

    fn ask(&self, _: ShadowPlace, _: ShadowAsk) -> BoxFuture<'static, Result<Value, DeviceError>> {
        Box::pin(std::future::ready(Err(Self::refusal())))
    }

    fn changes(&self, _: &ShadowPlace, _: u64, _: usize) -> Result<Vec<ShadowView>, DeviceError> {
        Err(Self::refusal())
    }

    fn events(&self) -> Option<broadcast::Receiver<DeviceEvent>> {
        None
    }
}
