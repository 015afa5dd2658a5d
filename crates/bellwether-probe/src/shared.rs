//! What the traces of one worker share, so that many of them are no burden to root and TLD servers.
//!
//! Shared is what the root's servers say of top-level domains, and what those domains' servers say
//! of the domains themselves: for its TTL, and for [`LEVEL_AGE`] at most. The delegation of a zone
//! below is asked by each trace, since it may be the very thing that broke: an answer of a few seconds
//! ago beside resolvers that were asked just now looks as if those were wrong. Nothing that a zone
//! below a top-level domain says is shared either, nor anything but a whole and good answer: who
//! failed is asked by each trace. What works by a control is shared for
//! [`CONTROL_AGE`], less than any failure takes to be noticed.
//!
//! One trace asks at a time: others that would ask the same wait a moment for what it is told.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bellwether_model::dns::{Exchange, ExchangeResult, Rcode, Transport};
use bellwether_model::{Baseline, Channel, DnsName, Outcome};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::dns::Ask;
use crate::dns::message::Raw;

/// Longest time for which what root and TLD servers say is taken for what they say now. Their TTLs
/// are days, and a domain that broke must show within minutes.
const LEVEL_AGE: Duration = Duration::from_secs(300);
/// The same for a control that works: four times a second is little enough for whoever is asked.
/// A trace that follows a failure must not be told that we are well by an answer from before it.
const CONTROL_AGE: Duration = Duration::from_millis(250);
/// How long to wait for another trace that asks the same. Who answers does so in less.
const TURN_WAIT: Duration = Duration::from_secs(1);
/// Octets of responses that are kept: a few hundred domains. A record costs some ten times its octets
/// once it is read.
const OCTETS_MAX: usize = 1024 * 1024;
/// Controls that are kept: a worker has those of its settings.
const CONTROLS_MAX: usize = 256;

/// What the traces of one worker share.
#[derive(Default)]
pub(crate) struct Shared {
    /// What was said about each zone.
    said: RefCell<HashMap<DnsName, Vec<Kept>>>,
    octets: Cell<usize>,
    controls: RefCell<HashMap<String, (Instant, Outcome, u32)>>,
    /// What is being asked.
    asked: RefCell<HashMap<String, Rc<Notify>>>,
}

/// One answer.
struct Kept {
    how: How,
    exchange: Exchange,
    waits: u32,
    /// The name servers, if it is a delegation.
    names: Vec<DnsName>,
    until: Instant,
}

/// Who was asked, and in what way.
#[derive(Clone, PartialEq, Eq)]
struct How {
    server: SocketAddr,
    rtype: String,
    signatures: bool,
    is_raw: bool,
}

impl How {
    fn of(wanted: &Ask) -> Self {
        Self {
            server: wanted.server,
            rtype: wanted.question.rtype.clone(),
            signatures: wanted.signatures,
            is_raw: wanted.raw == Raw::Keep,
        }
    }
}

/// The right to ask; it ends when it is dropped.
pub(crate) struct Turn<'a> {
    shared: &'a Shared,
    what: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(told) = self.shared.asked.borrow_mut().remove(&self.what) {
            told.notify_waiters();
        }
    }
}

impl Shared {
    /// May an answer of a server of `zone` be shared at all? Only what is asked in the usual way at
    /// the root or a top-level domain that is not itself the target.
    pub(crate) fn is_open_to(zone: &DnsName, wanted: &Ask, target: Option<&DnsName>) -> bool {
        let is_above = zone.is_root() || (zone.labels().len() == 1 && target != Some(zone));
        let is_usual = wanted.transport == Transport::Udp
            && wanted.variant.is_usual()
            && wanted.channel == Channel::Plain
            && wanted.offered.is_none()
            && wanted.edns
            && !wanted.recursion
            && !wanted.unchecked
            && !wanted.lower_case;
        is_above && is_usual
    }

    /// What this server was heard to say, as an answer to this question.
    pub(crate) fn answer(
        &self,
        zone: &DnsName,
        wanted: &Ask,
        baseline: Option<&Baseline>,
        now: Instant,
    ) -> Option<(Exchange, u32)> {
        let (said, how, name) = (self.said.borrow(), How::of(wanted), &wanted.question.name);
        let fits = |about: &DnsName| {
            let all = said.get(about)?;
            let is_it = |kept: &&Kept| kept.how == how && kept.until > now;
            let kept = all.iter().find(is_it)?;
            let is_same = |other: &Kept| other.names.is_empty() || other.names == kept.names;
            let is_settled = kept.names.is_empty() || all.iter().all(is_same);
            (is_settled && !differs(about, &kept.names, baseline)).then_some(kept)
        };
        let kept = if name == zone {
            fits(zone)?
        } else {
            // The root speaks of top-level domains, and they of whatever is below them.
            let deepest = if zone.is_root() {
                1
            } else {
                name.labels().len()
            };
            (zone.labels().len() + 1..=deepest)
                .map(|count| name.last_labels(count))
                .find_map(|about| fits(&about).filter(|kept| !kept.names.is_empty()))?
        };
        let mut exchange = kept.exchange.clone();
        // A delegation says the same to whoever asks for a name below.
        exchange.question = wanted.question.clone();
        Some((exchange, kept.waits))
    }

    /// Keeps an answer, if it is a whole and good one about a top-level domain, or a delegation.
    pub(crate) fn keep(
        &self,
        zone: &DnsName,
        wanted: &Ask,
        exchanges: &[Exchange],
        waits: u32,
        now: Instant,
    ) {
        let [exchange] = exchanges else { return };
        let ExchangeResult::Answered { response } = &exchange.result else {
            return;
        };
        let is_whole = response.rcode == Rcode::NOERROR
            && !response.flags.tc
            && response.malformed.is_none()
            && exchange.discarded.is_empty()
            && exchange.tries == 1;
        if !is_whole {
            return;
        }
        let name = &wanted.question.name;
        let (about, names, ttl) = if name == zone {
            let records = response.records(&wanted.question);
            let Some(ttl) = records.iter().map(|r| r.ttl).min() else {
                return;
            };
            (zone.clone(), Vec::new(), ttl)
        } else {
            match response.referral(name) {
                Some(r) if r.zone != *zone && r.zone.is_at_or_below(zone) => {
                    (r.zone, r.names, r.ttl)
                }
                _ => return,
            }
        };
        // The root may delegate more than one label down; that is a zone like any other.
        if about.labels().len() > 1 {
            return;
        }
        let until = now + LEVEL_AGE.min(Duration::from_secs(ttl.into()));
        let kept = Kept {
            how: How::of(wanted),
            exchange: exchange.clone(),
            waits,
            names,
            until,
        };
        self.insert(about, kept, response.size, now);
    }

    fn insert(&self, about: DnsName, kept: Kept, size: usize, now: Instant) {
        let mut said = self.said.borrow_mut();
        if self.octets.get() + size > OCTETS_MAX {
            said.retain(|_, all| {
                all.retain(|kept| kept.until > now);
                !all.is_empty()
            });
            let left = said.values().flatten().map(Kept::size).sum::<usize>();
            if left + size > OCTETS_MAX / 2 {
                said.clear();
            }
            self.octets
                .set(said.values().flatten().map(Kept::size).sum());
        }
        let all = said.entry(about).or_default();
        let mut freed = 0;
        all.retain(|old| {
            let is_old = old.how == kept.how;
            freed += if is_old { old.size() } else { 0 };
            !is_old
        });
        all.push(kept);
        self.octets.set(self.octets.get() + size - freed);
    }

    /// Something is wrong with a zone: who delegates it is asked anew.
    pub(crate) fn forget(&self, zone: &DnsName) {
        if let Some(all) = self.said.borrow_mut().remove(zone) {
            let freed = all.iter().map(Kept::size).sum::<usize>();
            self.octets.set(self.octets.get().saturating_sub(freed));
        }
    }

    /// A control that works as it did a moment ago, or as it does now.
    pub(crate) async fn control(
        &self,
        what: &str,
        run: impl Future<Output = (Outcome, u32)>,
    ) -> (Outcome, u32) {
        if let Some(known) = self.known_control(what) {
            return known;
        }
        let turn = self.turn(what.to_owned()).await;
        if let (None, Some(known)) = (&turn, self.known_control(what)) {
            return known;
        }
        let began = Instant::now();
        let (outcome, waits) = run.await;
        let mut controls = self.controls.borrow_mut();
        match &outcome {
            Outcome::Control(seen) if seen.ok => {
                if controls.len() >= CONTROLS_MAX {
                    controls.clear();
                }
                controls.insert(what.to_owned(), (began, outcome.clone(), waits));
            }
            _ => {
                controls.remove(what);
            }
        }
        (outcome, waits)
    }

    fn known_control(&self, what: &str) -> Option<(Outcome, u32)> {
        let controls = self.controls.borrow();
        let (began, outcome, waits) = controls.get(what)?;
        (began.elapsed() <= CONTROL_AGE).then(|| (outcome.clone(), *waits))
    }

    /// The right to ask; `None` after a wait for somebody who had it.
    pub(crate) async fn turn(&self, what: String) -> Option<Turn<'_>> {
        let asked = self.asked.borrow().get(&what).cloned();
        if let Some(told) = asked {
            // Who waits in vain asks for itself.
            let _ = timeout(TURN_WAIT, told.notified()).await;
            return None;
        }
        let mut asked = self.asked.borrow_mut();
        asked.insert(what.clone(), Rc::default());
        Some(Turn { shared: self, what })
    }

    /// What is asked of a server of `zone`, in words: the same for all names whose answer is shared.
    pub(crate) fn words(zone: &DnsName, wanted: &Ask) -> String {
        let question = &wanted.question;
        let about = if question.name == *zone {
            zone.clone()
        } else {
            question.name.last_labels(zone.labels().len() + 1)
        };
        format!(
            "{} {zone} {about} {} {} {:?}",
            wanted.server, question.rtype, wanted.signatures, wanted.raw
        )
    }
}

impl Kept {
    fn size(&self) -> usize {
        self.exchange.response().map_or(0, |response| response.size)
    }
}

/// Is a delegation another one than the baseline has?
fn differs(zone: &DnsName, names: &[DnsName], baseline: Option<&Baseline>) -> bool {
    let zones = baseline.into_iter().flat_map(|b| &b.zones);
    let mut known = zones.filter(|known| known.zone == *zone);
    known.any(|known| {
        let known: BTreeSet<&DnsName> = known.parent_names.iter().collect();
        !names.is_empty() && !known.is_empty() && known != names.iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use bellwether_model::dns::{Question, Record, Response};
    use bellwether_model::report::BaselineZone;

    use super::*;

    fn name(text: &str) -> DnsName {
        text.parse().unwrap()
    }

    fn ask(server: &str, question: &str) -> Ask {
        let question = Question {
            name: name(question),
            rtype: "A".to_owned(),
        };
        Ask::server(server.parse().unwrap(), question)
    }

    /// A delegation to these name servers.
    fn told(wanted: &Ask, zone: &str, servers: &[&str]) -> Exchange {
        let ns = |server: &&str| Record {
            name: name(zone),
            rtype: "NS".to_owned(),
            ttl: 172_800,
            data: (*server).to_owned(),
        };
        let response = Box::new(Response {
            authority: servers.iter().map(ns).collect(),
            size: 512,
            ..Response::empty(Rcode::NOERROR)
        });
        Exchange::usual(
            wanted.question.clone(),
            ExchangeResult::Answered { response },
        )
    }

    const ROOT: &str = "127.0.0.2:53";
    const TLD: &str = "127.0.0.3:53";

    #[test]
    fn what_the_root_says_serves_all_names_below() {
        let (shared, root, now) = (Shared::default(), DnsName::root(), Instant::now());
        let first = ask(ROOT, "www.svc.test.");
        let exchange = told(&first, "test.", &["ns.nic.test."]);
        shared.keep(&root, &first, &[exchange], 1, now);
        let second = ask(ROOT, "other.test.");
        let later = now + LEVEL_AGE - Duration::from_secs(1);
        let (again, waits) = shared.answer(&root, &second, None, later).unwrap();
        assert_eq!((again.question, waits), (second.question.clone(), 1));
        let over = now + LEVEL_AGE;
        assert!(shared.answer(&root, &second, None, over).is_none());
        for other in [ask(ROOT, "svc.example."), ask(TLD, "www.svc.test.")] {
            assert!(shared.answer(&root, &other, None, now).is_none());
        }
        shared.forget(&name("test."));
        assert!(shared.answer(&root, &second, None, now).is_none());
        assert_eq!(shared.octets.get(), 0);
    }

    #[test]
    fn the_delegation_of_a_zone_below_is_always_asked() {
        let (shared, tld, now) = (Shared::default(), name("test."), Instant::now());
        let first = ask(TLD, "www.svc.test.");
        let exchange = told(&first, "svc.test.", &["ns1.svc.test."]);
        shared.keep(&tld, &first, &[exchange], 1, now);
        let second = ask(TLD, "api.svc.test.");
        assert!(shared.answer(&tld, &second, None, now).is_none());
        assert_eq!(shared.octets.get(), 0);
    }

    #[test]
    fn a_level_is_asked_anew_when_in_doubt() {
        let (shared, root, now) = (Shared::default(), DnsName::root(), Instant::now());
        let old = ["ns1.nic.test.", "ns2.nic.test."];
        let first = ask(ROOT, "www.svc.test.");
        shared.keep(&root, &first, &[told(&first, "test.", &old)], 1, now);
        let second = ask(ROOT, "other.test.");
        assert!(shared.answer(&root, &second, None, now).is_some());
        // The baseline knows others.
        let with = |servers: &[&str]| Baseline {
            at: jiff::Timestamp::UNIX_EPOCH,
            zones: vec![BaselineZone {
                zone: name("test."),
                parent_names: servers.iter().map(|s| name(s)).collect(),
                servers: vec![],
                serial: None,
                holds_name: true,
            }],
            addresses: vec![],
            aliases: vec![],
            ttl: None,
        };
        let (same, other) = (with(&old), with(&["ns1.nic.test."]));
        assert!(shared.answer(&root, &second, Some(&same), now).is_some());
        assert!(shared.answer(&root, &second, Some(&other), now).is_none());
        // Another server says something else.
        let third = ask("127.0.0.5:53", "www.svc.test.");
        let changed = told(&third, "test.", &["ns9.nic.test."]);
        shared.keep(&root, &third, &[changed], 1, now);
        assert!(shared.answer(&root, &second, None, now).is_none());
    }

    #[test]
    fn only_what_is_good_is_kept() {
        let (shared, root, now) = (Shared::default(), DnsName::root(), Instant::now());
        let wanted = ask(ROOT, "www.svc.test.");
        let good = told(&wanted, "test.", &["ns.nic.test."]);
        let with = |change: fn(&mut Response)| {
            let mut bad = good.clone();
            if let ExchangeResult::Answered { response } = &mut bad.result {
                change(response);
            }
            bad
        };
        let silent = Exchange {
            result: ExchangeResult::Silent,
            ..good.clone()
        };
        let bad = [
            with(|r| r.rcode = Rcode::SERVFAIL),
            with(|r| r.flags.tc = true),
            with(|r| r.malformed = Some("cut".to_owned())),
            with(|r| r.authority.clear()),
            silent,
        ];
        for exchange in bad {
            shared.keep(&root, &wanted, &[exchange], 1, now);
            assert!(shared.answer(&root, &wanted, None, now).is_none());
        }
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let (shared, root, now) = (Shared::default(), DnsName::root(), Instant::now());
        for n in 0..10_000 {
            let wanted = ask(ROOT, &format!("www.t{n}."));
            let exchange = told(&wanted, &format!("t{n}."), &["ns.nic.test."]);
            shared.keep(&root, &wanted, &[exchange], 1, now);
            assert!(shared.octets.get() <= OCTETS_MAX);
        }
        let held: usize = shared.said.borrow().values().map(Vec::len).sum();
        assert_eq!(held * 512, shared.octets.get());
    }
}
