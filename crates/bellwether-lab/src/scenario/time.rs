//! Lengths of time and moments, as people write them.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units, longest spelling first so that `ms` and `mo` are not read as minutes.
const UNITS: [(&str, u64); 8] = [
    ("ms", 1),
    ("mo", 30 * 86_400_000),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 7 * 86_400_000),
    ("y", 365 * 86_400_000),
];

/// A length of time: `90s`, `10m`, `1h30m`, `47d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// Whole seconds, as a TTL.
    #[must_use]
    pub fn ttl(self) -> u32 {
        u32::try_from(self.0.as_secs()).unwrap_or(u32::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || {
            format!(
                "`{text}` is no length of time; write a number with one of the units ms s m h d w mo y, for example `10m`"
            )
        };
        let mut rest = text.trim();
        let mut millis: u64 = 0;
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
            let (unit, factor) = UNITS
                .iter()
                .find(|(unit, _)| rest[digits..].starts_with(unit))
                .ok_or_else(bad)?;
            let part = number.checked_mul(*factor).ok_or_else(bad)?;
            millis = millis.checked_add(part).ok_or_else(bad)?;
            rest = &rest[digits + unit.len()..];
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1000) {
            write!(f, "{}s", millis / 1000)
        } else {
            write!(f, "{millis}ms")
        }
    }
}

/// A moment: RFC 3339, or relative to the world's clock: `-1d`, `+47d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// As of the calendar.
    At(Timestamp),
    /// After the world's clock.
    After(Span),
    /// Before the world's clock.
    Before(Span),
}

impl Moment {
    /// Seconds since 1970, with the world's clock at `now`.
    #[must_use]
    pub fn second(self, now: Timestamp) -> i64 {
        let length = |span: Span| i64::try_from(span.0.as_secs()).unwrap_or(i64::MAX / 4);
        match self {
            Self::At(at) => at.as_second(),
            Self::After(span) => now.as_second() + length(span),
            Self::Before(span) => now.as_second() - length(span),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text.strip_prefix('+') {
            return rest.parse().map(Self::After);
        }
        if let Some(rest) = text.strip_prefix('-') {
            return rest.parse().map(Self::Before);
        }
        // A longer text would lose its time of day.
        if text.len() == "2024-10-01".len()
            && let Ok(date) = text.parse::<jiff::civil::Date>()
            && let Ok(midnight) = date.to_zoned(jiff::tz::TimeZone::UTC)
        {
            return Ok(Self::At(midnight.timestamp()));
        }
        text.parse().map(Self::At).map_err(|_| {
            format!("`{text}` is no moment; write `2024-10-01T11:10:00Z`, `-1d` or `+47d`")
        })
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(at) => at.fmt(f),
            Self::After(span) => write!(f, "+{span}"),
            Self::Before(span) => write!(f, "-{span}"),
        }
    }
}

macro_rules! as_text {
    ($type:ty, $name:literal, $pattern:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

as_text!(Span, "Span", "^([0-9]+(ms|mo|s|m|h|d|w|y))+$");
as_text!(
    Moment,
    "Moment",
    "^([+-]([0-9]+(ms|mo|s|m|h|d|w|y))+|[0-9]{4}-[0-9]{2}-[0-9]{2}.*)$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let millis = |text: &str| text.parse::<Span>().map(|s| s.0.as_millis()).ok();
        assert_eq!(millis("10m"), Some(600_000));
        assert_eq!(millis("50ms"), Some(50));
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("1mo"), Some(30 * 86_400_000));
        for bad in ["", "10", "m", "10x", "-1d", "1.5h"] {
            assert_eq!(millis(bad), None, "{bad}");
        }
        assert_eq!("90s".parse::<Span>().unwrap().to_string(), "90s");
    }

    #[test]
    fn moments() {
        let now: Timestamp = "2024-10-01T00:00:00Z".parse().unwrap();
        let second = |text: &str| text.parse::<Moment>().unwrap().second(now) - now.as_second();
        assert_eq!(second("-1d"), -86_400);
        assert_eq!(second("+47d"), 47 * 86_400);
        assert_eq!(second("2024-10-01T00:00:10Z"), 10);
        assert_eq!(second("2024-10-02"), 86_400);
        assert_eq!(second("2024-10-01T02:00:00+02:00"), 0);
        assert!("tomorrow".parse::<Moment>().is_err());
    }
}
