//! One worker process with its pipes.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::super::FrameError;
use super::super::answer::Answer;
use super::super::frame;
use super::super::supervise::{EXIT_WAIT, Owned, death, tail};
use super::actor::TICK;

/// Bytes that a pipe is to hold: a burst of orders goes out at once although the worker is busy.
const PIPE_LEN: i32 = 1024 * 1024;
/// Ticks over which a worker was heard by when it is known to work: one that hangs whatever it has to
/// do says its first word like any other.
const PROOF: u64 = 4;
/// Ticks of silence by which it still works: one that has nothing to do speaks every other tick.
const PAUSE_MAX: u64 = 3;
/// Bytes read of what a worker says at once.
const READ_LEN: usize = 64 * 1024;
/// One that had less than this part of a processor while it wanted to run was not let.
const STARVED_SHARE: u64 = 10;
/// A frame above this length is read beside everything else: a trace's records take milliseconds, in
/// which others are due.
const LONG: usize = 64 * 1024;
/// Frames written at once.
const FRAMES_AT_ONCE: usize = 256;

/// What comes of a worker.
pub(super) enum Event {
    /// Orders came to their ends in the worker of this number.
    Answered(u64, Vec<Answer>),
    /// That worker says nothing any more; the reason, if it is not that its pipe ended.
    Ended(u64, Option<String>),
    /// A worker is gone.
    Buried(Buried),
}

/// A worker that is gone.
pub(super) struct Buried {
    /// Had it one order at a time?
    pub(super) is_apart: bool,
    /// How it ended.
    pub(super) why: String,
    /// The orders that were under way in it.
    pub(super) under_way: BTreeMap<u64, u64>,
}

/// Whether a worker says anything.
#[derive(Default)]
struct Voice {
    /// Since it was last looked at.
    now: AtomicBool,
    /// Since it was started.
    ever: AtomicBool,
}

/// A worker that runs.
pub(super) struct Process {
    /// Its number: that of no other one of this pool.
    pub(super) number: u64,
    /// Orders under way, each with the tick by which it must be over.
    pub(super) under_way: BTreeMap<u64, u64>,
    /// Their load.
    pub(super) load: usize,
    /// Ticks since it said anything.
    pub(super) silent: u64,
    /// Ticks since its first word.
    age: Option<u64>,
    /// Ticks from its first word to its last one.
    heard: u64,
    /// Processor time that it had had when it fell silent.
    spent: Option<u64>,
    /// Ticks since it has nothing to do.
    pub(super) idle: u64,
    /// Did it bring an order to its end?
    pub(super) has_told: bool,
    voice: Arc<Voice>,
    frames: mpsc::UnboundedSender<Arc<[u8]>>,
    child: Child,
    words: Owned<Vec<u8>>,
    _reader: Owned<()>,
    _writer: Owned<()>,
}

impl Process {
    /// Starts one.
    pub(super) fn start(
        mut command: Command,
        number: u64,
        events: &mpsc::Sender<Event>,
    ) -> std::io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(std::io::Error::other("it has no pipes"));
        };
        // Smaller ones are as good, only slower: the system bounds them for each user.
        let _ = crate::sys::set_pipe_len(&stdin, PIPE_LEN);
        let _ = crate::sys::set_pipe_len(&stdout, PIPE_LEN);
        let voice = Arc::new(Voice::default());
        let (frames, waiting) = mpsc::unbounded_channel();
        let reader = read(stdout, number, voice.clone(), events.clone());
        Ok(Self {
            number,
            under_way: BTreeMap::new(),
            load: 0,
            silent: 0,
            age: None,
            heard: 0,
            spent: None,
            idle: 0,
            has_told: false,
            voice,
            frames,
            child,
            words: Owned(tokio::spawn(tail(stderr))),
            _reader: Owned(tokio::spawn(reader)),
            _writer: Owned(tokio::spawn(write(stdin, waiting))),
        })
    }

    /// Did it ever say anything?
    pub(super) fn has_spoken(&self) -> bool {
        self.voice.ever.load(Ordering::Relaxed)
    }

    /// Has it shown that it works, and does it still? Whoever brings down such a one is to blame.
    pub(super) fn works(&self) -> bool {
        self.heard >= PROOF && self.silent <= PAUSE_MAX
    }

    /// Sends a frame, when there is room in the pipe.
    pub(super) fn send(&self, frame: Arc<[u8]>) {
        // Where the writer has ended the pipe has, and the reader says so.
        let _ = self.frames.send(frame);
    }

    /// Counts a tick of silence, or none if it said something.
    pub(super) fn tick(&mut self) {
        self.age = self.age.map(|age| age + 1);
        if self.voice.now.swap(false, Ordering::Relaxed) {
            self.silent = 0;
            self.heard = *self.age.get_or_insert(0);
        } else {
            self.silent += 1;
            if self.silent == 1 {
                self.spent = self.times().map(|(_, spent)| spent);
            }
        }
        self.idle = if self.under_way.is_empty() {
            self.idle + 1
        } else {
            0
        };
    }

    /// Does it keep silent because others have the processor? Then it wants to run, and hardly did.
    pub(super) fn is_starved(&self) -> bool {
        let (Some(before), Some((state, spent))) = (self.spent, self.times()) else {
            return false;
        };
        // What the system counts in is a hundredth of a second.
        let silence = self.silent * u64::try_from(TICK.as_millis() / 10).unwrap_or(u64::MAX);
        state == 'R' && spent.saturating_sub(before) * STARVED_SHARE < silence
    }

    /// Does somebody make it stand still? Nothing that it was asked for does.
    pub(super) fn is_stopped(&self) -> bool {
        self.times()
            .is_some_and(|(state, _)| matches!(state, 'T' | 't'))
    }

    /// Its state and its processor time in the system's units, as `proc(5)` tells.
    fn times(&self) -> Option<(char, u64)> {
        let path = format!("/proc/{}/stat", self.child.id()?);
        times_in(&std::fs::read_to_string(path).ok()?)
    }

    /// Ends it, if it has not ended, and learns how.
    pub(super) async fn bury(mut self, is_apart: bool, why: Option<String>) -> Buried {
        // One whose pipe has ended leaves by itself.
        let mut exit: Option<ExitStatus> = None;
        if why.is_none()
            && let Ok(status) = timeout(EXIT_WAIT, self.child.wait()).await
        {
            exit = status.ok();
        }
        if exit.is_none() {
            // SIGKILL ends a stopped process too. What is left of it is collected later.
            let _ = self.child.start_kill();
            let waited = timeout(EXIT_WAIT, self.child.wait()).await;
            exit = waited.ok().and_then(Result::ok);
        }
        let why = match why {
            Some(why) => why,
            None => {
                let words = timeout(EXIT_WAIT, &mut self.words.0).await;
                death(exit, words.ok().and_then(Result::ok).as_deref())
            }
        };
        Buried {
            is_apart,
            why,
            under_way: std::mem::take(&mut self.under_way),
        }
    }
}

/// State and processor time in a line of `/proc/PID/stat`; the name before them may hold anything.
fn times_in(line: &str) -> Option<(char, u64)> {
    let (_, rest) = line.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let state = words.next()?.chars().next()?;
    let mut number = |at| words.nth(at)?.parse::<u64>().ok();
    let (user, system) = (number(10)?, number(0)?);
    Some((state, user + system))
}

async fn read(
    mut stdout: ChildStdout,
    number: u64,
    voice: Arc<Voice>,
    events: mpsc::Sender<Event>,
) {
    let mut bytes = BytesMut::with_capacity(READ_LEN);
    let why = loop {
        bytes.reserve(READ_LEN);
        match stdout.read_buf(&mut bytes).await {
            Ok(0) if bytes.is_empty() => break None,
            Ok(0) => {
                break Some(unreadable(&FrameError::Pipe(
                    ErrorKind::UnexpectedEof.into(),
                )));
            }
            Ok(_) => {}
            Err(error) => break Some(unreadable(&FrameError::Pipe(error))),
        }
        let mut answers = Vec::new();
        let read = answers_in(&mut bytes, &voice, &mut answers).await;
        // All that came together is told together: each hop wakes somebody.
        if !answers.is_empty() && events.send(Event::Answered(number, answers)).await.is_err() {
            return;
        }
        if let Err(error) = read {
            break Some(unreadable(&error));
        }
    };
    // If nobody hears it, the pool has ended.
    let _ = events.send(Event::Ended(number, why)).await;
}

fn unreadable(error: &FrameError) -> String {
    let cause = std::error::Error::source(error);
    let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
    format!("what it says cannot be read: {error}{cause}")
}

/// Takes the whole frames that stand first.
async fn answers_in(
    bytes: &mut BytesMut,
    voice: &Voice,
    answers: &mut Vec<Answer>,
) -> Result<(), FrameError> {
    while let Some(len) = frame::whole(bytes)? {
        voice.now.store(true, Ordering::Relaxed);
        voice.ever.store(true, Ordering::Relaxed);
        if len > LONG {
            let content = bytes.split_to(len).freeze();
            let read = move || Answer::read(&content[frame::HEAD_LEN..]);
            let read = spawn_blocking(read).await;
            // Whoever ends the runtime wants no answers.
            let read = read.map_err(|ended| FrameError::Pipe(std::io::Error::other(ended)))?;
            answers.push(read?);
            continue;
        }
        if len > frame::HEAD_LEN {
            answers.push(Answer::read(&bytes[frame::HEAD_LEN..len])?);
        }
        bytes.advance(len);
    }
    Ok(())
}

async fn write(mut stdin: ChildStdin, mut waiting: mpsc::UnboundedReceiver<Arc<[u8]>>) {
    let mut frames = Vec::new();
    let mut bytes = Vec::new();
    while waiting.recv_many(&mut frames, FRAMES_AT_ONCE).await > 0 {
        bytes.clear();
        for frame in frames.drain(..) {
            bytes.extend_from_slice(&frame);
        }
        if stdin.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_process() {
        let line = "71 (a) R (b) S 1 71 71 0 -1 4194304 900 0 2 0 31 11 0 0 20 0 3 0 5 9 9";
        assert_eq!(times_in(line), Some(('S', 42)));
        assert_eq!(times_in("71 (a) R 1"), None);
        let own = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert!(times_in(&own).is_some());
    }
}
