//! Complaints about configuration: what, where, and the cure.

use std::path::{Path, PathBuf};

use crate::place::Place;

/// What is wrong, with the file, line and column it stands at.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct ConfigError {
    /// The file, as the user named it.
    pub path: Option<PathBuf>,
    /// Line and column.
    pub place: Place,
    /// What is wrong.
    pub problem: Box<Problem>,
}

/// What can be wrong with configuration.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// The text is not the YAML that was expected: syntax, or a wrong type.
    #[error("{0}")]
    Shape(String),
    /// A key that does not exist.
    #[error("unknown key `{key}`; {cure}", cure = meant(.nearest.as_deref(), .known))]
    UnknownKey {
        /// The key.
        key: String,
        /// The known key that was probably meant.
        nearest: Option<String>,
        /// The keys known there.
        known: Vec<String>,
    },
    /// A kind of check that this version does not have.
    #[error("`{0}` checks come with a later version; this one has http, tcp, tls, dns and icmp")]
    LaterKind(String),
    /// A file or directory that cannot be read.
    #[error("failed to read it: {0}")]
    Unreadable(String),
    /// A key that must be there.
    #[error("`{key}` is missing in {of}; add it: {example}")]
    Missing {
        /// The key.
        key: String,
        /// In what.
        of: String,
        /// How it could look.
        example: String,
    },
    /// The same name, or the same key, twice.
    #[error("{what} `{name}` is defined twice, first in {first}; rename or remove one",
        first = whereabouts(.first_file.as_deref(), *.first))]
    Twice {
        /// Of what.
        what: &'static str,
        /// The name.
        name: String,
        /// Where the first one stands.
        first: Place,
        /// In which file, if it is another one.
        first_file: Option<PathBuf>,
    },
    /// A value that means nothing.
    #[error("`{key}`: {why}")]
    Value {
        /// Its key.
        key: String,
        /// What is wrong, with the cure.
        why: String,
    },
}

fn whereabouts(file: Option<&Path>, Place { line, column, .. }: Place) -> String {
    match file {
        Some(file) => format!("{}:{line}:{column}", file.display()),
        None => format!("line {line}, column {column}"),
    }
}

fn meant(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if known.is_empty() => "none is known here".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    }
}

impl ConfigError {
    /// A complaint about what stands at `place`; the file is named later.
    #[must_use]
    pub fn new(place: Place, problem: Problem) -> Self {
        Self {
            path: None,
            place,
            problem: Box::new(problem),
        }
    }

    /// A complaint about the value of `key`.
    #[must_use]
    pub fn value(place: Place, key: &str, why: impl std::fmt::Display) -> Self {
        let (key, why) = (key.to_owned(), why.to_string());
        Self::new(place, Problem::Value { key, why })
    }

    /// Names the file, if it is not named yet.
    #[must_use]
    pub fn in_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.path.get_or_insert_with(|| path.into());
        self
    }

    /// Names the file, of those that were read together.
    pub(crate) fn in_files(mut self, files: &[PathBuf]) -> Self {
        let named = |place: Place| usize::try_from(place.file).ok().and_then(|n| files.get(n));
        if let Problem::Twice {
            first, first_file, ..
        } = &mut *self.problem
            && first.file != self.place.file
        {
            *first_file = named(*first).cloned();
        }
        match named(self.place).cloned() {
            Some(path) => self.in_file(path),
            None => self,
        }
    }
}

/// `bellwether.yaml:3:5: unknown key …`, as editors and compilers write places.
impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}:", path.display())?;
        }
        if self.place.line > 0 {
            write!(f, "{}:{}:", self.place.line, self.place.column)?;
        }
        if self.path.is_some() || self.place.line > 0 {
            f.write_str(" ")?;
        }
        write!(f, "{}", self.problem)
    }
}
