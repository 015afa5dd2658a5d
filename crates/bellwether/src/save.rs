//! `--save`: the report as a file, whole or not at all.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bellwether_model::Report;
use tempfile::NamedTempFile;

use crate::output;

/// A place for a report, opened before the check so that a mistyped path is said at once.
pub(crate) enum Save {
    /// A file beside the one that it becomes: what was saved there before stays until then.
    File(NamedTempFile, PathBuf),
    /// Something that is no file: a pipe, a terminal, `/dev/stderr`.
    Other(File),
}

impl Save {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let failed = || format!("failed to write `{}`", path.display());
        let is_other = std::fs::metadata(path).is_ok_and(|m| !m.is_file());
        if is_other {
            let file = File::options()
                .write(true)
                .open(path)
                .with_context(failed)?;
            return Ok(Self::Other(file));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        // As any new file: the user's mask decides.
        let file = tempfile::Builder::new()
            .prefix(".bellwether-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .with_context(failed)?;
        Ok(Self::File(file, path.to_owned()))
    }

    pub(crate) fn write(self, report: &Report) -> Result<()> {
        let text = format!("{}\n", output::json_of(report)?);
        match self {
            Self::Other(mut file) => file.write_all(text.as_bytes()),
            Self::File(mut file, path) => file
                .write_all(text.as_bytes())
                .and_then(|()| file.persist(path).map(drop).map_err(|error| error.error)),
        }
        .context("failed to save the report")
    }
}
