//! What the kernel tells; the one place of this crate that speaks to it without a safe wrapper.

use std::mem::{MaybeUninit, offset_of, size_of};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};

use bellwether_model::net::{Family, TcpInfo};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Bytes of `tcp_info` that must be filled in: up to the last field that is used. Older kernels
/// know fewer fields than the C library's header.
const LEN_MIN: usize = offset_of!(libc::tcp_info, tcpi_total_retrans) + size_of::<u32>();

/// The most memory that this process held so far (`VmHWM` of `proc(5)`), KiB.
pub(crate) fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Descriptors that a worker is given at most: more than its orders open.
const DESCRIPTORS_MAX: libc::rlim_t = 16 * 1024;

/// State `TCP_CLOSE` of the kernel: the connection is gone.
const TCP_CLOSE: u8 = 7;

/// `TCP_INFO` of a connection; `None` if the system does not tell.
pub(crate) fn tcp_info(socket: &impl AsFd) -> Option<TcpInfo> {
    tcp_state(socket).map(|(info, _)| info)
}

/// `TCP_INFO` of a connection, and whether it is gone.
pub(crate) fn tcp_state(socket: &impl AsFd) -> Option<(TcpInfo, bool)> {
    let raw = raw_tcp_info(socket)?;
    let info = TcpInfo {
        rtt_ms: f64::from(raw.tcpi_rtt) / 1000.0,
        retransmits: raw.tcpi_total_retrans,
        snd_mss: raw.tcpi_snd_mss,
        pmtu: raw.tcpi_pmtu,
    };
    Some((info, raw.tcpi_state == TCP_CLOSE))
}

#[expect(
    unsafe_code,
    reason = "neither std nor socket2 nor tokio has a safe getsockopt(TCP_INFO)"
)]
fn raw_tcp_info(socket: &impl AsFd) -> Option<libc::tcp_info> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; `info` has `len` bytes,
    // and the kernel writes at most `len` of them.
    let status = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if status != 0 || usize::try_from(len).ok()? < LEN_MIN {
        return None;
    }
    // SAFETY: all fields are integers, for which the zeroes from before are values too.
    Some(unsafe { info.assume_init() })
}

/// Asks the kernel to report ICMP errors although the socket is not connected (`ip(7)`,
/// `IP_RECVERR`). A connected socket would report them too, but would hide every datagram that
/// comes from another address than the one asked.
#[expect(
    unsafe_code,
    reason = "neither socket2 nor std knows the socket option IP_RECVERR"
)]
pub(crate) fn report_icmp_errors(socket: &impl AsFd, family: Family) -> std::io::Result<()> {
    let (level, option) = match family {
        Family::V4 => (libc::IPPROTO_IP, libc::IP_RECVERR),
        Family::V6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    let on: libc::c_int = 1;
    let len = libc::socklen_t::try_from(size_of_val(&on)).expect("an int is a few bytes long");
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and `on` is an int of
    // that length.
    let status = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            len,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// A socket that never blocks, for which the runtime waits only as wanted: its own sockets always
/// wait for room to write too, which wakes everybody once for nothing.
#[expect(
    unsafe_code,
    reason = "tokio cannot know that a descriptor of any type stays open"
)]
pub(crate) fn awaited(socket: UdpSocket, wanted: Interest) -> std::io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: the socket owns its descriptor, which stays the same and open until the registration
    // ends: it moves in here, and comes out by `into_inner` alone, which ends the registration.
    let registered = unsafe { AsyncFd::register_with_interest(socket, wanted) };
    Ok(registered?)
}

/// Sets how many bytes a pipe holds (`fcntl(2)`, `F_SETPIPE_SZ`).
#[expect(
    unsafe_code,
    reason = "neither std nor tokio has a safe fcntl(F_SETPIPE_SZ)"
)]
pub(crate) fn set_pipe_len(pipe: &impl AsFd, len: i32) -> std::io::Result<()> {
    // SAFETY: the descriptor is open for as long as `pipe` is borrowed, and nothing is written
    // through a pointer.
    let status = unsafe { libc::fcntl(pipe.as_fd().as_raw_fd(), libc::F_SETPIPE_SZ, len) };
    if status == -1 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Lets this process open as many descriptors as it may ask for (`setrlimit(2)`): the usual limit
/// is for programs that still use `select(2)`.
#[expect(unsafe_code, reason = "std has no safe setrlimit")]
pub(crate) fn raise_descriptor_limit() -> std::io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a whole `rlimit`, which the kernel fills in.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_cur.max(limit.rlim_max.min(DESCRIPTORS_MAX));
    // SAFETY: `limit` is a whole `rlimit`, which the kernel only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}
