//! What runs, on stderr, while it runs.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use bellwether_model::job::Job;
use bellwether_model::{Observation, ProbeKind};

use crate::cli::{Format, OutputArgs};

/// One line that is written over and over, if a person looks at it.
pub(crate) struct Progress {
    shown: bool,
    target: String,
    counts: [(ProbeKind, u32); 7],
    start: Instant,
}

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
            .map(|(kind, count)| format!("{} {count}", kind.name().replace('_', " ")))
            .collect();
        let seconds = self.start.elapsed().as_secs_f64();
        let line = format!(
            "checking {}  {seconds:.1} s  {}",
            self.target,
            done.join(", ")
        );
        let line: String = line.chars().take(79).collect();
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }
}
