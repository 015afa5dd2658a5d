//! One link, from `Hello` to its end.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bellwether_link::frame::FrameError;
use bellwether_link::{client, frame, parcel};
use bellwether_model::link::{Hello, Refusal, ToAgent, ToHub, VERSION, VERSION_MIN};
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use super::ahead::Lain;
use super::plans::Assembly;
use super::{Dial, Ended, Uplink, Wish, lock};
use crate::clock::Clock;
use crate::spool::{Disk, WINDOW};

/// A certificate that did not come, or could not be kept, is asked for again: there are weeks for it.
const RENEW_AGAIN: Duration = Duration::from_secs(3_600);
/// How long the hub has for its first word.
const WELCOME_MAX: Duration = Duration::from_secs(10);
/// A hub of which nothing is heard for so long is gone: it says something every ten seconds. On a slow
/// line each byte of what is long counts.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often the agent says how it is.
const STATE_EVERY: Duration = Duration::from_secs(5);
/// Bytes that are sent before the first of them is known to be kept.
const WINDOW_LEN: usize = 4 * 1024 * 1024;
/// Messages of the hub that were not looked at yet.
const HEARD_MAX: usize = 16;
/// Messages that wait to be sent: with more, the hub reads nothing and asks much.
const OUT_MAX: usize = 1_024;
/// Longest time that a hub puts deliveries off.
const LATER_MAX: Duration = Duration::from_secs(60);
/// How long the hub has to ask what time it is, before it is brought anything: what it is brought is
/// stamped by what it measured.
const TIME_MAX: Duration = Duration::from_secs(5);
/// The wait before a disk that could not be read is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// How long what waits is delivered when the agent ends.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// What is said by the hub, or why nothing more will be.
type Heard = Result<ToAgent, Ended>;

struct Session<'a, L, D, C> {
    up: &'a mut Uplink<L, D, C>,
    /// Encoded, to be sent in this order.
    out: VecDeque<Vec<u8>>,
    /// Deliveries that were sent, by number and size.
    flying: VecDeque<(u64, usize)>,
    /// The newest that was sent.
    sent: u64,
    /// The newest that the hub has.
    kept: u64,
    /// Nothing is delivered before then.
    later: Option<Instant>,
    /// Did the hub ask what time it is?
    is_asked: bool,
    heard: Arc<Mutex<Instant>>,
    plan: Assembly,
    /// When another certificate was last asked for.
    renewing: Option<Instant>,
}

/// Runs a link over this stream.
pub(super) async fn run<L: Dial, D: Disk, C: Clock + Sync>(
    up: &mut Uplink<L, D, C>,
    stream: L::Stream,
    started: Timestamp,
    stop: &CancellationToken,
) -> Ended {
    let (read, write) = tokio::io::split(stream);
    let (tell, heard) = mpsc::channel(HEARD_MAX);
    let (out, taken) = mpsc::channel(1);
    // Both end with this.
    let mut tasks = JoinSet::new();
    let last = Arc::new(Mutex::new(Instant::now()));
    let read = Timed {
        stream: read,
        last: last.clone(),
    };
    tasks.spawn(listen(read, tell));
    tasks.spawn(speak(write, taken));
    let session = Session {
        up,
        out: VecDeque::new(),
        flying: VecDeque::new(),
        sent: 0,
        kept: 0,
        later: Some(Instant::now() + WELCOME_MAX),
        is_asked: false,
        heard: last,
        plan: Assembly::default(),
        renewing: None,
    };
    match session.begin_and_go_on(heard, out, started, stop).await {
        Ok(()) => Ended::Stopped,
        Err(ended) => ended,
    }
}

/// A stream of which it is known when something last came.
struct Timed<S> {
    stream: S,
    last: Arc<Mutex<Instant>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        *lock(&self.last) = Instant::now();
        Poll::Ready(read)
    }
}

/// Reads to the end: a message that was read in part is not given up.
async fn listen(mut stream: impl AsyncRead + Unpin, tell: mpsc::Sender<Heard>) {
    loop {
        let heard = match frame::receive(&mut stream).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(broken("the hub ended the link")),
            // In TLS 1.3 an agent hears only now what the hub thinks of its certificate.
            Err(FrameError::Io(error)) if client::is_refused(&error) => {
                Err(Ended::Refused(Refusal::Denied, super::REFUSED.to_owned()))
            }
            Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(broken("the connection to the hub broke off"))
            }
            Err(error) => Err(Ended::Broken(super::words(&error))),
        };
        let is_end = heard.is_err();
        if tell.send(heard).await.is_err() || is_end {
            return;
        }
    }
}

async fn speak<S: AsyncWrite>(mut stream: WriteHalf<S>, mut out: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = out.recv().await {
        // Whoever takes nothing for so long is gone.
        if frame::write(&mut stream, &frame, SILENCE_MAX)
            .await
            .is_err()
        {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

enum Woke {
    Heard(Option<Heard>),
    NoRoom,
    State,
    Look,
    Silence,
    Stop,
}

impl<L: Dial, D: Disk, C: Clock + Sync> Session<'_, L, D, C> {
    async fn begin_and_go_on(
        mut self,
        mut heard: mpsc::Receiver<Heard>,
        out: mpsc::Sender<Vec<u8>>,
        started: Timestamp,
        stop: &CancellationToken,
    ) -> Result<(), Ended> {
        let (boot, newest) = self.up.shared.spool(|s| (s.boot(), s.newest())).await;
        self.say(&ToHub::Hello(Hello {
            versions: (VERSION_MIN, VERSION),
            program: self.up.program.clone(),
            boot,
            started,
            at: self.up.clock.wall(),
            generation: self.up.generation,
            newest,
        }))?;
        if let Some(hello) = self.out.pop_front() {
            // Why it is not taken, if it is not, is heard below.
            let _ = out.send(hello).await;
        }
        let first = tokio::select! {
            first = timeout(WELCOME_MAX, heard.recv()) => first,
            () = stop.cancelled() => return Ok(()),
        };
        let first = first.map_err(|_| broken("the hub says nothing"))?;
        self.welcome(first).await?;
        self.go_on(heard, out, stop).await
    }

    async fn welcome(&mut self, first: Option<Heard>) -> Result<(), Ended> {
        let (version, program, agent, vantage, (kept, boot)) = match first {
            Some(Ok(ToAgent::Welcome {
                version,
                program,
                agent,
                vantage,
                kept,
                boot,
                ..
            })) => (version, program, agent, vantage, (kept, boot)),
            Some(Ok(ToAgent::Refused { code, why })) => return Err(Ended::Refused(code, why)),
            Some(Err(ended)) => return Err(ended),
            Some(Ok(_)) => return Err(broken("the hub does not say what is said first")),
            None => return Err(broken("the hub ended the link")),
        };
        if !(VERSION_MIN..=VERSION).contains(&version) {
            return Err(broken(
                "the hub goes by a version that this agent does not speak",
            ));
        }
        if vantage != self.up.local.vantage {
            return Err(broken(
                "the hub takes this agent for another vantage; enrol again",
            ));
        }
        let id = agent.clone();
        let welcomed = self
            .up
            .shared
            .spool(move |spool| spool.welcome(&id, kept, boot))
            .await;
        welcomed.map_err(|error| Ended::Broken(super::words(&error)))?;
        (self.sent, self.kept) = (kept, kept);
        self.later = Some(Instant::now() + TIME_MAX);
        self.up.shared.linked.send_replace(true);
        tracing::info!(%agent, hub = program, kept, "linked to the hub");
        Ok(())
    }

    async fn go_on(
        mut self,
        mut heard: mpsc::Receiver<Heard>,
        out: mpsc::Sender<Vec<u8>>,
        stop: &CancellationToken,
    ) -> Result<(), Ended> {
        let mut newest = self.up.shared.newest.subscribe();
        let mut states = tokio::time::interval(STATE_EVERY);
        states.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ends: Option<Instant> = None;
        loop {
            self.deliver(&mut newest).await?;
            let is_done = self.flying.is_empty() && self.out.is_empty();
            if ends.is_some_and(|at| {
                Instant::now() >= at || (is_done && self.sent >= *newest.borrow())
            }) {
                return Ok(());
            }
            match self
                .wake(&mut heard, &out, &mut newest, &mut states, stop, ends)
                .await
            {
                Woke::Heard(Some(Ok(message))) => self.hear(message).await?,
                Woke::Heard(Some(Err(ended))) => return Err(ended),
                Woke::Heard(None) => return Err(broken("the hub ended the link")),
                // Why it takes nothing more may be there to be heard.
                Woke::NoRoom => match timeout(READ_AGAIN, heard.recv()).await {
                    Ok(Some(Err(ended))) => return Err(ended),
                    Ok(Some(Ok(message))) => self.hear(message).await?,
                    Ok(None) | Err(_) => return Err(broken("the hub takes nothing")),
                },
                Woke::Silence if self.silence() > Instant::now() => {}
                Woke::Silence => {
                    return Err(broken("nothing was heard of the hub for half a minute"));
                }
                Woke::State => self.tell_state()?,
                Woke::Stop => ends = Some(Instant::now() + DRAIN_MAX),
                Woke::Look => {}
            }
        }
    }

    async fn wake(
        &mut self,
        heard: &mut mpsc::Receiver<Heard>,
        out: &mpsc::Sender<Vec<u8>>,
        newest: &mut watch::Receiver<u64>,
        states: &mut tokio::time::Interval,
        stop: &CancellationToken,
        ends: Option<Instant>,
    ) -> Woke {
        let silence = self.silence();
        let later = self.later.or(ends).unwrap_or(silence);
        tokio::select! {
            heard = heard.recv() => Woke::Heard(heard),
            room = out.reserve(), if !self.out.is_empty() => match (room, self.out.pop_front()) {
                (Ok(room), Some(frame)) => {
                    room.send(frame);
                    Woke::Look
                }
                _ => Woke::NoRoom,
            },
            _ = states.tick() => Woke::State,
            changed = newest.changed(), if self.may_deliver() => match changed {
                Ok(()) => Woke::Look,
                Err(_) => Woke::Silence,
            },
            () = tokio::time::sleep_until(later), if self.later.is_some() || ends.is_some() => Woke::Look,
            () = tokio::time::sleep_until(silence) => Woke::Silence,
            () = stop.cancelled(), if ends.is_none() => Woke::Stop,
        }
    }

    /// When it has been silent for too long, if nothing comes.
    fn silence(&self) -> Instant {
        *lock(&self.heard) + SILENCE_MAX
    }

    fn say(&mut self, message: &ToHub) -> Result<(), Ended> {
        if self.out.len() >= OUT_MAX {
            return Err(broken("the hub asks much, and takes nothing"));
        }
        let frame = frame::encode(message).map_err(|error| Ended::Broken(super::words(&error)))?;
        self.out.push_back(frame);
        Ok(())
    }

    fn may_deliver(&self) -> bool {
        let len: usize = self.flying.iter().map(|(_, len)| len).sum();
        let is_open = (self.flying.len() as u64) < WINDOW && len < WINDOW_LEN;
        self.out.is_empty() && self.later.is_none() && is_open
    }

    /// Puts the next delivery into `out`, if it is time for one.
    async fn deliver(&mut self, newest: &mut watch::Receiver<u64>) -> Result<(), Ended> {
        if self.later.is_some_and(|later| later <= Instant::now()) {
            self.later = None;
        }
        if !self.may_deliver() || *newest.borrow_and_update() <= self.sent {
            return Ok(());
        }
        let sent = self.sent;
        let next = self.up.shared.spool(move |spool| {
            let next = spool.after(sent)?;
            Ok::<_, crate::spool::SpoolError>(
                next.map(|(number, delivery)| (number, parcel::pack(&delivery))),
            )
        });
        let (number, packed) = match next.await {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::warn!(error = super::words(&error), "nothing can be delivered now");
                self.later = Some(Instant::now() + READ_AGAIN);
                return Ok(());
            }
        };
        self.sent = number;
        let packed = match packed {
            Ok(packed) => packed,
            Err(error) => {
                // It was packed before it was spooled.
                tracing::error!(number, %error, "a delivery is left out");
                return Ok(());
            }
        };
        self.flying.push_back((number, packed.len()));
        for message in parcel::messages(number, &packed) {
            self.say(&message)?;
        }
        Ok(())
    }

    fn tell_state(&mut self) -> Result<(), Ended> {
        // Those of a hub that takes nothing would only wait.
        if !self.out.is_empty() {
            return Ok(());
        }
        let wall = self.up.clock.wall();
        let state = self.up.shared.state(wall);
        self.say(&ToHub::State(state))?;
        let lain = Lain::of(&self.up.clock);
        let ahead = lock(&self.up.shared.ahead).now(lain).unwrap_or(0);
        let now = wall
            .checked_add(SignedDuration::from_millis(ahead))
            .unwrap_or(wall);
        let asked = self.renewing;
        if asked.is_none_or(|at| at.elapsed() >= RENEW_AGAIN)
            && let Some(request) = self.up.dial.renewal(now)
        {
            self.renewing = Some(Instant::now());
            self.say(&ToHub::Renew { request })?;
        }
        Ok(())
    }

    async fn hear(&mut self, message: ToAgent) -> Result<(), Ended> {
        match message {
            ToAgent::Kept { number } => self.kept(number).await,
            ToAgent::Later { wait_ms, why } => {
                let wait = Duration::from_millis(wait_ms).min(LATER_MAX);
                tracing::info!(?wait, why, "the hub takes deliveries later");
                self.later = Some(Instant::now() + wait);
                self.flying.clear();
                self.sent = self.kept;
            }
            ToAgent::Plan(head) => self.plan.begin(head),
            ToAgent::PlanPart { generation, checks } => {
                if let Err(why) = self.plan.part(generation, checks) {
                    return Err(Ended::Broken(why));
                }
            }
            ToAgent::PlanEnd { generation, checks } => self.plan_ended(generation, checks).await?,
            ToAgent::Ask(asked) => self.wish(Wish::Asked(asked)).await,
            ToAgent::Renewed { chain } => match self.up.dial.renewed(chain) {
                Ok(()) => tracing::info!("this agent has a new certificate"),
                Err(why) => tracing::error!(
                    why,
                    "a new certificate cannot be used; the one before stays in use"
                ),
            },
            ToAgent::Time { at, offset_ms, of } => {
                let lain = Lain::of(&self.up.clock);
                let now = self.up.clock.wall();
                let mut ahead = lock(&self.up.shared.ahead);
                if let Some(offset_ms) = offset_ms {
                    ahead.told(offset_ms, of, lain);
                }
                ahead.answers(at, lain);
                drop(ahead);
                self.say(&ToHub::Time { asked: at, at: now })?;
                if !std::mem::replace(&mut self.is_asked, true) {
                    self.later = None;
                }
            }
            ToAgent::Refused { code, why } => return Err(Ended::Refused(code, why)),
            ToAgent::Enrolled { .. } | ToAgent::Welcome { .. } => {
                return Err(broken("the hub says what is not said at this place"));
            }
        }
        Ok(())
    }

    async fn kept(&mut self, number: u64) {
        if number > self.sent && self.later.is_none() {
            tracing::warn!(
                number,
                sent = self.sent,
                "the hub says that it has what was not sent"
            );
            return;
        }
        if number <= self.kept {
            return;
        }
        self.kept = number;
        self.sent = self.sent.max(number);
        while self.flying.front().is_some_and(|(sent, _)| *sent <= number) {
            self.flying.pop_front();
        }
        self.up
            .shared
            .spool(move |spool| spool.acknowledge(number))
            .await;
    }

    async fn plan_ended(&mut self, generation: u64, checks: u64) -> Result<(), Ended> {
        let mut plan = std::mem::take(&mut self.plan);
        let (local, file) = (self.up.local.clone(), self.up.plan_file.clone());
        let made = tokio::task::spawn_blocking(move || {
            plan.end(generation, checks, &local, file.as_ref())
        });
        let made = made.await.unwrap_or_else(|failed| Err(failed.to_string()));
        match made {
            Ok(plan) => {
                tracing::info!(generation, checks, "a new plan");
                self.up.generation = generation;
                self.wish(Wish::Plan(Box::new(plan))).await;
                self.say(&ToHub::Planned { generation })
            }
            Err(why) => {
                tracing::error!(
                    generation,
                    why,
                    "a plan that cannot be gone by; the one before stays in force"
                );
                self.say(&ToHub::Unplanned { generation, why })
            }
        }
    }

    /// Whoever does it takes it at once, and ends only with the agent.
    async fn wish(&mut self, wish: Wish) {
        let _ = self.up.wishes.send(wish).await;
    }
}

fn broken(why: &str) -> Ended {
    Ended::Broken(why.to_owned())
}
