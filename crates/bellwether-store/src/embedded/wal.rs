//! What the engine would drop from a write-ahead log without a word.
//!
//! SQLite reads a log up to the first frame whose checksum does not hold and takes what follows for
//! the leavings of a crash. So it is, mostly; but a byte that flipped in the middle of the log would
//! take acknowledged transactions with it. Here both are told apart: a transaction is begun only
//! after the one before is synced, so what lies before a later transaction was whole once.

use std::fs;
use std::path::Path;

use crate::StoreError;

const HEADER_LEN: usize = 32;
const FRAME_HEADER_LEN: usize = 24;

/// How a log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Every frame of it holds.
    Whole,
    /// The last transaction does not hold: it was being written when the machine stopped, or it is
    /// damaged. If the former, it was not acknowledged.
    Torn,
    /// What was acknowledged is lost.
    Damaged(&'static str),
}

/// Looks at a log before the engine does.
pub(crate) fn inspect(path: &Path) -> Result<Tail, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(tail(&bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Tail::Whole),
        Err(error) => Err(StoreError::io(path, error)),
    }
}

struct Log<'a> {
    bytes: &'a [u8],
    frame_len: usize,
    salts: [u32; 2],
    big_endian: bool,
}

/// What a frame's head says.
#[derive(Clone, Copy)]
struct Head {
    commit: bool,
    salts: [u32; 2],
    sums: [u32; 2],
}

fn tail(bytes: &[u8]) -> Tail {
    if bytes.len() < HEADER_LEN + FRAME_HEADER_LEN {
        return Tail::Whole;
    }
    let word = |at: usize| word(bytes, at);
    let magic = word(0);
    let page = word(8) as usize;
    let big_endian = magic == 0x377f_0683;
    let known = magic | 1 == 0x377f_0683;
    if !known || !page.is_power_of_two() || !(512..=65536).contains(&page) {
        return Tail::Damaged("the header of its log does not hold");
    }
    let log = Log {
        bytes,
        frame_len: FRAME_HEADER_LEN + page,
        salts: [word(16), word(20)],
        big_endian,
    };
    let sums = log.sum([0, 0], &bytes[..24]);
    if sums != [word(24), word(28)] {
        return Tail::Damaged("the header of its log does not hold");
    }
    log.tail(sums)
}

impl Log<'_> {
    fn frame(&self, index: usize) -> Option<&[u8]> {
        let at = HEADER_LEN + index * self.frame_len;
        self.bytes.get(at..at + self.frame_len)
    }

    fn head(&self, index: usize) -> Option<Head> {
        let frame = self.frame(index)?;
        Some(Head {
            commit: word(frame, 4) != 0,
            salts: [word(frame, 8), word(frame, 12)],
            sums: [word(frame, 16), word(frame, 20)],
        })
    }

    fn tail(&self, mut sums: [u32; 2]) -> Tail {
        let mut index = 0;
        let mut between = true;
        while let Some(head) = self.head(index) {
            let frame = self.frame(index).expect("it has a head");
            let next = self.sum(self.sum(sums, &frame[..8]), &frame[FRAME_HEADER_LEN..]);
            if head.salts != self.salts || next != head.sums {
                return self.after(index, between);
            }
            sums = next;
            between = head.commit;
            index += 1;
        }
        if between { Tail::Whole } else { Tail::Torn }
    }

    /// Judges what begins with the first frame that does not hold. If the log was used before, what
    /// follows its end is of an older round, with an older first salt.
    fn after(&self, first: usize, between: bool) -> Tail {
        let mut ended = false;
        let mut index = first;
        let mut own = false;
        while let Some(head) = self.head(index) {
            let matching = usize::from(head.salts[0] == self.salts[0])
                + usize::from(head.salts[1] == self.salts[1]);
            match matching {
                2 if ended => {
                    return Tail::Damaged("a transaction in the middle of its log does not hold");
                }
                2 => {
                    own = true;
                    ended = head.commit;
                }
                1 => own = true,
                _ => {}
            }
            index += 1;
        }
        if own || !between {
            Tail::Torn
        } else {
            Tail::Whole
        }
    }

    /// The log's own checksum.
    fn sum(&self, [mut a, mut b]: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        for pair in bytes.chunks_exact(8) {
            let read = |at: usize| {
                let four = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
                if self.big_endian {
                    u32::from_be_bytes(four)
                } else {
                    u32::from_le_bytes(four)
                }
            };
            a = a.wrapping_add(read(0)).wrapping_add(b);
            b = b.wrapping_add(read(4)).wrapping_add(a);
        }
        [a, b]
    }
}

/// Four bytes of a header, which are big-endian whatever the checksums are.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |four| {
        u32::from_be_bytes(four.try_into().expect("four bytes"))
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// A log of three transactions, as the engine writes it.
    fn log() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA page_size=1024; CREATE TABLE t(x);")
            .unwrap();
        for _ in 0..3 {
            connection
                .execute("INSERT INTO t VALUES (randomblob(100))", [])
                .unwrap();
        }
        fs::read(dir.path().join("x.db-wal")).unwrap()
    }

    #[test]
    fn a_log_is_whole_as_it_is_written() {
        assert_eq!(tail(&log()), Tail::Whole);
        assert_eq!(tail(&[]), Tail::Whole);
    }

    #[test]
    fn hostile_s7_no_flip_in_a_log_is_passed_over() {
        let log = log();
        // A prime step, so that every place in a frame's head and body has its turn.
        for at in (0..log.len()).filter(|at| *at < 200 || at % 13 == 0) {
            let mut flipped = log.clone();
            flipped[at] ^= 0x10;
            assert_ne!(tail(&flipped), Tail::Whole, "byte {at}");
        }
    }

    #[test]
    fn hostile_s6_a_log_that_ends_early_is_torn() {
        let log = log();
        let frame = FRAME_HEADER_LEN + word(&log, 8) as usize;
        let whole = log.len() - frame;
        assert_eq!(tail(&log[..whole]), Tail::Whole);
        let mut garbled = log.clone();
        garbled[whole + 30] ^= 1;
        assert_eq!(tail(&garbled), Tail::Torn);
        let mut middle = log;
        middle[HEADER_LEN + 30] ^= 1;
        assert!(matches!(tail(&middle), Tail::Damaged(_)));
    }
}
