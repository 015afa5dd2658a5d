//! Services × layers, and open incidents.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bellwether_model::report::{LayerState, Scope};
use bellwether_model::{Incident, Layer, Verdict};
use jiff::Timestamp;
use maud::{Markup, html};

use super::frame::{self, ago, evidence, lasting, page, segment, text, time};
use crate::api::Hub;
use crate::api::services::{Service, service};
use crate::board::Board;

/// Rows of the table: what is worst comes first, and the rest is a number.
const ROWS_MAX: usize = 500;

/// Incidents shown in full.
const INCIDENTS_MAX: usize = 50;

/// Layers that always have a column; others have one where somebody needs it.
const COLUMNS: [Layer; 4] = [Layer::Dns, Layer::Net, Layer::Tls, Layer::Http];

/// Entries of a list of scope.
const LISTED_MAX: usize = 8;

pub(super) async fn overview(State(hub): State<Arc<Hub>>) -> Response {
    let incidents = hub.ask_soon(|shared| shared.state.open_incidents()).await;
    let now = hub.now();
    let (rows, columns) = rows(&hub.board(), now);
    let body = html! {
        (open_incidents(incidents.as_deref(), now))
        (services(&rows, &columns, now))
    };
    page(&hub, "Overview", &body).into_response()
}

struct Row {
    service: Service,
    layers: BTreeMap<Layer, LayerState>,
    traced_at: Option<Timestamp>,
}

/// Every service, worst first, and the layers that need a column.
fn rows(board: &Board, now: Timestamp) -> (Vec<Row>, Vec<Layer>) {
    let mut columns: Vec<Layer> = COLUMNS.to_vec();
    let rows = board.services.iter().map(|(name, state)| {
        let mut layers = BTreeMap::new();
        let mut traced_at: Option<Timestamp> = None;
        for check in state.checks.iter().filter_map(|id| board.checks.get(id)) {
            for report in &check.layers {
                let worst = layers.entry(report.layer).or_insert(report.state);
                if badness(report.state) > badness(*worst) {
                    *worst = report.state;
                }
            }
            // The oldest of them: what is shown is no younger than it says.
            traced_at = match (traced_at, check.traced_at) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        columns.extend(layers.keys());
        Row {
            service: service(board, name, state, now),
            layers,
            traced_at,
        }
    });
    let mut rows: Vec<Row> = rows.collect();
    columns.sort();
    columns.dedup();
    rows.sort_by_key(|row| match row.service.verdict {
        Verdict::Broken => 0,
        Verdict::Degraded => 1,
        Verdict::Unknown => 2,
        Verdict::Healthy => 3,
    });
    (rows, columns)
}

fn badness(state: LayerState) -> u8 {
    match state {
        LayerState::Skipped => 0,
        LayerState::Ok => 1,
        LayerState::Unknown => 2,
        LayerState::Degraded => 3,
        LayerState::Failed => 4,
    }
}

fn services(rows: &[Row], columns: &[Layer], now: Timestamp) -> Markup {
    let count = |verdict| {
        rows.iter()
            .filter(|row| row.service.verdict == verdict)
            .count()
    };
    html! {
        h2 { "Services" }
        @if rows.is_empty() {
            p { "Nothing is watched yet. Write three lines into a file, and start "
                code { "bellwether serve -c bellwether.yaml" } ":" }
            pre { code { "services:\n  - name: shop\n    url: https://www.shop.example/\n" } }
        } @else {
            p { (count(Verdict::Broken)) " broken, " (count(Verdict::Degraded)) " degraded, "
                (count(Verdict::Unknown)) " unknown, " (count(Verdict::Healthy)) " healthy" }
            div.wide {
                table {
                    thead { tr {
                        th scope="col" { "service" } th scope="col" { "verdict" }
                        @for layer in columns { th scope="col" { (layer.name()) } }
                        th scope="col" { "age" }
                    } }
                    tbody { @for row in rows.iter().take(ROWS_MAX) { (one_row(row, columns, now)) } }
                }
            }
            @if rows.len() > ROWS_MAX {
                p.dim { "and " (rows.len() - ROWS_MAX) " more, none of them worse: see "
                    a href="/api/v1/services" { "the API" } }
            }
        }
    }
}

fn one_row(row: &Row, columns: &[Layer], now: Timestamp) -> Markup {
    let service = &row.service;
    html! {
        tr {
            td { a href={ "/services/" (segment(&service.name)) } { b { (text(&service.name)) } } }
            td data-of="verdict" { (told(service, now)) }
            @for layer in columns {
                td data-of=(layer.name()) {
                    @match row.layers.get(layer) {
                        // What was seen of the layers is as old as the rest.
                        Some(_) if service.stale => { (frame::layer(LayerState::Unknown)) }
                        Some(state) => { (frame::layer(*state)) }
                        None => { span.dim { "–" } }
                    }
                }
            }
            td.dim data-of="age" {
                @match service.judged_at {
                    Some(at) => { "judged " (ago(at, now)) }
                    None => { "not judged yet" }
                }
                @if let Some(at) = row.traced_at { br; "layers " (ago(at, now)) }
            }
        }
    }
}

/// A verdict with what belongs to it: since when, why it is unknown, the cause.
pub(super) fn told(service: &Service, now: Timestamp) -> Markup {
    html! {
        (frame::verdict(service.verdict))
        @if let Some(since) = service.since { " since " (time(since, now)) }
        @if service.stale {
            @let from = service.judged_at.or(service.since);
            @if let Some(from) = from { ": no result for " (lasting(from, now)) }
        } @else if let Some(why) = &service.why_unknown { ": " (text(why)) }
        @if let Some(cause) = &service.cause { br; code { (text(cause)) } }
        @if service.verdict != Verdict::Healthy && !service.stale {
            @if let Some(summary) = &service.summary { br; span.dim { (text(summary)) } }
        }
    }
}

fn open_incidents(incidents: Option<&[Incident]>, now: Timestamp) -> Markup {
    let Some(incidents) = incidents else {
        return html! {
            h2 { "Incidents" }
            p.banner role="alert" { "Incidents cannot be read from the store just now." }
        };
    };
    let mut sorted: Vec<&Incident> = incidents.iter().collect();
    sorted.sort_by_key(|incident| (incident.severity, std::cmp::Reverse(incident.began)));
    html! {
        h2 { "Open incidents" }
        @if sorted.is_empty() { p { "None." } }
        @for incident in sorted.iter().take(INCIDENTS_MAX) { (card(incident, now)) }
        @if sorted.len() > INCIDENTS_MAX {
            p.dim { "and " (sorted.len() - INCIDENTS_MAX) " more: see "
                a href="/api/v1/incidents?state=unresolved" { "the API" } }
        }
    }
}

fn card(incident: &Incident, now: Timestamp) -> Markup {
    html! {
        div.card.(frame::severity(incident.severity)) {
            div { (frame::verdict(incident.verdict)) " · " code { (incident.cause.code()) } " · "
                (incident.state.name()) " · " (frame::severity(incident.severity)) }
            div { a href={ "/incidents/" (incident.id) } { b { "#" (incident.id) " " (text(&incident.summary)) } } }
            div.dim { "began " (time(incident.began, now)) ", " (ago(incident.began, now))
                "; last changed " (ago(incident.updated, now)) }
            div { (scope(&incident.scope)) }
            @if let Some(digest) = incident.evidence.last() { div { (evidence(digest)) } }
        }
    }
}

/// Who is affected, in a line.
pub(super) fn scope(scope: &Scope) -> Markup {
    let addresses: Vec<String> = scope.addresses.iter().map(ToString::to_string).collect();
    let lists = [
        ("vantages", &scope.vantages),
        ("resolvers", &scope.resolvers),
        ("name servers", &scope.name_servers),
        ("addresses", &addresses),
        ("families", &scope.families),
        ("clients", &scope.profiles),
        ("owners", &scope.owners),
    ];
    html! {
        span.dim { "share of attempts that fail " } (format!("{:.0} %", scope.share * 100.0))
        @for (name, list) in lists {
            @if !list.is_empty() {
                " · " span.dim { (name) " " }
                @for (index, entry) in list.iter().take(LISTED_MAX).enumerate() {
                    @if index > 0 { ", " }
                    (text(entry))
                }
                @if list.len() > LISTED_MAX { " and " (list.len() - LISTED_MAX) " more" }
            }
        }
    }
}
