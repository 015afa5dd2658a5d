//! Who must report, and how each of them stands.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use bellwether_config::telling::Due;
use bellwether_diagnose::heartbeat::{Awaited, excerpt};
use bellwether_model::Verdict;
use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Hub;
use super::document::schema;
use super::problem::Problem;
use super::query::Query;
use crate::access::{Caller, Scope};
use crate::beats::{Paths, Stand};

/// Characters of what a job said last that are told.
const LOG_SHOWN_MAX: usize = 600;

/// Somebody who must report in time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Heartbeat {
    /// Its name.
    pub(crate) name: String,
    /// `healthy`, `broken`, or `unknown`: it never reported, or we could not hear it when it was due.
    #[schema(value_type = schema::Verdict)]
    pub(crate) verdict: Verdict,
    /// Since when it is broken; null unless it is.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) since: Option<Timestamp>,
    /// What is wrong, in a word: `missed` for a report or an end that did not come, `failed` for a job
    /// that said so, `missed_and_failed` for both; null unless something is.
    pub(crate) trouble: Option<&'static str>,
    /// When it reported last, whatever; null before the first time.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) last_ping: Option<Timestamp>,
    /// When it last reported success.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) last_success: Option<Timestamp>,
    /// When its next report is due, or the end of its run, without the grace; in the past where it is
    /// late.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) next_due: Option<Timestamp>,
    /// How late it is, milliseconds; null unless it is broken by that.
    pub(crate) late_ms: Option<u64>,
    /// Did its last run end well? Null before the first end.
    pub(crate) last_ok: Option<bool>,
    /// The exit status of its last run, where it told one.
    pub(crate) last_exit: Option<u8>,
    /// How long its last run took, milliseconds, where that is known.
    pub(crate) last_took_ms: Option<u64>,
    /// What it said last, in one line: the end of it.
    pub(crate) last_log: Option<String>,
    /// Since when a run is under way that has not ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) running_since: Option<Timestamp>,
    /// Signals of all kinds.
    pub(crate) pings: u64,
    /// How long it may take from one report to the next, milliseconds; null for one by `cron`.
    pub(crate) every_ms: Option<u64>,
    /// At which times it is due, a pattern of cron; null for one by `every`.
    pub(crate) cron: Option<String>,
    /// The time zone of these.
    pub(crate) time_zone: Option<String>,
    /// How late it may be, milliseconds.
    pub(crate) grace_ms: u64,
    /// How long one run may take, milliseconds.
    pub(crate) max_run_ms: Option<u64>,
    /// Where it reports. Whoever knows that may report in its name: it is told to a token with the
    /// scope `write` alone.
    pub(crate) report_to: Option<ReportTo>,
}

/// Where a heartbeat reports: paths on this hub.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReportTo {
    /// By UUID, as clients of healthchecks do; `/start`, `/fail`, `/log` or an exit status may follow.
    ping: String,
    /// By ping key and slug, as they do too; null where the slug is not its own.
    slug: Option<String>,
    /// As push monitors of Uptime Kuma do; `?status=up&msg=OK&ping=` may follow.
    push: String,
}

/// Heartbeats.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Heartbeats {
    /// By name.
    heartbeats: Vec<Heartbeat>,
    /// What to ask for as `page`; null on the last one.
    next: Option<String>,
}

/// Who must report in time, and how each stands.
#[utoipa::path(get, path = "/api/v1/heartbeats", tag = "fleet",
    params(
        ("limit" = Option<u64>, Query, description = "rows of a page, 1 to 1000"),
        ("page" = Option<String>, Query, description = "what an earlier answer gave as `next`")),
    responses((status = 200, description = "heartbeats by name", body = Heartbeats)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn heartbeats(
    State(hub): State<Arc<Hub>>,
    caller: Option<Extension<Caller>>,
    uri: Uri,
) -> Result<Json<Heartbeats>, Problem> {
    let mut query = Query::read(&uri, &["limit", "page"]);
    let limit = query.limit();
    let page = query.page(|after| Some(after.to_owned()));
    query.done()?;
    let may_write = caller.is_some_and(|Extension(caller)| caller.may(Scope::Write));
    let now = hub.now();
    let stands = hub.shared.beats.stands(now);
    let behind = |stand: &Stand| page.as_ref().is_none_or(|page| stand.config.name > *page);
    let mut rows: Vec<Stand> = stands.into_iter().filter(behind).take(limit + 1).collect();
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more);
    Ok(Json(Heartbeats {
        next: next.map(|stand| stand.config.name.clone()),
        heartbeats: rows
            .into_iter()
            .map(|stand| Heartbeat::of(&hub, stand, may_write, now))
            .collect(),
    }))
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Heartbeat {
    pub(crate) fn of(hub: &Hub, stand: Stand, may_write: bool, now: Timestamp) -> Self {
        let Stand {
            config,
            heard,
            state,
            paths,
        } = stand;
        let ended = heard.ended.as_ref();
        let (every_ms, cron, time_zone) = match &config.due {
            Due::Every(every) => (Some(ms(*every)), None, None),
            Due::Cron(cron) => (None, Some(cron.pattern.clone()), Some(cron.zone.clone())),
        };
        let log = ended
            .and_then(|end| end.log.as_ref())
            .or(heard.log.as_ref());
        let scrub = |log: &String| hub.shared.configured.load().config.scrub(log);
        let log = log.map(|log| excerpt(&scrub(log), LOG_SHOWN_MAX));
        // Where a run is held to its own limit, that is what is due.
        let running_since = match state.awaited {
            Awaited::End { began } => Some(began),
            Awaited::Report => heard.running_since(),
        };
        Self {
            name: config.name,
            verdict: state.verdict,
            since: state.since,
            trouble: match (state.missed, state.failed) {
                (true, true) => Some("missed_and_failed"),
                (true, false) => Some("missed"),
                (false, true) => Some("failed"),
                (false, false) => None,
            },
            last_ping: heard.last_ping,
            last_success: heard.last_success,
            next_due: state.due,
            late_ms: state.late_by(now).map(ms),
            last_ok: ended.map(|end| end.ok),
            last_exit: ended.and_then(|end| end.exit),
            last_took_ms: ended.and_then(|end| end.took_ms),
            last_log: log,
            running_since,
            pings: heard.pings,
            every_ms,
            cron,
            time_zone,
            grace_ms: ms(config.grace),
            max_run_ms: config.max_run.map(ms),
            report_to: may_write.then_some(paths).map(ReportTo::from),
        }
    }
}

impl From<Paths> for ReportTo {
    fn from(Paths { ping, slug, push }: Paths) -> Self {
        Self { ping, slug, push }
    }
}
