//! What wrong tokens cost: after a few of them from one place, each further one must wait.
//!
//! The right token always opens. There is nothing to guess in 256 bits, and a back-off that shut
//! out the right token too would let anybody behind the same address lock the operators out in
//! the midst of an incident. What it is for: a guesser is told to wait, shows in the log once,
//! and gets no faster by going on.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// Wrong tokens that cost nothing: a person mistypes, a script is started with an old one.
const FREE: u32 = 10;

/// Longest wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// After so long without a wrong token, a place begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Places that are remembered; the one that waits for the least goes first.
const PLACES_MAX: usize = 4096;

/// Wrong tokens by place.
#[derive(Default)]
pub(crate) struct Backoff(Mutex<HashMap<IpAddr, Place>>);

#[derive(Clone, Copy)]
struct Place {
    failures: u32,
    last: Timestamp,
    until: Timestamp,
}

impl Backoff {
    /// Takes note of a wrong token; how long its place has to wait, if it has to.
    pub(crate) fn failed(&self, from: Option<IpAddr>, now: Timestamp) -> Option<Duration> {
        let from = from.map_or(IpAddr::from([0; 4]), place);
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= PLACES_MAX && !places.contains_key(&from) {
            let least = places
                .iter()
                .min_by_key(|(_, place)| (place.until, place.last));
            if let Some(least) = least.map(|(from, _)| *from) {
                places.remove(&least);
            }
        }
        let new = Place {
            failures: 0,
            last: now,
            until: now,
        };
        let place = places.entry(from).or_insert(new);
        let quiet = now.duration_since(place.last).unsigned_abs();
        if quiet > FORGOTTEN_AFTER {
            *place = new;
        }
        place.last = now;
        if now < place.until {
            return Some(place.until.duration_since(now).unsigned_abs());
        }
        place.failures = place.failures.saturating_add(1);
        let over = place.failures.checked_sub(FREE + 1)?;
        let wait = Duration::from_secs(1u64 << over.min(6)).min(WAIT_MAX);
        place.until = now.checked_add(wait).unwrap_or(now);
        if over == 0 {
            tracing::warn!(%from, "many wrong tokens, or ids of heartbeats that mean nobody, from one address");
        }
        Some(wait)
    }
}

/// What counts as one place: an address, or a network of IPv6, of which everybody has a whole one.
pub(crate) fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_forgotten() {
        let backoff = Backoff::default();
        let from = Some(IpAddr::from([192, 0, 2, 1]));
        let mut now = Timestamp::UNIX_EPOCH;
        for _ in 0..FREE {
            assert_eq!(backoff.failed(from, now), None);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = Duration::from_secs(seconds);
            assert_eq!(backoff.failed(from, now), Some(wait));
            assert_eq!(
                backoff.failed(from, now),
                Some(wait),
                "asking again changes nothing"
            );
            now += wait;
        }
        assert_eq!(
            backoff.failed(Some(IpAddr::from([192, 0, 2, 2])), now),
            None,
            "another place"
        );
        now += FORGOTTEN_AFTER + WAIT_MAX;
        assert_eq!(backoff.failed(from, now), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let backoff = Backoff::default();
        for n in 0..PLACES_MAX as u32 + 100 {
            backoff.failed(Some(IpAddr::from(n.to_be_bytes())), Timestamp::UNIX_EPOCH);
        }
        assert_eq!(backoff.0.lock().unwrap().len(), PLACES_MAX);
    }
}
