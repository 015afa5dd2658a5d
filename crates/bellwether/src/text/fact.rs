//! Facts as sentences: their values are JSON, which nobody wants to read.

use bellwether_diagnose::words::{self, number_of_hosts};
use bellwether_model::{Fact, FactKind};
use jiff::Timestamp;
use serde_json::Value;

use super::connections::CONNECTIONS;
use super::sentences::{SENTENCES, Sentence};
use super::supporting::SUPPORTING;

use FactKind as K;

/// Longest list that is shown in full; of a longer one the first is.
const ITEMS_MAX: usize = 2;

/// Facts that say nothing where the second is told.
const IMPLIED: &[(FactKind, FactKind)] = &[
    (K::NsAnswersDisjoint, K::OldNsAnswer),
    (K::NewNsUnusable, K::NsRcode),
    (K::NewNsUnusable, K::NsSilent),
    (K::NewNsUnusable, K::NsNotAuthoritative),
    (K::NsUnexpected, K::ParentNsChanged),
    (K::CacheNsDiffer, K::ParentNsChanged),
    (K::HttpStatus, K::HttpServerError),
    (K::HttpStatus, K::HttpDenied),
    (K::NsRcode, K::AllNsServfail),
    (K::OtherAddressesWork, K::OtherFamilyWorks),
    (K::AddressOwner, K::AddressUnchanged),
    (K::AddressOwner, K::CertNamesDiffer),
    (K::CertEnded, K::OthersRenewed),
];

/// A sentence, and the observations that prove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) text: String,
    pub(super) from: Vec<String>,
    /// Does it support others rather than decide?
    pub(super) supports: bool,
}

/// What sentences need beside the fact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// As of when the check was judged.
    pub(super) now: Timestamp,
    /// As of when the baseline is.
    pub(super) baseline: Option<Timestamp>,
}

/// A fact's place among its like.
struct Part {
    rank: usize,
    sentence: Option<&'static Sentence>,
    /// The sentence without what it speaks of and what may differ.
    frame: String,
    about: Vec<String>,
    each: Vec<String>,
    from: Vec<String>,
}

/// Longest URL in a sentence, characters; the JSON report has all that is kept of it.
const URL_LEN_MAX: usize = 120;

/// Facts as sentences, what tells most first; what is said of several is said once.
pub(super) fn sentences(facts: &[Fact], clock: Clock) -> Vec<Told> {
    let has = |kind: FactKind| facts.iter().any(|f| f.fact == kind);
    let mut parts: Vec<Part> = Vec::new();
    for fact in facts {
        if IMPLIED.iter().any(|(k, by)| *k == fact.fact && has(*by)) {
            continue;
        }
        let mut part = part(fact, clock);
        if fact.fact == K::OldNsAnswer && has(K::ParentNsChanged) {
            // The change itself names them.
            part.about = vec!["the old ones".to_owned(), String::new()];
        }
        let like =
            |p: &&mut Part| p.rank == part.rank && p.frame == part.frame && part.sentence.is_some();
        match parts.iter_mut().find(like) {
            Some(known) => {
                merge(&mut known.about, part.about);
                merge(&mut known.each, part.each);
                merge(&mut known.from, part.from);
            }
            None => parts.push(part),
        }
    }
    parts.sort_by_key(|p| p.rank);
    parts.into_iter().map(told).collect()
}

fn merge(known: &mut Vec<String>, more: Vec<String>) {
    for one in more {
        if !known.contains(&one) {
            known.push(one);
        }
    }
}

/// Stand for what is filled in last; a value that holds them moves words about, and no more.
const ABOUT: char = '\u{1}';
const EACH: char = '\u{2}';
/// Ranks of facts that stand by themselves; those above it support others.
const OWN: usize = SENTENCES.len() + CONNECTIONS.len();

fn part(fact: &Fact, clock: Clock) -> Part {
    let all = SENTENCES
        .iter()
        .chain(CONNECTIONS)
        .chain(SUPPORTING)
        .enumerate();
    let mine = all.filter(|(_, s)| s.kind == fact.fact);
    let (mut last, mut found) = (OWN, None);
    for (rank, sentence) in mine {
        last = rank;
        if let Some(frame) = filled(sentence, &fact.value, clock) {
            found = Some((rank, sentence, frame));
            break;
        }
    }
    let strings = |key: &str| match &fact.value[key] {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Null => Vec::new(),
        one => vec![plain(one)],
    };
    match found {
        Some((rank, sentence, frame)) => Part {
            rank,
            sentence: Some(sentence),
            frame,
            about: strings(sentence.about),
            each: strings(sentence.each),
            from: fact.from.clone(),
        },
        None => Part {
            rank: last,
            sentence: None,
            frame: by_meaning(fact),
            about: Vec::new(),
            each: Vec::new(),
            from: fact.from.clone(),
        },
    }
}

fn told(part: Part) -> Told {
    let one = number_of_hosts(&part.about) <= 1;
    let text = part
        .frame
        .replace(ABOUT, &listed(&part.about))
        .replace(EACH, &words::list(part.each))
        // A word that is empty leaves its space.
        .replace(" ;", ";");
    let mut from = part.from;
    from.sort_by_key(|id| (id.len(), id.clone()));
    Told {
        text: numbered(&text, part.sentence.is_some(), one),
        from,
        supports: part.rank >= OWN,
    }
}

/// `[does|do]` for one or for several.
fn numbered(text: &str, is_sentence: bool, one: bool) -> String {
    if !is_sentence {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let Some((choice, after)) = after.split_once(CLOSE) else {
            break;
        };
        let (single, several) = choice.split_once('|').unwrap_or((choice, choice));
        out.push_str(before);
        out.push_str(if one { single } else { several });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Stand for the brackets of a template, so that brackets in a value stay what they are.
const OPEN: char = '\u{3}';
const CLOSE: char = '\u{4}';

/// The template with its keys filled in; `None` if one is missing.
fn filled(sentence: &Sentence, value: &Value, clock: Clock) -> Option<String> {
    let mut out = String::new();
    let mut rest = sentence.text;
    let brackets = |text: &str| text.replace('[', "\u{3}").replace(']', "\u{4}");
    while let Some((before, after)) = rest.split_once('{') {
        let (key, after) = after.split_once('}')?;
        out.push_str(&brackets(before));
        rest = after;
        if key == "baseline" {
            if let Some(at) = clock.baseline {
                out.push_str(&format!(" of {}", words::clock(clock.now, at)));
            }
            continue;
        }
        let found = value.pointer(&format!("/{key}")).filter(|v| is_there(v))?;
        if key == sentence.about {
            out.push(ABOUT);
        } else if key == sentence.each {
            out.push(EACH);
        } else {
            out.push_str(&in_words(key, found, clock));
        }
    }
    out.push_str(&brackets(rest));
    Some(out)
}

fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

/// The value of a key as it is read best.
fn in_words(key: &str, value: &Value, clock: Clock) -> String {
    match (key, value) {
        (
            "not_after" | "newer_not_after" | "not_before" | "since" | "ended" | "begins" | "ends"
            | "newest",
            Value::String(text),
        ) => words::moment(clock.now, text),
        ("aliases", Value::Array(items)) => {
            let names: Vec<String> = items.iter().map(plain).collect();
            names.join(" → ")
        }
        ("url" | "location", Value::String(text)) if text.chars().count() > URL_LEN_MAX => {
            let begin: String = text.chars().take(URL_LEN_MAX).collect();
            format!("{begin}…")
        }
        (_, value) => plain(value),
    }
}

fn by_meaning(fact: &Fact) -> String {
    let value = plain(&fact.value);
    if value.is_empty() {
        return fact.fact.meaning().to_owned();
    }
    format!("{} ({value})", fact.fact.meaning())
}

/// Names or addresses.
fn listed(items: &[String]) -> String {
    match items {
        [words, nothing] if nothing.is_empty() => words.clone(),
        [one] => words::servers([one]),
        many if many.iter().all(|i| is_host(i)) => words::hosts(many),
        many => words::list(many),
    }
}

/// A name with its final dot, also as `NAME@ADDRESS` and with what it answers.
fn is_host(text: &str) -> bool {
    let name = text.split('@').next().unwrap_or(text);
    name.ends_with('.') && !name.contains(' ') && name.len() > 1
}

/// A value without the signs of JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(fraction) if number.is_f64() => format!("{fraction:.0}"),
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let all: Vec<String> = items.iter().map(plain).collect();
            match all.as_slice() {
                [] => "nothing".to_owned(),
                many if many.iter().all(|i| is_host(i)) => words::hosts(many),
                many if many.len() > ITEMS_MAX => {
                    format!("{} and {} more", many[0], many.len() - 1)
                }
                few => words::list(few),
            }
        }
        Value::Object(keys) => {
            let shown: Vec<String> = keys
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| format!("{} {}", key.replace('_', " "), plain(value)))
                .collect();
            shown.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CLOCK: Clock = Clock {
        now: Timestamp::UNIX_EPOCH,
        baseline: None,
    };

    fn all(facts: &[(FactKind, Value)]) -> Vec<String> {
        let facts: Vec<Fact> = facts
            .iter()
            .map(|(fact, value)| Fact {
                fact: *fact,
                value: value.clone(),
                from: vec!["e1".to_owned()],
            })
            .collect();
        let told = sentences(&facts, CLOCK);
        told.into_iter().map(|t| t.text).collect()
    }

    #[test]
    fn facts_are_told_with_names_and_numbers() {
        assert_eq!(
            all(&[(
                K::ParentNsChanged,
                json!({ "zone": "svc.test.", "before": ["ns1.a.test.", "ns2.a.test."], "after": ["ns9.b.test."] })
            )]),
            ["NS set at the parent changed since the baseline: ns1/ns2.a.test. → ns9.b.test."]
        );
        assert_eq!(
            all(&[(
                K::CertEnded,
                json!({ "address": "192.0.2.1", "not_after": "1969-12-31T00:00:00Z" })
            )]),
            ["the certificate at 192.0.2.1 ended 1969-12-31 00:00 UTC, 24 h ago"]
        );
    }

    #[test]
    fn what_is_said_of_several_is_said_once() {
        let rcode = |server: &str, rcode: &str| {
            (K::NsRcode, json!({ "name_server": server, "rcode": rcode }))
        };
        assert_eq!(
            all(&[
                rcode("ns65.a.test.@192.0.2.1", "NOTIMP"),
                rcode("ns65.a.test.@192.0.2.2", "REFUSED"),
                rcode("ns66.a.test.@192.0.2.3", "REFUSED"),
            ]),
            ["ns65/ns66.a.test. answer NOTIMP and REFUSED"]
        );
        assert_eq!(
            all(&[rcode("ns65.a.test.@192.0.2.1", "REFUSED")]),
            ["ns65.a.test. (192.0.2.1) answers REFUSED"]
        );
        let refused = |address: &str| (K::AddressRefused, json!({ "address": address }));
        assert_eq!(
            all(&[refused("[2001:db8::1]:443"), refused("192.0.2.1:443")]),
            ["[2001:db8::1]:443 and 192.0.2.1:443 refuse connections (a reset answers the SYN)"]
        );
    }

    #[test]
    fn what_tells_most_stands_first_and_nothing_is_said_twice() {
        let status = json!({ "url": "https://a.test/", "status": 500, "expected": [] });
        assert_eq!(
            all(&[
                (K::AddressUnchanged, json!({ "address": "192.0.2.1" })),
                (K::HttpStatus, status.clone()),
                (K::HttpServerError, status),
            ]),
            [
                "https://a.test/ answers 500, an error of the server's own",
                "192.0.2.1 is an address of the baseline, with the same owner",
            ]
        );
    }

    #[test]
    fn what_has_no_sentence_is_told_by_its_meaning() {
        assert_eq!(
            all(&[(
                K::NsRcode,
                json!({ "other_key": [1, 2, 3, 4, 5, 6], "gone": null })
            )]),
            ["a name server answers with an error rcode (other key 1 and 5 more)"]
        );
    }
}
