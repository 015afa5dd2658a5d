//! What Prometheus reads: results, phases, certificates, freshness, lateness, queues, incidents.
//!
//! Everything is computed when it is asked for, from the board and the counts of ourselves: there
//! is no second copy to keep true. Labels are names from the configuration, vantages and closed
//! sets of words; what the network said is no label, so that no target can add series.
//!
//! - `beats`: who must report; `fleet`: agents elsewhere
//! - `seen`: what of the board is written, where there is very much of it

mod beats;
mod fleet;
mod seen;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bellwether_model::run::Phases;
use bellwether_model::{Incident, Verdict};
use http::{Uri, header};
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::api::Hub;
use crate::api::problem::Problem;
use crate::api::query::Query;
use crate::fleet::roster::{Row, roster};
use crate::shared::{Lateness, Shared};
use seen::{IN_FULL_MAX, Seen};

/// The format, which Prometheus 2.5 and later ask for.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Outcomes in the order of [`crate::shared::Figures::runs`].
const OUTCOMES: [&str; 4] = ["ok", "wrong", "failed", "not_run"];

/// Results, phases, certificates, freshness, lateness, queues and incidents, for Prometheus. Of more
/// than 10,000 checks, every series is written of those that are not well (at most 10,000), and of the
/// others `bellwether_check_up` and `bellwether_check_certificate_expiry_timestamp_seconds` alone:
/// `bellwether_metrics_checks_in_brief` counts them. `service` gives every series of one service.
#[utoipa::path(get, path = "/metrics", tag = "health", params(
    ("service" = Option<String>, Query, description = "every series of this service, and no others")),
    responses((status = 200, description = "OpenMetrics text", body = String,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8")),
    security((), ("bearer" = ["read"])))]
pub(crate) async fn metrics(State(hub): State<Arc<Hub>>, uri: Uri) -> Result<Response, Problem> {
    let query = Query::read(&uri, &["service"]);
    let service = query.text("service");
    query.done()?;
    let now = hub.now();
    let of_one = match &service {
        Some(name) => {
            let seen = Seen::of_one(&hub.board(), name, now);
            Some(seen.ok_or_else(|| Problem::not_found("service", name))?)
        }
        None => None,
    };
    // A store that does not answer must not blind whoever watches us: then these are left out.
    let incidents = match &of_one {
        Some(_) => None,
        None => hub.ask_soon(|shared| shared.open_incidents()).await,
    };
    let agents = match &of_one {
        Some(_) => None,
        None => hub.ask_soon(roster).await,
    };
    let shared = Arc::clone(&hub.shared);
    // Of many thousands of checks it takes a while: nobody else waits for it meanwhile.
    let written = tokio::task::spawn_blocking(move || {
        let is_all = of_one.is_none();
        let all = || shared.board(|board| Seen::of(board, now, IN_FULL_MAX));
        let scrape = Scrape {
            seen: of_one.unwrap_or_else(all),
            shared,
            now,
            incidents,
            agents,
            is_all,
        };
        let mut text = String::with_capacity(scrape.len());
        let mut registry = Registry::with_prefix("bellwether");
        registry.register_collector(Box::new(scrape));
        encode(&mut text, &registry).map(|()| text)
    });
    let text = written.await.map_err(|_| Problem::internal())?;
    let text = text.map_err(|_| Problem::internal())?;
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response())
}

struct Scrape {
    shared: Arc<Shared>,
    now: Timestamp,
    incidents: Option<Vec<Incident>>,
    agents: Option<Vec<Row>>,
    seen: Seen,
    /// Of all services, and of ourselves.
    is_all: bool,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if self.is_all {
            self.ourselves(&mut encoder)?;
            self.counts(&mut encoder)?;
            lateness(&mut encoder, &self.shared.figures.lateness)?;
            self.agent(&mut encoder)?;
            fleet::encode(&mut encoder, &self.shared, self.agents.as_deref(), self.now)?;
            self.incidents(&mut encoder)?;
            beats::encode(&mut encoder, &self.shared, self.now)?;
        }
        self.services(&mut encoder)?;
        self.checks(&mut encoder)?;
        self.runs(&mut encoder)
    }
}

impl Scrape {
    /// Bytes of it, about: grown by doubling it would take twice as much.
    fn len(&self) -> usize {
        /// Of what tells of ourselves, with room.
        const OURSELVES: usize = 16 * 1024;
        /// Of a line; its names are what most of it is.
        const LINE: usize = 110;
        /// Lines of a check that is told in full.
        const LINES: usize = 12;
        let Seen {
            services,
            up,
            ends,
            full,
            ..
        } = &self.seen;
        OURSELVES + LINE * (services.len() + up.len() + ends.len() + LINES * full.len())
    }

    fn ourselves(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let shared = &self.shared;
        let configured = shared.configured.load();
        let seconds = |at: Timestamp| at.as_millisecond() as f64 / 1e3;
        let trouble = shared.health.trouble().is_some();
        let ready = shared.health.ready.load(Ordering::Acquire) && !trouble;
        let receivers = shared.health.receivers.load(Ordering::Relaxed) as f64;
        let build = std::iter::once((vec![("version", shared.version)], 1.0));
        gauges(out, "build_info", "The version of the program", build)?;
        let single = [
            (
                "start_time_seconds",
                "When the process started",
                seconds(shared.started),
            ),
            (
                "ready",
                "Is the store open and well, and does the schedule run",
                flag(ready),
            ),
            (
                "store_in_trouble",
                "Is something wrong with the store",
                flag(trouble),
            ),
            (
                "receivers",
                "Receivers configured; with none nobody is told",
                receivers,
            ),
            (
                "configuration_generation",
                "The configuration in force",
                configured.generation as f64,
            ),
            (
                "configuration_since_seconds",
                "Since when it is in force",
                seconds(configured.since),
            ),
            (
                "configuration_refused",
                "Was a newer one refused",
                flag(configured.refused.is_some()),
            ),
            (
                "event_readers",
                "Readers of the event stream",
                shared.events.receiver_count() as f64,
            ),
        ];
        for (name, help, value) in single {
            gauge(out, name, help, value)?;
        }
        let acts = shared.acts.max_capacity() - shared.acts.capacity();
        let depths = [
            (vec![("queue", "acts")], acts as f64),
            (vec![("queue", "events")], shared.events.len() as f64),
            (
                vec![("queue", "runs")],
                load(&shared.figures.waiting) as f64,
            ),
        ];
        gauges(out, "queue_depth", "What waits in a queue", depths)
    }

    fn counts(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let figures = &self.shared.figures;
        let runs = OUTCOMES.iter().zip(&figures.runs);
        let runs = runs.map(|(outcome, count)| (vec![("outcome", *outcome)], load(count)));
        counters(out, "runs", "Runs taken in", runs)?;
        let plain: [(&str, &str, &AtomicU64); 8] = [
            ("runs_kept", "Runs that are durable", &figures.kept),
            (
                "runs_lost",
                "Runs given up, since the disk took none and memory was full",
                &figures.lost,
            ),
            (
                "judge_panics",
                "Traces that the rules panicked over",
                &figures.judge_panics,
            ),
            (
                "append_errors",
                "Appends to the store that failed",
                &figures.append_errors,
            ),
            ("traces", "Traces judged", &figures.traces),
            (
                "workers_replaced",
                "Workers that hung or died and were replaced",
                &figures.workers_replaced,
            ),
            (
                "tasks_restarted",
                "Background tasks that ended or panicked and were started again",
                &figures.tasks_restarted,
            ),
            (
                "configurations_refused",
                "Configurations refused",
                &figures.refused_configurations,
            ),
        ];
        for (name, help, count) in plain {
            counter(out, name, help, load(count))?;
        }
        Ok(())
    }

    /// What the built-in agent counts of itself.
    fn agent(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let agent = self.shared.agent.read();
        let agent = agent.unwrap_or_else(std::sync::PoisonError::into_inner);
        let missed = [
            (vec![("why", "asleep")], agent.slots_missed),
            (vec![("why", "busy")], agent.slots_busy),
            (vec![("why", "pressed")], agent.slots_pressed),
        ];
        let help =
            "Slots left out: the agent was held up, the run before was under way, nobody took runs";
        counters(out, "slots_missed", help, missed)?;
        let whys = ["cadence", "failure", "change", "asked"].into_iter();
        let traces = whys
            .zip(agent.traces)
            .map(|(why, n)| (vec![("why", why)], n));
        counters(out, "traces_made", "Traces made, by what for", traces)?;
        for (name, help, count) in [
            ("runs_waited", "Runs that waited for a place", agent.waited),
            (
                "runs_overloaded",
                "Runs given up after an interval without a place",
                agent.overloaded,
            ),
            (
                "runs_hung",
                "Runs that did not come back by their deadline",
                agent.hung,
            ),
            (
                "answers_late",
                "Answers that came after their row was made",
                agent.answers_late,
            ),
            (
                "bursts",
                "Bursts begun to confirm an unexpected result",
                agent.bursts,
            ),
            (
                "bursts_forgone",
                "Bursts not begun since too many were under way",
                agent.bursts_forgone,
            ),
            (
                "traces_lost",
                "Traces of which nothing came back",
                agent.traces_lost,
            ),
        ] {
            counter(out, name, help, count)?;
        }
        let now = [
            (vec![("what", "runs_under_way")], agent.under_way),
            (vec![("what", "runs_waiting")], agent.waiting),
            (vec![("what", "traces_under_way")], agent.traces_under_way),
            (vec![("what", "traces_waiting")], agent.traces_waiting),
            (vec![("what", "harvest_waiting")], agent.harvest_waiting),
            (vec![("what", "checks_asked_apart")], agent.poisoned),
        ];
        let now = now.map(|(labels, count)| (labels, count as f64));
        gauges(out, "agent_depth", "What the agent has before it, now", now)?;
        let help = "Is nothing new begun since nobody takes what was seen";
        gauge(out, "agent_pressed", help, flag(agent.pressed))?;
        let late = agent.lateness_recent;
        let late = [("0.5", late.p50), ("0.99", late.p99), ("1", late.max)];
        let late = late.map(|(q, micros)| (vec![("quantile", q)], micros as f64 / 1e6));
        let help = "How late scheduled runs began in the last whole minute";
        gauges(out, "lateness_recent_seconds", help, late)?;
        let moved = agent.clock_moved_ms as f64 / 1e3;
        let help = "By how much the wall clock was moved since the start";
        gauge(out, "clock_moved_seconds", help, moved)
    }

    fn incidents(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        use bellwether_model::report::Severity;
        let Some(incidents) = &self.incidents else {
            return Ok(());
        };
        let all = [
            ("critical", Severity::Critical),
            ("warning", Severity::Warning),
            ("notice", Severity::Notice),
        ];
        let counted = all.map(|(name, severity)| {
            let count = incidents
                .iter()
                .filter(|incident| incident.severity == severity)
                .count();
            (vec![("severity", name)], count as f64)
        });
        gauges(
            out,
            "incidents_unresolved",
            "Incidents that are not resolved",
            counted,
        )
    }

    fn services(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let verdicts = self.seen.services.iter().map(|(name, verdict)| {
            let labels = vec![("service", name.as_str()), ("verdict", verdict.name())];
            (labels, 1.0)
        });
        gauges(
            out,
            "service_verdict",
            "A service's verdict: 1 with the label that holds",
            verdicts,
        )?;
        let planned = self.seen.services.iter().map(|(name, ..)| {
            let is_planned = self.seen.maintenance.contains(name);
            (vec![("service", name.as_str())], flag(is_planned))
        });
        gauges(
            out,
            "service_maintenance",
            "Are faults of a service expected now? Then no incident of it opens",
            planned,
        )
    }

    fn checks(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let in_brief = self.seen.in_brief as f64;
        let help = "Checks that are well, of which only `check_up` and the end of certificates is written since there are very many; `?service=NAME` gives every series of one service";
        gauge(out, "metrics_checks_in_brief", help, in_brief)?;
        let all = &self.seen.full;
        let checks = || all.iter().map(|(id, check)| (labels(id), check));
        let verdict = checks().map(|(mut labels, check)| {
            let stale = check.is_stale(self.now);
            let verdict = if stale {
                Verdict::Unknown
            } else {
                check.verdict
            };
            labels.push(("verdict", verdict.name()));
            (labels, 1.0)
        });
        gauges(
            out,
            "check_verdict",
            "A check's verdict: 1 with the label that holds",
            verdict,
        )?;
        let up = self.seen.up.iter();
        let up = up.map(|(id, is_up)| (labels(id), flag(*is_up)));
        gauges(
            out,
            "check_up",
            "Is a check healthy; no sample while that is unknown",
            up,
        )?;
        let stale = checks().map(|(labels, check)| (labels, flag(check.is_stale(self.now))));
        gauges(
            out,
            "check_stale",
            "Is what is known of a check too old to be true",
            stale,
        )?;
        let age = checks().map(|(labels, check)| {
            let since = check.judged_at.unwrap_or(check.known_since);
            (
                labels,
                self.now.duration_since(since).as_secs_f64().max(0.0),
            )
        });
        gauges(
            out,
            "check_age_seconds",
            "How long ago a check was judged",
            age,
        )?;
        let every = checks().map(|(labels, check)| (labels, check.every.as_secs_f64()));
        gauges(
            out,
            "check_interval_seconds",
            "How often a check is to run",
            every,
        )?;
        let poisoned = checks().filter(|(_, check)| check.poisoned.is_some());
        let poisoned = poisoned.map(|(labels, _)| (labels, 1.0));
        gauges(
            out,
            "check_poisoned",
            "Do a check's probes bring down their worker",
            poisoned,
        )
    }

    fn runs(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let runs = || {
            let last =
                self.seen.full.iter().flat_map(|(id, check)| {
                    check.last.iter().map(move |run| (id, &run.vantage, run))
                });
            last.map(|(id, vantage, run)| {
                let mut labels = labels(id);
                labels.push(("vantage", vantage.as_str()));
                (labels, run)
            })
        };
        let phases = runs().flat_map(|(labels, run)| {
            let phases = Phases::NAMES.into_iter().zip(run.phases.all());
            phases.filter_map(move |(phase, took)| {
                let mut labels = labels.clone();
                labels.push(("phase", phase));
                Some((labels, f64::from(took?) / 1e6))
            })
        });
        gauges(
            out,
            "check_phase_seconds",
            "How long each step of the last run took",
            phases,
        )?;
        let late = runs().map(|(labels, run)| (labels, f64::from(run.late) / 1e6));
        gauges(
            out,
            "check_late_seconds",
            "How late the last run began",
            late,
        )?;
        let due = runs().map(|(labels, run)| (labels, run.due.as_millisecond() as f64 / 1e3));
        gauges(
            out,
            "check_last_run_timestamp_seconds",
            "When the last run was due",
            due,
        )?;
        let ends = self.seen.ends.iter().map(|(id, vantage, ends)| {
            let mut labels = labels(id);
            labels.push(("vantage", vantage.as_str()));
            (labels, ends.as_second() as f64)
        });
        let help = "When the certificate ends that the last run saw";
        gauges(
            out,
            "check_certificate_expiry_timestamp_seconds",
            help,
            ends,
        )
    }
}

fn labels(id: &bellwether_model::CheckId) -> Labels<'_> {
    vec![("service", id.service()), ("check", id.check())]
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

fn gauges<L: EncodeLabelSet>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (L, f64)>,
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in samples {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    let metric = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}

fn counter(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(metric)
}

fn counters<L: EncodeLabelSet>(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in samples {
        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn lateness(out: &mut DescriptorEncoder<'_>, lateness: &Lateness) -> fmt::Result {
    let (counts, sum) = lateness.counts();
    let bounds = Lateness::BOUNDS_MS.iter().map(|ms| *ms as f64 / 1e3);
    let buckets: Vec<(f64, u64)> = bounds.chain([f64::INFINITY]).zip(counts).collect();
    let help = "How late runs began";
    let mut metric =
        out.encode_descriptor("lateness_seconds", help, None, MetricType::Histogram)?;
    metric.encode_histogram::<[(&str, &str); 0]>(sum, counts.iter().sum(), &buckets, None)
}
