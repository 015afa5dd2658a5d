//! Tables of what jobs do and when, and any sequence of it.

use bellwether_model::{Cause, FactKind, Report};
use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3_600;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

/// Every hour, five minutes of grace.
fn hourly() -> Terms<'static> {
    Terms {
        name: "nightly",
        rhythm: Rhythm::Every(Duration::from_secs(HOUR)),
        grace: Duration::from_secs(300),
        max_run: None,
    }
}

fn limited() -> Terms<'static> {
    Terms {
        max_run: Some(Duration::from_secs(1_800)),
        ..hourly()
    }
}

/// Configured at 0, with these signals since.
fn heard(signals: &[(i64, Signal)]) -> Heard {
    let mut heard = Heard::new(at(0));
    for (seconds, signal) in signals {
        heard.ping(&Ping::new(at(*seconds), *signal));
    }
    heard
}

fn named(seconds: i64, signal: Signal, rid: &str) -> Ping {
    Ping {
        rid: Some(rid.to_owned()),
        ..Ping::new(at(seconds), signal)
    }
}

fn told(heard: &Heard, terms: &Terms<'_>, seconds: i64) -> Report {
    let now = at(seconds);
    let state = judge(heard, terms, None, now);
    report(heard, terms, &state, "0", now).unwrap()
}

#[test]
fn verdicts_by_time() {
    use Signal::{Exit, Fail, Log, Start, Success};
    use Verdict::{Broken, Healthy, Unknown};
    /// Signals, when it is looked, what is to be said.
    type Row<'r> = (&'r [(i64, Signal)], i64, Verdict);
    let rows: &[Row<'_>] = &[
        // Never heard: not late until a whole period and the grace after it was configured.
        (&[], 0, Unknown),
        (&[], 3_900, Unknown),
        (&[], 3_901, Broken),
        // What it says beside its ends is no report.
        (&[(10, Log)], 3_901, Broken),
        (&[(10, Start)], 3_900, Unknown),
        (&[(10, Start)], 3_901, Broken),
        // In time, in its grace, late.
        (&[(100, Success)], 3_700, Healthy),
        (&[(100, Success)], 4_000, Healthy),
        (&[(100, Success)], 4_001, Broken),
        (&[(100, Success), (4_100, Success)], 4_101, Healthy),
        // Exit status.
        (&[(100, Exit(0))], 101, Healthy),
        (&[(100, Exit(1))], 101, Broken),
        (&[(100, Exit(255))], 101, Broken),
        (&[(100, Fail)], 101, Broken),
        (&[(100, Fail), (200, Success)], 201, Healthy),
        (&[(100, Success), (200, Fail)], 201, Broken),
        // A failure is a report, and the next one is due a period later.
        (&[(100, Fail), (200, Log), (300, Start)], 301, Broken),
        // Begun, and never ended.
        (&[(100, Success), (3_000, Start)], 4_000, Healthy),
        (&[(100, Success), (3_000, Start)], 4_001, Broken),
        // Stamped later than now: the clock was set back.
        (&[(9_000, Success)], 100, Healthy),
    ];
    for (signals, seconds, verdict) in rows {
        let heard = heard(signals);
        let state = judge(&heard, &hourly(), None, at(*seconds));
        assert_eq!(
            state.verdict, *verdict,
            "{signals:?} at {seconds}: {state:?}"
        );
        assert_eq!(state.since.is_some(), *verdict == Broken, "{state:?}");
    }
}

#[test]
fn a_run_is_held_to_its_limit_and_to_nothing_else() {
    use Signal::{Exit, Fail, Start, Success};
    use Verdict::{Broken, Healthy};
    /// Signals, when it is looked, what is to be said.
    type Row<'r> = (&'r [(i64, Signal)], i64, Verdict);
    let rows: &[Row<'_>] = &[
        // It began in time: due is its end.
        (&[(100, Success), (3_600, Start)], 5_400, Healthy),
        (&[(100, Success), (3_600, Start)], 5_401, Broken),
        // It ended late, but it ended.
        (
            &[(100, Success), (3_600, Start), (6_000, Success)],
            6_001,
            Healthy,
        ),
        (
            &[(100, Success), (3_600, Start), (3_700, Exit(3))],
            3_701,
            Broken,
        ),
        // One that is begun again and again and never ends is held to the first.
        (
            &[(100, Success), (3_600, Start), (5_000, Start)],
            5_401,
            Broken,
        ),
        // Nothing was begun: due is the report.
        (&[(100, Success)], 4_001, Broken),
        (&[(100, Success), (200, Start), (300, Fail)], 301, Broken),
    ];
    for (signals, seconds, verdict) in rows {
        let state = judge(&heard(signals), &limited(), None, at(*seconds));
        assert_eq!(
            state.verdict, *verdict,
            "{signals:?} at {seconds}: {state:?}"
        );
    }
    let began = at(3_600);
    let state = judge(
        &heard(&[(100, Signal::Success), (3_600, Signal::Start)]),
        &limited(),
        None,
        at(5_500),
    );
    assert_eq!(state.awaited, Awaited::End { began });
    assert_eq!(state.late_by(at(5_500)), Some(Duration::from_secs(100)));
    assert_eq!(state.since, Some(at(5_400)));
}

#[test]
fn runs_with_an_id_are_told_apart() {
    let mut heard = Heard::new(at(0));
    heard.ping(&named(100, Signal::Start, "a"));
    heard.ping(&named(200, Signal::Start, "b"));
    heard.ping(&named(300, Signal::Success, "b"));
    assert_eq!(heard.running_since(), Some(at(100)), "a goes on");
    assert_eq!(heard.ended.as_ref().unwrap().took_ms, Some(100_000));
    heard.ping(&named(400, Signal::Success, "a"));
    assert_eq!(heard.running_since(), None);
    assert_eq!(heard.ended.as_ref().unwrap().took_ms, Some(300_000));
    // The end overtook the start.
    heard.ping(&named(500, Signal::Success, "c"));
    heard.ping(&named(501, Signal::Start, "c"));
    assert_eq!(heard.running_since(), None);
    // Who says nothing of runs ends them all.
    heard.ping(&named(600, Signal::Start, "d"));
    heard.ping(&Ping::new(at(601), Signal::Success));
    assert_eq!(heard.running_since(), None);
    for number in 0..100 {
        heard.ping(&named(700, Signal::Start, &format!("{number}")));
    }
    assert_eq!(heard.runs.len(), RUNS_MAX);
}

#[test]
fn while_nobody_could_hear_it_nothing_is_held_against_it() {
    let heard = heard(&[(100, Signal::Success)]);
    // Due at 3,700, late after 4,000.
    let verdict = |gap: (i64, i64), seconds: i64| {
        let gap = Gap {
            from: at(gap.0),
            until: at(gap.1),
        };
        judge(&heard, &hourly(), Some(gap), at(seconds)).verdict
    };
    // It fell due while we were away: one more grace, from when we are back.
    assert_eq!(verdict((3_000, 5_000), 5_000), Verdict::Unknown);
    assert_eq!(verdict((3_000, 5_000), 5_300), Verdict::Unknown);
    assert_eq!(verdict((3_000, 5_000), 5_301), Verdict::Broken);
    // We were back before it was due, or went after it was late.
    assert_eq!(verdict((3_000, 3_600), 4_001), Verdict::Broken);
    assert_eq!(verdict((4_000, 5_000), 5_001), Verdict::Broken);
    // We went in its grace.
    assert_eq!(verdict((3_900, 4_100), 4_101), Verdict::Unknown);
    assert_eq!(verdict((3_900, 4_100), 4_401), Verdict::Broken);
    // A job that said it failed has failed.
    let failed = self::heard(&[(100, Signal::Exit(2))]);
    let gap = Gap {
        from: at(200),
        until: at(9_000),
    };
    let state = judge(&failed, &hourly(), Some(gap), at(9_001));
    assert_eq!((state.verdict, state.missed), (Verdict::Broken, false));
}

#[test]
fn clocks_that_are_set_make_nothing_late() {
    let mut heard = heard(&[(100, Signal::Success), (3_000, Signal::Success)]);
    // Since 2,000 we run, and at 3,100 the clock is set to 9,100: the report was 100 s ago.
    heard.clock_set_forward(at(2_000), SignedDuration::from_secs(6_000));
    assert_eq!(heard.known_since, at(0), "stamped by a clock before");
    assert_eq!(heard.last_success, Some(at(9_000)));
    let due = judge(&heard, &hourly(), None, at(9_100)).due;
    assert_eq!(due, Some(at(12_600)));
    // And back: what is to come counts as of now.
    heard.clock_set_back(at(3_200));
    assert_eq!(heard.last_success, Some(at(3_200)));
}

#[test]
fn another_rhythm_begins_anew() {
    let mut heard = heard(&[(100, Signal::Success)]);
    heard.known_since = at(9_000);
    let state = judge(&heard, &hourly(), None, at(9_001));
    assert_eq!(
        (state.verdict, state.due),
        (Verdict::Healthy, Some(at(12_600)))
    );
}

/// Every whole hour by the clock.
fn whole_hours(after: Timestamp) -> Option<Timestamp> {
    let hours = after.as_second().div_euclid(3_600) + 1;
    Timestamp::from_second(hours * 3_600).ok()
}

#[test]
fn times_are_reported_for_also_a_little_early() {
    let terms = Terms {
        rhythm: Rhythm::Times(&whole_hours),
        ..hourly()
    };
    let hour = whole_hours(at(0)).unwrap();
    let due = |report: SignedDuration| {
        let mut heard = Heard::new(at(0));
        heard.ping(&Ping::new(hour + report, Signal::Success));
        judge(&heard, &terms, None, hour).due.unwrap() - hour
    };
    for (seconds, hours) in [(-31, 0), (-30, 1), (0, 1), (60, 1), (3_569, 1), (3_571, 2)] {
        let expected = jiff::Span::new().seconds(hours * 3_600).fieldwise();
        let report = SignedDuration::from_secs(seconds);
        assert_eq!(due(report).fieldwise(), expected, "{seconds} s");
    }
    // One that never reported is not due by the time that follows at once.
    let new = Heard::new(hour - SignedDuration::from_secs(1));
    let first = judge(&new, &terms, None, hour).due.unwrap();
    assert_eq!(first, whole_hours(hour).unwrap());
}

#[test]
fn what_never_comes_round_is_never_late() {
    let never = |_: Timestamp| None;
    let terms = Terms {
        rhythm: Rhythm::Times(&never),
        ..hourly()
    };
    for heard in [heard(&[]), heard(&[(1, Signal::Success)])] {
        let state = judge(&heard, &terms, None, at(1_000_000_000));
        assert!(!state.missed && state.due.is_none(), "{state:?}");
    }
}

#[test]
fn what_is_told_of_one_that_is_missed() {
    let report = told(&heard(&[(100, Signal::Success)]), &hourly(), 4_500);
    let [finding] = &report.findings[..] else {
        panic!("{report:?}")
    };
    assert_eq!(finding.cause, Cause::AppStepFailed);
    let [fact] = &finding.facts[..] else {
        panic!("{finding:?}")
    };
    assert_eq!(fact.fact, FactKind::HeartbeatMissed);
    assert_eq!(fact.value["late_seconds"], 800);
    assert_eq!(fact.value["due"], at(3_700).to_string());
    assert_eq!(fact.value["last_ping"], at(100).to_string());
    assert_eq!(report.target, "@heartbeat/nightly");
    // The sentence stays as it is while it goes on.
    let later = told(&heard(&[(100, Signal::Success)]), &hourly(), 9_000);
    assert_eq!(finding.summary, later.findings[0].summary);
    let began = told(
        &heard(&[(100, Signal::Success), (200, Signal::Start)]),
        &limited(),
        4_500,
    );
    let summary = &began.findings[0].summary;
    assert!(summary.contains("did not end by"), "{summary}");
    let never = told(&heard(&[]), &hourly(), 4_500);
    assert!(never.findings[0].summary.contains("it never did"));
}

#[test]
fn what_a_job_says_is_inert() {
    let mut heard = heard(&[(50, Signal::Success)]);
    heard.ping(&Ping {
        log: Some("start\n\u{1b}[2J<script>alert(1)</script>\r\n\u{202e}end\u{0}".to_owned()),
        ..Ping::new(at(100), Signal::Exit(3))
    });
    let report = told(&heard, &hourly(), 101);
    let finding = &report.findings[0];
    assert_eq!(finding.facts[0].fact, FactKind::HeartbeatFailed);
    assert_eq!(finding.facts[0].value["exit"], 3);
    let log = finding.facts[0].value["log"].as_str().unwrap();
    assert_eq!(
        log,
        r"start \u{1b}[2J<script>alert(1)</script> \u{202e}end\u{0}"
    );
    assert!(finding.summary.contains("failed with exit status 3"));
    assert!(!finding.summary.contains('\u{1b}'));
    // Both, and both are told.
    let report = told(&heard, &hourly(), 9_000);
    let kinds: Vec<FactKind> = report.findings[0].facts.iter().map(|f| f.fact).collect();
    assert_eq!(
        kinds,
        [FactKind::HeartbeatMissed, FactKind::HeartbeatFailed]
    );
}

#[test]
fn of_a_long_text_the_end_is_kept() {
    let mut heard = heard(&[]);
    let long = format!("{}the end", "ü".repeat(LOG_LEN_MAX));
    heard.ping(&Ping {
        log: Some(long),
        rid: Some("r".repeat(10_000)),
        ..Ping::new(at(1), Signal::Fail)
    });
    let end = heard.ended.unwrap();
    let log = end.log.unwrap();
    assert!(log.len() <= LOG_LEN_MAX && log.ends_with("the end"));
    assert_eq!(end.rid.unwrap().len(), RID_LEN_MAX);
}

fn signals() -> impl Strategy<Value = Signal> {
    prop_oneof![
        Just(Signal::Start),
        Just(Signal::Success),
        Just(Signal::Fail),
        Just(Signal::Log),
        any::<u8>().prop_map(Signal::Exit),
    ]
}

fn pings() -> impl Strategy<Value = Ping> {
    let when = prop_oneof![
        0..200_000i64,
        Just(-400_000_000_000i64),
        Just(200_000_000_000i64)
    ];
    let rid = proptest::option::of("[ab]");
    let log = proptest::option::of(any::<String>());
    (
        when,
        signals(),
        rid,
        log,
        proptest::option::of(any::<u64>()),
    )
        .prop_map(|(seconds, signal, rid, log, took_ms)| Ping {
            at: Timestamp::from_second(1_790_000_000 + seconds).unwrap_or(Timestamp::MAX),
            signal,
            rid,
            took_ms,
            log,
        })
}

proptest! {
    /// Whatever comes in and whenever it is looked: nothing panics, the verdict follows from what is
    /// remembered, which comes back from a disk as it was, and a success in time is well.
    #[test]
    fn any_sequence_is_judged_by_its_facts(
        pings in proptest::collection::vec(pings(), 0..20),
        every in 1..100_000u64,
        grace in 0..100_000u64,
        max_run in proptest::option::of(1..100_000u64),
        gap in proptest::option::of((0..200_000i64, 0..200_000i64)),
        seconds in -100_000..300_000i64,
    ) {
        let mut heard = Heard::new(at(0));
        pings.iter().for_each(|ping| heard.ping(ping));
        let seconds_of = Duration::from_secs;
        let terms = Terms {
            name: "any",
            rhythm: Rhythm::Every(seconds_of(every)),
            grace: seconds_of(grace),
            max_run: max_run.map(seconds_of),
        };
        let gap = gap.map(|(from, long)| Gap { from: at(from), until: at(from + long) });
        let now = at(seconds);
        let state = judge(&heard, &terms, gap, now);
        let kept = serde_json::to_vec(&heard).unwrap();
        let back: Heard = serde_json::from_slice(&kept).unwrap();
        prop_assert_eq!(judge(&back, &terms, gap, now), state);
        prop_assert_eq!(state.verdict == Verdict::Broken, state.missed || state.failed);
        prop_assert_eq!(state.since.is_some(), state.verdict == Verdict::Broken);
        prop_assert!(kept.len() < 64 * 1024, "bounded");
        let report = report(&heard, &terms, &state, "0", now);
        prop_assert_eq!(report.is_none(), state.verdict == Verdict::Unknown);
        // A gap only ever helps.
        if judge(&heard, &terms, None, now).verdict == Verdict::Healthy {
            prop_assert_eq!(state.verdict, Verdict::Healthy);
        }
        // What ends well just now is well.
        heard.ping(&Ping::new(now, Signal::Success));
        prop_assert_eq!(judge(&heard, &terms, gap, now).verdict, Verdict::Healthy);
        heard.clock_set_back(at(-200_000));
        let _ = judge(&heard, &terms, gap, at(-200_000));
    }
}
