//! The worker's end where one process runs many probes: orders in, records out.
//!
//! What one probe learns of a chain serves the others, and so does whatever is made once: a hostile
//! peer can take that process down with all that is under way in it. So a check has a worker of its
//! own ([`serve`](super::serve())), and this is for a scheduler that sends out many probes a second
//! and knows what it sent out: no probe's begin is told.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bellwether_model::dns::{Question, ResolverOrigin};
use bellwether_model::job::{Event, JOB_SCHEMA, Order, ResolverAsk, Told, Wanted};
use bellwether_model::observation::{DnsPurpose, DnsSeen, NotRun};
use bellwether_model::{DnsName, NotRunReason, Observation, Origin, Outcome, ProbeKind};
use futures_util::FutureExt as _;
use tokio::io::BufReader;
use tokio::net::unix::pipe;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};

use super::WorkerError;
use super::frame;
use crate::cx::{Cx, Setting};
use crate::dns::exchange::{Ask, ask};
use crate::http::{Resolve, Resolved};
use crate::memory::Memory;
use crate::{attempt, icmp};

/// Jobs that are known at the same time: a worker has the checks of one core.
const SETTINGS_MAX: usize = 16_384;
/// Orders under way at the same time, those that only wait included.
const ORDERS_MAX: u32 = 4096;
/// Records that are written at once.
const WRITE_LEN: usize = 48 * 1024;
/// How often the clock is looked at while probes are under way: less than any of them waits.
const BEAT: Duration = Duration::from_millis(10);
/// The same while there are none.
const BEAT_IDLE: Duration = Duration::from_millis(200);
/// Bytes read of the orders at once.
const READ_LEN: usize = 64 * 1024;

/// How a worker of many probes works.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Probes that work at the same time. One that only waits for a late reset is not counted.
    pub at_once: usize,
    /// Does one probe learn from another?
    pub remembers: bool,
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(WorkerError::Runtime)?;
    let local = LocalSet::new();
    local.block_on(&runtime, async move {
        let input = pipe::Receiver::from_owned_fd(input).map_err(WorkerError::Runtime)?;
        let said = Rc::new(Said::new(output));
        tokio::select! {
            ended = take_orders(input, &said, manner) => ended,
            // Nobody listens any more.
            () = said.gone.notified() => Ok(()),
        }
    })
}

async fn take_orders(
    input: pipe::Receiver,
    said: &Rc<Said>,
    manner: Manner,
) -> Result<(), WorkerError> {
    let mut input = BufReader::with_capacity(READ_LEN, input);
    let mut settings: HashMap<u32, Rc<Setting>> = HashMap::new();
    let memory = Rc::new(Memory::of_many());
    let under_way = Arc::new(Semaphore::new(ORDERS_MAX as usize));
    let places = Arc::new(Semaphore::new(manner.at_once));
    let _beat = Beat::start(under_way.clone());
    // The supervisor is gone when the pipe ends: nobody wants what is under way.
    while let Some(order) = frame::next(&mut input).await.map_err(WorkerError::Job)? {
        let (number, setting, wanted) = match order {
            Order::Setting { job, .. } if job.schema != JOB_SCHEMA => {
                return Err(WorkerError::Schema(job.schema));
            }
            Order::Setting { setting, job } => {
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
            said.say(&unknown(number, &wanted));
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
            let report = Rc::new(RefCell::new(Report::new(number)));
            let records = report.clone();
            let cx = Cx::begin(setting, memory, move |event| {
                if let Event::Observed { observation, .. } = event {
                    records.borrow_mut().add(observation);
                }
            });
            cx.hold(place);
            if let Err(panic) = AssertUnwindSafe(run(&cx, &wanted)).catch_unwind().await {
                cx.panicked(kind(&wanted), subject(&wanted), &*panic);
            }
            said.append(report.take());
            drop(order);
        });
    }
    Ok(())
}

async fn run(cx: &Cx, wanted: &Wanted) {
    match wanted {
        Wanted::Dns { server, name } => dns(cx, *server, name).await,
        Wanted::Address { address } => {
            // On the heap: it is the largest by far, and would be carried about with the others.
            let resolve = Rc::new(Nowhere);
            Box::pin(attempt::run(cx, *address, Origin::Operator, 0, resolve)).await;
        }
        Wanted::Echo { address } => {
            let (_unserved, served) = oneshot::channel();
            icmp::run(cx, *address, Origin::Operator, 0, served).await;
        }
        Wanted::Visit { .. } | Wanted::Trace { .. } => {}
    }
}

async fn dns(cx: &Cx, server: SocketAddr, name: &DnsName) {
    let question = Question {
        name: name.clone(),
        rtype: "A".to_owned(),
    };
    let stand_in = NotRun {
        reason: NotRunReason::Deadline,
        detail: String::new(),
        subject: server.to_string(),
        address: Some(server.ip()),
        via: None,
    };
    let resolver = ResolverAsk {
        label: String::new(),
        address: server,
        channel: bellwether_model::resolver::Channel::default(),
        origin: ResolverOrigin::Given,
    };
    let wanted = Ask::resolver(&resolver, question);
    let run = async {
        let seen = DnsSeen {
            server: server.ip(),
            purpose: DnsPurpose::Answer,
            exchange: ask(cx, &wanted).await,
        };
        (Outcome::Dns(seen), 1)
    };
    let key = format!("dns {server}");
    cx.probe(ProbeKind::Dns, key, stand_in, run).await;
}

/// A short timer that runs while anything is under way.
///
/// The runtime is woken by a system call for each timer that is nearer than all before it: with
/// none there, that is each timer of each probe.
struct Beat(JoinHandle<()>);

impl Beat {
    fn start(under_way: Arc<Semaphore>) -> Self {
        Self(spawn_local(async move {
            loop {
                // With all places free nothing is under way; looked for again shortly.
                let is_idle = under_way.available_permits() == ORDERS_MAX as usize;
                tokio::time::sleep(if is_idle { BEAT_IDLE } else { BEAT }).await;
            }
        }))
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The names of redirects are another probe's matter.
struct Nowhere;

impl Resolve for Nowhere {
    fn resolve(&self, name: DnsName) -> Pin<Box<dyn Future<Output = Resolved>>> {
        Box::pin(async move { Err(format!("{name} is not looked up by a probe of an address")) })
    }
}

fn kind(wanted: &Wanted) -> ProbeKind {
    match wanted {
        Wanted::Dns { .. } => ProbeKind::Dns,
        Wanted::Address { .. } => ProbeKind::Tcp,
        Wanted::Echo { .. } => ProbeKind::Icmp,
        Wanted::Visit { .. } | Wanted::Trace { .. } => ProbeKind::Addresses,
    }
}

fn address(wanted: &Wanted) -> IpAddr {
    match wanted {
        Wanted::Visit { .. } | Wanted::Trace { .. } => IpAddr::from([0, 0, 0, 0]),
        Wanted::Dns { server, .. } => server.ip(),
        Wanted::Address { address } | Wanted::Echo { address } => *address,
    }
}

fn subject(wanted: &Wanted) -> String {
    address(wanted).to_string()
}

/// What is said of an order by a job that is not known.
fn unknown(number: u64, wanted: &Wanted) -> Told {
    let observation = Observation {
        id: String::new(),
        probe: kind(wanted),
        began: crate::cx::now(),
        took_ms: 0.0,
        waits: 0,
        outcome: Outcome::NotRun(NotRun {
            reason: NotRunReason::Limit,
            detail: format!("no job of this number is known; at most {SETTINGS_MAX} are"),
            subject: subject(wanted),
            address: Some(address(wanted)),
            via: None,
        }),
    };
    Told {
        number,
        observations: vec![observation],
        queries: 0,
    }
}

/// A [`Told`] being written: the records of one order go to the pipe together.
#[derive(Default)]
struct Report {
    text: Vec<u8>,
    records: usize,
}

impl Report {
    fn new(number: u64) -> Self {
        let text = format!("{{\"number\":{number},\"observations\":[").into_bytes();
        Self { text, records: 0 }
    }

    fn add(&mut self, observation: &Observation) {
        let len = self.text.len();
        if self.records > 0 {
            self.text.push(b',');
        }
        // Nothing in an observation fails to be written; if it did, the record is missing.
        match serde_json::to_writer(&mut self.text, observation) {
            Ok(()) => self.records += 1,
            Err(_) => self.text.truncate(len),
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.text.extend_from_slice(b"]}");
        self.text
    }
}

/// What is said and not written yet.
struct Said {
    bytes: RefCell<Vec<u8>>,
    output: RefCell<Box<dyn Write>>,
    /// Will it be written when everybody had a turn?
    is_due: Cell<bool>,
    gone: Notify,
}

impl Said {
    fn new(output: impl Write + 'static) -> Self {
        Self {
            bytes: RefCell::default(),
            output: RefCell::new(Box::new(output)),
            is_due: Cell::new(false),
            gone: Notify::new(),
        }
    }

    fn append(self: &Rc<Self>, report: Report) {
        let content = report.end();
        let framed = frame::append_content(&mut self.bytes.borrow_mut(), &content);
        self.appended(framed.is_ok());
    }

    fn say(self: &Rc<Self>, told: &Told) {
        let framed = frame::append(&mut self.bytes.borrow_mut(), told);
        self.appended(framed.is_ok());
    }

    fn appended(self: &Rc<Self>, is_framed: bool) {
        if !is_framed {
            // A frame that is too long: the supervisor could not go on without it.
            self.gone.notify_one();
        } else if self.bytes.borrow().len() >= WRITE_LEN {
            self.write();
        } else if !self.is_due.replace(true) {
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
        let mut output = self.output.borrow_mut();
        let written: io::Result<()> = output.write_all(&bytes).and_then(|()| output.flush());
        if written.is_err() {
            self.gone.notify_one();
        }
        bytes.clear();
        bytes.shrink_to(2 * WRITE_LEN);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::testing::job;

    /// What a worker says to these orders.
    fn told(orders: &[Order]) -> Vec<Told> {
        let (input, mut say) = io::pipe().unwrap();
        let (mut hear, output) = io::pipe().unwrap();
        let manner = Manner {
            at_once: 2,
            remembers: true,
        };
        let worker = std::thread::spawn(move || serve_many(input.into(), output, manner));
        let wanted = orders
            .iter()
            .filter(|order| matches!(order, Order::Probe { .. }));
        let count = wanted.count();
        for order in orders {
            say.write_all(&frame::encode(order).unwrap()).unwrap();
        }
        let mut told: Vec<Told> = (0..count)
            .map(|_| frame::read(&mut hear).unwrap())
            .collect();
        drop(say);
        let mut rest = Vec::new();
        hear.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
        assert!(worker.join().unwrap().is_ok());
        told.sort_by_key(|told| told.number);
        told
    }

    fn probe(number: u64, setting: u32) -> Order {
        let address = crate::testing::LOCALHOST;
        Order::Probe {
            number,
            setting,
            wanted: Wanted::Address { address },
        }
    }

    #[test]
    fn each_order_is_answered_by_its_own_job() {
        let listener = std::net::TcpListener::bind((crate::testing::LOCALHOST, 0)).unwrap();
        let at = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut request = [0; 4096];
                    let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
                    if stream.read(&mut request).is_ok_and(|len| len > 0) {
                        let _ = stream.write_all(text);
                    }
                });
            }
        });
        let setting = |setting, target: &str| Order::Setting {
            setting,
            job: Box::new(job(target)),
        };
        let mut orders = vec![
            setting(1, &format!("http://svc.test:{}/", at.port())),
            setting(2, &format!("tcp://svc.test:{}", at.port())),
        ];
        orders.extend((0..10).map(|number| probe(number, 1 + u32::try_from(number % 2).unwrap())));
        orders.push(probe(10, 3));
        let told = told(&orders);
        let kinds: Vec<Vec<ProbeKind>> = told
            .iter()
            .map(|told| told.observations.iter().map(|o| o.probe).collect())
            .collect();
        for (number, kinds) in kinds.iter().enumerate().take(10) {
            let expected: &[ProbeKind] = match number % 2 {
                0 => &[ProbeKind::Tcp, ProbeKind::Http],
                _ => &[ProbeKind::Tcp],
            };
            assert_eq!(kinds, expected, "{number}");
        }
        let Outcome::NotRun(not_run) = &told[10].observations[0].outcome else {
            panic!("{:?}", told[10]);
        };
        assert_eq!(not_run.reason, NotRunReason::Limit);
    }

    #[test]
    fn a_job_of_another_version_is_refused() {
        let (input, mut say) = io::pipe().unwrap();
        let mut other = job("tcp://svc.test:1");
        other.schema = "bellwether.worker/0".to_owned();
        let job = Box::new(other);
        let order = Order::Setting { setting: 1, job };
        say.write_all(&frame::encode(&order).unwrap()).unwrap();
        let manner = Manner {
            at_once: 1,
            remembers: false,
        };
        let ended = serve_many(input.into(), io::sink(), manner);
        assert!(matches!(ended, Err(WorkerError::Schema(_))));
    }
}
