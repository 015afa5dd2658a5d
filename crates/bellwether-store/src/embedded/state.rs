//! `state.db`: incidents, evidence, the outbox, checkpoints, tokens, counters, generations.

mod draft;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bellwether_model::incident::IncidentState;
use bellwether_model::{Digest, Incident};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ledger::{self, Ledger, Table, damaged};
use super::reserve::Reserve;
use super::sqlite::{self, Kind, Readers, lock};
use super::{evidence, files};
use crate::state::{Change, CounterRow, Notice, Token};
use crate::{StoreError, error};
use draft::Draft;

/// The file's kind: `bwS1`, 4 KiB pages because its rows are small and its commits single.
pub(crate) const KIND: Kind = Kind {
    application: 0x6277_5331,
    page: 4096,
    cache_kib: 4096,
    synchronous: "FULL",
    auto_vacuum: "INCREMENTAL",
    migrations: &[Table::SCHEMA, Table::APART],
};

/// `state.db`.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    readers: Readers,
    writer: Mutex<Writer>,
    known: Mutex<Known>,
    /// Large tables that were found whole since the start.
    verified: Mutex<BTreeSet<&'static str>>,
    reserve: Arc<Reserve>,
    /// Which file it was that was opened.
    identity: Mutex<Option<(u64, u64)>>,
}

#[derive(Debug)]
struct Writer {
    /// None after a failed write: opened again, and checked, before the next.
    connection: Option<Connection>,
    ledger: Ledger,
}

/// What is asked for again and again.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Incidents that are not resolved.
    open: BTreeSet<u64>,
    /// Notices that are not sent.
    unsent: BTreeSet<u64>,
    /// The greatest number of an incident.
    last_incident: u64,
    /// The greatest number of a notice.
    last_notice: u64,
    /// Day files that must be there, with what is wrong with them.
    days: Vec<(i32, Option<String>)>,
}

/// A notice with when it was sent.
#[derive(Debug, Serialize, Deserialize)]
struct Posted {
    notice: Notice,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct GenerationRow {
    at: Timestamp,
    digest: Digest,
}

/// All keys.
const ALL: (&[u8], &[u8]) = (&[], &[0xff; 9]);

impl State {
    /// Opens or makes it, and reads the small tables through once.
    pub(crate) fn open(path: &Path, reserve: Arc<Reserve>) -> Result<Self, StoreError> {
        let connection = sqlite::create(path, &KIND)?;
        if let Some(what) =
            sqlite::quick_check(&connection, None).map_err(|e| StoreError::sqlite(path, e))?
        {
            return Err(StoreError::Damaged {
                path: path.to_owned(),
                what,
                cure: error::RESTORE,
            });
        }
        let ledger = Ledger::load(&connection, path)?;
        let known = Known::load(&connection, path, &ledger)?;
        let readers = Readers::new(path);
        readers.warm()?;
        Ok(Self {
            path: path.to_owned(),
            readers,
            writer: Mutex::new(Writer {
                connection: Some(connection),
                ledger,
            }),
            known: Mutex::new(known),
            verified: Mutex::default(),
            reserve,
            identity: Mutex::new(files::identity(path)),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Changes all or nothing. Out of space, the reserve is given up for it once.
    fn change(
        &self,
        apply: impl Fn(&mut Draft<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        if !self.is_there() {
            return Err(StoreError::taken_away(&self.path));
        }
        let first = self.attempt(&mut writer, &apply);
        match first {
            Err(error) if error.is_full() && self.reserve.release() => {
                self.attempt(&mut writer, &apply)
            }
            other => other,
        }
    }

    fn attempt(
        &self,
        writer: &mut Writer,
        apply: &impl Fn(&mut Draft<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if writer.connection.is_none() {
            self.reopen(writer)
                .map_err(|error| self.reserve.judge(&self.path, error))?;
        }
        let known = lock(&self.known).clone();
        let connection = writer.connection.as_mut().expect("opened above");
        let fail = |error| StoreError::sqlite(&self.path, error);
        let done = (|| {
            let transaction = connection
                .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
                .map_err(fail)?;
            let mut draft = Draft {
                connection: &transaction,
                path: &self.path,
                ledger: writer.ledger.clone(),
                known,
            };
            apply(&mut draft)?;
            let Draft { ledger, known, .. } = draft;
            ledger.store(&transaction, &writer.ledger).map_err(fail)?;
            transaction.commit().map_err(fail)?;
            Ok((ledger, known))
        })();
        match done {
            Ok((ledger, known)) => {
                writer.ledger = ledger;
                *lock(&self.known) = known;
                Ok(())
            }
            Err(error) => {
                // After a failed write nobody knows what the system still holds of it: what this
                // connection believes is not used again.
                if matches!(error, StoreError::Write { .. }) {
                    writer.connection = None;
                }
                Err(self.reserve.judge(&self.path, error))
            }
        }
    }

    /// Opens the file again from what is durable.
    fn reopen(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let connection = sqlite::open_writer(&self.path, &KIND)?;
        sqlite::checkpoint(&connection, &self.path)?;
        let ledger = Ledger::load(&connection, &self.path)?;
        *lock(&self.known) = Known::load(&connection, &self.path, &ledger)?;
        writer.ledger = ledger;
        writer.connection = Some(connection);
        Ok(())
    }

    /// Whether its path still leads to what is open.
    pub(crate) fn is_there(&self) -> bool {
        files::identity(&self.path) == *lock(&self.identity)
    }

    /// Writes the file anew from what is open, because its path leads elsewhere by now.
    pub(crate) fn rescue(&self) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let Some(connection) = &writer.connection else {
            return Err(self.damage("it is gone, and was not open to be written anew"));
        };
        files::write_anew(connection, &self.path)?;
        writer.connection = None;
        self.readers.close();
        *lock(&self.identity) = files::identity(&self.path);
        self.reopen(&mut writer)?;
        self.readers.warm()
    }

    /// Copies all of it, as of now, into a new file.
    pub(crate) fn copy_to(&self, to: &Path) -> Result<(), StoreError> {
        files::vacuum_into(&self.readers, to)
    }

    fn damage(&self, what: &str) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            what: what.to_owned(),
            cure: error::RESTORE,
        }
    }

    fn get<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.bytes(table, key)?
            .map(|data| parse(&self.path, table, &data))
            .transpose()
    }

    fn bytes(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let lent = self.readers.begin()?;
        let found = ledger::get(lent.connection(), &self.path, table, key)?;
        if found.is_none() {
            self.verify_once(table)?;
        }
        Ok(found)
    }

    fn range(
        &self,
        table: Table,
        keys: (&[u8], &[u8]),
        order: &'static str,
        most: usize,
    ) -> Result<Vec<ledger::Entry>, StoreError> {
        self.verify_once(table)?;
        let lent = self.readers.begin()?;
        ledger::range(lent.connection(), &self.path, table, keys, order, most)
    }

    /// A row that is not found may never have been, or may be lost: a large table is read through
    /// before "there is none" is said for the first time. Small ones were at the start.
    fn verify_once(&self, table: Table) -> Result<(), StoreError> {
        if Table::SMALL.contains(&table) || lock(&self.verified).contains(table.name()) {
            return Ok(());
        }
        let lent = self.readers.begin()?;
        let ledger = Ledger::load(lent.connection(), &self.path)?;
        ledger.verify(lent.connection(), &self.path, table, |_, _| ())?;
        lock(&self.verified).insert(table.name());
        Ok(())
    }

    /// Reads everything through: what is wrong, in words.
    pub(crate) fn verify_all(connection: &Connection, path: &Path) -> Vec<String> {
        let ledger = match Ledger::load(connection, path) {
            Ok(ledger) => ledger,
            Err(error) => return vec![error.to_string()],
        };
        let mut problems = Vec::new();
        for table in Table::ALL {
            let mut broken = 0;
            let verified = ledger.verify(connection, path, table, |key, data| {
                broken += usize::from(!sound(table, key, data));
            });
            problems.extend(verified.err().map(|error| error.to_string()));
            if broken > 0 {
                problems.push(format!(
                    "table {}: {broken} rows cannot be read",
                    table.name()
                ));
            }
        }
        problems
    }

    /// Day files that must be there, from a file that is only read.
    pub(crate) fn days_in(
        connection: &Connection,
        path: &Path,
    ) -> Result<Vec<(i32, Option<String>)>, StoreError> {
        let ledger = Ledger::load(connection, path)?;
        Ok(Known::load(connection, path, &ledger)?.days)
    }

    // What the trait asks for.

    pub(crate) fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        // Compressing takes no lock, and is not done twice.
        let packed: Vec<Option<evidence::Piece>> = changes.iter().map(evidence::pack).collect();
        self.change(|draft| {
            for (change, packed) in changes.iter().zip(&packed) {
                draft.apply(change, packed.as_ref())?;
            }
            Ok(())
        })
    }

    pub(crate) fn incident(&self, id: u64) -> Result<Option<Incident>, StoreError> {
        self.get(Table::Incident, &id.to_be_bytes())
    }

    pub(crate) fn open_incidents(&self) -> Result<Vec<Incident>, StoreError> {
        let open = lock(&self.known).open.clone();
        let incidents: Vec<_> = open
            .into_iter()
            .map(|id| self.incident(id))
            .collect::<Result<_, _>>()?;
        // One that was resolved since the numbers were read is none of them.
        let unresolved = |incident: &Incident| incident.state != IncidentState::Resolved;
        Ok(incidents.into_iter().flatten().filter(unresolved).collect())
    }

    pub(crate) fn incidents(
        &self,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<Incident>, StoreError> {
        let to = before.map_or(ALL.1.to_vec(), |before| before.to_be_bytes().to_vec());
        self.range(Table::Incident, (&[], &to), "DESC", most)?
            .iter()
            .map(|(_, data)| parse(&self.path, Table::Incident, data))
            .collect()
    }

    pub(crate) fn next_incident(&self) -> u64 {
        lock(&self.known).last_incident + 1
    }

    pub(crate) fn evidence(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.bytes(Table::Evidence, &digest.0)?
            .map(|data| {
                let bytes = evidence::unpack(&data);
                bytes.ok_or_else(|| damaged(&self.path, Table::Evidence, "a piece does not unpack"))
            })
            .transpose()
    }

    pub(crate) fn checkpoint(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.bytes(Table::Checkpoint, key.as_bytes())
    }

    pub(crate) fn checkpoints(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let from = prefix.as_bytes();
        // No UTF-8 text has this byte: everything that begins so is below.
        let to = [from, &[0xff]].concat();
        self.range(Table::Checkpoint, (from, &to), "ASC", usize::MAX)?
            .into_iter()
            .map(|(key, data)| {
                let key = String::from_utf8(key);
                let key =
                    key.map_err(|_| damaged(&self.path, Table::Checkpoint, "a key is no text"));
                Ok((key?, data))
            })
            .collect()
    }

    pub(crate) fn outbox(&self, most: usize) -> Result<Vec<Notice>, StoreError> {
        let unsent: Vec<u64> = lock(&self.known)
            .unsent
            .iter()
            .copied()
            .take(most)
            .collect();
        let mut notices = Vec::with_capacity(unsent.len());
        for id in unsent {
            let posted: Option<Posted> = self.get(Table::Notice, &id.to_be_bytes())?;
            notices.extend(
                posted
                    .filter(|posted| posted.sent.is_none())
                    .map(|p| p.notice),
            );
        }
        Ok(notices)
    }

    pub(crate) fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.range(Table::Token, (&[], &[0xff]), "ASC", usize::MAX)?
            .iter()
            .map(|(_, data)| parse(&self.path, Table::Token, data))
            .collect()
    }

    pub(crate) fn counters(
        &self,
        service: &str,
        range: Range<Timestamp>,
    ) -> Result<Vec<CounterRow>, StoreError> {
        let from = window_key(service, range.start.as_nanosecond().saturating_add(1));
        let to = window_key(service, i128::MAX);
        let rows = self.range(Table::Counter, (&from, &to), "ASC", usize::MAX)?;
        let mut counters = Vec::with_capacity(rows.len());
        for (_, data) in rows {
            let row: CounterRow = parse(&self.path, Table::Counter, &data)?;
            if row.from < range.end {
                counters.push(row);
            }
        }
        Ok(counters)
    }

    // What the other half and retention ask for.

    /// Day files that must be there, with what is wrong with them.
    pub(crate) fn days(&self) -> Vec<(i32, Option<String>)> {
        lock(&self.known).days.clone()
    }

    /// Notes that a day file must be there, or what is wrong with it.
    pub(crate) fn set_day(&self, day: i32, wrong: Option<&str>) -> Result<(), StoreError> {
        self.change(|draft| draft.set_day(day, Some(wrong)))
    }

    /// Forgets a day.
    pub(crate) fn forget_day(&self, day: i32) -> Result<(), StoreError> {
        self.change(|draft| draft.set_day(day, None))
    }

    /// Drops what is older: evidence that no incident needs, notices that were sent, counters.
    pub(crate) fn drop_before(&self, raw: Timestamp, rollups: Timestamp) -> Result<(), StoreError> {
        let needed = self.needed_evidence(rollups)?;
        let old_evidence: Vec<Vec<u8>> = {
            let to = evidence::at_key(raw, &Digest([0; 32]));
            let found = self.range(Table::EvidenceAt, (&[], &to), "ASC", usize::MAX)?;
            let dropped = |key: &Vec<u8>| {
                evidence::digest_of(key).is_some_and(|digest| !needed.contains(&digest))
            };
            found
                .into_iter()
                .map(|(key, _)| key)
                .filter(dropped)
                .collect()
        };
        let old_counters = self.old_counters(raw)?;
        let old_notices = self.old_notices(raw)?;
        let all: Vec<(Table, Vec<u8>)> = old_evidence
            .into_iter()
            .map(|key| (Table::EvidenceAt, key))
            .chain(old_counters.into_iter().map(|key| (Table::Counter, key)))
            .chain(old_notices.into_iter().map(|key| (Table::Notice, key)))
            .collect();
        for chunk in all.chunks(DROPS_PER_TRANSACTION) {
            self.change(|draft| {
                for (table, key) in chunk {
                    draft.remove(*table, key)?;
                    if let (Table::EvidenceAt, Some(digest)) = (table, evidence::digest_of(key)) {
                        draft.remove(Table::Evidence, &digest.0)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Drops evidence from before a time that no incident names, the oldest first, until about so
    /// many bytes are free in the file. How many pieces.
    pub(crate) fn drop_unnamed(&self, before: Timestamp, bytes: u64) -> Result<usize, StoreError> {
        let named = self.named_evidence()?;
        let to = evidence::at_key(before, &Digest([0; 32]));
        let mut keys = self.range(Table::EvidenceAt, (&[], &to), "ASC", usize::MAX)?;
        keys.retain(|(key, _)| evidence::digest_of(key).is_some_and(|d| !named.contains(&d)));
        let (freed, dropped) = (AtomicU64::new(0), AtomicUsize::new(0));
        for chunk in keys.chunks(DROPS_PER_TRANSACTION) {
            if freed.load(Ordering::Relaxed) >= bytes {
                break;
            }
            let before = (
                freed.load(Ordering::Relaxed),
                dropped.load(Ordering::Relaxed),
            );
            self.change(|draft| {
                // A change that did not hold is made once more, and counts once.
                let (mut free, mut pieces) = before;
                for (key, _) in chunk {
                    let Some(digest) = evidence::digest_of(key).filter(|_| free < bytes) else {
                        break;
                    };
                    free += draft.len_of(Table::Evidence, &digest.0)?;
                    pieces += 1;
                    draft.remove(Table::EvidenceAt, key)?;
                    draft.remove(Table::Evidence, &digest.0)?;
                }
                freed.store(free, Ordering::Relaxed);
                dropped.store(pieces, Ordering::Relaxed);
                Ok(())
            })?;
        }
        Ok(dropped.into_inner())
    }

    /// Gives pages that hold nothing back to the disk, some at a time, so that a commit waits little
    /// for it.
    pub(crate) fn give_back(&self) -> Result<(), StoreError> {
        let fail = |error| StoreError::sqlite(&self.path, error);
        let number = |connection: &Connection, sql: &str| {
            connection.query_row(sql, [], |row| row.get::<_, i64>(0))
        };
        loop {
            let mut writer = lock(&self.writer);
            if writer.connection.is_none() {
                self.reopen(&mut writer)?;
            }
            let connection = writer.connection.as_ref().expect("opened above");
            let free = number(connection, "PRAGMA freelist_count").map_err(fail)?;
            if free < FREE_PAGES_MIN {
                // The log holds what was moved. Readers may keep it from shrinking: the next time.
                if let Err(error) = sqlite::checkpoint(connection, &self.path) {
                    tracing::debug!(%error, "the log of the state is not written back now");
                }
                return Ok(());
            }
            let given = if number(connection, "PRAGMA auto_vacuum").map_err(fail)? == 0 {
                // Of an older program: written anew once, then it shrinks as it is. The copy goes to
                // the disk, because it may be larger than memory.
                connection.execute_batch(
                    "PRAGMA temp_store = FILE; PRAGMA auto_vacuum = INCREMENTAL; VACUUM; PRAGMA temp_store = MEMORY;",
                )
            } else {
                // It goes on only as long as it is asked for its next row.
                let sql = format!("PRAGMA incremental_vacuum({PAGES_PER_TRANSACTION})");
                connection.prepare(&sql).and_then(|mut statement| {
                    let mut rows = statement.query([])?;
                    while rows.next()?.is_some() {}
                    Ok(())
                })
            };
            if let Err(error) = given {
                writer.connection = None;
                return Err(fail(error));
            }
            let left = writer.connection.as_ref().map_or(Ok(0), |connection| {
                number(connection, "PRAGMA freelist_count").map_err(fail)
            })?;
            if left >= free {
                return Ok(());
            }
        }
    }

    /// All evidence that some incident names.
    fn named_evidence(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let mut named = BTreeSet::new();
        for incident in self.incidents(None, usize::MAX)? {
            named.extend(&incident.evidence);
            named.extend(
                incident
                    .timeline
                    .iter()
                    .filter_map(|moment| moment.evidence),
            );
        }
        Ok(named)
    }

    /// Evidence that must stay: all of unresolved incidents, first and newest of resolved ones.
    fn needed_evidence(&self, rollups: Timestamp) -> Result<BTreeSet<Digest>, StoreError> {
        let mut needed = BTreeSet::new();
        for incident in self.incidents(None, usize::MAX)? {
            if incident.state != IncidentState::Resolved {
                needed.extend(&incident.evidence);
                needed.extend(
                    incident
                        .timeline
                        .iter()
                        .filter_map(|moment| moment.evidence),
                );
            } else if incident.updated >= rollups {
                needed.extend(incident.evidence.first());
                needed.extend(incident.evidence.last());
            }
        }
        Ok(needed)
    }

    fn old_counters(&self, raw: Timestamp) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut old = Vec::new();
        for (key, data) in self.range(Table::Counter, ALL, "ASC", usize::MAX)? {
            let row: CounterRow = parse(&self.path, Table::Counter, &data)?;
            if row.to < raw {
                old.push(key);
            }
        }
        Ok(old)
    }

    fn old_notices(&self, raw: Timestamp) -> Result<Vec<Vec<u8>>, StoreError> {
        // The last stays, so that its number is not given again.
        let last = lock(&self.known).last_notice.to_be_bytes();
        let mut old = Vec::new();
        for (key, data) in self.range(Table::Notice, (&[], &last), "ASC", usize::MAX)? {
            let posted: Posted = parse(&self.path, Table::Notice, &data)?;
            if posted.sent.is_some_and(|sent| sent < raw) {
                old.push(key);
            }
        }
        Ok(old)
    }
}

/// Rows dropped in one transaction: few enough that a change of state waits little for it.
const DROPS_PER_TRANSACTION: usize = 500;

/// Pages given back at once: 16 MiB, moved within a fraction of a second.
const PAGES_PER_TRANSACTION: u32 = 4_096;

/// Fewer free pages than these are not worth it: the next commits use them.
const FREE_PAGES_MIN: i64 = 64;

impl Known {
    fn load(connection: &Connection, path: &Path, ledger: &Ledger) -> Result<Self, StoreError> {
        let mut known = Self::default();
        let mut broken = None;
        for table in Table::SMALL {
            ledger.verify(connection, path, table, |key, data| {
                if known.take(table, key, data).is_none() {
                    broken = Some(table);
                }
            })?;
        }
        match broken {
            Some(table) => Err(damaged(path, table, "a row cannot be read")),
            None => Ok(known),
        }
    }

    /// None if the row is not readable.
    fn take(&mut self, table: Table, key: &[u8], data: &[u8]) -> Option<()> {
        match table {
            Table::Incident => {
                let id = u64::from_be_bytes(key.try_into().ok()?);
                let incident: Incident = serde_json::from_slice(data).ok()?;
                self.last_incident = self.last_incident.max(id);
                if incident.state != IncidentState::Resolved {
                    self.open.insert(id);
                }
            }
            Table::Notice => {
                let id = u64::from_be_bytes(key.try_into().ok()?);
                let posted: Posted = serde_json::from_slice(data).ok()?;
                self.last_notice = self.last_notice.max(id);
                if posted.sent.is_none() {
                    self.unsent.insert(id);
                }
            }
            Table::Day => {
                let wrong = std::str::from_utf8(data).ok()?;
                let wrong = (!wrong.is_empty()).then(|| wrong.to_owned());
                self.days.push((day_of(key)?, wrong));
            }
            Table::Evidence
            | Table::EvidenceAt
            | Table::Checkpoint
            | Table::Token
            | Table::Counter
            | Table::Generation => {}
        }
        Some(())
    }
}

/// Whether a row is what its table holds.
fn sound(table: Table, key: &[u8], data: &[u8]) -> bool {
    let json = |data: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok();
    match table {
        Table::Incident => serde_json::from_slice::<Incident>(data).is_ok(),
        Table::Notice => serde_json::from_slice::<Posted>(data).is_ok(),
        Table::Token | Table::Counter | Table::Generation => json(data),
        Table::Evidence => {
            evidence::unpack(data).is_some_and(|bytes| evidence::digest(&bytes).0.as_slice() == key)
        }
        Table::EvidenceAt => evidence::digest_of(key).is_some(),
        Table::Checkpoint => std::str::from_utf8(key).is_ok(),
        Table::Day => day_of(key).is_some(),
    }
}

fn parse<T: DeserializeOwned>(path: &Path, table: Table, data: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(data).map_err(|error| damaged(path, table, &error.to_string()))
}

/// Keys sort as the days do.
fn day_key(day: i32) -> [u8; 4] {
    (i64::from(day) - i64::from(i32::MIN)).to_be_bytes()[4..]
        .try_into()
        .expect("four bytes")
}

fn day_of(key: &[u8]) -> Option<i32> {
    let day = i64::from(u32::from_be_bytes(key.try_into().ok()?)) + i64::from(i32::MIN);
    i32::try_from(day).ok()
}

/// Service and the window's end: keys sort by both.
fn window_key(service: &str, end: i128) -> Vec<u8> {
    let mut key = (service.len() as u32).to_be_bytes().to_vec();
    key.extend_from_slice(service.as_bytes());
    key.extend_from_slice(&sortable(end));
    key
}

fn sortable(value: i128) -> [u8; 16] {
    (value as u128 ^ 1 << 127).to_be_bytes()
}

fn counter_key(row: &CounterRow) -> Vec<u8> {
    let mut key = window_key(&row.service, row.to.as_nanosecond());
    key.extend_from_slice(&sortable(row.from.as_nanosecond()));
    crate::codec::bytes::put_bytes(&mut key, row.source.as_bytes());
    for (name, value) in &row.attributes {
        crate::codec::bytes::put_bytes(&mut key, name.as_bytes());
        crate::codec::bytes::put_bytes(&mut key, value.as_bytes());
    }
    key
}
