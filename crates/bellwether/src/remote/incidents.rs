//! `incidents`: what is or was broken, and what people did about it, from a running hub.

use std::fmt::Write as _;

use anyhow::Result;
use bellwether_model::Incident;
use bellwether_model::incident::IncidentState;
use bellwether_model::text::inert;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::when::{clock, span};
use crate::cli::{IncidentsArgs, IncidentsCommand, RemoteFormat};
use crate::exit::Exit;
use crate::output;

/// Longest sentence that is shown.
const SENTENCE_SHOWN_MAX: usize = 2_000;

/// A page of incidents.
#[derive(Deserialize, Serialize)]
struct Incidents {
    incidents: Vec<Incident>,
    next: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &IncidentsArgs) -> Result<Exit> {
    let client = Client::new(&args.hub)?;
    let now = Timestamp::now();
    let one = |incident: &Incident| match args.format {
        RemoteFormat::Text => output::print(&show(incident, now)),
        RemoteFormat::Json => output::json(incident),
    };
    match args.command.as_ref().unwrap_or(&IncidentsCommand::List { all: false }) {
        IncidentsCommand::List { all } => {
            let query = if *all { "" } else { "?state=unresolved" };
            let page: Incidents = client.get(&format!("/api/v1/incidents{query}"))?;
            match args.format {
                RemoteFormat::Text => output::print(&list(&page.incidents, *all, now))?,
                RemoteFormat::Json => output::json(&page)?,
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

fn list(incidents: &[Incident], all: bool, now: Timestamp) -> String {
    if incidents.is_empty() {
        let which = if all { "" } else { " open; `bellwether incidents list --all` shows the past" };
        return format!("no incident{which}\n");
    }
    let mut text = String::new();
    for incident in incidents {
        let until = incident.resolved.unwrap_or(now);
        let _ = writeln!(
            text,
            "{:>4}  {:<12}  {}  {} UTC, {}{}",
            incident.id,
            incident.state.name(),
            incident.cause.code(),
            clock(incident.began, now),
            if incident.resolved.is_some() { "lasted " } else { "for " },
            span(incident.began, until),
        );
        let _ = writeln!(text, "      {}", inert(&incident.summary, SENTENCE_SHOWN_MAX));
    }
    text
}

fn show(incident: &Incident, now: Timestamp) -> String {
    let mut text = String::new();
    let mark = match incident.state {
        IncidentState::Open | IncidentState::Acknowledged => '✗',
        IncidentState::Mitigated | IncidentState::Resolved => '✓',
    };
    let _ = writeln!(
        text,
        "{mark} incident {}, {}: {}, {:.0} % sure",
        incident.id,
        incident.state.name().to_uppercase(),
        incident.cause.code(),
        incident.confidence * 100.0
    );
    let _ = writeln!(text, "  {}", inert(&incident.summary, SENTENCE_SHOWN_MAX));
    text.push('\n');
    let mut line = |label: &str, words: &str| {
        if !words.is_empty() {
            let _ = writeln!(text, "  {label:<9} {}", inert(words, SENTENCE_SHOWN_MAX));
        }
    };
    line("Began", &format!("{} UTC", clock(incident.began, now)));
    line("Alarm", &format!("{} UTC", clock(incident.opened, now)));
    for (label, at) in [
        ("Taken on", incident.acknowledged),
        ("Healed", incident.mitigated),
        ("Resolved", incident.resolved),
    ] {
        if let Some(at) = at {
            line(label, &format!("{} UTC, after {}", clock(at, now), span(incident.began, at)));
        }
    }
    let checks: Vec<&str> = incident.checks.iter().map(|c| c.check.as_str()).collect();
    line("Checks", &checks.join(", "));
    line("Who", &who(incident));
    for caveat in &incident.caveats {
        line("Mind", caveat);
    }
    line("Do", &incident.remedy);
    line("See", incident.see.as_deref().unwrap_or_default());
    if let Some(newest) = incident.evidence.last() {
        line("Evidence", &format!("/api/v1/evidence/{newest} ({} reports)", incident.evidence.len()));
    }
    text.push('\n');
    for moment in &incident.timeline {
        let _ = writeln!(
            text,
            "  {}  {}",
            clock(moment.at, now),
            inert(&moment.text, SENTENCE_SHOWN_MAX)
        );
    }
    text
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
    if !scope.vantages.is_empty() {
        parts.push(format!("seen from {}", scope.vantages.join(", ")));
    }
    parts.join("; ")
}
