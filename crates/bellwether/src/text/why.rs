//! Why we believe it: facts, and what follows from the cause, each with its evidence.

use bellwether_diagnose::words::count;
use bellwether_model::report::{Diagnosis, Role};
use bellwether_model::{Cause, Finding, Report};

use super::fact::{Clock, Told, sentences};
use super::{Page, Paint, shown, wrapped};

impl Page {
    /// The facts with their evidence at the right edge: those that decide, what follows, and those
    /// that support.
    pub(super) fn why(&mut self, report: &Report, diagnosis: &Diagnosis) {
        let clock = clock(report);
        let (supporting, deciding): (Vec<Told>, Vec<Told>) = sentences(&diagnosis.facts, clock)
            .into_iter()
            .partition(|t| t.supports);
        let all = deciding
            .into_iter()
            .chain(consequences(report, diagnosis, clock))
            .chain(supporting);
        let mut rows: Vec<String> = Vec::new();
        let mut left = 0;
        for told in all {
            let lines = self.told(&told);
            // What comes later tells less: it does not take the place of what did not fit.
            if left > 0 || rows.len() + lines.len() > self.budget.why_rows {
                left += 1;
            } else {
                rows.extend(lines);
            }
        }
        if left > 0 {
            rows.push(format!("and {}: --format json", count(left, "more fact")));
        }
        for (at, row) in rows.iter().enumerate() {
            let label = if at == 0 {
                Paint::Strong.on("Why     ", self.style)
            } else {
                " ".repeat(8)
            };
            self.line(&format!("  {label}{row}"));
        }
    }

    fn told(&self, told: &Told) -> Vec<String> {
        let evidence = match &told.from[..] {
            [] => String::new(),
            [one] => one.clone(),
            [first, second] => format!("{first} {second}"),
            [first, ..] => format!("{first} …"),
        };
        let all = self.beside_labels();
        let evidence = shown(&evidence);
        let width = all.saturating_sub(evidence.chars().count() + 2);
        let mut lines = wrapped(&shown(&told.text), width, 2);
        if let Some(first) = lines.first_mut() {
            let right = all.saturating_sub(first.chars().count());
            *first = format!("{first}{evidence:>right$}");
        }
        lines
    }
}

/// What follows from the root, told by the first fact of each.
fn consequences(report: &Report, diagnosis: &Diagnosis, clock: Clock) -> Vec<Told> {
    let told = |cause: &Cause| -> Told {
        let is_it = |f: &&Finding| f.role == Role::Consequence && f.cause == *cause;
        let facts = report
            .findings
            .iter()
            .filter(is_it)
            .flat_map(|f| f.facts.iter().cloned())
            .collect::<Vec<_>>();
        match sentences(&facts, clock).into_iter().next() {
            Some(told) => Told {
                // What it should be instead was typed by the reader.
                text: format!(
                    "{}: {cause} follows",
                    told.text.split(", not for ").next().unwrap_or_default()
                ),
                ..told
            },
            None => Told {
                text: format!("{cause} follows"),
                from: Vec::new(),
                supports: false,
            },
        }
    };
    diagnosis.consequences.iter().map(told).collect()
}

fn clock(report: &Report) -> Clock {
    let context = report.context.as_ref();
    Clock {
        now: context.map_or(report.began, |c| c.now),
        baseline: context.and_then(|c| c.baseline.as_ref()).map(|b| b.at),
    }
}
