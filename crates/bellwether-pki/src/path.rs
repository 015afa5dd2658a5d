//! Paths from the server's certificate to a trust anchor, by names and signatures alone.
//!
//! Time, names and constraints are asked later, so that a chain that is only out of date is told
//! apart from one that leads nowhere.

use jiff::Timestamp;

use crate::anchors::Anchors;
use crate::cert::Cert;
use crate::signature::{Check, Signatures, Signed};

/// Signature checks for one chain. 20 certificates of one name would ask for 20! paths.
const CHECKS_MAX: u32 = 100;

/// The best path through a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Places in the chain as sent, the server's own (0) first.
    pub(crate) links: Vec<usize>,
    pub(crate) end: End,
}

/// Where a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// An anchor issued the last link.
    Anchor,
    /// The last link issued itself and is no anchor.
    OwnRoot,
    /// Nobody with the name of the last link's issuer is there.
    Unknown,
    /// Whoever has the name of the last link's issuer did not sign it.
    BadSignature,
    /// There are more ways than were tried.
    GaveUp,
}

struct Search<'a> {
    certs: &'a [Cert<'a>],
    anchors: &'a Anchors,
    signatures: &'a Signatures,
    at: Timestamp,
    checks: u32,
    best: Option<(Rank, Path)>,
}

/// Smaller is better: reaches an anchor, few links out of time, few links; of dead ends the
/// longest.
type Rank = (bool, usize, isize);

/// The best path from the first certificate.
pub(crate) fn best(
    certs: &[Cert<'_>],
    anchors: &Anchors,
    signatures: &Signatures,
    at: Timestamp,
) -> Option<Path> {
    let mut search = Search {
        certs,
        anchors,
        signatures,
        at,
        checks: 0,
        best: None,
    };
    search.extend(&mut vec![0]);
    let gave_up = search.checks >= CHECKS_MAX;
    let mut path = search.best.map(|(_, path)| path)?;
    if gave_up && path.end != End::Anchor {
        path.end = End::GaveUp;
    }
    Some(path)
}

impl Search<'_> {
    fn extend(&mut self, links: &mut Vec<usize>) {
        let Some(last) = links.last().map(|at| &self.certs[*at]) else {
            return;
        };
        let Some(skeleton) = &last.skeleton else {
            return;
        };
        let signed = Signed::of(skeleton);
        let mut end = if last.is_self_issued() && last.seen.self_signed {
            End::OwnRoot
        } else {
            End::Unknown
        };
        self.checks += 1;
        match self
            .anchors
            .signed(skeleton.issuer, &signed, self.signatures)
        {
            Some(Check::Good | Check::Unsupported) => return self.record(links, End::Anchor),
            Some(Check::Bad) if end == End::Unknown => end = End::BadSignature,
            Some(Check::Bad) | None => {}
        }
        for at in 0..self.certs.len() {
            if links.contains(&at) || self.checks >= CHECKS_MAX {
                continue;
            }
            let issuer = &self.certs[at];
            let Some(found) = &issuer.skeleton else {
                continue;
            };
            if found.subject != skeleton.issuer || found.spki == skeleton.spki {
                continue;
            }
            self.checks += 1;
            match self.signatures.check(&signed, found.spki) {
                Check::Good | Check::Unsupported => {
                    links.push(at);
                    self.extend(links);
                    links.pop();
                }
                Check::Bad if end == End::Unknown && !key_ids_differ(last, issuer) => {
                    end = End::BadSignature;
                }
                Check::Bad => {}
            }
        }
        self.record(links, end);
    }

    fn record(&mut self, links: &[usize], end: End) {
        let untimely = links
            .iter()
            .filter(|at| !is_timely(&self.certs[**at], self.at))
            .count();
        let len = isize::try_from(links.len()).unwrap_or(isize::MAX);
        let rank = match end {
            End::Anchor => (false, untimely, len),
            End::OwnRoot | End::Unknown | End::BadSignature | End::GaveUp => (true, 0, -len),
        };
        if self.best.as_ref().is_none_or(|(known, _)| rank < *known) {
            let links = links.to_vec();
            self.best = Some((rank, Path { links, end }));
        }
    }
}

fn is_timely(cert: &Cert<'_>, at: Timestamp) -> bool {
    cert.seen.not_before.is_none_or(|begin| begin <= at)
        && cert.seen.not_after.is_none_or(|end| at <= end)
}

/// The issuer that was meant has another key: what is here has only the same name.
fn key_ids_differ(cert: &Cert<'_>, issuer: &Cert<'_>) -> bool {
    match (cert.authority_key_id, issuer.subject_key_id) {
        (Some(meant), Some(found)) => meant != found,
        _ => false,
    }
}
