//! ICMP errors on unconnected UDP sockets.
#![expect(
    unsafe_code,
    reason = "neither socket2 nor std knows the socket option IP_RECVERR"
)]

use std::io;
use std::os::fd::AsRawFd;

use bellwether_model::net::Family;
use socket2::Socket;

/// Asks the kernel to report ICMP errors although the socket is not connected (`ip(7)`,
/// `IP_RECVERR`). A connected socket would report them too, but would hide every datagram that
/// comes from another address than the one asked.
pub(super) fn report_icmp_errors(socket: &Socket, family: Family) -> io::Result<()> {
    let (level, option) = match family {
        Family::V4 => (libc::IPPROTO_IP, libc::IP_RECVERR),
        Family::V6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    let on: libc::c_int = 1;
    let len = libc::socklen_t::try_from(size_of_val(&on)).expect("an int is a few bytes long");
    // SAFETY: the descriptor is open for the whole call, and `on` is an int of that length.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            len,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
