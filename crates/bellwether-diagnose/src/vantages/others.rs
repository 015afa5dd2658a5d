//! What a vantage's other targets say, beside what they are from elsewhere.
//!
//! A result is held against two others: when another vantage saw the same just before and just after
//! it, the target did not change meanwhile, and whoever saw something else differs. So neither the
//! beginning of an outage nor its end, which some vantage has to see first, counts against anybody.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bellwether_model::{CheckId, VantageId};
use jiff::Timestamp;

use crate::detect::{CheckMeta, Heard};

/// Thousandths of a nat.
type Milli = i32;

/// A result that differs where one in a hundred does at a vantage that is well, and one in five at one
/// that is not: ln(0.2 / 0.01).
const DIFFERS: Milli = 2_996;
/// One that does not: ln(0.8 / 0.99).
const AGREES: Milli = -213;
/// So much says that a vantage is not well: by chance once in nine million results.
const THRESHOLD: Milli = 16_000;
/// More takes nothing from the way back, which is as long as the way there.
const MOST: Milli = THRESHOLD;
/// A vantage that says that all is well where others fail needs less: a target that fails from two
/// networks works from a third one rarely, and three of them at once hardly ever.
const THRESHOLD_GREEN: Milli = 3 * DIFFERS;
/// One that sees a failure which others see is no liar.
const SEES: Milli = -DIFFERS;

/// Independent targets that must differ at least.
const ZONES_MIN: usize = 3;
/// With as many in all, as few suffice as make up the evidence; with fewer it must be half of them.
const ZONES_ENOUGH: usize = 8;
/// A target differs for as long after its last result that did; or for three intervals.
const LATELY: Duration = Duration::from_secs(300);
/// After so long without anything that speaks against it, a vantage is believed again.
const FORGOTTEN: Duration = Duration::from_secs(1_800);

/// Targets that differ at a vantage.
pub(super) struct Differing {
    /// How many independent ones.
    pub failing: usize,
    /// Of how many.
    pub of: usize,
    /// Since when.
    pub since: Timestamp,
}

/// The last result of a check at a vantage.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// Microseconds since 1970; 0 for none.
    at: i64,
    bad: bool,
    /// Was it held against another vantage already?
    is_held: bool,
    /// The first vantage, plus one, that saw it fail meanwhile.
    witness: u16,
}

/// What is known of a vantage.
#[derive(Clone, Debug, Default)]
struct Side {
    sum: Milli,
    since: Option<Timestamp>,
    /// When each independent target last differed.
    zones: HashMap<u32, Timestamp>,
    is_out: bool,
}

/// All vantages side by side.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    vantages: BTreeMap<VantageId, usize>,
    networks: Vec<Option<u32>>,
    checks: HashMap<CheckId, Place>,
    zones: usize,
    /// By check, then by vantage.
    last: Vec<Last>,
    /// What fails alone, and what is green alone; by vantage.
    alone: Vec<Side>,
    green: Vec<Side>,
}

/// Where a check stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    number: usize,
    zone: u32,
    every: Duration,
}

impl Others {
    pub(super) fn configure(
        &mut self,
        checks: &[CheckMeta],
        vantages: impl Iterator<Item = (VantageId, Option<u32>)>,
    ) {
        let mut zones: HashMap<&str, u32> = HashMap::new();
        let mut places = HashMap::with_capacity(checks.len());
        for (number, check) in checks.iter().enumerate() {
            let zone = check
                .depends
                .last()
                .map_or(check.id.as_str(), String::as_str);
            let next = u32::try_from(zones.len()).unwrap_or(u32::MAX);
            let zone = *zones.entry(zone).or_insert(next);
            let every = check.every;
            let place = Place {
                number,
                zone,
                every,
            };
            places.insert(check.id.clone(), place);
        }
        let (names, networks): (Vec<VantageId>, Vec<_>) = vantages.unzip();
        let names: BTreeMap<VantageId, usize> =
            names.into_iter().enumerate().map(|(n, v)| (v, n)).collect();
        let take = |sides: &mut Vec<Side>| -> Vec<Side> {
            let of = |vantage: &VantageId| {
                let was = self.vantages.get(vantage);
                was.map_or_else(Side::default, |was| std::mem::take(&mut sides[*was]))
            };
            names.keys().map(of).collect()
        };
        let mut alone = std::mem::take(&mut self.alone);
        let mut green = std::mem::take(&mut self.green);
        (self.alone, self.green) = (take(&mut alone), take(&mut green));
        self.zones = zones.len();
        self.last = vec![Last::default(); checks.len() * names.len()];
        self.checks = places;
        self.vantages = names;
        self.networks = networks;
    }

    /// Forgets results, and keeps what follows from them.
    pub(super) fn forget(&mut self) {
        self.last.fill(Last::default());
    }

    /// A result. Those before it at other vantages are held against it, if its vantage is heard and saw
    /// the same before them.
    pub(super) fn heard(
        &mut self,
        heard: &Heard,
        bad: bool,
        is_heard: impl Fn(&VantageId) -> bool,
    ) {
        let (
            Some(&Place {
                number,
                zone,
                every,
            }),
            Some(&own),
        ) = (
            self.checks.get(&heard.check),
            self.vantages.get(&heard.vantage),
        )
        else {
            return;
        };
        let began = heard.at;
        let at = began.as_microsecond();
        let from = number * self.vantages.len();
        let before = self.last[from + own];
        if at <= before.at {
            return;
        }
        let long = i64::try_from((every * 3).as_micros()).unwrap_or(i64::MAX);
        if before.at > 0 && before.bad == bad && at - before.at <= long && is_heard(&heard.vantage)
        {
            // Two that see the same are not each alone with it.
            let see = self
                .vantages
                .iter()
                .filter(|(vantage, _)| is_heard(vantage));
            let see = see.filter(|(_, n)| self.last[from + **n].at > before.at);
            let see: Vec<(usize, bool)> =
                see.map(|(_, n)| (*n, self.last[from + *n].bad)).collect();
            for other in (0..self.vantages.len()).filter(|other| *other != own) {
                let last = self.last[from + other];
                let is_between = last.at > before.at && last.at < at;
                let is_shared = last.bad != bad
                    && see
                        .iter()
                        .any(|(one, saw)| *one != other && *saw == last.bad && *one != own);
                if is_between && !is_shared {
                    self.last[from + other] = self.held(last, own, other, (zone, bad), began);
                }
            }
        }
        self.last[from + own] = Last {
            at,
            bad,
            is_held: false,
            witness: 0,
        };
    }

    /// What another vantage saw while this one saw all along that it works, or that it fails.
    fn held(
        &mut self,
        mut last: Last,
        own: usize,
        other: usize,
        (zone, bad): (u32, bool),
        now: Timestamp,
    ) -> Last {
        if !bad {
            if !last.is_held {
                let evidence = if last.bad { DIFFERS } else { AGREES };
                self.alone[other].add(evidence, THRESHOLD, zone, now);
            }
            last.is_held = true;
            return last;
        }
        if last.bad {
            self.green[other].add(SEES, THRESHOLD_GREEN, zone, now);
            return last;
        }
        match usize::from(last.witness).checked_sub(1) {
            None => last.witness = u16::try_from(own + 1).unwrap_or(0),
            // Two of one network may have the trouble of that.
            Some(first) if first != own && self.networks[first] != self.networks[own] => {
                if !last.is_held {
                    self.green[other].add(DIFFERS, THRESHOLD_GREEN, zone, now);
                }
                last.is_held = true;
            }
            Some(_) => {}
        }
        last
    }

    /// Do many of a vantage's targets fail that work elsewhere?
    pub(super) fn fails_alone(&mut self, vantage: &VantageId, now: Timestamp) -> Option<Differing> {
        let zones = self.zones;
        let place = *self.vantages.get(vantage)?;
        let few = self.few();
        self.alone
            .get_mut(place)?
            .differs(THRESHOLD, zones, few, now)
    }

    /// Do as many of a vantage's targets differ as would do, and not often enough yet?
    pub(super) fn is_doubted(&self, vantage: &VantageId, now: Timestamp) -> bool {
        let least = ZONES_MIN.max(self.few());
        let side = self.vantages.get(vantage).map(|place| &self.alone[*place]);
        let lately = |last: &&Timestamp| !super::is_older(**last, LATELY, now);
        side.is_some_and(|side| side.sum > 0 && side.zones.values().filter(lately).count() >= least)
    }

    /// How many targets must differ, where there are few.
    fn few(&self) -> usize {
        if self.zones >= ZONES_ENOUGH {
            0
        } else {
            self.zones.div_ceil(2)
        }
    }

    /// Does it say of many targets that they work, which fail from two other networks?
    pub(super) fn is_green_alone(
        &mut self,
        vantage: &VantageId,
        now: Timestamp,
    ) -> Option<Differing> {
        let zones = self.zones;
        let place = *self.vantages.get(vantage)?;
        // Who is well where a part fails for others may be spared by what they share: only an outage of
        // most shows who does not look.
        let half = zones.div_ceil(2);
        let green = self.green.get_mut(place)?;
        green.differs(THRESHOLD_GREEN, zones, half, now)
    }
}

impl Side {
    fn add(&mut self, evidence: Milli, threshold: Milli, zone: u32, now: Timestamp) {
        if evidence > 0 {
            if self.sum == 0 {
                self.since = Some(now);
            }
            self.zones.insert(zone, now);
        }
        self.sum = (self.sum + evidence).clamp(0, threshold.max(MOST));
    }

    /// Is the evidence enough, of so many targets at least?
    fn differs(
        &mut self,
        threshold: Milli,
        of: usize,
        least: usize,
        now: Timestamp,
    ) -> Option<Differing> {
        // Who is believed no more is looked at anew when nothing was held against it for long.
        let is_old = |last: &Timestamp| super::is_older(*last, FORGOTTEN, now);
        if self.is_out && self.zones.values().all(is_old) {
            self.sum = 0;
        }
        if self.sum == 0 {
            self.is_out = false;
            self.zones.clear();
            return None;
        }
        if !self.is_out {
            self.zones
                .retain(|_, last| !super::is_older(*last, LATELY, now));
            let differ = self.zones.len();
            self.is_out = self.sum >= threshold && differ >= ZONES_MIN.max(least);
        }
        self.is_out.then(|| Differing {
            failing: self.zones.len(),
            of,
            since: self.since.unwrap_or(now),
        })
    }
}
