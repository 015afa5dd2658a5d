//! Configuration: YAML text becomes one validated [`Config`], each complaint with its place and
//! cure.
//!
//! Texts are read in three steps: into a tree whose every part knows its place, from there into
//! [`spec`], which is what people write (serde, unknown keys refused), and from there into
//! [`Config`] and the types of `bellwether-model`, which are what the program uses. All that is
//! wrong is found at once. Nothing but this crate sees a `Spec`, except for the lab, whose
//! scenarios hold services "exactly as in `bellwether.yaml`".
//!
//! This crate starts nothing and dials nothing. What it reads besides the files it is given is what
//! these name: `${env:X}` and `${file:/p}`, through [`Lookup`]. What stood for a `${…}` never comes
//! back out: not in complaints, not in echoes, not in `Debug`.
//!
//! - [`config`][]: what the program uses
//! - [`convert`][]: from the file's shape to what the program uses
//! - [`error`][], [`problems`][]: complaints, one and all of them
//! - [`explain`][]: where a value comes from and what it means
//! - [`nearest`][]: the known word nearest to an unknown one
//! - [`place`][]: a value with its file, line and column
//! - [`regular`][]: files that somebody else may have put there
//! - [`secret`][]: texts that never come back out
//! - [`spec`][]: the file's shape
//! - [`substitute`][]: `${…}` inside strings
//! - [`telling`][]: what the program uses for telling people
//! - [`units`][]: durations and sizes

pub mod config;
pub mod convert;
pub mod error;
pub mod explain;
pub mod nearest;
pub mod place;
pub mod problems;
pub mod regular;
pub mod secret;
pub mod spec;
pub mod substitute;
pub mod telling;
pub mod units;

mod decode;
mod echo;
mod names;
mod read;
mod schema;
mod service;
mod tree;

pub use config::Config;
pub use error::{ConfigError, Problem};
pub use place::{At, Place};
pub use problems::{Color, Problems, Source};
pub use read::{Loaded, load, parse, read, sources};
pub use schema::{schema, schema_of_service};
pub use secret::Secret;
pub use service::{parse_service, yaml};
pub use spec::ServiceSpec;
pub use substitute::{Lookup, System};
