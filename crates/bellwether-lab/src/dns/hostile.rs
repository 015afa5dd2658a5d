//! What hostile servers send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};

use crate::net::udp_socket;
use crate::scenario::Hostile;

/// Forged answers before the right one.
const FLOOD: u16 = 2000;
/// Forged answers between two pauses, so that no buffer overflows.
const FLOOD_AT_ONCE: u16 = 50;
/// Records of an answer without end.
const RECORDS: u16 = 4000;
/// EDNS options of an answer.
const OPTIONS: u16 = 1000;
/// Octets of a header.
const HEADER_LEN: usize = 12;
/// TC in the flags.
const TRUNCATED: u8 = 0x02;

/// Sends over UDP what this server sends in answer to a query; `truth` is the right answer.
pub(crate) async fn send(
    word: Hostile,
    socket: &UdpSocket,
    query: &[u8],
    truth: &[u8],
    peer: SocketAddr,
) -> std::io::Result<()> {
    if query.len() < HEADER_LEN || truth.len() < HEADER_LEN {
        return Ok(());
    }
    match word {
        Hostile::Flood => {
            let id = u16::from_be_bytes([truth[0], truth[1]]);
            for number in 1..=FLOOD {
                let mut forged = truth.to_vec();
                forged[..2].copy_from_slice(&id.wrapping_add(number).to_be_bytes());
                socket.send_to(&forged, peer).await?;
                if number % FLOOD_AT_ONCE == 0 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            socket.send_to(truth, peer).await?;
        }
        Hostile::Runts => {
            for len in [0, 1, 11] {
                socket.send_to(&truth[..len], peer).await?;
            }
        }
        Hostile::WrongSource => {
            let from = SocketAddr::new(socket.local_addr()?.ip(), 0);
            let other = udp_socket(from).map_err(std::io::Error::other)?;
            other.send_to(truth, peer).await?;
        }
        word => {
            socket.send_to(&message(word, query, truth), peer).await?;
        }
    }
    Ok(())
}

/// The one datagram of those that send one.
fn message(word: Hostile, query: &[u8], truth: &[u8]) -> Vec<u8> {
    let mut octets = truth.to_vec();
    match word {
        Hostile::WrongId => octets[0] ^= 0x55,
        Hostile::WrongQuestion => {
            // The last label's last letter, or the type, of the question.
            let end = question_end(truth);
            octets[end - 3] ^= 1;
        }
        Hostile::Echo => octets = query.to_vec(),
        Hostile::Garbage => {
            octets = truth[..2].to_vec();
            octets.extend((0..200).map(|_| fastrand::u8(..)));
        }
        Hostile::Counts => {
            octets.truncate(question_end(truth));
            octets[6..HEADER_LEN].fill(0xff);
        }
        Hostile::PointerLoop => {
            let here = u16::try_from(question_end(truth)).unwrap_or(HEADER_LEN as u16);
            octets = with_record(truth, &(0xc000 | here).to_be_bytes(), 4, &[192, 0, 2, 1]);
        }
        Hostile::PointerForward => {
            octets = with_record(truth, &[0xff, 0xff], 4, &[192, 0, 2, 1]);
        }
        Hostile::LongLabel => {
            let mut owner = vec![64];
            owner.extend([b'a'; 64]);
            owner.push(0);
            octets = with_record(truth, &owner, 4, &[192, 0, 2, 1]);
        }
        Hostile::LongName => {
            let mut owner = Vec::new();
            for _ in 0..5 {
                owner.push(63);
                owner.extend([b'a'; 63]);
            }
            owner.push(0);
            octets = with_record(truth, &owner, 4, &[192, 0, 2, 1]);
        }
        Hostile::RdlengthOver => octets = with_record(truth, &[0xc0, 12], 400, &[192, 0, 2, 1]),
        Hostile::RdlengthShort => octets = with_record(truth, &[0xc0, 12], 3, &[192, 0, 2]),
        Hostile::TruncatedReset
        | Hostile::TruncatedStall
        | Hostile::TruncatedSlow
        | Hostile::ManyRecords => {
            octets.truncate(question_end(truth));
            octets[6..HEADER_LEN].fill(0);
            octets[2] |= TRUNCATED;
        }
        Hostile::ManyOptions => octets = with_options(truth),
        Hostile::Flood | Hostile::Runts | Hostile::WrongSource => {}
    }
    octets
}

/// Where the question of a message with one question ends.
fn question_end(message: &[u8]) -> usize {
    let mut at = HEADER_LEN;
    while let Some(len) = message.get(at).filter(|len| **len > 0) {
        at += usize::from(*len) + 1;
    }
    (at + 5).min(message.len())
}

/// The question with one A record whose length field says `len`.
fn with_record(truth: &[u8], owner: &[u8], len: u16, data: &[u8]) -> Vec<u8> {
    let mut octets = truth[..question_end(truth)].to_vec();
    octets[6..HEADER_LEN].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
    octets.extend(owner);
    octets.extend([0, 1, 0, 1, 0, 0, 0, 60]);
    octets.extend(len.to_be_bytes());
    octets.extend(data);
    octets
}

/// A right answer whose OPT record, the last one, carries many options.
fn with_options(truth: &[u8]) -> Vec<u8> {
    let Some(at) = truth.len().checked_sub(11) else {
        return truth.to_vec();
    };
    if truth[at..at + 3] != [0, 0, 41] {
        return truth.to_vec();
    }
    let mut octets = truth[..at + 9].to_vec();
    octets.extend((OPTIONS * 8).to_be_bytes());
    for number in 0..OPTIONS {
        // NSID, cookies and what nobody has defined, each of four octets.
        let code = [3, 10, 65_001][usize::from(number % 3)] as u16;
        octets.extend(code.to_be_bytes());
        octets.extend([0, 4, 0x1b, b'[', b'2', b'J']);
    }
    octets
}

/// Answers over TCP; `truth` is the right answer behind its length. `false`: the connection ends.
pub(crate) async fn answer(
    word: Hostile,
    stream: &mut TcpStream,
    truth: &[u8],
) -> std::io::Result<bool> {
    match word {
        Hostile::TruncatedReset => {
            socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
            return Ok(false);
        }
        Hostile::TruncatedStall => {
            stream.write_all(&[0xff, 0xff]).await?;
            stream.write_all(truth.get(2..).unwrap_or_default()).await?;
            std::future::pending::<()>().await;
        }
        Hostile::TruncatedSlow => {
            for octet in truth {
                stream.write_all(&[*octet]).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Hostile::ManyRecords => {
            let message = truth.get(2..).unwrap_or_default();
            let end = question_end(message);
            let asks_a = message.get(end.saturating_sub(4)..end) == Some(&[0, 1, 0, 1]);
            if !asks_a {
                stream.write_all(truth).await?;
                return Ok(true);
            }
            let mut octets = message[..end].to_vec();
            octets[6..HEADER_LEN].fill(0);
            octets[6..8].copy_from_slice(&RECORDS.to_be_bytes());
            for number in 0..RECORDS {
                let [high, low] = number.to_be_bytes();
                octets.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 185, 20, high, low]);
            }
            let len = u16::try_from(octets.len()).unwrap_or(u16::MAX);
            stream.write_all(&len.to_be_bytes()).await?;
            stream.write_all(&octets).await?;
        }
        Hostile::Runts => stream.write_all(&[0, 1, 0]).await?,
        Hostile::Flood | Hostile::ManyOptions | Hostile::WrongSource => {
            stream.write_all(truth).await?;
        }
        word => {
            let message_of_truth = truth.get(2..).unwrap_or_default();
            let octets = message(word, message_of_truth, message_of_truth);
            let len = u16::try_from(octets.len()).unwrap_or(0);
            stream.write_all(&len.to_be_bytes()).await?;
            stream.write_all(&octets).await?;
        }
    }
    Ok(true)
}
