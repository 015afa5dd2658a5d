//! Broken or not: one check's evidence over its vantages, from suspicion to all clear.

use serde::{Deserialize, Serialize};

use super::canary::Excuse;
use super::cusum::{self, Crossing, FAILING, Milli, NAT};
use super::heard::{Group, VantageMeta};
use super::learned::Learned;
use super::signal::{Alarm, Channel, Signal};
use super::{MINUTE, Micros, Now, SECOND, Watch, stamp};

/// Visits of a burst: enough for the threshold of any fleet, and few enough to be cheap.
const BURST: usize = 5;

/// While a burst may still be on its way no second one is asked for: five visits two seconds apart.
const BURST_TAKES: Micros = 10 * SECOND;

/// A failure that says less than this is the vantage's own, and is not worth a burst.
const BURST_WORTH: Milli = NAT;

/// Above this more than one failure stands, and one success does not settle it. Measured: without
/// asking on, a 30 % grey failure takes 52/123 s and one region 36/56 s. At 4 there is no end of it:
/// 13 % more visits, and nothing found sooner.
const FOLLOW_UP: Milli = 6 * NAT;

/// Above this a fresh failure stands, and is asked about so often more: a second failure of a grey one
/// comes within a burst's first visit with 30 %, within four with 76 %. More say no more (measured: 4).
const FOLLOW_UP_LONE: Milli = 4 * NAT;
const FOLLOW_UPS: u8 = 3;

/// While all results together say this much, a second failure came among the last ten or so: asked on,
/// because these visits decide between chance and a grey failure faster than the schedule.
const FOLLOW_UP_POOLED: Milli = 4 * NAT + NAT / 2;

/// That ends after so many, a minute's worth: where nearly every vantage has trouble of its own nothing
/// takes away what all together say.
const FOLLOW_UPS_POOLED: u8 = 30;

/// The share of failures that all results together are held against.
const GREY: f64 = 0.3;

/// A vantage whose normal is this near to it says nothing of it.
const GREY_MARGIN: f64 = 0.05;

/// What all results together have to say. Measured on N1, false alarms in 1,000 days: 16 without
/// it, 1.7 at 11, 1.1 at 12, 0.6 at 12.5; each nat takes a 30 % grey failure 1.5 s longer.
const POOLED_MIN: Milli = 12 * NAT;

/// What all results together have to say where no sum of vantages reaches its threshold, and how many
/// vantages must have had a failure lately. Measured: a 30 % grey failure is found two seconds sooner.
const POOLED_ALONE: Milli = 15 * NAT;
const GREY_VANTAGES: usize = 3;

/// Four vantages that are over it are as good as twelve.
const POOLED_MAX: Milli = 30 * NAT;

/// What lasted less is over before anybody could do something: a deployment of five seconds. Four
/// visits two seconds apart take six, so that nothing is found later for it.
const DURATION_MIN: Micros = 5 * SECOND;

/// An end is told when it has held this long, at least two intervals.
const HOLD_MIN: Micros = MINUTE;

/// The same in intervals, where those are short: ten results in a row say as much after ten seconds.
const HOLD_INTERVALS: Micros = 10;

/// A vantage that was not heard from for this many intervals no longer holds up an end.
const ABANDONED: Micros = 10;

/// Failures that the vantage's own trouble explains are not learned as the check's.
const TROUBLED: f64 = 0.1;

/// Above this share of failing canaries the vantage is not well.
const UNWELL: f64 = 0.2;

/// What one vantage cannot tell.
const CAVEAT_ONE: &str = "one vantage cannot separate itself from the target";

/// What a few vantages cannot tell.
const CAVEAT_FEW: &str = "fewer than six vantages cannot tell one region from all";

/// Evidence against one check at one vantage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    /// The sum.
    pub(super) sum: Milli,
    /// The first failing run since it was nil.
    since: Micros,
    /// What is normal.
    learned: Learned,
}

/// An alarm that was not cleared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Open {
    /// The group, unless it is everybody.
    group: Option<Group>,
    /// When it was raised.
    pub(super) alarmed: Micros,
    /// The first success after the last failure.
    healed: Option<Micros>,
    /// Since when the evidence is gone, where it is.
    up: Option<Micros>,
    /// Since when it has been quiet after that.
    quiet: Micros,
}

impl Open {
    pub(super) fn clock_set_back(&mut self, now: Micros) {
        self.alarmed = self.alarmed.min(now);
        self.healed = self.healed.map(|at| at.min(now));
        self.up = self.up.map(|at| at.min(now));
        self.quiet = self.quiet.min(now);
    }
}

impl Cell {
    pub(super) fn clock_set_back(&mut self, now: Micros) {
        self.since = self.since.min(now);
        self.learned.clock_set_back(now);
    }

    pub(super) fn mute(&mut self) {
        self.sum = 0;
        self.learned.forget_pending();
    }

    fn hear(&mut self, bad: bool, at: Micros, excuse: Excuse, most: Milli, open: bool) -> Milli {
        let normal = self.learned.share();
        let q0 = excuse.failing.clamp(normal, 0.97);
        let evidence = cusum::evidence(q0, bad);
        if self.sum == 0 && bad {
            self.since = at;
        }
        self.sum = cusum::add(self.sum, evidence, most);
        if !open && excuse.failing < TROUBLED {
            self.learned.hear(bad, self.sum > 0, at);
        }
        evidence
    }
}

impl Watch {
    /// Takes in whether a user was served.
    pub(super) fn failing(
        &mut self,
        step: Now,
        bad: bool,
        last: impl Fn(usize) -> Micros + Copy,
        vantages: &[VantageMeta],
        signals: &mut Vec<Signal>,
    ) {
        if self.state.first_heard == 0 {
            self.state.first_heard = step.now;
        }
        let open = self.state.open.is_some();
        if !bad && !open && !step.confirms && self.places[step.vantage].cell.sum == 0 {
            // Nearly all results: nothing is suspected, and nothing can change.
            self.places[step.vantage]
                .cell
                .learned
                .hear(false, false, step.at);
            self.pool(step, false);
            return;
        }
        let live = self.plan.live(&self.state, step.now, last);
        let most = self.plan.failing[live].clamp;
        let evidence = self.places[step.vantage]
            .cell
            .hear(bad, step.at, step.excuse, most, open);
        self.pool(step, bad);
        if open {
            self.healing(step, bad, live, last, vantages, signals);
            return;
        }
        if !bad {
            if step.confirms {
                self.state.burst_until = step.now;
                signals.extend(self.follow_up(step, live, last, vantages));
            }
            return;
        }
        if let Some(alarm) = self.crossing(step, live, last, vantages) {
            self.raise(step, &alarm);
            signals.push(Signal::Alarm(alarm));
            signals.extend(self.told(step.now));
        } else if !step.confirms && evidence >= BURST_WORTH && step.now >= self.state.burst_until {
            self.state.asked = 0;
            signals.push(self.suspect(step.vantage, step.now, last, vantages));
        }
    }

    fn suspect(
        &mut self,
        place: usize,
        now: Micros,
        last: impl Fn(usize) -> Micros + Copy,
        vantages: &[VantageMeta],
    ) -> Signal {
        self.state.burst_until = now + BURST_TAKES;
        Signal::Suspect {
            check: self.id.clone(),
            since: stamp(self.places[place].cell.since),
            vantages: self.burst(place, last, vantages),
        }
    }

    /// A burst ended with a success, and yet more than one failure stands: ask on, from where the
    /// evidence is strongest. It ends because each place is asked in turn, and a success takes back
    /// what stands there.
    fn follow_up(
        &mut self,
        step: Now,
        live: usize,
        last: impl Fn(usize) -> Micros + Copy,
        vantages: &[VantageMeta],
    ) -> Option<Signal> {
        let plan = &self.plan;
        let sum = |v: usize| {
            if plan.is_fresh(last(v), step.now) {
                self.places[v].cell.sum
            } else {
                0
            }
        };
        let members = plan.fleet.members.iter().copied();
        let strongest = members.max_by_key(|&v| (sum(v), std::cmp::Reverse(v)))?;
        let total = plan.fleet.total(&plan.failing[live], sum);
        let asked = self.state.asked;
        let lone = total >= FOLLOW_UP_LONE && asked < FOLLOW_UPS;
        let grey = self.state.pooled >= FOLLOW_UP_POOLED && asked < FOLLOW_UPS_POOLED;
        if total < FOLLOW_UP && !lone && !grey {
            return None;
        }
        self.state.asked = self.state.asked.saturating_add(1);
        Some(self.suspect(strongest, step.now, last, vantages))
    }

    /// Adds a result to what all together say against a grey failure. Successes count here wherever
    /// they are, while a vantage's own sum never falls below nil; so a coincidence among many visits
    /// stays one.
    fn pool(&mut self, step: Now, bad: bool) {
        let normal = self.places[step.vantage].cell.learned.share();
        let q0 = step.excuse.failing.clamp(normal, 0.97);
        if q0 + GREY_MARGIN < GREY {
            let evidence = cusum::milli(cusum::likelihood(q0, GREY, bad));
            self.state.pooled = cusum::add(self.state.pooled, evidence, POOLED_MAX);
        }
    }

    fn raise(&mut self, step: Now, alarm: &Alarm) {
        for place in &mut self.places {
            place.cell.learned.forget_pending();
        }
        self.state.flap.made().down(step.now);
        self.state.open = Some(Box::new(Open {
            group: match &alarm.channel {
                Channel::Global => None,
                Channel::Group(group) => Some(group.clone()),
            },
            alarmed: step.now,
            healed: None,
            up: None,
            quiet: step.now,
        }));
    }

    /// The alarm, if the evidence crosses its threshold.
    fn crossing(
        &self,
        step: Now,
        live: usize,
        last: impl Fn(usize) -> Micros + Copy,
        vantages: &[VantageMeta],
    ) -> Option<Alarm> {
        let plan = &self.plan;
        // What is no longer heard from is no evidence of now.
        let sum = |v: usize| {
            if plan.is_fresh(last(v), step.now) {
                self.places[v].cell.sum
            } else {
                0
            }
        };
        let crossing = plan
            .fleet
            .crossing(&plan.failing[live], sum)
            .or_else(|| self.grey(sum))?;
        let holders = crossing
            .members
            .iter()
            .copied()
            .filter(|&v| sum(v) >= FAILING);
        let onset = holders
            .clone()
            .map(|v| self.places[v].cell.since)
            .min()
            .unwrap_or(step.at);
        let doubtful = self.state.pooled < POOLED_MIN || step.at - onset < DURATION_MIN;
        if live > 1 && self.state.open.is_none() && doubtful {
            return None;
        }
        let well = step.excuse.known && step.excuse.failing < UNWELL;
        Some(Alarm {
            check: self.id.clone(),
            onset: stamp(onset),
            channel: crossing
                .group
                .cloned()
                .map_or(Channel::Global, Channel::Group),
            vantages: holders.map(|v| vantages[v].id.clone()).collect(),
            score: f64::from(crossing.score) / f64::from(NAT),
            caveat: match live {
                0 | 1 => (!well).then_some(CAVEAT_ONE),
                2..=5 => Some(CAVEAT_FEW),
                _ => None,
            },
        })
    }

    /// What fails a little everywhere: all results together say so, and no region by itself explains
    /// it. The capped sums find it later, because each success takes back what a vantage holds.
    fn grey(&self, sum: impl Fn(usize) -> Milli) -> Option<Crossing<'_>> {
        let fleet = &self.plan.fleet;
        if self.state.pooled < POOLED_ALONE {
            return None;
        }
        let fail = |held: &Vec<usize>| held.iter().filter(|&&v| sum(v) >= FAILING).count();
        let fails = fleet.regions().iter().map(fail);
        let (all, most) = fails.fold((0, 0), |(all, most), n| (all + n, n.max(most)));
        // An open alarm widens by more than a single loss elsewhere.
        let elsewhere = if self.state.open.is_some() { 2 } else { 1 };
        (all >= GREY_VANTAGES && all >= most + elsewhere).then_some(Crossing {
            group: None,
            members: &fleet.members,
            score: self.state.pooled,
        })
    }

    /// Follows an open alarm: does it widen, end, come back?
    fn healing(
        &mut self,
        step: Now,
        bad: bool,
        live: usize,
        last: impl Fn(usize) -> Micros + Copy,
        vantages: &[VantageMeta],
        signals: &mut Vec<Signal>,
    ) {
        let crossing = if bad {
            self.crossing(step, live, last, vantages)
        } else {
            None
        };
        let abandoned = step.now - ABANDONED * self.plan.every - LATE_MIN;
        let held = |&&v: &&usize| last(v) >= abandoned;
        let members = self.plan.fleet.members.iter();
        let sum: Milli = members.filter(held).map(|&v| self.places[v].cell.sum).sum();
        let every = self.plan.every;
        let hold = HOLD_MIN.min(HOLD_INTERVALS * every).max(2 * every);
        let state = &mut self.state;
        let Some(open) = &mut state.open else { return };
        if bad {
            open.healed = None;
        } else {
            open.healed.get_or_insert(step.at);
        }
        if sum >= FAILING {
            open.quiet = step.now;
        }
        if let Some(alarm) = crossing {
            if open.up.take().is_some() {
                state.flap.made().down(step.now);
            }
            if open.group.is_some() && alarm.channel == Channel::Global {
                open.group = None;
                signals.push(Signal::Widened(alarm));
            }
        } else if open.up.is_none() && sum < FAILING && !bad {
            open.up = Some(step.now);
            open.quiet = step.now;
            state.flap.made().up(step.now);
        }
        let over = open.up.is_some() && !bad && step.now - open.quiet >= hold;
        if over && !state.flap.made().holds(step.now) {
            let at = stamp(open.healed.unwrap_or(step.at));
            state.open = None;
            signals.push(Signal::Clear {
                check: self.id.clone(),
                at,
            });
            return;
        }
        signals.extend(self.told(step.now));
    }

    fn told(&mut self, now: Micros) -> Option<Signal> {
        let flapping = self.state.flap.known_mut()?.tell(now)?;
        Some(Signal::Flapping {
            check: self.id.clone(),
            flapping,
        })
    }

    /// Where to ask again: in turn a neighbour and those elsewhere, the longest unheard first, then
    /// the place itself.
    fn burst(
        &self,
        own: usize,
        last: impl Fn(usize) -> Micros + Copy,
        vantages: &[VantageMeta],
    ) -> Vec<bellwether_model::VantageId> {
        let fleet = &self.plan.fleet;
        let mut turns: Vec<(usize, Micros, usize)> = Vec::new();
        for region in fleet.regions() {
            let mut held: Vec<usize> = region.iter().copied().filter(|&v| v != own).collect();
            held.sort_by_key(|&v| (last(v), v));
            let near = region.contains(&own);
            turns.extend(held.into_iter().enumerate().map(|(turn, v)| {
                // The neighbour goes first in each turn.
                (turn * 2 + usize::from(!near), last(v), v)
            }));
        }
        turns.sort_unstable();
        let mut order: Vec<usize> = turns.into_iter().map(|(_, _, v)| v).collect();
        order.push(own);
        order
            .iter()
            .cycle()
            .take(BURST)
            .map(|&v| vantages[v].id.clone())
            .collect()
    }

    /// Is there evidence against it there, or an alarm?
    pub(super) fn is_suspicious(&self, vantage: usize) -> bool {
        self.state.open.is_some()
            || self.places[vantage].cell.sum > 0
            || self.places[vantage]
                .pace
                .as_ref()
                .is_some_and(|pace| pace.is_suspicious())
    }
}

/// However short the interval, a vantage that was heard from this recently holds up an end.
const LATE_MIN: Micros = 10 * MINUTE;
