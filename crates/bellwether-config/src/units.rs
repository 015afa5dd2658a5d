//! Durations and sizes as people write them: a number and a unit.

use std::time::Duration;

/// Units of time and what they are in milliseconds. A month is 30 days and a year 365, as
/// retention and deadlines want them; neither is used for dates.
const UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 7 * 86_400_000),
    ("mo", 30 * 86_400_000),
    ("y", 365 * 86_400_000),
];

/// `800ms`, `60s`, `1.5h`; the message of an error says what is wrong with it.
///
/// # Errors
/// If there is no number, no unit or an unknown one, or the result is out of range.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let known = "ms, s, m, h, d, w, mo or y";
    let number: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is no duration; write a number and {known}: `60s`"))?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Err(format!(
            "`{text}` has no unit; write one of {known} behind it: `{text}s`"
        ));
    }
    let millis = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, millis)| *millis)
        .ok_or_else(|| format!("`{unit}` is no unit of time; use {known}"))?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "the largest unit is far below the 2^52 that an f64 holds exactly"
    )]
    let seconds = number * millis as f64 / 1000.0;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("`{text}` is too long a time"))
}

/// What JSON Schema says of a duration; what stands for a `${…}` is not known to editors.
pub const DURATION_PATTERN: &str = r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d|w|mo|y)$|\$\{";

/// The same of a size.
pub const SIZE_PATTERN: &str = r"^[0-9]+ ?(KiB|MiB|GiB)$|\$\{";

/// Units of size and what they are in bytes.
const SIZES: &[(&str, u64)] = &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// `512MiB`, `20GiB`; the message of an error says what is wrong with it.
///
/// # Errors
/// If there is no number, no unit or an unknown one, or the result is out of range.
pub fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| {
        format!("`{text}` is no size; write a whole number and KiB, MiB or GiB: `20GiB`")
    })?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Err(format!(
            "`{text}` has no unit; write KiB, MiB or GiB behind it: `{text}GiB`"
        ));
    }
    let (_, bytes) = SIZES
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| format!("`{unit}` is no unit of size; use KiB, MiB or GiB"))?;
    number
        .checked_mul(*bytes)
        .ok_or_else(|| format!("`{text}` is too large"))
}

/// The shortest way to write a size, the inverse of [`size`] for what has a unit.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let fits = |(_, unit): &&(&str, u64)| bytes >= *unit && bytes.is_multiple_of(*unit);
    match SIZES.iter().rev().find(fits) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

/// The shortest way to write a duration, the inverse of [`duration`].
#[must_use]
pub fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ] {
        if millis >= size && millis.is_multiple_of(size) {
            return format!("{}{unit}", millis / size);
        }
    }
    format!("{millis}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("1KiB", 1024), ("20GiB", 20 << 30), ("3 MiB", 3 << 20)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "GiB", "20", "20GB", "1.5GiB", "-1KiB", "99999999999GiB"] {
            assert!(size(bad).is_err(), "{bad} was taken");
        }
        assert_eq!(show_size(20 << 30), "20GiB");
        assert_eq!(show_size(1536), "1536 bytes");
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("800ms", 800),
            ("60s", 60_000),
            ("15m", 900_000),
            ("4h", 14_400_000),
            ("14d", 14 * 86_400_000),
            ("2w", 14 * 86_400_000),
            ("13mo", 390 * 86_400_000),
            ("1y", 365 * 86_400_000),
            ("1.5s", 1_500),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "60", "60 sec", "-1s", "1e400y", "1.2.3s"] {
            assert!(duration(bad).is_err(), "{bad} was taken");
        }
        assert_eq!(show(Duration::from_secs(90)), "90s");
        assert_eq!(show(Duration::from_secs(7200)), "2h");
    }
}
