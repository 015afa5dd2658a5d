//! What one visit came to, in a few bytes: the short form in which a worker says what is usual.
//!
//! Nearly all visits show what the one before them showed. Their records are not worth the reading:
//! the row that is made of them is, and it is made where the records are.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::run::{Phases, RunOutcome};
use crate::{Digest, Layer, NotRunReason};

/// The first byte of a written [`Brief`]: no text in JSON begins with it.
pub const BRIEF_VERSION: u8 = 1;
/// Longest symptom that is read, bytes: the words are ours, and short.
const SYMPTOM_LEN_MAX: usize = 200;

/// What one visit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brief {
    /// Would a user have been served?
    pub outcome: RunOutcome,
    /// The lowest layer that failed, where one did.
    pub layer: Option<Layer>,
    /// What was seen there, in stable words.
    pub symptom: Option<Arc<str>>,
    /// Why nothing can be said, where a probe said why.
    pub not_run: Option<NotRunReason>,
    /// The address that was dialled, or was to be.
    pub address: Option<IpAddr>,
    /// HTTP status of the last answer, or the rcode of a `dns` check.
    pub status: Option<u16>,
    /// Bytes of body, or of the DNS answer.
    pub size: Option<u32>,
    /// The server's own certificate.
    pub certificate: Option<Digest>,
    /// When it ends; whole microseconds.
    pub certificate_ends: Option<Timestamp>,
    /// How long each step took.
    pub phases: Phases,
    /// A hash of what the resolver gave, if it gave anything.
    pub answers: Option<u64>,
    /// A hash of who owns the addresses given, as far as that is known.
    pub owners: Option<u64>,
}

impl Brief {
    /// Nothing can be said, for this reason.
    #[must_use]
    pub fn unknown(symptom: Arc<str>) -> Self {
        Self {
            outcome: RunOutcome::NotRun,
            layer: Some(Layer::Monitor),
            symptom: Some(symptom),
            not_run: None,
            address: None,
            status: None,
            size: None,
            certificate: None,
            certificate_ends: None,
            phases: Phases::default(),
            answers: None,
            owners: None,
        }
    }

    /// A hash of everything by which two visits are told apart: all but addresses, sizes and times.
    /// The same within one build of the program.
    #[must_use]
    pub fn look(&self) -> u64 {
        let Self {
            outcome,
            layer,
            symptom,
            not_run,
            address: _,
            status,
            size: _,
            certificate,
            certificate_ends: _,
            phases: _,
            answers,
            owners,
        } = self;
        let mut hasher = DefaultHasher::new();
        (outcome, layer, symptom, not_run, status).hash(&mut hasher);
        (certificate, answers, owners).hash(&mut hasher);
        hasher.finish()
    }

    /// Writes it behind what is there.
    pub fn write(&self, to: &mut Vec<u8>) {
        let Self {
            outcome,
            layer,
            symptom,
            not_run,
            address,
            status,
            size,
            certificate,
            certificate_ends,
            phases,
            answers,
            owners,
        } = self;
        to.push(outcome_code(*outcome));
        maybe(to, layer.map(|layer| [layer_code(layer)]));
        let symptom = symptom.as_deref().unwrap_or_default();
        let symptom = &symptom[..symptom.floor_char_boundary(SYMPTOM_LEN_MAX)];
        // The bound is below 256.
        to.push(u8::try_from(symptom.len()).unwrap_or(u8::MAX));
        to.extend_from_slice(symptom.as_bytes());
        maybe(to, not_run.map(|reason| [reason_code(reason)]));
        match address {
            None => to.push(0),
            Some(IpAddr::V4(v4)) => {
                to.push(4);
                to.extend_from_slice(&v4.octets());
            }
            Some(IpAddr::V6(v6)) => {
                to.push(6);
                to.extend_from_slice(&v6.octets());
            }
        }
        maybe(to, status.map(u16::to_le_bytes));
        maybe(to, size.map(u32::to_le_bytes));
        maybe(to, certificate.map(|digest| digest.0));
        maybe(
            to,
            certificate_ends.map(|at| at.as_microsecond().to_le_bytes()),
        );
        for phase in phases.all() {
            maybe(to, phase.map(u32::to_le_bytes));
        }
        maybe(to, answers.map(u64::to_le_bytes));
        maybe(to, owners.map(u64::to_le_bytes));
    }

    /// Reads one, and leaves what comes after it; `None` if these bytes are none.
    #[must_use]
    pub fn read(from: &mut &[u8]) -> Option<Self> {
        let [outcome] = take(from)?;
        let outcome = OUTCOMES.get(usize::from(outcome)).copied()?;
        let layer = match perhaps(from)? {
            Some([code]) => Some(*LAYERS.get(usize::from(code))?),
            None => None,
        };
        let [len] = take(from)?;
        let len = usize::from(len);
        if len > SYMPTOM_LEN_MAX || len > from.len() {
            return None;
        }
        let (symptom, rest) = from.split_at(len);
        let symptom = std::str::from_utf8(symptom).ok()?;
        *from = rest;
        let not_run = match perhaps(from)? {
            Some([code]) => Some(*REASONS.get(usize::from(code))?),
            None => None,
        };
        let address = match take(from)? {
            [0] => None,
            [4] => Some(IpAddr::from(take::<4>(from)?)),
            [6] => Some(IpAddr::from(take::<16>(from)?)),
            _ => return None,
        };
        Some(Self {
            outcome,
            layer,
            symptom: (!symptom.is_empty()).then(|| symptom.into()),
            not_run,
            address,
            status: perhaps(from)?.map(u16::from_le_bytes),
            size: perhaps(from)?.map(u32::from_le_bytes),
            certificate: perhaps(from)?.map(Digest),
            certificate_ends: match perhaps(from)?.map(i64::from_le_bytes) {
                Some(micros) => Some(Timestamp::from_microsecond(micros).ok()?),
                None => None,
            },
            phases: {
                let mut all = [None; 5];
                for phase in &mut all {
                    *phase = perhaps(from)?.map(u32::from_le_bytes);
                }
                Phases::of(all)
            },
            answers: perhaps(from)?.map(u64::from_le_bytes),
            owners: perhaps(from)?.map(u64::from_le_bytes),
        })
    }
}

fn maybe<const N: usize>(to: &mut Vec<u8>, value: Option<[u8; N]>) {
    to.push(u8::from(value.is_some()));
    to.extend(value.into_iter().flatten());
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}

/// Outer `None`: these bytes are nothing of the kind.
fn perhaps<const N: usize>(from: &mut &[u8]) -> Option<Option<[u8; N]>> {
    match take(from)? {
        [0] => Some(None),
        [1] => Some(Some(take(from)?)),
        _ => None,
    }
}

const OUTCOMES: [RunOutcome; 4] = [
    RunOutcome::Ok,
    RunOutcome::Wrong,
    RunOutcome::Failed,
    RunOutcome::NotRun,
];

fn outcome_code(outcome: RunOutcome) -> u8 {
    match outcome {
        RunOutcome::Ok => 0,
        RunOutcome::Wrong => 1,
        RunOutcome::Failed => 2,
        RunOutcome::NotRun => 3,
    }
}

const LAYERS: [Layer; 9] = [
    Layer::Monitor,
    Layer::Reg,
    Layer::Dns,
    Layer::Route,
    Layer::Net,
    Layer::Tls,
    Layer::Http,
    Layer::App,
    Layer::Promise,
];

fn layer_code(layer: Layer) -> u8 {
    match layer {
        Layer::Monitor => 0,
        Layer::Reg => 1,
        Layer::Dns => 2,
        Layer::Route => 3,
        Layer::Net => 4,
        Layer::Tls => 5,
        Layer::Http => 6,
        Layer::App => 7,
        Layer::Promise => 8,
    }
}

const REASONS: [NotRunReason; 10] = [
    NotRunReason::NoRoute,
    NotRunReason::EgressRefused,
    NotRunReason::NotPermitted,
    NotRunReason::Deadline,
    NotRunReason::WorkerHung,
    NotRunReason::WorkerDied,
    NotRunReason::Panicked,
    NotRunReason::Limit,
    NotRunReason::NotNeeded,
    NotRunReason::Privacy,
];

fn reason_code(reason: NotRunReason) -> u8 {
    match reason {
        NotRunReason::NoRoute => 0,
        NotRunReason::EgressRefused => 1,
        NotRunReason::NotPermitted => 2,
        NotRunReason::Deadline => 3,
        NotRunReason::WorkerHung => 4,
        NotRunReason::WorkerDied => 5,
        NotRunReason::Panicked => 6,
        NotRunReason::Limit => 7,
        NotRunReason::NotNeeded => 8,
        NotRunReason::Privacy => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Brief {
        Brief {
            outcome: RunOutcome::Wrong,
            layer: Some(Layer::Http),
            symptom: Some("http.status_503".into()),
            not_run: None,
            address: Some("2001:db8::7".parse().unwrap()),
            status: Some(503),
            size: Some(70_000),
            certificate: Some(Digest([7; 32])),
            certificate_ends: Some("2031-02-03T04:05:06Z".parse().unwrap()),
            phases: Phases::of([Some(1), Some(20), None, Some(u32::MAX), None]),
            answers: Some(u64::MAX - 1),
            owners: None,
        }
    }

    fn written(brief: &Brief) -> Vec<u8> {
        let mut bytes = Vec::new();
        brief.write(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let briefs = [
            full(),
            Brief::unknown("monitor.probe_hung".into()),
            Brief {
                outcome: RunOutcome::Ok,
                layer: None,
                symptom: None,
                not_run: Some(NotRunReason::NoRoute),
                address: Some("192.0.2.7".parse().unwrap()),
                ..full()
            },
        ];
        for brief in briefs {
            let mut bytes = written(&brief);
            bytes.extend_from_slice(b"[]");
            let mut from = bytes.as_slice();
            assert_eq!(Brief::read(&mut from), Some(brief));
            assert_eq!(from, b"[]");
        }
    }

    #[test]
    fn every_word_has_its_own_code() {
        for outcome in OUTCOMES {
            assert_eq!(OUTCOMES[usize::from(outcome_code(outcome))], outcome);
        }
        for layer in LAYERS {
            assert_eq!(LAYERS[usize::from(layer_code(layer))], layer);
        }
        for reason in REASONS {
            assert_eq!(REASONS[usize::from(reason_code(reason))], reason);
        }
    }

    #[test]
    fn bytes_that_are_none_are_refused() {
        let bytes = written(&full());
        for len in 0..bytes.len() {
            assert_eq!(Brief::read(&mut &bytes[..len]), None, "{len}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 2, 9, 0x80, 0xff] {
                let mut other = bytes.clone();
                other[at] = value;
                // Whatever it is taken for, it is no panic, and is written as something of its length.
                if let Some(brief) = Brief::read(&mut other.as_slice()) {
                    assert!(written(&brief).len() <= bytes.len() + 1);
                }
            }
        }
    }

    #[test]
    fn a_look_is_of_what_was_seen_and_not_of_when() {
        let one = full();
        let later = Brief {
            phases: Phases::default(),
            size: None,
            address: None,
            ..full()
        };
        assert_eq!(one.look(), later.look());
        let others = [
            Brief {
                status: Some(502),
                ..full()
            },
            Brief {
                answers: None,
                ..full()
            },
            Brief {
                certificate: None,
                ..full()
            },
            Brief {
                outcome: RunOutcome::Ok,
                ..full()
            },
        ];
        for other in others {
            assert_ne!(one.look(), other.look(), "{other:?}");
        }
    }
}
