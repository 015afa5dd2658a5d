//! A check over time: counts and percentiles by step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use bellwether_model::run::RunOutcome;
use bellwether_model::{CheckId, Run, VantageId};
use bellwether_store::{Rollup, Step};
use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::checks::{GAPS_MAX, Missing, span, vantages_of};
use super::problem::Problem;
use super::query::Query;
use super::{Hub, Parameters};

/// Most points of one answer: more than any screen has columns, and a year of hours.
const POINTS_MAX: u64 = 10_000;

/// Most runs that one answer is computed from: some 25 MB for as long as it takes.
const RUNS_MAX: u64 = 100_000;

/// Most roll-ups that one answer is computed from: 13 months of hours at ten vantages.
const ROLLUPS_MAX: u64 = 100_000;

/// Most symptoms that a point names; the rarest are left out.
const SYMPTOMS_MAX: usize = 32;

/// How fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fine {
    /// Computed from runs.
    Runs(Duration),
    /// Kept as roll-ups.
    Rollups(Step),
}

const STEPS: [(&str, Fine); 4] = [
    ("1m", Fine::Runs(Duration::from_secs(60))),
    ("5m", Fine::Runs(Duration::from_secs(300))),
    ("1h", Fine::Rollups(Step::Hour)),
    ("1d", Fine::Rollups(Step::Day)),
];

impl Fine {
    fn step(self) -> Duration {
        match self {
            Self::Runs(step) => step,
            Self::Rollups(Step::Hour) => Duration::from_secs(3_600),
            Self::Rollups(Step::Day) => Duration::from_secs(86_400),
        }
    }
}

/// A check over time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Points {
    /// Its id.
    check: String,
    /// `1m`, `5m`, `1h` or `1d`.
    step: String,
    /// The vantages whose runs are counted.
    vantages: Vec<String>,
    /// Steps that hold a run, oldest first. A step without one is not there: nothing was seen.
    points: Vec<Point>,
    /// What is missing, and why; for `1m` and `5m`.
    gaps: Vec<Missing>,
    /// Always null: all points are in one answer.
    next: Option<String>,
}

/// One step.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Point {
    /// Where it begins, on a grid of UTC.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    /// Runs by outcome.
    counts: Counts,
    /// Runs by symptom.
    symptoms: BTreeMap<String, u64>,
    /// How long runs took that were ok; null without any.
    took_ms: Option<Percentiles>,
}

/// Runs by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Counts {
    /// A user would have been served.
    ok: u64,
    /// Something else came than is expected.
    wrong: u64,
    /// A user would not have been served.
    failed: u64,
    /// The run itself failed: says nothing.
    not_run: u64,
}

/// How long, milliseconds. Exact for `1m` and `5m`, within 2 % for `1h` and `1d`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Percentiles {
    /// Half took less.
    p50: f64,
    /// Nine of ten took less.
    p90: f64,
    /// 19 of 20 took less.
    p95: f64,
    /// 99 of 100 took less.
    p99: f64,
    /// The longest.
    max: f64,
    /// The mean.
    mean: f64,
}

/// A check over time. `1m` and `5m` are computed from runs, `1h` and `1d` from roll-ups, which are
/// kept longer. A question that would cost too much is refused with 422.
#[utoipa::path(get, path = "/api/v1/checks/{service}/{check}/series", tag = "checks", params(
    ("service" = String, Path, description = "the service's name", example = "shop"),
    ("check" = String, Path, description = "the check's name", example = "main"),
    ("from" = Option<String>, Query, format = DateTime, description = "the begin; a day before `to` if left out"),
    ("to" = Option<String>, Query, format = DateTime, description = "the end; now if left out"),
    ("step" = Option<String>, Query, pattern = "^(1m|5m|1h|1d)$", description = "how fine: `1m`, `5m`, `1h`, `1d`; `5m` if left out"),
    ("vantage" = Option<String>, Query, description = "only from there; all together if left out")),
    responses((status = 200, description = "the series", body = Points)),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn series(
    State(hub): State<Arc<Hub>>,
    names: Parameters<2>,
    uri: Uri,
) -> Result<Json<Points>, Problem> {
    let Parameters([service, check]) = names;
    let mut query = Query::read(&uri, &["from", "to", "step", "vantage"]);
    let (from, to) = span(&mut query, hub.now());
    let fine = query.word("step", &STEPS).unwrap_or(STEPS[1].1);
    let vantage = query.text("vantage");
    query.done()?;
    let check = CheckId::new(&service, &check);
    let vantages = vantages_of(&hub, &check, vantage.as_deref()).await?;
    let every = hub.board().checks.get(&check).map(|state| state.every);
    afford(from, to, fine, every, vantages.len())?;
    let names = vantages.iter().map(ToString::to_string).collect();
    let id = check.to_string();
    let (points, gaps) = match fine {
        Fine::Runs(step) => from_runs(&hub, check, vantages, from, to, step).await?,
        Fine::Rollups(step) => {
            let asked: Vec<_> = vantages.into_iter().map(|it| (check.clone(), it)).collect();
            let rollups =
                hub.ask(move |shared| shared.observations.rollups(&asked, step, from..to));
            (
                rollups.await?.into_iter().map(Point::from).collect(),
                Vec::new(),
            )
        }
    };
    let step = STEPS.iter().find(|(_, known)| *known == fine);
    Ok(Json(Points {
        check: id,
        step: step.map_or_else(String::new, |(name, _)| (*name).to_owned()),
        vantages: names,
        points,
        gaps,
        next: None,
    }))
}

/// Is a question cheap enough?
///
/// # Errors
/// It is not.
fn afford(
    from: Timestamp,
    to: Timestamp,
    fine: Fine,
    every: Option<Duration>,
    vantages: usize,
) -> Result<(), Problem> {
    let span = to.duration_since(from).unsigned_abs();
    let points = span.as_secs() / fine.step().as_secs();
    if points > POINTS_MAX {
        let why = format!(
            "{points} points; at most {POINTS_MAX}: take a shorter range, or a larger `step`"
        );
        return Err(Problem::cost("step", why));
    }
    let vantages = vantages as u64;
    let (rows, most, what) = match fine {
        Fine::Runs(_) => {
            let every = every.unwrap_or(fine.step()).max(Duration::from_secs(1));
            (
                span.as_secs() / every.as_secs() * vantages,
                RUNS_MAX,
                "runs",
            )
        }
        Fine::Rollups(_) => (points * vantages, ROLLUPS_MAX, "roll-ups"),
    };
    if rows > most {
        let why = format!(
            "some {rows} {what} would be read; at most {most}: take a shorter range, a larger \
             `step`, or one `vantage`"
        );
        return Err(Problem::cost("from", why));
    }
    Ok(())
}

async fn from_runs(
    hub: &Hub,
    check: CheckId,
    vantages: Vec<VantageId>,
    from: Timestamp,
    to: Timestamp,
    step: Duration,
) -> Result<(Vec<Point>, Vec<Missing>), Problem> {
    let read = hub.ask(move |shared| {
        let mut bins = BTreeMap::<i64, Bin>::new();
        let mut gaps = Vec::new();
        let mut left = RUNS_MAX as usize;
        for vantage in &vantages {
            let series = shared
                .observations
                .series(&check, vantage, from..to, left + 1)?;
            // One second's runs may be many more than the interval says: bursts confirm.
            let Some(rest) = left.checked_sub(series.runs.len()) else {
                return Ok(None);
            };
            left = rest;
            for run in &series.runs {
                bins.entry(bin_of(run.began(), step)).or_default().add(run);
            }
            gaps.extend(series.gaps.into_iter().map(Missing::from));
        }
        gaps.sort();
        gaps.dedup();
        gaps.truncate(GAPS_MAX);
        let points = bins.into_iter().filter_map(|(at, bin)| bin.point(at));
        Ok(Some((points.collect(), gaps)))
    });
    let why = || format!("more than {RUNS_MAX} runs would be read: take a shorter range");
    read.await?.ok_or_else(|| Problem::cost("from", why()))
}

/// Where the step of a time begins, seconds since 1970.
fn bin_of(at: Timestamp, step: Duration) -> i64 {
    let step = i64::try_from(step.as_secs()).unwrap_or(1);
    at.as_second().div_euclid(step) * step
}

/// What comes together in a step.
#[derive(Default)]
struct Bin {
    counts: Counts,
    symptoms: BTreeMap<String, u64>,
    took: Vec<u64>,
}

impl Bin {
    fn add(&mut self, run: &Run) {
        match run.outcome {
            RunOutcome::Ok => {
                self.counts.ok += 1;
                self.took.push(run.phases.total());
            }
            RunOutcome::Wrong => self.counts.wrong += 1,
            RunOutcome::Failed => self.counts.failed += 1,
            RunOutcome::NotRun => self.counts.not_run += 1,
        }
        if let Some(symptom) = &run.symptom {
            *self.symptoms.entry(symptom.to_string()).or_default() += 1;
        }
    }

    fn point(mut self, at: i64) -> Option<Point> {
        self.took.sort_unstable();
        Some(Point {
            from: Timestamp::from_second(at).ok()?,
            counts: self.counts,
            symptoms: commonest(self.symptoms),
            took_ms: exact(&self.took),
        })
    }
}

/// Percentiles by nearest rank of sorted microseconds.
fn exact(took: &[u64]) -> Option<Percentiles> {
    let last = took.len().checked_sub(1)?;
    let ms = |micros: u64| micros as f64 / 1e3;
    let rank = |share: f64| {
        let rank = (share * took.len() as f64).ceil() as usize;
        ms(took[rank.saturating_sub(1).min(last)])
    };
    Some(Percentiles {
        p50: rank(0.50),
        p90: rank(0.90),
        p95: rank(0.95),
        p99: rank(0.99),
        max: ms(took[last]),
        mean: ms(took.iter().sum()) / took.len() as f64,
    })
}

fn commonest(symptoms: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    if symptoms.len() <= SYMPTOMS_MAX {
        return symptoms;
    }
    let mut sorted: Vec<_> = symptoms.into_iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sorted.into_iter().take(SYMPTOMS_MAX).collect()
}

impl From<Rollup> for Point {
    fn from(rollup: Rollup) -> Self {
        let [ok, wrong, failed, not_run] = rollup.outcomes;
        let total = &rollup.total;
        let ms = |micros: u64| micros as f64 / 1e3;
        let quantile = |share: f64| total.quantile(share).map(ms);
        let took_ms = || {
            Some(Percentiles {
                p50: quantile(0.50)?,
                p90: quantile(0.90)?,
                p95: quantile(0.95)?,
                p99: quantile(0.99)?,
                max: ms(total.max()),
                mean: total.mean()? / 1e3,
            })
        };
        Self {
            from: rollup.from,
            counts: Counts {
                ok,
                wrong,
                failed,
                not_run,
            },
            took_ms: took_ms(),
            symptoms: commonest(rollup.symptoms.into_iter().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact() {
        let took: Vec<u64> = (1..=100).map(|n| n * 1_000).collect();
        let it = exact(&took).unwrap();
        assert_eq!(
            (it.p50, it.p90, it.p95, it.p99, it.max),
            (50.0, 90.0, 95.0, 99.0, 100.0)
        );
        assert_eq!(exact(&[7_000]).unwrap().p99, 7.0);
        assert_eq!(exact(&[]), None);
    }

    #[test]
    fn costs_are_capped() {
        let at = |days: i64| Timestamp::from_second(days * 86_400).unwrap();
        let every = Some(Duration::from_secs(60));
        let may = |days, step: &str, vantages| {
            let fine = STEPS.iter().find(|(name, _)| *name == step).unwrap().1;
            afford(at(0), at(days), fine, every, vantages).is_ok()
        };
        assert!(may(1, "1m", 5) && may(30, "5m", 2) && may(396, "1h", 5) && may(4_000, "1d", 5));
        assert!(!may(8, "1m", 1), "too many points");
        assert!(!may(30, "5m", 5), "too many runs");
        assert!(!may(396, "1h", 50), "too many roll-ups");
        assert!(!may(10_001, "1d", 1), "too many points");
    }
}
