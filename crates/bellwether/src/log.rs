//! The log: lines go to stderr by a thread of their own, so that a reader who hangs stops nobody.
//!
//! Lines that nobody takes are dropped and counted; the count is said as soon as one is taken.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for a slow reader.
const WAITING_MAX: usize = 4_096;

/// Hands lines to the thread that writes them.
#[derive(Clone)]
pub(crate) struct Stderr {
    says: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl Stderr {
    /// Starts the thread.
    pub(crate) fn start() -> Self {
        Self::to(io::stderr())
    }

    fn to(mut out: impl Write + Send + 'static) -> Self {
        let (says, hears) = sync_channel::<Vec<u8>>(WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = dropped.clone();
        // Without a thread there is no log, and the rest works.
        let _ = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                for line in hears {
                    let _ = out.write_all(&line);
                    let lost = lost.swap(0, Ordering::Relaxed);
                    if lost > 0 {
                        let _ = writeln!(
                            out,
                            "{lost} lines of the log were dropped: nobody took them"
                        );
                    }
                }
            });
        Self { says, dropped }
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.says.try_send(line.to_owned()) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// Is it open, and what came through.
    type Passed = (bool, Vec<u8>);

    /// Takes nothing until it is opened.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<Passed>, Condvar)>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (state, opened) = &*self.0;
            let mut state = opened.wait_while(state.lock().unwrap(), |s| !s.0).unwrap();
            state.1.extend_from_slice(bytes);
            opened.notify_all();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_hangs_stops_nobody() {
        let gate = Gate::default();
        let mut log = Stderr::to(gate.clone());
        for line in 0..2 * WAITING_MAX {
            // A line is one write, as the subscriber does it.
            log.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        let (state, opened) = &*gate.0;
        state.lock().unwrap().0 = true;
        opened.notify_all();
        let said = |s: &mut Passed| String::from_utf8_lossy(&s.1).contains("were dropped");
        let state = opened
            .wait_while(state.lock().unwrap(), |s| !said(s))
            .unwrap();
        assert!(String::from_utf8_lossy(&state.1).starts_with("0\n"));
    }
}
