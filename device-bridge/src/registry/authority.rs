//! The certificate authority: makes itself, the server's certificate, certificates of devices, and the list of revoked ones.
//!
//! Keys are ECDSA on P-256. A device's certificate has its name as common name, and serves client authentication alone.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::journal::{Private, create_private, write_file};
use super::{Certificate, CertificateId, CertificateState, RegistryError};

/// How long an authority lasts, in seconds: ten years.
const AUTHORITY_SECONDS: u64 = 10 * 365 * 24 * 3600;
/// How long a server's certificate lasts, in seconds: a year.
const SERVER_SECONDS: u64 = 365 * 24 * 3600;
/// Certificates hold from a little before they are made, since clocks of devices are not exact.
const CLOCK_SKEW_SECONDS: u64 = 3600;
/// The largest certificate, key, request or list that is read, in bytes: some 50,000 revoked certificates.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// A certificate that was made.
#[derive(Clone, Debug)]
pub struct Issued {
    /// What the registry keeps of it.
    pub certificate: Certificate,
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The secret key, PEM, where it was made here.
    pub key_pem: Option<String>,
}

/// The authority in a folder.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The certificate of the authority in a folder.
    pub fn certificate_path(folder: &Path) -> PathBuf {
        folder.join("ca.pem")
    }

    /// The list of revoked certificates in a folder.
    pub fn revocation_list_path(folder: &Path) -> PathBuf {
        folder.join("crl.pem")
    }

    /// The server's certificate in a folder.
    pub fn server_certificate_path(folder: &Path) -> PathBuf {
        folder.join("server.pem")
    }

    /// The server's secret key in a folder.
    pub fn server_key_path(folder: &Path) -> PathBuf {
        folder.join("server.key")
    }

    fn key_path(folder: &Path) -> PathBuf {
        folder.join("ca.key")
    }

    /// Makes an authority named `name`, an empty list of revoked certificates, and a server's certificate for `hosts`.
    ///
    /// # Errors
    /// There is one already, a host's name is malformed, or files cannot be written.
    pub fn init(folder: &Path, name: &str, hosts: &[String], now: u64) -> Result<Self, RegistryError> {
        create_private(folder).map_err(|error| RegistryError::io(folder, error))?;
        if Self::key_path(folder).exists() || Self::certificate_path(folder).exists() {
            return Err(RegistryError::AuthorityExists(folder.to_owned()));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(serial());
        params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(now.saturating_sub(CLOCK_SKEW_SECONDS));
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(now.saturating_add(AUTHORITY_SECONDS));
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        // The key first: with a certificate there is a key.
        write_file(&Self::key_path(folder), key.serialize_pem().as_bytes(), Private::Yes)?;
        write_file(&Self::certificate_path(folder), certificate.pem().as_bytes(), Private::No)?;
        let authority = Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) };
        authority.write_revocation_list(&[], now)?;
        authority.write_server_certificate(hosts, now)?;
        Ok(authority)
    }

    /// Opens the authority in a folder.
    ///
    /// # Errors
    /// There is none, or its files cannot be read.
    pub fn open(folder: &Path) -> Result<Self, RegistryError> {
        let (key, certificate) = (Self::key_path(folder), Self::certificate_path(folder));
        if !key.exists() || !certificate.exists() {
            return Err(RegistryError::NoAuthority(folder.to_owned()));
        }
        let damaged = |path: &Path, error: rcgen::Error| RegistryError::Damaged {
            path: path.to_owned(),
            cause: error.to_string(),
        };
        let pair = KeyPair::from_pem(&read_text(&key)?).map_err(|error| damaged(&key, error))?;
        let issuer =
            Issuer::from_ca_cert_pem(&read_text(&certificate)?, pair).map_err(|error| damaged(&certificate, error))?;
        Ok(Self { folder: folder.to_owned(), issuer })
    }

    /// Makes a key and a certificate for a device.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn issue(&self, name: &str, days: u32, now: u64) -> Result<Issued, RegistryError> {
        let key = KeyPair::generate().map_err(failed)?;
        let params = device_params(CertificateParams::default(), name, days, now);
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        issued(&certificate, &params, Some(key.serialize_pem()), now)
    }

    /// Signs the key of a device that keeps it to itself. Only the public key counts of the request; its signature proves that
    /// the device has the secret one.
    ///
    /// # Errors
    /// The request is malformed, or its signature is wrong.
    pub fn sign(&self, request_pem: &str, name: &str, days: u32, now: u64) -> Result<Issued, RegistryError> {
        let refused = |error: rcgen::Error| RegistryError::Request(error.to_string());
        let mut request = CertificateSigningRequestParams::from_pem(request_pem).map_err(refused)?;
        request.params = device_params(CertificateParams::default(), name, days, now);
        let certificate = request.signed_by(&self.issuer).map_err(refused)?;
        issued(&certificate, &request.params, None, now)
    }

    /// Makes the server's key and certificate for these host names and addresses, and writes them into the folder.
    ///
    /// # Errors
    /// A name is malformed, or the files cannot be written.
    pub fn write_server_certificate(&self, hosts: &[String], now: u64) -> Result<(), RegistryError> {
        let mut params = CertificateParams::default();
        for host in hosts {
            let name = match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.as_str().try_into().map_err(failed)?),
            };
            params.subject_alt_names.push(name);
        }
        params.distinguished_name = common_name(hosts.first().map_or("localhost", String::as_str));
        params.serial_number = Some(serial());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(now.saturating_sub(CLOCK_SKEW_SECONDS));
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(now.saturating_add(SERVER_SECONDS));
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        write_file(&Self::server_key_path(&self.folder), key.serialize_pem().as_bytes(), Private::Yes)?;
        write_file(&Self::server_certificate_path(&self.folder), certificate.pem().as_bytes(), Private::No)
    }

    /// Writes the list of revoked certificates (serial number, hexadecimal, and time) for brokers that are not ours.
    ///
    /// # Errors
    /// It cannot be signed or written.
    pub fn write_revocation_list(&self, revoked: &[(String, u64)], now: u64) -> Result<(), RegistryError> {
        let entries = revoked.iter().map(|(serial, at)| {
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&unhex(serial)?),
                revocation_time: date_time_ymd(1970, 1, 1) + Duration::from_secs(*at),
                reason_code: Some(RevocationReason::Unspecified),
                invalidity_date: None,
            })
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1) + Duration::from_secs(now.saturating_sub(CLOCK_SKEW_SECONDS)),
            next_update: date_time_ymd(1970, 1, 1) + Duration::from_secs(now.saturating_add(AUTHORITY_SECONDS)),
            crl_number: SerialNumber::from_slice(&now.to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs: entries.collect::<Result<_, RegistryError>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(failed)?;
        write_file(&Self::revocation_list_path(&self.folder), list.as_bytes(), Private::No)
    }

    /// Writes what a device needs into `folder`: `NAME.pem`, `NAME.key` where the key was made here, and `ca.pem`. Returns the
    /// paths in that order.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn hand_out(&self, folder: &Path, name: &str, issued: &Issued) -> Result<Vec<PathBuf>, RegistryError> {
        create_private(folder).map_err(|error| RegistryError::io(folder, error))?;
        // A colon is in names, but not in file names everywhere.
        let file = name.replace(':', "_");
        let mut paths = Vec::new();
        let mut write = |name: String, text: &str, private| {
            let path = folder.join(name);
            let written = write_file(&path, text.as_bytes(), private);
            paths.push(path);
            written
        };
        write(format!("{file}.pem"), &issued.certificate_pem, Private::No)?;
        if let Some(key) = &issued.key_pem {
            write(format!("{file}.key"), key, Private::Yes)?;
        }
        write("ca.pem".to_owned(), &read_text(&Self::certificate_path(&self.folder))?, Private::No)?;
        Ok(paths)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Returns since when and until when a certificate (PEM) holds, in seconds since 1970.
///
/// # Errors
/// It is no certificate.
pub fn certificate_times(pem: &str) -> Result<(u64, u64), RegistryError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(failed)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(failed)?;
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    Ok((seconds(certificate.validity.not_before), seconds(certificate.validity.not_after)))
}

/// Reads a small text file.
pub(crate) fn read_text(path: &Path) -> Result<String, RegistryError> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(PEM_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| RegistryError::io(path, error))?;
    Ok(text)
}

fn device_params(mut params: CertificateParams, name: &str, days: u32, now: u64) -> CertificateParams {
    params.distinguished_name = common_name(name);
    params.serial_number = Some(serial());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let lifetime = u64::from(days) * 24 * 3600;
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(now.saturating_sub(CLOCK_SKEW_SECONDS));
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(now.saturating_add(lifetime));
    params
}

fn issued(
    certificate: &rcgen::Certificate,
    params: &CertificateParams,
    key_pem: Option<String>,
    now: u64,
) -> Result<Issued, RegistryError> {
    let certificate_pem = certificate.pem();
    let (_, expires_at) = certificate_times(&certificate_pem)?;
    let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
    Ok(Issued {
        certificate: Certificate {
            id: CertificateId::of(certificate.der()).to_string(),
            serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
            state: CertificateState::Active,
            issued_at: now,
            expires_at,
            retires_at: None,
            revoked_at: None,
        },
        certificate_pem,
        key_pem,
    })
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Returns a random serial number: 16 bytes, positive (RFC 5280, section 4.1.2.2).
fn serial() -> SerialNumber {
    let mut bytes = rand::random::<[u8; 16]>();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn unhex(text: &str) -> Result<Vec<u8>, RegistryError> {
    alloy_primitives::hex::decode(text).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> RegistryError {
    RegistryError::Certificate(error.to_string())
}
