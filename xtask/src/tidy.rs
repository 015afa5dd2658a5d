//! `tidy`: the rules that no compiler proves.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{cargo, root, say};

/// Layers of the crates; a crate uses only crates of lower layers (ARCHITECTURE.md).
const LAYERS: &[(&str, u8)] = &[
    ("bellwether-model", 0),
    ("bellwether-config", 1),
    ("bellwether-pki", 1),
    ("bellwether-diagnose", 1),
    ("bellwether-link", 2),
    ("bellwether-probe", 2),
    ("bellwether-store", 2),
    ("bellwether-lab", 2),
    ("bellwether-agent", 3),
    ("bellwether-hub", 4),
    ("bellwether", 5),
    ("bellwether-bench", 5),
    ("bellwether-fuzz", 5),
];

/// What a crate never uses, though its layer would allow it or it is not ours.
const NEVER: &[(&str, &[&str], &str)] = &[
    (
        "bellwether-model",
        &["tokio", "socket2", "rustls"],
        "the model does no I/O",
    ),
    (
        "bellwether-diagnose",
        &[
            "tokio",
            "socket2",
            "rustls",
            "bellwether-probe",
            "bellwether-lab",
        ],
        "judging is pure",
    ),
    (
        "bellwether-pki",
        &["tokio", "socket2"],
        "parsing does no I/O",
    ),
    (
        "bellwether-lab",
        &["bellwether-probe", "bellwether-diagnose", "bellwether-pki"],
        "the lab shares no code with what it judges",
    ),
    (
        "bellwether-probe",
        &["bellwether-diagnose", "bellwether-config"],
        "probes never judge",
    ),
    (
        "bellwether-store",
        &["bellwether-diagnose", "bellwether-probe", "tokio"],
        "the store keeps, and neither judges nor asks",
    ),
    (
        "bellwether-hub",
        &["bellwether-probe"],
        "the hub asks no target",
    ),
];

/// Lines of a source file, tests left out.
const FILE_LINES_MAX: usize = 800;

/// Sections of a cause page.
const SECTIONS: &[&str] = &[
    "## Meaning",
    "## How we know",
    "## Confused with",
    "## What to do",
];

/// Documents whose relative links must lead somewhere.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
];

/// Runs all rules, and says what each proved.
pub(crate) fn run() -> Result<()> {
    let mut wrong = Vec::new();
    for (rule, check) in [
        ("crate layers", layers as fn() -> Result<Vec<String>>),
        ("cause pages", pages),
        ("file sizes", sizes),
        ("links", links),
    ] {
        let found = check().with_context(|| format!("failed to check {rule}"))?;
        say(&format!(
            "tidy: {rule}: {}",
            if found.is_empty() { "ok" } else { "WRONG" }
        ));
        wrong.extend(found);
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("the repository is untidy:\n  {}", wrong.join("\n  "))
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

fn layers() -> Result<Vec<String>> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("failed to start cargo metadata")?;
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cargo metadata prints no metadata")?;
    let members: Vec<Package> = metadata
        .packages
        .into_iter()
        .filter(|p| metadata.workspace_members.contains(&p.id) && p.name != "xtask")
        .collect();
    Ok(members.iter().flat_map(edges).collect())
}

/// What is wrong with the dependencies of one crate.
fn edges(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    let layer_of = |name: &str| {
        LAYERS
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, layer)| *layer)
    };
    let Some(layer) = layer_of(name) else {
        return vec![format!("{name} has no layer in xtask/src/tidy.rs")];
    };
    let mut wrong = Vec::new();
    for dependency in &package.dependencies {
        let used = dependency.name.as_str();
        if layer_of(used).is_some_and(|below| below >= layer) {
            wrong.push(format!(
                "{name} (layer {layer}) uses {used}, which is not below it"
            ));
        }
        // What only tests use does not make the crate impure.
        let in_tests = dependency.kind.as_deref() == Some("dev");
        let reason = NEVER
            .iter()
            .find(|(n, never, _)| *n == name && never.contains(&used));
        if let Some((_, _, reason)) = reason.filter(|_| !in_tests) {
            wrong.push(format!("{name} uses {used}: {reason}"));
        }
    }
    wrong
}

fn pages() -> Result<Vec<String>> {
    let source = read(&root().join("crates/bellwether-model/src/cause.rs"))?;
    let codes: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| {
            line.trim()
                .split_once(" = \"")?
                .1
                .split_once("\", \"")
                .map(|(c, _)| c)
        })
        .collect();
    let mut wrong = Vec::new();
    let folder = root().join("docs/causes");
    for code in &codes {
        let path = folder.join(format!("{code}.md"));
        let Ok(page) = fs::read_to_string(&path) else {
            wrong.push(format!("docs/causes/{code}.md is missing"));
            continue;
        };
        if !page.starts_with(&format!("# {code}\n")) {
            wrong.push(format!(
                "docs/causes/{code}.md does not begin with its code"
            ));
        }
        let lacks = SECTIONS.iter().filter(|section| !page.contains(**section));
        wrong.extend(lacks.map(|section| format!("docs/causes/{code}.md lacks `{section}`")));
    }
    for path in files(&folder, "md")? {
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !codes.contains(stem.as_str()) {
            wrong.push(format!("docs/causes/{stem}.md is a page of no code"));
        }
    }
    if codes.is_empty() {
        wrong.push("no cause codes were found in the model".to_owned());
    }
    Ok(wrong)
}

fn sizes() -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for folder in ["crates", "xtask"] {
        for path in files(&root().join(folder), "rs")? {
            let shown = path
                .strip_prefix(root())
                .unwrap_or(&path)
                .display()
                .to_string();
            let is_test = shown.contains("/tests/") || shown.ends_with("tests.rs");
            let text = read(&path)?;
            let lines = text
                .lines()
                .take_while(|line| *line != "#[cfg(test)]")
                .count();
            if lines > FILE_LINES_MAX && !is_test {
                wrong.push(format!(
                    "{shown} has {lines} lines; {FILE_LINES_MAX} are allowed"
                ));
            }
            if !text.starts_with("//!") && !is_test {
                wrong.push(format!("{shown} does not begin with its documentation"));
            }
        }
    }
    Ok(wrong)
}

fn links() -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for document in DOCUMENTS {
        let path = root().join(document);
        let Ok(text) = fs::read_to_string(&path) else {
            wrong.push(format!("{document} is missing"));
            continue;
        };
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            if !root().join(target).exists() {
                wrong.push(format!(
                    "{document} links to `{target}`, which does not exist"
                ));
            }
        }
    }
    Ok(wrong)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

/// All files below a folder with this extension, sorted.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let listed =
        fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
    for entry in listed {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
