//! Times and ages in words.

use jiff::Timestamp;

/// How long from one time to another: `12 s`, `4 min`, `3 h 12 min`, `2 d 4 h`.
pub(super) fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{minutes} min"),
        7_200..172_800 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A clock time, with the day where it is not today's: `11:10:02`, `2024-10-01 11:10:02`. UTC.
pub(super) fn clock(at: Timestamp, now: Timestamp) -> String {
    let text = at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let today = now.strftime("%Y-%m-%d ").to_string();
    match text.strip_prefix(&today) {
        Some(time) => time.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let from = at("2026-11-21T10:00:00Z");
        for (to, words) in [
            ("2026-11-21T10:00:12Z", "12 s"),
            ("2026-11-21T10:04:59Z", "4 min"),
            ("2026-11-21T13:12:00Z", "3 h 12 min"),
            ("2026-11-23T14:12:00Z", "2 d 4 h"),
            ("2026-11-21T09:00:00Z", "0 s"),
        ] {
            assert_eq!(span(from, at(to)), words);
        }
        assert_eq!(clock(from, at("2026-11-21T23:00:00Z")), "10:00:00");
        assert_eq!(
            clock(from, at("2026-11-22T23:00:00Z")),
            "2026-11-21 10:00:00"
        );
    }
}
