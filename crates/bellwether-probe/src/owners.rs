//! Who owns an address, by the operator's offline table: CSV with the header `prefix,asn,owner`,
//! or MMDB. An absent table lowers confidence and breaks nothing.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use bellwether_model::Owner;
use bellwether_model::text::inert;
use ipnet::IpNet;
use maxminddb::Reader;
use serde::Deserialize;

/// How every MMDB file's metadata begins, near its end.
const MMDB_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// Largest table read, bytes: four times the size of today's full tables.
const TABLE_LEN_MAX: u64 = 256 * 1024 * 1024;

/// Longest name of an owner that is kept, characters.
const NAME_LEN_MAX: usize = 128;

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OwnersError {
    /// It cannot be read.
    #[error("failed to read the table of owners")]
    Read(#[source] std::io::Error),
    /// It is too large.
    #[error("the table of owners is larger than {} MiB", TABLE_LEN_MAX >> 20)]
    Large,
    /// A line of CSV that says nothing usable.
    #[error("line {line}: {problem}; a line is `192.0.2.0/24,AS64500,Owner`")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Neither text nor MMDB.
    #[error("the table of owners is neither CSV with the header `prefix,asn,owner` nor MMDB")]
    Format,
}

/// A table of prefixes, AS numbers and owners.
#[derive(Default)]
pub struct Owners(Table);

#[derive(Default)]
enum Table {
    #[default]
    None,
    /// Prefixes by their length: the longest that holds the address wins.
    Prefixes(BTreeMap<u8, HashMap<IpNet, Owner>>),
    Mmdb(Box<Reader<Vec<u8>>>),
}

impl std::fmt::Debug for Owners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Table::None => "Owners(none)",
            Table::Prefixes(_) => "Owners(prefixes)",
            Table::Mmdb(_) => "Owners(mmdb)",
        })
    }
}

/// The fields of the ASN databases that are in use (GeoLite2 ASN; IPinfo, which writes `AS64500`).
#[derive(Deserialize)]
struct MmdbRow<'a> {
    #[serde(default)]
    autonomous_system_number: Option<u32>,
    #[serde(default)]
    autonomous_system_organization: Option<&'a str>,
    #[serde(default)]
    asn: Option<&'a str>,
    #[serde(default)]
    name: Option<&'a str>,
    #[serde(default)]
    as_name: Option<&'a str>,
}

impl Owners {
    /// Reads a table from a file.
    ///
    /// # Errors
    /// If the file cannot be read, or is no table.
    pub fn load(path: &Path) -> Result<Self, OwnersError> {
        let mut bytes = Vec::new();
        // Not by the length that the file claims: a device has none.
        let file = File::open(path).map_err(OwnersError::Read)?;
        let read = file.take(TABLE_LEN_MAX + 1).read_to_end(&mut bytes);
        if read.map_err(OwnersError::Read)? as u64 > TABLE_LEN_MAX {
            return Err(OwnersError::Large);
        }
        Self::parse(bytes)
    }

    /// Reads a table from the bytes of a file.
    ///
    /// # Errors
    /// If they are no table.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, OwnersError> {
        let is_mmdb = bytes.windows(MMDB_MARKER.len()).any(|w| w == MMDB_MARKER);
        if is_mmdb {
            let reader = Reader::from_source(bytes).map_err(|_| OwnersError::Format)?;
            return Ok(Self(Table::Mmdb(Box::new(reader))));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| OwnersError::Format)?;
        Ok(Self(Table::Prefixes(csv(text)?)))
    }

    /// The owner of the longest prefix that holds the address.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<Owner> {
        match &self.0 {
            Table::None => None,
            Table::Prefixes(by_length) => by_length.iter().rev().find_map(|(length, prefixes)| {
                let net = IpNet::new(address, *length).ok()?.trunc();
                prefixes.get(&net).cloned()
            }),
            Table::Mmdb(reader) => from_mmdb(reader, address),
        }
    }
}

fn from_mmdb(reader: &Reader<Vec<u8>>, address: IpAddr) -> Option<Owner> {
    let found = reader.lookup(address).ok()?;
    let row: MmdbRow<'_> = found.decode().ok()??;
    let asn = row
        .autonomous_system_number
        .or_else(|| number(row.asn?).ok()?);
    let name = row
        .autonomous_system_organization
        .or(row.as_name)
        .or(row.name)
        .unwrap_or_default();
    Some(Owner {
        asn,
        name: inert(name, NAME_LEN_MAX),
        prefix: found.network().map(|n| n.to_string()).unwrap_or_default(),
    })
}

fn csv(text: &str) -> Result<BTreeMap<u8, HashMap<IpNet, Owner>>, OwnersError> {
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let header = lines.next().map(|(_, line)| line.trim().to_lowercase());
    if header.as_deref() != Some("prefix,asn,owner") {
        return Err(OwnersError::Format);
    }
    let mut table: BTreeMap<u8, HashMap<IpNet, Owner>> = BTreeMap::new();
    for (index, line) in lines {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (net, owner) = row(line).map_err(|problem| OwnersError::Line {
            line: index + 1,
            problem,
        })?;
        table
            .entry(net.prefix_len())
            .or_default()
            .insert(net, owner);
    }
    Ok(table)
}

/// The owner is the rest of the line: names of organisations hold commas, quoted or not.
fn row(line: &str) -> Result<(IpNet, Owner), String> {
    let fields: Vec<&str> = line.splitn(3, ',').map(str::trim).collect();
    let [prefix, asn, name] = fields[..] else {
        return Err(format!("`{line}` has {} of 3 fields", fields.len()));
    };
    let net: IpNet = match prefix.parse::<IpNet>() {
        Ok(net) => net.trunc(),
        Err(_) => prefix
            .parse::<IpAddr>()
            .map(IpNet::from)
            .map_err(|_| format!("`{prefix}` is no prefix"))?,
    };
    let name = match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => name.to_owned(),
    };
    let owner = Owner {
        asn: number(asn)?,
        name: inert(&name, NAME_LEN_MAX),
        prefix: net.to_string(),
    };
    Ok((net, owner))
}

/// `64511`, `AS64511`, or nothing.
fn number(text: &str) -> Result<Option<u32>, String> {
    let digits = text
        .strip_prefix("AS")
        .or_else(|| text.strip_prefix("as"))
        .unwrap_or(text);
    if digits.is_empty() {
        return Ok(None);
    }
    match digits.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(format!("`{text}` is no AS number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner_of(table: &str, address: &str) -> Option<String> {
        let owners = Owners::parse(table.as_bytes().to_vec()).unwrap();
        owners
            .owner(address.parse().unwrap())
            .map(|o| o.to_string())
    }

    #[test]
    fn the_longest_prefix_wins() {
        let table = "prefix,asn,owner\n\
            198.51.100.0/24,AS64500,Wide\n\
            198.51.100.128/25,64501,\"Narrow, \"\"Inc\"\"\"\n\
            2001:db8::/32,,Six, without number\n\
            203.0.113.9,64502,\n";
        let of = |address| owner_of(table, address);
        assert_eq!(of("198.51.100.1").as_deref(), Some("AS64500 Wide"));
        assert_eq!(
            of("198.51.100.200").as_deref(),
            Some("AS64501 Narrow, \"Inc\"")
        );
        assert_eq!(of("2001:db8::1").as_deref(), Some("Six, without number"));
        assert_eq!(of("203.0.113.9").as_deref(), Some("AS64502"));
        assert_eq!(of("192.0.2.1"), None);
    }

    #[test]
    fn what_is_no_table_says_where() {
        let problem = |text: &str| Owners::parse(text.into()).unwrap_err().to_string();
        assert!(problem("").contains("header"));
        assert!(problem("a,b\n").contains("header"));
        assert!(problem("prefix,asn,owner\n\nnonsense,1,x\n").starts_with("line 3"));
        assert!(problem("prefix,asn,owner\n192.0.2.0/24,ASX,x\n").contains("ASX"));
        assert!(problem("prefix,asn,owner\n192.0.2.0/24\n").contains("1 of 3 fields"));
        assert!(Owners::parse(vec![0xff, 0xfe]).is_err());
    }

    #[test]
    fn no_table_knows_nobody() {
        assert_eq!(Owners::default().owner("192.0.2.1".parse().unwrap()), None);
    }
}
