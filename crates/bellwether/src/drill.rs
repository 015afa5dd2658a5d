//! `drill`: rehearse outages in the Internet in a box.
//!
//! The lab runs this very program as a child, in a namespace of which no packet leaves, and holds
//! its reports against what the scenario expects. Nothing here starts a thread before the child
//! is in its namespace.

mod look;

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use bellwether_diagnose::words::count;
use bellwether_lab::{
    DRILL_SCHEMA, DrillOptions, DrillSummary, SEED_DEFAULT, ScenarioReport, Score, StepReport,
    WorldEnd,
};
use bellwether_model::report::Severity;
use bellwether_model::text::inert;
use bellwether_model::{Finding, Report};

use crate::cli::{DrillArgs, DrillFormat};
use crate::exit::Exit;
use crate::output;
use crate::text::{self, Paint, Style, percent, row, wrapped};
use look::Look;

/// Longest sentence that is shown.
const SHOWN_MAX: usize = 400;

/// Where the sentence of a step begins.
const SENTENCE_AT: usize = 21;

/// Runs the command.
pub(crate) fn run(args: DrillArgs) -> Result<Exit> {
    if args.list {
        return list();
    }
    let seeds = match (args.seed, args.seeds) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (1..=count).collect(),
        (None, None) => vec![SEED_DEFAULT],
    };
    let alone = args.scenarios.len() == 1 && seeds.len() == 1;
    let options = DrillOptions::new(args.scenarios, seeds)?;
    if let Some(command) = &args.exec {
        return Ok(Exit::Other(bellwether_lab::exec(&options, command)?));
    }
    let style = output::style();
    let mut printed = Printed::default();
    let summary = bellwether_lab::drill(&options, |scenario| {
        printed.print(|first| match args.format {
            DrillFormat::Text if alone => Ok(whole(scenario, style)),
            DrillFormat::Text => Ok(short(scenario, style)),
            DrillFormat::Json => json_of(scenario, first),
        });
    })?;
    printed.print(|first| match args.format {
        DrillFormat::Text => Ok(board(&summary)),
        DrillFormat::Json => json_end(&summary.score, first),
    });
    printed.end()?;
    Ok(if summary.as_expected() {
        Exit::Fine
    } else {
        Exit::Broken
    })
}

/// What was printed so far, piece by piece: the reports of many worlds do not fit into memory.
#[derive(Default)]
struct Printed {
    pieces: usize,
    failure: Option<anyhow::Error>,
}

impl Printed {
    /// Prints one more piece, which may depend on whether it is the first.
    fn print(&mut self, piece: impl FnOnce(bool) -> Result<String>) {
        if self.failure.is_none() {
            let done = piece(self.pieces == 0).and_then(|text| output::print(&text));
            self.failure = done.err();
            self.pieces += 1;
        }
    }

    fn end(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

/// One entry of `scenarios` of a drill's JSON.
fn json_of(scenario: &ScenarioReport, first: bool) -> Result<String> {
    let json = serde_json::to_string_pretty(scenario)
        .context("failed to write the results of a scenario as JSON")?;
    Ok(format!("{}{json}", json_begin(first)))
}

/// What stands before an entry.
fn json_begin(first: bool) -> String {
    if first {
        format!("{{\"schema\":\"{DRILL_SCHEMA}\",\"scenarios\":[\n")
    } else {
        ",\n".to_owned()
    }
}

/// The rest of a drill's JSON.
fn json_end(score: &Score, first: bool) -> Result<String> {
    let begin = if first {
        json_begin(true)
    } else {
        String::new()
    };
    let score = serde_json::to_string_pretty(score).context("failed to write the score as JSON")?;
    Ok(format!("{begin}],\n\"score\":{score}}}\n"))
}

/// The child process that serves the world and runs the checks in it.
pub(crate) fn world(job: &Path) -> Result<Exit> {
    match bellwether_lab::world_main(job)? {
        WorldEnd::Json(json) => {
            output::print(&json)?;
            Ok(Exit::Fine)
        }
        WorldEnd::Exit(code) => Ok(Exit::Other(code)),
    }
}

/// Shipped scenarios with the first line of their comment.
fn list() -> Result<Exit> {
    let width = output::list_width();
    let all = || bellwether_lab::shipped().iter();
    let longest = all().map(|s| s.name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for scenario in all() {
        let about = scenario
            .text
            .lines()
            .find_map(|line| line.strip_prefix('#'))
            .unwrap_or_default();
        let head = format!("{:longest$}  ", scenario.name());
        text.push_str(&row(&head, about.trim(), width));
    }
    output::print(&text)?;
    Ok(Exit::Fine)
}

/// One scenario, a line for each step.
fn short(scenario: &ScenarioReport, style: Style) -> String {
    let mut text = title(scenario, style);
    for step in &scenario.steps {
        let width = style.width.saturating_sub(SENTENCE_AT);
        for (at, line) in wrapped(&sentence(step), width, 0).iter().enumerate() {
            let _ = match at {
                0 => writeln!(text, "  {} {:16} {line}", mark(step, style), step.name),
                _ => writeln!(text, "{:SENTENCE_AT$}{line}", ""),
            };
        }
        missed(step, &mut text);
    }
    text
}

/// One scenario, each step as `check` would print it.
fn whole(scenario: &ScenarioReport, style: Style) -> String {
    let mut text = title(scenario, style);
    for step in &scenario.steps {
        let as_expected = if step.as_expected {
            "as expected"
        } else {
            "NOT as expected"
        };
        let _ = writeln!(text, "\n{} {}: {as_expected}", mark(step, style), step.name);
        missed(step, &mut text);
        match (Look::of(step), report_of(step)) {
            (Some(look), _) => text.push_str(&look.whole()),
            (None, Some(report)) => text.push_str(&text::render(&report, style)),
            (None, None) => text.push_str("  there is no report\n"),
        }
    }
    text.push('\n');
    text
}

fn title(scenario: &ScenarioReport, style: Style) -> String {
    let name = Paint::Strong.on(&scenario.name, style);
    let mut text = format!("{name} (seed {})\n", scenario.seed);
    if let Some(why) = &scenario.skipped {
        let _ = writeln!(text, "  – left out: {}", inert(why, SHOWN_MAX));
    }
    if let Some(error) = &scenario.error {
        let _ = writeln!(
            text,
            "  {} {}",
            Paint::Bad.on("✗", style),
            inert(error, SHOWN_MAX)
        );
    }
    text
}

fn mark(step: &StepReport, style: Style) -> String {
    if step.as_expected {
        Paint::Good.on("✓", style)
    } else {
        Paint::Bad.on("✗", style)
    }
}

fn missed(step: &StepReport, text: &mut String) {
    for difference in &step.missed {
        let _ = writeln!(text, "      missed {}", inert(difference, SHOWN_MAX));
    }
}

fn report_of(step: &StepReport) -> Option<Report> {
    serde_json::from_value(step.report.clone()).ok()
}

/// What the check came to, in one line.
fn sentence(step: &StepReport) -> String {
    if let Some(look) = Look::of(step) {
        return look.sentence();
    }
    let Some(report) = report_of(step) else {
        return "no report".to_owned();
    };
    let verdict = report.verdict.name();
    if let Some(diagnosis) = &report.diagnosis {
        let sure = percent(diagnosis.confidence);
        let summary = inert(&diagnosis.summary, SHOWN_MAX);
        return format!("{verdict}: {}, {sure} % sure: {summary}", diagnosis.cause);
    }
    let warning = |f: &&Finding| f.severity == Severity::Warning;
    match report.findings.iter().find(warning) {
        Some(finding) => format!(
            "{verdict}, warning {}: {}",
            finding.cause,
            inert(&finding.summary, SHOWN_MAX)
        ),
        None => verdict.to_owned(),
    }
}

/// How often the right cause was found.
fn board(summary: &DrillSummary) -> String {
    let steps = count(summary.steps, "step");
    let mut text = format!("{} of {steps} as expected", summary.right);
    if summary.failed > 0 {
        let failed = count(summary.failed, "scenario");
        let _ = write!(text, ", {failed} did not run to the end");
    }
    if summary.skipped > 0 {
        let _ = write!(text, ", {} left out", count(summary.skipped, "scenario"));
    }
    let score = &summary.score;
    if score.rows > 1 {
        let _ = write!(
            text,
            "\n{} rows: cause {} %, layer {} %, scope {} %, wrong {}, unknown {}, false alarms {}",
            score.rows,
            percent(score.cause_top1),
            percent(score.layer),
            percent(score.scope_f1),
            score.wrong,
            score.unknown,
            score.false_alarms
        );
    }
    text.push('\n');
    text
}
