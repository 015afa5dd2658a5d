//! docs/detect.md: what was measured, and the goals.

use std::fmt::Write;

use super::detect::{Found, GOAL_TIMES, Measured, Replayed};
use super::pace;
use super::stats::{percentile, wilson};

/// Goals at 12 vantages: kind, median, 95th percentile, seconds.
const GOALS: [(&str, f64, f64); 3] = [
    ("full outage", 10.0, 15.0),
    ("30 % grey", 35.0, 100.0),
    ("one region of four", 40.0, 50.0),
];

/// Goals for false alarms in 1,000 check-days.
const FALSE_GOALS: [(&str, f64); 4] = [
    ("12 vantages, N1", 3.0),
    ("12 vantages, N2", 5.0),
    ("12 vantages, no noise", 0.0),
    ("1 vantage alone, single losses only", 0.0),
];

/// Alarms of slowness without a fault, in 1,000 check-days.
const SLOW_GOAL: f64 = 10.0;

/// Notices of an hour of flapping with a period of two minutes.
const FLAP_GOAL: usize = 4;

/// Goals that are not met, in words.
pub(super) fn missed_goals(measured: &Measured) -> Vec<String> {
    let mut missed = Vec::new();
    for (name, goal) in FALSE_GOALS {
        let row = measured
            .falses
            .iter()
            .find(|row| row.name == name)
            .expect("it was measured");
        // What finds the target when it is away is no false alarm.
        let told = share(row.alarms - row.real, row.check_days) * 10.0;
        if told > goal {
            missed.push(format!("{name}: {told:.1} false, at most {goal}"));
        }
    }
    let (_, found) = &measured.found[0];
    for (name, median, p95) in GOALS {
        let row = found
            .iter()
            .find(|row| row.name == name)
            .expect("it was measured");
        if row.at(50) > median || row.at(95) > p95 {
            let (a, b) = (row.at(50), row.at(95));
            missed.push(format!(
                "{name}: {a:.0}/{b:.0} s, at most {median:.0}/{p95:.0}"
            ));
        }
    }
    let alarms = measured.replayed.alarms;
    if alarms > 0 {
        missed.push(format!("recorded observations: {alarms} alarms, at most 0"));
    }
    for pace in &measured.pace {
        let told = share(pace.alarms, pace.check_days) * 10.0;
        if pace.goal && told > SLOW_GOAL {
            missed.push(format!("slowness: {told:.1} false, at most {SLOW_GOAL}"));
        }
    }
    let worst = measured.flapping[0].1.iter().max().copied().unwrap_or(0);
    if worst > FLAP_GOAL {
        missed.push(format!("flapping: {worst} notices, at most {FLAP_GOAL}"));
    }
    missed
}

/// The page.
pub(super) fn page(measured: &Measured) -> String {
    let mut out = String::new();
    let Measured { seed, trials, .. } = measured;
    let goal_trials = trials * GOAL_TIMES;
    let _ = write!(
        out,
        "# How well detection does\n\n\
        Written by `cargo xtask truth detect` (seed {seed}, {trials} outages of each kind, {goal_trials} in the\n\
        world that has goals). Simulated, each minute of a world after the other, through\n\
        `bellwether_diagnose::detect` as it stands in the hub.\n\n\
        The world: vantages in four regions, a probe of each check each minute at each vantage, staggered.\n\
        50 other targets stand beside the judged one unless a row says otherwise. Noise **N1**: 0.5 % of the\n\
        probes are lost; a vantage has 0.5 episodes a day of 300 s with 60 % loss; a region 0.1 a day of 600 s\n\
        with 50 %. **N2** adds bursts of SERVFAIL at a vantage's resolver (2 a day, 20 s, 50 %), deployments of\n\
        5 s at each target once a day (the target is away: an alarm within a minute is no false one, and stands\n\
        in a column of its own), agents that hang for 90 s and tell afterwards, clocks two minutes wrong, results that come twice or late.\n\
        An unexpected result is confirmed by up to five visits 2 s apart that end at the first success; the\n\
        first comes 2 s after the failure, and asked on while more than one failure stands or all results\n\
        together speak for a grey failure. Below six vantages no region and no network is named: an alarm speaks of all.\n\n\
        What a group has to show, what all together have to say and when to ask on were chosen on the seeds\n\
        101 to 104; the figures below are of seed {seed}.\n\n\
        Intervals are Wilson's at 95 %. Check-days of one world share its episodes, so they are a little too\n\
        narrow for false alarms.\n\n## False alarms\n\n\
        | world | check-days | false alarms | in 1,000 days | 95 % | goal | found deployments | visits added |\n|---|---|---|---|---|---|---|---|\n",
    );
    for row in &measured.falses {
        let falses = row.alarms - row.real;
        let (low, high) = wilson(falses, row.check_days);
        let goal = FALSE_GOALS.iter().find(|(name, _)| *name == row.name);
        let goal = goal.map_or(String::new(), |(_, goal)| format!("≤ {goal:.0}"));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.1} | {:.1}–{:.1} | {goal} | {} | {:.1} % |",
            row.name,
            row.check_days,
            falses,
            share(falses, row.check_days) * 10.0,
            low * 1000.0,
            high * 1000.0,
            row.real,
            row.extra * 100.0,
        );
    }
    silenced(&mut out, measured);
    replayed(&mut out, &measured.replayed);
    let nanos: Vec<f64> = measured.falses.iter().map(|row| row.nanos).collect();
    let _ = write!(
        out,
        "\nOne result costs {:.1} µs of CPU (median of the rows; the simulation itself included).\n\n\
        ## Time to detect\n\n\
        From the begin of the fault to the alarm, seconds; what is not found within an hour (an outage of\n\
        60 s: within two minutes) is missed and counts as never. \"Onset\" is how far the told begin lies from\n\
        the true one, median. \"Scope\" is the share whose channel (all, or a group) fits the fault.\n\n\
        | world | fault | median | p95 | missed (95 %) | onset | scope | goal |\n|---|---|---|---|---|---|---|---|\n",
        percentile(&nanos, 50) / 1000.0,
    );
    for (i, (world, found)) in measured.found.iter().enumerate() {
        for row in found {
            let goal = GOALS
                .iter()
                .find(|(name, _, _)| *name == row.name && i == 0);
            let goal = goal.map_or(String::new(), |(_, a, b)| format!("≤ {a:.0}/{b:.0}"));
            row_of(&mut out, world, row, &goal);
        }
    }
    flapping(&mut out, measured);
    slowness(&mut out, measured);
    out
}

fn row_of(out: &mut String, world: &str, row: &Found, goal: &str) {
    let (low, high) = wilson(row.missed(), row.trials);
    let missed = format!(
        "{:.0} % ({:.1}–{:.1})",
        share(row.missed(), row.trials),
        low * 100.0,
        high * 100.0
    );
    let _ = writeln!(
        out,
        "| {world} | {} | {} | {} | {missed} | {} | {:.0} % | {goal} |",
        row.name,
        time(row.at(50), 0),
        time(row.at(95), 0),
        time(percentile(&row.onset, 50), 0),
        share(row.fits, row.seconds.len()),
    );
}

fn flapping(out: &mut String, measured: &Measured) {
    let _ = write!(
        out,
        "\n## Flapping\n\n\
        An hour of a target that is away for half of each period, 12 vantages, N1; all that is told of it\n\
        until four hours after it began: alarm, flapping, all clear. 20 hours each; goal for two minutes:\n\
        at most {FLAP_GOAL}.\n\n| period | median | most |\n|---|---|---|\n",
    );
    for (name, told) in &measured.flapping {
        let mut told = told.clone();
        told.sort_unstable();
        let most = told.last().copied().unwrap_or(0);
        let _ = writeln!(out, "| {name} | {} | {most} |", told[told.len() / 2]);
    }
}

/// Who was not believed.
fn silenced(out: &mut String, measured: &Measured) {
    let _ = write!(
        out,
        "\nWhere it is **judged** who may be heard, `bellwether_diagnose::vantages` stands before detection, as in the\n\
        hub with several vantages; those of one network share their episodes. A vantage that is not believed is\n\
        no evidence until it is heard again. It was well where it had lost less than 10 % for 15 minutes.\n\n\
        | world | vantage-days | not believed | of these well | in 1,000 days | 95 % |\n|---|---|---|---|---|---|\n"
    );
    for row in &measured.falses {
        let Some(days) = row.vantage_days else {
            continue;
        };
        let [all, well] = row.silenced;
        let (low, high) = wilson(well, days);
        let _ = writeln!(
            out,
            "| {} | {days} | {all} | {well} | {:.1} | {:.1}–{:.1} |",
            row.name,
            share(well, days) * 10.0,
            low * 1000.0,
            high * 1000.0,
        );
    }
}

/// What recorded observations raised.
fn replayed(out: &mut String, replayed: &Replayed) {
    let [checks, runs] = replayed.size;
    let [notices, warnings, incidents] = replayed.slow;
    let days = replayed.check_days;
    let (low, high) = wilson(replayed.alarms, days);
    let told = [replayed.alarms, warnings + incidents].map(|told| share(told, days) * 10.0);
    let _ = write!(
        out,
        "\n**Recorded observations** instead of drawn ones, without N1: {runs} runs of {checks} checks that\n\
        `bellwether serve` made a second apart in the worlds of the negative controls and of healthy real\n\
        servers (`xtask/src/truth/recorded.csv`), played at 12 vantages in stretches of up to 15 in their\n\
        order, the stretches shuffled. {} runs in {days} check-days: {} alarms, {:.1} in 1,000 days (95 %:\n\
        {:.1}–{:.1}), goal 0. Slowness: {notices} notices, {warnings} warnings, {incidents} incidents, {:.1} in 1,000 days without\n\
        the notices; the machine had other work and was itself slow at times, and where several vantages\n\
        play such a stretch at once, that is told.\n",
        replayed.runs,
        replayed.alarms,
        told[0],
        low * 1000.0,
        high * 1000.0,
        told[1],
    );
}

fn slowness(out: &mut String, measured: &Measured) {
    let _ = write!(
        out,
        "\n## Slowness\n\n\
        12 targets at 12 vantages, each minute: 20 to 200 ms with 12 % of jitter, a swing by the day of 10 to\n\
        50 %, 1 % of spikes 3 to 20 times as slow, congestion of a vantage once a day (10 to 50 minutes, 1.3 to\n\
        2 times), a change of route every five days (up to 30 % either way). What is usual is estimated from\n\
        what is heard alone, without profiles from the store; one day is learned first. What the median of a\n\
        vantage's other targets loses is the path's, and is taken off; with fewer than eight others nothing is.\n\n\
        | world | check-days | alarms | notices, warnings, incidents | in 1,000 days | 95 % | goal |\n|---|---|---|---|---|---|---|\n",
    );
    for pace in &measured.pace {
        let (low, high) = wilson(pace.alarms, pace.check_days);
        let [notices, warnings, incidents] = pace.grades;
        let goal = if pace.goal {
            format!("≤ {SLOW_GOAL:.0}")
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {notices}, {warnings}, {incidents} | {:.1} | {:.1}–{:.1} | {goal} |",
            pace.name,
            pace.check_days,
            pace.alarms,
            share(pace.alarms, pace.check_days) * 10.0,
            low * 1000.0,
            high * 1000.0,
        );
    }
    let _ = write!(
        out,
        "\nMinutes from the begin of the fault to the alarm; an hour is missed.\n\n\
        | world | fault | median | p95 | missed (95 %) | phase named | grades n/w/i |\n|---|---|---|---|---|---|---|\n"
    );
    for pace in &measured.pace {
        for row in &pace.found {
            slow_row(out, pace.name, row);
        }
    }
}

fn slow_row(out: &mut String, world: &str, row: &pace::Found) {
    let missed = row.trials - row.minutes.len();
    let (low, high) = wilson(missed, row.trials);
    let _ = writeln!(
        out,
        "| {world} | {} | {} | {} | {:.0} % ({:.1}–{:.1}) | {:.0} % | {}/{}/{} |",
        row.name,
        time(row.at(50), 1),
        time(row.at(95), 1),
        share(missed, row.trials),
        low * 100.0,
        high * 100.0,
        share(row.phase, row.minutes.len()),
        row.grades[0],
        row.grades[1],
        row.grades[2],
    );
}

/// Percent.
#[expect(clippy::cast_precision_loss, reason = "counts of a simulation")]
fn share(hits: usize, of: usize) -> f64 {
    if of == 0 {
        0.0
    } else {
        100.0 * hits as f64 / of as f64
    }
}

fn time(value: f64, digits: usize) -> String {
    if value.is_finite() {
        format!("{value:.digits$}")
    } else {
        "missed".into()
    }
}
