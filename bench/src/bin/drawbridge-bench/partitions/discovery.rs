//! Nodes on one link that know nothing of each other and meet by multicast DNS.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bench::Failure;
use bench::ipc::{Ipc, quantity};
use bench::process::path_text;
use serde_json::json;

use super::lab::Lab;

/// How long they may take, their start included.
const MEET_MAX: Duration = Duration::from_secs(30);

/// A node of the development chain's rules that looks around; dropping it kills it.
struct Seeker {
    child: Child,
    socket: PathBuf,
}

impl Seeker {
    fn start(program: &Path, folder: &Path, lab: &Lab, place: usize) -> Result<Self, Failure> {
        let datadir = folder.join(format!("seeker{place}"));
        std::fs::create_dir_all(&datadir)?;
        let chain = datadir.join("chain.json");
        std::fs::write(&chain, consensus::genesis::DEV)?;
        let log = std::fs::File::create(datadir.join("output.log"))?;
        let child = Command::new("ip")
            .args(["netns", "exec", &lab.space(place), path_text(program)?, "--datadir", path_text(&datadir)?])
            .args(["--genesis", path_text(&chain)?, "--p2p.mdns", "--color", "never"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self { child, socket: datadir.join("drawbridge.ipc") })
    }

    /// Counts the node's peers; none while it does not answer yet.
    fn peers(&self) -> Result<u64, Failure> {
        match Ipc::connect(&self.socket) {
            Ok(mut ipc) => quantity(&ipc.call("net_peerCount", json!([]))?),
            Err(_) => Ok(0),
        }
    }
}

impl Drop for Seeker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets two nodes find each other, and returns how long they took.
///
/// # Errors
/// They have not met in time, or do not run.
pub(crate) fn meet(program: &Path, folder: &Path, lab: &Lab) -> Result<Duration, Failure> {
    let program = std::path::absolute(program)?;
    let begun = Instant::now();
    let seekers = [Seeker::start(&program, folder, lab, 0)?, Seeker::start(&program, folder, lab, 1)?];
    loop {
        let met = seekers.iter().map(Seeker::peers).collect::<Result<Vec<_>, _>>()?.iter().all(|peers| *peers == 1);
        if met {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > MEET_MAX {
            return Err("two nodes on one link have not found each other by mDNS".into());
        }
        // Nobody is told when a peer comes without a subscription, which takes as long to set up.
        std::thread::sleep(Duration::from_millis(50));
    }
}
