//! Reading a whole data directory through: every checksum, every tally, every manifest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::active::read_cursors;
use super::day::{self, DayFile, Tally, block_of, hour_crc, part_crc_key, word_crc};
use super::envelope;
use super::files;
use super::names::Word;
use super::rollups;
use super::sqlite::{self, quick_check};
use super::state::{self, State};
use super::wal::{self, Tail};
use crate::StoreError;
use crate::codec::block;
use crate::codec::row::Row;

/// What reading everything through came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that were read.
    pub files: usize,
    /// Runs that were read.
    pub runs: u64,
    /// What is wrong; empty if all is well.
    pub problems: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: PathBuf,
    /// What, in words.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`: {}", self.path.display(), self.what)
    }
}

impl Report {
    fn problem(&mut self, path: &Path, what: impl std::fmt::Display) {
        self.problems.push(Problem {
            path: path.to_owned(),
            what: what.to_string(),
        });
    }
}

/// Reads a data directory through. It may be in use: each file is read as of one moment.
///
/// # Errors
/// The directory cannot be read, or its files are of a newer program. What is wrong with them is no
/// error but a [`Problem`].
pub fn check(dir: &Path) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let state_path = dir.join("state.db");
    let mut expected = Vec::new();
    match open(&state_path, &state::KIND, &mut report)? {
        Some(connection) => {
            for what in State::verify_all(&connection, &state_path) {
                report.problem(&state_path, what);
            }
            expected = State::days_in(&connection, &state_path).unwrap_or_default();
        }
        None => report.problem(&state_path, "it cannot be read"),
    }
    let results = dir.join("results");
    let mut found = Vec::new();
    let entries = fs::read_dir(&results).map_err(|error| StoreError::io(&results, error))?;
    for entry in entries {
        let name = entry
            .map_err(|error| StoreError::io(&results, error))?
            .file_name();
        let Some(name) = name.to_str() else { continue };
        if name.contains(".damaged") && name.ends_with("damaged") {
            report.problem(&results.join(name), "it was set aside");
        }
        found.extend(name.strip_suffix(".db").and_then(day::day_named));
    }
    found.sort_unstable();
    for &day in &found {
        check_day(&DayFile::new(dir, day), &mut report)?;
    }
    for (day, wrong) in expected {
        let path = DayFile::path_in(dir, day);
        match wrong {
            Some(wrong) => report.problem(&path, wrong),
            None if !found.contains(&day) => report.problem(&path, "it is missing"),
            None => {}
        }
    }
    let rollup_path = dir.join("rollup.db");
    if let Some(connection) = open(&rollup_path, &rollups::KIND, &mut report)? {
        for what in rollups::verify_all(&connection, &rollup_path) {
            report.problem(&rollup_path, what);
        }
    }
    Ok(report)
}

/// Opens a file for reading, and says what the engine finds wrong with it.
fn open(
    path: &Path,
    kind: &sqlite::Kind,
    report: &mut Report,
) -> Result<Option<Connection>, StoreError> {
    if !path.exists() {
        report.problem(path, "it is missing");
        return Ok(None);
    }
    report.files += 1;
    match wal::inspect(&files::beside(path, "-wal"))? {
        Tail::Whole => {}
        Tail::Torn => tracing::info!(path = %path.display(), "the end of its log does not hold"),
        Tail::Damaged(what) => report.problem(path, what),
    }
    let opened = sqlite::open_reader(path).and_then(|connection| {
        let fail = |error| StoreError::sqlite(path, error);
        let schema = sqlite::refuse_newer(&connection, path, kind)?;
        let checked = quick_check(&connection, None).map_err(fail)?;
        let differs = sqlite::schema_differs(&connection, kind, schema).map_err(fail)?;
        Ok((connection, checked.into_iter().chain(differs)))
    });
    match opened {
        Ok((connection, wrong)) => {
            for what in wrong {
                report.problem(path, what);
            }
            let begun = connection.execute_batch("BEGIN");
            begun.map_err(|error| StoreError::sqlite(path, error))?;
            Ok(Some(connection))
        }
        Err(error @ StoreError::Newer { .. }) => Err(error),
        Err(error) => {
            report.problem(path, error);
            Ok(None)
        }
    }
}

fn check_day(file: &DayFile, report: &mut Report) -> Result<(), StoreError> {
    let Some(connection) = open(&file.path, &day::KIND, report)? else {
        return Ok(());
    };
    let mut check = CheckDay {
        file,
        connection: &connection,
        words: 0,
        series: BTreeMap::new(),
        manifest: BTreeMap::new(),
        blocks: 0,
        report,
    };
    let done = [
        check.names(),
        check.words(),
        check.inbox(),
        check.parts(),
        check.blocks(),
        check.hours(),
        check.rest(),
    ];
    for error in done.into_iter().filter_map(Result::err) {
        report.problem(&file.path, error);
    }
    Ok(())
}

/// A day file that is read through.
struct CheckDay<'a> {
    file: &'a DayFile,
    connection: &'a Connection,
    words: u32,
    /// Hours of each series that should have a block.
    series: BTreeMap<u32, std::collections::BTreeSet<i64>>,
    /// Blocks, runs and checksums by the hour, as they are.
    manifest: BTreeMap<i64, (i64, i64, u32)>,
    blocks: usize,
    report: &'a mut Report,
}

impl CheckDay<'_> {
    fn problem(&mut self, what: impl std::fmt::Display) {
        self.report.problem(&self.file.path, what);
    }

    /// Calls for each row of a table of numbered data.
    fn each(
        &mut self,
        table: &str,
        mut with: impl FnMut(&mut Self, i64, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let fail = |error| self.file.fail(error);
        let connection = self.connection;
        let mut statement = connection
            .prepare(&format!("SELECT id, data FROM {table} ORDER BY id"))
            .map_err(fail)?;
        let file = self.file;
        let fail = |error| file.fail(error);
        let mut rows = statement.query([]).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            let id: i64 = row.get(0).map_err(fail)?;
            let data: Vec<u8> = row.get(1).map_err(fail)?;
            with(self, id, &data)?;
        }
        Ok(())
    }

    fn names(&mut self) -> Result<(), StoreError> {
        let series = &mut self.series;
        self.file.each_series(self.connection, |row| {
            series.insert(row.id, row.hours);
        })
    }

    fn words(&mut self) -> Result<(), StoreError> {
        let (file, connection) = (self.file, self.connection);
        let fail = |error| file.fail(error);
        let mut statement = connection
            .prepare("SELECT id, data, crc FROM word ORDER BY id")
            .map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            let read = (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))();
            let (id, data, crc): (u32, Vec<u8>, u32) = read.map_err(fail)?;
            self.words += 1;
            if id != self.words || crc != word_crc(id, &data) || Word::from_bytes(&data).is_none() {
                self.problem(format!("word {id} does not hold"));
            }
        }
        let (expected, _) = file.meta(connection, "words")?.unwrap_or((0, 0));
        if expected != i64::from(self.words) {
            self.problem(format!("{} words of {expected} are there", self.words));
        }
        Ok(())
    }

    fn inbox(&mut self) -> Result<(), StoreError> {
        let mut found = Tally::default();
        self.each("inbox", |check, id, data| {
            found.add(envelope::crc_of(data));
            match envelope::decode(id, data) {
                Some(rows) => {
                    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
                    check.rows(&rows);
                }
                None => check.problem(format!("envelope {id} does not hold")),
            }
            Ok(())
        })?;
        self.compare("inbox", found)
    }

    fn parts(&mut self) -> Result<(), StoreError> {
        let mut found = Tally::default();
        self.each("part", |check, id, data| {
            found.add(block::crc_of(data));
            match block::decode(part_crc_key(id), data) {
                Ok(rows) => check.rows(&rows),
                Err(error) => check.problem(format!("part {id}: {error}")),
            }
            Ok(())
        })?;
        self.compare("part", found)
    }

    fn blocks(&mut self) -> Result<(), StoreError> {
        self.each("block", |check, id, data| {
            let (hour, series) = block_of(id);
            check.blocks += 1;
            if !check
                .series
                .get(&series)
                .is_some_and(|hours| hours.contains(&hour))
            {
                check.problem(format!("block {id} is of no series"));
            }
            match block::decode(id as u64, data) {
                Ok(rows) => {
                    let entry = check.manifest.entry(hour).or_default();
                    entry.0 += 1;
                    entry.1 += rows.len() as i64;
                    entry.2 ^= block::crc_of(data);
                    check.rows(&rows);
                }
                Err(error) => check.problem(format!("block {id}: {error}")),
            }
            Ok(())
        })?;
        let expected: usize = self
            .series
            .values()
            .map(std::collections::BTreeSet::len)
            .sum();
        if expected != self.blocks {
            self.problem(format!("{} blocks of {expected} are there", self.blocks));
        }
        Ok(())
    }

    fn hours(&mut self) -> Result<(), StoreError> {
        let (file, connection) = (self.file, self.connection);
        let fail = |error| file.fail(error);
        let mut statement = connection
            .prepare("SELECT hour, blocks, results, sum, crc FROM hour ORDER BY hour")
            .map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            let read = (|| {
                Ok((
                    row.get(0)?,
                    (row.get(1)?, row.get(2)?, row.get(3)?),
                    row.get(4)?,
                ))
            })();
            let (hour, manifest, crc): (i64, (i64, i64, u32), u32) = read.map_err(fail)?;
            if crc != hour_crc(hour, manifest.0, manifest.1, manifest.2) {
                self.problem(format!("the manifest of hour {hour} does not hold"));
            }
            if self.manifest.remove(&hour) != Some(manifest) {
                self.problem(format!("hour {hour} does not hold what its manifest says"));
            }
        }
        if let Some(hour) = self.manifest.keys().next() {
            self.problem(format!("hour {hour} has no manifest"));
        }
        Ok(())
    }

    fn rest(&mut self) -> Result<(), StoreError> {
        read_cursors(self.connection, self.file)?;
        let bad: i64 = self
            .connection
            .query_row("SELECT count(*) FROM bad", [], |row| row.get(0))
            .map_err(|error| self.file.fail(error))?;
        if bad > 0 {
            self.problem(format!("{bad} pieces were found damaged before"));
        }
        if !super::active::is_ready(self.connection, self.file)? {
            self.problem("it was not finished");
        }
        Ok(())
    }

    fn compare(&mut self, table: &str, found: Tally) -> Result<(), StoreError> {
        let expected = self.file.tally(self.connection, table)?;
        if found != expected {
            self.problem(format!(
                "{table}: {} rows of {} are there",
                found.rows, expected.rows
            ));
        }
        Ok(())
    }

    /// Looks whether the words of runs are there.
    fn rows(&mut self, rows: &[Row]) {
        self.report.runs += rows.len() as u64;
        let known = |id: u32| id <= self.words;
        let all = |row: &Row| {
            [
                row.boot,
                row.symptom,
                row.resolver,
                row.address,
                row.certificate,
            ]
            .into_iter()
            .all(known)
        };
        if !rows.iter().all(all) {
            self.problem("a word of a run is missing");
        }
    }
}
