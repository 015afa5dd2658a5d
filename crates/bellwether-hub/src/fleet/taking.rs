//! One delivery: looked through, kept, and handed to the judge.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bellwether_link::parcel;
use bellwether_model::harvest::Harvest;
use bellwether_model::link::Thinned;
use bellwether_model::text::inert;
use bellwether_model::{Envelope, Run, VantageId};
use bellwether_store::Change;
use tokio::time::timeout;

use super::intake::{Bundle, Kept};
use super::sift::{self, Labels, Sifted, Why, Words};
use super::{Host, Turn};
use crate::links::Far;

/// How long the judge may take until it has room, before the agent is told to come later.
const JUDGE_WAIT: Duration = Duration::from_secs(5);

/// What a link remembers from one delivery to the next.
#[derive(Default)]
pub(super) struct Memory {
    labels: Labels,
    /// What is refused is told in the log once a link, and counted after that.
    told: [bool; Why::ALL.len()],
}

/// What became of a delivery.
pub(super) enum Done {
    /// It is durable.
    Kept(u64),
    /// It is not known to be.
    Later(String),
    /// The hub has something else under its number: what it said when the link began holds no more.
    Anew,
}

/// A delivery that is taken in.
pub(super) struct Taking {
    pub(super) host: Arc<Host>,
    pub(super) vantage: VantageId,
    pub(super) agent: Arc<str>,
    pub(super) boot: u64,
    pub(super) offset_ms: Option<i64>,
    /// Deliveries before it that never came.
    pub(super) missing: u64,
    /// Did it come over this link before?
    pub(super) is_again: bool,
    /// Which place of its vantage it came to.
    pub(super) seat: u64,
    pub(super) turn: Turn,
}

impl Taking {
    /// Looks it through, keeps it, and hands it to the judge: in this order, and each whole. There is
    /// room with the judge before anything is kept, so that what is kept is judged.
    pub(super) async fn take(self, number: u64, packed: Vec<u8>, memory: Memory) -> (Done, Memory) {
        let _turn = self.turn.clone().lock_owned().await;
        if !self.host.fleet().is_last(&self.vantage, self.seat) {
            // Whoever has linked since was told what is kept, and brings this again.
            let why = "another link of this agent has come since".to_owned();
            return (Done::Later(why), memory);
        }
        let room = timeout(JUDGE_WAIT, self.host.far.clone().reserve_owned());
        let Ok(Ok(room)) = room.await else {
            let why = "the hub is behind with judging".to_owned();
            return (Done::Later(why), memory);
        };
        let (looked, memory) = self.look_through(packed, memory).await;
        let Looked {
            boot,
            evidence,
            runs,
            harvest,
        } = looked;
        let rows = u64::try_from(runs.len()).unwrap_or(u64::MAX);
        let envelope = Envelope {
            agent: self.agent.clone(),
            boot,
            number,
            runs,
        };
        let kept = self.host.intake.keep(Bundle { envelope, evidence });
        match kept.await {
            Ok(Kept::Now) => {}
            // The disk had it though it said that it had not.
            Ok(Kept::Before) if self.is_again => {}
            Ok(Kept::Before) => return (Done::Anew, memory),
            Err(error) => {
                tracing::debug!(vantage = %self.vantage, error, "a delivery could not be kept");
                return (Done::Later("the hub cannot keep it now".to_owned()), memory);
            }
        }
        self.host.fleet().tally.of(&self.vantage, |counts| {
            counts.deliveries += 1;
            counts.rows += rows;
            counts.missing += self.missing;
        });
        if !harvest.is_empty() {
            room.send(Far {
                vantage: self.vantage,
                harvest,
            });
        }
        (Done::Kept(number), memory)
    }

    /// What of it is taken in. One that cannot be unpacked, or that our own code panics over, is kept as
    /// an empty one: to ask for it again would bring the same, for ever.
    async fn look_through(&self, packed: Vec<u8>, mut memory: Memory) -> (Looked, Memory) {
        let (host, vantage) = (self.host.clone(), self.vantage.clone());
        let (boot, offset_ms) = (self.boot, self.offset_ms);
        let told = memory.told;
        let permit = self.host.sifting.clone().acquire_owned().await;
        let looked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let from = (&vantage, boot);
            let looked = look_through(&host, from, offset_ms, &packed, &mut memory);
            (looked, memory)
        });
        let (looked, memory) = match looked.await {
            Ok((looked, memory)) => (looked, memory),
            Err(error) => {
                let labels = Labels::new();
                (Err(error.to_string()), Memory { labels, told })
            }
        };
        let looked = looked.unwrap_or_else(|error| {
            let tally = &self.host.fleet().tally;
            tally.of(&self.vantage, |counts| counts.broken += 1);
            tracing::error!(vantage = %self.vantage, error, "a delivery of an agent is none: what it held is lost, and the gap ours");
            Looked {
                boot,
                ..Looked::default()
            }
        });
        (looked, memory)
    }
}

/// Longest name of a check that is told in the log, characters.
const NAME_LEN_MAX: usize = 128;

/// Most that an agent brings at once: its own bound is 2,000 rows, with words about itself beside them.
const HARVEST_MAX: usize = 16_384;

/// What of a delivery is kept, and what is judged.
#[derive(Default)]
struct Looked {
    /// Which start of the agent made it.
    boot: u64,
    evidence: Vec<Change>,
    runs: Vec<Run>,
    harvest: Vec<Harvest>,
}

fn look_through(
    host: &Host,
    (vantage, link_boot): (&VantageId, u64),
    offset_ms: Option<i64>,
    packed: &[u8],
    memory: &mut Memory,
) -> Result<Looked, String> {
    let delivery = parcel::unpack(packed).map_err(|error| error.to_string())?;
    if delivery.harvest.len() > HARVEST_MAX {
        return Err(format!("{} results at once", delivery.harvest.len()));
    }
    let fleet = host.fleet();
    let now = host.now();
    let boot = delivery.boot;
    let of = sift::Of {
        vantage,
        now,
        offset_ms,
        is_given: &|check| fleet.given.is_given(check),
    };
    let hour = fleet.lexicon.of(vantage);
    let mut hour = hour.lock().unwrap_or_else(PoisonError::into_inner);
    let configured = host.shared.configured.load();
    let services = configured.config.services.iter();
    hour.go_on(services.map(|service| service.checks.len()).sum(), now);
    // Which start made it is a word too.
    let boot = if hour.takes(&boot) { boot } else { link_boot };
    let mut words = Words::new(&mut memory.labels, &mut hour);
    let sifted = sift::sift(delivery, &of, &mut words);
    drop(hour);
    fleet.tally.sifted(vantage, &sifted);
    tell(vantage, &sifted, &mut memory.told);
    let mut looked = Looked {
        boot,
        ..Looked::default()
    };
    for one in sifted.harvest {
        let one = match one {
            Harvest::Run(run) => run,
            Harvest::Shown(shown) => {
                let (run, proof) = crate::evidence::of(&host.shared, *shown, now);
                looked.evidence.extend(proof);
                run
            }
            other @ (Harvest::Trace(_) | Harvest::Own(_)) => {
                looked.harvest.push(other);
                continue;
            }
        };
        looked.runs.push(one.clone());
        looked.harvest.push(Harvest::Run(one));
    }
    Ok(looked)
}

/// What is not taken in, in the log: the first of each kind, on each link.
fn tell(vantage: &VantageId, sifted: &Sifted, told: &mut [bool; Why::ALL.len()]) {
    for why in Why::ALL {
        let count = sifted.refused_for(why);
        if count == 0 || std::mem::replace(&mut told[why as usize], true) {
            continue;
        }
        match why {
            Why::Vantage => {
                tracing::error!(%vantage, count, "an agent speaks for another vantage: what it says of it is not taken in; somebody has its key, or it is not ours")
            }
            Why::Check => {
                let last = sifted
                    .never_given
                    .as_ref()
                    .map(|check| inert(check.as_str(), NAME_LEN_MAX));
                tracing::warn!(%vantage, count, last, "an agent brings results of checks that it was never given; they are not taken in")
            }
            Why::Time => {
                tracing::warn!(%vantage, count, "an agent brings results of times that cannot be; they are not taken in")
            }
            Why::Word => {
                tracing::error!(%vantage, count, "an agent names more addresses, certificates and resolvers than its checks can see in an hour; they are left out; somebody may have its key")
            }
            Why::Unsound => {
                tracing::warn!(%vantage, count, "an agent brings results that none of our code would; they are not taken in")
            }
        }
    }
    if let Some(Thinned {
        check, from, to, ..
    }) = sifted.thinned.first()
    {
        let runs: u64 = sifted.thinned.iter().flat_map(|thinned| thinned.runs).sum();
        let traces: u64 = sifted.thinned.iter().map(|thinned| thinned.traces).sum();
        let checks = sifted.thinned.len();
        tracing::info!(%vantage, runs, traces, checks, first = %check, %from, %to, "an agent had no room for results: ours, and not the target's");
    }
}
