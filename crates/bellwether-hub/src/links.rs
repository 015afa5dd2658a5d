//! Agents elsewhere: how those that are linked are asked, and how all of them are.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bellwether_model::VantageId;
use bellwether_model::harvest::Harvest;
use bellwether_model::link::{AgentState, Asked};
use jiff::Timestamp;
use tokio::sync::mpsc;

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
}

struct Link {
    boot: u64,
    asks: mpsc::Sender<Asked>,
}

/// How an agent elsewhere is, as the hub knows it. All of it is the hub's own observation but for
/// [`state`](Self::state), which is what the agent says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presence {
    /// Is it linked now?
    pub is_linked: bool,
    /// Since when it is, or is not; `None` where it was not seen since the hub started.
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
}

/// A linked agent's place; it is linked no longer when this is dropped.
pub struct Linked {
    links: Links,
    vantage: VantageId,
    boot: u64,
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
        known.link = Some(Link { boot, asks });
        known.presence.is_linked = true;
        known.presence.since = Some(now);
        known.presence.heard = Some(now);
        known.presence.boot = boot;
        Linked {
            links: self.clone(),
            vantage: vantage.clone(),
            boot,
            clock,
        }
    }

    /// Asks the agent at a vantage. Tells whether it is linked, and takes what it is asked.
    pub fn ask(&self, vantage: &VantageId, asked: Asked) -> bool {
        let all = self.read();
        let link = all.get(vantage).and_then(|known| known.link.as_ref());
        link.is_some_and(|link| link.asks.try_send(asked).is_ok())
    }

    /// Notes what was heard of an agent.
    pub fn heard(&self, vantage: &VantageId, note: impl FnOnce(&mut Presence)) {
        let mut all = self.write();
        note(&mut all.entry(vantage.clone()).or_default().presence);
    }

    /// How the agent at a vantage is; `None` where nothing was seen of it since the hub started.
    #[must_use]
    pub fn presence(&self, vantage: &VantageId) -> Option<Presence> {
        let all = self.read();
        all.get(vantage).map(|known| known.presence.clone())
    }

    /// How all agents are that were seen since the hub started.
    #[must_use]
    pub fn all(&self) -> BTreeMap<VantageId, Presence> {
        let all = self.read();
        let all = all.iter();
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
            .is_some_and(|link| link.boot == self.boot)
        {
            known.link = None;
            known.presence.is_linked = false;
            known.presence.since = Some(now);
        }
    }
}
