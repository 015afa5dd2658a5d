//! Checks of servers that mean harm, and of workers that die on the way: the report comes all the
//! same, and says what is not known. Everything stays on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A server that reads something and then does as `serve` says, on each connection.
fn server(serve: fn(&mut TcpStream) -> std::io::Result<()>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                // Ends when the client has had enough.
                let _ = stream.read(&mut [0; 4096]);
                let _ = serve(&mut stream);
            });
        }
    });
    address
}

fn well(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

fn forever(stream: &mut TcpStream, head: &[u8], again: &[u8]) -> std::io::Result<()> {
    stream.write_all(head)?;
    let again = again.repeat(1000);
    loop {
        stream.write_all(&again)?;
    }
}

/// `check` of a server on loopback, with a fault of the worker if one is named.
fn check(target: &str, fault: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(["check", target, "--control", "none"])
        .args(args)
        .env("BELLWETHER_WORKER_FAULT", fault)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn report(target: &str, fault: &str, args: &[&str]) -> (Value, Option<i32>) {
    let output = check(target, fault, &[args, &["--format", "json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{target}, {fault}: {error}: {said}"));
    (report, output.status.code())
}

/// The outcomes of a probe.
fn outcomes<'a>(report: &'a Value, probe: &str) -> Vec<&'a Value> {
    let all = report["observations"].as_array().unwrap().iter();
    let own = all.filter(|o| o["probe"] == probe);
    own.map(|o| &o["outcome"]).collect()
}

fn layers(report: &Value) -> Vec<&str> {
    let layers = report["layers"].as_array().unwrap().iter();
    layers.map(|l| l["layer"].as_str().unwrap()).collect()
}

#[test]
fn servers_without_end_are_cut_off_with_a_record() {
    let servers: [fn(&mut TcpStream) -> std::io::Result<()>; 6] = [
        |s| forever(s, b"HTTP/1.1 200 OK\r\n\r\n", b"body"),
        |s| {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            forever(s, head, b"1\r\nx\r\n")
        },
        |s| {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;";
            forever(s, head, b"extension")
        },
        |s| forever(s, b"HTTP/1.1 200 OK\r\n", b"field: value\r\n"),
        |s| forever(s, b"HTTP/1.1 200 OK\r\nfield: ", b"value"),
        |s| forever(s, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ];
    for (at, serve) in servers.into_iter().enumerate() {
        let (report, _) = report(&format!("http://{}/", server(serve)), "", &[]);
        let [outcome] = outcomes(&report, "http")[..] else {
            panic!("server {at}: {report:#}");
        };
        assert_eq!(outcome["kind"], "http", "server {at}: {outcome:#}");
    }
}

#[test]
fn tls_without_end_is_cut_off_with_a_record() {
    let servers: [fn(&mut TcpStream) -> std::io::Result<()>; 3] = [
        |s| forever(s, b"", b"\x15\x03\x03\x00\x02\x01\x00"),
        |s| forever(s, b"", b"\x14\x03\x03\x00\x01\x01"),
        // A certificate message of 16 MiB, in records of 16 KiB.
        |s| {
            let record = [&b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff"[..], &[0; 0x3ffc]];
            forever(s, b"", &record.concat())
        },
    ];
    for (at, serve) in servers.into_iter().enumerate() {
        let (report, code) = report(&format!("tls://{}", server(serve)), "", &[]);
        let seen = outcomes(&report, "tls");
        assert!(!seen.is_empty(), "server {at}: {report:#}");
        // Handshakes, and counts of more of them: none that did not run.
        let ran = |o: &&&Value| o["kind"] == "tls" || o["kind"] == "tries";
        assert_eq!(seen.iter().filter(ran).count(), seen.len(), "server {at}");
        assert_eq!(code, Some(1), "server {at}");
    }
}

/// What the network names is dialled only if it is public, or allowed: here a redirect to another
/// address of this machine.
#[test]
fn a_redirect_inside_is_not_followed() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let inner = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).unwrap();
    let outer = listener.local_addr().unwrap();
    let location = format!("http://{}/", inner.local_addr().unwrap());
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(head.as_bytes());
        }
    });
    let target = format!("http://{outer}/");
    let (refused, code) = report(&target, "", &[]);
    let words = "127.0.0.2 is loopback, and the network named it";
    assert!(refused.to_string().contains(words), "{refused:#}");
    assert_eq!(code, Some(1));
    inner.set_nonblocking(true).unwrap();
    assert!(inner.accept().is_err(), "the inner server was dialled");
    inner.set_nonblocking(false).unwrap();
    std::thread::spawn(move || {
        for stream in inner.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = well(&mut stream);
        }
    });
    let allow = ["--allow-network", "127.0.0.2/32"];
    let (followed, code) = report(&target, "", &allow);
    assert_eq!(code, Some(0), "{followed:#}");
}

/// The allocator of the worker is the last net; if it did nothing, the probe would go on.
#[test]
fn a_worker_that_takes_all_memory_is_aborted() {
    let target = format!("http://{}/", server(well));
    let (report, code) = report(&target, "alloc:http", &[]);
    assert_eq!(outcomes(&report, "tcp")[0]["kind"], "tcp");
    let [outcome] = outcomes(&report, "http")[..] else {
        panic!("{report:#}");
    };
    assert_eq!(outcome["reason"], "worker_died", "{outcome:#}");
    assert_eq!(layers(&report), ["dns", "net", "http"]);
    assert_eq!(report["layers"][2]["state"], "unknown");
    assert_eq!(report["diagnosis"]["cause"], "monitor.probe_hung");
    assert_eq!(code, Some(3));
}

#[test]
fn a_worker_that_hangs_leaves_what_is_known() {
    let target = format!("http://{}/", server(well));
    let (report, code) = report(&target, "hang:http", &["--deadline", "1"]);
    assert_eq!(outcomes(&report, "tcp")[0]["kind"], "tcp");
    assert_eq!(outcomes(&report, "http")[0]["reason"], "worker_hung");
    assert_eq!(report["layers"][2]["state"], "unknown");
    assert_eq!(code, Some(3));
}

#[test]
fn ndjson_is_the_observations_and_then_the_report() {
    let target = format!("http://{}/", server(well));
    let output = check(&target, "", &["--format", "ndjson"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut report = lines.pop().unwrap();
    assert_eq!(report["type"], "report");
    let told = report["observations"].take();
    assert_eq!(told.as_array().unwrap().len(), lines.len());
    for (line, observation) in lines.iter_mut().zip(told.as_array().unwrap()) {
        let kind = line.as_object_mut().unwrap().remove("type").unwrap();
        assert_eq!(kind, "observation");
        assert_eq!(line, observation);
    }
}

/// A report that cannot be saved is still printed, and its verdict is the exit code.
#[test]
fn a_full_disk_does_not_lose_the_verdict() {
    let target = format!("http://{}/", server(well));
    let output = check(&target, "", &["-q", "--save", "/dev/full"]);
    let (told, said) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(told.contains("HEALTHY"), "{told}");
    assert!(said.contains("failed to save the report"), "{said}");
    assert_eq!(output.status.code(), Some(0));
}
