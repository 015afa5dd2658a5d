//! Tasks with an owner: what one check spawns ends with it.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use bellwether_model::ProbeKind;
use futures_util::FutureExt;
use tokio::task::JoinSet;

use crate::cx::Cx;

/// Spawns tasks on the current `LocalSet`; tasks may spawn further ones.
#[derive(Clone, Default)]
pub struct Tasks {
    running: Rc<RefCell<JoinSet<()>>>,
}

impl Tasks {
    /// Runs a future beside the others: the work of the probes of a kind on a subject.
    ///
    /// Probes tell of their own panics; what panics between them leaves a record too.
    pub fn spawn(
        &self,
        cx: &Cx,
        probe: ProbeKind,
        subject: String,
        task: impl Future<Output = ()> + 'static,
    ) {
        let cx = cx.clone();
        self.running.borrow_mut().spawn_local(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                cx.panicked(probe, subject, &*panic);
            }
        });
    }

    /// Waits until no task is left.
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

#[cfg(test)]
mod tests {
    use bellwether_model::job::Event;
    use bellwether_model::{NotRunReason, Outcome};
    use tokio::sync::oneshot;

    use super::*;
    use crate::dns::testing::{job, run};

    #[test]
    fn a_panic_between_probes_is_told_and_ends_nothing_else() {
        let events = Rc::new(RefCell::new(Vec::new()));
        let sink = events.clone();
        let is_done = run(async move {
            let cx = Cx::new(job("https://svc.test/"), move |event| {
                sink.borrow_mut().push(event.clone());
            });
            let (owner, (says, hears)) = (TaskOwner::new(), oneshot::channel());
            let tasks = owner.tasks();
            tasks.spawn(&cx, ProbeKind::Tcp, "192.0.2.1".to_owned(), async {
                panic!("between probes")
            });
            tasks.spawn(&cx, ProbeKind::Tcp, "192.0.2.2".to_owned(), async {
                says.send(()).unwrap();
            });
            owner.finished().await;
            hears.await.is_ok()
        });
        assert!(is_done);
        let events = events.take();
        let [Event::Observed { observation, .. }] = &events[..] else {
            panic!("{events:?}");
        };
        let Outcome::NotRun(not_run) = &observation.outcome else {
            panic!("{observation:?}");
        };
        assert_eq!(observation.probe, ProbeKind::Tcp);
        assert_eq!(not_run.reason, NotRunReason::Panicked);
        assert_eq!(not_run.subject, "192.0.2.1");
        assert!(not_run.detail.contains("between probes"));
    }
}
