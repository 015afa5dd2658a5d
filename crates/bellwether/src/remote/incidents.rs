//! `incidents`: what is or was broken, and what people did about it, from a running hub.

use std::fmt::Write as _;

use anyhow::Result;
use bellwether_model::incident::{AffectedCheck, IncidentState};
use bellwether_model::text::inert;
use bellwether_model::{CheckId, Incident};
use jiff::Timestamp;
use serde::Deserialize;

use super::client::{Client, Page};
use super::troubles;
use super::when::{clock, span};
use crate::cli::{IncidentsArgs, IncidentsCommand, RemoteFormat};
use crate::exit::Exit;
use crate::output;
use crate::text::row;

/// Longest sentence that is shown.
const SENTENCE_SHOWN_MAX: usize = 2_000;

/// A page of incidents.
#[derive(Deserialize)]
pub(super) struct Incidents {
    incidents: Vec<Incident>,
    next: Option<String>,
}

impl Page for Incidents {
    type Row = Incident;

    fn into_rows(self) -> (Vec<Incident>, Option<String>) {
        (self.incidents, self.next)
    }
}

/// Runs the command.
pub(crate) fn run(args: &IncidentsArgs) -> Result<Exit> {
    let client = Client::new(&args.hub)?;
    let now = Timestamp::now();
    let width = output::style().width;
    let one = |incident: &Incident| match args.format {
        RemoteFormat::Text => output::print(&show(incident, client.place(), now, width)),
        RemoteFormat::Json => output::json(incident),
    };
    match args
        .command
        .as_ref()
        .unwrap_or(&IncidentsCommand::List { all: false })
    {
        IncidentsCommand::List { all } => {
            let query = if *all { "" } else { "&state=unresolved" };
            let path = format!("/api/v1/incidents?limit=1000{query}");
            let incidents = client.all::<Incidents>(&path)?;
            match args.format {
                RemoteFormat::Text => {
                    // That none is open is worth little from a hub that cannot keep any.
                    let mut text = troubles::lines(&troubles::ask(&client)?, now, width);
                    text.push_str(&list(&incidents, *all, now, width));
                    output::print(&text)?;
                }
                // As the API has it, the last page of it.
                RemoteFormat::Json => output::json(&serde_json::json!({
                    "incidents": incidents,
                    "next": null,
                }))?,
            }
        }
        IncidentsCommand::Show { id } => {
            one(&client.get(&format!("/api/v1/incidents/{id}"))?)?;
        }
        IncidentsCommand::Ack { id } => {
            let path = format!("/api/v1/incidents/{id}/acknowledge");
            one(&client.post(&path, &serde_json::json!({}))?)?;
        }
        IncidentsCommand::Note { id, text } => {
            let path = format!("/api/v1/incidents/{id}/notes");
            one(&client.post(&path, &serde_json::json!({ "text": text }))?)?;
        }
    }
    Ok(Exit::Fine)
}

fn list(incidents: &[Incident], all: bool, now: Timestamp, width: usize) -> String {
    if incidents.is_empty() {
        let which = if all {
            ""
        } else {
            " is open; `bellwether incidents list --all` shows the past"
        };
        return format!("no incident{which}\n");
    }
    let mut text = String::new();
    for incident in incidents {
        let until = incident.resolved.unwrap_or(now);
        let how_long = if incident.resolved.is_some() {
            "lasted"
        } else {
            "for"
        };
        let _ = writeln!(
            text,
            "{:>4}  {:<12}  {}  {} UTC, {how_long} {}",
            incident.id,
            incident.state.name(),
            incident.cause.code(),
            clock(incident.began, now),
            span(incident.began, until),
        );
        text.push_str(&row("      ", &shown(&incident.summary), width));
    }
    text
}

fn show(incident: &Incident, place: &str, now: Timestamp, width: usize) -> String {
    let mark = match incident.state {
        IncidentState::Open | IncidentState::Acknowledged => '✗',
        IncidentState::Mitigated | IncidentState::Resolved => '✓',
    };
    let mut text = format!(
        "{mark} incident {}, {}: {}, {:.0} % sure\n",
        incident.id,
        incident.state.name().to_uppercase(),
        incident.cause.code(),
        incident.confidence * 100.0
    );
    text.push_str(&row("  ", &shown(&incident.summary), width));
    text.push('\n');
    for (label, words) in labelled(incident, now) {
        text.push_str(&row(&format!("  {label:<9} "), &words, width));
    }
    // A command is pasted: it stays whole.
    if let Some(see) = &incident.see {
        let _ = writeln!(text, "  {:<9} {}", "See", shown(see));
    }
    if let Some(newest) = incident.evidence.last() {
        let _ = writeln!(
            text,
            "  {:<9} curl -s http://{place}/api/v1/evidence/{newest}",
            "Evidence"
        );
    }
    text.push('\n');
    for moment in &incident.timeline {
        let head = format!("  {}  ", clock(moment.at, now));
        // A note of several lines stands in one.
        let words = moment.text.split_whitespace().collect::<Vec<_>>();
        text.push_str(&row(&head, &shown(&words.join(" ")), width));
    }
    text
}

/// What is told of an incident, each behind its label.
fn labelled(incident: &Incident, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("Began", format!("{} UTC", clock(incident.began, now))),
        ("Alarm", format!("{} UTC", clock(incident.opened, now))),
    ];
    for (label, at) in [
        ("Taken on", incident.acknowledged),
        ("Healed", incident.mitigated),
        ("Resolved", incident.resolved),
    ] {
        if let Some(at) = at {
            let after = span(incident.began, at);
            rows.push((label, format!("{} UTC, after {after}", clock(at, now))));
        }
    }
    let checks: Vec<String> = incident.checks.iter().map(|c| shown(&c.check)).collect();
    rows.push(("Checks", checks.join(", ")));
    rows.push(("Who", shown(&who(incident))));
    for caveat in &incident.caveats {
        rows.push(("Mind", shown(caveat)));
    }
    rows.push(("Do", shown(&incident.remedy)));
    rows.retain(|(_, words)| !words.is_empty());
    rows
}

fn shown(text: &str) -> String {
    inert(text, SENTENCE_SHOWN_MAX)
}

fn who(incident: &Incident) -> String {
    let scope = &incident.scope;
    let mut parts = Vec::new();
    if !scope.resolvers.is_empty() {
        parts.push(format!("users of {}", scope.resolvers.join(", ")));
    }
    if !scope.addresses.is_empty() {
        let addresses: Vec<String> = scope.addresses.iter().map(ToString::to_string).collect();
        parts.push(format!("at {}", addresses.join(", ")));
    }
    if !scope.profiles.is_empty() {
        parts.push(scope.profiles.join(", "));
    }
    if scope.share > 0.0 {
        parts.push(format!("about {:.0} % of attempts", scope.share * 100.0));
    }
    // A job reports by itself: nobody looks at it.
    let is_seen = |of: &AffectedCheck| {
        let id = CheckId::parse(&of.check);
        id.is_none_or(|id| id.as_heartbeat().is_none())
    };
    let is_looked_at = incident.checks.is_empty() || incident.checks.iter().any(is_seen);
    if is_looked_at && !scope.vantages.is_empty() {
        parts.push(format!("seen from {}", scope.vantages.join(", ")));
    }
    parts.join("; ")
}
