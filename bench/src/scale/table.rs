//! The figures, each beside its budget.

use std::fmt::Write as _;
use std::time::Duration;

use super::Measured;
use super::rows::Part;

/// The design's budgets, for 100,000 checks a minute: CPU seconds of the workers in a minute.
const WORKERS_CPU: f64 = 12.0;
/// CPU of hub and agent for each result, microseconds.
const RESULT_CPU: f64 = 10.0;
/// CPU seconds of all in a minute.
const ALL_CPU: f64 = 13.0;
/// Checks in a minute that these three are for.
const BUDGET_RATE: f64 = 100_000.0;
/// Ninety-nine of a hundred runs begin no later, milliseconds.
const LATE_P99: f64 = 25.0;
/// Of all checks asked for, those that must be made, parts of a whole.
const MADE_MIN: f64 = 0.99;
/// Memory of a hub, 150 MiB, and of an agent of 10,000 checks, 60 MiB, which are one process here.
const HUB_MIB: f64 = 210.0;
/// CPU seconds that reading the configuration takes.
const CONFIG_CPU: f64 = 2.0;
/// Seconds in which it ends.
const END_SECONDS: f64 = 10.0;

struct Table {
    text: String,
}

impl Table {
    /// A figure with a budget that it must not exceed.
    fn most(&mut self, what: &str, got: f64, most: f64) {
        self.judged(what, got, got <= most, &format!("at most {}", shown(most)));
    }

    fn judged(&mut self, what: &str, got: f64, is_met: bool, budget: &str) {
        let (mark, word) = if is_met {
            ('✓', "met")
        } else {
            ('✗', "missed")
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.text,
            "{mark} {what:56} {:>11}   {budget}: {word}",
            shown(got)
        );
    }

    fn plain(&mut self, what: &str, got: f64) {
        let _ = writeln!(self.text, "  {what:56} {:>11}", shown(got));
    }

    fn words(&mut self, what: &str, words: &str) {
        let _ = writeln!(self.text, "  {what:56} {words}");
    }
}

/// Three digits that say something, with commas between thousands.
fn shown(value: f64) -> String {
    let digits = match value.abs() {
        value if value.fract() == 0.0 => 0,
        value if value < 10.0 => 2,
        value if value < 1000.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if part.is_empty() {
        return grouped;
    }
    format!("{grouped}.{part}")
}

pub(super) fn table(m: &Measured) -> String {
    let mut table = Table {
        text: String::new(),
    };
    let size = m.size;
    let _ = writeln!(
        table.text,
        "{} services of 5 checks (60 % DNS, 20 % TCP, 20 % HTTPS) every {} s, {} % of them hostile;\n\
         measured for {} s, after {} s; traces that nothing gives rise to every {} s",
        shown(f64::from(size.services)),
        size.every,
        size.hostile,
        size.seconds,
        size.warm,
        size.deep_every
    );
    rate(&mut table, m);
    cpu(&mut table, m);
    lateness(&mut table, "first round", &m.rows.first);
    lateness(&mut table, "measured", &m.rows.steady);
    store(&mut table, m);
    memory(&mut table, m);
    start(&mut table, m);
    answers(&mut table, m);
    table.text.trim_end().to_owned()
}

fn a_minute(part: &Part, count: usize) -> f64 {
    count as f64 * 60.0 / part.span.seconds()
}

fn rate(table: &mut Table, m: &Measured) {
    let part = &m.rows.steady;
    let (asked, made) = (m.size.a_minute(), a_minute(part, part.scheduled));
    table.plain("checks a minute, asked", asked);
    table.judged(
        "checks a minute, made",
        made,
        made >= asked * MADE_MIN,
        "at least 99 % of them",
    );
    let confirming = a_minute(part, part.confirming);
    table.plain("runs a minute that confirm", confirming);
    let [ok, wrong, failed, not_run] = part.outcomes;
    let words = format!("{ok} ok, {wrong} wrong, {failed} failed, {not_run} not run");
    table.words("what they came to", &words);
    let symptoms = part.symptoms.iter().take(6);
    let symptoms: Vec<String> = symptoms.map(|(s, n)| format!("{s} {n}")).collect();
    table.words("most frequent symptoms", &symptoms.join(", "));
    table.plain("traces since the start", m.told.traces);
    table.plain("incidents open at the end", m.told.incidents);
    table.plain("workers replaced", m.told.replaced);
    table.plain("tasks restarted", m.told.restarted);
}

fn cpu(table: &mut Table, m: &Measured) {
    let part = &m.rows.steady;
    let results = (part.scheduled + part.confirming).max(1) as f64;
    let minutes = part.span.seconds() / 60.0;
    let (before, after) = m.spans;
    let of = |spent: Duration| spent.as_secs_f64();
    let hub = of(after.hub.saturating_sub(before.hub));
    let workers = of(after.workers.saturating_sub(before.workers));
    let machine = of(after.machine.saturating_sub(before.machine));
    // The budgets are for a rate: at another one they are scaled.
    let scale = m.size.a_minute() / BUDGET_RATE;
    table.most(
        "CPU of the workers, s a minute",
        workers / minutes,
        WORKERS_CPU * scale,
    );
    table.plain("the same for each result, µs", workers * 1e6 / results);
    table.most(
        "CPU of hub and agent for each result, µs",
        hub * 1e6 / results,
        RESULT_CPU,
    );
    table.plain("the same, s a minute", hub / minutes);
    table.most(
        "CPU of all of it, s a minute",
        (hub + workers) / minutes,
        ALL_CPU * scale,
    );
    table.plain("CPU of the whole machine, s a minute", machine / minutes);
    table.plain("load of the machine, the last minute", m.load);
}

fn lateness(table: &mut Table, when: &str, part: &Part) {
    let of = |per_mille| part.late_ms(per_mille);
    table.plain(&format!("lateness, {when}: p50, ms"), of(500));
    table.plain(&format!("lateness, {when}: p95, ms"), of(950));
    table.most(&format!("lateness, {when}: p99, ms"), of(990), LATE_P99);
    table.plain(&format!("lateness, {when}: the latest, ms"), of(1000));
}

fn store(table: &mut Table, m: &Measured) {
    let rows = &m.rows;
    table.plain("rows stored", rows.rows as f64);
    let lost = rows.lost as f64 + m.told.lost;
    table.most("rows lost", lost, 0.0);
    let each = |bytes: u64| bytes as f64 / rows.rows.max(1) as f64;
    table.plain(
        "bytes of all for each row, when it ended",
        each(rows.bytes_hot),
    );
    table.plain("the same, at rest", each(rows.bytes_rest));
    // Blocks are of a series and an hour: a few runs fill none of them as those of an hour do, so the
    // budget of a result at rest is the store's own bench's matter.
    table.plain("the same of the runs alone, at rest", each(rows.bytes_runs));
    let rest = rows.rest_took.as_secs_f64() * 1e6 / rows.rows.max(1) as f64;
    table.plain("time to bring a row to rest, µs", rest);
    table.plain(
        "time to read the series of a check, ms",
        ms(rows.series_took),
    );
}

fn memory(table: &mut Table, m: &Measured) {
    table.plain(
        "memory of hub and agent at the end, MiB",
        m.at_end.hub_mib.0,
    );
    table.most(
        "memory of hub and agent at its most, MiB",
        m.at_end.hub_mib.1,
        HUB_MIB,
    );
    table.plain("workers", m.at_end.count as f64);
    table.plain(
        "memory of the largest worker at the end, MiB",
        m.at_end.worker_mib.0,
    );
    table.plain("memory of a worker at its most, MiB", m.at_end.worker_mib.1);
}

fn start(table: &mut Table, m: &Measured) {
    table.plain("lines of the configuration", m.config_lines as f64);
    let config = m.config_cpu.as_secs_f64();
    table.most("CPU to read it, s", config, CONFIG_CPU);
    table.plain("CPU until it is ready, s", m.at_ready.hub.as_secs_f64());
    table.plain("time until it is ready, s", m.ready_after.as_secs_f64());
    table.plain("memory when it is ready, MiB", m.at_ready.hub_mib.0);
    table.most("time to end, s", m.ended_after.as_secs_f64(), END_SECONDS);
}

fn answers(table: &mut Table, m: &Measured) {
    for asked in &m.asked {
        let what = format!("{}: ms", asked.path);
        let size = format!("{:>11}   {} bytes", shown(ms(asked.took)), asked.bytes);
        table.words(&what, &size);
    }
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
