//! From what detection says to what the book of incidents takes.

use bellwether_diagnose::detect::{Grade, Signal, SlowAlarm};
use bellwether_diagnose::incidents::{self, AlarmKind, Book};
use bellwether_model::{CheckId, Layer, VantageId};

/// What the book is told of a signal, as far as it is news to it: of an alarm for each vantage that holds
/// evidence, and of its end for each at which it stands.
#[must_use]
pub fn of(signal: &Signal, book: &Book) -> Vec<incidents::Signal> {
    match signal {
        Signal::Suspect {
            check,
            since,
            vantages,
        } => vec![incidents::Signal::Suspicion {
            check: check.clone(),
            vantage: vantages.first().cloned().unwrap_or_else(local),
            since: *since,
        }],
        Signal::Alarm(alarm) => {
            let words = match alarm.caveat {
                Some(caveat) => format!("its runs fail; {caveat}"),
                None => "its runs fail".to_owned(),
            };
            let at = each(&alarm.vantages);
            let told = at.into_iter().map(|vantage| incidents::Signal::Alarm {
                check: alarm.check.clone(),
                vantage,
                kind: AlarmKind::Failing,
                since: alarm.onset,
                layer: None,
                words: words.clone(),
            });
            told.collect()
        }
        // What comes and goes is damped by the book itself, which goes by traces meanwhile: an alarm
        // that is not taken back for as long as an hour would hold up its healing.
        Signal::Clear { check, at: _ } | Signal::Flapping { check, .. } => {
            clear(check, AlarmKind::Failing, book)
        }
        Signal::SlowAlarm(alarm) => slow(alarm),
        Signal::SlowClear { check, .. } => clear(check, AlarmKind::Slow, book),
        Signal::Widened(_) => Vec::new(),
    }
}

/// An alarm is over wherever it stands.
fn clear(check: &CheckId, kind: AlarmKind, book: &Book) -> Vec<incidents::Signal> {
    let at = each(&book.alarmed_at(check, kind)).into_iter();
    let told = at.map(|vantage| incidents::Signal::Clear {
        check: check.clone(),
        vantage,
        kind,
    });
    told.collect()
}

/// A little slower than usual is shown by the series, and is nobody's incident.
fn slow(alarm: &SlowAlarm) -> Vec<incidents::Signal> {
    if alarm.grade == Grade::Notice {
        return Vec::new();
    }
    let phase = alarm.phase.unwrap_or("the whole run");
    let told = each(&alarm.vantages).into_iter().map(|vantage| {
        let words = format!(
            "{phase} takes {:.1} times as long as usual, in about {:.0} % of runs",
            alarm.ratio,
            alarm.share * 100.0
        );
        incidents::Signal::Alarm {
            check: alarm.check.clone(),
            vantage,
            kind: AlarmKind::Slow,
            since: alarm.since,
            layer: alarm.phase.and_then(layer),
            words,
        }
    });
    told.collect()
}

/// The layer in which a phase lies.
fn layer(phase: &str) -> Option<Layer> {
    match phase {
        "dns" => Some(Layer::Dns),
        "connect" => Some(Layer::Net),
        "tls" => Some(Layer::Tls),
        "first_byte" | "transfer" => Some(Layer::Http),
        _ => None,
    }
}

fn each(vantages: &[VantageId]) -> Vec<VantageId> {
    match vantages {
        [] => vec![local()],
        known => known.to_vec(),
    }
}

fn local() -> VantageId {
    VantageId::new(VantageId::LOCAL)
}
