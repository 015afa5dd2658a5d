//! Changes as they are made, in one transaction, with the sums that prove them.

use super::*;

/// A transaction that is being written.
pub(super) struct Draft<'a> {
    pub(super) connection: &'a Connection,
    pub(super) path: &'a Path,
    pub(super) ledger: Ledger,
    pub(super) known: Known,
}

impl Draft<'_> {
    pub(super) fn apply(
        &mut self,
        change: &Change,
        packed: Option<&evidence::Piece>,
    ) -> Result<(), StoreError> {
        match change {
            Change::Incident(incident) => self.incident(incident),
            Change::Notice(notice) => self.notice(notice),
            Change::Sent { notice, at } => self.sent(*notice, *at),
            Change::Evidence { .. } => packed.map_or(Ok(()), |piece| self.evidence(piece)),
            Change::Checkpoint {
                key,
                bytes: Some(bytes),
            } => self.put(Table::Checkpoint, key.as_bytes(), bytes),
            Change::Checkpoint { key, bytes: None } => {
                self.remove(Table::Checkpoint, key.as_bytes())
            }
            Change::Token(token) => self.put_json(Table::Token, token.name.as_bytes(), token),
            Change::TokenRevoked { name } => self.remove(Table::Token, name.as_bytes()),
            Change::Counters(rows) => rows
                .iter()
                .try_for_each(|row| self.put_json(Table::Counter, &counter_key(row), row)),
            Change::Generation {
                generation,
                at,
                digest,
            } => {
                let row = GenerationRow {
                    at: *at,
                    digest: *digest,
                };
                self.put_json(Table::Generation, &generation.to_be_bytes(), &row)
            }
        }
    }

    pub(super) fn put(&mut self, table: Table, key: &[u8], data: &[u8]) -> Result<(), StoreError> {
        let put = self.ledger.put(self.connection, table, key, data);
        put.map(|_| ())
            .map_err(|error| StoreError::sqlite(self.path, error))
    }

    pub(super) fn put_json(
        &mut self,
        table: Table,
        key: &[u8],
        row: &impl Serialize,
    ) -> Result<(), StoreError> {
        let data = serde_json::to_vec(row);
        let data = data.map_err(|error| StoreError::Invalid(format!("a row: {error}")))?;
        self.put(table, key, &data)
    }

    pub(super) fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        let removed = self.ledger.remove(self.connection, table, key);
        removed
            .map(|_| ())
            .map_err(|error| StoreError::sqlite(self.path, error))
    }

    /// Bytes of a row.
    pub(super) fn len_of(&self, table: Table, key: &[u8]) -> Result<u64, StoreError> {
        let len = self
            .connection
            .prepare_cached(&format!(
                "SELECT length(data) FROM {} WHERE key = ?",
                table.name()
            ))
            .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional());
        let len: Option<i64> = len.map_err(|error| StoreError::sqlite(self.path, error))?;
        Ok(len.map_or(0, i64::unsigned_abs))
    }

    pub(super) fn incident(&mut self, incident: &Incident) -> Result<(), StoreError> {
        if incident.id == 0 || incident.id == u64::MAX {
            return Err(StoreError::Invalid(format!("incident {}", incident.id)));
        }
        if incident.state == IncidentState::Resolved {
            self.known.open.remove(&incident.id);
        } else {
            self.known.open.insert(incident.id);
        }
        self.known.last_incident = self.known.last_incident.max(incident.id);
        self.put_json(Table::Incident, &incident.id.to_be_bytes(), incident)
    }

    pub(super) fn notice(&mut self, notice: &Notice) -> Result<(), StoreError> {
        let mut notice = notice.clone();
        if notice.id == 0 {
            notice.id = self.known.last_notice + 1;
        }
        self.known.last_notice = self.known.last_notice.max(notice.id);
        self.known.unsent.insert(notice.id);
        let key = notice.id.to_be_bytes();
        self.put_json(Table::Notice, &key, &Posted { notice, sent: None })
    }

    pub(super) fn sent(&mut self, notice: u64, at: Timestamp) -> Result<(), StoreError> {
        let key = notice.to_be_bytes();
        let Some(data) = ledger::get(self.connection, self.path, Table::Notice, &key)? else {
            return Ok(());
        };
        let mut posted: Posted = parse(self.path, Table::Notice, &data)?;
        posted.sent.get_or_insert(at);
        self.known.unsent.remove(&notice);
        self.put_json(Table::Notice, &key, &posted)
    }

    pub(super) fn evidence(&mut self, piece: &evidence::Piece) -> Result<(), StoreError> {
        let digest = &piece.digest.0;
        // Evidence that comes again is kept as of the later time.
        if let Some(old) = ledger::get(self.connection, self.path, Table::Evidence, digest)? {
            let Some(at) = evidence::at_of(&old) else {
                return Err(damaged(self.path, Table::Evidence, "a piece has no time"));
            };
            if at >= piece.at {
                return Ok(());
            }
            self.remove(Table::EvidenceAt, &evidence::at_key(at, &piece.digest))?;
        }
        self.put(
            Table::EvidenceAt,
            &evidence::at_key(piece.at, &piece.digest),
            &[],
        )?;
        self.put(Table::Evidence, digest, &piece.data)
    }

    pub(super) fn set_day(
        &mut self,
        day: i32,
        wrong: Option<Option<&str>>,
    ) -> Result<(), StoreError> {
        self.known.days.retain(|(known, _)| *known != day);
        let key = day_key(day);
        let Some(wrong) = wrong else {
            return self.remove(Table::Day, &key);
        };
        self.known.days.push((day, wrong.map(str::to_owned)));
        self.known.days.sort_unstable();
        self.put(Table::Day, &key, wrong.unwrap_or_default().as_bytes())
    }
}
