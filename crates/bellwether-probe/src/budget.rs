//! The memory that the probes of a worker share.
//!
//! Each probe has its own bounds, and a first part that it always may use. What goes beyond that
//! comes out of one budget: two hundred probes that each keep to their bounds may still be too
//! much together.

use std::cell::Cell;
use std::rc::Rc;

/// Bytes that the probes of one worker may hold together beyond their first part.
const BUDGET_LEN: usize = 128 * 1024 * 1024;
/// The first part of each probe, bytes.
const FREE_LEN: usize = 64 * 1024;
/// Bytes that are drawn at once.
const DRAW_LEN: usize = 32 * 1024;

/// What is left for all. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    left: Rc<Cell<usize>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(BUDGET_LEN)
    }
}

impl Budget {
    pub(crate) fn new(len: usize) -> Self {
        Self {
            left: Rc::new(Cell::new(len)),
        }
    }

    /// Bytes that nobody holds.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.left.get()
    }

    /// The part of one probe; it goes back when it is dropped.
    pub(crate) fn loan(&self) -> Loan {
        Loan {
            budget: self.clone(),
            drawn: 0,
        }
    }
}

/// What one probe holds.
#[derive(Debug)]
pub(crate) struct Loan {
    budget: Budget,
    drawn: usize,
}

impl Loan {
    /// May the probe hold this many bytes in all? Draws what is missing.
    pub(crate) fn covers(&mut self, len: usize) -> bool {
        let missing = len.saturating_sub(FREE_LEN + self.drawn);
        if missing == 0 {
            return true;
        }
        let left = self.budget.left.get();
        let draw = missing.next_multiple_of(DRAW_LEN).min(left);
        if draw < missing {
            return false;
        }
        self.budget.left.set(left - draw);
        self.drawn += draw;
        true
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let left = self.budget.left.get();
        self.budget.left.set(left + self.drawn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_comes_back() {
        let budget = Budget::new(100_000);
        let mut first = budget.loan();
        assert!(first.covers(FREE_LEN));
        assert_eq!(budget.left(), 100_000);
        assert!(first.covers(FREE_LEN + 70_000));
        let mut second = budget.loan();
        assert!(second.covers(FREE_LEN));
        assert!(!second.covers(FREE_LEN + 70_000));
        assert!(first.covers(FREE_LEN + 70_000));
        drop(first);
        assert!(second.covers(FREE_LEN + 70_000));
        drop(second);
        assert_eq!(budget.left(), 100_000);
    }
}
