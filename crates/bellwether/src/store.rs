//! `store`: copy or verify the data directory of `serve`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use bellwether_config::Config;
use bellwether_diagnose::words::count;
use bellwether_store::embedded::{self, Problem};

use crate::cli::StoreCommand;
use crate::exit::{Exit, say};
use crate::{output, serve};

/// Runs the command.
pub(crate) fn run(command: &StoreCommand) -> Result<Exit> {
    let (StoreCommand::Backup { data_dir, .. } | StoreCommand::Check { data_dir }) = command;
    let dir = match place(data_dir.as_deref())? {
        Ok(dir) => dir,
        Err(refused) => return Ok(refused),
    };
    match command {
        StoreCommand::Backup { to, .. } => {
            let from = dir;
            copy(&from, to)?;
            output::print(&format!(
                "`{}` is copied to `{}`; to go back to it, end `serve` and put it in the place of the original\n",
                from.display(),
                to.display()
            ))?;
            Ok(Exit::Fine)
        }
        StoreCommand::Check { .. } => {
            let found = embedded::check(&dir)?;
            let mut text = String::new();
            for problem in &found.problems {
                text.push_str(&format!("✗ {problem}\n"));
            }
            let files = count(found.files, "file");
            let verdict = match found.problems.len() {
                0 => "all checksums hold".to_owned(),
                wrong => count(wrong, "problem"),
            };
            text.push_str(&format!("{files} with {} runs: {verdict}\n", found.runs));
            text.push_str(&outlook(&dir, &found.problems));
            output::print(&text)?;
            Ok(if found.problems.is_empty() {
                Exit::Fine
            } else {
                Exit::Broken
            })
        }
    }
}

/// Where `serve` keeps its data, if it is started with the same words; or the exit code of a
/// configuration that is refused, which was said.
fn place(given: Option<&Path>) -> Result<Result<PathBuf, Exit>> {
    let config = match (given, serve::found()) {
        (None, Some(path)) => match crate::config::loaded(&path)? {
            Ok(loaded) => loaded.config,
            Err(refused) => {
                say("`--data-dir` names the directory without the configuration");
                return Ok(Err(refused));
            }
        },
        _ => Config::default(),
    };
    serve::kept_in(given, &config).map(Ok)
}

/// Copies, or leaves nothing behind that would stand in the way of the next try.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let had = fs::symlink_metadata(to);
    let is_ours = match &had {
        Ok(meta) => meta.is_dir() && fs::read_dir(to).is_ok_and(|mut all| all.next().is_none()),
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    let copied = embedded::backup(from, to);
    if copied.is_err() && is_ours {
        // What cannot be removed is found by the next try, which says so.
        let _ = fs::remove_dir_all(to);
        if had.is_ok() {
            let _ = fs::create_dir(to);
        }
    }
    Ok(copied?)
}

/// What `serve` does with each kind of file that is damaged, and what to do.
fn outlook(dir: &Path, problems: &[Problem]) -> String {
    let any = |is_it: &dyn Fn(&Path) -> bool| problems.iter().any(|p| is_it(&p.path));
    let mut text = String::new();
    if any(&|path| path == dir.join("state.db")) {
        text.push_str(
            "state.db: `serve` does not start with it, or answers for what is damaged with errors; restore the data directory from a backup\n",
        );
    }
    if any(&|path| path.starts_with(dir.join("results"))) {
        text.push_str(
            "results: `serve` leaves out what is damaged, shows it as a gap, and goes on with the rest; restore those files from a backup to have it back\n",
        );
    }
    if any(&|path| path == dir.join("rollup.db")) {
        text.push_str(
            "rollup.db: end `serve` and remove it; it is computed again from the days that are kept\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_file_has_its_own_outlook() {
        let dir = Path::new("d");
        let problem = |path: &str| Problem {
            path: dir.join(path),
            what: "a checksum does not hold".to_owned(),
        };
        for (path, promise) in [
            ("state.db", "state.db: `serve` does not start"),
            ("results/2026-03-10.db", "results: `serve` leaves out"),
            ("rollup.db", "rollup.db: end `serve` and remove it"),
        ] {
            let text = outlook(dir, &[problem(path)]);
            assert!(text.starts_with(promise), "{text}");
            assert_eq!(text.lines().count(), 1);
        }
        assert_eq!(outlook(dir, &[]), "");
    }
}
