//! Sentences of timelines and notices.

use std::collections::BTreeSet;

use bellwether_model::incident::AffectedCheck;
use bellwether_model::{Cause, Incident, VantageId};
use jiff::Timestamp;

use super::brief::{Blamed, Brief, Controls};
use super::matter::{Sort, layer_words};
use super::party::Party;
use super::watch::Path;
use super::{Key, seconds_between, vantage};

/// At most this many names stand in one sentence.
const NAMES_MAX: usize = 4;
/// How the sentence begins that tells how many checks an incident breaks.
const CHECKS: &str = " It concerns ";

/// How the sentence begins that tells one of a crowd as an example.
const EXAMPLE: &str = " One of them, ";
/// Between one of a crowd and what to do about it.
const ALIKE: &str = ", and alike at the others: ";
/// Digits of a digest that are shown.
const DIGEST_SHOWN: usize = 12;

/// `a`, `a and b`, `a, b and 7 more`.
pub(super) fn names(all: &[&str]) -> String {
    match all {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        _ if all.len() <= NAMES_MAX => {
            let (last, first) = all.split_last().expect("more than one");
            format!("{} and {last}", first.join(", "))
        }
        _ => {
            let first = &all[..NAMES_MAX - 1];
            format!("{} and {} more", first.join(", "), all.len() - first.len())
        }
    }
}

/// The diagnosis, and over how many checks.
pub(super) fn summary(sentence: &str, checks: &[AffectedCheck]) -> String {
    if checks.len() < 2 {
        return sentence.to_owned();
    }
    let all: Vec<&str> = checks.iter().map(|c| c.check.as_str()).collect();
    format!(
        "{}{CHECKS}{} checks: {}.",
        ended(sentence),
        all.len(),
        names(&all)
    )
}

/// What several checks fail by, each in its own words; `example` is one of them with its diagnosis.
pub(super) fn crowd(
    cause: Cause,
    common: &BTreeSet<Party>,
    checks: &[AffectedCheck],
    (example, sentence): (&str, &str),
) -> String {
    let all: Vec<&str> = checks.iter().map(|c| c.check.as_str()).collect();
    let share = shared(common).map_or_else(String::new, |share| format!(", {share}"));
    format!(
        "{} checks have the same trouble ({cause}){share}: {}.{EXAMPLE}{example}: {}",
        all.len(),
        names(&all),
        ended(sentence)
    )
}

/// What a crowd has in common: the very thing that is at fault, else who runs it.
fn shared(common: &BTreeSet<Party>) -> Option<String> {
    let words = |party: &Party| {
        Some(match party {
            Party::Address(address) | Party::Front(address) => format!("all at address {address}"),
            Party::Certificate(digest) => {
                format!("all with the certificate {}", short_digest(digest))
            }
            Party::NameServer(name) => format!("all asked for at name server {name}"),
            Party::Resolver(label) => format!("all through resolver {label}"),
            Party::Zone(name) => format!("all in the zone {name}"),
            Party::Vantage(name) => format!("all seen from {name}"),
            Party::Operator(who) | Party::Owner(who) => format!("all at {who}"),
            Party::Check(_) => return None,
        })
    };
    let exact = common.iter().filter(|party| party.is_exact());
    let others = common.iter().filter(|party| !party.is_exact());
    exact.chain(others).find_map(words)
}

/// As much of a digest as tells two certificates apart on a screen.
fn short_digest(digest: &str) -> String {
    let begin: String = digest.chars().take(DIGEST_SHOWN).collect();
    format!("sha256:{begin}…")
}

/// What to do about a crowd, by the example of one.
pub(super) fn remedy_of(example: &str, remedy: &str) -> String {
    match remedy {
        "" => String::new(),
        remedy => format!("At {example}{ALIKE}{remedy}"),
    }
}

/// What to do, without for whom.
pub(super) fn plain_remedy(remedy: &str) -> String {
    let plain = remedy.split_once(ALIKE).map(|(_, plain)| plain);
    plain.unwrap_or(remedy).to_owned()
}

/// The diagnosis alone again; of a crowd that of the example.
pub(super) fn plain(summary: &str) -> String {
    if let Some((_, example)) = summary.split_once(EXAMPLE) {
        let sentence = example.split_once(": ").map(|(_, sentence)| sentence);
        return sentence.unwrap_or(example).to_owned();
    }
    let end = summary.rfind(CHECKS).unwrap_or(summary.len());
    summary[..end].to_owned()
}

/// The diagnosis as a notice tells it that has named the checks.
fn told(summary: &str) -> String {
    match summary.split_once(EXAMPLE) {
        Some((_, example)) => format!("one of them, {example}"),
        None => plain(summary),
    }
}

/// With a full stop.
pub(super) fn ended(sentence: &str) -> String {
    let trimmed = sentence.trim_end();
    match trimmed.chars().last() {
        None | Some('.' | '!' | '?') => trimmed.to_owned(),
        Some(_) => format!("{trimmed}."),
    }
}

/// The line of the alarm.
pub(super) fn alarm(sort: Sort, blamed: &Blamed, checks: &[&str], split: Option<&str>) -> String {
    let mut text = match sort {
        Sort::Fault => format!("{}: {}", blamed.cause, blamed.summary),
        Sort::Ours => format!("we cannot tell: {}: {}", blamed.cause, blamed.summary),
        Sort::Warning => format!("nobody fails yet: {}: {}", blamed.cause, blamed.summary),
        Sort::Slow => format!("slow: {}", blamed.summary),
    };
    if checks.len() > 1 {
        text = format!("{} Seen by {}", ended(&text), names(checks));
    }
    match split {
        Some(from) => format!("{} {from}", ended(&text)),
        None => text,
    }
}

/// The first failing round, as a run saw it.
pub(super) fn failing_run((check, vantage): &Key, path: &Path) -> String {
    let mut text = format!("{check} fails at {}", layer_words(path.layer));
    if let Some(symptom) = &path.symptom {
        text = format!("{text} ({symptom})");
    }
    if let Some(resolver) = &path.resolver {
        text = format!("{text} via {resolver}");
    }
    if let Some(address) = path.address {
        text = format!("{text} to {address}");
    }
    format!("{text}, seen from {vantage}")
}

/// The first failing round, as a trace saw it.
pub(super) fn failing_trace((check, vantage): &Key, brief: &Brief, blamed: &Blamed) -> String {
    if check.as_heartbeat().is_some() {
        // It reports by itself, or does not: nobody looks at it.
        return format!("{check} is {}", brief.verdict.name());
    }
    let resolvers: Vec<&str> = blamed.scope.resolvers.iter().map(String::as_str).collect();
    let via = if resolvers.is_empty() {
        String::new()
    } else {
        format!(" via {}", names(&resolvers))
    };
    format!(
        "{check} is {} at {}{via}, seen from {vantage}",
        brief.verdict.name(),
        blamed.layer
    )
}

/// One more that fails.
pub(super) fn fails_too((check, vantage): &Key) -> String {
    match vantage::is_whole(check) {
        true => format!("vantage {vantage} has the same trouble"),
        false => format!("check {check} fails too, from {vantage}"),
    }
}

/// What an incident concerns: checks, or a vantage as a whole.
fn concerned(incident: &Incident) -> String {
    let checks: Vec<&str> = incident.checks.iter().map(|c| c.check.as_str()).collect();
    if !checks.is_empty() {
        return names(&checks);
    }
    let vantages = incident.scope.vantages.iter().map(String::as_str);
    let vantages: Vec<&str> = vantages.collect();
    let word = if vantages.len() > 1 {
        "vantages"
    } else {
        "vantage"
    };
    format!("{word} {}", names(&vantages))
}

/// What works again, with its verb.
pub(super) fn work_again(incident: &Incident) -> String {
    // That nobody is heard is over with the first who is.
    if incident.checks.is_empty() && incident.scope.vantages.len() > 1 {
        return format!("of {} one is heard again", concerned(incident));
    }
    let verb = if incident.checks.len() > 1 {
        "work"
    } else {
        "works"
    };
    format!("{} {verb} again", concerned(incident))
}

/// What one vantage cannot separate.
pub(super) fn seen_from(vantage: &VantageId, controls: Controls) -> String {
    let Controls { asked, answered } = controls;
    let doubt = "one vantage cannot tell a fault near it from one at the service";
    match (asked, answered) {
        (0, _) => format!("seen from {vantage} only: {doubt}"),
        (asked, answered) if asked == answered => {
            format!("seen from {vantage} only, where all {asked} controls answered")
        }
        (asked, answered) => format!(
            "seen from {vantage} only, where {answered} of {asked} controls answered: {doubt}"
        ),
    }
}

/// `4 min`, `2 h 10 min`.
pub(super) fn lasted(from: Timestamp, to: Timestamp) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds of an incident, not negative"
    )]
    let seconds = seconds_between(from, to).max(0.0).round() as u64;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A time of day in a sentence.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S UTC").to_string()
}

/// What an opened incident is told with.
pub(super) fn opened(incident: &Incident) -> String {
    let mut text = format!(
        "{} ({}, {}) since {}: {}",
        concerned(incident),
        incident.verdict.name(),
        incident.cause,
        clock(incident.began),
        ended(&told(&incident.summary))
    );
    for caveat in &incident.caveats {
        text = format!("{text} {}", ended(caveat));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(names: &[&str]) -> Vec<AffectedCheck> {
        let since = Timestamp::UNIX_EPOCH;
        let of = |name: &&str| AffectedCheck {
            check: (*name).to_owned(),
            since,
            until: None,
            scope: bellwether_model::Scope::default(),
        };
        names.iter().map(of).collect()
    }

    #[test]
    fn the_sentence_comes_out_of_what_is_told_around_it() {
        let cause = Cause::NetTcpRefused;
        let sentence = "192.0.2.1 refuses: nothing listens there";
        let two = checks(&["a/main", "b/main"]);
        assert_eq!(plain(sentence), sentence);
        assert_eq!(plain(&summary(sentence, &two)), format!("{sentence}."));
        let party = Party::Certificate("0123456789abcdef".to_owned());
        let common = BTreeSet::from([party]);
        let told = crowd(cause, &common, &two, ("a/main", sentence));
        assert_eq!(
            told,
            "2 checks have the same trouble (net.tcp.refused), all with the certificate sha256:0123456789ab…: a/main and b/main. \
             One of them, a/main: 192.0.2.1 refuses: nothing listens there."
        );
        assert_eq!(plain(&told), format!("{sentence}."));
        assert_eq!(plain_remedy(&remedy_of("a/main", "Start it.")), "Start it.");
        assert_eq!(plain_remedy("Start it."), "Start it.");
        assert_eq!(remedy_of("a/main", ""), "");
    }
}
