//! What a strict client refuses of a chain: all of it, not only what it meets first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bellwether_model::text::inert;
use bellwether_model::tls::{CertProblem, CertSeen, ProfileVerdict, StapleSeen, StapleStatus};
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::anchors::{Anchors, Kinds};
use crate::cert::Cert;
use crate::key::signature_weakness;
use crate::names::names_host;
use crate::path::{self, End, Path};
use crate::profiles::{self, Reach};
use crate::signature::Signatures;
use crate::span::Span;
use crate::staple;

/// Certificates of one chain that are looked at. Public chains have 2 to 5.
const CHAIN_LEN_MAX: usize = 20;
/// Signed certificate timestamps that browsers want of a publicly trusted certificate. For lives
/// above 180 days they want three; what has two is not judged so closely.
const SCTS_MIN: usize = 2;
/// How CAs name certificates that are no roots.
const INTERMEDIATE_WORDS: &[&str] = &["intermediate", "issuing", "subordinate", "sub ca", "subca"];
/// Names shown with a mismatch; all of them stand in the certificate.
const PRESENTED_MAX: usize = 16;

/// Every reason for a strict client to refuse this chain from this host at this time.
///
/// `host` is a name or an address, `chain` as sent, the server's own certificate first.
#[must_use]
pub fn judge(chain: &[Vec<u8>], anchors: &Anchors, host: &str, at: Timestamp) -> Vec<CertProblem> {
    examine(chain, None, anchors, host, at)
        .problems
        .into_iter()
        .filter(|problem| !problem.is_of_browsers())
        .collect()
}

/// A chain with all that came with it, judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Examined {
    /// Every reason for some client to refuse it.
    pub problems: Vec<CertProblem>,
    /// What kinds of clients make of it.
    pub profiles: Vec<ProfileVerdict>,
    /// What the stapled response says.
    pub staple: Option<StapleSeen>,
    /// What the certificates say of themselves, in the order of the chain, at most 20; none if a
    /// parser panicked.
    pub certs: Vec<CertSeen>,
    /// When all of this is so.
    pub span: Span,
}

/// [`judge`], and what the stapled OCSP response says, and what kinds of clients make of both.
#[must_use]
pub fn examine(
    chain: &[Vec<u8>],
    staple: Option<&[u8]>,
    anchors: &Anchors,
    host: &str,
    at: Timestamp,
) -> Examined {
    // Hostile bytes go through two parsers; a panic in one of them is a fact about the bytes.
    let examined = || examined(chain, staple, anchors, host, at);
    catch_unwind(AssertUnwindSafe(examined)).unwrap_or_else(|_| Examined {
        problems: vec![CertProblem::Malformed {
            index: 0,
            error: "the parser panicked over this chain".to_owned(),
        }],
        ..Examined::default()
    })
}

/// [`examine`], panics and all.
pub(crate) fn examined(
    chain: &[Vec<u8>],
    staple: Option<&[u8]>,
    anchors: &Anchors,
    host: &str,
    at: Timestamp,
) -> Examined {
    let first = chain.iter().take(CHAIN_LEN_MAX);
    let certs: Vec<Cert<'_>> = first.map(|der| Cert::read(der)).collect();
    let Some(leaf) = certs.first() else {
        let detail = "the server sent no certificate".to_owned();
        return Examined {
            problems: vec![CertProblem::Other { detail }],
            ..Examined::default()
        };
    };
    let signatures = Signatures::default();
    let mut path = path::best(&certs, anchors, &signatures, at);
    // What leads on may stand behind those that were looked at.
    let is_cut = chain.len() > CHAIN_LEN_MAX;
    if let Some(path) = path.as_mut().filter(|p| is_cut && p.end == End::Unknown) {
        path.end = End::GaveUp;
    }
    let judging = Judging {
        anchors,
        signatures: &signatures,
        at,
    };
    let mut problems = strictly(&certs, path.as_ref(), &judging, host);
    let anchored = path.as_ref().filter(|path| path.end == End::Anchor);
    let top = anchored
        .and_then(|path| path.links.last())
        .and_then(|index| certs[*index].skeleton.as_ref());
    let kinds = top.map_or_else(Kinds::default, |top| anchors.kinds(top.issuer));
    let staple = staple.map(|bytes| {
        let serial = leaf.skeleton.as_ref().map_or(&[][..], |s| s.serial);
        staple::read(bytes, serial, &issuers(&certs, anchors), at)
    });
    let span = span(&certs, staple.as_ref(), at);
    // A certificate that nobody takes anyway has worse to tell.
    if problems.is_empty() && kinds.public && leaf.seen.scts < SCTS_MIN {
        problems.push(CertProblem::NotLogged {
            found: leaf.seen.scts,
            wanted: SCTS_MIN,
        });
    }
    problems.extend(of_staple(leaf, staple.as_ref()));
    let reach = Reach {
        anchored: anchored.is_some(),
        given: kinds.given,
        has_given: anchors.has_given(),
    };
    Examined {
        profiles: profiles::verdicts(&problems, reach),
        problems,
        staple,
        certs: certs.into_iter().map(|cert| cert.seen).collect(),
        span,
    }
}

/// Between which times nothing changes: judging compares the time with these and no others.
fn span(certs: &[Cert<'_>], staple: Option<&StapleSeen>, at: Timestamp) -> Span {
    let ends = |cert: &Cert<'_>| [cert.seen.not_before, cert.seen.not_after];
    let validity = certs.iter().flat_map(ends).flatten();
    validity
        .chain(staple.into_iter().flat_map(staple::turns))
        .fold(Span::always(), |span, turn| span.cut(turn, at))
}

/// What all rules are judged by.
struct Judging<'a> {
    anchors: &'a Anchors,
    signatures: &'a Signatures,
    at: Timestamp,
}

/// Keys that may have issued the first certificate.
fn issuers<'a>(certs: &'a [Cert<'a>], anchors: &'a Anchors) -> Vec<&'a [u8]> {
    let Some(leaf) = certs.first().and_then(|cert| cert.skeleton.as_ref()) else {
        return Vec::new();
    };
    let sent = certs.iter().filter_map(|cert| cert.skeleton.as_ref());
    let sent = sent.filter(|s| s.subject == leaf.issuer).map(|s| s.spki);
    sent.chain(anchors.keys(leaf.issuer)).collect()
}

/// Why a browser refuses what is stapled, or that nothing is. One that is only out of date it
/// leaves aside, unless the certificate demands a good one (RFC 7633 section 4.2.3.1).
fn of_staple(leaf: &Cert<'_>, staple: Option<&StapleSeen>) -> Option<CertProblem> {
    let demanded = leaf.seen.must_staple;
    let Some(staple) = staple else {
        let reason = "it demands a stapled OCSP response, and none came".to_owned();
        return demanded.then_some(CertProblem::Staple {
            sent: false,
            reason,
        });
    };
    let refused = |reason: &str| CertProblem::Staple {
        sent: true,
        reason: format!("its stapled OCSP response is no good: {reason}"),
    };
    match (staple.status, &staple.problem) {
        (StapleStatus::Revoked, None) => Some(CertProblem::Revoked {
            at: staple.this_update,
        }),
        (_, Some(problem)) if demanded => Some(refused(problem)),
        (
            StapleStatus::Good
            | StapleStatus::Revoked
            | StapleStatus::Unknown
            | StapleStatus::Stale
            | StapleStatus::Unreadable,
            _,
        ) => None,
    }
}

fn strictly(
    certs: &[Cert<'_>],
    path: Option<&Path>,
    judging: &Judging<'_>,
    host: &str,
) -> Vec<CertProblem> {
    let leaf = &certs[0];
    let links = path.map_or(vec![0], |path| path.links.clone());
    let mut problems = Vec::new();
    for index in &links {
        malformed(&certs[*index], *index, &mut problems);
    }
    for index in &links {
        validity(&certs[*index], *index, judging.at, &mut problems);
    }
    if !leaf.names_unreadable && !names_host(leaf, host) {
        problems.push(mismatch(leaf, host));
    }
    for (place, index) in links.iter().enumerate() {
        policy(&certs[*index], *index, place > 0, &mut problems);
    }
    if let Some(path) = path {
        ending(certs, path, judging.anchors, &mut problems);
        if path.end == End::Anchor {
            constraints(certs, path, judging, &mut problems);
        }
    }
    problems
}

fn malformed(cert: &Cert<'_>, index: usize, problems: &mut Vec<CertProblem>) {
    if let Some(error) = cert.seen.malformed.clone() {
        problems.push(CertProblem::Malformed { index, error });
    }
}

/// Both ends belong to the validity (RFC 5280 section 4.1.2.5).
fn validity(cert: &Cert<'_>, index: usize, at: Timestamp, problems: &mut Vec<CertProblem>) {
    if let Some(not_after) = cert.seen.not_after.filter(|end| *end < at) {
        problems.push(CertProblem::Expired { index, not_after });
    }
    if let Some(not_before) = cert.seen.not_before.filter(|begin| at < *begin) {
        problems.push(CertProblem::NotYetValid { index, not_before });
    }
}

fn mismatch(leaf: &Cert<'_>, host: &str) -> CertProblem {
    let names = leaf.seen.names.iter().cloned();
    let addresses = leaf.seen.addresses.iter().map(ToString::to_string);
    CertProblem::NameMismatch {
        expected: inert(host, 256),
        presented: names.chain(addresses).take(PRESENTED_MAX).collect(),
    }
}

/// Key, signature and usage, as far as no path is needed to see them.
fn policy(cert: &Cert<'_>, index: usize, is_issuer: bool, problems: &mut Vec<CertProblem>) {
    let mut refuse = |reason: String| problems.push(CertProblem::Policy { index, reason });
    if let Some(reason) = cert.key.weakness() {
        refuse(reason);
    }
    // Nobody needs the signature of a root on itself.
    let is_root = is_issuer && cert.seen.self_signed;
    if !is_root && let Some(reason) = signature_weakness(&cert.seen.signature) {
        refuse(reason);
    }
    if cert.serves == Some(false) {
        refuse("extended key usage does not allow servers".to_owned());
    }
    if is_issuer && !is_root && !cert.seen.is_ca {
        refuse("it issued another certificate and is no CA".to_owned());
    }
    if is_issuer && cert.signs_certificates == Some(false) {
        refuse("its key usage does not allow to sign certificates".to_owned());
    }
}

/// Why the path ends where it ends.
fn ending(certs: &[Cert<'_>], path: &Path, anchors: &Anchors, problems: &mut Vec<CertProblem>) {
    // A path has at least its first link.
    let Some(index) = path.links.last().copied() else {
        return;
    };
    let last = &certs[index];
    let issuer = last.seen.issuer.clone();
    let self_signed = index == 0 && last.seen.self_signed;
    let problem = match path.end {
        End::Anchor => return,
        End::OwnRoot => CertProblem::UntrustedRoot {
            issuer,
            self_signed,
        },
        End::BadSignature => CertProblem::BadSignature { index },
        End::GaveUp => CertProblem::Policy {
            index: 0,
            reason: "it comes with more certificates, or ways through them, than clients try"
                .to_owned(),
        },
        End::Unknown if lacks_link(last, index, anchors) => {
            let fetchable = is_fetchable(last);
            CertProblem::ChainIncomplete {
                missing: issuer,
                fetchable,
            }
        }
        End::Unknown => CertProblem::UntrustedRoot {
            issuer,
            self_signed,
        },
    };
    problems.push(problem);
}

/// Was a certificate left out, or is the issuer a root that nobody here knows?
///
/// Servers leave out roots, so an unknown issuer alone says nothing. Three hints do: the issuer is
/// of an organisation that has a trusted root, or calls itself an intermediate, or the server's own
/// certificate says where its issuer's certificate can be had, which CAs write so that clients can
/// mend such a chain (RFC 5280 section 4.2.2.1). On an intermediate the last hint says nothing: its
/// issuer may well be the root.
fn lacks_link(last: &Cert<'_>, index: usize, anchors: &Anchors) -> bool {
    let has_url = index == 0 && !last.seen.issuer_urls.is_empty();
    let name = last.seen.issuer.to_ascii_lowercase();
    let calls_itself_so = INTERMEDIATE_WORDS.iter().any(|word| name.contains(word));
    has_url || calls_itself_so || anchors.has_organisation(&last.issuer_organisations)
}

/// Browsers fetch over plain HTTP only (RFC 5280 section 8 warns of loops over HTTPS).
fn is_fetchable(last: &Cert<'_>) -> bool {
    let mut urls = last.seen.issuer_urls.iter();
    urls.any(|url| url.starts_with("http://"))
}

/// Constraints along a path whose signatures are known to be good: asked at a time at which all
/// links are valid, so that age hides nothing.
fn constraints(
    certs: &[Cert<'_>],
    path: &Path,
    judging: &Judging<'_>,
    problems: &mut Vec<CertProblem>,
) {
    let links = || path.links.iter().map(|index| &certs[*index]);
    if links().any(|cert| cert.seen.malformed.is_some()) {
        return;
    }
    let begin = links().filter_map(|cert| cert.seen.not_before).max();
    let end = links().filter_map(|cert| cert.seen.not_after).min();
    let (Some(begin), Some(end)) = (begin, end) else {
        return;
    };
    // That library knows no time before 1970.
    if end < begin || end < Timestamp::UNIX_EPOCH {
        return;
    }
    let seconds = judging.at.clamp(begin, end).as_second();
    let time = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let Err(error) = verify(certs, path, judging, UnixTime::since_unix_epoch(time)) else {
        return;
    };
    let intermediates = path.links.len().saturating_sub(1);
    let Some(problem) = from_webpki(&error, intermediates) else {
        return;
    };
    // It stops at the first thing it meets; what is listed already need not be said again.
    let is_known = match &problem {
        CertProblem::Policy { .. } | CertProblem::Other { .. } => problems
            .iter()
            .any(|known| matches!(known, CertProblem::Policy { .. })),
        _ => problems.contains(&problem),
    };
    if !is_known {
        problems.push(problem);
    }
}

fn verify(
    certs: &[Cert<'_>],
    path: &Path,
    judging: &Judging<'_>,
    time: UnixTime,
) -> Result<(), webpki::Error> {
    let mut ders = path
        .links
        .iter()
        .map(|index| CertificateDer::from(certs[*index].der));
    let Some(leaf) = ders.next() else {
        return Ok(());
    };
    let between: Vec<CertificateDer<'_>> = ders.collect();
    let algorithms = judging.signatures.algorithms();
    let algorithms: Vec<&dyn SignatureVerificationAlgorithm> =
        algorithms.iter().map(|noted| noted as _).collect();
    EndEntityCert::try_from(&leaf)?
        .verify_for_usage(
            &algorithms,
            judging.anchors.all(),
            &between,
            time,
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map(|_| ())
}

/// What of a certificate is ill-formed.
fn ill_formed(error: &webpki::Error) -> &'static str {
    use webpki::Error as E;
    match error {
        E::BadDerTime => "a time in it is ill-formed",
        E::ExtensionValueInvalid => "what an extension of it says is ill-formed",
        E::InvalidCertValidity => "it ends before it begins",
        E::InvalidNetworkMaskConstraint => "a constraint on addresses in it has an ill-formed mask",
        E::InvalidSerialNumber => "its serial number is ill-formed",
        E::MalformedDnsIdentifier => "a DNS name in it is ill-formed",
        E::MalformedExtensions => "its extensions are ill-formed",
        E::MalformedNameConstraint => "a name constraint in it is ill-formed",
        E::TrailingData(_) => "bytes follow where a part of it should end",
        _ => "its encoding breaks the rules of DER",
    }
}

/// What an error of the path verification means, besides what was looked at before it.
fn from_webpki(error: &webpki::Error, intermediates: usize) -> Option<CertProblem> {
    use webpki::Error as E;
    let policy = |reason: &str| {
        let reason = reason.to_owned();
        Some(CertProblem::Policy { index: 0, reason })
    };
    match error {
        // A CA's certificate at the server's place: private services trust such a one by itself,
        // and most clients take it.
        E::CaUsedAsEndEntity => None,
        // The signatures along this path verify: that library does not try all of the paths that
        // RFC 5280 allows.
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => None,
        E::EndEntityUsedAsCa => policy("a certificate in between is no CA's"),
        E::CertDistrusted => policy("its issuer is distrusted by name"),
        E::NameConstraintViolation => policy("a CA in the chain may not issue for this name"),
        E::PathLenConstraintViolated => policy("the chain is longer than a CA in it allows"),
        E::UnsupportedCertVersion => policy("it is not of X.509 version 3"),
        E::UnsupportedCriticalExtension => policy("a critical extension that clients do not know"),
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
            policy("extended key usage does not allow servers")
        }
        E::MaximumPathDepthExceeded => Some(CertProblem::LongPath { intermediates }),
        E::MaximumNameConstraintComparisonsExceeded => {
            policy("its name constraints take more comparisons than clients make")
        }
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            policy("it is signed with an algorithm that clients do not take")
        }
        E::BadDer
        | E::BadDerTime
        | E::ExtensionValueInvalid
        | E::InvalidCertValidity
        | E::InvalidNetworkMaskConstraint
        | E::InvalidSerialNumber
        | E::MalformedDnsIdentifier
        | E::MalformedExtensions
        | E::MalformedNameConstraint
        | E::TrailingData(_) => Some(CertProblem::Malformed {
            index: 0,
            error: ill_formed(error).to_owned(),
        }),
        other => Some(CertProblem::Other {
            detail: inert(&other.to_string(), 256),
        }),
    }
}
