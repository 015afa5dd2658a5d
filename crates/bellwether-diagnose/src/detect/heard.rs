//! What detection is told: the configuration in its own words, and one result at a time.

use std::fmt;
use std::time::Duration;

use bellwether_model::run::{Phases, RunOutcome, Trigger};
use bellwether_model::{CheckId, Run, VantageId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A check, as far as detection needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckMeta {
    /// Its id.
    pub id: CheckId,
    /// How often it runs at each vantage.
    pub every: Duration,
    /// What it depends on, in any stable words: its service, its zone, its address' owner, its CDN.
    /// Checks that share a word are not independent, and never excuse each other.
    pub depends: Vec<String>,
    /// Vantages that run it; none means all.
    pub vantages: Vec<VantageId>,
    /// It exists to tell whether the vantage is well (a root server, an anycast anchor), and is
    /// asked first when another check fails.
    pub canary: bool,
}

/// A vantage, as far as detection needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VantageMeta {
    /// Its name.
    pub id: VantageId,
    /// The region it stands in; a vantage without one is a region of its own.
    pub region: Option<String>,
    /// The autonomous system it stands in.
    pub asn: Option<u32>,
    /// The country it stands in.
    pub country: Option<String>,
}

/// One result of one check at one vantage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The check.
    pub check: CheckId,
    /// Where from.
    pub vantage: VantageId,
    /// When the run began.
    pub at: Timestamp,
    /// What it came to.
    pub kind: HeardKind,
    /// Why it was made.
    pub trigger: Trigger,
}

/// What a result came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeardKind {
    /// A user would have been served.
    Ok {
        /// In how many microseconds; 0 if that was not measured.
        total_us: u64,
        /// How long each step took.
        phases: Phases,
    },
    /// A user would not have been served, or not with what is expected.
    Bad,
    /// The run itself failed. Never evidence, in either direction.
    Unknown,
}

impl Heard {
    /// What a run says.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let kind = match run.outcome {
            RunOutcome::Ok => HeardKind::Ok {
                total_us: run.phases.total(),
                phases: run.phases,
            },
            RunOutcome::Wrong | RunOutcome::Failed => HeardKind::Bad,
            RunOutcome::NotRun => HeardKind::Unknown,
        };
        Self {
            check: run.check.clone(),
            vantage: run.vantage.clone(),
            at: run.began(),
            kind,
            trigger: run.trigger,
        }
    }
}

/// What vantages have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// A region.
    Region(String),
    /// An autonomous system.
    Asn(u32),
    /// A country.
    Country(String),
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(name) => write!(f, "region {name}"),
            Self::Asn(number) => write!(f, "AS{number}"),
            Self::Country(name) => write!(f, "country {name}"),
        }
    }
}
