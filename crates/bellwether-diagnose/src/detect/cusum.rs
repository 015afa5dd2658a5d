//! The statistic: capped sums of Bernoulli likelihood ratios, and when they cross.
//!
//! Evidence is counted in thousandths of a nat as integers, so that a sum over vantages is the
//! same in whatever order they are added.

use std::collections::BTreeMap;

use super::heard::{Group, VantageMeta};

/// Thousandths of a nat.
pub(super) type Milli = i32;

/// One nat.
pub(super) const NAT: Milli = 1000;

/// Evidence of one vantage never exceeds this, so that four successes always take it back.
const CLAMP: Milli = 9 * NAT;

/// A vantage counts as failing, for a group, from here.
pub(super) const FAILING: Milli = 2 * NAT;

/// Below this many vantages a region holds one or two, and "regional" cannot be told from
/// "one vantage".
const GROUPS_FLEET_MIN: usize = 6;

/// Days between false alarms of one check for which the threshold is chosen: 15.4 nats with 12
/// vantages each minute, which three fresh failures just reach. Alone that would be too low (16 false
/// alarms in 1,000 days); it is not alone (`POOLED_MIN` of `failing`).
const DAYS_BETWEEN_FALSE: f64 = 282.0;

/// The threshold is never lower, also with few probes a day.
const THRESHOLD_MIN: Milli = 15_400;

/// The threshold of one vantage: three failures say 15.6 nats.
const ALONE_MIN: Milli = 16 * NAT;

/// A group has to show so much more than all together: with its three vantages next to each other in a
/// burst, three single losses reach the threshold. Measured on N1: without it seven of seventeen false
/// alarms were a region's; a region's outage is found 0.5 s later.
const GROUP_MORE: Milli = 2 * NAT + NAT / 2;

/// How much a result says, given the share of failures that is normal at this place and time.
pub(super) fn evidence(q0: f64, bad: bool) -> Milli {
    // What a broken target does: nearly always fail, and more than a troubled vantage by itself.
    let q1 = (q0 + 0.02).clamp(0.9, 0.99);
    milli(likelihood(q0, q1, bad))
}

/// The logarithm of the ratio of likelihoods of one result, nats.
pub(super) fn likelihood(q0: f64, q1: f64, hit: bool) -> f64 {
    if hit {
        (q1 / q0).ln()
    } else {
        ((1.0 - q1) / (1.0 - q0)).ln()
    }
}

/// As thousandths.
#[expect(
    clippy::cast_possible_truncation,
    reason = "nats are bounded by the clamps on the shares, far below the range"
)]
pub(super) fn milli(nats: f64) -> Milli {
    (nats * f64::from(NAT)).round() as Milli
}

/// The next value of a sum.
pub(super) fn add(sum: Milli, evidence: Milli, most: Milli) -> Milli {
    (sum + evidence).clamp(0, most)
}

/// What a sum has to reach, and how much each part may add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Where it alarms.
    pub(super) threshold: Milli,
    /// The most that one vantage adds.
    pub(super) cap: Milli,
    /// The most that one region adds.
    pub(super) region_cap: Milli,
    /// The most that one vantage remembers.
    pub(super) clamp: Milli,
}

impl Limits {
    /// For failures: so many live vantages, and so many results of each a day.
    pub(super) fn failing(live: usize, per_day: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a count of vantages is small")]
        let probes = live.max(1) as f64 * per_day;
        let threshold = milli((probes * DAYS_BETWEEN_FALSE).ln()).max(THRESHOLD_MIN);
        Self::of(live, threshold)
    }

    fn alone(threshold: Milli) -> Self {
        Self {
            threshold,
            cap: threshold + NAT,
            region_cap: threshold + NAT,
            clamp: threshold + NAT,
        }
    }

    /// For a fixed threshold.
    pub(super) fn of(live: usize, threshold: Milli) -> Self {
        // Distinct vantages that must agree: 1, 2, 3, 4.
        let (cap, region_cap) = match live {
            // Four failures in a row: a burst of loss of a few seconds takes three.
            0 | 1 => return Self::alone(threshold.max(ALONE_MIN)),
            2..=4 => (threshold / 2 + NAT / 2, threshold),
            5..=8 => (threshold / 3 + NAT, threshold * 2 / 3 + NAT),
            _ => (threshold / 4 + NAT * 7 / 5, threshold / 2 + NAT),
        };
        Self {
            threshold,
            cap,
            region_cap,
            clamp: CLAMP.max(cap + NAT),
        }
    }
}

/// Vantages that run the same checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fleet {
    /// Their numbers, ascending.
    pub(super) members: Vec<usize>,
    /// By region; one without a region stands alone.
    regions: Vec<Vec<usize>>,
    /// By what they have in common, at least two of them and never all.
    groups: Vec<(Group, Vec<usize>)>,
}

impl Fleet {
    /// Of these vantages.
    pub(super) fn of(members: Vec<usize>, all: &[VantageMeta]) -> Self {
        let mut regions: BTreeMap<(Option<&str>, usize), Vec<usize>> = BTreeMap::new();
        let mut groups: BTreeMap<Group, Vec<usize>> = BTreeMap::new();
        for &member in &members {
            let VantageMeta {
                id: _,
                region,
                asn,
                country,
            } = &all[member];
            let alone = if region.is_some() { 0 } else { member };
            regions
                .entry((region.as_deref(), alone))
                .or_default()
                .push(member);
            let common = [
                region.clone().map(Group::Region),
                asn.map(Group::Asn),
                country.clone().map(Group::Country),
            ];
            for group in common.into_iter().flatten() {
                groups.entry(group).or_default().push(member);
            }
        }
        let few = members.len() < GROUPS_FLEET_MIN;
        groups.retain(|_, held| !few && held.len() > 1 && held.len() < members.len());
        Self {
            regions: regions.into_values().collect(),
            groups: groups.into_iter().collect(),
            members,
        }
    }

    /// The regions.
    pub(super) fn regions(&self) -> &[Vec<usize>] {
        &self.regions
    }

    /// Evidence of all together, each part capped.
    pub(super) fn total(&self, limits: &Limits, sum: impl Fn(usize) -> Milli) -> Milli {
        let region =
            |held: &Vec<usize>| held.iter().map(|&v| sum(v).min(limits.cap)).sum::<Milli>();
        let mut total: Milli = 0;
        let mut reachable: Milli = 0;
        let mut uncapped: Milli = 0;
        for held in &self.regions {
            let of_region = region(held);
            uncapped += of_region;
            total += of_region.min(limits.region_cap);
            let most = limits
                .cap
                .saturating_mul(Milli::try_from(held.len()).unwrap_or(Milli::MAX));
            reachable = reachable.saturating_add(most.min(limits.region_cap));
        }
        // Where nearly all vantages stand in one region its cap would forbid every alarm.
        if reachable < limits.threshold + limits.cap / 2 {
            uncapped
        } else {
            total
        }
    }

    /// Does it cross, and for whom?
    pub(super) fn crossing(
        &self,
        limits: &Limits,
        sum: impl Fn(usize) -> Milli + Copy,
    ) -> Option<Crossing<'_>> {
        let total = self.total(limits, sum);
        if total >= limits.threshold {
            return Some(Crossing {
                group: None,
                members: &self.members,
                score: total,
            });
        }
        self.groups
            .iter()
            .filter(|(_, held)| held.iter().filter(|&&v| sum(v) >= FAILING).count() >= 2)
            .map(|(group, held)| Crossing {
                group: Some(group),
                members: held,
                score: held.iter().map(|&v| sum(v)).sum(),
            })
            .filter(|crossing| crossing.score >= limits.threshold + GROUP_MORE)
            // The smallest group that holds the most evidence; then the first by name.
            .min_by_key(|crossing| (-crossing.score, crossing.members.len()))
            .map(|crossing| {
                // Where two more fail elsewhere it is no group's trouble.
                let fail = |held: &[usize]| held.iter().filter(|&&v| sum(v) >= FAILING).count();
                if fail(&self.members) < fail(crossing.members) + 2 {
                    return crossing;
                }
                Crossing {
                    group: None,
                    members: &self.members,
                    score: crossing.score,
                }
            })
    }
}

/// A sum that crossed its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crossing<'a> {
    /// The group, unless it is everybody.
    pub(super) group: Option<&'a Group>,
    /// Whose evidence was summed.
    pub(super) members: &'a [usize],
    /// The sum.
    pub(super) score: Milli,
}
