//! The journal of the shim (`bench/shim/shim.c`): what a program did to the files of a directory, in order.

use std::path::PathBuf;

/// One thing that was done. Inodes are the file system's numbers, which may be used again after a file is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Record {
    Create {
        path: PathBuf,
        inode: u64,
    },
    Write {
        inode: u64,
        offset: u64,
        data: Vec<u8>,
    },
    Truncate {
        inode: u64,
        length: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    MakeDirectory {
        path: PathBuf,
    },
    RemoveDirectory {
        path: PathBuf,
    },
    /// All records before number `covered` that change this file are on the disk.
    Sync {
        inode: u64,
        covered: u64,
    },
    /// The same of a directory's names.
    SyncDirectory {
        path: PathBuf,
        covered: u64,
    },
}

/// Kind and length of the path (4 bytes each); inode, offset, length (8 each).
const HEAD_BYTES: usize = 32;

/// Reads a journal. Its last record may be cut off, as the program was killed while it wrote it.
///
/// # Errors
/// A record is none.
pub fn read(bytes: &[u8]) -> Result<Vec<Record>, String> {
    let (mut records, mut rest) = (Vec::new(), bytes);
    while let Some((head, tail)) = rest.split_at_checked(HEAD_BYTES) {
        let number32 = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let number = |at: usize| u64::from(number32(at)) | u64::from(number32(at + 4)) << 32;
        let (kind, path_length) = (number32(0), usize::try_from(number32(4)).unwrap_or(usize::MAX));
        let (inode, offset, length) = (number(8), number(16), number(24));
        let data_length = if kind == 2 { usize::try_from(length).unwrap_or(usize::MAX) } else { 0 };
        let Some((path, tail)) = tail.split_at_checked(path_length) else { break };
        let Some((data, tail)) = tail.split_at_checked(data_length) else { break };
        rest = tail;
        let path = std::str::from_utf8(path).map_err(|_| format!("record {}: the path is no text", records.len()))?;
        records
            .push(record(kind, inode, offset, length, path, data).ok_or(format!("record {}: {kind}", records.len()))?);
    }
    Ok(records)
}

fn record(kind: u32, inode: u64, offset: u64, length: u64, path: &str, data: &[u8]) -> Option<Record> {
    let both = || path.split_once('\0').map(|(from, to)| (PathBuf::from(from), PathBuf::from(to)));
    let path = PathBuf::from(path);
    Some(match kind {
        1 => Record::Create { path, inode },
        2 => Record::Write { inode, offset, data: data.to_vec() },
        3 => Record::Truncate { inode, length },
        4 => both().map(|(from, to)| Record::Rename { from, to })?,
        5 => both().map(|(from, to)| Record::Link { from, to })?,
        6 => Record::Unlink { path },
        7 => Record::MakeDirectory { path },
        8 => Record::RemoveDirectory { path },
        9 => Record::Sync { inode, covered: offset },
        10 => Record::SyncDirectory { path, covered: offset },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(kind: u32, numbers: [u64; 3], path: &str, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(path.len()).unwrap();
        let head = [kind.to_le_bytes(), length.to_le_bytes()].concat();
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        [&head[..], &numbers, path.as_bytes(), data].concat()
    }

    #[test]
    fn records_are_read_and_a_cut_one_is_left_out() {
        let whole = [
            encode(1, [7, 0, 0], "/d/a", &[]),
            encode(2, [7, 5, 3], "", b"abc"),
            encode(4, [0, 0, 0], "/d/a\0/d/b", &[]),
            encode(9, [7, 2, 0], "", &[]),
        ]
        .concat();
        let expected = [
            Record::Create { path: "/d/a".into(), inode: 7 },
            Record::Write { inode: 7, offset: 5, data: b"abc".to_vec() },
            Record::Rename { from: "/d/a".into(), to: "/d/b".into() },
            Record::Sync { inode: 7, covered: 2 },
        ];
        assert_eq!(read(&whole).unwrap(), expected);
        for cut in 0..whole.len() {
            let records = read(&whole[..cut]).unwrap();
            assert_eq!(records, expected[..records.len()], "{cut}");
            assert!(records.len() < expected.len());
        }
        assert!(read(&encode(99, [0, 0, 0], "", &[])).is_err());
    }
}
