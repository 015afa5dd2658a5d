//! What is remembered of a job, and how a signal changes it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Runs that may be under way at once, as far as they are told apart: more than any job that is said to
/// be one has.
pub const RUNS_MAX: usize = 8;
/// Longest id of a run that is kept, characters: a UUID has 36.
pub const RID_LEN_MAX: usize = 64;
/// Longest text of a job that is kept, bytes: its end, where errors stand. Enough for a stack trace,
/// and a thousand jobs of it are two megabytes.
pub const LOG_LEN_MAX: usize = 2_048;

/// What a job signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A run begins.
    Start,
    /// A run ended well, or what runs all the time is well.
    Success,
    /// A run failed.
    Fail,
    /// A run ended with this exit status: 0 is well.
    Exit(u8),
    /// It has something to say, and that is all.
    Log,
}

/// A signal as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// When.
    pub at: Timestamp,
    /// What it says.
    pub signal: Signal,
    /// Which run it speaks of, where it says so.
    pub rid: Option<String>,
    /// How long the run took, milliseconds, where it says so.
    pub took_ms: Option<u64>,
    /// What else it says.
    pub log: Option<String>,
}

impl Ping {
    /// A signal that says nothing else.
    #[must_use]
    pub fn new(at: Timestamp, signal: Signal) -> Self {
        Self {
            at,
            signal,
            rid: None,
            took_ms: None,
            log: None,
        }
    }
}

/// A run that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it began.
    pub began: Timestamp,
    /// Its id, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// Did it go well?
    pub ok: bool,
    /// The exit status, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    /// How long the run took, milliseconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// The id of the run, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// What the job said with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// All that is remembered of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Since when it is configured to report at these times.
    pub known_since: Timestamp,
    /// Signals, of all kinds.
    #[serde(default)]
    pub pings: u64,
    /// Ends that were well.
    #[serde(default)]
    pub successes: u64,
    /// The newest signal but those that only say something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ping: Option<Timestamp>,
    /// The newest success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// The newest end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<End>,
    /// The first of the failures that no success followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// Runs that are under way, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// What the job said last, outside of an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl Heard {
    /// Nothing yet, of a job that is configured since then.
    #[must_use]
    pub fn new(known_since: Timestamp) -> Self {
        Self {
            known_since,
            pings: 0,
            successes: 0,
            last_ping: None,
            last_success: None,
            ended: None,
            failing_since: None,
            runs: Vec::new(),
            log: None,
        }
    }

    /// When the oldest run began that has not ended.
    #[must_use]
    pub fn running_since(&self) -> Option<Timestamp> {
        self.runs.iter().map(|run| run.began).min()
    }

    /// Takes in a signal. What is too long of it is cut.
    pub fn ping(&mut self, ping: &Ping) {
        self.pings = self.pings.saturating_add(1);
        let at = ping.at;
        let rid = ping.rid.as_deref().map(|rid| cut(rid, RID_LEN_MAX));
        let log = ping.log.as_deref().map(tail).filter(|log| !log.is_empty());
        match ping.signal {
            Signal::Log => {
                self.log = log.or(self.log.take());
                return;
            }
            Signal::Start => self.begins(at, rid, log),
            Signal::Success => self.ends(at, true, None, (rid, ping.took_ms, log)),
            Signal::Fail => self.ends(at, false, None, (rid, ping.took_ms, log)),
            Signal::Exit(exit) => {
                self.ends(at, exit == 0, Some(exit), (rid, ping.took_ms, log));
            }
        }
        self.last_ping = Some(at);
    }

    fn begins(&mut self, at: Timestamp, rid: Option<String>, log: Option<String>) {
        self.log = log.or(self.log.take());
        // Its end came before its start.
        let is_over = rid.is_some() && self.ended.as_ref().is_some_and(|end| end.rid == rid);
        // One that began before and did not end is held to its own time.
        let is_known = self.runs.iter().any(|run| run.rid == rid);
        if !is_over && !is_known && self.runs.len() < RUNS_MAX {
            self.runs.push(Run { began: at, rid });
        }
    }

    fn ends(
        &mut self,
        at: Timestamp,
        ok: bool,
        exit: Option<u8>,
        (rid, took_ms, log): (Option<String>, Option<u64>, Option<String>),
    ) {
        let its_run = self.runs.iter().find(|run| rid.is_none() || run.rid == rid);
        let began = its_run.or(self.runs.iter().find(|run| run.rid.is_none()));
        let took = began.map(|run| at.duration_since(run.began).as_millis());
        let took_ms = took_ms.or_else(|| u64::try_from(took?).ok());
        match &rid {
            // Whoever does not say which ends all of them; so does one that does not say which it is.
            Some(_) => self.runs.retain(|run| run.rid.is_some() && run.rid != rid),
            None => self.runs.clear(),
        }
        self.failing_since = if ok {
            self.last_success = Some(at);
            self.successes = self.successes.saturating_add(1);
            None
        } else {
            self.failing_since.or(Some(at))
        };
        self.ended = Some(End {
            at,
            ok,
            exit,
            took_ms,
            rid,
            log,
        });
    }

    /// The wall clock was set forward, or the machine slept: what was stamped since then by the old
    /// time is so much older than it was. The time in between does not count.
    pub fn clock_set_forward(&mut self, since: Timestamp, by: SignedDuration) {
        let shift = |at: Timestamp| match at >= since {
            true => at.checked_add(by).unwrap_or(at),
            false => at,
        };
        self.each_time(shift);
    }

    /// The wall clock was set back: what would now be to come counts as of now.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        self.each_time(|at| at.min(now));
    }

    fn each_time(&mut self, change: impl Fn(Timestamp) -> Timestamp) {
        let last = [&mut self.last_ping, &mut self.last_success];
        for at in last.into_iter().chain([&mut self.failing_since]) {
            *at = at.map(&change);
        }
        self.known_since = change(self.known_since);
        if let Some(end) = &mut self.ended {
            end.at = change(end.at);
        }
        for run in &mut self.runs {
            run.began = change(run.began);
        }
    }
}

/// The first so many characters.
fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

/// The end of a text, where errors stand.
fn tail(text: &str) -> String {
    let mut begin = text.len().saturating_sub(LOG_LEN_MAX);
    while !text.is_char_boundary(begin) {
        begin += 1;
    }
    text[begin..].to_owned()
}
