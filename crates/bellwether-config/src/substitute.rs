//! `${env:X}`, `${file:/p}` and `$${` inside strings.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Where the values of `${…}` come from.
pub trait Lookup {
    /// The environment variable of this name.
    fn env(&self, name: &str) -> Option<String>;

    /// The text of this file.
    ///
    /// # Errors
    /// What the system says.
    fn file(&self, path: &Path) -> std::io::Result<String>;

    /// May everybody on this machine read this file?
    fn is_open_to_all(&self, _path: &Path) -> bool {
        false
    }
}

/// Largest secret file, bytes: a chain of certificates with its key is far below it.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// Shorter texts than this are not replaced by [`crate::Config::scrub`]: they stand in every other
/// line, and hide nothing.
pub(crate) const SCRUBBED_LEN_MIN: usize = 4;

/// The environment and the files of this process.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Lookup for System {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> std::io::Result<String> {
        crate::regular::text(path, FILE_LEN_MAX)
    }

    fn is_open_to_all(&self, path: &Path) -> bool {
        let mode = std::fs::metadata(path).map(|data| data.permissions().mode());
        mode.is_ok_and(|mode| mode & OTHERS_READ != 0)
    }
}

/// The bit of a file's mode that lets everybody read it.
const OTHERS_READ: u32 = 0o004;

/// Does a text hold a `${…}` that is replaced?
#[must_use]
pub fn has_any(text: &str) -> bool {
    text.replace("$${", "").contains("${")
}

/// Replaces each `${…}`; `seen` is told of each value, with what stands between the braces. A file's
/// last newline is not part of its value, as in a shell.
///
/// # Errors
/// In words: an unknown kind, a missing variable or file, a brace that is not closed.
pub fn substitute(
    text: &str,
    lookup: &dyn Lookup,
    seen: &mut dyn FnMut(&str, &str),
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$${") {
            out.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let (inside, after) = after.split_once('}').ok_or_else(|| {
                format!("`{rest}` lacks its `}}`; write `$${{` for a literal `${{`")
            })?;
            let value = value(inside, lookup)?;
            seen(inside, &value);
            out.push_str(&value);
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn value(inside: &str, lookup: &dyn Lookup) -> Result<String, String> {
    match inside.split_once(':') {
        Some(("env", name)) => lookup
            .env(name)
            .ok_or_else(|| format!("the environment variable `{name}` is not set")),
        Some(("file", path)) => lookup
            .file(Path::new(path))
            .map(|text| text.strip_suffix('\n').map(str::to_owned).unwrap_or(text))
            .map_err(|error| format!("failed to read `{path}`: {error}")),
        _ => Err(format!(
            "`${{{inside}}}` is unknown; use `${{env:NAME}}` or `${{file:/path}}`, and `$${{` for a literal `${{`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Lookup for Fixed {
        fn env(&self, name: &str) -> Option<String> {
            (name == "X").then(|| "${not again}".to_owned())
        }

        fn file(&self, path: &Path) -> std::io::Result<String> {
            if path == Path::new("/p") {
                Ok("secret\n".to_owned())
            } else {
                Err(std::io::Error::from(std::io::ErrorKind::NotFound))
            }
        }
    }

    #[test]
    fn values_are_put_in_once() {
        for (text, expected) in [
            ("plain $5", Ok("plain $5")),
            ("a ${env:X} b", Ok("a ${not again} b")),
            ("${file:/p}!", Ok("secret!")),
            ("$${env:X}", Ok("${env:X}")),
            ("${env:Y}", Err("`Y` is not set")),
            ("${file:/q}", Err("failed to read `/q`")),
            ("${X}", Err("is unknown")),
            ("${env:X", Err("lacks its")),
        ] {
            match (substitute(text, &Fixed, &mut |_, _| {}), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected),
                (Err(got), Err(expected)) => assert!(got.contains(expected), "{got}"),
                (got, expected) => panic!("{text}: {got:?}, not {expected:?}"),
            }
        }
    }
}
