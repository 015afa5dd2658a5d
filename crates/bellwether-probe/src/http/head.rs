//! The head of a response.

use bellwether_model::text::{inert, inert_bytes};

/// Most header lines of one head. Browsers count its bytes alone; servers send 10 to 40 lines.
const HEADERS_MAX: usize = 1024;
/// Longest header value that is shown, characters.
const VALUE_LEN_MAX: usize = 1024;
/// Longest header name that is shown, characters.
const NAME_LEN_MAX: usize = 128;

/// A parsed head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) version: String,
    /// Which rule it breaks in a way that browsers pass over.
    breaks: Option<String>,
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
    /// Parses a head that ends where `bytes` end: by the rules, else as browsers do, who pass over
    /// lines that are no headers. Folded lines and control characters are how one message is made to
    /// look like two: they stay wrong.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let error = match Self::read(bytes, &httparse::ParserConfig::default()) {
            Ok(head) => return Ok(head),
            Err(error) => error,
        };
        if bytes.split(|b| *b == b'\n').any(is_dangerous) {
            return Err(error);
        }
        let mut lenient = httparse::ParserConfig::default();
        lenient
            .allow_spaces_after_header_name_in_responses(true)
            .allow_multiple_spaces_in_response_status_delimiters(true)
            .ignore_invalid_headers_in_responses(true);
        match Self::read(bytes, &lenient) {
            Ok(head) => Ok(Self {
                breaks: Some(format!("the head breaks the rules: {error}")),
                ..head
            }),
            Err(_) => Err(error),
        }
    }

    fn read(bytes: &[u8], rules: &httparse::ParserConfig) -> Result<Self, String> {
        let lines = bytes.iter().filter(|b| **b == b'\n').count();
        let mut headers = vec![httparse::EMPTY_HEADER; lines.min(HEADERS_MAX)];
        let mut response = httparse::Response::new(&mut headers);
        // A later version of HTTP/1 reads as the one that we know (RFC 9110 section 2.5).
        let minor = bytes.strip_prefix(b"HTTP/1.").and_then(|rest| rest.first());
        let minor = minor.copied().filter(|minor| (b'2'..=b'9').contains(minor));
        let as_ours = minor.map(|_| [b"HTTP/1.1", &bytes[8..]].concat());
        match rules.parse_response(&mut response, as_ours.as_deref().unwrap_or(bytes)) {
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
            version: match minor {
                Some(minor) => format!("HTTP/1.{}", char::from(minor)),
                None => format!("HTTP/1.{}", response.version.unwrap_or_default()),
            },
            breaks: None,
            raw,
        })
    }

    /// A head that came in another form than text.
    pub(crate) fn of(status: u16, version: &str, raw: Vec<(String, Vec<u8>)>) -> Self {
        Self {
            status,
            version: version.to_owned(),
            breaks: None,
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

    /// Which rule it breaks in a way that browsers pass over.
    pub(crate) fn breaks(&self) -> Option<String> {
        self.breaks.clone()
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

/// Could readers disagree about where this line begins or ends?
fn is_dangerous(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_folded = line.first().is_some_and(|b| matches!(b, b' ' | b'\t'));
    is_folded || line.iter().any(|b| b.is_ascii_control() && *b != b'\t')
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
            "HTTP/1.1 200 OK\r\nA : b\r\nC: \x1b[2J\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\rC: d\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n",
        ] {
            assert!(Head::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let many = |n: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(n));
        assert!(Head::parse(many(HEADERS_MAX + 1).as_bytes()).is_err());
        let parsed = Head::parse(many(HEADERS_MAX).as_bytes()).unwrap();
        assert_eq!(parsed.raw.len(), HEADERS_MAX);
        assert_eq!(parsed.breaks(), None);
    }

    #[test]
    fn what_browsers_pass_over_is_noted() {
        for line in ["Content-Length : 5", "This is junk", ": x"] {
            let text = format!("HTTP/1.1 200 OK\r\n{line}\r\nX: y\r\n\r\n");
            let head = Head::parse(text.as_bytes()).unwrap();
            assert_eq!(head.values("x").count(), 1, "{line}");
            assert!(
                head.breaks().unwrap().contains("breaks the rules"),
                "{line}"
            );
        }
        assert_eq!(framing("Content-Length : 5\r\n"), Framing::Length(5));
        let head = Head::parse(b"HTTP/1.2 200 OK\r\nA: b\r\n\r\n").unwrap();
        assert_eq!((head.version.as_str(), head.status), ("HTTP/1.2", 200));
        assert_eq!(head.breaks(), None);
    }
}
