//! Detection: from single results to "it is broken", "it is slow", "it comes and goes".
//!
//! Pure and streaming: each result is folded in as it arrives, order matters only within one check
//! at one vantage, and sums over vantages do not depend on the order in which their results come.
//! The work for a result is bounded by the number of vantages; nearly all results cost a few
//! additions.
//!
//! - [`heard`]: what it is told; [`signal`]: what it says
//! - `cusum`: the statistic; `learned`: what is normal; `canary`: is it the vantage?
//! - `failing`: broken or not; `slow`: slow or not; `flap`: comes and goes
//! - `checkpoint`: the state as bytes; `small`: in little room
//!
//! How well it does is measured by `cargo xtask truth detect` (docs/detect.md).

mod canary;
mod checkpoint;
mod cusum;
mod failing;
mod flap;
pub mod heard;
mod learned;
pub mod signal;
mod slow;
mod small;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bellwether_model::{CheckId, VantageId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use checkpoint::CheckpointError;
pub use heard::{CheckMeta, Group, Heard, HeardKind, VantageMeta};
pub use signal::{Alarm, Channel, Grade, Signal, SlowAlarm, SlowEnd};
pub use slow::Profile;

use cusum::{Fleet, Limits};
use failing::{Cell, Open};
use flap::Flap;
use slow::{OpenSlow, Pace};
use small::{Maybe, Rare};

/// Microseconds since 1970.
type Micros = i64;

const SECOND: Micros = 1_000_000;
const MINUTE: Micros = 60 * SECOND;
const DAY: Micros = 1440 * MINUTE;

/// A run may take this long from its begin until it is heard of, besides two intervals; what is
/// older goes to history only.
const LATE: Micros = 30 * SECOND;

/// A run that began later than this from now was made by a clock that is wrong.
const AHEAD: Micros = 5 * SECOND;

/// The state of detection: all checks at all vantages.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    vantages: Vec<VantageMeta>,
    by_vantage: HashMap<VantageId, usize>,
    by_check: HashMap<CheckId, usize>,
    checks: Vec<Watch>,
    /// The last result by vantage, then by check: read in bulk to judge a vantage.
    seen: Vec<Vec<Seen>>,
}

/// The last result of a check at a vantage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    at: Micros,
    bad: bool,
    slow: bool,
    /// The logarithm of how much slower than usual it was; `None` where that is not known.
    #[serde(default, skip_serializing_if = "Maybe::is_none")]
    over: Maybe,
}

/// What is known of one check.
#[derive(Clone, Debug)]
struct Watch {
    id: CheckId,
    plan: Arc<Plan>,
    /// Checks that are independent of this one.
    canaries: Arc<[u32]>,
    state: State,
    /// By vantage.
    places: Box<[Place]>,
}

/// What is known of one check at one vantage.
#[derive(Clone, Debug, Default)]
struct Place {
    cell: Cell,
    /// Made when the first latency is heard.
    pace: Option<Box<Pace>>,
}

/// What is known of one check over all vantages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    first_heard: Micros,
    burst_until: Micros,
    /// How often a burst after a failure was asked for once more.
    #[serde(default)]
    asked: u8,
    /// All results together, against a share of failures that is worth an alarm.
    pooled: cusum::Milli,
    open: Option<Box<Open>>,
    flap: Rare<Flap>,
    slow: Option<Box<OpenSlow>>,
}

/// What checks of the same interval at the same vantages share.
#[derive(Debug)]
struct Plan {
    every: Micros,
    fleet: Fleet,
    /// By number of live vantages.
    failing: Vec<Limits>,
    shift: Vec<Limits>,
    tail: Vec<Limits>,
}

/// A result, as the parts of detection take it in.
#[derive(Clone, Copy, Debug)]
struct Now {
    vantage: usize,
    at: Micros,
    now: Micros,
    confirms: bool,
    excuse: canary::Excuse,
}

impl Detector {
    /// Takes on a configuration. What is known of checks and vantages that stay is kept; the rest
    /// is forgotten.
    pub fn configure(&mut self, checks: &[CheckMeta], vantages: &[VantageMeta]) {
        let mut old = std::mem::take(self);
        let vantages: Vec<VantageMeta> = {
            let mut sorted = vantages.to_vec();
            sorted.sort_by(|a, b| a.id.cmp(&b.id));
            sorted.dedup_by(|a, b| a.id == b.id);
            sorted
        };
        self.by_vantage = vantages
            .iter()
            .enumerate()
            .map(|(i, v)| (v.id.clone(), i))
            .collect();
        let was: Vec<Option<usize>> = vantages
            .iter()
            .map(|v| old.by_vantage.get(&v.id).copied())
            .collect();
        self.seen = vec![vec![Seen::default(); checks.len()]; vantages.len()];
        let mut plans = HashMap::new();
        let mut depends = Vec::with_capacity(checks.len());
        self.checks.reserve_exact(checks.len());
        self.by_check.reserve(checks.len());
        for meta in checks {
            if self.by_check.contains_key(&meta.id) {
                continue;
            }
            let number = self.checks.len();
            let plan = plan(meta, &self.by_vantage, &vantages, &mut plans);
            let mut words: Vec<&str> = meta.depends.iter().map(String::as_str).collect();
            words.sort_unstable();
            words.dedup();
            depends.push(words);
            let mut watch = Watch {
                id: meta.id.clone(),
                plan,
                canaries: Arc::from([]),
                state: State::default(),
                places: vec![Place::default(); vantages.len()].into(),
            };
            if let Some(&before) = old.by_check.get(&meta.id) {
                let kept = &mut old.checks[before];
                watch.state = std::mem::take(&mut kept.state);
                for (now, was) in was.iter().enumerate() {
                    if let Some(was) = *was {
                        watch.places[now] = std::mem::take(&mut kept.places[was]);
                        self.seen[now][number] = old.seen[was][before];
                    }
                }
            }
            self.by_check.insert(meta.id.clone(), number);
            self.checks.push(watch);
        }
        self.vantages = vantages;
        let canaries: HashSet<&CheckId> = checks
            .iter()
            .filter(|meta| meta.canary)
            .map(|meta| &meta.id)
            .collect();
        let preferred: Vec<bool> = self
            .checks
            .iter()
            .map(|watch| canaries.contains(&watch.id))
            .collect();
        canary::choose(&mut self.checks, &depends, &preferred);
    }

    /// Folds in one result, and says what changes by it.
    ///
    /// What cannot be placed (an unknown check, a time in the future, a result older than two
    /// intervals or than one already heard from there) changes nothing.
    pub fn step(&mut self, heard: &Heard, now: Timestamp) -> Vec<Signal> {
        let (Some(&check), Some(&vantage)) = (
            self.by_check.get(&heard.check),
            self.by_vantage.get(&heard.vantage),
        ) else {
            return Vec::new();
        };
        let (at, now) = (heard.at.as_microsecond(), now.as_microsecond());
        let watch = &mut self.checks[check];
        let late = at < now - 2 * watch.plan.every - LATE;
        if late || at > now + AHEAD || at <= self.seen[vantage][check].at {
            return Vec::new();
        }
        let (bad, latency) = match heard.kind {
            HeardKind::Unknown => return Vec::new(),
            HeardKind::Bad => (true, None),
            HeardKind::Ok { total_us: 0, .. } => (false, None),
            HeardKind::Ok { total_us, phases } => (false, Some((total_us, phases))),
        };
        let tail = latency.is_some_and(|(us, _)| watch.exceeds(vantage, us));
        let over = latency.and_then(|(us, _)| watch.over(vantage, us));
        let lags = latency.is_some_and(|(us, _)| watch.lags(vantage, us));
        let suspicious = bad || tail || lags || watch.is_suspicious(vantage);
        let excuse = if suspicious {
            canary::excuse(&self.checks, check, &self.seen[vantage], at)
        } else {
            canary::Excuse::default()
        };
        self.seen[vantage][check] = Seen {
            at,
            bad,
            slow: tail,
            over: over.into(),
        };
        let step = Now {
            vantage,
            at,
            now,
            confirms: heard.trigger == bellwether_model::run::Trigger::Confirm,
            excuse,
        };
        let mut signals = Vec::new();
        let seen = &self.seen;
        let last = |v: usize| seen[v][check].at;
        let watch = &mut self.checks[check];
        watch.failing(step, bad, last, &self.vantages, &mut signals);
        if let Some((total, phases)) = latency {
            watch.pace(step, total, phases, last, &self.vantages, &mut signals);
        }
        signals
    }

    /// Sets what is usual for a check at a vantage at this time of day, as the store knows it. Until
    /// it is set, an estimate is made from what is heard.
    pub fn profile(&mut self, check: &CheckId, vantage: &VantageId, profile: Profile) {
        if let (Some(&check), Some(&vantage)) =
            (self.by_check.get(check), self.by_vantage.get(vantage))
        {
            self.checks[check].set_profile(vantage, profile);
        }
    }

    /// The wall clock was set back: what is remembered as later than `now` is of now. Else all that
    /// is heard would be passed over until the clock is where it was. What was learnt stays.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        let now = now.as_microsecond();
        for seen in self.seen.iter_mut().flatten() {
            seen.at = seen.at.min(now);
        }
        for Watch { state, places, .. } in &mut self.checks {
            state.first_heard = state.first_heard.min(now);
            state.burst_until = state.burst_until.min(now);
            if let Some(flap) = state.flap.known_mut() {
                flap.clock_set_back(now);
            }
            if let Some(open) = &mut state.open {
                open.clock_set_back(now);
            }
            if let Some(slow) = &mut state.slow {
                slow.clock_set_back(now);
            }
            for Place { cell, pace } in places {
                cell.clock_set_back(now);
                if let Some(pace) = pace {
                    pace.clock_set_back(now);
                }
            }
        }
    }

    /// Forgets what was heard of a check: it asks another thing from now on.
    pub fn forget(&mut self, check: &CheckId) {
        let Some(&number) = self.by_check.get(check) else {
            return;
        };
        for seen in &mut self.seen {
            seen[number] = Seen::default();
        }
        let watch = &mut self.checks[number];
        watch.state = State::default();
        watch.places.fill(Place::default());
    }

    /// What was heard from a vantage is evidence against nothing any more. What was learned there stays.
    pub fn mute(&mut self, vantage: &VantageId) {
        let Some(&vantage) = self.by_vantage.get(vantage) else {
            return;
        };
        for watch in &mut self.checks {
            watch.places[vantage].cell.mute();
        }
    }

    /// Is there an alarm of slowness that was not taken back?
    #[must_use]
    pub fn is_slow(&self, check: &CheckId) -> bool {
        self.by_check
            .get(check)
            .is_some_and(|&check| self.checks[check].state.slow.is_some())
    }

    /// Is there an alarm that was not cleared?
    #[must_use]
    pub fn is_open(&self, check: &CheckId) -> bool {
        self.by_check
            .get(check)
            .is_some_and(|&check| self.checks[check].state.open.is_some())
    }

    /// Evidence against a check at each vantage, nats, sorted by vantage.
    #[must_use]
    pub fn evidence(&self, check: &CheckId) -> Vec<(VantageId, f64)> {
        let Some(&check) = self.by_check.get(check) else {
            return Vec::new();
        };
        let watch = &self.checks[check];
        let of = |&v: &usize| {
            let nats = f64::from(watch.places[v].cell.sum) / f64::from(cusum::NAT);
            (self.vantages[v].id.clone(), nats)
        };
        watch.plan.fleet.members.iter().map(of).collect()
    }
}

type Plans = HashMap<(Micros, Vec<usize>), Arc<Plan>>;

fn plan(
    meta: &CheckMeta,
    by_vantage: &HashMap<VantageId, usize>,
    vantages: &[VantageMeta],
    plans: &mut Plans,
) -> Arc<Plan> {
    let every = Micros::try_from(meta.every.as_micros())
        .unwrap_or(DAY)
        .clamp(SECOND, 30 * DAY);
    let mut members: Vec<usize> = meta
        .vantages
        .iter()
        .filter_map(|v| by_vantage.get(v).copied())
        .collect();
    if members.is_empty() {
        members = (0..vantages.len()).collect();
    }
    members.sort_unstable();
    members.dedup();
    let plan = || {
        #[expect(clippy::cast_precision_loss, reason = "an interval in microseconds")]
        let per_day = DAY as f64 / every as f64;
        let by_live = |of: &dyn Fn(usize) -> Limits| (0..=members.len()).map(of).collect();
        Arc::new(Plan {
            every,
            failing: by_live(&|live| Limits::failing(live, per_day)),
            shift: by_live(&|live| Limits::of(live, slow::SHIFT_THRESHOLD)),
            tail: by_live(&|live| Limits::of(live, slow::TAIL_THRESHOLD)),
            fleet: Fleet::of(members.clone(), vantages),
        })
    };
    Arc::clone(plans.entry((every, members.clone())).or_insert_with(plan))
}

impl Plan {
    /// How many vantages were heard from within two intervals.
    fn live(&self, state: &State, now: Micros, last: impl Fn(usize) -> Micros) -> usize {
        let members = &self.fleet.members;
        if now - state.first_heard < 2 * self.every + LATE {
            // Those that had no turn yet count: the fleet is as large as it is configured.
            return members.len();
        }
        members
            .iter()
            .filter(|&&v| self.is_fresh(last(v), now))
            .count()
    }

    /// Was the last result there made within two intervals?
    fn is_fresh(&self, last: Micros, now: Micros) -> bool {
        last >= now - 2 * self.every - LATE
    }
}

/// As a time.
fn stamp(at: Micros) -> Timestamp {
    Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH)
}
