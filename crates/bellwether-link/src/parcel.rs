//! Deliveries in parts: JSON, compressed, in pieces that fit into frames.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_model::link::{DELIVERY_LEN_MAX, Delivery, ToHub};

/// Bytes of one part: in base64, with the words around it, they fit into a frame.
const PART_LEN: usize = 512 * 1024;
/// Bytes of one part of what is shorter: on a slow line each takes seconds, and what else is to be said
/// waits behind one of them.
const PART_LEN_MIN: usize = 32 * 1024;
/// Parts of one delivery, at most: what is longest does not shrink by being compressed.
const PARTS_MAX: usize = DELIVERY_LEN_MAX / PART_LEN + 1;
/// Half of what it could be made smaller costs a tenth of the time.
const LEVEL: i32 = 1;

/// Why a delivery cannot be packed, or what came is none.
#[derive(Debug, thiserror::Error)]
pub enum ParcelError {
    /// It is too long.
    #[error("a delivery of more than {DELIVERY_LEN_MAX} bytes")]
    TooLong,
    /// Parts are missing, or stand where they do not belong.
    #[error("part {part} of {parts} of delivery {number} comes out of turn")]
    OutOfTurn {
        /// The number of the delivery.
        number: u64,
        /// The part.
        part: u32,
        /// How many there are.
        parts: u32,
    },
    /// It cannot be unpacked.
    #[error("a delivery that cannot be unpacked: {0}")]
    Content(String),
}

/// A delivery as it is spooled, and cut into parts.
///
/// # Errors
/// It is too long.
pub fn pack(delivery: &Delivery) -> Result<Vec<u8>, ParcelError> {
    let json = serde_json::to_vec(delivery).map_err(content)?;
    if json.len() > DELIVERY_LEN_MAX {
        return Err(ParcelError::TooLong);
    }
    zstd::bulk::compress(&json, LEVEL).map_err(content)
}

/// What [`pack`] made.
///
/// # Errors
/// It is something else, or too long.
pub fn unpack(packed: &[u8]) -> Result<Delivery, ParcelError> {
    let decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(content)?;
    let most = u64::try_from(DELIVERY_LEN_MAX).unwrap_or(u64::MAX);
    let mut json = Vec::new();
    let mut bounded = decoder.take(most + 1);
    bounded.read_to_end(&mut json).map_err(content)?;
    if json.len() > DELIVERY_LEN_MAX {
        return Err(ParcelError::TooLong);
    }
    serde_json::from_slice(&json).map_err(content)
}

/// The messages that carry a packed delivery.
pub fn messages(number: u64, packed: &[u8]) -> impl Iterator<Item = ToHub> {
    let part_len = packed.len().div_ceil(PARTS_MAX).max(PART_LEN_MIN);
    let parts = u32::try_from(packed.len().div_ceil(part_len)).unwrap_or(u32::MAX);
    let pieces = (0..parts).zip(packed.chunks(part_len));
    pieces.map(move |(part, bytes)| ToHub::Deliver {
        number,
        part,
        parts,
        bytes: STANDARD.encode(bytes),
    })
}

/// Puts parts together.
#[derive(Debug, Default)]
pub struct Assembly {
    number: u64,
    next: u32,
    parts: u32,
    packed: Vec<u8>,
}

impl Assembly {
    /// Takes in a part. With the last one the delivery is whole: its number, and what it holds, packed.
    ///
    /// # Errors
    /// It comes out of turn, is none, or there are too many.
    pub fn take(
        &mut self,
        number: u64,
        part: u32,
        parts: u32,
        bytes: &str,
    ) -> Result<Option<(u64, Vec<u8>)>, ParcelError> {
        if part == 0 && self.next == 0 {
            let most = u32::try_from(PARTS_MAX).unwrap_or(u32::MAX);
            if parts == 0 || parts > most {
                return Err(ParcelError::TooLong);
            }
            (self.number, self.parts) = (number, parts);
        }
        if (number, part, parts) != (self.number, self.next, self.parts) {
            return Err(ParcelError::OutOfTurn {
                number,
                part,
                parts,
            });
        }
        let bytes = STANDARD.decode(bytes).map_err(content)?;
        if bytes.len() > PART_LEN {
            return Err(ParcelError::TooLong);
        }
        self.packed.extend(bytes);
        self.next += 1;
        if self.next < parts {
            return Ok(None);
        }
        self.next = 0;
        Ok(Some((number, std::mem::take(&mut self.packed))))
    }
}

fn content(why: impl std::fmt::Display) -> ParcelError {
    ParcelError::Content(why.to_string())
}

#[cfg(test)]
mod tests {
    use bellwether_model::CheckId;
    use bellwether_model::harvest::{Harvest, Own};
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::frame::encode;

    fn delivery(why: String) -> Delivery {
        let own = Own::CheckPoisoned {
            check: CheckId::new("shop", "main"),
            why,
        };
        Delivery {
            boot: 3,
            at: Timestamp::UNIX_EPOCH,
            offset_ms: Some(-12),
            harvest: vec![Harvest::Own(own)],
            thinned: Vec::new(),
        }
    }

    /// Text that does not shrink.
    fn noise(len: usize) -> String {
        let mut state = 7_u64;
        let next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b' ' + u8::try_from((state >> 33) % 94).unwrap_or_default())
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    fn sent(number: u64, packed: &[u8]) -> (usize, Option<(u64, Vec<u8>)>) {
        let mut assembly = Assembly::default();
        let mut whole = None;
        let mut count = 0;
        for message in messages(number, packed) {
            assert!(encode(&message).is_ok(), "a part fits into a frame");
            let ToHub::Deliver {
                number,
                part,
                parts,
                bytes,
            } = message
            else {
                panic!("another message");
            };
            assert!(whole.is_none());
            whole = assembly.take(number, part, parts, &bytes).unwrap();
            count += 1;
        }
        (count, whole)
    }

    #[test]
    fn a_delivery_comes_as_it_was() {
        for (len, parts) in [(10, 1), (4 * PART_LEN_MIN, 4), (8 * PART_LEN, PARTS_MAX)] {
            let delivery = delivery(noise(len));
            let packed = pack(&delivery).unwrap();
            let (count, whole) = sent(5, &packed);
            assert_eq!(count, parts);
            let (number, packed) = whole.unwrap();
            assert_eq!((number, unpack(&packed).unwrap()), (5, delivery));
        }
    }

    #[test]
    fn what_is_too_long_is_refused_on_both_sides() {
        assert!(matches!(
            pack(&delivery("a".repeat(DELIVERY_LEN_MAX))),
            Err(ParcelError::TooLong)
        ));
        let bomb = zstd::bulk::compress(&vec![b' '; 1 << 30], 3).unwrap();
        assert!(bomb.len() < 1 << 20, "a GiB of spaces is small");
        assert!(matches!(unpack(&bomb), Err(ParcelError::TooLong)));
    }

    #[test]
    fn parts_out_of_turn_are_refused() {
        let mut assembly = Assembly::default();
        assert!(assembly.take(1, 1, 2, "").is_err(), "not the first");
        assert!(assembly.take(1, 0, 0, "").is_err(), "of none");
        assert!(assembly.take(1, 0, u32::MAX, "").is_err(), "of too many");
        assert!(assembly.take(1, 0, 2, "").unwrap().is_none());
        assert!(assembly.take(2, 1, 2, "").is_err(), "of another delivery");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_unpacked_or_refused(bytes: Vec<u8>) {
            let _ = unpack(&bytes);
        }
    }
}
