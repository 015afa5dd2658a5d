//! Labels of names.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use crate::chance::mix;

/// Syllables of new labels.
const SYLLABLES: [&str; 24] = [
    "ba", "do", "fe", "gu", "ha", "ji", "ka", "lo", "me", "ni", "po", "ra", "su", "ta", "vo", "we",
    "xi", "ya", "zo", "bri", "dra", "klo", "pre", "stu",
];

/// A bijection between the labels of a scenario and new ones.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    map: BTreeMap<String, String>,
}

impl Labels {
    pub(super) fn new(labels: Vec<String>, tlds: &[String], seed: u64) -> Self {
        let mut chance = Rng::with_seed(mix(seed, "labels"));
        // A label spelled as a top-level domain keeps its spelling wherever it stands: in records
        // only the zone tells `www.shop.test` below an apex from the name itself.
        let is_kept = |label: &String| is_kept(label) || tlds.contains(label);
        let old: BTreeSet<String> = labels.into_iter().filter(|l| !is_kept(l)).collect();
        // New labels are none of the old ones, so that no mixture of both goes unnoticed.
        let mut used: BTreeSet<String> = old.iter().chain(tlds).cloned().collect();
        let mut map = BTreeMap::new();
        for label in old {
            let new = fresh(&mut chance, &mut used);
            map.insert(label, new);
        }
        Self { map }
    }

    /// Every label of a relative name.
    pub(super) fn all(&self, name: &str) -> String {
        let labels = name.split('.').map(|label| {
            let known = self.map.get(&label.to_ascii_lowercase());
            known.map_or(label, String::as_str)
        });
        labels.collect::<Vec<_>>().join(".")
    }
}

/// Labels that mean something by their spelling.
fn is_kept(label: &str) -> bool {
    label.is_empty() || label == "*" || label == "@" || label.starts_with('_')
}

fn fresh(chance: &mut Rng, used: &mut BTreeSet<String>) -> String {
    loop {
        let count = chance.usize(2..=3);
        let mut label: String = (0..count)
            .map(|_| SYLLABLES[chance.usize(..SYLLABLES.len())])
            .collect();
        if chance.u8(..4) == 0 {
            label.push_str(&chance.u8(1..100).to_string());
        }
        if used.insert(label.clone()) {
            return label;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn distinct_labels_stay_distinct(
            labels in proptest::collection::btree_set("[a-z][a-z0-9-]{0,6}", 0..40),
            seed: u64,
        ) {
            let map = Labels::new(labels.iter().cloned().collect(), &["test".to_owned()], seed);
            let new: BTreeSet<String> = labels.iter().map(|l| map.all(l)).collect();
            prop_assert_eq!(new.len(), labels.len());
            prop_assert!(new.is_disjoint(&labels));
            prop_assert!(!new.contains("test"));
        }
    }

    #[test]
    fn some_labels_keep_their_spelling() {
        let map = Labels::new(vec!["*".into(), "_dmarc".into(), "www".into()], &[], 1);
        assert_eq!(map.all("*"), "*");
        assert_eq!(map.all("_dmarc"), "_dmarc");
        assert_ne!(map.all("WWW"), "WWW");
    }
}
