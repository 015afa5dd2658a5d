//! Reading: the runs of a series from blocks, parts and the head of every day file.

use std::collections::{BTreeSet, HashSet};
use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, PoisonError};

use bellwether_model::run::Phases;
use bellwether_model::{CheckId, Digest, Run, VantageId};
use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, OptionalExtension};

use super::Embedded;
use super::day::{self, DayFile, HOUR, SeriesRow, block_id, hour_of, part_id, part_of};
use super::names::{Word, series_name};
use super::sqlite::Lent;
use crate::codec::block;
use crate::codec::row::Row;
use crate::{Gap, Series, StoreError};

/// Hours of a block of a slow check; its key is the first of them.
pub(crate) const SLOW_HOURS: i64 = 6;

/// Rows of one file with what is missing of them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) rows: Vec<Row>,
    pub(crate) gaps: Vec<Gap>,
}

impl Found {
    /// Notes that something of some time is missing, microseconds since 1970.
    pub(crate) fn gap(&mut self, from: i64, to: i64, reason: String) {
        self.gaps.push(Gap {
            from: time(from),
            to: time(to),
            reason,
        });
    }
}

/// One moment of one day file, with what was in its head then.
pub(crate) struct Moment<'a> {
    pub(crate) file: &'a DayFile,
    lent: Lent<'a>,
    head: Option<Vec<Row>>,
    pub(crate) series: Option<SeriesRow>,
}

impl Moment<'_> {
    /// The connection, inside its transaction.
    pub(crate) fn connection(&self) -> &Connection {
        self.lent.connection()
    }

    fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        let prepared = self.connection().prepare_cached(sql);
        prepared.map_err(|error| self.file.fail(error))
    }

    /// Rows of parts and of the head in hours: what is in no block yet.
    pub(crate) fn unfolded(&self, hours: &RangeInclusive<i64>) -> Result<Found, StoreError> {
        let mut found = Found::default();
        let Some(series) = &self.series else {
            return Ok(found);
        };
        self.bad(series, hours, &mut found)?;
        if !self.file.is_closed() {
            self.parts(series, hours, &mut found)?;
        }
        found.rows.extend(self.head.iter().flatten());
        Ok(found)
    }

    /// Rows of the blocks of hours, as far as they are wanted.
    pub(crate) fn folded(
        &self,
        hours: &RangeInclusive<i64>,
        wanted: impl Fn(i64) -> bool,
    ) -> Result<Found, StoreError> {
        let mut found = Found::default();
        let Some(series) = &self.series else {
            return Ok(found);
        };
        // A block of a slow check begins before the hours that it is asked for.
        let first = hours.start() - hours.start().rem_euclid(SLOW_HOURS);
        let mut statement = self.prepare("SELECT data FROM block WHERE id = ?")?;
        for &hour in series.hours.range(first..=*hours.end()) {
            if !wanted(hour) {
                continue;
            }
            let id = block_id(hour, series.id);
            let read = statement.query_row([id], |row| {
                let data = row.get_ref(0)?.as_blob()?;
                Ok(block::decode(id as u64, data).map_err(|error| error.to_string()))
            });
            let reason = match read.optional() {
                Ok(Some(Ok(rows))) => {
                    found.rows.extend(rows);
                    continue;
                }
                Ok(Some(Err(reason))) => reason,
                Ok(None) => "it is missing".to_owned(),
                Err(error) => error.to_string(),
            };
            let hours = self.hours_of(series, hour);
            let reason = format!("a block in `{}`: {reason}", self.file.path.display());
            found.gap(hour * HOUR, (hour + hours) * HOUR, reason);
        }
        Ok(found)
    }

    /// How many hours a block that cannot be read may have been of.
    fn hours_of(&self, series: &SeriesRow, hour: i64) -> i64 {
        let alone = !series.hours.contains(&(hour + 1));
        if hour.rem_euclid(SLOW_HOURS) == 0 && alone {
            SLOW_HOURS
        } else {
            1
        }
    }

    fn parts(
        &self,
        series: &SeriesRow,
        hours: &RangeInclusive<i64>,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let fail = |error| self.file.fail(error);
        let mut statement =
            self.prepare("SELECT id, data FROM part WHERE id >= ? ORDER BY id LIMIT 1")?;
        // Parts are sorted by hour and seal: from each that is found, jump to where the next one of
        // this series could be.
        let mut at = part_id(*hours.start(), 0, series.id);
        loop {
            let next = statement.query_row([at], |row| {
                let id: i64 = row.get(0)?;
                let (hour, seal, of) = part_of(id);
                let rows = (of == series.id && hours.contains(&hour)).then(|| {
                    let data = row.get_ref(1)?.as_blob()?;
                    Ok::<_, rusqlite::Error>(block::decode(day::part_crc_key(id), data))
                });
                Ok((hour, seal, of, rows.transpose()?))
            });
            let Some((hour, seal, of, rows)) = next.optional().map_err(fail)? else {
                return Ok(());
            };
            if hour > *hours.end() {
                return Ok(());
            }
            at = if of < series.id {
                part_id(hour, seal, series.id)
            } else {
                part_id(hour, seal + 1, series.id)
            };
            match rows {
                Some(Ok(rows)) => found.rows.extend(rows),
                Some(Err(error)) => {
                    let reason = format!("a part in `{}`: {error}", self.file.path.display());
                    found.gap(hour * HOUR, (hour + 1) * HOUR, reason);
                }
                None => {}
            }
        }
    }

    /// What was found damaged before.
    fn bad(
        &self,
        series: &SeriesRow,
        hours: &RangeInclusive<i64>,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let fail = |error| self.file.fail(error);
        let mut statement =
            self.prepare("SELECT hour, reason FROM bad WHERE series = ? OR series IS NULL")?;
        let mut rows = statement.query([series.id]).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            let hour: Option<i64> = row.get(0).map_err(fail)?;
            let reason: String = row.get(1).map_err(fail)?;
            let reason = format!("in `{}`: {reason}", self.file.path.display());
            match hour {
                Some(hour) if hours.contains(&hour) => {
                    found.gap(hour * HOUR, (hour + 1) * HOUR, reason);
                }
                Some(_) => {}
                None => {
                    let (from, to) = self.file.span();
                    found.gap(from, to, reason);
                }
            }
        }
        Ok(())
    }

    /// A run from its row.
    fn run(
        &self,
        check: &CheckId,
        vantage: &VantageId,
        row: &Row,
        last: &mut LastWords,
    ) -> Result<Run, StoreError> {
        let broken = || self.file.damaged("a word of a run is missing");
        let mut word = |place: usize, id: u32| {
            if id == 0 {
                return Ok(None);
            }
            if let Some((known, word)) = &last[place]
                && *known == id
            {
                return Ok(Some(word.clone()));
            }
            let word = self.file.word(self.connection(), id)?.ok_or_else(broken)?;
            last[place] = Some((id, word.clone()));
            Ok(Some(word))
        };
        let text = |word| match word {
            None => Ok(None),
            Some(Word::Text(text)) => Ok(Some(text)),
            Some(_) => Err(broken()),
        };
        let symptom = text(word(0, row.symptom)?)?;
        let resolver = text(word(1, row.resolver)?)?;
        let address = match word(2, row.address)? {
            None => None,
            Some(Word::Address(address)) => Some(address),
            Some(_) => return Err(broken()),
        };
        let (certificate, certificate_ends) = match word(3, row.certificate)? {
            None => (None, None),
            Some(Word::Certificate(digest, ends)) => (digest, ends),
            Some(_) => return Err(broken()),
        };
        let mut phases = [None; 5];
        for (index, phase) in row.each_phase() {
            phases[index] = Some(phase);
        }
        Ok(Run {
            check: check.clone(),
            vantage: vantage.clone(),
            sequence: row.sequence,
            due: Timestamp::from_microsecond(row.due).map_err(|_| broken())?,
            late: row.late,
            every: row.every,
            trigger: row.trigger(),
            outcome: row.outcome(),
            layer: row.layer().map_err(|()| broken())?,
            symptom,
            resolver,
            address,
            status: row.status.checked_sub(1).map(|status| status as u16),
            size: row.size.checked_sub(1).map(|size| size as u32),
            certificate,
            certificate_ends,
            evidence: row.evidence.map(Digest),
            clock_offset_ms: row.offset().map_err(|()| broken())?,
            phases: Phases::of(phases),
        })
    }
}

/// The words of the run before: mostly they are those of the next one too. Symptom, resolver,
/// address, certificate.
type LastWords = [Option<(u32, Word)>; 4];

/// A time from microseconds since 1970; beyond what there is, the bound.
pub(crate) fn time(at: i64) -> Timestamp {
    let bound = if at < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_microsecond(at).unwrap_or(bound)
}

/// Sorts rows by begin, and takes out what is there twice: a row that is read from the head and from
/// a block is the same to the last bit.
pub(crate) fn sort(rows: &mut Vec<Row>) {
    rows.sort_unstable_by_key(|row| (row.began(), row.boot, row.sequence, row.due));
    rows.dedup();
}

impl Embedded {
    /// One moment of a file for a series. The head is read under the lock that its sealing takes, so
    /// that a run is in the head or in a part, and never in both or neither.
    pub(crate) fn moment<'a>(
        &self,
        file: &'a DayFile,
        name: &[u8],
    ) -> Result<Moment<'a>, StoreError> {
        let heads = self.heads();
        let lent = file.readers.begin()?;
        let series = file.series(lent.connection(), name)?;
        let head = (heads.day == file.day)
            .then(|| series.as_ref().map(|series| heads.chain(series.id)))
            .flatten();
        Ok(Moment {
            file,
            lent,
            head,
            series,
        })
    }

    /// Day files there are, oldest first.
    pub(crate) fn day_files(&self) -> Vec<Arc<DayFile>> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.values().cloned().collect()
    }

    /// The runs of a series.
    pub(crate) fn read_series(
        &self,
        check: &CheckId,
        vantage: &VantageId,
        range: &Range<Timestamp>,
        newest: usize,
    ) -> Result<Series, StoreError> {
        let mut answer = Series::default();
        if range.start >= range.end {
            return Ok(answer);
        }
        let span = (range.start.as_microsecond(), range.end.as_microsecond());
        let name = series_name(check, vantage);
        let mut keys: Vec<(i64, u64)> = Vec::new();
        for file in self.day_files() {
            match self.read_file(&file, &name, span) {
                Ok((moment, found)) => {
                    answer.gaps.extend(found.gaps);
                    keys.reserve(found.rows.len());
                    answer.runs.reserve(found.rows.len());
                    let mut last = LastWords::default();
                    for row in &found.rows {
                        match moment.run(check, vantage, row, &mut last) {
                            Ok(run) => {
                                keys.push((row.began(), row.sequence));
                                answer.runs.push(run);
                            }
                            Err(error) => answer.gaps.push(Gap {
                                from: time(row.began()),
                                to: time(row.began() + 1),
                                reason: error.to_string(),
                            }),
                        }
                    }
                }
                Err(error) => answer.gaps.push(gap_of(&file, &error)),
            }
        }
        self.lost_days(&mut answer);
        put_in_order(&keys, &mut answer.runs);
        let skip = answer.runs.len().saturating_sub(newest);
        answer.runs.drain(..skip);
        answer
            .gaps
            .retain(|gap| gap.from < range.end && gap.to > range.start);
        answer
            .gaps
            .sort_by(|a, b| (a.from, a.to, &a.reason).cmp(&(b.from, b.to, &b.reason)));
        answer.gaps.dedup();
        Ok(answer)
    }

    /// The rows of one file that began in a span, sorted.
    fn read_file<'a>(
        &self,
        file: &'a DayFile,
        name: &[u8],
        (from, to): (i64, i64),
    ) -> Result<(Moment<'a>, Found), StoreError> {
        let moment = self.moment(file, name)?;
        let hours = hour_of(from)..=hour_of(to - 1);
        let mut found = moment.unfolded(&hours)?;
        let blocks = moment.folded(&hours, |_| true)?;
        found.rows.extend(blocks.rows);
        found.gaps.extend(blocks.gaps);
        found.rows.retain(|row| (from..to).contains(&row.began()));
        sort(&mut found.rows);
        Ok((moment, found))
    }

    /// Days whose file is lost or set aside.
    fn lost_days(&self, answer: &mut Series) {
        for (day, wrong) in self.state.days() {
            let from = i64::from(day) * day::DAY;
            if let Some(reason) = wrong {
                answer.gaps.push(Gap {
                    from: time(from),
                    to: time(from + day::DAY),
                    reason,
                });
            }
        }
    }

    /// Every series of every file.
    pub(crate) fn read_all_series(&self) -> Result<Vec<(CheckId, VantageId)>, StoreError> {
        let mut all: HashSet<(CheckId, VantageId)> = HashSet::new();
        for file in self.day_files() {
            let lent = file.readers.begin()?;
            let read = file.each_series(lent.connection(), |series| {
                all.extend(super::names::series_of(&series.name));
            });
            // One bad day must not hide the names of the others; it is told of.
            if let Err(error) = read {
                self.note_damage(error.to_string());
            }
        }
        all.extend(self.rollups.all_series()?);
        let sorted: BTreeSet<_> = all.into_iter().collect();
        Ok(sorted.into_iter().collect())
    }
}

/// Sorts runs by begin and sequence. They mostly are already: days are read in order, and what came
/// late is the exception.
fn put_in_order(keys: &[(i64, u64)], runs: &mut Vec<Run>) {
    if keys.is_sorted() {
        return;
    }
    let mut all: Vec<_> = keys.iter().zip(std::mem::take(runs)).collect();
    all.sort_by_key(|(key, _)| **key);
    runs.extend(all.into_iter().map(|(_, run)| run));
}

/// The gap for a file that cannot be read at all.
fn gap_of(file: &DayFile, error: &StoreError) -> Gap {
    let (from, to) = file.span();
    tracing::error!(path = %file.path.display(), %error, "a day cannot be read");
    Gap {
        from: time(from),
        to: time(to),
        reason: format!("`{}` cannot be read: {error}", file.path.display()),
    }
}
