//! What may hold a secret, with the secret left out.

/// What stands in place of a secret.
const HIDDEN: &str = "…";

/// A target as it may be shown: without user and password, and with the names alone of the
/// parameters of its query, where keys of APIs stand.
#[must_use]
pub(crate) fn target(text: &str) -> String {
    let (text, fragment) = match text.split_once('#') {
        Some((text, _)) => (text, "#…"),
        None => (text, ""),
    };
    let (before, query) = match text.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (text, None),
    };
    let mut out = match before.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority
                .rsplit_once('@')
                .map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => before.to_owned(),
    };
    if let Some(query) = query {
        let hidden = |pair: &str| match pair.split_once('=') {
            Some((name, _)) => format!("{name}={HIDDEN}"),
            None => HIDDEN.to_owned(),
        };
        let pairs: Vec<String> = query.split('&').map(hidden).collect();
        out.push('?');
        out.push_str(&pairs.join("&"));
    }
    out + fragment
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn secrets_are_left_out() {
        for (given, shown) in [
            (
                "https://www.svc.test/a?b=1&key=x",
                "https://www.svc.test/a?b=…&key=…",
            ),
            (
                "https://u:p@www.svc.test:8/a@b",
                "https://www.svc.test:8/a@b",
            ),
            ("https://u:p@w@h", "https://h"),
            ("https://h/?secret", "https://h/?…"),
            ("https://h?a=b=c#d", "https://h?a=…#…"),
            ("tcp://[::1]:80", "tcp://[::1]:80"),
            ("dns://a.test", "dns://a.test"),
            ("a.test", "a.test"),
        ] {
            assert_eq!(target(given), shown);
        }
    }
}
