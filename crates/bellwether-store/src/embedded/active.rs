//! The day file that is written to: what of it is in memory, and how envelopes get in.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bellwether_model::Envelope;
use rusqlite::{Connection, params};

use super::day::{
    self, DayFile, SeriesRow, Tally, cursor_crc, free_series_key, put_series, set_meta, set_tally,
    word_crc,
};
use super::envelope::{self, Arena};
use super::names::{Names, New, Word, series_name, series_of};
use super::sqlite;
use crate::codec::row::Row;
use crate::{Appended, Cursor, StoreError};

/// The day file that is written to.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) file: Arc<DayFile>,
    names: Names,
    cursors: HashMap<Arc<str>, Cursor>,
    /// Envelopes in the inbox.
    pub(crate) inbox: Tally,
    next_inbox: i64,
    /// All of the above may differ from the file: it is read again before it is used.
    pub(crate) stale: bool,
}

/// What a transaction adds.
#[derive(Debug, Default)]
struct Batch {
    new: New,
    /// Rows of each envelope.
    envelopes: Vec<Vec<(u32, Row)>>,
    cursors: HashMap<Arc<str>, Cursor>,
    appended: Appended,
}

impl Active {
    /// Makes the file of a day, with the cursors of the one before. What is not ready in its first
    /// transaction is no day file.
    pub(crate) fn create(
        dir: &Path,
        day: i32,
        cursors: &HashMap<Arc<str>, Cursor>,
    ) -> Result<Self, StoreError> {
        let path = DayFile::path_in(dir, day);
        super::files::remove(&path)?;
        drop(sqlite::create(&path, &day::KIND)?);
        let file = DayFile::new(dir, day);
        {
            let mut writer = sqlite::lock(&file.writer);
            let connection = file.open_writer(&mut writer)?;
            let transaction = connection.transaction().map_err(|error| file.fail(error))?;
            for (agent, cursor) in cursors {
                put_cursor(&transaction, agent, *cursor).map_err(|error| file.fail(error))?;
            }
            set_meta(&transaction, "ready", i64::from(day), 0).map_err(|error| file.fail(error))?;
            transaction.commit().map_err(|error| file.fail(error))?;
        }
        super::files::sync_dir(&dir.join("results"))?;
        let (active, _) = Self::load(Arc::new(DayFile::new(dir, day)))?;
        Ok(active)
    }

    /// Reads a file that is there, and what waits in its inbox. An envelope that is damaged is put
    /// where it is known as such.
    pub(crate) fn load(file: Arc<DayFile>) -> Result<(Self, Arena), StoreError> {
        let mut guard = sqlite::lock(&file.writer);
        *guard = None;
        let connection = file.open_writer(&mut guard)?;
        *sqlite::lock(&file.identity) = super::files::identity(&file.path);
        file.readers.warm()?;
        let mut active = Self {
            file: file.clone(),
            names: Names::default(),
            cursors: HashMap::new(),
            inbox: file.tally(connection, "inbox")?,
            next_inbox: file
                .meta(connection, "next_inbox")?
                .map_or(1, |(next, _)| next),
            stale: false,
        };
        active.load_names(connection)?;
        active.load_cursors(connection)?;
        let arena = active.load_inbox(connection)?;
        drop(guard);
        Ok((active, arena))
    }

    /// Reads the file again after a failed write.
    pub(crate) fn reload(&mut self) -> Result<Arena, StoreError> {
        let (active, arena) = Self::load(self.file.clone())?;
        *self = active;
        Ok(arena)
    }

    fn load_names(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let file = self.file.clone();
        let names = &mut self.names;
        file.each_series(connection, |series| {
            if let Some((check, vantage)) = series_of(&series.name) {
                names.add_series(series.id, check, vantage);
            }
        })?;
        let fail = |error| file.fail(error);
        let mut statement = connection
            .prepare("SELECT id, data, crc FROM word ORDER BY id")
            .map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        let mut next = 1;
        while let Some(row) = rows.next().map_err(fail)? {
            let read = (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))();
            let (id, data, crc): (u32, Vec<u8>, u32) = read.map_err(fail)?;
            let word = Word::from_bytes(&data).filter(|_| crc == word_crc(id, &data) && id == next);
            names.add_word(
                id,
                word.ok_or_else(|| file.damaged("a word does not hold"))?,
            );
            next += 1;
        }
        drop(rows);
        let (words, _) = file.meta(connection, "words")?.unwrap_or((0, 0));
        if words != i64::from(next) - 1 {
            return Err(file.damaged("words are missing"));
        }
        Ok(())
    }

    fn load_cursors(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for (agent, cursor) in read_cursors(connection, &self.file)? {
            self.cursors.insert(agent, cursor);
        }
        Ok(())
    }

    fn load_inbox(&mut self, connection: &mut Connection) -> Result<Arena, StoreError> {
        let file = self.file.clone();
        let fail = |error| file.fail(error);
        let mut arena = Arena::default();
        let mut bad = Vec::new();
        let mut found = Tally::default();
        {
            let mut statement = connection
                .prepare("SELECT id, data FROM inbox ORDER BY id")
                .map_err(fail)?;
            let mut rows = statement.query([]).map_err(fail)?;
            while let Some(row) = rows.next().map_err(fail)? {
                let id: i64 = row.get(0).map_err(fail)?;
                let data: Vec<u8> = row.get(1).map_err(fail)?;
                found.add(envelope::crc_of(&data));
                self.next_inbox = self.next_inbox.max(id.saturating_add(1));
                match envelope::decode(id, &data) {
                    Some(rows) => rows
                        .iter()
                        .for_each(|(series, row)| arena.push(*series, row)),
                    None => bad.push((id, data)),
                }
            }
        }
        arena.through = self.next_inbox - 1;
        arena.tally = found;
        if found.rows != self.inbox.rows || (bad.is_empty() && found != self.inbox) {
            return Err(file.damaged("an envelope is missing"));
        }
        if bad.is_empty() {
            return Ok(arena);
        }
        let transaction = connection.transaction().map_err(fail)?;
        for (id, data) in bad {
            tracing::error!(path = %file.path.display(), id, "an envelope is damaged");
            found.remove(envelope::crc_of(&data));
            transaction
                .execute("DELETE FROM inbox WHERE id = ?", [id])
                .and_then(|_| put_bad(&transaction, None, "an envelope is damaged", &data))
                .map_err(fail)?;
        }
        set_tally(&transaction, "inbox", found).map_err(fail)?;
        transaction.commit().map_err(fail)?;
        self.inbox = found;
        arena.tally = found;
        Ok(arena)
    }

    /// The last envelope of an agent.
    pub(crate) fn cursor(&self, agent: &str) -> Cursor {
        self.cursors.get(agent).copied().unwrap_or_default()
    }

    /// The last envelope of each agent.
    pub(crate) fn cursors(&self) -> &HashMap<Arc<str>, Cursor> {
        &self.cursors
    }

    /// Keeps envelopes in one transaction; what is new goes into the head as soon as it is durable.
    pub(crate) fn append(
        &mut self,
        envelopes: &[Envelope],
        push: impl FnOnce(&[Vec<(u32, Row)>], i64, Tally),
    ) -> Result<Appended, StoreError> {
        let batch = self.batch(envelopes);
        if batch.envelopes.is_empty() {
            return Ok(batch.appended);
        }
        let file = self.file.clone();
        let mut writer = sqlite::lock(&file.writer);
        let connection = file.open_writer(&mut writer)?;
        let written = self.write(connection, &batch);
        let inbox = match written {
            Ok(inbox) => inbox,
            Err(error) => {
                let error = file.fail(error);
                if matches!(error, StoreError::Write { .. }) {
                    *writer = None;
                    self.stale = true;
                }
                return Err(error);
            }
        };
        self.next_inbox += batch.envelopes.len() as i64;
        let added = Tally {
            rows: inbox.rows - self.inbox.rows,
            sum: inbox.sum ^ self.inbox.sum,
        };
        self.inbox = inbox;
        push(&batch.envelopes, self.next_inbox - 1, added);
        self.cursors.extend(batch.cursors);
        self.names.keep(batch.new);
        Ok(batch.appended)
    }

    /// What is new of envelopes, in the order of their numbers.
    fn batch(&self, envelopes: &[Envelope]) -> Batch {
        let mut batch = Batch::default();
        let mut sorted: Vec<&Envelope> = envelopes.iter().collect();
        sorted.sort_by_key(|envelope| (envelope.agent.clone(), envelope.number));
        for envelope in sorted {
            let known = batch.cursors.get(&envelope.agent).copied();
            let Cursor { number, .. } = known.unwrap_or_else(|| self.cursor(&envelope.agent));
            if envelope.number <= number {
                batch.appended.repeated += 1;
                continue;
            }
            let missing = envelope.number - number - 1;
            batch.appended.missing = batch.appended.missing.saturating_add(missing);
            batch.appended.runs += envelope.runs.len();
            let boot = self
                .names
                .boot(&mut batch.new, &envelope.agent, envelope.boot);
            let mut rows = Vec::with_capacity(envelope.runs.len());
            for run in &envelope.runs {
                let series = self.names.series(&mut batch.new, &run.check, &run.vantage);
                rows.push((series, self.names.row(&mut batch.new, boot, run)));
            }
            batch.envelopes.push(rows);
            let cursor = Cursor {
                number: envelope.number,
                boot: envelope.boot,
            };
            batch.cursors.insert(envelope.agent.clone(), cursor);
        }
        batch
    }

    fn write(&self, connection: &mut Connection, batch: &Batch) -> rusqlite::Result<Tally> {
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        put_new(&transaction, &batch.new)?;
        let mut inbox = self.inbox;
        {
            let mut statement =
                transaction.prepare_cached("INSERT INTO inbox (id, data) VALUES (?, ?)")?;
            for (index, rows) in batch.envelopes.iter().enumerate() {
                let id = self.next_inbox + index as i64;
                let data = envelope::encode(id, rows);
                inbox.add(envelope::crc_of(&data));
                statement.execute(params![id, data])?;
            }
        }
        for (agent, cursor) in &batch.cursors {
            put_cursor(&transaction, agent, *cursor)?;
        }
        let next = self.next_inbox + batch.envelopes.len() as i64;
        set_meta(&transaction, "next_inbox", next, 0)?;
        set_tally(&transaction, "inbox", inbox)?;
        transaction.commit()?;
        Ok(inbox)
    }
}

/// Writes names that are new.
fn put_new(connection: &Connection, new: &New) -> rusqlite::Result<()> {
    for (id, word) in &new.words {
        let data = word.to_bytes();
        connection
            .prepare_cached("INSERT INTO word (id, data, crc) VALUES (?, ?, ?)")?
            .execute(params![id, data, word_crc(*id, &data)])?;
    }
    if let Some((last, _)) = new.words.last() {
        set_meta(connection, "words", i64::from(*last), 0)?;
    }
    if new.series.is_empty() {
        return Ok(());
    }
    let (rows, sum): (i64, u32) = connection
        .prepare_cached("SELECT a, b FROM meta WHERE key = 'series'")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .or_else(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => Ok((0, 0)),
            other => Err(other),
        })?;
    let mut tally = Tally { rows, sum };
    for (id, check, vantage) in &new.series {
        let name = series_name(check, vantage);
        let series = SeriesRow {
            key: free_series_key(connection, &name)?,
            id: *id,
            name,
            hours: std::collections::BTreeSet::new(),
        };
        tally.add(series.crc());
        put_series(connection, &series)?;
    }
    set_tally(connection, "series", tally)
}

/// Cursors of a file.
pub(crate) fn read_cursors(
    connection: &Connection,
    file: &DayFile,
) -> Result<Vec<(Arc<str>, Cursor)>, StoreError> {
    let fail = |error| file.fail(error);
    let mut statement = connection
        .prepare("SELECT * FROM cursor ORDER BY agent")
        .map_err(fail)?;
    // Files that were closed by 0.1 have no such column, and are not written to.
    let boot = statement.column_index("boot").ok();
    let mut rows = statement.query([]).map_err(fail)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let read = (|| {
            let boot = boot.map_or(Ok(0), |boot| row.get(boot))?;
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, boot))
        })();
        let (agent, envelope, crc, boot): (String, i64, u32, i64) = read.map_err(fail)?;
        if crc != cursor_crc(&agent, envelope, boot) {
            return Err(file.damaged("the cursor of an agent does not hold"));
        }
        let (number, boot) = (envelope as u64, boot as u64);
        found.push((agent.into(), Cursor { number, boot }));
    }
    Ok(found)
}

fn put_cursor(connection: &Connection, agent: &str, cursor: Cursor) -> rusqlite::Result<()> {
    let (envelope, boot) = (cursor.number as i64, cursor.boot as i64);
    let crc = cursor_crc(agent, envelope, boot);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO cursor (agent, envelope, crc, boot) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![agent, envelope, crc, boot])?;
    Ok(())
}

/// Puts what is damaged where it is known as such: with the hour and series it was of, if they are
/// known.
pub(crate) fn put_bad(
    connection: &Connection,
    of: Option<(i64, u32)>,
    reason: &str,
    data: &[u8],
) -> rusqlite::Result<()> {
    let (hour, series) = of.unzip();
    connection
        .prepare_cached("INSERT INTO bad (hour, series, reason, data) VALUES (?, ?, ?, ?)")?
        .execute(params![hour, series, reason, data])?;
    Ok(())
}

/// Whether a file's first transaction was finished.
pub(crate) fn is_ready(connection: &Connection, file: &DayFile) -> Result<bool, StoreError> {
    Ok(file.meta(connection, "ready")?.map(|(day, _)| day) == Some(i64::from(file.day)))
}

// The day's own bounds, for gaps.
impl DayFile {
    /// From when to when it is of, microseconds since 1970.
    pub(crate) fn span(&self) -> (i64, i64) {
        let from = i64::from(self.day) * day::DAY;
        (from, from + day::DAY)
    }
}
