//! The tables of a world, and a whole world in a namespace.

use std::net::SocketAddr;
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::*;

/// Says that this process is inside a fresh namespace already.
const INSIDE: &str = "BELLWETHER_LAB_INSIDE";

#[test]
fn owners_become_a_table() {
    let owners = [
        ("192.0.2.0/24", "AS64511 Foreign, Inc"),
        ("2001:db8::/32", "Nobody"),
    ];
    let owners = owners
        .iter()
        .map(|(p, o)| (p.parse().unwrap(), (*o).to_owned()));
    assert_eq!(
        folder::asn_table(&owners.collect()),
        "prefix,asn,owner\n192.0.2.0/24,64511,\"Foreign, Inc\"\n2001:db8::/32,,Nobody\n"
    );
}

const WORLD: &str = r#"
schema: bellwether.scenario/1
name: smoke
fixed: true
world:
  zones:
    - name: ours
      apex: svc.test
      servers: { ns1.dns.test: [203.0.113.1, "2001:db8:1::1"], ns2.dns.test: 203.0.113.2 }
      records: ["www 60 A 203.0.113.80"]
  servers: { 203.0.113.2: silent }
  hosts:
    - { address: 203.0.113.80, port: 80, http: { status: 418, body: teapot } }
    - { address: 203.0.113.80, port: 443, tls: { names: [www.svc.test] }, tcp: silent }
    - { address: 203.0.113.80, port: 81, tcp: refused }
"#;

/// In the test runner's process there are threads and interfaces; the same test, by its full name,
/// runs again in a namespace of its own, and there it does what it is for.
pub(in crate::drill) fn in_a_namespace(test: &str, work: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(work);
        return;
    }
    let status = Command::new("unshare")
        .args(["--map-root-user", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_world_answers() {
    in_a_namespace("drill::child::tests::a_world_answers", talk());
}

async fn talk() {
    let job = WorldJob {
        path: "smoke".to_owned(),
        text: WORLD.to_owned(),
        seed: 1,
        program: "/bin/true".into(),
        exec: None,
    };
    let spec = parse(WORLD, "smoke").unwrap();
    let stage = Stage::new(&job, spec).await.unwrap();
    let a_root = "198.41.0.4:53".parse().unwrap();
    assert!(ask(a_root).await.is_some(), "a root server answers");
    for server in ["203.0.113.1:53", "[2001:db8:1::1]:53", "8.8.8.8:53"] {
        let answer = ask(server.parse().unwrap()).await.unwrap();
        let holds = answer.windows(4).any(|four| four == [203, 0, 113, 80]);
        assert!(holds, "{server} answers with the address");
    }
    assert!(
        ask("203.0.113.2:53".parse().unwrap()).await.is_none(),
        "silent over UDP"
    );
    let silent = connect("203.0.113.2:53").await;
    assert!(silent.is_none(), "silent over TCP");
    assert!(connect("203.0.113.80:443").await.is_none(), "a silent host");
    let refused = connect("203.0.113.80:81").await.unwrap();
    assert!(refused.is_err(), "a closed port");
    let mut open = connect("203.0.113.80:80").await.unwrap().unwrap();
    open.write_all(b"GET / HTTP/1.1\r\nHost: www.svc.test\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut response = String::new();
    open.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 418 ") && response.ends_with("teapot"));
    assert!(stage.directory.path().join("ca.pem").exists());
    let code = stage
        .exec("test -s $BELLWETHER_WORLD/root.hints && exit 7")
        .await;
    assert_eq!(code.unwrap(), 7);
}

/// How long silence is waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// Asks for the address of `www.svc.test.` over UDP.
async fn ask(server: SocketAddr) -> Option<Vec<u8>> {
    let from = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    ask_from(from, server).await
}

async fn ask_from(from: &str, server: SocketAddr) -> Option<Vec<u8>> {
    let socket = bound(from);
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x03svc\x04test\x00\x00\x01\x00\x01";
    socket.send_to(query, server).await.unwrap();
    let mut buffer = vec![0; 1500];
    let (len, from) = timeout(PATIENCE, socket.recv_from(&mut buffer))
        .await
        .ok()?
        .unwrap();
    assert_eq!(from, server);
    buffer.truncate(len);
    Some(buffer)
}

/// A socket at any address of the box.
fn bound(from: &str) -> UdpSocket {
    crate::net::udp_socket(from.parse().unwrap()).unwrap()
}

async fn connect(to: &str) -> Option<std::io::Result<TcpStream>> {
    timeout(PATIENCE, TcpStream::connect(to)).await.ok()
}

/// A world with two vantages, of which one comes to harm.
const PLACES: &str = r#"
schema: bellwether.scenario/1
name: places
fixed: true
world:
  vantages:
    - { name: fra, address: [192.0.2.10, "2001:db8:9::10"] }
    - { name: nyc, address: 192.0.2.20 }
  zones:
    - name: ours
      apex: svc.test
      servers: { ns1.dns.test: [203.0.113.1, "2001:db8:1::1"] }
      records: ["www 60 A 203.0.113.80"]
  hosts:
    - { address: 203.0.113.80, port: 80, http: { status: 418, body: teapot } }
    - { address: 203.0.113.99, port: 80, http: { status: 511, body: log in } }
"#;

#[test]
fn a_vantage_comes_to_harm_alone() {
    let name = "drill::child::tests::a_vantage_comes_to_harm_alone";
    in_a_namespace(name, harm());
}

async fn harm() {
    let job = WorldJob {
        path: "places".to_owned(),
        text: PLACES.to_owned(),
        seed: 1,
        program: "/bin/true".into(),
        exec: None,
    };
    let spec = parse(PLACES, "places").unwrap();
    let mut stage = Stage::new(&job, spec).await.unwrap();
    let (fra, nyc, fra6) = ("192.0.2.10", "192.0.2.20", "2001:db8:9::10");
    let (server, server6) = ("203.0.113.1:53", "[2001:db8:1::1]:53");
    for (from, to) in [(fra, server), (nyc, server), (fra6, server6)] {
        assert!(heard(from, to).await, "{from} is answered");
    }
    set(&mut stage, "{ vantages: { fra: { cut: true } } }").await;
    assert!(!heard(fra, server).await && !heard(fra6, server6).await);
    assert!(heard(nyc, server).await, "the other one is answered");
    assert_eq!(page(fra).await, None);
    assert!(page(nyc).await.unwrap().contains("teapot"));
    set(
        &mut stage,
        "{ vantages: { fra: { cut: false, loss: 0.5 } } }",
    )
    .await;
    let mut got = 0;
    for _ in 0..40 {
        got += u32::from(heard(fra, server).await);
        assert!(heard(nyc, server).await);
    }
    // All or nothing of 40 comes to pass once in 2^39 times.
    assert!((1..40).contains(&got), "{got}");
    set(
        &mut stage,
        "{ vantages: { fra: { loss: 0, portal: 203.0.113.99 } } }",
    )
    .await;
    assert!(page(fra).await.unwrap().contains("log in"));
    assert!(page(nyc).await.unwrap().contains("teapot"));
    set(&mut stage, "{ vantages: { fra: { portal: null } } }").await;
    assert!(page(fra).await.unwrap().contains("teapot"));
}

async fn set(stage: &mut Stage, yaml: &str) {
    let step = format!("{{ set: {yaml} }}");
    let step: StepSpec = serde_saphyr::from_str(&step).unwrap();
    assert!(stage.step(&step).await.unwrap().is_none());
}

/// Does a server answer a question over UDP that comes from an address?
async fn heard(from: &str, server: &str) -> bool {
    ask_from(&format!("{}:0", literal(from)), server.parse().unwrap())
        .await
        .is_some()
}

fn literal(address: &str) -> String {
    match address.contains(':') {
        true => format!("[{address}]"),
        false => address.to_owned(),
    }
}

/// What the site says to somebody at an address.
async fn page(from: &str) -> Option<String> {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let site = socket.connect("203.0.113.80:80".parse().unwrap());
    let mut site = timeout(PATIENCE, site).await.ok()?.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: www.svc.test\r\nConnection: close\r\n\r\n";
    site.write_all(request).await.unwrap();
    let mut said = String::new();
    site.read_to_string(&mut said).await.unwrap();
    Some(said)
}
