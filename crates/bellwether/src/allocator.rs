//! A counting allocator: the last net against runaway allocation in a worker process.
//!
//! Probes bound their own memory; this fires only if one of those bounds has a hole. The worker
//! then dies at once, and its supervisor reports the probe as not run.

#![expect(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Most bytes that a worker may hold: all probes' own bounds together stay below half of it.
pub(crate) const WORKER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The system's allocator with a count of what is held, and a bound once it is armed.
pub(crate) struct Counting {
    armed: AtomicBool,
    held: AtomicUsize,
}

impl Counting {
    /// Not armed: it counts and never refuses.
    pub(crate) const fn new() -> Self {
        Self {
            armed: AtomicBool::new(false),
            held: AtomicUsize::new(0),
        }
    }

    /// From now on the process aborts when it holds more than [`WORKER_BYTES_MAX`].
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
    }

    fn grow(&self, bytes: usize) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if held > WORKER_BYTES_MAX && self.armed.load(Ordering::Relaxed) {
            // No message: writing one could allocate.
            std::process::abort();
        }
    }

    fn shrink(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.grow(layout.size());
        // SAFETY: the caller's promise for this method is that of the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.grow(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.shrink(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.grow(size);
        self.shrink(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
