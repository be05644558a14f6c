//! `drawbridge device …`, and the broker inside a node and as a process of its own. What the broker does with clients is tested where it
//! is, and with AWS's device SDKs by `make devices`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

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

/// What a node pushes over its local socket.
struct Pushed {
    socket: UnixStream,
    lines: std::io::Lines<BufReader<UnixStream>>,
}

impl Pushed {
    fn connect(node: &mut Node, home: &Home) -> Self {
        let socket = UnixStream::connect(node.ipc(home)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { lines: BufReader::new(socket.try_clone().unwrap()).lines(), socket }
    }

    fn line(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    fn subscribe(&mut self, params: Value) {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "device_subscribe", "params": params});
        writeln!(self.socket, "{request}").unwrap();
        let answer = self.line();
        assert!(answer["result"].is_string(), "{answer}");
    }

    /// Waits for the first item that has this field.
    fn next(&mut self, field: &str, value: &str) -> Value {
        loop {
            let mut line = self.line();
            assert_eq!(line["method"], "device_subscription");
            let item = line["params"]["result"].take();
            if item[field] == value {
                return item;
            }
        }
    }
}

#[test]
fn devices_and_shadows_are_shown_changed_and_told_live_over_json_rpc() {
    let home = Home::new();
    let mut node = Node::dev(&home, "--mqtt --mqtt.port 0 --mqtt.httpsport 0");
    let (mut devices, mut shadows) = (Pushed::connect(&mut node, &home), Pushed::connect(&mut node, &home));
    node.wait_line("shadows over HTTPS");
    devices.subscribe(json!(["devices"]));
    shadows.subscribe(json!(["shadow", {"name": "lock-1", "shadow": "lock"}]));
    let id = home.run("device add lock-1 --datadir node").field("Certificate id:");
    home.run("device add lock-2 --datadir node --writes reported").succeeded();
    let added = devices.next("event", "changed")["device"].take();
    assert_eq!((&added["name"], &added["connected"]), (&json!("lock-1"), &json!(false)));
    assert_eq!((&added["certificates"][0]["id"], &added["certificates"][0]["state"]), (&json!(id), &json!("active")));
    devices.next("event", "changed");
    assert_eq!(node.call("device_get", json!(["lock-1"])), added);
    let page = node.call("device_list", json!([{"limit": 1}]));
    assert_eq!((&page["items"], &page["next"]), (&json!([added]), &json!("lock-1")));
    let rest = node.call("device_list", json!([{"after": "lock-1"}]));
    assert_eq!((&rest["items"][0]["writes"], &rest["next"]), (&json!("reported"), &Value::Null));

    let update = |document: Value| node.try_call("device_updateShadow", json!(["lock-1", "lock", document]));
    update(json!({"state": {"desired": {"lock": "open"}}})).unwrap();
    update(json!({"state": {"reported": {"lock": "open"}}, "version": 1})).unwrap();
    let refused = update(json!({"state": {"desired": {"lock": "closed"}}, "version": 1})).unwrap_err();
    assert_eq!((&refused["message"], &refused["data"]), (&json!("Version conflict"), &json!("409")));
    // Another shadow of the device is not what was subscribed to.
    node.call("device_updateShadow", json!(["lock-1", null, {"state": {"desired": {"lock": "open"}}}]));
    let first = shadows.next("name", "lock-1");
    assert_eq!(first["state"], json!({"desired": {"lock": "open"}, "delta": {"lock": "open"}}));
    let second = shadows.next("name", "lock-1");
    assert_eq!((&second["version"], &second["state"]["delta"]), (&json!(2), &Value::Null));
    let shadow = node.call("device_getShadow", json!(["lock-1", "lock"]));
    assert_eq!((&shadow["version"], &shadow["state"]), (&json!(2), &second["state"]));
    assert_eq!(node.call("device_shadows", json!(["lock-1"])), json!(["lock"]));
    let history = node.call("device_history", json!(["lock-1", "lock", {"limit": 1}]));
    assert_eq!((&history["items"], &history["next"]), (&json!([second]), &json!(2)));
    let older = node.call("device_history", json!(["lock-1", "lock", {"before": 2}]));
    assert_eq!((&older["items"], &older["next"]), (&json!([first]), &Value::Null));
    node.call("device_deleteShadow", json!(["lock-1", "lock"]));
    assert_eq!(shadows.next("name", "lock-1")["state"], Value::Null);
    let gone = node.try_call("device_getShadow", json!(["lock-1", "lock"])).unwrap_err();
    assert_eq!(gone["data"], json!("404"));

    assert_eq!(node.call("device_revoke", json!(["lock-1"])), json!([id]));
    let revoked = devices.next("event", "changed")["device"].take();
    assert_eq!(revoked["certificates"][0]["state"], json!("revoked"));
    assert!(home.join("node/devices/crl.pem").exists());
    for (method, params, words) in [
        ("device_get", json!(["nobody"]), "no device nobody"),
        ("device_revoke", json!(["nobody"]), "no device nobody"),
        ("device_revoke", json!(["lock-2", ""]), "empty certificate id"),
        ("device_scan", json!(["lock-2", "T1:X"]), "lock-2 is not connected"),
        ("device_scan", json!(["lock-2", "X".repeat(401)]), "401 bytes"),
        ("device_scan", json!(["nobody", "T1:X"]), "no device nobody"),
        ("device_getShadow", json!(["a/b"]), "Invalid name"),
        ("device_updateShadow", json!(["lock-2", "lock"]), "missing value"),
        ("device_history", json!(["lock-2", "lock", {"after": 1}]), "unknown field"),
    ] {
        let error = node.try_call(method, params).unwrap_err();
        assert!(error["message"].as_str().unwrap().contains(words), "{method}: {error}");
    }
    node.end();
}

#[test]
fn devices_are_steered_over_http_only_where_that_is_asked_for() {
    let home = registry();
    let node = Node::start(&home, "--datadir node --http --mqtt --mqtt.port 0 --mqtt.httpsport 0");
    let refused = node.try_call("device_list", json!([])).unwrap_err();
    assert_eq!(refused["code"], json!(-32601));
    node.end();
    let node = Node::start(&home, "--datadir node --http --http.api eth,device");
    let refused = node.try_call("device_list", json!([])).unwrap_err();
    assert!(refused["message"].as_str().unwrap().contains("--mqtt"), "{refused}");
    node.end();
}
