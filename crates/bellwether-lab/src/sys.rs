//! The one place of this crate that calls the kernel directly.
#![expect(
    unsafe_code,
    reason = "unshare(2), mount(2), kill(2) and what runs before exec have no safe wrapper in the standard library"
)]

use std::ffi::{CStr, CString};
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
    own_mounts()?;
    mount(Some(file), place, libc::MS_BIND, None)
}

/// Mounts a file system in memory of so many MiB. The rest of the system sees nothing of it.
pub(crate) fn mount_memory(place: &Path, mib: u32) -> io::Result<()> {
    own_mounts()?;
    let kind = (c"tmpfs", format!("size={mib}m,mode=700"));
    mount(None, place, libc::MS_NOSUID | libc::MS_NODEV, Some(kind))
}

/// Lets a program see one file in place of another. Nobody else does.
pub(crate) fn sees(
    command: &mut tokio::process::Command,
    file: &Path,
    place: &Path,
) -> io::Result<()> {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other);
    let (file, place) = (text(file)?, text(place)?);
    let put = move || {
        unshare(libc::CLONE_NEWNS)?;
        mount_text(None, c"/", libc::MS_REC | libc::MS_PRIVATE, [None, None])?;
        mount_text(Some(&file), &place, libc::MS_BIND, [None, None])
    };
    // SAFETY: between fork and exec only unshare(2) and mount(2) are called, with strings that were
    // made before, which allocates nothing and takes no lock.
    unsafe { command.pre_exec(put) };
    Ok(())
}

/// Takes away what is mounted at a place, whoever still uses it.
pub(crate) fn unmount(place: &Path) -> io::Result<()> {
    let place = CString::new(place.as_os_str().as_bytes()).map_err(io::Error::other)?;
    // SAFETY: the pointer is of a string that lives until the call returns.
    match unsafe { libc::umount2(place.as_ptr(), libc::MNT_DETACH) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives this process a view of its own of what is mounted: what it mounts appears nowhere else.
fn own_mounts() -> io::Result<()> {
    unshare(libc::CLONE_NEWNS)?;
    mount(None, Path::new("/"), libc::MS_REC | libc::MS_PRIVATE, None)
}

fn mount(
    source: Option<&Path>,
    target: &Path,
    flags: libc::c_ulong,
    kind: Option<(&CStr, String)>,
) -> io::Result<()> {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other);
    let (source, target) = (source.map(text).transpose()?, text(target)?);
    let options = kind
        .as_ref()
        .map(|(_, options)| CString::new(options.as_str()));
    let options = options.transpose().map_err(io::Error::other)?;
    let kind = kind.as_ref().map(|(kind, _)| *kind);
    mount_text(
        source.as_deref(),
        &target,
        flags,
        [kind, options.as_deref()],
    )
}

/// The same with texts as the kernel takes them; allocates nothing but for an error.
fn mount_text(
    source: Option<&CStr>,
    target: &CStr,
    flags: libc::c_ulong,
    [kind, options]: [Option<&CStr>; 2],
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    let (from, kind, options) = (pointer(source), pointer(kind), pointer(options).cast());
    // SAFETY: every pointer is null or of a string that lives until the call returns, and mount(2)
    // keeps none of them.
    match unsafe { libc::mount(from, target.as_ptr(), kind, flags, options) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
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
