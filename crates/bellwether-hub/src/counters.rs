//! Somebody else's totals over a window: failed of total, by attributes.
//!
//! A load balancer or an application counts what its users did, and hands it in. The same source,
//! service, window and attributes again replaces: whoever is unsure sends again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json as Reply;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bellwether_store::{Change, CounterRow};
use http::{StatusCode, Uri};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::Hub;
use crate::api::body::{Fields, Json};
use crate::api::problem::Problem;
use crate::api::query::Query;

/// The schema that a body names.
pub const SCHEMA: &str = "bellwether.counters/1";

/// Rows of one body: one for each address of a large fleet, and what a body of 1 MiB can hold.
const ROWS_MAX: usize = 10_000;

/// Attributes of one row: the scan looks at conjunctions of three.
const ATTRIBUTES_MAX: usize = 16;

/// Longest name of a source, a service or an attribute, characters.
const NAME_LEN_MAX: usize = 128;

/// Longest value of an attribute, characters.
const VALUE_LEN_MAX: usize = 256;

/// Longest window: what is coarser tells nothing while it matters.
const WINDOW_MAX: Duration = Duration::from_secs(86_400);

/// How far a window may end in the future: clocks differ.
const FUTURE_MAX: Duration = Duration::from_secs(300);

const KEYS: &[&str] = &["schema", "source", "service", "from", "to", "rows"];
const ROW_KEYS: &[&str] = &["attributes", "total", "failed"];

/// Totals over a window.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "the shape that the document shows; bodies are read by `Fields`"
)]
pub(crate) struct Counters {
    /// `bellwether.counters/1`.
    #[schema(pattern = "^bellwether\\.counters/1$")]
    schema: String,
    /// Who counted.
    #[schema(min_length = 1, max_length = 128)]
    source: String,
    /// The service; it must be configured.
    #[schema(min_length = 1, max_length = 128)]
    service: String,
    /// The window's begin.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    /// The window's end: after its begin, by at most a day, and not in the future.
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// Totals by attributes.
    #[schema(min_items = 1, max_items = 10000)]
    rows: Vec<Row>,
}

/// A total.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "the shape that the document shows; bodies are read by `Fields`"
)]
pub(crate) struct Row {
    /// What it is counted by, at most 16; no two rows have the same.
    attributes: std::collections::BTreeMap<String, String>,
    /// Attempts.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_992_u64)]
    total: u64,
    /// Those that failed; no more than `total`.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_992_u64)]
    failed: u64,
}

/// What was taken in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Taken {
    /// Rows that are durable now.
    rows: usize,
}

/// Takes in somebody else's totals. The same source, service, window and attributes again
/// replaces.
#[utoipa::path(post, path = "/api/v1/counters", tag = "counters",
    request_body(content = Counters),
    responses((status = 202, description = "they are durable", body = Taken)),
    security(("bearer" = ["counters"])))]
pub(crate) async fn take(
    State(hub): State<Arc<Hub>>,
    uri: Uri,
    Json(body): Json,
) -> Result<Response, Problem> {
    Query::none(&uri)?;
    let rows = read(&hub, &body)?;
    let taken = Taken { rows: rows.len() };
    hub.ask(move |shared| shared.state.commit(&[Change::Counters(rows)]))
        .await?;
    Ok((StatusCode::ACCEPTED, Reply(taken)).into_response())
}

fn read(hub: &Hub, body: &Value) -> Result<Vec<CounterRow>, Problem> {
    let mut fields = Fields::default();
    let rows = window(&mut fields, body, hub.now(), |name| {
        let configured = hub.shared.configured.load();
        configured
            .config
            .services
            .iter()
            .any(|service| service.name == name)
    });
    fields.done()?;
    Ok(rows.expect("what is missing is an error"))
}

/// Reads a body; everything that is wrong with it goes to `fields`.
fn window(
    fields: &mut Fields,
    body: &Value,
    now: Timestamp,
    knows: impl Fn(&str) -> bool,
) -> Option<Vec<CounterRow>> {
    let map = fields.object(body, "", KEYS)?;
    let schema = fields.text(map, "", "schema", NAME_LEN_MAX);
    if schema.is_some_and(|schema| schema != SCHEMA) {
        fields.wrong("/schema", format!("must be `{SCHEMA}`"));
    }
    let source = fields.text(map, "", "source", NAME_LEN_MAX);
    let service = fields.text(map, "", "service", NAME_LEN_MAX);
    if service.as_ref().is_some_and(|service| !knows(service)) {
        fields.wrong("/service", "there is no service of this name");
    }
    let from = fields.time(map, "", "from");
    let to = fields.time(map, "", "to");
    if let (Some(from), Some(to)) = (from, to) {
        if from >= to {
            fields.wrong("/to", "must be after `from`");
        } else if to.duration_since(from).unsigned_abs() > WINDOW_MAX {
            fields.wrong("/to", "must be at most a day after `from`");
        }
        if to.duration_since(now).as_secs() > FUTURE_MAX.as_secs() as i64 {
            fields.wrong("/to", "is more than five minutes in the future");
        }
    }
    let list = fields.list(map, "", "rows", ROWS_MAX)?;
    let mut seen = BTreeSet::new();
    let mut rows = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let at = format!("/rows/{index}");
        let Some((attributes, total, failed)) = row(fields, value, &at) else {
            continue;
        };
        if !seen.insert(attributes.clone()) {
            fields.wrong(&at, "another row has the same attributes");
        }
        rows.push(CounterRow {
            source: source.clone()?,
            service: service.clone()?,
            from: from?,
            to: to?,
            attributes,
            total,
            failed,
        });
    }
    Some(rows)
}

/// Names and values, sorted.
type Attributes = Vec<(String, String)>;

/// Attributes, total and failed.
fn row(fields: &mut Fields, value: &Value, at: &str) -> Option<(Attributes, u64, u64)> {
    let map = fields.object(value, at, ROW_KEYS)?;
    let total = fields.count(map, at, "total");
    let failed = fields.count(map, at, "failed");
    if let (Some(total), Some(failed)) = (total, failed)
        && failed > total
    {
        fields.wrong(&format!("{at}/failed"), "must be no more than `total`");
    }
    let attributes = attributes(fields, map, at);
    Some((attributes?, total?, failed?))
}

fn attributes(fields: &mut Fields, row: &Map<String, Value>, at: &str) -> Option<Attributes> {
    let at = format!("{at}/attributes");
    let Some(map) = row.get("attributes").and_then(Value::as_object) else {
        fields.wrong(&at, "must be an object of strings");
        return None;
    };
    if map.len() > ATTRIBUTES_MAX {
        fields.wrong(&at, format!("must have at most {ATTRIBUTES_MAX}"));
        return None;
    }
    let mut out = Vec::with_capacity(map.len());
    for (name, value) in map {
        let len = name.chars().count();
        if len == 0 || len > NAME_LEN_MAX || name.contains('\0') {
            fields.wrong(
                &at,
                format!("a name must have 1 to {NAME_LEN_MAX} characters"),
            );
            continue;
        }
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        let value = fields.text_of(value, &pointer, VALUE_LEN_MAX)?;
        out.push((name.clone(), value));
    }
    out.sort();
    Some(out)
}
