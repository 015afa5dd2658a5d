//! What a run can come to in words that stay: they are kept for years, counted, and searched for.

/// Every symptom, each with what was seen. One that ends in `*` stands for all that begin so.
pub const SYMPTOMS: &[(&str, &str)] = &[
    (
        "dns.nxdomain",
        "The resolver says that the name does not exist.",
    ),
    ("dns.no_address", "The name exists, and has no address."),
    (
        "dns.no_data",
        "The name exists, and has no record of the type asked for.",
    ),
    ("dns.servfail", "The resolver answers SERVFAIL."),
    ("dns.refused", "The resolver answers REFUSED."),
    ("dns.formerr", "The resolver answers FORMERR."),
    ("dns.notimp", "The resolver answers NOTIMP."),
    (
        "dns.rcode_*",
        "The resolver answers with another rcode, by its number.",
    ),
    (
        "dns.cut",
        "The answer is truncated, and does not come in full over TCP either.",
    ),
    ("dns.malformed", "The answer cannot be read."),
    ("dns.silent", "The resolver does not answer."),
    (
        "dns.port_closed",
        "An ICMP error says that nothing listens at the resolver's port.",
    ),
    (
        "dns.unreachable",
        "An ICMP error, or our own system, says that the resolver cannot be reached.",
    ),
    ("dns.broken", "The connection to the resolver broke."),
    (
        "dns.channel",
        "The resolver's encrypted channel cannot be trusted or does not work.",
    ),
    ("dns.exists", "The name exists, and was declared not to."),
    ("dns.values_differ", "The records are not those declared."),
    (
        "dns.address_outside",
        "An address is given that lies outside the declared networks.",
    ),
    (
        "dns.address_private",
        "An address is given that users outside cannot connect to, or that the egress rule forbids.",
    ),
    ("dns.slow", "The look-up took longer than declared."),
    ("tcp.refused", "A reset answers the SYN."),
    ("tcp.reset", "A reset comes after the connection opened."),
    ("tcp.silent", "Nothing answers the SYN."),
    ("tcp.unreachable", "An ICMP error answers the SYN."),
    ("tcp.slow", "The connection took longer than declared."),
    ("icmp.silent", "Nothing answers the echo."),
    ("icmp.error", "An error answers the echo."),
    ("icmp.slow", "The echo took longer than declared."),
    (
        "tls.alert_*",
        "An alert of the server ends the handshake, or the exchange, by its name.",
    ),
    ("tls.stalled", "The handshake stops and does not go on."),
    (
        "tls.closed",
        "The server closes the connection during the handshake.",
    ),
    ("tls.reset", "The connection is reset during the handshake."),
    ("tls.not_tls", "What answers the ClientHello is not TLS."),
    ("tls.malformed", "What comes breaks the rules of TLS."),
    (
        "tls.too_large",
        "The server's part of the handshake is larger than clients take.",
    ),
    (
        "tls.failed",
        "The handshake failed in a way that has no word here.",
    ),
    (
        "tls.name_mismatch",
        "The certificate does not name the host.",
    ),
    ("tls.expired", "The validity of a certificate has ended."),
    (
        "tls.not_yet_valid",
        "The validity of a certificate has not begun.",
    ),
    (
        "tls.untrusted_root",
        "No path leads to a root that clients trust.",
    ),
    (
        "tls.chain_incomplete",
        "An intermediate certificate was not sent.",
    ),
    (
        "tls.revoked",
        "The stapled response says that the certificate is revoked.",
    ),
    ("tls.staple", "The stapled response is missing, or no good."),
    (
        "tls.not_logged",
        "Browsers take the certificate for one that no log knows.",
    ),
    (
        "tls.bad_signature",
        "A signature in the chain does not verify.",
    ),
    (
        "tls.bad_certificate",
        "A certificate is ill-formed, or refused by a rule of clients.",
    ),
    (
        "tls.slow",
        "Connection and handshake took longer than declared.",
    ),
    (
        "http.status_*",
        "The status is not one that is healthy, by its number.",
    ),
    ("http.stalled", "The request is not answered."),
    (
        "http.closed",
        "The server closes the connection instead of answering.",
    ),
    ("http.malformed", "The answer is not HTTP."),
    ("http.not_connected", "The request could not be sent."),
    (
        "http.redirect_loop",
        "Redirects lead in a circle, or on and on.",
    ),
    (
        "http.redirect_refused",
        "A redirect leads where clients or the egress rule do not follow.",
    ),
    (
        "http.redirect_unresolved",
        "A redirect leads to a name without address.",
    ),
    (
        "http.redirect_nowhere",
        "A redirect names no place to go to.",
    ),
    (
        "http.redirect_unreachable",
        "The host that a redirect leads to takes no connection.",
    ),
    (
        "http.body_truncated",
        "The body ends before it is complete.",
    ),
    ("http.body_stalled", "The body stops and does not go on."),
    (
        "http.body_malformed",
        "The body's framing breaks the rules.",
    ),
    (
        "http.body_endless",
        "The body does not end in the time there is.",
    ),
    (
        "http.coding_wrong",
        "The body's coding is broken, or one that was not asked for.",
    ),
    (
        "http.over_h2",
        "The request fails over HTTP/2 and works over HTTP/1.1.",
    ),
    ("http.body_wrong", "The body is not what was declared."),
    (
        "http.role_wrong",
        "The address says that it is something else than declared.",
    ),
    ("http.slow", "The exchange took longer than declared."),
    (
        "http.unhealthy",
        "The answer is not a healthy one, in a way that has no word here.",
    ),
    (
        "monitor.no_route",
        "This vantage has no route to the address.",
    ),
    (
        "monitor.egress_refused",
        "The egress rule forbids what was to be asked.",
    ),
    (
        "monitor.not_permitted",
        "The system does not allow the probe without privilege.",
    ),
    (
        "monitor.deadline",
        "The time ran out before anything could be said.",
    ),
    (
        "monitor.worker_hung",
        "The worker that probed was ended because it hung.",
    ),
    ("monitor.worker_died", "The worker that probed died."),
    ("monitor.probe_panicked", "The probe's own code failed."),
    (
        "monitor.probe_hung",
        "Nothing came back of the run, long after its deadline.",
    ),
    (
        "monitor.check_poisoned",
        "The check brings down workers: it is not asked at each of its times.",
    ),
    (
        "monitor.limit",
        "A named limit kept the probe from running.",
    ),
    (
        "monitor.overload",
        "No place became free for the run within one interval.",
    ),
    (
        "monitor.stopped",
        "The agent was stopped before the run came back.",
    ),
    (
        "monitor.privacy",
        "The privacy rule keeps the name from being asked.",
    ),
    (
        "monitor.not_needed",
        "The probe was given up as not needed.",
    ),
    (
        "monitor.not_asked",
        "Nothing was asked, and nothing says why.",
    ),
    ("monitor.error", "Our own system failed the probe."),
];

/// Longest end of a symptom that is not in the table itself: the longest name of an alert has 31.
const END_LEN_MAX: usize = 40;

/// Is it one of those? Whoever says it may have been misled by strangers, so no end of one is any text.
#[must_use]
pub fn is_known(symptom: &str) -> bool {
    SYMPTOMS
        .iter()
        .any(|(known, _)| match known.strip_suffix('*') {
            Some(begin) => symptom.strip_prefix(begin).is_some_and(is_end),
            None => *known == symptom,
        })
}

/// Can this stand for the `*`?
fn is_end(end: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    (1..=END_LEN_MAX).contains(&end.len()) && end.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_once_and_says_what_it_means() {
        for (at, (word, meaning)) in SYMPTOMS.iter().enumerate() {
            assert!(meaning.ends_with('.'), "{word}");
            let allowed =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._*".contains(c);
            assert!(word.chars().all(allowed) && word.contains('.'), "{word}");
            let before = &SYMPTOMS[..at];
            assert!(
                before.iter().all(|(other, _)| other != word),
                "{word} stands twice"
            );
        }
        assert!(is_known("http.status_503") && is_known("tls.alert_internal_error"));
        assert!(!is_known("http.status_") && !is_known("dns.nx"));
        assert!(is_known("dns.rcode_23") && is_known("tls.alert_255"));
        let long = format!("tls.alert_{}", "a".repeat(END_LEN_MAX + 1));
        for lie in [
            "http.status_503\nok",
            "http.status_<b>",
            "dns.rcode_ 1",
            &long,
        ] {
            assert!(!is_known(lie), "{lie}");
        }
    }

    #[test]
    fn each_name_of_an_alert_is_known() {
        for code in 0..=u8::MAX {
            let symptom = format!("tls.alert_{}", bellwether_model::tls::alert_name(code));
            assert!(is_known(&symptom), "{symptom}");
        }
    }
}
