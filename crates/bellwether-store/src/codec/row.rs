//! A run as numbers, and as bytes one behind the other: how it waits before it is a block.

use bellwether_model::Layer;
use bellwether_model::run::{RunOutcome, Trigger};

use super::bytes::{Bytes, put, unzigzag, zigzag};

/// A run whose words are numbers of a dictionary. Numbers of the dictionary begin at 1; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// When it was due, microseconds since 1970.
    pub(crate) due: i64,
    /// How late it began, microseconds.
    pub(crate) late: u32,
    /// The interval, milliseconds.
    pub(crate) every: u32,
    /// Its number since its agent started.
    pub(crate) sequence: u64,
    /// The agent and which start of it.
    pub(crate) boot: u32,
    /// Outcome, trigger and layer: see [`flags`].
    pub(crate) flags: u8,
    pub(crate) symptom: u32,
    pub(crate) resolver: u32,
    pub(crate) address: u32,
    /// The certificate with its end.
    pub(crate) certificate: u32,
    /// One more than the status.
    pub(crate) status: u32,
    /// One more than the size.
    pub(crate) size: u64,
    pub(crate) evidence: Option<[u8; 32]>,
    /// One more than the offset of the clock in zigzag, milliseconds.
    pub(crate) offset: u64,
    /// Which phases there are, a bit for each.
    pub(crate) mask: u8,
    pub(crate) phases: [u32; 5],
}

const OUTCOMES: [RunOutcome; 4] = [
    RunOutcome::Ok,
    RunOutcome::Wrong,
    RunOutcome::Failed,
    RunOutcome::NotRun,
];

/// The order is part of the format: new layers go to the end.
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

const CONFIRM: u8 = 4;
const LAYER_SHIFT: u32 = 3;

/// Outcome in two bits, trigger in one, one more than the layer in four.
pub(crate) fn flags(outcome: RunOutcome, trigger: Trigger, layer: Option<Layer>) -> u8 {
    let outcome = OUTCOMES.iter().position(|&known| known == outcome);
    let layer = layer.map_or(0, |layer| {
        let at = LAYERS.iter().position(|&known| known == layer);
        at.expect("every layer has a number") as u8 + 1
    });
    let confirm = if trigger == Trigger::Confirm {
        CONFIRM
    } else {
        0
    };
    outcome.expect("every outcome has a number") as u8 | confirm | layer << LAYER_SHIFT
}

/// An offset as rows have it.
pub(crate) fn offset(millis: Option<i32>) -> u64 {
    millis.map_or(0, |millis| zigzag(i64::from(millis)) + 1)
}

impl Row {
    /// The offset of the clock, milliseconds; an error where there is no such offset.
    pub(crate) fn offset(&self) -> Result<Option<i32>, ()> {
        let Some(written) = self.offset.checked_sub(1) else {
            return Ok(None);
        };
        i32::try_from(unzigzag(written)).map(Some).map_err(|_| ())
    }

    /// When it began, microseconds since 1970.
    pub(crate) fn began(&self) -> i64 {
        self.due.saturating_add(i64::from(self.late))
    }

    /// The place of its outcome: ok, wrong, failed, not run.
    pub(crate) fn outcome_index(&self) -> usize {
        usize::from(self.flags & 3)
    }

    /// What it came to.
    pub(crate) fn outcome(&self) -> RunOutcome {
        OUTCOMES[self.outcome_index()]
    }

    /// Whether it stands on the grid of its check.
    pub(crate) fn on_grid(&self) -> bool {
        self.flags & CONFIRM == 0
    }

    /// Why it was made.
    pub(crate) fn trigger(&self) -> Trigger {
        if self.on_grid() {
            Trigger::Schedule
        } else {
            Trigger::Confirm
        }
    }

    /// The layer that failed; an error where there is no such layer.
    pub(crate) fn layer(&self) -> Result<Option<Layer>, ()> {
        match usize::from(self.flags >> LAYER_SHIFT) {
            0 => Ok(None),
            number => LAYERS.get(number - 1).copied().map(Some).ok_or(()),
        }
    }

    /// All phases together, microseconds.
    pub(crate) fn total(&self) -> u64 {
        self.each_phase().map(|(_, value)| u64::from(value)).sum()
    }

    /// The phases there are, each with its place.
    pub(crate) fn each_phase(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        (0..5)
            .filter(|index| self.mask >> index & 1 == 1)
            .map(|index| (index, self.phases[index]))
    }
}

/// What rows are written relative to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Base {
    pub(crate) due: i64,
    pub(crate) sequence: u64,
}

const HAS_SYMPTOM: u8 = 1;
const HAS_RESOLVER: u8 = 2;
const HAS_ADDRESS: u8 = 4;
const HAS_CERTIFICATE: u8 = 8;
const HAS_STATUS: u8 = 16;
const HAS_SIZE: u8 = 32;
const HAS_EVIDENCE: u8 = 64;
const HAS_OFFSET: u8 = 128;

/// Appends a row.
pub(crate) fn put_row(out: &mut Vec<u8>, row: &Row, base: Base) {
    let optional = [
        (HAS_SYMPTOM, u64::from(row.symptom)),
        (HAS_RESOLVER, u64::from(row.resolver)),
        (HAS_ADDRESS, u64::from(row.address)),
        (HAS_CERTIFICATE, u64::from(row.certificate)),
        (HAS_STATUS, u64::from(row.status)),
        (HAS_SIZE, row.size),
        (HAS_OFFSET, row.offset),
    ];
    let mut present = if row.evidence.is_some() {
        HAS_EVIDENCE
    } else {
        0
    };
    for (bit, value) in optional {
        present |= if value == 0 { 0 } else { bit };
    }
    out.extend_from_slice(&[row.flags, present, row.mask]);
    put(out, zigzag(row.due.wrapping_sub(base.due)));
    put(out, u64::from(row.late));
    put(out, u64::from(row.every));
    put(out, zigzag(row.sequence.wrapping_sub(base.sequence) as i64));
    put(out, u64::from(row.boot));
    for (_, value) in optional {
        if value != 0 {
            put(out, value);
        }
    }
    if let Some(evidence) = &row.evidence {
        out.extend_from_slice(evidence);
    }
    row.each_phase()
        .for_each(|(_, value)| put(out, u64::from(value)));
}

/// Reads a row as [`put_row`] writes it.
pub(crate) fn take_row(bytes: &mut Bytes<'_>, base: Base) -> Option<Row> {
    let flags = bytes.byte()?;
    let present = bytes.byte()?;
    let mask = bytes.byte()?;
    let mut row = Row {
        flags,
        mask,
        due: base.due.wrapping_add(unzigzag(bytes.number()?)),
        late: bytes.number32()?,
        every: bytes.number32()?,
        sequence: base.sequence.wrapping_add(unzigzag(bytes.number()?) as u64),
        boot: bytes.number32()?,
        ..Row::default()
    };
    let words = [
        (HAS_SYMPTOM, &mut row.symptom),
        (HAS_RESOLVER, &mut row.resolver),
        (HAS_ADDRESS, &mut row.address),
        (HAS_CERTIFICATE, &mut row.certificate),
        (HAS_STATUS, &mut row.status),
    ];
    for (bit, word) in words {
        if present & bit != 0 {
            *word = bytes.number32()?;
        }
    }
    if present & HAS_SIZE != 0 {
        row.size = bytes.number()?;
    }
    if present & HAS_OFFSET != 0 {
        row.offset = bytes.number()?;
    }
    if present & HAS_EVIDENCE != 0 {
        row.evidence = Some(bytes.take(32)?.try_into().expect("32 bytes"));
    }
    for (index, phase) in row.phases.iter_mut().enumerate() {
        if mask >> index & 1 == 1 {
            *phase = bytes.number32()?;
        }
    }
    Some(row)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows as they come, and as nobody would make them.
    pub(crate) fn any_row() -> impl Strategy<Value = Row> {
        let when = (
            prop_oneof![
                any::<i32>().prop_map(|s| i64::from(s) * 60_000_000),
                -377_705_023_201_000_000i64..253_402_207_200_000_000
            ],
            any::<u32>(),
            prop_oneof![Just(60_000u32), Just(300_000), any::<u32>()],
            any::<u64>(),
            0u32..4,
        );
        let what = (
            0u8..80,
            any::<[u16; 5]>(),
            any::<u32>(),
            any::<Option<[u8; 32]>>(),
            prop_oneof![Just(0), any::<u32>().prop_map(u64::from)],
        );
        (when, what, 0u8..32, any::<[u32; 5]>()).prop_map(
            |(
                (due, late, every, sequence, boot),
                (flags, words, size, evidence, offset),
                mask,
                phases,
            )| {
                let mut row = Row {
                    due,
                    late,
                    every,
                    sequence,
                    boot,
                    flags,
                    symptom: u32::from(words[0]),
                    resolver: u32::from(words[1] & 3),
                    address: u32::from(words[2]),
                    certificate: u32::from(words[3] & 1),
                    status: u32::from(words[4]),
                    size: u64::from(size),
                    evidence,
                    offset,
                    mask,
                    phases,
                };
                for (index, phase) in row.phases.iter_mut().enumerate() {
                    *phase *= u32::from(mask >> index & 1);
                }
                row
            },
        )
    }

    #[test]
    fn flags_come_back() {
        for outcome in OUTCOMES {
            for trigger in [Trigger::Schedule, Trigger::Confirm] {
                for layer in LAYERS.map(Some).into_iter().chain([None]) {
                    let row = Row {
                        flags: flags(outcome, trigger, layer),
                        ..Row::default()
                    };
                    assert_eq!((row.outcome(), row.trigger()), (outcome, trigger));
                    assert_eq!(row.layer(), Ok(layer));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn rows_come_back(row in any_row(), due in any::<i64>(), sequence in any::<u64>()) {
            let base = Base { due, sequence };
            let mut out = vec![];
            put_row(&mut out, &row, base);
            let mut bytes = Bytes::new(&out);
            prop_assert_eq!(take_row(&mut bytes, base), Some(row));
            prop_assert!(bytes.rest().is_empty());
        }
    }
}
