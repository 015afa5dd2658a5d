//! What became of what agents said, in numbers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bellwether_model::{CheckId, VantageId};
use jiff::Timestamp;

use super::sift::{Sifted, Why};

/// Connections that came to nothing, by what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Turned {
    /// No handshake: no certificate of ours, one that has ended, no TLS 1.3, or too slow.
    Handshake,
    /// Too many at once, half open or in all.
    Crowded,
    /// No first word in time, or one that does not belong there.
    Silent,
    /// A token that is not good.
    Token,
    /// A certificate that is not in force, or not wanted now.
    Certificate,
    /// No version that both speak.
    Version,
}

impl Turned {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Handshake,
        Self::Crowded,
        Self::Silent,
        Self::Token,
        Self::Certificate,
        Self::Version,
    ];

    /// In a word, for metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Crowded => "crowded",
            Self::Silent => "silent",
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Version => "version",
        }
    }
}

/// What became of what one agent said, since the hub started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries kept.
    pub deliveries: u64,
    /// Rows kept.
    pub rows: u64,
    /// Deliveries that were there before.
    pub repeated: u64,
    /// Deliveries that never came: ours.
    pub missing: u64,
    /// Rows that the agent left out for want of room: ours.
    pub thinned: u64,
    /// What was not taken in, by reason, in the order of [`Why::ALL`].
    pub refused: [u64; Why::ALL.len()],
    /// The last check that it brought results of and was never given.
    pub never_given: Option<CheckId>,
    /// Deliveries that were none.
    pub broken: u64,
    /// Links that ended since something was said that does not belong there.
    pub protocol: u64,
    /// When two agents were last seen with the same key.
    pub copied: Option<Timestamp>,
}

/// All counts.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    agents: BTreeMap<VantageId, Counts>,
    turned: [u64; Turned::ALL.len()],
}

impl Tally {
    /// A connection came to nothing.
    pub(crate) fn turned(&self, how: Turned) {
        self.with(|inner| inner.turned[how as usize] += 1);
    }

    /// Counts of an agent.
    pub(crate) fn of(&self, vantage: &VantageId, count: impl FnOnce(&mut Counts)) {
        self.with(|inner| count(inner.agents.entry(vantage.clone()).or_default()));
    }

    /// A delivery was looked through.
    pub(crate) fn sifted(&self, vantage: &VantageId, sifted: &Sifted) {
        let thinned: u64 = sifted.thinned.iter().flat_map(|t| t.runs).sum();
        self.of(vantage, |counts| {
            counts.thinned = counts.thinned.saturating_add(thinned);
            if let Some(check) = &sifted.never_given {
                counts.never_given = Some(check.clone());
            }
            for (sum, more) in counts.refused.iter_mut().zip(sifted.refused) {
                *sum += more;
            }
        });
    }

    /// Every agent's.
    #[must_use]
    pub fn agents(&self) -> BTreeMap<VantageId, Counts> {
        self.with(|inner| inner.agents.clone())
    }

    /// Connections that came to nothing, in the order of [`Turned::ALL`].
    #[must_use]
    pub fn all_turned(&self) -> [u64; Turned::ALL.len()] {
        self.with(|inner| inner.turned)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
