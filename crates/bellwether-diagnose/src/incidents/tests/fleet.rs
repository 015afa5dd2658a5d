//! Several vantages: one incident each time, told from where it is seen.

use bellwether_model::incident::IncidentState;
use bellwether_model::report::Severity;
use bellwether_model::{Cause, Verdict};

use super::super::*;
use super::stage::*;

const SHOP: &str = "shop/main";
const ALL: [&str; 3] = ["fra", "local", "nyc"];

fn story() -> Story {
    let networks = [Some(64_500), None, Some(64_501)];
    let named = ALL.into_iter().map(VantageId::new).zip(networks);
    Story {
        vantages: named.collect(),
        ..Story::default()
    }
}

fn refused() -> bellwether_model::Report {
    let words = "203.0.113.3 refuses: nothing listens there";
    bad(vec![
        root(Cause::NetTcpRefused, words).addresses(&["203.0.113.3"]),
    ])
}

/// Name servers of a stranger at the parent: each vantage asks a resolver of its own, and each of these
/// forgets the right ones at another time.
fn mashery() -> Story {
    const WWW: &str = "www/main";
    let servers = [
        "ns65.dns-b.test.@198.51.100.34",
        "ns66.dns-b.test.@198.51.100.201",
    ];
    let own = Says::Gives("203.0.113.229", "AS64501 Cloud A");
    let strange = Says::Gives("203.0.113.3", "AS64502 Cloud B");
    let third = Says::Gives("203.0.113.133", "AS64503 Cloud C");
    let wrong = |resolver: &'static str, servers_say: [Says; 2], says: Says| {
        let words = format!("the parent leads to dns-b.test; {resolver} follows");
        let mut finding = root(Cause::DnsDelegationWrongNs, &words)
            .servers(&servers)
            .resolvers(&[resolver]);
        finding.scope.share = 1.0;
        let served: Vec<(&str, Says)> = servers.into_iter().zip(servers_say).collect();
        seeing(bad(vec![finding]), &served, &[(resolver, says)])
    };
    let (quad9, level3, google) = ("9.9.9.9", "4.2.2.2", "8.8.8.8");
    let mut story = story();
    for (vantage, resolver) in ALL.into_iter().zip([quad9, google, level3]) {
        let well = seeing(healthy(), &[], &[(resolver, own)]);
        story.trace_at(0, vantage, WWW, &well);
    }
    // fra's resolver is the first to follow.
    story.run_at(60, "fra", WWW, quad9, Some("tls.name_mismatch"));
    for when in [62, 65] {
        story.trace_at(when, "fra", WWW, &wrong(quad9, [strange; 2], strange));
    }
    // Five minutes later nyc's.
    story.run_at(360, "nyc", WWW, level3, Some("tls.name_mismatch"));
    for when in [362, 365] {
        story.trace_at(when, "nyc", WWW, &wrong(level3, [strange; 2], strange));
    }
    // Somebody repairs: the strange servers know the name no longer.
    let refuses = [Says::Rcode(4), Says::Rcode(5)];
    story.trace_at(900, "fra", WWW, &wrong(quad9, refuses, Says::Rcode(2)));
    story.trace_at(930, "nyc", WWW, &wrong(level3, refuses, Says::Rcode(2)));
    // And then they lead to a third party.
    story.trace_at(1_800, "fra", WWW, &wrong(quad9, [third; 2], third));
    story.trace_at(1_830, "nyc", WWW, &wrong(level3, [third; 2], third));
    // The last one follows when all is as good as told.
    story.run_at(2_400, "local", WWW, google, Some("tls.name_mismatch"));
    for when in [2_402, 2_405] {
        story.trace_at(when, "local", WWW, &wrong(google, [third; 2], third));
    }
    for (n, (vantage, resolver)) in ALL.into_iter().zip([quad9, google, level3]).enumerate() {
        let when = 4_000 + 60 * i64::try_from(n).unwrap();
        let well = seeing(healthy(), &[], &[(resolver, own)]);
        for when in [when, when + 5] {
            story.run_at(when, vantage, WWW, resolver, None);
            story.trace_at(when, vantage, WWW, &well);
        }
        story.run_at(4_400, vantage, WWW, resolver, None);
        story.run_at(4_460, vantage, WWW, resolver, None);
    }
    story.ticks(60, 4_500, 10);
    story
}

#[test]
fn a_wrong_delegation_behind_three_resolvers_is_one_incident_with_the_phases_of_each() {
    const TTL: i64 = 1_500;
    let told = play(&mashery());
    let incident = told.only();
    let lines = lines(incident);
    let has = |line: &str| assert!(lines.iter().any(|l| l == line), "{line}\n{lines:#?}");
    has(
        "60 first_failure www/main fails at tls (tls.name_mismatch) via 9.9.9.9 to 203.0.113.3, seen from fra",
    );
    has("360 growth check www/main fails too, from nyc");
    has("360 growth resolver 4.2.2.2 fails too");
    has("900 phase 9.9.9.9 answers SERVFAIL instead of NOERROR");
    has("930 phase 4.2.2.2 answers SERVFAIL instead of NOERROR");
    has("900 phase ns65.dns-b.test.@198.51.100.34 answers NOTIMP instead of NOERROR");
    has("1800 phase 9.9.9.9 answers NOERROR instead of SERVFAIL");
    has("1830 phase 4.2.2.2 answers NOERROR instead of SERVFAIL");
    has("2400 growth check www/main fails too, from local");
    has("2400 growth vantage local fails too");
    let said = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!(
        said("ns65.dns-b.test.@198.51.100.34 answers NOTIMP"),
        1,
        "told once"
    );
    assert_eq!(incident.cause, Cause::DnsDelegationWrongNs);
    // Named long before the last vantage broke.
    let last = 2_400;
    assert!(incident.opened.as_second() - at(0).as_second() <= last - TTL);
    assert_eq!(incident.scope.vantages, ALL);
    assert_eq!(incident.scope.resolvers, ["4.2.2.2", "8.8.8.8", "9.9.9.9"]);
    assert_eq!(
        incident.caveats,
        ["seen from all 3 vantages, in 3 networks as far as is configured"]
    );
    assert_eq!(incident.state, IncidentState::Resolved);
    assert_eq!(incident.mitigated, Some(at(4_120)), "when the last is well");
}

#[test]
fn p12_nothing_is_everybodys_that_one_network_sees() {
    let mut story = story();
    story.vantages.insert(VantageId::new("fra2"), Some(64_500));
    for vantage in ["fra", "fra2"] {
        for when in [0, 5] {
            story.trace_at(when, vantage, SHOP, &refused());
        }
    }
    let told = play(&story);
    let caveat = &told.only().caveats[0];
    assert_eq!(
        caveat,
        "seen from fra and fra2 (2 of 4 vantages), which stand in one network as far as is configured: they cannot tell a fault near them from one at the service"
    );
    assert!(!caveat.contains("all"));
}

#[test]
fn each_led_to_another_address_is_one_trouble_of_the_check() {
    let mut story = story();
    for (vantage, address) in ALL
        .into_iter()
        .zip(["203.0.113.3", "198.51.100.3", "192.0.2.3"])
    {
        let words = format!("{address} refuses: nothing listens there");
        let report = bad(vec![
            root(Cause::NetTcpRefused, &words).addresses(&[address]),
        ]);
        for when in [0, 5] {
            story.trace_at(when, vantage, SHOP, &report);
        }
    }
    let told = play(&story);
    let incident = told.only();
    assert_eq!(incident.scope.addresses.len(), 3);
    assert_eq!(incident.scope.vantages, ALL);
}

#[test]
fn what_is_at_a_resolver_near_each_vantage_is_each_ones_own() {
    let mut story = story();
    let silent = root(Cause::DnsResolverDown, "127.0.0.53 is silent").resolvers(&["127.0.0.53"]);
    for vantage in ["fra", "nyc"] {
        for when in [0, 5] {
            story.trace_at(when, vantage, SHOP, &bad(vec![silent.clone()]));
        }
    }
    assert_eq!(play(&story).kept.len(), 2);
    let mut same = self::story();
    let silent = root(Cause::DnsResolverDown, "9.9.9.9 is silent").resolvers(&["9.9.9.9"]);
    for vantage in ["fra", "nyc"] {
        for when in [0, 5] {
            same.trace_at(when, vantage, SHOP, &bad(vec![silent.clone()]));
        }
    }
    assert_eq!(play(&same).kept.len(), 1);
}

#[test]
fn what_rests_on_one_that_is_not_believed_was_ourselves() {
    let mut story = story();
    for when in [0, 5] {
        story.trace_at(when, "fra", SHOP, &refused());
    }
    story.push(20, Step::Unheard("fra", Some(15)));
    let told = play(&story);
    let incident = told.only();
    assert_eq!(incident.state, IncidentState::Resolved);
    let last = lines(incident).pop().unwrap();
    assert!(
        last.contains("it was ourselves: what fra says is not believed"),
        "{last}"
    );
}

#[test]
fn what_others_see_too_goes_on_without_the_one_that_is_not_heard() {
    let mut story = story();
    for vantage in ["fra", "nyc"] {
        for when in [0, 5] {
            story.trace_at(when, vantage, SHOP, &refused());
        }
    }
    story.push(100, Step::Unheard("fra", None));
    story.push(700, Step::Heard("fra", 90));
    for when in [800, 805] {
        story.trace_at(when, "nyc", SHOP, &healthy());
    }
    story.run_at(810, "nyc", SHOP, "9.9.9.9", None);
    let told = play(&story);
    let incident = told.only();
    let lines = lines(incident);
    let has = |what: &str| assert!(lines.iter().any(|l| l.contains(what)), "{what}\n{lines:#?}");
    has("100 monitor fra is not heard any more, and others judge");
    has("700 monitor a gap of ours: fra was not heard from");
    assert_eq!(incident.mitigated, Some(at(800)), "fra holds up nothing");
}

#[test]
fn what_one_alone_saw_before_it_fell_silent_stays_open() {
    let mut story = story();
    for when in [0, 5] {
        story.trace_at(when, "fra", SHOP, &refused());
    }
    story.push(1_000, Step::Unheard("fra", None));
    let told = play(&story);
    assert_eq!(told.only().state, IncidentState::Open);
    // What it says is no longer believed, and others see the check well: then it is no incident.
    let mut other = self::story();
    for when in [0, 5] {
        other.trace_at(when, "fra", SHOP, &refused());
    }
    other.run_at(990, "nyc", SHOP, "9.9.9.9", None);
    other.push(1_000, Step::Unheard("fra", Some(1_000)));
    assert_eq!(play(&other).only().state, IncidentState::Resolved);
    // Nobody else asks it: it stays open, and unknown.
    other
        .steps
        .retain(|(_, step)| !matches!(step, Step::Run(_)));
    let told = play(&other);
    assert_eq!(told.only().state, IncidentState::Open);
    assert!(
        lines(told.only())
            .iter()
            .any(|l| l.contains("whether it goes on is unknown"))
    );
}

fn gone(vantage: &str) -> Amiss {
    Amiss {
        vantage: VantageId::new(vantage),
        cause: Cause::MonitorVantageOffline,
        severity: Severity::Warning,
        since: at(0),
        summary: format!("nothing comes from {vantage}"),
        remedy: "look".to_owned(),
        resolvers: Vec::new(),
    }
}

#[test]
fn a_vantages_own_trouble_is_one_incident_of_no_check_and_survives_a_restart() {
    let mut story = story();
    let amiss = gone("fra");
    story.push(20, Step::Amiss(Box::new(amiss.clone())));
    story.push(30, Step::Amiss(Box::new(amiss.clone())));
    story.push(40, Step::Mended("fra", Cause::MonitorVantageOffline));
    story.push(60, Step::Amiss(Box::new(amiss)));
    story.push(80, Step::Mended("fra", Cause::MonitorVantageOffline));
    story.ticks(20, 2_000, 10);
    let told = play(&story);
    let incident = told.only();
    assert_eq!(
        (incident.verdict, incident.state),
        (Verdict::Unknown, IncidentState::Resolved)
    );
    assert_eq!(incident.scope.vantages, ["fra"]);
    assert!(incident.checks.is_empty());
    let opened = &told.notices[0].text;
    assert!(
        opened.starts_with("vantage fra (unknown, monitor.vantage_offline) since"),
        "{opened}"
    );
    assert_eq!(
        told.kinds(),
        ["opened", "mitigated", "resolved"],
        "{:#?}",
        told.notices
    );
    // Restarted at each step it comes to the same; and without what was remembered it ends as well.
    assert_eq!(play_with(&story, |_| true), told);
    let mut book = Book::new();
    let mut kept = Vec::new();
    for (now, step) in &story.steps[..2] {
        for update in act_out(&mut book, step, *now) {
            if let Update::Changed { incident, .. } = update {
                kept = vec![*incident];
            }
        }
    }
    let mut book = Book::restore(kept, None, 2);
    let vantage = VantageId::new("fra");
    book.mended(&vantage, Cause::MonitorVantageOffline, "well again", at(50));
    book.tick(at(1_000));
    assert_eq!(book.open().count(), 0);
}

/// All look at the check, and see it well.
fn looked_at() -> Story {
    let mut story = story();
    for vantage in ALL {
        story.run_at(0, vantage, SHOP, "9.9.9.9", None);
        story.trace_at(0, vantage, SHOP, &healthy());
    }
    story
}

fn fails_at(story: &mut Story, vantage: &'static str, times: &[i64]) {
    for when in times {
        story.run_at(*when, vantage, SHOP, "9.9.9.9", Some("tcp.refused"));
        story.trace_at(*when, vantage, SHOP, &refused());
    }
}

#[test]
fn what_one_alone_sees_is_told_when_it_has_lasted() {
    let mut story = looked_at();
    fails_at(&mut story, "fra", &[10, 13, 40, 70]);
    story.ticks(11, 99, 1);
    let told = play(&story);
    assert_eq!(told.kept.len(), 0, "no three intervals yet");
    // Others of two networks are asked, once, and it is looked there again and again.
    let asked = told.wanted.iter().filter(|(when, _)| *when == at(13));
    assert_eq!(asked.count(), 2);
    story.ticks(100, 110, 1);
    let incident = play(&story).only().clone();
    let since = |when: Timestamp| when.as_second() - at(0).as_second();
    assert_eq!((since(incident.began), since(incident.opened)), (10, 100));
    assert_eq!(incident.scope.vantages, ["fra"]);
    assert_eq!(
        play_with(&story, |_| true),
        play(&story),
        "also over restarts"
    );
}

#[test]
fn what_one_alone_is_warned_of_is_told_when_it_has_lasted() {
    let slow = || {
        let mut report = healthy();
        let cause = Cause::DnsAuthUnresponsive;
        report.findings = vec![root(cause, "one is silent").servers(&["ns1"]).warns()];
        report
    };
    let mut story = looked_at();
    for when in [10, 13, 40, 70, 99] {
        story.trace_at(when, "fra", SHOP, &slow());
    }
    let told = play(&story);
    assert_eq!(told.kept.len(), 0, "no three intervals yet");
    let asked = told.wanted.iter().filter(|(when, _)| *when == at(13));
    assert_eq!(asked.count(), 2, "two others are asked");
    let mut lasts = story.clone();
    lasts.trace_at(100, "fra", SHOP, &slow());
    assert_eq!(play(&lasts).only().cause, Cause::DnsAuthUnresponsive);
    assert_eq!(play_with(&lasts, |_| true), play(&lasts));
    // What another one sees too is told at once, and what comes and goes is not.
    let mut both = story.clone();
    both.trace_at(100, "nyc", SHOP, &slow());
    both.trace_at(101, "nyc", SHOP, &slow());
    assert_eq!(play(&both).only().opened, at(101));
    story.trace_at(100, "fra", SHOP, &healthy());
    for when in [101, 104] {
        story.trace_at(when, "fra", SHOP, &slow());
    }
    assert_eq!(play(&story).kept.len(), 0);
}

#[test]
fn what_a_second_one_sees_is_told_at_once() {
    let mut story = looked_at();
    fails_at(&mut story, "fra", &[10, 13]);
    story.run_at(15, "nyc", SHOP, "9.9.9.9", Some("tcp.refused"));
    story.ticks(14, 17, 1);
    let told = play(&story);
    assert_eq!(told.only().opened, at(15));
    // One that is not heard is nobody else.
    let unheard = Step::Unheard("nyc", None);
    story.steps.insert(0, (at(1), unheard));
    assert_eq!(play(&story).kept.len(), 0);
}

#[test]
fn what_one_alone_sees_is_not_told_when_it_works_again() {
    let mut story = looked_at();
    fails_at(&mut story, "fra", &[10, 13]);
    for when in [40, 70, 100, 130] {
        story.run_at(when, "fra", SHOP, "9.9.9.9", None);
    }
    story.ticks(14, 140, 1);
    assert_eq!(play(&story).kept.len(), 0, "broken, and yet served since");
    story.trace_at(141, "fra", SHOP, &healthy());
    story.ticks(142, 400, 1);
    let told = play(&story);
    assert_eq!(told.kept.len(), 0);
    let late = told.wanted.iter().filter(|(when, _)| *when > at(160));
    assert_eq!(late.count(), 0, "nobody asks any more");
}

#[test]
fn what_a_doubted_one_alone_sees_waits_until_the_doubt_is_over() {
    let mut story = looked_at();
    fails_at(&mut story, "fra", &[10, 13, 40, 70, 100]);
    let mut book = Book::new();
    book.set_vantages(story.vantages.clone(), at(0));
    let doubted = [VantageId::new("fra")];
    book.doubt(doubted.into());
    for (now, step) in &story.steps {
        act_out(&mut book, step, *now);
    }
    book.tick(at(200));
    assert_eq!(book.open().count(), 0);
    book.doubt([].into());
    book.tick(at(201));
    assert_eq!(book.open().count(), 1);
}

/// Nobody is heard, then the hub's own vantage for some seconds, and so on.
fn blind_and_seeing(story: &mut Story, times: usize, apart: i64) -> i64 {
    let blind = Blind {
        since: at(0),
        summary: "nothing is watched now".to_owned(),
        remedy: "look".to_owned(),
    };
    let mut when = 60;
    for _ in 0..times {
        story.push(when, Step::Blind(Box::new(blind.clone())));
        story.push(when + apart, Step::Sees);
        for vantage in ["fra", "nyc"] {
            story.push(when + apart, Step::Amiss(Box::new(gone(vantage))));
        }
        when += apart * 2;
    }
    when
}

#[test]
fn blind_seeing_and_blind_again_is_one_incident_that_comes_and_goes() {
    let mut story = story();
    for (when, vantage) in [(20, "fra"), (40, "nyc")] {
        story.push(when, Step::Amiss(Box::new(gone(vantage))));
    }
    let end = blind_and_seeing(&mut story, 8, 10);
    for vantage in ["fra", "nyc"] {
        let mended = Step::Mended(vantage, Cause::MonitorVantageOffline);
        story.push(end, mended);
    }
    story.ticks(20, end + 60, 5);
    story.ticks(end + 61, end + 7_200, 60);
    let told = play(&story);
    assert_eq!(told.kept.len(), 3, "{:#?}", told.kept);
    let [fra, nyc, blind] = [1, 2, 3].map(|id| &told.kept[&id]);
    for single in [fra, nyc, blind] {
        assert_eq!(single.state, IncidentState::Resolved);
        assert_eq!(single.flapping.as_ref().map(|f| f.count > 6), Some(true));
    }
    assert_eq!(blind.severity, Severity::Critical);
    let lasted = |incident: &Incident| {
        let resolved = incident.resolved.unwrap();
        resolved.as_second() - at(end).as_second()
    };
    assert!(lasted(blind) > 360, "it has to last: {}", lasted(blind));
    // No more is told of each than that it opened, comes and goes, and is over.
    let of_blind = told.notices.iter().filter(|n| n.incident == 3);
    let kinds: Vec<&str> = of_blind.map(|n| n.kind.name()).collect();
    assert_eq!(kinds, ["opened", "flapping", "flapping", "resolved"]);
    assert_eq!(play_with(&story, |_| true), told, "also over restarts");
}

#[test]
fn while_nobody_is_heard_for_long_single_ones_end_in_that() {
    let mut story = story();
    story.push(20, Step::Amiss(Box::new(gone("fra"))));
    blind_and_seeing(&mut story, 1, 1_800);
    story.ticks(20, 1_859, 20);
    let told = play(&story);
    let lines = lines(&told.kept[&1]);
    let has = |what: &str| assert!(lines.iter().any(|l| l.contains(what)), "{what} {lines:#?}");
    has("60 monitor no vantage is heard any more, and incident 2 tells of all");
    has("resolved closed: no vantage is heard, and incident 2 tells of all");
    assert!(!lines.iter().any(|l| l.contains("we see again")));
    // Once somebody is heard, what is still wrong is told of each again.
    assert_eq!(told.kept[&2].state, IncidentState::Mitigated);
    let open = told.kept.values();
    let open = open.filter(|i| i.state == IncidentState::Open);
    let named: Vec<_> = open.map(|i| i.scope.vantages.join(" ")).collect();
    assert_eq!(named, ["fra", "nyc"]);
    story.ticks(1_861, 2_000, 20);
    let told = play(&story);
    let of_all = told.notices.iter().filter(|n| n.incident == 2);
    let of_all: Vec<&str> = of_all.map(|n| n.text.as_str()).collect();
    assert!(
        of_all[1].contains("of vantages fra, local and nyc one is heard again since"),
        "{of_all:#?}"
    );
}

/// Each time it is back it turns out that its network was cut off.
#[test]
fn an_agent_that_is_cut_off_again_and_again_is_one_incident() {
    let mut story = story();
    let mut cut = gone("fra");
    (cut.cause, cut.summary) = (
        Cause::MonitorVantageUplink,
        "fra was cut off: its agent ran on".to_owned(),
    );
    for n in 0..8 {
        let when = 20 + n * 90;
        story.push(when, Step::Amiss(Box::new(gone("fra"))));
        let was = Cause::MonitorVantageOffline;
        story.push(when + 30, Step::Rejudged(was, Box::new(cut.clone())));
        story.push(when + 30, Step::Mended("fra", cut.cause));
    }
    story.ticks(20, 7_200, 10);
    let told = play(&story);
    let incident = told.only();
    assert_eq!(incident.state, IncidentState::Resolved);
    assert_eq!(incident.cause, Cause::MonitorVantageUplink);
    let judged = told.kinds().iter().filter(|kind| **kind == "cause").count();
    assert!(judged <= 4, "damped as all else: {:?}", told.kinds());
    assert_eq!(play_with(&story, |_| true), told, "also over restarts");
}

#[test]
fn what_traces_of_two_other_networks_find_well_is_likely_near_the_one_that_sees_it() {
    let caveat = |report: &bellwether_model::Report, well: &[&'static str]| {
        let mut story = looked_at();
        for when in [10, 13, 40, 70, 100, 130] {
            story.run_at(when, "fra", SHOP, "9.9.9.9", Some("tls.name_mismatch"));
            story.trace_at(when, "fra", SHOP, report);
        }
        for vantage in well {
            story.trace_at(20, vantage, SHOP, &healthy());
        }
        // Runs may be served from caches, and tell nothing of the service's own servers.
        for vantage in ["local", "nyc"] {
            story.run_at(50, vantage, SHOP, "9.9.9.9", None);
        }
        story.ticks(14, 140, 1);
        let told = play(&story);
        assert_eq!(play_with(&story, |_| true), told, "also over restarts");
        told.only().caveats[0].clone()
    };
    let strange = root(
        Cause::TlsNameMismatch,
        "203.0.113.3 shows a certificate of another",
    );
    let strange = bad(vec![strange.addresses(&["203.0.113.3"])]);
    let alone = "seen from fra alone (1 of 3 vantages)";
    let well = "while traces from local and nyc, in 2 other networks, find it well";
    assert_eq!(
        caveat(&strange, &["local", "nyc"]),
        format!(
            "{alone}, {well}: that somebody near fra answers in its place (interception) is likelier than a fault of the service"
        )
    );
    assert_eq!(
        caveat(&refused(), &["local", "nyc"]),
        format!("{alone}, {well}: the fault is likely near fra, and not at the service")
    );
    // Well before, or in one other network: that tells nothing.
    for well in [&["nyc"][..], &[]] {
        assert_eq!(
            caveat(&strange, well),
            format!("{alone}: the fault may be near it")
        );
    }
}
