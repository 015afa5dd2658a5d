//! Record data in presentation form.

use std::fmt::Write as _;

use bellwether_model::DnsName;
use bellwether_model::dns::Record;
use domain::base::name::ParsedName;
use domain::base::record::ParsedRecord;
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt};
use domain::rdata::AllRecordData;

/// Longest presentation form of one record's data, characters: four for each octet of the longest
/// data, so that only a defect of the printer could reach it.
const DATA_LEN_MAX: usize = 4 * 65_535;

type Data<'a> = AllRecordData<&'a [u8], ParsedName<&'a [u8]>>;

/// One record, or the complaint about it.
pub(super) fn present(record: &ParsedRecord<'_, [u8]>) -> Result<Record, String> {
    let rtype = record.rtype().to_string();
    let name = name(&record.owner()).map_err(|e| format!("the owner of a {rtype}: {e}"))?;
    let bad = |e: &dyn std::fmt::Display| format!("the data of {name} {rtype}: {e}");
    let parsed = record.to_any_record::<Data<'_>>().map_err(|e| bad(&e))?;
    let data = data(parsed.data()).map_err(|e| bad(&e))?;
    Ok(Record {
        name,
        ttl: record.ttl().as_secs(),
        rtype,
        data,
    })
}

/// A name as the model writes it.
pub(crate) fn name<O: AsRef<[u8]>>(parsed: &ParsedName<O>) -> Result<DnsName, String> {
    let text = plain(parsed).unwrap_or_else(|| parsed.to_string());
    if text.is_empty() {
        // That is how `domain` shows the root of a message.
        return Ok(DnsName::root());
    }
    // The `Display` of `domain` escapes what RFC 1035 section 5.1 wants escaped.
    DnsName::presentation(&text).map_err(|e| e.to_string())
}

/// The text of a name of letters, digits, hyphens and underscores, as nearly all are: no octet of
/// it needs an escape.
fn plain<O: AsRef<[u8]>>(parsed: &ParsedName<O>) -> Option<String> {
    let mut text = String::with_capacity(64);
    for label in parsed.iter() {
        let octets: &[u8] = label.as_slice();
        let is_plain = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        if !octets.iter().all(is_plain) {
            return None;
        }
        if !octets.is_empty() {
            text.push_str(std::str::from_utf8(octets).ok()?);
            text.push('.');
        }
    }
    Some(text)
}

/// Names in data are written in lower case, so that equal sets compare equal whatever case a
/// server's zone file has; everything else is written as a zone file has it.
fn data(data: &Data<'_>) -> Result<String, String> {
    let text = match data {
        AllRecordData::A(a) => a.addr().to_string(),
        AllRecordData::Aaaa(aaaa) => aaaa.addr().to_string(),
        AllRecordData::Ns(ns) => name(ns.nsdname())?.to_string(),
        AllRecordData::Cname(cname) => name(cname.cname())?.to_string(),
        AllRecordData::Dname(dname) => name(dname.dname())?.to_string(),
        AllRecordData::Ptr(ptr) => name(ptr.ptrdname())?.to_string(),
        AllRecordData::Mx(mx) => format!("{} {}", mx.preference(), name(mx.exchange())?),
        AllRecordData::Srv(srv) => format!(
            "{} {} {} {}",
            srv.priority(),
            srv.weight(),
            srv.port(),
            name(srv.target())?
        ),
        AllRecordData::Soa(soa) => format!(
            "{} {} {} {} {} {} {}",
            name(soa.mname())?,
            name(soa.rname())?,
            soa.serial(),
            soa.refresh().as_secs(),
            soa.retry().as_secs(),
            soa.expire().as_secs(),
            soa.minimum().as_secs()
        ),
        other => {
            let mut text = String::new();
            write!(text, "{}", other.display_zonefile(DisplayKind::Simple))
                .map_err(|_| "the data has no presentation form".to_owned())?;
            text
        }
    };
    if text.len() > DATA_LEN_MAX {
        return Err(format!("its text is longer than {DATA_LEN_MAX} characters"));
    }
    Ok(text)
}
