//! Whoever carries out what the agent wants asked.

use std::future::Future;
use std::sync::Arc;

use bellwether_model::NotRunReason;
use bellwether_model::job::{Job, Told, Wanted};

/// What became of an order, or of a worker. Each order comes to one end.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// It was carried out.
    Told(Told),
    /// It was not, by no fault of its own.
    Lost {
        /// The order.
        number: u64,
        /// Why.
        reason: NotRunReason,
        /// In words.
        detail: String,
    },
    /// A worker was replaced; what was under way in it goes on one by one.
    Replaced {
        /// How it ended.
        why: String,
        /// How many orders were under way in it.
        under_way: usize,
    },
    /// It brought down a worker in which it was alone.
    Poisoned {
        /// The order.
        number: u64,
        /// How the worker ended.
        why: String,
    },
}

/// An order that was not taken, because as many are open as there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the workers have no room for a further order")]
pub struct Full;

/// Whoever carries out orders. Nothing here waits: orders are taken or not, and what became of them is
/// said later.
pub trait Workers: Send + 'static {
    /// A job that orders go by from now on.
    fn setting(&mut self, number: u32, job: &Arc<Job>);

    /// A job that no order will name any more.
    fn forget(&mut self, number: u32);

    /// Takes an order; `apart` from all others where it may do harm.
    ///
    /// # Errors
    /// [`Full`]: then nothing will be said of it.
    fn ask(&mut self, number: u64, setting: u32, wanted: Wanted, apart: bool) -> Result<(), Full>;

    /// What is said next; `None` if nothing more will be. Nothing is lost if the future is dropped.
    fn next(&mut self) -> impl Future<Output = Option<Said>> + Send;

    /// What is said already.
    fn said(&mut self) -> Option<Said>;
}
