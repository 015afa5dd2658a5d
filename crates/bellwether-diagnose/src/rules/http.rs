//! Requests and what came back.

use bellwether_model::Cause;
use bellwether_model::FactKind as F;

use super::{Alone, Blame, Over, Rule};

const BASE: Rule = Rule {
    cause: Cause::HttpStatus5xx,
    over: Over::Addresses,
    requires: &[],
    excludes: &[],
    supports: &[(F::HttpStatus, 0)],
    prior: 30,
    cap: 95,
    blame: Blame::Addresses,
    alone: Alone::Drop,
    remedy: "",
    not_excluded: &[],
};

const CONTENT: &str = "Look at what the server sends for this URL: the request arrives, the answer is not the service's.";

const POLICY: &str = "Look at the log of the firewall, rate limit or bot rule in front of the service for this client.";

/// The rows.
pub const RULES: &[Rule] = &[
    Rule {
        cause: Cause::HttpOriginUnreachable,
        requires: &[F::HttpServerError, F::EdgeGenerated],
        excludes: &[F::HttpChallenge],
        supports: &[(F::HttpStatus, 0), (F::HttpWorksAtTimes, 0)],
        prior: 35,
        cap: 80,
        remedy: "Look between the edge and the origin: the edge answers, and says that it cannot reach what is behind it.",
        ..BASE
    },
    Rule {
        requires: &[F::HttpServerError],
        excludes: &[F::EdgeGenerated, F::HttpChallenge],
        supports: &[(F::HttpStatus, 0), (F::HttpWorksAtTimes, 0)],
        remedy: "Look at the application's own log for this URL: network, TLS and the web server in front of it work.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpBlockedByPolicy,
        requires: &[F::HttpDenied],
        supports: &[(F::HttpStatus, 0), (F::HttpWorksAtTimes, 0)],
        prior: 10,
        cap: 65,
        remedy: "Look whether a firewall, rate limit or login rule refuses this client; other clients may be served.",
        not_excluded: &[
            "that everybody is refused: a second network and another client would tell",
        ],
        ..BASE
    },
    Rule {
        cause: Cause::HttpBlockedByPolicy,
        requires: &[F::BrowsersRefused],
        prior: 25,
        cap: 80,
        remedy: "Look which rule serves us alone: by our own name (User-Agent) comes what is declared, by a browser's it does not.",
        not_excluded: &[
            "that a real browser is served: its handshake is another than ours, and opening the page would tell",
        ],
        ..BASE
    },
    Rule {
        cause: Cause::HttpBlockedByPolicy,
        requires: &[F::HttpStatus, F::BrowsersServed],
        prior: 25,
        cap: 90,
        remedy: "Look which rule refuses clients by how they name themselves (User-Agent): browsers are served.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpBlockedByPolicy,
        requires: &[F::HttpStatus, F::HttpChallenge],
        prior: 25,
        cap: 85,
        remedy: POLICY,
        ..BASE
    },
    Rule {
        cause: Cause::HttpBlockedByPolicy,
        requires: &[F::ExpectationFailed, F::HttpChallenge],
        prior: 25,
        cap: 85,
        remedy: POLICY,
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::HttpStatus],
        excludes: &[
            F::HttpServerError,
            F::HttpDenied,
            F::BrowsersServed,
            F::HttpChallenge,
        ],
        supports: &[(F::HttpStatus, 0), (F::HttpWorksAtTimes, 0)],
        cap: 85,
        remedy: CONTENT,
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::ExpectationFailed],
        excludes: &[
            F::HttpServerError,
            F::HttpDenied,
            F::SlowerThanDeclared,
            F::HttpStatus,
            F::RoleOfAnother,
            F::HttpChallenge,
            // Of what did not come nothing can be expected.
            F::HttpBodyStalled,
            F::CutByMemory,
        ],
        cap: 92,
        remedy: CONTENT,
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::RoleOfAnother, F::AddressUnchanged],
        excludes: &[F::HttpServerError, F::HttpDenied, F::HttpStatus],
        supports: &[(F::RoleDiffers, 0), (F::ExpectationFailed, 0)],
        cap: 85,
        remedy: "Look at what was deployed at that address: it is the one of the baseline, and says now that it is something else.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::HttpTruncated],
        excludes: &[F::HttpServerError],
        supports: &[(F::HttpStatus, 0), (F::HttpWorksAtTimes, 0)],
        cap: 85,
        remedy: "The body ends before its announced length: look for a proxy or a worker that dies while sending.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::HttpFramingWrong],
        supports: &[(F::HttpStatus, 0), (F::HttpWorksAtTimes, 0)],
        cap: 85,
        remedy: "Look at what writes the length of the body: the application, and each proxy that changes the body.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::HttpNeverEnds],
        excludes: &[F::LargeSegmentsLost],
        cap: 80,
        remedy: "Look at the process that writes this body: it neither goes on nor says that it is done.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::HttpCodingWrong],
        supports: &[(F::HttpStatus, 0), (F::HttpWorksAtTimes, 0)],
        cap: 88,
        remedy: "Look at what compresses: clients get only codings that they ask for (Accept-Encoding), and caches keep them apart (Vary).",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::RedirectLoop],
        cap: 92,
        remedy: "Break the circle of redirects: often the edge speaks HTTP to an origin that redirects to HTTPS.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::RedirectRefused],
        cap: 85,
        remedy: "Correct where the service redirects to: clients cannot or must not go there.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::RedirectNowhere],
        cap: 90,
        alone: Alone::Notice,
        remedy: "Correct the Location that the service sends along: a template that was not filled in is the usual reason.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::HttpOdd],
        prior: 5,
        cap: 60,
        blame: Blame::Nobody,
        alone: Alone::Notice,
        remedy: "Correct what writes that answer: browsers pass over it, proxies and other clients may refuse it or read another message.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::NotModifiedUnasked],
        prior: 5,
        cap: 60,
        blame: Blame::Nobody,
        alone: Alone::Notice,
        remedy: "Look at the cache in front of the service: 304 is for clients that name the copy they have; all others get an empty page.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::RedirectFails],
        cap: 80,
        remedy: "Mend the host that the service redirects to, or redirect elsewhere; check that host by itself for the cause.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpBlockedByPolicy,
        requires: &[F::HttpClosed, F::BrowsersServed],
        excludes: &[F::ResetUnasked],
        prior: 25,
        cap: 85,
        remedy: "Look which rule ends connections of clients by how they name themselves (User-Agent): browsers are served.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::HttpClosed],
        excludes: &[F::BrowsersServed, F::ClientCertRefused, F::ResetUnasked],
        supports: &[
            (F::HttpWorksAtTimes, 0),
            (F::WorksSometimes, 0),
            (F::OtherAddressesWork, 0),
        ],
        prior: 20,
        cap: 80,
        remedy: "Look at the log of the server or proxy at that address at this time: a process that dies at the request, a proxy whose server behind it is gone, or a rule that drops the request (`return 444`).",
        not_excluded: &["that only this network gets no answer: a second one would tell"],
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::HttpMalformed],
        supports: &[(F::HttpStatus, 0), (F::HttpWorksAtTimes, 0)],
        cap: 85,
        remedy: "Look at what listens on that port: it takes the request and answers with something that is not HTTP.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::HttpInflates],
        prior: 5,
        cap: 60,
        blame: Blame::Nobody,
        alone: Alone::Notice,
        remedy: "Look whether this page is meant to be so large: clients without a limit may run out of memory.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpSlowFirstByte,
        requires: &[F::SlowerThanDeclared, F::FirstByteSlow],
        excludes: &[F::HttpServerError, F::HttpDenied],
        prior: 20,
        cap: 85,
        remedy: "Look at the application and what it waits for: connection and handshake are quick, the answer is not.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpSlowFirstByte,
        requires: &[F::HttpStalled],
        excludes: &[F::LargeSegmentsLost],
        supports: &[(F::OtherAddressesWork, 5)],
        prior: 15,
        cap: 75,
        remedy: "Look at the process behind the port and what it waits for: it takes the request and does not answer.",
        not_excluded: &["that packets of the answer are lost on the way: a trace would tell"],
        ..BASE
    },
    Rule {
        cause: Cause::HttpH2Broken,
        requires: &[F::H2Fails],
        cap: 90,
        remedy: "Update what speaks HTTP/2 there, or switch it off until then: over HTTP/1.1 the same works.",
        ..BASE
    },
];
