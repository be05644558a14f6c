//! `drawbridge device ca|add|list|show|revoke|rotate`: the registry of devices in the data directory. A broker that runs on it
//! sees each change within a fraction of a second.

use std::io::Write;
use std::path::{Path, PathBuf};

use device_bridge::policy::POLICY_CHARS_MAX;
use device_bridge::registry::{
    Authority, Certificate, CertificateState, EXPIRY_WARNING_SECONDS, Issued, Registry, RegistryError, Role, Thing,
    certificate_times,
};
use device_bridge::shadow::{Writes, is_thing_name};

use crate::cli::device_registry::{CaCommand, CertificateArgs, DeviceCommand, WritesChoice};
use crate::config::DataConfig;
use crate::exit::Fatal;
use crate::run::now_seconds;

use super::say;

const DAY: u64 = 24 * 3600;

/// Runs one of the commands; `device serve` is not among them.
///
/// # Errors
/// The registry cannot be used, or refuses the change.
pub fn run(command: &DeviceCommand, data: &DataConfig, out: &mut dyn Write) -> Result<(), Fatal> {
    let folder = data.devices_dir();
    match command {
        DeviceCommand::Ca(command) => ca(command, &folder, out),
        DeviceCommand::Add { name, service, policy, writes, certificate, .. } => {
            let role = match (service, policy) {
                (true, _) => Role::Service,
                (false, Some(file)) => Role::Custom(read(file, POLICY_CHARS_MAX * 4)?),
                (false, None) => Role::Device,
            };
            let writes = match writes {
                WritesChoice::Both => Writes::Both,
                WritesChoice::Desired => Writes::Desired,
                WritesChoice::Reported => Writes::Reported,
            };
            add(&folder, name, role, writes, certificate, out)
        }
        DeviceCommand::List { .. } => list(&folder, out),
        DeviceCommand::Show { name, .. } => {
            let thing = open(&folder)?.thing(name).map_err(fatal)?;
            let text = serde_json::to_string_pretty(&*thing).expect("a thing is always written as JSON");
            say(out, text)
        }
        DeviceCommand::Revoke { name, certificate, .. } => revoke(&folder, name, certificate.as_deref(), out),
        DeviceCommand::Rotate { name, grace, certificate, .. } => {
            let (registry, authority) = (open(&folder)?, authority(&folder)?);
            registry.thing(name).map_err(fatal)?;
            let issued = issue(&authority, name, certificate)?;
            let retire_at = now_seconds().saturating_add(grace.0.as_secs());
            registry.rotate(name, issued.certificate.clone(), retire_at).map_err(fatal)?;
            hand_out(&authority, &folder, name, certificate, &issued, out)?;
            say(out, format_args!("Old certificates are accepted for: {grace}"))
        }
        DeviceCommand::Serve { .. } | DeviceCommand::Gate(_) => {
            Err(Fatal::Internal { cause: "device serve, run and bridge run elsewhere".into() })
        }
    }
}

fn ca(command: &CaCommand, folder: &Path, out: &mut dyn Write) -> Result<(), Fatal> {
    let certificate = Authority::certificate_path(folder);
    match command {
        CaCommand::Init { name, hosts, .. } => {
            Authority::init(folder, name, &hosts.0, now_seconds()).map_err(fatal)?;
            say(out, format_args!("Certificate authority: {}", certificate.display()))?;
            say(out, format_args!("Broker's certificate for: {}", hosts.0.join(", ")))?;
            say(out, "Whoever has ca.key can make devices: keep it, and a copy of it, where nobody else reads it.")
        }
        CaCommand::Show { .. } => {
            let text =
                read(&certificate, 64 * 1024).map_err(|_| fatal(RegistryError::NoAuthority(folder.to_owned())))?;
            let server = Authority::server_certificate_path(folder);
            for (what, path) in [("Certificate authority", &certificate), ("Broker's certificate", &server)] {
                let (_, until) = certificate_times(&read(path, 64 * 1024)?).map_err(fatal)?;
                let days = until.saturating_sub(now_seconds()).div_ceil(DAY);
                say(out, format_args!("{what}: {}, {days} days left", path.display()))?;
            }
            say(out, format_args!("Revoked certificates: {}", Authority::revocation_list_path(folder).display()))?;
            say(out, text.trim_end())
        }
        CaCommand::Server { hosts, .. } => {
            authority(folder)?.write_server_certificate(&hosts.0, now_seconds()).map_err(fatal)?;
            say(out, format_args!("Broker's certificate for: {}", hosts.0.join(", ")))?;
            say(out, "A broker that runs takes it when it starts again.")
        }
    }
}

fn add(
    folder: &Path,
    name: &str,
    role: Role,
    writes: Writes,
    certificate: &CertificateArgs,
    out: &mut dyn Write,
) -> Result<(), Fatal> {
    // Before a certificate is made for it.
    if !is_thing_name(name) {
        return Err(fatal(RegistryError::Name(name.to_owned())));
    }
    role.policy().map_err(|error| fatal(error.into()))?;
    let (registry, authority) = (open(folder)?, authority(folder)?);
    if registry.thing(name).is_ok() {
        return Err(fatal(RegistryError::Exists(name.to_owned())));
    }
    let issued = issue(&authority, name, certificate)?;
    let certificates = vec![issued.certificate.clone()];
    let thing = Thing { name: name.to_owned(), role, writes, added_at: now_seconds(), certificates };
    registry.add(thing).map_err(fatal)?;
    hand_out(&authority, folder, name, certificate, &issued, out)
}

fn issue(authority: &Authority, name: &str, args: &CertificateArgs) -> Result<Issued, Fatal> {
    let now = now_seconds();
    match &args.csr {
        Some(file) => authority.sign(&read(file, 64 * 1024)?, name, args.days, now),
        None => authority.issue(name, args.days, now),
    }
    .map_err(fatal)
}

fn hand_out(
    authority: &Authority,
    folder: &Path,
    name: &str,
    args: &CertificateArgs,
    issued: &Issued,
    out: &mut dyn Write,
) -> Result<(), Fatal> {
    let target = args.out.clone().unwrap_or_else(|| folder.join("issued").join(name.replace(':', "_")));
    let paths = authority.hand_out(&target, name, issued).map_err(fatal)?;
    say(out, format_args!("Device: {name}"))?;
    say(out, format_args!("Certificate id: {}", issued.certificate.id))?;
    say(out, format_args!("Days: {}", args.days))?;
    paths.iter().try_for_each(|path: &PathBuf| say(out, format_args!("File: {}", path.display())))
}

fn revoke(folder: &Path, name: &str, certificate: Option<&str>, out: &mut dyn Write) -> Result<(), Fatal> {
    let registry = open(folder)?;
    let now = now_seconds();
    let revoked = registry.revoke(name, certificate, now).map_err(fatal)?;
    // The registry holds from here on; the list is for brokers that are not ours.
    let list = registry.write_revocation_list(now).map_err(fatal)?;
    revoked.iter().try_for_each(|id| say(out, format_args!("Revoked: {id}")))?;
    say(out, format_args!("List for other brokers: {}", list.display()))
}

fn list(folder: &Path, out: &mut dyn Write) -> Result<(), Fatal> {
    let now = now_seconds();
    let things = open(folder)?.things();
    let width = things.iter().map(|thing| thing.name.len()).max().unwrap_or(0).max("DEVICE".len());
    say(out, format_args!("{:width$}  {:10}  {:12}  {:>5}  WARNING", "DEVICE", "STATE", "CERTIFICATE", "DAYS"))?;
    for thing in things {
        for certificate in &thing.certificates {
            let id = certificate.id.get(..12).unwrap_or_default();
            let left = certificate.expires_at.saturating_sub(now);
            let state = state(certificate, now);
            let line = format!(
                "{:width$}  {state:10}  {id:12}  {:>5}  {}",
                thing.name,
                left.div_ceil(DAY),
                warning(certificate, now)
            );
            say(out, line.trim_end())?;
        }
    }
    Ok(())
}

fn state(certificate: &Certificate, now: u64) -> &'static str {
    match (certificate.state, certificate.refusal(now)) {
        (CertificateState::Active, None) => "active",
        (_, Some(why)) => why,
        (CertificateState::Inactive | CertificateState::Revoked, None) => "inactive",
    }
}

fn warning(certificate: &Certificate, now: u64) -> &'static str {
    let is_accepted = certificate.refusal(now).is_none();
    match (is_accepted, certificate.retires_at) {
        (true, Some(_)) => "replaced: its grace time runs",
        (true, None) if certificate.expires_at.saturating_sub(now) < EXPIRY_WARNING_SECONDS => {
            "ends soon: `drawbridge device rotate`"
        }
        _ => "",
    }
}

fn open(folder: &Path) -> Result<Registry, Fatal> {
    if !Authority::certificate_path(folder).exists() {
        return Err(fatal(RegistryError::NoAuthority(folder.to_owned())));
    }
    Registry::open(folder).map_err(fatal)
}

fn authority(folder: &Path) -> Result<Authority, Fatal> {
    Authority::open(folder).map_err(fatal)
}

fn read(path: &Path, bytes_max: usize) -> Result<String, Fatal> {
    use std::io::Read;
    let mut text = String::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    std::fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|error| Fatal::config(format!("{}: {error}", path.display()), "check the path of the file"))?;
    Ok(text)
}

/// Says what the operator can do about a problem of the registry.
pub(crate) fn fatal(error: RegistryError) -> Fatal {
    let remedy = match &error {
        RegistryError::Io { path, source } => return Fatal::io(path, source),
        RegistryError::NoAuthority(_) => "make one by `drawbridge device ca init`, or choose another --datadir",
        RegistryError::AuthorityExists(_) => {
            "use it: `drawbridge device ca show`; another one would cut off all devices"
        }
        RegistryError::Damaged { .. } => "restore the file from a copy",
        RegistryError::Name(_) => "choose another name",
        RegistryError::Exists(_) => "choose another name, or make it a new certificate by `drawbridge device rotate`",
        RegistryError::Unknown(_) => "`drawbridge device list` shows the devices of --datadir",
        RegistryError::UnknownCertificate { .. } => "`drawbridge device show NAME` shows its certificates",
        RegistryError::TooMany(_) => "revoke old ones by `drawbridge device revoke NAME --certificate ID`",
        RegistryError::Request(_) => "make the request with `openssl req -new` and give the file in PEM",
        RegistryError::Certificate(_) => "check the host names, and the files in the devices' folder",
        RegistryError::Policy(_) => "correct the policy document",
    };
    Fatal::config(error, remedy)
}
