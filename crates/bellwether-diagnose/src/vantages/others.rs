//! What a vantage's other targets say, beside what they are from elsewhere.
//!
//! A result is held against two others: when another vantage saw the same just before and just after
//! it, the target did not change meanwhile, and whoever saw something else differs. So neither the
//! beginning of an outage nor its end, which some vantage has to see first, counts against anybody.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bellwether_model::{CheckId, VantageId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
/// With fewer, half of them must differ for a doubt.
const ZONES_FEW: usize = 8;
/// Half of them are the vantage's own trouble, and fewer are not: those may share a provider that fails
/// there. One that loses packets has all of them fail sooner or later, if not at once. So this is what
/// the better half must say, once the worse ones are left out: one in three thousand results has as
/// much of it by chance. No single one counts for more.
const THRESHOLD_BETTER: Milli = THRESHOLD / 2;
/// A target differs for as long after its last result that did; or for three intervals.
const LATELY: Duration = Duration::from_secs(300);
const LATELY_ROUNDS: u32 = 3;
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
    /// Independent targets that differed.
    zones: HashMap<u32, Zone>,
    /// Was the sum once enough, since it was nothing?
    is_enough: bool,
    is_out: bool,
}

/// An independent target that differed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Zone {
    /// When it last did.
    last: Timestamp,
    /// Until when that is lately.
    until: Timestamp,
    /// What its own results say.
    sum: Milli,
}

/// What is kept of a vantage over a restart: targets by name, since numbers are made anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KeptSide {
    sum: Milli,
    since: Option<Timestamp>,
    zones: Vec<(String, Zone)>,
    is_enough: bool,
    is_out: bool,
}

/// How many must differ.
#[derive(Clone, Copy, Debug)]
enum Least {
    /// So many lately.
    Lately(usize),
    /// More than so many: these are left out, and the others must say it too.
    Beyond(usize),
}

/// All vantages side by side.
#[derive(Clone, Debug, Default)]
pub(super) struct Others {
    vantages: BTreeMap<VantageId, usize>,
    networks: Vec<Option<u32>>,
    checks: HashMap<CheckId, Place>,
    /// Independent targets, by number.
    zones: Vec<String>,
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
        let mut of_zones: Vec<(u32, String)> = zones
            .into_iter()
            .map(|(zone, number)| (number, zone.to_owned()))
            .collect();
        of_zones.sort_unstable();
        let (names, networks): (Vec<VantageId>, Vec<_>) = vantages.unzip();
        let names: BTreeMap<VantageId, usize> =
            names.into_iter().enumerate().map(|(n, v)| (v, n)).collect();
        let before: Vec<Option<(KeptSide, KeptSide)>> =
            names.keys().map(|vantage| self.kept(vantage)).collect();
        self.zones = of_zones.into_iter().map(|(_, zone)| zone).collect();
        (self.alone, self.green) = before
            .into_iter()
            .map(|known| {
                let (alone, green) = known.unwrap_or_default();
                (self.recalled(alone), self.recalled(green))
            })
            .unzip();
        self.last = vec![Last::default(); checks.len() * names.len()];
        self.checks = places;
        self.vantages = names;
        self.networks = networks;
    }

    /// Forgets results, and keeps what follows from them.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.last.fill(Last::default());
        for side in self.alone.iter_mut().chain(&mut self.green) {
            side.since = side.since.map(|at| at.min(now));
            for zone in side.zones.values_mut() {
                zone.last = zone.last.min(now);
            }
        }
    }

    /// What is to be known of a vantage after a restart: what fails alone there, what is green alone.
    pub(super) fn kept(&self, vantage: &VantageId) -> Option<(KeptSide, KeptSide)> {
        let place = *self.vantages.get(vantage)?;
        let of = |side: &Side| {
            let zones = side.zones.iter();
            let zones = zones.filter_map(|(n, zone)| Some((self.name(*n)?.to_owned(), *zone)));
            let mut zones: Vec<(String, Zone)> = zones.collect();
            zones.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            KeptSide {
                sum: side.sum,
                since: side.since,
                zones,
                is_enough: side.is_enough,
                is_out: side.is_out,
            }
        };
        Some((of(self.alone.get(place)?), of(self.green.get(place)?)))
    }

    /// Takes over what was known of a vantage before a restart.
    pub(super) fn recall(&mut self, vantage: &VantageId, alone: KeptSide, green: KeptSide) {
        let Some(place) = self.vantages.get(vantage).copied() else {
            return;
        };
        (self.alone[place], self.green[place]) = (self.recalled(alone), self.recalled(green));
    }

    fn recalled(&self, kept: KeptSide) -> Side {
        let KeptSide {
            sum,
            since,
            zones,
            is_enough,
            is_out,
        } = kept;
        let known: HashMap<String, Zone> = zones.into_iter().collect();
        let numbers = self.zones.iter().zip(0..);
        let zones = numbers.filter_map(|(name, n)| Some((n, *known.get(name)?)));
        Side {
            sum: sum.clamp(0, MOST),
            since,
            zones: zones.collect(),
            is_enough,
            is_out,
        }
    }

    fn name(&self, zone: u32) -> Option<&str> {
        let zone = usize::try_from(zone).ok()?;
        self.zones.get(zone).map(String::as_str)
    }

    /// Is anybody believed no more by this?
    pub(super) fn is_any_out(&self) -> bool {
        self.alone.iter().chain(&self.green).any(|side| side.is_out)
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
                    let of = (zone, every, bad);
                    self.last[from + other] = self.held(last, own, other, of, began);
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
        (zone, every, bad): (u32, Duration, bool),
        now: Timestamp,
    ) -> Last {
        let zone = (zone, every);
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
        let zones = self.zones.len();
        let place = *self.vantages.get(vantage)?;
        let fewer = Least::Beyond(zones.div_ceil(2).saturating_sub(1));
        let alone = self.alone.get_mut(place)?;
        alone.differs(zones, fewer, now)
    }

    /// Do as many of a vantage's targets differ as would do, and not often enough yet?
    pub(super) fn is_doubted(&self, vantage: &VantageId, now: Timestamp) -> bool {
        let zones = self.zones.len();
        let half = if zones < ZONES_FEW {
            zones.div_ceil(2)
        } else {
            0
        };
        let side = self.vantages.get(vantage).map(|place| &self.alone[*place]);
        side.is_some_and(|side| side.sum > 0 && side.lately(now) >= ZONES_MIN.max(half))
    }

    /// Does it say of many targets that they work, which fail from two other networks?
    pub(super) fn is_green_alone(
        &mut self,
        vantage: &VantageId,
        now: Timestamp,
    ) -> Option<Differing> {
        let zones = self.zones.len();
        let place = *self.vantages.get(vantage)?;
        // Who is well where a part fails for others may be spared by what they share: only an outage of
        // most shows who does not look.
        let half = Least::Lately(zones.div_ceil(2));
        let green = self.green.get_mut(place)?;
        green.differs(zones, half, now)
    }
}

impl Side {
    fn add(
        &mut self,
        evidence: Milli,
        threshold: Milli,
        (zone, every): (u32, Duration),
        now: Timestamp,
    ) {
        if evidence > 0 {
            if self.sum == 0 {
                self.since = Some(now);
            }
            let lately = LATELY.max(every * LATELY_ROUNDS);
            let until = now.checked_add(lately).unwrap_or(Timestamp::MAX);
            let known = self.zones.get(&zone).map_or(0, |known| known.sum);
            let sum = (known + evidence).min(THRESHOLD_BETTER);
            let zone = self.zones.entry(zone).or_insert(Zone {
                last: now,
                until,
                sum,
            });
            (zone.last, zone.until, zone.sum) = (now, until, sum);
        } else if let Some(zone) = self.zones.get_mut(&zone) {
            zone.sum = (zone.sum + evidence).max(0);
        }
        self.sum = (self.sum + evidence).clamp(0, MOST);
        self.is_enough |= self.sum >= threshold;
    }

    /// Is the evidence enough, of so many targets at least?
    fn differs(&mut self, of: usize, least: Least, now: Timestamp) -> Option<Differing> {
        // Who is believed no more is looked at anew when nothing was held against it for long.
        let is_old = |zone: &Zone| super::is_older(zone.last, FORGOTTEN, now);
        if self.is_out && self.zones.values().all(is_old) {
            self.sum = 0;
        }
        if self.sum == 0 {
            (self.is_out, self.is_enough) = (false, false);
            self.zones.clear();
            return None;
        }
        if self.is_out {
            // The better half says nothing against it any more: what is left is no trouble of its own.
            self.is_out = !matches!(least, Least::Beyond(worse) if self.beyond(worse) == 0);
        } else {
            self.zones
                .retain(|_, zone| zone.until >= now || zone.sum > 0);
            let lately = self.lately(now);
            self.is_out = self.is_enough
                && lately >= ZONES_MIN
                && match least {
                    Least::Lately(least) => lately >= least,
                    Least::Beyond(worse) => self.beyond(worse) >= THRESHOLD_BETTER,
                };
        }
        self.is_out.then(|| Differing {
            failing: self.zones.len(),
            of,
            since: self.since.unwrap_or(now),
        })
    }

    /// How many targets differed lately.
    fn lately(&self, now: Timestamp) -> usize {
        self.zones.values().filter(|zone| zone.until >= now).count()
    }

    /// What the targets say without so many that say most.
    fn beyond(&self, worse: usize) -> Milli {
        let mut sums: Vec<Milli> = self.zones.values().map(|zone| zone.sum).collect();
        sums.sort_unstable_by(|a, b| b.cmp(a));
        let better = sums.iter().skip(worse);
        better.fold(0, |all, one| all.saturating_add(*one))
    }
}
