//! What proves a row: the report of its records, to be judged again.

use std::panic::catch_unwind;
use std::sync::atomic::Ordering;

use bellwether_diagnose::report::Seen;
use bellwether_model::harvest::Shown;
use bellwether_model::{Digest, Run};
use bellwether_store::Change;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::shared::Shared;

/// Largest report of a run that is kept: several times that of a long chain of certificates.
const LEN_MAX: usize = 256 * 1024;

/// The row, naming what proves it, and that.
pub(crate) fn of(shared: &Shared, shown: Shown, now: Timestamp) -> (Run, Option<Change>) {
    let Shown {
        mut run,
        context,
        took_ms,
        queries,
        observations,
    } = shown;
    let seen = Seen {
        context,
        began: run.began(),
        took_ms,
        queries,
        peak_kib: None,
        observations,
    };
    let version = shared.version;
    let Ok(report) = catch_unwind(move || bellwether_diagnose::report::report(seen, version))
    else {
        shared.figures.judge_panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(check = %run.check, vantage = %run.vantage, "what was seen cannot be judged: the rules panicked over it");
        return (run, None);
    };
    let report = crate::api::redact::report(&shared.configured.load().config, report);
    let bytes = serde_json::to_vec(&report).ok();
    let Some(bytes) = bytes.filter(|bytes| bytes.len() <= LEN_MAX) else {
        return (run, None);
    };
    run.evidence = Some(Digest(Sha256::digest(&bytes).into()));
    (run, Some(Change::Evidence { at: now, bytes }))
}
