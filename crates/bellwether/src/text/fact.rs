//! A fact as a sentence: its value is JSON, which nobody wants to read.

use bellwether_model::{Fact, FactKind};
use serde_json::Value;

use FactKind as K;

/// Longest list that is shown in full; of a longer one the first two are.
const ITEMS_MAX: usize = 3;

/// Sentences with `{key}` for what stands in the value. A fact whose value lacks one of the keys,
/// or that is not listed, is told by its meaning and its value.
const SENTENCES: &[(FactKind, &str)] = &[
    (
        K::ControlsFailed,
        "{failed} of {of} controls failed too: {controls}",
    ),
    (
        K::NoRoute,
        "this machine has no route: {attempts} connection attempts ended before a packet left",
    ),
    (
        K::ProbesNotRun,
        "probes that are needed did not run: {reason}",
    ),
    (
        K::ParentNsChanged,
        "NS set of {zone} at the parent changed since the baseline: {before} → {after}",
    ),
    (
        K::ParentChildNsDiffer,
        "the parent of {zone} says {parent}; the zone itself says {child}",
    ),
    (
        K::CacheNsDiffer,
        "{resolver} holds {held} in its cache; the parent says {parent}",
    ),
    (
        K::CacheNsDiffer,
        "caches hold {held}; the parent says {parent}",
    ),
    (
        K::NsUnexpected,
        "{zone} is delegated to {unexpected}; declared are {expected}",
    ),
    (
        K::NsAnswersDisjoint,
        "{groups/0/name_servers} answer {groups/0/addresses}; {groups/1/name_servers} answer {groups/1/addresses}, with authority too",
    ),
    (
        K::OwnerChanged,
        "the answers belong to {after}; before, to {before}",
    ),
    (
        K::OldNsAnswer,
        "{name_servers} still answer {addresses}, with authority",
    ),
    (
        K::OldNsAnswer,
        "{name_servers} still answer for {zone}, with authority",
    ),
    (K::NsRcode, "{name_server} answers {rcode}"),
    (
        K::NsNotAuthoritative,
        "{name_server} answers without authority",
    ),
    (
        K::NsAddressMissing,
        "{name_server} has no address: {because}",
    ),
    (
        K::NsIsCname,
        "{name_server} is an alias of {alias_of}, which a name server must not be",
    ),
    (
        K::NsCycle,
        "the address of {name_server} can only be found by asking itself: {cycle}",
    ),
    (
        K::GlueDiffers,
        "the parent says that {name_server} is {glue}; its own zone says {own}",
    ),
    (
        K::ParentNxdomain,
        "servers of {parent} answer {rcode} for {zone}: {given_by}",
    ),
    (
        K::ParentServersFail,
        "no server of {zone} gives a usable answer: {name_servers}",
    ),
    (
        K::NsDeniesExistingName,
        "{name_server} answers {answer} for {name}, with authority; {others_have_it} have it",
    ),
    (
        K::SerialBehind,
        "{name_server} serves serial {serial}; the newest is {newest}",
    ),
    (K::NsSilent, "{name_server} does not answer ({how})"),
    (
        K::NsTcpFails,
        "{name_server} answers over UDP and not over TCP",
    ),
    (
        K::NsEdnsFails,
        "{name_server} answers plain queries and not those with EDNS",
    ),
    (
        K::RrsetEmptyEverywhere,
        "all name servers of {zone} say that {name} has no such record: {name_servers}",
    ),
    (
        K::RecordsChanged,
        "the addresses changed since the baseline: {before} → {after}; the name servers did not",
    ),
    (
        K::PrivateAddress,
        "the public answer holds {address}, which is {class}",
    ),
    (
        K::AddressUnexpected,
        "{address} lies outside of what is declared: {expected}",
    ),
    (
        K::AddressUnexpected,
        "{addresses} lie outside of what is declared: {expected}",
    ),
    (
        K::CnameLoop,
        "the aliases lead back to themselves: {aliases}",
    ),
    (
        K::CnameTargetMissing,
        "{alias} leads to {target}, which has no address",
    ),
    (
        K::AnswerTooLarge,
        "the answer for {name} has {records} addresses ({family}, {bytes} bytes); the policy is {policy/max_addresses}",
    ),
    (
        K::AnswerTooLarge,
        "the answer for {name} has {records} addresses ({family}); the policy is {policy/max_addresses}",
    ),
    (
        K::RrsigEnded,
        "the signatures of {name} {type} ended at {ended} (key {key_tag}): {name_servers}",
    ),
    (
        K::RrsigNotBegun,
        "the signatures of {name} {type} begin only at {begins} (key {key_tag}): {name_servers}",
    ),
    (
        K::RrsigMissing,
        "{name} {type} has no signature at {name_servers}, and {zone} is signed",
    ),
    (
        K::RrsigWrong,
        "the signature of {name} {type} by key {key_tag} does not fit: {name_servers}",
    ),
    (
        K::DsMatchesNoKey,
        "DS at the parent: key {ds_tags}; keys of {zone}: {key_tags}",
    ),
    (
        K::DnskeyMissing,
        "DS at the parent: key {ds_tags}; {zone} has no keys: {name_servers}",
    ),
    (
        K::DenialUnproven,
        "nothing proves that {name} {type} is not there: {name_servers}",
    ),
    (
        K::NsRrsigEnded,
        "{name_server}: the signatures of {name} {type} ended at {ended}; others' hold",
    ),
    (
        K::NsRrsigBad,
        "{name_server}: {name} {type} does not validate ({problem}); others' does",
    ),
    (
        K::RrsigEndsSoon,
        "the signatures of {zone} end at {ends}; the newest is of {newest}",
    ),
    (
        K::CdsMatchesNoKey,
        "CDS of {zone}: key {cds_tags}; its keys: {key_tags}",
    ),
    (
        K::Nsec3IterationsHigh,
        "NSEC3 of {zone} asks for {iterations} iterations; validators count {limit}",
    ),
    (
        K::ChainSecure,
        "the signatures from the root to {name} hold",
    ),
    (
        K::FailsOnlyChecked,
        "{resolvers} answer with an error, and with data when asked not to check (CD=1)",
    ),
    (
        K::FailsOnlyChecked,
        "{resolver} answers with an error, and with data when asked not to check (CD=1)",
    ),
    (
        K::ResolverFailsSigned,
        "{resolver} fails signed names above too: {names}",
    ),
    (
        K::ResolverLacksAlgorithm,
        "{resolver} checks zones of algorithm {checked_with}, and refuses {zone}, of algorithm {algorithms}",
    ),
    (
        K::ResolverDeniesExistingName,
        "{resolver} answers {answer}; the name servers have the name",
    ),
    (
        K::ResolverFailsControls,
        "{resolver} fails control names too",
    ),
    (
        K::ResolverServfail,
        "{resolver} gives no usable answer: {answer}",
    ),
    (
        K::ResolverAnswerDiffers,
        "{resolver} answers {addresses}; the name servers say {authority}",
    ),
    (
        K::ResolverServesOldAnswer,
        "{resolver} still answers {addresses} from its cache; the name servers say {authority}",
    ),
    (
        K::ResolverSinkhole,
        "{resolver} rewrites the answer: {addresses} (extended errors {extended_errors})",
    ),
    (
        K::ResolverOtherNamesRight,
        "{resolver} answers controls and sibling names rightly",
    ),
    (
        K::AddressRefused,
        "{address} refuses connections (a reset answers the SYN)",
    ),
    (
        K::AddressTimesOut,
        "{address} does not answer connection attempts",
    ),
    (K::AddressUnreachable, "{address} is unreachable: {error}"),
    (
        K::AddressResets,
        "{address} resets connections after they opened",
    ),
    (K::AddressOwner, "{address} belongs to {owner}"),
    (
        K::AddressUnchanged,
        "{address} is the address of the baseline, with the same owner",
    ),
    (K::PingAnswers, "{address} answers ICMP echo"),
    (K::OtherAddressesWork, "other addresses work: {addresses}"),
    (
        K::OtherFamilyWorks,
        "IP{fails} fails; the other family works: {works}",
    ),
    (
        K::CertEnded,
        "the certificate at {address} ended at {not_after}",
    ),
    (
        K::CertNotBegun,
        "the certificate at {address} begins at {not_before}",
    ),
    (
        K::CertNamesDiffer,
        "{address} shows a certificate for {presented}, not for {expected}",
    ),
    (
        K::CertDependsOnSni,
        "{address} shows {with_sni} with SNI and {without_sni} without",
    ),
    (
        K::SameCertWithoutSni,
        "{address} shows the same certificate without SNI: {without_sni}",
    ),
    (
        K::NoTrustAnchor,
        "the chain at {address} ends at `{issuer}`, which is no trust anchor",
    ),
    (
        K::CertSelfSigned,
        "the certificate at {address} is signed by its own key",
    ),
    (
        K::IntermediateMissing,
        "the chain at {address} lacks `{missing}`",
    ),
    (
        K::ChainLinkEnded,
        "`{subject}` in the chain at {address} ended at {not_after}",
    ),
    (
        K::CertMalformed,
        "a certificate at {address} cannot be parsed: {error}",
    ),
    (
        K::CertWeak,
        "a certificate at {address} is refused: {reason}",
    ),
    (
        K::TlsAlert,
        "{address} ends the handshake with alert {alert}, {name}",
    ),
    (
        K::TlsStalled,
        "{address} opens the connection and does not go on with the handshake",
    ),
    (
        K::TlsNotSpoken,
        "what answers at {address} is not TLS: {looks_like}",
    ),
    (
        K::TlsClosed,
        "{address} closes the connection during the handshake",
    ),
    (
        K::ClientCertRequested,
        "{address} asks for a client certificate",
    ),
    (
        K::HttpStatus,
        "{url} answers {status}; expected is {expected}",
    ),
    (K::HttpStalled, "{url} did not answer within {waited_ms} ms"),
    (K::HttpMalformed, "what {url} answers is not HTTP: {error}"),
    (
        K::HttpTruncated,
        "the body of {url} has {read} bytes; {announced} were announced",
    ),
    (K::RedirectLoop, "{url} redirects to {location}: {reason}"),
    (
        K::RedirectRefused,
        "{url} redirects to {location}: {reason}",
    ),
    (K::RedirectFails, "the redirect to {url} fails: {error}"),
    (
        K::EdgeGenerated,
        "the error was made by an edge: `{header}: {value}`",
    ),
    (
        K::ExpectationFailed,
        "declared `{what}` is not met: expected {expected}, found {found}",
    ),
    (
        K::NewNsUnusable,
        "the name servers that the parent gives now are unusable: {answers}",
    ),
    (
        K::SidesUndecided,
        "{groups/0} and {groups/1} disagree, and nothing tells who is right",
    ),
    (
        K::AllNsServfail,
        "all name servers of {zone} answer SERVFAIL: {name_servers}",
    ),
    (
        K::ResolverIsSystem,
        "{resolver} is this machine's own resolver",
    ),
    (
        K::ResolverNegativeCached,
        "{resolver} denies from its cache, for {seconds_left} s more",
    ),
    (
        K::HttpServerError,
        "{url} answers {status}, an error of the server's own",
    ),
    (
        K::HttpDenied,
        "{url} answers {status}: this client is not let in",
    ),
    (K::RoleDiffers, "declared role {expected}, found {found}"),
    (
        K::SlowerThanDeclared,
        "the answer took {found}; declared is {expected}",
    ),
];

/// The fact in words.
pub(super) fn sentence(fact: &Fact) -> String {
    SENTENCES
        .iter()
        .filter(|(kind, _)| *kind == fact.fact)
        .find_map(|(_, template)| filled(template, &fact.value))
        .unwrap_or_else(|| plain(fact))
}

/// The template with its keys filled in; `None` if one is missing.
fn filled(template: &str, value: &Value) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (key, after) = after.split_once('}')?;
        let found = value.pointer(&format!("/{key}")).filter(|v| !v.is_null())?;
        out.push_str(before);
        out.push_str(&words(found));
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

fn plain(fact: &Fact) -> String {
    let value = words(&fact.value);
    if value.is_empty() {
        return fact.fact.meaning().to_owned();
    }
    format!("{} ({value})", fact.fact.meaning())
}

/// A value without the signs of JSON.
fn words(value: &Value) -> String {
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
            let shown = |count| {
                items
                    .iter()
                    .take(count)
                    .map(words)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            match items.len() {
                0 => "nothing".to_owned(),
                len if len > ITEMS_MAX => format!("{} and {} more", shown(2), len - 2),
                len => shown(len),
            }
        }
        Value::Object(keys) => {
            let shown: Vec<String> = keys
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| format!("{} {}", key.replace('_', " "), words(value)))
                .collect();
            shown.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: FactKind, value: Value) -> String {
        sentence(&Fact {
            fact: kind,
            value,
            from: Vec::new(),
        })
    }

    #[test]
    fn facts_are_told_with_names_and_numbers() {
        assert_eq!(
            told(
                K::ParentNsChanged,
                json!({ "zone": "svc.test.", "before": ["ns1.a.test."], "after": ["ns9.b.test."] })
            ),
            "NS set of svc.test. at the parent changed since the baseline: ns1.a.test. → ns9.b.test."
        );
        assert_eq!(
            told(
                K::AddressUnexpected,
                json!({ "addresses": ["192.0.2.1"], "expected": [] })
            ),
            "192.0.2.1 lie outside of what is declared: nothing"
        );
    }

    #[test]
    fn what_has_no_sentence_is_told_by_its_meaning() {
        assert_eq!(
            told(
                K::NsRcode,
                json!({ "other_key": [1, 2, 3, 4, 5, 6], "gone": null })
            ),
            "a name server answers with an error rcode (other key 1, 2 and 4 more)"
        );
    }
}
