//! `drawbridge removedb`: deletes the chain of a data directory. Keys and the chain file stay.

use std::fs;
use std::io::{BufRead, Write};

use crate::config::DataConfig;
use crate::datadir::Datadir;
use crate::exit::Fatal;

use super::say;

/// Says whether to ask before deleting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Given on the command line.
    Given,
    /// Asked for; only `y` or `yes` is one.
    Asked,
}

/// Deletes the database.
///
/// # Errors
/// A node runs in the data directory, or the database cannot be deleted.
pub fn run(data: &DataConfig, consent: Consent, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), Fatal> {
    let database = data.database_dir();
    if !database.exists() {
        return say(out, format_args!("There is no chain in {}.", data.dir.display()));
    }
    let _held = Datadir::open(data)?;
    if consent == Consent::Asked {
        say(out, format_args!("Delete the chain in {}? Keys stay. [y/N]", database.display()))?;
        let mut answer = String::new();
        input.read_line(&mut answer).map_err(|error| Fatal::disk(format!("standard input: {error}")))?;
        if !matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            return say(out, "Nothing was deleted.");
        }
    }
    fs::remove_dir_all(&database).map_err(|error| Fatal::io(&database, &error))?;
    say(out, format_args!("Deleted {}.", database.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_yes_deletes_and_keys_stay() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataConfig { dir: folder.path().into(), ..DataConfig::default() };
        let run = |consent, answer: &str| {
            let mut out = Vec::new();
            super::run(&data, consent, &mut answer.as_bytes(), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(run(Consent::Asked, "y\n").contains("no chain"));
        fs::create_dir_all(data.database_dir()).unwrap();
        fs::create_dir_all(data.dir.join("keystore")).unwrap();
        for answer in ["", "n\n", "yesterday\n"] {
            assert!(run(Consent::Asked, answer).contains("Nothing"), "{answer}");
        }
        assert!(data.database_dir().exists());
        assert!(run(Consent::Asked, "YES\n").contains("Deleted"));
        fs::create_dir_all(data.database_dir()).unwrap();
        let held = Datadir::open(&data).unwrap();
        let busy = super::run(&data, Consent::Given, &mut "".as_bytes(), &mut Vec::new()).unwrap_err();
        assert_eq!(busy.code(), 73);
        drop(held);
        assert!(run(Consent::Given, "").contains("Deleted"));
        assert!(!data.database_dir().exists() && data.dir.join("keystore").exists());
    }
}
