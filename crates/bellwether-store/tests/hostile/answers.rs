//! What a store answers, before damage and after it: what is wrong, and what is missing in silence.

use bellwether_model::incident::IncidentState;
use bellwether_model::{CheckId, Digest, Incident, VantageId};
use bellwether_store::{
    Change, CounterRow, Embedded, Gap, Notice, ObservationStore, Rollup, StateStore, Step, Token,
};

use crate::common::*;

pub(crate) fn fill(store: &Embedded, minutes: std::ops::Range<i64>) {
    for minute in minutes {
        let number = minute as u64 + 1;
        let runs =
            (0..3).map(|check| run(check, 60_000, NOON + minute * 60, number * 3 + check as u64));
        store
            .append(&[envelope("a", number, runs.collect())])
            .unwrap();
    }
}

pub(crate) fn fill_state(store: &Embedded) {
    let evidence = |n: u8| Change::Evidence {
        at: at(NOON),
        bytes: vec![n; 500],
    };
    let counter = CounterRow {
        source: "edge".into(),
        service: "shop".into(),
        from: at(NOON),
        to: at(NOON + 60),
        attributes: vec![],
        total: 9,
        failed: 1,
    };
    let token = Token {
        name: "ci".into(),
        hash: Digest([5; 32]),
        scopes: vec!["read".into()],
        created: at(NOON),
        expires: None,
    };
    let notice = Notice {
        id: 0,
        incident: 1,
        at: at(NOON),
        kind: "opened".into(),
        text: "x".into(),
    };
    store
        .commit(&[
            Change::Incident(Box::new(incident(1, IncidentState::Open, vec![]))),
            Change::Incident(Box::new(incident(2, IncidentState::Resolved, vec![]))),
            Change::Notice(notice),
            Change::Counters(vec![counter]),
            Change::Token(token),
            Change::Checkpoint {
                key: "k".into(),
                bytes: Some(vec![1; 300]),
            },
        ])
        .unwrap();
    store
        .commit(&(0..5).map(evidence).collect::<Vec<_>>())
        .unwrap();
}

/// Everything that a store can be asked here; an error is none.
#[derive(PartialEq)]
pub(crate) struct Answers {
    pub(crate) series: Vec<(Vec<bellwether_model::Run>, Vec<Gap>)>,
    pub(crate) rollups: Vec<Option<Vec<Rollup>>>,
    pub(crate) cursor: Option<u64>,
    pub(crate) names: Option<Vec<(CheckId, VantageId)>>,
    pub(crate) incidents: Option<Vec<Incident>>,
    pub(crate) open: Option<Vec<Incident>>,
    pub(crate) outbox: Option<Vec<Notice>>,
    pub(crate) tokens: Option<Vec<Token>>,
    pub(crate) counters: Option<Vec<CounterRow>>,
    pub(crate) evidence: Vec<Option<Option<Vec<u8>>>>,
    pub(crate) checkpoint: Option<Option<Vec<u8>>>,
}

pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest(<sha2::Sha256 as sha2::Digest>::digest(bytes).into())
}

pub(crate) fn answers(store: &Embedded) -> Answers {
    let series = (0..3).map(|check| {
        let series = all_runs(store, check);
        (series.runs, series.gaps)
    });
    let range = at(NOON - 86_400)..at(NOON + 86_400 * 2);
    let rollups = (0..3).flat_map(|check| {
        [Step::Hour, Step::Day].map(|step| {
            store
                .rollups(&[(check_of(check), vantage())], step, range.clone())
                .ok()
        })
    });
    Answers {
        series: series.collect(),
        rollups: rollups.collect(),
        cursor: store.cursor("a").ok().map(|c| c.number),
        names: store.all_series().ok(),
        incidents: store.incidents(None, 10).ok(),
        open: store.open_incidents().ok(),
        outbox: store.outbox(10).ok(),
        tokens: store.tokens().ok(),
        counters: store.counters("shop", at(NOON)..at(NOON + 60)).ok(),
        evidence: (0..5u8)
            .map(|n| store.evidence(&digest_of(&[n; 500])).ok())
            .collect(),
        checkpoint: store.checkpoint("k").ok(),
    }
}

/// Whether an answer is none, or holds nothing that is not true.
fn within<T: PartialEq>(found: Option<&Vec<T>>, truth: Option<&Vec<T>>) -> bool {
    let truth = truth.map_or(&[][..], Vec::as_slice);
    found.is_none_or(|found| found.iter().all(|one| truth.contains(one)))
}

/// Whether each piece is an error, said to be lost, or what it was.
fn pieces(found: &[Option<Option<Vec<u8>>>], truth: &[Option<Option<Vec<u8>>>]) -> bool {
    let lost = |piece: &Option<Option<Vec<u8>>>| matches!(piece, None | Some(None));
    let mut both = found.iter().zip(truth);
    both.all(|(found, truth)| lost(found) || found == truth)
}

/// Whether no step of a roll-up counts more than it did.
fn counts(found: Option<&Vec<Rollup>>, truth: Option<&Vec<Rollup>>) -> bool {
    let truth = truth.map_or(&[][..], Vec::as_slice);
    found.into_iter().flatten().all(|found| {
        let of = truth.iter().find(|truth| truth.from == found.from);
        of.is_some_and(|truth| {
            let mut both = found.outcomes.iter().zip(&truth.outcomes);
            both.all(|(found, truth)| found <= truth) && found.total.count() <= truth.total.count()
        })
    })
}

/// What no damage excuses, told or not: an answer that was never true. Something that is missing is
/// none.
pub(crate) fn wrong(found: &Answers, truth: &Answers) -> Option<&'static str> {
    let mut series = found.series.iter().zip(&truth.series);
    let runs = series.all(|((runs, _), (truth, _))| within(Some(runs), Some(truth)));
    let mut rollups = found.rollups.iter().zip(&truth.rollups);
    let rollups = rollups.all(|(found, truth)| counts(found.as_ref(), truth.as_ref()));
    let one = |answers: &Answers| [answers.checkpoint.clone()];
    let right = [
        ("runs", runs),
        ("roll-ups", rollups),
        ("evidence", pieces(&found.evidence, &truth.evidence)),
        ("checkpoint", pieces(&one(found), &one(truth))),
        ("cursor", found.cursor <= truth.cursor),
        ("names", within(found.names.as_ref(), truth.names.as_ref())),
        (
            "incidents",
            within(found.incidents.as_ref(), truth.incidents.as_ref()),
        ),
        ("open", within(found.open.as_ref(), truth.open.as_ref())),
        (
            "outbox",
            within(found.outbox.as_ref(), truth.outbox.as_ref()),
        ),
        (
            "tokens",
            within(found.tokens.as_ref(), truth.tokens.as_ref()),
        ),
        (
            "counters",
            within(found.counters.as_ref(), truth.counters.as_ref()),
        ),
    ];
    right
        .into_iter()
        .find_map(|(what, right)| (!right).then_some(what))
}

/// What is missing without anybody saying so: where nothing is told, each answer is an error, says
/// its gaps, or is what it was.
pub(crate) fn silent(found: &Answers, truth: &Answers) -> Option<&'static str> {
    fn same<T: PartialEq>(found: &Option<T>, truth: &Option<T>) -> bool {
        found.is_none() || found == truth
    }
    let mut series = found.series.iter().zip(&truth.series);
    let mut rollups = found.rollups.iter().zip(&truth.rollups);
    let mut evidence = found.evidence.iter().zip(&truth.evidence);
    let same = [
        (
            "runs",
            series.all(|(found, truth)| found.0 == truth.0 || !found.1.is_empty()),
        ),
        ("roll-ups", rollups.all(|(found, truth)| same(found, truth))),
        (
            "evidence",
            evidence.all(|(found, truth)| same(found, truth)),
        ),
        ("cursor", found.cursor == truth.cursor),
        ("names", found.names == truth.names),
        ("incidents", same(&found.incidents, &truth.incidents)),
        ("open", same(&found.open, &truth.open)),
        ("outbox", same(&found.outbox, &truth.outbox)),
        ("tokens", same(&found.tokens, &truth.tokens)),
        ("counters", same(&found.counters, &truth.counters)),
        ("checkpoint", same(&found.checkpoint, &truth.checkpoint)),
    ];
    same.into_iter()
        .find_map(|(what, same)| (!same).then_some(what))
}

#[test]
fn a_wrong_answer_is_not_excused_and_a_missing_one_must_be_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), NOON);
    fill(&store, 0..5);
    fill_state(&store);
    let truth = answers(&store);
    let changed = |change: &dyn Fn(&mut Answers)| {
        let mut found = answers(&store);
        change(&mut found);
        (wrong(&found, &truth), silent(&found, &truth))
    };
    assert_eq!(changed(&|_| ()), (None, None));
    let cursor = changed(&|found| found.cursor = Some(99));
    assert_eq!(cursor.0, Some("cursor"));
    let run = changed(&|found| found.series[0].0[2].late += 1);
    assert_eq!(run.0, Some("runs"));
    let evidence = changed(&|found| found.evidence[1] = Some(Some(vec![7])));
    assert_eq!(evidence.0, Some("evidence"));
    let missing = changed(&|found| found.series[1].0.truncate(3));
    assert_eq!(missing, (None, Some("runs")));
    let incident = changed(&|found| found.open = Some(vec![]));
    assert_eq!(incident, (None, Some("open")));
    let more = changed(&|found| {
        for rollup in found.rollups[0].iter_mut().flatten() {
            rollup.outcomes[0] += 1;
        }
    });
    assert_eq!(more.0, Some("roll-ups"));
}
