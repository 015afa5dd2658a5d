//! Requests: redirects, what fails at times, and what browsers pass over.

use bellwether_diagnose::{Judged, diagnose};
use bellwether_model::Outcome;
use bellwether_model::http::{
    Again, BodyEnd, H2Result, H2Seen, HttpResult, HttpSeen, Redirect, RedirectEnd, Way,
};
use bellwether_model::net::TcpResult;
use bellwether_model::report::Finding;
use bellwether_model::service::StatusRange;

use crate::fixture::{World, ip, mismatch, told};

/// The healthy world, its request changed.
fn asked(change: impl Fn(&mut HttpSeen)) -> Judged {
    let mut situation = World::healthy().situation();
    for observation in &mut situation.observations {
        if let Outcome::Http(seen) = &mut observation.outcome {
            change(seen);
        }
    }
    diagnose(&situation)
}

/// The healthy world, its address redirecting to another host; `change` says what that one does.
fn behind_a_redirect(change: impl Fn(&mut HttpSeen)) -> Judged {
    let mut situation = World::healthy().situation();
    let mut further = Vec::new();
    for observation in &mut situation.observations {
        let mut hop = observation.clone();
        let (Outcome::Http(first), Outcome::Http(next)) =
            (&mut observation.outcome, &mut hop.outcome)
        else {
            continue;
        };
        first.status = Some(302);
        first.redirect = Some(Redirect {
            location: "https://login.other.test/x".into(),
            end: RedirectEnd::Followed,
            note: None,
        });
        next.hop = 1;
        next.url = "https://login.other.test/x".into();
        next.address = (ip("54.160.171.9"), 443).into();
        change(next);
        hop.id.push('0');
        further.push(hop);
    }
    situation.observations.extend(further);
    diagnose(&situation)
}

fn root(judged: &Judged) -> &Finding {
    &judged.findings[0]
}

#[test]
fn the_host_behind_a_redirect_is_named_and_asked() {
    let judged = behind_a_redirect(|_| {});
    assert_eq!(told(&judged), "healthy");

    let judged = behind_a_redirect(|hop| hop.status = Some(500));
    assert_eq!(told(&judged), "broken http.status_5xx");
    let summary = "https://login.other.test/x answers 500 at 54.160.171.9 (redirected to from 54.160.170.229)";
    assert_eq!(root(&judged).summary, summary);
    let see = "curl -sv -o /dev/null --resolve login.other.test:443:54.160.171.9 https://login.other.test/x";
    assert_eq!(root(&judged).see.as_deref(), Some(see));

    let judged = behind_a_redirect(|hop| {
        hop.result = HttpResult::NotConnected {
            error: "refused".into(),
        };
        hop.connection = Some(TcpResult::Refused);
        hop.status = None;
    });
    assert_eq!(told(&judged), "broken net.tcp.refused");
    let see = "nc -vz -w 4 54.160.171.9 443";
    assert_eq!(root(&judged).see.as_deref(), Some(see));

    let judged = behind_a_redirect(|hop| hop.problems = vec![mismatch()]);
    assert_eq!(told(&judged), "broken tls.name_mismatch");
    let see = root(&judged).see.as_deref().unwrap();
    let begin = "openssl s_client -connect 54.160.171.9:443 -servername login.other.test ";
    assert!(see.starts_with(begin), "{see}");
}

#[test]
fn where_a_redirect_leads_to_no_address_the_name_is_asked_for() {
    let judged = asked(|seen| {
        seen.status = Some(302);
        seen.redirect = Some(Redirect {
            location: "https://login.other.test/".into(),
            end: RedirectEnd::Unresolved {
                reason: "8.8.8.8 answers SERVFAIL for login.other.test.".into(),
            },
            note: None,
        });
    });
    assert_eq!(told(&judged), "broken http.wrong_content");
    let see = "dig login.other.test. A";
    assert_eq!(root(&judged).see.as_deref(), Some(see));
}

fn redirected(end: RedirectEnd, location: &str) -> Judged {
    asked(|seen| {
        seen.status = Some(302);
        seen.redirect = Some(Redirect {
            location: location.into(),
            end: end.clone(),
            note: None,
        });
    })
}

#[test]
fn a_chain_past_the_limit_is_no_circle() {
    let judged = redirected(RedirectEnd::Limit, "https://www.svc.test/n11");
    assert!(root(&judged).summary.starts_with("More than ten redirects"));
    let judged = redirected(RedirectEnd::Loop, "https://www.svc.test/");
    assert!(root(&judged).summary.contains("in a circle"));
    let long = format!("https://www.svc.test/{}", "x".repeat(900));
    let judged = redirected(RedirectEnd::Limit, &long);
    assert!(root(&judged).summary.chars().count() < 250);
}

#[test]
fn a_redirect_that_leads_nowhere() {
    let reason = "invalid port number".to_owned();
    let judged = redirected(RedirectEnd::Unusable { reason }, "https://a.test:99999/");
    assert_eq!(told(&judged), "broken http.wrong_content");
    let judged = redirected(RedirectEnd::NoLocation, "");
    assert_eq!(told(&judged), "broken http.wrong_content");
    // A declared redirect is the answer itself.
    let mut world = World::healthy();
    world.expect.status = vec![StatusRange {
        low: 302,
        high: 302,
    }];
    let mut situation = world.situation();
    for observation in &mut situation.observations {
        if let Outcome::Http(seen) = &mut observation.outcome {
            seen.status = Some(302);
        }
    }
    assert_eq!(told(&diagnose(&situation)), "healthy");
}

fn again(way: Way, status: u16) -> Again {
    Again {
        way,
        as_declared: None,
        result: HttpResult::Response,
        status: Some(status),
        body: Some(BodyEnd::Complete),
        coding: None,
        size: 2,
        wait_ms: 1.0,
        mss: None,
    }
}

#[test]
fn a_browser_that_is_served_shows_a_policy_only_where_others_never_are() {
    let of = |same: u16| {
        asked(move |seen| {
            seen.status = Some(404);
            seen.again = vec![again(Way::Browser, 200), again(Way::Same, same)];
        })
    };
    assert_eq!(told(&of(404)), "degraded http.blocked_by_policy");
    let at_times = of(200);
    assert_eq!(told(&at_times), "degraded http.wrong_content");
    let summary = &root(&at_times).summary;
    assert!(summary.ends_with(", 1 of 2 times"), "{summary}");
}

#[test]
fn who_is_asked_for_http_1_asks_over_http_1() {
    let over_h2 = |result: H2Result| {
        asked(move |seen| {
            seen.h2 = Some(H2Seen {
                result: result.clone(),
                after: None,
                frames: Default::default(),
            });
        })
    };
    let reset = |reason: &str| H2Result::Reset {
        reason: reason.into(),
    };
    assert_eq!(told(&over_h2(reset("HTTP_1_1_REQUIRED"))), "healthy");
    let broken = over_h2(reset("INTERNAL_ERROR"));
    assert_eq!(told(&broken), "degraded http.h2_broken");
    let stalled = over_h2(H2Result::Stalled);
    let summary = &root(&stalled).summary;
    assert!(summary.ends_with(": no whole answer"), "{summary}");
}

/// A request whose connection ended without an answer, and how it ended in other ways.
fn ended(reset: bool, others: Vec<(Way, Option<u16>)>) -> Judged {
    let closed = move || HttpResult::Closed {
        error: "gone".to_owned(),
        reset,
    };
    asked(move |seen| {
        seen.status = None;
        seen.body = None;
        seen.expectations = Vec::new();
        seen.result = closed();
        let again = others.iter().map(|(way, status)| Again {
            result: match status {
                Some(_) => HttpResult::Response,
                None => closed(),
            },
            status: *status,
            body: status.map(|_| BodyEnd::Complete),
            ..again(*way, 200)
        });
        seen.again = again.collect();
    })
}

#[test]
fn a_connection_that_ends_without_an_answer() {
    let same = [(Way::Same, None); 4];
    let with = |more: &[(Way, Option<u16>)]| [&same[..], more].concat();
    for reset in [false, true] {
        let judged = ended(reset, with(&[(Way::Browser, None)]));
        assert_eq!(told(&judged), "broken http.wrong_content");
        let judged = ended(reset, with(&[(Way::Browser, Some(200))]));
        assert_eq!(told(&judged), "degraded http.blocked_by_policy");
    }
    // A share: what is reset at times is the connection's, what is closed is the server's.
    let at_times = vec![(Way::Same, Some(200)), (Way::Same, None)];
    let judged = ended(true, at_times.clone());
    assert_eq!(told(&judged), "degraded net.tcp.reset_flap");
    let judged = ended(false, at_times);
    assert_eq!(told(&judged), "degraded http.wrong_content");
    let summary = &root(&judged).summary;
    assert!(summary.ends_with(", 2 of 3 times"), "{summary}");
    // Over TLS the end of a connection over which nothing is asked is the server's, too.
    let judged = ended(true, with(&[(Way::Silent, None)]));
    assert_eq!(told(&judged), "broken http.wrong_content");
    let summary = &root(&judged).summary;
    assert!(summary.contains("before anything is asked"), "{summary}");
}
