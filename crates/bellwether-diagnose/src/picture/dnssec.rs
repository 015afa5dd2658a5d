//! Is the way to each name signed all along, and do the signatures hold now?
//!
//! What probes saw is independent of time; here `now` is put to it. A zone is held to its
//! signatures only where the way to it is proven signed (RFC 4035 section 4.3), and one good server
//! suffices: a validating resolver that meets a bad answer asks the next.

use std::collections::BTreeMap;

use bellwether_model::DnsName;
use bellwether_model::dnssec::{
    DenialResult, DnssecSeen, RrsetSeen, SignatureResult, SignatureSeen, SignedAnswer, SignedKind,
    SignedZone,
};
use jiff::{SignedDuration, Timestamp};

/// Signatures that end within this time are told beforehand, if nobody renews them.
const SOON: SignedDuration = SignedDuration::from_hours(48);
/// Nobody renews them: of the life of the newest, more than this many parts in `LIFE_PARTS` are over.
/// Signers renew long before; those that sign each answer are at the half of a short life.
const STOPPED_PARTS: i64 = 7;
const LIFE_PARTS: i64 = 8;
/// How far two clocks may be apart: a window that is missed by less says nothing of the zone.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Algorithms that are or were defined for signatures of zones (IANA's registry "DNS Security
/// Algorithm Numbers").
const ALGORITHMS: [u8; 14] = [1, 3, 5, 6, 7, 8, 10, 12, 13, 14, 15, 16, 17, 23];

/// What holds of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainState {
    /// Signed all along, and the signatures hold.
    Secure,
    /// Proven to be unsigned from some zone on.
    Insecure,
    /// A validating resolver refuses the answers: why.
    Bogus(Problem),
    /// Not enough was seen.
    Unknown,
}

/// Why an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The signatures ended.
    Ended,
    /// They begin in the future.
    NotBegun,
    /// The parent vouches for keys, and the zone has none.
    NoKeys,
    /// The parent vouches for other keys.
    OtherKeys,
    /// There are no signatures.
    Unsigned,
    /// They do not fit.
    Wrong,
    /// What denies proves nothing.
    Denial,
    /// More keys and signatures than validators try.
    TooComplex,
}

/// A refused record set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The zone whose record set it is.
    pub zone: DnsName,
    /// Why.
    pub why: Why,
    /// The record set: owner.
    pub name: DnsName,
    /// The record set: type.
    pub rtype: String,
    /// Tag and algorithm of the key that signed, if one did.
    pub key: Option<(u16, u8)>,
    /// When it ended or begins.
    pub at: Option<Timestamp>,
    /// Servers that gave it, `NAME@ADDRESS`.
    pub servers: Vec<String>,
}

/// One chain, judged.
pub struct ChainView<'a> {
    /// The observation.
    pub id: &'a str,
    /// What it saw.
    pub seen: &'a DnssecSeen,
    /// What holds.
    pub state: ChainState,
    /// Problems at some servers only, while others are right.
    pub partial: Vec<Problem>,
    /// The zone's newest signature and the end of its oldest, if nobody seems to renew them.
    pub ends_soon: Option<EndsSoon>,
}

/// Signatures that end soon and that nobody renews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndsSoon {
    /// The zone.
    pub zone: DnsName,
    /// When the first of them ends.
    pub ends: Timestamp,
    /// When the newest was made.
    pub newest: Timestamp,
}

impl ChainView<'_> {
    /// Resolvers whose clocks are right have checked the answers: where a window is all that is
    /// missed, it is missed by our own clock.
    pub(super) fn doubt_clock(&mut self) {
        if let ChainState::Bogus(problem) = &self.state
            && matches!(problem.why, Why::Ended | Why::NotBegun)
        {
            self.state = ChainState::Unknown;
        }
    }
}

/// What became of the keys of a zone, or of a link to one.
enum Link {
    Secure,
    Insecure,
    Bogus(Problem),
    Unknown,
}

/// Judges a chain as of a moment.
pub(super) fn view<'a>(id: &'a str, seen: &'a DnssecSeen, now: Timestamp) -> ChainView<'a> {
    let mut view = ChainView {
        id,
        seen,
        state: ChainState::Unknown,
        partial: Vec::new(),
        ends_soon: None,
    };
    view.state = state(seen, now, &mut view.partial);
    if view.state == ChainState::Secure {
        view.ends_soon = seen.zones.last().and_then(|zone| ends_soon(zone, now));
    }
    view
}

fn state(seen: &DnssecSeen, now: Timestamp, partial: &mut Vec<Problem>) -> ChainState {
    if seen.zones.first().is_none_or(|zone| zone.parent.is_some()) {
        return ChainState::Unknown;
    }
    for zone in &seen.zones {
        let link = match &zone.parent {
            None => Link::Secure,
            Some(parent) => delegation(zone, parent, now),
        };
        let link = match link {
            Link::Secure => keys(zone, now, partial),
            other => other,
        };
        match link {
            Link::Secure => {}
            Link::Insecure => return ChainState::Insecure,
            // What does not even fit at the root speaks against our anchor, or our clock.
            Link::Bogus(_) if zone.parent.is_none() => return ChainState::Unknown,
            Link::Bogus(problem) => return ChainState::Bogus(problem),
            Link::Unknown => return ChainState::Unknown,
        }
    }
    let Some(zone) = seen.zones.last().filter(|z| z.holds_name) else {
        return ChainState::Unknown;
    };
    answers(zone, now, partial)
}

/// Does the parent vouch for the zone's keys, or prove that it does not?
fn delegation(zone: &SignedZone, parent: &DnsName, now: Timestamp) -> Link {
    let mut problems = Vec::new();
    let mut unknown = zone.ds_answers.is_empty();
    let mut unsigned = false;
    for answer in &zone.ds_answers {
        match judge(parent, answer, now) {
            Judged::Good if answer.kind == SignedKind::Records => {
                let is_usable = zone.ds.iter().any(|d| d.supported);
                // Algorithms that we do not know leave the zone as good as unsigned (RFC 4035
                // section 5.2).
                return if is_usable {
                    Link::Secure
                } else {
                    Link::Insecure
                };
            }
            Judged::Good | Judged::Unsigned => unsigned = true,
            Judged::Bad(problem) => problems.push(problem),
            Judged::Unknown => unknown = true,
        }
    }
    if unsigned {
        return Link::Insecure;
    }
    if unknown {
        return Link::Unknown;
    }
    worst(problems).map_or(Link::Unknown, Link::Bogus)
}

/// Do the zone's keys hang together with those that are vouched for?
fn keys(zone: &SignedZone, now: Timestamp, partial: &mut Vec<Problem>) -> Link {
    let vouched = zone.keys.iter().any(|k| k.vouched);
    let (mut good, mut unknown, mut problems) = (false, zone.key_answers.is_empty(), Vec::new());
    for answer in &zone.key_answers {
        let problem = |why, key, at| Problem {
            zone: zone.zone.clone(),
            why,
            name: zone.zone.clone(),
            rtype: "DNSKEY".to_owned(),
            key,
            at,
            servers: vec![answer.name_server.clone()],
        };
        let Some(rrset) = answer.rrsets.first() else {
            problems.push(problem(Why::NoKeys, None, None));
            continue;
        };
        if !vouched {
            problems.push(problem(Why::OtherKeys, None, None));
            continue;
        }
        match rrset_state(rrset, now) {
            RrsetState::Good => good = true,
            RrsetState::Unknown => unknown = true,
            // Signed, and by none of the keys that are vouched for.
            RrsetState::Bad(Why::Wrong, Some(sig)) if sig.result == SignatureResult::NoKey => {
                problems.push(problem(Why::OtherKeys, None, None));
            }
            RrsetState::Bad(why, sig) => {
                let key = sig.map(|s| (s.key_tag, s.algorithm));
                problems.push(problem(why, key, sig.and_then(|s| moment(why, s))));
            }
        }
    }
    settle(zone, good, unknown, problems, partial)
}

fn settle(
    zone: &SignedZone,
    good: bool,
    unknown: bool,
    problems: Vec<Problem>,
    partial: &mut Vec<Problem>,
) -> Link {
    if good {
        // Of root and TLDs one server was asked; nothing is said of single servers there.
        if zone.holds_name {
            partial.extend(problems);
        }
        return Link::Secure;
    }
    if unknown {
        return Link::Unknown;
    }
    worst(problems).map_or(Link::Unknown, Link::Bogus)
}

/// The answers for the name, type by type.
fn answers(zone: &SignedZone, now: Timestamp, partial: &mut Vec<Problem>) -> ChainState {
    let mut by_type: BTreeMap<&str, Vec<&SignedAnswer>> = BTreeMap::new();
    for answer in &zone.answers {
        by_type.entry(&answer.rtype).or_default().push(answer);
    }
    let (mut bogus, mut unknown) = (Vec::new(), by_type.is_empty());
    let mut unsigned = false;
    for answers in by_type.values() {
        let (mut good, mut open, mut problems) = (false, false, Vec::new());
        for answer in answers {
            match judge(&zone.zone, answer, now) {
                Judged::Good => good = true,
                Judged::Unsigned => {
                    good = true;
                    unsigned = true;
                }
                Judged::Unknown => open = true,
                Judged::Bad(problem) => problems.push(problem),
            }
        }
        match settle(zone, good, open, problems, partial) {
            Link::Bogus(problem) => bogus.push(problem),
            Link::Unknown => unknown = true,
            Link::Secure | Link::Insecure => {}
        }
    }
    match worst(bogus) {
        Some(problem) => ChainState::Bogus(problem),
        None if unknown => ChainState::Unknown,
        None if unsigned => ChainState::Insecure,
        None => ChainState::Secure,
    }
}

/// What becomes of one answer.
enum Judged {
    Good,
    /// Its denial covers what is unsigned.
    Unsigned,
    Bad(Problem),
    Unknown,
}

fn judge(zone: &DnsName, answer: &SignedAnswer, now: Timestamp) -> Judged {
    if answer.unjudged.is_some() {
        return Judged::Unknown;
    }
    let mut unknown = false;
    for rrset in &answer.rrsets {
        let (why, sig) = match rrset_state(rrset, now) {
            RrsetState::Good => continue,
            RrsetState::Unknown => {
                unknown = true;
                continue;
            }
            RrsetState::Bad(why, sig) => (why, sig),
        };
        let is_denial = matches!(rrset.rtype.as_str(), "NSEC" | "NSEC3");
        let why = match why {
            Why::Unsigned | Why::Wrong if is_denial => Why::Denial,
            other => other,
        };
        return Judged::Bad(Problem {
            zone: zone.clone(),
            why,
            name: rrset.name.clone(),
            rtype: rrset.rtype.clone(),
            key: sig.map(|s| (s.key_tag, s.algorithm)),
            at: sig.and_then(|s| moment(why, s)),
            servers: vec![answer.name_server.clone()],
        });
    }
    if unknown {
        return Judged::Unknown;
    }
    match answer.denial.as_ref().map(|d| d.result) {
        None | Some(DenialResult::Proven) => Judged::Good,
        Some(DenialResult::OptOut | DenialResult::TooManyIterations) => Judged::Unsigned,
        Some(DenialResult::Unproven | DenialResult::Absent) => Judged::Bad(Problem {
            zone: zone.clone(),
            why: Why::Denial,
            name: answer.name.clone(),
            rtype: answer.rtype.clone(),
            key: None,
            at: None,
            servers: vec![answer.name_server.clone()],
        }),
    }
}

enum RrsetState<'s> {
    Good,
    Unknown,
    /// With the signature that comes nearest to good.
    Bad(Why, Option<&'s SignatureSeen>),
}

fn rrset_state(rrset: &RrsetSeen, now: Timestamp) -> RrsetState<'_> {
    let of = |result| move |s: &&SignatureSeen| s.result == result;
    let fitting = || {
        rrset
            .signatures
            .iter()
            .filter(of(SignatureResult::Verified))
    };
    let until_begin = |s: &SignatureSeen| s.inception.duration_since(now);
    let since_end = |s: &SignatureSeen| now.duration_since(s.expiration);
    if fitting().any(|s| until_begin(s) <= SKEW && since_end(s) <= SKEW) {
        return RrsetState::Good;
    }
    let is_open = |s: &SignatureSeen| match s.result {
        SignatureResult::NotTried => true,
        // Other validators may support what we do not; what nobody has defined, none does.
        SignatureResult::Unsupported => ALGORITHMS.contains(&s.algorithm),
        // A signer above the record set may be a zone that we do not know of; any other is not its
        // zone (RFC 4035 section 5.3.1).
        SignatureResult::WrongSigner => rrset.name.is_at_or_below(&s.signer),
        _ => false,
    };
    if rrset.signatures.iter().any(is_open) {
        return RrsetState::Unknown;
    }
    // Validators give up as well, and refuse the answer.
    if let Some(sig) = rrset.signatures.iter().find(of(SignatureResult::TooMany)) {
        return RrsetState::Bad(Why::TooComplex, Some(sig));
    }
    let ended = fitting().filter(|s| since_end(s) > SKEW);
    if let Some(last) = ended.max_by_key(|s| s.expiration) {
        return RrsetState::Bad(Why::Ended, Some(last));
    }
    if let Some(first) = fitting().min_by_key(|s| s.inception) {
        return RrsetState::Bad(Why::NotBegun, Some(first));
    }
    let failed = rrset.signatures.iter().find(of(SignatureResult::Failed));
    match failed.or(rrset.signatures.first()) {
        Some(sig) => RrsetState::Bad(Why::Wrong, Some(sig)),
        None => RrsetState::Bad(Why::Unsigned, None),
    }
}

fn moment(why: Why, sig: &SignatureSeen) -> Option<Timestamp> {
    match why {
        Why::Ended => Some(sig.expiration),
        Why::NotBegun => Some(sig.inception),
        Why::NoKeys
        | Why::OtherKeys
        | Why::Unsigned
        | Why::Wrong
        | Why::Denial
        | Why::TooComplex => None,
    }
}

/// Of several problems the one that most servers have, with all that have it.
fn worst(problems: Vec<Problem>) -> Option<Problem> {
    let count = |why: Why| problems.iter().filter(|p| p.why == why).count();
    let why = problems
        .iter()
        .map(|p| p.why)
        .max_by_key(|why| (count(*why), std::cmp::Reverse(*why)))?;
    let mut of = problems.into_iter().filter(|p| p.why == why);
    let mut first = of.next()?;
    for other in of {
        first.servers.extend(other.servers);
    }
    first.servers.sort();
    first.servers.dedup();
    Some(first)
}

/// Signatures of the zone near their end while the newest is old too.
fn ends_soon(zone: &SignedZone, now: Timestamp) -> Option<EndsSoon> {
    let answers = zone.answers.iter().chain(&zone.others);
    let all: Vec<&SignatureSeen> = answers
        .flat_map(|a| &a.rrsets)
        .chain(zone.key_answers.iter().flat_map(|a| &a.rrsets))
        .flat_map(|r| &r.signatures)
        .filter(|s| s.result == SignatureResult::Verified && s.expiration > now)
        .collect();
    let newest = all.iter().max_by_key(|s| s.inception)?;
    let ends = all.iter().map(|s| s.expiration).min()?;
    let age = now.duration_since(newest.inception).as_secs();
    let life = newest.expiration.duration_since(newest.inception).as_secs();
    let stopped = age.saturating_mul(LIFE_PARTS) > life.saturating_mul(STOPPED_PARTS);
    let soon = ends.duration_since(now) <= SOON && newest.expiration.duration_since(now) <= SOON;
    (stopped && soon).then(|| EndsSoon {
        zone: zone.zone.clone(),
        ends,
        newest: newest.inception,
    })
}
