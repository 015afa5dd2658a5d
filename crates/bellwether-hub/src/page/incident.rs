//! One incident with its timeline.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bellwether_model::incident::MomentKind;
use bellwether_model::{CheckId, Incident};
use jiff::Timestamp;
use maud::{Markup, html};

use super::frame::{self, ago, evidence, page, segment, text, time};
use super::overview::scope;
use crate::api::{Hub, Parameters, incidents};

/// Pieces of evidence shown beside the incident, the newest; each line of the timeline has its own.
const EVIDENCE_MAX: usize = 4;

/// Lines of the timeline: the first of them and the newest.
const MOMENTS_MAX: usize = 500;

pub(super) async fn incident(
    State(hub): State<Arc<Hub>>,
    Parameters([id]): Parameters<1>,
) -> Response {
    let incident = match incidents::find(&hub, &id).await {
        Ok(incident) => incident,
        Err(problem) => return frame::problem(&hub, &problem),
    };
    let now = hub.now();
    let body = html! {
        h2 { "#" (incident.id) " " (text(&incident.summary)) }
        (facts(&incident, now))
        (checks(&incident, now))
        (timeline(&incident, now))
    };
    page(&hub, &format!("#{}", incident.id), &body).into_response()
}

fn facts(incident: &Incident, now: Timestamp) -> Markup {
    let times = [
        ("began", Some(incident.began)),
        ("opened", Some(incident.opened)),
        ("acknowledged", incident.acknowledged),
        ("mitigated", incident.mitigated),
        ("resolved", incident.resolved),
        ("last changed", Some(incident.updated)),
    ];
    html! {
        div.card.(frame::severity(incident.severity)) {
            dl {
                dt { "verdict" } dd { (frame::verdict(incident.verdict)) }
                dt { "state" } dd { (incident.state.name()) ", " (frame::severity(incident.severity)) }
                dt { "cause" }
                dd { code { (incident.cause.code()) } ": " (incident.cause.definition())
                    ", " (format!("{:.0} % sure", incident.confidence * 100.0)) }
                @if !incident.consequences.is_empty() {
                    dt { "follows" }
                    dd { @for cause in &incident.consequences { code { (cause.code()) } " " } }
                }
                dt { "who" } dd { (scope(&incident.scope)) }
                @for (name, at) in times {
                    @if let Some(at) = at { dt { (name) } dd { (time(at, now)) ", " (ago(at, now)) } }
                }
                @if let Some(flapping) = &incident.flapping {
                    dt { "comes and goes" }
                    dd { (flapping.count) " times since " (time(flapping.since, now)) }
                }
                @if !incident.remedy.is_empty() { dt { "do" } dd { (text(&incident.remedy)) } }
                @if let Some(see) = &incident.see { dt { "see" } dd { code { (text(see)) } } }
                @for caveat in &incident.caveats { dt { "mind" } dd { (text(caveat)) } }
                @if !incident.evidence.is_empty() {
                    dt { "evidence" }
                    @let older = incident.evidence.len().saturating_sub(EVIDENCE_MAX);
                    dd { @for digest in incident.evidence.iter().skip(older).rev() { (evidence(digest)) " " }
                        @if older > 0 { span.dim { "newest first; " (older) " older ones are named by the API" } } }
                }
            }
        }
    }
}

fn checks(incident: &Incident, now: Timestamp) -> Markup {
    html! {
        h2 { "Checks" }
        ul {
            @for affected in &incident.checks {
                @let service = affected.check.rsplit_once('/').map_or("", |(service, _)| service);
                li {
                    // Heartbeats stand on the overview.
                    @if service == CheckId::HEARTBEAT { (text(&affected.check)) }
                    @else { a href={ "/services/" (segment(service)) } { (text(&affected.check)) } }
                    " since " (time(affected.since, now))
                    @if let Some(until) = affected.until { " until " (time(until, now)) }
                }
            }
        }
    }
}

fn timeline(incident: &Incident, now: Timestamp) -> Markup {
    let hidden = incident.timeline.len().saturating_sub(MOMENTS_MAX);
    html! {
        h2 { "Timeline" }
        ol {
            @for (index, moment) in incident.timeline.iter().enumerate() {
                @if index == 1 && hidden > 0 { li.dim { (hidden) " lines are left out here" } }
                @if index == 0 || index > hidden {
                    li { (time(moment.at, now)) " " b { (kind(moment.kind)) } ": " (text(&moment.text))
                        @if let Some(digest) = &moment.evidence { " " (evidence(digest)) } }
                }
            }
        }
    }
}

fn kind(kind: MomentKind) -> &'static str {
    match kind {
        MomentKind::FirstFailure => "first failure",
        MomentKind::Alarm => "alarm",
        MomentKind::Growth => "grows",
        MomentKind::Shrinkage => "shrinks",
        MomentKind::Phase => "changes",
        MomentKind::Cause => "judged anew",
        MomentKind::Healing => "heals",
        MomentKind::Resolved => "resolved",
        MomentKind::Reopened => "back again",
        MomentKind::Flapping => "comes and goes",
        MomentKind::Acknowledged => "acknowledged",
        MomentKind::Note => "note",
        MomentKind::Monitor => "about ourselves",
    }
}
