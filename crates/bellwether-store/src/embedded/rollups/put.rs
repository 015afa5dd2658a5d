//! Writing roll-ups: the sums of series in the rows of their days.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use super::entry::{Entry, Sum, WithPhases, entries};
use super::{
    Known, Rollups, Table, done_crc, put_tally, read_tally, row_crc, row_id, series_crc, tally_name,
};
use crate::StoreError;
use crate::embedded::day::{DayFile, Tally};
use crate::embedded::sqlite::lock;

/// Sums of one series, by the day and what they are of.
pub(super) type Sums = BTreeMap<(i64, i64, i64), Sum>;

/// Where the sums of a series are put.
pub(super) struct Place<'a> {
    pub(super) table: Table,
    pub(super) source: i64,
    /// Entries of this source and this key are replaced; of all keys, if none.
    pub(super) key: Option<i64>,
    pub(super) with_phases: WithPhases,
    pub(super) name: &'a [u8],
}

/// Series that are new, or have a row on a new day, once a transaction holds.
#[derive(Default)]
struct Widened {
    series: HashMap<Vec<u8>, Known>,
    /// How many of them are new.
    new: u32,
}

impl Rollups {
    /// Hours of a source whose roll-ups are computed, with the checksum of what they are of.
    pub(super) fn done(&self, source: i64) -> Result<HashMap<i64, u32>, StoreError> {
        let lent = self.readers.begin()?;
        self.read_done(lent.connection(), source)
    }

    pub(super) fn read_done(
        &self,
        connection: &Connection,
        source: i64,
    ) -> Result<HashMap<i64, u32>, StoreError> {
        let fail = |error| self.fail(error);
        let mut statement = connection
            .prepare_cached("SELECT hour, sum, crc FROM done WHERE source = ?")
            .map_err(fail)?;
        let mut rows = statement.query([source]).map_err(fail)?;
        let mut done = HashMap::new();
        while let Some(row) = rows.next().map_err(fail)? {
            let read = (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))();
            let (hour, sum, crc): (i64, u32, u32) = read.map_err(fail)?;
            // One that does not hold is not done: it is computed again.
            if crc == done_crc(source, hour, sum) {
                done.insert(hour, sum);
            }
        }
        Ok(done)
    }

    pub(super) fn set_done(&self, source: i64, hour: i64, sum: u32) -> Result<(), StoreError> {
        self.change(|connection| {
            connection
                .execute(
                    "INSERT OR REPLACE INTO done (source, hour, sum, crc) VALUES (?, ?, ?, ?)",
                    params![source, hour, sum, done_crc(source, hour, sum)],
                )
                .map_err(|error| self.fail(error))
        })?;
        Ok(())
    }

    /// Puts the hourly sums of blocks of one key in place.
    pub(super) fn put_hours(
        &self,
        file: &DayFile,
        key: i64,
        sums: &[(Vec<u8>, Sums)],
    ) -> Result<(), StoreError> {
        self.put_all(sums, |name| Place {
            table: Table::Hourly,
            source: i64::from(file.day),
            key: Some(key),
            with_phases: WithPhases::No,
            name,
        })
    }

    /// Puts the sums of several series in place in one transaction.
    pub(super) fn put_all<'a>(
        &self,
        all: &'a [(Vec<u8>, Sums)],
        place: impl Fn(&'a [u8]) -> Place<'a>,
    ) -> Result<(), StoreError> {
        let widened = self.change(|connection| {
            let mut widened = Widened::default();
            let mut tallies: HashMap<String, Tally> = HashMap::new();
            for (name, sums) in all {
                self.put(connection, &place(name), sums, &mut widened, &mut tallies)?;
            }
            for (name, tally) in tallies {
                put_tally(connection, &name, tally).map_err(|error| self.fail(error))?;
            }
            Ok(widened)
        })?;
        lock(&self.series).extend(widened.series);
        Ok(())
    }

    fn put(
        &self,
        connection: &Connection,
        place: &Place<'_>,
        sums: &Sums,
        widened: &mut Widened,
        tallies: &mut HashMap<String, Tally>,
    ) -> Result<(), StoreError> {
        let mut days: Vec<i64> = sums.keys().map(|(day, _, _)| *day).collect();
        days.dedup();
        for day in days {
            let id = self.widen(connection, place, day, widened, tallies)?;
            let id = row_id(day, id);
            let old = self.row(connection, place.table, id)?;
            let mut data = Vec::new();
            let before = old.as_deref().unwrap_or(&[]);
            for entry in entries(before, day).ok_or_else(|| self.damaged("a row does not read"))? {
                let same_key = place.key.is_none_or(|key| key == entry.key);
                if entry.source != place.source || !same_key {
                    entry.put(&mut data, day);
                }
            }
            for ((_, key, from), sum) in
                sums.range((day, i64::MIN, i64::MIN)..(day + 1, i64::MIN, i64::MIN))
            {
                let mut bytes = Vec::new();
                sum.put(&mut bytes, place.with_phases);
                let entry = Entry {
                    source: place.source,
                    key: *key,
                    from: *from,
                    sum: &bytes,
                };
                entry.put(&mut data, day);
            }
            let tally = self.tally_of(connection, tally_name(place.table, day), tallies)?;
            if let Some(old) = &old {
                tally.remove(row_crc(place.table, id, old));
            }
            let crc = row_crc(place.table, id, &data);
            tally.add(crc);
            connection
                .prepare_cached(&format!(
                    "INSERT OR REPLACE INTO {} (id, data, crc) VALUES (?, ?, ?)",
                    place.table.name()
                ))
                .and_then(|mut statement| statement.execute(params![id, data, crc]))
                .map_err(|error| self.fail(error))?;
        }
        Ok(())
    }

    /// The number of a series, which is noted to have a row on a day.
    fn widen(
        &self,
        connection: &Connection,
        place: &Place<'_>,
        day: i64,
        widened: &mut Widened,
        tallies: &mut HashMap<String, Tally>,
    ) -> Result<u32, StoreError> {
        let (old, next) = {
            let series = lock(&self.series);
            let old = widened.series.get(place.name).or(series.get(place.name));
            (old.copied(), series.len() as u32 + widened.new + 1)
        };
        let mut known = old.unwrap_or(Known {
            id: next,
            first: day,
            last: day,
        });
        known.first = known.first.min(day);
        known.last = known.last.max(day);
        if old == Some(known) {
            return Ok(known.id);
        }
        let tally = self.tally_of(connection, "series".to_owned(), tallies)?;
        if let Some(old) = old {
            tally.remove(series_crc(place.name, old));
        }
        let crc = series_crc(place.name, known);
        tally.add(crc);
        let Known { id, first, last } = known;
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO series (id, name, first, last, crc) VALUES (?, ?, ?, ?, ?)",
            )
            .and_then(|mut statement| statement.execute(params![id, place.name, first, last, crc]))
            .map_err(|error| self.fail(error))?;
        widened.new += u32::from(old.is_none());
        widened.series.insert(place.name.to_vec(), known);
        Ok(known.id)
    }

    fn tally_of<'a>(
        &self,
        connection: &Connection,
        name: String,
        tallies: &'a mut HashMap<String, Tally>,
    ) -> Result<&'a mut Tally, StoreError> {
        if !tallies.contains_key(&name) {
            let tally = read_tally(connection, &name).map_err(|error| self.fail(error))?;
            let tally = tally.map_err(|()| self.damaged("a tally does not hold"))?;
            tallies.insert(name.clone(), tally);
        }
        Ok(tallies.get_mut(&name).expect("put there above"))
    }

    /// A row, checked.
    pub(super) fn row(
        &self,
        connection: &Connection,
        table: Table,
        id: i64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let found: Option<(Vec<u8>, u32)> = connection
            .prepare_cached(&format!(
                "SELECT data, crc FROM {} WHERE id = ?",
                table.name()
            ))
            .and_then(|mut statement| {
                statement
                    .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(|error| self.fail(error))?;
        match found {
            Some((data, crc)) if crc == row_crc(table, id, &data) => Ok(Some(data)),
            Some(_) => Err(self.damaged("the checksum of a row does not hold")),
            None => Ok(None),
        }
    }
}
