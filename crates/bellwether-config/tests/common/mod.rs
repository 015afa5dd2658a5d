//! The example of the documentation, and where its secrets come from.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::io;
use std::path::Path;

use bellwether_config::{Config, Loaded, Lookup, Problems, Source, read};

/// Every key that the documentation shows.
pub const FULL: &str = include_str!("../data/full.yaml");

/// What is enough.
pub const THREE_LINES: &str = include_str!("../data/three-lines.yaml");

/// Of the form of a client certificate, with a canary as its key.
pub const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n\
    -----BEGIN PRIVATE KEY-----\nQ0FOQVJZa2V5\n-----END PRIVATE KEY-----\n";

/// Every value is a canary.
pub struct Canaries;

impl Lookup for Canaries {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "SLACK_WEBHOOK" => Some("https://hooks.slack.example/CANARYhook".to_owned()),
            "JIRA_TOKEN" => Some("CANARYtoken".to_owned()),
            "TEXT" => Some("CANARYtext".to_owned()),
            _ => None,
        }
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some("/etc/bellwether/pay.pem") => Ok(PEM.to_owned()),
            Some("/open") => Ok("CANARYopen".to_owned()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn is_open_to_all(&self, path: &Path) -> bool {
        path == Path::new("/open")
    }
}

pub fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    let source = |(path, text): &(&str, &str)| Source {
        path: path.into(),
        text: (*text).to_owned(),
    };
    files.iter().map(source).collect()
}

pub fn loaded(files: &[(&str, &str)]) -> Result<Loaded, Problems> {
    read(sources(files), &Canaries)
}

pub fn config(text: &str) -> Config {
    loaded(&[("bellwether.yaml", text)])
        .expect("a valid configuration")
        .config
}

#[track_caller]
pub fn fails(files: &[(&str, &str)]) -> Vec<String> {
    loaded(files).expect_err("it is wrong").lines()
}
