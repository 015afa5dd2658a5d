//! From what detection says to what the book of incidents takes.

use bellwether_diagnose::detect::{Grade, Signal, SlowAlarm};
use bellwether_diagnose::incidents::{self, AlarmKind};
use bellwether_model::{Layer, VantageId};

/// What the book is told of a signal, if it is news to it.
#[must_use]
pub fn of(signal: &Signal) -> Option<incidents::Signal> {
    Some(match signal {
        Signal::Suspect {
            check,
            since,
            vantages,
        } => incidents::Signal::Suspicion {
            check: check.clone(),
            vantage: first(vantages),
            since: *since,
        },
        Signal::Alarm(alarm) => incidents::Signal::Alarm {
            check: alarm.check.clone(),
            vantage: first(&alarm.vantages),
            kind: AlarmKind::Failing,
            since: alarm.onset,
            layer: None,
            words: match alarm.caveat {
                Some(caveat) => format!("its runs fail; {caveat}"),
                None => "its runs fail".to_owned(),
            },
        },
        // What comes and goes is damped by the book itself, which goes by traces meanwhile: an alarm
        // that is not taken back for as long as an hour would hold up its healing.
        Signal::Clear { check, at: _ } | Signal::Flapping { check, .. } => {
            incidents::Signal::Clear {
                check: check.clone(),
                vantage: local(),
                kind: AlarmKind::Failing,
            }
        }
        Signal::SlowAlarm(alarm) => return slow(alarm),
        Signal::SlowClear { check, .. } => incidents::Signal::Clear {
            check: check.clone(),
            vantage: local(),
            kind: AlarmKind::Slow,
        },
        Signal::Widened(_) => return None,
    })
}

/// A little slower than usual is shown by the series, and is nobody's incident.
fn slow(alarm: &SlowAlarm) -> Option<incidents::Signal> {
    if alarm.grade == Grade::Notice {
        return None;
    }
    let phase = alarm.phase.unwrap_or("the whole run");
    Some(incidents::Signal::Alarm {
        check: alarm.check.clone(),
        vantage: first(&alarm.vantages),
        kind: AlarmKind::Slow,
        since: alarm.since,
        layer: alarm.phase.and_then(layer),
        words: format!(
            "{phase} takes {:.1} times as long as usual, in about {:.0} % of runs",
            alarm.ratio,
            alarm.share * 100.0
        ),
    })
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

fn first(vantages: &[VantageId]) -> VantageId {
    vantages.first().cloned().unwrap_or_else(local)
}

fn local() -> VantageId {
    VantageId::new(VantageId::LOCAL)
}
