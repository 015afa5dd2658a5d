//! The board goes by the book, at once: by what an incident makes fail, nobody is shown as served,
//! and by what is over, nobody as failing.
//!
//! Traces say what a verdict is in full, but an incident may be opened and ended without one: by the
//! detector's word, by time, by what another check showed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bellwether_diagnose::incidents::Book;
use bellwether_model::incident::IncidentState;
use bellwether_model::report::LayerReport;
use bellwether_model::{Cause, CheckId, Digest, Incident, Report, VantageId, Verdict};
use jiff::Timestamp;

use crate::board::{ALL_WORKS, Board, Judgement, weight};

/// Of more checks it costs less to go through all that incidents hold than to ask for each.
const ASKED_MAX: usize = 16;

/// What a report says of its check, for the board.
pub(super) struct Show {
    check: CheckId,
    vantage: VantageId,
    verdict: Verdict,
    cause: Option<Cause>,
    summary: Cow<'static, str>,
    began: Timestamp,
    /// `None` of a report about ourselves.
    layers: Option<Vec<LayerReport>>,
    /// The report as it is kept, where it is.
    evidence: Option<Digest>,
}

impl Show {
    /// Is it of this check?
    pub(super) fn is_of(&self, check: &CheckId) -> bool {
        self.check == *check
    }

    pub(super) fn of(
        check: &CheckId,
        vantage: &VantageId,
        report: &Report,
        evidence: Option<Digest>,
    ) -> Self {
        let summary = match &report.diagnosis {
            Some(diagnosis) => Cow::Owned(diagnosis.summary.clone()),
            None => Cow::Borrowed(ALL_WORKS),
        };
        Self {
            check: check.clone(),
            vantage: vantage.clone(),
            verdict: report.verdict,
            cause: report.diagnosis.as_ref().map(|d| d.cause),
            summary,
            began: report.began,
            layers: report.context.is_some().then(|| report.layers.clone()),
            evidence,
        }
    }

    /// Both failure and recovery count when they were confirmed: until then the verdict stays what it
    /// was, unless there was none. In maintenance nothing is confirmed: what is seen is shown.
    fn put(self, state: &mut Judgement, is_held: bool, is_planned: bool) {
        // What we say of ourselves is no judgement of the check: it grows older all the same.
        if let Some(layers) = self.layers {
            state.judged_at = state.judged_at.max(Some(self.began));
            state.traced_at = Some(self.began);
            state.layers = layers;
        }
        if self.evidence.is_some() {
            state.evidence = self.evidence;
        }
        let is_confirmed = (self.verdict == Verdict::Healthy) != is_held;
        let is_shown = is_confirmed || is_planned && self.verdict != Verdict::Unknown;
        if !is_shown && state.since.is_some() {
            return;
        }
        if state.verdict() != self.verdict || state.since.is_none() {
            state.since = Some(self.began);
        }
        state.verdict = Some(self.verdict);
        state.cause = self.cause;
        state.summary = self.summary;
    }
}

/// How an incident holds a check, as seen from a vantage.
struct Hold<'b> {
    vantage: &'b VantageId,
    incident: &'b Incident,
    since: Timestamp,
    verdict: Verdict,
}

/// Puts reports onto the board, and whatever changed with these incidents. Tells whose checks were
/// looked at.
pub(super) fn show(
    board: &mut Board,
    book: &Book,
    shows: Vec<Show>,
    changed: &[&Incident],
    now: Timestamp,
) -> BTreeSet<String> {
    let mut touched: BTreeMap<CheckId, bool> = BTreeMap::new();
    for show in &shows {
        touched.insert(show.check.clone(), false);
    }
    for incident in changed {
        let is_over = incident.state == IncidentState::Resolved;
        for affected in &incident.checks {
            let Some(check) = CheckId::parse(&affected.check) else {
                continue;
            };
            // A warning that ends makes nobody well.
            let ends = is_over || affected.until.is_some();
            let ended = touched.entry(check).or_default();
            *ended |= ends && incident.verdict != Verdict::Healthy;
        }
    }
    let held = match touched.len() <= ASKED_MAX {
        true => held_of(book, touched.keys()),
        false => held(book, |check| touched.contains_key(check)),
    };
    for show in shows {
        let is_planned = board.maintenance.contains_key(show.check.service());
        let Some(state) = board.checks.get_mut(&show.check) else {
            continue;
        };
        let holds = held.get(&show.check).map_or(&[][..], Vec::as_slice);
        let is_many = state.places().is_some();
        let is_held = holds
            .iter()
            .any(|hold| !is_many || *hold.vantage == show.vantage);
        let vantage = show.vantage.clone();
        state.at(&vantage, |place| show.put(place, is_held, is_planned));
    }
    follow(board, &touched, &held);
    for check in touched.keys() {
        board.combine(check, now);
    }
    let services = touched.keys().map(|check| check.service().to_owned());
    services.collect()
}

/// Brings the whole board in line with the book: after a start, when both were written down at
/// different times.
pub(super) fn show_all(board: &mut Board, book: &Book, now: Timestamp) {
    let held = held(book, |_| true);
    let unwell = board
        .checks
        .iter()
        .filter(|(_, state)| state.since.is_some() && state.verdict != Verdict::Healthy);
    let mut touched: BTreeMap<CheckId, bool> =
        unwell.map(|(check, _)| (check.clone(), true)).collect();
    touched.extend(held.keys().map(|check| ((*check).clone(), true)));
    follow(board, &touched, &held);
    board.recount(now);
    let services: BTreeSet<String> = touched.keys().map(|c| c.service().to_owned()).collect();
    for service in services {
        board.sum_up(&service);
    }
}

fn held(book: &Book, is_wanted: impl Fn(&CheckId) -> bool) -> BTreeMap<&CheckId, Vec<Hold<'_>>> {
    let mut held: BTreeMap<&CheckId, Vec<Hold<'_>>> = BTreeMap::new();
    for (check, vantage, incident, since, verdict) in book.holds() {
        if is_wanted(check) {
            held.entry(check).or_default().push(Hold {
                vantage,
                incident,
                since,
                verdict,
            });
        }
    }
    held
}

fn held_of<'b>(
    book: &'b Book,
    checks: impl Iterator<Item = &'b CheckId>,
) -> BTreeMap<&'b CheckId, Vec<Hold<'b>>> {
    let of = |check| {
        let holds = book.holds_of(check);
        let holds = holds.map(|(vantage, incident, since, verdict)| Hold {
            vantage,
            incident,
            since,
            verdict,
        });
        (check, holds.collect::<Vec<_>>())
    };
    let held = checks.map(of);
    held.filter(|(_, holds)| !holds.is_empty()).collect()
}

fn follow(
    board: &mut Board,
    touched: &BTreeMap<CheckId, bool>,
    held: &BTreeMap<&CheckId, Vec<Hold<'_>>>,
) {
    for (check, has_ended) in touched {
        let Some(state) = board.checks.get_mut(check) else {
            continue;
        };
        let holds = held.get(check).map_or(&[][..], Vec::as_slice);
        let Some(places) = state.places() else {
            let all: Vec<&Hold<'_>> = holds.iter().collect();
            state.at(&VantageId::new(VantageId::LOCAL), |own| {
                goes_by(own, &all, *has_ended)
            });
            continue;
        };
        // What ends at one vantage may go on at others.
        let has_ended = *has_ended || !holds.is_empty();
        let mut vantages: BTreeSet<VantageId> = places.iter().map(|(v, _)| v.clone()).collect();
        vantages.extend(holds.iter().map(|hold| hold.vantage.clone()));
        for vantage in vantages {
            let theirs = holds.iter().filter(|hold| *hold.vantage == vantage);
            let theirs: Vec<&Hold<'_>> = theirs.collect();
            state.at(&vantage, |place| goes_by(place, &theirs, has_ended));
        }
    }
}

fn goes_by(state: &mut Judgement, holds: &[&Hold<'_>], has_ended: bool) {
    match holds {
        [] if has_ended => over(state),
        [] => {}
        holds => fails(state, holds),
    }
}

/// Incidents make it fail.
fn fails(state: &mut Judgement, holds: &[&Hold<'_>]) {
    // Its own trace says more of it than an incident of many checks.
    let says_so = |hold: &&&Hold<'_>| hold.verdict == state.verdict();
    let knows_more = |hold: &&&Hold<'_>| {
        says_so(hold)
            && state.cause == Some(Cause::Unknown)
            && hold.incident.cause != Cause::Unknown
    };
    let newer = holds.iter().find(|hold| knows_more(hold));
    if state.since.is_some() && newer.is_none() && holds.iter().any(|hold| says_so(&hold)) {
        return;
    }
    // Of equally bad ones the oldest, which is the first.
    let worst = holds.iter().rev().max_by_key(|hold| weight(hold.verdict));
    let Some(hold) = newer.or(worst) else {
        return;
    };
    if state.verdict() != hold.verdict || state.since.is_none() {
        state.since = Some(hold.since);
    }
    state.verdict = Some(hold.verdict);
    state.cause = Some(hold.incident.cause);
    state.summary = Cow::Owned(hold.incident.summary.clone());
}

/// What made it fail is over. That alone is no proof that users are served: its newest run is.
fn over(state: &mut Judgement) {
    if state.verdict() == Verdict::Healthy || state.since.is_none() {
        return;
    }
    state.cause = None;
    if state.served > 0 {
        state.verdict = Some(Verdict::Healthy);
        state.since = state.judged_at.or(state.since);
        state.summary = Cow::Borrowed("its runs are served again");
    } else {
        // Whatever is seen next counts.
        state.verdict = Some(Verdict::Unknown);
        state.since = None;
        let summary = "what made it fail is over, and nothing was seen of it since";
        state.summary = Cow::Borrowed(summary);
    }
}
