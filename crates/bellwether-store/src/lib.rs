//! The store: observations, roll-ups, evidence, incidents, the outbox and checkpoints.
//!
//! It keeps what it is given and hands it out again; it judges nothing, dials nothing and knows no
//! web. The boundary is a trait with two halves. Nothing in one assumes a transaction with the
//! other: the order is append → mark → acknowledge. One conformance suite, [`conformance`], runs
//! against every implementation.
//!
//! Calls block; whoever is asynchronous calls from a thread of its own.
//!
//! - [`observations`], [`state`]: the two halves
//! - [`embedded`]: the engine that needs no server
//! - [`sketch`]: percentiles in little space
//! - [`conformance`]: what every implementation must do

mod codec;
pub mod conformance;
pub mod embedded;
mod error;
pub mod observations;
pub mod sketch;
pub mod state;

pub use embedded::{Embedded, Options};
pub use error::{Cause, StoreError};
pub use observations::{
    Appended, Cursor, Gap, Maintained, ObservationStore, Retention, Rollup, Series, Step,
};
pub use sketch::Sketch;
pub use state::{Change, CounterRow, Notice, StateStore, Token};

/// Rows that [`fuzz_block`] writes again: a few bytes may stand for many rows, and the fuzzer is to
/// try many inputs.
const FUZZ_ROWS_MAX: usize = 2048;

/// Reads bytes as the content of a column block, whatever they are: for the fuzzer, who cannot guess
/// checksums. Whether they are one.
///
/// # Panics
/// If what was read is not the same once it is written and read again.
#[must_use]
pub fn fuzz_block(bytes: &[u8]) -> bool {
    let Ok(rows) = codec::block::decode_body(bytes) else {
        return codec::block::decode(0, bytes).is_ok();
    };
    if rows.len() <= FUZZ_ROWS_MAX {
        let again = codec::block::decode(1, &codec::block::encode(1, &rows));
        assert_eq!(
            again.as_ref(),
            Ok(&rows),
            "a block that reads is another once written"
        );
    }
    true
}
