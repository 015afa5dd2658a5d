//! What else a reader wants to know: who is still right and until when, and which addresses are
//! whose.

use bellwether_model::report::Detail;

use super::list;
use super::naming::{hosts, number_of_hosts};
use super::time::in_seconds;
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
        all.extend(right_servers(picture, candidate));
    }
    all
}

/// Resolvers that users do not fail through, and how long their caches hold.
fn still_right(picture: &Picture<'_>, candidate: &Candidate) -> Option<Detail> {
    let mut unhurt: Vec<_> = picture
        .resolvers
        .iter()
        .filter(|r| r.is_usable() && units::resolver_share(picture, r, &candidate.explains) == 0.0)
        .collect();
    if unhurt.is_empty() {
        return None;
    }
    // Those that turn first stand first.
    unhurt.sort_by_key(|r| r.ns_set.as_ref().map_or(u32::MAX, |(_, left)| *left));
    let each = unhurt.iter().map(|r| match &r.ns_set {
        Some((_, left)) => {
            let until = in_seconds(picture.context.now, *left);
            format!("{} (until {until})", r.label)
        }
        None => r.label.clone(),
    });
    Some(Detail {
        label: "still_right".to_owned(),
        text: format!("Still right from cache: {}", list(each)),
        evidence: unhurt.iter().map(|r| r.id.to_owned()).collect(),
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
            hosts(right.iter().map(|s| &s.label)),
            if number_of_hosts(right.iter().map(|s| &s.label)) == 1 {
                "s"
            } else {
                ""
            },
            list(first.addresses.iter().copied()),
        ),
        evidence: vec![hop.id.to_owned()],
    })
}
