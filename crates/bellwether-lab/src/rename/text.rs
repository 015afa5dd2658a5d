//! Names and addresses inside any text.

use std::net::IpAddr;

use ipnet::IpNet;

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Piece<'a> {
    Address(IpAddr),
    Net(IpNet),
    Word(&'a str),
}

/// A copy of a text with each address, network and word replaced; what stands between them stays.
pub(super) fn rewrite(text: &str, replace: &mut impl FnMut(Piece<'_>) -> String) -> String {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*' | ':');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(inside) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        match run.parse::<IpAddr>() {
            Ok(address) => {
                let (piece, len) = network(address, after);
                out.push_str(&replace(piece));
                rest = &after[len..];
            }
            Err(_) => words(run, &mut out, replace),
        }
    }
    out.push_str(rest);
    out
}

/// An address, or a network if a prefix length follows; with the octets that this takes.
fn network(address: IpAddr, after: &str) -> (Piece<'static>, usize) {
    let digits = |text: &str| {
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len())
    };
    if let Some(rest) = after.strip_prefix('/') {
        let len = digits(rest);
        let length = rest[..len].parse().ok();
        if let Some(net) = length.and_then(|length| IpNet::new(address, length).ok()) {
            return (Piece::Net(net.trunc()), len + 1);
        }
    }
    (Piece::Address(address), 0)
}

/// A run that is no address as a whole: host and port, for example.
fn words(run: &str, out: &mut String, replace: &mut impl FnMut(Piece<'_>) -> String) {
    for (index, word) in run.split(':').enumerate() {
        if index > 0 {
            out.push(':');
        }
        let piece = match word.parse::<IpAddr>() {
            Ok(address) => Piece::Address(address),
            Err(_) => Piece::Word(word),
        };
        if !word.is_empty() {
            out.push_str(&replace(piece));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = rewrite(text, &mut |piece| match piece {
            Piece::Address(a) => format!("<{a}>"),
            Piece::Net(n) => format!("({n})"),
            Piece::Word(w) => w.to_uppercase(),
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn pieces() {
        check("https://www.svc.test:8443/x", "HTTPS://WWW.SVC.TEST:8443/X");
        check("ns1.a.test.@192.0.2.1", "NS1.A.TEST.@<192.0.2.1>");
        check("[2001:db8::1]:443", "[<2001:db8::1>]:443");
        check("192.0.2.1:443", "<192.0.2.1>:443");
        check("10.1.0.0/16, ü", "(10.1.0.0/16), ü");
        check("tls://9.9.9.9", "TLS://<9.9.9.9>");
        check("2024-10-01T11:10:00Z", "2024-10-01T11:10:00Z");
    }
}
