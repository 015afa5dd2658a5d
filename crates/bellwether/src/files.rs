//! Files that the user names: read with a bound, complained about with path and cure.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bellwether_model::Report;
use bellwether_model::report::REPORT_SCHEMA;

/// Largest file that is read whole, bytes: above any report that the probes' limits allow.
const FILE_LEN_MAX: u64 = 64 * 1024 * 1024;

/// The text of a file; `-` is stdin where `stdin` says so.
pub(crate) fn text(what: &str, path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .take(FILE_LEN_MAX + 1)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|f| f.take(FILE_LEN_MAX + 1).read_to_string(&mut text))
    };
    read.with_context(|| format!("failed to read {what} `{}`", path.display()))?;
    if text.len() as u64 > FILE_LEN_MAX {
        bail!(
            "{what} `{}` is larger than {FILE_LEN_MAX} bytes",
            path.display()
        );
    }
    Ok(text)
}

/// A saved report.
pub(crate) fn report(what: &str, path: &Path) -> Result<Report> {
    let text = text(what, path)?;
    let shown = path.display();
    let value: serde_json::Value = serde_json::from_str(&text).with_context(|| {
        format!("{what} `{shown}` is no JSON; write one by `bellwether check TARGET --save FILE`")
    })?;
    match value.get("schema").and_then(|s| s.as_str()) {
        Some(REPORT_SCHEMA) => {}
        Some(other) => {
            bail!("{what} `{shown}` has the schema `{other}`; `{REPORT_SCHEMA}` is read here")
        }
        None => bail!(
            "{what} `{shown}` is no report: it has no `schema`; write one by `bellwether check TARGET --save FILE`"
        ),
    }
    serde_json::from_str(&text).with_context(|| format!("{what} `{shown}` is no whole report"))
}

/// The certificates of a PEM file, DER in base64.
pub(crate) fn certificates(path: &Path) -> Result<Vec<String>> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = text("certificates", path)?;
    let shown = path.display();
    let mut found = Vec::new();
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (body, after) = after
            .split_once(END)
            .with_context(|| format!("`{shown}` has a certificate without its `{END}` line"))?;
        let body: String = body.split_ascii_whitespace().collect();
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
        // A DER certificate begins with a SEQUENCE of a two-byte length.
        if !body.starts_with("MI") || !body.chars().all(is_base64) || !body.len().is_multiple_of(4)
        {
            bail!(
                "`{shown}`: certificate {} is no PEM certificate",
                found.len() + 1
            );
        }
        found.push(body);
        rest = after;
    }
    if found.is_empty() {
        bail!("`{shown}` holds no certificate; PEM with `{BEGIN}` is read here");
    }
    Ok(found)
}
