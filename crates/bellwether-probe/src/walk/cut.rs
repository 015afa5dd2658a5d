//! Zone cuts known so far.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

use bellwether_model::DnsName;
use bellwether_model::dns::{ListedBy, Referral, Response};
use bellwether_model::job::RootHint;
use tokio::sync::mpsc;

use super::Walk;
use super::level::Tell;

/// A zone with its name servers as the parent gives them (the root: as the hints do).
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) zone: DnsName,
    pub(crate) parent: Option<DnsName>,
    /// Name servers with their glue.
    pub(crate) hosts: Glue,
    ttl: u32,
    given_by: BTreeSet<String>,
    /// Sequential waits until it was known.
    pub(crate) waits: u32,
}

/// Names with addresses.
pub(crate) type Glue = BTreeMap<DnsName, BTreeSet<IpAddr>>;

impl Cut {
    pub(super) fn root(hints: &[RootHint]) -> Self {
        let hosts = hints
            .iter()
            .map(|hint| (hint.name.clone(), hint.addresses.iter().copied().collect()));
        Self {
            zone: DnsName::root(),
            parent: None,
            hosts: hosts.collect(),
            ttl: 0,
            given_by: BTreeSet::new(),
            waits: 0,
        }
    }

    /// Does a delegation say nothing new?
    fn holds(&self, referral: &Referral, glue: &Glue, given_by: &str) -> bool {
        let is_known = |name: &DnsName| {
            let held = self.hosts.get(name);
            held.is_some_and(|held| glue.get(name).is_none_or(|more| more.is_subset(held)))
        };
        self.ttl <= referral.ttl
            && self.given_by.contains(given_by)
            && referral.names.iter().all(is_known)
    }

    /// Has every name server inside the zone an address from the parent? Those without may have one
    /// that the parent left out.
    pub(super) fn is_glued(&self) -> bool {
        let mut inside = self
            .hosts
            .iter()
            .filter(|(name, _)| name.is_at_or_below(&self.zone));
        inside.all(|(_, addresses)| !addresses.is_empty())
    }

    /// Tells a level all that is known of its zone.
    pub(super) fn tell_all(&self, tell: &mpsc::UnboundedSender<Tell>) {
        if self.parent.is_none() {
            for (name, addresses) in &self.hosts {
                let _ = tell.send(Tell::Host {
                    name: name.clone(),
                    listed_by: ListedBy::Hints,
                    known: addresses.iter().copied().collect(),
                    waits: 0,
                });
            }
            return;
        }
        for given_by in &self.given_by {
            let _ = tell.send(Tell::Delegation {
                referral: Referral {
                    zone: self.zone.clone(),
                    names: self.hosts.keys().cloned().collect(),
                    ttl: self.ttl,
                },
                glue: self.hosts.clone(),
                given_by: given_by.clone(),
                waits: self.waits,
            });
        }
    }
}

impl Walk {
    /// The cut at this very zone, which must be known.
    pub(super) fn cut_at(&self, zone: &DnsName) -> Rc<Cut> {
        let cuts = self.inner.cuts.borrow();
        cuts.get(zone)
            .cloned()
            .expect("the root's cut is known from the start")
    }

    /// The deepest known cut at or above a name.
    pub(super) fn deepest_cut(&self, name: &DnsName) -> Rc<Cut> {
        self.deepest(name, |_| true)
    }

    /// Where the walk to an alias begins: at the deepest known cut that is part of the chain of
    /// signatures. Look-ups of name servers learn cuts too, and ask nobody to vouch for them.
    pub(super) fn deepest_level(&self, name: &DnsName) -> Rc<Cut> {
        let levels = self.inner.levels.borrow();
        self.deepest(name, |zone| {
            !self.wants_signatures() || levels.contains(zone)
        })
    }

    fn deepest(&self, name: &DnsName, fits: impl Fn(&DnsName) -> bool) -> Rc<Cut> {
        let cuts = self.inner.cuts.borrow();
        let mut at = Some(name.clone());
        while let Some(zone) = at {
            if let Some(cut) = cuts.get(&zone).filter(|_| fits(&zone)) {
                return cut.clone();
            }
            at = zone.parent();
        }
        cuts[&DnsName::root()].clone()
    }

    /// Keeps a delegation for look-ups and later walks. A second one of the same zone adds to it.
    pub(super) fn learn(
        &self,
        parent: &DnsName,
        referral: &Referral,
        glue: &Glue,
        given_by: &str,
        waits: u32,
    ) {
        let mut cuts = self.inner.cuts.borrow_mut();
        let cut = cuts.entry(referral.zone.clone()).or_insert_with(|| {
            Rc::new(Cut {
                zone: referral.zone.clone(),
                parent: Some(parent.clone()),
                hosts: Glue::new(),
                ttl: referral.ttl,
                given_by: BTreeSet::new(),
                waits,
            })
        });
        // Most look-ups are told what is known already; a large set is not copied for that.
        if cut.holds(referral, glue, given_by) {
            return;
        }
        let cut = Rc::make_mut(cut);
        cut.ttl = cut.ttl.min(referral.ttl);
        cut.given_by.insert(given_by.to_owned());
        for name in &referral.names {
            let addresses = cut.hosts.entry(name.clone()).or_default();
            addresses.extend(glue.get(name).into_iter().flatten());
        }
    }
}

/// The addresses in a referral's additional section that the zone asked may speak for: those of
/// the referral's name servers, and only at or below that zone. Anybody can write anything about
/// other zones there.
pub(super) fn glue(zone: &DnsName, referral: &Referral, response: &Response) -> Glue {
    let mut glue = Glue::new();
    for record in &response.additional {
        let Some(address) = record.address() else {
            continue;
        };
        if referral.names.contains(&record.name) && record.name.is_at_or_below(zone) {
            glue.entry(record.name.clone()).or_default().insert(address);
        }
    }
    glue
}
