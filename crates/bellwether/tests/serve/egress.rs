//! P19: what the network names is asked only where that is allowed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::running::{Serve, Site, config};

/// Writes down who comes; nobody must.
struct Recorder {
    port: u16,
    came: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    fn start() -> Self {
        let came = Arc::new(Mutex::new(Vec::new()));
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let mut listeners = vec![first];
        for other in ["127.0.0.2", "127.1.2.3", "::1"] {
            let at = SocketAddr::new(other.parse().unwrap(), port);
            // A machine without IPv6 has fewer ways in.
            listeners.extend(TcpListener::bind(at).ok());
        }
        for listener in listeners {
            let came = came.clone();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let mut words = vec![0; 200];
                    let wait = stream.set_read_timeout(Some(Duration::from_secs(1)));
                    let len = wait.and_then(|()| (&stream).read(&mut words)).unwrap_or(0);
                    let words = String::from_utf8_lossy(&words[..len]).into_owned();
                    came.lock().unwrap().push(words);
                }
            });
        }
        Self { port, came }
    }
}

/// Redirects everything to where its path says, by number.
fn redirector(places: Vec<String>) -> SocketAddr {
    // What the operator wrote is asked, and no other address of this machine.
    let listener = TcpListener::bind("127.0.0.9:0").unwrap();
    let at = listener.local_addr().unwrap();
    let places = Arc::new(places);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let places = places.clone();
            thread::spawn(move || {
                let mut head = BufReader::new(stream.try_clone().unwrap());
                let mut first = String::new();
                let mut line = String::new();
                while head.read_line(&mut line).is_ok_and(|len| len > 2) {
                    if first.is_empty() {
                        first.clone_from(&line);
                    }
                    line.clear();
                }
                let number = first
                    .split(' ')
                    .nth(1)
                    .and_then(|path| path[1..].parse::<usize>().ok());
                let place = number
                    .and_then(|n| places.get(n))
                    .map_or("/", String::as_str);
                let answer = format!(
                    "HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.write_all(answer.as_bytes());
            });
        }
    });
    at
}

/// Hosts that are this machine, or that nobody outside may name.
const HOSTS: &[&str] = &[
    "127.0.0.1",
    "127.0.0.2",
    "127.1.2.3",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0177.0.0.1",
    "0177.0.0.01",
    "017700000001",
    "127.0.0.1.",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "0",
    "0.0.0.0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[100::1]",
    "[::1%25lo]",
    "user@127.0.0.1",
    "www.shop.example@127.0.0.1",
    "user:word@[::1]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "[::ffff:169.254.169.254]",
    "0xa9fea9fe",
    "2852039166",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
];

/// Ways to write this machine, or places that nobody outside may name.
fn places(port: u16) -> Vec<String> {
    let mut places: Vec<String> = HOSTS
        .iter()
        .map(|host| format!("http://{host}:{port}/"))
        .collect();
    for other in [
        format!("//127.0.0.1:{port}/"),
        format!("///127.0.0.1:{port}/"),
        format!("/\\127.0.0.1:{port}/"),
        format!("\\\\127.0.0.1:{port}\\"),
        format!("http:127.0.0.1:{port}"),
        format!("http:/127.0.0.1:{port}/"),
        format!("HTTP://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("ftp://127.0.0.1:{port}/"),
        format!("gopher://127.0.0.1:{port}/_x"),
        format!("dict://127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}\t/"),
        format!("http://127.0.0.1:{port}#@www.shop.example/"),
        format!("http://127.0.0.1:{port}?@www.shop.example/"),
        format!("http://www.shop.example\\@127.0.0.1:{port}/"),
        "file:///etc/passwd".to_owned(),
    ] {
        places.push(other);
    }
    places
}

#[test]
fn p19_no_request_leaves_to_a_forbidden_address() {
    let recorder = Recorder::start();
    let places = places(recorder.port);
    assert!(places.len() >= 60, "{}", places.len());
    let at = redirector(places.clone());
    let site = Site::start();
    let names: Vec<String> = (0..places.len()).map(|n| format!("s{n:02}")).collect();
    let urls: Vec<String> = (0..places.len())
        .map(|n| format!("http://{at}/{n}"))
        .collect();
    let sites: Vec<(&str, &str)> = names
        .iter()
        .zip(&urls)
        .map(|(n, u)| (n.as_str(), u.as_str()))
        .collect();
    let mut text = config(&sites, "").replace("every: 1s", "every: 5s");
    text.push_str(&format!("  - {{ name: shop, url: \"{}\" }}\n", site.url()));
    let serve = Serve::start(&text);
    serve.until("the shop is healthy", |s| s.verdict("shop") == "healthy");
    // Each was run, confirmed and traced, and none is well: nobody answered for it.
    for (name, place) in names.iter().zip(&places) {
        serve.until(&format!("it is judged: {place}"), |s| {
            let service = s.service(name);
            service["verdict"] != "unknown" || !service["cause"].is_null()
        });
        assert_ne!(serve.verdict(name), "healthy", "{place}");
    }
    let came = recorder.came.lock().unwrap();
    assert!(came.is_empty(), "somebody came: {came:#?}");
}
