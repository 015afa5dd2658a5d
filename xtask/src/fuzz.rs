//! `fuzz`: libFuzzer over the targets of the package `bellwether-fuzz`, on the stable toolchain.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, root, say, succeed};

/// What makes the compiler count which code ran: the pass and the options of `cargo fuzz`, without
/// a sanitizer, which stable toolchains do not have.
const INSTRUMENTATION: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions -Ccodegen-units=1";

/// Named so that build scripts and procedural macros are not instrumented.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Longest input: a DNS message over TCP, and some.
const INPUT_LEN_MAX: usize = 70_000;
/// An input that takes longer than this has found something, seconds.
const INPUT_SECONDS_MAX: u32 = 10;
/// Memory of the program, MiB.
const MEMORY_MAX: u32 = 1024;

/// Fuzzes the named targets, all if none is named, each for so many seconds.
pub(crate) fn run(names: &[String], seconds: u32) -> Result<()> {
    let corpora = root().join("fuzz/corpus");
    let all = folders(&corpora)?;
    for name in names {
        if !all.contains(name) {
            bail!("there is no target `{name}`; there are: {}", all.join(", "));
        }
    }
    let chosen = if names.is_empty() { &all } else { names };
    let program = build()?;
    let mut failed = Vec::new();
    for name in chosen {
        say(&format!("\n{name}: {seconds} s"));
        if !fuzz(&program, name, seconds, &corpora.join(name))? {
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!(
        "found something in: {}; copy the inputs under target/fuzz/found into the corpora of their targets, which makes them tests",
        failed.join(", ")
    )
}

fn folders(corpora: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(corpora).context("failed to read fuzz/corpus")?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.context("failed to read fuzz/corpus")?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn build() -> Result<PathBuf> {
    let target_dir = target_dir();
    let mut command = cargo();
    command
        .env("RUSTFLAGS", INSTRUMENTATION)
        .env("CARGO_TARGET_DIR", &target_dir)
        .args(["build", "--release", "--target", TRIPLE, "--locked"])
        .args(["--package", "bellwether-fuzz", "--features", "libfuzzer"]);
    succeed(&mut command)?;
    Ok(target_dir.join(TRIPLE).join("release/bellwether-fuzz"))
}

/// Apart from other builds, whose flags differ.
fn target_dir() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("fuzz")
}

/// `false` if an input broke a promise. What is new goes to a folder of its own, not to the
/// repository's corpus: that stays small and chosen.
fn fuzz(program: &Path, name: &str, seconds: u32, corpus: &Path) -> Result<bool> {
    let grown = target_dir().join("grown").join(name);
    let found = target_dir().join("found").join(name);
    for folder in [&grown, &found] {
        fs::create_dir_all(folder)
            .with_context(|| format!("failed to make {}", folder.display()))?;
    }
    // No target opens a socket; were one to, there is no network.
    let status = Command::new("unshare")
        .arg("-rn")
        .arg(program)
        .env("BELLWETHER_FUZZ", name)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_LEN_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MAX}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .args(["-print_final_stats=1", "-verbosity=0"])
        .arg(&grown)
        .arg(corpus)
        .status()
        .context("failed to start the fuzzer")?;
    Ok(status.success())
}
