//! Who must report, and how each stands.

use bellwether_diagnose::heartbeat::Awaited;
use bellwether_model::Verdict;
use jiff::Timestamp;
use maud::{Markup, html};

use super::frame::{self, ago, lasting, text, time};
use crate::api::Hub;
use crate::beats::Stand;

/// Rows of the table: what is worst comes first, and the API has the rest.
const ROWS_MAX: usize = 200;

/// Which of several stands first.
fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Broken => 0,
        Verdict::Degraded => 1,
        Verdict::Unknown => 2,
        Verdict::Healthy => 3,
    }
}

/// The section of the overview; nothing where nobody must report.
pub(super) fn section(hub: &Hub, now: Timestamp) -> Markup {
    let mut stands = hub.shared.beats.stands(now);
    // By name among equals, as they come.
    stands.sort_by_key(|stand| rank(stand.state.verdict));
    let more = stands.len().saturating_sub(ROWS_MAX);
    html! {
        @if !stands.is_empty() {
            h2 { "Heartbeats" }
            div.wide {
                table {
                    thead { tr {
                        th scope="col" { "job" } th scope="col" { "verdict" }
                        th scope="col" { "last report" } th scope="col" { "next due" }
                    } }
                    tbody { @for stand in stands.iter().take(ROWS_MAX) { (row(stand, now)) } }
                }
            }
            @if more > 0 {
                p.dim { "and " (more) " more: see " a href="/api/v1/heartbeats" { "the API" } }
            }
        }
    }
}

fn row(stand: &Stand, now: Timestamp) -> Markup {
    let Stand {
        config,
        heard,
        state,
        ..
    } = stand;
    html! {
        tr {
            td { b { (text(&config.name)) } }
            td data-of="verdict" {
                (frame::verdict(state.verdict))
                @if let Some(since) = state.since {
                    " since " (time(since, now)) " (" (lasting(since, now)) ")"
                }
                @if state.failed {
                    br; "its last run failed"
                    @if let Some(exit) = heard.ended.as_ref().and_then(|end| end.exit) {
                        " with exit status " (exit)
                    }
                }
                @if state.missed { br; (missed(state.awaited)) }
                @if state.verdict == Verdict::Unknown && heard.ended.is_none() { ": never reported" }
                @else if state.verdict == Verdict::Unknown { ": it fell due while nobody could hear it" }
            }
            td.dim data-of="last" {
                @match heard.last_ping {
                    Some(at) => { (ago(at, now)) }
                    None => { "–" }
                }
                @if let Some(began) = heard.running_since() { br; "a run began " (ago(began, now)) }
            }
            td.dim data-of="due" {
                @match state.due {
                    Some(due) => { (time(due, now)) }
                    None => { "–" }
                }
            }
        }
    }
}

fn missed(awaited: Awaited) -> &'static str {
    match awaited {
        Awaited::Report => "it did not report in time",
        Awaited::End { .. } => "a run did not end within its limit",
    }
}
