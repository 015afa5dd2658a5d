//! The one place of this crate that calls the kernel directly.
#![expect(
    unsafe_code,
    reason = "unshare(2) has no safe wrapper in the standard library"
)]

use std::io;

/// Moves this process into a user and network namespace of its own.
pub(crate) fn unshare_user_and_net() -> io::Result<()> {
    unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET)
}

/// Moves this process into a network namespace of its own; needs privilege.
pub(crate) fn unshare_net() -> io::Result<()> {
    unshare(libc::CLONE_NEWNET)
}

fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: unshare(2) takes no pointers and touches no memory of this process.
    match unsafe { libc::unshare(flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Effective user and group.
pub(crate) fn ids() -> (u32, u32) {
    // SAFETY: both calls take nothing and always succeed.
    unsafe { (libc::geteuid(), libc::getegid()) }
}
