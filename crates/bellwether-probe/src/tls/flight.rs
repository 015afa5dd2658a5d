//! A server's first flight, read from its bytes: records, and the handshake messages in them.
//!
//! Every input has an answer, and what is kept is bounded; nothing is decrypted.

/// Longest record: 2^14 bytes, and what encryption may add (RFC 5246 section 6.2.3).
const RECORD_LEN_MAX: usize = (1 << 14) + 2048;
/// Longest message besides the certificates; OpenSSL's limit is of this order.
const MESSAGE_LEN_MAX: usize = 64 * 1024;
/// Longest list of certificates that is believed: above it, the length is no length.
const CHAIN_LEN_BELIEVED: usize = 8 * 1024 * 1024;
/// Bytes kept of certificates.
const CHAIN_KEPT_MAX: usize = 128 * 1024;
/// Certificates kept of a chain.
const CERTIFICATES_MAX: usize = 20;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const CERTIFICATE_REQUEST: u8 = 13;
const SERVER_HELLO_DONE: u8 = 14;
const SUPPORTED_VERSIONS: u16 = 43;

/// What a flight has told so far.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Bytes of a record that is not whole yet.
    pending: Vec<u8>,
    /// Bytes of a message that is not whole yet.
    message: Vec<u8>,
    /// What is left of a list of certificates that is being read.
    chain_left: usize,
    /// Bytes of a certificate that is not whole yet.
    certificate: Vec<u8>,
    kept: usize,
    /// Version and suite that the server chose.
    pub(super) chosen: Option<(u16, u16)>,
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) chain_len: usize,
    /// Bytes of the certificates, as announced.
    pub(super) chain_size: usize,
    pub(super) client_cert_requested: bool,
    pub(super) alert: Option<u8>,
    pub(super) malformed: Option<String>,
    /// Nothing more is to be had in clear.
    pub(super) is_over: bool,
}

impl Flight {
    /// Takes what came.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        while !self.is_over {
            let rest = &self.pending[at..];
            let [kind, major, _, high, low, body @ ..] = rest else {
                break;
            };
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            let (kind, major) = (*kind, *major);
            if !(20..=24).contains(&kind) || major != 3 {
                self.fail(format!("a record begins with {kind:02x} {major:02x}"));
                break;
            }
            if len > RECORD_LEN_MAX {
                self.fail(format!(
                    "a record announces {len} bytes, and at most {RECORD_LEN_MAX} are allowed"
                ));
                break;
            }
            let Some(body) = body.get(..len) else { break };
            let body = body.to_vec();
            at += 5 + len;
            self.record(kind, &body);
        }
        self.pending.drain(..at.min(self.pending.len()));
    }

    fn fail(&mut self, error: String) {
        self.malformed = Some(error);
        self.is_over = true;
    }

    fn record(&mut self, kind: u8, body: &[u8]) {
        match kind {
            ALERT => {
                // An encrypted one is longer than its two bytes.
                if let [_, code] = body {
                    self.alert = Some(*code);
                }
                self.is_over = true;
            }
            APPLICATION_DATA => self.is_over = true,
            HANDSHAKE => {
                let mut rest = body;
                while !rest.is_empty() && !self.is_over {
                    rest = self.handshake(rest);
                }
            }
            // A change of cipher, a heartbeat.
            _ => {}
        }
    }

    /// Takes a part of the messages; what is left for the next message is given back.
    fn handshake<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.chain_left > 0 {
            let len = bytes.len().min(self.chain_left);
            self.certificates(&bytes[..len]);
            return &bytes[len..];
        }
        let header = 4usize.saturating_sub(self.message.len()).min(bytes.len());
        self.message.extend_from_slice(&bytes[..header]);
        let bytes = &bytes[header..];
        let [kind, a, b, c, got @ ..] = self.message.as_slice() else {
            return bytes;
        };
        let len = number(&[*a, *b, *c]);
        let kind = *kind;
        if kind == CERTIFICATE {
            return self.begin_chain(len, bytes);
        }
        if len > MESSAGE_LEN_MAX {
            self.fail(format!("a handshake message announces {len} bytes"));
            return &[];
        }
        let missing = len.saturating_sub(got.len()).min(bytes.len());
        self.message.extend_from_slice(&bytes[..missing]);
        if self.message.len() == 4 + len {
            let message = std::mem::take(&mut self.message);
            self.whole(kind, &message[4..]);
        }
        &bytes[missing..]
    }

    /// The list of certificates has a length of its own before it (RFC 5246 section 7.4.2).
    fn begin_chain<'a>(&mut self, len: usize, bytes: &'a [u8]) -> &'a [u8] {
        let missing = 7usize.saturating_sub(self.message.len()).min(bytes.len());
        self.message.extend_from_slice(&bytes[..missing]);
        let bytes = &bytes[missing..];
        if len > CHAIN_LEN_BELIEVED {
            self.fail(format!("a handshake message announces {len} bytes"));
            return &[];
        }
        let [_, _, _, _, a, b, c] = self.message.as_slice() else {
            if len < 3 {
                self.fail("a list of certificates lacks its length".to_owned());
            }
            return bytes;
        };
        let announced = number(&[*a, *b, *c]);
        self.message.clear();
        if announced + 3 != len {
            self.fail(format!(
                "a list of {announced} bytes of certificates is announced in a message of {len}"
            ));
            return &[];
        }
        self.chain_size = announced;
        self.chain_left = announced;
        bytes
    }

    fn certificates(&mut self, bytes: &[u8]) {
        self.chain_left -= bytes.len();
        self.certificate.extend_from_slice(bytes);
        while let [a, b, c, rest @ ..] = self.certificate.as_slice() {
            let len = number(&[*a, *b, *c]);
            if len > rest.len() + self.chain_left {
                self.fail(format!(
                    "a certificate of {len} bytes is announced where {} are left",
                    rest.len() + self.chain_left
                ));
                return;
            }
            let Some(der) = rest.get(..len) else { break };
            let is_kept = self.chain.len() < CERTIFICATES_MAX && self.kept + len <= CHAIN_KEPT_MAX;
            if is_kept {
                self.kept += len;
                self.chain.push(der.to_vec());
            }
            self.chain_len += 1;
            self.certificate.drain(..3 + len);
        }
    }

    fn whole(&mut self, kind: u8, body: &[u8]) {
        match kind {
            SERVER_HELLO => match chosen(body) {
                Some((version, suite)) => {
                    self.chosen = Some((version, suite));
                    // What follows is encrypted.
                    self.is_over = version >= 0x0304;
                }
                None => self.fail("a ServerHello is cut short".to_owned()),
            },
            CERTIFICATE_REQUEST => self.client_cert_requested = true,
            SERVER_HELLO_DONE => self.is_over = true,
            _ => {}
        }
    }
}

fn number(bytes: &[u8; 3]) -> usize {
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

/// Version and suite of a ServerHello; from TLS 1.3 on the version stands in an extension
/// (RFC 8446 section 4.2.1).
fn chosen(body: &[u8]) -> Option<(u16, u16)> {
    let two = |bytes: &[u8], at: usize| -> Option<u16> {
        let two = bytes.get(at..at + 2)?;
        Some(u16::from_be_bytes([two[0], two[1]]))
    };
    let version = two(body, 0)?;
    let session = usize::from(*body.get(34)?);
    let suite = two(body, 35 + session)?;
    let mut extensions = body.get(35 + session + 3 + 2..).unwrap_or_default();
    while let (Some(number), Some(len)) = (two(extensions, 0), two(extensions, 2)) {
        let len = usize::from(len);
        if number == SUPPORTED_VERSIONS
            && let Some(version) = two(extensions, 4)
        {
            return Some((version, suite));
        }
        extensions = extensions.get(4 + len..).unwrap_or_default();
    }
    Some((version, suite))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind], &len[1..], body].concat()
    }

    fn records(messages: &[u8], len: usize) -> Vec<u8> {
        let record = |part: &[u8]| {
            let len = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&[HANDSHAKE, 3, 1], &len[..], part].concat()
        };
        messages.chunks(len).flat_map(record).collect()
    }

    fn server_hello(version: u16, extensions: &[u8]) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.extend([0, 0, 0x2f, 0]);
        if !extensions.is_empty() {
            body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
            body.extend(extensions);
        }
        message(SERVER_HELLO, &body)
    }

    fn certificates(sizes: &[usize]) -> Vec<u8> {
        let mut list = Vec::new();
        for size in sizes {
            list.extend(&u32::try_from(*size).unwrap().to_be_bytes()[1..]);
            list.extend(vec![0x30; *size]);
        }
        let len = u32::try_from(list.len()).unwrap().to_be_bytes();
        message(CERTIFICATE, &[&len[1..], &list].concat())
    }

    fn old_flight(sizes: &[usize]) -> Vec<u8> {
        [
            server_hello(0x0301, &[]),
            certificates(sizes),
            message(SERVER_HELLO_DONE, &[]),
        ]
        .concat()
    }

    #[test]
    fn a_flight_in_pieces() {
        let flight = old_flight(&[700, 900]);
        for len in [1, 7, 100, 10_000] {
            for piece in [1, 13, 100_000] {
                let mut told = Flight::default();
                for part in records(&flight, len).chunks(piece) {
                    assert!(!told.is_over);
                    told.take(part);
                }
                assert!(told.is_over);
                assert_eq!(told.chosen, Some((0x0301, 0x002f)));
                assert_eq!((told.chain_len, told.chain_size), (2, 1606));
                assert_eq!(told.chain[1].len(), 900);
                assert_eq!(told.malformed, None);
            }
        }
    }

    #[test]
    fn a_long_chain_is_counted_and_cut() {
        let mut told = Flight::default();
        told.take(&records(&old_flight(&[1000; 2000]), 16_000));
        assert_eq!((told.chain_len, told.chain_size), (2000, 2_006_000));
        assert_eq!(told.chain.len(), CERTIFICATES_MAX);
        assert!(told.is_over && told.malformed.is_none());
        assert!(told.certificate.capacity() < 64 * 1024);
    }

    #[test]
    fn tls_1_3_is_over_with_its_server_hello() {
        let mut told = Flight::default();
        told.take(&records(&server_hello(0x0303, &[0, 43, 0, 2, 3, 4]), 1000));
        assert_eq!(told.chosen, Some((0x0304, 0x002f)));
        assert!(told.is_over);
    }

    #[test]
    fn what_breaks_the_rules() {
        let long_record = vec![HANDSHAKE, 3, 3, 255, 255, 0];
        let long_message = records(&[2, 255, 255, 255, 0], 100);
        let long_chain = records(&[CERTIFICATE, 255, 255, 255, 0, 0, 0, 0], 100);
        let lying_list = records(&message(CERTIFICATE, &[0, 0, 9]), 100);
        let lying_certificate = records(&message(CERTIFICATE, &[0, 0, 3, 0, 0, 9]), 100);
        let short_hello = records(&message(SERVER_HELLO, &[3, 3]), 100);
        let short_list = records(&message(CERTIFICATE, &[0]), 100);
        let http = b"HTTP/1.1 400 Bad Request".to_vec();
        for bytes in [
            long_record,
            long_message,
            long_chain,
            lying_list,
            lying_certificate,
            short_hello,
            short_list,
            http,
        ] {
            let mut told = Flight::default();
            told.take(&bytes);
            assert!(told.is_over && told.malformed.is_some(), "{bytes:02x?}");
        }
    }

    /// No input panics, and what is kept stays bounded.
    #[test]
    fn any_bytes() {
        let mut random = fastrand::Rng::with_seed(7);
        let good = records(&old_flight(&[300, 10, 0]), 200);
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(random.usize(..=bytes.len()));
            let mut told = Flight::default();
            for part in bytes.chunks(random.usize(1..400)) {
                told.take(part);
            }
            assert!(told.pending.len() + told.message.len() < 100_000);
        }
    }
}
