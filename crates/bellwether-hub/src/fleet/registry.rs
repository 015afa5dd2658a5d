//! Who is an agent: tokens, enrolments, and the certificates that are in force.
//!
//! All of it is kept in the state store and held in memory; what changes is stored before it counts,
//! and a token is spent in the same transaction that makes the agent. One vantage has one agent: a new
//! enrolment ends the former one at once.
//!
//! Calls block on the store; [`super::Fleet::ask`] is how tasks make them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bellwether_link::authority::{AuthorityError, Issued};
use bellwether_link::server::Peer;
use bellwether_model::{Digest, VantageId};
use bellwether_store::{Change, StateStore, StoreError};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How long an enrolment token is good: long enough to type it on another machine.
pub const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);

/// How long it is remembered after its end, so that the log tells one that was used before, or ended,
/// from one that never was.
const TOKEN_REMEMBERED: Duration = Duration::from_secs(86_400);

/// Certificates of an agent beside the one in use: made, and not used yet.
const UNUSED_MAX: usize = 2;
/// Tokens that are remembered; the one that ended first goes first.
const TOKENS_MAX: usize = 1_024;

/// How often it is written down that an agent was seen: one that links again and again is not to keep
/// the disk busy.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// Longest token that is looked at, bytes: ours have 43.
const SECRET_LEN_MAX: usize = 256;

/// Before the name of a vantage: its agent.
const AGENT: &str = "agent/";

/// Before the SHA-256 of an enrolment token, in hex: what it is good for.
const TOKEN: &str = "enrolment/";

/// The version of what is kept.
const VERSION: u32 = 1;

/// The agent of a vantage, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    version: u32,
    /// Which enrolment: random, in hex.
    pub enrolment: String,
    /// When it was.
    pub at: Timestamp,
    /// Certificates in force, the one in use first; behind it one that was renewed and not used yet.
    pub certificates: Vec<InForce>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// When it was last linked, as far as that was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Timestamp>,
    /// The version of its program then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// A certificate that opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// SHA-256 of it.
    pub fingerprint: Digest,
    /// When it ends.
    pub ends: Timestamp,
}

impl Enrolled {
    /// When the newest certificate ends.
    #[must_use]
    pub fn ends(&self) -> Option<Timestamp> {
        self.certificates.iter().map(|c| c.ends).max()
    }
}

/// An enrolment token, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ticket {
    version: u32,
    vantage: VantageId,
    ends: Timestamp,
    /// Who made it, by the token's name.
    by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used: Option<Timestamp>,
}

/// Why nobody is enrolled: for the log alone. Whoever asked hears the same in every case.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// No such token.
    #[error("an enrolment token that was never made, or is long gone")]
    Unknown,
    /// It was used.
    #[error("an enrolment token for `{vantage}` that was used at {at}")]
    Used {
        /// For which vantage.
        vantage: VantageId,
        /// When.
        at: Timestamp,
    },
    /// It has ended, or another one took its place.
    #[error("an enrolment token for `{vantage}` that ended at {at}")]
    Ended {
        /// For which vantage.
        vantage: VantageId,
        /// When.
        at: Timestamp,
    },
    /// Its vantage is not in the configuration any more.
    #[error("an enrolment token for `{0}`, which is no longer in `vantages:`")]
    Gone(VantageId),
    /// The request for a certificate.
    #[error("an enrolment for `{vantage}` without a request that can be signed")]
    Request {
        /// For which vantage.
        vantage: VantageId,
        /// What is wrong.
        #[source]
        source: AuthorityError,
    },
    /// Nothing can be kept.
    #[error("an enrolment that could not be kept")]
    Store(#[from] StoreError),
}

/// Why a certificate does not open, or no more.
#[derive(Debug, thiserror::Error)]
pub enum NotInForce {
    /// Its vantage has no agent.
    #[error("`{0}` has no agent")]
    NoAgent(String),
    /// Another enrolment came after it.
    #[error("`{0}` was enrolled anew since")]
    Replaced(VantageId),
    /// It was revoked.
    #[error("`{0}` was revoked")]
    Revoked(VantageId),
    /// A newer certificate of the same enrolment was used.
    #[error("`{0}` has used a newer certificate since")]
    Renewed(VantageId),
    /// Nothing can be kept.
    #[error("it could not be kept")]
    Store(#[from] StoreError),
}

/// Who was made an agent.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Where it stands.
    pub vantage: VantageId,
    /// Its id.
    pub agent: Arc<str>,
    /// Its certificate.
    pub issued: Issued,
    /// Did it take another one's place?
    pub replaces: bool,
}

/// Who is an agent.
pub struct Registry {
    state: Arc<dyn StateStore>,
    known: Mutex<Option<Known>>,
}

#[derive(Default)]
struct Known {
    agents: BTreeMap<VantageId, Enrolled>,
    tickets: BTreeMap<Digest, Ticket>,
}

impl Registry {
    /// What the store knows; it is read when it is first asked for.
    #[must_use]
    pub fn new(state: Arc<dyn StateStore>) -> Self {
        Self {
            state,
            known: Mutex::default(),
        }
    }

    /// Every agent.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn agents(&self) -> Result<BTreeMap<VantageId, Enrolled>, StoreError> {
        self.with(|known| Ok(known.agents.clone()))
    }

    /// Makes an enrolment token good for a vantage; the one made before for it is so no longer.
    /// `secret` is what is said in `Enrol`. When it ends.
    ///
    /// # Errors
    /// It cannot be kept.
    pub fn ticket(
        &self,
        vantage: &VantageId,
        secret: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        self.with(|known| {
            let ends = now.checked_add(TOKEN_LIFE).unwrap_or(now);
            let ticket = Ticket {
                version: VERSION,
                vantage: vantage.clone(),
                ends,
                by: by.to_owned(),
                used: None,
            };
            let mut tickets = known.tickets.clone();
            for former in tickets.values_mut().filter(|t| t.vantage == *vantage) {
                former.ends = former.ends.min(now);
            }
            tickets.retain(|_, ticket| {
                now.duration_since(ticket.ends).unsigned_abs() < TOKEN_REMEMBERED
                    || ticket.ends > now
            });
            while tickets.len() >= TOKENS_MAX {
                let first = tickets.iter().min_by_key(|(_, ticket)| ticket.ends);
                let Some(first) = first.map(|(hash, _)| *hash) else {
                    break;
                };
                tickets.remove(&first);
            }
            tickets.insert(hash(secret), ticket);
            let mut changes = Vec::new();
            for (hash, ticket) in &tickets {
                if known.tickets.get(hash) != Some(ticket) {
                    changes.push(kept(format!("{TOKEN}{hash}"), ticket));
                }
            }
            for hash in known
                .tickets
                .keys()
                .filter(|hash| !tickets.contains_key(hash))
            {
                changes.push(Change::Checkpoint {
                    key: format!("{TOKEN}{hash}"),
                    bytes: None,
                });
            }
            self.state.commit(&changes)?;
            known.tickets = tickets;
            Ok(ends)
        })
    }

    /// Makes whoever has this secret an agent, once. `enrolment` is what tells this enrolment from all
    /// others, `is_configured` whether a vantage is still wanted, and `sign` makes the certificate for
    /// an id.
    ///
    /// # Errors
    /// The token is not good, the request cannot be signed, or nothing can be kept.
    pub fn enrol(
        &self,
        secret: &str,
        enrolment: &str,
        now: Timestamp,
        is_configured: impl Fn(&VantageId) -> bool,
        sign: impl FnOnce(&str) -> Result<Issued, AuthorityError>,
    ) -> Result<Enrolment, Denied> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.loaded(&mut known)?;
        let (hash, ticket) = find(&known.tickets, secret).ok_or(Denied::Unknown)?;
        let vantage = ticket.vantage.clone();
        if let Some(at) = ticket.used {
            return Err(Denied::Used { vantage, at });
        }
        if now >= ticket.ends {
            let at = ticket.ends;
            return Err(Denied::Ended { vantage, at });
        }
        if !is_configured(&vantage) {
            return Err(Denied::Gone(vantage));
        }
        let agent: Arc<str> = format!("{vantage}/{enrolment}").into();
        let issued = sign(&agent).map_err(|source| Denied::Request {
            vantage: vantage.clone(),
            source,
        })?;
        let spent = Ticket {
            used: Some(now),
            ..ticket.clone()
        };
        let enrolled = Enrolled {
            version: VERSION,
            enrolment: enrolment.to_owned(),
            at: now,
            certificates: vec![in_force(&issued)],
            revoked: None,
            seen: None,
            program: None,
        };
        self.state.commit(&[
            kept(format!("{TOKEN}{hash}"), &spent),
            kept(format!("{AGENT}{vantage}"), &enrolled),
        ])?;
        known.tickets.insert(hash, spent);
        let former = known.agents.insert(vantage.clone(), enrolled);
        Ok(Enrolment {
            vantage,
            agent,
            issued,
            replaces: former.is_some_and(|former| former.revoked.is_none()),
        })
    }

    /// The vantage that whoever showed this certificate stands for, with the certificate's end. One
    /// that was renewed takes the place of the one before with this.
    ///
    /// # Errors
    /// It is not in force.
    pub fn admit(
        &self,
        peer: &Peer,
        program: &str,
        now: Timestamp,
    ) -> Result<(VantageId, Timestamp), NotInForce> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.loaded(&mut known)?;
        let (vantage, at) = place(known, peer)?;
        let mut enrolled = known.agents[&vantage].clone();
        enrolled.certificates.drain(..at);
        let ends = enrolled.certificates[0].ends;
        let is_fresh = |seen: Timestamp| now.duration_since(seen).unsigned_abs() < SEEN_EVERY;
        let is_known = enrolled.program.as_deref() == Some(program);
        if at == 0 && is_known && enrolled.seen.is_some_and(is_fresh) {
            return Ok((vantage, ends));
        }
        enrolled.seen = Some(now);
        enrolled.program = Some(program.to_owned());
        let changed = self.put(known, &vantage, enrolled);
        // A disk that takes nothing keeps nobody out who is known; but what a newer certificate puts
        // out of force has to be written down.
        if let Err(error) = changed {
            if at > 0 {
                return Err(error.into());
            }
            tracing::warn!(%error, %vantage, "when an agent was last seen cannot be written down");
        }
        Ok((vantage, ends))
    }

    /// Does this certificate still open?
    ///
    /// # Errors
    /// It is not in force, or the store cannot be read.
    pub fn in_force(&self, peer: &Peer) -> Result<(), NotInForce> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.loaded(&mut known)?;
        place(known, peer).map(|_| ())
    }

    /// Another certificate for whoever showed this one. Both are in force until the new one is used.
    ///
    /// # Errors
    /// The one that was shown is not in force, the request cannot be signed, or nothing can be kept.
    pub fn renew(
        &self,
        peer: &Peer,
        sign: impl FnOnce(&str) -> Result<Issued, AuthorityError>,
    ) -> Result<Issued, RenewError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.loaded(&mut known).map_err(NotInForce::from)?;
        let (vantage, at) = place(known, peer)?;
        let issued = sign(&peer.agent)?;
        let mut enrolled = known.agents[&vantage].clone();
        // One that was made before and not used yet may be all that the agent has on its disk; of those
        // that never came the oldest goes.
        let mut certificates = enrolled.certificates.split_off(at);
        if certificates.len() > UNUSED_MAX {
            certificates.remove(1);
        }
        certificates.push(in_force(&issued));
        enrolled.certificates = certificates;
        self.put(known, &vantage, enrolled)
            .map_err(NotInForce::from)?;
        Ok(issued)
    }

    /// The agent of a vantage is one no longer, and no token that was made for it before makes another
    /// one. Whether it was.
    ///
    /// # Errors
    /// It cannot be kept: then it still is.
    pub fn revoke(&self, vantage: &VantageId, now: Timestamp) -> Result<bool, StoreError> {
        self.with(|known| {
            let mut tickets = known.tickets.clone();
            tickets.retain(|_, ticket| {
                ticket.vantage == *vantage && ticket.used.is_none() && ticket.ends > now
            });
            tickets.values_mut().for_each(|ticket| ticket.ends = now);
            let enrolled = known.agents.get(vantage).cloned();
            let mut enrolled = enrolled.filter(|enrolled| enrolled.revoked.is_none());
            let ended = tickets.iter();
            let mut changes: Vec<Change> = ended
                .map(|(hash, ticket)| kept(format!("{TOKEN}{hash}"), ticket))
                .collect();
            if let Some(enrolled) = &mut enrolled {
                enrolled.revoked = Some(now);
                changes.push(kept(format!("{AGENT}{vantage}"), enrolled));
            }
            if changes.is_empty() {
                return Ok(false);
            }
            self.state.commit(&changes)?;
            known.tickets.extend(tickets);
            let was = enrolled.is_some();
            known
                .agents
                .extend(enrolled.map(|enrolled| (vantage.clone(), enrolled)));
            Ok(was)
        })
    }

    fn put(
        &self,
        known: &mut Known,
        vantage: &VantageId,
        enrolled: Enrolled,
    ) -> Result<(), StoreError> {
        self.state
            .commit(&[kept(format!("{AGENT}{vantage}"), &enrolled)])?;
        known.agents.insert(vantage.clone(), enrolled);
        Ok(())
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Known) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        work(self.loaded(&mut known)?)
    }

    fn loaded<'a>(
        &self,
        known: &'a mut MutexGuard<'_, Option<Known>>,
    ) -> Result<&'a mut Known, StoreError> {
        if known.is_none() {
            **known = Some(Known {
                agents: read(&*self.state, AGENT, |name| Some(VantageId::new(name)))?,
                tickets: read(&*self.state, TOKEN, Digest::parse)?,
            });
        }
        Ok(known.as_mut().expect("it was read just now"))
    }
}

/// Why no certificate is renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The one in use opens no more.
    #[error(transparent)]
    NotInForce(#[from] NotInForce),
    /// The request.
    #[error(transparent)]
    Request(#[from] AuthorityError),
}

/// Whose certificate this is, and which of those in force.
fn place(known: &Known, peer: &Peer) -> Result<(VantageId, usize), NotInForce> {
    let no_agent = || NotInForce::NoAgent(peer.agent.clone());
    let (vantage, enrolment) = peer.agent.rsplit_once('/').ok_or_else(no_agent)?;
    let vantage = VantageId::new(vantage);
    let enrolled = known.agents.get(&vantage).ok_or_else(no_agent)?;
    if enrolled.enrolment != enrolment {
        return Err(NotInForce::Replaced(vantage));
    }
    if enrolled.revoked.is_some() {
        return Err(NotInForce::Revoked(vantage));
    }
    let is_shown = |in_force: &InForce| in_force.fingerprint == peer.fingerprint;
    match enrolled.certificates.iter().position(is_shown) {
        Some(at) => Ok((vantage, at)),
        None => Err(NotInForce::Renewed(vantage)),
    }
}

/// The token that has this secret. Every one is compared, and each in constant time.
fn find<'a>(tickets: &'a BTreeMap<Digest, Ticket>, secret: &str) -> Option<(Digest, &'a Ticket)> {
    let shown = hash(&secret[..secret.floor_char_boundary(SECRET_LEN_MAX)]);
    let mut found = None;
    for (known, ticket) in tickets {
        if verify_slices_are_equal(&known.0, &shown.0).is_ok() {
            found = Some((*known, ticket));
        }
    }
    found.filter(|_| secret.len() <= SECRET_LEN_MAX)
}

fn hash(secret: &str) -> Digest {
    Digest(Sha256::digest(secret.as_bytes()).into())
}

fn in_force(issued: &Issued) -> InForce {
    InForce {
        fingerprint: issued.fingerprint,
        ends: issued.ends,
    }
}

fn kept(key: String, value: &impl Serialize) -> Change {
    Change::Checkpoint {
        key,
        bytes: Some(serde_json::to_vec(value).expect("ours can be written as JSON")),
    }
}

/// What is kept under keys that begin so. What cannot be read is told, and is as if it were not there:
/// an agent that is locked out enrols again, and one that is let in by mistake does harm.
fn read<K: Ord, V: DeserializeOwned>(
    state: &dyn StateStore,
    begin: &str,
    key_of: impl Fn(&str) -> Option<K>,
) -> Result<BTreeMap<K, V>, StoreError> {
    let mut all = BTreeMap::new();
    for (key, bytes) in state.checkpoints(begin)? {
        let name = key.strip_prefix(begin).and_then(&key_of);
        match (name, serde_json::from_slice(&bytes)) {
            (Some(name), Ok(value)) => {
                all.insert(name, value);
            }
            _ => tracing::error!(
                key,
                "what is kept of an agent cannot be read; it is left out"
            ),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use bellwether_link::authority::Authority;

    use super::*;
    use crate::testing::Memory;

    const SECRET: &str = "a-secret-of-some-length";

    struct Room {
        memory: Arc<Memory>,
        registry: Registry,
        authority: Authority,
        now: Timestamp,
    }

    fn room() -> Room {
        let memory = Arc::new(Memory::default());
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        Room {
            registry: Registry::new(memory.clone()),
            memory,
            authority: Authority::generate(now).unwrap(),
            now,
        }
    }

    impl Room {
        fn fra() -> VantageId {
            VantageId::new("fra")
        }

        fn sign(&self) -> impl Fn(&str) -> Result<Issued, AuthorityError> {
            |agent| {
                let key = rcgen::KeyPair::generate().unwrap();
                let request = rcgen::CertificateParams::default().serialize_request(&key);
                self.authority
                    .agent(request.unwrap().der(), agent, self.now)
            }
        }

        fn enrol(&self, secret: &str, enrolment: &str, now: Timestamp) -> Result<Peer, Denied> {
            let is_configured = |vantage: &VantageId| *vantage == Self::fra();
            let sign = self.sign();
            let made = self
                .registry
                .enrol(secret, enrolment, now, is_configured, sign)?;
            Ok(Peer {
                agent: made.agent.to_string(),
                fingerprint: made.issued.fingerprint,
            })
        }

        fn ticket(&self, secret: &str) -> Timestamp {
            let made = self
                .registry
                .ticket(&Self::fra(), secret, "admin", self.now);
            made.unwrap()
        }

        /// The same, as a process that starts now sees it.
        fn again(&mut self) {
            self.registry = Registry::new(self.memory.clone());
        }
    }

    #[test]
    fn hostile_a09_token_reused_guessed() {
        let mut room = room();
        let ends = room.ticket(SECRET);
        assert_eq!(ends.duration_since(room.now).unsigned_abs(), TOKEN_LIFE);
        let guessed = room.enrol("another", "1", room.now);
        assert!(matches!(guessed, Err(Denied::Unknown)));
        let long = SECRET.repeat(100);
        assert!(matches!(
            room.enrol(&long, "1", room.now),
            Err(Denied::Unknown)
        ));
        assert!(matches!(
            room.enrol(SECRET, "1", ends),
            Err(Denied::Ended { .. })
        ));
        room.enrol(SECRET, "1", room.now).unwrap();
        assert!(matches!(
            room.enrol(SECRET, "2", room.now),
            Err(Denied::Used { .. })
        ));
        room.again();
        assert!(matches!(
            room.enrol(SECRET, "2", room.now),
            Err(Denied::Used { .. })
        ));
        assert_eq!(room.registry.agents().unwrap()[&Room::fra()].enrolment, "1");
        let kept = room.memory.checkpoints("").unwrap();
        let is_told = |(key, bytes): &(String, Vec<u8>)| {
            key.contains(SECRET) || String::from_utf8_lossy(bytes).contains(SECRET)
        };
        assert!(!kept.iter().any(is_told), "a secret is kept as its hash");
    }

    #[test]
    fn a_token_is_spent_with_the_enrolment_or_not_at_all() {
        let room = room();
        room.ticket(SECRET);
        room.memory.set_broken(true);
        assert!(matches!(
            room.enrol(SECRET, "1", room.now),
            Err(Denied::Store(_))
        ));
        room.memory.set_broken(false);
        assert!(room.registry.agents().unwrap().is_empty());
        room.enrol(SECRET, "1", room.now).unwrap();
    }

    #[test]
    fn only_the_newest_token_of_a_vantage_is_good_and_few_are_remembered() {
        let room = room();
        room.ticket(SECRET);
        room.ticket("newer");
        assert!(matches!(
            room.enrol(SECRET, "1", room.now),
            Err(Denied::Ended { .. })
        ));
        room.enrol("newer", "1", room.now).unwrap();
        for n in 0..TOKENS_MAX + 10 {
            room.ticket(&format!("secret {n}"));
        }
        assert_eq!(room.memory.checkpoints(TOKEN).unwrap().len(), TOKENS_MAX);
        let gone = room
            .registry
            .ticket(&VantageId::new("nyc"), "gone", "admin", room.now);
        gone.unwrap();
        assert!(matches!(
            room.enrol("gone", "1", room.now),
            Err(Denied::Gone(_))
        ));
    }

    #[test]
    fn hostile_a10_revoked_and_replaced() {
        let mut room = room();
        room.ticket(SECRET);
        let first = room.enrol(SECRET, "1", room.now).unwrap();
        let admit = |room: &Room, peer: &Peer| {
            let admitted = room.registry.admit(peer, "1.0.0", room.now);
            admitted.map(|(vantage, _)| vantage)
        };
        assert_eq!(admit(&room, &first).unwrap(), Room::fra());
        room.ticket("second");
        let second = room.enrol("second", "2", room.now).unwrap();
        assert!(matches!(admit(&room, &first), Err(NotInForce::Replaced(_))));
        let commits = room.memory.commits();
        assert!(admit(&room, &second).is_ok());
        assert!(admit(&room, &second).is_ok());
        assert_eq!(
            room.memory.commits(),
            commits + 1,
            "who comes again and again"
        );
        assert!(room.registry.in_force(&second).is_ok());
        assert!(room.registry.in_force(&first).is_err());
        assert!(room.registry.revoke(&Room::fra(), room.now).unwrap());
        assert!(
            !room.registry.revoke(&Room::fra(), room.now).unwrap(),
            "once"
        );
        room.again();
        assert!(matches!(admit(&room, &second), Err(NotInForce::Revoked(_))));
        let renewed = room.registry.renew(&second, room.sign());
        assert!(matches!(renewed, Err(RenewError::NotInForce(_))));
        let elsewhere = Peer {
            agent: "nyc/1".to_owned(),
            ..second
        };
        assert!(matches!(
            admit(&room, &elsewhere),
            Err(NotInForce::NoAgent(_))
        ));
    }

    #[test]
    fn p24_revoking_voids_the_tokens_that_were_made_before() {
        let mut room = room();
        room.ticket(SECRET);
        room.enrol(SECRET, "1", room.now).unwrap();
        room.ticket("leaked");
        room.memory.set_broken(true);
        assert!(room.registry.revoke(&Room::fra(), room.now).is_err());
        room.memory.set_broken(false);
        assert!(room.registry.revoke(&Room::fra(), room.now).unwrap());
        let ended = |room: &Room, secret: &str| {
            let refused = room.enrol(secret, "2", room.now);
            assert!(matches!(refused, Err(Denied::Ended { .. })), "{refused:?}");
        };
        ended(&room, "leaked");
        room.again();
        ended(&room, "leaked");
        // So it is where nobody is left to be revoked.
        room.ticket("second");
        assert!(!room.registry.revoke(&Room::fra(), room.now).unwrap());
        ended(&room, "second");
        let nowhere = VantageId::new("nyc");
        let commits = room.memory.commits();
        assert!(!room.registry.revoke(&nowhere, room.now).unwrap());
        assert_eq!(room.memory.commits(), commits);
        // One that is made after that is good.
        room.ticket("third");
        room.enrol("third", "3", room.now).unwrap();
    }

    #[test]
    fn a_renewed_certificate_ends_the_one_before_when_it_is_used() {
        let mut room = room();
        room.ticket(SECRET);
        let old = room.enrol(SECRET, "1", room.now).unwrap();
        let renewed = |room: &Room| {
            let issued = room.registry.renew(&old, room.sign()).unwrap();
            Peer {
                fingerprint: issued.fingerprint,
                ..old.clone()
            }
        };
        let forgotten = renewed(&room);
        let first = renewed(&room);
        // The answer was lost: what the agent has is the one before.
        let new = renewed(&room);
        room.again();
        let admit = |peer: &Peer| room.registry.admit(peer, "1.0.0", room.now);
        assert!(admit(&old).is_ok(), "good until a new one was used");
        assert!(matches!(admit(&forgotten), Err(NotInForce::Renewed(_))));
        assert!(
            admit(&first).is_ok(),
            "one that came is good, though another was made"
        );
        assert!(matches!(admit(&old), Err(NotInForce::Renewed(_))));
        assert!(admit(&new).is_ok());
        assert!(matches!(admit(&first), Err(NotInForce::Renewed(_))));
        assert!(matches!(admit(&old), Err(NotInForce::Renewed(_))));
        assert!(admit(&new).is_ok());
    }
}
