//! Damage to a database's files, by a seed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bench::random::Random;

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// One bit is the other one.
    Bit,
    /// The end is missing.
    Cut,
    /// All is missing but the name.
    Emptied,
    /// A page of zeros.
    Page,
    /// Bytes that do not belong there follow the end.
    Grown,
    /// The file is gone.
    Removed,
    /// The content of another file of its kind.
    Swapped,
    /// An older state of the same file, or of the newest of its kind.
    Older,
}

const DAMAGES: [Damage; 10] = [
    Damage::Bit,
    Damage::Bit,
    Damage::Bit,
    Damage::Cut,
    Damage::Emptied,
    Damage::Page,
    Damage::Grown,
    Damage::Removed,
    Damage::Swapped,
    Damage::Older,
];

/// The kinds of files by a part of their names, the important ones more often.
const KINDS: [&str; 12] =
    [".sst", ".sst", ".sst", ".sst", ".sst", ".log", ".log", ".log", "MANIFEST", "MANIFEST", "CURRENT", "OTHER"];

/// Names of the remaining files that RocksDB or the program keeps.
const OTHERS: [&str; 4] = ["OPTIONS", "IDENTITY", "drawbridge.synced", "LOCK"];

/// Damages one file in `database`; `older` holds an earlier state of the same database. Returns the kind, and what was done.
pub(crate) fn damage(database: &Path, older: &Path, random: &mut Random) -> io::Result<(String, String)> {
    let mut kind = KINDS[random.index(KINDS.len())];
    if kind == "OTHER" {
        kind = OTHERS[random.index(OTHERS.len())];
    }
    let files = files(database, kind)?;
    let Some(file) = files.get(random.index(files.len())) else {
        return Ok((kind.to_owned(), "there is no such file".to_owned()));
    };
    let damage = DAMAGES[random.index(DAMAGES.len())];
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = fs::read(file)?;
    let at = random.index(bytes.len());
    let detail = match damage {
        Damage::Bit if !bytes.is_empty() => {
            let mut bytes = bytes;
            bytes[at] ^= 1 << random.below(8);
            fs::write(file, bytes)?;
            format!("at byte {at}")
        }
        Damage::Page => {
            let mut bytes = bytes;
            let (from, to) = (at / 4096 * 4096, (at / 4096 * 4096 + 4096).min(bytes.len()));
            bytes[from..to].fill(0);
            fs::write(file, bytes)?;
            format!("at byte {from}")
        }
        Damage::Cut => {
            fs::write(file, &bytes[..at])?;
            format!("{at} of {} bytes left", bytes.len())
        }
        Damage::Grown => {
            let more: Vec<u8> = (0..random.between(1, 5000)).flat_map(|_| random.word().0).collect();
            fs::write(file, [bytes, more].concat())?;
            String::new()
        }
        Damage::Removed => {
            fs::remove_file(file)?;
            String::new()
        }
        Damage::Swapped => {
            let other = &files[random.index(files.len())];
            fs::copy(other, file)?;
            format!("with {}", other.file_name().unwrap_or_default().to_string_lossy())
        }
        Damage::Older => {
            let same = older.join(&name);
            let source = if same.exists() { Some(same) } else { self::files(older, kind)?.pop() };
            if let Some(source) = &source {
                fs::copy(source, file)?;
            }
            source.map_or_else(String::new, |source| {
                source.file_name().unwrap_or_default().to_string_lossy().into_owned()
            })
        }
        Damage::Emptied | Damage::Bit => {
            fs::write(file, [])?;
            String::new()
        }
    };
    let kind = kind.trim_start_matches('.').to_owned();
    Ok((kind, format!("{name} {} {detail}", format!("{damage:?}").to_lowercase())))
}

/// Returns the files whose names contain `part`, sorted.
fn files(directory: &Path, part: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().contains(part)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_seed_damages_at_most_one_file_and_the_same_one_again() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["000001.sst", "000002.sst", "000003.log", "MANIFEST-000004", "CURRENT", "drawbridge.synced"];
        let content = |directory: &Path| names.map(|name| fs::read(directory.join(name)).ok());
        let mut changed = 0;
        for seed in 0..200 {
            let mut once = || {
                let (database, older) = (folder.path().join("a"), folder.path().join("b"));
                for (directory, byte) in [(&database, 1u8), (&older, 2)] {
                    fs::create_dir_all(directory).unwrap();
                    for (index, name) in names.iter().enumerate() {
                        fs::write(directory.join(name), vec![byte + 2 * u8::try_from(index).unwrap(); 9000]).unwrap();
                    }
                }
                let before = content(&database);
                damage(&database, &older, &mut Random::new(seed)).unwrap();
                let after = content(&database);
                let differing = before.iter().zip(&after).filter(|(before, after)| before != after).count();
                assert!(differing <= 1, "seed {seed}");
                changed += differing;
                after
            };
            assert!(once() == once(), "seed {seed}");
        }
        assert!(changed > 200, "{changed}");
    }
}
