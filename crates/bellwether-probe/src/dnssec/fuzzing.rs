//! Signatures of one message alone, for fuzzing.

use bellwether_model::dns::Response;
use domain::base::iana::Rtype;
use jiff::Timestamp;

use super::denial::{Denied, denial};
use super::verify::{self, Budget, Key};
use super::wire;

/// Checks a message with the keys that it brings itself.
pub(crate) fn check_itself(response: &Response) {
    let Some(signed) = wire::signed(response) else {
        return;
    };
    let all = || signed.answer.iter().chain(&signed.authority);
    let keys: Vec<Key> = all()
        .filter(|set| set.rtype == Rtype::DNSKEY)
        .flat_map(|set| set.data.iter().filter_map(|data| Key::of(data)))
        .take(super::KEYS_MAX)
        .collect();
    let mut budget = Budget::new(Timestamp::UNIX_EPOCH);
    for set in all() {
        let _ = verify::rrset(set, &set.name, &keys, &mut budget);
    }
    let sets: Vec<_> = all().collect();
    if let Some(first) = sets.first() {
        let _ = denial(&first.owner, &sets, Denied::Name(&first.owner));
    }
}
