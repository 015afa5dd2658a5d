//! Record sets as they stood on the wire, in canonical form (RFC 4034 section 6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bellwether_model::DnsName;
use bellwether_model::dns::Response;
use domain::base::iana::{Class, Rtype};
use domain::base::message::{Message, RecordSection};
use domain::base::name::{Name, ParsedName, ToName};
use domain::base::rdata::ComposeRecordData;
use domain::base::record::ParsedRecord;
use domain::rdata::AllRecordData;

use crate::dns::message::RECORDS_MAX;
use crate::dns::record::name as shown;

/// A name that owns its octets.
pub(super) type Wire = Name<Vec<u8>>;

/// A record set with the signatures that cover it.
#[derive(Clone, Debug)]
pub(super) struct Rrset {
    pub(super) name: DnsName,
    pub(super) owner: Wire,
    pub(super) rtype: Rtype,
    /// Record data in canonical form and order, each once (RFC 4034 section 6.3).
    pub(super) data: Vec<Vec<u8>>,
    pub(super) signatures: Vec<Rrsig>,
}

/// The parts of one message that signatures are about.
#[derive(Clone, Debug, Default)]
pub(super) struct Signed {
    pub(super) answer: Vec<Rrset>,
    pub(super) authority: Vec<Rrset>,
}

/// An RRSIG record (RFC 4034 section 3.1).
#[derive(Clone, Debug)]
pub(super) struct Rrsig {
    pub(super) covered: u16,
    pub(super) algorithm: u8,
    pub(super) labels: u8,
    pub(super) original_ttl: [u8; 4],
    pub(super) expiration: u32,
    pub(super) inception: u32,
    pub(super) key_tag: u16,
    pub(super) signer: DnsName,
    /// The record data up to the signature: what the signed octets begin with.
    pub(super) head: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// Octets of the fixed part of an RRSIG record's data.
const RRSIG_FIXED_LEN: usize = 18;

/// The signed parts of a response whose octets were kept. `None` if they were not, or cannot be
/// read whole: then nothing follows from what is missing.
pub(super) fn signed(response: &Response) -> Option<Signed> {
    if response.flags.tc || response.malformed.is_some() {
        return None;
    }
    let octets = BASE64.decode(response.raw.as_ref()?).ok()?;
    let message = Message::from_slice(&octets).ok()?;
    let message = message.for_slice();
    let mut answer = message.answer().ok()?;
    let mut read = Signed {
        answer: section(&mut answer)?,
        ..Signed::default()
    };
    let mut authority = answer.next_section().ok()??;
    read.authority = section(&mut authority)?;
    Some(read)
}

fn section(records: &mut RecordSection<'_, [u8]>) -> Option<Vec<Rrset>> {
    let mut sets: Vec<Rrset> = Vec::new();
    let mut signatures: Vec<(DnsName, Rrsig)> = Vec::new();
    for record in records.by_ref().take(RECORDS_MAX) {
        let record = record.ok()?;
        if record.class() != Class::IN {
            return None;
        }
        let name = shown(&record.owner()).ok()?;
        let data = canonical(&record)?;
        if record.rtype() == Rtype::RRSIG {
            signatures.push((name, rrsig(&data)?));
            continue;
        }
        let known = sets
            .iter_mut()
            .find(|s| s.name == name && s.rtype == record.rtype());
        match known {
            Some(set) => set.data.push(data),
            None => sets.push(Rrset {
                owner: record.owner().to_canonical_name(),
                name,
                rtype: record.rtype(),
                data: vec![data],
                signatures: Vec::new(),
            }),
        }
    }
    for set in &mut sets {
        set.data.sort();
        set.data.dedup();
        let covers = |(name, sig): &&(DnsName, Rrsig)| {
            *name == set.name && sig.covered == set.rtype.to_int()
        };
        set.signatures = signatures
            .iter()
            .filter(covers)
            .map(|(_, sig)| sig.clone())
            .collect();
    }
    Some(sets)
}

fn canonical(record: &ParsedRecord<'_, [u8]>) -> Option<Vec<u8>> {
    let parsed = record
        .to_any_record::<AllRecordData<&[u8], ParsedName<&[u8]>>>()
        .ok()?;
    let mut data = Vec::new();
    parsed.data().compose_canonical_rdata(&mut data).ok()?;
    Some(data)
}

fn rrsig(data: &[u8]) -> Option<Rrsig> {
    let fixed: &[u8; RRSIG_FIXED_LEN] = data.first_chunk()?;
    let (signer, rest) = name(&data[RRSIG_FIXED_LEN..])?;
    let head = data[..data.len() - rest.len()].to_vec();
    let u32_at =
        |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    Some(Rrsig {
        covered: u16::from_be_bytes([fixed[0], fixed[1]]),
        algorithm: fixed[2],
        labels: fixed[3],
        original_ttl: [fixed[4], fixed[5], fixed[6], fixed[7]],
        expiration: u32_at(8),
        inception: u32_at(12),
        key_tag: u16::from_be_bytes([fixed[16], fixed[17]]),
        signer: text(&signer)?,
        head,
        signature: rest.to_vec(),
    })
}

/// An uncompressed name at the begin of some octets, and the rest.
pub(super) fn name(octets: &[u8]) -> Option<(Wire, &[u8])> {
    let mut end = 0;
    loop {
        let len = usize::from(*octets.get(end)?);
        end += 1 + len;
        if len == 0 {
            break;
        }
    }
    let name = Name::from_octets(octets.get(..end)?.to_vec()).ok()?;
    Some((name, &octets[end..]))
}

/// A name as the model writes it.
pub(super) fn text(name: &Wire) -> Option<DnsName> {
    let text = name.to_string();
    if text.is_empty() || text == "." {
        return Some(DnsName::root());
    }
    DnsName::presentation(&text).ok()
}

/// A name as the wire has it, lower case.
pub(super) fn wire(name: &DnsName) -> Option<Wire> {
    let name = Wire::vec_from_str(name.as_str()).ok()?;
    Some(name.to_canonical_name())
}

/// Does a type bitmap (RFC 4034 section 4.1.2) hold a type?
pub(super) fn bitmap_has(mut bitmap: &[u8], rtype: Rtype) -> bool {
    let [window, low] = rtype.to_int().to_be_bytes();
    while let [number, len, rest @ ..] = bitmap {
        let Some(bits) = rest.get(..usize::from(*len)) else {
            return false;
        };
        if *number == window {
            let octet = bits.get(usize::from(low / 8)).copied().unwrap_or(0);
            return octet & (0x80 >> (low % 8)) != 0;
        }
        bitmap = &rest[usize::from(*len)..];
    }
    false
}
