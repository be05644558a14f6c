//! Measures shadows under load: how many updates a second with many connected devices, how long each takes, and what a connected
//! device costs in memory; beside it, in the same run and over the same TLS, plain messages through the embedded broker and through
//! Mosquitto.
//!
//! ```text
//! device_load DRAWBRIDGE [DEVICES] [SECONDS] [PACED_PER_SECOND]
//! ```
//! Each device waits for the answer before it goes on. Saturated: as fast as answers come. Paced: that many a second, all devices
//! together.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use device_bridge::registry::{Authority, Registry, Role, Thing};
use device_bridge::shadow::Writes;
use device_bridge::tls;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use rustls::ClientConfig;
use tokio::sync::{Barrier, Semaphore};
use tokio::time::{sleep_until, timeout};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Devices that connect at a time.
const CONNECTING: usize = 32;

/// What each device does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Updates its shadow, and waits until that is accepted.
    Shadow,
    /// Publishes a message at least once, and waits until it comes back.
    Plain,
}

/// A broker in a process of its own.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn rss_kib(&self) -> Outcome<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Device {
    name: String,
    client: AsyncClient,
    events: EventLoop,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    tls::install_provider();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let program = PathBuf::from(args.first().ok_or("device_load DRAWBRIDGE [DEVICES] [SECONDS] [PACED_PER_SECOND]")?);
    let number = |index: usize, default: u32| args.get(index).map_or(Ok(default), |text| text.parse());
    let (count, seconds, paced) = (number(1, 1000)?, number(2, 20)?, number(3, 500)?);
    let folder = tempfile::tempdir()?;
    let devices_dir = folder.path().join("devices");
    let configs = prepare(&devices_dir, count)?;
    println!("{count} devices, {seconds} s each");

    let server = drawbridge(&program, folder.path())?;
    measure("embedded broker", &server, &configs, Work::Shadow, seconds, paced).await?;
    measure("embedded broker", &server, &configs, Work::Plain, seconds, paced).await?;
    drop(server);
    let server = mosquitto(&devices_dir)?;
    measure("Mosquitto", &server, &configs, Work::Plain, seconds, paced).await?;
    Ok(())
}

/// Makes an authority and the devices; returns each one's name and identity.
fn prepare(folder: &Path, count: u32) -> Outcome<Vec<(String, Arc<ClientConfig>)>> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let authority = Authority::init(folder, "load", &["localhost".into()], now)?;
    let registry = Registry::open(folder)?;
    let mut configs = Vec::new();
    for index in 0..count {
        let name = format!("device-{index}");
        let issued = authority.issue(&name, 1, now)?;
        let paths = authority.hand_out(&folder.join("issued"), &name, &issued)?;
        let certificates = vec![issued.certificate];
        registry.add(Thing {
            name: name.clone(),
            role: Role::Device,
            writes: Writes::Both,
            added_at: now,
            certificates,
        })?;
        configs.push((name, tls::client_config(&paths[2], &paths[0], &paths[1], &[])?));
    }
    Ok(configs)
}

fn drawbridge(program: &Path, datadir: &Path) -> Outcome<Server> {
    let mut child = Command::new(program)
        .args(["device", "serve", "--mqtt.port", "0", "--mqtt.https=false", "--color", "never", "--datadir"])
        .arg(datadir)
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stderr.take().ok_or("no log")?).lines();
    let port = loop {
        let line = lines.next().ok_or("the service ended")??;
        if line.contains("MQTT over TLS") {
            let digits = line.rsplit(':').next().ok_or("no port")?;
            break digits.trim().parse()?;
        }
    };
    // The pipe is read on, so that the service does not wait for it.
    std::thread::spawn(move || lines.for_each(drop));
    Ok(Server { child, port })
}

fn mosquitto(devices_dir: &Path) -> Outcome<Server> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let file = |name: &str| devices_dir.join(name).display().to_string();
    let config = format!(
        "user root\nlistener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n\
         use_identity_as_username true\nmax_inflight_messages 100\nset_tcp_nodelay true\n",
        file("ca.pem"),
        file("server.pem"),
        file("server.key")
    );
    let path = devices_dir.join("mosquitto.conf");
    fs::write(&path, config)?;
    let child = Command::new("mosquitto").arg("-c").arg(&path).stderr(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let server = Server { child, port };
    let end = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > end {
            return Err("Mosquitto did not start".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}

/// Connects all devices, says what they cost, and runs the work saturated and paced.
async fn measure(
    name: &str,
    server: &Server,
    configs: &[(String, Arc<ClientConfig>)],
    work: Work,
    seconds: u32,
    paced: u32,
) -> Outcome<()> {
    let before = server.rss_kib()?;
    let start = Instant::now();
    let places = Arc::new(Semaphore::new(CONNECTING));
    let mut tasks = Vec::new();
    for (device, config) in configs {
        let (device, config, places, port) = (device.clone(), config.clone(), places.clone(), server.port);
        tasks.push(tokio::spawn(async move {
            let _place = places.acquire().await?;
            timeout(PATIENCE, connect(device, port, config, work)).await?
        }));
    }
    let mut devices = Vec::new();
    for task in tasks {
        devices.push(task.await??);
    }
    let each = server.rss_kib()?.saturating_sub(before) as f64 / configs.len() as f64;
    println!(
        "{name}: {} devices connected in {:.1} s, {each:.1} KiB each (resident {:.1} MiB)",
        devices.len(),
        start.elapsed().as_secs_f64(),
        server.rss_kib()? as f64 / 1024.0
    );
    let devices = run(name, devices, work, seconds, None).await?;
    let devices = run(name, devices, work, seconds, Some(paced)).await?;
    println!("{name}: resident {:.1} MiB after the load", server.rss_kib()? as f64 / 1024.0);
    for mut device in devices {
        // The loop ends with the connection.
        let _ = device.client.try_disconnect();
        let _ = timeout(Duration::from_secs(1), async { while device.events.poll().await.is_ok() {} }).await;
    }
    Ok(())
}

async fn connect(name: String, port: u16, config: Arc<ClientConfig>, work: Work) -> Outcome<Device> {
    let mut options = MqttOptions::new(&name, "localhost", port);
    options.set_keep_alive(Duration::from_secs(600)).set_clean_session(true).set_max_packet_size(1 << 18, 1 << 18);
    options.set_transport(Transport::Tls(TlsConfiguration::Rustls(config)));
    let (client, mut events) = AsyncClient::new(options, 16);
    events.network_options.set_tcp_nodelay(true);
    client.try_subscribe(answer_topic(&name, work), QoS::AtLeastOnce)?;
    while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
    Ok(Device { name, client, events })
}

fn answer_topic(name: &str, work: Work) -> String {
    match work {
        Work::Shadow => format!("$aws/things/{name}/shadow/update/accepted"),
        Work::Plain => format!("drawbridge/{name}/load"),
    }
}

/// Lets all devices work for a time; prints rate and latencies.
async fn run(name: &str, devices: Vec<Device>, work: Work, seconds: u32, paced: Option<u32>) -> Outcome<Vec<Device>> {
    let count = u32::try_from(devices.len())?;
    let barrier = Arc::new(Barrier::new(devices.len()));
    let length = Duration::from_secs(seconds.into());
    let mut tasks = Vec::new();
    for (index, mut device) in (0_u32..).zip(devices) {
        let barrier = barrier.clone();
        tasks.push(tokio::spawn(async move {
            barrier.wait().await;
            let start = Instant::now();
            let pause = paced.map(|rate| Duration::from_secs(count.into()) / rate);
            // Devices are spread evenly over their pause.
            let mut due = start + pause.map_or(Duration::ZERO, |pause| pause * index / count);
            let mut times = Vec::new();
            while start.elapsed() < length {
                if pause.is_some() {
                    sleep_until(due.into()).await;
                }
                let asked = Instant::now();
                timeout(PATIENCE, exchange(&mut device, work, times.len())).await??;
                times.push(asked.elapsed());
                due += pause.unwrap_or_default();
            }
            Outcome::Ok((device, times))
        }));
    }
    let start = Instant::now();
    let (mut devices, mut times) = (Vec::new(), Vec::new());
    for task in tasks {
        let (device, mut own) = task.await??;
        devices.push(device);
        times.append(&mut own);
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    let what = match work {
        Work::Shadow => "shadow updates",
        Work::Plain => "plain messages",
    };
    let how = paced.map_or("saturated".to_owned(), |rate| format!("paced at {rate}/s"));
    println!("{name}: {what}, {how}: {rate:.0}/s, median {:.1} ms, p99 {:.1} ms", at(50), at(99));
    Ok(devices)
}

async fn exchange(device: &mut Device, work: Work, number: usize) -> Outcome<()> {
    let text = format!(r#"{{"state":{{"reported":{{"count":{number},"temperature":21.5,"lock":"closed"}}}}}}"#);
    let topic = match work {
        Work::Shadow => format!("$aws/things/{}/shadow/update", device.name),
        Work::Plain => answer_topic(&device.name, work),
    };
    device.client.try_publish(topic, QoS::AtLeastOnce, false, text)?;
    let (mut acknowledged, mut answered) = (false, false);
    while !(acknowledged && answered) {
        match device.events.poll().await? {
            Event::Incoming(Packet::PubAck(_)) => acknowledged = true,
            Event::Incoming(Packet::Publish(_)) => answered = true,
            _ => {}
        }
    }
    Ok(())
}
