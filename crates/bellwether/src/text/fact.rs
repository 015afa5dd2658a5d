//! Facts as sentences: their values are JSON, which nobody wants to read.

use bellwether_diagnose::words::{self, number_of_hosts};
use bellwether_model::{Fact, FactKind};
use jiff::Timestamp;
use serde_json::Value;

use FactKind as K;

/// Longest list that is shown in full; of a longer one the first is.
const ITEMS_MAX: usize = 2;

/// How a kind of fact is told.
struct Sentence {
    kind: FactKind,
    /// The key of what the fact speaks of: facts that say the same of several are told as one.
    about: &'static str,
    /// The key of what may differ between them nevertheless, and is listed.
    each: &'static str,
    /// `{key}` is what stands in the value; of `[does|do]` the first is for one, the second for
    /// several of what it speaks of.
    text: &'static str,
}

impl Sentence {
    const fn new(
        kind: FactKind,
        about: &'static str,
        each: &'static str,
        text: &'static str,
    ) -> Self {
        Self {
            kind,
            about,
            each,
            text,
        }
    }
}

/// What tells most stands first. A fact whose value lacks one of the keys, or that is not listed,
/// is told by its meaning and its value.
const SENTENCES: &[Sentence] = &[
    Sentence::new(
        K::ControlsFailed,
        "",
        "",
        "{failed} of {of} controls fail too: {controls}",
    ),
    Sentence::new(
        K::NoRoute,
        "",
        "",
        "this machine has no route: {attempts} connection attempts ended before a packet left",
    ),
    Sentence::new(
        K::ProbesNotRun,
        "",
        "",
        "probes that are needed did not run: {reason}",
    ),
    Sentence::new(
        K::ParentNsChanged,
        "",
        "",
        "NS set at the parent changed since the baseline{baseline}: {before} → {after}",
    ),
    Sentence::new(
        K::NsUnexpected,
        "",
        "",
        "{zone} is delegated to {unexpected}; declared are {expected}",
    ),
    Sentence::new(
        K::CacheNsDiffer,
        "resolver",
        "",
        "{resolver} still [holds|hold] {held} in cache; the parent gives {parent}",
    ),
    Sentence::new(
        K::CacheNsDiffer,
        "resolver",
        "",
        "caches hold {held}; the parent gives {parent}",
    ),
    Sentence::new(
        K::ParentChildNsDiffer,
        "",
        "",
        "the parent gives {parent}, the zone itself {child}",
    ),
    Sentence::new(
        K::ParentNxdomain,
        "given_by",
        "",
        "{given_by} [answers|answer] {rcode} for {zone}",
    ),
    Sentence::new(
        K::OldNsAnswer,
        "name_servers",
        "",
        "{name_servers} still [gives|give] {addresses}, with authority",
    ),
    Sentence::new(
        K::OldNsAnswer,
        "name_servers",
        "",
        "{name_servers} still [answers|answer] for {zone}, with authority",
    ),
    Sentence::new(
        K::ParentServersFail,
        "name_servers",
        "",
        "{name_servers} of {zone} [gives|give] no usable answer",
    ),
    Sentence::new(
        K::NsRcode,
        "name_server",
        "rcode",
        "{name_server} [answers|answer] {rcode}",
    ),
    Sentence::new(
        K::NsNotAuthoritative,
        "name_server",
        "",
        "{name_server} [answers|answer] without authority",
    ),
    Sentence::new(
        K::NsAddressMissing,
        "name_server",
        "",
        "{name_server} [has|have] no address: {because}",
    ),
    Sentence::new(
        K::NsIsCname,
        "name_server",
        "alias_of",
        "{name_server} [is an alias|are aliases] of {alias_of}; a name server must not be one",
    ),
    Sentence::new(
        K::NsCycle,
        "name_server",
        "",
        "{name_server} can be found only by asking [itself|themselves]",
    ),
    Sentence::new(
        K::AllNsServfail,
        "name_servers",
        "",
        "{name_servers} [answers|answer] SERVFAIL for {zone}",
    ),
    Sentence::new(
        K::NsSilent,
        "name_server",
        "",
        "{name_server} [does|do] not answer",
    ),
    Sentence::new(
        K::NsTcpFails,
        "name_server",
        "",
        "{name_server} [answers|answer] over UDP and not over TCP",
    ),
    Sentence::new(
        K::NsEdnsFails,
        "name_server",
        "",
        "{name_server} [answers|answer] plain queries and not those with EDNS",
    ),
    Sentence::new(
        K::NsDeniesExistingName,
        "name_server",
        "",
        "{name_server} [says|say] {answer} for {name}, with authority; {others_have_it} have it",
    ),
    Sentence::new(
        K::SerialBehind,
        "name_server",
        "",
        "{name_server} [serves|serve] serial {serial}; the newest is {newest}",
    ),
    Sentence::new(
        K::NewNsUnusable,
        "name_servers",
        "",
        "{name_servers} [gives|give] no usable answer",
    ),
    Sentence::new(
        K::SidesUndecided,
        "",
        "",
        "{groups/0} and {groups/1} disagree, and nothing tells who is right",
    ),
    Sentence::new(
        K::RrsetEmptyEverywhere,
        "name_servers",
        "",
        "{name_servers} [says|say], with authority, that {name} has no such record",
    ),
    Sentence::new(
        K::RecordsChanged,
        "",
        "",
        "addresses changed since the baseline{baseline}: {before} → {after}; the NS set did not",
    ),
    Sentence::new(
        K::PrivateAddress,
        "address",
        "",
        "the public answer holds {address}: [it is|they are] {class}",
    ),
    Sentence::new(
        K::AddressUnexpected,
        "address",
        "",
        "{address} [lies|lie] outside of what is declared: {expected}",
    ),
    Sentence::new(
        K::AddressUnexpected,
        "addresses",
        "",
        "{addresses} [lies|lie] outside of what is declared: {expected}",
    ),
    Sentence::new(
        K::CnameLoop,
        "",
        "",
        "{aliases}: the aliases lead back to themselves",
    ),
    Sentence::new(
        K::CnameTargetMissing,
        "",
        "",
        "{alias} leads to {target}, which has no address",
    ),
    Sentence::new(
        K::AnswerTooLarge,
        "",
        "",
        "the answer has {records} addresses (IP{family}, {bytes} bytes); the policy is at most {policy/max_addresses}",
    ),
    Sentence::new(
        K::AnswerTooLarge,
        "",
        "",
        "the answer has {records} addresses (IP{family}); the policy is at most {policy/max_addresses}",
    ),
    Sentence::new(
        K::ResolverDeniesExistingName,
        "resolver",
        "",
        "{resolver} [answers|answer] {answer}; the name servers have the name",
    ),
    Sentence::new(
        K::ResolverFailsControls,
        "resolver",
        "",
        "{resolver} [fails|fail] control names too",
    ),
    Sentence::new(
        K::ResolverServfail,
        "resolver",
        "answer",
        "{resolver} [gives|give] no usable answer: {answer}",
    ),
    Sentence::new(
        K::ResolverAnswerDiffers,
        "resolver",
        "",
        "{resolver} [answers|answer] {addresses}; the name servers say {authority}",
    ),
    Sentence::new(
        K::ResolverServesOldAnswer,
        "resolver",
        "",
        "{resolver} still [answers|answer] {addresses} from cache; the name servers say {authority}",
    ),
    Sentence::new(
        K::ResolverSinkhole,
        "resolver",
        "",
        "{resolver} [rewrites|rewrite] the answer: {addresses} (extended errors {extended_errors})",
    ),
    Sentence::new(
        K::ResolverNegativeCached,
        "resolver",
        "",
        "{resolver} [denies|deny] from cache, for {seconds_left} s more",
    ),
    Sentence::new(
        K::AddressRefused,
        "address",
        "",
        "{address} [refuses|refuse] connections (a reset answers the SYN)",
    ),
    Sentence::new(
        K::AddressTimesOut,
        "address",
        "",
        "{address} [does|do] not answer connection attempts",
    ),
    Sentence::new(
        K::AddressUnreachable,
        "address",
        "",
        "{address} [is|are] unreachable: {error}",
    ),
    Sentence::new(
        K::AddressResets,
        "address",
        "",
        "{address} [resets|reset] connections after they opened",
    ),
    Sentence::new(
        K::CertEnded,
        "address",
        "",
        "the certificate at {address} ended {not_after}",
    ),
    Sentence::new(
        K::CertNotBegun,
        "address",
        "",
        "the certificate at {address} begins {not_before}",
    ),
    Sentence::new(
        K::CertNamesDiffer,
        "address",
        "",
        "{address} [shows|show] a certificate for {presented}, not for {expected}",
    ),
    Sentence::new(
        K::CertSelfSigned,
        "address",
        "",
        "the certificate at {address} is signed by its own key",
    ),
    Sentence::new(
        K::NoTrustAnchor,
        "address",
        "",
        "the chain at {address} ends at `{issuer}`, which is no trust anchor",
    ),
    Sentence::new(
        K::IntermediateMissing,
        "address",
        "",
        "the chain at {address} lacks `{missing}`",
    ),
    Sentence::new(
        K::ChainLinkEnded,
        "address",
        "",
        "`{subject}` in the chain at {address} ended {not_after}",
    ),
    Sentence::new(
        K::CertMalformed,
        "address",
        "",
        "a certificate at {address} cannot be parsed: {error}",
    ),
    Sentence::new(
        K::CertWeak,
        "address",
        "",
        "a certificate at {address} is refused: {reason}",
    ),
    Sentence::new(
        K::TlsAlert,
        "address",
        "",
        "{address} [ends|end] the handshake with alert {alert}, {name}",
    ),
    Sentence::new(
        K::TlsStalled,
        "address",
        "",
        "{address} [opens|open] the connection and [does|do] not go on with the handshake",
    ),
    Sentence::new(
        K::TlsNotSpoken,
        "address",
        "",
        "what answers at {address} is not TLS: {looks_like}",
    ),
    Sentence::new(
        K::TlsClosed,
        "address",
        "",
        "{address} [closes|close] the connection during the handshake",
    ),
    Sentence::new(
        K::ClientCertRequested,
        "address",
        "",
        "{address} [asks|ask] for a client certificate",
    ),
    Sentence::new(
        K::HttpServerError,
        "",
        "",
        "{url} answers {status}, an error of the server's own",
    ),
    Sentence::new(
        K::HttpDenied,
        "",
        "",
        "{url} answers {status}: this client is not let in",
    ),
    Sentence::new(
        K::HttpStatus,
        "",
        "",
        "{url} answers {status}; expected is {expected}",
    ),
    Sentence::new(K::HttpStatus, "", "", "{url} answers {status}"),
    Sentence::new(
        K::HttpStalled,
        "",
        "",
        "{url} did not answer within {waited_ms} ms",
    ),
    Sentence::new(
        K::HttpMalformed,
        "",
        "",
        "what {url} answers is not HTTP: {error}",
    ),
    Sentence::new(
        K::HttpTruncated,
        "",
        "",
        "the body of {url} has {read} bytes; {announced} were announced",
    ),
    Sentence::new(
        K::RedirectLoop,
        "",
        "",
        "{url} redirects to {location}: {reason}",
    ),
    Sentence::new(
        K::RedirectRefused,
        "",
        "",
        "{url} redirects to {location}: {reason}",
    ),
    Sentence::new(
        K::RedirectFails,
        "",
        "",
        "the redirect to {url} fails: {error}",
    ),
    Sentence::new(
        K::EdgeGenerated,
        "",
        "",
        "the error was made by an edge: `{header}: {value}`",
    ),
    Sentence::new(
        K::ExpectationFailed,
        "",
        "",
        "declared of the {what}: {expected}; it was {found}",
    ),
    Sentence::new(
        K::RoleDiffers,
        "",
        "",
        "declared role {expected}, found {found}",
    ),
    Sentence::new(
        K::SlowerThanDeclared,
        "",
        "",
        "the answer took {found}; declared is {expected}",
    ),
];

/// What supports the others, told after them and after what follows from them.
const SUPPORTING: &[Sentence] = &[
    Sentence::new(
        K::NsAnswersDisjoint,
        "",
        "",
        "{groups/0/name_servers} answer {groups/0/addresses}; {groups/1/name_servers} answer {groups/1/addresses}, with authority too",
    ),
    Sentence::new(
        K::OwnerChanged,
        "",
        "",
        "answers belong to {after}; before, to {before}",
    ),
    Sentence::new(
        K::GlueDiffers,
        "",
        "",
        "the parent says that {name_server} is {glue}; its own zone says {own}",
    ),
    Sentence::new(
        K::CertDependsOnSni,
        "address",
        "",
        "{address} [shows|show] {with_sni} with SNI and {without_sni} without",
    ),
    Sentence::new(
        K::SameCertWithoutSni,
        "address",
        "",
        "{address} [shows|show] the same certificate without SNI",
    ),
    Sentence::new(
        K::AddressUnchanged,
        "address",
        "",
        "{address} [is an address|are addresses] of the baseline, with the same owner",
    ),
    Sentence::new(
        K::ResolverOtherNamesRight,
        "resolver",
        "",
        "{resolver} [answers|answer] other names rightly",
    ),
    Sentence::new(
        K::ResolverIsSystem,
        "resolver",
        "",
        "{resolver} is this machine's own resolver",
    ),
    Sentence::new(
        K::OtherFamilyWorks,
        "",
        "",
        "the other family works: {works}",
    ),
    Sentence::new(
        K::OtherAddressesWork,
        "",
        "",
        "other addresses work: {addresses}",
    ),
    Sentence::new(
        K::PingAnswers,
        "address",
        "",
        "{address} [answers|answer] ICMP echo",
    ),
    Sentence::new(
        K::AddressOwner,
        "address",
        "",
        "{address} [belongs|belong] to {owner}",
    ),
];

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

fn part(fact: &Fact, clock: Clock) -> Part {
    let all = SENTENCES.iter().chain(SUPPORTING).enumerate();
    let mine = all.filter(|(_, s)| s.kind == fact.fact);
    let (mut last, mut found) = (SENTENCES.len(), None);
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
        .replace(EACH, &words::list(part.each));
    let mut from = part.from;
    from.sort_by_key(|id| (id.len(), id.clone()));
    Told {
        text: numbered(&text, part.sentence.is_some(), one),
        from,
        supports: part.rank >= SENTENCES.len(),
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
        ("not_after" | "not_before", Value::String(text)) => words::moment(clock.now, text),
        ("aliases", Value::Array(items)) => {
            let names: Vec<String> = items.iter().map(plain).collect();
            names.join(" → ")
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
