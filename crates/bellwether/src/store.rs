//! `store`: copy or verify the data directory of `serve`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bellwether_diagnose::words::count;
use bellwether_store::embedded::{self, Problem};

use crate::cli::StoreCommand;
use crate::exit::Exit;
use crate::{output, serve};

/// The file by which a data directory is known.
const STATE: &str = "state.db";

/// Runs the command.
pub(crate) fn run(command: &StoreCommand) -> Result<Exit> {
    match command {
        StoreCommand::Backup { to, data_dir } => {
            let from = kept(data_dir.as_deref())?;
            embedded::backup(&from, to)?;
            output::print(&format!(
                "`{}` is copied to `{}`; to go back to it, end `serve` and put it in the place of the original\n",
                from.display(),
                to.display()
            ))?;
            Ok(Exit::Fine)
        }
        StoreCommand::Check { data_dir } => {
            let dir = kept(data_dir.as_deref())?;
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

/// Where data is kept already. Nothing is made here: whoever copies from the wrong place must be told.
fn kept(given: Option<&Path>) -> Result<PathBuf> {
    let places = match given {
        Some(dir) => vec![dir.to_owned()],
        None => serve::data_places(),
    };
    if let Some(place) = places.iter().find(|place| place.join(STATE).exists()) {
        return Ok(place.clone());
    }
    let places: Vec<String> = places
        .iter()
        .map(|p| format!("`{}`", p.display()))
        .collect();
    bail!(
        "there is no data of `serve` in {}; name its directory by `--data-dir`",
        places.join(" or ")
    )
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
