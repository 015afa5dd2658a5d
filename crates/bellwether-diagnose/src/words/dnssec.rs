//! Sentences about signatures.

use bellwether_model::FactKind;
use bellwether_model::report::Scope;
use jiff::Timestamp;
use serde_json::Value;

use super::read::{fact, strings, value};
use super::time::moment;
use super::{list, number_of_hosts};
use crate::candidates::Candidate;
use crate::facts::Known;

/// What of the signatures does not hold.
pub(super) fn sentence(now: Timestamp, candidate: &Candidate, scope: &Scope) -> String {
    let known = |kind| fact(candidate, kind);
    if let Some(k) = known(FactKind::ResolverLacksAlgorithm) {
        return format!(
            "{} refuse{} {}, which is signed with algorithm {} alone, and check{} zones signed with {}",
            list(scope.resolvers.clone()),
            s(scope),
            value(k, "zone"),
            numbers(k, "algorithms"),
            s(scope),
            numbers(k, "checked_with"),
        );
    }
    if let Some(sentence) = too_complex(candidate) {
        return sentence;
    }
    let refused = refused(candidate);
    if let Some(k) = known(FactKind::DsMatchesNoKey) {
        return format!("{}: {refused}", unmatched(k));
    }
    if let Some(k) = known(FactKind::DnskeyMissing) {
        return format!(
            "the parent vouches for key {} of {}, and the zone has no keys: {refused}",
            numbers(k, "ds_tags"),
            value(k, "zone"),
        );
    }
    for (kind, what) in [
        (FactKind::RrsigEnded, "ended"),
        (FactKind::RrsigNotBegun, "begin only"),
    ] {
        if let Some(k) = known(kind) {
            let at = if kind == FactKind::RrsigEnded {
                "ended"
            } else {
                "begins"
            };
            return format!(
                "the signatures of {} {what} {}: {refused}",
                set(k),
                moment(now, value(k, at))
            );
        }
    }
    if let Some(k) = known(FactKind::RrsigMissing) {
        return format!(
            "{} has no signature, although {} is signed: {refused}",
            set(k),
            value(k, "zone")
        );
    }
    if let Some(k) = known(FactKind::RrsigWrong) {
        return format!("the signature of {} does not fit it: {refused}", set(k));
    }
    if let Some(k) = known(FactKind::DenialUnproven) {
        return format!(
            "{} does not prove that {} is not there: {refused}",
            value(k, "zone"),
            set(k)
        );
    }
    quiet(now, candidate)
}

/// Validators give up before they are through.
fn too_complex(candidate: &Candidate) -> Option<String> {
    let known = |kind| fact(candidate, kind);
    if let Some(k) = known(FactKind::SignaturesTooComplex) {
        return Some(format!(
            "bogus, too complex: {} has more signatures, or keys of one tag, than the 16 checks that validators make: {}",
            set(k),
            refused(candidate)
        ));
    }
    if let (Some(k), Some(_)) = (
        known(FactKind::Nsec3IterationsHigh),
        known(FactKind::FailsOnlyChecked),
    ) {
        return Some(format!(
            "bogus, too complex: {} is signed with {} NSEC3 iterations, validators count {}: {}",
            value(k, "zone"),
            k.value["iterations"],
            k.value["limit"],
            refused(candidate)
        ));
    }
    let is_complex = |k: &&Known| value(k, "problem") == FactKind::SignaturesTooComplex.name();
    let k = known(FactKind::NsRrsigBad).filter(is_complex)?;
    Some(format!(
        "bogus, too complex: {} gives {} with more signatures, or keys of one tag, than the 16 checks that validators make; the other servers do not",
        list(strings_of(candidate, FactKind::NsRrsigBad)),
        set(k)
    ))
}

/// What nobody fails by yet.
fn quiet(now: Timestamp, candidate: &Candidate) -> String {
    let known = |kind| fact(candidate, kind);
    if let Some(k) = known(FactKind::RrsigEndsSoon) {
        return format!(
            "the signatures of {} end {}, and nobody has signed since {}",
            value(k, "zone"),
            moment(now, value(k, "ends")),
            moment(now, value(k, "newest"))
        );
    }
    if let Some(k) = known(FactKind::CdsMatchesNoKey) {
        return format!(
            "{} offers its parent CDS records for key {}, and has {}",
            value(k, "zone"),
            numbers(k, "cds_tags"),
            numbers(k, "key_tags")
        );
    }
    if let Some(k) = known(FactKind::Nsec3IterationsHigh) {
        return format!(
            "too complex: {} is signed with {} NSEC3 iterations; validators take more than {} as unsigned, or fail",
            value(k, "zone"),
            k.value["iterations"],
            k.value["limit"]
        );
    }
    if let Some(k) = known(FactKind::NsRrsigEnded) {
        let who = strings_of(candidate, FactKind::NsRrsigEnded);
        let s = if number_of_hosts(&who) == 1 { "s" } else { "" };
        return format!(
            "{} give{s} signatures that ended {}; the other servers' hold",
            list(who),
            moment(now, value(k, "ended"))
        );
    }
    if let Some(k) = known(FactKind::NsRrsigBad) {
        let who = strings_of(candidate, FactKind::NsRrsigBad);
        let s = if number_of_hosts(&who) == 1 { "s" } else { "" };
        return format!(
            "what {} give{s} for {} does not stand a check of its signatures; the other servers' does",
            list(who),
            set(k)
        );
    }
    candidate.rule.cause.definition().to_owned()
}

fn strings_of(candidate: &Candidate, kind: FactKind) -> Vec<String> {
    let all = candidate.facts.iter().filter(|f| f.kind == kind);
    all.map(|k| value(k, "name_server").to_owned()).collect()
}

/// Who refuses the answers, as far as it was seen.
fn refused(candidate: &Candidate) -> String {
    let known = fact(candidate, FactKind::FailsOnlyChecked);
    let resolvers = strings(known, "/resolvers");
    match resolvers.len() {
        0 => "validating resolvers refuse the answers".to_owned(),
        1 => format!("{} refuses the answers", list(resolvers)),
        _ => format!("{} refuse the answers", list(resolvers)),
    }
}

fn s(scope: &Scope) -> &'static str {
    if scope.resolvers.len() == 1 { "s" } else { "" }
}

/// `www.svc.test. A`.
fn set(known: &Known) -> String {
    format!("{} {}", value(known, "name"), value(known, "type"))
}

/// What the parent vouches for, where it is none of the zone's keys. Where the tags agree, what does
/// not fit is the algorithm, or the digest.
fn unmatched(known: &Known) -> String {
    let (tags, zone) = (numbers(known, "ds_tags"), value(known, "zone"));
    if disjoint(known, "ds_tags", "key_tags") {
        let keys = numbers(known, "key_tags");
        return format!(
            "the parent vouches for key {tags} of {zone}, and the zone is signed with {keys}"
        );
    }
    let why = if disjoint(known, "ds_algorithms", "key_algorithms") {
        let (ds, keys) = ("ds_algorithms", "key_algorithms");
        let (ds, keys) = (numbers(known, ds), numbers(known, keys));
        format!("says algorithm {ds}, and the key is of algorithm {keys}")
    } else {
        "holds the digest of another key".to_owned()
    };
    format!("the parent's DS record for key {tags} of {zone} {why}")
}

fn disjoint(known: &Known, one: &str, other: &str) -> bool {
    let numbers = |key| known.value.get(key).and_then(Value::as_array);
    let mut one = numbers(one).into_iter().flatten();
    let other: Vec<&Value> = numbers(other).into_iter().flatten().collect();
    !one.any(|number| other.contains(&number))
}

fn numbers(known: &Known, key: &str) -> String {
    let all = known.value.get(key).and_then(Value::as_array);
    list(all.into_iter().flatten())
}
