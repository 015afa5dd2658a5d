//! One linked agent, from its `Hello` to its end.
//!
//! What comes is read by a task of its own, so that a message that is not whole yet holds up nothing;
//! it reads no further than a few messages ahead, so that an agent that sends faster than the disk takes
//! is slowed down by the connection itself. One delivery is under way at a time.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_link::frame::{self, FrameError};
use bellwether_link::parcel::Assembly;
use bellwether_link::server::Peer;
use bellwether_model::VantageId;
use bellwether_model::link::{AgentState, Asked, Hello, Refusal, ToAgent, ToHub};
use bellwether_model::text::inert;
use bellwether_store::Cursor;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::offset::{Now, Offsets};
use super::out::{Out, Room};
use super::registry::{NotInForce, RenewError};
use super::taking::{Done, Memory, Taking};
use super::visit::{WORDS_LEN_MAX, refuse};
use super::{End, Host, Sat, Turn, plan};
use crate::links::Presence;

/// How long nothing may be heard: agents say how they are every few seconds.
const IDLE: Duration = Duration::from_secs(60);
/// How often the time is asked for.
const TIME_EVERY: Duration = Duration::from_secs(10);
/// How long what came over the link before may take until it is kept: below what agents wait for a
/// welcome.
const SETTLE: Duration = Duration::from_secs(8);
/// Messages that are read ahead.
const AHEAD: usize = 2;
/// What is asked of an agent and waits to be sent; each is small.
const ASKS_MAX: usize = 65_536;
/// How long an agent is told to wait with deliveries that were not taken.
const LATER: Duration = Duration::from_secs(5);
/// How long what comes behind a delivery that was put off is taken for what was on its way (what a slow
/// line holds of a few deliveries), before the agent is told once more to begin with that one.
const PUT_OFF_MAX: Duration = Duration::from_secs(60);
/// How far a delivery's number may be ahead of the one before. What is missing is a gap for good; more
/// than that are in no spool.
const LEAP_MAX: u64 = 1_000_000_000;
/// How often a certificate is made for one link.
const RENEW_EVERY: Duration = Duration::from_secs(60);
/// Longest words of an agent about its troubles.
const TROUBLE_LEN_MAX: usize = 400;

/// Who is let in.
pub(super) struct Who {
    pub(super) peer: Peer,
    pub(super) version: u32,
    pub(super) admitted: Admitted,
}

/// What is known of whoever is let in.
pub(super) struct Admitted {
    pub(super) vantage: VantageId,
    /// When its certificate ends.
    pub(super) ends: Timestamp,
}

/// Why a link ends.
enum Over {
    /// The other side left, or cannot be reached.
    Gone(FrameError),
    /// Ended by it between two messages.
    Left,
    /// We end it.
    End(End),
}

impl From<FrameError> for Over {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(_) => Self::Gone(error),
            FrameError::TooLong { .. } | FrameError::Message(_) => protocol(&error.to_string()),
        }
    }
}

/// Something was said that does not belong there.
fn protocol(why: &str) -> Over {
    Over::End(End {
        code: Refusal::Protocol,
        why: why.to_owned(),
    })
}

/// A delivery that the agent was told to send later.
struct PutOff {
    number: u64,
    /// The last one behind it that was passed over.
    passed_over: Option<u64>,
    at: Instant,
}

/// A whole delivery, packed.
struct Parcel {
    number: u64,
    packed: Vec<u8>,
}

struct Session {
    host: Arc<Host>,
    out: Out,
    /// What is not said yet of the plan, and what is asked once it is.
    plan: VecDeque<ToAgent>,
    peer: Peer,
    vantage: VantageId,
    boot: u64,
    /// The number of the newest delivery that is kept.
    kept: u64,
    /// Which start of the agent made that one, when the link began; 0 where that is not known.
    kept_boot: u64,
    assembly: Assembly,
    /// Deliveries that came whole and wait for the one under way.
    parcels: VecDeque<Parcel>,
    put_off: Option<PutOff>,
    /// When the agent's newest certificate ends: the link outlives the one that it began with.
    ends: Timestamp,
    /// The number of the delivery under way, or of the last one.
    taking: u64,
    seat: u64,
    turn: Turn,
    memory: Memory,
    offsets: Offsets,
    /// When the agent was last told the hub's time; until it answers.
    asked: Option<Now>,
    renewed: Option<Instant>,
}

/// Serves a linked agent to its end.
pub(super) async fn serve<S>(host: Arc<Host>, mut stream: S, hello: Hello, who: Who)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Who {
        peer,
        version,
        admitted: Admitted { vantage, ends },
    } = who;
    let enrolment = peer.agent.rsplit_once('/').map_or("", |(_, last)| last);
    let Sat {
        number,
        ends: mut end,
        turn,
    } = host.fleet().sit(&vantage, enrolment, hello.boot);
    let _seat = Sitting {
        host: host.clone(),
        vantage: vantage.clone(),
        number,
    };
    let settled = tokio::select! {
        biased;
        ended = ended(&mut end) => Err(ended),
        settled = settled(&host, &peer.agent, &turn) => settled,
    };
    let Cursor { number: kept, boot } = match settled {
        Ok(cursor) => cursor,
        Err(Over::End(End { code, why })) => return refuse(&mut stream, code, &why).await,
        Err(Over::Left | Over::Gone(_)) => return,
    };
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    let links = host.shared.links.clone();
    let _linked = links.enter(&vantage, hello.boot, asks, Timestamp::now);
    let now = host.now();
    links.heard(&vantage, |presence| {
        presence.since = Some(now);
        presence.heard = Some(now);
        presence.program = inert(&hello.program, WORDS_LEN_MAX);
        presence.generation = hello.generation;
        presence.offset_ms = None;
        presence.state = None;
        presence.unplanned = None;
    });
    tracing::info!(%vantage, agent = peer.agent, boot = hello.boot, program = inert(&hello.program, WORDS_LEN_MAX), kept, "an agent has linked");
    if hello.newest < kept {
        tracing::warn!(%vantage, kept, newest = hello.newest, "an agent's spool is older than what came from it: it was put back, or is a copy");
    }
    let (reader, out) = tokio::io::split(stream);
    let mut session = Session {
        host: host.clone(),
        out: Out::over(out),
        plan: VecDeque::new(),
        peer,
        vantage: vantage.clone(),
        boot: hello.boot,
        kept,
        kept_boot: boot,
        assembly: Assembly::default(),
        parcels: VecDeque::new(),
        put_off: None,
        ends,
        taking: kept,
        seat: number,
        turn,
        memory: Memory::default(),
        offsets: Offsets::default(),
        asked: None,
        renewed: None,
    };
    let mut words = Words::of(reader);
    let over = session.run(version, &mut words, asked, &mut end).await;
    session.over(over).await;
}

/// An agent's newest delivery that the store has, once nothing that came over a link
/// before is on its way there.
async fn settled(host: &Arc<Host>, agent: &str, turn: &Turn) -> Result<Cursor, Over> {
    let busy = |why: &str| {
        let (code, why) = (Refusal::Busy, why.to_owned());
        Err(Over::End(End { code, why }))
    };
    let Ok(_turn) = timeout(SETTLE, turn.lock()).await else {
        return busy("the hub still keeps what this agent brought last");
    };
    let agent = agent.to_owned();
    let asked = host.ask(move |shared| shared.observations.cursor(&agent));
    match asked.await.and_then(|cursor| cursor) {
        Ok(cursor) => Ok(cursor),
        Err(error) => {
            tracing::error!(%error, "what an agent brought cannot be looked up");
            busy("the hub cannot look that up now")
        }
    }
}

/// An agent's place, until it is let go of.
struct Sitting {
    host: Arc<Host>,
    vantage: VantageId,
    number: u64,
}

impl Drop for Sitting {
    fn drop(&mut self) {
        self.host.fleet().stand_up(&self.vantage, self.number);
    }
}

/// What comes, message by message.
struct Words {
    hears: mpsc::Receiver<Result<Option<ToHub>, FrameError>>,
    reads: JoinHandle<()>,
}

impl Words {
    fn of(mut reader: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (says, hears) = mpsc::channel(AHEAD);
        let reads = tokio::spawn(async move {
            loop {
                let read = frame::receive::<ToHub>(&mut reader).await;
                let is_last = !matches!(read, Ok(Some(_)));
                if says.send(read).await.is_err() || is_last {
                    return;
                }
            }
        });
        Self { hears, reads }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.reads.abort();
    }
}

impl Session {
    async fn run(
        &mut self,
        version: u32,
        words: &mut Words,
        mut asked: mpsc::Receiver<Asked>,
        end: &mut watch::Receiver<Option<End>>,
    ) -> Over {
        let mut configured = self.host.fleet().configured.subscribe();
        let mut is_changed = false;
        // Whoever is revoked is told no more of what there is to do.
        let welcomed = tokio::select! {
            biased;
            ended = ended(end) => return ended,
            welcomed = self.welcome(version) => welcomed,
        };
        if let Err(over) = welcomed {
            return over;
        }
        let mut ticks = tokio::time::interval(TIME_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut under_way: Option<JoinHandle<(Done, Memory)>> = None;
        loop {
            let done = tokio::select! {
                biased;
                ended = ended(end) => return ended,
                _ = configured.changed() => {
                    is_changed = true;
                    self.is_configured()
                }
                // One plan after the other: what comes too fast is told by the newest alone.
                () = ready(()), if is_changed && self.plan.is_empty() => {
                    is_changed = false;
                    tokio::select! {
                        biased;
                        ended = ended(end) => return ended,
                        planned = self.plan() => planned,
                    }
                }
                _ = ticks.tick() => self.tick(heard.elapsed()).await,
                done = joined(&mut under_way) => {
                    under_way = None;
                    self.delivered(done).await
                }
                // What is asked is of checks that it knows: behind the plan, of which the last parts may
                // be on their way.
                Some(asked) = asked.recv(), if self.plan.is_empty() => {
                    self.plan.push_back(ToAgent::Ask(asked));
                    Ok(())
                }
                room = self.out.room(), if !self.plan.is_empty() => self.tell_plan(room),
                // While one is under way and another one waits, no more is read.
                said = words.hears.recv(), if self.parcels.is_empty() => {
                    heard = Instant::now();
                    match said {
                        Some(Ok(Some(said))) => self.heard(said).await,
                        Some(Ok(None)) | None => Err(Over::Left),
                        Some(Err(error)) => Err(error.into()),
                    }
                }
                gone = self.out.gone() => Err(gone.into()),
            };
            if let Err(over) = done {
                return over;
            }
            if under_way.is_none()
                && let Some(parcel) = self.parcels.pop_front()
            {
                // Nothing was read while it waited.
                heard = Instant::now();
                match self.begin(parcel).await {
                    Ok(begun) => under_way = begun,
                    Err(over) => return over,
                }
            }
        }
    }

    /// What time brings: the end of one that is silent, or whose certificate has ended, or a question.
    async fn tick(&mut self, silent: Duration) -> Result<(), Over> {
        if self.parcels.is_empty() && silent >= IDLE {
            return Err(protocol("nothing was heard for a minute"));
        }
        if self.host.now() >= self.ends {
            let why = "the certificate has ended".to_owned();
            let code = Refusal::Denied;
            return Err(Over::End(End { code, why }));
        }
        self.ask_time().await
    }

    /// Says the next part of the plan, for which there is room.
    fn tell_plan(&mut self, room: Result<Room, FrameError>) -> Result<(), Over> {
        let room = room?;
        if let Some(part) = self.plan.pop_front() {
            room.say(&part)?;
        }
        Ok(())
    }

    /// Says hello, and what there is to do.
    async fn welcome(&mut self, version: u32) -> Result<(), Over> {
        // Between its being let in and its sitting down it may have been revoked: whoever did that found
        // nobody to send away.
        let peer = self.peer.clone();
        let looked = self
            .host
            .ask(move |shared| shared.fleet.registry.in_force(&peer));
        if let Ok(Err(why)) = looked.await {
            let (code, why) = (Refusal::Denied, why.to_string());
            return Err(Over::End(End { code, why }));
        }
        let welcome = ToAgent::Welcome {
            version,
            program: self.host.shared.version.to_owned(),
            at: self.host.now(),
            agent: self.peer.agent.as_str().into(),
            vantage: self.vantage.clone(),
            kept: self.kept,
            boot: Some(self.kept_boot).filter(|boot| *boot > 0),
        };
        self.say(&welcome).await?;
        self.plan().await?;
        let standing = self.host.shared.links.standing(&self.vantage);
        self.plan.extend(standing.into_iter().map(ToAgent::Ask));
        Ok(())
    }

    /// Is its vantage still wanted?
    fn is_configured(&self) -> Result<(), Over> {
        if self.host.is_configured(&self.vantage) {
            return Ok(());
        }
        let why = "this vantage is no longer in the hub's configuration".to_owned();
        let code = Refusal::Unconfigured;
        Err(Over::End(End { code, why }))
    }

    /// Makes the plan of the configuration in force; it is told while all else goes on.
    async fn plan(&mut self) -> Result<(), Over> {
        self.is_configured()?;
        let (shared, vantage) = (self.host.shared.clone(), self.vantage.clone());
        let configured = shared.configured.load_full();
        let permit = self.host.sifting.clone().acquire_owned().await;
        let made = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            plan::messages(&shared, &configured, &vantage)
        });
        match made.await {
            Ok(Ok(messages)) => self.plan = messages.into(),
            Ok(Err(error)) => {
                // The agent goes by the one it has.
                tracing::error!(vantage = %self.vantage, %error, "no plan can be made for an agent");
            }
            Err(error) => tracing::error!(%error, "making a plan failed"),
        }
        Ok(())
    }

    async fn heard(&mut self, said: ToHub) -> Result<(), Over> {
        let now = self.host.now();
        let links = &self.host.shared.links;
        links.heard(&self.vantage, |presence| presence.heard = Some(now));
        match said {
            ToHub::Deliver {
                number,
                part,
                parts,
                bytes,
            } => {
                let taken = self.assembly.take(number, part, parts, &bytes);
                let whole = taken.map_err(|error| self.broken(&error.to_string()))?;
                let Some((number, packed)) = whole else {
                    return Ok(());
                };
                if !self.is_behind_put_off(number) {
                    self.parcels.push_back(Parcel { number, packed });
                    return Ok(());
                }
                // What was put off did not come again in all that time: it is asked for once more.
                match &mut self.put_off {
                    Some(put_off) if put_off.at.elapsed() >= PUT_OFF_MAX => {
                        put_off.at = Instant::now();
                        self.later("what was put off comes first".to_owned()).await
                    }
                    _ => Ok(()),
                }
            }
            ToHub::State(state) => {
                self.note(|presence| presence.state = Some(limited(state)));
                Ok(())
            }
            ToHub::Planned { generation } => {
                self.note(|presence| {
                    presence.generation = generation;
                    presence.unplanned = None;
                });
                Ok(())
            }
            ToHub::Unplanned { generation, why } => {
                let why = inert(&why, TROUBLE_LEN_MAX);
                tracing::error!(vantage = %self.vantage, generation, why, "an agent cannot go by its plan; the one before stays in force there");
                self.note(|presence| presence.unplanned = Some(why));
                Ok(())
            }
            ToHub::Time { asked, at } => self.time(asked, at).await,
            ToHub::Renew { request } => self.renew(request).await,
            ToHub::Enrol { .. } | ToHub::Hello(_) => {
                Err(protocol("`enrol` and `hello` are first words"))
            }
        }
    }

    /// Is a delivery on its way behind one that was put off? It comes again after that one. Taken before
    /// it, its number would say that the hub has both.
    fn is_behind_put_off(&mut self, number: u64) -> bool {
        let Some(put_off) = &mut self.put_off else {
            return false;
        };
        // What goes back is sent again. Where that begins later than what was put off, the agent has
        // that one no more.
        let is_again = put_off.passed_over.is_some_and(|last| number <= last);
        if number <= put_off.number || is_again {
            self.put_off = None;
            return false;
        }
        put_off.passed_over = Some(number);
        true
    }

    /// Begins to take in a delivery, unless it is known already.
    async fn begin(&mut self, parcel: Parcel) -> Result<Option<JoinHandle<(Done, Memory)>>, Over> {
        let Parcel { number, packed } = parcel;
        if number <= self.kept {
            let tally = &self.host.fleet().tally;
            tally.of(&self.vantage, |counts| counts.repeated += 1);
            let number = self.kept;
            self.say(&ToAgent::Kept { number }).await?;
            return Ok(None);
        }
        let missing = number - self.kept - 1;
        if missing > LEAP_MAX {
            return Err(self.broken("a delivery with a number far ahead of the one before"));
        }
        if missing > 0 {
            tracing::warn!(vantage = %self.vantage, from = self.kept + 1, missing, "deliveries of an agent never came: a gap of ours");
        }
        let taking = Taking {
            host: self.host.clone(),
            vantage: self.vantage.clone(),
            agent: self.peer.agent.as_str().into(),
            boot: self.boot,
            offset_ms: self.offsets.best(self.now()),
            missing,
            is_again: number == self.taking,
            seat: self.seat,
            turn: self.turn.clone(),
        };
        let memory = std::mem::take(&mut self.memory);
        self.taking = number;
        self.note(|presence| presence.is_busy = true);
        Ok(Some(tokio::spawn(taking.take(number, packed, memory))))
    }

    /// A delivery is kept, or is not.
    async fn delivered(
        &mut self,
        done: Result<(Done, Memory), tokio::task::JoinError>,
    ) -> Result<(), Over> {
        let now = self.host.now();
        // What it said meanwhile was not read: it was not silent.
        self.note(|presence| (presence.is_busy, presence.heard) = (false, Some(now)));
        let done = match done {
            Ok((done, memory)) => {
                self.memory = memory;
                done
            }
            Err(error) => {
                tracing::error!(vantage = %self.vantage, %error, "taking in a delivery failed");
                Done::Later("the hub failed over it".to_owned())
            }
        };
        match done {
            Done::Kept(number) => {
                self.kept = number;
                self.say(&ToAgent::Kept { number }).await
            }
            Done::Anew => {
                let (code, why) = (Refusal::Busy, "the hub has more than it said".to_owned());
                Err(Over::End(End { code, why }))
            }
            Done::Later(why) => {
                // What waits behind it comes again too, in order.
                self.put_off = Some(PutOff {
                    number: self.taking,
                    passed_over: self.parcels.drain(..).map(|parcel| parcel.number).max(),
                    at: Instant::now(),
                });
                self.later(why).await
            }
        }
    }

    /// Says that deliveries are to come again later, from the first that is not kept.
    async fn later(&mut self, why: String) -> Result<(), Over> {
        let wait_ms = u64::try_from(LATER.as_millis()).unwrap_or(u64::MAX);
        self.say(&ToAgent::Later { wait_ms, why }).await
    }

    /// Asks what time it is there.
    async fn ask_time(&mut self) -> Result<(), Over> {
        let now = self.now();
        // One that is not answered is as good as none.
        self.asked = Some(now);
        let time = ToAgent::Time {
            at: now.wall,
            offset_ms: self.offsets.best(now),
            of: self.offsets.best_asked(),
        };
        self.say(&time).await
    }

    fn now(&self) -> Now {
        Now {
            wall: self.host.now(),
            at: Instant::now(),
        }
    }

    async fn time(&mut self, asked: Timestamp, at: Timestamp) -> Result<(), Over> {
        let now = self.now();
        let Some(asked) = self.asked.take_if(|told| told.wall == asked) else {
            return Ok(());
        };
        let is_first = self.offsets.best(now).is_none();
        let offset_ms = self.offsets.measured(asked, at, now);
        self.note(|presence| presence.offset_ms = offset_ms);
        // An agent that knows it goes by it from now on, whatever becomes of its clock.
        if is_first && offset_ms.is_some() {
            return self.ask_time().await;
        }
        Ok(())
    }

    async fn renew(&mut self, request: String) -> Result<(), Over> {
        if self.renewed.is_some_and(|at| at.elapsed() < RENEW_EVERY) {
            // One was made just now. The agent asks again in its time.
            return Ok(());
        }
        self.renewed = Some(Instant::now());
        let peer = self.peer.clone();
        let made = self.host.ask(move |shared| {
            let fleet = &shared.fleet;
            fleet.registry.renew(&peer, |agent| {
                let request = STANDARD.decode(request.as_bytes());
                let request = request.map_err(|error| {
                    bellwether_link::authority::AuthorityError::Request(error.to_string())
                })?;
                fleet.authority()?.agent(&request, agent, fleet.clock.now())
            })
        });
        match made.await {
            Ok(Ok(issued)) => {
                tracing::info!(vantage = %self.vantage, ends = %issued.ends, "an agent's certificate was renewed");
                self.ends = issued.ends;
                let chain = issued
                    .chain
                    .iter()
                    .map(|der| STANDARD.encode(der))
                    .collect();
                self.say(&ToAgent::Renewed { chain }).await
            }
            Ok(Err(RenewError::NotInForce(NotInForce::Store(error)))) => {
                tracing::error!(%error, "a certificate could not be renewed now");
                Ok(())
            }
            Ok(Err(RenewError::NotInForce(why))) => Err(Over::End(End {
                code: Refusal::Denied,
                why: why.to_string(),
            })),
            Ok(Err(RenewError::Request(error))) => Err(protocol(&error.to_string())),
            Err(error) => {
                // It has weeks to ask again.
                tracing::error!(%error, "a certificate could not be renewed now");
                Ok(())
            }
        }
    }

    /// What came is no delivery.
    fn broken(&self, why: &str) -> Over {
        let tally = &self.host.fleet().tally;
        tally.of(&self.vantage, |counts| counts.broken += 1);
        protocol(why)
    }

    fn note(&self, note: impl FnOnce(&mut Presence)) {
        self.host.shared.links.heard(&self.vantage, note);
    }

    async fn say(&self, message: &ToAgent) -> Result<(), Over> {
        Ok(self.out.say(message).await?)
    }

    /// The end, in the log and to whoever may still listen.
    async fn over(self, over: Over) {
        let vantage = &self.vantage;
        match over {
            Over::Left => tracing::info!(%vantage, "an agent has left"),
            Over::Gone(error) => tracing::warn!(%vantage, %error, "the link to an agent broke"),
            Over::End(End { code, why }) => {
                tracing::warn!(%vantage, why, "the link to an agent is ended");
                if code == Refusal::Protocol {
                    let tally = &self.host.fleet().tally;
                    tally.of(vantage, |counts| counts.protocol += 1);
                }
                self.out.refuse(code, why).await;
            }
        }
    }
}

/// Why we end a link, once we do.
async fn ended(end: &mut watch::Receiver<Option<End>>) -> Over {
    let ended = end.wait_for(Option::is_some).await;
    let why = ended.ok().and_then(|end| end.clone());
    why.map_or(Over::Left, Over::End)
}

/// What becomes of the delivery under way; never, where none is.
async fn joined<T>(handle: &mut Option<JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match handle {
        Some(handle) => handle.await,
        None => std::future::pending().await,
    }
}

/// What an agent says of itself, with words of a length.
fn limited(state: AgentState) -> AgentState {
    AgentState {
        trouble: state.trouble.map(|words| inert(&words, TROUBLE_LEN_MAX)),
        ..state
    }
}
