//! Peers that stand in the place of TLS and HTTP and do one thing wrong.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::scenario::{OldTls, PeerWord};

/// Bytes of the message of [`PeerWord::LongMessage`].
const LONG_MESSAGE: u32 = 16 * 1024 * 1024 - 1;

/// Does as the word says; `chain` are the certificates of peers that show some.
pub(crate) async fn serve(
    mut stream: TcpStream,
    word: &PeerWord,
    chain: &[Vec<u8>],
) -> io::Result<()> {
    match word {
        PeerWord::None => {}
        PeerWord::Mute => return idle(&mut stream).await,
        PeerWord::Closes => {
            hello(&mut stream).await?;
            return stream.shutdown().await;
        }
        PeerWord::Resets => {
            hello(&mut stream).await?;
            reset(&stream)?;
        }
        PeerWord::Says(text) => {
            stream.write_all(text.as_bytes()).await?;
            return idle(&mut stream).await;
        }
        PeerWord::Bytes(hex) => {
            hello(&mut stream).await?;
            stream.write_all(&octets(hex)).await?;
            return idle(&mut stream).await;
        }
        PeerWord::Alert(code) => {
            hello(&mut stream).await?;
            stream.write_all(&alert(*code)).await?;
            return stream.shutdown().await;
        }
        PeerWord::Speaks(old) => {
            let spoken = hello(&mut stream).await?;
            let answer = answer(*old, &spoken, chain);
            stream.write_all(&answer).await?;
            return idle(&mut stream).await;
        }
        PeerWord::LongRecord => {
            hello(&mut stream).await?;
            let mut bytes = vec![22, 3, 3, 255, 255];
            bytes.resize(5 + 65_535, 0);
            stream.write_all(&bytes).await?;
            return idle(&mut stream).await;
        }
        PeerWord::LongMessage => {
            hello(&mut stream).await?;
            return long_message(&mut stream).await;
        }
        PeerWord::Drips => {
            hello(&mut stream).await?;
            for byte in records(0x0303, &server_hello(0x0303, 0xc02f)) {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            return idle(&mut stream).await;
        }
    }
    Ok(())
}

/// The next thing that the client learns of the connection is a reset.
pub(crate) fn reset(stream: &TcpStream) -> io::Result<()> {
    // Without lingering the kernel resets what is dropped.
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Reads what the client says until it is done.
async fn idle(stream: &mut TcpStream) -> io::Result<()> {
    let mut chunk = [0; 4096];
    while stream.read(&mut chunk).await? > 0 {}
    Ok(())
}

/// The body of the client's first record; empty if it is none.
async fn hello(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).await?;
    let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
    stream.read_exact(&mut body).await?;
    Ok(if header[0] == 22 { body } else { Vec::new() })
}

/// What a server of an old version says to a ClientHello.
fn answer(old: OldTls, hello: &[u8], chain: &[Vec<u8>]) -> Vec<u8> {
    let offered = hello
        .get(4..6)
        .map_or(0, |two| u16::from_be_bytes([two[0], two[1]]));
    let (lowest, highest, suite) = match old {
        OldTls::Ssl3 => (0x0300, 0x0300, 0x000a),
        OldTls::Tls10 => (0x0301, 0x0301, 0x002f),
        OldTls::Tls11 => (0x0301, 0x0302, 0x002f),
        OldTls::Tls12Rsa => (0x0303, 0x0303, 0x002f),
    };
    let version = offered.min(highest);
    if version < lowest {
        return alert(70);
    }
    if !offers(hello, suite) {
        return alert(40);
    }
    let mut list = Vec::new();
    for cert in chain {
        list.extend(length(cert.len()));
        list.extend(cert);
    }
    let certificates = [&length(list.len())[..], &list].concat();
    let messages = [
        server_hello(version, suite),
        message(11, &certificates),
        message(14, &[]),
    ];
    records(version, &messages.concat())
}

/// Does a ClientHello offer a suite?
fn offers(hello: &[u8], suite: u16) -> bool {
    let Some(session) = hello.get(38) else {
        return false;
    };
    let at = 39 + usize::from(*session);
    let Some([a, b]) = hello.get(at..at + 2) else {
        return false;
    };
    let len = usize::from(u16::from_be_bytes([*a, *b]));
    let suites = hello.get(at + 2..at + 2 + len).unwrap_or_default();
    suites.chunks_exact(2).any(|two| two == suite.to_be_bytes())
}

fn alert(code: u8) -> Vec<u8> {
    vec![21, 3, 1, 0, 2, 2, code]
}

fn server_hello(version: u16, suite: u16) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend(std::array::from_fn::<u8, 32, _>(|_| fastrand::u8(..)));
    body.push(0);
    body.extend(suite.to_be_bytes());
    body.push(0);
    message(2, &body)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &length(body.len())[..], body].concat()
}

/// A length in three bytes.
fn length(len: usize) -> [u8; 3] {
    let [_, a, b, c] = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    [a, b, c]
}

fn records(version: u16, messages: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in messages.chunks(16_000) {
        all.push(22);
        all.extend(version.to_be_bytes());
        all.extend(u16::try_from(part.len()).unwrap_or(0).to_be_bytes());
        all.extend(part);
    }
    all
}

async fn long_message(stream: &mut TcpStream) -> io::Result<()> {
    let header = [&[11], &length(LONG_MESSAGE as usize)[..]].concat();
    stream.write_all(&records(0x0303, &header)).await?;
    let filler = records(0x0303, &vec![0; 16_000]);
    for _ in 0..LONG_MESSAGE / 16_000 {
        stream.write_all(&filler).await?;
    }
    idle(stream).await
}

/// Bytes written in hexadecimal; what is none is left out.
fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|c| c.to_digit(16))
        .filter_map(|d| u8::try_from(d).ok())
        .collect();
    digits
        .chunks_exact(2)
        .map(|two| two[0] << 4 | two[1])
        .collect()
}
