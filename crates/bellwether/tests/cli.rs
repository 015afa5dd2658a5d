//! The command line as a person meets it: help, complaints, exit codes. Nothing here asks the
//! network: every `check` ends before its first packet.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn bellwether(args: &[&str]) -> Output {
    bellwether_with(args, "")
}

fn bellwether_with(args: &[&str], stdin: &str) -> Output {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(args)
        .current_dir(data)
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A child that does not read has complained already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Compares with a golden file; `BLESS=1` writes it.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} differs; look at it, then BLESS=1");
}

#[test]
fn help() {
    for (name, args) in [
        ("help.txt", &["--help"][..]),
        ("help-check.txt", &["check", "--help"]),
        ("help-diagnose.txt", &["diagnose", "--help"]),
        ("help-drill.txt", &["drill", "--help"]),
        ("help-explain.txt", &["explain", "--help"]),
    ] {
        let output = bellwether(args);
        assert!(output.status.success());
        golden(name, &text(&output.stdout));
    }
}

#[test]
fn the_first_line_of_help_says_what_is_asked_of_whom() {
    let output = bellwether(&["check", "--help"]);
    let first = text(&output.stdout);
    assert!(first.starts_with("Asks "), "{first}");
    let paragraph = first.split("\n\n").next().unwrap().replace('\n', " ");
    for resolver in ["8.8.8.8", "1.1.1.1", "9.9.9.9", "a.root-servers.net"] {
        assert!(
            paragraph.contains(resolver),
            "{resolver} is not named: {paragraph}"
        );
    }
}

/// A target that nothing is wrong with.
const OK: &str = "https://a.example/";

/// What is typed, and words that the complaint holds. Each ends in 2.
const WRONG: &[(&[&str], &[&str])] = &[
    (&["check", "exa mple.com"], &["exa mple.com", "character"]),
    (
        &["check", "ftp://a.example/"],
        &["`ftp://` cannot be checked", "https://"],
    ),
    (&["check", "https://"], &["https://"]),
    (&["check", "a.example:99999"], &["99999", "1 to 65535"]),
    (
        &["check", "https://a:b@a.example/"],
        &["user name or password"],
    ),
    (
        &["check", OK, "--resolver", "dns.quad9.net"],
        &["--resolver", "`system`"],
    ),
    (
        &["check", OK, "--resolver", "tls://9.9.9.9"],
        &["tls://9.9.9.9", "port 53"],
    ),
    (
        &["check", OK, "--at", "yesterday"],
        &["yesterday", "2024-10-01T11:10:00Z"],
    ),
    (
        &["check", OK, "--allow-network", "10.0.0.0/40"],
        &["--allow-network", "10.0.0.0/40"],
    ),
    (
        &["check", OK, "--deadline", "0"],
        &["--deadline", "seconds"],
    ),
    (&["check", OK, "-4", "-6"], &["cannot be used with"]),
    (
        &["check", OK, "-6", "--connect", "192.0.2.1"],
        &["192.0.2.1", "v6"],
    ),
    (
        &["check", OK, "--control", "none", "--control", "9.9.9.9"],
        &["contradict"],
    ),
    (
        &["check", OK, "--from", "192.0.2.1", "--from", "192.0.2.2"],
        &["same family"],
    ),
    (
        &["check", OK, "--ca", "gone.pem"],
        &["gone.pem", "No such file"],
    ),
    (
        &["check", OK, "--ca", "incident.json"],
        &["incident.json", "no certificate"],
    ),
    (
        &["check", OK, "--root-hints", "gone"],
        &["the root hints `gone`", "No such file"],
    ),
    (
        &["check", OK, "--asn-table", "gone"],
        &["the ASN table `gone`"],
    ),
    (
        &["check", OK, "--trust-anchor", "incident.json"],
        &["the trust anchor `incident.json`"],
    ),
    (
        &["check", OK, "--baseline", "gone.json"],
        &["the baseline `gone.json`"],
    ),
    (
        &["check", OK, "--baseline", "bad.yaml"],
        &["bad.yaml", "no JSON"],
    ),
    (
        &["check", OK, "--baseline", "incident.json"],
        &["incident.json", "degraded", "last known good"],
    ),
    (
        &["check", OK, "--expect", "bad.yaml"],
        &["bad.yaml:3:1: unknown key `expct`; did you mean `expect`?"],
    ),
    (
        &["check", OK, "--save", "/nowhere/x.json"],
        &["/nowhere/x.json"],
    ),
    (&["check", OK, "--frmat", "json"], &["--frmat", "--format"]),
    (&["check"], &["TARGET"]),
    (&["diagnose", "gone.json"], &["gone.json", "No such file"]),
    (&["diagnose", "bad.yaml"], &["bad.yaml", "no JSON"]),
    (
        &["explain", "dns.delegation.wrongns"],
        &["did you mean `dns.delegation.wrong_ns`"],
    ),
    (&["explain"], &["CODE"]),
    (&["config", "check", "gone.yaml"], &["gone.yaml"]),
    (
        &["config", "check", "bad-config.yaml"],
        &["bad-config.yaml:2:41: unknown key `expct`"],
    ),
];

#[test]
fn what_is_typed_wrongly_is_named_with_its_cure() {
    for (args, words) in WRONG {
        let output = bellwether(args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        for word in *words {
            assert!(
                stderr.contains(word),
                "{args:?}: {word} is not in: {stderr}"
            );
        }
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn explain_and_config() {
    let page = bellwether(&["explain", "dns.delegation.wrong_ns"]);
    assert!(text(&page.stdout).contains("## What to do"));
    let list = text(&bellwether(&["explain", "--list"]).stdout);
    assert!(list.contains("promise.redundancy"));
    assert!(text(&bellwether(&["explain", "--facts"]).stdout).contains("parent_ns_changed"));
    let ok = bellwether(&["config", "check", "good-config.yaml"]);
    assert_eq!(
        text(&ok.stdout),
        "good-config.yaml: ok, 1 service with 1 check\n"
    );
    for args in [&["config", "schema"][..], &["config", "schema", "--report"]] {
        let schema: serde_json::Value = serde_json::from_slice(&bellwether(args).stdout).unwrap();
        assert!(schema["$schema"].is_string());
    }
}

#[test]
fn a_saved_report_without_context_cannot_be_judged_again() {
    let output = bellwether(&["diagnose", "incident.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no `context`"));
}

#[test]
fn completions_and_manual() {
    assert!(text(&bellwether(&["completions", "bash"]).stdout).contains("bellwether"));
    assert!(text(&bellwether(&["man"]).stdout).contains(".TH"));
}
