//! Questions to page and API, one connection each.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Most bytes of one: metrics of a hundred thousand checks are some ten times less.
const ANSWER_LEN_MAX: u64 = 1024 * 1024 * 1024;

/// A question, and what its answer cost.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) took: Duration,
    pub(crate) bytes: usize,
}

/// Asks, and gives the body.
pub(crate) fn ask(at: SocketAddr, path: &str) -> Result<(Asked, String)> {
    let begun = Instant::now();
    let answer = exchange(at, path).with_context(|| format!("no answer to {path}"))?;
    let took = begun.elapsed();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("an answer without a head to {path}");
    };
    if !head.starts_with("HTTP/1.1 200") {
        bail!("{path}: {}", head.lines().next().unwrap_or_default());
    }
    let asked = Asked {
        path: path.to_owned(),
        took,
        bytes: body.len(),
    };
    Ok((asked, body.to_owned()))
}

/// Is the answer a good one?
pub(crate) fn is_ok(at: SocketAddr, path: &str) -> bool {
    exchange(at, path).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The sum of all samples of a metric.
pub(crate) fn sum(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let is_it = rest.starts_with('{') || rest.starts_with(' ');
        let value = rest.rsplit(' ').next()?;
        is_it.then(|| value.parse::<f64>().ok()).flatten()
    });
    samples.sum()
}

fn exchange(at: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&at, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
