//! `drawbridge device …`, and the broker inside a node and as a process of its own. What the broker does with clients is tested where it
//! is, and with AWS's device SDKs by `make devices`.

use std::net::TcpStream;

use serde_json::Value;

use super::support::{Home, Node};

fn registry() -> Home {
    let home = Home::new();
    home.run("device ca init --datadir node --hosts localhost,gate.example,192.0.2.7").succeeded();
    home
}

fn show(home: &Home, name: &str) -> Value {
    serde_json::from_str(&home.run(&format!("device show {name} --datadir node")).succeeded()).unwrap()
}

#[test]
fn a_device_is_added_listed_rotated_and_revoked() {
    let home = registry();
    let added = home.run("device add lock-1 --datadir node --out files --days 10 --writes reported");
    let id = added.field("Certificate id:");
    added.succeeded();
    for file in ["lock-1.pem", "lock-1.key", "ca.pem"] {
        assert!(home.join("files").join(file).exists(), "{file}");
    }
    home.run("device add bridge --datadir node --service").succeeded();
    let shown = show(&home, "lock-1");
    assert_eq!(
        (&shown["writes"], &shown["certificates"][0]["id"]),
        (&Value::from("reported"), &Value::from(id.clone()))
    );
    let listed = home.run("device list --datadir node").succeeded();
    let line = listed.lines().find(|line| line.starts_with("lock-1")).unwrap();
    assert!(line.contains("active") && line.contains(&id[..12]) && line.contains("ends soon"), "{line}");
    home.run("device rotate lock-1 --datadir node --grace 1h --out files").succeeded();
    assert_eq!(show(&home, "lock-1")["certificates"].as_array().unwrap().len(), 2);
    home.run(&format!("device revoke lock-1 --datadir node --certificate {}", &id[..8])).succeeded();
    let states: Vec<Value> =
        show(&home, "lock-1")["certificates"].as_array().unwrap().iter().map(|known| known["state"].clone()).collect();
    assert_eq!(states, ["REVOKED", "ACTIVE"]);
    let list = String::from_utf8(home.read("node/devices/crl.pem")).unwrap();
    home.run("device revoke lock-1 --datadir node").succeeded();
    assert_ne!(String::from_utf8(home.read("node/devices/crl.pem")).unwrap(), list);
    let shown = home.run("device ca show --datadir node").succeeded();
    assert!(shown.contains("BEGIN CERTIFICATE") && shown.contains("days left"), "{shown}");
}

#[test]
fn wrong_requests_say_what_to_do() {
    let home = Home::new();
    home.run("device add lock-1 --datadir node").failed(65, &["no certificate authority", "device ca init"]);
    home.run("device serve --datadir node").failed(65, &["no certificate authority", "device ca init"]);
    home.run("--datadir node --http --mqtt").failed(65, &["no certificate authority", "device ca init"]);
    let home = registry();
    home.run("device ca init --datadir node").failed(65, &["already"]);
    home.run("device add a/b --datadir node").failed(65, &["cannot name a device"]);
    home.run("device show nobody --datadir node").failed(65, &["no device nobody", "device list"]);
    home.run("device rotate nobody --datadir node").failed(65, &["no device nobody"]);
    home.run("device add x --datadir node --csr absent.csr").failed(65, &["absent.csr"]);
    home.write("not.csr", "no request");
    home.run("device add x --datadir node --csr not.csr").failed(65, &["signing request", "openssl req"]);
    home.write(
        "policy.json",
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:Fly","Resource":"*"}}"#,
    );
    home.run("device add x --datadir node --policy policy.json").failed(65, &["iot:Fly"]);
    home.run("device serve --datadir node --broker nowhere").failed(65, &["HOST:PORT"]);
    // Nothing of it was added.
    assert_eq!(home.run("device list --datadir node").succeeded().lines().count(), 1);
}

#[test]
fn a_node_serves_devices_and_stops_in_time_with_sockets_open() {
    let home = Home::new();
    let mut node = Node::dev(&home, "--mqtt --mqtt.port 0 --mqtt.httpsport 0");
    let line = node.wait_line("MQTT over TLS");
    let socket = TcpStream::connect(line.rsplit("addr=").next().unwrap().trim()).unwrap();
    // The development chain made an authority, and devices are added while it runs.
    home.run("device add lock-1 --datadir node").succeeded();
    node.end();
    drop(socket);
    assert!(home.join("node/devices/db").exists());
}

#[test]
fn a_port_that_is_taken_names_its_flag() {
    let home = registry();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    home.run(&format!("device serve --datadir node --mqtt.port {port}"))
        .failed(69, &["--mqtt.port", &port.to_string()]);
    home.run(&format!("device serve --datadir node --mqtt.port 0 --mqtt.httpsport {port}"))
        .failed(69, &["--mqtt.httpsport", &port.to_string()]);
}
