//! How a handshake that did not complete ended.

use std::io;

use bellwether_model::text::inert;
use bellwether_model::tls::TlsResult;
use rustls::{AlertDescription, Error, InvalidMessage};

use crate::dial::system_words;

/// Longest text kept of a library's complaint, characters.
const WORDS_LEN_MAX: usize = 256;

/// What an error means, given the first bytes that the peer sent.
pub(crate) fn result_of(error: &io::Error, head: &[u8]) -> TlsResult {
    match tls_error(error) {
        Some(Error::AlertReceived(alert)) => TlsResult::Alert {
            code: u8::from(*alert),
            name: alert_name(*alert),
        },
        _ if !head.is_empty() && !begins_like_tls(head) => TlsResult::NotTls {
            looks_like: looks_like(head),
        },
        Some(error) => TlsResult::Failed {
            error: inert(&error.to_string(), WORDS_LEN_MAX),
        },
        None if is_end(error) => TlsResult::Closed {
            error: end_words(error),
        },
        None => TlsResult::Failed {
            error: inert(&system_words(error), WORDS_LEN_MAX),
        },
    }
}

/// The alert in an error of an exchange over TLS, in words.
pub(crate) fn alert_in(error: &io::Error) -> Option<String> {
    match tls_error(error) {
        Some(Error::AlertReceived(alert)) => Some(format!("TLS alert {}", alert_name(*alert))),
        _ => None,
    }
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
fn begins_like_tls(head: &[u8]) -> bool {
    matches!(head.first(), Some(20..=24)) && matches!(head.get(1), None | Some(3))
}

fn looks_like(head: &[u8]) -> String {
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

/// What ended a connection, in words.
pub(crate) fn end_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        _ => inert(&system_words(error), WORDS_LEN_MAX),
    }
}

/// `HandshakeFailure` as RFC 8446 section 6 writes it: `handshake_failure`.
fn alert_name(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "unknown_ca".to_owned(),
        AlertDescription::UnknownPSKIdentity => "unknown_psk_identity".to_owned(),
        AlertDescription::BadCertificateStatusResponse => {
            "bad_certificate_status_response".to_owned()
        }
        AlertDescription::Unknown(code) => format!("alert_{code}"),
        named => {
            let mut name = String::new();
            for (at, c) in format!("{named:?}").chars().enumerate() {
                if c.is_ascii_uppercase() && at > 0 {
                    name.push('_');
                }
                name.push(c.to_ascii_lowercase());
            }
            name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_alerts() {
        for (code, name) in [
            (40, "handshake_failure"),
            (48, "unknown_ca"),
            (70, "protocol_version"),
            (112, "unrecognised_name"),
            (116, "certificate_required"),
            (120, "no_application_protocol"),
            (200, "alert_200"),
        ] {
            let got = alert_name(AlertDescription::from(code));
            // The RFC spells it with a z.
            assert_eq!(got.replace("recognized", "recognised"), name);
        }
    }

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
