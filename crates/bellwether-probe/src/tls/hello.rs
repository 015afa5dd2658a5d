//! ClientHellos written by hand, in the shapes that tell why a server does not answer the usual one.

use bellwether_model::tls::HelloKind;

/// Suites that current clients offer.
const CURRENT: [u16; 9] = [
    0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030,
];
/// Suites that they have dropped: CBC, key exchange without forward secrecy, 3DES, RC4.
const DROPPED: [u16; 22] = [
    0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc024, 0xc027, 0xc028, 0x009c, 0x009d, 0x002f, 0x0035,
    0x003c, 0x003d, 0x000a, 0xc012, 0x0033, 0x0039, 0x009e, 0x009f, 0x0016, 0x0005,
];
/// `TLS_EMPTY_RENEGOTIATION_INFO_SCSV` (RFC 5746 section 3.3).
const RENEGOTIATION: u16 = 0x00ff;
/// Bytes of a large ClientHello: as with an X25519MLKEM768 share, and more than the 1460 of an
/// Ethernet segment.
const LARGE_LEN: usize = 1800;

const SERVER_NAME: u16 = 0;
const GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURES: u16 = 13;
const ALPN: u16 = 16;
const PADDING: u16 = 21;
const EXTENDED_MASTER_SECRET: u16 = 23;
const VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

/// One record with one ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2); nothing, for
/// the kind that says nothing.
pub(super) fn hello(kind: HelloKind, server_name: Option<&str>, alpn: &[&[u8]]) -> Vec<u8> {
    if kind == HelloKind::Silent {
        return Vec::new();
    }
    let version: u16 = match kind {
        HelloKind::Small
        | HelloKind::Large
        | HelloKind::WithoutAlpn
        | HelloKind::Tls12
        | HelloKind::Silent => 0x0303,
        HelloKind::Tls11 => 0x0302,
        HelloKind::Tls10 => 0x0301,
        HelloKind::Ssl3 => 0x0300,
    };
    let mut body = version.to_be_bytes().to_vec();
    body.extend(random());
    let is_modern = matches!(
        kind,
        HelloKind::Small | HelloKind::Large | HelloKind::WithoutAlpn
    );
    let session = if is_modern {
        random().to_vec()
    } else {
        Vec::new()
    };
    short(&mut body, &session);
    let mut suites: Vec<u16> = CURRENT.to_vec();
    if !is_modern {
        // Those of TLS 1.3 mean nothing below it.
        suites.retain(|suite| suite >> 8 != 0x13);
        suites.extend(DROPPED);
        suites.push(RENEGOTIATION);
    }
    long(&mut body, &numbers(&suites));
    // No compression.
    short(&mut body, &[0]);
    if kind != HelloKind::Ssl3 {
        let alpn = if kind == HelloKind::WithoutAlpn {
            &[]
        } else {
            alpn
        };
        let mut extensions = extensions(is_modern, server_name, alpn);
        if kind == HelloKind::Large {
            // Headers of record, message, extension list and padding stand around it.
            let len = LARGE_LEN.saturating_sub(5 + 4 + body.len() + 2 + extensions.len() + 4);
            extension(&mut extensions, PADDING, &vec![0; len]);
        }
        long(&mut body, &extensions);
    }
    let mut message = vec![1, 0];
    long(&mut message, &body);
    // Old servers refuse records of later versions (RFC 8446 section 5.1).
    let mut record = vec![22, 3, u8::from(kind != HelloKind::Ssl3)];
    long(&mut record, &message);
    record
}

fn extensions(is_modern: bool, server_name: Option<&str>, alpn: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::new();
    if let Some(name) = server_name {
        let mut entry = vec![0];
        long(&mut entry, name.as_bytes());
        extension(&mut all, SERVER_NAME, &listed(&entry));
    }
    extension(&mut all, EXTENDED_MASTER_SECRET, &[]);
    let groups = numbers(&[0x001d, 0x0017, 0x0018, 0x0019]);
    extension(&mut all, GROUPS, &listed(&groups));
    extension(&mut all, POINT_FORMATS, &[1, 0]);
    let mut schemes = vec![
        0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0807,
    ];
    if !is_modern {
        // SHA-1.
        schemes.extend([0x0203, 0x0201, 0x0202]);
    }
    extension(&mut all, SIGNATURES, &listed(&numbers(&schemes)));
    if !alpn.is_empty() {
        let mut names = Vec::new();
        for name in alpn {
            short(&mut names, name);
        }
        extension(&mut all, ALPN, &listed(&names));
    }
    if is_modern {
        let mut versions = Vec::new();
        short(&mut versions, &numbers(&[0x0304, 0x0303]));
        extension(&mut all, VERSIONS, &versions);
        // Any 32 bytes are a public key of X25519 (RFC 7748 section 5).
        let mut share = 0x001du16.to_be_bytes().to_vec();
        long(&mut share, &random());
        extension(&mut all, KEY_SHARE, &listed(&share));
    }
    all
}

fn extension(all: &mut Vec<u8>, number: u16, content: &[u8]) {
    all.extend(number.to_be_bytes());
    long(all, content);
}

fn listed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    long(&mut out, content);
    out
}

fn numbers(all: &[u16]) -> Vec<u8> {
    all.iter().flat_map(|n| n.to_be_bytes()).collect()
}

/// Behind its length in one byte.
fn short(out: &mut Vec<u8>, content: &[u8]) {
    let len = u8::try_from(content.len()).expect("parts of a ClientHello are short");
    out.push(len);
    out.extend(content);
}

/// Behind its length in two bytes.
fn long(out: &mut Vec<u8>, content: &[u8]) {
    let len = u16::try_from(content.len()).expect("a ClientHello is short");
    out.extend(len.to_be_bytes());
    out.extend(content);
}

fn random() -> [u8; 32] {
    std::array::from_fn(|_| fastrand::u8(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [HelloKind; 7] = [
        HelloKind::Small,
        HelloKind::Large,
        HelloKind::WithoutAlpn,
        HelloKind::Tls12,
        HelloKind::Tls11,
        HelloKind::Tls10,
        HelloKind::Ssl3,
    ];

    #[test]
    fn lengths_fit() {
        for kind in ALL {
            let long_name = "a".repeat(250);
            for name in [None, Some("www.svc.test"), Some(long_name.as_str())] {
                let record = hello(kind, name, &[b"h2", b"http/1.1"]);
                assert_eq!(
                    record.len(),
                    5 + usize::from(record[3]) * 256 + usize::from(record[4])
                );
                assert_eq!(record[6], 0);
                assert_eq!(
                    record.len(),
                    9 + usize::from(record[7]) * 256 + usize::from(record[8])
                );
                let is_large = kind == HelloKind::Large;
                assert_eq!(record.len() > 1460, is_large, "{kind:?}");
                assert_eq!(record.len() == LARGE_LEN, is_large);
            }
        }
    }
}
