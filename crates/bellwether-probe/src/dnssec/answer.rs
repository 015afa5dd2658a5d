//! One answer of one server: which record sets of the zone it rests on, and what denies.

use bellwether_model::DnsName;
use bellwether_model::dns::{AnswerKind, Question, Response};
use bellwether_model::dnssec::{
    DenialResult, DenialSeen, RrsetSeen, SignatureResult, SignedAnswer, SignedKind,
};
use domain::base::iana::Rtype;
use domain::base::name::{ToLabelIter, ToName};

use super::denial::{Denied, denial};
use super::verify::{self, Budget, Key};
use super::wire::{self, Rrset, Signed, Wire};

/// Most record sets of one answer: an alias chain of the walk's own limit, and its denial.
const RRSETS_MAX: usize = 24;

/// Types of the parent's side of a cut, and such as only signatures are about.
const UNJUDGED_TYPES: [&str; 5] = ["DS", "ANY", "RRSIG", "NSEC", "NSEC3"];

fn blank(name: &DnsName, rtype: &str, kind: SignedKind) -> SignedAnswer {
    SignedAnswer {
        name_server: String::new(),
        name: name.clone(),
        rtype: rtype.to_owned(),
        kind,
        rrsets: Vec::new(),
        denial: None,
        unjudged: None,
    }
}

/// What a server of the parent says of a zone's DS records; with the data of those there are.
/// `None` for a referral of somebody who knows nothing of signatures.
pub(super) fn ds(
    parent: &DnsName,
    zone: &DnsName,
    signed: &Signed,
    is_asked: bool,
    keys: &[Key],
    budget: &mut Budget,
) -> Option<(SignedAnswer, Vec<Vec<u8>>)> {
    let all = || signed.answer.iter().chain(&signed.authority);
    if let Some(set) = all().find(|s| s.rtype == Rtype::DS && s.name == *zone) {
        let mut seen = blank(zone, "DS", SignedKind::Records);
        seen.rrsets.push(verify::rrset(set, parent, keys, budget));
        return Some((seen, set.data.clone()));
    }
    let (apex, owner) = (wire::wire(parent)?, wire::wire(zone)?);
    let mut seen = blank(zone, "DS", SignedKind::NoData);
    let proof = proof(&apex, parent, signed, keys, budget, &mut seen);
    let denied = denial(&apex, &proof, Denied::Type(&owner, Rtype::DS));
    if denied.result == DenialResult::Absent && !is_asked {
        return None;
    }
    if denied.result == DenialResult::Absent && has_unread_proof(&seen) {
        seen.unjudged = Some("its denial has signatures that we cannot check".to_owned());
    }
    if !is_of_zone(parent, signed) {
        seen.unjudged = Some("its SOA record is of another zone".to_owned());
    }
    seen.denial = Some(denied);
    Some((seen, Vec::new()))
}

/// One answer with authority. `None` if it answers nothing.
pub(super) fn answer(
    apex: &Wire,
    zone: &DnsName,
    question: &Question,
    response: &Response,
    signed: &Signed,
    keys: &[Key],
    budget: &mut Budget,
) -> Option<SignedAnswer> {
    let kind = match response.kind(question, Some(zone)) {
        AnswerKind::Positive | AnswerKind::Alias => SignedKind::Records,
        AnswerKind::NoData => SignedKind::NoData,
        AnswerKind::NxDomain => SignedKind::NxDomain,
        AnswerKind::Referral | AnswerKind::Unusable => return None,
    };
    let mut seen = blank(&question.name, &question.rtype, kind);
    if UNJUDGED_TYPES.contains(&question.rtype.as_str()) {
        seen.unjudged = Some(format!("{} is not the zone's to tell", question.rtype));
    }
    let mut beside: Vec<(Wire, Wire)> = Vec::new();
    for set in signed.answer.iter().take(RRSETS_MAX) {
        if !set.name.is_at_or_below(zone) || is_synthesised(set, signed) {
            continue;
        }
        if may_be_of_child(set, zone, &question.name) {
            seen.unjudged = Some(format!("{} may be of a zone further down", set.name));
        }
        let rrset = verify::rrset(set, zone, keys, budget);
        beside.extend(wildcard_source(set, &rrset));
        seen.rrsets.push(rrset);
    }
    let end = response.aliases(&question.name).pop();
    let end = end.as_ref().unwrap_or(&question.name);
    let is_negative = kind != SignedKind::Records && end.is_at_or_below(zone);
    if is_negative && !is_of_zone(zone, signed) {
        seen.unjudged = Some("its SOA record is of another zone".to_owned());
    }
    if !is_negative && beside.is_empty() {
        return Some(seen);
    }
    let proof = proof(apex, zone, signed, keys, budget, &mut seen);
    let mut results: Vec<DenialSeen> = beside
        .iter()
        .map(|(name, encloser)| denial(apex, &proof, Denied::Beside(name, encloser)))
        .collect();
    if is_negative {
        let (end, rtype) = (wire::wire(end)?, question.rtype.parse::<Rtype>().ok()?);
        let denied = match kind {
            SignedKind::NxDomain => Denied::Name(&end),
            SignedKind::NoData | SignedKind::Records => Denied::Type(&end, rtype),
        };
        results.push(denial(apex, &proof, denied));
    }
    seen.denial = results.into_iter().max_by_key(|d| d.result);
    let is_absent = |d: &DenialSeen| d.result >= DenialResult::Unproven;
    if seen.denial.as_ref().is_some_and(is_absent) && has_unread_proof(&seen) {
        seen.unjudged = Some("its denial has signatures that we cannot check".to_owned());
    }
    Some(seen)
}

/// NSEC and NSEC3 record sets whose signatures fit. All of them are noted in the answer.
fn proof<'s>(
    apex: &Wire,
    zone: &DnsName,
    signed: &'s Signed,
    keys: &[Key],
    budget: &mut Budget,
    seen: &mut SignedAnswer,
) -> Vec<&'s Rrset> {
    let mut fitting = Vec::new();
    let is_proof = |s: &&Rrset| matches!(s.rtype, Rtype::NSEC | Rtype::NSEC3);
    for set in signed.authority.iter().filter(is_proof).take(RRSETS_MAX) {
        if !set.owner.ends_with(apex) {
            continue;
        }
        let rrset = verify::rrset(set, zone, keys, budget);
        let fits = |r: SignatureResult| rrset.signatures.iter().any(|s| s.result == r);
        // A denial synthesised from a wildcard proves nothing (RFC 4035 section 5.4).
        let is_expanded = wildcard_source(set, &rrset).is_some();
        if fits(SignatureResult::Verified) && !is_expanded {
            fitting.push(set);
        }
        seen.rrsets.push(rrset);
    }
    fitting
}

/// Is there an NSEC or NSEC3 record set that we could not check?
fn has_unread_proof(seen: &SignedAnswer) -> bool {
    let proofs = seen
        .rrsets
        .iter()
        .filter(|r| matches!(r.rtype.as_str(), "NSEC" | "NSEC3"));
    proofs.flat_map(|r| &r.signatures).any(|s| match s.result {
        SignatureResult::Unsupported | SignatureResult::NotTried | SignatureResult::WrongSigner => {
            true
        }
        SignatureResult::Verified
        | SignatureResult::Failed
        | SignatureResult::NoKey
        | SignatureResult::TooMany => false,
    })
}

/// The owner and the closest encloser of the wildcard that a set was expanded from: its signature
/// counts fewer labels than its owner has (RFC 4035 section 5.3.4).
fn wildcard_source(set: &Rrset, rrset: &RrsetSeen) -> Option<(Wire, Wire)> {
    let both = set.signatures.iter().zip(&rrset.signatures);
    let mut verified = both.filter(|(_, s)| s.result == SignatureResult::Verified);
    let (sig, _) = verified.next()?;
    let have = verify::counted_labels(&set.owner);
    let fewer = have
        .checked_sub(usize::from(sig.labels))
        .filter(|n| *n > 0)?;
    let all = set.owner.iter_labels().count() - 1;
    let skip = all - have + fewer;
    let encloser = set.owner.iter_suffixes().nth(skip)?.to_canonical_name();
    Some((set.owner.clone(), encloser))
}

/// A CNAME record made from a DNAME record above it needs no signature (RFC 6672 section 5.3.1).
fn is_synthesised(set: &Rrset, signed: &Signed) -> bool {
    let makes = |s: &Rrset| {
        s.rtype == Rtype::DNAME && s.name != set.name && set.name.is_at_or_below(&s.name)
    };
    set.rtype == Rtype::CNAME && set.signatures.is_empty() && signed.answer.iter().any(makes)
}

/// Could the set be of a zone below, which the same server holds? An unsigned one at an alias's
/// end may be, and an unsigned alias more than one label below the apex. At the name itself the
/// walk asked for the SOA record.
fn may_be_of_child(set: &Rrset, zone: &DnsName, asked: &DnsName) -> bool {
    let depth = set.name.labels().len().saturating_sub(zone.labels().len());
    let is_deep_alias = set.rtype == Rtype::CNAME && depth > 1;
    set.signatures.is_empty() && (set.name != *asked || is_deep_alias)
}

/// Is the SOA record of a negative answer this zone's?
fn is_of_zone(zone: &DnsName, signed: &Signed) -> bool {
    let mut soa = signed.authority.iter().filter(|s| s.rtype == Rtype::SOA);
    soa.all(|s| s.name == *zone)
}
