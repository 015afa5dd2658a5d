//! How a handshake that did not complete ended.

use std::io;

use bellwether_model::text::inert;
use bellwether_model::tls::{TlsResult, alert_name};
use rustls::{Error, InvalidMessage};

use crate::dial::system_words;
use crate::wire::limit_met;

/// Longest text kept of a library's complaint, characters.
const WORDS_LEN_MAX: usize = 256;
/// Longest handshake message that our library takes, bytes; others take about as much.
const MESSAGE_LEN_MAX: usize = 64 * 1024;

/// What an error means, given the first bytes that the peer sent.
pub(crate) fn result_of(error: &io::Error, head: &[u8]) -> TlsResult {
    match tls_error(error) {
        Some(Error::AlertReceived(alert)) => TlsResult::Alert {
            code: u8::from(*alert),
            name: alert_name(u8::from(*alert)),
        },
        _ if !head.is_empty() && !begins_like_tls(head) => TlsResult::NotTls {
            looks_like: looks_like(head),
        },
        Some(Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge)) => {
            TlsResult::TooLarge {
                limit: MESSAGE_LEN_MAX,
            }
        }
        Some(error) if breaks_rules(error) => TlsResult::Malformed {
            error: inert(&error.to_string(), WORDS_LEN_MAX),
        },
        Some(error) => TlsResult::Failed {
            error: inert(&error.to_string(), WORDS_LEN_MAX),
        },
        None if let Some(limit) = limit_met(error) => TlsResult::TooLarge { limit },
        None if is_end(error) => TlsResult::Closed {
            error: end_words(error),
            reset: error.kind() == io::ErrorKind::ConnectionReset,
        },
        None => TlsResult::Failed {
            error: inert(&system_words(error), WORDS_LEN_MAX),
        },
    }
}

/// The number of the alert in an error of an exchange over TLS.
pub(super) fn alert_code(error: &io::Error) -> Option<u8> {
    match tls_error(error) {
        Some(Error::AlertReceived(alert)) => Some(u8::from(*alert)),
        _ => None,
    }
}

/// The alert in an error of an exchange over TLS, in words.
pub(crate) fn alert_in(error: &io::Error) -> Option<String> {
    alert_code(error).map(|code| format!("TLS alert {}", alert_name(code)))
}

/// Did the peer send what no TLS implementation sends?
fn breaks_rules(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidMessage(_)
            | Error::PeerMisbehaved(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::DecryptError
            | Error::PeerSentOversizedRecord
    )
}

/// Did our library stop reading because the server's certificates are too many or too large?
///
/// Of the messages that follow a ServerHello only the certificates can be that large.
pub(crate) fn is_oversize(error: &io::Error, head: &[u8]) -> bool {
    let too_large = matches!(
        tls_error(error),
        Some(Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge
        ))
    );
    // A record of type handshake, and in it a ServerHello of bearable length (RFC 8446 section 4).
    too_large && matches!(head, [22, _, _, _, _, 2, 0, ..])
}

/// A record of TLS: content type 20 to 24, major version 3 (RFC 8446 section 5.1).
pub(super) fn begins_like_tls(head: &[u8]) -> bool {
    matches!(head.first(), Some(20..=24)) && matches!(head.get(1), None | Some(3))
}

pub(super) fn looks_like(head: &[u8]) -> String {
    let text = String::from_utf8_lossy(head).to_ascii_uppercase();
    let starts = |prefix: &str| text.starts_with(prefix);
    let known = if starts("HTTP/") || starts("<!DOCTYPE") || starts("<HTML") {
        "HTTP"
    } else if starts("SSH-") {
        "SSH"
    } else if starts("220") && text.contains("FTP") {
        "FTP"
    } else if starts("220") || starts("421") || starts("554") {
        "SMTP"
    } else if starts("* OK") || starts("* BYE") {
        "IMAP"
    } else if starts("+OK") || starts("-ERR") {
        "POP3"
    } else {
        ""
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let digits: Vec<String> = head.iter().take(16).map(|b| format!("{b:02x}")).collect();
    digits.join(" ")
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
    )
}

/// Did our library give up, and not the server? In these words it says that handshake messages without
/// a gap between them, such as session tickets, are more than it holds.
pub(crate) fn is_overfull(error: &io::Error) -> bool {
    error.to_string() == "message buffer full"
}

/// What ended a connection, in words.
pub(crate) fn end_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        _ if is_overfull(error) => format!(
            "the server sends more than {MESSAGE_LEN_MAX} bytes of handshake messages at once, after the handshake"
        ),
        _ => inert(&system_words(error), WORDS_LEN_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_tls() {
        assert_eq!(looks_like(b"HTTP/1.1 400 Bad Request"), "HTTP");
        assert_eq!(looks_like(b"SSH-2.0-OpenSSH_9.2"), "SSH");
        assert_eq!(looks_like(b"220 mx.test ESMTP"), "SMTP");
        assert_eq!(looks_like(&[0, 1, 255]), "00 01 ff");
        assert!(begins_like_tls(&[0x15, 3, 3]));
        assert!(!begins_like_tls(b"HTTP"));
    }
}
