//! P27: the API cannot be made to fall over: requests as anybody may send them, octet by octet.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::running::{FAR, Serve, Site, config};

/// Requests of one test; `BELLWETHER_REQUESTS` asks for more.
fn requests() -> usize {
    let asked = std::env::var("BELLWETHER_REQUESTS").ok();
    asked.map_or(3_000, |requests| requests.parse().unwrap())
}

const METHODS: [&str; 9] = [
    "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "get", "G\0T", "CONNECT",
];

const PATHS: [&str; 27] = [
    "/ping/11111111-2222-4333-8444-555555555555/start?rid=%00",
    "/ping/key/slug/255",
    "/api/push/token?status=up&msg=%ff&ping=1e999",
    "/",
    "/services/shop",
    "/services/%3Cscript%3E",
    "/incidents/1",
    "/incidents/99999999999999999999",
    "/style.css",
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/services",
    "/api/v1/services/shop",
    "/api/v1/checks?limit=0",
    "/api/v1/checks/shop/main/observations?limit=1000&from=-009999-01-02T01:59:59Z",
    "/api/v1/checks/shop/main/series?from=1970-01-01T00:00:00Z&to=9999-12-30T22:00:00Z&step=1s",
    "/api/v1/incidents?state=x&state=y",
    "/api/v1/incidents/1/acknowledge",
    "/api/v1/incidents/1/notes",
    "/api/v1/evidence/00",
    "/api/v1/configuration",
    "/api/v1/counters",
    "/api/v1/openapi.json",
    "/../../etc/passwd",
    "//%00%ff",
    "*",
];

const BODIES: [&str; 8] = [
    "",
    "{}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "{\"text\":\"\\ud800\"}",
    "{\"text\":\"note\"}",
    "{\"schema\":\"bellwether.counters/1\",\"rows\":[{\"total\":-1}]}",
    "\0\u{1}",
    "{\"a\":1,\"a\":2}",
];

struct Random(fastrand::Rng);

impl Random {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.usize(..of.len())]
    }

    /// A request, now and then with octets changed, left out or doubled.
    fn request(&mut self, host: &str, token: &str) -> Vec<u8> {
        let method = if self.0.u8(..3) == 0 {
            self.one(&METHODS)
        } else {
            "GET"
        };
        let path = self.one(&PATHS);
        let body = self.one(&BODIES);
        let host = if self.0.u8(..8) == 0 {
            "evil.example"
        } else {
            host
        };
        let token = if self.0.u8(..4) == 0 {
            "bw_wrong"
        } else {
            token
        };
        let len = if self.0.u8(..8) == 0 {
            self.0.usize(..1 << 40)
        } else {
            body.len()
        };
        let mut bytes = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n{body}"
        )
        .into_bytes();
        if self.0.u8(..3) == 0 {
            for _ in 0..self.0.usize(1..6) {
                let at = self.0.usize(..bytes.len());
                match self.0.u8(..3) {
                    0 => bytes[at] = self.0.u8(..),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, bytes[at]),
                }
            }
        }
        bytes
    }
}

/// The statuses of what comes back until the other side ends.
fn statuses(mut stream: TcpStream) -> Vec<u16> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let mut found = Vec::new();
    // A page may hold these words too, and then they are no less right.
    for part in text.split("HTTP/1.1 ").skip(1) {
        found.extend(part.get(..3).and_then(|status| status.parse::<u16>().ok()));
    }
    found
}

#[test]
fn p27_no_request_makes_it_fall_over() {
    let site = Site::start();
    let serve = Serve::start(&config(&[("shop", &site.url())], ""));
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    let token = serve.token.clone().unwrap();
    let host = serve.at.to_string();
    let seed = std::env::var("BELLWETHER_SEED").map_or(27, |seed| seed.parse().unwrap());
    let mut random = Random(fastrand::Rng::with_seed(seed));
    let mut answered = [0u64; 600];
    let mut sent = 0;
    let all = requests();
    while sent < all {
        let mut stream = TcpStream::connect(serve.at).unwrap();
        stream.set_read_timeout(Some(FAR)).unwrap();
        stream
            .set_write_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        // Several on one connection: what is wrong with one must not be taken for another.
        let mut bytes = Vec::new();
        for _ in 0..random.0.usize(1..12) {
            bytes.extend(random.request(&host, &token));
            sent += 1;
        }
        let reader = stream.try_clone().unwrap();
        let reading = std::thread::spawn(move || statuses(reader));
        // The other side may have ended it at the first that is wrong.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        for status in reading.join().unwrap() {
            answered[usize::from(status.min(599))] += 1;
            // 503: it says that it is busy; never that it broke.
            assert!(
                status < 500 || status == 503,
                "seed {seed}: {status} after {sent}"
            );
        }
    }
    for status in [200, 400, 404] {
        assert!(answered[status] > 0, "none is {status}");
    }
    let told: Vec<(usize, u64)> = answered
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, n)| *n > 0)
        .collect();
    eprintln!("{sent} requests: {told:?}");
    assert_eq!(serve.verdict("shop"), "healthy");
    assert!(serve.metric("bellwether_tasks_restarted_total") < 1.0);
    assert!(!serve.said().contains("panicked"), "{}", serve.said());
}
