//! The one place of this crate that calls the kernel directly.
#![expect(
    unsafe_code,
    reason = "unshare(2), mount(2), kill(2) and what runs before exec have no safe wrapper in the standard library"
)]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Moves this process into a user and network namespace of its own.
pub(crate) fn unshare_user_and_net() -> io::Result<()> {
    unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET)
}

/// Moves this process into a network namespace of its own; needs privilege.
pub(crate) fn unshare_net() -> io::Result<()> {
    unshare(libc::CLONE_NEWNET)
}

/// Gives this process a view of its own of what is mounted, and puts one file in place of another.
/// The rest of the system sees nothing of it.
pub(crate) fn mount_over(file: &Path, place: &Path) -> io::Result<()> {
    unshare(libc::CLONE_NEWNS)?;
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other);
    let (file, place, root) = (text(file)?, text(place)?, text(Path::new("/"))?);
    let none = std::ptr::null();
    let mount = |source, target: &CString, flags| {
        // SAFETY: every pointer is null or of a string that lives until the call returns, and
        // mount(2) keeps none of them.
        match unsafe { libc::mount(source, target.as_ptr(), none, flags, none.cast()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // Else the mount would appear where this namespace was copied from.
    mount(none, &root, libc::MS_REC | libc::MS_PRIVATE)?;
    mount(file.as_ptr(), &place, libc::MS_BIND)
}

/// Lets a program end with this process, however this one ends.
pub(crate) fn ends_with_us(command: &mut tokio::process::Command) {
    let ask = || match ask_for_death() {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: between fork and exec only prctl(2) is called, which allocates nothing and takes no
    // lock.
    unsafe { command.pre_exec(ask) };
}

fn ask_for_death() -> libc::c_int {
    // SAFETY: prctl(2) with this option takes a number and no pointer.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }
}

/// Sends a signal to a process, or to a process group.
pub(crate) fn signal(to: Recipient, signal: Signal) -> io::Result<()> {
    let number = match signal {
        Signal::Hangup => libc::SIGHUP,
        Signal::Kill => libc::SIGKILL,
        Signal::Terminate => libc::SIGTERM,
        Signal::Stop => libc::SIGSTOP,
        Signal::Continue => libc::SIGCONT,
    };
    let pid = match to {
        Recipient::Process(pid) => i32::try_from(pid).map_err(io::Error::other)?,
        Recipient::Group(pid) => -i32::try_from(pid).map_err(io::Error::other)?,
    };
    // SAFETY: kill(2) takes two numbers and touches no memory of this process.
    match unsafe { libc::kill(pid, number) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Who is sent a signal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recipient {
    Process(u32),
    Group(u32),
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Hangup,
    Kill,
    Terminate,
    Stop,
    Continue,
}

/// Lets a program begin in a network namespace that has nothing, not even an interface that is up.
pub(crate) fn without_network(command: &mut tokio::process::Command) {
    // SAFETY: between fork and exec only unshare(2) is called, which allocates nothing and takes no
    // lock.
    unsafe { command.pre_exec(unshare_net) };
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
