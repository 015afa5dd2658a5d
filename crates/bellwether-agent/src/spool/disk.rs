//! What a spool wants of a disk; a folder of files, or one that fails on purpose in tests.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bellwether_link::private;

/// Files by name.
pub trait Disk: Send + 'static {
    /// The names and lengths of all of them.
    ///
    /// # Errors
    /// The disk's.
    fn list(&mut self) -> io::Result<Vec<(String, u64)>>;

    /// The content of a file.
    ///
    /// # Errors
    /// The disk's.
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>>;

    /// Writes to a file from this place on, and makes that its end. On `Ok` it is durable; else what
    /// stands from that place on is unknown, and nothing more is written to that file.
    ///
    /// # Errors
    /// The disk's.
    fn append(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Writes a file as a whole: afterwards it is durable, or what stood there stands.
    ///
    /// # Errors
    /// The disk's.
    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// The disk's.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// A folder for the owner alone.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The file that is appended to.
    open: Option<(String, File)>,
}

impl Folder {
    /// The folder at `path`; it is made where there is none.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        private::folder(path)?;
        Ok(Self {
            path: path.to_owned(),
            open: None,
        })
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        let is_open = self.open.as_ref().is_some_and(|(open, _)| open == name);
        if !is_open {
            let path = self.path.join(name);
            let is_new = !path.exists();
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(&path)?;
            if is_new {
                private::sync_folder(&path)?;
            }
            self.open = Some((name.to_owned(), file));
        }
        let (_, file) = self.open.as_mut().expect("it was opened just now");
        Ok(file)
    }
}

impl Disk for Folder {
    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if let (Ok(name), Ok(about)) = (entry.file_name().into_string(), entry.metadata()) {
                all.push((name, about.len()));
            }
        }
        Ok(all)
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.path.join(name))
    }

    fn append(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(name)?;
        let written = (|| {
            file.set_len(at)?;
            file.seek(SeekFrom::Start(at))?;
            file.write_all(bytes)?;
            file.sync_data()
        })();
        if written.is_err() {
            // What the system holds of it is not believed either (an fsync that failed is not tried
            // again, for it would then say that all is well).
            self.open = None;
        }
        written
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        private::write(&self.path.join(name), bytes)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open.take_if(|(open, _)| open == name);
        private::remove(&self.path.join(name))
    }
}
