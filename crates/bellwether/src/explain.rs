//! `explain`: what causes and facts mean.

use std::fmt::Write;

use anyhow::{Result, anyhow};
use bellwether_model::{Cause, FactKind};

use crate::cli::{self, ExplainArgs};
use crate::exit::Exit;
use crate::output;
use crate::text::{row, wrapped};

include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The page of `unknown`, which is no code of the taxonomy.
const UNKNOWN: &str = include_str!("../../../docs/unknown.md");

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs) -> Result<Exit> {
    let width = output::style().width;
    let list_width = output::list_width();
    let text = match &args.code {
        Some(code) => flowed(&page(cli::cause(code).map_err(|why| anyhow!(why))?), width),
        None if args.list => list(list_width),
        None => facts(list_width),
    };
    output::print(&text)?;
    Ok(Exit::Fine)
}

/// A text of paragraphs and lists, broken to fit; what continues an item stands below its text.
fn flowed(text: &str, width: usize) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let indent = if line.starts_with("- ") { 2 } else { 0 };
        for line in wrapped(line, width, indent) {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
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
    cause == Cause::Unknown
        || bellwether_diagnose::causes_with_rules().contains(&cause)
        || bellwether_hub::TOLD_BY_SERVE.contains(&cause)
}

fn list(width: usize) -> String {
    let mut text = String::new();
    for cause in Cause::ALL {
        let mark = if finds(*cause) { ' ' } else { '-' };
        let head = format!("{mark} {:34} ", cause.code());
        text.push_str(&row(&head, cause.definition(), width));
    }
    let version = env!("CARGO_PKG_VERSION");
    let _ = write!(
        text,
        "\n- : bellwether {version} cannot find this by itself yet\n"
    );
    text
}

fn facts(width: usize) -> String {
    let mut text = String::new();
    for kind in FactKind::ALL {
        let head = format!("{:29} ", kind.name());
        text.push_str(&row(&head, kind.meaning(), width));
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
    fn lists_are_whole_and_fit() {
        let starts = |text: &str, word: &str| {
            text.lines()
                .any(|l| l.trim_start_matches(['-', ' ']).split(' ').next() == Some(word))
        };
        let (causes, kinds) = (list(80), facts(80));
        for cause in Cause::ALL {
            assert!(starts(&causes, cause.code()), "{cause}");
        }
        for kind in FactKind::ALL {
            assert!(starts(&kinds, kind.name()), "{kind}");
        }
        let pages = Cause::ALL.iter().map(|c| flowed(&page(*c), 80));
        for text in pages.chain([causes, kinds]) {
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "too wide: {line}");
            }
        }
    }

    #[test]
    fn items_continue_below_their_text() {
        assert_eq!(flowed("- aa bb cc\ndd\n", 7), "- aa bb\n  cc\ndd\n");
    }
}
