//! Troubles at what a crowd shares: a cloud, an ingress. Its customers have nothing else in common.

use bellwether_model::incident::IncidentState;
use bellwether_model::{Cause, Finding, Report, Verdict};

use super::super::{Act, Book, JudgedTrace, Update};
use super::stage::*;

/// Services `s0/main`, `s1/main`, … of this story.
const NAMES: [&str; 12] = [
    "s0/m", "s1/m", "s2/m", "s3/m", "s4/m", "s5/m", "s6/m", "s7/m", "s8/m", "s9/m", "s10/m",
    "s11/m",
];
const CLOUD: &str = "AS64500 Cloud";
const ELSEWHERE: &str = "AS64501 Elsewhere";

/// A report that has the address, and whose it is, in its observations.
fn at_host(report: Report, address: &'static str, owner: &'static str) -> Report {
    seeing(
        report,
        &[("ns1.dns.example.@192.0.2.53", Says::Gives(address, owner))],
        &[],
    )
}

fn host(n: usize) -> &'static str {
    const HOSTS: [&str; 12] = [
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.3",
        "192.0.2.4",
        "192.0.2.5",
        "192.0.2.6",
        "192.0.2.7",
        "192.0.2.8",
        "192.0.2.9",
        "192.0.2.10",
        "192.0.2.11",
        "192.0.2.12",
    ];
    HOSTS[n]
}

fn failing(cause: Cause, n: usize, owner: &'static str) -> Report {
    let mut finding: Finding = root(cause, &format!("host {n}")).addresses(&[host(n)]);
    finding.scope.owners = vec![owner.to_owned()];
    let mut report = bad(vec![finding]);
    report.verdict = Verdict::Broken;
    at_host(report, host(n), owner)
}

/// The first `of` services stand at the cloud, the others elsewhere; all are well.
fn fleet(of: usize) -> Story {
    let mut story = Story::default();
    for (n, name) in NAMES.iter().enumerate() {
        let owner = if n < of { CLOUD } else { ELSEWHERE };
        story.trace(0, name, &at_host(healthy(), host(n), owner));
    }
    story
}

#[test]
fn two_hosts_of_a_cloud_that_break_together_are_two_incidents() {
    for cause in [
        Cause::HttpWrongContent,
        Cause::NetTcpRefused,
        Cause::Unknown,
    ] {
        let mut story = fleet(12);
        for when in [60, 65] {
            story.trace(when, NAMES[2], &failing(cause, 2, CLOUD));
            story.trace(when, NAMES[5], &failing(cause, 5, CLOUD));
        }
        story.ticks(70, 200, 1);
        assert_eq!(play(&story).kept.len(), 2, "{cause}");
    }
}

#[test]
fn a_cloud_whose_hosts_all_break_together_is_one_incident() {
    let mut story = fleet(6);
    for when in [60, 65] {
        for (n, name) in NAMES.iter().enumerate().take(6) {
            story.trace(when, name, &failing(Cause::HttpStatus5xx, n, CLOUD));
        }
    }
    story.ticks(66, 200, 1);
    let told = play(&story);
    let open = told
        .kept
        .values()
        .filter(|i| i.state == IncidentState::Open);
    let open: Vec<_> = open.collect();
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!(open[0].checks.len(), 6);
    // The sentence is of the many, and of one of them as an example, the same whoever came last.
    let lead = format!("6 checks have the same trouble (http.status_5xx), all at {CLOUD}: ");
    let summary = &open[0].summary;
    assert!(summary.starts_with(&lead), "{summary}");
    let first = NAMES.iter().take(6).min().expect("six names");
    let n = NAMES.iter().position(|name| name == first);
    let example = format!(" One of them, {first}: host {}.", n.expect("a name"));
    assert!(summary.ends_with(&example), "{summary}");
    let named = format!("what they share is {CLOUD}");
    assert!(
        open[0].caveats.iter().any(|c| c.starts_with(&named)),
        "{:?}",
        open[0].caveats
    );
}

#[test]
fn services_behind_one_address_that_break_together_are_one_and_later_two() {
    let behind = |cause| {
        let mut report = bad(vec![
            root(cause, "the ingress answers 502").addresses(&[host(0)]),
        ]);
        report.verdict = Verdict::Broken;
        at_host(report, host(0), CLOUD)
    };
    let open = |apart: i64| {
        let mut story = Story::default();
        for name in &NAMES[..2] {
            story.trace(0, name, &at_host(healthy(), host(0), CLOUD));
        }
        for when in [60, 65] {
            story.trace(when, NAMES[0], &behind(Cause::HttpStatus5xx));
        }
        for when in [60 + apart, 65 + apart] {
            story.trace(when, NAMES[1], &behind(Cause::HttpStatus5xx));
        }
        story.ticks(70, 1000, 5);
        let told = play(&story);
        let open = told
            .kept
            .values()
            .filter(|i| i.state == IncidentState::Open);
        open.count()
    };
    assert_eq!(open(0), 1);
    assert_eq!(open(600), 2);
}

#[test]
fn what_fails_on_otherwise_keeps_its_sentence_and_says_so() {
    const SHOP: &str = "shop/main";
    let silent = bad(vec![
        root(Cause::DnsAuthUnresponsive, "ns1 is silent").servers(&["ns1.dns.example.@192.0.2.1"]),
    ]);
    let other = bad(vec![root(Cause::Unknown, "8.8.8.8 answers SERVFAIL")]);
    let mut story = Story::default();
    for when in [0, 5] {
        story.trace(when, SHOP, &silent);
    }
    for when in [60, 120, 180] {
        story.trace(when, SHOP, &other);
    }
    let told = play(&story);
    let incident = told.only();
    assert_eq!(incident.cause, Cause::DnsAuthUnresponsive);
    assert_eq!(incident.summary, "ns1 is silent");
    let mind = |words: &str| incident.caveats.iter().any(|c| c.contains(words));
    assert!(
        mind("the newest trace no longer shows this"),
        "{:?}",
        incident.caveats
    );
    assert!(mind("8.8.8.8 answers SERVFAIL"), "{:?}", incident.caveats);
    story.trace(240, SHOP, &silent);
    let told = play(&story);
    assert!(!told.only().caveats.iter().any(|c| c.contains("no longer")));
}

#[test]
fn runs_that_are_served_again_ask_for_a_trace_at_once() {
    const SHOP: &str = "shop/main";
    let refused = bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&["192.0.2.1"]),
    ]);
    let mut story = Story::default();
    story.run(0, SHOP, "9.9.9.9", Some("tcp.refused"));
    story.trace(1, SHOP, &refused);
    story.trace(4, SHOP, &refused);
    story.run(30, SHOP, "9.9.9.9", Some("tcp.refused"));
    story.run(60, SHOP, "9.9.9.9", None);
    story.run(90, SHOP, "9.9.9.9", None);
    story.run(120, SHOP, "9.9.9.9", None);
    let told = play(&story);
    let asked: Vec<_> = told
        .wanted
        .iter()
        .filter(|(when, _)| *when > at(4))
        .collect();
    assert_eq!(
        asked,
        [&(at(90), SHOP.to_owned())],
        "with the second, and once"
    );
}

#[test]
fn what_ended_in_another_incident_takes_nothing_in() {
    let mut story = fleet(6);
    // The second to be opened is the oldest: the first ends in it, and the others follow.
    story.run(50, NAMES[1], "9.9.9.9", Some("http.status_503"));
    for when in [60, 65] {
        for (n, name) in NAMES.iter().enumerate().take(6) {
            story.trace(when, name, &failing(Cause::HttpStatus5xx, n, CLOUD));
        }
    }
    story.ticks(66, 200, 1);
    let told = play(&story);
    let open = told
        .kept
        .values()
        .filter(|i| i.state == IncidentState::Open);
    let open: Vec<_> = open.collect();
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!(open[0].checks.len(), 6);
}

/// Traces so many checks that are refused at one address; tells how often incidents were written.
fn refused(book: &mut Book, checks: usize, when: i64) -> usize {
    let mut report = bad(vec![
        root(Cause::NetTcpRefused, "refused").addresses(&[host(0)]),
    ]);
    report.began = at(when);
    let traced = (0..checks).map(|n| {
        let trace = JudgedTrace {
            check: &check(&format!("s{n}/m")),
            vantage: &local(),
            report: &report,
            evidence: None,
            depends: &[],
        };
        written(&book.traced(&trace, at(when)))
    });
    traced.sum()
}

fn written(updates: &[Update]) -> usize {
    let changed = |u: &&Update| matches!(u, Update::Changed { .. });
    updates.iter().filter(changed).count()
}

#[test]
fn an_incident_of_very_many_checks_is_written_the_more_rarely_the_more_they_are() {
    let mut book = Book::new();
    refused(&mut book, 400, 0);
    refused(&mut book, 400, 5);
    assert_eq!(book.open().count(), 1);
    let mut times = 0;
    for second in 6..66 {
        let news = refused(&mut book, 10, second);
        assert_eq!(news, 0, "nothing is told of it, so that it waits");
        times += written(&book.tick(at(second)));
    }
    assert!((6..=15).contains(&times), "{times} times in a minute");
    // What changed last is written all the same.
    refused(&mut book, 10, 66);
    let last: usize = (66..90).map(|s| written(&book.tick(at(s)))).sum();
    assert_eq!(last, 1);
    let incident = book.open().next().unwrap();
    assert_eq!(incident.checks.len(), 400);
    let held: Vec<_> = book.holds_of(&check("s7/m")).collect();
    let among: Vec<_> = book.holds().filter(|h| *h.0 == check("s7/m")).collect();
    assert_eq!((held.len(), among.len()), (1, 1));
    assert_eq!((held[0].1, held[0].2), (among[0].2, among[0].3));
    assert_eq!(book.of_check(&check("s7/m")), [incident.id]);
    assert!(book.of_check(&check("s400/m")).is_empty());
}

#[test]
fn what_a_person_says_of_an_incident_of_very_many_checks_waits_for_nothing() {
    let mut book = Book::new();
    refused(&mut book, 200, 0);
    refused(&mut book, 200, 5);
    book.tick(at(30));
    let id = book.open().next().unwrap().id;
    let updates = book.act(id, &Act::Note("on it".to_owned()), "ada", at(31));
    let updates = updates.unwrap();
    let noted = |update: &Update| match update {
        Update::Changed { incident, .. } => {
            let last = incident.timeline.last().unwrap();
            last.text.contains("ada: on it")
        }
        Update::WantTrace { .. } | Update::Follow { .. } => false,
    };
    assert!(updates.iter().any(noted), "{updates:?}");
    // And what waits is there before an end.
    refused(&mut book, 200, 31);
    refused(&mut book, 210, 32);
    refused(&mut book, 210, 37);
    assert_eq!(written(&book.flush(at(38))), 1);
    assert_eq!(written(&book.flush(at(38))), 0);
}

#[test]
fn checks_that_joined_after_the_memory_was_written_are_members_after_a_restart() {
    let mut book = Book::new();
    refused(&mut book, 80, 0);
    refused(&mut book, 80, 5);
    let memory = book.checkpoint_of_amiss();
    refused(&mut book, 120, 10);
    refused(&mut book, 120, 15);
    for second in 16..40 {
        book.tick(at(second));
    }
    let open: Vec<_> = book.open().cloned().collect();
    assert_eq!(open[0].checks.len(), 120);
    let evidence = open[0].evidence.clone();
    let mut again = Book::restore(open, Some(&memory), 2);
    again.tick(at(50));
    refused(&mut again, 120, 51);
    again.flush(at(52));
    let incident = again.open().next().unwrap();
    assert_eq!(incident.checks.len(), 120);
    assert_eq!(incident.evidence, evidence);
    assert_eq!(again.holds_of(&check("s100/m")).count(), 1);
}
