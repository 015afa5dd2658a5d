//! Validated configuration of telling people: heartbeats, receivers, routes, maintenance, pages.

use std::str::FromStr as _;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::secret::Secret;

/// How long a heartbeat may be late if nothing else is said.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(300);

/// After how long an open incident is told again if nothing else is said.
pub const REPEAT_DEFAULT: Duration = Duration::from_secs(4 * 3600);

/// How often a status page is updated during an incident if nothing else is said.
pub const CADENCE_DEFAULT: Duration = Duration::from_secs(30 * 60);

/// Who must report in time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Heartbeat {
    /// Its name, unique.
    pub name: String,
    /// When it must report.
    pub due: Due,
    /// How late it may be.
    pub grace: Duration,
    /// How long one run may take.
    pub max_run: Option<Duration>,
    /// The last part of its URL, where an old one is kept.
    pub slug: Option<String>,
    /// The same, as a UUID, in small letters.
    pub uuid: Option<Secret>,
    /// The same, as a push token of Uptime Kuma.
    pub token: Option<Secret>,
}

impl Heartbeat {
    /// The last part of its URL behind the ping key: the configured one, else the name in small letters,
    /// with a hyphen for each run of what no slug has. Names that agree in it share it.
    #[must_use]
    pub fn slug(&self) -> String {
        if let Some(slug) = &self.slug {
            return slug.clone();
        }
        let mut slug = String::with_capacity(self.name.len());
        for c in self.name.chars().flat_map(char::to_lowercase) {
            match c {
                'a'..='z' | '0'..='9' | '_' => slug.push(c),
                _ if slug.is_empty() || slug.ends_with('-') => {}
                _ => slug.push('-'),
            }
        }
        slug.truncate(slug.trim_end_matches('-').len());
        slug
    }
}

/// When a heartbeat must report.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// So long after the last time, at most.
    Every(Duration),
    /// At these times.
    Cron(Cron),
}

/// Points in time by a cron pattern, in a time zone.
#[derive(Clone, Serialize)]
pub struct Cron {
    /// The pattern as written.
    pub pattern: String,
    /// The time zone's name in the IANA database.
    pub zone: String,
    #[serde(skip)]
    parsed: Box<croner::Cron>,
    #[serde(skip)]
    time_zone: TimeZone,
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        (&self.pattern, &self.zone) == (&other.pattern, &other.zone)
    }
}

impl std::fmt::Debug for Cron {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cron({:?} in {})", self.pattern, self.zone)
    }
}

impl Cron {
    /// A pattern of five fields (minute, hour, day of month, month, day of week) in a time zone.
    ///
    /// # Errors
    /// In words, if the pattern cannot be read or never comes round.
    pub fn new(pattern: &str, time_zone: TimeZone) -> Result<Self, String> {
        let parsed = croner::Cron::from_str(pattern).map_err(|error| {
            format!("`{pattern}` is no cron pattern ({error}); write `minute hour day month weekday`: `0 3 * * *`")
        })?;
        let cron = Self {
            pattern: pattern.to_owned(),
            zone: time_zone.iana_name().unwrap_or("UTC").to_owned(),
            parsed: Box::new(parsed),
            time_zone,
        };
        // Any day does: the 30th of February is reached from none.
        if cron.next_after(Timestamp::UNIX_EPOCH).is_none() {
            return Err(format!("`{pattern}` never comes round"));
        }
        Ok(cron)
    }

    /// The first time after this one.
    #[must_use]
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let now = now.to_zoned(self.time_zone.clone());
        let next = self.parsed.find_next_occurrence(&now, false).ok()?;
        Some(next.timestamp())
    }
}

/// Who can be told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Receiver {
    /// Its name, unique.
    pub name: String,
    /// By what.
    pub kind: ReceiverKind,
}

/// How somebody is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverKind {
    /// By a message in Slack.
    Slack {
        /// The incoming webhook's URL.
        webhook: Secret,
    },
    /// By a ticket in Jira.
    Jira {
        /// Where Jira is.
        url: String,
        /// The project's key.
        project: String,
        /// An API token.
        token: Secret,
    },
}

/// Who is told what: the root of a tree whose deepest route that fits decides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Which incidents; the root takes all.
    pub matchers: Vec<Matcher>,
    /// Who is told, by name.
    pub receiver: String,
    /// Incidents that agree in these are told together.
    pub group_by: Vec<String>,
    /// After how long an open incident is told again.
    pub repeat_interval: Duration,
    /// Who is told besides if nobody acknowledges.
    pub escalate: Vec<Escalation>,
    /// Routes for some of these incidents; the first that fits is taken.
    pub routes: Vec<Route>,
}

/// A condition on a label: `team="pay"`.
#[derive(Clone, Debug, Serialize)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// How it is compared.
    pub op: MatchOp,
    /// With what; a pattern is for the whole value.
    pub value: String,
    #[serde(skip)]
    pattern: Option<regex::Regex>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Like,
    /// `!~`
    NotLike,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.label, self.op, &self.value) == (&other.label, other.op, &other.value)
    }
}

impl std::str::FromStr for Matcher {
    type Err = String;

    /// `label="value"`, with `=`, `!=`, `=~` or `!~`; the quotes may be left out around a plain word.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            format!(
                "`{text}` is no matcher: {why}; write `team=\"pay\"`, with `=`, `!=`, `=~` or `!~`"
            )
        };
        let at = text
            .find(['=', '!'])
            .ok_or_else(|| bad("it compares nothing"))?;
        let (label, rest) = (text[..at].trim(), &text[at..]);
        if !is_label(label) {
            return Err(bad(
                "its label has other characters than letters, digits and `_-./`",
            ));
        }
        let ops = [
            ("=~", MatchOp::Like),
            ("!~", MatchOp::NotLike),
            ("!=", MatchOp::NotEqual),
            ("=", MatchOp::Equal),
        ];
        let (sign, op) = ops
            .into_iter()
            .find(|(sign, _)| rest.starts_with(sign))
            .ok_or_else(|| bad("it compares nothing"))?;
        let value = rest[sign.len()..].trim();
        let value = match value.strip_prefix('"') {
            Some(quoted) => {
                let inside = quoted
                    .strip_suffix('"')
                    .ok_or_else(|| bad("its quotes are not closed"))?;
                unescaped(inside).ok_or_else(|| bad("a quote inside needs a `\\` before it"))?
            }
            None if value.contains(['"', '\'', '{', '}', ',', ' ']) => {
                return Err(bad("its value needs double quotes"));
            }
            None => value.to_owned(),
        };
        let pattern = match op {
            MatchOp::Like | MatchOp::NotLike => {
                let whole = regex::RegexBuilder::new(&format!("^(?:{value})$"))
                    .size_limit(PATTERN_SIZE_MAX)
                    .build();
                Some(whole.map_err(|_| bad("its value is no regular expression"))?)
            }
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Self {
            label: label.to_owned(),
            op,
            value,
            pattern,
        })
    }
}

/// Largest compiled pattern, bytes: thousands of alternatives fit, and no pattern eats the memory.
const PATTERN_SIZE_MAX: usize = 1024 * 1024;

impl Matcher {
    /// Does this value of the label fit? A label that is not there is empty.
    #[must_use]
    pub fn fits(&self, value: &str) -> bool {
        let like = || self.pattern.as_ref().is_some_and(|p| p.is_match(value));
        match self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Like => like(),
            MatchOp::NotLike => !like(),
        }
    }
}

/// A label as matchers and `group_by` name it.
pub(crate) fn is_label(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    !text.is_empty() && text.chars().all(word)
}

/// The text between two quotes, `\"` and `\\` read; `None` if a quote stands bare in it.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => match chars.next()? {
                c @ ('"' | '\\') => out.push(c),
                other => out.extend(['\\', other]),
            },
            c => out.push(c),
        }
    }
    Some(out)
}

/// Who is told besides, if nobody acknowledges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Escalation {
    /// So long after the first notice.
    pub after: Duration,
    /// Who, by name.
    pub receiver: String,
}

/// When faults of some services are expected.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Maintenance {
    /// Its name, unique.
    pub name: String,
    /// Of which services.
    pub services: Vec<String>,
    /// When it begins.
    pub begins: Cron,
    /// How long it lasts.
    pub lasts: Duration,
}

/// What is to be expected at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Faults, until then at least.
    Until(Timestamp),
    /// None before that, or never.
    From(Option<Timestamp>),
}

impl Maintenance {
    /// Is it now? Its end is not part of it. Where it begins anew before it ends it is still on then.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Window {
        let lasts = SignedDuration::try_from(self.lasts).unwrap_or(SignedDuration::MAX);
        let begun = now.checked_sub(lasts).ok();
        let begun = begun.and_then(|before| self.begins.next_after(before));
        match begun.filter(|begun| *begun <= now) {
            Some(begun) => Window::Until(begun.checked_add(lasts).unwrap_or(Timestamp::MAX)),
            None => Window::From(self.begins.next_after(now)),
        }
    }
}

/// What the public is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusPage {
    /// Its name, unique.
    pub name: String,
    /// The host name it is served under.
    pub host: String,
    /// What it shows.
    pub groups: Vec<StatusGroup>,
    /// How often it is updated during an incident.
    pub cadence: Duration,
}

/// Services under one heading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusGroup {
    /// The heading.
    pub name: String,
    /// The services, by name.
    pub services: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers() {
        for (text, value, fits) in [
            ("team=\"pay\"", "pay", true),
            ("team = pay", "pay", true),
            ("team!=\"pay\"", "", true),
            ("team=~\"pay|web\"", "web", true),
            ("team=~\"pay|web\"", "webs", false),
            ("team!~\"we.*\"", "webs", false),
            ("team=\"a\\\"b\"", "a\"b", true),
        ] {
            let matcher: Matcher = text.parse().unwrap();
            assert_eq!(matcher.fits(value), fits, "{text} and {value}");
        }
        for bad in [
            "team",
            "=pay",
            "te am=pay",
            "team=\"pay",
            "team=~\"(\"",
            "team=a b",
            "team!pay",
        ] {
            assert!(bad.parse::<Matcher>().is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn slugs_come_from_names() {
        let slug = |name: &str, slug: Option<&str>| {
            let heartbeat = Heartbeat {
                name: name.to_owned(),
                due: Due::Every(Duration::from_secs(60)),
                grace: GRACE_DEFAULT,
                max_run: None,
                slug: slug.map(str::to_owned),
                uuid: None,
                token: None,
            };
            heartbeat.slug()
        };
        for (name, expected) in [
            ("Database Backup", "database-backup"),
            ("nightly_backup.v2", "nightly_backup-v2"),
            ("--x--", "x"),
            ("Ümläut", "ml-ut"),
            ("備份", ""),
        ] {
            assert_eq!(slug(name, None), expected);
        }
        assert_eq!(slug("Database Backup", Some("old")), "old");
    }

    /// What two zones do to a pattern when their clocks change: hours that are left out, hours that
    /// come twice.
    #[test]
    fn times_by_cron_at_the_edges_of_daylight_saving() {
        let rows: &[(&str, &str, &str, &[&str])] = &[
            // 29 March 2026, Berlin: 02:00 becomes 03:00. What was due in the hour that is left out is
            // due when it ends.
            (
                "Europe/Berlin",
                "30 2 * * *",
                "2026-03-28T12:00:00Z",
                &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
            ),
            (
                "Europe/Berlin",
                "0 3 * * *",
                "2026-03-28T12:00:00Z",
                &["2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"],
            ),
            (
                "Europe/Berlin",
                "30 * * * *",
                "2026-03-29T00:00:00Z",
                &["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"],
            ),
            // 25 October 2026, Berlin: 03:00 becomes 02:00. A time of the day comes once, an interval
            // goes on.
            (
                "Europe/Berlin",
                "30 2 * * *",
                "2026-10-24T12:00:00Z",
                &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            ),
            (
                "Europe/Berlin",
                "30 * * * *",
                "2026-10-25T00:00:00Z",
                &[
                    "2026-10-25T00:30:00Z",
                    "2026-10-25T01:30:00Z",
                    "2026-10-25T02:30:00Z",
                ],
            ),
            // 8 March 2026, New York: 02:00 becomes 03:00.
            (
                "America/New_York",
                "30 2 * * *",
                "2026-03-07T12:00:00Z",
                &["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"],
            ),
            // 1 November 2026, New York: 02:00 becomes 01:00.
            (
                "America/New_York",
                "30 1 * * *",
                "2026-10-31T12:00:00Z",
                &["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
            ),
            (
                "America/New_York",
                "*/30 * * * *",
                "2026-11-01T05:00:00Z",
                &[
                    "2026-11-01T05:30:00Z",
                    "2026-11-01T06:00:00Z",
                    "2026-11-01T06:30:00Z",
                    "2026-11-01T07:00:00Z",
                ],
            ),
        ];
        for (zone, pattern, from, expected) in rows {
            let cron = Cron::new(pattern, TimeZone::get(zone).unwrap()).unwrap();
            let mut at: Timestamp = from.parse().unwrap();
            for next in *expected {
                at = cron.next_after(at).unwrap();
                assert_eq!(at.to_string(), *next, "{pattern} in {zone} after {from}");
            }
        }
    }

    #[test]
    fn times_by_cron_follow_the_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let cron = Cron::new("0 3 * * *", berlin).unwrap();
        for (now, next) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"),
            ("2026-07-01T00:00:00Z", "2026-07-01T01:00:00Z"),
        ] {
            let now: Timestamp = now.parse().unwrap();
            assert_eq!(cron.next_after(now).unwrap().to_string(), next);
        }
        let never = Cron::new("0 0 30 2 *", TimeZone::UTC).unwrap_err();
        assert!(never.contains("0 0 30 2 *"), "{never}");
    }
}
