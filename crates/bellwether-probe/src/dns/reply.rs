//! What both transports tell besides a response: what came and did not count, and why nothing came.

use std::collections::BTreeMap;
use std::io;

use bellwether_model::dns::{Discarded, ExchangeResult};

use crate::dial::system_words;
use crate::room::is_exhausted;

/// Datagrams that came and did not count.
#[derive(Debug, Default)]
pub(crate) struct Discards(BTreeMap<&'static str, u32>);

impl Discards {
    /// One more, for this reason.
    pub(crate) fn count(&mut self, reason: &'static str) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// How many so far.
    #[must_use]
    pub(crate) fn total(&self) -> u32 {
        self.0.values().sum()
    }

    /// Each reason with how many.
    pub(crate) fn list(self) -> Vec<Discarded> {
        let entry = |(reason, count): (&str, u32)| Discarded {
            reason: reason.to_owned(),
            count,
        };
        self.0.into_iter().map(entry).collect()
    }
}

/// What an error of the kernel says of the server.
pub(crate) fn failed(error: io::Error) -> ExchangeResult {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return ExchangeResult::Refused;
    }
    if is_exhausted(&error) {
        let reason = system_words(&error);
        return ExchangeResult::NotAsked { reason };
    }
    ExchangeResult::Unreachable {
        error: system_words(&error),
    }
}
