//! The worker's end where one process runs many probes: orders in, records out.
//!
//! What one probe learns of a chain serves the others, and so does whatever is made once: a hostile
//! peer can take that process down with all that is under way in it. So a check has a worker of its
//! own ([`serve`](super::serve())), and this is for a scheduler that sends out many probes a second
//! and knows what it sent out: no probe's begin is told.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bellwether_model::job::{CheckAsk, Event, FRAME_LEN_MAX, JOB_SCHEMA, Order, Told, Wanted};
use bellwether_model::observation::NotRun;
use bellwether_model::{Brief, NotRunReason, Observation, Outcome, ProbeKind};
use futures_util::FutureExt as _;
use tokio::io::BufReader;
use tokio::net::unix::pipe;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};
use tokio::time::timeout;

use super::{Judge, WorkerError, answer, fault, frame, orders};
use crate::cx::{Cx, Setting};
use crate::memory::Memory;
use crate::{roots, sys};

/// Jobs that are known at the same time: a worker has the checks of one core.
const SETTINGS_MAX: usize = 16_384;
/// Orders under way at the same time, those that only wait included.
const ORDERS_MAX: u32 = 4096;
/// Orders that work at the same time in a worker of a pool: more than a pool gives one, so that the
/// time of each runs from when it was given.
pub const ORDERS_AT_ONCE: usize = 2048;
/// Records that are written at once.
const WRITE_LEN: usize = 48 * 1024;
/// How often the clock is looked at while probes are under way, and what they came to is said: less than
/// any of them waits, and long enough that several are said together.
const BEAT: Duration = Duration::from_millis(5);
/// The same while there are none.
const BEAT_IDLE: Duration = Duration::from_millis(200);
/// How long after its deadline an order may still end by itself.
const GRACE: Duration = Duration::from_millis(50);
/// Records of one order that are kept, bytes: more than any trace of a healthy service brings.
const REPORT_LEN_MAX: usize = 8 * 1024 * 1024;
/// Records of one visit that are kept: its questions, a handshake and a request for each redirect are
/// some tens.
const RECORDS_MAX: usize = 256;
/// Room for the end of a report, and for a record of what was left out.
const REPORT_END_LEN: usize = 4096;
/// Bytes read of the orders at once.
const READ_LEN: usize = 64 * 1024;

/// How often it is said that the worker lives.
const PULSE: Duration = Duration::from_millis(250);
/// How often somebody beside looks whether the worker still does anything.
const WATCH: Duration = Duration::from_secs(5);
/// Looks that find the same before the worker ends itself: whoever started it would have ended it
/// long before, and is gone.
const WATCHES_MAX: u32 = 6;

/// How a worker of many probes works.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Probes that work at the same time. One that only waits for a late reset is not counted.
    pub at_once: usize,
    /// Does one probe learn from another?
    pub remembers: bool,
    /// Does it say several times a second that it lives, as a [`Pool`](super::pool::Pool) wants?
    pub beats: bool,
}

/// Takes orders from a pipe, until it ends, and says what was seen.
///
/// # Errors
/// If an order cannot be read. What a target does is never an error.
pub fn serve_many(
    input: OwnedFd,
    output: impl Write + 'static,
    manner: Manner,
) -> Result<(), WorkerError> {
    serve_with(input, output, manner, None)
}

/// [`serve_many`] that judges visits where somebody asks for that, and then says only what they came
/// to, and their records where they are not usual.
///
/// # Errors
/// As of [`serve_many`].
pub fn serve_many_judged(
    input: OwnedFd,
    output: impl Write + 'static,
    manner: Manner,
    judge: Judge,
) -> Result<(), WorkerError> {
    serve_with(input, output, manner, Some(judge))
}

fn serve_with(
    input: OwnedFd,
    output: impl Write + 'static,
    manner: Manner,
    judge: Option<Judge>,
) -> Result<(), WorkerError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(WorkerError::Runtime)?;
    let local = LocalSet::new();
    local.block_on(&runtime, async move {
        let input = pipe::Receiver::from_owned_fd(input).map_err(WorkerError::Runtime)?;
        let said = Rc::new(Said::new(output));
        fault::arm();
        // With fewer, probes wait for each other.
        let _ = sys::raise_descriptor_limit();
        tokio::select! {
            ended = take_orders(input, &said, manner, judge) => ended,
            // Nobody listens any more.
            () = said.gone.notified() => Ok(()),
        }
    })
}

async fn take_orders(
    input: pipe::Receiver,
    said: &Rc<Said>,
    manner: Manner,
    judge: Option<Judge>,
) -> Result<(), WorkerError> {
    let mut input = BufReader::with_capacity(READ_LEN, input);
    let mut settings: HashMap<u32, Rc<Setting>> = HashMap::new();
    let memory = Rc::new(Memory::of_many());
    let under_way = Arc::new(Semaphore::new(ORDERS_MAX as usize));
    let places = Arc::new(Semaphore::new(manner.at_once));
    let pulse = manner.beats.then(|| said.clone());
    let _beat = Beat::start(under_way.clone(), pulse);
    // The supervisor is gone when the pipe ends: nobody wants what is under way.
    while let Some(order) = frame::next(&mut input).await.map_err(WorkerError::Job)? {
        let (number, setting, wanted) = match order {
            Order::Setting { job, .. } if job.schema != JOB_SCHEMA => {
                return Err(WorkerError::Schema(job.schema));
            }
            Order::Setting { setting, job } => {
                if settings.is_empty() {
                    roots::prepare(&job);
                }
                if settings.contains_key(&setting) || settings.len() < SETTINGS_MAX {
                    settings.insert(setting, Setting::new(*job));
                }
                continue;
            }
            Order::Forget { setting } => {
                settings.remove(&setting);
                continue;
            }
            Order::Probe {
                number,
                setting,
                wanted,
            } => (number, setting, wanted),
        };
        let Some(setting) = settings.get(&setting) else {
            said.say(&orders::unknown(number, &wanted, SETTINGS_MAX));
            continue;
        };
        // Both are there as long as this runs.
        let (Ok(order), Ok(place)) = (
            under_way.clone().acquire_owned().await,
            places.clone().acquire_owned().await,
        ) else {
            return Ok(());
        };
        let memory = if manner.remembers {
            memory.clone()
        } else {
            Rc::default()
        };
        let (setting, said) = (setting.clone(), said.clone());
        spawn_local(async move {
            let report = carry_out(number, setting, wanted, memory, place, judge).await;
            said.append(report);
            drop(order);
        });
    }
    Ok(())
}

/// One order from its begin to its end.
async fn carry_out(
    number: u64,
    setting: Rc<Setting>,
    wanted: Wanted,
    memory: Rc<Memory>,
    place: OwnedSemaphorePermit,
    judge: Option<Judge>,
) -> Report {
    let judged = match (&wanted, judge) {
        (
            Wanted::Visit {
                ask,
                usual: Some(usual),
                ..
            },
            Some(judge),
        ) => Some((ask.clone(), usual.clone(), judge)),
        _ => None,
    };
    let report = match judged {
        Some(_) => Report::kept(number),
        None => Report::new(number),
    };
    let report = Rc::new(RefCell::new(report));
    let records = report.clone();
    let setting = orders::setting_for(setting, &wanted);
    let cx = Cx::begin(setting, memory, move |event| match event {
        Event::Started {
            key,
            probe,
            stand_in,
        } => {
            records.borrow_mut().begin(key, *probe, stand_in);
            fault::strike(key);
        }
        Event::Observed { key, observation } => records.borrow_mut().end(key, observation),
        Event::Done { .. } => {}
    });
    cx.hold(place);
    let run = async {
        fault::strike_host(&cx.job().target);
        orders::run(&cx, &wanted).await;
    };
    let time = cx.left_of_check() + GRACE;
    match timeout(time, AssertUnwindSafe(run).catch_unwind()).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(panic)) => {
            cx.panicked(orders::kind(&wanted), orders::subject(&wanted), &*panic);
        }
    }
    // Probes that never said what became of them: their order ended before they did.
    report.borrow_mut().close(cx.queries());
    let mut report = report.take();
    if let Some((ask, usual, judge)) = judged {
        let (records, now) = (report.kept.take().unwrap_or_default(), cx.job().now);
        let (brief, mut records) = judge_safely(judge, &ask, records, now);
        if usual.contains(&brief.look()) {
            records.clear();
        }
        report.text = answer::write(number, cx.queries(), &brief, &records);
    }
    report
}

/// Judges one visit. What the rules make of it must not end the visits beside it: a panic here would
/// leave its order open for ever, and the whole worker be taken for one that hangs.
fn judge_safely(
    judge: Judge,
    ask: &CheckAsk,
    records: Vec<Observation>,
    now: jiff::Timestamp,
) -> (Brief, Vec<Observation>) {
    let judged = std::panic::catch_unwind(AssertUnwindSafe(|| judge(ask, records, now)));
    judged.unwrap_or_else(|_| (Brief::unknown("monitor.probe_panicked".into()), Vec::new()))
}

/// A short timer that runs while anything is under way.
///
/// The runtime is woken by a system call for each timer that is nearer than all before it: with
/// none there, that is each timer of each probe.
///
/// It is also what shows that the worker goes on: it says so, if somebody is to hear it.
struct Beat(JoinHandle<()>);

impl Beat {
    fn start(under_way: Arc<Semaphore>, pulse: Option<Rc<Said>>) -> Self {
        let turns = Arc::new(AtomicU64::new(0));
        if let Some(said) = &pulse {
            watch(Arc::downgrade(&turns));
            said.beat();
        }
        Self(spawn_local(async move {
            let mut last = Instant::now();
            loop {
                // With all places free nothing is under way; looked for again shortly.
                let is_idle = under_way.available_permits() == ORDERS_MAX as usize;
                if let Some(said) = &pulse {
                    said.waits.set(!is_idle);
                }
                tokio::time::sleep(if is_idle { BEAT_IDLE } else { BEAT }).await;
                turns.fetch_add(1, Ordering::Relaxed);
                if let Some(said) = &pulse {
                    if last.elapsed() >= PULSE {
                        last = Instant::now();
                        said.beat();
                    } else {
                        said.write();
                    }
                }
            }
        }))
    }
}

/// Ends the process when nothing goes on in it: a probe that never lets go cannot see that nobody
/// wants it any more. Ends with those whose turns it watches.
fn watch(turns: Weak<AtomicU64>) {
    std::thread::spawn(move || {
        let (mut seen, mut same) = (0, 0);
        loop {
            std::thread::sleep(WATCH);
            let Some(turns) = turns.upgrade() else { return };
            let now = turns.load(Ordering::Relaxed);
            same = if now == seen { same + 1 } else { 0 };
            seen = now;
            if same >= WATCHES_MAX {
                std::process::abort();
            }
        }
    });
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A [`Told`] being written: the records of one order go to the pipe together.
#[derive(Default)]
struct Report {
    text: Vec<u8>,
    records: usize,
    /// The records themselves, where they are judged here and not written one by one.
    kept: Option<Vec<Observation>>,
    /// Probes that began and have not ended.
    begun: Vec<Begun>,
    /// Records for which there was no room, and the first of them.
    left_out: u32,
    first_left_out: Option<(ProbeKind, jiff::Timestamp)>,
}

struct Begun {
    key: String,
    probe: ProbeKind,
    stand_in: NotRun,
    began: jiff::Timestamp,
}

impl Report {
    fn new(number: u64) -> Self {
        let text = format!("{{\"number\":{number},\"observations\":[").into_bytes();
        Self {
            text,
            ..Self::default()
        }
    }

    /// One whose records are judged.
    fn kept(number: u64) -> Self {
        Self {
            kept: Some(Vec::new()),
            ..Self::new(number)
        }
    }

    fn begin(&mut self, key: &str, probe: ProbeKind, stand_in: &NotRun) {
        self.begun.push(Begun {
            key: key.to_owned(),
            probe,
            stand_in: stand_in.clone(),
            began: crate::cx::now(),
        });
    }

    fn end(&mut self, key: &str, observation: &Observation) {
        // The last one that began is the first to end, as a rule.
        if let Some(at) = self.begun.iter().rposition(|begun| begun.key == key) {
            self.begun.swap_remove(at);
        }
        self.add(observation);
    }

    fn add(&mut self, observation: &Observation) {
        // A frame has a bound, and a trace of a hostile tree must not bring its order to nothing.
        let has_room = self.text.len() < REPORT_LEN_MAX;
        if !has_room || !self.write(observation, FRAME_LEN_MAX - REPORT_END_LEN) {
            self.left_out = self.left_out.saturating_add(1);
            self.first_left_out
                .get_or_insert((observation.probe, observation.began));
        }
    }

    /// Writes a record, if the text stays below a length with it.
    fn write(&mut self, observation: &Observation, len_max: usize) -> bool {
        if let Some(kept) = &mut self.kept {
            // Room is kept for the record of what was left out.
            let has_room = kept.len() < RECORDS_MAX || len_max == FRAME_LEN_MAX;
            if has_room {
                kept.push(observation.clone());
            }
            return has_room;
        }
        let len = self.text.len();
        if self.records > 0 {
            self.text.push(b',');
        }
        let written = serde_json::to_writer(&mut self.text, observation);
        let is_written = written.is_ok() && self.text.len() < len_max;
        if is_written {
            self.records += 1;
        } else {
            self.text.truncate(len);
        }
        is_written
    }

    fn close(&mut self, queries: u32) {
        for begun in std::mem::take(&mut self.begun) {
            let detail = "the order's time ran out first".to_owned();
            let not_run = NotRun {
                reason: NotRunReason::Deadline,
                detail,
                ..begun.stand_in
            };
            self.add(&Observation {
                id: String::new(),
                probe: begun.probe,
                began: begun.began,
                took_ms: 0.0,
                waits: 0,
                outcome: Outcome::NotRun(not_run),
            });
        }
        // What is missing is unknown, and never taken for something that was not asked.
        if let Some((probe, began)) = self.first_left_out {
            let most = match self.kept {
                Some(_) => format!("{RECORDS_MAX} records"),
                None => format!("{REPORT_LEN_MAX} bytes"),
            };
            let not_run = NotRun {
                reason: NotRunReason::Limit,
                detail: format!(
                    "{} records are left out: all of one order take at most {most}",
                    self.left_out
                ),
                subject: String::new(),
                address: None,
                via: None,
            };
            let observation = Observation {
                id: String::new(),
                probe,
                began,
                took_ms: 0.0,
                waits: 0,
                outcome: Outcome::NotRun(not_run),
            };
            self.write(&observation, FRAME_LEN_MAX);
        }
        let end = format!("],\"queries\":{queries}}}");
        self.text.extend_from_slice(end.as_bytes());
    }
}

/// What is said and not written yet.
struct Said {
    bytes: RefCell<Vec<u8>>,
    output: RefCell<Box<dyn Write>>,
    /// Will it be written when everybody had a turn?
    is_due: Cell<bool>,
    /// Will it be written with the next beat, which is near? Whoever hears it wakes for each writing.
    waits: Cell<bool>,
    gone: Notify,
}

impl Said {
    fn new(output: impl Write + 'static) -> Self {
        Self {
            bytes: RefCell::default(),
            output: RefCell::new(Box::new(output)),
            is_due: Cell::new(false),
            waits: Cell::new(false),
            gone: Notify::new(),
        }
    }

    fn append(self: &Rc<Self>, report: Report) {
        let framed = frame::append_content(&mut self.bytes.borrow_mut(), &report.text);
        self.appended(framed.is_ok());
    }

    fn say(self: &Rc<Self>, told: &Told) {
        let framed = frame::append(&mut self.bytes.borrow_mut(), told);
        self.appended(framed.is_ok());
    }

    /// Says that the worker lives.
    fn beat(&self) {
        self.bytes.borrow_mut().extend_from_slice(&frame::BEAT);
        self.write();
    }

    fn appended(self: &Rc<Self>, is_framed: bool) {
        if !is_framed {
            // A frame that is too long: the supervisor could not go on without it.
            self.gone.notify_one();
        } else if self.bytes.borrow().len() >= WRITE_LEN {
            self.write();
        } else if !self.waits.get() && !self.is_due.replace(true) {
            let said = self.clone();
            spawn_local(async move {
                yield_now().await;
                said.write();
            });
        }
    }

    fn write(&self) {
        self.is_due.set(false);
        let mut bytes = self.bytes.borrow_mut();
        if bytes.is_empty() {
            return;
        }
        let mut output = self.output.borrow_mut();
        let written: io::Result<()> = output.write_all(&bytes).and_then(|()| output.flush());
        if written.is_err() {
            self.gone.notify_one();
        }
        bytes.clear();
        bytes.shrink_to(2 * WRITE_LEN);
    }
}
