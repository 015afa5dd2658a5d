//! The wall clock was set back: what is remembered of times to come is of now.
//!
//! Else the book would be deaf for as long as the clock was set back: a trace that is no newer than
//! the last is passed over, and a hold that began tomorrow does not end today.

use jiff::Timestamp;

use super::Book;
use super::matter::{Matter, Member};
use super::watch::{Alarm, Watch};

impl Book {
    /// Takes back to `now` whatever is remembered as later. What people were told stays as it was
    /// told. Without anything later, nothing changes.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        for watch in self.watches.values_mut() {
            of_watch(watch, now);
        }
        for matter in self.matters.values_mut() {
            of_matter(matter, now);
        }
        self.stirred.extend(self.matters.keys());
    }
}

fn of_watch(watch: &mut Watch, now: Timestamp) {
    let sights = [
        &mut watch.last_trace,
        &mut watch.first_bad_trace,
        &mut watch.warned_since,
        &mut watch.good_since,
        &mut watch.streak,
        &mut watch.last_bad_run,
        &mut watch.first_ok,
        &mut watch.last_seen,
        &mut watch.last_good,
        &mut watch.alone,
    ];
    for sight in sights {
        *sight = sight.get().map(|at| at.min(now)).into();
    }
    if let Some(bad) = &mut watch.bad {
        bad.began = bad.began.min(now);
    }
    for path in &mut watch.paths {
        path.first = path.first.min(now);
        path.last = path.last.min(now);
    }
    let alarms = watch.alarm.iter_mut().chain(&mut watch.slow);
    for alarm in alarms {
        let Alarm { since, raised, .. } = &mut **alarm;
        *since = (*since).min(now);
        *raised = (*raised).min(now);
    }
}

fn of_matter(matter: &mut Matter, now: Timestamp) {
    for member in matter.members.values_mut() {
        of_member(member, now);
    }
    matter.damp.clock_set_back(now);
    matter.healed_at = matter.healed_at.map(|at| at.min(now));
    matter.last_told = matter.last_told.min(now);
    if let Some(ended) = &mut matter.ended {
        ended.learned = ended.learned.min(now);
        ended.at = ended.at.min(now);
    }
    let incident = &mut matter.incident;
    for at in [
        &mut incident.began,
        &mut incident.opened,
        &mut incident.updated,
    ] {
        *at = (*at).min(now);
    }
    incident.mitigated = incident.mitigated.map(|at| at.min(now));
}

fn of_member(member: &mut Member, now: Timestamp) {
    for at in [&mut member.since, &mut member.joined, &mut member.last] {
        *at = (*at).min(now);
    }
    for at in [&mut member.until, &mut member.good_since] {
        *at = at.map(|at| at.min(now));
    }
}
