//! Parameters of a query, read strictly: what is unknown or wrong is named, all of it at once.

use http::Uri;
use jiff::Timestamp;

use super::problem::{FieldError, Problem};

/// Parameters that are looked at; none of ours takes more than a few.
const PARAMETERS_MAX: usize = 32;

/// Rows of a page if nothing is said.
pub(crate) const LIMIT_DEFAULT: u64 = 100;

/// Most rows of a page.
pub(crate) const LIMIT_MAX: u64 = 1_000;

/// Longest value of `page`, bytes.
const PAGE_LEN_MAX: usize = 512;

/// The parameters of a query.
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Query {
    /// Reads a query in which these parameters may stand, each once.
    pub(crate) fn read(uri: &Uri, known: &[&str]) -> Self {
        let mut query = Self {
            pairs: Vec::new(),
            errors: Vec::new(),
        };
        let given = url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes());
        for (name, value) in given.take(PARAMETERS_MAX) {
            if !known.contains(&name.as_ref()) {
                let known = match known {
                    [] => "none".to_owned(),
                    known => known.join(", "),
                };
                query.wrong(
                    &name,
                    format!("there is no such parameter; known here: {known}"),
                );
            } else if query.pairs.iter().any(|(other, _)| *other == name) {
                query.wrong(&name, "stands there twice".to_owned());
            } else {
                query.pairs.push((name.into_owned(), value.into_owned()));
            }
        }
        query
    }

    /// Refuses every parameter.
    ///
    /// # Errors
    /// There is one.
    pub(crate) fn none(uri: &Uri) -> Result<(), Problem> {
        Self::read(uri, &[]).done()
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let found = self.pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }

    /// A time.
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        match text.parse() {
            Ok(time) => Some(time),
            Err(_) => {
                let why = "not a time as RFC 3339 writes it, for example `2026-11-01T00:00:00Z`; \
                           in a query `+` is written `%2B`";
                self.wrong(name, why.to_owned());
                None
            }
        }
    }

    /// One of some words.
    pub(crate) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(name, format!("not one of: {}", words.join(", ")));
        }
        found.map(|(_, value)| *value)
    }

    /// Rows of a page.
    pub(crate) fn limit(&mut self) -> usize {
        let Some(text) = self.text("limit") else {
            return LIMIT_DEFAULT as usize;
        };
        match text.parse() {
            Ok(limit @ 1..=LIMIT_MAX) => limit as usize,
            _ => {
                self.wrong("limit", format!("not a whole number from 1 to {LIMIT_MAX}"));
                LIMIT_DEFAULT as usize
            }
        }
    }

    /// Where a page begins, as an earlier answer said in `next`.
    pub(crate) fn page<T>(&mut self, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text("page")?;
        let page = (text.len() <= PAGE_LEN_MAX).then(|| read(&text)).flatten();
        if page.is_none() {
            self.wrong(
                "page",
                "not what an earlier answer gave as `next`".to_owned(),
            );
        }
        page
    }

    /// Takes note of what is wrong.
    pub(crate) fn wrong(&mut self, name: &str, detail: String) {
        let name: String = name.chars().take(64).collect();
        self.errors.push(FieldError {
            pointer: format!("?{name}"),
            detail,
        });
    }

    /// Is all well?
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn done(self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::fields(self.errors))
        }
    }
}
