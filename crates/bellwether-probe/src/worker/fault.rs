//! Workers that hang and die on purpose, so that surviving them can be rehearsed.
//!
//! A rehearsal hook: nothing of it happens unless the environment of the worker process says
//! `BELLWETHER_WORKER_FAULT=KIND:KEY`. `KIND` is one of `hang`, `spin`, `abort`, `alloc`, `panic`; `KEY`
//! is the beginning of the key of the probes over which it happens, for example `tls` or
//! `tls 192.0.2.1:443 user`. `panic` happens inside probes of addresses (`tcp`, `tls`, `http`,
//! `icmp`), the others as any probe begins. In a worker of many probes `KEY` may also be the
//! beginning of `host HOST:PORT`: then it happens as a visit or a trace of that target begins.

use std::sync::OnceLock;
use std::time::Duration;

use bellwether_model::Target;

/// The variable that arms a fault.
pub const FAULT_VARIABLE: &str = "BELLWETHER_WORKER_FAULT";
/// Bytes that a runaway allocation takes at once.
const ALLOCATION_STEP: usize = 16 * 1024 * 1024;
/// After so many steps, 1 GiB, nobody has stopped it, and the probe goes on.
const ALLOCATIONS_MAX: usize = 64;

static ARMED: OnceLock<Option<Fault>> = OnceLock::new();

#[derive(Debug)]
struct Fault {
    kind: Kind,
    key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Hang,
    Spin,
    Panic,
    Abort,
    Alloc,
}

/// Reads the variable; only worker processes do.
pub(super) fn arm() {
    ARMED.get_or_init(|| {
        let text = std::env::var(FAULT_VARIABLE).ok()?;
        let (kind, key) = text.split_once(':')?;
        let kind = match kind {
            "hang" => Kind::Hang,
            "spin" => Kind::Spin,
            "panic" => Kind::Panic,
            "abort" => Kind::Abort,
            "alloc" => Kind::Alloc,
            _ => return None,
        };
        let key = key.to_owned();
        Some(Fault { kind, key })
    });
}

/// Called inside a probe: panics if that is armed for it.
pub(crate) fn trip(key: &str) {
    assert!(armed(key) != Some(Kind::Panic), "a rehearsed panic");
}

/// Called when the begin of a probe has been told: whatever is armed for it, but for panics.
pub(super) fn strike(key: &str) {
    match armed(key) {
        None | Some(Kind::Panic) => {}
        Some(Kind::Abort) => std::process::abort(),
        // As a parser would that goes in circles.
        Some(Kind::Spin) => loop {
            std::hint::spin_loop();
        },
        Some(Kind::Hang) => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        Some(Kind::Alloc) => {
            let mut taken = Vec::new();
            for _ in 0..ALLOCATIONS_MAX {
                // Asked for and never touched: counted by an allocator, no burden to the host.
                taken.push(std::hint::black_box(vec![0u8; ALLOCATION_STEP]));
            }
        }
    }
}

/// Called when an order for a target begins: whatever is armed for that, panics included.
pub(super) fn strike_host(target: &Target) {
    if ARMED.get().is_some_and(Option::is_some) {
        let key = format!("host {}:{}", target.host_text(), target.port);
        trip(&key);
        strike(&key);
    }
}

fn armed(key: &str) -> Option<Kind> {
    let fault = ARMED.get()?.as_ref()?;
    key.starts_with(&fault.key).then_some(fault.kind)
}
