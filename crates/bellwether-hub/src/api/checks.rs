//! Checks as they stand, and their runs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use bellwether_model::report::LayerReport;
use bellwether_model::run::{Phases, RunOutcome, Trigger};
use bellwether_model::{CheckId, Layer, Run, VantageId, Verdict};
use bellwether_store::{Gap, Step, StoreError};
use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::document::schema;
use super::problem::Problem;
use super::query::Query;
use super::{Hub, Parameters, redact};
use crate::board::{CheckState, Judgement, Places};
use crate::shared::Shared;

/// Vantages whose runs one answer merges: above any fleet that one hub judges.
pub(crate) const VANTAGES_MAX: usize = 256;

/// Runs of one and the same microsecond that a page may begin behind.
const GIVEN_MAX: usize = 10_000;

/// Gaps that one answer names, oldest first.
pub(crate) const GAPS_MAX: usize = 1_000;

/// A check, as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Check {
    /// Its id, `service/check`.
    id: String,
    /// Its service.
    service: String,
    /// Its name in the service.
    name: String,
    /// What it aims at, without secrets.
    target: String,
    /// How often, milliseconds.
    every_ms: u64,
    /// What became of it. What was last known is too old: `unknown`.
    #[schema(value_type = schema::Verdict)]
    verdict: Verdict,
    /// The cause's code, where one is known and what is known is not too old.
    cause: Option<String>,
    /// One sentence, as of the last judgement.
    summary: String,
    /// Since when the verdict is what it is.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// When it was last judged.
    #[schema(value_type = Option<String>, format = DateTime)]
    judged_at: Option<Timestamp>,
    /// Is what is known too old to be true?
    stale: bool,
    /// The layers, as of the last deep trace.
    #[schema(value_type = Vec<schema::LayerReport>)]
    layers: Vec<LayerReport>,
    /// When that trace was made.
    #[schema(value_type = Option<String>, format = DateTime)]
    traced_at: Option<Timestamp>,
    /// The report of that trace: see `/api/v1/evidence/{sha256}`.
    evidence: Option<String>,
    /// The last run at each vantage.
    last: Vec<Observation>,
    /// How its probes bring down workers, where they do.
    poisoned: Option<String>,
    /// What each vantage says of it, where there are several: what the check comes to is put together
    /// from those that are heard and whose word is not too old.
    vantages: Vec<Said>,
}

/// What one vantage says of a check.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Said {
    /// The vantage.
    vantage: String,
    /// What became of it there. What was last known is too old: `unknown`.
    #[schema(value_type = schema::Verdict)]
    verdict: Verdict,
    /// The cause's code, where one is known and what is known is not too old.
    cause: Option<String>,
    /// One sentence, as of the last judgement there.
    summary: String,
    /// Since when the verdict there is what it is.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// When it was last judged from there.
    #[schema(value_type = Option<String>, format = DateTime)]
    judged_at: Option<Timestamp>,
    /// Is what is known there too old to be true?
    stale: bool,
    /// How its probes bring down workers there, where they do.
    poisoned: Option<String>,
}

/// One run of a check.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Observation {
    /// Where from.
    pub(crate) vantage: String,
    /// Its number among the runs of its agent since that started.
    pub(crate) sequence: u64,
    /// When it was due.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) due: Timestamp,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) began: Timestamp,
    /// How late that was, milliseconds.
    pub(crate) late_ms: f64,
    /// Why it was made: `schedule` or `confirm`.
    #[schema(value_type = String)]
    pub(crate) trigger: Trigger,
    /// What it came to: `ok`, `wrong`, `failed` or `not_run`.
    #[schema(value_type = String)]
    pub(crate) outcome: RunOutcome,
    /// The lowest layer that failed.
    #[schema(value_type = Option<schema::Layer>)]
    pub(crate) layer: Option<Layer>,
    /// What was seen there: `dns.nxdomain`, `http.status_503`. A symptom, not a cause.
    pub(crate) symptom: Option<String>,
    /// The resolver that was asked.
    pub(crate) resolver: Option<String>,
    /// The address that was dialled.
    #[schema(value_type = Option<String>)]
    pub(crate) address: Option<IpAddr>,
    /// HTTP status, or rcode of a `dns` check.
    pub(crate) status: Option<u16>,
    /// Bytes of body, or of DNS answer.
    pub(crate) size: Option<u32>,
    /// SHA-256 of the server's certificate.
    pub(crate) certificate: Option<String>,
    /// When that ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) certificate_ends: Option<Timestamp>,
    /// By how much the hub's clock was ahead of the agent's, milliseconds, where that was measured.
    /// Where it is more than 2,000 either way, the times were put right by it.
    clock_offset_ms: Option<i32>,
    /// The records behind it, where they are kept: see `/api/v1/evidence/{sha256}`.
    pub(crate) evidence: Option<String>,
    /// How long each step took, milliseconds: `dns`, `connect`, `tls`, `first_byte`, `transfer`. A
    /// step that was not reached is not there.
    pub(crate) phases_ms: BTreeMap<&'static str, f64>,
    /// All steps together, milliseconds.
    pub(crate) took_ms: f64,
}

/// Checks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Checks {
    /// By id.
    checks: Vec<Check>,
    /// Where there are more: the `page` to ask for next.
    next: Option<String>,
}

/// Runs of a check.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Observations {
    /// Newest first.
    observations: Vec<Observation>,
    /// What is missing, and why.
    gaps: Vec<Missing>,
    /// Where there are more: the `page` to ask for next.
    next: Option<String>,
}

/// Something that is missing.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub(crate) struct Missing {
    /// From when.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    /// To when.
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// Why.
    reason: String,
}

/// Checks as they stand.
#[utoipa::path(get, path = "/api/v1/checks", tag = "checks", params(
    ("service" = Option<String>, Query, description = "only this service's"),
    ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "most checks of one answer; 100 if left out"),
    ("page" = Option<String>, Query, description = "where an earlier answer said `next`")),
    responses((status = 200, description = "checks by id", body = Checks)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn list(State(hub): State<Arc<Hub>>, uri: Uri) -> Result<Json<Checks>, Problem> {
    let mut query = Query::read(&uri, &["service", "limit", "page"]);
    let service = query.text("service");
    let limit = query.limit();
    let after = query.page(|text| Some(text.to_owned())).unwrap_or_default();
    query.done()?;
    let now = hub.now();
    let board = hub.board();
    let behind = board.checks.behind(&after);
    let mut rest =
        behind.filter(|(id, _)| service.as_ref().is_none_or(|name| id.service() == name));
    let checks: Vec<Check> = rest
        .by_ref()
        .take(limit)
        .map(|(id, it)| check(id, it, now))
        .collect();
    let more = rest.next().is_some();
    let last = checks.last().map(|check| check.id.clone());
    Ok(Json(Checks {
        checks,
        next: last.filter(|_| more),
    }))
}

/// The runs of a check, newest first.
#[utoipa::path(get, path = "/api/v1/checks/{service}/{check}/observations", tag = "checks", params(
    ("service" = String, Path, description = "the service's name", example = "shop"),
    ("check" = String, Path, description = "the check's name", example = "main"),
    ("from" = Option<String>, Query, format = DateTime, description = "runs that began then or later; a day before `to` if left out"),
    ("to" = Option<String>, Query, format = DateTime, description = "runs that began before; now if left out"),
    ("vantage" = Option<String>, Query, description = "only from there"),
    ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "most runs of one answer; 100 if left out"),
    ("page" = Option<String>, Query, description = "where an earlier answer said `next`")),
    responses((status = 200, description = "runs", body = Observations)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn observations(
    State(hub): State<Arc<Hub>>,
    names: Parameters<2>,
    uri: Uri,
) -> Result<Json<Observations>, Problem> {
    let Parameters([service, check]) = names;
    let mut query = Query::read(&uri, &["from", "to", "vantage", "limit", "page"]);
    let span = span(&mut query, hub.now());
    let limit = query.limit();
    let page = query.page(Page::read);
    let vantage = query.text("vantage");
    query.done()?;
    let check = CheckId::new(&service, &check);
    let vantages = vantages_of(&hub, &check, vantage.as_deref()).await?;
    let page = page.unwrap_or(Page {
        at: span.1,
        given: 0,
    });
    let end = span.1.min(page.end());
    let range = span.0..end.max(span.0);
    let wanted = limit + 1 + page.given;
    let read = hub.ask(move |shared| {
        let mut runs = Vec::new();
        let mut gaps = Vec::new();
        for vantage in &vantages {
            let series = shared
                .observations
                .series(&check, vantage, range.clone(), wanted)?;
            runs.extend(series.runs);
            gaps.extend(series.gaps.into_iter().map(Missing::from));
            newest_first(&mut runs);
            runs.truncate(wanted);
        }
        gaps.sort();
        gaps.dedup();
        gaps.truncate(GAPS_MAX);
        Ok((runs, gaps))
    });
    let (runs, gaps) = read.await?;
    let fresh: Vec<&Run> = page.skip(&runs);
    let next = (fresh.len() > limit)
        .then(|| Page::after(&fresh[..limit], page))
        .flatten();
    let observations = fresh
        .into_iter()
        .take(limit)
        .map(Observation::from)
        .collect();
    Ok(Json(Observations {
        observations,
        gaps,
        next: next.map(|page| page.write()),
    }))
}

/// Where a page of runs begins: runs that began at a time or before, without those of that very
/// time that were given already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    at: Timestamp,
    given: usize,
}

impl Page {
    fn read(text: &str) -> Option<Self> {
        let (at, given) = text.split_once('.')?;
        let given = given.parse().ok().filter(|given| *given <= GIVEN_MAX)?;
        let at = Timestamp::from_microsecond(at.parse().ok()?).ok()?;
        Some(Self { at, given })
    }

    fn write(self) -> String {
        format!("{}.{}", self.at.as_microsecond(), self.given)
    }

    /// Up to where runs are asked for: that time itself too, where some were given.
    fn end(self) -> Timestamp {
        let microsecond = std::time::Duration::from_micros(1);
        match self.given {
            0 => self.at,
            _ => self.at.checked_add(microsecond).unwrap_or(self.at),
        }
    }

    /// Without what was given already.
    fn skip(self, runs: &[Run]) -> Vec<&Run> {
        let mut given = self.given;
        let fresh = runs.iter().filter(|run| {
            let skip = given > 0 && run.began() >= self.at;
            given -= usize::from(skip);
            !skip
        });
        fresh.collect()
    }

    /// The page that follows on these.
    fn after(given: &[&Run], before: Self) -> Option<Self> {
        let at = given.last()?.began();
        let same = given.iter().filter(|run| run.began() == at).count();
        let carried = if before.at == at { before.given } else { 0 };
        Some(Self {
            at,
            given: same + carried,
        })
    }
}

fn newest_first(runs: &mut [Run]) {
    runs.sort_by(|a, b| {
        let newer = b.began().cmp(&a.began());
        newer
            .then_with(|| a.vantage.cmp(&b.vantage))
            .then_with(|| b.sequence.cmp(&a.sequence))
    });
}

/// The range that a query names: the last day if it names none.
pub(crate) fn span(query: &mut Query, now: Timestamp) -> (Timestamp, Timestamp) {
    const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
    let to = query.time("to").unwrap_or(now);
    let from = query.time("from");
    let from = from.unwrap_or_else(|| to.checked_sub(DAY).unwrap_or(Timestamp::MIN));
    if from >= to {
        query.wrong("from", "must be before `to`".to_owned());
    }
    (from, to)
}

/// The vantages that a check was run from.
///
/// # Errors
/// There is no such check, or it was never run from there.
pub(crate) async fn vantages_of(
    hub: &Hub,
    check: &CheckId,
    only: Option<&str>,
) -> Result<Vec<VantageId>, Problem> {
    let known: Option<Vec<VantageId>> = {
        let board = hub.board();
        board
            .checks
            .get(check)
            .map(|state| state.last.vantages().cloned().collect())
    };
    if let (Some(known), Some(only)) = (&known, only)
        && let Some(found) = known.iter().find(|vantage| vantage.as_str() == only)
    {
        return Ok(vec![found.clone()]);
    }
    // What is not on the board may have been there before: the store knows.
    let (wanted, on_board) = (check.clone(), known.clone());
    let stored = hub.ask(move |shared: &Shared| match on_board {
        // One whose state was begun anew may have been run by this very process.
        Some(on_board) if !on_board.is_empty() => former(shared, &wanted, &on_board),
        _ => {
            let all = shared.observations.all_series()?;
            let of_it = all.into_iter().filter(|(check, _)| *check == wanted);
            Ok(of_it.map(|(_, vantage)| vantage).collect())
        }
    });
    let mut vantages = stored.await?;
    if known.is_none() && vantages.is_empty() {
        return Err(Problem::not_found("check", check.as_str()));
    }
    vantages.extend(known.unwrap_or_default());
    vantages.sort();
    vantages.dedup();
    vantages.truncate(VANTAGES_MAX);
    match only {
        None => Ok(vantages),
        Some(only) => {
            vantages.retain(|vantage| vantage.as_str() == only);
            if vantages.is_empty() {
                return Err(Problem::not_found("vantage of this check", only));
            }
            Ok(vantages)
        }
    }
}

/// Vantages besides those on the board from which a check was run before.
fn former(
    shared: &Shared,
    check: &CheckId,
    on_board: &[VantageId],
) -> Result<Vec<VantageId>, StoreError> {
    let mut found = Vec::new();
    for vantage in shared.former_vantages()? {
        if on_board.contains(vantage) {
            continue;
        }
        let always = Timestamp::MIN..Timestamp::MAX;
        let series = [(check.clone(), vantage.clone())];
        let store = &shared.observations;
        let is_there = !store
            .series(check, vantage, always.clone(), 1)?
            .runs
            .is_empty()
            || !store.rollups(&series, Step::Day, always)?.is_empty();
        if is_there {
            found.push(vantage.clone());
        }
    }
    Ok(found)
}

fn check(id: &CheckId, state: &CheckState, now: Timestamp) -> Check {
    let stale = state.is_stale(now);
    Check {
        id: id.to_string(),
        service: id.service().to_owned(),
        name: id.check().to_owned(),
        target: redact::target(&state.target),
        every_ms: u64::try_from(state.every.as_millis()).unwrap_or(u64::MAX),
        verdict: if stale {
            Verdict::Unknown
        } else {
            state.verdict
        },
        cause: state
            .cause
            .filter(|_| !stale)
            .map(|cause| cause.to_string()),
        summary: state.summary.clone().into_owned(),
        since: if stale {
            Some(state.holds_until())
        } else {
            state.since
        },
        judged_at: state.judged_at,
        stale,
        layers: state.layers.clone(),
        traced_at: state.traced_at,
        evidence: state.evidence.map(|digest| digest.to_string()),
        last: state.last.iter().map(Observation::from).collect(),
        poisoned: state.poisoned.clone(),
        vantages: state
            .places()
            .into_iter()
            .flat_map(Places::iter)
            .map(|(vantage, place)| said(vantage, place, state.every, now))
            .collect(),
    }
}

fn said(vantage: &VantageId, place: &Judgement, every: Duration, now: Timestamp) -> Said {
    let stale = place.is_stale(every, now);
    let cause = place.cause.filter(|_| !stale);
    Said {
        vantage: vantage.to_string(),
        verdict: if stale {
            Verdict::Unknown
        } else {
            place.verdict()
        },
        cause: cause.map(|cause| cause.to_string()),
        summary: place.summary.clone().into_owned(),
        since: if stale {
            place.holds_until(every)
        } else {
            place.since
        },
        judged_at: place.judged_at,
        stale,
        poisoned: place.poisoned.clone(),
    }
}

impl From<&Run> for Observation {
    fn from(run: &Run) -> Self {
        let ms = |micros: u32| f64::from(micros) / 1e3;
        let phases = Phases::NAMES.into_iter().zip(run.phases.all());
        let phases = phases.filter_map(|(name, took)| Some((name, ms(took?))));
        Self {
            vantage: run.vantage.to_string(),
            sequence: run.sequence,
            due: run.due,
            began: run.began(),
            late_ms: ms(run.late),
            trigger: run.trigger,
            outcome: run.outcome,
            layer: run.layer,
            symptom: run.symptom.as_deref().map(str::to_owned),
            resolver: run.resolver.as_deref().map(str::to_owned),
            address: run.address,
            status: run.status,
            size: run.size,
            certificate: run.certificate.map(|digest| digest.to_string()),
            certificate_ends: run.certificate_ends,
            clock_offset_ms: run.clock_offset_ms,
            evidence: run.evidence.map(|digest| digest.to_string()),
            phases_ms: phases.collect(),
            took_ms: run.phases.total() as f64 / 1e3,
        }
    }
}

impl From<Gap> for Missing {
    fn from(Gap { from, to, reason }: Gap) -> Self {
        Self { from, to, reason }
    }
}
