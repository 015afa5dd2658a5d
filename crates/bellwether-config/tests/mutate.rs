//! P28: whatever becomes of a configuration by slips of the hand, reading it neither panics nor
//! refuses it without saying where and why.
//!
//! `BELLWETHER_MUTATIONS` says how many mutations are tried, `BELLWETHER_SEED` from where.

mod common;

use common::{FULL, loaded};
use fastrand::Rng;

/// Enough for every build; `cargo xtask mutate` runs more.
const MUTATIONS: u64 = 2_000;

/// Pieces that mean something to YAML, or to the format.
const PIECES: &[&str] = &[
    ":",
    "-",
    " ",
    "\n",
    "\t",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "&a",
    "*a",
    "<<: *a",
    "!!str",
    "|",
    ">",
    "#",
    "---",
    "...",
    "%",
    "${",
    "${env:X}",
    "${file:/x}",
    "$${",
    "null",
    "~",
    "true",
    "0",
    "-1",
    "1e999",
    "99999999999999999999",
    "every",
    "services",
    "name",
    "url",
    "\u{0}",
    "\u{feff}",
    "ü",
    "🦀",
    "\r",
    "? ",
    "@",
    "`",
    ",",
    "=",
    "60s",
    "1y",
    "0 0 30 2 *",
    "*/0 * * * *",
    "://",
];

fn number(name: &str, otherwise: u64) -> u64 {
    let told = std::env::var(name).ok();
    told.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// A place between two characters.
fn somewhere(rng: &mut Rng, text: &str) -> usize {
    let mut at = rng.usize(..=text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn mutated(rng: &mut Rng, text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let (a, b) = (
        rng.usize(..lines.len().max(1)),
        rng.usize(..lines.len().max(1)),
    );
    match rng.u8(..9) {
        // A byte.
        0 => {
            let mut bytes = text.as_bytes().to_vec();
            if !bytes.is_empty() {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        }
        // A line twice, gone, moved, indented otherwise.
        1 if !lines.is_empty() => {
            lines.insert(a, lines[b]);
            lines.join("\n")
        }
        2 if !lines.is_empty() => {
            lines.remove(a);
            lines.join("\n")
        }
        3 if !lines.is_empty() => {
            lines.swap(a, b);
            lines.join("\n")
        }
        4 if !lines.is_empty() => {
            let line = format!("{}{}", " ".repeat(rng.usize(..8)), lines[a].trim_start());
            lines[a] = &line;
            lines.join("\n")
        }
        // A piece put in, or in place of a word.
        5 | 6 => {
            let at = somewhere(rng, text);
            let piece = rng.choice(PIECES).expect("there are some");
            format!("{}{piece}{}", &text[..at], &text[at..])
        }
        7 => {
            let words: Vec<&str> = text.split_inclusive([' ', ',', ':']).collect();
            let at = rng.usize(..words.len().max(1));
            let other = if rng.bool() {
                rng.choice(PIECES)
            } else {
                rng.choice(&words)
            };
            let put = |(n, word): (usize, &&'_ str)| {
                if n == at {
                    other.map_or_else(String::new, |other| (*other).to_owned())
                } else {
                    (*word).to_owned()
                }
            };
            words.iter().enumerate().map(put).collect()
        }
        // An end too early.
        _ => text[..somewhere(rng, text)].to_owned(),
    }
}

#[test]
fn p28_mutated_configurations_are_read_or_refused_with_a_place() {
    let (count, seed) = (
        number("BELLWETHER_MUTATIONS", MUTATIONS),
        number("BELLWETHER_SEED", 1),
    );
    let mut refused = 0;
    for n in 0..count {
        let mut rng = Rng::with_seed(seed.wrapping_mul(1_000_000_007).wrapping_add(n));
        let mut text = FULL.to_owned();
        for _ in 0..rng.usize(1..=4) {
            text = mutated(&mut rng, &text);
        }
        let Err(problems) = loaded(&[("b.yaml", &text)]) else {
            continue;
        };
        refused += 1;
        for problem in problems.iter() {
            let lines = text.lines().count() as u64 + 1;
            let line = problem.place.line;
            assert!(
                (1..=lines).contains(&line),
                "mutation {n} of seed {seed}: {problem}\n{text}"
            );
            let words = problem.problem.to_string();
            assert!(words.len() > 8, "mutation {n} of seed {seed}: {words}");
        }
        assert!(
            !problems
                .pictured(80, bellwether_config::Color::No)
                .is_empty()
        );
    }
    eprintln!("{count} mutations, {refused} refused");
    assert!(refused > count / 2, "{refused} of {count}");
}
