//! Days of a link under a virtual clock: the spool, what fills it and what empties it are the real
//! ones, and the spool's files are too. What is harvested is scripted; the hub is a fake that takes
//! what it is given, once; between them is a network that stalls and breaks, within messages too. The
//! agent is killed and started again, its clock is set, its disk is full for a while.
//!
//! [`day`] lives through such a time and says what was wrong with it. The same seed is the same day.
//!
//! - `hub`: the fake hub; `wire`: the network

mod hub;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bellwether_model::harvest::Harvest;
use bellwether_model::{CheckId, Run, VantageId};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::gather::{HARVEST_MAX, gather};
use super::{Dial, DialError, Shared, Uplink, WISHES_MAX, Wish, lock};
use crate::clock::Clock;
use crate::settings::Local;
use crate::spool::{Disk, Folder, LIMIT_MIN, Spool};

use hub::{Hub, ROUND_TRIP_MAX, Row};
use wire::Weather;

/// Checks, each run once a minute.
const CHECKS: usize = 12;
const EVERY: Duration = Duration::from_secs(60);
/// What an agent that is killed may lose: what was put together and not yet on disk.
const LOST_MAX: Duration = Duration::from_secs(6);
/// How long everything is well at the end, so that what waits is delivered.
const HEAL: Duration = Duration::from_secs(1_800);
/// The wall clock when a day begins.
const BEGIN: i64 = 1_763_769_600;

/// What came of a day.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Rows that were made.
    pub rows: usize,
    /// Rows that the hub has.
    pub kept: usize,
    /// Rows lost with a process that was killed, before the disk had them.
    pub lost: usize,
    /// Numbers of deliveries that were lost with it while the disk was full.
    pub gaps: u64,
    /// Links.
    pub links: usize,
    /// Starts of the agent.
    pub starts: usize,
    /// Deliveries that came again.
    pub again: usize,
    /// The most that waited, deliveries.
    pub waiting_max: u64,
}

/// The agent's clock: goes with the virtual time, but is set now and then.
#[derive(Clone)]
struct SimClock {
    start: Instant,
    set_ms: Arc<AtomicI64>,
}

impl Clock for SimClock {
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall(&self) -> Timestamp {
        let micros = i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX);
        let set = self.set_ms.load(Ordering::Relaxed) * 1_000;
        Timestamp::from_microsecond(BEGIN * 1_000_000 + micros + set).unwrap_or(Timestamp::MAX)
    }
}

/// A folder on a disk that is full for a while.
struct Narrow {
    folder: Folder,
    is_full: Arc<AtomicBool>,
}

impl Narrow {
    fn room(&self) -> io::Result<()> {
        match self.is_full.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl Disk for Narrow {
    fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        self.folder.list()
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        self.folder.read(name)
    }

    fn append(&mut self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.room()?;
        self.folder.append(name, at, bytes)
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.room()?;
        self.folder.replace(name, bytes)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }
}

/// Dials the fake hub through the weather.
struct SimDial {
    hub: Arc<Hub>,
    weather: Arc<Weather>,
}

impl Dial for SimDial {
    type Stream = tokio::io::DuplexStream;

    async fn dial(&mut self) -> Result<Self::Stream, DialError> {
        self.weather
            .dial(&self.hub)
            .map_err(|source| DialError::Unreachable {
                hub: "hub".to_owned(),
                source,
            })
    }
}

/// A row that was made, and when.
struct Made {
    run: (u64, u64),
    at: Instant,
}

struct World {
    folder: PathBuf,
    clock: SimClock,
    is_full: Arc<AtomicBool>,
    hub: Arc<Hub>,
    weather: Arc<Weather>,
    random: fastrand::Rng,
    /// What a row looks like.
    row: Run,
    made: Vec<Made>,
    /// When the agent was killed, and since when the disk had taken nothing then.
    kills: Vec<(Instant, Instant)>,
    /// Since when the disk is full, or was until a moment ago.
    full_since: Option<Instant>,
    room_since: Option<Instant>,
    /// Nothing befalls any more.
    is_healed: bool,
    told: Told,
}

/// Lives through so many hours by this seed, with the spool below `folder`.
///
/// # Errors
/// What was wrong, in words.
pub fn day(seed: u64, hours: u64, folder: &Path) -> Result<Told, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(live(seed, hours, folder.to_owned()))
}

async fn live(seed: u64, hours: u64, folder: PathBuf) -> Result<Told, String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let clock = SimClock {
        start: Instant::now(),
        set_ms: Arc::default(),
    };
    let mut world = World {
        folder,
        is_full: Arc::default(),
        hub: Hub::new(random.fork(), clock.start),
        weather: Weather::new(random.fork()),
        row: row()?,
        clock,
        made: Vec::new(),
        kills: Vec::new(),
        full_since: None,
        room_since: None,
        is_healed: false,
        told: Told::default(),
        random,
    };
    let end = Instant::now() + Duration::from_secs(hours * 3_600);
    while Instant::now() < end {
        let life = Duration::from_secs(world.random.u64(60..4 * 3_600));
        world.life(end.min(Instant::now() + life), false).await?;
    }
    world.weather.heal();
    world.hub.heal();
    world.is_full.store(false, Ordering::Relaxed);
    (world.full_since, world.is_healed) = (None, true);
    world.life(Instant::now() + HEAL, true).await?;
    world.judge()
}

impl World {
    /// One start of the agent, until it is killed, or ends well.
    async fn life(&mut self, until: Instant, is_last: bool) -> Result<(), String> {
        self.told.starts += 1;
        let folder = Folder::open(&self.folder).map_err(|error| error.to_string())?;
        let disk = Narrow {
            folder,
            is_full: self.is_full.clone(),
        };
        let spool = Spool::open(disk, LIMIT_MIN, self.clock.wall());
        let spool = spool.map_err(|error| error.to_string())?;
        let boot = spool.boot();
        let shared = Shared::new(spool, Arc::new(RwLock::default()));
        let (harvest, harvested) = mpsc::channel(HARVEST_MAX);
        let (wishes, mut wished) = mpsc::channel(WISHES_MAX);
        let uplink = Uplink {
            dial: SimDial {
                hub: self.hub.clone(),
                weather: self.weather.clone(),
            },
            shared: shared.clone(),
            clock: self.clock.clone(),
            program: "0.0.0".to_owned(),
            local: Local {
                vantage: VantageId::new("sim"),
                workers: None,
                asn_table: None,
                sources: Vec::new(),
            },
            plan_file: None,
            generation: 0,
            wishes,
            random: self.random.fork(),
        };
        let stop = CancellationToken::new();
        let gather = tokio::spawn(gather(harvested, shared.clone(), self.clock.clone()));
        let uplink = tokio::spawn(uplink.run(stop.clone()));
        let plans = tokio::spawn(async move {
            let mut plans = 0_usize;
            while let Some(wish) = wished.recv().await {
                plans += usize::from(matches!(wish, Wish::Plan(_)));
            }
            plans
        });
        self.harvest(&harvest, boot, until, &shared).await;
        if is_last {
            drop(harvest);
            let _ = gather.await;
            stop.cancel();
            let _ = uplink.await;
            let fill = lock(&shared.spool).fill();
            if fill.deliveries > 0 || fill.trouble.is_some() {
                return Err(format!("the spool is not empty at the end: {fill:?}"));
            }
            if plans.await.is_ok_and(|plans| plans == 0) {
                return Err("no plan came through".to_owned());
            }
        } else {
            let now = Instant::now();
            // What waited in memory is on disk some seconds after there is room.
            let is_full = self.is_full.load(Ordering::Relaxed);
            let is_behind = is_full || self.is_behind();
            let full = self.full_since.filter(|_| is_behind);
            self.kills.push((now, full.unwrap_or(now)));
            gather.abort();
            uplink.abort();
            let _ = (gather.await, uplink.await);
            // What the disk was at is done before the next start.
            while Arc::strong_count(&shared) > 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    }

    /// A minute's rows a minute, and whatever befalls the machine meanwhile.
    async fn harvest(
        &mut self,
        harvest: &mpsc::Sender<Harvest>,
        boot: u64,
        until: Instant,
        shared: &Arc<Shared<Narrow>>,
    ) {
        let mut sequence = 0;
        while Instant::now() < until {
            for check in 0..CHECKS {
                sequence += 1;
                let mut run = self.row.clone();
                run.check = CheckId::new(&format!("service-{check}"), "main");
                run.sequence = sequence;
                run.due = self.clock.wall();
                self.made.push(Made {
                    run: (boot, sequence),
                    at: Instant::now(),
                });
                if harvest.send(Harvest::Run(run)).await.is_err() {
                    return;
                }
            }
            self.told.rows += CHECKS;
            self.befall();
            let waiting = lock(&shared.spool).fill().deliveries;
            self.told.waiting_max = self.told.waiting_max.max(waiting);
            tokio::time::sleep(EVERY.min(until.saturating_duration_since(Instant::now()))).await;
        }
    }

    fn befall(&mut self) {
        if self.is_healed {
            return;
        }
        if self.random.u32(0..400) == 0 {
            let set = self.random.i64(-3_600_000..3_600_000);
            self.clock.set_ms.store(set, Ordering::Relaxed);
        }
        let is_full = self.is_full.load(Ordering::Relaxed);
        if self.random.u32(0..if is_full { 8 } else { 300 }) == 0 {
            self.is_full.store(!is_full, Ordering::Relaxed);
            match is_full {
                true => self.room_since = Some(Instant::now()),
                // Full again before all was written, it is so since the first time.
                false if self.is_behind() => {}
                false => self.full_since = Some(Instant::now()),
            }
        }
    }

    /// Is there room since a moment ago?
    fn is_behind(&self) -> bool {
        let written = self.room_since.map(|since| since + LOST_MAX);
        written.is_some_and(|written| Instant::now() < written)
    }

    fn judge(mut self) -> Result<Told, String> {
        let taken = self.hub.taken();
        if let Some(wrong) = taken.wrong {
            return Err(wrong);
        }
        let mut seen: BTreeSet<(u64, u64)> = BTreeSet::new();
        let mut last: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for Row { check, run, .. } in &taken.rows {
            if !seen.insert(*run) {
                return Err(format!("{check} {run:?} is there twice"));
            }
            if let Some(before) = last.insert(check, *run)
                && before >= *run
            {
                return Err(format!("{check}: {run:?} comes after {before:?}"));
            }
        }
        self.in_time(&taken.rows)?;
        // What waited in memory because the disk was full, and was lost with its process, is a gap that
        // is told. Nothing else is.
        let may_miss = self.kills.iter().any(|(kill, full)| full < kill);
        if taken.gaps > 0 && !may_miss {
            return Err(format!("{} numbers are missing", taken.gaps));
        }
        self.told.gaps = taken.gaps;
        for made in &self.made {
            if seen.contains(&made.run) {
                continue;
            }
            self.told.lost += 1;
            let may_be_lost =
                |(kill, full): &(Instant, Instant)| made.at <= *kill && made.at + LOST_MAX >= *full;
            if !self.kills.iter().any(may_be_lost) {
                let at = made.at - self.clock.start;
                return Err(format!("{:?}, made at {at:?}, never came", made.run));
            }
        }
        if seen.len() + self.told.lost != self.told.rows {
            return Err("the hub has rows that nobody made".to_owned());
        }
        let set = self.clock.set_ms.load(Ordering::Relaxed);
        if taken
            .offset_ms
            .is_none_or(|(offset, _)| (offset + set).abs() > 1_500)
        {
            return Err(format!(
                "the clock was set by {set} ms, told was {:?}",
                taken.offset_ms
            ));
        }
        self.told.kept = seen.len();
        (self.told.links, self.told.again) = (taken.links, taken.again);
        Ok(self.told)
    }
}

impl World {
    /// Times are put right, however the clock is set.
    fn in_time(&self, rows: &[Row]) -> Result<(), String> {
        let made: BTreeMap<_, _> = self.made.iter().map(|made| (made.run, made.at)).collect();
        for Row { run, at, .. } in rows {
            let (Some(made), Some(at)) = (made.get(run), at) else {
                continue;
            };
            let micros = (*made - self.clock.start).as_micros();
            let true_ms = BEGIN * 1_000 + i64::try_from(micros / 1_000).unwrap_or(i64::MAX);
            let off = (at.as_millisecond() - true_ms).abs();
            if off > ROUND_TRIP_MAX / 2 + 2_000 {
                return Err(format!("{run:?} is off by {off} ms"));
            }
        }
        Ok(())
    }
}

/// A row, by what it looks like on the link.
fn row() -> Result<Run, String> {
    let row = serde_json::json!({
        "check": "service/main",
        "vantage": "sim",
        "sequence": 1,
        "due": "2026-01-01T00:00:00Z",
        "late": 120,
        "every": 60_000,
        "outcome": "ok",
        "phases": { "dns": 1_200, "connect": 9_000 },
    });
    serde_json::from_value(row).map_err(|error| error.to_string())
}
