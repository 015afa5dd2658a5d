//! What else a reader wants to know: who is still right and until when, and which addresses are
//! whose.

use bellwether_model::report::Detail;
use jiff::{SignedDuration, Timestamp};

use super::list;
use crate::blame;
use crate::candidates::Candidate;
use crate::picture::Picture;
use crate::rules::Blame;
use crate::units;

/// Labelled sentences beside the summary.
#[must_use]
pub fn details(picture: &Picture<'_>, candidate: &Candidate) -> Vec<Detail> {
    let mut all = Vec::new();
    if candidate.rule.blame == Blame::WrongSide {
        all.extend(still_right(picture, candidate));
        all.extend(wrong_until(picture, candidate));
        all.extend(right_servers(picture, candidate));
    }
    all
}

/// Resolvers that users do not fail through, and how long their caches hold.
fn still_right(picture: &Picture<'_>, candidate: &Candidate) -> Option<Detail> {
    let unhurt: Vec<_> = picture
        .resolvers
        .iter()
        .filter(|r| r.is_usable() && units::resolver_share(picture, r, &candidate.explains) == 0.0)
        .collect();
    if unhurt.is_empty() {
        return None;
    }
    let each = unhurt.iter().map(|r| match &r.ns_set {
        Some((_, left)) => format!("{} (until {})", r.label, clock(picture, *left)),
        None => r.label.clone(),
    });
    Some(Detail {
        label: "still_right".to_owned(),
        text: format!("Still right from cache: {}", list(each)),
        evidence: unhurt.iter().map(|r| r.id.to_owned()).collect(),
    })
}

/// How long caches that took the wrong set keep it after the repair.
fn wrong_until(picture: &Picture<'_>, candidate: &Candidate) -> Option<Detail> {
    let (hop, _) = blame::wrong_servers(picture, &candidate.group)
        .into_iter()
        .next()?;
    let ttl = hop.seen.parent_sets.iter().map(|s| s.ttl).max()?;
    Some(Detail {
        label: "heals".to_owned(),
        text: format!(
            "After the repair, caches that have the wrong set keep it for up to {} (its TTL)",
            span(ttl)
        ),
        evidence: vec![hop.id.to_owned()],
    })
}

fn right_servers(picture: &Picture<'_>, candidate: &Candidate) -> Option<Detail> {
    let (hop, _) = blame::wrong_servers(picture, &candidate.group)
        .into_iter()
        .next()?;
    let sides = hop.sides.as_ref()?;
    let right: Vec<_> = hop
        .servers
        .iter()
        .filter(|s| sides.right.contains(&s.label) && !s.addresses.is_empty())
        .collect();
    let first = right.first()?;
    Some(Detail {
        label: "right_answer".to_owned(),
        text: format!(
            "{} answer{} {}",
            list(right.iter().map(|s| s.label.clone())),
            if right.len() == 1 { "s" } else { "" },
            list(first.addresses.iter().copied()),
        ),
        evidence: vec![hop.id.to_owned()],
    })
}

/// `21:04 UTC`, with the date if it is another day.
fn clock(picture: &Picture<'_>, seconds: u32) -> String {
    let now = picture.context.now;
    let then: Timestamp = now
        .checked_add(SignedDuration::from_secs(i64::from(seconds)))
        .unwrap_or(now);
    let day = |t: Timestamp| t.strftime("%Y-%m-%d").to_string();
    if day(now) == day(then) {
        then.strftime("%H:%M UTC").to_string()
    } else {
        then.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }
}

/// `25 min`, `2 h`, `1 d`.
fn span(seconds: u32) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}
