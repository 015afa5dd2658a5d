//! `${env:X}`, `${file:/p}` and `$${` inside strings.

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
}

/// The environment and the files of this process.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Lookup for System {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &Path) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }
}

/// Replaces each `${…}`. A file's last newline is not part of its value, as in a shell.
///
/// # Errors
/// In words: an unknown kind, a missing variable or file, a brace that is not closed.
pub fn substitute(text: &str, lookup: &dyn Lookup) -> Result<String, String> {
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
            out.push_str(&value(inside, lookup)?);
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
            match (substitute(text, &Fixed), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected),
                (Err(got), Err(expected)) => assert!(got.contains(expected), "{got}"),
                (got, expected) => panic!("{text}: {got:?}, not {expected:?}"),
            }
        }
    }
}
