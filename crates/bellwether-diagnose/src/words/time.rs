//! Times as a person reads them.

use jiff::{SignedDuration, Timestamp};

/// `21:04 UTC`, with the date if it is another day than `now`.
#[must_use]
pub fn clock(now: Timestamp, then: Timestamp) -> String {
    let day = |t: Timestamp| t.strftime("%Y-%m-%d").to_string();
    if day(now) == day(then) {
        then.strftime("%H:%M UTC").to_string()
    } else {
        then.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }
}

/// So many seconds from now, on the clock.
pub(super) fn in_seconds(now: Timestamp, seconds: u32) -> String {
    let then = now
        .checked_add(SignedDuration::from_secs(i64::from(seconds)))
        .unwrap_or(now);
    clock(now, then)
}

/// `25 min`, `2 h`, `1 d`.
#[must_use]
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// RFC 3339 text as date, time and distance: `2024-09-30 11:10 UTC, 24 h ago`. What is no time
/// stays as it is.
#[must_use]
pub fn moment(now: Timestamp, text: &str) -> String {
    let Ok(then) = text.parse::<Timestamp>() else {
        return text.to_owned();
    };
    let seconds = then.as_second() - now.as_second();
    let distance = span(seconds.unsigned_abs());
    let distance = if seconds < 0 {
        format!("{distance} ago")
    } else {
        format!("in {distance}")
    };
    format!("{}, {distance}", then.strftime("%Y-%m-%d %H:%M UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_say_how_far_they_are() {
        let now: Timestamp = "2024-10-01T11:10:00Z".parse().unwrap();
        assert_eq!(
            moment(now, "2024-09-30T11:10:00Z"),
            "2024-09-30 11:10 UTC, 24 h ago"
        );
        assert_eq!(
            moment(now, "2024-10-01T11:40:00Z"),
            "2024-10-01 11:40 UTC, in 30 min"
        );
        assert_eq!(moment(now, "yesterday"), "yesterday");
        assert_eq!(in_seconds(now, 3_600), "12:10 UTC");
        assert_eq!(span(172_800), "2 d");
    }
}
