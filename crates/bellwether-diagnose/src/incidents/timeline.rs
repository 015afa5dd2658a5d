//! The lines of an incident: in order of time, told once, bounded.

use bellwether_model::Digest;
use bellwether_model::incident::{Moment, MomentKind};
use jiff::Timestamp;

/// No timeline is longer: an incident that lasts for months must still fit a page, and its row in
/// the store is written anew at each change.
pub const TIMELINE_MAX: usize = 500;
/// How the line reads that stands for those left out, after their number.
const LEFT_OUT: &str = " lines in the middle are left out";

/// The order of lines of one instant: as it happens.
fn order(kind: MomentKind) -> u8 {
    match kind {
        MomentKind::FirstFailure => 0,
        MomentKind::Alarm => 1,
        MomentKind::Cause => 2,
        MomentKind::Phase => 3,
        MomentKind::Reopened => 4,
        MomentKind::Growth => 5,
        MomentKind::Shrinkage => 6,
        MomentKind::Healing => 7,
        MomentKind::Flapping => 8,
        MomentKind::Resolved => 9,
        MomentKind::Acknowledged => 10,
        MomentKind::Note => 11,
        MomentKind::Monitor => 12,
    }
}

/// What lines are sorted by.
pub(super) fn place(line: &Moment) -> (Timestamp, u8, String) {
    (line.at, order(line.kind), line.text.clone())
}

/// Puts a line in its place. False if the very same line stands there already.
pub(super) fn insert(
    lines: &mut Vec<Moment>,
    at: Timestamp,
    kind: MomentKind,
    text: String,
    evidence: Option<Digest>,
) -> bool {
    let key = |m: &Moment| (m.at, order(m.kind));
    let new = (at, order(kind));
    let place = lines.partition_point(|m| (key(m), m.text.as_str()) < (new, text.as_str()));
    let known = lines.get(place);
    if known.is_some_and(|m| key(m) == new && m.text == text) && kind != MomentKind::Note {
        return false;
    }
    lines.insert(
        place,
        Moment {
            at,
            kind,
            text,
            evidence,
        },
    );
    bound(lines);
    true
}

/// Cuts the middle: how it began and what is new are what is read.
fn bound(lines: &mut Vec<Moment>) {
    if lines.len() <= TIMELINE_MAX {
        return;
    }
    let left_out = |m: &Moment| {
        let number = m.text.strip_suffix(LEFT_OUT)?;
        (m.kind == MomentKind::Monitor).then(|| number.parse::<u64>().ok())?
    };
    let known = lines.iter().position(|m| left_out(m).is_some());
    let (place, mut count) = match known {
        Some(place) => (place, left_out(&lines[place]).unwrap_or(0)),
        None => {
            let place = TIMELINE_MAX / 2;
            let line = &mut lines[place];
            line.kind = MomentKind::Monitor;
            line.evidence = None;
            (place, 1)
        }
    };
    while lines.len() > TIMELINE_MAX && place + 1 < lines.len() {
        lines.remove(place + 1);
        count += 1;
    }
    lines[place].text = format!("{count}{LEFT_OUT}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn lines_are_in_order_whatever_order_they_come_in() {
        let mut lines = Vec::new();
        assert!(insert(
            &mut lines,
            at(5),
            MomentKind::Alarm,
            "b".into(),
            None
        ));
        assert!(insert(
            &mut lines,
            at(1),
            MomentKind::FirstFailure,
            "a".into(),
            None
        ));
        assert!(!insert(
            &mut lines,
            at(5),
            MomentKind::Alarm,
            "b".into(),
            None
        ));
        let texts: Vec<&str> = lines.iter().map(|m| m.text.as_str()).collect();
        assert_eq!(texts, ["a", "b"]);
    }

    #[test]
    fn the_middle_is_cut_and_counted() {
        let mut lines = Vec::new();
        for n in 0..2000 {
            insert(
                &mut lines,
                at(n),
                MomentKind::Growth,
                format!("line {n}"),
                None,
            );
        }
        assert_eq!(lines.len(), TIMELINE_MAX);
        assert_eq!(lines[0].text, "line 0");
        assert_eq!(lines[TIMELINE_MAX - 1].text, "line 1999");
        let cut = &lines[TIMELINE_MAX / 2];
        assert_eq!(cut.text, "1501 lines in the middle are left out");
    }
}
