#![allow(clippy::unwrap_used)]
use super::*;

const NOW: u64 = 1_800_000_000;

fn thing(name: &str, certificate: Certificate) -> Thing {
    Thing {
        name: name.into(),
        role: Role::Device,
        writes: Writes::Both,
        added_at: NOW,
        certificates: vec![certificate],
    }
}

fn open(folder: &tempfile::TempDir) -> (Registry, Authority) {
    let authority = Authority::init(folder.path(), "test", &["localhost".into()], NOW).unwrap();
    (Registry::open(folder.path()).unwrap(), authority)
}

fn id_of(issued: &Issued) -> CertificateId {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateId::of(&CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap())
}

#[test]
fn a_certificate_is_accepted_until_it_is_revoked_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, authority) = open(&folder);
    let issued = authority.issue("lock-1", 10, NOW).unwrap();
    let id = id_of(&issued);
    assert_eq!(registry.accept(&id, NOW).unwrap_err(), "not registered");
    registry.add(thing("lock-1", issued.certificate)).unwrap();
    assert_eq!(registry.accept(&id, NOW).unwrap().0.name, "lock-1");
    assert_eq!(registry.accept(&id, NOW + 10 * 24 * 3600).unwrap_err(), "expired");
    // Another process sees it, and revokes it; this one follows.
    let other = Registry::open(folder.path()).unwrap();
    let before = registry.revision();
    assert_eq!(other.revoke("lock-1", None, NOW).unwrap(), [id.to_string()]);
    assert!(registry.refresh().unwrap() && registry.revision() > before);
    assert!(!registry.refresh().unwrap());
    assert_eq!(registry.accept(&id, NOW).unwrap_err(), "revoked");
    assert_eq!(Registry::open(folder.path()).unwrap().accept(&id, NOW).unwrap_err(), "revoked");
    assert_eq!(registry.revoked().len(), 1);
}

#[test]
fn a_rotation_lets_the_old_certificate_live_for_its_grace_time() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, authority) = open(&folder);
    let (old, new) = (authority.issue("a", 10, NOW).unwrap(), authority.issue("a", 10, NOW).unwrap());
    registry.add(thing("a", old.certificate.clone())).unwrap();
    registry.rotate("a", new.certificate.clone(), NOW + 60).unwrap();
    assert!(registry.accept(&id_of(&old), NOW + 59).is_ok());
    assert_eq!(registry.accept(&id_of(&old), NOW + 60).unwrap_err(), "replaced");
    assert!(registry.accept(&id_of(&new), NOW + 60).is_ok());
    // One certificate is revoked by the beginning of its id.
    registry.revoke("a", Some(&new.certificate.id[..12]), NOW).unwrap();
    assert_eq!(registry.accept(&id_of(&new), NOW).unwrap_err(), "revoked");
    assert!(registry.accept(&id_of(&old), NOW).is_ok());
    for _ in 0..CERTIFICATES_PER_THING_MAX - 1 {
        registry.rotate("a", authority.issue("a", 10, NOW).unwrap().certificate, NOW + 60).unwrap();
    }
    let more = authority.issue("a", 10, NOW).unwrap().certificate;
    assert!(matches!(registry.rotate("a", more, NOW + 60), Err(RegistryError::TooMany(_))));
    // Those that were replaced make room once their grace time is over; the newest and the revoked one stay known.
    let later = authority.issue("a", 10, NOW + 60).unwrap().certificate;
    registry.rotate("a", later.clone(), NOW + 120).unwrap();
    let known: Vec<_> = registry.thing("a").unwrap().certificates.iter().map(|known| known.id.clone()).collect();
    assert_eq!((known.len(), &known[0], &known[2]), (3, &new.certificate.id, &later.id));
    let last = authority.issue("a", 10, NOW + 10 * 24 * 3600 + 61).unwrap().certificate;
    registry.rotate("a", last.clone(), NOW).unwrap();
    assert_eq!(registry.thing("a").unwrap().certificates, [last]);
    assert_eq!(registry.accept(&id_of(&old), NOW).unwrap_err(), "not registered");
}

#[test]
fn a_long_journal_is_written_anew_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, authority) = open(&folder);
    let certificate = authority.issue("x", 10, NOW).unwrap().certificate;
    let follower = Registry::open(folder.path()).unwrap();
    for name in ["a", "b"] {
        registry.add(thing(name, certificate.clone())).unwrap();
    }
    let path = folder.path().join("registry.jsonl");
    let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
    let mut most = 0;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let other = Registry::open(folder.path()).unwrap();
            (0..400).for_each(|_| drop(other.revoke("b", None, NOW).unwrap()));
        });
        for at in 0..400 {
            registry.revoke("a", None, NOW + at).unwrap();
            most = most.max(lines());
            follower.refresh().unwrap();
        }
        writer.join().unwrap();
    });
    assert!((200..300).contains(&most) && lines() < 300, "at most {most} lines, now {}", lines());
    // A change after the journal was written anew reaches who follows it.
    registry.add(thing("c", certificate)).unwrap();
    follower.refresh().unwrap();
    let newest = Registry::open(folder.path()).unwrap();
    assert_eq!(follower.things(), newest.things());
    assert_eq!(newest.things().len(), 3);
    let revoked = |name: &str| newest.thing(name).unwrap().certificates[0].revoked_at;
    assert_eq!((revoked("a"), revoked("b")), (Some(NOW), Some(NOW)));
}

#[test]
fn wrong_changes_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, authority) = open(&folder);
    let certificate = authority.issue("a", 10, NOW).unwrap().certificate;
    for name in ["", "a b", "a/b", "+", "#", "a\n", &"x".repeat(129)] {
        assert!(matches!(registry.add(thing(name, certificate.clone())), Err(RegistryError::Name(_))), "{name:?}");
    }
    let custom = Thing { role: Role::Custom("{}".into()), ..thing("a", certificate.clone()) };
    assert!(matches!(registry.add(custom), Err(RegistryError::Policy(_))));
    assert!(registry.things().is_empty());
    registry.add(thing("a", certificate.clone())).unwrap();
    assert!(matches!(registry.add(thing("a", certificate)), Err(RegistryError::Exists(_))));
    assert!(matches!(registry.revoke("b", None, NOW), Err(RegistryError::Unknown(_))));
    assert!(matches!(registry.revoke("a", Some("zz"), NOW), Err(RegistryError::UnknownCertificate { .. })));
    assert!(matches!(Authority::init(folder.path(), "x", &[], NOW), Err(RegistryError::AuthorityExists(_))));
}

#[test]
fn a_torn_line_is_cut_off_and_the_rest_stands() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, authority) = open(&folder);
    registry.add(thing("a", authority.issue("a", 10, NOW).unwrap().certificate)).unwrap();
    let path = folder.path().join("registry.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str(r#"{"name":"b","add"#);
    std::fs::write(&path, &text).unwrap();
    let registry = Registry::open(folder.path()).unwrap();
    assert_eq!(registry.things().len(), 1);
    registry.add(thing("c", authority.issue("c", 10, NOW).unwrap().certificate)).unwrap();
    let names: Vec<_> =
        Registry::open(folder.path()).unwrap().things().iter().map(|thing| thing.name.clone()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn changes_of_many_writers_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (_, authority) = open(&folder);
    let certificate = authority.issue("x", 10, NOW).unwrap().certificate;
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (path, certificate) = (folder.path(), certificate.clone());
            scope.spawn(move || {
                let registry = Registry::open(path).unwrap();
                for index in 0..10 {
                    registry.add(thing(&format!("d-{writer}-{index}"), certificate.clone())).unwrap();
                }
            });
        }
    });
    assert_eq!(Registry::open(folder.path()).unwrap().things().len(), 40);
}

#[test]
fn a_signing_request_gives_its_public_key_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (_, authority) = open(&folder);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "another");
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let issued = authority.sign(&request, "lock-1", 30, NOW).unwrap();
    assert!(issued.key_pem.is_none());
    let der = {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()
    };
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=lock-1");
    assert!(certificate.subject_alternative_name().unwrap().is_none());
    assert!(!certificate.is_ca());
    assert_eq!(certificate.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
    // A request whose signature does not fit is refused.
    let mut damaged = request.clone().into_bytes();
    let place = request.find("\n-----END").unwrap() - 10;
    damaged[place] = if damaged[place] == b'A' { b'B' } else { b'A' };
    let damaged = String::from_utf8(damaged).unwrap();
    assert!(matches!(authority.sign(&damaged, "x", 1, NOW), Err(RegistryError::Request(_))));
    assert!(matches!(authority.sign("no request", "x", 1, NOW), Err(RegistryError::Request(_))));
}

#[test]
fn what_is_handed_out_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (_, authority) = open(&folder);
    let issued = authority.issue("a:b", 1, NOW).unwrap();
    let paths = authority.hand_out(&folder.path().join("out"), "a:b", &issued).unwrap();
    let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a_b.pem", "a_b.key", "ca.pem"]);
    assert_eq!(paths[1].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.path().join("ca.key").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        Authority::open(folder.path()).unwrap().issue("c", 1, NOW).unwrap().certificate.state,
        CertificateState::Active
    );
}
