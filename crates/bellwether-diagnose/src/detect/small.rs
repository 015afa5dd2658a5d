//! Values that most checks do not have, in little room; written as they would be without that.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number that may not be known, in the room of a number.
#[derive(Clone, Copy)]
pub(super) struct Maybe(f32);

impl Maybe {
    const NONE: Self = Self(f32::NAN);

    pub(super) fn get(self) -> Option<f32> {
        (!self.0.is_nan()).then_some(self.0)
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_nan()
    }

    pub(super) fn set(&mut self, value: f32) {
        self.0 = value;
    }
}

impl Default for Maybe {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<Option<f32>> for Maybe {
    fn from(value: Option<f32>) -> Self {
        value.map_or(Self::NONE, Self)
    }
}

impl PartialEq for Maybe {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl std::fmt::Debug for Maybe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

impl Serialize for Maybe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Maybe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::from)
    }
}

/// Something that is its default for most, in the room of a pointer.
#[derive(Clone, Debug)]
pub(super) struct Rare<T>(Option<Box<T>>);

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Rare<T> {
    /// It, where it is not known to be its default.
    pub(super) fn known(&self) -> Option<&T> {
        self.0.as_deref()
    }

    pub(super) fn known_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T: Default> Rare<T> {
    /// It, to be changed.
    pub(super) fn made(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Default + PartialEq> PartialEq for Rare<T> {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => a == b,
            (Some(one), None) | (None, Some(one)) => **one == T::default(),
        }
    }
}

impl<T: Default + Serialize> Serialize for Rare<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(value) => value.serialize(serializer),
            None => T::default().serialize(serializer),
        }
    }
}

impl<'de, T: Default + PartialEq + Deserialize<'de>> Deserialize<'de> for Rare<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = T::deserialize(deserializer)?;
        Ok(Self((value != T::default()).then(|| Box::new(value))))
    }
}

/// A list that is empty for most.
pub(super) type Few = Rare<Vec<f32>>;

impl Deref for Few {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.known().map_or(&[], Vec::as_slice)
    }
}

impl DerefMut for Few {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.known_mut().map_or(&mut [], Vec::as_mut_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_written_as_without() {
        let numbers = [Maybe::from(Some(1.5)), Maybe::default()];
        let text = serde_json::to_string(&numbers).unwrap();
        assert_eq!(text, "[1.5,null]");
        assert_eq!(serde_json::from_str::<[Maybe; 2]>(&text).unwrap(), numbers);
        let mut list = Few::default();
        assert_eq!(serde_json::to_string(&list).unwrap(), "[]");
        list.made().push(2.0);
        let text = serde_json::to_string(&list).unwrap();
        assert_eq!(text, "[2.0]");
        assert_eq!(serde_json::from_str::<Few>(&text).unwrap(), list);
        assert!(serde_json::from_str::<Few>("[]").unwrap().known().is_none());
    }
}
