//! What the store holds afterwards: every row counted, none missing, how late each began.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bellwether_model::Run;
use bellwether_model::run::Trigger;
use bellwether_store::{Embedded, ObservationStore as _, Options, Retention};
use jiff::{SignedDuration, Timestamp};

/// When everything of the run is at rest: its hour is folded.
const LATER: SignedDuration = SignedDuration::from_hours(3);

/// A span of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    from: Timestamp,
    to: Timestamp,
}

impl Span {
    pub(crate) fn of(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to }
    }

    fn holds(self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }

    pub(crate) fn seconds(self) -> f64 {
        self.to.duration_since(self.from).as_secs_f64()
    }
}

/// Runs of a span.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) span: Span,
    /// Those of the schedule, and those that confirm.
    pub(crate) scheduled: usize,
    pub(crate) confirming: usize,
    /// By outcome: ok, wrong, failed, not run.
    pub(crate) outcomes: [usize; 4],
    /// How late those of the schedule began, microseconds, in order.
    late: Vec<u32>,
    /// What was seen, where it was not ok: the most frequent first.
    pub(crate) symptoms: Vec<(String, usize)>,
}

impl Part {
    /// Lateness that so many of a thousand do not exceed, milliseconds.
    pub(crate) fn late_ms(&self, per_mille: usize) -> f64 {
        let at = (self.late.len() * per_mille).div_ceil(1000).max(1) - 1;
        let micros = self.late.get(at).copied().unwrap_or_default();
        f64::from(micros) / 1000.0
    }
}

/// Everything that is stored.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) rows: usize,
    /// Numbers that are missing between the first and the last.
    pub(crate) lost: u64,
    /// The first round, and what was measured.
    pub(crate) first: Part,
    pub(crate) steady: Part,
    /// Bytes of the data directory when `serve` ended, without the space held back.
    pub(crate) bytes_hot: u64,
    /// The same when everything was at rest: after its hour.
    pub(crate) bytes_rest: u64,
    /// Of them, those of the days' files, which hold runs and nothing else but evidence.
    pub(crate) bytes_runs: u64,
    /// What it took to bring them to rest.
    pub(crate) rest_took: Duration,
    /// The series of one check, read.
    pub(crate) series_took: Duration,
}

impl Rows {
    pub(crate) fn read(data: &Path, first: Span, steady: Span) -> Result<Self> {
        let bytes_hot = size_of(data)?;
        let now = Timestamp::now();
        let options = Options {
            now,
            reserve_bytes: 0,
        };
        let store = Embedded::open(data, options).context("the store does not open")?;
        let later = now.checked_add(LATER).context("the end of time")?;
        let begun = Instant::now();
        let keep = Retention {
            raw_days: 30,
            rollup_days: 400,
            max_bytes: u64::MAX,
        };
        store.maintain(later, &keep).context("no maintenance")?;
        let rest_took = begun.elapsed();
        let (mut rows, mut numbers) = (0, Numbers::default());
        let (mut first, mut steady) = (Count::new(first), Count::new(steady));
        let ever = Timestamp::UNIX_EPOCH..later;
        let mut series_took = Duration::ZERO;
        for (check, vantage) in store.all_series().context("no list of series")? {
            let begun = Instant::now();
            let series = store.series(&check, &vantage, ever.clone(), usize::MAX);
            series_took = begun.elapsed();
            for run in series.context("a series cannot be read")?.runs {
                rows += 1;
                numbers.add(run.sequence);
                first.add(&run);
                steady.add(&run);
            }
        }
        drop(store);
        Ok(Self {
            rows,
            lost: numbers.missing(),
            first: first.part(),
            steady: steady.part(),
            bytes_hot,
            bytes_rest: size_of(data)?,
            bytes_runs: size_of(&data.join("results"))?,
            rest_took,
            series_took,
        })
    }
}

/// The numbers that an agent gave its rows: one after the other.
#[derive(Default)]
struct Numbers {
    count: u64,
    last: u64,
}

impl Numbers {
    fn add(&mut self, number: u64) {
        self.count += 1;
        self.last = self.last.max(number);
    }

    /// The first one is 1.
    fn missing(&self) -> u64 {
        self.last.saturating_sub(self.count)
    }
}

struct Count {
    part: Part,
    symptoms: BTreeMap<String, usize>,
}

impl Count {
    fn new(span: Span) -> Self {
        Self {
            part: Part {
                span,
                scheduled: 0,
                confirming: 0,
                outcomes: [0; 4],
                late: Vec::new(),
                symptoms: Vec::new(),
            },
            symptoms: BTreeMap::new(),
        }
    }

    fn add(&mut self, run: &Run) {
        if !self.part.span.holds(run.due) {
            return;
        }
        self.part.outcomes[run.outcome as usize] += 1;
        if let Some(symptom) = &run.symptom {
            *self.symptoms.entry(symptom.to_string()).or_default() += 1;
        }
        match run.trigger {
            Trigger::Schedule => {
                self.part.scheduled += 1;
                self.part.late.push(run.late);
            }
            Trigger::Confirm => self.part.confirming += 1,
        }
    }

    fn part(mut self) -> Part {
        self.part.late.sort_unstable();
        self.part.symptoms = self.symptoms.into_iter().collect();
        self.part.symptoms.sort_by_key(|(_, n)| usize::MAX - n);
        self.part
    }
}

/// Bytes of the files in a folder, as they are long, without what is held back.
fn size_of(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).context("failed to list the data directory")? {
        let entry = entry.context("failed to list the data directory")?;
        let kind = entry.metadata().context("a file of the store is gone")?;
        if kind.is_dir() {
            sum += size_of(&entry.path())?;
        } else if entry.file_name() != "reserve" {
            sum += kind.len();
        }
    }
    Ok(sum)
}
