//! Scripted DNS servers on loopback, for tests.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use bellwether_model::job::{JOB_SCHEMA, Job};
use bellwether_model::{Egress, Expect};
use domain::base::name::Name;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::LocalSet;

/// What a server sends back for a query: any number of messages.
pub(crate) type Script = Rc<dyn Fn(&[u8]) -> Vec<Vec<u8>>>;

/// Runs a future on a `LocalSet` with all of tokio on.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, future)
}

/// A job that aims at `target` and may dial loopback.
pub(crate) fn job(target: &str) -> Job {
    Job {
        schema: JOB_SCHEMA.to_owned(),
        target: target.parse().unwrap(),
        expect: Expect::default(),
        resolvers: vec![],
        controls: vec![],
        root_hints: vec![],
        extra_roots: vec![],
        client_cert: None,
        tries: None,
        sources: vec![],
        connect: None,
        family: None,
        egress: Egress {
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        },
        baseline: None,
        now: jiff::Timestamp::UNIX_EPOCH,
        trust_anchor: Vec::new(),
        asn_table: None,
        timeout_ms: None,
        deadline_ms: 20_000,
        avoid: vec![],
    }
}

/// Serves a script over UDP and TCP at a loopback address; port 0 picks one that is free over both.
pub(crate) async fn serve(address: IpAddr, port: u16, script: Script) -> std::io::Result<u16> {
    let (udp, tcp, port) = loop {
        let udp = UdpSocket::bind(SocketAddr::new(address, port)).await?;
        let picked = udp.local_addr()?.port();
        match TcpListener::bind(SocketAddr::new(address, picked)).await {
            Ok(tcp) => break (udp, tcp, picked),
            Err(error) if port == 0 && error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    };
    let udp_script = script.clone();
    tokio::task::spawn_local(async move {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = udp.recv_from(&mut buffer).await {
            for reply in udp_script(&buffer[..len]) {
                udp.send_to(&reply, from).await.unwrap();
            }
        }
    });
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let script = script.clone();
            tokio::task::spawn_local(async move {
                while let Ok(len) = stream.read_u16().await {
                    let mut query = vec![0; usize::from(len)];
                    if stream.read_exact(&mut query).await.is_err() {
                        return;
                    }
                    for mut reply in script(&query) {
                        reply[2] &= !0x02;
                        let mut framed = u16::try_from(reply.len()).unwrap().to_be_bytes().to_vec();
                        framed.append(&mut reply);
                        let _ = stream.write_all(&framed).await;
                    }
                }
            });
        }
    });
    Ok(port)
}

/// Name and type of a query.
pub(crate) fn asked(query: &[u8]) -> (String, u16) {
    let message = domain::base::Message::from_slice(query).unwrap();
    let question = message.first_question().unwrap();
    let name = question.qname().to_string().to_ascii_lowercase();
    let name = if name == "." {
        name
    } else {
        format!("{name}.")
    };
    (name, question.qtype().to_int())
}

/// One record for [`reply`]: owner, type, data as it goes on the wire.
pub(crate) type Row = (String, u16, Vec<u8>);

/// A reply to a query: flags in the second header word, records for the three sections.
pub(crate) fn reply(query: &[u8], flags: u16, sections: [&[Row]; 3]) -> Vec<u8> {
    let mut bytes = query[..2].to_vec();
    bytes.extend((0x8000 | flags).to_be_bytes());
    bytes.extend([0, 1]);
    for section in sections {
        bytes.extend(u16::try_from(section.len()).unwrap().to_be_bytes());
    }
    bytes.extend(question(query));
    for (owner, rtype, data) in sections.into_iter().flatten() {
        bytes.extend(wire(owner));
        bytes.extend(rtype.to_be_bytes());
        // The payload size of an OPT record stands where the class is.
        let class: u16 = if *rtype == 41 { 1232 } else { 1 };
        bytes.extend(class.to_be_bytes());
        bytes.extend(if *rtype == 41 {
            [0; 4]
        } else {
            60_u32.to_be_bytes()
        });
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
    }
    bytes
}

/// The question section of a query.
pub(crate) fn question(query: &[u8]) -> &[u8] {
    let end = query[12..].iter().position(|b| *b == 0).unwrap() + 12 + 5;
    &query[12..end]
}

/// A name on the wire.
pub(crate) fn wire(name: &str) -> Vec<u8> {
    Name::<Vec<u8>>::vec_from_str(name)
        .unwrap()
        .as_slice()
        .to_vec()
}

/// 127.0.0.`last`.
pub(crate) fn loopback(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}
