//! At which octet does a record stop to be readable?
//!
//! Asked only of records that could not be read, so that a complaint says where to look.

/// Octets of a record between its owner and its data: type, class, TTL and length (RFC 1035 section
/// 4.1.3).
const FIXED_LEN: usize = 10;
/// Longest name on the wire (RFC 1035 section 2.3.4).
const NAME_LEN_MAX: usize = 255;

/// The octet at which the record that begins at `from` breaks: that of its owner, its length field,
/// or its data.
pub(super) fn record(bytes: &[u8], from: usize) -> usize {
    let fixed = match owner_end(bytes, from) {
        Ok(end) => end,
        Err(at) => return at,
    };
    let data = fixed + FIXED_LEN;
    let Some(len) = bytes.get(data - 2..data) else {
        return bytes.len();
    };
    let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
    if data + len > bytes.len() {
        return data - 2;
    }
    data
}

/// Where a name that begins at `from` ends; `Err` is the octet at which it breaks. A pointer leads to
/// an earlier name, and ends this one.
fn owner_end(bytes: &[u8], from: usize) -> Result<usize, usize> {
    let mut at = from;
    let mut end = None;
    let mut len = 0;
    loop {
        let octet = *bytes.get(at).ok_or(bytes.len())?;
        match octet {
            0 => return Ok(end.unwrap_or(at + 1)),
            1..=63 => {
                len += usize::from(octet) + 1;
                if len >= NAME_LEN_MAX {
                    return Err(end.map_or(at, |end| end - 2));
                }
                at += usize::from(octet) + 1;
            }
            0xc0.. => {
                let low = *bytes.get(at + 1).ok_or(bytes.len())?;
                let to = usize::from(u16::from_be_bytes([octet & 0x3f, low]));
                end = end.or(Some(at + 2));
                // Only backwards, so that it ends.
                if to >= at {
                    return Err(at);
                }
                at = to;
            }
            // Neither a length nor a pointer (RFC 1035 section 4.1.4).
            64..=191 => return Err(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header, then a name.
    const BEFORE: [u8; 17] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'a', 1, b'b', 0];

    fn breaks(record_octets: &[u8]) -> usize {
        record(&[&BEFORE[..], record_octets].concat(), BEFORE.len()) - BEFORE.len()
    }

    #[test]
    fn the_octet_at_which_it_breaks() {
        let fixed = |len: u8| [0, 1, 0, 1, 0, 0, 0, 60, 0, len];
        // Data too short for its type; a length beyond the end; a head that is cut.
        assert_eq!(
            breaks(&[&[0xc0, 12][..], &fixed(3), &[1, 2, 3]].concat()),
            12
        );
        assert_eq!(breaks(&[&[0xc0, 12][..], &fixed(9), &[1, 2]].concat()), 10);
        assert_eq!(breaks(&[0xc0, 12, 0, 1]), 4);
        // Pointers to themselves and forwards, and what is no length.
        assert_eq!(breaks(&[1, b'x', 0xc0, 19]), 2);
        assert_eq!(breaks(&[0xff, 0xff]), 0);
        assert_eq!(breaks(&[1, b'x', 64]), 2);
        let label = [&[63][..], &[b'a'; 63]].concat();
        assert_eq!(breaks(&label.repeat(5)), 192);
    }

    #[test]
    fn no_bytes_keep_it_busy() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..5_000 {
            let octets: Vec<u8> = (0..random.usize(..80)).map(|_| random.u8(..)).collect();
            let from = random.usize(..=octets.len());
            assert!(record(&octets, from) <= octets.len().max(from));
        }
    }
}
