//! Which services need which, both ways.

use std::collections::{BTreeMap, BTreeSet};

/// Needs of services that have any.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    needs: BTreeMap<String, Vec<String>>,
    needed_by: BTreeMap<String, Vec<String>>,
    /// Nothing was looked at by them yet.
    is_new: bool,
}

impl PartialEq for Needs {
    fn eq(&self, other: &Self) -> bool {
        self.needs == other.needs
    }
}

impl Needs {
    pub(super) fn of(mut needs: BTreeMap<String, Vec<String>>) -> Self {
        needs.retain(|_, needed| !needed.is_empty());
        let mut needed_by: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (service, needed) in &needs {
            for other in needed {
                needed_by
                    .entry(other.clone())
                    .or_default()
                    .push(service.clone());
            }
        }
        Self {
            needs,
            needed_by,
            is_new: true,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }

    /// Are they told for the first time since they changed?
    pub(super) fn take_new(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }

    /// The services that these need, and those need, and so on; none of themselves.
    pub(super) fn needed<'a>(&'a self, services: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
        reached(&self.needs, services)
    }

    /// The services that need these, and that need those, and so on.
    pub(super) fn needing<'a>(&'a self, services: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
        reached(&self.needed_by, services)
    }
}

fn reached<'a>(
    steps: &'a BTreeMap<String, Vec<String>>,
    from: &BTreeSet<&'a str>,
) -> BTreeSet<&'a str> {
    let mut all = BTreeSet::new();
    let mut next: Vec<&str> = from.iter().copied().collect();
    while let Some(service) = next.pop() {
        for one in steps.get(service).into_iter().flatten() {
            if !from.contains(one.as_str()) && all.insert(one.as_str()) {
                next.push(one);
            }
        }
    }
    all
}
