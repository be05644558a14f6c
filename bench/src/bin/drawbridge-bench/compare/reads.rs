//! The same reads of this node and of another one, in turn, and the figures of both side by side.

use std::path::Path;
use std::time::Duration;

use bench::Failure;
use bench::accounts::DEV_MNEMONIC;
use bench::client::{Client, Endpoint};
use bench::process::NodeProcess;
use bench::reads::{Figure, READS, measure};
use bench::scene::{Scene, Size};
use bench::summary::table;
use serde_json::json;

use crate::compare::{Flags, START_TIME_MAX, start_anvil};

/// Over how many connections each read is sent.
const CONNECTIONS: [usize; 2] = [1, 32];

/// A node with what the reads find on its chain.
struct Subject {
    name: String,
    endpoint: Endpoint,
    scene: Scene,
    /// Runs as long as it is held; a node by its URL is somebody else's.
    _process: Option<NodeProcess>,
}

/// Sends the reads to this node, and to the other one where the flags name one, and prints both.
pub(crate) fn run(flags: &Flags, folder: &Path) -> Result<(), Failure> {
    let own = NodeProcess::drawbridge(&flags.node, &folder.join("reads"), &folder.join("reads.log"))?;
    let own = subject(flags, Some(own), None)?;
    let other = match (&flags.other, &flags.anvil) {
        (Some(url), _) => Some(subject(flags, None, Some(url))?),
        (None, Some(anvil)) => Some(subject(flags, Some(start_anvil(anvil, None, &folder.join("anvil.log"))?), None)?),
        (None, None) => None,
    };
    println!("1: {}\n2: {}\n", own.describe(), other.as_ref().map_or_else(|| "-".to_owned(), Subject::describe));
    let time = Duration::try_from_secs_f64(flags.read_seconds)?;
    let heads =
        ["read", "connections", "1: /s", "p50 ms", "p99 ms", "bytes", "2: /s", "p50 ms", "p99 ms", "bytes", "ratio"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for read in READS {
        for connections in CONNECTIONS {
            let figure = |subject: &Subject| measure(&subject.endpoint, read, &subject.scene, connections, time);
            let one = figure(&own)?;
            let two = other.as_ref().map(figure).transpose()?;
            let mut row = vec![read.name().to_owned(), connections.to_string()];
            row.extend(cells(Some(one)));
            row.extend(cells(two));
            row.push(two.map_or_else(|| "-".to_owned(), |two| format!("{:.2}", one.per_second / two.per_second)));
            rows.push(row);
        }
    }
    println!("{}", table(&rows));
    Ok(())
}

fn subject(flags: &Flags, mut process: Option<NodeProcess>, url: Option<&str>) -> Result<Subject, Failure> {
    let endpoint = match (&mut process, url) {
        (Some(process), _) => {
            process.wait_for_answer(START_TIME_MAX)?;
            process.endpoint().clone()
        }
        (None, Some(url)) => Endpoint::parse(url)?,
        (None, None) => return Err("neither a node nor its URL".into()),
    };
    let mut client = Client::connect(&endpoint)?;
    let size = Size { blocks: flags.read_blocks, transfers: flags.read_transfers };
    let scene = Scene::set(&mut client, DEV_MNEMONIC, size)?;
    let name = client.call("web3_clientVersion", json!([]))?.as_str().unwrap_or("unknown").to_owned();
    Ok(Subject { name, endpoint, scene, _process: process })
}

impl Subject {
    fn describe(&self) -> String {
        let fullest = self.scene.blocks.first().map_or(0, |(_, count)| *count);
        let least = self.scene.blocks.last().map_or(0, |(_, count)| *count);
        let (blocks, logs) = (self.scene.blocks.len(), self.scene.favoured);
        format!("{}; {blocks} blocks of {least} to {fullest} transfers are read, {logs} logs are found", self.name)
    }
}

fn cells(figure: Option<Figure>) -> [String; 4] {
    let Some(figure) = figure else { return ["-", "-", "-", "-"].map(str::to_owned) };
    let milliseconds = |time: f64| format!("{time:.2}");
    [
        format!("{:.0}", figure.per_second),
        milliseconds(figure.p50_ms),
        milliseconds(figure.p99_ms),
        figure.answer_bytes.to_string(),
    ]
}
