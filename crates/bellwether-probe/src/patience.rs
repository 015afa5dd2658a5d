//! How long to wait for an answer before saying that none came.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

use crate::cx::Cx;

/// Kept back from the deadline, so that what came so far is still told.
const MARGIN: Duration = Duration::from_millis(30);
/// Whoever waited less cannot say that a server is silent.
const FAIR_WAIT_MIN: Duration = Duration::from_millis(900);

/// How long to wait, at most `limit` and the probe's own time; `None` if the check has so little time
/// left that no answer would not be the server's fault: then the deadline ends the probe, and it
/// counts as not run.
pub(crate) fn patience(cx: &Cx, limit: Duration) -> Option<Duration> {
    let limit = limit.min(cx.left_of_probe());
    let left = cx.left_of_check().saturating_sub(MARGIN);
    if left >= limit {
        return Some(limit);
    }
    (left >= FAIR_WAIT_MIN).then_some(left)
}

/// What comes of `run` within [`patience`]; `None` if nothing does.
pub(crate) async fn patiently<F: Future>(cx: &Cx, limit: Duration, run: F) -> Option<F::Output> {
    match patience(cx, limit) {
        Some(wait) => timeout(wait, run).await.ok(),
        None => Some(run.await),
    }
}
