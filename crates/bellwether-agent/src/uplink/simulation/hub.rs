//! A hub that takes each delivery once, and is killed between taking one and saying so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_config::Config;
use bellwether_link::frame;
use bellwether_link::parcel::{self, Assembly};
use bellwether_model::VantageId;
use bellwether_model::harvest::Harvest;
use bellwether_model::link::{ToAgent, ToHub, VERSION};
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::{BEGIN, lock};
use crate::settings::link_plan;

/// How often it asks what time it is.
const TIME_EVERY: Duration = Duration::from_secs(10);

/// Longest round trip that says anything, milliseconds.
pub(super) const ROUND_TRIP_MAX: i64 = 20_000;

/// What a hub has, over all links.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    /// Rows in the order in which they came.
    pub(super) rows: Vec<Row>,
    pub(super) kept: u64,
    /// Which start made the newest.
    boot: Option<u64>,
    pub(super) gaps: u64,
    pub(super) again: usize,
    pub(super) links: usize,
    /// By how much it is ahead, and when it asked for what that follows from.
    pub(super) offset_ms: Option<(i64, Timestamp)>,
    pub(super) wrong: Option<String>,
}

/// A row as it came.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) check: String,
    /// Start and number.
    pub(super) run: (u64, u64),
    /// When it was made, by what the delivery says of its clock, if it says that.
    pub(super) at: Option<Timestamp>,
}

/// What comes in on one link.
#[derive(Default)]
struct Parcels {
    assembly: Assembly,
    /// The delivery that was put off: what comes behind it is not taken before it.
    put_off: Option<u64>,
}

pub(super) struct Hub {
    taken: Mutex<Taken>,
    random: Mutex<fastrand::Rng>,
    is_well: Mutex<bool>,
    start: Instant,
}

impl Hub {
    pub(super) fn new(random: fastrand::Rng, start: Instant) -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::default(),
            random: Mutex::new(random),
            is_well: Mutex::new(false),
            start,
        })
    }

    /// From now on it does nothing but its work.
    pub(super) fn heal(&self) {
        *lock(&self.is_well) = true;
    }

    pub(super) fn taken(&self) -> Taken {
        lock(&self.taken).clone()
    }

    /// Does one of so many times come?
    fn is_time(&self, of: u32) -> bool {
        !*lock(&self.is_well) && lock(&self.random).u32(0..of) == 0
    }

    fn now(&self) -> Timestamp {
        let micros = i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_microsecond(BEGIN * 1_000_000 + micros).unwrap_or(Timestamp::MAX)
    }

    /// Serves one link to its end.
    pub(super) async fn serve(self: Arc<Self>, stream: DuplexStream) {
        let (read, mut write) = tokio::io::split(stream);
        let (tell, mut heard) = mpsc::channel(4);
        let listener = tokio::spawn(listen(read, tell));
        // A link that breaks is nothing that a hub could do anything about.
        let _ = self.visit(&mut heard, &mut write).await;
        listener.abort();
    }

    async fn visit(
        &self,
        heard: &mut mpsc::Receiver<ToHub>,
        write: &mut WriteHalf<DuplexStream>,
    ) -> Option<()> {
        let Some(ToHub::Hello(_)) = heard.recv().await else {
            return None;
        };
        let (kept, boot) = {
            let mut taken = lock(&self.taken);
            taken.links += 1;
            taken.offset_ms = None;
            (taken.kept, taken.boot)
        };
        say(
            write,
            &ToAgent::Welcome {
                version: VERSION,
                program: "0.0.0".to_owned(),
                at: self.now(),
                agent: "sim/1".into(),
                vantage: VantageId::new("sim"),
                kept,
                boot,
            },
        )
        .await?;
        self.plan(write).await?;
        let mut parcels = Parcels::default();
        let mut times = tokio::time::interval(TIME_EVERY);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                said = heard.recv() => self.hear(said?, &mut parcels, write).await?,
                _ = times.tick() => {
                    let (offset_ms, of) = lock(&self.taken).offset_ms.unzip();
                    say(write, &ToAgent::Time { at: self.now(), offset_ms, of }).await?;
                }
            }
        }
    }

    async fn plan(&self, write: &mut WriteHalf<DuplexStream>) -> Option<()> {
        let none = BTreeMap::new();
        let vantage = VantageId::new("sim");
        let (head, checks) = link_plan(&Config::default(), 1, &vantage, &none).ok()?;
        say(write, &ToAgent::Plan(head)).await?;
        let count = checks.len() as u64;
        say(
            write,
            &ToAgent::PlanPart {
                generation: 1,
                checks,
            },
        )
        .await?;
        say(
            write,
            &ToAgent::PlanEnd {
                generation: 1,
                checks: count,
            },
        )
        .await
    }

    async fn hear(
        &self,
        said: ToHub,
        parcels: &mut Parcels,
        write: &mut WriteHalf<DuplexStream>,
    ) -> Option<()> {
        match said {
            ToHub::Deliver {
                number,
                part,
                parts,
                bytes,
            } => match parcels.assembly.take(number, part, parts, &bytes) {
                Ok(None) => Some(()),
                Ok(Some((number, _))) if parcels.put_off.is_some_and(|first| number > first) => {
                    Some(())
                }
                Ok(Some((number, packed))) => {
                    parcels.put_off = self.delivered(number, &packed, write).await?;
                    Some(())
                }
                Err(error) => self.wrong(error.to_string()),
            },
            ToHub::Time { asked, at } => {
                // The answer took as long as the question: what lies between is in the middle.
                let (begun, now) = (asked.as_millisecond(), self.now().as_millisecond());
                if now - begun <= ROUND_TRIP_MAX {
                    let offset_ms = i64::midpoint(begun, now) - at.as_millisecond();
                    lock(&self.taken).offset_ms = Some((offset_ms, asked));
                }
                Some(())
            }
            ToHub::State(_) | ToHub::Planned { generation: 1 } => Some(()),
            other => self.wrong(format!("the agent said {other:?}")),
        }
    }

    /// Takes a delivery, or puts it off: then its number is the answer.
    async fn delivered(
        &self,
        number: u64,
        packed: &[u8],
        write: &mut WriteHalf<DuplexStream>,
    ) -> Option<Option<u64>> {
        if self.is_time(200) {
            let later = ToAgent::Later {
                wait_ms: 5_000,
                why: "busy".to_owned(),
            };
            say(write, &later).await?;
            return Some(Some(number));
        }
        let delivery = match parcel::unpack(packed) {
            Ok(delivery) => delivery,
            Err(error) => {
                self.wrong(error.to_string());
                return None;
            }
        };
        let kept = {
            let mut taken = lock(&self.taken);
            if number <= taken.kept {
                taken.again += 1;
            } else {
                taken.gaps += number - taken.kept - 1;
                (taken.kept, taken.boot) = (number, Some(delivery.boot));
                let offset = delivery.offset_ms.map(SignedDuration::from_millis);
                let runs = delivery.harvest.iter().filter_map(|one| match one {
                    Harvest::Run(run) => Some(Row {
                        check: run.check.to_string(),
                        run: (delivery.boot, run.sequence),
                        at: offset.and_then(|by| run.due.checked_add(by).ok()),
                    }),
                    Harvest::Shown(_) | Harvest::Trace(_) | Harvest::Own(_) => None,
                });
                taken.rows.extend(runs);
            }
            taken.kept
        };
        // It is killed here: what it took it has, and nobody was told.
        if self.is_time(150) {
            return None;
        }
        if self.is_time(100) {
            tokio::time::sleep(Duration::from_secs(40)).await;
        }
        say(write, &ToAgent::Kept { number: kept }).await?;
        Some(None)
    }

    fn wrong(&self, why: String) -> Option<()> {
        lock(&self.taken).wrong.get_or_insert(why);
        None
    }
}

async fn listen(mut read: ReadHalf<DuplexStream>, tell: mpsc::Sender<ToHub>) {
    while let Ok(Some(message)) = frame::receive(&mut read).await {
        if tell.send(message).await.is_err() {
            return;
        }
    }
}

async fn say(write: &mut WriteHalf<DuplexStream>, message: &ToAgent) -> Option<()> {
    write.write_all(&frame::encode(message).ok()?).await.ok()
}
