//! What is said to a linked agent.
//!
//! A task of its own writes it, so that nobody waits for a slow line: what the agent sends is read and
//! kept meanwhile. Words go before parts of a plan, of which one at a time is on its way; whoever is sent
//! away hears no more of them.

use std::io;
use std::time::Duration;

use bellwether_link::frame::{self, FrameError};
use bellwether_model::link::{Refusal, ToAgent};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::visit::LAST_WORD;

/// How long an agent may take until it takes anything more of what is said.
const PATIENCE: Duration = Duration::from_secs(30);
/// Words that wait to be written: with more, no more is asked and answered until there is room.
const WORDS_MAX: usize = 64;

/// Says something to an agent.
pub(super) struct Out {
    words: mpsc::Sender<Vec<u8>>,
    parts: mpsc::Sender<Vec<u8>>,
    writes: Writes,
}

/// The task that writes; it ends with this.
struct Writes(JoinHandle<()>);

impl Drop for Writes {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Room for one part of a plan.
pub(super) struct Room(mpsc::OwnedPermit<Vec<u8>>);

impl Room {
    /// # Errors
    /// The part is longer than a frame may be.
    pub(super) fn say(self, part: &ToAgent) -> Result<(), FrameError> {
        self.0.send(frame::encode(part)?);
        Ok(())
    }
}

impl Out {
    pub(super) fn over(stream: impl AsyncWrite + Unpin + Send + 'static) -> Self {
        let (words, said) = mpsc::channel(WORDS_MAX);
        let (parts, planned) = mpsc::channel(1);
        let writes = Writes(tokio::spawn(write(stream, said, planned)));
        Self {
            words,
            parts,
            writes,
        }
    }

    /// Says this before all parts of a plan that are not on their way yet.
    ///
    /// # Errors
    /// It is longer than a frame may be, or nothing is taken any more.
    pub(super) async fn say(&self, message: &ToAgent) -> Result<(), FrameError> {
        let said = self.words.send(frame::encode(message)?).await;
        said.map_err(|_| gone())
    }

    /// Until there is room for a part of a plan.
    ///
    /// # Errors
    /// Nothing is taken any more.
    pub(super) async fn room(&self) -> Result<Room, FrameError> {
        let room = self.parts.clone().reserve_owned().await;
        room.map(Room).map_err(|_| gone())
    }

    /// Until nothing is taken any more.
    pub(super) async fn gone(&self) -> FrameError {
        self.words.closed().await;
        gone()
    }

    /// The last word. What was not written by then of a plan is not said.
    pub(super) async fn refuse(self, code: Refusal, why: String) {
        let Self {
            words,
            parts,
            mut writes,
        } = self;
        drop(parts);
        let said = async {
            if let Ok(frame) = frame::encode(&ToAgent::Refused { code, why }) {
                // Whoever does not listen is not waited for.
                let _ = words.send(frame).await;
            }
            drop(words);
            let _ = (&mut writes.0).await;
        };
        let _ = timeout(LAST_WORD, said).await;
    }
}

fn gone() -> FrameError {
    FrameError::Io(io::ErrorKind::TimedOut.into())
}

/// Writes what is said, until nobody has anything to say or nothing is taken.
async fn write(
    mut stream: impl AsyncWrite + Unpin,
    mut words: mpsc::Receiver<Vec<u8>>,
    mut parts: mpsc::Receiver<Vec<u8>>,
) {
    let mut is_planned = true;
    loop {
        let frame = tokio::select! {
            biased;
            word = words.recv() => match word {
                Some(word) => word,
                None => break,
            },
            part = parts.recv(), if is_planned => match part {
                Some(part) => part,
                None => {
                    is_planned = false;
                    continue;
                }
            },
        };
        if frame::write(&mut stream, &frame, PATIENCE).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}
