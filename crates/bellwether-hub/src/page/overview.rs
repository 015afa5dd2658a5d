//! Services × layers, and open incidents.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bellwether_model::report::{LayerState, Scope};
use bellwether_model::{Incident, Layer, Verdict};
use http::Uri;
use jiff::Timestamp;
use maud::{Markup, html};

use super::frame::{self, ago, evidence, lasting, page, segment, text, time};
use super::heartbeats;
use crate::api::Hub;
use crate::api::problem::Problem;
use crate::api::query::Query;
use crate::api::services::{Service, service};
use crate::board::Board;

/// Rows of the table: what is worst comes first, and the rest is on further pages.
const ROWS_MAX: usize = 500;

/// Incidents shown in full.
const INCIDENTS_MAX: usize = 50;

/// Layers that always have a column; others have one where somebody needs it.
const COLUMNS: [Layer; 4] = [Layer::Dns, Layer::Net, Layer::Tls, Layer::Http];

/// Entries of a list of scope.
const LISTED_MAX: usize = 8;

pub(super) async fn overview(State(hub): State<Arc<Hub>>, uri: Uri) -> Response {
    let skipped = match skipped(&uri) {
        Ok(skipped) => skipped,
        Err(problem) => return frame::problem(&hub, &problem),
    };
    let incidents = hub.ask_soon(|shared| shared.open_incidents()).await;
    let agents = super::agents::section(&hub, skipped > 0).await;
    let now = hub.now();
    let table = table(&hub.board(), skipped, now);
    let body = html! {
        @if skipped == 0 { (open_incidents(incidents.as_deref(), now)) }
        (services(&table, now))
        @if skipped == 0 { (heartbeats::section(&hub, now)) }
        (agents)
    };
    page(&hub, "Overview", &body).into_response()
}

struct Row {
    service: Service,
    layers: BTreeMap<Layer, LayerState>,
    traced_at: Option<Timestamp>,
}

/// A page of the table of services.
struct Table {
    rows: Vec<Row>,
    /// The layers that need a column.
    columns: Vec<Layer>,
    /// Services before these rows.
    skipped: usize,
    /// Services with each verdict: broken, degraded, unknown, healthy.
    counts: [usize; 4],
}

/// How many services, the worst of them, a request leaves out.
fn skipped(uri: &Uri) -> Result<usize, Problem> {
    let mut query = Query::read(uri, &["skip"]);
    let text = query.text("skip");
    let skipped = text.as_deref().map_or(Ok(0), str::parse);
    if skipped.is_err() {
        query.wrong("skip", "not a whole number".to_owned());
    }
    query.done()?;
    Ok(skipped.unwrap_or(0))
}

/// Which of several services stands first.
fn rank(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Broken => 0,
        Verdict::Degraded => 1,
        Verdict::Unknown => 2,
        Verdict::Healthy => 3,
    }
}

/// Services, worst first. Only those that are shown are put together: of many thousands, whoever
/// looks would else hold up the judge.
fn table(board: &Board, skipped: usize, now: Timestamp) -> Table {
    let mut counts = [0; 4];
    let mut ranked: Vec<(usize, &String)> = Vec::with_capacity(board.services.len());
    for name in board.services.keys() {
        let told = board.service(name, now);
        let rank = rank(told.map_or(Verdict::Unknown, |told| told.verdict));
        counts[rank] += 1;
        ranked.push((rank, name));
    }
    ranked.sort_unstable();
    let mut columns: Vec<Layer> = COLUMNS.to_vec();
    let shown = ranked.into_iter().skip(skipped).take(ROWS_MAX);
    let rows = shown.filter_map(|(_, name)| Some((name, board.services.get(name)?)));
    let rows = rows.map(|(name, state)| {
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
    let rows: Vec<Row> = rows.collect();
    columns.sort();
    columns.dedup();
    Table {
        rows,
        columns,
        skipped,
        counts,
    }
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

fn services(table: &Table, now: Timestamp) -> Markup {
    let Table {
        rows,
        columns,
        skipped,
        counts: [broken, degraded, unknown, healthy],
    } = table;
    let all = broken + degraded + unknown + healthy;
    html! {
        h2 { "Services" }
        @if all == 0 {
            p { "Nothing is watched yet. Write three lines into a file, and start "
                code { "bellwether serve -c bellwether.yaml" } ":" }
            pre { code { "services:\n  - name: shop\n    url: https://www.shop.example/\n" } }
        } @else {
            p { (broken) " broken, " (degraded) " degraded, " (unknown) " unknown, " (healthy) " healthy" }
            div.wide {
                table {
                    thead { tr {
                        th scope="col" { "service" } th scope="col" { "verdict" }
                        @for layer in columns { th scope="col" { (layer.name()) } }
                        th scope="col" { "age" }
                    } }
                    tbody { @for row in rows { (one_row(row, columns, now)) } }
                }
            }
            (neighbours(*skipped, rows.len(), all))
        }
    }
}

/// Where the rest of the table is.
fn neighbours(skipped: usize, shown: usize, all: usize) -> Markup {
    let behind = skipped + shown;
    let to = |skip: usize| match skip {
        0 => "/".to_owned(),
        skip => format!("/?skip={skip}"),
    };
    html! {
        @if shown < all {
            p {
                @if shown == 0 { "There are " (all) " services. " }
                @else { "Services " (skipped + 1) " to " (behind) " of " (all) ", worst first. " }
                @if skipped > 0 {
                    a href=(to(skipped.min(all).saturating_sub(ROWS_MAX))) { "before these" } " "
                }
                @if behind < all { a href=(to(behind)) { "the next " ((all - behind).min(ROWS_MAX)) } }
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
        @if let Some(since) = service.since {
            " since " (time(since, now))
            @if service.verdict != Verdict::Healthy && !service.stale { " (" (lasting(since, now)) ")" }
        }
        @if service.stale {
            @let from = service.judged_at.or(service.since);
            @if let Some(from) = from { ": no result for " (lasting(from, now)) }
        } @else if let Some(why) = &service.why_unknown { ": " (text(why)) }
        @if let Some(cause) = &service.cause { br; code { (text(cause)) } }
        @if let Some(it) = &service.maintenance {
            br; span.dim { "in maintenance (" (text(&it.name)) ") until " (time(it.until, now)) ": faults are expected" }
        }
        @if service.verdict != Verdict::Healthy && !service.stale {
            @let is_said = service.why_unknown == service.summary;
            @if let Some(summary) = service.summary.as_ref().filter(|_| !is_said) {
                br; span.dim { (text(summary)) }
            }
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
        // Where nothing is known, no share is known either.
        @if scope.share > 0.0 {
            span.dim { "share of attempts that fail " } (format!("{:.0} %", scope.share * 100.0)) " · "
        }
        @for (number, (name, list)) in lists.into_iter().filter(|(_, list)| !list.is_empty()).enumerate() {
            @if number > 0 { " · " }
            span.dim { (name) " " }
            @for (index, entry) in list.iter().take(LISTED_MAX).enumerate() {
                @if index > 0 { ", " }
                (text(entry))
            }
            @if list.len() > LISTED_MAX { " and " (list.len() - LISTED_MAX) " more" }
        }
    }
}
