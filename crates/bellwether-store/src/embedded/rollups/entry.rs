//! What a roll-up holds, and how it is written.

use std::collections::BTreeMap;

use bellwether_model::run::RunOutcome;

use crate::Sketch;
use crate::codec::bytes::{Bytes, put, put_bytes};
use crate::codec::row::Row;

/// Counts and percentiles of some runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sum {
    pub(super) outcomes: [u64; 4],
    pub(super) symptoms: BTreeMap<String, u64>,
    pub(super) total: Sketch,
    /// By the day only.
    pub(super) phases: [Sketch; 5],
}

impl Sum {
    /// Takes in a run.
    pub(super) fn add(&mut self, row: &Row, symptom: Option<&str>, with_phases: WithPhases) {
        self.outcomes[row.outcome_index()] += 1;
        if let Some(symptom) = symptom {
            match self.symptoms.get_mut(symptom) {
                Some(count) => *count += 1,
                None => {
                    self.symptoms.insert(symptom.to_owned(), 1);
                }
            }
        }
        if row.outcome() != RunOutcome::Ok {
            return;
        }
        self.total.insert(row.total());
        if with_phases == WithPhases::Yes {
            for (index, phase) in row.each_phase() {
                self.phases[index].insert(u64::from(phase));
            }
        }
    }

    /// Appends it.
    pub(super) fn put(&self, out: &mut Vec<u8>, with_phases: WithPhases) {
        self.outcomes.iter().for_each(|&count| put(out, count));
        put(out, self.symptoms.len() as u64);
        for (symptom, count) in &self.symptoms {
            put_bytes(out, symptom.as_bytes());
            put(out, *count);
        }
        self.total.put(out);
        if with_phases == WithPhases::Yes {
            self.phases.iter().for_each(|phase| phase.put(out));
        }
    }

    /// Takes in one as [`Self::put`] writes it.
    pub(super) fn merge_bytes(&mut self, bytes: &[u8], with_phases: WithPhases) -> Option<()> {
        let mut bytes = Bytes::new(bytes);
        for count in &mut self.outcomes {
            *count = count.saturating_add(bytes.number()?);
        }
        for _ in 0..bytes.number()? {
            let symptom = bytes.text()?.to_owned();
            let count = bytes.number()?;
            let sum = self.symptoms.entry(symptom).or_default();
            *sum = sum.saturating_add(count);
        }
        self.total.merge_bytes(&mut bytes)?;
        if with_phases == WithPhases::Yes {
            for phase in &mut self.phases {
                phase.merge_bytes(&mut bytes)?;
            }
        }
        bytes.rest().is_empty().then_some(())
    }
}

/// Whether each phase is summed too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WithPhases {
    Yes,
    No,
}

/// One sum in a row of roll-ups: from which file it is, and of which hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The day of the file that the runs are in.
    pub(super) source: i64,
    /// The key of their block.
    pub(super) key: i64,
    /// When it begins: the hour, or the day.
    pub(super) from: i64,
    pub(super) sum: &'a [u8],
}

impl Entry<'_> {
    /// Appends it, relative to the row's day.
    pub(super) fn put(&self, out: &mut Vec<u8>, day: i64) {
        put(out, (self.source as u64) ^ (day as u64));
        put(out, (self.key as u64) ^ (self.from as u64));
        put(out, (self.from as u64).wrapping_sub(day as u64 * 24));
        put_bytes(out, self.sum);
    }
}

/// The entries of a row.
pub(super) fn entries(data: &[u8], day: i64) -> Option<Vec<Entry<'_>>> {
    let mut bytes = Bytes::new(data);
    let mut entries = Vec::new();
    while !bytes.rest().is_empty() {
        let source = bytes.number()? as i64 ^ day;
        let key = bytes.number()? as i64;
        let from = (bytes.number()? as i64).wrapping_add(day.wrapping_mul(24));
        entries.push(Entry {
            source,
            key: key ^ from,
            from,
            sum: bytes.bytes()?,
        });
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let mut sum = Sum::default();
        let row = Row {
            mask: 3,
            phases: [10, 20, 0, 0, 0],
            ..Row::default()
        };
        sum.add(&row, Some("x"), WithPhases::Yes);
        let mut bytes = vec![];
        sum.put(&mut bytes, WithPhases::Yes);
        let mut back = Sum::default();
        back.merge_bytes(&bytes, WithPhases::Yes).unwrap();
        assert_eq!(back, sum);
        let given = [
            Entry {
                source: 20_000,
                key: 480_000,
                from: 480_005,
                sum: &bytes,
            },
            Entry {
                source: 20_001,
                key: 480_007,
                from: 480_007,
                sum: &[],
            },
        ];
        let mut out = vec![];
        given.iter().for_each(|entry| entry.put(&mut out, 20_000));
        assert_eq!(entries(&out, 20_000).unwrap(), given);
    }
}
