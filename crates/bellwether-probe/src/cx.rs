//! What all probes of one check share.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bellwether_model::dns::Exchange;
use bellwether_model::job::{Event, Job};
use bellwether_model::observation::NotRun;
use bellwether_model::{NotRunReason, Observation, Outcome, ProbeKind};
use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use crate::budget::Budget;
use crate::dial::Dialer;
use crate::dns::late::{Kept, Late};
use crate::memory::Memory;

/// What all probes of one check share: the job, the clock, the dialler and the event sink.
///
/// One check runs on one thread (`tokio` current-thread runtime and a `LocalSet`), so plain cells
/// suffice. Clones share everything.
#[derive(Clone)]
pub struct Cx {
    inner: Rc<Inner>,
    /// When the probe that has this clone is to have said what it saw.
    until: Option<Instant>,
}

/// Longest time of one probe where the check declares none.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Kept back from a probe's time, in parts of it, so that what came is told.
const KEPT_BACK: u32 = 10;

struct Inner {
    setting: Rc<Setting>,
    began: Instant,
    queries: Cell<u32>,
    late: RefCell<Late>,
    memory: Rc<Memory>,
    place: RefCell<Option<OwnedSemaphorePermit>>,
    sink: RefCell<Sink>,
}

type Sink = Box<dyn FnMut(&Event)>;

/// A job, with what is made of it once.
pub(crate) struct Setting {
    job: Job,
    dialer: Dialer,
    avoid: HashSet<String>,
    is_once: bool,
    is_echo_only: bool,
}

impl Setting {
    pub(crate) fn new(job: Job) -> Rc<Self> {
        Self::traced(job, false)
    }

    /// For everything that a check asks, or of its addresses an echo and nothing above it.
    pub(crate) fn traced(job: Job, is_echo_only: bool) -> Rc<Self> {
        let dialer = Dialer::new(&job);
        let avoid = job.avoid.iter().cloned().collect();
        Rc::new(Self {
            job,
            dialer,
            avoid,
            is_once: false,
            is_echo_only,
        })
    }

    /// For what one user does once: nothing is tried again or in another way.
    pub(crate) fn once(job: Job) -> Rc<Self> {
        let dialer = Dialer::new(&job);
        Rc::new(Self {
            job,
            dialer,
            avoid: HashSet::new(),
            is_once: true,
            is_echo_only: false,
        })
    }

    /// The job.
    pub(crate) fn job(&self) -> &Job {
        &self.job
    }
}

/// The stand-in of a probe before it ends: what it was aimed at.
pub type StandIn = NotRun;

impl Cx {
    /// Begins a check.
    #[must_use]
    pub fn new(job: Job, sink: impl FnMut(&Event) + 'static) -> Self {
        Self::begin(Setting::new(job), Rc::default(), sink)
    }

    /// Begins a check, or one probe, by a setting and with the memory of a worker.
    pub(crate) fn begin(
        setting: Rc<Setting>,
        memory: Rc<Memory>,
        sink: impl FnMut(&Event) + 'static,
    ) -> Self {
        let inner = Inner {
            setting,
            began: Instant::now(),
            queries: Cell::new(0),
            late: RefCell::default(),
            memory,
            place: RefCell::default(),
            sink: RefCell::new(Box::new(sink)),
        };
        Self {
            inner: Rc::new(inner),
            until: None,
        }
    }

    /// Keeps the place that it has among those that work at the same time.
    pub(crate) fn hold(&self, place: OwnedSemaphorePermit) {
        self.inner.place.replace(Some(place));
    }

    /// Only waits from here on: another one may have the place.
    pub(crate) fn give_way(&self) {
        self.inner.place.take();
    }

    /// What is to be asked.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.inner.setting.job
    }

    /// Is it what one user does once? Then nothing is tried again or in another way to learn more.
    pub(crate) fn is_once(&self) -> bool {
        self.inner.setting.is_once
    }

    /// Is an echo all that is wanted of an address?
    pub(crate) fn is_echo_only(&self) -> bool {
        self.inner.setting.is_echo_only
    }

    /// Opens sockets.
    #[must_use]
    pub fn dialer(&self) -> &Dialer {
        &self.inner.setting.dialer
    }

    /// Longest time of one probe.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        let declared = self.job().timeout_ms.map(Duration::from_millis);
        declared.unwrap_or(TIMEOUT)
    }

    /// A clone for one probe that begins now: its waits end within the probe's time.
    pub(crate) fn for_probe(&self) -> Self {
        let time = self.timeout() - self.timeout() / KEPT_BACK;
        Self {
            inner: self.inner.clone(),
            until: Some(Instant::now() + time),
        }
    }

    /// Time left until the deadline of the whole check, and until that of the probe.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.left_of_check().min(self.left_of_probe())
    }

    /// Time left until the deadline of the whole check.
    pub(crate) fn left_of_check(&self) -> Duration {
        Duration::from_millis(self.job().deadline_ms).saturating_sub(self.inner.began.elapsed())
    }

    /// Time left for the probe that this clone was made for.
    pub(crate) fn left_of_probe(&self) -> Duration {
        self.until.map_or(Duration::MAX, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    /// The memory that all probes share.
    pub(crate) fn budget(&self) -> &Budget {
        &self.inner.memory.budget
    }

    /// What this worker remembers.
    pub(crate) fn memory(&self) -> &Memory {
        &self.inner.memory
    }

    /// Counts a DNS query that was sent.
    pub fn count_query(&self) {
        self.inner.queries.set(self.inner.queries.get() + 1);
    }

    /// Listens on after an answer.
    pub(crate) fn hear_on(&self, kept: Kept) {
        self.inner.late.borrow_mut().keep(kept);
    }

    /// What came after answers and says something else.
    pub(crate) fn heard(&self) -> Vec<(SocketAddr, Exchange)> {
        self.inner.late.borrow_mut().read()
    }

    /// DNS queries sent so far.
    #[must_use]
    pub fn queries(&self) -> u32 {
        self.inner.queries.get()
    }

    /// What is said at the end.
    pub(crate) fn done(&self) -> Event {
        Event::Done {
            queries: self.queries(),
            peak_kib: crate::sys::peak_kib(),
        }
    }

    /// Says something to the supervisor.
    pub fn emit(&self, event: &Event) {
        (self.inner.sink.borrow_mut())(event);
    }

    /// Runs one probe: announces it, catches its panic, bounds it by its time and the deadline, and
    /// reports what came of it. `run` returns the outcome and the waits up to its end.
    ///
    /// The result is also handed back, for the probes that need it.
    pub fn probe<'a, F>(
        &'a self,
        probe: ProbeKind,
        key: String,
        stand_in: StandIn,
        run: F,
    ) -> impl Future<Output = Outcome> + use<'a, F>
    where
        F: Future<Output = (Outcome, u32)>,
    {
        // On the heap: it would be moved several times over, and lie in every future above.
        let run = Box::pin(run);
        self.run(probe, key, stand_in, run)
    }

    async fn run<F>(
        &self,
        probe: ProbeKind,
        key: String,
        stand_in: StandIn,
        run: Pin<Box<F>>,
    ) -> Outcome
    where
        F: Future<Output = (Outcome, u32)>,
    {
        let began = now();
        let start = Instant::now();
        let ran = if self.inner.setting.avoid.contains(&key) {
            let detail = "an earlier worker died while this probe ran".to_owned();
            Err((NotRunReason::WorkerDied, detail, key, stand_in))
        } else {
            let started = Event::Started {
                key,
                probe,
                stand_in,
            };
            self.emit(&started);
            let Event::Started { key, stand_in, .. } = started else {
                unreachable!("it was made so");
            };
            let caught = AssertUnwindSafe(run).catch_unwind();
            let time = match probe {
                // It lasts as long as anybody may still name an address.
                ProbeKind::Addresses => self.left(),
                _ => self.left().min(self.timeout()),
            };
            match tokio::time::timeout(time, caught).await {
                Ok(Ok(done)) => Ok((done, key)),
                Ok(Err(panic)) => {
                    let detail = panic_text(&*panic);
                    Err((NotRunReason::Panicked, detail, key, stand_in))
                }
                Err(_) => {
                    let whose = if self.left().is_zero() {
                        "check"
                    } else {
                        "probe"
                    };
                    let detail = format!("the {whose}'s time ran out first");
                    Err((NotRunReason::Deadline, detail, key, stand_in))
                }
            }
        };
        let ((outcome, waits), key) = ran.unwrap_or_else(|(reason, detail, key, stand_in)| {
            let not_run = NotRun {
                reason,
                detail,
                ..stand_in
            };
            ((Outcome::NotRun(not_run), 0), key)
        });
        let took_ms = start.elapsed().as_secs_f64() * 1000.0;
        self.observed(
            key,
            Observation {
                id: String::new(),
                probe,
                began,
                took_ms,
                waits,
                outcome,
            },
        )
    }

    /// Reports a record, and hands back what came.
    fn observed(&self, key: String, observation: Observation) -> Outcome {
        let event = Event::Observed {
            key,
            observation: Box::new(observation),
        };
        self.emit(&event);
        match event {
            Event::Observed { observation, .. } => observation.outcome,
            Event::Started { .. } | Event::Done { .. } => unreachable!("it was made so"),
        }
    }

    /// A record of a panic outside of any probe: what would have come after it is missing.
    pub(crate) fn panicked(
        &self,
        probe: ProbeKind,
        subject: String,
        panic: &(dyn std::any::Any + Send),
    ) {
        let key = format!("after a panic {} {subject}", probe.name());
        let outcome = Outcome::NotRun(NotRun {
            reason: NotRunReason::Panicked,
            detail: panic_text(panic),
            subject,
            address: None,
            via: None,
        });
        let observation = Observation {
            id: String::new(),
            probe,
            began: now(),
            took_ms: 0.0,
            waits: 0,
            outcome,
        };
        self.observed(key, observation);
    }
}

/// The wall clock, for the time that an observation carries; nothing is timed by it.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "the probe's own code panicked: {}",
        text.unwrap_or_else(|| "no message".to_owned())
    )
}
