//! From where something is seen, in words.
//!
//! What is seen from one vantage, or from several of one network, may be near them: nothing is called
//! everybody's before two networks see it. What only some see is told by their names; below six
//! vantages nothing is called a region's.

use std::collections::BTreeSet;

/// At most this many names stand in one sentence.
const NAMES_MAX: usize = 4;

/// `from fra alone (1 of 3 vantages)`, `from all 3 vantages`, `from ams and fra (2 of 3 vantages)`.
///
/// `seen` are the vantages that see it, of `heard` that are heard.
#[must_use]
pub fn from(seen: &[&str], heard: usize) -> String {
    let heard = heard.max(seen.len());
    match seen {
        [] => format!("from none of {heard} vantages"),
        [one] if heard == 1 => format!("from {one} only"),
        [one] => format!("from {one} alone (1 of {heard} vantages)"),
        _ if seen.len() == heard => format!("from all {heard} vantages"),
        _ => format!("from {} ({} of {heard} vantages)", names(seen), seen.len()),
    }
}

/// The same, with what so few, or so near ones, cannot tell. `networks` are those of the vantages that
/// see it; what is not known may be one and the same.
#[must_use]
pub fn scope(seen: &[&str], networks: &[Option<u32>], heard: usize) -> String {
    let told = from(seen, heard);
    let apart: BTreeSet<&Option<u32>> = networks.iter().collect();
    let near = "cannot tell a fault near it from one at the service";
    match (seen.len(), apart.len()) {
        (0, _) => format!("seen {told}"),
        (1, _) if heard <= 1 => format!("seen {told}: one vantage {near}"),
        (1, _) => format!("seen {told}: the fault may be near it"),
        (_, 1) => format!(
            "seen {told}, which stand in one network as far as is configured: they {}",
            near.replace(" it ", " them ")
        ),
        (_, apart) if networks.contains(&None) => {
            format!("seen {told}, in {apart} networks as far as is configured")
        }
        (_, networks) => format!("seen {told}, in {networks} networks"),
    }
}

/// The same of one vantage alone, where traces from others that began later, in so many other networks,
/// find it well. `is_answer`: is it wrong by what was answered there, and not by silence?
#[must_use]
pub fn alone(seen: &str, heard: usize, well: &[&str], networks: usize, is_answer: bool) -> String {
    let likely = match is_answer {
        true => format!(
            "that somebody near {seen} answers in its place (interception) is likelier than a fault of the service"
        ),
        false => format!("the fault is likely near {seen}, and not at the service"),
    };
    format!(
        "seen {}, while traces from {}, in {networks} other networks, find it well: {likely}",
        from(&[seen], heard),
        names(well)
    )
}

/// `a`, `a and b`, `a, b and 7 more`.
fn names(all: &[&str]) -> String {
    match all {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] if all.len() <= NAMES_MAX => format!("{} and {last}", first.join(", ")),
        _ => {
            let first = &all[..NAMES_MAX - 1];
            format!("{} and {} more", first.join(", "), all.len() - first.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p12_nothing_is_everybodys_before_two_networks_see_it() {
        let (a, b) = (Some(64_500), Some(64_501));
        let told = |seen: &[&str], networks: &[Option<u32>], heard| scope(seen, networks, heard);
        let doubt = "one vantage cannot tell a fault near it from one at the service";
        assert_eq!(
            told(&["local"], &[None], 1),
            format!("seen from local only: {doubt}")
        );
        assert_eq!(
            told(&["fra"], &[a], 3),
            "seen from fra alone (1 of 3 vantages): the fault may be near it"
        );
        assert_eq!(
            told(&["ams", "fra", "nyc"], &[a, b, a], 3),
            "seen from all 3 vantages, in 2 networks"
        );
        assert_eq!(
            told(&["ams", "fra"], &[a, b], 3),
            "seen from ams and fra (2 of 3 vantages), in 2 networks"
        );
        for networks in [[a, a], [None, None]] {
            assert_eq!(
                told(&["ams", "fra"], &networks, 2),
                "seen from all 2 vantages, which stand in one network as far as is configured: they cannot tell a fault near them from one at the service"
            );
        }
    }
}
