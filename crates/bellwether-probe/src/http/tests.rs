use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_model::http::{Again, BodyEnd, HttpResult, RedirectEnd, Way};
use bellwether_model::job::Job;
use bellwether_model::net::TcpResult;
use bellwether_model::service::{BodyExpect, Expect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::testing::{
    Fixed, LOCALHOST, Pki, answer, attempt, attempt_with, by_name, http_of, http_server, job,
    server, tls_server, trusting,
};

async fn seen_of(text: impl Into<Vec<u8>>) -> HttpSeen {
    let at = http_server(text).await;
    let seen = attempt(job(&format!("http://{at}/x?y"))).await;
    http_of(&seen)[0].clone()
}

#[tokio::test]
async fn a_response_is_seen_in_full() {
    let text = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                HTTP/1.1 404 Nope\r\nX-A: b\x1b[2J\r\nx-a: c\r\nContent-Length: 3\r\n\r\nabc";
    let seen = seen_of(text.replace('\x1b', "")).await;
    assert_eq!(seen.result, HttpResult::Response);
    assert_eq!(seen.status, Some(404));
    assert_eq!(seen.version.as_deref(), Some("HTTP/1.1"));
    assert_eq!(seen.header("X-A"), Some("b[2J"));
    assert_eq!(seen.headers.len(), 3);
    let body = seen.body.unwrap();
    assert_eq!((body.size, body.announced), (3, Some(3)));
    assert_eq!((body.end, body.sample.as_str()), (BodyEnd::Complete, "abc"));
    assert!(body.sha256.starts_with("ba7816bf"));
    assert!(seen.url.ends_with("/x?y"));
}

#[tokio::test]
async fn garbage_is_not_http() {
    for text in [
        "SSH-2.0-OpenSSH\r\n",
        "<html>\r\n\r\n",
        "HTTP/1.1 99999 X\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA\0b: c\r\n\r\n",
        &format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(70_000)),
        &"HTTP/1.1 100 Continue\r\n\r\n".repeat(200),
    ] {
        let seen = seen_of(text).await;
        let short = &text[..20.min(text.len())];
        assert!(
            matches!(seen.result, HttpResult::Malformed { .. }),
            "{short:?}: {:?}",
            seen.result
        );
    }
    for text in ["", "HTTP/1.1 200 OK\r\nA: b\r\n"] {
        let seen = seen_of(text).await;
        assert!(matches!(seen.result, HttpResult::Closed { .. }), "{text:?}");
    }
}

#[tokio::test]
async fn a_short_body_is_truncated() {
    let seen = seen_of("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
    assert_eq!(seen.body.unwrap().end, BodyEnd::Truncated);
    let seen = seen_of("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc").await;
    assert_eq!(seen.body.unwrap().end, BodyEnd::Malformed);
    let overflow = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                    fffffffffffffffff\r\nabc";
    assert_eq!(
        seen_of(overflow).await.body.unwrap().end,
        BodyEnd::Malformed
    );
}

#[tokio::test]
async fn an_endless_body_is_cut_and_the_status_kept() {
    let at = server(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\n\r\n";
        let _ = stream.write_all(head).await;
        while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
    })
    .await;
    let seen = attempt(job(&format!("http://{at}/"))).await;
    let http = http_of(&seen)[0];
    assert_eq!(http.status, Some(200));
    let body = http.body.as_ref().unwrap();
    assert_eq!((body.size, body.end), (1024 * 1024, BodyEnd::Cut));
    assert_eq!(body.sample.chars().count(), 257);
}

#[tokio::test]
async fn silence_before_and_inside_a_response() {
    for text in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"] {
        let at = server(move |mut stream| async move {
            let _ = stream.write_all(text.as_bytes()).await;
            std::future::pending::<()>().await;
        })
        .await;
        let mut job = job(&format!("http://{at}/"));
        job.deadline_ms = 2_500;
        let seen = attempt(job).await;
        let http = http_of(&seen);
        if text.is_empty() {
            assert_eq!(http[0].result, HttpResult::Stalled);
        } else {
            // Too little time is left after the head for silence to be the server's fault.
            let stalled = http.first().and_then(|h| h.body.as_ref()).map(|b| b.end);
            assert!(stalled.is_none() || stalled == Some(BodyEnd::Stalled));
        }
    }
}

fn redirect_to(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

fn end_of(seen: &HttpSeen) -> &RedirectEnd {
    &seen.redirect.as_ref().unwrap().end
}

#[tokio::test]
async fn a_loop_is_named_at_its_first_repetition() {
    let at = http_server(redirect_to("/x")).await;
    let seen = attempt(job(&format!("http://{at}/"))).await;
    let http = http_of(&seen);
    assert_eq!(http.len(), 2);
    assert_eq!(end_of(http[0]), &RedirectEnd::Followed);
    assert_eq!(end_of(http[1]), &RedirectEnd::Loop);
    assert_eq!(http[1].hop, 1);
    assert_eq!(http[1].entry, http[0].entry);
    let keys: Vec<&String> = seen.iter().map(|(key, ..)| key).collect();
    assert!(keys[2].ends_with("hop 1"));
}

/// Hands out a cookie, and serves who brings it; all others are sent to `location`.
async fn gate(location: &'static str) -> SocketAddr {
    server(move |mut stream| async move {
        let mut request = vec![0; 4096];
        let len = stream.read(&mut request).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&request[..len]).into_owned();
        let answer = if text.contains("\r\nCookie: s=1\r\n") {
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()
        } else {
            format!(
                "HTTP/1.1 302 Found\r\nSet-Cookie: s=1; Path=/\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            )
        };
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    })
    .await
}

#[tokio::test]
async fn a_cookie_goes_along_to_the_next_hop() {
    for location in ["/", "/checked"] {
        let at = gate(location).await;
        let seen = attempt(job(&format!("http://{at}/"))).await;
        let http = http_of(&seen);
        assert_eq!(http.len(), 2, "{location}");
        assert_eq!(http[1].status, Some(200), "{location}");
    }
    // To another host nothing goes along.
    let other = gate("/").await;
    let location = format!("http://other.test:{}/", other.port());
    let at = gate(Box::leak(location.into_boxed_str())).await;
    let url = format!("http://www.svc.test:{}/", at.port());
    let seen = attempt(inside(job(&url))).await;
    let statuses: Vec<_> = http_of(&seen).iter().map(|hop| hop.status).collect();
    assert_eq!(statuses, [Some(302), Some(302), Some(200)]);
}

#[tokio::test]
async fn ten_redirects_are_followed() {
    let count = Arc::new(AtomicUsize::new(0));
    let at = server(move |mut stream| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        async move { answer(&mut stream, redirect_to(&format!("/{n}")).as_bytes()).await }
    })
    .await;
    let seen = attempt(job(&format!("http://{at}/"))).await;
    let http = http_of(&seen);
    assert_eq!(http.len(), 11);
    assert_eq!(end_of(http[10]), &RedirectEnd::Limit);
}

#[tokio::test]
async fn what_the_network_names_is_not_dialled_inside() {
    for location in [
        "http://127.0.0.1:9/",
        "http://0x7f.1:9/",
        "http://[::ffff:127.0.0.1]:9/",
        "http://169.254.169.254/latest/",
        "http://other.test:9/",
        "file:///etc/passwd",
        "gopher://other.test/",
    ] {
        let at = http_server(redirect_to(location)).await;
        let seen = attempt(job(&format!("http://www.svc.test:{}/", at.port()))).await;
        let http = http_of(&seen);
        assert_eq!(http.len(), 1, "{location}");
        assert!(
            matches!(end_of(http[0]), RedirectEnd::Refused { .. }),
            "{location}: {:?}",
            end_of(http[0])
        );
    }
}

#[tokio::test]
async fn a_redirect_to_a_host_without_address() {
    let at = http_server(redirect_to("http://other.test/")).await;
    let job = job(&format!("http://{at}/"));
    let seen = attempt_with(job, Fixed(Vec::new())).await;
    let http = http_of(&seen);
    assert!(matches!(end_of(http[0]), RedirectEnd::Unresolved { .. }));
}

fn inside(job: Job) -> Job {
    Job {
        egress: bellwether_model::Egress {
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        },
        ..job
    }
}

#[tokio::test]
async fn another_host_is_dialled_afresh_and_its_certificate_judged() {
    let pki = Pki::new();
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let wrong = pki.chain(&["wrong.test"], 2026);
    let other = tls_server(by_name("", &wrong, &wrong), ok).await;
    let location = format!("https://other.test:{}/", other.port());
    let at = http_server(redirect_to(&location)).await;
    let url = format!("http://www.svc.test:{}/", at.port());
    let mut job = inside(trusting(&url, &pki));
    job.expect = Expect {
        body: Some(BodyExpect::Contains("ok".to_owned())),
        ..Expect::default()
    };
    let seen = attempt(job).await;
    let http = http_of(&seen);
    assert_eq!(http.len(), 2);
    assert_eq!(http[1].address, other);
    assert_eq!(http[1].problems.len(), 1);
    assert!(http[0].expectations.is_empty());
    assert!(http[1].expectations[0].met);
    // Connect and request; then resolve (2), connect, handshake, request.
    let waits: Vec<u32> = seen.iter().map(|(.., waits)| *waits).collect();
    assert_eq!(waits, [2, 3, 8]);
}

#[tokio::test]
async fn a_redirect_to_a_host_that_refuses() {
    let listener = tokio::net::TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let at = http_server(redirect_to(&format!(
        "http://other.test:{}/",
        closed.port()
    )))
    .await;
    let url = format!("http://www.svc.test:{}/", at.port());
    let seen = attempt(inside(job(&url))).await;
    let http = http_of(&seen);
    let HttpResult::NotConnected { error } = &http[1].result else {
        panic!("{:?}", http[1].result);
    };
    assert!(error.contains("refused"), "{error}");
    assert_eq!(http[1].connection, Some(TcpResult::Refused));
    assert_eq!(http[1].address, closed);
}

/// Every second request is answered with `text`, the first one among them.
async fn every_second(text: &'static str) -> SocketAddr {
    let count = AtomicUsize::new(0);
    server(move |mut stream| {
        let is_odd = count.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        let good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let text = if is_odd { good } else { text };
        async move { answer(&mut stream, text.as_bytes()).await }
    })
    .await
}

#[tokio::test]
async fn what_fails_is_asked_again_in_the_same_way() {
    for text in [
        "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
        "GARBAGE\r\n\r\n",
        "",
    ] {
        let at = every_second(text).await;
        let seen = attempt(job(&format!("http://{at}/"))).await;
        let http = http_of(&seen)[0];
        let same = http.again.iter().filter(|again| again.way == Way::Same);
        let works = |again: &&Again| {
            again.status == Some(200)
                && again.body == Some(BodyEnd::Complete)
                && again.coding.is_none()
        };
        let (good, bad): (Vec<&Again>, Vec<&Again>) = same.partition(works);
        assert!(!good.is_empty() && !bad.is_empty(), "{text}");
    }
}
