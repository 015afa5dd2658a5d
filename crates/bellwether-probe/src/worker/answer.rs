//! What comes back of an order: its records, or what was made of them.

use bellwether_model::brief::BRIEF_VERSION;
use bellwether_model::job::{CheckAsk, FRAME_LEN_MAX, Told};
use bellwether_model::{Brief, Observation};
use jiff::Timestamp;

use super::FrameError;

/// Makes a row's worth of what a visit saw, and hands back the records as they are judged. Probes
/// never judge: whoever starts the worker says how.
pub type Judge = fn(&CheckAsk, Vec<Observation>, Timestamp) -> (Brief, Vec<Observation>);

/// A visit that was judged where it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The number of the order.
    pub number: u64,
    /// DNS queries sent.
    pub queries: u32,
    /// What it came to.
    pub brief: Brief,
    /// What was seen, unless that is usual.
    pub records: Option<Records>,
}

/// Records as they came through the pipe: most of those that come are not looked at.
#[derive(Clone, PartialEq, Eq)]
pub struct Records(Box<[u8]>);

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Records({} bytes)", self.0.len())
    }
}

impl Records {
    /// Writes them as a worker does.
    ///
    /// # Errors
    /// If they cannot be written as JSON.
    pub fn of(records: &[Observation]) -> Result<Self, FrameError> {
        Ok(Self(serde_json::to_vec(records)?.into()))
    }

    /// The records.
    ///
    /// # Errors
    /// If they are none: what a worker says is not to be relied on.
    pub fn read(&self) -> Result<Vec<Observation>, FrameError> {
        Ok(serde_json::from_slice(&self.0)?)
    }
}

/// What a frame says of an order.
pub(super) enum Answer {
    Told(Told),
    Judged(Judged),
}

impl Answer {
    /// The number of the order.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Told(told) => told.number,
            Self::Judged(judged) => judged.number,
        }
    }

    /// Reads the content of a frame.
    pub(super) fn read(content: &[u8]) -> Result<Self, FrameError> {
        if content.first() == Some(&BRIEF_VERSION) {
            let judged = judged(&content[1..]).ok_or(FrameError::Judgement)?;
            return Ok(Self::Judged(judged));
        }
        Ok(Self::Told(serde_json::from_slice(content)?))
    }
}

/// Number, queries, judgement, and the records to the end of the frame.
fn judged(content: &[u8]) -> Option<Judged> {
    let (number, rest) = content.split_first_chunk()?;
    let (queries, mut rest) = rest.split_first_chunk()?;
    let brief = Brief::read(&mut rest)?;
    Some(Judged {
        number: u64::from_le_bytes(*number),
        queries: u32::from_le_bytes(*queries),
        brief,
        records: (!rest.is_empty()).then(|| Records(rest.into())),
    })
}

/// Writes the content of a frame that says what a visit came to, with its records if they are wanted
/// and a frame has room for them.
pub(super) fn write(number: u64, queries: u32, brief: &Brief, records: &[Observation]) -> Vec<u8> {
    let mut content = vec![BRIEF_VERSION];
    content.extend_from_slice(&number.to_le_bytes());
    content.extend_from_slice(&queries.to_le_bytes());
    brief.write(&mut content);
    let len = content.len();
    if !records.is_empty() {
        let written = serde_json::to_writer(&mut content, records);
        if written.is_err() || content.len() > FRAME_LEN_MAX {
            content.truncate(len);
        }
    }
    content
}

#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing {
    /// The content of a frame, and the records in it.
    pub(crate) fn read_answer(content: &[u8]) {
        if let Ok(super::Answer::Judged(judged)) = super::Answer::read(content)
            && let Some(records) = judged.records
        {
            // What is refused is as good as what is read.
            let _ = records.read();
        }
    }
}

#[cfg(test)]
mod tests {
    use bellwether_model::observation::NotRun;
    use bellwether_model::{NotRunReason, Outcome, ProbeKind};

    use super::*;

    fn record(len: usize) -> Observation {
        Observation {
            id: String::new(),
            probe: ProbeKind::Tcp,
            began: Timestamp::UNIX_EPOCH,
            took_ms: 1.5,
            waits: 1,
            outcome: Outcome::NotRun(NotRun {
                reason: NotRunReason::Limit,
                detail: "x".repeat(len),
                subject: String::new(),
                address: None,
                via: None,
            }),
        }
    }

    fn read(content: &[u8]) -> Judged {
        match Answer::read(content).unwrap() {
            Answer::Judged(judged) => judged,
            Answer::Told(told) => panic!("{told:?}"),
        }
    }

    #[test]
    fn a_judgement_comes_with_records_or_without() {
        let brief = Brief::unknown("monitor.limit".into());
        let records = vec![record(5), record(0)];
        let judged = read(&write(7, 3, &brief, &records));
        assert_eq!((judged.number, judged.queries), (7, 3));
        assert_eq!(judged.brief, brief);
        assert_eq!(judged.records.unwrap().read().unwrap(), records);
        assert_eq!(read(&write(7, 3, &brief, &[])).records, None);
        // What has no room is left out, and the judgement comes all the same.
        let large = write(7, 3, &brief, &[record(FRAME_LEN_MAX)]);
        assert_eq!(read(&large).records, None);
    }

    #[test]
    fn bytes_that_are_no_answer_are_refused() {
        let brief = Brief::unknown("monitor.limit".into());
        let content = write(7, 3, &brief, &[]);
        for len in 0..content.len() {
            assert!(Answer::read(&content[..len]).is_err(), "{len}");
        }
        let mut longer = content;
        longer.push(b'x');
        assert!(read(&longer).records.unwrap().read().is_err());
    }
}
