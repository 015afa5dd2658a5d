//! Agents elsewhere: how those that are linked are asked, and how all of them are.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bellwether_model::harvest::Harvest;
use bellwether_model::link::{AgentState, Asked};
use bellwether_model::{CheckId, VantageId};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

/// An agent that is linked says how it is every five seconds. One of which nothing came for twice as long is
/// linked by name only: a cable that is cut says nothing.
const SILENT_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// What an agent elsewhere harvested, once its rows are durable.
#[derive(Debug)]
pub struct Far {
    /// Where it stands.
    pub vantage: VantageId,
    /// What it brought, in order. Rows are kept already, with their evidence.
    pub harvest: Vec<Harvest>,
}

/// Agents elsewhere: one for each vantage.
#[derive(Clone, Default)]
pub struct Links(Arc<RwLock<BTreeMap<VantageId, Known>>>);

#[derive(Default)]
struct Known {
    presence: Presence,
    link: Option<Link>,
    /// Links so far: each is told from the ones before it.
    links: u64,
    /// Checks that are followed: what is asked while it is not linked is told when it is.
    following: BTreeMap<CheckId, u64>,
}

struct Link {
    number: u64,
    asks: mpsc::Sender<Asked>,
}

/// How an agent elsewhere is, as the hub knows it. All of it is the hub's own observation but for
/// [`state`](Self::state), which is what the agent says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presence {
    /// Is it linked now, and heard?
    pub is_linked: bool,
    /// Has it a link, and says nothing?
    pub is_silent: bool,
    /// Is something that it brought taken in? What it says meanwhile may wait to be read.
    pub is_busy: bool,
    /// Since when it is linked, or is not, or is silent; `None` where it was not seen since the hub started.
    pub since: Option<Timestamp>,
    /// When anything was last heard from it.
    pub heard: Option<Timestamp>,
    /// Which start of it this is.
    pub boot: u64,
    /// The version of its program.
    pub program: String,
    /// By how much the hub's clock is ahead of its, milliseconds.
    pub offset_ms: Option<i64>,
    /// The generation of the plan that it goes by.
    pub generation: u64,
    /// What it last said of itself.
    pub state: Option<AgentState>,
    /// Why it cannot go by the newest plan, where it cannot.
    pub unplanned: Option<String>,
}

/// A linked agent's place; it is linked no longer when this is dropped.
pub struct Linked {
    links: Links,
    vantage: VantageId,
    number: u64,
    clock: fn() -> Timestamp,
}

impl Links {
    /// An agent is linked: what is asked of it goes to `asks`. One that was linked before from the same
    /// vantage is asked no more. `clock` says when it is linked no longer.
    #[must_use]
    pub fn enter(
        &self,
        vantage: &VantageId,
        boot: u64,
        asks: mpsc::Sender<Asked>,
        clock: fn() -> Timestamp,
    ) -> Linked {
        let now = clock();
        let mut all = self.write();
        let known = all.entry(vantage.clone()).or_default();
        known.links += 1;
        let number = known.links;
        known.link = Some(Link { number, asks });
        known.presence.is_linked = true;
        (known.presence.is_silent, known.presence.is_busy) = (false, false);
        known.presence.since = Some(now);
        known.presence.heard = Some(now);
        known.presence.boot = boot;
        Linked {
            links: self.clone(),
            vantage: vantage.clone(),
            number,
            clock,
        }
    }

    /// Asks the agent at a vantage. Tells whether it is linked, and takes what it is asked. That a check
    /// is followed is remembered in any case, until it no longer is.
    pub fn ask(&self, vantage: &VantageId, asked: Asked) -> bool {
        let mut all = self.write();
        if let Asked::Follow { check, every_ms } = &asked {
            let known = all.entry(vantage.clone()).or_default();
            match every_ms {
                Some(every) => known.following.insert(check.clone(), *every),
                None => known.following.remove(check),
            };
        }
        let link = all.get(vantage).and_then(|known| known.link.as_ref());
        link.is_some_and(|link| link.asks.try_send(asked).is_ok())
    }

    /// What the agent at a vantage is to be told when it links: the checks that are followed.
    #[must_use]
    pub fn standing(&self, vantage: &VantageId) -> Vec<Asked> {
        let all = self.read();
        let following = all.get(vantage).map(|known| &known.following);
        let following = following.into_iter().flatten();
        let asked = following.map(|(check, every)| Asked::Follow {
            check: check.clone(),
            every_ms: Some(*every),
        });
        asked.collect()
    }

    /// Notes what was heard of an agent. One that was silent is linked again.
    pub fn heard(&self, vantage: &VantageId, note: impl FnOnce(&mut Presence)) {
        let mut all = self.write();
        let Known { presence, link, .. } = all.entry(vantage.clone()).or_default();
        let before = presence.heard;
        note(presence);
        if presence.is_silent && link.is_some() && presence.heard > before {
            (presence.is_silent, presence.is_linked) = (false, true);
            presence.since = presence.heard;
        }
    }

    /// Agents that have a link, and of which nothing came for long, are linked no longer.
    pub fn hush(&self, now: Timestamp) {
        for known in self.write().values_mut() {
            let Known { presence, link, .. } = known;
            let heard = presence
                .heard
                .filter(|_| presence.is_linked && link.is_some());
            let is_past = |heard: Timestamp| now.duration_since(heard) >= SILENT_AFTER;
            if heard.is_some_and(is_past) && !presence.is_busy {
                (presence.is_silent, presence.is_linked) = (true, false);
                presence.since = heard;
            }
        }
    }

    /// How the agent at a vantage is; `None` where nothing was seen of it since the hub started.
    #[must_use]
    pub fn presence(&self, vantage: &VantageId) -> Option<Presence> {
        let all = self.read();
        let known = all.get(vantage).filter(|known| known.links > 0);
        known.map(|known| known.presence.clone())
    }

    /// How all agents are that were seen since the hub started.
    #[must_use]
    pub fn all(&self) -> BTreeMap<VantageId, Presence> {
        let all = self.read();
        let all = all.iter().filter(|(_, known)| known.links > 0);
        all.map(|(vantage, known)| (vantage.clone(), known.presence.clone()))
            .collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<VantageId, Known>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<VantageId, Known>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        let now = (self.clock)();
        let mut all = self.links.write();
        let Some(known) = all.get_mut(&self.vantage) else {
            return;
        };
        // Another one may have come from there meanwhile.
        if known
            .link
            .as_ref()
            .is_some_and(|link| link.number == self.number)
        {
            known.link = None;
            let presence = &mut known.presence;
            presence.is_linked = false;
            // It was gone before it was let go.
            let is_silent = std::mem::take(&mut presence.is_silent);
            presence.since = presence.since.filter(|_| is_silent).or(Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time of our days")
    }

    #[test]
    fn m03_a_link_over_which_nothing_comes_is_none() {
        let links = Links::default();
        let fra = VantageId::new("fra");
        let (asks, _asked) = mpsc::channel(1);
        let linked = links.enter(&fra, 1, asks, || at(30));
        let hears = |second: i64| links.heard(&fra, |p| p.heard = Some(at(second)));
        let told = |second: i64| {
            links.hush(at(second));
            let Presence {
                is_linked,
                is_silent,
                since,
                ..
            } = links.presence(&fra).expect("it was linked");
            (is_linked, is_silent, since)
        };
        // It says something every five seconds.
        hears(35);
        assert_eq!(told(44), (true, false, Some(at(30))));
        assert_eq!(told(45), (false, true, Some(at(35))));
        hears(50);
        assert_eq!(told(51), (true, false, Some(at(50))));
        // While what it brought is taken in, nobody reads what it says.
        links.heard(&fra, |p| p.is_busy = true);
        assert_eq!(told(90), (true, false, Some(at(50))));
        links.heard(&fra, |p| (p.is_busy, p.heard) = (false, Some(at(91))));
        assert_eq!(told(101), (false, true, Some(at(91))));
        // That its link is let go later says no more.
        drop(linked);
        assert_eq!(told(160), (false, false, Some(at(91))));
    }
}
