//! Brings down worker processes over what they probe: whichever has a connection to an endpoint, each
//! time that one has.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::process::workers_of;
use crate::scenario::StepSpec;
use crate::sys::{self, Recipient, Signal};

/// How often it is looked for such a worker: a host that says nothing is waited for much longer.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Ends workers of one process, as long as it is held and its time is not over.
#[derive(Debug)]
pub(super) struct Killer(JoinHandle<()>);

impl Killer {
    /// Ends workers of `parent` as a step says.
    pub(super) fn start(parent: u32, step: &StepSpec) -> Option<Self> {
        let (of, during) = (step.of?, step.during?.0);
        let end = Instant::now() + during;
        Some(Self(tokio::spawn(async move {
            while Instant::now() < end {
                kill_probers(parent, of);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })))
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn kill_probers(parent: u32, of: SocketAddr) {
    let table = if of.is_ipv4() { "tcp" } else { "tcp6" };
    let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
    let sockets: BTreeSet<u64> = text
        .lines()
        .filter_map(|line| socket_to(line, of))
        .collect();
    if sockets.is_empty() {
        return;
    }
    // The host's own end is held by the lab, which is no worker.
    for worker in workers_of(parent) {
        if has_one_of(worker, &sockets) {
            // One that ended meanwhile is ended.
            let _ = sys::signal(Recipient::Process(worker), Signal::Kill);
        }
    }
}

/// The inode of a socket whose peer is `of`, from a line of `/proc/net/tcp` (proc_pid_net(5)).
fn socket_to(line: &str, of: SocketAddr) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(2)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if port != of.port() || !address.eq_ignore_ascii_case(&written(of.ip())) {
        return None;
    }
    // One that waits for its last packets belongs to nobody any more.
    let inode = fields.nth(6)?.parse().ok()?;
    (inode != 0).then_some(inode)
}

/// An address as the kernel writes it: words in the machine's own order.
fn written(address: IpAddr) -> String {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let words = octets.chunks_exact(4);
    let words = words.map(|w| u32::from_ne_bytes([w[0], w[1], w[2], w[3]]));
    words.map(|word| format!("{word:08X}")).collect()
}

fn has_one_of(pid: u32, sockets: &BTreeSet<u64>) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let inode = |entry: fs::DirEntry| {
        let link = fs::read_link(entry.path()).ok()?;
        let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        number.parse::<u64>().ok()
    };
    let mut inodes = entries.filter_map(|entry| inode(entry.ok()?));
    inodes.any(|inode| sockets.contains(&inode))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Where the processes that play the worker dial.
    const DIALS: &str = "BELLWETHER_TEST_DIALS";

    /// A worker, if this process was started as one. As a test it does nothing.
    #[test]
    fn child() {
        let Ok(at) = std::env::var(DIALS) else {
            return;
        };
        let mut dialled = TcpStream::connect(at).unwrap();
        dialled.write_all(b"x").unwrap();
        let _ = dialled.read(&mut [0]);
        std::process::exit(0);
    }

    fn worker(of: SocketAddr) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", "drill::prober::tests::child"]);
        // How workers are known; no test has this name.
        command.arg("worker").env(DIALS, of.to_string());
        command.stdout(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn whoever_probes_is_ended() {
        let listeners = ["127.0.0.1:0"; 2].map(|at| TcpListener::bind(at).unwrap());
        let [of, other] = listeners.each_ref().map(|l| l.local_addr().unwrap());
        let (mut prober, mut beside) = (worker(of), worker(other));
        let held = listeners.each_ref().map(|listener| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0]).unwrap();
            stream
        });
        kill_probers(std::process::id(), of);
        assert_eq!(prober.wait().unwrap().signal(), Some(9));
        drop(held);
        assert_eq!(beside.wait().unwrap().code(), Some(0));
    }

    #[test]
    fn addresses_as_the_kernel_writes_them() {
        if cfg!(target_endian = "little") {
            assert_eq!(written("54.160.170.233".parse().unwrap()), "E9AAA036");
            let six = written("2001:db8::1".parse().unwrap());
            assert_eq!(six, "B80D0120000000000000000001000000");
        }
    }

    /// Who dialled is found, and who was dialled is not.
    #[test]
    fn sockets_of_this_process() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(at).unwrap();
            let of = listener.local_addr().unwrap();
            let table = if of.is_ipv4() { "tcp" } else { "tcp6" };
            let sockets = || -> BTreeSet<u64> {
                let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap();
                text.lines().filter_map(|l| socket_to(l, of)).collect()
            };
            assert_eq!(sockets(), BTreeSet::new());
            let dialled = TcpStream::connect(of).unwrap();
            let found = sockets();
            assert_eq!(found.len(), 1);
            assert!(has_one_of(std::process::id(), &found));
            assert!(!has_one_of(std::process::id(), &BTreeSet::from([1])));
            drop(dialled);
        }
    }
}
