//! Names that stand twice, and names that nobody bears.

use std::collections::{HashMap, HashSet};

use crate::error::{ConfigError, Problem};
use crate::nearest::nearest;
use crate::place::{At, Place};
use crate::problems;

/// Most names that a complaint lists.
const LISTED_MAX: usize = 10;

/// Complains about each name that stands twice.
pub(crate) fn once(what: &'static str, names: &[At<String>], problems: &mut Vec<ConfigError>) {
    let mut seen: HashMap<&str, Place> = HashMap::with_capacity(names.len());
    for At { value, place } in names {
        if let Some(first) = seen.get(value.as_str()) {
            problems.push(ConfigError::new(
                *place,
                Problem::Twice {
                    what,
                    name: value.clone(),
                    first: *first,
                    first_file: None,
                },
            ));
        } else {
            seen.insert(value, *place);
        }
    }
}

/// Names that may be referred to.
pub(crate) struct Known<'a> {
    what: &'static str,
    names: Vec<&'a str>,
    sought: HashSet<&'a str>,
}

impl<'a> Known<'a> {
    /// The names of things that are called `what`.
    pub(crate) fn new(what: &'static str, names: impl Iterator<Item = &'a str>) -> Self {
        let mut sought = HashSet::new();
        let names = names.filter(|name| sought.insert(*name)).collect();
        Self {
            what,
            names,
            sought,
        }
    }

    /// Does somebody bear this name?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.sought.contains(name)
    }

    /// Complains about a name that nobody bears, with the one that was probably meant.
    pub(crate) fn check(&self, key: &str, name: &At<String>, problems: &mut Vec<ConfigError>) {
        // The nearest name costs a look at all of them, and nobody reads more complaints.
        if self.has(&name.value) || problems.len() > problems::MAX {
            return;
        }
        let cure = match nearest(&name.value, self.names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.names.is_empty() => "there is none".to_owned(),
            None => {
                let listed = self.names.iter().take(LISTED_MAX).copied();
                let listed = listed.collect::<Vec<_>>().join(", ");
                let more = match self.names.len().checked_sub(LISTED_MAX) {
                    Some(1..) => ", …",
                    _ => "",
                };
                format!("there are: {listed}{more}")
            }
        };
        let why = format!("there is no {} `{}`; {cure}", self.what, name.value);
        problems.push(ConfigError::value(name.place, key, why));
    }
}
