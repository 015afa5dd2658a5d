//! What holds whenever the program is restarted, and in whatever order things of one instant come.

use std::collections::BTreeMap;

use bellwether_model::incident::IncidentState;
use bellwether_model::{Cause, Incident};
use proptest::prelude::*;

use super::super::*;
use super::stage::*;
use super::{stories, weather};

/// A story in which something of everything happens.
fn everything() -> Story {
    let mut story = stories::wrong_delegation(120);
    story.steps.extend(weather::operators().steps);
    let ends = root(Cause::CertExpired, "ends soon")
        .addresses(&["192.0.2.1"])
        .warns();
    let warned = report(bellwether_model::Verdict::Healthy, vec![ends]);
    for when in [100, 160, 220] {
        story.trace(when, "cert/main", &warned);
    }
    story.run(300, "runs/main", "9.9.9.9", Some("tls.alert"));
    story.alarm(305, 300, "runs/main");
    story.run(320, "runs/main", "9.9.9.9", None);
    story.trace(321, "runs/main", &healthy());
    story.trace(325, "runs/main", &healthy());
    story.push(330, Step::Act(1, Act::Acknowledge));
    story.push(340, Step::Gone("wiki/main"));
    story.steps.sort_by_key(|(when, _)| *when);
    story
}

#[test]
fn a_restart_at_any_point_changes_nothing() {
    let story = everything();
    let told = play(&story);
    assert_eq!(told.kept.len(), 5, "all sorts are among them");
    for cut in 0..story.steps.len() {
        let again = play_with(&story, |n| n == cut);
        let when = story.steps[cut].0;
        assert!(again == told, "restarted before step {cut}: {when}");
    }
    let always = play_with(&story, |_| true);
    assert!(always == told, "restarted at every step");
    let flapping = weather::flapping();
    assert!(play_with(&flapping, |_| true) == play(&flapping));
}

/// Without a checkpoint nothing is told twice, and nothing is taken for healed.
#[test]
fn without_a_checkpoint_no_alarm_is_repeated_and_nothing_has_healed() {
    let refused = bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&["192.0.2.1"]),
    ]);
    let mut story = Story::default();
    story.trace(0, "shop/main", &refused);
    story.trace(5, "shop/main", &refused);
    let told = play(&story);
    for memory in [None, Some(&b"damaged"[..]), Some(&br#"{"version":99}"#[..])] {
        let open = told.kept.values().cloned().collect();
        let mut book = Book::restore(open, memory, 2);
        let mut report = refused.clone();
        let mut notices = 0;
        let mut see = |book: &mut Book, report: &bellwether_model::Report, when: i64| {
            let mut report = report.clone();
            report.began = at(when);
            let step = Step::Trace("local", "shop/main", Box::new(report));
            let mut updates = act_out(book, &step, at(when));
            updates.extend(book.tick(at(when)));
            for update in updates {
                if let Update::Changed { notices: told, .. } = update {
                    notices += told.len();
                }
            }
        };
        report.began = at(30);
        see(&mut book, &report, 30);
        see(&mut book, &report, 90);
        see(&mut book, &healthy(), 150);
        assert_eq!(notices, 0);
        let states: Vec<IncidentState> = book.open().map(|i| i.state).collect();
        assert_eq!(states, [IncidentState::Open]);
        assert_eq!(book.next_id(), 2);
    }
}

#[test]
fn a_healthy_check_costs_a_checkpoint_little() {
    let mut book = Book::new();
    let names: Vec<String> = (0..100).map(|n| format!("service-{n}/main")).collect();
    for name in &names {
        let key = key(name);
        let trace = JudgedTrace {
            check: &key.0,
            vantage: &key.1,
            report: &healthy(),
            evidence: None,
            depends: &[],
        };
        book.traced(&trace, at(0));
    }
    let size = book.checkpoint().len() / names.len();
    assert!(size < 400, "{size} bytes for each");
    assert!(
        book.checkpoint_of_amiss().len() < 100,
        "and nothing where only what is amiss counts"
    );
    let first = CheckId::new("service-0", "main");
    assert!((100..400).contains(&book.checkpoint_of([&first]).len()));
}

#[test]
fn an_incident_of_very_many_checks_names_its_evidence_at_once() {
    let mut book = Book::new();
    let names: Vec<String> = (0..100).map(|n| format!("service-{n}/main")).collect();
    let fault = root(Cause::NetTcpRefused, "192.0.2.7 refuses").addresses(&["192.0.2.7"]);
    let mut report = bad(vec![fault]);
    let mut see = |name: &str, when: i64, evidence: Digest| {
        let key = key(name);
        report.began = at(when);
        let trace = JudgedTrace {
            check: &key.0,
            vantage: &key.1,
            report: &report,
            evidence: Some(evidence),
            depends: &[],
        };
        let updates = book.traced(&trace, at(when));
        let told = updates.iter().any(|update| {
            matches!(update, Update::Changed { incident, .. } if incident.evidence.contains(&evidence))
        });
        (
            told,
            book.names(&key.0, &evidence),
            book.names(&check("other/main"), &evidence),
        )
    };
    for round in 0..3 {
        for name in &names {
            see(name, round * 60, Digest([round as u8; 32]));
        }
    }
    let (told, named, elsewhere) = see(&names[7], 300, Digest([99; 32]));
    assert!(!told, "it is written anew with the next tick");
    assert!(named && !elsewhere);
    assert_eq!(book.open().count(), 1);
    let later = book.tick(at(301));
    let evidence = later.iter().any(|update| {
        matches!(update, Update::Changed { incident, .. } if incident.evidence.contains(&Digest([99; 32])))
    });
    assert!(evidence, "then it is");
}

/// The incidents without their numbers, which follow the order in which they came.
fn numberless(kept: &BTreeMap<u64, Incident>) -> Vec<Incident> {
    let mut all: Vec<Incident> = kept.values().cloned().collect();
    all.sort_by_key(|i| (i.cause, i.began, i.checks.first().map(|c| c.check.clone())));
    for incident in &mut all {
        incident.id = 0;
        let caveats = incident.caveats.iter_mut();
        let lines = incident.timeline.iter_mut().map(|m| &mut m.text);
        for text in caveats.chain(lines) {
            *text = unnumbered(text);
        }
    }
    all
}

/// A sentence without the numbers of incidents.
fn unnumbered(text: &str) -> String {
    let without = |text: &str, word: &str| -> String {
        let parts = text.split(word).enumerate();
        let plain = parts.map(|(n, part)| match n {
            0 => part.to_owned(),
            _ => {
                let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
                format!("{word}{rest}")
            }
        });
        plain.collect()
    };
    without(&without(text, "incident "), "Incident ")
}

/// Rounds of traces of six services on three operators: in each round each is well, or fails by one
/// of some causes at a name server of its own operator.
fn rounds(causes: u8) -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(0..=causes, 6), 2..12)
}

const CHECKS: [&str; 6] = ["a/m", "b/m", "c/m", "d/m", "e/m", "f/m"];

fn play_rounds(rounds: &[Vec<u8>], order: &[usize]) -> Story {
    let mut story = Story::default();
    for (round, states) in rounds.iter().enumerate() {
        let when = i64::try_from(round).unwrap() * 60;
        for n in order {
            let server = format!("ns{n}.op{}.test.@192.0.2.{n}", n % 3);
            let fails = |cause| {
                bad(vec![
                    root(cause, &format!("{server} fails")).servers(&[&server]),
                ])
            };
            let report = match states[*n] {
                0 => healthy(),
                1 => fails(Cause::DnsDelegationLame),
                _ => fails(Cause::DnsAuthUnresponsive),
            };
            story.trace(when, CHECKS[*n], &report);
        }
        story.push(when + 30, Step::Tick);
    }
    story
}

proptest! {
    // Each case plays a story or two to its end; with the usual 256 they would take minutes.
    #![proptest_config(ProptestConfig::with_cases(100))]

    // Of one cause: that a judgement changes in the very instant in which another check opens an
    // incident of the new cause makes two incidents that are put together, or one at once.
    #[test]
    fn the_order_within_one_instant_does_not_matter(
        rounds in rounds(1),
        order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let straight = play(&play_rounds(&rounds, &[0, 1, 2, 3, 4, 5]));
        let shuffled = play(&play_rounds(&rounds, &order));
        prop_assert_eq!(numberless(&straight.kept), numberless(&shuffled.kept));
    }

    #[test]
    fn any_story_survives_restarts(rounds in rounds(2), cuts in prop::collection::vec(any::<bool>(), 84)) {
        let story = play_rounds(&rounds, &[0, 1, 2, 3, 4, 5]);
        prop_assert!(play(&story) == play_with(&story, |n| cuts[n]));
    }
}
