//! Segments: found at the start, read, sealed, thinned and dropped.

use std::io;

use bellwether_link::parcel;
use jiff::Timestamp;

use super::sealed::{self, Numbered};
use super::thin::{self, Level};
use super::{Disk, JOURNAL_LEN_DONE, KEPT, Kept, READS_MAX, Segment, Spool, WINDOW, journal};

/// Thinned segments that stand side by side are put together up to this size: the counts of one check
/// then become one.
const TOGETHER_LEN_MAX: u64 = 1024 * 1024;

const JOURNAL: &str = "journal";
const SEALED: &str = "sealed";
/// What a file is called until it is whole.
const DRAFT: &str = "new";
/// What is said of a damaged file.
const DAMAGE: &str =
    "a file of the spool is damaged: what it held is lost, and is told to the hub as a gap";

/// What a file is.
enum Found {
    Segment(Segment),
    /// Nothing that anybody needs.
    Waste,
    /// Not the spool's.
    Other,
}

impl Segment {
    pub(super) fn journal(first: u64, at: Option<Timestamp>) -> Self {
        Self {
            name: format!("{first:020}.{JOURNAL}"),
            is_sealed: false,
            first,
            last: first,
            len: 0,
            rows: 0,
            level: Level::Whole,
            at,
        }
    }

    fn sealed(first: u64, last: u64, level: Level, at: Timestamp, len: u64) -> Self {
        Self {
            name: format!("{first:020}-{last:020}.{SEALED}"),
            is_sealed: true,
            first,
            last,
            len,
            rows: 0,
            level,
            at: Some(at),
        }
    }
}

impl<D: Disk> Spool<D> {
    /// Finds what is there.
    pub(super) fn find(&mut self) -> io::Result<()> {
        if let Ok(text) = self.disk.read(KEPT) {
            match Kept::read(&text) {
                Some(kept) => {
                    let next = kept.next.max(1).max(kept.acked.saturating_add(1));
                    self.kept = Kept { next, ..kept };
                }
                None => {
                    tracing::error!("`{KEPT}` of the spool is damaged; the hub tells how far it is")
                }
            }
        }
        let mut files = self.disk.list()?;
        files.sort();
        let mut found = Vec::new();
        for (name, len) in files {
            match self.found_file(&name, len) {
                Ok(Found::Segment(segment)) => found.push(segment),
                Ok(Found::Waste) => self.disk.remove(&name)?,
                Ok(Found::Other) => {}
                Err(error) => {
                    tracing::error!(file = name, %error, "a file of the spool cannot be read");
                    return Err(error);
                }
            }
        }
        self.order(found);
        self.drop_prefix();
        Ok(())
    }

    fn found_file(&mut self, name: &str, len: u64) -> io::Result<Found> {
        match name.rsplit_once('.') {
            Some((numbers, SEALED)) => self.found_sealed(name, numbers, len),
            Some((first, JOURNAL)) => match first.parse() {
                Ok(first) => self.found_journal(name, first, len),
                Err(_) => Ok(Found::Other),
            },
            // A write that did not come to its end.
            Some((_, DRAFT)) => Ok(Found::Waste),
            _ => Ok(Found::Other),
        }
    }

    fn found_sealed(&mut self, name: &str, numbers: &str, len: u64) -> io::Result<Found> {
        let span = numbers.split_once('-');
        let span = span.and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)));
        let Some((first, last)) = span.filter(|(first, last)| first <= last) else {
            return Ok(Found::Other);
        };
        self.kept.next = self.kept.next.max(last.saturating_add(1));
        let head = sealed::head(&self.disk.read(name)?);
        let Some(head) = head.filter(|head| (head.first, head.last) == (first, last)) else {
            self.name_damage(name, last - first + 1);
            return Ok(Found::Waste);
        };
        let level = Level::of(head.level);
        let segment = Segment::sealed(first, last, level, head.at, len);
        Ok(Found::Segment(segment))
    }

    fn found_journal(&mut self, name: &str, first: u64, len: u64) -> io::Result<Found> {
        let bytes = self.disk.read(name)?;
        let scanned = journal::scan(&bytes);
        if scanned.damaged > 0 {
            let bytes = scanned.damaged;
            tracing::error!(file = name, bytes, "{DAMAGE}");
        }
        let (Some(begin), Some(last)) = (scanned.records.first(), scanned.records.last()) else {
            return Ok(Found::Waste);
        };
        let meant = (last.number + 1).saturating_sub(first);
        self.damaged += meant.saturating_sub(scanned.records.len() as u64);
        self.kept.next = self.kept.next.max(last.number.saturating_add(1));
        let packed = bytes.get(begin.at..begin.at + begin.len);
        let begins = packed.and_then(|packed| parcel::unpack(packed).ok());
        // A torn tail is left where it is: nobody appends to a journal of a former start.
        Ok(Found::Segment(Segment {
            name: name.to_owned(),
            last: last.number,
            len,
            ..Segment::journal(begin.number, begins.map(|delivery| delivery.at))
        }))
    }

    /// Puts segments in order. One whose deliveries stand in another was to be removed when that was
    /// written; of those that overlap, the later one holds what was meant.
    fn order(&mut self, mut found: Vec<Segment>) {
        found.sort_by_key(|segment| {
            (
                segment.first,
                std::cmp::Reverse(segment.last),
                !segment.is_sealed,
            )
        });
        for segment in found {
            let covered = self.segments.back().is_some_and(|before| {
                before.last >= segment.last && (before.is_sealed || before.first == segment.first)
            });
            if covered {
                // That it stays is only a waste.
                let _ = self.disk.remove(&segment.name);
                continue;
            }
            self.segments.push_back(segment);
        }
        for at in 1..self.segments.len() {
            let first = self.segments[at].first;
            let before = &mut self.segments[at - 1];
            before.last = before.last.min(first - 1);
        }
        self.segments
            .retain(|segment| segment.first <= segment.last);
    }

    fn name_damage(&mut self, name: &str, deliveries: u64) {
        tracing::error!(file = name, deliveries, "{DAMAGE}");
        self.damaged += deliveries;
    }

    /// Drops what the hub has.
    pub(super) fn drop_prefix(&mut self) {
        self.drop_acked_tail();
        let acked = self.kept.acked;
        let mut gone = Vec::new();
        while let Some(first) = self
            .segments
            .front()
            .filter(|segment| segment.last <= acked)
        {
            let is_journal = self.is_open && self.segments.len() == 1;
            if is_journal && first.len < JOURNAL_LEN_DONE {
                break;
            }
            self.is_open &= !is_journal;
            gone.extend(self.segments.pop_front());
        }
        if gone.is_empty() {
            return;
        }
        // Should this fail, the hub tells it again.
        let written = self.write_kept();
        self.note(written);
        for segment in gone {
            if let Err(error) = self.disk.remove(&segment.name) {
                tracing::warn!(file = segment.name, %error, "a file of the spool stays");
            }
        }
    }

    /// The deliveries of a segment that the hub does not have; `None` if it is damaged.
    fn read_segment(&mut self, segment: &Segment) -> io::Result<Option<Vec<Numbered>>> {
        let bytes = self.disk.read(&segment.name)?;
        let all = if segment.is_sealed {
            sealed::read(&bytes)
        } else {
            let records = journal::scan(&bytes).records.into_iter();
            let records = records.filter(|record| record.number > self.kept.acked);
            let unpacked = records.filter_map(|record| {
                let packed = bytes.get(record.at..record.at + record.len)?;
                Some((record.number, parcel::unpack(packed).ok()?))
            });
            Some(unpacked.collect::<Vec<_>>())
        };
        let acked = self.kept.acked;
        Ok(all.map(|mut all| {
            all.retain(|(number, _)| {
                *number > acked && (segment.first..=segment.last).contains(number)
            });
            all
        }))
    }

    /// The first delivery after this one.
    pub(super) fn find_after(&mut self, after: u64) -> io::Result<Option<Numbered>> {
        let fresh = self.fresh.front();
        if fresh.is_some_and(|(first, _)| *first <= after + 1) {
            let found = self.fresh.iter().chain(&self.tail);
            let mut found = found.filter(|(number, _)| *number > after);
            return Ok(found.next().cloned());
        }
        loop {
            let segment = self.segments.iter().find(|segment| segment.last > after);
            let Some(segment) = segment.cloned() else {
                let found = self.tail.iter().find(|(number, _)| *number > after);
                return Ok(found.cloned());
            };
            let is_read = matches!(&self.read, Some((first, all)) if *first == segment.first
                && all.last().is_some_and(|(number, _)| *number > after && *number == segment.last));
            if !is_read {
                let read = self.read_segment(&segment);
                match read {
                    Ok(Some(all)) => self.read = Some((segment.first, all)),
                    Err(error) if self.failed_reads < READS_MAX => {
                        self.failed_reads += 1;
                        return Err(error);
                    }
                    Ok(None) | Err(_) => {
                        self.lose(&segment);
                        continue;
                    }
                }
                self.failed_reads = 0;
            }
            let all = self.read.as_ref().map(|(_, all)| all.as_slice());
            let found = all.and_then(|all| all.iter().find(|(number, _)| *number > after));
            match found {
                Some(found) => return Ok(Some(found.clone())),
                // Its last ones are damaged.
                None => self.lose(&segment),
            }
        }
    }

    /// What is left of a segment cannot be read.
    fn lose(&mut self, segment: &Segment) {
        let from = segment.first.max(self.kept.acked + 1);
        self.name_damage(&segment.name, (segment.last + 1).saturating_sub(from));
        self.forget(segment.first);
    }

    fn forget(&mut self, first: u64) {
        let place = self
            .segments
            .iter()
            .position(|segment| segment.first == first);
        let Some(segment) = place.and_then(|at| self.segments.remove(at)) else {
            return;
        };
        self.read = None;
        self.fresh.clear();
        // A journal that is appended to is the last one.
        self.is_open &= place.is_some_and(|at| at < self.segments.len());
        if let Err(error) = self.disk.remove(&segment.name) {
            tracing::warn!(file = segment.name, %error, "a file of the spool stays");
        }
    }

    /// Seals the last segment. Where that fails it stays as it is, and is sealed with the others when
    /// there is no room.
    pub(super) fn seal_last(&mut self) {
        let at = self.segments.len().checked_sub(1);
        if let Some(at) = at
            && let Err(error) = self.rewrite(at, at, Level::Whole)
        {
            tracing::warn!(%error, "a journal of the spool stays as it is");
        }
    }

    /// Makes room for so many bytes.
    pub(super) fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        while self.bytes() + bytes > self.limit {
            let Some(at) = self.thinnest() else {
                self.drop_oldest();
                if self.segments.is_empty() {
                    return Ok(());
                }
                continue;
            };
            let Some(level) = self.segments[at].level.next() else {
                return Ok(());
            };
            let before = self.bytes();
            let from = match at.checked_sub(1) {
                Some(before) if self.go_together(before, at, level) => before,
                _ => at,
            };
            self.rewrite(from, at, level)?;
            tracing::debug!(before, after = self.bytes(), "the spool was thinned");
        }
        Ok(())
    }

    /// Which segment is thinned next: of those that are thinned least, the oldest.
    fn thinnest(&self) -> Option<usize> {
        let protected = self.kept.acked + WINDOW;
        let usable = self.segments.iter().enumerate();
        let usable = usable.filter(|(_, segment)| segment.first > protected.max(self.sent));
        let usable = usable.filter(|(_, segment)| segment.level < Level::Rows);
        let least = usable.min_by_key(|(at, segment)| (segment.level, *at));
        least.map(|(at, _)| at)
    }

    /// May the segment before become one with this one, once this one is thinned so far?
    fn go_together(&self, before: usize, at: usize, level: Level) -> bool {
        let (before, here) = (&self.segments[before], &self.segments[at]);
        before.level == level && before.len + here.len <= TOGETHER_LEN_MAX
    }

    /// Nothing is left to be thinned: the oldest goes as a whole.
    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.segments.front().cloned() {
            let deliveries = oldest.last - oldest.first + 1;
            tracing::error!(
                deliveries,
                "the spool is full: its oldest deliveries are lost, and are told to the hub as a gap"
            );
            self.damaged += deliveries;
            self.forget(oldest.first);
        }
    }

    /// Writes segments that stand side by side as one, thinned so far.
    fn rewrite(&mut self, from: usize, to: usize, level: Level) -> io::Result<()> {
        let old: Vec<Segment> = self.segments.range(from..=to).cloned().collect();
        let mut all = Vec::new();
        for segment in &old {
            match self.read_segment(segment)? {
                Some(deliveries) => all.extend(deliveries),
                None => {
                    self.lose(segment);
                    return Ok(());
                }
            }
        }
        let left_out = match level {
            Level::Whole => 0,
            _ => thin::thin(all.iter_mut().map(|(_, delivery)| delivery), level),
        };
        let ends = all.first().zip(all.last());
        let ends = ends.map(|((first, begin), (last, _))| (*first, *last, begin.at));
        let written = sealed::write(&all, level as u8);
        let (Some((first, last, at)), Some(bytes)) = (ends, written) else {
            // The hub has all of it.
            old.iter().for_each(|segment| self.forget(segment.first));
            return Ok(());
        };
        let len = bytes.len() as u64;
        let segment = Segment::sealed(first, last, level, at, len);
        self.disk.replace(&segment.name, &bytes)?;
        self.thinned += left_out;
        self.read = None;
        if level > Level::Whole {
            self.fresh.clear();
        }
        self.is_open &= to + 1 < self.segments.len();
        for gone in old.iter().filter(|gone| gone.name != segment.name) {
            if let Err(error) = self.disk.remove(&gone.name) {
                tracing::warn!(file = gone.name, %error, "a file of the spool stays");
            }
        }
        self.segments.drain(from..=to);
        self.segments.insert(from, segment);
        Ok(())
    }
}
