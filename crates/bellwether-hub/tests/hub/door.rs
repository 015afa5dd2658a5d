//! Connections: over loopback, and with real time, but judged by what happens and not by when.

use std::process::{Command, Stdio};
use std::time::Duration;

use bellwether_hub::access::Access;
use bellwether_hub::{api, listen, testing};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Far above anything that these tests take: only what hangs meets it.
const FAR: Duration = Duration::from_secs(60);

struct Server {
    address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hub = testing::filled(Timestamp::now());
    let router = api::router(hub.shared, Access::for_listener(address));
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(listen::serve_http(listener, router, async {
        let _ = stopped.await;
    }));
    Server {
        address,
        stop: Some(stop),
        task,
    }
}

/// Asks once, over a connection of its own.
async fn ask(address: std::net::SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

async fn is_well(address: std::net::SocketAddr) {
    let answer = tokio::time::timeout(FAR, ask(address, "/api/v1/services")).await;
    let answer = answer.expect("it is answered").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_hangs_or_resets_costs_only_itself() {
    let server = server().await;
    let mut hanging = Vec::new();
    for begin in [
        "",
        "G",
        "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /api/v1/counters HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{",
    ] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(begin.as_bytes()).await.unwrap();
            hanging.push(stream);
        }
    }
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let resets = socket2::SockRef::from(&stream);
        resets.set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
    }
    for _ in 0..10 {
        is_well(server.address).await;
    }
    drop(hanging);
}

#[tokio::test]
async fn one_that_reads_nothing_of_much_costs_only_itself() {
    let server = server().await;
    let mut greedy = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        for _ in 0..200 {
            let request = "GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
            // Once the server's buffers are full it takes no more, and that is right.
            let sent = tokio::time::timeout(
                Duration::from_millis(50),
                stream.write_all(request.as_bytes()),
            );
            if sent.await.is_err() {
                break;
            }
        }
        greedy.push(stream);
    }
    is_well(server.address).await;
    drop(greedy);
}

#[tokio::test]
async fn a_stop_lets_answers_end_and_cuts_what_never_would() {
    let mut server = server().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 16];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK\r");
    server.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(FAR, server.task)
        .await
        .expect("it stops")
        .unwrap();
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "nobody listens any more"
    );
    // What was open is closed.
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(FAR, stream.read_to_end(&mut rest))
        .await
        .expect("it is cut");
}

/// Set in the child that serves with few file descriptors.
const CHILD: &str = "BELLWETHER_TEST_FEW_DESCRIPTORS";

#[tokio::test]
async fn hostile_c14_without_descriptors_the_door_waits_and_never_exits() {
    if std::env::var_os(CHILD).is_some() {
        return serve_with_few().await;
    }
    let this = std::env::current_exe().unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact door::hostile_c14_without_descriptors_the_door_waits_and_never_exits --nocapture"])
        .arg(this)
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let err = child.stderr.take().unwrap();
    let address = tokio::task::spawn_blocking(move || {
        use std::io::BufRead as _;
        let mut lines = std::io::BufReader::new(err).lines();
        let line = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.starts_with("address "));
        // Read on, so that the child is never held up by a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        line.unwrap()["address ".len()..].parse().unwrap()
    });
    let address = address.await.unwrap();
    is_well(address).await;
    let mut held = Vec::new();
    for _ in 0..120 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        held.push(stream);
    }
    // More are open than there are descriptors: this one has to wait.
    let waiting = tokio::spawn(is_well(address));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(child.try_wait().unwrap().is_none(), "it lives");
    drop(held);
    tokio::time::timeout(FAR, waiting)
        .await
        .expect("its turn comes")
        .unwrap();
    is_well(address).await;
    drop(child.stdin.take());
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap())
        .await
        .unwrap();
    assert!(ended.success(), "{ended}");
}

async fn serve_with_few() {
    let mut server = server().await;
    eprintln!("address {}", server.address);
    let input =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    input.await.unwrap().unwrap();
    server.stop.take().unwrap().send(()).unwrap();
    server.task.await.unwrap();
}
