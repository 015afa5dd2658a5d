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

/// The rows.
pub const RULES: &[Rule] = &[
    Rule {
        cause: Cause::HttpOriginUnreachable,
        requires: &[F::HttpServerError, F::EdgeGenerated],
        prior: 35,
        cap: 80,
        remedy: "Look between the edge and the origin: the edge answers, and says that it cannot reach what is behind it.",
        ..BASE
    },
    Rule {
        requires: &[F::HttpServerError],
        excludes: &[F::EdgeGenerated],
        remedy: "Look at the application's own log for this URL: network, TLS and the web server in front of it work.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpBlockedByPolicy,
        requires: &[F::HttpDenied],
        prior: 10,
        cap: 65,
        remedy: "Look whether a firewall, rate limit or login rule refuses this client; other clients may be served.",
        not_excluded: &[
            "that everybody is refused: a second network and another client would tell",
        ],
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::HttpStatus],
        excludes: &[F::HttpServerError, F::HttpDenied],
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
        ],
        cap: 92,
        remedy: CONTENT,
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::RoleOfAnother, F::AddressUnchanged],
        excludes: &[F::HttpServerError, F::HttpDenied, F::HttpStatus],
        supports: &[(F::RoleDiffers, 0)],
        cap: 85,
        remedy: "Look at what was deployed at that address: it is the one of the baseline, and says now that it is something else.",
        ..BASE
    },
    Rule {
        cause: Cause::HttpWrongContent,
        requires: &[F::HttpTruncated],
        excludes: &[F::HttpServerError],
        cap: 85,
        remedy: "The body ends before its announced length: look for a proxy or a worker that dies while sending.",
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
        cause: Cause::HttpSlowFirstByte,
        requires: &[F::SlowerThanDeclared],
        excludes: &[F::HttpServerError, F::HttpDenied],
        prior: 20,
        cap: 75,
        remedy: "Look at which phase is long in the times below; a long wait with a short connect is the server's own.",
        ..BASE
    },
];
