//! Everything that is wrong with a configuration, for logs and for people.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents,
};
use regex::Regex;

use crate::error::ConfigError;
use crate::place::Place;
use crate::secret::{REDACTED, without_passwords};

/// Most problems that are listed: nobody repairs more in one go.
pub(crate) const MAX: usize = 100;

/// Longest line that is pictured, bytes: a longer one is shown by its place alone.
const LINE_LEN_MAX: usize = 400;

/// Everything that was found wrong, in order of file, line and column; never empty.
#[derive(Clone, thiserror::Error)]
pub struct Problems {
    all: Vec<Shown>,
    are_there_more: bool,
    /// Files that `${file:…}` asked for.
    asked: Vec<PathBuf>,
}

#[derive(Clone)]
struct Shown {
    error: ConfigError,
    /// The line it stands in, without what may be a secret.
    line: Option<String>,
}

/// A file that was read.
#[derive(Clone)]
pub struct Source {
    /// The file, as it is named in messages.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

impl std::fmt::Debug for Source {
    /// Without the text, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({})", self.path.display())
    }
}

/// One line for each: `bellwether.yaml:3:5: unknown key …`.
impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl std::fmt::Debug for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.lines()).finish()
    }
}

impl From<ConfigError> for Problems {
    fn from(error: ConfigError) -> Self {
        let line = None;
        Self {
            all: vec![Shown { error, line }],
            are_there_more: false,
            asked: Vec::new(),
        }
    }
}

impl Problems {
    /// Puts what was found in order, names the files and keeps the lines for pictures.
    pub(crate) fn new(mut found: Vec<ConfigError>, sources: &[Source]) -> Self {
        found.sort_by_key(|error| error.place);
        found.dedup();
        let are_there_more = found.len() > MAX;
        found.truncate(MAX);
        let files: Vec<PathBuf> = sources.iter().map(|s| s.path.clone()).collect();
        let all = found.into_iter().map(|error| Shown {
            line: line_at(sources, error.place),
            error: error.in_files(&files),
        });
        Self {
            all: all.collect(),
            are_there_more,
            asked: Vec::new(),
        }
    }

    /// Adds the files that `${file:…}` asked for.
    #[must_use]
    pub(crate) fn asking(mut self, files: Vec<PathBuf>) -> Self {
        self.asked = files;
        self
    }

    /// Files that `${file:…}` asked for, read or not: where one changes, the configuration may be
    /// right though no line of it changed.
    #[must_use]
    pub fn asked_files(&self) -> &[PathBuf] {
        &self.asked
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &ConfigError> {
        self.all.iter().map(|shown| &shown.error)
    }

    /// Each as one line: `bellwether.yaml:3:5: unknown key …`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.iter().map(|e| one_line(&e.to_string())).collect();
        if self.are_there_more {
            lines.push(format!("and more; these are the first {MAX}"));
        }
        lines
    }

    /// The first.
    #[must_use]
    pub fn first(&self) -> &ConfigError {
        &self.all.first().expect("problems are never empty").error
    }

    /// Each with the line it stands in and a mark below it, for a terminal of so many columns.
    #[must_use]
    pub fn pictured(&self, columns: usize, color: Color) -> String {
        let theme = match color {
            Color::Yes => GraphicalTheme::unicode(),
            Color::No => GraphicalTheme::unicode_nocolor(),
        };
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(columns)
            .with_context_lines(0)
            .with_links(false)
            .without_primary_span_start();
        let mut out = String::new();
        for shown in &self.all {
            let drawn = handler.render_report(&mut out, &Picture::of(shown));
            if drawn.is_err() {
                out.push_str(&one_line(&shown.error.to_string()));
                out.push('\n');
            }
        }
        if self.are_there_more {
            out.push_str(&format!("and more; these are the first {MAX}\n"));
        }
        out
    }
}

/// Are pictures coloured?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// With the terminal's colours.
    Yes,
    /// Plain.
    No,
}

/// Line breaks and control characters of quoted values would forge further lines.
fn one_line(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(shown).collect()
}

/// The text of a place's line, without what may be a secret.
fn line_at(sources: &[Source], place: Place) -> Option<String> {
    let source = sources.get(usize::try_from(place.file).ok()?)?;
    let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let line = source.text.lines().nth(line)?;
    if line.len() > LINE_LEN_MAX {
        return None;
    }
    let line: String = line.replace('\t', " ");
    Some(without_secrets(&one_line(&line)))
}

/// Replaces what stands behind keys of secrets, and what looks like a piece of a key.
fn without_secrets(line: &str) -> String {
    static BEHIND_KEYS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?i)((?:token|webhook|password|secret|client_cert)"?\s*:\s*)("(?:[^"\\]|\\.)*"?|'[^']*'?|[^,}\s][^,}]*)"#)
            .expect("a pattern that is tested")
    });
    static KEY_LIKE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/=]{40,}").expect("a pattern that is tested"));
    let line = without_passwords(line);
    let masked = BEHIND_KEYS.replace_all(&line, format!("${{1}}{REDACTED}").as_str());
    KEY_LIKE.replace_all(&masked, REDACTED).into_owned()
}

/// A problem in the form that is drawn.
struct Picture<'a> {
    shown: &'a Shown,
    words: String,
    source: Option<OneLine>,
}

impl<'a> Picture<'a> {
    fn of(shown: &'a Shown) -> Self {
        let place = shown.error.place;
        let name = shown.error.path.as_deref().unwrap_or(Path::new(""));
        let source = shown.line.as_ref().map(|text| OneLine {
            name: format!("{}:{}:{}", name.display(), place.line, place.column),
            text: text.clone(),
            line: usize::try_from(place.line).unwrap_or(1).saturating_sub(1),
        });
        let words = match source {
            Some(_) => one_line(&shown.error.problem.to_string()),
            None => one_line(&shown.error.to_string()),
        };
        Self {
            shown,
            words,
            source,
        }
    }

    /// The word at the place, in bytes of its line.
    fn span(&self, line: &str) -> (usize, usize) {
        let column = usize::try_from(self.shown.error.place.column).unwrap_or(1);
        let start = line
            .char_indices()
            .nth(column.saturating_sub(1))
            .map_or(line.len(), |(at, _)| at);
        let word = line[start..]
            .find(|c: char| c.is_whitespace() || ",:]}".contains(c))
            .unwrap_or(line.len() - start);
        let first = line[start..].chars().next().map_or(0, char::len_utf8);
        (start, word.max(first))
    }
}

impl std::fmt::Debug for Picture<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Picture<'_> {}

impl miette::Diagnostic for Picture<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|line| line as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (start, len) = self.span(&self.source.as_ref()?.text);
        let here = LabeledSpan::new(Some("here".to_owned()), start, len);
        Some(Box::new(std::iter::once(here)))
    }
}

/// One line of a file, which knows which one it is.
struct OneLine {
    name: String,
    text: String,
    line: usize,
}

impl SourceCode for OneLine {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        _: usize,
        _: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        if span.offset() + span.len() > self.text.len() {
            return Err(MietteError::OutOfBounds);
        }
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            self.text.as_bytes(),
            SourceSpan::from((0, self.text.len())),
            self.line,
            0,
            1,
        )))
    }
}
