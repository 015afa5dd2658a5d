//! What runs, on stderr, while it runs.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use bellwether_model::job::Job;
use bellwether_model::text::inert;
use bellwether_model::{Observation, ProbeKind};

use crate::cli::{Format, OutputArgs};
use crate::output;
use crate::text::WIDTH;

/// One line that is written over and over, if a person looks at it.
pub(crate) struct Progress {
    shown: bool,
    target: String,
    counts: [(ProbeKind, u32); 7],
    start: Instant,
    width: usize,
}

/// Longest line that is thought of.
const LINE_MAX: usize = 400;

impl Progress {
    /// Says what is asked of whom, if stderr is a terminal.
    pub(crate) fn new(job: &Job, output: OutputArgs) -> Self {
        let wanted = output.format == Format::Text && !output.quiet;
        let progress = Self {
            shown: wanted && std::io::stderr().is_terminal(),
            target: job.target.text.clone(),
            counts: [
                (ProbeKind::Delegation, 0),
                (ProbeKind::ResolverMatrix, 0),
                (ProbeKind::Control, 0),
                (ProbeKind::Tcp, 0),
                (ProbeKind::Tls, 0),
                (ProbeKind::Http, 0),
                (ProbeKind::Icmp, 0),
            ],
            start: Instant::now(),
            // One column less: a line that fills the last one moves the cursor on.
            width: output::columns().unwrap_or(WIDTH) - 1,
        };
        progress.draw();
        progress
    }

    /// One probe ended.
    pub(crate) fn seen(&mut self, observation: &Observation) {
        if let Some((_, count)) = self
            .counts
            .iter_mut()
            .find(|(kind, _)| *kind == observation.probe)
        {
            *count += 1;
        }
        self.draw();
    }

    /// Wipes the line.
    pub(crate) fn finish(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn draw(&self) {
        if !self.shown {
            return;
        }
        let done: Vec<String> = self
            .counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("{} {count}", label(*kind)))
            .collect();
        let seconds = self.start.elapsed().as_secs_f64();
        let line = format!("{seconds:.1} s  {}  {}", self.target, done.join(", "));
        let line: String = inert(&line, LINE_MAX).chars().take(self.width).collect();
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }
}

/// What a probe of this kind has done, before its count.
fn label(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Delegation => "zone levels",
        ProbeKind::ResolverMatrix => "resolvers",
        ProbeKind::Control => "controls",
        ProbeKind::Tcp => "connections",
        ProbeKind::Tls => "handshakes",
        ProbeKind::Http => "requests",
        ProbeKind::Icmp => "echoes",
        ProbeKind::Dns | ProbeKind::Dnssec | ProbeKind::Addresses | ProbeKind::Path => "others",
    }
}
