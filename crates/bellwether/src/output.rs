//! What goes to stdout.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use bellwether_model::{Observation, Report};
use clap::CommandFactory;
use serde_json::json;

use crate::cli::{Cli, Format, OutputArgs};
use crate::exit::Exit;
use crate::text::{self, Style};

/// Writes to stdout. A reader that closed the pipe has all that it wants.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("failed to write to stdout"),
    }
}

/// Prints a report.
pub(crate) fn report(report: &Report, output: OutputArgs) -> Result<()> {
    match output.format {
        Format::Text if output.quiet => print(&text::verdict_line(report, style())),
        Format::Text => print(&text::render(report, style())),
        Format::Json => print(&format!("{}\n", json_of(report)?)),
        Format::Ndjson => print(&typed("report", report)),
    }
}

/// A line of ndjson: one object with `type` before its own keys.
fn typed(kind: &str, value: &impl serde::Serialize) -> String {
    let mut object = serde_json::Map::new();
    object.insert("type".to_owned(), json!(kind));
    if let serde_json::Value::Object(keys) = json!(value) {
        object.extend(keys);
    }
    format!("{}\n", serde_json::Value::Object(object))
}

/// A report as `--format json` prints it and `--save` writes it.
pub(crate) fn json_of(report: &Report) -> Result<String> {
    serde_json::to_string_pretty(report).context("failed to write the report as JSON")
}

/// One observation as ndjson.
pub(crate) fn observation(observation: &Observation) -> Result<()> {
    print(&typed("observation", observation))
}

/// Colour only on a terminal, and never against `NO_COLOR` (no-color.org).
pub(crate) fn style() -> Style {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
    let colour = io::stdout().is_terminal() && !refused && !dumb;
    Style {
        colour,
        ..Style::default()
    }
}

/// A completion script.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<Exit> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bellwether", &mut out);
    print(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Fine)
}

/// The manual page.
pub(crate) fn manual() -> Result<Exit> {
    let mut out = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut out)
        .context("failed to render the manual page")?;
    print(&String::from_utf8_lossy(&out))?;
    Ok(Exit::Fine)
}
