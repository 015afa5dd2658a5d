//! Configuration: YAML text becomes validated services, each complaint with its place and cure.
//!
//! A file is read twice over: into [`spec`], which is what people write (serde, unknown keys
//! refused, every value with its place), and from there into the types of `bellwether-model`,
//! which are what the program uses. Nothing but this crate sees a `Spec`, except for the lab,
//! whose scenarios hold services "exactly as in `bellwether.yaml`".
//!
//! This crate starts nothing and dials nothing. What it reads besides the text it is given is
//! what the text itself names: `${env:X}` and `${file:/p}`, through [`Lookup`].
//!
//! - [`spec`][]: the file's shape
//! - [`convert`][]: from the file's shape to the model's
//! - [`error`][]: complaints
//! - [`nearest`][]: the known word nearest to an unknown one
//! - [`place`][]: a value with its line and column
//! - [`substitute`][]: `${…}` inside strings
//! - [`units`][]: durations

pub mod convert;
pub mod error;
pub mod nearest;
pub mod place;
pub mod spec;
pub mod substitute;
pub mod units;

mod read;

pub use error::{ConfigError, Problem};
pub use place::{At, Place};
pub use read::{Config, parse, parse_service, schema, schema_of_service, yaml};
pub use spec::ServiceSpec;
pub use substitute::{Lookup, System};
