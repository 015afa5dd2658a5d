//! One service with its checks, their layers and their last runs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bellwether_model::report::LayerState;
use bellwether_model::{CheckId, Run, Verdict};
use bellwether_store::StoreError;
use jiff::Timestamp;
use maud::{Markup, html};

use super::frame::{self, ago, evidence, page, segment, text, time};
use super::overview::told;
use crate::api::problem::Problem;
use crate::api::{Hub, Parameters, redact, services};
use crate::board::CheckState;
use crate::shared::Shared;

/// Checks shown with their runs.
const CHECKS_MAX: usize = 30;

/// Vantages whose runs are shown.
const VANTAGES_MAX: usize = 8;

/// Runs shown of each vantage.
const RUNS_MAX: usize = 10;

/// How far back runs are looked for.
const LOOK_BACK: Duration = Duration::from_secs(86_400);

pub(super) async fn service(
    State(hub): State<Arc<Hub>>,
    Parameters([name]): Parameters<1>,
) -> Response {
    let now = hub.now();
    let found = {
        let board = hub.board();
        board.services.get(&name).map(|state| {
            let checks = state.checks.iter().take(CHECKS_MAX);
            let checks = checks.filter_map(|id| Some((id.clone(), board.checks.get(id)?.clone())));
            (
                services::service(&board, &name, state, now),
                checks.collect::<Vec<_>>(),
            )
        })
    };
    let Some((service, checks)) = found else {
        return frame::problem(&hub, &Problem::not_found("service", &name));
    };
    let asked = checks.clone();
    let runs = hub.ask(move |shared| recent(shared, &asked, now)).await;
    let body = html! {
        h2 { (text(&service.name)) }
        p { (told(&service, now)) }
        p.dim {
            @match service.judged_at {
                Some(at) => { "judged " (ago(at, now)) }
                None => { "not judged yet" }
            }
            @for (label, value) in &service.labels { " · " (text(label)) ": " (text(value)) }
        }
        @if !service.incidents.is_empty() {
            p { "Open incidents: " @for id in &service.incidents { a href={ "/incidents/" (id) } { "#" (id) } " " } }
        }
        @if !service.needs.is_empty() {
            p { "Needs: " @for need in &service.needs { a href={ "/services/" (segment(need)) } { (text(need)) } " " } }
        }
        @for (id, state) in &checks { (check(id, state, now)) (of_check(runs.as_ref().ok(), id, now)) }
        @if service.checks.len() > checks.len() {
            p.dim { "and " (service.checks.len() - checks.len()) " more checks: see "
                a href="/api/v1/checks" { "the API" } }
        }
    };
    page(&hub, &service.name, &body).into_response()
}

fn recent(
    shared: &Shared,
    checks: &[(CheckId, CheckState)],
    now: Timestamp,
) -> Result<Vec<Run>, StoreError> {
    let from = now.checked_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
    // Runs may have begun within the second in which they are asked for.
    let to = now.checked_add(Duration::from_secs(1)).unwrap_or(now);
    let mut runs = Vec::new();
    for (id, state) in checks {
        for vantage in state.last.vantages().take(VANTAGES_MAX) {
            runs.extend(
                shared
                    .observations
                    .series(id, vantage, from..to, RUNS_MAX)?
                    .runs,
            );
        }
    }
    Ok(runs)
}

fn check(id: &CheckId, state: &CheckState, now: Timestamp) -> Markup {
    let stale = state.is_stale(now);
    let verdict = if stale {
        Verdict::Unknown
    } else {
        state.verdict
    };
    html! {
        h2 { "Check " (text(id.check())) }
        p { (frame::verdict(verdict))
            @if stale { " since " (time(state.holds_until(), now)) ": no result since then" }
            @else if let Some(since) = state.since { " since " (time(since, now)) }
            @if let Some(cause) = state.cause { " " code { (cause.code()) } }
            br; span.dim { (text(&redact::target(&state.target))) ", every " (state.every.as_secs()) " s" }
            @if !state.summary.is_empty() { br; (text(&state.summary)) }
            @if let Some(why) = &state.poisoned {
                br; b { "Its probes bring down their worker: " } (text(why)) "; it is asked apart from all others."
            }
        }
        @if !state.layers.is_empty() {
            div.wide { table {
                thead { tr { th scope="col" { "layer" } th scope="col" { "state" } th scope="col" { "took" } th scope="col" { "in words" } } }
                tbody { @for layer in &state.layers { tr {
                    td { b { (layer.layer.name()) } }
                    td data-of="state" { (frame::layer(if stale { LayerState::Unknown } else { layer.state })) }
                    td data-of="took" { (format!("{:.1} ms", layer.took_ms)) }
                    td data-of="" { (text(&layer.summary)) }
                } } }
            } }
            p.dim {
                @if let Some(at) = state.traced_at { "layers as of " (time(at, now)) ", " (ago(at, now)) }
                @if let Some(digest) = &state.evidence { " · " (evidence(digest)) }
            }
        }
    }
}

fn of_check(runs: Option<&Vec<Run>>, id: &CheckId, now: Timestamp) -> Markup {
    let Some(runs) = runs else {
        return html! { p.banner { "Runs cannot be read from the store just now." } };
    };
    let mut runs: Vec<&Run> = runs.iter().filter(|run| run.check == *id).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.began()));
    html! {
        @if runs.is_empty() { p.dim { "No run in the last day." } }
        @else {
            div.wide { table {
                thead { tr { th scope="col" { "run" } th scope="col" { "from" } th scope="col" { "outcome" }
                    th scope="col" { "took" } th scope="col" { "address" } th scope="col" { "resolver" } } }
                tbody { @for run in runs { (one_run(run, now)) } }
            } }
        }
    }
}

fn one_run(run: &Run, now: Timestamp) -> Markup {
    html! {
        tr {
            td { (time(run.began(), now)) ", " (ago(run.began(), now)) }
            td data-of="from" { (text(run.vantage.as_str())) }
            td data-of="outcome" { (frame::outcome(run.outcome))
                @if let Some(symptom) = &run.symptom { " " code { (text(symptom)) } }
                @if let Some(digest) = &run.evidence { " " (evidence(digest)) } }
            td data-of="took" { (format!("{:.1} ms", run.phases.total() as f64 / 1e3)) }
            td data-of="address" { @if let Some(address) = run.address { (address) } @else { "–" } }
            td data-of="resolver" { @if let Some(resolver) = &run.resolver { (text(resolver)) } @else { "–" } }
        }
    }
}
