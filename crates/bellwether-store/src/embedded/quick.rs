//! A hash for names that are looked up with every run: a few multiplications where the standard one
//! takes hundreds of steps.
//!
//! Strangers choose some of the names (addresses, certificates), so the seed is drawn anew by each
//! process: who does not know it cannot choose names that collide.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A map by this hash.
pub(crate) type QuickMap<K, V> = HashMap<K, V, Quick>;

/// Odd, with its bits well spread: 2⁶⁴ over the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Makes hashers with a secret seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quick {
    seed: u64,
    factor: u64,
}

impl Default for Quick {
    fn default() -> Self {
        let random = RandomState::new();
        Self {
            seed: random.hash_one(1u8),
            factor: random.hash_one(2u8) | 1,
        }
    }
}

impl BuildHasher for Quick {
    type Hasher = QuickHasher;

    fn build_hasher(&self) -> QuickHasher {
        QuickHasher {
            state: self.seed,
            factor: self.factor,
        }
    }
}

/// Folds each word of what it is given into a state by a multiplication of 64 bits to 128.
#[derive(Debug)]
pub(crate) struct QuickHasher {
    state: u64,
    factor: u64,
}

impl QuickHasher {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (product as u64 ^ (product >> 64) as u64).wrapping_add(SPREAD);
    }
}

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words
            .iter()
            .for_each(|word| self.fold(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            // The length keeps a rest of zeros apart from a shorter one.
            self.fold(u64::from_le_bytes(last) ^ (rest.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.fold(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.fold(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.fold(value as u64);
    }

    fn finish(&self) -> u64 {
        let product = u128::from(self.state) * u128::from(self.factor);
        product as u64 ^ (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_that_differ_a_little_hash_apart() {
        let quick = Quick::default();
        let names = (0..20_000).map(|n| format!("service-{}/check-{n}", n / 4));
        let hashes: HashSet<u64> = names.map(|name| quick.hash_one(name)).collect();
        assert_eq!(hashes.len(), 20_000);
        // The low bits choose the place in a map, the high ones tell apart what shares it.
        let low: HashSet<u64> = hashes.iter().map(|hash| hash & 0xfff).collect();
        let high: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        assert!(low.len() > 3500 && high.len() == 128);
    }

    #[test]
    fn each_seed_gives_other_hashes() {
        assert_ne!(
            Quick::default().hash_one("a"),
            Quick::default().hash_one("a")
        );
    }
}
