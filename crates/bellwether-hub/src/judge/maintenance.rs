//! Which services are in maintenance now.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_config::telling::{Maintenance, Window};
use jiff::Timestamp;

use super::Judge;
use crate::board::Maintained;

/// When something begins or ends next is looked up again after so long: the clock may have been set
/// meanwhile.
const LOOK_EVERY: i64 = 60;

/// What is planned, and what of it is on.
#[derive(Debug, Default)]
pub(super) struct Plans {
    all: Vec<Plan>,
    looked: Option<Timestamp>,
}

#[derive(Debug)]
struct Plan {
    planned: Maintenance,
    /// Until when it is on, where it is.
    until: Option<Timestamp>,
    /// When that is another.
    changes: Timestamp,
}

impl Plans {
    pub(super) fn of(all: &[Maintenance]) -> Self {
        let plan = |planned: &Maintenance| Plan {
            planned: planned.clone(),
            until: None,
            changes: Timestamp::MIN,
        };
        Self {
            all: all.iter().map(plan).collect(),
            looked: None,
        }
    }

    /// Services in maintenance at a time, if that may be others than at the last look. Of several that
    /// overlap, what ends last is told.
    fn look(&mut self, now: Timestamp) -> Option<BTreeMap<String, Maintained>> {
        let is_first = self.looked.is_none();
        let elapsed = self.looked.map(|at| now.duration_since(at).as_secs());
        let is_old = elapsed.is_none_or(|elapsed| !(0..LOOK_EVERY).contains(&elapsed));
        if !is_old && self.all.iter().all(|plan| now < plan.changes) {
            return None;
        }
        if is_old {
            self.looked = Some(now);
        }
        let mut is_news = is_first;
        for plan in &mut self.all {
            let (until, changes) = match plan.planned.at(now) {
                Window::Until(end) => (Some(end), end),
                Window::From(begins) => (None, begins.unwrap_or(Timestamp::MAX)),
            };
            is_news |= plan.until != until;
            (plan.until, plan.changes) = (until, changes);
        }
        is_news.then(|| self.on())
    }

    fn on(&self) -> BTreeMap<String, Maintained> {
        let mut on: BTreeMap<String, Maintained> = BTreeMap::new();
        for plan in &self.all {
            let Some(until) = plan.until else { continue };
            for service in &plan.planned.services {
                let known = on.get(service);
                if known.is_none_or(|known| known.until < until) {
                    let name = plan.planned.name.clone();
                    on.insert(service.clone(), Maintained { name, until });
                }
            }
        }
        on
    }
}

impl Judge {
    /// Does maintenance begin or end?
    pub(super) fn look_at_maintenance(&mut self, now: Timestamp) {
        let Some(on) = self.plans.look(now) else {
            return;
        };
        let services: BTreeSet<String> = on.keys().cloned().collect();
        let before = self
            .shared
            .board_mut(|board| std::mem::replace(&mut board.maintenance, on.clone()));
        for (service, Maintained { name, until }) in &on {
            if !before.contains_key(service) {
                tracing::info!(service, maintenance = name, %until, "maintenance begins: faults are expected");
            }
        }
        for service in before.keys().filter(|service| !on.contains_key(*service)) {
            tracing::info!(service, "maintenance is over: what fails is told again");
        }
        let updates = self.book.set_planned(services, now);
        self.update(updates, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-22T{text}Z").parse().unwrap()
    }

    fn plans() -> Plans {
        let text = "services: [{ name: pay, url: https://pay.example/ }, { name: shop, url: https://shop.example/ }]
maintenance:
  - { name: night, services: [pay], cron: '0 2 * * *', for: 1h }
  - { name: long, services: [pay, shop], cron: '30 2 * * *', for: 1h }
";
        let config = bellwether_config::parse(text, std::path::Path::new("a.yaml")).unwrap();
        Plans::of(&config.maintenance)
    }

    fn told(on: Option<BTreeMap<String, Maintained>>) -> Option<Vec<(String, String)>> {
        let of = |(service, it): (String, Maintained)| (service, it.name);
        on.map(|on| on.into_iter().map(of).collect())
    }

    fn of(all: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        let of = |(service, name): &(&str, &str)| ((*service).to_owned(), (*name).to_owned());
        Some(all.iter().map(of).collect())
    }

    #[test]
    fn it_begins_and_ends_in_time_and_says_so_once() {
        let mut plans = plans();
        assert_eq!(told(plans.look(at("01:59:59"))), of(&[]));
        assert_eq!(told(plans.look(at("02:00:00"))), of(&[("pay", "night")]));
        assert_eq!(told(plans.look(at("02:00:01"))), None);
        assert_eq!(told(plans.look(at("02:29:59"))), None);
        let both = of(&[("pay", "long"), ("shop", "long")]);
        assert_eq!(told(plans.look(at("02:30:00"))), both);
        assert_eq!(told(plans.look(at("03:00:00"))), both, "one is over");
        assert_eq!(told(plans.look(at("03:30:00"))), of(&[]));
    }

    #[test]
    fn a_start_in_the_middle_and_a_clock_that_is_set_are_seen() {
        let mut plans = plans();
        assert_eq!(told(plans.look(at("02:10:00"))), of(&[("pay", "night")]));
        assert_eq!(told(plans.look(at("01:00:00"))), of(&[]));
        assert_eq!(told(plans.look(at("02:10:00"))), of(&[("pay", "night")]));
    }
}
