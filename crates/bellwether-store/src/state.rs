//! State: what is true now, and changes by transactions.

use std::ops::Range;

use bellwether_model::{Digest, Incident};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// Where state is kept: incidents, evidence, the outbox, checkpoints, tokens, configurations.
pub trait StateStore: Send + Sync {
    /// Makes all changes or none. `Ok` only when they are durable.
    ///
    /// # Errors
    /// Disk full, I/O, damage.
    fn commit(&self, changes: &[Change]) -> Result<(), StoreError>;

    /// An incident.
    ///
    /// # Errors
    /// I/O, damage.
    fn incident(&self, id: u64) -> Result<Option<Incident>, StoreError>;

    /// Incidents that are not resolved, oldest first.
    ///
    /// # Errors
    /// I/O, damage.
    fn open_incidents(&self) -> Result<Vec<Incident>, StoreError>;

    /// Incidents with a number below `before`, newest first.
    ///
    /// # Errors
    /// I/O, damage.
    fn incidents(&self, before: Option<u64>, most: usize) -> Result<Vec<Incident>, StoreError>;

    /// The number that the next incident takes.
    ///
    /// # Errors
    /// I/O, damage.
    fn next_incident(&self) -> Result<u64, StoreError>;

    /// A piece of evidence.
    ///
    /// # Errors
    /// I/O, damage.
    fn evidence(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;

    /// A checkpoint, as it was put.
    ///
    /// # Errors
    /// I/O, damage.
    fn checkpoint(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Checkpoints whose key begins so.
    ///
    /// # Errors
    /// I/O, damage.
    fn checkpoints(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Notices that are not sent yet, oldest first.
    ///
    /// # Errors
    /// I/O, damage.
    fn outbox(&self, most: usize) -> Result<Vec<Notice>, StoreError>;

    /// Tokens.
    ///
    /// # Errors
    /// I/O, damage.
    fn tokens(&self) -> Result<Vec<Token>, StoreError>;

    /// Rows of counters of a service whose window touches a range, oldest first.
    ///
    /// # Errors
    /// I/O, damage.
    fn counters(
        &self,
        service: &str,
        range: Range<Timestamp>,
    ) -> Result<Vec<CounterRow>, StoreError>;
}

/// A change of state.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new incident, or a new version of one.
    Incident(Box<Incident>),
    /// A notice to send: it stands in the transaction of the change that caused it.
    Notice(Notice),
    /// A notice was sent.
    Sent {
        /// Its number.
        notice: u64,
        /// When.
        at: Timestamp,
    },
    /// Evidence, found again by its SHA-256. A piece above the store's bound
    /// ([`crate::embedded::EVIDENCE_LEN_MAX`]) is passed over with a warning: what it proves must
    /// still be told.
    Evidence {
        /// As of when, for retention.
        at: Timestamp,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A checkpoint; without bytes it is removed.
    Checkpoint {
        /// Its key.
        key: String,
        /// The bytes.
        bytes: Option<Vec<u8>>,
    },
    /// A token; replaces the one of its name.
    Token(Token),
    /// A token is revoked.
    TokenRevoked {
        /// Its name.
        name: String,
    },
    /// Counters: the same source, service, window and attributes again replaces.
    Counters(Vec<CounterRow>),
    /// A configuration came into force.
    Generation {
        /// Its number.
        generation: u64,
        /// When.
        at: Timestamp,
        /// SHA-256 of its text.
        digest: Digest,
    },
}

/// A notice to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Its number, from 1; 0 asks the store to give one.
    pub id: u64,
    /// The incident it tells of.
    pub incident: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The kind of change: `opened`, `grown`, `resolved`, ….
    pub kind: String,
    /// The sentence.
    pub text: String,
}

/// A token, hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its name, unique.
    pub name: String,
    /// SHA-256 of the secret: 256 random bits, so that no slow hash is needed.
    pub hash: Digest,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Since when.
    pub created: Timestamp,
    /// Until when.
    pub expires: Option<Timestamp>,
}

/// Somebody else's totals over a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterRow {
    /// Who counted.
    pub source: String,
    /// The service.
    pub service: String,
    /// The window's begin.
    pub from: Timestamp,
    /// The window's end.
    pub to: Timestamp,
    /// What they were counted by, sorted by name.
    pub attributes: Vec<(String, String)>,
    /// Attempts.
    pub total: u64,
    /// Those that failed.
    pub failed: u64,
}
