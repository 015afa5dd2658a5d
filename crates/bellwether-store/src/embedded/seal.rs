//! Sealing: what waits in the inbox becomes parts, one for each series and hour.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::Embedded;
use super::active::Active;
use super::day::{DayFile, SEAL_MAX, Tally, hour_of, part_crc_key, part_id, set_meta, set_tally};
use super::envelope::Arena;
use super::read::sort;
use super::sqlite::lock;
use crate::StoreError;
use crate::codec::block::{self, ROWS_MAX};

/// Parts, encoded, in the order of their keys.
struct Parts {
    parts: Vec<(i64, Vec<u8>)>,
    /// The last seal that they need.
    seal: u32,
}

impl Embedded {
    /// Moves what is in the head into parts. How many runs that were.
    pub(crate) fn seal(&self) -> Result<usize, StoreError> {
        let _one = lock(&self.sealing);
        let Some((file, frozen)) = self.freeze() else {
            return Ok(0);
        };
        // Encoding takes longest, and holds no lock that an append waits for. Nobody else seals.
        let seal = {
            let lent = file.readers.begin()?;
            file.meta(lent.connection(), "seal")?
                .map_or(0, |(seal, _)| seal as u32)
        };
        let parts = Parts::of(&frozen, seal);
        if parts.seal >= SEAL_MAX {
            tracing::warn!(path = %file.path.display(), "no more seals in this file today");
            return Ok(0);
        }
        self.settle_parts(&file, &frozen, &parts)
    }

    /// Writes the parts of a head that was encoded, if it is still the one that waits: an append
    /// that failed meanwhile may have had the file read again, and then its rows stand in the
    /// current head once more.
    fn settle_parts(
        &self,
        file: &Arc<DayFile>,
        frozen: &Arc<Arena>,
        parts: &Parts,
    ) -> Result<usize, StoreError> {
        let mut active = lock(&self.active);
        let waits = {
            let heads = self.heads();
            let waiting = heads.frozen.as_ref();
            waiting.is_some_and(|waiting| Arc::ptr_eq(waiting, frozen))
        };
        if active.stale || !waits || !Arc::ptr_eq(&active.file, file) {
            return Ok(0);
        }
        self.write_parts(&mut active, frozen, parts)
            .map_err(|error| self.reserve.judge(&file.path, error))?;
        Ok(frozen.len())
    }

    /// Takes the head out of the way of appends. What could not be sealed before comes first.
    fn freeze(&self) -> Option<(Arc<DayFile>, Arc<Arena>)> {
        let active = lock(&self.active);
        if active.stale {
            return None;
        }
        let mut heads = self.heads_mut();
        if heads.frozen.is_none() && heads.current.tally.rows > 0 {
            heads.frozen = Some(Arc::new(std::mem::take(&mut heads.current)));
        }
        Some((active.file.clone(), heads.frozen.clone()?))
    }

    fn write_parts(
        &self,
        active: &mut Active,
        frozen: &Arc<Arena>,
        parts: &Parts,
    ) -> Result<(), StoreError> {
        let file = active.file.clone();
        let mut writer = lock(&file.writer);
        let connection = file.open_writer(&mut writer)?;
        let inbox = Tally {
            rows: active.inbox.rows - frozen.tally.rows,
            sum: active.inbox.sum ^ frozen.tally.sum,
        };
        let written = (|| {
            let tally = file.tally(connection, "part")?;
            let fail = |error| file.fail(error);
            let transaction = connection.transaction().map_err(fail)?;
            let tally = insert(&transaction, &parts.parts, tally).map_err(fail)?;
            (|| {
                transaction
                    .prepare_cached("DELETE FROM inbox WHERE id <= ?")?
                    .execute([frozen.through])?;
                set_tally(&transaction, "inbox", inbox)?;
                set_tally(&transaction, "part", tally)?;
                set_meta(&transaction, "seal", i64::from(parts.seal), 0)
            })()
            .map_err(fail)?;
            // Readers look at the head and the file under this lock: they see the runs in one.
            let mut heads = self.heads_mut();
            transaction.commit().map_err(fail)?;
            heads.frozen = None;
            Ok(())
        })();
        match written {
            Ok(()) => active.inbox = inbox,
            Err(StoreError::Write { .. }) => {
                *writer = None;
                active.stale = true;
            }
            Err(_) => {}
        }
        written
    }
}

fn insert(
    connection: &Connection,
    parts: &[(i64, Vec<u8>)],
    mut tally: Tally,
) -> rusqlite::Result<Tally> {
    let mut statement = connection.prepare_cached("INSERT INTO part (id, data) VALUES (?, ?)")?;
    for (id, data) in parts {
        tally.add(block::crc_of(data));
        statement.execute(params![id, data])?;
    }
    Ok(tally)
}

impl Parts {
    /// The rows of an arena by hour and series, after the last seal there was.
    fn of(arena: &Arena, last: u32) -> Self {
        let mut parts = Vec::new();
        let mut seal = last + 1;
        let mut rows = Vec::new();
        let mut encoder = block::Encoder::default();
        for series in 0..arena.series_end() {
            rows.clear();
            arena.chain(series, &mut rows);
            sort(&mut rows);
            for hour in rows.chunk_by(|a, b| hour_of(a.began()) == hour_of(b.began())) {
                for (nth, rows) in hour.chunks(ROWS_MAX).enumerate() {
                    // More than fit one part stand as if they were sealed one after the other.
                    let nth = last + 1 + nth as u32;
                    let id = part_id(hour_of(rows[0].began()), nth, series);
                    parts.push((id, encoder.encode(part_crc_key(id), rows)));
                    seal = seal.max(nth);
                }
            }
        }
        parts.sort_unstable_by_key(|(id, _)| *id);
        Self { parts, seal }
    }
}

#[cfg(test)]
mod tests {
    use bellwether_model::Envelope;
    use jiff::SignedDuration;

    use super::*;
    use crate::ObservationStore;
    use crate::embedded::testing::{self, NOON, options};

    fn envelope(number: u64) -> Envelope {
        let due = NOON + SignedDuration::from_secs(number as i64);
        testing::envelope(number, vec![testing::run(number, due)])
    }

    #[test]
    fn a_file_that_is_read_again_while_its_head_is_encoded_keeps_its_runs() {
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(dir.path(), options()).unwrap();
        store.append(&[envelope(1), envelope(2)]).unwrap();
        let (file, frozen) = store.freeze().unwrap();
        let parts = Parts::of(&frozen, 0);
        // What an append does that fails to write, and the next one.
        {
            let mut active = lock(&store.active);
            *lock(&file.writer) = None;
            active.stale = true;
        }
        store.append(&[envelope(3)]).unwrap();
        store.settle_parts(&file, &frozen, &parts).unwrap();
        store.append(&[envelope(4)]).unwrap();
        store.seal().unwrap();
        assert!(lock(&store.active).inbox.rows >= 0, "the tally holds");
        drop((store, file));
        let store = Embedded::open(dir.path(), options()).unwrap();
        assert_eq!(*lock(&store.damage), Vec::<String>::new());
        let (check, vantage) = (testing::check(), testing::vantage());
        let range = NOON..NOON + jiff::SignedDuration::from_secs(60);
        let series = store.series(&check, &vantage, range, 100);
        let series = series.unwrap();
        let kept: Vec<u64> = series.runs.iter().map(|run| run.sequence).collect();
        assert_eq!((kept, series.gaps), (vec![1, 2, 3, 4], vec![]));
    }
}
