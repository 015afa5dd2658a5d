//! Deliveries one after the other, as they come: each with its length, checksum and number.

/// Bytes before each record: length, checksum, number, all little-endian.
const HEAD: usize = 16;
/// Longest record, bytes: a delivery is no longer even before it is packed.
const RECORD_LEN_MAX: usize = bellwether_model::link::DELIVERY_LEN_MAX;

/// A record's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) number: u64,
    /// Where its content begins.
    pub(super) at: usize,
    pub(super) len: usize,
}

/// What a journal holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    pub(super) records: Vec<Record>,
    /// Where the last whole record ends: what is behind was never said to be durable.
    pub(super) end: usize,
    /// Bytes between records that are none: something was durable there, and is damaged.
    pub(super) damaged: usize,
}

/// Writes a record.
pub(super) fn write(out: &mut Vec<u8>, number: u64, packed: &[u8]) {
    let len = u32::try_from(packed.len()).unwrap_or(u32::MAX);
    out.extend(len.to_le_bytes());
    out.extend(checksum(len, number, packed).to_le_bytes());
    out.extend(number.to_le_bytes());
    out.extend(packed);
}

/// Finds the records. Where one is damaged, the next sound one with a higher number is looked for.
pub(super) fn scan(bytes: &[u8]) -> Scanned {
    let mut scanned = Scanned::default();
    let mut at = 0;
    while at + HEAD <= bytes.len() {
        let last = scanned.records.last().map_or(0, |record| record.number);
        match record(bytes, at).filter(|record| record.number > last) {
            Some(record) => {
                scanned.damaged += at - scanned.end;
                at = record.at + record.len;
                scanned.end = at;
                scanned.records.push(record);
            }
            None => at += 1,
        }
    }
    scanned
}

/// Reads bytes as a journal: what is found lies within, in order, and is found again without what is
/// none.
#[cfg(feature = "fuzzing")]
pub(super) fn fuzz(bytes: &[u8]) {
    let scanned = scan(bytes);
    let mut copy = Vec::new();
    let mut end = 0;
    for record in &scanned.records {
        assert!(end <= record.at && record.at + record.len <= scanned.end);
        end = record.at + record.len;
        write(&mut copy, record.number, &bytes[record.at..end]);
    }
    assert!(end == scanned.end && end <= bytes.len());
    let again = scan(&copy);
    assert_eq!(again.records.len(), scanned.records.len());
    assert_eq!((again.end, again.damaged), (copy.len(), 0));
}

/// The sound record at this place.
fn record(bytes: &[u8], at: usize) -> Option<Record> {
    let head = bytes.get(at..at + HEAD)?;
    let len = u32::from_le_bytes(head[..4].try_into().ok()?);
    let crc = u32::from_le_bytes(head[4..8].try_into().ok()?);
    let number = u64::from_le_bytes(head[8..].try_into().ok()?);
    let size = usize::try_from(len)
        .ok()
        .filter(|len| *len <= RECORD_LEN_MAX)?;
    let content = bytes.get(at + HEAD..(at + HEAD).checked_add(size)?)?;
    (checksum(len, number, content) == crc).then_some(Record {
        number,
        at: at + HEAD,
        len: size,
    })
}

fn checksum(len: u32, number: u64, content: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&len.to_le_bytes());
    crc.update(&number.to_le_bytes());
    crc.update(content);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        for number in 1..=6_u64 {
            let content =
                vec![u8::try_from(number).unwrap(); 20 * usize::try_from(number).unwrap()];
            write(&mut bytes, number, &content);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn numbers(scanned: &Scanned) -> Vec<u64> {
        scanned.records.iter().map(|record| record.number).collect()
    }

    #[test]
    fn a_torn_tail_is_cut_at_the_last_whole_record() {
        let (bytes, ends) = journal();
        for cut in 0..=bytes.len() {
            let whole = ends.iter().rposition(|end| *end <= cut).unwrap();
            let scanned = scan(&bytes[..cut]);
            assert_eq!(scanned.records.len(), whole, "{cut}");
            assert_eq!((scanned.end, scanned.damaged), (ends[whole], 0), "{cut}");
        }
    }

    #[test]
    fn a_flipped_bit_costs_its_own_record_alone_and_is_found() {
        let (bytes, ends) = journal();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let hit = ends.iter().rposition(|end| *end <= at).unwrap() as u64 + 1;
            let scanned = scan(&flipped);
            let rest: Vec<u64> = (1..=6).filter(|number| *number != hit).collect();
            assert_eq!(numbers(&scanned), rest, "{at}");
            assert_eq!(scanned.damaged > 0, hit != 6, "{at}");
        }
    }
}
