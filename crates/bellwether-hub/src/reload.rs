//! The configuration while the hub runs: read again when it changes, and when somebody says so.
//!
//! Files are looked at every second by what the system tells of them, and read when that changed:
//! it needs no notification of the file system, which network file systems and mounted secrets do
//! not give. A file with a mistake leaves the old configuration in force; that it was refused, and
//! why, is told by log, metrics, API, page and command line until a good one comes.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Entries of a configuration directory that are looked at: many times what people keep.
const ENTRIES_MAX: usize = 10_000;

/// What the system tells of a file, by which a change is seen.
type Look = Option<(u64, u64, i64, i64, u64)>;

/// What the system told of all files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looks(BTreeMap<PathBuf, Look>);

impl Looks {
    /// Looks at a configuration file or directory, and at the files that it names. Blocks shortly.
    #[must_use]
    pub fn at(path: &Path, named: &[PathBuf]) -> Self {
        let mut looks = BTreeMap::new();
        looks.insert(path.to_owned(), look(path));
        if path.is_dir()
            && let Ok(entries) = std::fs::read_dir(path)
        {
            for entry in entries.flatten().take(ENTRIES_MAX) {
                let path = entry.path();
                let is_yaml = |e| e == "yaml" || e == "yml";
                if path.extension().is_some_and(is_yaml) {
                    looks.insert(path.clone(), look(&path));
                }
            }
        }
        for path in named {
            looks.insert(path.clone(), look(path));
        }
        Self(looks)
    }
}

/// Device, inode, time of change, length: an atomic replacement changes the inode.
fn look(path: &Path) -> Look {
    let meta = std::fs::metadata(path).ok()?;
    // The time of a directory changes with each temporary file of an editor.
    if meta.is_dir() {
        return Some((meta.dev(), meta.ino(), 0, 0, 0));
    }
    Some((
        meta.dev(),
        meta.ino(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.len(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bellwether.yaml");
        std::fs::write(&file, "a").unwrap();
        let look = || Looks::at(&file, &[]);
        let before = look();
        assert_eq!(before, look());
        std::fs::write(&file, "ab").unwrap();
        let longer = look();
        assert_ne!(before, longer);
        // As editors and configuration management do it.
        let other = dir.path().join("new");
        std::fs::write(&other, "cd").unwrap();
        std::fs::rename(&other, &file).unwrap();
        let replaced = look();
        assert_ne!(longer, replaced);
        std::fs::remove_file(&file).unwrap();
        assert_ne!(replaced, look());
    }

    #[test]
    fn a_directory_is_seen_with_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let look = |named: &[PathBuf]| Looks::at(dir.path(), named);
        let before = look(&[]);
        std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
        assert_eq!(before, look(&[]));
        std::fs::write(dir.path().join("a.yaml"), "x").unwrap();
        assert_ne!(before, look(&[]));
        let secret = dir.path().join("secret");
        let before = look(std::slice::from_ref(&secret));
        std::fs::write(&secret, "x").unwrap();
        assert_ne!(before, look(&[secret]));
    }
}
