//! Files that the user names: read with a bound, complained about with path and cure.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use bellwether_model::Report;
use bellwether_model::report::REPORT_SCHEMA;
use bellwether_model::text::inert;
use bellwether_probe::roots;

/// Largest file that is read whole, bytes: above any report that the probes' limits allow.
const FILE_LEN_MAX: u64 = 64 * 1024 * 1024;
/// Longest schema name that is shown.
const SCHEMA_SHOWN_MAX: usize = 80;

/// The text of a file, without a byte order mark; `-` is stdin.
pub(crate) fn text(what: &str, path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .take(FILE_LEN_MAX + 1)
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|f| f.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes))
    };
    let shown = path.display();
    read.with_context(|| format!("failed to read {what} `{shown}`"))?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        bail!("{what} `{shown}` is larger than {} MiB", FILE_LEN_MAX >> 20);
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let column = 1 + String::from_utf8_lossy(&before[start..]).chars().count();
        anyhow!("{what} `{shown}` is no text: line {line}, column {column} is not UTF-8; save it as UTF-8")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
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
        Some(other) if is_newer(other) => bail!(
            "{what} `{shown}` was written by a newer bellwether (schema `{}`, this one reads `{REPORT_SCHEMA}`); update this one, or save the report again with it",
            inert(other, SCHEMA_SHOWN_MAX)
        ),
        Some(other) => bail!(
            "{what} `{shown}` has the schema `{}`; `{REPORT_SCHEMA}` is read here, which `bellwether check TARGET --save FILE` writes",
            inert(other, SCHEMA_SHOWN_MAX)
        ),
        None => bail!(
            "{what} `{shown}` is no report: it has no `schema`; write one by `bellwether check TARGET --save FILE`"
        ),
    }
    serde_json::from_str(&text).with_context(|| format!("{what} `{shown}` is no whole report"))
}

/// Is this a later version of the schema of reports?
fn is_newer(schema: &str) -> bool {
    let version = |s: &str| {
        let (name, number) = s.rsplit_once('/')?;
        Some((name.to_owned(), number.parse::<u32>().ok()?))
    };
    match (version(schema), version(REPORT_SCHEMA)) {
        (Some((theirs, later)), Some((ours, known))) => theirs == ours && later > known,
        _ => false,
    }
}

/// The certificates of a PEM file, DER in base64.
pub(crate) fn certificates(path: &Path) -> Result<Vec<String>> {
    let text = text("the certificates", path)?;
    roots::of_pem(&text).map_err(|why| anyhow!("`{}`: {why}", path.display()))
}
