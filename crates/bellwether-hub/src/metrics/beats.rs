//! Who must report, for Prometheus.

use std::fmt;

use bellwether_model::Verdict;
use jiff::Timestamp;
use prometheus_client::encoding::DescriptorEncoder;

use super::{Labels, counter, counters, flag, gauges};
use crate::beats::Stand;
use crate::shared::Shared;

/// A family of gauges: name, help, and its value of one heartbeat, where it has one.
type Family = (
    &'static str,
    &'static str,
    fn(&Stand, Timestamp) -> Option<f64>,
);

fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

const FAMILIES: [Family; 8] = [
    (
        "heartbeat_up",
        "Is a heartbeat healthy; no sample while that is unknown",
        |stand, _| match stand.state.verdict {
            Verdict::Unknown => None,
            verdict => Some(flag(verdict == Verdict::Healthy)),
        },
    ),
    (
        "heartbeat_late_seconds",
        "How late a heartbeat is; 0 unless it is broken by that",
        |stand, now| {
            let late = stand.state.late_by(now);
            Some(late.map_or(0.0, |late| late.as_secs_f64()))
        },
    ),
    (
        "heartbeat_failed",
        "Did the last run of a heartbeat fail",
        |stand, _| Some(flag(stand.state.failed)),
    ),
    (
        "heartbeat_last_success_timestamp_seconds",
        "When a heartbeat last reported success",
        |stand, _| stand.heard.last_success.map(seconds),
    ),
    (
        "heartbeat_last_ping_timestamp_seconds",
        "When a heartbeat last reported",
        |stand, _| stand.heard.last_ping.map(seconds),
    ),
    (
        "heartbeat_next_due_timestamp_seconds",
        "When the next report of a heartbeat is due, without its grace",
        |stand, _| stand.state.due.map(seconds),
    ),
    (
        "heartbeat_run_seconds",
        "How long the last run of a heartbeat took",
        |stand, _| {
            let took = stand.heard.ended.as_ref()?.took_ms?;
            Some(took as f64 / 1e3)
        },
    ),
    (
        "heartbeat_running",
        "Is a run of a heartbeat under way",
        |stand, _| Some(flag(stand.heard.running_since().is_some())),
    ),
];

fn labels(stand: &Stand) -> Labels<'_> {
    vec![("heartbeat", stand.config.name.as_str())]
}

pub(super) fn encode(
    out: &mut DescriptorEncoder<'_>,
    shared: &Shared,
    now: Timestamp,
) -> fmt::Result {
    let stands = shared.beats.stands(now);
    for (name, help, value) in FAMILIES {
        let samples = stands.iter();
        let samples = samples.filter_map(|stand| Some((labels(stand), value(stand, now)?)));
        gauges(out, name, help, samples)?;
    }
    let pings = stands
        .iter()
        .map(|stand| (labels(stand), stand.heard.pings));
    counters(
        out,
        "heartbeat_pings",
        "Signals of a heartbeat, of all kinds",
        pings,
    )?;
    let help = "Signals of all heartbeats taken in since the start";
    counter(out, "heartbeats_taken", help, shared.beats.taken())
}
