//! Exit codes, and words for stderr.

use std::io::Write;
use std::process::ExitCode;

use bellwether_model::report::Severity;
use bellwether_model::{Report, Verdict};

/// How the program ends. The codes are public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Healthy, or all as expected: 0.
    Fine,
    /// Degraded or broken, or not as expected; with `--strict` also warnings: 1.
    Broken,
    /// A usage or configuration error: 2.
    Usage,
    /// Our own vantage is at fault: 3.
    Ourselves,
    /// What a command run by `drill --exec` ended with.
    Other(u8),
}

impl Exit {
    /// What a report means for the exit code.
    pub(crate) fn of(report: &Report, strict: bool) -> Self {
        let warned = || {
            report
                .findings
                .iter()
                .any(|f| f.severity == Severity::Warning)
        };
        match report.verdict {
            Verdict::Healthy if strict && warned() => Self::Broken,
            Verdict::Healthy => Self::Fine,
            Verdict::Degraded | Verdict::Broken => Self::Broken,
            Verdict::Unknown => Self::Ourselves,
        }
    }

    /// For the system.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Fine => 0,
            Self::Broken => 1,
            Self::Usage => 2,
            Self::Ourselves => 3,
            Self::Other(code) => code,
        })
    }
}

/// A line on stderr. If nobody reads it, nobody needs it.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
