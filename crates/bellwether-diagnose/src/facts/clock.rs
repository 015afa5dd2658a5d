//! Facts about our own clock, as signatures and other machines tell it, and about our trust anchor.

use bellwether_model::dnssec::{SignatureSeen, SignedZone};
use bellwether_model::fact::Subject;
use bellwether_model::{DnsName, FactKind};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Facts;
use crate::picture::Picture;

/// How far two clocks may be apart, and a Date header lag behind.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn compute(picture: &Picture<'_>, facts: &mut Facts) {
    anchor(picture, facts);
    // A time that was given is not this machine's.
    if picture.context.time_given {
        return;
    }
    let Some(off) = by_signatures(picture, facts) else {
        return;
    };
    dates(picture, off, facts);
}

/// Which way our clock is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Off {
    /// It shows a time after the right one.
    Ahead,
    /// It shows a time before it.
    Behind,
}

/// Root and TLD are signed by operators that have nothing to do with each other or with the
/// target. Where no signature of either holds now, and all miss in the same direction, it is us.
fn by_signatures(picture: &Picture<'_>, facts: &mut Facts) -> Option<Off> {
    let now = picture.context.now;
    let chain = picture.chains.first()?;
    let above: Vec<&SignedZone> = chain.seen.zones.iter().take(2).collect();
    let each: Vec<Option<(Off, SignedDuration)>> = above.iter().map(|z| missed(z, now)).collect();
    let (&(off, _), true) = (each.first()?.as_ref()?, each.len() == 2) else {
        return None;
    };
    let mut least = SignedDuration::MAX;
    for one in &each {
        let (way, by) = (*one)?;
        if way != off {
            return None;
        }
        least = least.min(by);
    }
    let zones: Vec<&DnsName> = above.iter().map(|z| &z.zone).collect();
    let direction = match off {
        Off::Ahead => "ahead",
        Off::Behind => "behind",
    };
    let value = json!({ "clock": now, "direction": direction, "zones": zones, "at_least_s": least.as_secs() });
    facts.add(FactKind::ClockOff, Subject::Vantage, value, [chain.id]);
    Some(off)
}

/// By how much the window is missed that is nearest, if all are missed the same way.
fn missed(zone: &SignedZone, now: Timestamp) -> Option<(Off, SignedDuration)> {
    let answers = zone.key_answers.iter().chain(&zone.ds_answers);
    let signatures: Vec<&SignatureSeen> = answers
        .chain(&zone.others)
        .flat_map(|a| a.rrsets.iter().flat_map(|r| &r.signatures))
        .collect();
    let ended = signatures.iter().map(|s| now.duration_since(s.expiration));
    let early = signatures.iter().map(|s| s.inception.duration_since(now));
    let (ended, early) = (ended.min()?, early.min()?);
    if ended > SKEW {
        Some((Off::Ahead, ended))
    } else if early > SKEW {
        Some((Off::Behind, early))
    } else {
        None
    }
}

/// Date headers (RFC 9110 section 6.6.1) that miss our clock the same way.
fn dates(picture: &Picture<'_>, off: Off, facts: &mut Facts) {
    let now = picture.context.now;
    let seen = picture.addresses.values().flat_map(|v| &v.http);
    let told: Vec<(&str, Timestamp)> = seen
        .filter_map(|(id, http)| {
            let date = jiff::fmt::rfc2822::parse(http.header("date")?).ok()?;
            Some((*id, date.timestamp()))
        })
        .collect();
    let misses = |then: &Timestamp| match off {
        Off::Ahead => now.duration_since(*then) > SKEW,
        Off::Behind => then.duration_since(now) > SKEW,
    };
    let Some((_, first)) = told.first() else {
        return;
    };
    if told.iter().all(|(_, then)| misses(then)) {
        let value = json!({ "clock": now, "date": first });
        let from = told.iter().map(|(id, _)| *id);
        facts.add(FactKind::DatesDiffer, Subject::Vantage, value, from);
    }
}

/// A trust anchor that no key of the root fits: signatures are not judged, and it should be said.
fn anchor(picture: &Picture<'_>, facts: &mut Facts) {
    let Some(chain) = picture.chains.first() else {
        return;
    };
    let Some(root) = chain.seen.zones.first().filter(|z| z.parent.is_none()) else {
        return;
    };
    let vouched = root.keys.iter().any(|k| k.vouched);
    if root.ds.is_empty() || root.keys.is_empty() || vouched {
        return;
    }
    let anchors: Vec<u16> = root.ds.iter().map(|d| d.key_tag).collect();
    let keys: Vec<u16> = root.keys.iter().map(|k| k.key_tag).collect();
    let value = json!({ "anchor_tags": anchors, "key_tags": keys });
    facts.add(FactKind::AnchorUnfit, Subject::Vantage, value, [chain.id]);
}
