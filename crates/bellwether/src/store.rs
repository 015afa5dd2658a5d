//! `store`: copy or verify the data directory of `serve`.

use anyhow::Result;
use bellwether_config::Config;
use bellwether_diagnose::words::count;
use bellwether_store::embedded;

use crate::cli::StoreCommand;
use crate::exit::Exit;
use crate::{output, serve};

/// Runs the command.
pub(crate) fn run(command: &StoreCommand) -> Result<Exit> {
    let defaults = Config::default();
    match command {
        StoreCommand::Backup { to, data_dir } => {
            let from = serve::data_dir(data_dir.as_deref(), &defaults)?;
            embedded::backup(&from, to)?;
            output::print(&format!(
                "`{}` is copied to `{}`; to go back to it, end `serve` and put it in the place of the original\n",
                from.display(),
                to.display()
            ))?;
            Ok(Exit::Fine)
        }
        StoreCommand::Check { data_dir } => {
            let dir = serve::data_dir(data_dir.as_deref(), &defaults)?;
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
