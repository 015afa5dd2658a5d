//! Does anything come from a vantage, and in time?

use std::time::Duration;

use bellwether_model::{Cause, VantageId};
use jiff::Timestamp;

use super::{Change, Known, Paces, amiss, is_older, mended, of};

/// How an agent elsewhere is linked, and what it says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    /// Is it linked now?
    pub is_linked: bool,
    /// Since when it is, or is not.
    pub since: Option<Timestamp>,
    /// When anything was last heard from it.
    pub heard: Option<Timestamp>,
    /// Which start of it this is.
    pub boot: u64,
    /// By how much the hub's clock is ahead of its, milliseconds.
    pub offset_ms: Option<i64>,
    /// Deliveries that wait on its disk.
    pub spooled: u64,
    /// How long the oldest of them has waited.
    pub waits: Option<Duration>,
    /// Why nothing can be spooled, where nothing can.
    pub trouble: Option<String>,
}

/// However short the intervals, an agent may be gone for so long: a link that breaks is made anew within
/// seconds.
const GONE_MIN: Duration = Duration::from_secs(10);
/// Results may be under way for so long, besides two intervals.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// An agent that is linked says something every few seconds; after so long the link is as good as gone.
const SILENT_MAX: Duration = Duration::from_secs(20);
/// After a start of the hub agents have so long to come back.
const COME_BACK: Duration = Duration::from_secs(60);
/// Results that are so much later than two intervals are late.
const LAG_MIN: Duration = Duration::from_secs(30);
/// A clock that is so far off makes certificates and signatures look wrong. Half of it is well again.
pub(super) const OFFSET_MAX_MS: u64 = 60_000;
/// How long it must be off: each agent's is measured every ten seconds, and if it was the hub's that was
/// set, all of them show that by then.
const CLOCK_SETTLES: Duration = Duration::from_secs(25);

/// What is remembered of a vantage's agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Linked {
    /// Was anything ever heard from there?
    pub came: bool,
    /// When a result last came in time.
    pub said: Option<Timestamp>,
    /// Which start of it was seen last.
    pub boot: u64,
    /// When it went out of hearing.
    pub gone: Option<Timestamp>,
    /// Since when it is linked: as the link has it, and by the clock that the hub has now.
    pub here: Option<(Option<Timestamp>, Timestamp)>,
    /// By how much its clock was last found off that of the hub, and of most others.
    pub offset_ms: Option<i64>,
    /// Since when that is too much.
    pub off: Option<Timestamp>,
    /// What came lately, and too late to judge anything.
    pub late: Late,
}

/// Results that come in a row, and are history.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Late {
    /// How many.
    count: u32,
    /// How old the oldest of them is.
    age: Duration,
    /// When the last one came.
    at: Option<Timestamp>,
}

/// So many results that come too late are no accident.
const LATE_MIN: u32 = 3;
/// And when none came for so long, those that waited are all there.
const LATE_OVER: Duration = Duration::from_secs(5);

impl Late {
    /// A result came that began so long ago.
    pub(super) fn came(&mut self, age: Duration, now: Timestamp) {
        if !self.lasts(now) {
            *self = Self::default();
        }
        self.count = self.count.saturating_add(1);
        (self.age, self.at) = (self.age.max(age), Some(now));
    }

    fn lasts(&self, now: Timestamp) -> bool {
        self.at.is_some_and(|at| !is_older(at, LATE_OVER, now))
    }

    /// How old what comes is, where that is too old.
    fn age(&self, now: Timestamp) -> Option<Duration> {
        (self.count >= LATE_MIN && self.lasts(now)).then_some(self.age)
    }
}

impl Linked {
    /// Is its clock not right?
    pub(super) fn is_clock_off(&self) -> bool {
        self.offset_ms
            .is_some_and(|offset| offset.unsigned_abs() > OFFSET_MAX_MS / 2)
    }

    pub(super) fn clock_moved(&mut self, now: Timestamp) {
        self.said = self.said.map(|at| at.min(now));
        self.gone = self.gone.map(|at| at.min(now));
        self.here = self.here.map(|(link, at)| (link, at.min(now)));
        // What was measured is of the clock before.
        (self.off, self.offset_ms) = (None, None);
        self.late = Late::default();
    }
}

/// What each vantage is looked at by.
pub(super) struct Sight {
    pub(super) paces: Paces,
    pub(super) is_local: bool,
    /// By how much the hub's clock is ahead of those of most agents, where it is that.
    pub(super) hub_ahead_ms: i64,
    /// Is there one agent only whose clock was measured?
    pub(super) is_only: bool,
    pub(super) now: Timestamp,
}

/// Looks at one vantage.
pub(super) fn look(
    known: &mut Known,
    id: &VantageId,
    link: Option<Link>,
    sight: &Sight,
    changes: &mut Vec<Change>,
) {
    let (now, every) = (sight.now, sight.paces.shortest);
    let said = known.link.said.max(Some(known.from)).unwrap_or(known.from);
    let hung_after = sight.paces.middle * 2 + UNDER_WAY;
    if sight.is_local {
        let is_hung = is_older(said, hung_after, now);
        hung(known, id, is_hung.then_some(said), changes);
        return;
    }
    let link = link.unwrap_or_default();
    let heard = link.heard.filter(|_| link.is_linked);
    let is_here = heard.is_some_and(|heard| !is_older(heard, SILENT_MAX, now));
    known.link.came |= is_here;
    if !is_here {
        (known.link.here, known.link.off) = (None, None);
        let gone = *known.link.gone.get_or_insert(now);
        let since = said.min(gone);
        let is_gone = known.link.came
            && is_older(said, every * 2, now)
            && is_older(gone, GONE_MIN, now)
            && (link.heard.is_some() || is_older(known.from, COME_BACK, now));
        if is_gone {
            offline(known, id, since, changes);
        }
        return;
    }
    known.link.gone = None;
    back(known, id, &link, changes);
    known.link.boot = link.boot;
    let lags = late(known, id, &link, every, now, changes);
    if known.link.here.is_none_or(|(here, _)| here != link.since) {
        known.link.here = Some((link.since, link.since.unwrap_or(now).min(now)));
    }
    let since = known.link.here.map_or(said, |(_, here)| said.max(here));
    let is_hung = !lags && is_older(since, hung_after, now);
    hung(known, id, is_hung.then_some(said), changes);
    known.link.offset_ms = link
        .offset_ms
        .map(|ms| ms.saturating_sub(sight.hub_ahead_ms));
    clock(known, id, sight, changes);
}

fn offline(known: &mut Known, id: &VantageId, since: Timestamp, changes: &mut Vec<Change>) {
    let gone = "its agent is not linked any more";
    mended(known, id, Cause::MonitorProbeHung, gone, changes);
    mended(known, id, Cause::MonitorPipelineLag, gone, changes);
    let summary = format!(
        "nothing comes from {id}: its agent is not linked, by its own end or by that of its network"
    );
    let remedy = format!(
        "Look whether the machine at {id} runs, whether `bellwether agent run` does there, and whether it reaches this hub"
    );
    amiss(
        known,
        id,
        Cause::MonitorVantageOffline,
        (since, summary, remedy),
        changes,
    );
}

/// It is linked again. The same start of it was cut off: its own access was bad.
fn back(known: &mut Known, id: &VantageId, link: &Link, changes: &mut Vec<Change>) {
    let (offline, uplink) = (Cause::MonitorVantageOffline, Cause::MonitorVantageUplink);
    let is_same_start = known.link.boot != 0 && known.link.boot == link.boot;
    if !is_same_start {
        let words = "its agent was started anew, and is linked";
        mended(known, id, offline, words, changes);
        return;
    }
    if known.troubles.contains_key(&uplink) {
        // That its access is bad is told already, and goes on by what else says so.
        let words = "its agent is linked again; that its own access is bad is told already";
        mended(known, id, offline, words, changes);
        return;
    }
    let Some(trouble) = known.troubles.remove(&offline) else {
        return;
    };
    let summary = format!(
        "{id} was cut off: its agent ran on, and its network did not reach this hub; what it saw meanwhile comes late"
    );
    let remedy = format!("Look at the network of the machine that stands at {id}");
    changes.push(Change::Rejudged {
        was: offline,
        amiss: of(id, uplink, (trouble.since, summary, remedy)),
    });
    changes.push(Change::Mended {
        vantage: id.clone(),
        cause: uplink,
        words: "its agent is linked again".to_owned(),
    });
}

/// Do results come late?
fn late(
    known: &mut Known,
    id: &VantageId,
    link: &Link,
    every: Duration,
    now: Timestamp,
    changes: &mut Vec<Change>,
) -> bool {
    let lag = Cause::MonitorPipelineLag;
    let waits = link.waits.unwrap_or_default();
    let limit = (every * 2).max(LAG_MIN);
    let stands = known.troubles.contains_key(&lag);
    // Once late, it is in time again when nothing waits that should have come.
    let lags = waits > limit || stands && link.spooled > 1 && waits > limit / 4;
    if let Some(trouble) = &link.trouble {
        let summary = format!(
            "the agent at {id} cannot keep what it sees ({}): what it cannot deliver at once is lost",
            bellwether_model::text::inert(trouble, 200)
        );
        let remedy = format!("Give the agent at {id} room on its disk");
        amiss(known, id, lag, (now, summary, remedy), changes);
        return true;
    }
    // By a clock that is wrong everything looks old.
    let is_timed = link.offset_ms.unwrap_or(0).unsigned_abs() <= OFFSET_MAX_MS;
    let arrives = known.link.late.age(now).filter(|_| is_timed && !lags);
    if let Some(age) = arrives {
        let since = now.checked_sub(age).unwrap_or(now);
        let summary = format!(
            "what {id} saw comes late, up to {} s after it was seen; it goes to the history and judges nothing",
            age.as_secs()
        );
        let remedy = format!(
            "Nothing, if {id} was cut off: what waited there is taken in. Else look at the link from {id}"
        );
        amiss(known, id, lag, (since, summary, remedy), changes);
        return true;
    }
    if lags {
        let since = now.checked_sub(waits).unwrap_or(now);
        let summary = format!(
            "what {id} sees comes late: {} deliveries wait at its agent, the oldest for {} s; they go to the history and judge nothing",
            link.spooled,
            waits.as_secs()
        );
        let remedy = format!(
            "Nothing, while it grows less. Else look at the link from {id}, and whether the store of this hub takes what comes"
        );
        amiss(known, id, lag, (since, summary, remedy), changes);
    } else {
        mended(
            known,
            id,
            lag,
            "all that waited there was taken in",
            changes,
        );
    }
    lags
}

/// Does nothing run there, though somebody is there?
fn hung(known: &mut Known, id: &VantageId, since: Option<Timestamp>, changes: &mut Vec<Change>) {
    let cause = Cause::MonitorProbeHung;
    let Some(since) = since else {
        // That nothing is late yet, after a start of the hub, is no result.
        if known.link.said.is_some() {
            mended(known, id, cause, "runs end there again", changes);
        }
        return;
    };
    let summary = format!(
        "the agent at {id} is there, and no run of it ends: its workers hang, or nobody runs them"
    );
    let remedy = match id.as_str() == VantageId::LOCAL {
        true => {
            "Look at the log of `bellwether serve`, and at the load of the hub's machine".to_owned()
        }
        false => format!(
            "Look at the log of `bellwether agent run` at {id}, and at the load of that machine"
        ),
    };
    amiss(known, id, cause, (since, summary, remedy), changes);
}

/// Is its clock right?
fn clock(known: &mut Known, id: &VantageId, sight: &Sight, changes: &mut Vec<Change>) {
    let Some(offset) = known.link.offset_ms else {
        return;
    };
    // What its traces say of the clock stands until they say otherwise.
    let by_votes = known.votes.stands() == Some(Cause::MonitorClockSkew);
    if offset.unsigned_abs() > OFFSET_MAX_MS {
        let off = *known.link.off.get_or_insert(sight.now);
        if is_older(off, CLOCK_SETTLES, sight.now) {
            let words = clock_words(id, offset, sight.is_only);
            let (summary, remedy) = words;
            let words = (off, summary, remedy);
            amiss(known, id, Cause::MonitorClockSkew, words, changes);
        }
        return;
    }
    known.link.off = None;
    if !known.link.is_clock_off() && !by_votes {
        let words = "its clock is right again";
        mended(known, id, Cause::MonitorClockSkew, words, changes);
    }
}

/// The sentence, and what to do.
fn clock_words(id: &VantageId, offset_ms: i64, is_only: bool) -> (String, String) {
    let (seconds, way) = (
        offset_ms.unsigned_abs() / 1_000,
        if offset_ms > 0 { "behind" } else { "ahead of" },
    );
    if is_only {
        return (
            format!(
                "the clock at {id} is {seconds} s {way} this hub's, and it is the only agent to compare with: either may be the wrong one; what {id} says is not believed"
            ),
            format!(
                "Look at the clock of this machine first, then at that of {id}, and set the wrong one (NTP)"
            ),
        );
    }
    (
        format!(
            "the clock at {id} is {seconds} s {way} this hub's: what it says of certificates and signatures is not believed"
        ),
        format!("Set the clock of the machine at {id} (NTP)"),
    )
}
