//! What a running program told a `look`, for people.

use std::fmt::Write;

use bellwether_lab::{LOOK_SCHEMA, StepReport};
use bellwether_model::text::inert;
use bellwether_model::{Cause, Incident, Verdict};
use serde::Deserialize;

use super::SHOWN_MAX;

/// Columns of the names of services and of kinds of moments.
const NAME_WIDTH: usize = 14;
/// How the time of day is written, UTC.
const CLOCK: &str = "%H:%M:%S";

/// What was told, as far as people are shown it.
#[derive(Deserialize)]
pub(super) struct Look {
    schema: String,
    services: Vec<Service>,
    incidents: Vec<Incident>,
}

#[derive(Deserialize)]
struct Service {
    name: String,
    verdict: Verdict,
    #[serde(default)]
    cause: Option<Cause>,
    #[serde(default)]
    stale: bool,
}

impl Look {
    /// What a step brought, if that is a look.
    pub(super) fn of(step: &StepReport) -> Option<Self> {
        let look = Self::deserialize(&step.report).ok()?;
        (look.schema == LOOK_SCHEMA).then_some(look)
    }

    /// In one line.
    pub(super) fn sentence(&self) -> String {
        let services: Vec<String> = self.services.iter().map(Service::words).collect();
        let incidents: Vec<String> = self.incidents.iter().map(words).collect();
        let incidents = match incidents.is_empty() {
            true => "no incident".to_owned(),
            false => incidents.join("; "),
        };
        format!("{}; {incidents}", services.join(", "))
    }

    /// Each service and each incident with its timeline.
    pub(super) fn whole(&self) -> String {
        let mut text = String::new();
        for service in &self.services {
            let words = service.standing();
            let name = inert(&service.name, SHOWN_MAX);
            let _ = writeln!(text, "  {name:NAME_WIDTH$} {words}");
        }
        if self.incidents.is_empty() {
            text.push_str("  no incident\n");
        }
        for incident in &self.incidents {
            let _ = writeln!(text, "\n  {}", words(incident));
            for moment in &incident.timeline {
                let at = moment.at.strftime(CLOCK);
                let kind = serde_json::to_value(moment.kind).unwrap_or_default();
                let kind = kind.as_str().unwrap_or_default();
                let told = inert(&moment.text, SHOWN_MAX);
                let _ = writeln!(text, "    {at}  {kind:NAME_WIDTH$} {told}");
            }
        }
        text
    }
}

impl Service {
    fn words(&self) -> String {
        format!("{} {}", inert(&self.name, SHOWN_MAX), self.standing())
    }

    fn standing(&self) -> String {
        let stale = if self.stale { ", stale" } else { "" };
        let cause = self.cause.map(|cause| format!(" ({cause})"));
        format!(
            "{}{}{stale}",
            self.verdict.name(),
            cause.unwrap_or_default()
        )
    }
}

fn words(incident: &Incident) -> String {
    let Incident {
        id, cause, state, ..
    } = incident;
    let since = incident.began.strftime(CLOCK);
    let summary = inert(&incident.summary, SHOWN_MAX);
    let state = state.name();
    format!("incident {id}, {state}, since {since}: {cause}: {summary}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn step(report: Value) -> StepReport {
        StepReport {
            name: "x".to_owned(),
            expected: None,
            as_expected: true,
            missed: Vec::new(),
            report,
        }
    }

    #[test]
    fn a_look_in_words() {
        let incident = json!({
            "id": 3, "state": "open", "cause": "net.tcp.refused", "layer": "net", "severity": "critical",
            "verdict": "broken", "confidence": 0.9, "summary": "nothing listens\u{1b}", "remedy": "",
            "checks": [], "scope": bellwether_model::Scope::default(),
            "began": "2024-10-01T11:10:00Z", "opened": "2024-10-01T11:10:02Z", "updated": "2024-10-01T11:10:02Z",
            "timeline": [{ "at": "2024-10-01T11:10:02Z", "kind": "first_failure", "text": "www/main" }],
        });
        let services = json!([{ "name": "www", "verdict": "broken", "cause": "net.tcp.refused" },
            { "name": "api", "verdict": "unknown", "stale": true }]);
        let look = |incidents: Value| json!({ "schema": LOOK_SCHEMA, "services": services, "incidents": incidents });
        let told = Look::of(&step(look(json!([incident])))).unwrap();
        let sentence = "incident 3, open, since 11:10:00: net.tcp.refused: nothing listens\\u{1b}";
        assert_eq!(
            told.sentence(),
            format!("www broken (net.tcp.refused), api unknown, stale; {sentence}")
        );
        assert_eq!(
            told.whole(),
            format!(
                "  www            broken (net.tcp.refused)\n  api            unknown, stale\n\n  {sentence}\n    \
                 11:10:02  first_failure  www/main\n"
            )
        );
        let none = Look::of(&step(look(json!([])))).unwrap();
        assert!(none.whole().ends_with("  no incident\n"));
        assert!(none.sentence().ends_with("; no incident"));
        assert!(Look::of(&step(Value::Null)).is_none());
    }
}
