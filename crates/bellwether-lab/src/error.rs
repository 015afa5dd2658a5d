//! What can go wrong in the lab itself.

use std::io;
use std::path::PathBuf;

use crate::scenario::Software;

/// What can go wrong in the lab itself. What the checked program does wrong is no error: it is a
/// missed expectation.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A scenario file that is none.
    #[error("{place}: {message}")]
    Scenario {
        /// File, line and column.
        place: String,
        /// What is wrong, and the cure.
        message: String,
    },
    /// A name that is no scenario, and no file.
    #[error("{0}")]
    Usage(String),
    /// A file that cannot be read or written.
    #[error("failed to {doing} `{path}`")]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The box could not be made.
    #[error("failed to {doing} for the Internet in a box{hint}")]
    Namespace {
        /// What was tried.
        doing: &'static str,
        /// What would help.
        hint: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a change of the box's network.
    #[error("failed to {doing} in the box: {message}")]
    Netlink {
        /// What was tried.
        doing: &'static str,
        /// The kernel's words.
        message: String,
    },
    /// The box is not empty.
    #[error(
        "the box has the interface `{0}` besides `lo`; packets could leave this machine, so nothing is started"
    )]
    Interface(String),
    /// A server in the box could not start.
    #[error("failed to listen on {address} in the box")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("failed to make a certificate for the box: {0}")]
    Certificate(String),
    /// A real server that is not installed.
    #[error(
        "`{program}` is not installed; `apt-get install {packages}` brings it, or `scripts/install-deps.sh test`"
    )]
    Software {
        /// The program.
        program: &'static str,
        /// Its Debian packages.
        packages: &'static str,
    },
    /// A child process could not be started or read.
    #[error("failed to {doing} `{program}`")]
    Child {
        /// What was tried.
        doing: &'static str,
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A child process that gave no result.
    #[error("the world of `{scenario}` gave no result: {message}")]
    World {
        /// The scenario.
        scenario: String,
        /// What it said.
        message: String,
    },
}

impl LabError {
    pub(crate) fn not_installed(software: Software) -> Self {
        Self::Software {
            program: software.program(),
            packages: software.packages(),
        }
    }

    /// Is it a mistake of the person who called: a bad file, an unknown name?
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Scenario { .. } | Self::Usage(_) | Self::File { doing: "read", .. }
        )
    }
}
