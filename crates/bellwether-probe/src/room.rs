//! Descriptors: a process that has none left waits for its own probes to give theirs back, and never
//! says of a peer what is its own trouble.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long to wait for a descriptor: most probes are over in less.
const WAIT: Duration = Duration::from_secs(1);
/// How often to look.
const STEP: Duration = Duration::from_millis(20);

/// Is it this system that has nothing left: no descriptor, no memory for a socket?
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Opens something; where there is no room, again and again for a while.
pub(crate) async fn opened<T>(open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let since = Instant::now();
    loop {
        match open() {
            Err(error) if is_exhausted(&error) && since.elapsed() < WAIT => sleep(STEP).await,
            opened => return opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_is_taken() {
        let left = Cell::new(3);
        let open = || {
            left.set(left.get() - 1);
            match left.get() {
                0 => Ok("open"),
                _ => Err(io::Error::from_raw_os_error(libc::EMFILE)),
            }
        };
        assert_eq!(opened(open).await.unwrap(), "open");
        let never = || Err::<(), _>(io::Error::from_raw_os_error(libc::ENFILE));
        assert!(is_exhausted(&opened(never).await.unwrap_err()));
        let refused = || Err::<(), _>(io::Error::from_raw_os_error(libc::ECONNREFUSED));
        assert!(!is_exhausted(&opened(refused).await.unwrap_err()));
    }
}
