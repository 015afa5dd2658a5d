//! What is wrong with a chain, and what it is called.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use bellwether_model::tls::CertProblem;

use super::fixture::{GOOD, World, mismatch, told};

fn expired(index: usize) -> CertProblem {
    CertProblem::Expired {
        index,
        not_after: "2024-09-30T00:00:00Z".parse().unwrap(),
    }
}

fn not_begun() -> CertProblem {
    CertProblem::NotYetValid {
        index: 0,
        not_before: "2024-12-01T00:00:00Z".parse().unwrap(),
    }
}

fn untrusted(self_signed: bool) -> CertProblem {
    CertProblem::UntrustedRoot {
        issuer: "CN=Nobody".to_owned(),
        self_signed,
    }
}

fn incomplete() -> CertProblem {
    CertProblem::ChainIncomplete {
        missing: "CN=Between".to_owned(),
        fetchable: true,
    }
}

fn policy() -> CertProblem {
    CertProblem::Policy {
        index: 0,
        reason: "RSA key of 1024 bits".to_owned(),
    }
}

fn malformed() -> CertProblem {
    CertProblem::Malformed {
        index: 0,
        error: "it is empty".to_owned(),
    }
}

fn staple(sent: bool) -> CertProblem {
    CertProblem::Staple {
        sent,
        reason: "no good".to_owned(),
    }
}

fn not_logged() -> CertProblem {
    CertProblem::NotLogged {
        found: 0,
        wanted: 2,
    }
}

fn check(cause: &str, problems: &[CertProblem]) {
    // The order in which a verifier meets them names nothing.
    for turn in 0..problems.len().max(1) {
        let mut turned = problems.to_vec();
        turned.rotate_left(turn);
        let mut world = World::healthy();
        world.hosts.insert(GOOD, turned);
        let judged = world.judge();
        assert_eq!(told(&judged), format!("broken {cause}"), "{problems:?}");
    }
}

#[test]
fn one_problem_has_one_name() {
    for (cause, problem) in [
        ("cert.expired", expired(0)),
        ("cert.chain_expired_link", expired(1)),
        ("cert.not_yet_valid", not_begun()),
        ("tls.name_mismatch", mismatch()),
        ("cert.untrusted_root", untrusted(true)),
        ("cert.untrusted_root", untrusted(false)),
        ("cert.chain_incomplete", incomplete()),
        ("cert.policy_rejected", policy()),
        ("cert.policy_rejected", not_logged()),
        (
            "cert.policy_rejected",
            CertProblem::BadSignature { index: 0 },
        ),
        ("cert.malformed", malformed()),
        ("cert.revocation_unavailable", staple(true)),
        ("cert.revocation_unavailable", staple(false)),
        ("cert.revoked", CertProblem::Revoked { at: None }),
    ] {
        check(cause, &[problem]);
    }
}

/// What has to be mended first names them all.
#[test]
fn of_several_problems_one_names_the_cause() {
    check("cert.malformed", &[mismatch(), malformed(), expired(0)]);
    check("tls.name_mismatch", &[expired(0), mismatch(), policy()]);
    check("tls.name_mismatch", &[untrusted(true), mismatch()]);
    check("cert.expired", &[expired(0), untrusted(false), policy()]);
    check("cert.expired", &[expired(1), expired(0)]);
    check("cert.chain_expired_link", &[expired(1), policy()]);
    check("cert.chain_incomplete", &[policy(), incomplete()]);
    check(
        "cert.revoked",
        &[staple(true), CertProblem::Revoked { at: None }],
    );
}
