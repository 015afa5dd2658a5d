//! Signatures: what was seen of them, as of when, and what is concluded.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture: what cannot be parsed is a mistake in the test"
)]

use crate::fixture::{GOOD, NAME, Says, World, ZONE, name, told};
use bellwether_diagnose::{Judged, diagnose};
use bellwether_model::dns::{Question, Rcode};
use bellwether_model::dnssec::*;
use bellwether_model::{Cause, FactKind, Observation, Outcome, ProbeKind, Verdict};
use jiff::Timestamp;

/// A signature over a set, with its window in hours around the fixture's now.
fn rrset(owner: &str, rtype: &str, from: i64, to: i64, result: SignatureResult) -> RrsetSeen {
    let now: Timestamp = "2024-10-01T11:10:00Z".parse().unwrap();
    let at = |hours: i64| Timestamp::from_second(now.as_second() + hours * 3_600).unwrap();
    RrsetSeen {
        name: name(owner),
        rtype: rtype.into(),
        signatures: vec![SignatureSeen {
            key_tag: 7,
            algorithm: 13,
            signer: name(ZONE),
            inception: at(from),
            expiration: at(to),
            result,
        }],
    }
}

fn good(owner: &str, rtype: &str) -> RrsetSeen {
    rrset(owner, rtype, -24, 300, SignatureResult::Verified)
}

fn answer(server: &str, owner: &str, rtype: &str, rrsets: Vec<RrsetSeen>) -> SignedAnswer {
    SignedAnswer {
        name_server: server.into(),
        name: name(owner),
        rtype: rtype.into(),
        kind: SignedKind::Records,
        rrsets,
        denial: None,
        unjudged: None,
    }
}

const FIRST: &str = "ns1.a.test.@205.251.192.1";
const SECOND: &str = "ns2.a.test.@205.251.193.1";

fn zone(apex: &str, parent: Option<&str>) -> SignedZone {
    let ds = DsSeen {
        key_tag: 7,
        algorithm: 13,
        digest_type: 2,
        supported: true,
        matches: true,
    };
    let key = KeySeen {
        key_tag: 7,
        algorithm: 13,
        flags: 257,
        vouched: true,
    };
    SignedZone {
        zone: name(apex),
        parent: parent.map(name),
        holds_name: apex == ZONE,
        ds: vec![ds],
        ds_answers: vec![answer(
            "a.nic.test.@192.5.6.30",
            apex,
            "DS",
            vec![good(apex, "DS")],
        )],
        keys: vec![key],
        key_answers: [FIRST, SECOND]
            .map(|s| answer(s, apex, "DNSKEY", vec![good(apex, "DNSKEY")]))
            .to_vec(),
        answers: vec![],
        others: vec![],
        cds: vec![],
    }
}

fn healthy() -> DnssecSeen {
    let mut own = zone(ZONE, Some("test"));
    for server in [FIRST, SECOND] {
        own.answers
            .push(answer(server, NAME, "A", vec![good(NAME, "A")]));
        own.answers.push(SignedAnswer {
            kind: SignedKind::NoData,
            denial: Some(DenialSeen {
                result: DenialResult::Proven,
                iterations: None,
            }),
            ..answer(server, NAME, "AAAA", vec![good(NAME, "NSEC")])
        });
    }
    DnssecSeen {
        name: name(NAME),
        zones: vec![zone(".", None), zone("test", Some(".")), own],
    }
}

/// A chain with one change, in a world where all else is well.
fn judge(change: impl FnOnce(&mut DnssecSeen), world: impl FnOnce(&mut World)) -> Judged {
    judge_at(change, world, true)
}

fn judge_at(
    change: impl FnOnce(&mut DnssecSeen),
    world: impl FnOnce(&mut World),
    time_given: bool,
) -> Judged {
    let (mut seen, mut all) = (healthy(), World::healthy());
    change(&mut seen);
    world(&mut all);
    let mut situation = all.situation();
    situation.context.time_given = time_given;
    if !time_given {
        for observation in &mut situation.observations {
            authentic(observation);
        }
    }
    situation.observations.push(Observation {
        id: "e99".into(),
        probe: ProbeKind::Dnssec,
        began: situation.context.now,
        took_ms: 1.0,
        waits: 3,
        outcome: Outcome::Dnssec(Box::new(seen)),
    });
    diagnose(&situation)
}

/// The resolver says that it has checked what it answers.
fn authentic(observation: &mut Observation) {
    let Outcome::ResolverMatrix(seen) = &mut observation.outcome else {
        return;
    };
    for exchange in &mut seen.answers {
        if let bellwether_model::dns::ExchangeResult::Answered { response } = &mut exchange.result {
            response.flags.ad = true;
        }
    }
}

fn same(_: &mut World) {}

/// Every answer for the name's addresses with this record set.
fn answers_with(seen: &mut DnssecSeen, set: &RrsetSeen) {
    for answer in &mut seen.zones[2].answers {
        if answer.rtype == "A" {
            answer.rrsets = vec![set.clone()];
        }
    }
}

#[test]
fn a_secure_chain_is_no_word_worth() {
    let judged = judge(|_| {}, same);
    assert_eq!(told(&judged), "healthy");
    let unsigned = judge(
        |seen| {
            seen.zones[2].keys.clear();
            seen.zones[2].key_answers.clear();
            let ds = &mut seen.zones[2].ds_answers[0];
            ds.kind = SignedKind::NoData;
            ds.denial = Some(DenialSeen {
                result: DenialResult::OptOut,
                iterations: Some(0),
            });
        },
        same,
    );
    assert_eq!(told(&unsigned), "healthy");
}

#[test]
fn reasons_one_by_one() {
    use SignatureResult as R;
    let with = |set: RrsetSeen| told(&judge(|seen| answers_with(seen, &set), same));
    let set = |from, to, result| rrset(NAME, "A", from, to, result);
    assert_eq!(
        with(set(-400, -1, R::Verified)),
        "degraded dns.dnssec.sig_expired"
    );
    assert_eq!(
        with(set(1, 400, R::Verified)),
        "degraded dns.dnssec.sig_not_yet_valid"
    );
    assert_eq!(
        with(set(-24, 300, R::Failed)),
        "degraded dns.dnssec.sig_bad"
    );
    assert_eq!(with(set(-24, 300, R::NoKey)), "degraded dns.dnssec.sig_bad");
    // What we cannot check is not held against the zone.
    for result in [R::Unsupported, R::NotTried, R::WrongSigner] {
        assert_eq!(with(set(-24, 300, result)), "healthy");
    }
    // A signer that is no zone of the name, and an algorithm that nobody has.
    let mut foreign = set(-24, 300, R::WrongSigner);
    foreign.signatures[0].signer = name("other.test");
    assert_eq!(with(foreign), "degraded dns.dnssec.sig_bad");
    let mut undefined = set(-24, 300, R::Unsupported);
    undefined.signatures[0].algorithm = 200;
    assert_eq!(with(undefined), "degraded dns.dnssec.sig_bad");
    let complex = judge(|seen| answers_with(seen, &set(-24, 300, R::TooMany)), same);
    assert_eq!(told(&complex), "degraded dns.dnssec.sig_bad");
    let summary = &complex.diagnosis.as_ref().unwrap().summary;
    assert!(summary.starts_with("Bogus, too complex"), "{summary}");
    let none = RrsetSeen {
        signatures: vec![],
        ..good(NAME, "A")
    };
    assert_eq!(with(none), "degraded dns.dnssec.sig_bad");
}

#[test]
fn keys_and_what_vouches_for_them() {
    let other = judge(
        |seen| {
            seen.zones[2].ds[0].matches = false;
            seen.zones[2].keys[0].vouched = false;
        },
        same,
    );
    assert_eq!(told(&other), "degraded dns.dnssec.ds_mismatch");
    let none = judge(
        |seen| {
            seen.zones[2].keys.clear();
            for answer in &mut seen.zones[2].key_answers {
                answer.rrsets.clear();
                answer.kind = SignedKind::NoData;
            }
        },
        same,
    );
    assert_eq!(told(&none), "degraded dns.dnssec.ds_mismatch");
    let facts = &none.diagnosis.unwrap().facts;
    assert!(facts.iter().any(|f| f.fact == FactKind::DnskeyMissing));
    // An algorithm that we do not know leaves the zone unsigned (RFC 4035 section 5.2).
    let unknown = judge(
        |seen| {
            seen.zones[2].ds[0].supported = false;
            seen.zones[2].ds[0].matches = false;
            seen.zones[2].keys[0].vouched = false;
        },
        same,
    );
    assert_eq!(told(&unknown), "healthy");
    // Nobody answered for the keys: nothing follows.
    let silent = judge(|seen| seen.zones[2].key_answers.clear(), same);
    assert_eq!(told(&silent), "healthy");
}

#[test]
fn what_does_not_fit_at_the_root_is_our_own_anchor_or_clock() {
    let judged = judge(
        |seen| {
            seen.zones[0].keys[0].vouched = false;
            seen.zones[0].ds[0].matches = false;
        },
        same,
    );
    assert_eq!(told(&judged), "healthy");
    let ended = rrset(".", "DNSKEY", -400, -1, SignatureResult::Verified);
    let judged = judge(
        |seen| seen.zones[0].key_answers[0].rrsets = vec![ended],
        same,
    );
    assert_eq!(told(&judged), "healthy");
}

#[test]
fn resolvers_that_checked_the_answer_speak_against_our_clock() {
    let ended = rrset(NAME, "A", -400, -1, SignatureResult::Verified);
    let judged = judge_at(|seen| answers_with(seen, &ended), same, false);
    assert_eq!(told(&judged), "healthy");
    let failed = rrset(NAME, "A", -24, 300, SignatureResult::Failed);
    let judged = judge_at(|seen| answers_with(seen, &failed), same, false);
    assert_eq!(told(&judged), "degraded dns.dnssec.sig_bad");
}

#[test]
fn one_server_of_two() {
    let ended = rrset(NAME, "A", -400, -30, SignatureResult::Verified);
    let judged = judge(
        |seen| {
            let second = seen.zones[2].answers.iter_mut();
            let mut second = second.filter(|a| a.name_server == SECOND && a.rtype == "A");
            second.next().unwrap().rrsets = vec![ended];
        },
        same,
    );
    assert_eq!(told(&judged), "healthy ! dns.auth.stale_secondary");
    assert_eq!(judged.findings[0].scope.name_servers, [SECOND]);
}

#[test]
fn a_denial_that_proves_nothing() {
    let judged = judge(
        |seen| {
            for answer in &mut seen.zones[2].answers {
                if let Some(denial) = &mut answer.denial {
                    denial.result = DenialResult::Unproven;
                }
            }
        },
        same,
    );
    assert_eq!(told(&judged), "degraded dns.dnssec.denial_broken");
}

#[test]
fn forecasts() {
    let soon = |age: i64, left: i64| {
        let judged = judge(
            |seen| {
                let old = |owner: &str, rtype: &str| {
                    rrset(owner, rtype, -age, left, SignatureResult::Verified)
                };
                for answer in &mut seen.zones[2].answers {
                    let rtype = answer.rrsets[0].rtype.clone();
                    answer.rrsets = vec![old(NAME, &rtype)];
                }
                for answer in &mut seen.zones[2].key_answers {
                    answer.rrsets = vec![old(ZONE, "DNSKEY")];
                }
            },
            same,
        );
        told(&judged)
    };
    assert_eq!(soon(316, 20), "healthy ! dns.dnssec.sig_expired");
    // Signed on the way out, for a day to either side.
    assert_eq!(soon(25, 25), "healthy");
    assert_eq!(soon(300, 60), "healthy");
    let cds = judge(
        |seen| {
            seen.zones[2].cds = vec![DsSeen {
                matches: false,
                ..seen.zones[2].ds[0].clone()
            }];
        },
        same,
    );
    assert_eq!(told(&cds), "healthy ! dns.dnssec.ds_mismatch");
}

#[test]
fn resolvers_that_fail_only_where_they_check_are_explained() {
    let ended = rrset(NAME, "A", -400, -1, SignatureResult::Verified);
    let fails = |world: &mut World| {
        world.resolvers.insert("9.9.9.9", (Says::Rcode(2), true));
    };
    let mut all = World::healthy();
    fails(&mut all);
    let mut situation = all.situation();
    for observation in &mut situation.observations {
        if let Outcome::ResolverMatrix(seen) = &mut observation.outcome
            && seen.resolver == "9.9.9.9"
        {
            let mut again = seen.answers[0].clone();
            again.question = Question {
                name: name(NAME),
                rtype: "A".into(),
            };
            if let bellwether_model::dns::ExchangeResult::Answered { response } = &mut again.result
            {
                response.rcode = Rcode::NOERROR;
                response.answer = vec![bellwether_model::dns::Record {
                    name: name(NAME),
                    ttl: 60,
                    rtype: "A".into(),
                    data: GOOD.into(),
                }];
            }
            seen.unchecked = vec![again];
        }
    }
    let mut seen = healthy();
    answers_with(&mut seen, &ended);
    situation.observations.push(Observation {
        id: "e99".into(),
        probe: ProbeKind::Dnssec,
        began: situation.context.now,
        took_ms: 1.0,
        waits: 3,
        outcome: Outcome::Dnssec(Box::new(seen)),
    });
    let judged = diagnose(&situation);
    assert_eq!(judged.verdict, Verdict::Degraded);
    let diagnosis = judged.diagnosis.unwrap();
    assert_eq!(diagnosis.cause, Cause::DnsDnssecSigExpired);
    assert_eq!(diagnosis.scope.resolvers, ["9.9.9.9"]);
    assert_eq!(
        told(&diagnose(&situation)),
        "degraded dns.dnssec.sig_expired"
    );
}
