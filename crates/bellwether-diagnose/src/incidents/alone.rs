//! What one vantage alone sees fail, while others look at the same check.
//!
//! It is near that vantage more often than at the service: lost packets there fail whatever is asked.
//! Others, of two networks, are asked for a trace, and nothing is told until somebody else sees it too, the
//! detector is sure, or it has lasted while little else fails there alone. Where both find it well, what is
//! told says so.

use std::collections::BTreeSet;
use std::time::Duration;

use bellwether_model::{Cause, CheckId, VantageId, Verdict};
use jiff::Timestamp;

use super::brief::{Blamed, Brief};
use super::matter::Matter;
use super::watch::{Before, Watch};
use super::when::When;
use super::{Book, Changes, Key, is_past, pace, party};
use crate::vantages::words;

/// What fails at one vantage alone is told after so long, or after three intervals if that is longer: by
/// then the vantage's controls, and its other targets, have told whether it is the vantage.
const LASTING: Duration = Duration::from_secs(30);
const LASTING_RUNS: u32 = 3;
/// Who saw a check within this time, or within three intervals, still looks at it.
const LOOKS_WITHIN: Duration = Duration::from_mins(5);
/// When traces from so many other networks find well what one vantage alone sees, it is likely near that.
const NETWORKS_MIN: usize = 2;

impl Book {
    /// Is this check's failure to be told later, if at all?
    pub(super) fn is_alone(&self, key: &Key, brief: &Brief, now: Timestamp) -> bool {
        let Some(watch) = self.watches.get(key) else {
            return false;
        };
        let mut looking = self.looking(key, now).peekable();
        if watch.alarm.is_some() || looking.peek().is_none() {
            return false;
        }
        let has_company = looking.any(|(_, other)| other.sees_it_fail(now));
        let is_told = has_lasted(watch, brief, now) && !self.fleet.is_doubted(&key.1);
        !has_company && !is_told
    }

    /// Is this warning to be told later, if at all? Others look, and none of them sees it: it is near the
    /// vantage more often than at the service, as lost packets are.
    pub(super) fn is_warned_alone(&self, key: &Key, warning: &Blamed, now: Timestamp) -> bool {
        let sees = |watch: &Watch| {
            let mut warned = watch.warned.iter();
            warned.any(|(cause, parties)| {
                *cause == warning.cause && party::overlap(parties, &warning.parties, true, |_| true)
            })
        };
        let mut looking = self.looking(key, now).peekable();
        if looking.peek().is_none() || looking.any(|(_, other)| sees(other)) {
            return false;
        }
        let watch = self.watches.get(key);
        let lasts = watch.is_some_and(|watch| {
            let since = watch.warned_since.get();
            since.is_some_and(|since| is_past(since, lasting(watch), now))
        });
        !lasts || self.fleet.is_doubted(&key.1)
    }

    /// Others who look at it are to look now.
    pub(super) fn ask_others(&self, key: &Key, now: Timestamp, changes: &mut Changes) {
        let others = self.looking(key, now);
        // Those of its own network may have the trouble of that.
        let own = self.fleet.network(&key.1);
        let is_near = |vantage: &VantageId| self.fleet.network(vantage) == own;
        let mut others: Vec<_> = others
            .map(|(vantage, watch)| (is_near(vantage), watch.last_trace, vantage))
            .collect();
        others.sort_unstable();
        let mut networks = BTreeSet::new();
        for (_, _, witness) in &others {
            if networks.len() < NETWORKS_MIN && networks.insert(self.fleet.network(witness)) {
                changes.wanted.insert((key.0.clone(), (*witness).clone()));
            }
        }
    }

    /// Other vantages that are heard, and look at the check.
    fn looking<'b>(
        &'b self,
        (check, vantage): &'b Key,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'b VantageId, &'b Watch)> {
        let all = self.watches.of_check(check).iter();
        let looks = move |watch: &Watch| {
            let within = LOOKS_WITHIN.max(watch.interval() * LASTING_RUNS);
            let seen = watch.last_seen.get();
            seen.is_some_and(|seen| !is_past(seen, within, now))
        };
        all.map(|(other, watch)| (other, watch))
            .filter(move |(other, watch)| {
                *other != vantage && self.fleet.is_heard(other) && looks(watch)
            })
    }

    /// Waits with a failure that nobody else sees, and asks somebody else.
    pub(super) fn hold_back(&mut self, key: &Key, now: Timestamp, changes: &mut Changes) {
        let is_new = self.alone.insert(key.clone());
        if !is_new {
            return;
        }
        self.ask_others(key, now, changes);
        self.wait(key, now);
    }

    /// A failure is told later, if it is there still.
    pub(super) fn wait(&mut self, key: &Key, now: Timestamp) {
        self.alone.insert(key.clone());
        if let Some(watch) = self.watches.get_mut(key) {
            watch.alone = When::at(now);
        }
    }

    /// Failures that nobody else saw: does somebody by now, or have they lasted?
    pub(super) fn alone_so_far(&mut self, now: Timestamp, changes: &mut Changes) {
        for (n, key) in std::mem::take(&mut self.alone).into_iter().enumerate() {
            let waiting = self.watches.get(&key).and_then(|w| w.waiting(now));
            let is_heard = self.fleet.is_heard(&key.1);
            let brief = waiting.filter(|_| is_heard && !self.fails_by_any(&key));
            let is_planned = self.is_planned(&key.0);
            let is_alone = brief
                .as_ref()
                .is_some_and(|brief| is_planned || self.is_alone(&key, brief, now));
            let Some(watch) = self.watches.get_mut(&key) else {
                continue;
            };
            if is_alone {
                let asked = watch.alone.get();
                if asked.is_none_or(|asked| is_past(asked, pace(watch, n), now)) {
                    watch.alone = When::at(now);
                    changes.wanted.insert(key.clone());
                }
                self.alone.insert(key);
                continue;
            }
            watch.alone = When::default();
            if let Some(brief) = brief {
                let causes = brief.roots.iter().map(|root| root.cause).collect();
                let before = Before {
                    bad: Some((brief.began, causes)),
                    ..Before::default()
                };
                changes.touched.insert(key.clone());
                self.fold(&key, &brief, &before, now, changes);
            }
        }
    }

    /// From where a matter is seen, in words, where that always was one vantage, and traces from other
    /// networks that began later find well all that fails there.
    pub(super) fn seen_alone(&self, matter: &Matter) -> Option<String> {
        let seen = matter.active().map(|((_, vantage), _)| vantage).next()?;
        // What others saw too, and see well by now, was no trouble of the last one alone.
        if matter.members.keys().any(|(_, other)| other != seen) {
            return None;
        }
        let began = When::at(matter.incident.began);
        let own = self.fleet.network(seen);
        let others = self.fleet.vantages().filter(|other| {
            *other != seen && self.fleet.is_heard(other) && self.fleet.network(other) != own
        });
        let finds_well = |other: &&VantageId| {
            let mut checks = matter.active().map(|((check, _), _)| check);
            checks.all(|check| self.traced_well(check, other, began))
        };
        let well: Vec<&VantageId> = others.filter(finds_well).collect();
        let networks: BTreeSet<_> = well.iter().map(|v| self.fleet.network(v)).collect();
        if networks.len() < NETWORKS_MIN {
            return None;
        }
        let names: Vec<&str> = well.iter().map(|vantage| vantage.as_str()).collect();
        let heard = self.fleet.heard_at(matter);
        let is_answer = is_answer(matter.incident.cause);
        Some(words::alone(
            seen.as_str(),
            heard,
            &names,
            networks.len(),
            is_answer,
        ))
    }

    /// Did a trace from there that began after this find the check well, and nothing fail since?
    fn traced_well(&self, check: &CheckId, vantage: &VantageId, began: When) -> bool {
        let key = (check.clone(), vantage.clone());
        self.watches.get(&key).is_some_and(|watch| {
            let is_traced = watch.good > 0 && watch.last_trace > began;
            is_traced && !watch.last_was_ours && !watch.last_was_bad && !watch.runs_fail()
        })
    }

    fn fails_by_any(&self, key: &Key) -> bool {
        let fails = |id: u64| {
            let matter = self.matters.get(&id).filter(|m| !m.is_warning());
            let member = matter.and_then(|m| m.members.get(key));
            member.is_some_and(|m| m.until.is_none())
        };
        self.index.held(key).any(fails)
    }
}

/// Does it fail for so long that it is told, whoever else sees it?
fn has_lasted(watch: &Watch, brief: &Brief, now: Timestamp) -> bool {
    let since = watch.failing_since().unwrap_or(brief.began);
    // A run that is served says otherwise; where some ways fail, one that fails takes that back.
    let newest = When::at(brief.began);
    let fails_on = brief.verdict != Verdict::Broken && watch.last_bad_run > newest;
    let is_belied = watch.last_good > newest && !fails_on;
    is_past(since, lasting(watch), now) && !is_belied
}

fn lasting(watch: &Watch) -> Duration {
    LASTING.max(watch.interval() * LASTING_RUNS)
}

/// Is it wrong by what was answered, so that somebody else may have answered?
fn is_answer(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::RegTldBadData
            | Cause::DnsDelegationWrongNs
            | Cause::DnsAuthBlankZone
            | Cause::DnsZoneRecordMissing
            | Cause::DnsZoneRecordWrong
            | Cause::DnsDnssecSigBad
            | Cause::IpOwnerUnexpected
            | Cause::TlsNameMismatch
            | Cause::TlsIntercepted
            | Cause::CertUntrustedRoot
            | Cause::HttpWrongContent
    )
}
