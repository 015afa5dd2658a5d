//! Where a response sends the client, and whether we go there.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use bellwether_model::DnsName;
use bellwether_model::http::{Redirect, RedirectEnd};
use bellwether_model::text::inert;
use url::Url;

use super::cookie::Jar;
use super::head::Head;

/// Redirects that are followed; browsers give up after 20, users long before.
const REDIRECTS_MAX: usize = 10;
/// Longest location that is shown, characters.
const LOCATION_LEN_MAX: usize = 1024;

/// The addresses of a name and the sequential waits it took to find them, or why there are none.
pub(crate) type Resolved = Result<(Vec<IpAddr>, u32), String>;

/// Resolves the names that redirects lead to.
pub(crate) trait Resolve {
    /// The addresses of `name`, in the order in which a client would try them.
    fn resolve(&self, name: DnsName) -> Pin<Box<dyn Future<Output = Resolved>>>;
}

/// Where to go next, before its host is resolved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is no redirect.
    Stay,
    /// It is one that we do not follow.
    End(Redirect),
    /// Go on there.
    To(Visit),
}

/// One request of a chain: for what, and what the client brings along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) url: Url,
    /// The value of the `Cookie` header.
    pub(crate) cookies: Option<Vec<u8>>,
}

impl Visit {
    /// The one that begins a chain: nothing was set yet.
    pub(crate) fn first(url: Url) -> Self {
        Self { url, cookies: None }
    }
}

/// Reads the location of a response. `visited` is what was asked so far, this one last; `jar` holds
/// what was set until now.
pub(crate) fn next(head: &Head, visited: &[Visit], jar: &Jar) -> Next {
    // 300 offers a choice, 304 says "not modified", 305 and 306 are history (RFC 9110 15.4).
    if !matches!(head.status, 301 | 302 | 303 | 307 | 308) {
        return Next::Stay;
    }
    let Some(Visit { url: current, .. }) = visited.last() else {
        return Next::Stay;
    };
    let raw = head.values("location").next().unwrap_or_default();
    let text = String::from_utf8_lossy(raw);
    let end = |end| {
        Next::End(Redirect {
            location: inert(&text, LOCATION_LEN_MAX),
            end,
            note: None,
        })
    };
    if text.is_empty() {
        return end(RedirectEnd::NoLocation);
    }
    let mut url = match current.join(&text) {
        Ok(url) => url,
        Err(error) => {
            let reason = error.to_string();
            return end(RedirectEnd::Unusable { reason });
        }
    };
    // A fragment is the client's own matter; credentials in a location are nobody's.
    url.set_fragment(None);
    if !matches!(url.scheme(), "http" | "https") {
        let reason = format!("`{}:` is not followed", url.scheme());
        return end(RedirectEnd::Refused { reason });
    }
    if url.host().is_none() || url.port() == Some(0) {
        let reason = match url.host() {
            Some(_) => "nothing can listen on port 0",
            None => "it names no host",
        };
        let reason = reason.to_owned();
        return end(RedirectEnd::Unusable { reason });
    }
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let shown = |end| {
        Next::End(Redirect {
            location: shown(&url),
            end,
            note: None,
        })
    };
    let visit = Visit {
        cookies: jar.header(&url),
        url: url.clone(),
    };
    // With other cookies the same URL may well give something else.
    if visited.contains(&visit) {
        return shown(RedirectEnd::Loop);
    }
    if visited.len() > REDIRECTS_MAX {
        let was_there = visited.iter().any(|before| before.url == url);
        return shown(if was_there {
            RedirectEnd::Loop
        } else {
            RedirectEnd::Limit
        });
    }
    Next::To(visit)
}

/// What is odd about going from one URL to another, although clients do.
pub(crate) fn oddity(from: &Url, to: &Url) -> Option<String> {
    let leaves_tls = from.scheme() == "https" && to.scheme() == "http";
    leaves_tls.then(|| "it leads from https to http".to_owned())
}

/// A URL for reports.
pub(crate) fn shown(url: &Url) -> String {
    inert(url.as_str(), LOCATION_LEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(from: &str, location: &str) -> Next {
        let text = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n");
        let head = Head::parse(text.as_bytes()).unwrap();
        next(&head, &[visit(from)], &Jar::default())
    }

    fn visit(text: &str) -> Visit {
        Visit::first(text.parse().unwrap())
    }

    #[test]
    fn locations() {
        let to = |text: &str| Next::To(visit(text));
        let from = "https://svc.test/a/b?c";
        assert_eq!(follow(from, "/x#y"), to("https://svc.test/x"));
        assert_eq!(follow(from, "d"), to("https://svc.test/a/d"));
        assert_eq!(follow(from, "//o.test"), to("https://o.test/"));
        assert_eq!(follow(from, "http://u:p@o.test/"), to("http://o.test/"));
        assert_eq!(follow(from, "http://0x7f.1/"), to("http://127.0.0.1/"));
        for (location, expected) in [
            ("", RedirectEnd::NoLocation),
            ("?c", RedirectEnd::Loop),
            (from, RedirectEnd::Loop),
        ] {
            let Next::End(redirect) = follow(from, location) else {
                panic!("{location} was followed");
            };
            assert_eq!(redirect.end, expected, "{location}");
        }
        for location in [
            "http://[",
            "http://",
            "http://o.test:0/",
            "http://o.test:99999/",
            "http://[fe80::1%25lo]/",
            "http://svc test/",
        ] {
            let Next::End(redirect) = follow(from, location) else {
                panic!("{location} was followed");
            };
            assert!(
                matches!(redirect.end, RedirectEnd::Unusable { .. }),
                "{location}"
            );
        }
        for location in ["file:///etc/passwd", "gopher://o.test/", "javascript:1"] {
            let Next::End(redirect) = follow(from, location) else {
                panic!("{location} was followed");
            };
            assert!(matches!(redirect.end, RedirectEnd::Refused { .. }));
        }
    }

    #[test]
    fn leaving_tls_is_odd() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let (tls, plain) = (url("https://a.test/"), url("http://a.test/"));
        assert!(oddity(&tls, &plain).is_some());
        assert_eq!(oddity(&plain, &tls), None);
        assert_eq!(oddity(&tls, &tls), None);
    }

    #[test]
    fn other_statuses_stay() {
        for status in [200, 300, 304, 404] {
            let text = format!("HTTP/1.1 {status} X\r\nLocation: /x\r\n\r\n");
            let head = Head::parse(text.as_bytes()).unwrap();
            assert_eq!(
                next(&head, &[visit("http://a.test/")], &Jar::default()),
                Next::Stay
            );
        }
    }

    #[test]
    fn the_eleventh_redirect_is_not_followed() {
        let head = Head::parse(b"HTTP/1.1 302 Found\r\nLocation: /new\r\n\r\n").unwrap();
        let visited = (0..11).map(|n| visit(&format!("http://a.test/{n}")));
        let mut visited: Vec<Visit> = visited.collect();
        let jar = Jar::default();
        assert!(matches!(next(&head, &visited[..10], &jar), Next::To(_)));
        let end = |visited: &[Visit]| match next(&head, visited, &jar) {
            Next::End(redirect) => redirect.end,
            other => panic!("{other:?}"),
        };
        assert_eq!(end(&visited), RedirectEnd::Limit);
        visited[0].url = "http://a.test/new".parse().unwrap();
        visited[0].cookies = Some(b"s=1".to_vec());
        assert_eq!(end(&visited), RedirectEnd::Loop);
    }
}
