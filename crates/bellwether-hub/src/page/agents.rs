//! Agents elsewhere, and how old what they say is.

use jiff::Timestamp;
use maud::{Markup, html};

use super::frame::{ago, text};
use crate::api::Hub;
use crate::api::agents::{Agent, told};
use crate::fleet::roster::roster;

/// A clock that is off by less is right, milliseconds.
const OFFSET_RIGHT_MAX: u64 = 1_000;

/// The section of agents elsewhere; nothing, where there are none, or where only the rest of a list is
/// shown.
pub(super) async fn section(hub: &Hub, is_rest: bool) -> Markup {
    let is_none = || {
        let configured = hub.shared.configured.load();
        configured.config.vantages.is_empty()
    };
    if is_rest {
        return html! {};
    }
    let Some(rows) = hub.ask_soon(roster).await else {
        return html! {
            @if !is_none() {
                h2 { "Agents" }
                p.banner role="alert" { "Agents cannot be read from the store just now." }
            }
        };
    };
    if rows.is_empty() {
        return html! {};
    }
    table(&told(hub, rows), hub.now())
}

fn table(agents: &[Agent], now: Timestamp) -> Markup {
    html! {
        h2 { "Agents" }
        div.wide {
            table {
                thead { tr {
                    th scope="col" { "vantage" } th scope="col" { "state" } th scope="col" { "heard" }
                    th scope="col" { "clock" } th scope="col" { "spool" } th scope="col" { "checks" }
                    th scope="col" { "newest run" }
                } }
                tbody { @for agent in agents { (row(agent, now)) } }
            }
        }
    }
}

fn row(agent: &Agent, now: Timestamp) -> Markup {
    html! {
        tr {
            td { b { (text(&agent.name)) } @if let Some(region) = &agent.region { " " span.dim { (text(region)) } } }
            td data-of="state" {
                (agent.state)
                @if let Some(version) = &agent.version { " " span.dim { (text(version)) } }
                @if agent.behind { br; "not by the configuration in force yet" }
                @if let Some(at) = agent.copied { br; "two programs with one key, " (ago(at, now)) }
                @if let Some(trouble) = &agent.trouble { br; (text(trouble)) }
            }
            td data-of="heard" {
                @match agent.heard { Some(at) => { (ago(at, now)) } None => { span.dim { "–" } } }
            }
            td data-of="clock" {
                @match agent.offset_ms {
                    Some(offset) => { (clock(offset)) }
                    None => { span.dim { "–" } }
                }
            }
            td data-of="spool" {
                @match &agent.spool {
                    Some(spool) => {
                        (spool.deliveries)
                        @if let Some(oldest) = spool.oldest { ", oldest " (ago(oldest, now)) }
                    }
                    None => { span.dim { "–" } }
                }
            }
            td data-of="checks" {
                @match agent.checks { Some(checks) => { (checks) } None => { span.dim { "–" } } }
            }
            td.dim data-of="newest run" {
                @match agent.last_run { Some(at) => { (ago(at, now)) } None => { "none" } }
            }
        }
    }
}

/// By how much an agent's clock is off.
fn clock(offset_ms: i64) -> String {
    let seconds = offset_ms.unsigned_abs() as f64 / 1e3;
    match offset_ms {
        _ if offset_ms.unsigned_abs() < OFFSET_RIGHT_MAX => "right".to_owned(),
        0.. => format!("{seconds:.1} s behind"),
        _ => format!("{seconds:.1} s ahead"),
    }
}
