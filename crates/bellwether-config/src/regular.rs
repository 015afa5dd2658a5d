//! Reading a file that somebody else may have put there: only a regular one, and only so much of it.
//!
//! A pipe that nobody writes to, or a device that never ends, would hold up whoever reads it for
//! ever, and with it every later change of the configuration.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The bytes of a regular file, at most so many.
///
/// # Errors
/// What the system says; it is no regular file; it is longer.
pub fn bytes(path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(len_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > len_max {
        let why = format!("it has more than {len_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// The text of a regular file, at most so many bytes.
///
/// # Errors
/// As of [`bytes`]; it is no UTF-8.
pub fn text(path: &Path, len_max: u64) -> io::Result<String> {
    String::from_utf8(bytes(path, len_max)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"))
}

/// Opens a regular file, and nothing else.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Some devices do something when they are opened: looked at first.
    is_regular(&std::fs::metadata(path)?)?;
    // It may have become a pipe since; opened like this, that does not wait for who writes.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    is_regular(&file.metadata()?)?;
    Ok(file)
}

fn is_regular(meta: &std::fs::Metadata) -> io::Result<()> {
    if meta.is_file() {
        return Ok(());
    }
    let why = "it is no regular file; a pipe or a device may never end";
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}
