//! Which services lean on what, counted as traces tell.

use std::collections::HashMap;
use std::sync::Arc;

use super::shared;

/// What one check leans on, each thing once, sorted. Checks of one service share the list.
pub(super) type Leans = Arc<[Arc<str>]>;

/// Services and what they lean on.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaning {
    services: HashMap<Box<str>, Service>,
    numbers: HashMap<Arc<str>, u32>,
    dependencies: Vec<Dependency>,
    /// Numbers that nothing has now.
    free: Vec<u32>,
    /// Dependencies with more than one user: only these can be shared.
    common: usize,
}

#[derive(Clone, Debug, Default)]
struct Service {
    /// Its checks at their vantages.
    watches: usize,
    /// By dependency, how many of them lean on it.
    on: Vec<(u32, u32)>,
    /// The list that was told last.
    latest: Leans,
}

#[derive(Clone, Debug, Default)]
struct Dependency {
    name: Arc<str>,
    /// Services that lean on it.
    users: usize,
}

/// How many of some services lean on each thing that any of them leans on.
pub(super) struct Tally(HashMap<u32, usize>);

impl Leaning {
    /// A check of a service is watched from now on.
    pub(super) fn watched(&mut self, service: &str) {
        match self.services.get_mut(service) {
            Some(known) => known.watches += 1,
            None => {
                let new = Service {
                    watches: 1,
                    ..Service::default()
                };
                self.services.insert(service.into(), new);
            }
        }
    }

    /// It is no longer.
    pub(super) fn unwatched(&mut self, service: &str, leans: &[Arc<str>]) {
        self.changed(service, leans, &[]);
        let Some(known) = self.services.get_mut(service) else {
            return;
        };
        known.watches -= 1;
        if known.watches == 0 {
            self.services.remove(service);
        }
    }

    /// The list, in a copy that others may have too.
    pub(super) fn list(&mut self, service: &str, leans: Vec<Box<str>>) -> Leans {
        let known = self.services.get(service).map(|s| &s.latest);
        if let Some(latest) = known
            && latest.len() == leans.len()
            && latest.iter().zip(&leans).all(|(a, b)| **a == **b)
        {
            return Arc::clone(latest);
        }
        let list: Leans = leans.iter().map(|name| self.name(name)).collect();
        if let Some(known) = self.services.get_mut(service) {
            known.latest = Arc::clone(&list);
        }
        list
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        match self.numbers.get_key_value(name) {
            Some((known, _)) => Arc::clone(known),
            None => name.into(),
        }
    }

    /// A check of a service leans on other things than it did.
    pub(super) fn changed(&mut self, service: &str, was: &[Arc<str>], now: &[Arc<str>]) {
        for name in now.iter().filter(|name| was.binary_search(name).is_err()) {
            self.leans(service, name);
        }
        for name in was.iter().filter(|name| now.binary_search(name).is_err()) {
            self.leans_not(service, name);
        }
    }

    fn leans(&mut self, service: &str, name: &Arc<str>) {
        let number = self.number(name);
        let Some(known) = self.services.get_mut(service) else {
            return;
        };
        if let Some((_, count)) = known.on.iter_mut().find(|(n, _)| *n == number) {
            *count += 1;
            return;
        }
        known.on.push((number, 1));
        let users = &mut self.dependencies[number as usize].users;
        *users += 1;
        self.common += usize::from(*users == 2);
    }

    fn number(&mut self, name: &Arc<str>) -> u32 {
        if let Some(known) = self.numbers.get(name) {
            return *known;
        }
        let name = Arc::clone(name);
        let number = self.free.pop().unwrap_or_else(|| {
            self.dependencies.push(Dependency::default());
            u32::try_from(self.dependencies.len() - 1).expect("names take more memory than that")
        });
        self.dependencies[number as usize].name = Arc::clone(&name);
        self.numbers.insert(name, number);
        number
    }

    fn leans_not(&mut self, service: &str, name: &Arc<str>) {
        let (Some(&number), Some(known)) = (self.numbers.get(name), self.services.get_mut(service))
        else {
            return;
        };
        let Some(place) = known.on.iter().position(|(n, _)| *n == number) else {
            return;
        };
        known.on[place].1 -= 1;
        if known.on[place].1 > 0 {
            return;
        }
        known.on.swap_remove(place);
        let users = &mut self.dependencies[number as usize].users;
        *users -= 1;
        self.common -= usize::from(*users == 1);
        if *users == 0 {
            self.forget(number);
        }
    }

    /// Nobody leans on it any more: addresses that change with every look-up would else be remembered
    /// for ever.
    fn forget(&mut self, number: u32) {
        let gone = std::mem::take(&mut self.dependencies[number as usize].name);
        self.numbers.remove(&gone);
        self.free.push(number);
    }

    /// How many services are watched.
    pub(super) fn services(&self) -> usize {
        self.services.len()
    }

    /// How many services lean on it.
    pub(super) fn users(&self, dependency: &str) -> usize {
        let number = self.numbers.get(dependency);
        number.map_or(0, |n| self.dependencies[*n as usize].users)
    }

    /// What these services lean on.
    pub(super) fn tally<'s>(&self, services: impl IntoIterator<Item = &'s str>) -> Tally {
        let mut tally = HashMap::new();
        let known = services.into_iter().filter_map(|s| self.services.get(s));
        for (number, _) in known.flat_map(|service| &service.on) {
            *tally.entry(*number).or_default() += 1;
        }
        Tally(tally)
    }

    /// What is in a tally: each thing with how many of the services lean on it, in no order.
    pub(super) fn named<'l>(&'l self, tally: &'l Tally) -> impl Iterator<Item = (&'l str, usize)> {
        let name = |number: &u32| &*self.dependencies[*number as usize].name;
        tally.0.iter().map(move |(number, n)| (name(number), *n))
    }

    /// How many of the services of a tally lean on this.
    pub(super) fn failing(&self, tally: &Tally, dependency: &str) -> usize {
        let number = self.numbers.get(dependency);
        number.and_then(|n| tally.0.get(n)).copied().unwrap_or(0)
    }

    /// Is it what so many failing services share, of which these many lean on it?
    pub(super) fn is_shared(&self, dependency: &str, bad: usize, failing: usize) -> bool {
        let users = self.users(dependency);
        users > 0 && shared::is_shared(self.services.len(), users, bad, failing, self.common)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service with one check that leans on these.
    fn leans(leaning: &mut Leaning, service: &str, was: &Leans, on: &[&str]) -> Leans {
        let list = leaning.list(service, on.iter().map(|name| (*name).into()).collect());
        leaning.changed(service, was, &list);
        list
    }

    #[test]
    fn users_are_services_and_what_nobody_uses_is_forgotten() {
        let mut leaning = Leaning::default();
        for service in ["a", "a", "b"] {
            leaning.watched(service);
        }
        let none = Leans::default();
        let first = leans(&mut leaning, "a", &none, &["cloud", "dns"]);
        let second = leans(&mut leaning, "a", &none, &["cloud", "dns"]);
        assert!(
            Arc::ptr_eq(&first, &second),
            "checks of a service share the list"
        );
        let other = leans(&mut leaning, "b", &none, &["cloud"]);
        assert_eq!((leaning.services(), leaning.common), (2, 1));
        assert_eq!((leaning.users("cloud"), leaning.users("dns")), (2, 1));
        let tally = leaning.tally(["b", "c"]);
        assert_eq!(leaning.named(&tally).collect::<Vec<_>>(), [("cloud", 1)]);
        assert_eq!(leaning.failing(&tally, "dns"), 0);
        // Addresses that change with every look-up take no more room than one.
        let mut latest = other;
        for n in 0..100 {
            let name = format!("192.0.2.{n}");
            latest = leans(&mut leaning, "b", &latest, &[&name]);
        }
        assert_eq!((leaning.users("cloud"), leaning.common), (1, 0));
        assert!(
            leaning.dependencies.len() <= 4,
            "{:?}",
            leaning.dependencies
        );
        leaning.unwatched("a", &first);
        assert_eq!(
            leaning.users("dns"),
            1,
            "another check of it is still watched"
        );
        leaning.unwatched("a", &second);
        assert_eq!((leaning.users("dns"), leaning.services()), (0, 1));
    }
}
