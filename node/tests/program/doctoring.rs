//! `doctor`: what it says of nodes that run and of those that do not, and that it misses nothing an operator would want to know.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use super::exit_codes::as_nobody;
use super::support::{Home, Node, Ran};

#[track_caller]
fn says(ran: &Ran, expected: &[&str]) {
    for text in expected {
        assert!(ran.out.contains(text), "no `{text}` in {}{}", ran.out, ran.err);
    }
}

#[test]
fn a_data_directory_of_another_user_is_a_finding_and_no_empty_one() {
    let home = Home::new();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(home.join("closed/chaindata")).unwrap();
    fs::set_permissions(home.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let doctor = as_nobody(&home, "doctor --datadir closed");
    says(&doctor, &["[-] datadir    closed: Permission denied", "as the user that runs the node"]);
    assert!(!doctor.out.contains("genesis"), "what it cannot see it does not tell: {}", doctor.out);
    assert_eq!(doctor.code, 65);
    for line in ["backup create --datadir closed copy", "db verify --datadir closed"] {
        as_nobody(&home, line).failed(77, &["closed", "Permission denied"]);
    }
    fs::set_permissions(home.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn the_ports_and_the_clock_of_a_running_node_are_told() {
    let home = Home::new();
    let node = Node::start(&home, "--datadir node --port 0 --p2p.addr 127.0.0.1 --nodiscover --http");
    let doctor = home.run("doctor --datadir node");
    says(
        &doctor,
        &["[+] node       runs", "[+] port       127.0.0.1:", "[+] clock      there is no peer", "[-] peers"],
    );
    let http = node.address.port();
    let doctor = home.run(&format!("doctor --datadir node --http --http.port {http}"));
    says(&doctor, &[&format!("[+] port       localhost:{http} answers (--http.port)")]);
    // Nobody listens where nobody has been told to.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let doctor = home.run(&format!("doctor --datadir node --metrics --metrics.port {free}"));
    says(&doctor, &[&format!("[-] port       127.0.0.1:{free}"), "other settings"]);
    node.end();
}

#[test]
fn passwords_and_addresses_are_tried_before_a_start_needs_them() {
    let home = Home::new();
    home.run("account import --datadir node --password pw.txt --lightkdf key.hex").succeeded();
    home.write("wrong.txt", "not this\n");
    says(&home.run("doctor --datadir node --unlock 0 --password pw.txt"), &["[+] accounts   pw.txt can be read"]);
    says(&home.run("doctor --datadir node --unlock 0 --password wrong.txt"), &["[-] accounts", "could not decrypt"]);
    says(&home.run("doctor --datadir node --password absent.txt"), &["[-] accounts", "absent.txt"]);
    let quic = "/ip4/127.0.0.1/udp/1/quic-v1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";
    says(&home.run(&format!("doctor --datadir node --p2p.static {quic}")), &["[-] peer", "--p2p.quic"]);
}
