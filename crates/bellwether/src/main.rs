//! The program: command line in, exit code out.
//!
//! `main` parses, runs the [`Command`], and maps what came of it to an exit code. Everything that can be wrong with what was typed is said here, with
//! place and cure, and ends in 2.
//!
//! - `cli`: what may be typed
//! - `check`, `diagnose`, `drill`, `explain`, `config`: one module each command
//! - `serve`: the hub with its built-in agent; `status`, `incidents`, `heartbeats` (`remote`), `store`: to read and
//!   act on one, and to copy its data
//! - `agent`: a vantage of a hub elsewhere
//! - `job`: from the command line to a job
//! - `text`: a report for people
//! - `worker`: both ends of the killable child process, as far as they are the binary's
//! - `allocator`: the last net against runaway allocation in a worker

mod agent;
mod allocator;
mod check;
mod cli;
mod config;
mod diagnose;
mod drill;
mod environment;
mod exit;
mod explain;
mod files;
mod job;
mod log;
mod output;
mod progress;
mod remote;
mod save;
mod schema;
mod serve;
mod store;
mod text;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, say};

/// The version of the program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting::new();

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Check(args) => check::run(*args),
        Command::Diagnose(args) => diagnose::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Status(args) => remote::status::run(&args),
        Command::Incidents(args) => remote::incidents::run(&args),
        Command::Heartbeats(args) => remote::heartbeats::run(&args),
        Command::Agent(command) => agent::run(&command),
        Command::Agents(args) => remote::agents::run(&args),
        Command::Store(command) => store::run(&command),
        Command::Drill(args) => drill::run(args),
        Command::Explain(args) => explain::run(&args),
        Command::Config(command) => config::run(&command),
        Command::Completions { shell } => output::completions(shell),
        Command::Man => output::manual(),
        Command::Worker { many: false } => worker::run(&ALLOCATOR),
        Command::Worker { many: true } => worker::run_many(&ALLOCATOR),
        Command::DrillWorld { job } => drill::world(&job),
    };
    match done {
        Ok(exit) => exit.code(),
        Err(error) => {
            say(&format!("error: {error:#}"));
            Exit::Usage.code()
        }
    }
}
