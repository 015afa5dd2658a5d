//! The dictionary of a day file: words as numbers. It lies in the day file itself, so that a day can
//! be read, copied and restored without any other file.

use std::net::IpAddr;
use std::sync::Arc;

use bellwether_model::{CheckId, Digest, Run, VantageId};
use jiff::Timestamp;

use super::quick::QuickMap;
use crate::codec::bytes::{Bytes, put, put_bytes};
use crate::codec::row::{Row, flags, offset};

/// A word that runs name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    /// An agent, and which start of it.
    Boot(Arc<str>, u64),
    Text(Arc<str>),
    Address(IpAddr),
    /// A certificate with its end: seconds since 1970 and nanoseconds.
    Certificate(Option<Digest>, Option<Timestamp>),
}

const BOOT: u8 = 1;
const TEXT: u8 = 2;
const ADDRESS: u8 = 3;
const CERTIFICATE: u8 = 4;

impl Word {
    /// As bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Boot(agent, boot) => {
                out.push(BOOT);
                put_bytes(&mut out, agent.as_bytes());
                put(&mut out, *boot);
            }
            Self::Text(text) => {
                out.push(TEXT);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Address(IpAddr::V4(address)) => {
                out.push(ADDRESS);
                out.extend_from_slice(&address.octets());
            }
            Self::Address(IpAddr::V6(address)) => {
                out.push(ADDRESS);
                out.extend_from_slice(&address.octets());
            }
            Self::Certificate(digest, ends) => {
                out.push(CERTIFICATE);
                put_bytes(&mut out, digest.as_ref().map_or(&[], |digest| &digest.0));
                if let Some(ends) = ends {
                    out.extend_from_slice(&ends.as_second().to_le_bytes());
                    out.extend_from_slice(&ends.subsec_nanosecond().to_le_bytes());
                }
            }
        }
        out
    }

    /// From bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes::new(bytes);
        match bytes.byte()? {
            BOOT => Some(Self::Boot(bytes.text()?.into(), bytes.number()?)),
            TEXT => Some(Self::Text(std::str::from_utf8(bytes.rest()).ok()?.into())),
            ADDRESS => match bytes.rest().len() {
                4 => Some(Self::Address(
                    <[u8; 4]>::try_from(bytes.rest()).ok()?.into(),
                )),
                16 => Some(Self::Address(
                    <[u8; 16]>::try_from(bytes.rest()).ok()?.into(),
                )),
                _ => None,
            },
            CERTIFICATE => {
                let digest = match bytes.bytes()? {
                    [] => None,
                    digest => Some(Digest(digest.try_into().ok()?)),
                };
                let ends = match bytes.rest() {
                    [] => None,
                    rest => {
                        let (second, nanosecond) = rest.split_first_chunk::<8>()?;
                        let nanosecond = i32::from_le_bytes(nanosecond.try_into().ok()?);
                        Some(Timestamp::new(i64::from_le_bytes(*second), nanosecond).ok()?)
                    }
                };
                Some(Self::Certificate(digest, ends))
            }
            _ => None,
        }
    }
}

/// A series by name, as bytes.
pub(crate) fn series_name(check: &CheckId, vantage: &VantageId) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, check.as_str().as_bytes());
    put_bytes(&mut out, vantage.as_str().as_bytes());
    out
}

/// A series from its name.
pub(crate) fn series_of(name: &[u8]) -> Option<(CheckId, VantageId)> {
    let mut bytes = Bytes::new(name);
    let check = CheckId::parse(bytes.text()?)?;
    Some((check, VantageId::new(bytes.text()?)))
}

/// Words and series of the file that is written to, by name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    words: QuickMap<Word, u32>,
    /// By vantage, then by check, so that no pair has to be made to be looked for.
    series: QuickMap<VantageId, QuickMap<CheckId, u32>>,
    series_len: usize,
}

/// Names that are new: they are kept with the transaction that writes them, or not at all.
#[derive(Debug, Default)]
pub(crate) struct New {
    pub(crate) words: Vec<(u32, Word)>,
    pub(crate) series: Vec<(u32, CheckId, VantageId)>,
    known: Names,
}

impl Names {
    /// Takes in a word that is in the file.
    pub(crate) fn add_word(&mut self, id: u32, word: Word) {
        self.words.insert(word, id);
    }

    /// Takes in a series that is in the file.
    pub(crate) fn add_series(&mut self, id: u32, check: CheckId, vantage: VantageId) {
        let checks = self.series.entry(vantage).or_default();
        self.series_len += usize::from(checks.insert(check, id).is_none());
    }

    fn find_series(&self, check: &CheckId, vantage: &VantageId) -> Option<u32> {
        self.series.get(vantage)?.get(check).copied()
    }

    /// Takes in what was new and is in the file now.
    pub(crate) fn keep(&mut self, new: New) {
        self.words.extend(new.known.words);
        for (id, check, vantage) in new.series {
            self.add_series(id, check, vantage);
        }
    }

    fn word(&self, new: &mut New, word: Word) -> u32 {
        if let Some(&id) = self.words.get(&word).or_else(|| new.known.words.get(&word)) {
            return id;
        }
        let id = (self.words.len() + new.words.len()) as u32 + 1;
        new.words.push((id, word.clone()));
        new.known.words.insert(word, id);
        id
    }

    /// The number of a series.
    pub(crate) fn series(&self, new: &mut New, check: &CheckId, vantage: &VantageId) -> u32 {
        let known = self.find_series(check, vantage);
        if let Some(id) = known.or_else(|| new.known.find_series(check, vantage)) {
            return id;
        }
        let id = (self.series_len + new.series.len()) as u32 + 1;
        new.series.push((id, check.clone(), vantage.clone()));
        new.known.add_series(id, check.clone(), vantage.clone());
        id
    }

    /// The number of a start of an agent.
    pub(crate) fn boot(&self, new: &mut New, agent: &Arc<str>, boot: u64) -> u32 {
        self.word(new, Word::Boot(agent.clone(), boot))
    }

    /// A run in numbers.
    pub(crate) fn row(&self, new: &mut New, boot: u32, run: &Run) -> Row {
        let mut text = |text: &Option<Arc<str>>| {
            let text = text.as_ref();
            text.map_or(0, |text| self.word(new, Word::Text(text.clone())))
        };
        let (symptom, resolver) = (text(&run.symptom), text(&run.resolver));
        let address = run.address;
        let address = address.map_or(0, |address| self.word(new, Word::Address(address)));
        let certificate = match (run.certificate, run.certificate_ends) {
            (None, None) => 0,
            (digest, ends) => self.word(new, Word::Certificate(digest, ends)),
        };
        let mut row = Row {
            due: run.due.as_microsecond(),
            late: run.late,
            every: run.every,
            sequence: run.sequence,
            boot,
            flags: flags(run.outcome, run.trigger, run.layer),
            symptom,
            resolver,
            address,
            certificate,
            status: run.status.map_or(0, |status| u32::from(status) + 1),
            size: run.size.map_or(0, |size| u64::from(size) + 1),
            evidence: run.evidence.map(|digest| digest.0),
            offset: offset(run.clock_offset_ms),
            ..Row::default()
        };
        for (index, phase) in run.phases.all().into_iter().enumerate() {
            if let Some(phase) = phase {
                row.mask |= 1 << index;
                row.phases[index] = phase;
            }
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        let digest = Some(Digest([9; 32]));
        let ends = Timestamp::new(-5, -3).ok();
        for word in [
            Word::Boot("agent".into(), u64::MAX),
            Word::Text("".into()),
            Word::Text("dns.nxdomain".into()),
            Word::Address("192.0.2.1".parse().unwrap()),
            Word::Address("2001:db8::1".parse().unwrap()),
            Word::Certificate(digest, ends),
            Word::Certificate(None, ends),
            Word::Certificate(digest, None),
        ] {
            assert_eq!(Word::from_bytes(&word.to_bytes()), Some(word));
        }
    }

    #[test]
    fn a_series_comes_back() {
        let check = CheckId::new("shop", "main");
        let vantage = VantageId::new("ham-1");
        let name = series_name(&check, &vantage);
        assert_eq!(series_of(&name), Some((check, vantage)));
    }
}
