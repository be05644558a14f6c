//! A model of a disk whose power goes: what was synced is there, of the rest any part may be.
//!
//! It is as unkind as POSIX allows. A file's content is certain up to its last `fsync`; what was written since may be there in part, in
//! any order, torn where a sector ends, zeros where a later part came first. A name is certain when its directory was synced, whatever
//! was synced of the file; names that were not synced come and go in the order in which they were made, directory by directory.

mod file;
pub mod journal;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::random::Random;

use file::{Change, File};
use journal::Record;

/// Says what is lost when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All that was not synced.
    Unsynced,
    /// The last changes of each file, the first of them torn.
    Tail,
    /// Any pages (4096 bytes) that were not synced.
    Pages,
    /// Any sectors (512 bytes) that were not synced.
    Sectors,
    /// One of these, file by file.
    Mixed,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Unsynced, Self::Tail, Self::Pages, Self::Sectors, Self::Mixed];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsynced => "unsynced",
            Self::Tail => "tail",
            Self::Pages => "pages",
            Self::Sectors => "sectors",
            Self::Mixed => "mixed",
        }
    }
}

/// A place in the list of nodes.
type NodeId = usize;
type Names = BTreeMap<OsString, NodeId>;

#[derive(Clone, Debug)]
enum Node {
    File(File),
    Directory(Directory),
}

#[derive(Clone, Debug, Default)]
struct Directory {
    durable: Names,
    current: Names,
    pending: Vec<(u64, Entry)>,
}

#[derive(Clone, Debug)]
enum Entry {
    Add(OsString, NodeId),
    Remove(OsString),
    Rename(OsString, OsString),
}

/// A disk with the files below one directory.
#[derive(Clone, Debug)]
pub struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    inodes: HashMap<u64, NodeId>,
    records: u64,
    /// How many records there were before this program's: each program counts its own.
    before: u64,
}

impl Disk {
    /// Reads the directory `root`, all of which counts as synced.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(root: &Path) -> io::Result<Self> {
        let mut disk = Self { root: root.to_owned(), nodes: Vec::new(), inodes: HashMap::new(), records: 0, before: 0 };
        disk.load_directory(root)?;
        Ok(disk)
    }

    fn load_directory(&mut self, path: &Path) -> io::Result<NodeId> {
        let id = self.add(Node::Directory(Directory::default()));
        let mut names = Names::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let metadata = fs::symlink_metadata(entry.path())?;
            let node = if metadata.is_dir() {
                self.load_directory(&entry.path())?
            } else if metadata.is_file() {
                let node = self.add(Node::File(File::durable(fs::read(entry.path())?)));
                self.inodes.insert(metadata.ino(), node);
                node
            } else {
                // A socket of a killed node.
                continue;
            };
            names.insert(entry.file_name(), node);
        }
        self.nodes[id] = Node::Directory(Directory { durable: names.clone(), current: names, pending: Vec::new() });
        Ok(id)
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Does what one program's journal says.
    ///
    /// # Errors
    /// A record names a directory that is not there.
    pub fn run(&mut self, records: Vec<Record>) -> Result<(), String> {
        self.before = self.records;
        records.into_iter().try_for_each(|record| self.apply(record))
    }

    fn apply(&mut self, record: Record) -> Result<(), String> {
        let number = self.records;
        self.records += 1;
        match record {
            Record::Create { path, inode } => {
                let node = self.add(Node::File(File::default()));
                self.inodes.insert(inode, node);
                self.enter(number, &path, node)
            }
            Record::MakeDirectory { path } => {
                let node = self.add(Node::Directory(Directory::default()));
                self.enter(number, &path, node)
            }
            Record::Write { inode, offset, data } => {
                let offset = usize::try_from(offset).map_err(|error| error.to_string())?;
                self.change(number, inode, Change::Write { offset, data });
                Ok(())
            }
            Record::Truncate { inode, length } => {
                let length = usize::try_from(length).map_err(|error| error.to_string())?;
                self.change(number, inode, Change::Length(length));
                Ok(())
            }
            Record::Link { from, to } => match self.node(&from) {
                Some(node) => self.enter(number, &to, node),
                None => Ok(()),
            },
            Record::Unlink { path } | Record::RemoveDirectory { path } => self.remove(number, &path),
            Record::Rename { from, to } => self.rename(number, &from, &to),
            Record::Sync { inode, covered } => {
                let covered = self.before + covered;
                if let Some(Node::File(file)) = self.inodes.get(&inode).map(|id| &mut self.nodes[*id]) {
                    file.sync(covered);
                }
                Ok(())
            }
            Record::SyncDirectory { path, covered } => {
                let covered = self.before + covered;
                // It may have been renamed or removed since it was opened.
                if let Some(Node::Directory(directory)) = self.node(&path).map(|id| &mut self.nodes[id]) {
                    directory.sync(covered);
                }
                Ok(())
            }
        }
    }

    fn change(&mut self, number: u64, inode: u64, change: Change) {
        // Files that were opened before they were known, such as locks, are not followed.
        if let Some(Node::File(file)) = self.inodes.get(&inode).map(|id| &mut self.nodes[*id]) {
            file.change(number, change);
        }
    }

    /// Returns the node that now has this path.
    fn node(&self, path: &Path) -> Option<NodeId> {
        let mut id = 0;
        for name in path.strip_prefix(&self.root).ok()? {
            let Node::Directory(directory) = &self.nodes[id] else { return None };
            id = *directory.current.get(name)?;
        }
        Some(id)
    }

    fn directory_of(&mut self, path: &Path) -> Result<(&mut Directory, OsString), String> {
        let problem = || format!("{} is in no directory of this disk", path.display());
        let (above, name) = path.parent().zip(path.file_name()).ok_or_else(problem)?;
        match self.node(above).map(|id| &mut self.nodes[id]) {
            Some(Node::Directory(directory)) => Ok((directory, name.to_owned())),
            _ => Err(problem()),
        }
    }

    fn enter(&mut self, number: u64, path: &Path, node: NodeId) -> Result<(), String> {
        let (directory, name) = self.directory_of(path)?;
        directory.change(number, Entry::Add(name, node));
        Ok(())
    }

    fn remove(&mut self, number: u64, path: &Path) -> Result<(), String> {
        let (directory, name) = self.directory_of(path)?;
        directory.change(number, Entry::Remove(name));
        Ok(())
    }

    fn rename(&mut self, number: u64, from: &Path, to: &Path) -> Result<(), String> {
        let Some(node) = self.node(from) else { return Ok(()) };
        if from.parent() == to.parent() {
            let (directory, old) = self.directory_of(from)?;
            directory.change(number, Entry::Rename(old, to.file_name().unwrap_or_default().to_owned()));
            return Ok(());
        }
        self.enter(number, to, node)?;
        self.remove(number, from)
    }

    /// Writes what may be left when the power goes now into `target`, which must not exist.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_survivor(&self, loss: Loss, random: &mut Random, target: &Path) -> io::Result<()> {
        self.write_directory(0, loss, random, target)
    }

    fn write_directory(&self, id: NodeId, loss: Loss, random: &mut Random, target: &Path) -> io::Result<()> {
        let Node::Directory(directory) = &self.nodes[id] else { return Ok(()) };
        fs::create_dir(target)?;
        for (name, node) in directory.survivor(loss, random) {
            let path = target.join(name);
            match &self.nodes[node] {
                Node::File(file) => fs::write(path, file.survivor(loss, random))?,
                Node::Directory(_) => self.write_directory(node, loss, random, &path)?,
            }
        }
        Ok(())
    }
}

impl Directory {
    fn change(&mut self, number: u64, entry: Entry) {
        entry.apply(&mut self.current);
        self.pending.push((number, entry));
    }

    fn sync(&mut self, covered: u64) {
        let pending = std::mem::take(&mut self.pending);
        let (synced, later): (Vec<_>, Vec<_>) = pending.into_iter().partition(|(number, _)| *number < covered);
        synced.iter().for_each(|(_, entry)| entry.apply(&mut self.durable));
        self.pending = later;
    }

    fn survivor(&self, loss: Loss, random: &mut Random) -> Names {
        let mut names = self.durable.clone();
        let kept = if loss == Loss::Unsynced { 0 } else { random.index(self.pending.len() + 1) };
        self.pending[..kept].iter().for_each(|(_, entry)| entry.apply(&mut names));
        names
    }
}

impl Entry {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Add(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(name: &str, inode: u64) -> Record {
        Record::Create { path: Path::new("/r").join(name), inode }
    }

    fn write(inode: u64, text: &str) -> Record {
        Record::Write { inode, offset: 0, data: text.into() }
    }

    fn disk(records: Vec<Record>) -> Disk {
        let empty = tempfile::tempdir().unwrap();
        let mut disk = Disk::load(empty.path()).unwrap();
        disk.root = "/r".into();
        disk.run(records).unwrap();
        disk
    }

    /// Returns name and content of what is left, for many seeds.
    fn left(disk: &Disk, loss: Loss) -> Vec<BTreeMap<String, String>> {
        let folder = tempfile::tempdir().unwrap();
        (0..100)
            .map(|seed| {
                let target = folder.path().join(seed.to_string());
                disk.write_survivor(loss, &mut Random::new(seed), &target).unwrap();
                let entries = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap());
                let content = |path: PathBuf| fs::read_to_string(&path).unwrap_or_else(|_| "directory".to_owned());
                entries.map(|entry| (entry.file_name().into_string().unwrap(), content(entry.path()))).collect()
            })
            .collect()
    }

    fn names(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
    }

    #[test]
    fn a_synced_file_without_its_name_is_lost() {
        let sync = Record::Sync { inode: 1, covered: 2 };
        let named = Record::SyncDirectory { path: "/r".into(), covered: 3 };
        let unnamed = disk(vec![create("a", 1), write(1, "x"), sync.clone()]);
        assert!(left(&unnamed, Loss::Unsynced).iter().all(BTreeMap::is_empty));
        assert!(left(&unnamed, Loss::Mixed).contains(&names(&[("a", "x")])));
        let whole = disk(vec![create("a", 1), write(1, "x"), sync, named]);
        for loss in Loss::ALL {
            assert!(left(&whole, loss).iter().all(|found| *found == names(&[("a", "x")])), "{loss:?}");
        }
    }

    #[test]
    fn each_program_counts_its_own_records() {
        let mut disk =
            disk(vec![create("a", 1), write(1, "x"), Record::SyncDirectory { path: "/r".into(), covered: 2 }]);
        disk.run(vec![write(1, "y"), Record::Sync { inode: 1, covered: 1 }]).unwrap();
        assert!(left(&disk, Loss::Unsynced).iter().all(|found| *found == names(&[("a", "y")])));
    }

    #[test]
    fn a_rename_happened_or_did_not() {
        let disk = disk(vec![
            create("a", 1),
            write(1, "old"),
            create("b", 2),
            write(2, "new"),
            Record::Sync { inode: 1, covered: 4 },
            Record::Sync { inode: 2, covered: 4 },
            Record::SyncDirectory { path: "/r".into(), covered: 6 },
            Record::Rename { from: "/r/b".into(), to: "/r/a".into() },
        ]);
        let found = left(&disk, Loss::Pages);
        let (before, after) = (names(&[("a", "old"), ("b", "new")]), names(&[("a", "new")]));
        assert!(found.iter().all(|found| *found == before || *found == after));
        assert!(found.contains(&before) && found.contains(&after));
    }

    #[test]
    fn directories_links_removals_and_used_inodes() {
        let disk = disk(vec![
            Record::MakeDirectory { path: "/r/d".into() },
            create("d/a", 1),
            write(1, "x"),
            Record::Link { from: "/r/d/a".into(), to: "/r/b".into() },
            Record::Unlink { path: "/r/d/a".into() },
            create("c", 1),
            write(1, "y"),
            Record::Sync { inode: 1, covered: 7 },
            Record::SyncDirectory { path: "/r".into(), covered: 8 },
            Record::SyncDirectory { path: "/r/d".into(), covered: 8 },
        ]);
        // The first file was never synced, its names were.
        assert!(
            left(&disk, Loss::Unsynced)
                .iter()
                .all(|found| *found == names(&[("b", ""), ("c", "y"), ("d", "directory")]))
        );
    }
}
