//! The head of a response.

use bellwether_model::text::{inert, inert_bytes};

/// Most header lines of one head; browsers take some 250, servers send 10 to 40.
const HEADERS_MAX: usize = 128;
/// Longest header value that is shown, characters.
const VALUE_LEN_MAX: usize = 1024;
/// Longest header name that is shown, characters.
const NAME_LEN_MAX: usize = 128;

/// A parsed head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) version: String,
    /// Names and values as they came.
    raw: Vec<(String, Vec<u8>)>,
}

/// How the length of a body is known (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Chunked,
    Length(u64),
    UntilClose,
    /// Lengths that contradict each other or are no numbers.
    Wrong,
}

impl Head {
    /// Parses a head that ends where `bytes` end.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err("the head has no end".to_owned()),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(format!("more than {HEADERS_MAX} header lines"));
            }
            Err(error) => return Err(error.to_string()),
        }
        let raw = response
            .headers
            .iter()
            .map(|h| (h.name.to_owned(), h.value.to_vec()))
            .collect();
        Ok(Self {
            status: response.code.unwrap_or_default(),
            version: format!("HTTP/1.{}", response.version.unwrap_or_default()),
            raw,
        })
    }

    /// A head that came in another form than text.
    pub(crate) fn of(status: u16, version: &str, raw: Vec<(String, Vec<u8>)>) -> Self {
        Self {
            status,
            version: version.to_owned(),
            raw,
        }
    }

    /// The headers as they are shown.
    pub(crate) fn shown(&self) -> Vec<(String, String)> {
        let shown = |(name, value): &(String, Vec<u8>)| {
            (inert(name, NAME_LEN_MAX), inert_bytes(value, VALUE_LEN_MAX))
        };
        self.raw.iter().map(shown).collect()
    }

    /// The values of all lines with this name.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.raw
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    pub(crate) fn framing(&self) -> Framing {
        if self.status == 204 || self.status == 304 {
            return Framing::None;
        }
        let codings = self.tokens("transfer-encoding");
        if let Some(last) = codings.last() {
            // Transfer-Encoding wins over Content-Length, as in browsers (RFC 9112 section 6.3).
            return if last.eq_ignore_ascii_case("chunked") {
                Framing::Chunked
            } else {
                Framing::UntilClose
            };
        }
        let lengths = self.tokens("content-length");
        let Some(first) = lengths.first() else {
            return Framing::UntilClose;
        };
        let is_number = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
        match first.parse() {
            Ok(length) if is_number && lengths.iter().all(|l| l == first) => {
                Framing::Length(length)
            }
            _ => Framing::Wrong,
        }
    }

    /// Is the body one that goes on until the client leaves: events, or pictures one by one?
    pub(crate) fn is_stream(&self) -> bool {
        let kinds: [&[u8]; 2] = [b"text/event-stream", b"multipart/x-mixed-replace"];
        let value = self.values("content-type").next().unwrap_or_default();
        let value = value.trim_ascii_start().to_ascii_lowercase();
        kinds.iter().any(|kind| value.starts_with(kind))
    }

    /// What is odd about how the length is announced: an intermediary that reads it differently
    /// sees another message (request smuggling, RFC 9112 section 11.2).
    pub(crate) fn oddity(&self) -> Option<String> {
        let lengths = self.tokens("content-length");
        let first = lengths.first()?;
        if self.framing() == Framing::Wrong {
            let shown = inert(&lengths.join(", "), 64);
            return Some(format!("Content-Length is `{shown}`"));
        }
        if !self.tokens("transfer-encoding").is_empty() {
            let shown = inert(first, 64);
            return Some(format!(
                "Content-Length `{shown}` stands beside Transfer-Encoding, which counts"
            ));
        }
        None
    }

    /// The members of a list header, over all of its lines (RFC 9110 section 5.6.1).
    pub(crate) fn tokens(&self, name: &str) -> Vec<String> {
        let joined: Vec<_> = self
            .values(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect();
        let members = joined.iter().flat_map(|value| value.split(','));
        members.map(|member| member.trim().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(headers: &str) -> Framing {
        let text = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
        Head::parse(text.as_bytes()).unwrap().framing()
    }

    #[test]
    fn lengths() {
        assert_eq!(framing(""), Framing::UntilClose);
        assert_eq!(framing("Content-Length: 5\r\n"), Framing::Length(5));
        assert_eq!(framing("Content-Length: 5, 5\r\n"), Framing::Length(5));
        for wrong in ["-1", "+5", "5x", "", "5, 6", "10000000000000000000000"] {
            assert_eq!(
                framing(&format!("Content-Length: {wrong}\r\n")),
                Framing::Wrong,
                "{wrong}"
            );
        }
        let both = "Content-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n";
        assert_eq!(framing(both), Framing::Chunked);
        assert_eq!(framing("Transfer-Encoding: x\r\n"), Framing::UntilClose);
    }

    #[test]
    fn odd_lengths_are_named() {
        let oddity = |headers: &str| {
            let text = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
            Head::parse(text.as_bytes()).unwrap().oddity()
        };
        assert_eq!(oddity("Content-Length: 5\r\n"), None);
        assert_eq!(oddity("Transfer-Encoding: chunked\r\n"), None);
        let two = "Content-Length: 5\r\nContent-Length: 6\r\n";
        assert_eq!(oddity(two).as_deref(), Some("Content-Length is `5, 6`"));
        let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
        assert!(oddity(both).unwrap().contains("beside Transfer-Encoding"));
    }

    #[test]
    fn what_is_no_head() {
        for bad in [
            "HTTP/0.9 200 OK\r\n\r\n",
            "HTTP/1.1 99999 X\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n",
        ] {
            assert!(Head::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(129));
        assert!(Head::parse(many.as_bytes()).is_err());
    }
}
