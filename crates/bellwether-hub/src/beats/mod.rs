//! Heartbeats: who must report, what was heard of it, and until that is durable.
//!
//! A signal counts as heard at once, and is answered when it is kept: a disk that takes nothing makes
//! nobody late, and a client that is told so tries again. What it means is judged elsewhere
//! ([`bellwether_diagnose::heartbeat`]), and made incidents of by the judge.
//!
//! - `ids`: by what URL each is spoken of
//! - `key`: where the secret is kept that those are made of
//! - `limits`: how often somebody may report
//! - `keep`: writing down, what came together at once

mod ids;
mod keep;
mod key;
mod limits;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_config::Config;
use bellwether_config::telling::{Due, Heartbeat};
use bellwether_diagnose::heartbeat::{self, Gap, Heard, Ping, Rhythm, State, Terms};
use bellwether_model::Report;
use bellwether_store::{StateStore, StoreError};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use ids::Ids;
pub use ids::{Asked, Found, Paths, Secret};
pub(crate) use keep::run;
use limits::Limits;

/// Before a heartbeat's name: what was heard of it.
const HEARD: &str = "heartbeat/";
/// The key of the time until which we could hear.
const ALIVE: &str = "heartbeats/alive";

/// How long a signal may wait for the disk before its client is told to try again: below the ten
/// seconds that clients wait for an answer, as their documentation has it.
pub const KEPT_WITHIN: Duration = Duration::from_secs(3);

/// Times of a rhythm that are remembered: judging asks for the same three again and again.
const TIMES_KEPT: usize = 4;

/// What is kept of a heartbeat.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// The version of this.
    v: u32,
    /// The rhythm that it was heard by.
    #[serde(default)]
    rhythm: String,
    heard: Heard,
}

/// The version of what is kept.
const VERSION: u32 = 1;

/// A heartbeat.
#[derive(Debug)]
struct Beat {
    config: Heartbeat,
    rhythm: String,
    heard: Heard,
    /// Times after others, since to find one may take a while.
    times: RefCell<Vec<(Timestamp, Option<Timestamp>)>>,
}

/// What tells one rhythm from another.
fn rhythm(due: &Due) -> String {
    match due {
        Due::Every(every) => format!("every {} s", every.as_secs_f64()),
        Due::Cron(cron) => format!("{} in {}", cron.pattern, cron.zone),
    }
}

impl Beat {
    /// Does work with what it promised.
    fn terms<T>(&self, work: impl FnOnce(&Terms<'_>) -> T) -> T {
        let next_after;
        let rhythm = match &self.config.due {
            Due::Every(every) => Rhythm::Every(*every),
            Due::Cron(cron) => {
                next_after = |after| {
                    let mut times = self.times.borrow_mut();
                    if let Some((_, known)) = times.iter().find(|(of, _)| *of == after) {
                        return *known;
                    }
                    let next = cron.next_after(after);
                    if times.len() >= TIMES_KEPT {
                        times.remove(0);
                    }
                    times.push((after, next));
                    next
                };
                Rhythm::Times(&next_after)
            }
        };
        work(&Terms {
            name: &self.config.name,
            rhythm,
            grace: self.config.grace,
            max_run: self.config.max_run,
        })
    }

    fn judge(&self, gap: Option<Gap>, now: Timestamp) -> State {
        self.terms(|terms| heartbeat::judge(&self.heard, terms, gap, now))
    }

    fn kept(&self) -> Option<Vec<u8>> {
        let kept = Kept {
            v: VERSION,
            rhythm: self.rhythm.clone(),
            heard: self.heard.clone(),
        };
        serde_json::to_vec(&kept).ok()
    }
}

/// A heartbeat as it stands.
#[derive(Clone, Debug)]
pub struct Stand {
    /// How it is configured.
    pub config: Heartbeat,
    /// What was heard of it.
    pub heard: Heard,
    /// How it stands.
    pub state: State,
    /// Where it reports.
    pub paths: Paths,
}

/// How a heartbeat stands, in brief.
#[derive(Clone, Debug)]
pub(crate) struct Brief {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) last_success: Option<Timestamp>,
    /// How many there were.
    pub(crate) successes: u64,
    /// When its newest run ended.
    pub(crate) ended: Option<Timestamp>,
}

/// How far changes are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Written {
    /// All changes up to this are durable.
    kept: u64,
    /// It was tried with all up to this.
    tried: u64,
}

#[derive(Debug, Default)]
struct Held {
    beats: BTreeMap<String, Beat>,
    ids: Ids,
    limits: Limits,
    gap: Option<Gap>,
    /// What is kept of heartbeats that were not configured yet.
    known: BTreeMap<String, Kept>,
    /// Heartbeats that are to be written down, or forgotten.
    dirty: BTreeSet<String>,
    /// Changes, counted.
    number: u64,
    /// Signals that were taken in.
    taken: u64,
}

/// Why a signal is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It comes too often, from there or of this heartbeat.
    TooOften,
    /// There is no such heartbeat any more.
    Gone,
    /// It could not be kept in time.
    NotKept,
}

/// All heartbeats.
#[derive(Debug)]
pub struct Beats {
    held: Mutex<Held>,
    secret: Secret,
    /// When this process began to hear.
    since: Timestamp,
    written: watch::Sender<Written>,
    wake: Notify,
}

impl Beats {
    /// As they were left, by a process that could hear until then. The secret is kept in `data_dir`; the
    /// first time of all it is made of `random`, and is durable.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(
        state: &dyn StateStore,
        data_dir: &Path,
        random: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let beats = Self::new(key::open(state, data_dir, random)?, now);
        let mut known = BTreeMap::new();
        for (key, bytes) in state.checkpoints(HEARD)? {
            let Some(name) = key.strip_prefix(HEARD) else {
                continue;
            };
            match serde_json::from_slice::<Kept>(&bytes) {
                Ok(mut kept) => {
                    // The clock may have been set back while we were away.
                    kept.heard.clock_set_back(now);
                    known.insert(name.to_owned(), kept);
                }
                Err(error) => {
                    tracing::warn!(name, %error, "what was heard of a heartbeat cannot be read; it begins anew");
                }
            }
        }
        let alive = state.checkpoint(ALIVE)?;
        let alive: Option<Timestamp> = alive.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        {
            let mut held = beats.held();
            held.known = known;
            held.gap = alive.map(|from| Gap {
                from: from.min(now),
                until: now,
            });
        }
        Ok(beats)
    }

    /// None yet, with ids that are made of this secret.
    #[must_use]
    pub fn new(secret: Secret, now: Timestamp) -> Self {
        Self {
            held: Mutex::default(),
            secret,
            since: now,
            written: watch::Sender::default(),
            wake: Notify::new(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a configuration. What stays keeps what was heard of it; what reports at other times
    /// than before is due as if it were new.
    pub fn configure(&self, config: &Config, now: Timestamp) {
        let mut held = self.held();
        let held = &mut *held;
        let mut before = std::mem::take(&mut held.beats);
        let mut known = std::mem::take(&mut held.known);
        for heartbeat in &config.heartbeats {
            let name = heartbeat.name.clone();
            let rhythm = rhythm(&heartbeat.due);
            let kept = before.remove(&name).map(|beat| (beat.heard, beat.rhythm));
            let kept = kept.or_else(|| known.remove(&name).map(|kept| (kept.heard, kept.rhythm)));
            let is_same = kept.as_ref().is_some_and(|(_, of)| *of == rhythm);
            let mut heard = kept.map_or_else(|| Heard::new(now), |(heard, _)| heard);
            if !is_same {
                heard.known_since = now;
                held.dirty.insert(name.clone());
            }
            held.beats.insert(
                name,
                Beat {
                    config: heartbeat.clone(),
                    rhythm,
                    heard,
                    times: RefCell::default(),
                },
            );
        }
        held.dirty
            .extend(before.into_keys().chain(known.into_keys()));
        held.ids = Ids::of(&self.secret, &config.heartbeats);
        let beats = &held.beats;
        held.limits.retain(|name| beats.contains_key(name));
        if !held.dirty.is_empty() {
            held.number += 1;
            self.wake.notify_one();
        }
    }

    /// Whom a URL means.
    #[must_use]
    pub fn find(&self, asked: Asked<'_>) -> Found {
        self.held().ids.find(asked)
    }

    /// May this heartbeat report from there now?
    ///
    /// # Errors
    /// It did so too often.
    pub fn admit(&self, name: &str, from: Option<IpAddr>, now: Timestamp) -> Result<(), Refusal> {
        let admitted = self.held().limits.take(name, from, now);
        admitted.then_some(()).ok_or(Refusal::TooOften)
    }

    /// Takes in a signal, and waits until it is durable, no longer than [`KEPT_WITHIN`]. It counts as
    /// heard at once.
    ///
    /// # Errors
    /// The heartbeat is gone, or it could not be kept.
    pub async fn heard(&self, name: &str, ping: &Ping) -> Result<(), Refusal> {
        let mut written = self.written.subscribe();
        let number = self.take(name, ping)?;
        self.wake.notify_one();
        let tried = written.wait_for(|written| written.tried >= number);
        let kept = match tokio::time::timeout(KEPT_WITHIN, tried).await {
            Ok(Ok(written)) => written.kept >= number,
            Ok(Err(_)) | Err(_) => false,
        };
        kept.then_some(()).ok_or(Refusal::NotKept)
    }

    /// Takes in a signal. Gives the number of the change that it is.
    pub(crate) fn take(&self, name: &str, ping: &Ping) -> Result<u64, Refusal> {
        let mut held = self.held();
        let beat = held.beats.get_mut(name).ok_or(Refusal::Gone)?;
        beat.heard.ping(ping);
        held.dirty.insert(name.to_owned());
        held.number += 1;
        held.taken += 1;
        Ok(held.number)
    }

    /// The wall clock was moved by so much: set, or the machine slept, and nobody was heard meanwhile.
    pub(crate) fn clock_moved(&self, moved: SignedDuration, now: Timestamp) {
        let mut held = self.held();
        let held = &mut *held;
        for (name, beat) in &mut held.beats {
            if moved.is_negative() {
                beat.heard.clock_set_back(now);
            } else {
                beat.heard.clock_set_forward(self.since, moved);
            }
            held.dirty.insert(name.clone());
        }
        held.number += 1;
        if let Some(gap) = &mut held.gap {
            gap.from = gap.from.min(now);
            gap.until = gap.until.min(now);
        }
        if moved.is_positive() {
            held.gap = Some(Gap {
                from: now.checked_sub(moved).unwrap_or(now),
                until: now,
            });
        }
        self.wake.notify_one();
    }

    /// Are there any?
    pub(crate) fn is_empty(&self) -> bool {
        self.held().beats.is_empty()
    }

    /// Signals that were taken in since the start.
    pub(crate) fn taken(&self) -> u64 {
        self.held().taken
    }

    /// How all stand, by name.
    #[must_use]
    pub fn stands(&self, now: Timestamp) -> Vec<Stand> {
        let held = self.held();
        let stand = |beat: &Beat| Stand {
            config: beat.config.clone(),
            heard: beat.heard.clone(),
            state: beat.judge(held.gap, now),
            paths: held.ids.paths(&self.secret, &beat.config),
        };
        held.beats.values().map(stand).collect()
    }

    /// How all stand, in brief.
    pub(crate) fn briefs(&self, now: Timestamp) -> Vec<Brief> {
        let held = self.held();
        let brief = |beat: &Beat| Brief {
            name: beat.config.name.clone(),
            state: beat.judge(held.gap, now),
            last_success: beat.heard.last_success,
            successes: beat.heard.successes,
            ended: beat.heard.ended.as_ref().map(|end| end.at),
        };
        held.beats.values().map(brief).collect()
    }

    /// The report of how one stands.
    pub(crate) fn report(&self, name: &str, version: &str, now: Timestamp) -> Option<Report> {
        let held = self.held();
        let beat = held.beats.get(name)?;
        let state = beat.judge(held.gap, now);
        beat.terms(|terms| heartbeat::report(&beat.heard, terms, &state, version, now))
    }
}
