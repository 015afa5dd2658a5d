//! From what people write to what the program uses.
//!
//! Every struct of the file is taken apart in full, so that a new key cannot be forgotten here.
//! What is wrong is noted, and reading goes on, so that all of it is found at once.
//!
//! - [`expect`]: what is expected and what was promised
//! - [`known`]: names that stand twice, and names that nobody bears
//! - [`sections`], [`telling`]: all sections but the services
//! - [`target`]: what a check aims at

mod expect;
pub(crate) mod known;
pub(crate) mod sections;
mod target;
mod telling;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use bellwether_model::{Expect, Service};

use crate::config::Defaults;
use crate::error::{ConfigError, Problem};
use crate::place::{At, Place};
use crate::secret::{Secret, without_passwords};
use crate::spec::ServiceSpec;
use crate::substitute::{self, Lookup, System};
use crate::units;

pub use crate::config::{EVERY_DEFAULT, TIMEOUT_DEFAULT};

/// Longest name of a service or check: names become parts of URLs, file names and notices.
const NAME_LEN_MAX: usize = 100;

/// Most checks of one service: a page shows them together.
const CHECKS_MAX: usize = 1000;

/// Shortest interval of a check: what is due more often than every second is no check but a load.
pub(crate) const EVERY_MIN: Duration = Duration::from_secs(1);

/// Longest interval of a check: what is asked less often than monthly is never fresh.
pub(crate) const EVERY_MAX: Duration = Duration::from_secs(31 * 86_400);

/// Longest attempt: a worker is bound by it.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// Longest age and notice: a hundred years, beyond which times cannot be counted with.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

impl TryFrom<ServiceSpec> for Service {
    type Error = ConfigError;

    /// With the environment and the files of this process for `${…}`.
    fn try_from(spec: ServiceSpec) -> Result<Self, ConfigError> {
        service(spec, &System)
    }
}

/// One service, with the given source for `${…}`.
///
/// # Errors
/// The first thing that does not make sense in it, with its place.
pub fn service(spec: ServiceSpec, lookup: &dyn Lookup) -> Result<Service, ConfigError> {
    let reading = Reading::new(lookup);
    let service = reading.service(spec);
    let Noted { mut problems, .. } = reading.noted.into_inner();
    problems.sort_by_key(|problem| problem.place);
    match (service, problems.into_iter().next()) {
        (Some(service), None) => Ok(service),
        (_, Some(problem)) => Err(problem),
        (None, None) => unreachable!("a service that is not read has a problem"),
    }
}

/// What a conversion needs besides the spec, and what it notes.
pub(crate) struct Reading<'a> {
    lookup: &'a dyn Lookup,
    /// Could something of the present entry not be read? Then it is no news that it lacks things.
    pub(crate) is_damaged: Cell<bool>,
    /// What services inherit.
    pub(crate) inherit: Cell<Defaults>,
    pub(crate) noted: RefCell<Noted>,
}

/// What was noted while reading.
#[derive(Default)]
pub(crate) struct Noted {
    pub(crate) problems: Vec<ConfigError>,
    /// What is valid and unwise, each with its place.
    pub(crate) warnings: BTreeSet<(Place, String)>,
    /// What stood between the braces of each `${…}`, with its value.
    pub(crate) substituted: BTreeMap<String, String>,
    /// Files that were asked for: one that many services name is read once.
    pub(crate) files: BTreeMap<String, Result<String, String>>,
}

/// A text with its `${…}` replaced.
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) place: Place,
    /// As it was written, if something was replaced in it: then its value is never shown.
    written: Option<String>,
}

impl Text {
    /// A complaint about it, without its value if that may be a secret.
    pub(crate) fn bad(&self, key: &str, why: impl std::fmt::Display) -> ConfigError {
        match &self.written {
            None => {
                let why = why.to_string();
                ConfigError::value(self.place, key, without_passwords(&why))
            }
            Some(written) => {
                let written = without_passwords(written);
                let why = format!(
                    "what `{written}` stands for is not valid here; it is not shown, since it may be a secret"
                );
                ConfigError::value(self.place, key, why)
            }
        }
    }
}

/// What a service hands down to its checks.
struct Inherited {
    defaults: Defaults,
    expect: Expect,
}

/// Reads each file once.
struct Once<'a> {
    lookup: &'a dyn Lookup,
    noted: &'a RefCell<Noted>,
    place: Place,
}

impl Lookup for Once<'_> {
    fn env(&self, name: &str) -> Option<String> {
        self.lookup.env(name)
    }

    fn file(&self, path: &Path) -> std::io::Result<String> {
        let name = path.to_string_lossy().into_owned();
        if let Some(known) = self.noted.borrow().files.get(&name) {
            return known.clone().map_err(std::io::Error::other);
        }
        let text = self.lookup.file(path).map_err(|error| error.to_string());
        let mut noted = self.noted.borrow_mut();
        if text.is_ok() && self.lookup.is_open_to_all(path) {
            let why =
                format!("everybody on this machine may read `{name}`; use `chmod o-r {name}`");
            noted.warnings.insert((self.place, why));
        }
        noted.files.insert(name, text.clone());
        text.map_err(std::io::Error::other)
    }
}

impl<'a> Reading<'a> {
    pub(crate) fn new(lookup: &'a dyn Lookup) -> Self {
        Self {
            lookup,
            is_damaged: Cell::new(false),
            inherit: Cell::default(),
            noted: RefCell::default(),
        }
    }

    /// Notes what is wrong.
    pub(crate) fn keep<T>(&self, read: Result<T, ConfigError>) -> Option<T> {
        read.map_err(|problem| self.noted.borrow_mut().problems.push(problem))
            .ok()
    }

    /// Notes that an entry lacks something, unless something of it could not be read.
    pub(crate) fn lacks<T>(&self, problem: ConfigError) -> Option<T> {
        if !self.is_damaged.get() {
            self.noted.borrow_mut().problems.push(problem);
        }
        None
    }

    /// Those that make sense; the others are noted.
    fn each<S, T>(&self, all: Vec<S>, read: impl Fn(S) -> Result<T, ConfigError>) -> Vec<T> {
        all.into_iter()
            .filter_map(|one| self.keep(read(one)))
            .collect()
    }

    pub(crate) fn text(&self, key: &str, text: At<String>) -> Result<Text, ConfigError> {
        let At { value, place } = text;
        if !value.contains('$') {
            return Ok(Text {
                value,
                place,
                written: None,
            });
        }
        let once = Once {
            lookup: self.lookup,
            noted: &self.noted,
            place,
        };
        let mut seen = Vec::new();
        let replaced = substitute::substitute(&value, &once, &mut |name, value| {
            seen.push((name.to_owned(), value.to_owned()));
        });
        let replaced = replaced.map_err(|why| ConfigError::value(place, key, why))?;
        let is_replaced = !seen.is_empty();
        self.noted.borrow_mut().substituted.extend(seen);
        Ok(Text {
            value: replaced,
            place,
            written: is_replaced.then_some(value),
        })
    }

    pub(crate) fn secret(&self, key: &str, secret: At<Secret>) -> Result<Secret, ConfigError> {
        let place = secret.place;
        let text = At {
            value: secret.value.expose().to_owned(),
            place,
        };
        let text = self.text(key, text).map_err(|error| match &*error.problem {
            // A text that is no `${env:…}` after all may be the secret itself.
            Problem::Value { why, .. } if !why.contains("is not set") && !why.contains("failed to read") => {
                let why = "a `${` stands in it that is no `${env:NAME}` or `${file:/path}`; write `$${` for a literal `${`";
                ConfigError::value(place, key, why)
            }
            _ => error,
        })?;
        if text.value.is_empty() {
            return Err(ConfigError::value(place, key, "is empty"));
        }
        Ok(Secret::new(text.value))
    }

    /// A name, which is shown everywhere and so holds no `${…}`.
    pub(crate) fn name(&self, name: At<String>) -> Result<String, ConfigError> {
        let bad = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' '));
        let why = match name.value.as_str() {
            "" => "a name has at least one character".to_owned(),
            text if text.chars().count() > NAME_LEN_MAX => {
                format!("a name has at most {NAME_LEN_MAX} characters")
            }
            text if text.trim() != text => "a name neither begins nor ends with a space".to_owned(),
            text if substitute::has_any(text) => {
                "a name is shown everywhere; write it out".to_owned()
            }
            text => match text.chars().find(|c| bad(*c)) {
                Some(c) => {
                    format!("a name has letters, digits, `-`, `_`, `.` and spaces, not {c:?}")
                }
                None => return Ok(name.value),
            },
        };
        Err(ConfigError::value(name.place, "name", why))
    }

    /// A length of time between bounds; what is wrong is noted.
    pub(crate) fn span(
        &self,
        key: &str,
        text: Option<At<String>>,
        (least, most): (Duration, Duration),
    ) -> Option<Duration> {
        let read = |text: At<String>| {
            let text = self.text(key, text)?;
            let span = units::duration(&text.value).map_err(|why| text.bad(key, why))?;
            if span.is_zero() {
                Err(text.bad(key, "must be longer than nothing"))
            } else if span < least {
                let why = format!(
                    "`{}` is too short; at least {}",
                    text.value,
                    units::show(least)
                );
                Err(text.bad(key, why))
            } else if span > most {
                let why = format!(
                    "`{}` is too long; at most {}",
                    text.value,
                    units::show(most)
                );
                Err(text.bad(key, why))
            } else {
                Ok(span)
            }
        };
        self.keep(read(text?))
    }

    /// `every`, `timeout` and `deep_every`, each inherited where it is not said.
    pub(crate) fn cadence(
        &self,
        every: Option<At<String>>,
        timeout: Option<At<String>>,
        deep_every: Option<At<String>>,
        inherited: Defaults,
    ) -> Defaults {
        Defaults {
            every: self
                .span("every", every, (EVERY_MIN, EVERY_MAX))
                .unwrap_or(inherited.every),
            timeout: self
                .span("timeout", timeout, (Duration::ZERO, TIMEOUT_MAX))
                .unwrap_or(inherited.timeout),
            deep_every: self
                .span("deep_every", deep_every, (EVERY_MIN, EVERY_MAX))
                .unwrap_or(inherited.deep_every),
        }
    }

    pub(crate) fn service(&self, spec: ServiceSpec) -> Option<Service> {
        let ServiceSpec {
            name,
            url,
            checks,
            labels,
            needs,
            every,
            timeout,
            deep_every,
            expect,
            promises,
        } = spec;
        let place = name.place;
        let before = self.noted.borrow().problems.len();
        let name = self.keep(self.name(name));
        let promises = self.promises(promises.unwrap_or_default());
        let inherited = Inherited {
            defaults: self.cadence(every, timeout, deep_every, self.inherit.get()),
            expect: self.expect(expect.unwrap_or_default(), promises.answer),
        };
        let shown = name.as_deref().unwrap_or("?");
        if url.is_none() && checks.is_empty() {
            let problem = Problem::Missing {
                key: "url".to_owned(),
                of: format!("the service `{shown}`"),
                example: "`url: https://www.example.com/`, or `checks:`".to_owned(),
            };
            self.lacks::<()>(ConfigError::new(place, problem));
        }
        if let Some(beyond) = checks.get(CHECKS_MAX) {
            let why = format!("a service has at most {CHECKS_MAX} checks");
            self.keep::<()>(Err(ConfigError::value(beyond.place, "checks", why)));
            return None;
        }
        let mut names = Vec::new();
        let mut all = Vec::new();
        if let Some(url) = url {
            names.push(At {
                value: "main".to_owned(),
                place: url.place,
            });
            all.extend(self.keep(self.main_check(url, &inherited)));
        }
        for check in checks {
            names.push(check.value.name.clone());
            all.extend(self.check(check, &inherited));
        }
        known::once("check", &names, &mut self.noted.borrow_mut().problems);
        let labels = self.keep(self.labels(labels, place));
        if self.noted.borrow().problems.len() > before {
            return None;
        }
        Some(Service {
            name: name?,
            labels: labels?,
            needs: needs.into_iter().map(|need| need.value).collect(),
            checks: all,
            promises,
        })
    }

    fn labels(
        &self,
        labels: BTreeMap<String, String>,
        place: Place,
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        labels
            .into_iter()
            .map(|(key, value)| {
                if !crate::telling::is_label(&key) {
                    let why = format!("`{key}` is no label; use letters, digits and `_-./`");
                    return Err(ConfigError::value(place, "labels", why));
                }
                let value = self.text("labels", At { value, place })?.value;
                Ok((key, value))
            })
            .collect()
    }
}
