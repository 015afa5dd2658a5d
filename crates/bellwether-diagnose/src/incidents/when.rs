//! A time that may not be known, in a third of the room: of very many checks hardly any time is.

use std::num::NonZeroI64;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What the very first nanosecond of 1970 is taken for.
const FIRST: NonZeroI64 = NonZeroI64::new(1).expect("one is not nil");

/// Nanoseconds since 1970. What lies three centuries from then is taken for the last that fits, and the
/// very first nanosecond for the second. Not known is before all that is.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct When(Option<NonZeroI64>);

impl When {
    pub(super) fn at(time: Timestamp) -> Self {
        let nanos = time.as_nanosecond();
        let most = if nanos < 0 { i64::MIN } else { i64::MAX };
        let nanos = i64::try_from(nanos).unwrap_or(most);
        Self(Some(NonZeroI64::new(nanos).unwrap_or(FIRST)))
    }

    pub(super) fn get(self) -> Option<Timestamp> {
        let nanos = i128::from(self.0?.get());
        Timestamp::from_nanosecond(nanos).ok()
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn is_some(self) -> bool {
        self.0.is_some()
    }

    /// If it is not known, it was then.
    pub(super) fn or_at(&mut self, time: Timestamp) {
        if self.is_none() {
            *self = Self::at(time);
        }
    }
}

impl From<Option<Timestamp>> for When {
    fn from(time: Option<Timestamp>) -> Self {
        time.map_or_else(Self::default, Self::at)
    }
}

impl std::fmt::Debug for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_it_was() {
        for nanos in [1_727_780_400_123_456_789_i128, -1, 1] {
            let time = Timestamp::from_nanosecond(nanos).unwrap();
            assert_eq!(When::at(time).get(), Some(time));
            assert!(When::at(time) > When::default());
            let text = serde_json::to_string(&When::at(time)).unwrap();
            assert_eq!(text, serde_json::to_string(&Some(time)).unwrap());
            assert_eq!(serde_json::from_str::<When>(&text).unwrap(), When::at(time));
        }
        assert_eq!(
            When::at(Timestamp::MAX)
                .get()
                .unwrap()
                .strftime("%Y")
                .to_string(),
            "2262"
        );
        assert_eq!(serde_json::to_string(&When::default()).unwrap(), "null");
    }
}
