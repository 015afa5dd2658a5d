//! What is printed when nothing is broken.

use bellwether_diagnose::words::count;
use bellwether_model::report::Severity;
use bellwether_model::{Finding, Report};

use super::{Page, shown};

impl Page {
    /// What was checked, and what is worth knowing although nothing is broken.
    pub(super) fn healthy(&mut self, report: &Report) {
        self.layers_in_full(report);
        self.counts(report);
        for finding in report.findings.iter().take(self.budget.notable) {
            self.line("");
            self.notable(finding);
        }
        if report.findings.len() > self.budget.notable {
            let left = count(report.findings.len() - self.budget.notable, "more finding");
            self.line("");
            self.labelled("", &format!("and {left}: --format json"));
        }
    }

    fn notable(&mut self, finding: &Finding) {
        let label = match finding.severity {
            Severity::Critical => "Broken",
            Severity::Warning => "Warning",
            Severity::Notice => "Notice",
        };
        let summary = shown(&finding.summary);
        self.labelled(label, &format!("{}: {summary}", finding.cause));
        if finding.severity != Severity::Notice {
            self.labelled("Do", &shown(&finding.remedy));
            if let Some(see) = &finding.see {
                self.command("See", see);
            }
        }
    }
}
