//! How long what was judged at one time stays so.

use jiff::Timestamp;

/// A stretch of time, both ends left out; the default has no time in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span(Option<Ends>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Span {
    /// All of time.
    #[must_use]
    pub fn always() -> Self {
        Self(Some(Ends {
            after: None,
            before: None,
        }))
    }

    /// The part of it that holds `at` and not `turn`: empty if they are the same.
    #[must_use]
    pub fn cut(self, turn: Timestamp, at: Timestamp) -> Self {
        let Some(Ends { after, before }) = self.0 else {
            return self;
        };
        if turn == at {
            return Self(None);
        }
        let ends = if turn < at {
            let after = Some(after.map_or(turn, |known| known.max(turn)));
            Ends { after, before }
        } else {
            let before = Some(before.map_or(turn, |known| known.min(turn)));
            Ends { after, before }
        };
        Self(Some(ends))
    }

    /// Does it hold this time?
    #[must_use]
    pub fn holds(&self, at: Timestamp) -> bool {
        self.0.is_some_and(|ends| {
            ends.after.is_none_or(|after| after < at)
                && ends.before.is_none_or(|before| at < before)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_span_ends_at_the_nearest_turns() {
        let cut = |turns: &[i64]| {
            turns
                .iter()
                .fold(Span::always(), |span, turn| span.cut(at(*turn), at(50)))
        };
        let span = cut(&[10, 90, 40, 60]);
        for (second, held) in [(40, false), (41, true), (50, true), (59, true), (60, false)] {
            assert_eq!(span.holds(at(second)), held, "{second}");
        }
        assert!(!cut(&[10, 50]).holds(at(50)));
        assert!(!Span::default().holds(at(50)));
        assert!(cut(&[]).holds(Timestamp::MAX));
    }
}
