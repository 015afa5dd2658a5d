//! HTTP/1.1 responses (RFC 9112), as a scenario scripts them.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::clock::Clock;
use crate::scenario::HttpSpec;

/// Longest request head, bytes.
const HEAD_LEN_MAX: usize = 16 * 1024;
/// Body of hosts that say nothing.
pub(crate) const BODY: &str = "<!doctype html><title>It works</title><p>It works.</p>\n";

/// A scripted response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    spec: HttpSpec,
    clock: Clock,
}

impl Response {
    pub(crate) fn new(spec: HttpSpec, clock: Clock) -> Self {
        Self { spec, clock }
    }

    /// Status, media type and body.
    pub(crate) fn parts(&self) -> (u16, String, Vec<u8>) {
        let media = self.spec.headers.iter().flatten();
        let mut media = media.filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let media = media.next().map(|(_, value)| value.clone());
        let body = self.spec.body.clone().unwrap_or_else(|| BODY.to_owned());
        (
            self.spec.status.unwrap_or(200),
            media.unwrap_or_else(|| "text/html; charset=utf-8".to_owned()),
            body.into_bytes(),
        )
    }

    /// The octets in answer to a request with this method.
    fn octets(&self, method: &str) -> Vec<u8> {
        let HttpSpec {
            status,
            headers,
            body,
            delay: _,
            redirect,
        } = &self.spec;
        let status = status.unwrap_or(if redirect.is_some() { 301 } else { 200 });
        let body = match (body, redirect) {
            (Some(body), _) => body.as_str(),
            (None, Some(_)) => "",
            (None, None) => BODY,
        };
        // RFC 9110 section 8.6: no Content-Length with 1xx and 204, no body with 304 either.
        let bodiless = matches!(status, 100..=199 | 204 | 304);
        let date = self
            .clock
            .now()
            .strftime("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        let mut lines = vec![
            ("Date".to_owned(), date),
            ("Server".to_owned(), "lab".to_owned()),
            (
                "Content-Type".to_owned(),
                "text/html; charset=utf-8".to_owned(),
            ),
        ];
        if !bodiless {
            lines.push(("Content-Length".to_owned(), body.len().to_string()));
        }
        if let Some(location) = redirect {
            lines.push(("Location".to_owned(), location.clone()));
        }
        for (name, value) in headers.iter().flatten() {
            lines.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            lines.push((name.clone(), value.clone()));
        }
        let mut text = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        for (name, value) in lines {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        if !bodiless && method != "HEAD" {
            text.push_str(body);
        }
        text.into_bytes()
    }

    fn delay(&self) -> Duration {
        self.spec.delay.map_or(Duration::ZERO, |span| span.0)
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Scripted",
    }
}

/// Answers requests on a connection until the client is done.
pub(crate) async fn serve<S>(
    mut stream: S,
    response: &Response,
    delay: Duration,
) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = Vec::new();
    loop {
        let Some(end) = head(&mut stream, &mut buffer).await? else {
            return stream.shutdown().await;
        };
        let request = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let method = request
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let close = request.contains("\r\nconnection: close") || request.contains(" http/1.0\r\n");
        buffer.drain(..end);
        tokio::time::sleep(delay + response.delay()).await;
        stream.write_all(&response.octets(&method)).await?;
        stream.flush().await?;
        if close {
            return stream.shutdown().await;
        }
    }
}

/// Reads up to the end of a request's head; `None` at the end of the stream.
async fn head<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<usize>> {
    loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            return Ok(Some(at + 4));
        }
        if buffer.len() > HEAD_LEN_MAX || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(yaml: &str, method: &str) -> String {
        let spec: HttpSpec = serde_saphyr::from_str(yaml).unwrap();
        let clock = Clock::new("2024-10-01T11:10:00Z".parse().ok());
        String::from_utf8(Response::new(spec, clock).octets(method)).unwrap()
    }

    #[test]
    fn responses() {
        let usual = text("{}", "GET");
        assert!(usual.starts_with("HTTP/1.1 200 OK\r\nDate: Tue, 01 Oct 2024 11:10:00 GMT\r\n"));
        assert!(usual.ends_with("It works.</p>\n"));
        let moved = text("redirect: https://new.test/", "GET");
        assert!(moved.starts_with("HTTP/1.1 301 "));
        assert!(moved.contains("Location: https://new.test/\r\n"));
        let own = text(
            "{ status: 503, headers: { date: never }, body: sorry }",
            "GET",
        );
        assert!(own.contains("date: never\r\n") && !own.contains("Date:"));
        assert!(own.contains("Content-Length: 5\r\n") && own.ends_with("\r\n\r\nsorry"));
        assert!(text("{}", "HEAD").ends_with("\r\n\r\n"));
    }
}
