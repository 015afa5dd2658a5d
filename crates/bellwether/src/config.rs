//! `config`: validate, and print schemas.

use anyhow::Result;

use crate::cli::ConfigCommand;
use crate::exit::Exit;
use crate::{files, output, schema};
use bellwether_diagnose::words::count;

/// Runs the command.
pub(crate) fn run(command: &ConfigCommand) -> Result<Exit> {
    match command {
        ConfigCommand::Check { file } => {
            let text = files::text("the configuration", file)?;
            let config = bellwether_config::parse(&text, file)?;
            let checks: usize = config.services.iter().map(|s| s.checks.len()).sum();
            let (services, checks) = (
                count(config.services.len(), "service"),
                count(checks, "check"),
            );
            output::print(&format!(
                "{}: ok, {services} with {checks}\n",
                file.display()
            ))?;
        }
        ConfigCommand::Schema { report, scenario } => {
            let schema = match (report, scenario) {
                (true, _) => schema::report(),
                (_, true) => bellwether_lab::scenario::schema(),
                (false, false) => bellwether_config::schema(),
            };
            output::print(&format!("{schema:#}\n"))?;
        }
    }
    Ok(Exit::Fine)
}
