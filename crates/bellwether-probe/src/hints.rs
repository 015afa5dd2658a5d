//! Where the walk begins: root hints and the root's trust anchor.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bellwether_model::DnsName;
use bellwether_model::dns::Record;
use bellwether_model::job::RootHint;

/// The root name servers as InterNIC's hints file of 2025 has them: name, IPv4, IPv6.
const SHIPPED: [(&str, &str, &str); 13] = [
    ("a", "198.41.0.4", "2001:503:ba3e::2:30"),
    ("b", "170.247.170.2", "2801:1b8:10::b"),
    ("c", "192.33.4.12", "2001:500:2::c"),
    ("d", "199.7.91.13", "2001:500:2d::d"),
    ("e", "192.203.230.10", "2001:500:a8::e"),
    ("f", "192.5.5.241", "2001:500:2f::f"),
    ("g", "192.112.36.4", "2001:500:12::d0d"),
    ("h", "198.97.190.53", "2001:500:1::53"),
    ("i", "192.36.148.17", "2001:7fe::53"),
    ("j", "192.58.128.30", "2001:503:c27::2:30"),
    ("k", "193.0.14.129", "2001:7fd::1"),
    ("l", "199.7.83.42", "2001:500:9f::42"),
    ("m", "202.12.27.33", "2001:dc3::35"),
];

/// The root's key signing keys of 2017 and 2024 as IANA publishes their digests: tag, digest.
const SHIPPED_ANCHOR: [(u16, &str); 2] = [
    (
        20326,
        "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    ),
    (
        38696,
        "683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
    ),
];

/// Most root name servers taken from a file: the root has 13.
const HINTS_MAX: usize = 64;

/// Why a text holds no hints or no anchor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HintsError {
    /// A line that cannot be read.
    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A record that is no trust anchor.
    #[error("{0}")]
    Anchor(String),
    /// Nothing usable in it.
    #[error("{0}")]
    Empty(&'static str),
}

/// The hints that the program brings along.
#[must_use]
pub fn shipped_hints() -> Vec<RootHint> {
    let hint = |(letter, v4, v6): (&str, &str, &str)| RootHint {
        name: DnsName::typed(&format!("{letter}.root-servers.net"))
            .expect("a constant name is well formed"),
        addresses: [v4, v6]
            .map(|a| a.parse().expect("a constant address is well formed"))
            .to_vec(),
    };
    SHIPPED.map(hint).to_vec()
}

/// The trust anchor that the program brings along: both keys are RSA/SHA-256, the digests SHA-256.
#[must_use]
pub fn shipped_anchor() -> Vec<Record> {
    let record = |(tag, digest): (u16, &str)| Record {
        name: DnsName::root(),
        ttl: 0,
        rtype: "DS".to_owned(),
        data: format!("{tag} 8 2 {digest}"),
    };
    SHIPPED_ANCHOR.map(record).to_vec()
}

/// Reads a hints file as InterNIC publishes it: NS records of the root, and the addresses of the
/// names they give.
///
/// # Errors
/// If a line cannot be read, or no root name server has an address.
pub fn parse_hints(text: &str) -> Result<Vec<RootHint>, HintsError> {
    let mut names: Vec<DnsName> = Vec::new();
    let mut addresses: BTreeMap<DnsName, Vec<IpAddr>> = BTreeMap::new();
    for record in records(text)? {
        match (record.rtype.as_str(), record.target(), record.address()) {
            ("NS", Some(name), _) if record.name.is_root() => names.push(name),
            (_, _, Some(address)) => addresses.entry(record.name).or_default().push(address),
            _ => {}
        }
    }
    names.sort();
    names.dedup();
    names.truncate(HINTS_MAX);
    let hint = |name: DnsName| {
        let addresses = addresses.remove(&name)?;
        Some(RootHint { name, addresses })
    };
    let hints: Vec<RootHint> = names.into_iter().filter_map(hint).collect();
    if hints.is_empty() {
        return Err(HintsError::Empty(
            "no NS record of the root whose name has an address; a hints file has lines like \
             `. 3600000 NS a.root-servers.net.` and `a.root-servers.net. 3600000 A 198.41.0.4`",
        ));
    }
    Ok(hints)
}

/// Reads the root's trust anchor: DS or DNSKEY records as `dig . DNSKEY` prints them or unbound's
/// `root.key` holds them. `none` alone switches validation off and gives no record.
///
/// # Errors
/// If a line cannot be read, or no DS or DNSKEY record of the root is in it.
pub fn parse_trust_anchor(text: &str) -> Result<Vec<Record>, HintsError> {
    if text.trim() == "none" {
        return Ok(Vec::new());
    }
    let mut anchors = records(text)?;
    anchors.retain(|r| r.name.is_root() && matches!(r.rtype.as_str(), "DS" | "DNSKEY"));
    for anchor in &anchors {
        check_anchor(anchor).map_err(HintsError::Anchor)?;
    }
    if anchors.is_empty() {
        return Err(HintsError::Empty(
            "no DS or DNSKEY record of the root; `dig . DNSKEY` prints them",
        ));
    }
    Ok(anchors)
}

/// A DS is `tag algorithm digest-type hex`, a DNSKEY `flags 3 algorithm base64` (RFC 4034
/// sections 5.3 and 2.2).
fn check_anchor(anchor: &Record) -> Result<(), String> {
    let fields: Vec<&str> = anchor.data.split_ascii_whitespace().collect();
    let (numbers, rest) = fields.split_at(fields.len().min(3));
    let are_numbers = numbers.len() == 3 && numbers.iter().all(|n| n.parse::<u16>().is_ok());
    let rest = rest.concat();
    let is_data = |c: char| match anchor.rtype.as_str() {
        "DS" => c.is_ascii_hexdigit(),
        _ => c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='),
    };
    if are_numbers && !rest.is_empty() && rest.chars().all(is_data) {
        Ok(())
    } else {
        Err(format!("`{}` is no {}", anchor.data, anchor.rtype))
    }
}

/// Records of a zone file without directives: owner, TTL and class (either may be left out), type,
/// data; comments, and parentheses around data that spans lines (RFC 1035 section 5.1).
fn records(text: &str) -> Result<Vec<Record>, HintsError> {
    let mut records = Vec::new();
    let mut pending = String::new();
    let mut depth = 0_usize;
    for (index, line) in text.lines().enumerate() {
        let line = line.split(';').next().unwrap_or_default();
        for c in line.chars() {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                c => pending.push(c),
            }
        }
        pending.push(' ');
        if depth > 0 {
            continue;
        }
        let entry = std::mem::take(&mut pending);
        if entry.trim().is_empty() {
            continue;
        }
        let parsed = record(&entry).map_err(|problem| HintsError::Line {
            line: index + 1,
            problem,
        })?;
        records.push(parsed);
    }
    Ok(records)
}

fn record(entry: &str) -> Result<Record, String> {
    let mut fields = entry.split_ascii_whitespace().peekable();
    let owner = fields.next().unwrap_or_default();
    let name = DnsName::presentation(owner).map_err(|e| e.to_string())?;
    let mut ttl = 0;
    while let Some(field) = fields.peek() {
        if let Ok(seconds) = field.parse() {
            ttl = seconds;
        } else if !field.eq_ignore_ascii_case("IN") {
            break;
        }
        fields.next();
    }
    let rtype = fields
        .next()
        .ok_or_else(|| format!("`{}` has no record type", entry.trim()))?
        .to_ascii_uppercase();
    let data: Vec<&str> = fields.collect();
    if data.is_empty() {
        return Err(format!("`{}` has no data", entry.trim()));
    }
    let data = data.join(" ");
    if matches!(rtype.as_str(), "A" | "AAAA") && data.parse::<IpAddr>().is_err() {
        return Err(format!("`{data}` is no address"));
    }
    Ok(Record {
        name,
        ttl,
        rtype,
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINTS: &str = ";  formerly NS.INTERNIC.NET\n\
        .                        3600000      NS    A.ROOT-SERVERS.NET.\n\
        A.ROOT-SERVERS.NET.      3600000      A     198.41.0.4\n\
        A.ROOT-SERVERS.NET.      3600000      AAAA  2001:503:ba3e::2:30\n\
        ; and another\n\
        .   IN 3600000 NS b.root-servers.net.\n\
        b.root-servers.net. 3600000 IN A 170.247.170.2\n\
        . 3600000 NS lost.root-servers.net.\n; End of file\n";

    #[test]
    fn hints_of_internic() {
        let hints = parse_hints(HINTS).unwrap();
        assert_eq!(hints.len(), 2);
        assert_eq!(hints[0].name.as_str(), "a.root-servers.net.");
        assert_eq!(hints[0].addresses.len(), 2);
        assert_eq!(
            hints[1].addresses,
            ["170.247.170.2".parse::<IpAddr>().unwrap()]
        );
    }

    #[test]
    fn shipped_hints_are_whole() {
        let hints = shipped_hints();
        assert_eq!(hints.len(), 13);
        assert!(hints.iter().all(|h| h.addresses.len() == 2));
    }

    #[test]
    fn what_is_no_hints_file_says_where() {
        let problem = |text: &str| parse_hints(text).unwrap_err().to_string();
        assert!(problem("").contains("no NS record"));
        assert!(problem(". 1 NS a.root-servers.net.\n").contains("has an address"));
        assert!(problem("\n. 1 NS\n").starts_with("line 2"));
        assert!(problem("a. 1 A nowhere\n").contains("nowhere"));
    }

    #[test]
    fn trust_anchors() {
        let ds = ". 86400 IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";
        assert_eq!(parse_trust_anchor(ds).unwrap()[0].rtype, "DS");
        let unbound = "; autotrust trust anchor file\n;;id: . 1\n\
            .\t86400\tIN\tDNSKEY\t257 3 8 AwEAAaz/tAm8 ;{id = 20326 (ksk), size = 2048b} ;;state=2\n";
        assert_eq!(parse_trust_anchor(unbound).unwrap().len(), 1);
        let folded = ". IN DNSKEY 257 3 13 (\n AwEAAaz/\n tAm8 ) ; KSK\n";
        assert_eq!(
            parse_trust_anchor(folded).unwrap()[0].data,
            "257 3 13 AwEAAaz/ tAm8"
        );
        assert_eq!(parse_trust_anchor("none\n").unwrap(), []);
        for bad in [
            "",
            ". IN NS a.",
            ". DS 1 2 zz",
            "test. DS 1 8 2 ab",
            ". DS 1 8 2 xyz",
        ] {
            assert!(parse_trust_anchor(bad).is_err(), "{bad} was taken");
        }
    }
}
