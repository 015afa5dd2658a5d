//! What is printed when nothing is broken.

use bellwether_model::report::{LayerState, Severity};
use bellwether_model::{Finding, Report};

use super::{Page, count, shown};

/// Warnings and notices that are shown; the rest are counted.
const FINDINGS_MAX: usize = 6;

impl Page {
    /// What was checked, and what is worth knowing although nothing is broken.
    pub(super) fn healthy(&mut self, report: &Report) {
        for layer in &report.layers {
            let text = match layer.state {
                LayerState::Skipped => continue,
                _ => shown(&layer.summary),
            };
            self.labelled(layer.layer.name(), &text);
        }
        let notable: Vec<&Finding> = report.findings.iter().collect();
        if !notable.is_empty() {
            self.line("");
        }
        for finding in notable.iter().take(FINDINGS_MAX) {
            self.notable(finding);
        }
        if notable.len() > FINDINGS_MAX {
            let left = count(notable.len() - FINDINGS_MAX, "finding");
            self.labelled("", &format!("and {left} more: --format json"));
        }
        self.line("");
    }

    fn notable(&mut self, finding: &Finding) {
        let label = match finding.severity {
            Severity::Critical => "Broken",
            Severity::Warning => "Warning",
            Severity::Notice => "Notice",
        };
        self.labelled(
            label,
            &format!("{}: {}", finding.cause, shown(&finding.summary)),
        );
        if finding.severity != Severity::Notice {
            self.labelled("", &shown(&finding.remedy));
        }
    }
}
