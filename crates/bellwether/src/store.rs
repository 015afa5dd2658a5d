//! `store`: copy or verify the data directory of `serve`.

use anyhow::Result;

use crate::cli::StoreCommand;
use crate::exit::Exit;
use crate::{output, serve};

/// Runs the command.
pub(crate) fn run(command: &StoreCommand) -> Result<Exit> {
    let defaults = bellwether_config::Config::default();
    match command {
        StoreCommand::Backup { to, data_dir } => {
            let from = serve::data_dir(data_dir.as_deref(), &defaults)?;
            let copied = bellwether_store::embedded::backup(&from, to)?;
            output::print(&format!(
                "{} files, {} bytes of `{}` are in `{}`\n",
                copied.files,
                copied.bytes,
                from.display(),
                to.display()
            ))?;
            Ok(Exit::Fine)
        }
        StoreCommand::Check { data_dir } => {
            let dir = serve::data_dir(data_dir.as_deref(), &defaults)?;
            let found = bellwether_store::embedded::check(&dir)?;
            output::print(&found.to_string())?;
            Ok(if found.is_sound() {
                Exit::Fine
            } else {
                Exit::Broken
            })
        }
    }
}
