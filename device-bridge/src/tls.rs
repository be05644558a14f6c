//! TLS for devices: a server that wants a certificate of our authority, registered and active, and clients that show one.

use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::registry::{Authority, CertificateId, Registry, RegistryError, read_text};

/// The protocol names of MQTT in TLS, as AWS's SDKs offer them.
pub const ALPN_MQTT: [&[u8]; 2] = [b"x-amzn-mqtt-ca", b"mqtt"];
/// The protocol names of the data API over HTTPS.
pub const ALPN_HTTP: [&[u8]; 2] = [b"x-amzn-http-ca", b"http/1.1"];

/// Makes ring the program's cryptography. With two providers in one program rustls would not know which to take.
pub fn install_provider() {
    // Somebody may have installed it already, and then it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The side of the broker.
#[derive(Debug)]
pub struct ServerTls {
    /// For connections where nothing is negotiated, or MQTT.
    pub config: Arc<ServerConfig>,
    verifier: Arc<DeviceVerifier>,
}

impl ServerTls {
    /// Reads the authority's certificate, the list of revoked ones, and the server's key and certificate from the registry's
    /// folder.
    ///
    /// # Errors
    /// A file is missing or malformed.
    pub fn open(registry: &Arc<Registry>) -> Result<Self, RegistryError> {
        let folder = registry.folder();
        let verifier = Arc::new(DeviceVerifier::open(registry.clone())?);
        let (certificate, key) = (Authority::server_certificate_path(folder), Authority::server_key_path(folder));
        let mut config = ServerConfig::builder()
            .with_client_cert_verifier(verifier.clone())
            .with_single_cert(certificates(&certificate)?, secret_key(&key)?)
            .map_err(|error| damaged(&certificate, error))?;
        config.alpn_protocols = ALPN_MQTT.iter().chain(&ALPN_HTTP).map(|name| name.to_vec()).collect();
        // Each connection proves itself anew: a session that is resumed would not be looked up in the registry.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), verifier })
    }

    /// Reads the list of revoked certificates again.
    ///
    /// # Errors
    /// It is malformed; the old one stays.
    pub fn reload(&self) -> Result<(), RegistryError> {
        self.verifier.reload()
    }
}

/// Accepts a client's certificate if it is signed by our authority, not on its list of revoked ones, and active in the registry.
#[derive(Debug)]
struct DeviceVerifier {
    registry: Arc<Registry>,
    roots: Arc<RootCertStore>,
    hints: Vec<DistinguishedName>,
    chain: RwLock<Arc<dyn ClientCertVerifier>>,
}

impl DeviceVerifier {
    fn open(registry: Arc<Registry>) -> Result<Self, RegistryError> {
        let path = Authority::certificate_path(registry.folder());
        if !path.exists() {
            return Err(RegistryError::NoAuthority(registry.folder().to_owned()));
        }
        let roots = Arc::new(roots(&path)?);
        let chain = chain_verifier(&roots, registry.folder())?;
        Ok(Self { hints: chain.root_hint_subjects().to_vec(), chain: RwLock::new(chain), roots, registry })
    }

    fn reload(&self) -> Result<(), RegistryError> {
        *self.chain.write() = chain_verifier(&self.roots, self.registry.folder())?;
        Ok(())
    }

    fn chain(&self) -> Arc<dyn ClientCertVerifier> {
        self.chain.read().clone()
    }
}

impl ClientCertVerifier for DeviceVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain().verify_client_cert(end_entity, intermediates, now)?;
        let id = CertificateId::of(end_entity);
        match self.registry.accept(&id, now.as_secs()) {
            Ok(_) => Ok(verified),
            Err(reason) => {
                tracing::info!(certificate = %id, reason, "refused a certificate");
                Err(Error::InvalidCertificate(CertificateError::Revoked))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain().verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain().verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain().supported_verify_schemes()
    }
}

/// Returns the configuration of a client that trusts the authorities in the file `ca` alone, and shows the certificate in
/// `certificate` with the key in `key`. `alpn` is what it offers: nothing on port 8883, `x-amzn-mqtt-ca` on port 443 of AWS.
///
/// # Errors
/// A file is missing or malformed.
pub fn client_config(
    ca: &Path,
    certificate: &Path,
    key: &Path,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, RegistryError> {
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots(ca)?)
        .with_client_auth_cert(certificates(certificate)?, secret_key(key)?)
        .map_err(|error| damaged(certificate, error))?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn chain_verifier(roots: &Arc<RootCertStore>, folder: &Path) -> Result<Arc<dyn ClientCertVerifier>, RegistryError> {
    let path = Authority::revocation_list_path(folder);
    let list = CertificateRevocationListDer::from_pem_slice(read_text(&path)?.as_bytes())
        .map_err(|error| damaged(&path, error))?;
    WebPkiClientVerifier::builder(roots.clone())
        .with_crls([list])
        .only_check_end_entity_revocation()
        .build()
        .map_err(|error| damaged(&path, error))
}

fn roots(path: &Path) -> Result<RootCertStore, RegistryError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|error| damaged(path, error))?;
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RegistryError> {
    let text = read_text(path)?;
    let found = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(damaged(path, "no certificate in it")),
        Err(error) => Err(damaged(path, error)),
    }
}

fn secret_key(path: &Path) -> Result<PrivateKeyDer<'static>, RegistryError> {
    PrivateKeyDer::from_pem_slice(read_text(path)?.as_bytes()).map_err(|error| damaged(path, error))
}

fn damaged(path: &Path, error: impl std::fmt::Display) -> RegistryError {
    RegistryError::Damaged { path: path.to_owned(), cause: error.to_string() }
}
