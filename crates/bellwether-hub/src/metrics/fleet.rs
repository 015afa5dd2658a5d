//! Agents elsewhere, for Prometheus. Labels are names of vantages, which the configuration has.

use std::fmt;

use jiff::Timestamp;
use prometheus_client::encoding::DescriptorEncoder;

use super::{Labels, counters, flag, gauges};
use crate::fleet::counts::{Counts, Turned};
use crate::fleet::registry::Enrolled;
use crate::fleet::roster::Row;
use crate::fleet::sift::Why;
use crate::shared::Shared;

/// Everything of agents elsewhere; where nobody can say who they are, how many were turned away.
pub(super) fn encode(
    out: &mut DescriptorEncoder<'_>,
    shared: &Shared,
    rows: Option<&[Row]>,
    now: Timestamp,
) -> fmt::Result {
    let turned = Turned::ALL.into_iter().zip(shared.fleet.tally.all_turned());
    let turned = turned.map(|(how, count)| (vec![("why", how.name())], count));
    let help = "Connections to where agents link that came to nothing";
    counters(out, "agents_turned_away", help, turned)?;
    let rows = rows.unwrap_or_default();
    presence(out, rows, now)?;
    spools(out, rows)?;
    counts(out, rows)
}

fn labels(row: &Row) -> Labels<'_> {
    vec![("vantage", row.vantage.as_str())]
}

fn presence(out: &mut DescriptorEncoder<'_>, rows: &[Row], now: Timestamp) -> fmt::Result {
    let linked = rows.iter();
    let linked = linked.map(|row| (labels(row), flag(row.presence.is_linked)));
    gauges(
        out,
        "agent_linked",
        "Is the agent of a vantage linked",
        linked,
    )?;
    let heard = rows.iter().filter_map(|row| {
        let age = now.duration_since(row.presence.heard?).as_secs_f64();
        Some((labels(row), age.max(0.0)))
    });
    let help = "How long ago anything was heard of an agent";
    gauges(out, "agent_heard_age_seconds", help, heard)?;
    let offset = rows.iter().filter_map(|row| {
        let offset = row.presence.offset_ms? as f64 / 1e3;
        Some((labels(row), offset))
    });
    let help = "By how much the clock of the hub is ahead of an agent's";
    gauges(out, "agent_clock_offset_seconds", help, offset)?;
    let behind = rows.iter().filter(|row| row.presence.is_linked);
    let behind = behind.map(|row| (labels(row), row.presence.generation as f64));
    let help = "The configuration that an agent goes by";
    gauges(out, "agent_configuration_generation", help, behind)?;
    let refused = rows.iter();
    let refused = refused.map(|row| (labels(row), flag(row.presence.unplanned.is_some())));
    let help = "Is there a configuration that an agent cannot go by";
    gauges(out, "agent_configuration_refused", help, refused)?;
    let ends = rows.iter().filter_map(|row| {
        let ends = row.enrolled.as_ref().and_then(Enrolled::ends)?;
        Some((labels(row), ends.as_second() as f64))
    });
    let help = "When the certificate of an agent ends";
    gauges(
        out,
        "agent_certificate_expiry_timestamp_seconds",
        help,
        ends,
    )
}

fn spools(out: &mut DescriptorEncoder<'_>, rows: &[Row]) -> fmt::Result {
    let states = || {
        let states = rows.iter().map(|row| (row, row.presence.state.as_ref()));
        states.filter_map(|(row, state)| Some((labels(row), state?)))
    };
    let bytes = states().map(|(labels, state)| (labels, state.spooled_bytes as f64));
    gauges(
        out,
        "agent_spool_bytes",
        "What waits on the disk of an agent",
        bytes,
    )?;
    let waits = states().map(|(labels, state)| (labels, state.spooled as f64));
    let help = "Deliveries that wait on the disk of an agent";
    gauges(out, "agent_spool_deliveries", help, waits)?;
    let trouble = states().map(|(labels, state)| (labels, flag(state.trouble.is_some())));
    gauges(
        out,
        "agent_in_trouble",
        "Can an agent spool nothing",
        trouble,
    )?;
    let late = states().map(|(labels, state)| (labels, state.late_p99_us as f64 / 1e6));
    let help = "The 99th percentile of how late the runs of an agent began in the last minute";
    gauges(out, "agent_lateness_p99_seconds", help, late)?;
    let checks = states().map(|(labels, state)| (labels, state.checks as f64));
    gauges(out, "agent_checks", "Checks that an agent runs", checks)
}

fn counts(out: &mut DescriptorEncoder<'_>, rows: &[Row]) -> fmt::Result {
    type Of = fn(&Counts) -> u64;
    let plain: [(&str, &str, Of); 5] = [
        (
            "agent_deliveries",
            "Deliveries of an agent that are durable",
            |c| c.deliveries,
        ),
        ("agent_runs_delivered", "Runs in them", |c| c.rows),
        (
            "agent_deliveries_repeated",
            "Deliveries that were there before",
            |c| c.repeated,
        ),
        (
            "agent_deliveries_missing",
            "Deliveries that never came: ours",
            |c| c.missing,
        ),
        (
            "agent_runs_thinned",
            "Runs that an agent left out for want of room: ours",
            |c| c.thinned,
        ),
    ];
    for (name, help, of) in plain {
        let all = rows.iter().map(|row| (labels(row), of(&row.counts)));
        counters(out, name, help, all)?;
    }
    let refused = rows.iter().flat_map(|row| {
        let reasons = Why::ALL.into_iter().map(Why::name).zip(row.counts.refused);
        let others = [
            ("broken", row.counts.broken),
            ("protocol", row.counts.protocol),
        ];
        reasons.chain(others).map(|(reason, count)| {
            let mut labels = labels(row);
            labels.push(("reason", reason));
            (labels, count)
        })
    });
    let help = "What an agent said and was not taken in";
    counters(out, "agent_refused", help, refused)
}
