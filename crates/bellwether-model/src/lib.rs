//! The words of bellwether as types.
//!
//! Every other crate speaks in these: what is aimed at ([`Target`]), what was promised of it
//! ([`Service`]), what one probe saw ([`Observation`]), which causes and facts exist ([`Cause`],
//! [`FactKind`]), and what a check reports ([`Report`]).
//!
//! This crate does no I/O, reads no clock and spawns nothing. Reading a file, dialling a socket or
//! judging an observation happens elsewhere; here is only what the others hand to each other.
//!
//! - [`cause`], [`layer`], [`fact`]: the public vocabulary of findings
//! - [`name`], [`target`], [`owner`], [`egress`]: what is aimed at, and what may be dialled
//! - [`service`]: services, checks, expectations, promises
//! - [`rtype`]: record types by name
//! - [`dns`], [`dnssec`], [`tls`], [`http`], [`net`]: what the probes of each layer saw
//! - [`observation`]: the record of one probe run
//! - [`run`]: a run of a check as a row, and envelopes of them
//! - [`brief`]: what one visit came to, as a worker says it
//! - [`harvest`]: what agents bring home; [`link`]: what agents and the hub say to each other
//! - [`incident`]: open matters with their timeline
//! - [`report`]: the report of one check, and its [`Baseline`]
//! - [`text`]: what strangers wrote, made harmless to show
//! - [`job`]: the envelope between a supervisor and its worker process

pub mod brief;
pub mod cause;
pub mod dns;
pub mod dnssec;
pub mod egress;
pub mod fact;
pub mod harvest;
pub mod http;
pub mod incident;
pub mod job;
pub mod layer;
pub mod link;
pub mod name;
pub mod net;
pub mod observation;
pub mod owner;
pub mod report;
pub mod resolver;
pub mod rtype;
pub mod run;
pub mod service;
pub mod target;
pub mod text;
pub mod tls;

pub use brief::Brief;
pub use cause::Cause;
pub use egress::{Egress, Origin};
pub use fact::{Fact, FactKind};
pub use incident::Incident;
pub use layer::Layer;
pub use name::DnsName;
pub use observation::{NotRun, NotRunReason, Observation, Outcome, ProbeKind};
pub use owner::Owner;
pub use report::{Baseline, Diagnosis, Finding, Report, Scope, Verdict};
pub use resolver::{Channel, Resolver, ResolverAddress};
pub use run::{CheckId, Digest, Envelope, Run, VantageId};
pub use service::{Expect, Service};
pub use target::Target;
