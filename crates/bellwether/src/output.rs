//! What goes to stdout.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use bellwether_model::{Observation, Report};
use clap::CommandFactory;
use serde_json::json;

use crate::cli::{Cli, Format, OutputArgs};
use crate::exit::Exit;
use crate::text::{self, Style, WIDTH};

/// Narrower than this nothing can be read.
const WIDTH_MIN: usize = 40;

/// Wider than this nobody reads a line to its end.
const WIDTH_MAX: usize = 120;

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

/// A value as JSON, indented.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).context("failed to write JSON")?;
    print(&format!("{text}\n"))
}

/// One observation as ndjson.
pub(crate) fn observation(observation: &Observation) -> Result<()> {
    print(&typed("observation", observation))
}

/// Colour only on a terminal, and never against `NO_COLOR` (no-color.org).
pub(crate) fn style() -> Style {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
    let terminal = io::stdout().is_terminal();
    Style {
        colour: terminal && !refused && !dumb,
        width: terminal.then(columns).flatten().unwrap_or(WIDTH),
    }
}

/// Columns of a list: each of its rows is one line for a program that reads them.
pub(crate) fn list_width() -> usize {
    if io::stdout().is_terminal() {
        style().width
    } else {
        usize::MAX
    }
}

/// Columns of the terminal: as `COLUMNS` says, else as the system does.
pub(crate) fn columns() -> Option<usize> {
    let told = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let columns = told.or_else(|| {
        let (width, _) = terminal_size::terminal_size()?;
        Some(usize::from(width.0))
    })?;
    Some(columns.clamp(WIDTH_MIN, WIDTH_MAX))
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
