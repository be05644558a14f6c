//! What the program shows on a terminal: log lines, and below them a bar that shows how far a long work is. `script` of util-linux is
//! the terminal; without it these tests say that they were skipped.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use alloy_primitives::{B256, U256};
use network::message::{ForkId, Request, Response, Roles, Status};
use network::p2p::{NodeKey, PeerAddress, RawPeer};
use serde_json::json;

use super::support::{ADDRESS, Client, Home, RECEIVER};

/// How long something may take to be shown.
const SOON: Duration = Duration::from_secs(20);
/// Blocks that a peer claims to have.
const CLAIMED: u64 = 5000;

/// The program on a terminal of 100 columns; killed when the test is done with it.
struct Terminal {
    child: Child,
    pieces: Receiver<Vec<u8>>,
    transcript: Vec<u8>,
}

impl Terminal {
    /// Runs a command there; `None` where there is no `script`. The program's process id stands in the file `pid`.
    fn run(home: &Home, line: &str) -> Option<Self> {
        // A terminal that goes away tells the program so, and would end it: that it goes on is tested, too.
        let line = format!(
            "trap '' HUP; stty cols 100 rows 30; echo $$ >pid; exec {} {line}",
            env!("CARGO_BIN_EXE_drawbridge")
        );
        let mut command = Command::new("script");
        command.args(["-qefc", &line, "/dev/null"]).current_dir(home.path()).env_clear();
        command.env("HOME", home.path()).env("TMPDIR", home.path()).env("TERM", "xterm");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut child) = spawned else {
            println!("skipped: there is no `script` (Debian: bsdutils) to make a terminal");
            return None;
        };
        let (sender, pieces) = channel();
        let mut output = child.stdout.take().unwrap();
        // It ends with the terminal.
        std::thread::spawn(move || {
            let mut piece = vec![0; 4096];
            while let Ok(count @ 1..) = output.read(&mut piece) {
                if sender.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Self { child, pieces, transcript: Vec::new() })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.transcript).into_owned()
    }

    /// Waits until `text` was written, after what was there at `from`.
    #[track_caller]
    fn wait(&mut self, from: usize, text: &str) {
        let begun = Instant::now();
        while !String::from_utf8_lossy(&self.transcript[from..]).contains(text) {
            match self.pieces.recv_timeout(SOON.saturating_sub(begun.elapsed())) {
                Ok(piece) => self.transcript.extend(piece),
                Err(RecvTimeoutError::Timeout) => panic!("no `{text}` in time:\n{}", self.text()),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended without `{text}`:\n{}", self.text()),
            }
        }
    }

    /// Waits for a line with ` NAME=VALUE` and returns the value.
    #[track_caller]
    fn value(&mut self, name: &str) -> String {
        let start = format!(" {name}=");
        self.wait(0, &start);
        // The rest of the line may be on its way.
        let from = self.text().find(&start).unwrap() + start.len();
        self.wait(from, "\n");
        self.text()[from..].split_whitespace().next().unwrap().to_owned()
    }

    /// Ends the program as an operator would.
    fn terminate(home: &Home) {
        let pid = String::from_utf8(home.read("pid")).unwrap();
        let status = Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end and returns the exit code, all that was written, and the lines that are left on the screen.
    fn end(mut self) -> (Option<i32>, String, Vec<String>) {
        let begun = Instant::now();
        while let Ok(piece) = self.pieces.recv_timeout(SOON.saturating_sub(begun.elapsed())) {
            self.transcript.extend(piece);
        }
        (self.child.wait().unwrap().code(), self.text(), screen(&self.text()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns what a terminal without an end shows after `text`, but for empty lines.
fn screen(text: &str) -> Vec<String> {
    let (mut lines, mut row, mut column) = (vec![Vec::new()], 0_usize, 0_usize);
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => match sequence(&mut rest) {
                (count, 'A') => row -= count.max(1),
                (count, 'B') => row += count.max(1),
                (count, 'C') => column += count.max(1),
                (count, 'D') => column -= count.max(1),
                (2, 'K') => lines[row].clear(),
                (0, 'K') => lines[row].truncate(column),
                other => panic!("a sequence that nobody expects: {other:?} in {text:?}"),
            },
            shown => {
                let line: &mut Vec<char> = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = shown;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    let lines = lines.into_iter().map(|line| line.into_iter().collect::<String>());
    lines.filter(|line| !line.trim().is_empty()).collect()
}

/// Reads the rest of a control sequence: its number, 0 where it has none, and its name.
fn sequence(rest: &mut std::str::Chars<'_>) -> (usize, char) {
    assert_eq!(rest.next(), Some('['));
    let mut number = 0;
    loop {
        let character = rest.next().expect("a sequence has an end");
        match character.to_digit(10) {
            Some(digit) => number = number * 10 + usize::try_from(digit).unwrap(),
            None => return (number, character),
        }
    }
}

/// Demands that each line is one of the log's, from its beginning, and that there is one with each of `texts`.
#[track_caller]
fn whole(lines: &[String], texts: &[&str]) {
    for line in lines {
        let (time, rest) = line.split_once(' ').unwrap_or_default();
        assert!(time.starts_with("20") && time.ends_with('Z') && time.matches('Z').count() == 1, "torn: {line}");
        assert!([" INFO ", " WARN "].iter().any(|level| format!(" {rest}").contains(level)), "torn: {line}");
    }
    for text in texts {
        assert!(lines.iter().any(|line| line.contains(text)), "no `{text}` in {lines:#?}");
    }
}

#[test]
fn an_import_shows_a_bar_on_a_terminal_and_lines_elsewhere() {
    let home = Home::new();
    super::database::mine(&home, 10);
    home.run("export --datadir node chain.rlp").succeeded();
    home.write("dev.json", include_str!("../../../genesis/dev.json"));
    for name in ["seen", "plain"] {
        home.run(&format!("init dev.json --datadir {name}")).succeeded();
    }
    let Some(seen) = Terminal::run(&home, "import --datadir seen chain.rlp --color never") else { return };
    let (code, transcript, lines) = seen.end();
    assert_eq!(code, Some(0), "{transcript}");
    assert!(transcript.contains("importing ") && transcript.contains("time left unknown"), "{transcript}");
    whole(&lines, &["imported"]);
    assert_eq!(home.head("seen"), home.head("node"));

    let plain = home.run("import --datadir plain chain.rlp");
    assert!(plain.err.contains("imported") && !plain.err.contains('\u{1b}'), "{}", plain.err);
    assert!(!plain.err.contains("importing"), "{}", plain.err);
    // Whoever wants to read less, or reads by program, gets no bar either.
    for more in ["--verbosity 2", "--log.format json"] {
        let quiet = Terminal::run(&home, &format!("export --datadir node {}.rlp {more}", more.len())).unwrap();
        let (code, transcript, _) = quiet.end();
        assert_eq!(code, Some(0), "{transcript}");
        assert!(!transcript.contains("exporting"), "{more}: {transcript}");
    }
}

/// A peer that says of itself what `status` says, and answers nothing else.
async fn enter(node: &PeerAddress, status: &Status) -> RawPeer {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let told = {
        let status = status.clone();
        move || Box::new(Status { clock_ms: u64::try_from(now()).unwrap(), ..status.clone() })
    };
    let introduction = Request::Status(told()).encode();
    let answers = move |request: &[u8]| match Request::decode(request) {
        Ok(Request::Status(_)) => Some(Response::Status(told()).encode()),
        _ => None,
    };
    let peer = RawPeer::connect(node, status.genesis, NodeKey::generate(), Box::new(answers)).await.unwrap();
    peer.ask(introduction).await.unwrap();
    peer
}

/// Returns what the node says of itself, to somebody of another chain.
async fn status_of(node: &PeerAddress, genesis: B256, mut other: Status) -> Status {
    other.chain_id = 1;
    let peer = RawPeer::connect(node, genesis, NodeKey::generate(), Box::new(|_| None)).await.unwrap();
    let answer = peer.ask(Request::Status(Box::new(other)).encode()).await.unwrap();
    match Response::decode(&answer).unwrap() {
        Response::Status(status) => *status,
        other => panic!("no status: {other:?}"),
    }
}

#[test]
fn a_node_that_catches_up_shows_a_bar_below_whole_lines() {
    let home = Home::with_chain(json!({"empty_blocks": "never"}));
    let genesis = home.head("node").0.parse().unwrap();
    let line = "--datadir node --port 0 --p2p.addr 127.0.0.1 --nodiscover --color never";
    let Some(mut node) = Terminal::run(&home, line) else { return };
    let address: PeerAddress = node.value("address").parse().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let own = status_of(&address, genesis, nothing()).await;
        let claim = Status { head_number: CLAIMED, total_difficulty: U256::from(CLAIMED), ..own.clone() };
        let ahead = enter(&address, &claim).await;
        node.wait(0, &format!("0/{CLAIMED} blocks, 0 blocks/s, time left unknown"));
        // Lines go on above it.
        let before = node.transcript.len();
        let other = enter(&address, &own).await;
        node.wait(before, "a peer has come");
        let after = node.transcript.len();
        node.wait(after, "catching up");
        ahead.leave().await;
        node.wait(after, "caught up");
        other.leave().await;
    });
    Terminal::terminate(&home);
    let (code, transcript, lines) = node.end();
    assert_eq!(code, Some(0), "{transcript}");
    whole(&lines, &["a peer has come", "caught up", "stopped"]);
}

/// The status of a node without a chain.
fn nothing() -> Status {
    Status {
        protocol: 1,
        chain_id: 0,
        genesis: B256::ZERO,
        rules_digest: B256::ZERO,
        rules: Vec::new(),
        fork_id: ForkId { hash: 0, next: 0 },
        head: B256::ZERO,
        head_number: 0,
        total_difficulty: U256::ZERO,
        finalized: 0,
        finalized_hash: B256::ZERO,
        clock_ms: 0,
        history_from: 0,
        agent: "test".to_owned(),
        roles: Roles::default(),
    }
}

#[test]
fn a_node_whose_terminal_is_gone_goes_on() {
    let home = Home::new();
    let Some(mut node) = Terminal::run(&home, "--dev --datadir node --http.port 0 --color never") else { return };
    let url = node.value("url");
    let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    drop(node);
    let client = Client { address };
    for _ in 0..3 {
        client.wait_receipt(&client.send(json!({"from": ADDRESS, "to": RECEIVER, "value": "0x1"})), SOON);
    }
    assert_eq!(client.block_number(), 3);
    Terminal::terminate(&home);
    client.wait("its end", SOON, |client| client.try_call("eth_chainId", json!([])).is_err().then_some(()));
}
