//! Queries to bytes, bytes to responses.
//!
//! Decoding is tolerant: a broken reply is exactly what a monitor wants to see, so the header and
//! every record that can be read are kept, beside the first complaint about the rest.

use std::panic::{AssertUnwindSafe, catch_unwind};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bellwether_model::dns::{ExtendedError, Flags, Question, Rcode, Record, Response};
use bellwether_model::text::inert_bytes;
use domain::base::iana::{Class, OptionCode, Rtype};
use domain::base::message::{Message, RecordSection};
use domain::base::name::Name;
use domain::base::opt::UnknownOptData;
use domain::base::record::ParsedRecord;

use super::{breaks, record};

/// UDP payload size that we offer: fits every path without fragments (DNS flag day 2020).
pub const UDP_PAYLOAD: u16 = 1232;
/// Octets of a message header (RFC 1035 section 4.1.1).
const HEADER_LEN: usize = 12;
/// Most records read from one message. 65,535 octets hold some 5,900 of the shortest; answers of
/// the real world stay two orders of magnitude below.
pub const RECORDS_MAX: usize = 4096;
/// Most extended errors kept from one message; servers send one or two.
pub const EXTENDED_ERRORS_MAX: usize = 16;
/// Most options read of one message; servers send three or four.
pub const OPTIONS_MAX: usize = 64;
/// Option 65001, for experiments (RFC 6891 section 9), with four octets.
const UNKNOWN_OPTION: [u8; 8] = [0xfd, 0xe9, 0, 4, b'b', b'w', b't', b'r'];
/// Longest EXTRA-TEXT kept, characters: one sentence.
const EXTRA_TEXT_MAX: usize = 256;

/// A query ready to send.
#[derive(Clone, Debug)]
pub struct Query {
    /// The message.
    pub bytes: Vec<u8>,
    /// Its id.
    id: u16,
    /// The question section as sent, in the case sent.
    question: Vec<u8>,
}

/// Should the raw message stand in the record?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw {
    /// Always.
    Keep,
    /// Only if a part of it could not be read.
    IfMalformed,
}

/// What a query asks for besides its question.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryFlags {
    /// An OPT record.
    pub edns: bool,
    /// Signatures; only with an OPT record.
    pub signatures: bool,
    /// Recursion. Then AD is set too: whether the resolver has checked the answer (RFC 6840
    /// section 5.7).
    pub recursion: bool,
    /// No checking of signatures.
    pub unchecked: bool,
    /// Octets of an answer to offer to take, if not [`UDP_PAYLOAD`].
    pub offered: Option<u16>,
    /// An EDNS option that nobody has defined.
    pub unknown_option: bool,
    /// The name in small letters.
    pub lower_case: bool,
}

/// Writes a query: random id, the letters of the name in random case (0x20), one of them a capital at
/// least, flags as asked for.
///
/// # Errors
/// If the type has no number or the name no wire format.
pub fn encode(
    question: &Question,
    flags: QueryFlags,
    random: &mut fastrand::Rng,
) -> Result<Query, String> {
    let Question { name, rtype } = question;
    let QueryFlags {
        edns,
        signatures,
        recursion,
        unchecked,
        offered,
        unknown_option,
        lower_case,
    } = flags;
    let number: Rtype = rtype
        .parse()
        .map_err(|_| format!("`{rtype}` is no record type"))?;
    let wire = Name::<Vec<u8>>::vec_from_str(name.as_str())
        .map_err(|e| format!("`{name}` has no wire format: {e}"))?;
    let id = random.u16(..);
    let mut section = wire.as_slice().to_vec();
    for octet in &mut section {
        // Length octets are below 64, so no letter is mistaken for one.
        if lower_case {
            octet.make_ascii_lowercase();
        } else if octet.is_ascii_alphabetic() && random.bool() {
            *octet ^= 0x20;
        }
    }
    // By chance all may be small; a server that drops capitals would seem to take them.
    let capital = section.iter().any(u8::is_ascii_uppercase);
    let letter = section.iter_mut().find(|octet| octet.is_ascii_lowercase());
    if let (false, false, Some(letter)) = (lower_case, capital, letter) {
        letter.make_ascii_uppercase();
    }
    section.extend(number.to_int().to_be_bytes());
    section.extend(Class::IN.to_int().to_be_bytes());
    let mut bytes = Vec::with_capacity(HEADER_LEN + section.len() + 11);
    bytes.extend(id.to_be_bytes());
    let checks = u8::from(recursion) << 5 | u8::from(unchecked) << 4;
    bytes.extend([
        u8::from(recursion),
        checks,
        0,
        1,
        0,
        0,
        0,
        0,
        0,
        u8::from(edns),
    ]);
    bytes.extend(&section);
    if edns {
        // RFC 6891 section 6.1.2: root name, type 41, payload size, the DO flag, options.
        let options: &[u8] = if unknown_option { &UNKNOWN_OPTION } else { &[] };
        bytes.extend([0, 0, 41]);
        bytes.extend(offered.unwrap_or(UDP_PAYLOAD).to_be_bytes());
        bytes.extend([0, 0, u8::from(signatures) << 7, 0]);
        bytes.extend((options.len() as u16).to_be_bytes());
        bytes.extend(options);
    }
    Ok(Query {
        bytes,
        id,
        question: section,
    })
}

/// Does this message answer the query? `Err` says why it does not count.
///
/// # Errors
/// The reason as it stands in the record: `runt`, `not_a_response`, `wrong_id`, `wrong_question`.
pub fn matches(query: &Query, bytes: &[u8]) -> Result<(), &'static str> {
    let Some(header) = bytes.get(..HEADER_LEN) else {
        return Err("runt");
    };
    if header[..2] != query.id.to_be_bytes() {
        return Err("wrong_id");
    }
    if header[2] & 0x80 == 0 {
        return Err("not_a_response");
    }
    let questions = u16::from_be_bytes([header[4], header[5]]);
    let is_error = header[3] & 0x0f != 0;
    // Some servers leave the question out of an error (NOTIMP, FORMERR).
    if questions == 0 && is_error {
        return Ok(());
    }
    let echoed = bytes.get(HEADER_LEN..HEADER_LEN + query.question.len());
    let is_same = |echoed: &[u8]| echoed.eq_ignore_ascii_case(&query.question);
    if questions == 1 && echoed.is_some_and(is_same) {
        Ok(())
    } else {
        Err("wrong_question")
    }
}

/// Reads a message that [`matches()`] the query.
#[must_use]
pub fn decode(query: &Query, bytes: &[u8], raw: Raw) -> Response {
    let read = || tolerant(query, bytes);
    let mut response = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let mut response = header_only(bytes);
        response.malformed = Some("the parser panicked".to_owned());
        response
    });
    if raw == Raw::Keep || response.malformed.is_some() {
        response.raw = Some(BASE64.encode(bytes));
    }
    response
}

fn header_only(bytes: &[u8]) -> Response {
    let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
    Response {
        rcode: Rcode(u16::from(at(3) & 0x0f)),
        flags: Flags {
            aa: at(2) & 0x04 != 0,
            tc: at(2) & 0x02 != 0,
            ra: at(3) & 0x80 != 0,
            ad: at(3) & 0x20 != 0,
        },
        edns: false,
        extended_errors: Vec::new(),
        answer: Vec::new(),
        authority: Vec::new(),
        additional: Vec::new(),
        size: bytes.len(),
        case_kept: true,
        malformed: None,
        malformed_at: None,
        raw: None,
    }
}

fn tolerant(query: &Query, bytes: &[u8]) -> Response {
    let mut response = header_only(bytes);
    let echoed = bytes.get(HEADER_LEN..HEADER_LEN + query.question.len());
    let has_question = bytes.get(4..6).is_some_and(|count| count != [0, 0]);
    response.case_kept = !has_question || echoed == Some(&query.question[..]);
    let mut reader = Reader {
        bytes,
        left: RECORDS_MAX,
        complaint: None,
    };
    if let Err((complaint, at)) = sections(bytes, &mut response, &mut reader) {
        reader.complain(complaint, at);
    }
    let (complaint, at) = reader.complaint.unzip();
    response.malformed = complaint;
    response.malformed_at = at;
    response
}

/// Reads the three sections until the structure itself breaks.
fn sections(bytes: &[u8], response: &mut Response, reader: &mut Reader) -> Result<(), Complaint> {
    let cut = |_| ("the message is cut".to_owned(), bytes.len());
    let message = Message::from_slice(bytes).map_err(cut)?;
    let message = message.for_slice();
    let cut = |part: &'static str, at: usize| move |e| (format!("the {part} section: {e}"), at);
    let mut answer = message.answer().map_err(cut("question", HEADER_LEN))?;
    reader.take(&mut answer, &mut response.answer)?;
    let at = answer.pos();
    let next = answer.next_section().map_err(cut("answer", at))?;
    let mut authority = next.expect("the answer section is not the last");
    reader.take(&mut authority, &mut response.authority)?;
    let at = authority.pos();
    let next = authority.next_section().map_err(cut("authority", at))?;
    let mut additional = next.expect("the authority section is not the last");
    reader.additional(&mut additional, response)
}

/// What cannot be read, and the octet at which.
type Complaint = (String, usize);

/// A record, and the octet at which it begins.
type Begun<'a> = (ParsedRecord<'a, [u8]>, usize);

/// Reads records up to a limit, and remembers the first complaint.
struct Reader<'b> {
    bytes: &'b [u8],
    left: usize,
    complaint: Option<Complaint>,
}

impl Reader<'_> {
    fn complain(&mut self, complaint: String, at: usize) {
        self.complaint.get_or_insert((complaint, at));
    }

    /// The next record, and the octet at which it begins.
    fn next<'a>(
        &mut self,
        section: &mut RecordSection<'a, [u8]>,
    ) -> Result<Option<Begun<'a>>, Complaint> {
        let at = section.pos();
        let Some(record) = section.next() else {
            return Ok(None);
        };
        let broken = |e| (format!("a record: {e}"), breaks::record(self.bytes, at));
        let record = record.map_err(broken)?;
        let too_many = || format!("the message has more than {RECORDS_MAX} records");
        let left = self.left.checked_sub(1);
        self.left = left.ok_or_else(|| (too_many(), at))?;
        Ok(Some((record, at)))
    }

    fn take(
        &mut self,
        section: &mut RecordSection<'_, [u8]>,
        into: &mut Vec<Record>,
    ) -> Result<(), Complaint> {
        while let Some((record, at)) = self.next(section)? {
            self.keep(&record, at, into);
        }
        Ok(())
    }

    fn keep(&mut self, record: &ParsedRecord<'_, [u8]>, at: usize, into: &mut Vec<Record>) {
        if record.class() != Class::IN {
            return self.complain(format!("a record of class {}", record.class()), at);
        }
        match record::present(record) {
            Ok(record) => into.push(record),
            Err(complaint) => self.complain(complaint, breaks::record(self.bytes, at)),
        }
    }

    fn additional(
        &mut self,
        section: &mut RecordSection<'_, [u8]>,
        response: &mut Response,
    ) -> Result<(), Complaint> {
        while let Some((record, at)) = self.next(section)? {
            match record.rtype() {
                // RFC 6891 section 6.1.1: one OPT at most.
                Rtype::OPT if response.edns => self.complain("two OPT records".to_owned(), at),
                Rtype::OPT => {
                    if let Err(complaint) = opt(&record, response) {
                        self.complain(complaint, breaks::record(self.bytes, at));
                    }
                }
                _ => self.keep(&record, at, &mut response.additional),
            }
        }
        Ok(())
    }
}

/// Extended rcode bits and extended errors (RFC 6891 section 6.1.3, RFC 8914).
fn opt(record: &ParsedRecord<'_, [u8]>, response: &mut Response) -> Result<(), String> {
    response.edns = true;
    let [high, ..] = record.ttl().as_secs().to_be_bytes();
    response.rcode = Rcode((u16::from(high) << 4) | response.rcode.0);
    let data = match record.to_any_record::<domain::rdata::AllRecordData<&[u8], _>>() {
        Ok(parsed) => parsed.into_data(),
        Err(e) => return Err(format!("the OPT record: {e}")),
    };
    let domain::rdata::AllRecordData::<_, domain::base::name::ParsedName<&[u8]>>::Opt(opt) = data
    else {
        return Err("the OPT record cannot be read".to_owned());
    };
    for option in opt.iter::<UnknownOptData<_>>().take(OPTIONS_MAX) {
        let Ok(option) = option else {
            return Err("an option of the OPT record is cut".to_owned());
        };
        if option.code() != OptionCode::EXTENDED_ERROR
            || response.extended_errors.len() == EXTENDED_ERRORS_MAX
        {
            continue;
        }
        let bytes: &[u8] = option.data();
        match bytes {
            [high, low, text @ ..] => response.extended_errors.push(ExtendedError {
                code: u16::from_be_bytes([*high, *low]),
                text: inert_bytes(text, EXTRA_TEXT_MAX),
            }),
            _ => return Err("an extended error without a code".to_owned()),
        }
    }
    Ok(())
}
