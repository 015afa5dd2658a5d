//! `store`: copy or verify the data directory of `serve`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bellwether_diagnose::words::count;
use bellwether_store::embedded;

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
                wrong => format!(
                    "{}: what is damaged is left out by `serve`, and the rest serves on; restore a backup to have it back",
                    count(wrong, "problem")
                ),
            };
            text.push_str(&format!("{files} with {} runs: {verdict}\n", found.runs));
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
