//! Deliveries on disk, in order, until the hub has them.
//!
//! They are appended to a journal as they come, and count as spooled when the disk has them. A journal
//! that has become long, because nobody takes what is in it, is sealed: written anew by columns, in a
//! tenth of the room. When there is no room, the oldest are thinned: rows of what was well become
//! counts first, what failed or changed goes last, and all that is left out is told.
//!
//! While the disk takes nothing, deliveries wait in memory, and are handed out from there; that is
//! bounded in the same way.
//!
//! **Numbers.** No number is given twice, not even when the folder was lost or is an older copy of
//! itself: then the hub has more than the spool ever knew of ([`Spool::welcome`]), and everything that
//! it cannot have moves up. Inside files, deliveries are counted by themselves; [`Kept::shift`] leads
//! from there to the numbers that the hub knows.
//!
//! - `disk`: the files; `journal`, `sealed`, `table`: what stands in them
//! - `thin`: what is left when there is no room
//! - `files`: reading and rewriting segments

mod disk;
mod files;
mod journal;
mod sealed;
mod table;
#[cfg(test)]
mod tests;
mod thin;

use std::collections::VecDeque;
use std::io;

use bellwether_link::parcel;
use bellwether_model::Run;
use bellwether_model::harvest::Harvest;
use bellwether_model::link::Delivery;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use disk::{Disk, Folder};

use sealed::Numbered;
use thin::Level;

/// Bytes on disk, by default: seven days of 1,500 checks a minute.
pub const LIMIT_DEFAULT: u64 = 256 * 1024 * 1024;
/// The least that a spool is given: a trace has to fit, and its journal beside what is sealed.
pub const LIMIT_MIN: u64 = 16 * 1024 * 1024;
/// Deliveries that are sent before the first of them is known to be kept. So many from the oldest on
/// are never thinned: the hub may have them as they are.
pub const WINDOW: u64 = 16;
/// A longer journal is sealed.
const JOURNAL_LEN_MAX: u64 = 4 * 1024 * 1024;
/// One with more rows is too: what is sealed together is lost together when a disk forgets a bit.
const JOURNAL_ROWS_MAX: usize = 16_384;
/// A journal that nobody needs any more goes when it is longer than this.
const JOURNAL_LEN_DONE: u64 = 64 * 1024;
/// What may wait in memory while the disk takes nothing, in rows; some 30 MiB.
const MEMORY_MAX: usize = 60_000;
/// What of the newest is held in memory though it is on disk, in rows.
const FRESH_MAX: usize = 8_000;
/// Rows that a record or a trace takes the room of.
const WEIGHTS: (usize, usize) = (100, 2_000);
/// Rows of one delivery, at most.
pub(crate) const DELIVERY_ROWS_MAX: usize = 2_000;
/// After so many deliveries it is written down how far the hub is. It knows that itself, but for who
/// enrols anew.
const NOTED_EVERY: u64 = 64;
/// Tries to read a file before it counts as damaged.
const READS_MAX: u32 = 3;

/// The small file beside the deliveries.
const KEPT: &str = "kept";
const SCHEMA: &str = "bellwether.spool/1";

/// Reads bytes as what stands in the spool's files; panics if a promise breaks.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    /// A journal.
    pub fn journal(bytes: &[u8]) {
        super::journal::fuzz(bytes);
    }

    /// The content of a sealed file, without checksum and compression.
    pub fn sealed(bytes: &[u8]) {
        super::sealed::fuzz(bytes);
    }

    /// The small file beside them.
    pub fn kept(bytes: &[u8]) {
        if let Some(kept) = super::Kept::read(bytes) {
            let again = super::Kept::read(&kept.write());
            assert_eq!(again, Some(kept), "what was read is written as it was");
        }
    }
}

/// Deliveries, until the hub has them.
pub struct Spool<D> {
    disk: D,
    limit: u64,
    /// [`JOURNAL_ROWS_MAX`] and [`MEMORY_MAX`], or less in tests.
    journal_rows: usize,
    memory: usize,
    segments: VecDeque<Segment>,
    /// Is the last segment a journal that may be appended to?
    is_open: bool,
    /// What the disk has not taken yet.
    tail: VecDeque<Numbered>,
    /// What that weighs, in rows.
    weight: usize,
    /// When the newest of this start was made.
    newest: Option<Timestamp>,
    kept: Kept,
    /// Could that not be written down as it is now?
    is_kept_old: bool,
    /// How far the hub was when that was last written down.
    noted: u64,
    /// The newest that was found on the disk at the start.
    found: u64,
    /// The newest that was handed out.
    sent: u64,
    trouble: Option<String>,
    thinned: u64,
    damaged: u64,
    /// The newest of those that are durable, so that a hub that takes them at once costs no reading.
    fresh: VecDeque<Numbered>,
    /// A segment as it was read last.
    read: Option<(u64, Vec<Numbered>)>,
    failed_reads: u32,
}

/// What is to be known of the deliveries that are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    schema: String,
    /// The hub has everything up to here.
    acked: u64,
    /// The next one, at least.
    next: u64,
    /// What the hub's numbers are ahead; behind, after another enrolment.
    shift: i64,
    /// The agent that these numbers are of.
    #[serde(default)]
    agent: String,
    /// Which start this is.
    boot: u64,
}

impl Kept {
    /// With a checksum before it: a number that is not what it was would let deliveries go that nobody
    /// has.
    fn write(&self) -> Vec<u8> {
        let text = serde_json::to_string(self).expect("it is plain JSON");
        format!("{:08x} {text}", crc32fast::hash(text.as_bytes())).into_bytes()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (crc, text) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
        let is_sound = u32::from_str_radix(crc, 16) == Ok(crc32fast::hash(text.as_bytes()));
        let kept: Self = serde_json::from_str(text).ok().filter(|_| is_sound)?;
        (kept.schema == SCHEMA).then_some(kept)
    }
}

/// A file with deliveries.
#[derive(Clone, Debug)]
struct Segment {
    name: String,
    is_sealed: bool,
    first: u64,
    last: u64,
    len: u64,
    rows: usize,
    level: Level,
    /// When its first delivery was made.
    at: Option<Timestamp>,
}

/// Why a spool cannot do what it is to do.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Its folder cannot be read.
    #[error("failed to read the spool")]
    Read(#[source] io::Error),
    /// The numbers that the hub says cannot be kept.
    #[error("failed to write the spool")]
    Write(#[source] io::Error),
}

/// How full it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Deliveries that wait.
    pub deliveries: u64,
    /// Their size on disk, bytes.
    pub bytes: u64,
    /// When the oldest was made.
    pub oldest: Option<Timestamp>,
    /// Rows and traces left out for want of room since the start.
    pub thinned: u64,
    /// Deliveries lost to damage since the start.
    pub damaged: u64,
    /// Why the disk takes nothing.
    pub trouble: Option<String>,
}

impl<D: Disk> Spool<D> {
    /// Opens what the disk holds, of which no more than `limit` bytes are to be used. `now` tells the
    /// starts of an agent apart, should the disk have forgotten the ones before.
    ///
    /// # Errors
    /// The disk cannot be read. One that cannot be written to is a trouble that is told.
    pub fn open(disk: D, limit: u64, now: Timestamp) -> Result<Self, SpoolError> {
        let mut spool = Self {
            disk,
            limit: limit.max(LIMIT_MIN),
            journal_rows: JOURNAL_ROWS_MAX,
            memory: MEMORY_MAX,
            segments: VecDeque::new(),
            is_open: false,
            tail: VecDeque::new(),
            weight: 0,
            newest: None,
            kept: Kept {
                schema: SCHEMA.to_owned(),
                acked: 0,
                next: 1,
                shift: 0,
                agent: String::new(),
                boot: 0,
            },
            is_kept_old: false,
            noted: 0,
            found: 0,
            sent: 0,
            trouble: None,
            thinned: 0,
            damaged: 0,
            fresh: VecDeque::new(),
            read: None,
            failed_reads: 0,
        };
        spool.find().map_err(SpoolError::Read)?;
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        spool.kept.boot = (spool.kept.boot.max(spool.found_boot()) + 1).max(seconds);
        spool.found = spool.kept.next - 1;
        let written = spool.write_kept();
        spool.note(written);
        Ok(spool)
    }

    /// Which start made the newest delivery that was found: the one before this may not have been able
    /// to write down that it was.
    fn found_boot(&mut self) -> u64 {
        let before = self.kept.next.saturating_sub(2).max(self.kept.acked);
        let newest = self.find_after(before).ok().flatten();
        newest.map_or(0, |(_, delivery)| delivery.boot)
    }

    /// Which start of the agent this is.
    #[must_use]
    pub fn boot(&self) -> u64 {
        self.kept.boot
    }

    /// The number of the newest delivery ever made; 0 if there was none.
    #[must_use]
    pub fn newest(&self) -> u64 {
        match self.kept.next - 1 {
            0 => 0,
            newest => self.number(newest),
        }
    }

    /// The number that the hub knows a delivery by.
    fn number(&self, place: u64) -> u64 {
        place.saturating_add_signed(self.kept.shift)
    }

    /// And back.
    fn place(&self, number: u64) -> u64 {
        number.saturating_add_signed(-self.kept.shift)
    }

    /// Takes a delivery in. It is durable when nothing is in [`trouble`](Fill::trouble).
    pub fn append(&mut self, delivery: Delivery) {
        self.weight += weight(&delivery);
        self.newest = Some(delivery.at);
        match self.tail.back_mut() {
            // While the disk takes nothing, they are put together: how many there are is bounded too.
            Some((number, last)) if *number > self.sent && joins(last, &delivery) => {
                last.at = delivery.at;
                last.offset_ms = delivery.offset_ms;
                last.harvest.extend(delivery.harvest);
            }
            _ => {
                self.tail.push_back((self.kept.next, delivery));
                self.kept.next += 1;
            }
        }
        self.flush();
    }

    /// Hands to the disk what waits for it. Tells whether nothing waits any more.
    pub fn flush(&mut self) -> bool {
        if self.tail.is_empty() {
            if self.trouble.is_some() {
                let written = self.write_kept();
                self.note(written);
            }
            return true;
        }
        let kept = if self.is_kept_old {
            self.write_kept()
        } else {
            Ok(())
        };
        let written = kept.and_then(|()| self.write_tail());
        if written.is_err() {
            // What a failed write left behind is never believed: the next try goes to another file.
            self.is_open = false;
        }
        self.note(written);
        self.bound_memory();
        self.tail.is_empty()
    }

    /// The hub has everything of this agent up to this number, which `boot` made, as it says when a link
    /// begins.
    ///
    /// # Errors
    /// It has more than was ever made here, or is another one, and what follows from that cannot be
    /// written down; or the disk cannot be read now. Nothing may be sent then.
    pub fn welcome(
        &mut self,
        agent: &str,
        number: u64,
        boot: Option<u64>,
    ) -> Result<(), SpoolError> {
        let before = self.kept.clone();
        let claimed = self.claimed(number, boot).map_err(SpoolError::Read)?;
        if self.kept.agent.is_empty() {
            agent.clone_into(&mut self.kept.agent);
            let written = self.write_kept();
            self.note(written);
        }
        if self.kept.agent != agent {
            self.enrolled_anew(agent, number);
        } else if number > self.number(claimed) {
            let known = self.number(claimed);
            tracing::warn!(
                number,
                known,
                "the hub has more than this spool knows of: it was lost, or is an older copy; numbers go on from there"
            );
            self.kept.acked = claimed;
            self.kept.next = self.kept.next.max(claimed + 1);
            self.kept.shift = shift(number, claimed);
        } else {
            let known = self.number(self.kept.acked);
            if number < known && self.kept.acked > 0 {
                tracing::warn!(number, known, "the hub has less than it said that it had");
            }
            self.acknowledge(number);
            return Ok(());
        }
        if let Err(error) = self.write_kept() {
            self.kept = before;
            return Err(SpoolError::Write(error));
        }
        self.drop_prefix();
        Ok(())
    }

    /// Up to which place the hub may have what is here, if it has this number. A start that forgot its
    /// numbers, for the disk was full, gave some that a later one used again: what was made after the
    /// start of which the hub's newest is, it has not.
    fn claimed(&mut self, number: u64, boot: Option<u64>) -> io::Result<u64> {
        let all = self.found.max(self.sent).max(self.kept.acked);
        let Some(boot) = boot.filter(|boot| *boot < self.kept.boot) else {
            return Ok(all);
        };
        let place = self.place(number).min(all);
        if place <= self.kept.acked {
            return Ok(all);
        }
        // Starts come one after the other: what is before one of that start or an older one is too.
        let newest = self.find_after(place - 1)?;
        if newest.is_some_and(|(at, delivery)| at == place && delivery.boot <= boot) {
            return Ok(all);
        }
        let mut after = self.kept.acked;
        while let Some((at, delivery)) = self.find_after(after)?
            && at <= place
        {
            if delivery.boot > boot {
                return Ok(at - 1);
            }
            after = at;
        }
        Ok(all)
    }

    /// Numbers begin anew; what waits is delivered by them. Of another vantage it says nothing.
    fn enrolled_anew(&mut self, agent: &str, number: u64) {
        let vantage = |agent: &str| {
            agent
                .rsplit_once('/')
                .map(|(vantage, _)| vantage.to_owned())
        };
        if vantage(&self.kept.agent) != vantage(agent) {
            let deliveries = self.kept.next - 1 - self.kept.acked;
            let before = &self.kept.agent;
            tracing::error!(
                deliveries,
                before,
                "what waits here is of another vantage; it is left out"
            );
            self.kept.acked = self.kept.next - 1;
        }
        agent.clone_into(&mut self.kept.agent);
        self.kept.shift = shift(number, self.kept.acked);
    }

    /// The hub has everything up to this number.
    pub fn acknowledge(&mut self, number: u64) {
        let number = self.place(number).min(self.kept.next - 1);
        if number > self.kept.acked {
            self.kept.acked = number;
            self.drop_prefix();
            if number.saturating_sub(self.noted) >= NOTED_EVERY {
                let written = self.write_kept();
                self.note(written);
            }
        }
    }

    /// The first delivery after this number, with its own. Those that are damaged are named in the log,
    /// and left out: the hub sees a gap, which is ours.
    ///
    /// # Errors
    /// The disk cannot be read now.
    pub fn after(&mut self, number: u64) -> Result<Option<Numbered>, SpoolError> {
        let after = self.place(number).max(self.kept.acked);
        let found = self.find_after(after).map_err(SpoolError::Read)?;
        Ok(found.map(|(number, delivery)| {
            self.sent = self.sent.max(number);
            (self.number(number), delivery)
        }))
    }

    /// How full it is.
    #[must_use]
    pub fn fill(&self) -> Fill {
        let deliveries = self.kept.next - 1 - self.kept.acked;
        Fill {
            deliveries,
            bytes: self.bytes(),
            oldest: self.oldest().filter(|_| deliveries > 0),
            thinned: self.thinned,
            damaged: self.damaged,
            trouble: self.trouble.clone(),
        }
    }

    /// When the oldest delivery that waits was made. Within a segment of which the hub has a part it is
    /// taken from both ends: deliveries come evenly.
    fn oldest(&self) -> Option<Timestamp> {
        let waits = self.tail.front().map(|(_, delivery)| delivery.at);
        let Some(front) = self.segments.front() else {
            return waits;
        };
        let passed = (self.kept.acked + 1).saturating_sub(front.first);
        let next = self.segments.get(1).map_or(waits, |next| next.at);
        let (Some(from), Some(to)) = (front.at, next.or(self.newest)) else {
            return front.at;
        };
        let took = to.duration_since(from).max(SignedDuration::ZERO);
        let share = passed as f64 / (front.last - front.first).max(1) as f64;
        from.checked_add(took.mul_f64(share.min(1.0))).ok()
    }

    /// Writes down what is known of the deliveries that are gone, so that the next start knows it too.
    pub fn close(&mut self) {
        self.flush();
        let written = self.write_kept();
        self.note(written);
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    fn write_kept(&mut self) -> io::Result<()> {
        self.noted = self.kept.acked;
        let written = self.disk.replace(KEPT, &self.kept.write());
        self.is_kept_old = written.is_err();
        written
    }

    /// Notes what the disk says. It is told once when it begins, and once when it is over.
    fn note(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) if self.trouble.is_some() && self.tail.is_empty() => {
                tracing::info!("the spool can be written to again");
                self.trouble = None;
            }
            Ok(()) => {}
            Err(error) => {
                let why = format!("the spool cannot be written to: {error}");
                if self.trouble.as_ref() != Some(&why) {
                    tracing::error!(%error, "the spool cannot be written to; what is seen waits in memory");
                }
                self.trouble = Some(why);
            }
        }
    }

    /// Appends what waits to the journal.
    fn write_tail(&mut self) -> io::Result<()> {
        self.drop_acked_tail();
        while let Some((first, _)) = self.tail.front() {
            let first = *first;
            let (mut bytes, mut last, mut rows, mut count) = (Vec::new(), first, 0, 0);
            for (number, delivery) in &self.tail {
                let packed = match parcel::pack(delivery) {
                    Ok(packed) => packed,
                    Err(error) if count == 0 => {
                        self.give_up_first(&error);
                        break;
                    }
                    Err(_) => break,
                };
                journal::write(&mut bytes, *number, &packed);
                (last, rows, count) = (*number, rows + delivery.harvest.len(), count + 1);
                // A disk in trouble is tried with little.
                if bytes.len() as u64 >= JOURNAL_LEN_MAX || self.trouble.is_some() {
                    break;
                }
            }
            if count == 0 {
                continue;
            }
            self.make_room(bytes.len() as u64)?;
            self.append_to_journal(first, last, rows, &bytes)?;
            for (number, delivery) in self.tail.drain(..count) {
                self.weight = self.weight.saturating_sub(weight(&delivery));
                self.fresh.push_back((number, delivery));
            }
            self.bound_fresh();
        }
        Ok(())
    }

    fn bound_fresh(&mut self) {
        let acked = self.kept.acked;
        self.fresh.retain(|(number, _)| *number > acked);
        let mut room = FRESH_MAX;
        let fits = self.fresh.iter().rev().take_while(|(_, delivery)| {
            let is_room = room > 0;
            room = room.saturating_sub(weight(delivery));
            is_room
        });
        let fits = fits.count();
        self.fresh.drain(..self.fresh.len() - fits);
    }

    /// A delivery that cannot be packed is longer than a link carries: its rows are counted. One that is
    /// too long even so is cut to what a delivery holds: the next try always takes it.
    fn give_up_first(&mut self, error: &parcel::ParcelError) {
        let Some((number, delivery)) = self.tail.front_mut() else {
            return;
        };
        tracing::error!(number, %error, "a delivery is left out");
        let before = weight(delivery);
        for level in [Level::Records, Level::Rows] {
            self.thinned += thin::thin(std::iter::once(&mut *delivery), level);
            if parcel::pack(delivery).is_ok() {
                break;
            }
        }
        if parcel::pack(delivery).is_err() {
            delivery.thinned.truncate(thin::COUNTED_MAX);
        }
        if parcel::pack(delivery).is_err() {
            delivery.harvest.clear();
            delivery.thinned.clear();
            self.damaged += 1;
        }
        self.weight = self.weight.saturating_sub(before) + weight(delivery);
    }

    fn append_to_journal(
        &mut self,
        first: u64,
        last: u64,
        rows: usize,
        bytes: &[u8],
    ) -> io::Result<()> {
        if !self.is_open {
            let at = self.tail.front().map(|(_, delivery)| delivery.at);
            let segment = Segment::journal(first, at);
            // A file of this name that failed before holds nothing that anybody counts on.
            self.segments.retain(|other| other.name != segment.name);
            self.segments.push_back(segment);
            self.is_open = true;
        }
        let Some(journal) = self.segments.back_mut() else {
            return Ok(());
        };
        let appended = self.disk.append(&journal.name, journal.len, bytes);
        if let Err(error) = appended {
            if journal.len == 0 {
                self.segments.pop_back();
            }
            return Err(error);
        }
        journal.len += bytes.len() as u64;
        journal.last = last;
        journal.rows += rows;
        if journal.len >= JOURNAL_LEN_MAX || journal.rows >= self.journal_rows {
            self.is_open = false;
            self.seal_last();
        }
        Ok(())
    }

    fn drop_acked_tail(&mut self) {
        while self
            .tail
            .front()
            .is_some_and(|(number, _)| *number <= self.kept.acked)
        {
            if let Some((_, delivery)) = self.tail.pop_front() {
                self.weight = self.weight.saturating_sub(weight(&delivery));
            }
        }
    }

    /// Thins what waits in memory when it is too much. What was handed out stays as it is.
    fn bound_memory(&mut self) {
        for level in [Level::Usual, Level::Records, Level::Rows] {
            if self.weight <= self.memory {
                return;
            }
            let sent = self.sent;
            let waiting = self.tail.iter_mut().filter(|(number, _)| *number > sent);
            self.thinned += thin::thin(waiting.map(|(_, delivery)| delivery), level);
            self.weight = self.tail.iter().map(|(_, delivery)| weight(delivery)).sum();
        }
    }
}

/// What a number is ahead of a place.
fn shift(number: u64, place: u64) -> i64 {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    signed(number).saturating_sub(signed(place))
}

fn weight(delivery: &Delivery) -> usize {
    let all = delivery.harvest.iter().map(|one| match one {
        Harvest::Run(_) | Harvest::Own(_) => 1,
        Harvest::Shown(_) => WEIGHTS.0,
        Harvest::Trace(_) => WEIGHTS.1,
    });
    all.sum()
}

/// Rows of a clock that was set meanwhile are not put right by one figure.
fn is_one_clock(before: Option<i64>, next: Option<i64>) -> bool {
    match (before, next) {
        (Some(one), Some(other)) => {
            u128::from(one.abs_diff(other)) <= Run::CLOCK_OFFSET_KEPT.as_millis()
        }
        // What was measured since may be of a clock that was set since.
        (before, next) => before == next,
    }
}

/// May a delivery become part of the one before?
fn joins(before: &Delivery, next: &Delivery) -> bool {
    let rows = before.harvest.len() + next.harvest.len();
    rows <= DELIVERY_ROWS_MAX
        && before.boot == next.boot
        && is_one_clock(before.offset_ms, next.offset_ms)
        && next.thinned.is_empty()
        && weight(before) + weight(next) <= 2 * DELIVERY_ROWS_MAX
}
