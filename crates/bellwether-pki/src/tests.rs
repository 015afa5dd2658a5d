//! Chains made on the spot, each with one thing wrong.

use bellwether_model::tls::CertProblem;
use jiff::Timestamp;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::{Anchors, judge, read};

/// Authority information access with `http://ca.test/i`.
const AIA: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];

struct Ca {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

fn root(params: CertificateParams) -> Ca {
    let key = KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let issuer = Issuer::new(params, key);
    Ca { der, issuer }
}

fn below(parent: &Ca, params: CertificateParams) -> Ca {
    let key = KeyPair::generate().unwrap();
    let der = params.signed_by(&key, &parent.issuer).unwrap();
    let issuer = Issuer::new(params, key);
    Ca {
        der: der.der().to_vec(),
        issuer,
    }
}

fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["www.svc.test".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "leaf");
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 12, 1);
    params
}

fn leaf(parent: &Ca, params: CertificateParams) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &parent.issuer).unwrap();
    leaf.der().to_vec()
}

fn trusting(roots: &[&Ca]) -> Anchors {
    let mut anchors = Anchors::none();
    for root in roots {
        anchors.add(&root.der).unwrap();
    }
    anchors
}

/// The problems in short, judged in June 2026.
fn problems(chain: &[&[u8]], anchors: &Anchors, host: &str) -> Vec<String> {
    let chain: Vec<Vec<u8>> = chain.iter().map(|der| der.to_vec()).collect();
    let at: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    judge(&chain, anchors, host, at)
        .iter()
        .map(|problem| match problem {
            CertProblem::Expired { index, .. } => format!("expired {index}"),
            CertProblem::NotYetValid { index, .. } => format!("not yet {index}"),
            CertProblem::NameMismatch { presented, .. } => {
                format!("mismatch {}", presented.join(" "))
            }
            CertProblem::UntrustedRoot {
                issuer,
                self_signed,
            } => format!("untrusted {issuer} {self_signed}"),
            CertProblem::ChainIncomplete { missing, .. } => format!("incomplete {missing}"),
            CertProblem::NotLogged { found, .. } => format!("not logged {found}"),
            CertProblem::Staple { reason, .. } => format!("staple {reason}"),
            CertProblem::Revoked { .. } => "revoked".to_owned(),
            CertProblem::Policy { index, reason } => format!("policy {index} {reason}"),
            CertProblem::BadSignature { index } => format!("bad signature {index}"),
            CertProblem::Malformed { index, .. } => format!("malformed {index}"),
            CertProblem::LongPath { intermediates } => format!("long {intermediates}"),
            CertProblem::Other { detail } => format!("other {detail}"),
        })
        .collect()
}

fn nothing() -> Vec<String> {
    Vec::new()
}

const HOST: &str = "www.svc.test";

#[test]
fn a_good_chain_has_no_problem() {
    let root = root(ca_params("root"));
    let between = below(&root, ca_params("between"));
    let leaf = leaf(&between, leaf_params());
    let anchors = trusting(&[&root]);
    assert_eq!(problems(&[&leaf, &between.der], &anchors, HOST), nothing());
    // A root that is sent along, and an order of links that is not the path's, change nothing.
    let chain: [&[u8]; 3] = [&leaf, &root.der, &between.der];
    assert_eq!(problems(&chain, &anchors, HOST), nothing());
    let garbage: [&[u8]; 3] = [&leaf, b"garbage", &between.der];
    assert_eq!(problems(&garbage, &anchors, HOST), nothing());
}

#[test]
fn age_alone_is_told_alone() {
    let root = root(ca_params("root"));
    let anchors = trusting(&[&root]);
    let mut ended = leaf_params();
    ended.not_after = date_time_ymd(2026, 5, 31);
    let ended = leaf(&root, ended);
    assert_eq!(problems(&[&ended], &anchors, HOST), ["expired 0"]);
    let mut early = leaf_params();
    early.not_before = date_time_ymd(2026, 6, 2);
    let early = leaf(&root, early);
    assert_eq!(problems(&[&early], &anchors, HOST), ["not yet 0"]);
}

#[test]
fn an_ended_link_is_told_even_if_it_ended_before_the_leaf_began() {
    let root = root(ca_params("root"));
    let mut params = ca_params("between");
    params.not_after = date_time_ymd(2025, 1, 1);
    let between = below(&root, params);
    let leaf = leaf(&between, leaf_params());
    let anchors = trusting(&[&root]);
    let chain: [&[u8]; 2] = [&leaf, &between.der];
    assert_eq!(problems(&chain, &anchors, HOST), ["expired 1"]);
}

#[test]
fn an_ended_cross_sign_beside_a_good_path_is_no_problem() {
    let old = root(ca_params("old root"));
    let new_key = KeyPair::generate().unwrap();
    let params = ca_params("new root");
    let new_der = params.self_signed(&new_key).unwrap().der().to_vec();
    let mut cross = ca_params("new root");
    cross.not_after = date_time_ymd(2025, 1, 1);
    let cross = cross.signed_by(&new_key, &old.issuer).unwrap();
    let new = Ca {
        der: new_der,
        issuer: Issuer::new(params, new_key),
    };
    let leaf = leaf(&new, leaf_params());
    let chain: [&[u8]; 2] = [&leaf, cross.der()];
    let both = trusting(&[&old, &new]);
    assert_eq!(problems(&chain, &both, HOST), nothing());
    assert_eq!(problems(&chain, &trusting(&[&old]), HOST), ["expired 1"]);
}

#[test]
fn names() {
    let root = root(ca_params("root"));
    let anchors = trusting(&[&root]);
    let leaf = leaf(&root, leaf_params());
    assert_eq!(
        problems(&[&leaf], &anchors, "api.svc.test"),
        ["mismatch www.svc.test"]
    );
    assert_eq!(problems(&[&leaf], &anchors, "WWW.svc.test."), nothing());
    // The common name is no identity.
    assert_eq!(
        problems(&[&leaf], &anchors, "leaf"),
        ["mismatch www.svc.test"]
    );
    assert_eq!(
        problems(&[&leaf], &anchors, "192.0.2.1"),
        ["mismatch www.svc.test"]
    );
}

#[test]
fn addresses_are_names_too() {
    let root = root(ca_params("root"));
    let params = CertificateParams::new(vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()]);
    let mut params = params.unwrap();
    params.not_before = date_time_ymd(2026, 1, 1);
    let leaf = leaf(&root, params);
    let anchors = trusting(&[&root]);
    assert_eq!(problems(&[&leaf], &anchors, "192.0.2.1"), nothing());
    assert_eq!(problems(&[&leaf], &anchors, "2001:db8:0::1"), nothing());
    assert_eq!(
        problems(&[&leaf], &anchors, "192.0.2.2"),
        ["mismatch 192.0.2.1 2001:db8::1"]
    );
}

#[test]
fn three_ways_to_lead_nowhere() {
    let trusted = trusting(&[&root(ca_params("trusted root"))]);
    let private = root(ca_params("private root"));
    let between = below(&private, ca_params("private between"));
    // The private root is sent along, or not, or there is no intermediate.
    let under = leaf(&between, leaf_params());
    let chain: [&[u8]; 3] = [&under, &between.der, &private.der];
    let untrusted = ["untrusted CN=private root false"];
    assert_eq!(problems(&chain, &trusted, HOST), untrusted);
    assert_eq!(problems(&chain[..2], &trusted, HOST), untrusted);
    let direct = leaf(&private, leaf_params());
    assert_eq!(problems(&[&direct], &trusted, HOST), untrusted);
    // Self-signed.
    let own = KeyPair::generate().unwrap();
    let own = leaf_params().self_signed(&own).unwrap();
    let own = problems(&[own.der()], &trusted, HOST);
    assert_eq!(own, ["untrusted CN=leaf true"]);
}

#[test]
fn a_link_that_was_not_sent() {
    let mut params = ca_params("root");
    let organisation = "Example Trust";
    params
        .distinguished_name
        .push(DnType::OrganizationName, organisation);
    let root = root(params);
    let anchors = trusting(&[&root]);
    let between = below(&root, ca_params("between"));
    let mut with_url = leaf_params();
    let mut value = b"\x30\x1e\x30\x1c\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x10".to_vec();
    value.extend(b"http://ca.test/i");
    with_url
        .custom_extensions
        .push(CustomExtension::from_oid_content(AIA, value));
    let with_url = leaf(&between, with_url);
    assert_eq!(read(&with_url).issuer_urls, ["http://ca.test/i"]);
    let missing = ["incomplete CN=between"];
    assert_eq!(problems(&[&with_url], &anchors, HOST), missing);
    // Without a URL the organisation is a hint.
    let mut named = ca_params("between");
    named
        .distinguished_name
        .push(DnType::OrganizationName, organisation);
    let leaf = leaf(&below(&root, named), leaf_params());
    assert_eq!(
        problems(&[&leaf], &anchors, HOST),
        ["incomplete O=Example Trust,CN=between"]
    );
}

/// `browser openssl`; with a `-` in front, whoever refuses it.
fn clients(chain: &[&[u8]], anchors: &Anchors) -> String {
    let chain: Vec<Vec<u8>> = chain.iter().map(|der| der.to_vec()).collect();
    let at: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    let examined = crate::examine(&chain, None, anchors, HOST, at);
    let word = |v: &bellwether_model::tls::ProfileVerdict| {
        let mark = if v.refuses.is_some() { "-" } else { "" };
        format!("{mark}{}", v.profile.name())
    };
    let words: Vec<String> = examined.profiles.iter().map(word).collect();
    words.join(" ")
}

#[test]
fn kinds_of_clients_differ() {
    let root = root(ca_params("root"));
    let between = below(&root, ca_params("between"));
    let public = trusting(&[&root]);
    let mut given = Anchors::none();
    given.add_given(&root.der).unwrap();
    let whole = leaf(&between, leaf_params());
    let chain: [&[u8]; 2] = [&whole, &between.der];
    assert_eq!(clients(&chain, &public), "browser openssl");
    assert_eq!(clients(&chain, &given), "browser openssl own_roots");
    let mut params = leaf_params();
    let url = [
        &[0x30, 0x20, 0x30, 0x1e][..],
        &[6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2],
        &[0x86, 0x12],
        b"http://ca.test/i/i",
    ];
    params
        .custom_extensions
        .push(CustomExtension::from_oid_content(AIA, url.concat()));
    let alone = leaf(&between, params);
    assert_eq!(clients(&[&alone], &given), "browser -openssl -own_roots");
    let mut stapled = leaf_params();
    let feature = vec![0x30, 3, 2, 1, 5];
    let oid = [1, 3, 6, 1, 5, 5, 7, 1, 24];
    stapled
        .custom_extensions
        .push(CustomExtension::from_oid_content(&oid, feature));
    let stapled = leaf(&root, stapled);
    assert_eq!(clients(&[&stapled], &public), "-browser openssl");
    // Only below a public root does anybody ask for timestamps.
    let mut listed = Anchors::none();
    let kinds = crate::anchors::Kinds {
        public: true,
        given: false,
    };
    listed.add_as(&root.der, kinds).unwrap();
    assert_eq!(clients(&chain, &listed), "-browser openssl");
}

#[test]
fn a_signature_by_somebody_of_the_same_name() {
    let anchors = trusting(&[&root(ca_params("root"))]);
    let impostor = root(ca_params("root"));
    let leaf = leaf(&impostor, leaf_params());
    assert_eq!(problems(&[&leaf], &anchors, HOST), ["bad signature 0"]);
}

#[test]
fn an_end_entity_may_not_issue() {
    let root = root(ca_params("root"));
    let mut params = ca_params("no ca");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let between = below(&root, params);
    let leaf = leaf(&between, leaf_params());
    assert_eq!(
        problems(&[&leaf, &between.der], &trusting(&[&root]), HOST),
        [
            "policy 1 it issued another certificate and is no CA",
            "policy 1 its key usage does not allow to sign certificates"
        ]
    );
}

#[test]
fn constraints_are_found_under_an_ended_leaf_too() {
    let root = root(ca_params("root"));
    let mut params = ca_params("between");
    params.name_constraints = Some(rcgen::NameConstraints {
        permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("other.test".to_owned())],
        excluded_subtrees: Vec::new(),
    });
    let between = below(&root, params);
    let mut ended = leaf_params();
    ended.not_after = date_time_ymd(2026, 5, 1);
    let ended = leaf(&between, ended);
    assert_eq!(
        problems(&[&ended, &between.der], &trusting(&[&root]), HOST),
        [
            "expired 0",
            "policy 0 a CA in the chain may not issue for this name"
        ]
    );
}

#[test]
fn a_certificate_for_clients_serves_nobody() {
    let root = root(ca_params("root"));
    let mut params = leaf_params();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let leaf = leaf(&root, params);
    assert_eq!(
        problems(&[&leaf], &trusting(&[&root]), HOST),
        ["policy 0 extended key usage does not allow servers"]
    );
}

#[test]
fn a_critical_extension_that_nobody_knows() {
    let root = root(ca_params("root"));
    let mut params = leaf_params();
    let mut extension =
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
    let leaf = leaf(&root, params);
    assert_eq!(
        problems(&[&leaf], &trusting(&[&root]), HOST),
        ["policy 0 a critical extension that clients do not know"]
    );
}

#[test]
fn weak_keys_and_signatures() {
    let der = include_bytes!("testdata/rsa1024-sha1.der");
    let seen = read(der);
    assert_eq!(seen.subject, "CN=old.test,O=Old\\, Inc.");
    assert_eq!(seen.key, "RSA 1024");
    assert_eq!(seen.signature, "sha1WithRSAEncryption");
    assert!(seen.self_signed);
    let mut anchors = Anchors::none();
    anchors.add(der).unwrap();
    assert_eq!(
        problems(&[der], &anchors, "old.test"),
        [
            "not yet 0",
            "policy 0 RSA key of 1024 bits; clients want 2048 or more",
            "policy 0 signature sha1WithRSAEncryption, which clients do not take"
        ]
    );
}

#[test]
fn ill_formed_certificates_are_named_and_shown() {
    let root = root(ca_params("root"));
    let anchors = trusting(&[&root]);
    let good = leaf(&root, leaf_params());
    let cut = &good[..good.len() - 20];
    for bad in [&b""[..], b"garbage", cut, &[0x30, 0x80], &[0x30; 70_000]] {
        assert!(read(bad).malformed.is_some());
        assert_eq!(problems(&[bad], &anchors, HOST)[0], "malformed 0");
    }
    let mut trailing = good.clone();
    trailing.extend([0; 3]);
    let seen = read(&trailing);
    assert_eq!(seen.malformed.as_deref(), Some("3 bytes follow its end"));
    assert_eq!(seen.names, ["www.svc.test"]);
    // A date that is none: what else stands there is still told.
    let at = good
        .windows(13)
        .position(|w| w == b"261201000000Z")
        .unwrap();
    let mut dated = good.clone();
    dated[at..at + 6].copy_from_slice(b"260230");
    let seen = read(&dated);
    assert!(seen.malformed.is_some());
    assert_eq!(seen.subject, "CN=leaf");
    assert_eq!(seen.issuer, "CN=root");
    assert_eq!(seen.not_before.unwrap().to_string(), "2026-01-01T00:00:00Z");
    assert!(!problems(&[&dated], &anchors, HOST).contains(&"mismatch ".to_owned()));
}

#[test]
fn strangers_text_is_inert() {
    let root = root(ca_params("root"));
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "a\u{1b}[2J\u{202e}b");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "x, y");
    let seen = read(&leaf(&root, params));
    assert!(seen.subject.contains("CN=a\\u{1b}[2J\\u{202e}b"));
    assert!(seen.subject.contains("O=x\\, y"));
}

#[test]
fn ten_thousand_names_are_bounded_and_still_match() {
    let root = root(ca_params("root"));
    let names: Vec<String> = (0..2_000).map(|n| format!("host-{n}.svc.test")).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2026, 1, 1);
    let leaf = leaf(&root, params);
    assert!(read(&leaf).names.len() <= 256);
    let anchors = trusting(&[&root]);
    assert_eq!(
        problems(&[&leaf], &anchors, "host-1999.svc.test"),
        nothing()
    );
}

#[test]
fn mozillas_roots_are_there() {
    assert!(Anchors::mozilla().len() > 100);
}

#[test]
fn twenty_cas_of_one_name_do_not_stop_us() {
    let cas: Vec<Ca> = (0..20).map(|_| root(ca_params("same"))).collect();
    let chain: Vec<&[u8]> = cas.iter().map(|ca| ca.der.as_slice()).collect();
    assert!(!problems(&chain, &Anchors::none(), HOST).is_empty());
}

#[test]
fn a_long_path_is_refused_by_some() {
    let root = root(ca_params("root"));
    let anchors = trusting(&[&root]);
    let mut between: Vec<Ca> = Vec::new();
    for depth in 1..=24 {
        let name = format!("between {depth}");
        let next = below(between.last().unwrap_or(&root), ca_params(&name));
        between.push(next);
        let leaf = leaf(&between[depth - 1], leaf_params());
        let mut chain: Vec<&[u8]> = vec![&leaf];
        chain.extend(between.iter().rev().map(|ca| ca.der.as_slice()));
        let (problems, clients) = (problems(&chain, &anchors, HOST), clients(&chain, &anchors));
        match depth {
            0..=6 => assert_eq!(problems, nothing()),
            7..=19 => {
                assert_eq!(problems, [format!("long {depth}")]);
                assert_eq!(clients, "-browser openssl");
            }
            // What leads on is not looked at.
            _ => assert!(
                problems[0].starts_with("policy 0 it comes with more"),
                "{problems:?}"
            ),
        }
    }
}

#[test]
fn what_clients_do_not_read_may_be_ill_formed() {
    let root = root(ca_params("root"));
    let anchors = trusting(&[&root]);
    let with = |oid: &[u64], critical| {
        let mut params = leaf_params();
        let mut extension = CustomExtension::from_oid_content(oid, vec![0x30, 5, 1]);
        extension.set_criticality(critical);
        params.custom_extensions.push(extension);
        problems(&[&leaf(&root, params)], &anchors, HOST)
    };
    // Timestamps, and names of the issuer.
    for oid in [&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2][..], &[2, 5, 29, 18]] {
        assert_eq!(with(oid, false), nothing());
        assert_eq!(with(oid, true).len(), 1);
    }
    // Where the issuer's certificate can be had.
    assert!(with(AIA, false)[0].starts_with("malformed 0"));
}

/// A certificate with every extension that is read, to be mutated.
fn rich() -> &'static [u8] {
    static RICH: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    RICH.get_or_init(|| {
        let names = ["a.svc.test", "*.svc.test", "192.0.2.1", "2001:db8::1"];
        let mut params = CertificateParams::new(names.map(str::to_owned)).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(3));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("svc.test".to_owned())],
            excluded_subtrees: Vec::new(),
        });
        let url =
            b"\x30\x1e\x30\x1c\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x10http://ca.test/i";
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(AIA, url.to_vec()));
        root(params).der
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_panics_over_mutated_bytes(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        is_cut in prop::bool::weighted(0.2),
        is_rich in any::<bool>(),
    ) {
        let whole = if is_rich { rich() } else { include_bytes!("testdata/rsa1024-sha1.der") };
        let mut der = whole.to_vec();
        for (at, byte) in changes {
            let at = at.index(der.len());
            der[at] = byte;
        }
        if is_cut {
            der.truncate(cut.index(der.len()));
        }
        let at: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let mut anchors = Anchors::none();
        anchors.add(whole).unwrap();
        // Not behind `catch_unwind`: a panic fails here.
        let seen = crate::cert::Cert::read(&der).seen;
        prop_assert_eq!(seen.size, der.len());
        let trusted = [whole.to_vec()];
        let peer = crate::strict::Peer::Name("old.test".to_owned());
        let question = crate::strict::Question {
            leaf: &der,
            others: &trusted,
            trusted: &trusted,
            peer: Some(&peer),
            at,
            depth_max: None,
        };
        let _ = crate::strict::verified(&question);
        let staple = der.clone();
        let chain = [der, whole.to_vec()];
        crate::judge::examined(&chain, Some(&staple), &anchors, "old.test", at);
    }
}

#[test]
fn nothing_changes_within_the_span_of_a_verdict() {
    let root = root(ca_params("root"));
    let mut params = ca_params("between");
    params.not_after = date_time_ymd(2026, 9, 1);
    let between = below(&root, params);
    let leaf = leaf(&between, leaf_params());
    let chain = vec![leaf, between.der.clone()];
    let anchors = trusting(&[&root]);
    let turns = [
        "2020-01-01",
        "2026-01-01",
        "2026-09-01",
        "2026-12-01",
        "2040-01-01",
    ];
    let turns = turns.map(|day| format!("{day}T00:00:00Z").parse::<Timestamp>().unwrap());
    let around = |turn: &Timestamp| {
        [-86_400_000, -1000, -1, 0, 1, 999, 1000, 86_400_000].map(|ms| {
            let off = jiff::SignedDuration::from_millis(ms);
            turn.checked_add(off).unwrap()
        })
    };
    let times: Vec<Timestamp> = turns.iter().flat_map(around).collect();
    let examined: Vec<_> = times
        .iter()
        .map(|at| crate::examine(&chain, None, &anchors, HOST, *at))
        .collect();
    let (mut same, mut other) = (0, 0);
    for one in &examined {
        for (second, at) in examined.iter().zip(&times) {
            if one.span.holds(*at) {
                assert_eq!(one, second, "{at}");
                same += 1;
            } else {
                other += 1;
            }
        }
    }
    // At a turn itself nothing holds; on either side all of its four.
    assert!(same > 4 * 4 * turns.len() && other > 0, "{same} {other}");
}

#[test]
fn a_set_of_roots_has_a_name_of_its_own() {
    let (one, two) = (root(ca_params("root")), root(ca_params("root")));
    let mut given = Anchors::none();
    given.add_given(&one.der).unwrap();
    let names = [
        Anchors::none().digest(),
        trusting(&[&one]).digest(),
        trusting(&[&two]).digest(),
        trusting(&[&one, &two]).digest(),
        given.digest(),
    ];
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{at}");
    }
    assert_eq!(trusting(&[&one]).digest(), names[1]);
    let mut grown = trusting(&[&one]);
    assert_eq!(grown.digest(), names[1]);
    grown.add(&two.der).unwrap();
    assert_eq!(grown.digest(), names[3]);
}
