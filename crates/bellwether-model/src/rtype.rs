//! Record types by name, as people write them.

/// Types by number (IANA, "Domain Name System (DNS) Parameters"): those that can be asked for.
const TYPES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (13, "HINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (25, "KEY"),
    (28, "AAAA"),
    (29, "LOC"),
    (33, "SRV"),
    (35, "NAPTR"),
    (37, "CERT"),
    (39, "DNAME"),
    (42, "APL"),
    (43, "DS"),
    (44, "SSHFP"),
    (45, "IPSECKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (49, "DHCID"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (55, "HIP"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (61, "OPENPGPKEY"),
    (62, "CSYNC"),
    (63, "ZONEMD"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (99, "SPF"),
    (256, "URI"),
    (257, "CAA"),
];

/// The name of a type, from its name in any case or from `TYPE257` (RFC 3597 section 5).
#[must_use]
pub fn typed(text: &str) -> Option<String> {
    let upper = text.to_ascii_uppercase();
    if TYPES.iter().any(|(_, name)| *name == upper) {
        return Some(upper);
    }
    let digits = upper.strip_prefix("TYPE")?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u16 = digits.parse().ok()?;
    let known = TYPES.iter().find(|(n, _)| *n == number);
    Some(known.map_or_else(|| format!("TYPE{number}"), |(_, name)| (*name).to_owned()))
}
