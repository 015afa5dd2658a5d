//! Tasks with an owner: what one check spawns ends with it.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;

use tokio::task::JoinSet;

/// Spawns tasks on the current `LocalSet`; tasks may spawn further ones.
#[derive(Clone, Default)]
pub struct Tasks {
    running: Rc<RefCell<JoinSet<()>>>,
}

impl Tasks {
    /// Runs a future beside the others.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.running.borrow_mut().spawn_local(task);
    }

    /// Waits until no task is left. Panics were reported by the probes they happened in.
    async fn finished(&self) {
        while let Some(_ended) = poll_fn(|cx| self.running.borrow_mut().poll_join_next(cx)).await {}
    }
}

/// Owns the tasks: dropping it ends them.
pub struct TaskOwner {
    tasks: Tasks,
}

impl TaskOwner {
    /// An owner of no tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tasks: Tasks::default(),
        }
    }

    /// To spawn with.
    #[must_use]
    pub fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }

    /// Waits until no task is left.
    pub async fn finished(self) {
        self.tasks.finished().await;
    }
}

impl Default for TaskOwner {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TaskOwner {
    fn drop(&mut self) {
        // The tasks hold the set too, so that it would outlive its owner without this.
        self.tasks.running.borrow_mut().abort_all();
    }
}
