//! Asking for roll-ups: from their file where they are computed, from runs where they are not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use bellwether_model::{CheckId, VantageId};
use jiff::Timestamp;
use rusqlite::Connection;

use super::entry::{Entry, Sum, WithPhases, entries};
use super::roll::{read_manifest, symptom};
use super::{DAYS_DONE, Known, Rollups, Table, read_tally, row_crc, row_id, tally_name};
use crate::embedded::Embedded;
use crate::embedded::day::{DayFile, HOUR, Tally, hour_of};
use crate::embedded::names::series_name;
use crate::embedded::read::{sort, time};
use crate::embedded::sqlite::lock;
use crate::{Rollup, Step, StoreError};

/// What is asked, in hours since 1970.
struct Ask {
    table: Table,
    with_phases: WithPhases,
    hours: Range<i64>,
    /// Hours of a step.
    step: i64,
}

/// Which sums of a source are of what its file holds now.
enum Valid {
    /// All of them.
    All,
    /// Those of these hours.
    Hours(HashSet<i64>),
}

impl Ask {
    fn new(step: Step, range: &Range<Timestamp>) -> Self {
        let (table, with_phases, step) = match step {
            Step::Hour => (Table::Hourly, WithPhases::No, 1),
            Step::Day => (Table::Daily, WithPhases::Yes, 24),
        };
        let first = hour_of(range.start.as_microsecond());
        let last = hour_of(range.end.as_microsecond().saturating_sub(1));
        let floor = |hour: i64| hour - hour.rem_euclid(step);
        Self {
            table,
            with_phases,
            hours: floor(first)..floor(last) + step,
            step,
        }
    }

    fn floor(&self, hour: i64) -> i64 {
        hour - hour.rem_euclid(self.step)
    }
}

impl Embedded {
    /// Roll-ups of series over a range.
    pub(crate) fn read_rollups(
        &self,
        series: &[(CheckId, VantageId)],
        step: Step,
        range: &Range<Timestamp>,
    ) -> Result<Vec<Rollup>, StoreError> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let ask = Ask::new(step, range);
        let names: Vec<Vec<u8>> = series
            .iter()
            .map(|(check, vantage)| series_name(check, vantage))
            .collect();
        // Which days are whole in the roll-ups is asked before the moment as of which those are
        // read: a day that is closed in between is not in what that moment shows.
        let rolled = self.rolled_days();
        // The roll-ups are read as of a moment before the files: what is folded in between is then
        // not valid here, and read from its block.
        let lent = self.rollups.readers.begin()?;
        let sums = self.add_all(&ask, &names, lent.connection(), &rolled)?;
        Ok(sums
            .into_iter()
            .map(|(from, sum)| rollup(from, sum, &ask))
            .collect())
    }

    /// Days of which the roll-ups hold everything.
    fn rolled_days(&self) -> HashSet<i32> {
        let files = self.day_files();
        let rolled = files.iter().filter(|file| file.is_rolled());
        rolled.map(|file| file.day).collect()
    }

    /// Adds up roll-ups as of a moment, and what is in none of them as of later.
    fn add_all(
        &self,
        ask: &Ask,
        names: &[Vec<u8>],
        moment: &Connection,
        rolled: &HashSet<i32>,
    ) -> Result<BTreeMap<i64, Sum>, StoreError> {
        let mut sums: BTreeMap<i64, Sum> = BTreeMap::new();
        let mut valid: HashMap<i64, Valid> = HashMap::new();
        for file in self.day_files() {
            if rolled.contains(&file.day) {
                continue;
            }
            let done = self.rollups.read_done(moment, i64::from(file.day))?;
            let hours = self.add_file(&file, ask, names, &done, &mut sums)?;
            valid.insert(i64::from(file.day), hours);
        }
        for name in names {
            self.rollups
                .add_rows(moment, ask, name, &valid, &mut sums)?;
        }
        Ok(sums)
    }

    /// Adds what of a file is in no roll-up. Which of its roll-ups are valid.
    fn add_file(
        &self,
        file: &DayFile,
        ask: &Ask,
        names: &[Vec<u8>],
        done: &HashMap<i64, u32>,
        sums: &mut BTreeMap<i64, Sum>,
    ) -> Result<Valid, StoreError> {
        let mut valid: Option<HashSet<i64>> = None;
        for name in names {
            let moment = self.moment(file, name)?;
            let hours = match &valid {
                Some(hours) => hours,
                None => {
                    let manifest = read_manifest(moment.connection(), file)?;
                    let all = manifest.values().fold(0, |all, sum| all ^ sum);
                    let hours = match ask.table {
                        Table::Hourly => manifest
                            .into_iter()
                            .filter(|(hour, sum)| done.get(hour) == Some(sum))
                            .map(|(hour, _)| hour)
                            .collect(),
                        Table::Daily if file.is_closed() && done.get(&DAYS_DONE) == Some(&all) => {
                            manifest.into_keys().collect()
                        }
                        Table::Daily => HashSet::new(),
                    };
                    valid.insert(hours)
                }
            };
            let range = ask.hours.start..=ask.hours.end - 1;
            let mut rows = moment.unfolded(&range)?.rows;
            rows.extend(moment.folded(&range, |hour| !hours.contains(&hour))?.rows);
            sort(&mut rows);
            for row in &rows {
                let hour = hour_of(row.began());
                if !ask.hours.contains(&hour) {
                    continue;
                }
                let symptom = symptom(file, moment.connection(), row)?;
                let sum = sums.entry(ask.floor(hour)).or_default();
                sum.add(row, symptom.as_deref(), ask.with_phases);
            }
        }
        let hours = valid.unwrap_or_default();
        Ok(match ask.table {
            Table::Hourly => Valid::Hours(hours),
            Table::Daily if hours.is_empty() => Valid::Hours(hours),
            Table::Daily => Valid::All,
        })
    }
}

fn rollup(from: i64, sum: Sum, ask: &Ask) -> Rollup {
    Rollup {
        from: time(from * HOUR),
        outcomes: sum.outcomes,
        symptoms: sum.symptoms.into_iter().collect(),
        total: sum.total,
        phases: match ask.with_phases {
            WithPhases::Yes => sum.phases.into(),
            WithPhases::No => Vec::new(),
        },
    }
}

impl Rollups {
    fn add_rows(
        &self,
        connection: &Connection,
        ask: &Ask,
        name: &[u8],
        valid: &HashMap<i64, Valid>,
        sums: &mut BTreeMap<i64, Sum>,
    ) -> Result<(), StoreError> {
        let Some(known) = lock(&self.series).get(name).copied() else {
            return Ok(());
        };
        let first = ask.hours.start.div_euclid(24).max(known.first);
        let last = (ask.hours.end - 1).div_euclid(24).min(known.last);
        for day in first..=last {
            let id = row_id(day, known.id);
            let Some(data) = self.row(connection, ask.table, id)? else {
                self.verify_day_once(connection, ask.table, day, known)?;
                continue;
            };
            let read = entries(&data, day).ok_or_else(|| self.damaged("a row does not read"))?;
            for entry in read {
                if !ask.hours.contains(&entry.from) || !is_valid(&entry, valid) {
                    continue;
                }
                let sum = sums.entry(entry.from).or_default();
                sum.merge_bytes(entry.sum, ask.with_phases)
                    .ok_or_else(|| self.damaged("a row does not read"))?;
            }
        }
        Ok(())
    }

    /// A row that is not found may never have been, or may be lost: a day is read through before
    /// "there is none" is believed for the first time.
    fn verify_day_once(
        &self,
        connection: &Connection,
        table: Table,
        day: i64,
        known: Known,
    ) -> Result<(), StoreError> {
        // On the days that bound its life a series may have rows of one kind only.
        let at = (table.name(), day);
        if lock(&self.verified).contains(&at) {
            return Ok(());
        }
        let found = self.tally_day(connection, table, day)?;
        let expected = read_tally(connection, &tally_name(table, day));
        let expected = expected.map_err(|error| self.fail(error))?;
        if expected != Ok(found) {
            let what = format!(
                "rows of day {day} are missing, perhaps of series {}",
                known.id
            );
            return Err(self.damaged(&what));
        }
        lock(&self.verified).insert(at);
        Ok(())
    }

    /// Reads the rows of a day through.
    fn tally_day(
        &self,
        connection: &Connection,
        table: Table,
        day: i64,
    ) -> Result<Tally, StoreError> {
        let fail = |error| self.fail(error);
        let mut statement = connection
            .prepare_cached(&format!(
                "SELECT id, data, crc FROM {} WHERE id >= ? AND id < ?",
                table.name()
            ))
            .map_err(fail)?;
        let mut rows = statement
            .query([row_id(day, 0), row_id(day + 1, 0)])
            .map_err(fail)?;
        let mut found = Tally::default();
        while let Some(row) = rows.next().map_err(fail)? {
            let read = (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))();
            let (id, data, crc): (i64, Vec<u8>, u32) = read.map_err(fail)?;
            if crc != row_crc(table, id, &data) {
                return Err(self.damaged("the checksum of a row does not hold"));
            }
            found.add(crc);
        }
        Ok(found)
    }
}

fn is_valid(entry: &Entry<'_>, valid: &HashMap<i64, Valid>) -> bool {
    match valid.get(&entry.source) {
        None | Some(Valid::All) => true,
        Some(Valid::Hours(hours)) => hours.contains(&entry.key),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::embedded::testing::{self, NOON, options};
    use crate::{ObservationStore, Retention};

    #[test]
    fn a_day_that_closes_during_a_question_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(dir.path(), options()).unwrap();
        let (check, vantage) = (testing::check(), testing::vantage());
        let run = |hour: u32| {
            let due = NOON + SignedDuration::from_hours(hour.into());
            testing::run(hour.into(), due)
        };
        store
            .append(&[testing::envelope(1, (0..8).map(run).collect())])
            .unwrap();
        let range = NOON..NOON + SignedDuration::from_hours(12);
        let names = [series_name(&check, &vantage)];
        let sums = |when: &dyn Fn()| {
            let ask = Ask::new(Step::Hour, &range);
            let rolled = store.rolled_days();
            let lent = store.rollups.readers.begin().unwrap();
            when();
            let sums = store.add_all(&ask, &names, lent.connection(), &rolled);
            let runs = sums.unwrap().into_values().map(|sum| sum.outcomes[0]);
            runs.sum::<u64>()
        };
        let close = || {
            let keep = Retention {
                raw_days: 30,
                rollup_days: 395,
                max_bytes: u64::MAX,
            };
            let next = NOON + SignedDuration::from_hours(24);
            store.maintain(next, &keep).unwrap();
            assert_eq!(store.rolled_days().len(), 1, "the day is closed");
        };
        assert_eq!(sums(&close), 8);
        assert_eq!(sums(&|| ()), 8);
    }
}
