//! The skeleton of a certificate: where its parts lie, read without judging them.
//!
//! The parser of record is x509-parser; this walk serves what it cannot: raw parts for signature
//! checks, and whatever can still be told of a certificate that it refuses.

/// Tag of SEQUENCE.
const SEQUENCE: u8 = 0x30;
/// Tag of INTEGER.
const INTEGER: u8 = 0x02;
/// Tag of BIT STRING.
const BIT_STRING: u8 = 0x03;
/// Tag of `[0]`, constructed: the version.
const VERSION: u8 = 0xa0;

/// One element: tag, whole encoding, content.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) whole: &'a [u8],
    pub(crate) content: &'a [u8],
}

/// Reads elements one behind the other.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next element, if a whole one is there; definite lengths of at most four bytes only.
    pub(crate) fn element(&mut self) -> Option<Element<'a>> {
        let (&tag, &first) = (self.rest.first()?, self.rest.get(1)?);
        // Tags above 30 take further bytes; no part of a certificate has one.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (head, len) = match first {
            0..=0x7f => (2, usize::from(first)),
            0x81..=0x84 => {
                let digits = usize::from(first & 0x7f);
                let bytes = self.rest.get(2..2 + digits)?;
                let len = bytes
                    .iter()
                    .fold(0usize, |len, b| (len << 8) | usize::from(*b));
                (2 + digits, len)
            }
            _ => return None,
        };
        let whole = self.rest.get(..head.checked_add(len)?)?;
        self.rest = &self.rest[whole.len()..];
        Some(Element {
            tag,
            whole,
            content: &whole[head..],
        })
    }

    /// The tag of the next element, without taking it.
    pub(crate) fn next_tag(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn tagged(&mut self, tag: u8) -> Option<Element<'a>> {
        self.element().filter(|e| e.tag == tag)
    }
}

/// Where the parts of a certificate lie (RFC 5280 section 4.1). Names, keys and algorithms are the
/// *contents* of their SEQUENCE, as trust anchors have them too.
pub(crate) struct Skeleton<'a> {
    /// What is signed, with its header.
    pub(crate) tbs: &'a [u8],
    pub(crate) serial: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) validity: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) spki: &'a [u8],
    pub(crate) signature_algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> Skeleton<'a> {
    /// `None` if the bytes have not this shape.
    pub(crate) fn read(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(Reader::new(der).tagged(SEQUENCE)?.content);
        let tbs = outer.tagged(SEQUENCE)?;
        let signature_algorithm = outer.tagged(SEQUENCE)?.content;
        let signature = bits(outer.tagged(BIT_STRING)?.content)?;
        let mut inner = Reader::new(tbs.content);
        let mut first = inner.element()?;
        if first.tag == VERSION {
            first = inner.element()?;
        }
        if first.tag != INTEGER {
            return None;
        }
        inner.tagged(SEQUENCE)?;
        Some(Self {
            tbs: tbs.whole,
            serial: first.content,
            issuer: inner.tagged(SEQUENCE)?.content,
            validity: inner.tagged(SEQUENCE)?.content,
            subject: inner.tagged(SEQUENCE)?.content,
            spki: inner.tagged(SEQUENCE)?.content,
            signature_algorithm,
            signature,
        })
    }
}

/// Algorithm and key of the content of a SubjectPublicKeyInfo.
pub(crate) fn key_parts(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(spki);
    let algorithm = reader.tagged(SEQUENCE)?.content;
    let key = bits(reader.tagged(BIT_STRING)?.content)?;
    Some((algorithm, key))
}

/// A SEQUENCE around a content.
pub(crate) fn sequence(content: &[u8]) -> Vec<u8> {
    let mut out = vec![SEQUENCE];
    match u8::try_from(content.len()) {
        Ok(len) if len < 0x80 => out.push(len),
        _ => {
            // Contents come out of certificates, which are far below 2^32 bytes.
            let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
            out.push(0x84);
            out.extend(len.to_be_bytes());
        }
    }
    out.extend(content);
    out
}

/// The bytes of a BIT STRING without unused bits.
fn bits(content: &[u8]) -> Option<&[u8]> {
    match content.split_first() {
        Some((0, bytes)) => Some(bytes),
        _ => None,
    }
}
