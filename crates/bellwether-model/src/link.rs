//! What agents and the hub say to each other.
//!
//! The agent dials; after that either side speaks when it has something to say. Each message is one
//! frame (crate `bellwether-link`). A side knows the versions that it speaks; both go by the highest
//! that they share, and new fields are optional, so that a version and the one before it understand
//! each other both ways.
//!
//! Observations are delivered at least once: a [`Delivery`] has a number, is kept on the agent's disk
//! until the hub has said that it has it ([`ToAgent::Kept`]), and is passed over by a hub that has its
//! number already. Deliveries of an agent are in order, and so are those of each check.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::harvest::Harvest;
use crate::job::{CheckAsk, Job};
use crate::{Baseline, CheckId, VantageId};

/// The version of what is said that this program speaks best.
pub const VERSION: u32 = 1;

/// The oldest version that it still speaks.
pub const VERSION_MIN: u32 = 1;

/// Longest frame, bytes.
pub const FRAME_LEN_MAX: usize = 1024 * 1024;

/// Longest delivery once it is unpacked, bytes; that of a trace of the largest target, with room.
pub const DELIVERY_LEN_MAX: usize = 16 * 1024 * 1024;

/// What an agent says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToHub {
    /// The first word of somebody without a certificate: makes him an agent.
    Enrol {
        /// The versions that he speaks, oldest and newest.
        versions: (u32, u32),
        /// The secret part of the enrolment token.
        token: String,
        /// PKCS #10 request for the key that he made, DER in base64.
        request: String,
    },
    /// The first word of an agent.
    Hello(Hello),
    /// A part of a delivery. Parts of one follow each other, and nothing else stands between them.
    Deliver {
        /// The delivery's number: gapless from 1 for each enrolment, over all starts.
        number: u64,
        /// Which part, from 0.
        part: u32,
        /// How many there are.
        parts: u32,
        /// The part: of the JSON of a [`Delivery`], compressed by Zstandard, in base64.
        bytes: String,
    },
    /// How the agent is. Said every few seconds; not kept.
    State(AgentState),
    /// A certificate for a new key is wanted, before the one in use ends.
    Renew {
        /// PKCS #10 request, DER in base64.
        request: String,
    },
    /// The plan of this generation is what the agent goes by now.
    Planned {
        /// Its generation.
        generation: u64,
    },
    /// That plan cannot be gone by; the one before stays in force.
    Unplanned {
        /// Its generation.
        generation: u64,
        /// Why, in words.
        why: String,
    },
    /// The answer to [`ToAgent::Time`].
    Time {
        /// The hub's time, as it came.
        asked: Timestamp,
        /// The agent's own time then.
        at: Timestamp,
    },
}

/// Who comes, and how far he is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The versions that he speaks, oldest and newest.
    pub versions: (u32, u32),
    /// The version of his program.
    pub program: String,
    /// Which start of him this is: grows from one to the next.
    pub boot: u64,
    /// When that was, by his clock.
    pub started: Timestamp,
    /// His time now.
    pub at: Timestamp,
    /// The generation of the plan that he goes by; 0 if he has none.
    #[serde(default)]
    pub generation: u64,
    /// The number of the newest delivery that he ever made; 0 if there was none.
    #[serde(default)]
    pub newest: u64,
}

/// What an agent brings at once: all of it is kept, or nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Which start of the agent made it.
    pub boot: u64,
    /// When it was made, by the agent's clock.
    pub at: Timestamp,
    /// By how much the hub's clock was ahead of the agent's when that was last measured, milliseconds;
    /// `None` where it was never measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_ms: Option<i64>,
    /// What was harvested, in order.
    pub harvest: Vec<Harvest>,
    /// What was left out before this for want of room: ours, and never the targets'.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thinned: Vec<Thinned>,
}

/// Runs of a check that were left out, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinned {
    /// The check.
    pub check: CheckId,
    /// When the first of them was due.
    pub from: Timestamp,
    /// When the last of them was.
    pub to: Timestamp,
    /// Runs by outcome: ok, wrong, failed, not run.
    pub runs: [u64; 4],
    /// Traces.
    #[serde(default, skip_serializing_if = "is_none")]
    pub traces: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands on a reference"
)]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// How an agent is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentState {
    /// The agent's time.
    pub at: Timestamp,
    /// Deliveries that wait on its disk.
    pub spooled: u64,
    /// Their size, bytes.
    pub spooled_bytes: u64,
    /// When the oldest of them was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// Rows that were thinned into counts since it started.
    #[serde(default)]
    pub thinned: u64,
    /// Why nothing can be spooled, where nothing can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Checks that it runs.
    #[serde(default)]
    pub checks: u64,
    /// Rows made since it started, by outcome: ok, wrong, failed, not run.
    #[serde(default)]
    pub runs: [u64; 4],
    /// When the newest of them was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Timestamp>,
    /// The 99th percentile of how late runs began in the last minute, microseconds.
    #[serde(default)]
    pub late_p99_us: u64,
    /// Workers that were replaced since it started.
    #[serde(default)]
    pub workers_replaced: u64,
}

/// What the hub says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToAgent {
    /// The answer to [`ToHub::Enrol`]: the link ends after it, and begins anew with the certificate.
    Enrolled {
        /// Where the agent stands from now on.
        vantage: VantageId,
        /// Its id: the vantage and which enrolment, `fra/1f0c…`.
        agent: Arc<str>,
        /// The certificate, and those above it, DER in base64.
        chain: Vec<String>,
    },
    /// The answer to [`ToHub::Hello`].
    Welcome {
        /// The version that both go by from now on.
        version: u32,
        /// The version of the hub's program.
        program: String,
        /// The hub's time.
        at: Timestamp,
        /// The agent's id.
        agent: Arc<str>,
        /// Where it stands.
        vantage: VantageId,
        /// The number of the newest delivery that the hub has; 0 if it has none.
        kept: u64,
        /// Which start of the agent made that one. Not said by hubs of 0.1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot: Option<u64>,
    },
    /// Nothing comes of it, and the link ends. Why, is told to those who are known.
    Refused {
        /// What kind.
        code: Refusal,
        /// In words.
        why: String,
    },
    /// Every delivery up to this number is durable at the hub.
    Kept {
        /// The number.
        number: u64,
    },
    /// No delivery is taken for so long: what was sent and is not said to be kept comes again then, from
    /// the first on. What is on its way behind the one that was put off is not taken, or its number
    /// would say that the hub has that one too.
    Later {
        /// How long, milliseconds.
        wait_ms: u64,
        /// Why, in words.
        why: String,
    },
    /// A plan begins: its parts follow.
    Plan(PlanHead),
    /// Checks of the plan that was begun.
    PlanPart {
        /// Its generation.
        generation: u64,
        /// The checks.
        checks: Vec<LinkCheck>,
    },
    /// The plan is whole, and is gone by.
    PlanEnd {
        /// Its generation.
        generation: u64,
        /// How many checks it has.
        checks: u64,
    },
    /// Something is wanted of a check now.
    Ask(Asked),
    /// The answer to [`ToHub::Renew`].
    Renewed {
        /// The certificate, and those above it, DER in base64.
        chain: Vec<String>,
    },
    /// What time is it there? Also shows that the hub is alive.
    Time {
        /// The hub's time.
        at: Timestamp,
        /// By how much the hub's clock is ahead of the agent's, milliseconds, as last measured.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset_ms: Option<i64>,
        /// The answer from which that follows: what `at` was in the question. Not said by hubs of 0.1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<Timestamp>,
    },
}

/// Why a link is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Whoever it is may not. Nothing more is said: not whether a token was used before, had ended, or
    /// never was.
    Denied,
    /// There is no version that both speak.
    Version,
    /// What was said is not what is said at this place.
    Protocol,
    /// The vantage is no longer in the configuration.
    Unconfigured,
    /// Another agent with the same key is linked now.
    Superseded,
    /// The hub ends, or has too many links.
    Busy,
}

/// What comes before the checks of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanHead {
    /// Which configuration it was made of; grows.
    pub generation: u64,
    /// What is common to all checks. Its target and expectations are placeholders.
    pub common: Box<Job>,
    /// Are the resolvers that the agent's own system is configured with asked too? They stand at this
    /// place among those of `common`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_resolvers_at: Option<u32>,
    /// Runs and traces under way at once, at most.
    pub at_once: u64,
}

/// A check of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkCheck {
    /// Its id.
    pub id: CheckId,
    /// What it asks.
    pub ask: Arc<CheckAsk>,
    /// How often.
    pub every: Duration,
    /// How often a trace, though nothing fails.
    pub deep_every: Duration,
    /// What was last known good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Arc<Baseline>>,
}

/// What is wanted of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "want", rename_all = "snake_case")]
pub enum Asked {
    /// A trace, as soon as there is a place.
    Trace {
        /// The check.
        check: CheckId,
    },
    /// Traces at this pace, milliseconds, while an incident of it is open; the usual one if left out.
    Follow {
        /// The check.
        check: CheckId,
        /// The pace.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every_ms: Option<u64>,
    },
    /// A run at once: another vantage sees it fail.
    Confirm {
        /// The check.
        check: CheckId,
    },
    /// What is known good of it from now on; nothing if left out.
    Baseline {
        /// The check.
        check: CheckId,
        /// The baseline.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        baseline: Option<Arc<Baseline>>,
    },
}

impl Asked {
    /// The check that it is about.
    #[must_use]
    pub fn check(&self) -> &CheckId {
        match self {
            Self::Trace { check }
            | Self::Follow { check, .. }
            | Self::Confirm { check }
            | Self::Baseline { check, .. } => check,
        }
    }
}
