//! `config`: validate, explain, and print schemas.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::Path;

use anyhow::Result;
use bellwether_config::explain::{ExplainError, explain};
use bellwether_config::{Color, Config, Loaded, Problems, Source, System, read, sources};
use bellwether_diagnose::words::count;

use crate::cli::ConfigCommand;
use crate::exit::{Exit, say};
use crate::{files, output, schema};

/// Runs the command.
pub(crate) fn run(command: &ConfigCommand) -> Result<Exit> {
    match command {
        ConfigCommand::Check { path } => check(path),
        ConfigCommand::Explain { key, config } => {
            let sources = match config {
                Some(path) => texts(path)?,
                None => Ok(Vec::new()),
            };
            match sources
                .map_err(ExplainError::from)
                .and_then(|s| explain(&s, key, &System))
            {
                Ok(explained) => output::print(&explained.to_string())?,
                Err(ExplainError::Problems(problems)) => return Ok(refused(&problems)),
                Err(unknown) => return Err(unknown.into()),
            }
            Ok(Exit::Fine)
        }
        ConfigCommand::Schema { report, scenario } => {
            let schema = match (report, scenario) {
                (true, _) => schema::report(),
                (_, true) => bellwether_lab::scenario::schema(),
                (false, false) => bellwether_config::schema(),
            };
            output::print(&format!("{schema:#}\n"))?;
            Ok(Exit::Fine)
        }
    }
}

fn check(path: &Path) -> Result<Exit> {
    let loaded = match texts(path)?.and_then(|sources| read(sources, &System)) {
        Ok(loaded) => loaded,
        Err(problems) => return Ok(refused(&problems)),
    };
    for warning in &loaded.warnings {
        say(&format!("warning: {warning}"));
    }
    for notice in bellwether_hub::fate::notices(&loaded.config) {
        say(&format!("note: {notice}"));
    }
    for fate in bellwether_hub::fate::of(&loaded.config, &BTreeMap::new()) {
        say(&format!("warning: {}. {}", fate.summary, fate.remedy));
    }
    output::print(&format!(
        "{}: ok, {}\n",
        path.display(),
        summary(&loaded.config)
    ))?;
    Ok(Exit::Fine)
}

/// `2 services with 4 checks, 5 runs a minute from each vantage`.
fn summary(config: &Config) -> String {
    let rate = config.runs_per_minute();
    let rate = if rate >= 10.0 {
        format!("{rate:.0}")
    } else {
        format!("{:.1}", rate).trim_end_matches(".0").to_owned()
    };
    let runs = if rate == "1" { "run" } else { "runs" };
    format!(
        "{} with {}, {rate} {runs} a minute from each vantage",
        count(config.services.len(), "service"),
        count(config.checks(), "check"),
    )
}

/// What a file or directory holds; or the exit code of one that is refused, which was said.
pub(crate) fn loaded(path: &Path) -> Result<Result<Loaded, Exit>> {
    let read = texts(path)?.and_then(|sources| read(sources, &System));
    Ok(read.map_err(|problems| refused(&problems)))
}

/// The texts of a file, of a directory, or of stdin.
fn texts(path: &Path) -> Result<Result<Vec<Source>, Problems>> {
    if path == Path::new("-") {
        let text = files::text("the configuration", path)?;
        let path = path.to_owned();
        return Ok(Ok(vec![Source { path, text }]));
    }
    Ok(sources(path))
}

/// On a terminal with pictures, elsewhere a line for each.
fn refused(problems: &Problems) -> Exit {
    if io::stderr().is_terminal() {
        let style = output::style();
        let color = if style.colour { Color::Yes } else { Color::No };
        say(problems.pictured(style.width, color).trim_end());
    } else {
        for line in problems.lines() {
            say(&format!("error: {line}"));
        }
    }
    Exit::Usage
}
