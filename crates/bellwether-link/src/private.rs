//! Files that nobody else may read, written as a whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Makes a directory for the owner alone, with those above it.
///
/// # Errors
/// It cannot be made.
pub fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file for the owner alone. Whatever happens meanwhile, what stands there afterwards is the
/// former content or the new one, and on `Ok` the disk has the new one.
///
/// # Errors
/// It cannot be written; then the former one stands.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = Path::new(&draft);
    let written = (|| {
        // One that was left by a former try may have other rights.
        remove(draft)?;
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(draft, path)
    })();
    if let Err(error) = written {
        // It takes room that may be wanted; that it stays does no other harm.
        let _ = remove(draft);
        return Err(error);
    }
    sync_folder(path)
}

/// Makes sure that the disk knows which files stand in the folder of this one.
///
/// # Errors
/// The disk does not say so.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Removes a file, if it is there.
///
/// # Errors
/// It is there and stays.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
