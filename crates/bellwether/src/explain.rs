//! `explain`: what causes and facts mean.

use std::fmt::Write;

use anyhow::{Result, anyhow};
use bellwether_model::{Cause, FactKind};

use crate::cli::{self, ExplainArgs};
use crate::exit::Exit;
use crate::output;

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The page of `unknown`, which is no code of the taxonomy.
const UNKNOWN: &str = include_str!("../../../docs/unknown.md");

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs) -> Result<Exit> {
    let text = match &args.code {
        Some(code) => page(cli::cause(code).map_err(|why| anyhow!(why))?),
        None if args.list => list(),
        None => facts(),
    };
    output::print(&text)?;
    Ok(Exit::Fine)
}

/// The page of a cause, with a line that says whether this version can find it.
fn page(cause: Cause) -> String {
    let found = finds(cause);
    let mut text = PAGES
        .iter()
        .find(|(code, _)| *code == cause.code())
        .map_or(UNKNOWN, |(_, page)| page)
        .to_owned();
    if !found {
        let version = env!("CARGO_PKG_VERSION");
        let _ = write!(
            text,
            "\nbellwether {version} cannot find this by itself yet.\n"
        );
    }
    text
}

fn finds(cause: Cause) -> bool {
    cause == Cause::Unknown || bellwether_diagnose::causes_with_rules().contains(&cause)
}

fn list() -> String {
    let mut text = String::new();
    for cause in Cause::ALL {
        let mark = if finds(*cause) { ' ' } else { '-' };
        let _ = writeln!(text, "{mark} {:36} {}", cause.code(), cause.definition());
    }
    let version = env!("CARGO_PKG_VERSION");
    let _ = write!(
        text,
        "\n- : bellwether {version} cannot find this by itself yet\n"
    );
    text
}

fn facts() -> String {
    let mut text = String::new();
    for kind in FactKind::ALL {
        let _ = writeln!(text, "{:32} {}", kind.name(), kind.meaning());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_page_with_all_sections() {
        for cause in Cause::ALL {
            let page = page(*cause);
            for section in [
                "## Meaning",
                "## How we know",
                "## Confused with",
                "## What to do",
            ] {
                assert!(page.contains(section), "{cause} lacks {section}");
            }
            assert!(page.starts_with(&format!("# {cause}\n")), "{cause}");
        }
        assert_eq!(PAGES.len(), Cause::ALL.len(), "one page each");
    }

    #[test]
    fn lists_are_whole() {
        assert_eq!(
            list().lines().filter(|l| l.contains('.')).count(),
            Cause::ALL.len() + 1
        );
        assert_eq!(facts().lines().count(), FactKind::ALL.len());
    }
}
