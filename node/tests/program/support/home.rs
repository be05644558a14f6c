//! A folder of its own for each test, in which the program runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// The first account of the test mnemonic, which the development chain and [`chain_file`] fund.
pub(crate) const ADDRESS: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
/// Its key.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// An account that nobody has the key of.
pub(crate) const RECEIVER: &str = "0x00000000000000000000000000000000000000ff";

/// What a command printed, and its exit code.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Demands that the command succeeded, and returns what it printed.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// Demands that the command failed with `code`, and said `expected` and a remedy, without a panic.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, expected: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        let error = self.err.lines().skip_while(|line| !line.starts_with("error: ")).collect::<Vec<_>>().join("\n");
        assert!(error.lines().any(|line| line.starts_with("remedy: ") && line.len() > 10), "{}", self.err);
        for text in expected {
            assert!(error.contains(text), "no `{text}` in: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }

    /// Returns the rest of the first line that begins with `name`.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> String {
        let line = self.out.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no `{name}` in {}{}", self.out, self.err)).trim().to_owned()
    }
}

/// A temporary folder with a password file and a key.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pw.txt"), "secret\n").unwrap();
        fs::write(folder.path().join("key.hex"), KEY).unwrap();
        Self { folder }
    }

    /// Makes a folder whose data directory `node` has the funded account and this chain's file, `chain.json`.
    pub(crate) fn with_chain(pow: Value) -> Self {
        let home = Self::new();
        home.write("chain.json", chain_file(pow).to_string());
        home.run("account import --datadir node --password pw.txt --lightkdf key.hex").succeeded();
        home.run("init chain.json --datadir node").succeeded();
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.join(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.join(name)).unwrap()
    }

    /// Returns the program, to be run here with nothing of the tester's own settings.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        command.current_dir(self.path()).env_clear().env("HOME", self.path()).env("TMPDIR", self.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, line: &str) -> Ran {
        Ran::of(&self.program().args(line.split_whitespace()).output().unwrap())
    }

    /// Returns the hash and the number of the head that the database in `datadir` holds.
    #[track_caller]
    pub(crate) fn head(&self, datadir: &str) -> (String, u64) {
        let inspected = self.run(&format!("db inspect --datadir {datadir}"));
        assert_eq!(inspected.code, 0, "{}", inspected.err);
        (inspected.field("head  "), inspected.field("head number").parse().unwrap())
    }

    /// Demands that every root of the database in `datadir` is right.
    #[track_caller]
    pub(crate) fn verify(&self, datadir: &str) {
        let out = self.run(&format!("db verify --datadir {datadir}")).succeeded();
        assert!(out.ends_with("the database is whole\n"), "{out}");
    }
}

/// Returns the development chain's file with another id and other rules of the proof of work.
pub(crate) fn chain_file(pow: Value) -> Value {
    let mut file: Value = serde_json::from_str(include_str!("../../../../genesis/dev.json")).unwrap();
    let mut rules = json!({"difficulty": {"fixed": 1}, "block_reward": "0", "safe_depth": 6, "finality_depth": 20});
    rules.as_object_mut().unwrap().extend(pow.as_object().unwrap().clone());
    file["config"] = json!({"chainId": 4243, "pow": rules});
    file
}
