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
        ("help-agent.txt", &["agent", "--help"]),
        ("help-agent-enrol.txt", &["agent", "enrol", "--help"]),
        ("help-agent-run.txt", &["agent", "run", "--help"]),
        ("help-check.txt", &["check", "--help"]),
        ("help-diagnose.txt", &["diagnose", "--help"]),
        ("help-drill.txt", &["drill", "--help"]),
        ("help-explain.txt", &["explain", "--help"]),
        ("help-serve.txt", &["serve", "--help"]),
        ("help-status.txt", &["status", "--help"]),
        ("help-heartbeats.txt", &["heartbeats", "--help"]),
        ("help-incidents.txt", &["incidents", "--help"]),
        ("help-agents.txt", &["agents", "--help"]),
        ("help-agents-token.txt", &["agents", "token", "--help"]),
        ("help-agents-revoke.txt", &["agents", "revoke", "--help"]),
        ("help-incidents-show.txt", &["incidents", "show", "--help"]),
        ("help-incidents-ack.txt", &["incidents", "ack", "--help"]),
        ("help-incidents-note.txt", &["incidents", "note", "--help"]),
        ("help-store.txt", &["store", "--help"]),
        ("help-store-backup.txt", &["store", "backup", "--help"]),
        ("help-store-check.txt", &["store", "check", "--help"]),
    ] {
        let output = bellwether(args);
        assert!(output.status.success());
        golden(name, &text(&output.stdout));
    }
}

/// A variable stands for a flag that is not given, and is named where its file is no good. The
/// baseline is missing too, so that no check begins whatever becomes of the variable.
#[test]
fn variables_stand_for_flags() {
    let check = |variable: &str, value: &str, flags: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_bellwether"))
            .args(["check", OK, "--baseline", "gone.json"])
            .args(flags)
            .env(variable, value)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    };
    for (variable, flag) in [
        ("BELLWETHER_TRUST_ANCHOR", "--trust-anchor"),
        ("BELLWETHER_ROOT_HINTS", "--root-hints"),
    ] {
        let said = check(variable, "lost", &[]);
        assert!(said.contains(&format!("${variable} `lost`")), "{said}");
        let said = check(variable, "lost", &[flag, "other"]);
        assert!(said.contains("`other`"), "{said}");
        let said = check(variable, "", &[]);
        assert!(said.contains("the baseline `gone.json`"), "{said}");
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
    (&["check", "exa mple.com"], &["exa mple.com", "' '"]),
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
        &["check", OK, "--resolver", "tls://dns.quad9.net"],
        &["tls://dns.quad9.net", "give the address"],
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
    (
        &["check", OK, "--deadline", "-1"],
        &["--deadline", "from 0.1 to 600"],
    ),
    (
        &["check", OK, "--deadline", "inf"],
        &["--deadline", "from 0.1 to 600"],
    ),
    (&["check", OK, "-4", "-6"], &["cannot be used with"]),
    (
        &["check", OK, "--connect", "192.0.2.1:443"],
        &["--connect", "an address alone"],
    ),
    (
        &["check", OK, "--from", "a.example"],
        &["--from", "an address alone"],
    ),
    (
        &["check", OK, "--from", "192.0.2.1"],
        &["--from 192.0.2.1", "an address of this machine"],
    ),
    (
        &["check", OK, "--resolver", "[[9.9.9.9"],
        &["[[9.9.9.9", "`system`"],
    ),
    (&["check", "192.0.2"], &["`192.0.2` is no address"]),
    (
        &["check", "a.example/path"],
        &["write `https://a.example/path`"],
    ),
    (
        &["check", "dns://a.example?type=BOGUS"],
        &["`BOGUS` is no record type"],
    ),
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
    (
        &["config", "explain", "defaults.evry"],
        &["did you mean `defaults.every`"],
    ),
    (
        &["config", "explain", "hub", "-c", "bad-config.yaml"],
        &["bad-config.yaml:2:41: unknown key `expct`"],
    ),
];

#[test]
fn what_is_typed_wrongly_is_named_with_its_cure() {
    for (args, words) in WRONG {
        complains(args, words);
    }
}

/// Ends in 2, with these words on stderr and nothing on stdout.
fn complains(args: &[&str], words: &[&str]) {
    let output = bellwether(args);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    for word in words {
        assert!(
            stderr.contains(word),
            "{args:?}: {word} is not in: {stderr}"
        );
    }
    assert!(output.stdout.is_empty(), "{args:?}");
}

/// An option that reads a file, the file's bytes, and words that the complaint holds.
const WRONG_FILES: &[(&str, &[u8], &[&str])] = &[
    ("--expect", b"", &["x:1:1", "empty"]),
    (
        "--expect",
        b"name: a\nurl: \"\xff\"\n",
        &["line 2, column 7", "UTF-8"],
    ),
    (
        "--expect",
        b"name: a\nurl: https://a.example/\n---\nname: b\n",
        &["x:3:1", "second document"],
    ),
    ("--expect", b"name: *a\n", &["x:1:7", "no anchor"]),
    ("--expect", b"name: a\n\turl: b\n", &["tab", "spaces"]),
    ("--expect", b"name: a\0\n", &["x:1:8"]),
    (
        "--expect",
        b"name: a\nurl: https://a..example/\n",
        &["x:2:6", "empty label"],
    ),
    (
        "--expect",
        b"name: a\nurl: https://a.example/\nevery: 5 parsecs\n",
        &["x:3:8", "parsecs"],
    ),
    (
        "--expect",
        b"name: a\nurl: https://a.example/\nexpect: { addresses: [10.0.0.0/99] }\n",
        &["x:3:23", "10.0.0.0/99"],
    ),
    ("--baseline", b"", &["no JSON"]),
    ("--baseline", b"\x00\xff", &["line 1, column 2", "UTF-8"]),
    ("--baseline", b"[]", &["no `schema`"]),
    (
        "--baseline",
        br#"{"schema":"bellwether.check/2"}"#,
        &["newer bellwether", "update"],
    ),
    (
        "--baseline",
        br#"{"schema":"bellwether.drill/1"}"#,
        &["bellwether.drill/1", "--save"],
    ),
    (
        "--baseline",
        br#"{"schema":"bellwether.check/1"}"#,
        &["no whole report", "version"],
    ),
    (
        "--ca",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n",
        &["without its `-----END CERTIFICATE-----`"],
    ),
    (
        "--ca",
        b"-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n",
        &["certificate 1", "export it again"],
    ),
    ("--root-hints", b"hello world\n", &["line 1", "no data"]),
    (
        "--root-hints",
        b". 1 NS a.example.\na.example. 1 A 192.0.2\n",
        &["line 2", "192.0.2"],
    ),
    (
        "--trust-anchor",
        b". IN DS 20326 8 2 ZZ\n",
        &["20326 8 2 ZZ"],
    ),
    ("--asn-table", b"prefix;asn\n", &["`prefix,asn,owner`"]),
    (
        "--asn-table",
        b"prefix,asn,owner\n192.0.2.0/24\n",
        &["line 2", "1 of 3 fields"],
    ),
    (
        "--asn-table",
        b"prefix,asn,owner\n192.0.2.0/40,1,A\n",
        &["line 2", "192.0.2.0/40"],
    ),
];

#[test]
fn what_stands_in_a_file_wrongly_is_named_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let file = path.to_str().unwrap();
    for (option, bytes, words) in WRONG_FILES {
        std::fs::write(&path, bytes).unwrap();
        complains(&["check", OK, option, file], words);
    }
    for option in [
        "--expect",
        "--baseline",
        "--ca",
        "--root-hints",
        "--trust-anchor",
        "--asn-table",
    ] {
        let directory = folder.path().to_str().unwrap();
        complains(&["check", OK, option, directory], &["directory"]);
        // Without an end: read up to a bound.
        complains(&["check", OK, option, "/dev/zero"], &["MiB"]);
    }
    complains(&["drill", "/dev/zero"], &["longer than"]);
}

/// Aliases of aliases, and brackets in brackets: small files that would fill any memory.
#[test]
fn files_that_blow_up_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let file = path.to_str().unwrap();
    let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (this, last) in ('b'..='j').zip('a'..='i') {
        let nine = vec![format!("*{last}"); 9].join(", ");
        laughs += &format!("{this}: &{this} [{nine}]\n");
    }
    std::fs::write(&path, &laughs).unwrap();
    complains(
        &["check", OK, "--expect", file],
        &["x:1:1: unknown key `a`"],
    );
    // Where any key is taken, what aliases stand for is counted.
    let inside = laughs.replace('\n', "\n      ");
    let service = format!("name: a\nurl: {OK}\nexpect:\n  body:\n    json:\n      {inside}");
    std::fs::write(&path, service).unwrap();
    complains(&["check", OK, "--expect", file], &["aliases"]);
    let deep = format!("name: {}{}\n", "[".repeat(50_000), "]".repeat(50_000));
    std::fs::write(&path, deep).unwrap();
    complains(&["check", OK, "--expect", file], &["nested too deeply"]);
    std::fs::write(&path, "[".repeat(50_000)).unwrap();
    complains(&["diagnose", file], &["line 1 column"]);
}

#[test]
fn a_byte_order_mark_and_line_ends_of_windows_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.yaml");
    let windows = "\u{feff}services:\r\n  - name: a\r\n    url: https://a.example/\r\n";
    std::fs::write(&path, windows).unwrap();
    let done = bellwether(&["config", "check", path.to_str().unwrap()]);
    assert!(done.status.success(), "{}", text(&done.stderr));
}

/// stdout that is full is an error; one that nobody reads any more is none.
#[test]
fn what_cannot_be_printed() {
    let run = |stdout: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
        command.args(["explain", "--list"]).stdout(stdout);
        command.stderr(Stdio::piped()).output().unwrap()
    };
    let full = std::fs::File::create("/dev/full").unwrap();
    let done = run(full.into());
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("failed to write to stdout"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let done = run(writer.into());
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
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
        "good-config.yaml: ok, 1 service with 1 check, 1 run a minute from each vantage\n"
    );
    assert_eq!(
        text(&ok.stderr),
        "note: there is no receiver: nobody is told when something breaks\n"
    );
    let key = "services.a.checks.main.every";
    let explained = bellwether(&["config", "explain", key, "-c", "good-config.yaml"]);
    let explained = text(&explained.stdout);
    for part in ["= 60s", "the program's default", "a number and ms, s, m"] {
        assert!(explained.contains(part), "{explained}");
    }
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

/// Whoever copies or verifies where nothing is kept is told so, and nothing is made there.
#[test]
fn a_store_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    let copy = dir.path().join("copy");
    for args in [
        &["store", "check"][..],
        &["store", "backup", copy.to_str().unwrap()],
    ] {
        let args = [args, &["--data-dir", gone.to_str().unwrap()]].concat();
        let output = bellwether(&args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("no data of `serve`") && said.contains("--data-dir"),
            "{said}"
        );
        assert!(!gone.exists() && !copy.exists());
    }
}

/// `docs/promises.md` names tests and scenarios that exist.
#[test]
fn the_promises_name_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/promises.md")).unwrap();
    let mut code = String::new();
    sources(&root.join("crates"), &mut code);
    let mut named = 0;
    for word in page.split('`').skip(1).step_by(2) {
        let is_test = word.starts_with('p') && word[1..].starts_with(|c: char| c.is_ascii_digit());
        let is_scenario =
            word.starts_with("serve-") || word.starts_with("hostile-") || word.starts_with("v0");
        if is_test || word.starts_with("hostile_") {
            for name in alternatives(word) {
                let (begin, end) = match name.strip_suffix('*') {
                    Some(begin) => (begin, ""),
                    None => (name.as_str(), "("),
                };
                assert!(
                    code.contains(&format!("fn {begin}{end}")),
                    "there is no test {name}"
                );
                named += 1;
            }
        } else if is_scenario {
            let begin = word.trim_end_matches('*');
            let entries = std::fs::read_dir(root.join("scenarios")).unwrap().flatten();
            let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            assert!(
                names.any(|name| name.starts_with(begin)),
                "there is no scenario {word}"
            );
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}

/// `a_{b,c}_d` as `a_b_d` and `a_c_d`.
fn alternatives(word: &str) -> Vec<String> {
    let Some((before, rest)) = word.split_once('{') else {
        return vec![word.to_owned()];
    };
    let (inside, after) = rest.split_once('}').unwrap();
    let each = inside.split(',').map(|one| format!("{before}{one}{after}"));
    each.flat_map(|one| alternatives(&one)).collect()
}

/// Every Rust file below a directory, one after the other.
fn sources(dir: &Path, code: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, code);
        } else if path.extension().is_some_and(|e| e == "rs") {
            code.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
