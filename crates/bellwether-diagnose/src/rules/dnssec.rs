//! Signatures.

use bellwether_model::Cause;
use bellwether_model::FactKind as F;

use super::{Alone, Blame, Over, Rule};

const OUR_CLOCK: &[&str] = &[
    "a wrong clock here: the root's signatures hold by it, so it is off by days at most; the time of others would tell",
];

const BASE: Rule = Rule {
    cause: Cause::DnsDnssecSigBad,
    over: Over::Zones,
    requires: &[],
    excludes: &[],
    supports: &[(F::FailsOnlyChecked, 10)],
    prior: 30,
    cap: 97,
    blame: Blame::Validation,
    alone: Alone::Drop,
    remedy: "",
    not_excluded: &[],
};

const RE_SIGN: &str = "Sign the zone again, load it on every server, and look why signing stopped. Resolvers keep the failure for some minutes.";
const RIGHT_DS: &str = "Have the parent's DS records replaced by those of the zone's keys, or taken out until they fit. Resolvers keep the old ones until their TTL ends.";

const FEW_ITERATIONS: &str = "Sign with 0 additional NSEC3 iterations and no salt (RFC 9276): validators take the zone as unsigned, or fail.";

/// The rows.
pub const RULES: &[Rule] = &[
    Rule {
        cause: Cause::DnsDnssecDsMismatch,
        requires: &[F::DsMatchesNoKey],
        remedy: RIGHT_DS,
        ..BASE
    },
    Rule {
        cause: Cause::DnsDnssecDsMismatch,
        requires: &[F::DnskeyMissing],
        remedy: "Have the DS records at the parent taken out, or sign the zone at its new operator. Resolvers keep the DS records until their TTL ends.",
        ..BASE
    },
    Rule {
        cause: Cause::DnsDnssecSigExpired,
        requires: &[F::RrsigEnded],
        prior: 20,
        supports: &[(F::FailsOnlyChecked, 15)],
        remedy: RE_SIGN,
        not_excluded: OUR_CLOCK,
        ..BASE
    },
    Rule {
        cause: Cause::DnsDnssecSigNotYetValid,
        requires: &[F::RrsigNotBegun],
        prior: 20,
        supports: &[(F::FailsOnlyChecked, 15)],
        remedy: "Correct the signer's clock and sign the zone again.",
        not_excluded: OUR_CLOCK,
        ..BASE
    },
    Rule {
        requires: &[F::RrsigMissing],
        remedy: "Sign the record set: whoever serves the zone must have it from the signer, with its signatures.",
        ..BASE
    },
    Rule {
        requires: &[F::RrsigWrong],
        remedy: "Look who changed the record set, or its keys, after it was signed; then sign the zone again.",
        not_excluded: &["an answer altered on the way to us: a second network would tell"],
        ..BASE
    },
    Rule {
        requires: &[F::SignaturesTooComplex],
        cap: 90,
        remedy: "Take out keys that share a tag, and signatures that none of the keys made: validators give up over them (CVE-2023-50387).",
        not_excluded: &["an answer altered on the way to us: a second network would tell"],
        ..BASE
    },
    Rule {
        cause: Cause::DnsDnssecDenialBroken,
        requires: &[F::DenialUnproven],
        remedy: "Sign the zone again with its whole chain of NSEC or NSEC3 records, and load it on every server.",
        cap: 95,
        ..BASE
    },
    // One server only: validating resolvers ask the next.
    Rule {
        cause: Cause::DnsAuthStaleSecondary,
        over: Over::NameServers,
        requires: &[F::NsRrsigEnded],
        supports: &[(F::SerialBehind, 5)],
        prior: 31,
        cap: 95,
        alone: Alone::Warn,
        remedy: "Mend the zone transfer to that server (NOTIFY, AXFR over TCP 53, TSIG key), or take it out of the NS set: its signatures ended.",
        ..BASE
    },
    Rule {
        over: Over::NameServers,
        requires: &[F::NsRrsigBad],
        excludes: &[F::NsRrsigEnded],
        supports: &[],
        cap: 95,
        alone: Alone::Warn,
        remedy: "Load the signed zone on that server again, or take it out of the NS set: the others' signatures are right.",
        ..BASE
    },
    // Nobody fails yet.
    Rule {
        cause: Cause::DnsDnssecSigExpired,
        requires: &[F::RrsigEndsSoon],
        supports: &[],
        prior: 20,
        cap: 90,
        blame: Blame::Nobody,
        alone: Alone::Warn,
        remedy: "Look why the signer does not sign any more; from the end of these signatures on the zone fails for everybody who validates.",
        ..BASE
    },
    Rule {
        cause: Cause::DnsDnssecDsMismatch,
        requires: &[F::CdsMatchesNoKey],
        supports: &[],
        prior: 20,
        cap: 90,
        blame: Blame::Nobody,
        alone: Alone::Warn,
        remedy: "Correct the CDS records before the parent takes them over: they fit no key of the zone.",
        ..BASE
    },
    Rule {
        cause: Cause::DnsDnssecDenialBroken,
        requires: &[F::Nsec3IterationsHigh],
        excludes: &[F::DenialUnproven],
        supports: &[],
        prior: 20,
        cap: 90,
        blame: Blame::Nobody,
        alone: Alone::Warn,
        remedy: FEW_ITERATIONS,
        ..BASE
    },
    // Most validators take the zone as unsigned then; some refuse it (RFC 9276 section 3.2).
    Rule {
        cause: Cause::DnsDnssecDenialBroken,
        requires: &[F::Nsec3IterationsHigh, F::FailsOnlyChecked],
        excludes: &[F::DenialUnproven],
        supports: &[],
        prior: 25,
        cap: 90,
        alone: Alone::Warn,
        remedy: FEW_ITERATIONS,
        ..BASE
    },
    // A resolver of its own kind.
    Rule {
        cause: Cause::DnsDnssecDsMismatch,
        over: Over::Resolvers,
        requires: &[F::ResolverLacksAlgorithm, F::FailsOnlyChecked],
        excludes: &[F::ResolverFailsControls],
        supports: &[],
        prior: 25,
        cap: 85,
        remedy: "Sign with an algorithm that every validator knows (8 or 13), until that resolver does.",
        ..BASE
    },
    Rule {
        cause: Cause::DnsResolverBug,
        over: Over::Resolvers,
        requires: &[F::ResolverFailsSigned, F::FailsOnlyChecked, F::ChainSecure],
        excludes: &[F::ResolverFailsControls],
        supports: &[(F::ResolverOtherNamesRight, 5)],
        prior: 25,
        cap: 90,
        blame: Blame::Resolvers,
        remedy: "Tell the resolver's operator: it refuses every signed name, the root's own too. An outdated trust anchor does that.",
        ..BASE
    },
];
