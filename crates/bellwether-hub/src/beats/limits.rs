//! How often somebody may report: a bucket for each heartbeat, and one for each place.
//!
//! What is refused is refused for a second or two, and clients try again. The disk is not what this
//! saves: what comes together is written together.

use std::collections::HashMap;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::access::backoff::place;

/// Signals of one heartbeat at once: runs that were begun together, or that waited for us.
const HEARTBEAT_BURST: f64 = 120.0;
/// Signals of one heartbeat in a second: one that runs every second sends two.
const HEARTBEAT_RATE: f64 = 10.0;
/// Signals from one place at once: behind one address may be a whole data centre, whose jobs all begin
/// at midnight.
const PLACE_BURST: f64 = 2_000.0;
/// Signals from one place in a second.
const PLACE_RATE: f64 = 400.0;
/// Places that are remembered; the one that took least goes first.
const PLACES_MAX: usize = 4_096;

/// So many at once, and so many in a second.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Timestamp,
}

impl Bucket {
    fn full(burst: f64, at: Timestamp) -> Self {
        Self { left: burst, at }
    }

    fn fill(&mut self, burst: f64, rate: f64, now: Timestamp) {
        let passed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.left = (self.left + passed * rate).min(burst);
        self.at = now;
    }

    fn take(&mut self, burst: f64, rate: f64, now: Timestamp) -> bool {
        self.fill(burst, rate, now);
        let is_there = self.left >= 1.0;
        if is_there {
            self.left -= 1.0;
        }
        is_there
    }
}

/// How often everybody reported lately.
#[derive(Debug, Default)]
pub(super) struct Limits {
    heartbeats: HashMap<String, Bucket>,
    places: HashMap<IpAddr, Bucket>,
}

impl Limits {
    /// May this heartbeat report from there now?
    pub(super) fn take(&mut self, name: &str, from: Option<IpAddr>, now: Timestamp) -> bool {
        self.from(from, now) && self.of(name, now)
    }

    fn of(&mut self, name: &str, now: Timestamp) -> bool {
        if let Some(bucket) = self.heartbeats.get_mut(name) {
            return bucket.take(HEARTBEAT_BURST, HEARTBEAT_RATE, now);
        }
        let mut bucket = Bucket::full(HEARTBEAT_BURST, now);
        let is_there = bucket.take(HEARTBEAT_BURST, HEARTBEAT_RATE, now);
        self.heartbeats.insert(name.to_owned(), bucket);
        is_there
    }

    fn from(&mut self, from: Option<IpAddr>, now: Timestamp) -> bool {
        let from = from.map_or(IpAddr::from([0; 4]), place);
        if self.places.len() >= PLACES_MAX && !self.places.contains_key(&from) {
            let most = self
                .places
                .iter()
                .max_by(|(_, a), (_, b)| a.left.total_cmp(&b.left).then(b.at.cmp(&a.at)));
            if let Some(most) = most.map(|(place, _)| *place) {
                self.places.remove(&most);
            }
        }
        let bucket = self.places.entry(from);
        let bucket = bucket.or_insert_with(|| Bucket::full(PLACE_BURST, now));
        bucket.take(PLACE_BURST, PLACE_RATE, now)
    }

    /// Forgets heartbeats that are gone.
    pub(super) fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        self.heartbeats.retain(|name, _| stays(name));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_heartbeat_that_floods_stops_no_other() {
        let mut limits = Limits::default();
        let now = Timestamp::UNIX_EPOCH;
        let from = Some(IpAddr::from([192, 0, 2, 1]));
        let taken = (0..1_000).filter(|_| limits.take("a", from, now)).count();
        assert_eq!(taken, 120);
        assert!(limits.take("b", from, now));
        let later = now + Duration::from_secs(1);
        let taken = (0..100).filter(|_| limits.take("a", from, later)).count();
        assert_eq!(taken, 10);
        assert!(
            !limits.take("a", from, now),
            "a clock that goes back gives nothing"
        );
    }

    #[test]
    fn one_place_that_floods_stops_no_other_and_memory_is_bounded() {
        let mut limits = Limits::default();
        let now = Timestamp::UNIX_EPOCH;
        let from = |n: u32| Some(IpAddr::from(n.to_be_bytes()));
        let names: Vec<String> = (0..100).map(|n| format!("h{n}")).collect();
        let flood = (0..5_000).filter(|n| limits.take(&names[n % 100], from(1), now));
        assert_eq!(flood.count(), 2_000);
        assert!(limits.take("h0", from(2), now));
        for n in 3..10_000 {
            limits.take("h0", from(n), now);
        }
        assert!(limits.places.len() <= PLACES_MAX);
        assert!(!limits.take("h1", from(1), now), "the flood is remembered");
        limits.retain(|name| name == "h0");
        assert_eq!(limits.heartbeats.len(), 1);
    }
}
