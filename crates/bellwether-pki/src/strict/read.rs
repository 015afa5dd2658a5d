//! DER as it must be (X.690 sections 10 and 11): one encoding for each value.

use crate::der::{Element, Reader};

/// Nesting of constructed values. Certificates need about ten levels.
const DEPTH_MAX: usize = 32;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// What cannot be read, in words.
pub(super) type Complaint = String;

/// Reads elements and insists on what they are.
pub(super) struct Strict<'a> {
    reader: Reader<'a>,
    what: &'static str,
}

impl<'a> Strict<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        let reader = Reader::new(bytes);
        Self { reader, what }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.reader.is_at_end()
    }

    pub(super) fn any(&mut self) -> Result<Element<'a>, Complaint> {
        let element = self.reader.element();
        element.ok_or_else(|| format!("{} is cut off", self.what))
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn tagged(&mut self, tag: u8) -> Result<&'a [u8], Complaint> {
        let element = self.any()?;
        if element.tag == tag {
            return Ok(element.content);
        }
        let found = element.tag;
        Err(format!(
            "{} has the tag {found:#04x} where {tag:#04x} belongs",
            self.what
        ))
    }

    /// The content of the next element if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Complaint> {
        if self.reader.next_tag() == Some(tag) {
            return self.tagged(tag).map(Some);
        }
        Ok(None)
    }

    pub(super) fn end(&self) -> Result<(), Complaint> {
        if self.is_at_end() {
            return Ok(());
        }
        Err(format!("{} has something behind its end", self.what))
    }

    /// The one element that the bytes hold.
    pub(super) fn only(
        bytes: &'a [u8],
        tag: u8,
        what: &'static str,
    ) -> Result<&'a [u8], Complaint> {
        let mut reader = Self::new(bytes, what);
        let content = reader.tagged(tag)?;
        reader.end()?;
        Ok(content)
    }
}

/// Is it DER: definite lengths, as short as can be, nothing left over inside?
pub(super) fn check(bytes: &[u8]) -> Result<(), Complaint> {
    check_level(bytes, 0)
}

fn check_level(bytes: &[u8], depth: usize) -> Result<(), Complaint> {
    if depth > DEPTH_MAX {
        return Err(format!("values are nested more than {DEPTH_MAX} deep"));
    }
    let mut reader = Strict::new(bytes, "the encoding");
    while !reader.is_at_end() {
        let element = reader.any()?;
        let head = &element.whole[..element.whole.len() - element.content.len()];
        if !is_shortest(head, element.content.len()) {
            return Err("a length is not in its shortest form".to_owned());
        }
        match element.tag {
            BOOLEAN if !matches!(element.content, [0x00 | 0xff]) => {
                return Err("a truth value is neither 0x00 nor 0xff".to_owned());
            }
            INTEGER if !is_shortest_integer(element.content) => {
                return Err("an integer is not in its shortest form".to_owned());
            }
            _ => {}
        }
        if element.tag & 0x20 != 0 {
            check_level(element.content, depth + 1)?;
        }
    }
    Ok(())
}

fn is_shortest(head: &[u8], len: usize) -> bool {
    match head {
        [_, _] => true,
        [_, _, first, ..] => *first != 0 && len > 0x7f,
        _ => false,
    }
}

fn is_shortest_integer(content: &[u8]) -> bool {
    match content {
        [] => false,
        [0x00, second, ..] => second & 0x80 != 0,
        [0xff, second, ..] => second & 0x80 == 0,
        [..] => true,
    }
}

/// A small integer that is not negative.
pub(super) fn small(content: &[u8]) -> Option<u32> {
    match content {
        [first, ..] if first & 0x80 == 0 && content.len() <= 4 => Some(
            content
                .iter()
                .fold(0, |value, byte| (value << 8) | u32::from(*byte)),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_encoding_is_taken() {
        for (bytes, fits) in [
            (&[0x30, 0x03, 0x02, 0x01, 0x05][..], true),
            (&[0x30, 0x81, 0x03, 0x02, 0x01, 0x05], false),
            (&[0x30, 0x80, 0x02, 0x01, 0x05, 0x00, 0x00], false),
            (&[0x30, 0x04, 0x02, 0x02, 0x00, 0x05], false),
            (&[0x30, 0x03, 0x01, 0x01, 0x01], false),
            (&[0x30, 0x05, 0x02, 0x01, 0x05], false),
        ] {
            assert_eq!(check(bytes).is_ok(), fits, "{bytes:x?}");
        }
        let nested = vec![0x30; 200];
        assert!(check(&nested).is_err());
    }

    #[test]
    fn small_integers() {
        assert_eq!(small(&[5]), Some(5));
        assert_eq!(small(&[0x01, 0x00]), Some(256));
        assert_eq!(small(&[0xff]), None);
        assert_eq!(small(&[1, 2, 3, 4, 5]), None);
        assert_eq!(small(&[]), None);
    }
}
