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
    let socket = UdpSocket::bind(from).await.unwrap();
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

async fn connect(to: &str) -> Option<std::io::Result<TcpStream>> {
    timeout(PATIENCE, TcpStream::connect(to)).await.ok()
}
