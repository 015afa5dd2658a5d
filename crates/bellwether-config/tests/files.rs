//! Which files are read, how much of them, and which changes of them make another configuration.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use bellwether_config::{Loaded, Problems, load};

const SERVICES: &str = "services: [{ name: shop, url: https://www.shop.example/ }]\n";

fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// The only complaint.
fn said(loaded: Result<Loaded, Problems>) -> String {
    loaded.unwrap_err().to_string()
}

#[test]
fn what_never_ends_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bellwether.yaml");
    pipe(&file);
    let words = said(load(&file));
    assert!(words.contains("bellwether.yaml: "), "{words}");
    assert!(words.contains("no regular file"), "{words}");
    // One among several is not passed over either.
    fs::write(dir.path().join("a.yaml"), SERVICES).unwrap();
    let words = said(load(dir.path()));
    assert!(words.contains("no regular file"), "{words}");
    fs::remove_file(&file).unwrap();
    symlink("/dev/null", &file).unwrap();
    let words = said(load(&file));
    assert!(words.contains("no regular file"), "{words}");
    fs::remove_file(&file).unwrap();
    // A link to a file is how configuration is mounted and managed.
    symlink(dir.path().join("a.yaml"), &file).unwrap();
    assert_eq!(load(&file).unwrap().config.services.len(), 1);
}

#[test]
fn a_secret_is_no_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    pipe(&secret);
    let file = dir.path().join("bellwether.yaml");
    let text = format!(
        "services: [{{ name: shop, url: \"https://www.shop.example/${{file:{}}}\" }}]\n",
        secret.display()
    );
    fs::write(&file, text).unwrap();
    let words = said(load(&file));
    assert!(words.contains("no regular file"), "{words}");
    fs::remove_file(&secret).unwrap();
    fs::write(&secret, "key").unwrap();
    assert_eq!(load(&file).unwrap().files, [file, secret]);
}

#[test]
fn all_files_together_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mib = 1024 * 1024;
    for (name, len) in [("a.yaml", 40 * mib), ("b.yaml", 40 * mib)] {
        let file = fs::File::create(dir.path().join(name)).unwrap();
        file.set_len(len).unwrap();
    }
    let words = said(load(dir.path()));
    assert!(
        words.contains("b.yaml: failed to read it: the configuration has more than"),
        "{words}"
    );
}

#[test]
fn what_trust_names_is_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let named = ["ca.pem", "roots", "anchor", "owners.mmdb"].map(|name| dir.path().join(name));
    let [ca, roots, anchor, owners] = named.each_ref().map(|path| path.display());
    let file = dir.path().join("bellwether.yaml");
    let text = format!(
        "trust:\n  ca_files: [{ca}]\n  root_hints: {roots}\n  trust_anchor: {anchor}\n  asn_table: {owners}\n{SERVICES}"
    );
    fs::write(&file, text).unwrap();
    let read = || load(&file).unwrap().follow();
    let mut digests = vec![read().config.digest];
    for path in &named {
        assert!(read().files.contains(path), "{}", path.display());
        for content in ["one", "two"] {
            fs::write(path, content).unwrap();
            let digest = read().config.digest;
            assert_eq!(digest, read().config.digest);
            assert!(!digests.contains(&digest), "{}", path.display());
            digests.push(digest);
        }
    }
    // What does not end is waited for no more than what is missing.
    fs::remove_file(&named[0]).unwrap();
    let missing = read().config.digest;
    pipe(&named[0]);
    assert_eq!(read().config.digest, missing);
    // Where nothing is named, nothing changes.
    fs::write(&file, SERVICES).unwrap();
    assert_eq!(read().config.digest, load(&file).unwrap().config.digest);
}

#[test]
fn a_secret_is_scrubbed_as_urls_write_it() {
    let dir = tempfile::tempdir().unwrap();
    let (file, secret) = (
        dir.path().join("bellwether.yaml"),
        dir.path().join("secret"),
    );
    fs::write(&secret, "canary key/\"9f\"").unwrap();
    let text = format!(
        "{SERVICES}receivers: [{{ name: jira, jira: {{ url: 'https://jira.example/', project: OPS, \
         token: '${{file:{}}}' }} }}]\nroute: {{ receiver: jira }}\n",
        secret.display()
    );
    fs::write(&file, text).unwrap();
    let config = load(&file).unwrap().config;
    for told in [
        "GET https://www.shop.example/canary key/\"9f\"/x",
        "GET https://www.shop.example/canary%20key/%229f%22/x",
        "https://other.example/?from=canary+key%2F%229f%22",
    ] {
        let shown = config.scrub(told);
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("***"), "{shown}");
    }
}
