//! The layers with their states and times, and the counts of the whole check.

use bellwether_diagnose::words::count;
use bellwether_model::report::{LayerReport, LayerState, Role};
use bellwether_model::{Outcome, ProbeKind, Report};

use super::{LABELLED, Page, Paint, shown};

impl Page {
    /// `dns ✗ fails, 41 ms   net ✓ 12 ms   tls ✗ follows`, and the counts.
    pub(super) fn layers(&mut self, report: &Report) {
        let texts: Vec<String> = report
            .layers
            .iter()
            .map(|layer| short(report, layer))
            .collect();
        let painted: Vec<String> = report
            .layers
            .iter()
            .zip(&texts)
            .map(|(layer, text)| paint(layer.state).on(text, self.style))
            .collect();
        let layers = painted.join("   ");
        let used: usize = texts.iter().map(|t| t.chars().count() + 3).sum();
        let counts = counts(report);
        let taken = used + counts.chars().count() + 2;
        if texts.is_empty() {
            self.line(&format!("  {counts}"));
        } else if taken <= self.style.width {
            let gap = " ".repeat(self.style.width - taken + 3);
            self.line(&format!("  {layers}{gap}{counts}"));
        } else {
            self.line(&format!("  {layers}"));
            self.line(&format!("  {counts}"));
        }
    }

    /// `✓ dns    41 ms  3 name servers and 4 resolvers lead to 192.0.2.1`, a line each.
    pub(super) fn layers_in_full(&mut self, report: &Report) {
        for layer in &report.layers {
            let mark = paint(layer.state).on(&mark(layer.state).to_string(), self.style);
            let took = match layer.state {
                LayerState::Ok | LayerState::Failed | LayerState::Degraded => took(layer.took_ms),
                LayerState::Unknown | LayerState::Skipped => String::new(),
            };
            let state = match layer.state {
                LayerState::Unknown => "unknown: ",
                LayerState::Ok | LayerState::Failed | LayerState::Degraded => "",
                LayerState::Skipped => "not judged: ",
            };
            let told = layer
                .summary
                .strip_prefix("not judged: ")
                .unwrap_or(&layer.summary);
            let text = shown(&format!("{state}{told}"));
            let name = layer.layer.name();
            let head = format!("{name:<4} {took:>7}  ");
            let indent = 4 + head.chars().count();
            let width = self.style.width.saturating_sub(indent);
            for (at, line) in super::wrapped(&text, width, 0).iter().enumerate() {
                if at == 0 {
                    self.line(&format!("  {mark} {head}{line}"));
                } else {
                    self.line(&format!("{}{line}", " ".repeat(indent)));
                }
            }
        }
    }

    /// The counts alone.
    pub(super) fn counts(&mut self, report: &Report) {
        let line = Paint::Faint.on(&format!("  {}", counts(report)), self.style);
        self.line(&line);
    }

    /// How far a label reaches.
    pub(super) fn beside_labels(&self) -> usize {
        self.style.width - LABELLED
    }
}

fn paint(state: LayerState) -> Paint {
    match state {
        LayerState::Ok => Paint::Good,
        LayerState::Failed | LayerState::Degraded => Paint::Bad,
        LayerState::Unknown => Paint::Odd,
        LayerState::Skipped => Paint::Faint,
    }
}

fn mark(state: LayerState) -> char {
    match state {
        LayerState::Ok => '✓',
        LayerState::Failed | LayerState::Degraded => '✗',
        LayerState::Unknown => '?',
        LayerState::Skipped => '–',
    }
}

/// A layer's state in a few words that need no legend.
fn short(report: &Report, layer: &LayerReport) -> String {
    let is_root = report
        .findings
        .iter()
        .any(|f| f.role == Role::Root && f.layer == layer.layer);
    let lowest = report.diagnosis.as_ref().map(|d| d.layer);
    let follows = lowest.is_some_and(|lowest| lowest < layer.layer) && !is_root;
    let took = took(layer.took_ms);
    let state = match layer.state {
        LayerState::Ok => took,
        LayerState::Failed | LayerState::Degraded if follows => "follows".to_owned(),
        LayerState::Failed => format!("fails, {took}"),
        LayerState::Degraded => format!("partly, {took}"),
        LayerState::Unknown => "unknown".to_owned(),
        LayerState::Skipped => "not judged".to_owned(),
    };
    format!("{} {} {state}", layer.layer.name(), mark(layer.state))
}

/// `41 ms`, `4.0 s`.
fn took(millis: f64) -> String {
    if millis < 0.95 {
        "<1 ms".to_owned()
    } else if millis < 999.5 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.1} s", millis / 1000.0)
    }
}

/// Resolvers, addresses, queries and the time of the whole check.
fn counts(report: &Report) -> String {
    let resolvers = report
        .observations
        .iter()
        .filter(|o| o.probe == ProbeKind::ResolverMatrix)
        .count();
    let addresses: usize = report
        .observations
        .iter()
        .map(|o| match &o.outcome {
            Outcome::Addresses(seen) => seen.found.len(),
            _ => 0,
        })
        .sum();
    let queries = usize::try_from(report.queries).unwrap_or(usize::MAX);
    format!(
        "{}, {}, {}, {}",
        count(resolvers, "resolver"),
        count(addresses, "address"),
        count(queries, "query"),
        took(report.took_ms)
    )
}
