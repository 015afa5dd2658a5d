//! Reading the values of facts.

use std::collections::BTreeSet;

use bellwether_model::FactKind;
use serde_json::Value;

use crate::candidates::Candidate;
use crate::facts::Known;

pub(super) fn value<'k>(known: &'k Known, key: &str) -> &'k str {
    known.value.get(key).and_then(Value::as_str).unwrap_or("")
}

pub(super) fn strings(known: Option<&Known>, pointer: &str) -> Vec<String> {
    let found = known
        .and_then(|k| k.value.pointer(pointer))
        .and_then(Value::as_array);
    found
        .map(|a| {
            a.iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default()
}

pub(super) fn fact(candidate: &Candidate, kind: FactKind) -> Option<&Known> {
    candidate.facts.iter().find(|f| f.kind == kind)
}

pub(super) fn facts_of(candidate: &Candidate, kind: FactKind) -> Vec<&Known> {
    candidate.facts.iter().filter(|f| f.kind == kind).collect()
}

/// `REFUSED`, `SERVFAIL`: each different value once.
pub(super) fn each(known: &[&Known], key: &str) -> Vec<String> {
    let all: BTreeSet<String> = known.iter().map(|k| value(k, key).to_owned()).collect();
    all.into_iter().collect()
}
