//! Agents elsewhere: who they are, how they link, and what becomes of what they bring.
//!
//! ```text
//! agent ══ TLS ══► door ─► visit ─┬─ Enrol ─► registry, authority
//!                                 └─ Hello ─► session ─► sift ─► intake (durable) ─► Kept ─► the judge
//! ```
//!
//! - [`registry`]: tokens, enrolments, certificates in force
//! - `door`: the listener, and what a connection may cost before it is known
//! - `visit`: the first word, and what follows from it
//! - `session`: one linked agent
//! - `out`: what is said to it
//! - `taking`: one delivery: looked through, kept, and handed to the judge
//! - [`sift`]: what of a delivery is taken in
//! - `intake`: deliveries, until they are durable
//! - `plan`: what an agent is to do
//! - `offset`: by how much its clock is off
//! - `lexicon`: how many new words each may bring
//! - `given`: checks that agents were ever given
//! - [`roster`]: how each of them is, as it is told
//! - [`counts`]: what became of it all, in numbers

pub mod counts;
mod door;
mod given;
mod intake;
mod lexicon;
mod offset;
mod out;
mod plan;
pub mod registry;
pub mod roster;
mod session;
pub mod sift;
mod taking;
#[cfg(test)]
mod tests;
mod visit;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bellwether_link::EnrolToken;
use bellwether_link::authority::{Authority, AuthorityError};
use bellwether_model::VantageId;
use bellwether_model::link::{self, Refusal};
use bellwether_store::{StateStore, StoreError};
use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::access::Clock;
use crate::links::Far;
use crate::shared::Shared;
use crate::tasks::Tasks;
use counts::{Counts, Tally};
use given::Given;
use intake::Intake;
use lexicon::Lexicon;
use registry::Registry;

/// The directory of the hub's authority, in the data directory.
pub const LINK_DIR: &str = "link";

/// The part that trouble with listening for agents is told as.
pub const TROUBLE: &str = "agents";

/// Questions to the registry under way at once; each may wait for the disk.
const QUESTIONS_AT_ONCE: usize = 4;

/// Deliveries that are unpacked and looked through at once: it takes a core each, and the judge needs
/// one too.
const SIFTED_AT_ONCE: usize = 2;

/// Agents elsewhere, as all parts of the hub see them.
pub struct Fleet {
    /// Who is one.
    pub registry: Registry,
    /// What became of what they said.
    pub tally: Tally,
    given: Given,
    lexicon: Lexicon,
    dir: PathBuf,
    authority: Mutex<Option<Arc<Authority>>>,
    seats: Mutex<BTreeMap<VantageId, Seat>>,
    /// Where it is listened for them.
    listens: watch::Sender<Option<SocketAddr>>,
    /// Changes with each configuration.
    configured: watch::Sender<()>,
    questions: Semaphore,
    /// What time it is.
    pub(crate) clock: Clock,
}

/// A linked agent's place; who comes after it from the same vantage takes it.
struct Seat {
    number: u64,
    boot: u64,
    /// The newest start of this agent that was seen.
    newest_boot: u64,
    enrolment: String,
    /// Why the link is to end; `None` once it has.
    end: Option<watch::Sender<Option<End>>>,
    /// Whoever takes in a delivery of this vantage has its turn: the next link begins behind what came
    /// over the one before.
    turn: Turn,
}

/// Deliveries of one vantage are taken in one after the other, over all its links.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// A place that was taken.
struct Sat {
    number: u64,
    /// What to listen to for its end.
    ends: watch::Receiver<Option<End>>,
    turn: Turn,
}

/// Why a link ends from our side.
#[derive(Clone, Debug)]
struct End {
    code: Refusal,
    why: String,
}

/// Why no token is made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The authority that it names.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// It cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fleet {
    /// Agents as this store knows them; the authority's key stands in this data directory.
    #[must_use]
    pub fn new(state: Arc<dyn StateStore>, data_dir: &Path, clock: Clock) -> Self {
        Self {
            registry: Registry::new(state),
            tally: Tally::default(),
            given: Given::default(),
            lexicon: Lexicon::default(),
            dir: data_dir.join(LINK_DIR),
            authority: Mutex::default(),
            seats: Mutex::default(),
            listens: watch::Sender::new(None),
            configured: watch::Sender::new(()),
            questions: Semaphore::new(QUESTIONS_AT_ONCE),
            clock,
        }
    }

    /// The same, with an authority that is written down nowhere.
    #[must_use]
    pub fn with_authority(self, authority: Authority) -> Self {
        Self {
            authority: Mutex::new(Some(Arc::new(authority))),
            ..self
        }
    }

    /// The hub's authority; it is made when it is first asked for. Blocks.
    ///
    /// # Errors
    /// Its file cannot be read or written.
    pub fn authority(&self) -> Result<Arc<Authority>, AuthorityError> {
        let mut known = self
            .authority
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(authority) = &*known {
            return Ok(Arc::clone(authority));
        }
        let opened = Arc::new(Authority::open(&self.dir, self.clock.now())?);
        *known = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Makes an enrolment token for a vantage, with when it ends. Blocks.
    ///
    /// # Errors
    /// There is no authority to name, or the token cannot be kept.
    pub fn token(
        &self,
        vantage: &VantageId,
        by: &str,
        random: [u8; 32],
    ) -> Result<(EnrolToken, Timestamp), TokenError> {
        let authority = self.authority()?;
        let token = EnrolToken::mint(random, authority.certificate());
        let now = self.clock.now();
        let ends = self.registry.ticket(vantage, &token.secret, by, now)?;
        tracing::info!(%vantage, by, %ends, "an enrolment token was made");
        Ok((token, ends))
    }

    /// The agent of a vantage is one no longer: its link ends now, and it never gets another one with
    /// what it has. Whether it was one. Blocks.
    ///
    /// # Errors
    /// It cannot be kept: then it still is.
    pub fn revoke(&self, vantage: &VantageId, by: &str) -> Result<bool, StoreError> {
        let was = self.registry.revoke(vantage, self.clock.now())?;
        if was {
            tracing::warn!(%vantage, by, "an agent was revoked");
            self.end(vantage, Refusal::Denied, "this agent was revoked");
        }
        Ok(was)
    }

    /// Where it is listened for agents now.
    #[must_use]
    pub fn listens(&self) -> Option<SocketAddr> {
        *self.listens.borrow()
    }

    /// Another configuration is in force.
    pub(crate) fn configured(&self) {
        self.configured.send_replace(());
    }

    /// Asks what may wait for the disk, where it holds up nobody.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _permit = self.questions.acquire().await;
        let asked = tokio::task::spawn_blocking(question).await;
        asked.unwrap_or_else(|panic| Err(StoreError::Other(panic.to_string())))
    }

    fn seats(&self) -> std::sync::MutexGuard<'_, BTreeMap<VantageId, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the link of a vantage, if there is one.
    fn end(&self, vantage: &VantageId, code: Refusal, why: &str) {
        if let Some(seat) = self.seats().get_mut(vantage) {
            seat.end(code, why);
        }
    }

    /// Ends all links.
    fn end_all(&self, code: Refusal, why: &str) {
        self.seats()
            .values_mut()
            .for_each(|seat| seat.end(code, why));
    }

    /// An agent takes its place; whoever had it loses it.
    fn sit(&self, vantage: &VantageId, enrolment: &str, boot: u64) -> Sat {
        let (end, ends) = watch::channel(None);
        let mut seats = self.seats();
        let former = seats.get_mut(vantage);
        let number = former.as_ref().map_or(0, |former| former.number) + 1;
        let mut newest_boot = boot;
        let mut turn = Turn::default();
        if let Some(former) = former {
            turn = former.turn.clone();
            former.end(
                Refusal::Superseded,
                "another link of this agent has come since",
            );
            if former.enrolment == enrolment {
                newest_boot = boot.max(former.newest_boot);
            }
        }
        if boot < newest_boot {
            let now = self.clock.now();
            self.tally.of(vantage, |counts| counts.copied = Some(now));
            tracing::warn!(
                %vantage, boot, newest_boot,
                "a start of this agent from before its newest one links again: two agents run with the \
                 same key; enrol one of them as another vantage"
            );
        }
        let seat = Seat {
            number,
            boot,
            newest_boot,
            enrolment: enrolment.to_owned(),
            end: Some(end),
            turn: turn.clone(),
        };
        seats.insert(vantage.clone(), seat);
        Sat { number, ends, turn }
    }

    /// Is this the last place that was taken for a vantage?
    fn is_last(&self, vantage: &VantageId, number: u64) -> bool {
        let seats = self.seats();
        seats.get(vantage).is_some_and(|seat| seat.number == number)
    }

    /// A link has ended.
    fn stand_up(&self, vantage: &VantageId, number: u64) {
        if let Some(seat) = self.seats().get_mut(vantage)
            && seat.number == number
        {
            tracing::debug!(%vantage, boot = seat.boot, "an agent's link has ended");
            seat.end = None;
        }
    }

    /// Counts of an agent.
    #[must_use]
    pub fn counts(&self, vantage: &VantageId) -> Counts {
        self.tally.agents().remove(vantage).unwrap_or_default()
    }
}

impl Seat {
    fn end(&mut self, code: Refusal, why: &str) {
        if let Some(end) = &self.end {
            let why = why.to_owned();
            end.send_replace(Some(End { code, why }));
        }
    }
}

/// What whoever serves agents needs.
pub(crate) struct Host {
    pub(crate) shared: Arc<Shared>,
    intake: Intake,
    far: mpsc::Sender<Far>,
    /// The versions that we speak.
    versions: (u32, u32),
    sifting: Arc<Semaphore>,
    backoff: crate::access::backoff::Backoff,
}

impl Host {
    /// # Errors
    /// The thread that keeps deliveries cannot be started.
    pub(crate) fn new(shared: Arc<Shared>, far: mpsc::Sender<Far>) -> std::io::Result<Self> {
        Ok(Self {
            intake: Intake::start(shared.clone())?,
            shared,
            far,
            versions: (link::VERSION_MIN, link::VERSION),
            sifting: Arc::new(Semaphore::new(SIFTED_AT_ONCE)),
            backoff: crate::access::backoff::Backoff::default(),
        })
    }

    fn fleet(&self) -> &Fleet {
        &self.shared.fleet
    }

    fn now(&self) -> Timestamp {
        self.fleet().clock.now()
    }

    /// Is a vantage in the configuration in force?
    fn is_configured(&self, vantage: &VantageId) -> bool {
        let configured = self.shared.configured.load();
        let mut all = configured.config.vantages.iter();
        all.any(|known| known.name == vantage.as_str())
    }

    /// Asks what may wait for the disk.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        self.fleet().ask(move || Ok(question(&shared))).await
    }
}

/// Listens for agents as the configuration says, until `stopped`; what they bring goes to `far`.
pub(crate) fn spawn(
    tasks: &mut Tasks,
    shared: &Arc<Shared>,
    far: mpsc::Sender<Far>,
    stopped: watch::Receiver<bool>,
) {
    let restarted = shared.figures.tasks_restarted.clone();
    let shared = shared.clone();
    tasks.spawn("agents", restarted, move || {
        let (shared, far, stopped) = (shared.clone(), far.clone(), stopped.clone());
        async move {
            match Host::new(shared.clone(), far) {
                Ok(host) => door::listen(Arc::new(host), stopped).await,
                Err(error) => {
                    let what =
                        format!("agents cannot be served: no thread for what they bring: {error}");
                    shared.trouble(TROUBLE, Some(what));
                }
            }
        }
    });
}
