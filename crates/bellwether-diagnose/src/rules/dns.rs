//! Delegation, name servers, zone content.

use bellwether_model::Cause;
use bellwether_model::FactKind as F;

use super::{Alone, Blame, Over, Rule};

const NO_HOLD: &[&str] = &["a registry or registrar hold: registration data (RDAP) would tell"];
const NO_HIJACK: &[&str] =
    &["an unauthorised change at the registrar: registration data (RDAP) would tell"];
pub(super) const ONE_NETWORK: &[&str] =
    &["a fault on the path from here to those servers: a second network would tell"];

const RESTORE: &str = "Restore the NS set at your registrar. Old caches heal by themselves; resolvers that have the wrong set keep it until its TTL ends.";

const WRONG_NS: Rule = Rule {
    cause: Cause::DnsDelegationWrongNs,
    over: Over::Zones,
    requires: &[],
    excludes: &[],
    supports: &[
        (F::OwnerChanged, 15),
        (F::OldNsAnswer, 15),
        (F::NsUnexpected, 10),
    ],
    prior: 20,
    cap: 97,
    blame: Blame::WrongSide,
    alone: Alone::Drop,
    remedy: RESTORE,
    not_excluded: NO_HIJACK,
};

const LAME: Rule = Rule {
    cause: Cause::DnsDelegationLame,
    over: Over::NameServers,
    requires: &[],
    excludes: &[],
    supports: &[],
    prior: 30,
    cap: 95,
    blame: Blame::UnusableServers,
    alone: Alone::Warn,
    remedy: "Make the name server authoritative for the zone, or take it out of the NS set at parent and zone.",
    not_excluded: &[],
};

const UNRESOLVABLE: Rule = Rule {
    cause: Cause::DnsDelegationUnresolvable,
    over: Over::Hosts,
    requires: &[],
    excludes: &[],
    supports: &[],
    prior: 30,
    cap: 97,
    blame: Blame::UnusableServers,
    alone: Alone::Warn,
    remedy: "Give the name server's name an address record (and glue at the parent where it lies inside the zone), or take it out of the NS set.",
    not_excluded: &[],
};

const UNRESPONSIVE: Rule = Rule {
    cause: Cause::DnsAuthUnresponsive,
    over: Over::NameServers,
    requires: &[],
    excludes: &[],
    supports: &[],
    prior: 25,
    cap: 92,
    blame: Blame::UnusableServers,
    alone: Alone::Warn,
    remedy: "Start the name servers, or open UDP and TCP port 53 to them; if they are overloaded or attacked, add servers elsewhere.",
    not_excluded: ONE_NETWORK,
};

const RECORD_WRONG: Rule = Rule {
    cause: Cause::DnsZoneRecordWrong,
    over: Over::Zones,
    requires: &[],
    excludes: &[],
    supports: &[],
    prior: 30,
    cap: 95,
    blame: Blame::ZoneData,
    alone: Alone::Drop,
    remedy: "Correct the record in the zone. Resolvers keep the wrong one until its TTL ends.",
    not_excluded: &[],
};

/// The rows.
pub const RULES: &[Rule] = &[
    // The delegation leads to servers that the baseline does not know, and they say something else.
    Rule {
        requires: &[F::ParentNsChanged, F::NsAnswersDisjoint],
        prior: 25,
        cap: 98,
        ..WRONG_NS
    },
    // ... or nothing usable, while the earlier ones still answer.
    Rule {
        requires: &[F::ParentNsChanged, F::NewNsUnusable, F::OldNsAnswer],
        ..WRONG_NS
    },
    // ... and the earlier ones are gone, but the addresses lead to somebody else.
    Rule {
        requires: &[F::ParentNsChanged, F::RecordsChanged, F::OwnerChanged],
        excludes: &[F::NsAnswersDisjoint],
        prior: 0,
        cap: 85,
        ..WRONG_NS
    },
    // ... and give others beside the earlier addresses, which the earlier servers do not.
    Rule {
        requires: &[F::ParentNsChanged, F::OwnerChanged, F::OldNsAnswer],
        excludes: &[F::NsAnswersDisjoint, F::NewNsUnusable, F::RecordsChanged],
        prior: 0,
        cap: 85,
        ..WRONG_NS
    },
    // Declared name servers instead of a baseline.
    Rule {
        requires: &[F::NsUnexpected, F::NsAnswersDisjoint],
        excludes: &[F::ParentNsChanged],
        cap: 95,
        ..WRONG_NS
    },
    Rule {
        requires: &[F::NsUnexpected, F::NewNsUnusable, F::OldNsAnswer],
        excludes: &[F::ParentNsChanged],
        prior: 15,
        cap: 93,
        ..WRONG_NS
    },
    // Nothing but caches, or the zone itself, remembers; the addresses decided which side is wrong.
    Rule {
        requires: &[F::CacheNsDiffer, F::NsAnswersDisjoint],
        excludes: &[F::ParentNsChanged, F::NsUnexpected, F::SidesUndecided],
        prior: 10,
        cap: 80,
        ..WRONG_NS
    },
    Rule {
        requires: &[F::CacheNsDiffer, F::NewNsUnusable, F::OldNsAnswer],
        excludes: &[F::ParentNsChanged, F::NsUnexpected, F::SidesUndecided],
        prior: 5,
        cap: 75,
        ..WRONG_NS
    },
    Rule {
        requires: &[F::ParentChildNsDiffer, F::NsAnswersDisjoint],
        excludes: &[
            F::ParentNsChanged,
            F::NsUnexpected,
            F::CacheNsDiffer,
            F::SidesUndecided,
        ],
        prior: 5,
        cap: 75,
        ..WRONG_NS
    },
    // Two sides, and nothing tells which one is wrong.
    Rule {
        cause: Cause::Unknown,
        requires: &[F::NsAnswersDisjoint, F::SidesUndecided],
        excludes: &[F::ParentNsChanged, F::NsUnexpected],
        supports: &[],
        prior: 0,
        cap: 50,
        remedy: "Compare both NS sets with your registrar's record, and run the check with --baseline or with `name_servers` under `expect`.",
        ..WRONG_NS
    },
    Rule {
        cause: Cause::DnsDelegationNsMismatch,
        over: Over::Zones,
        requires: &[F::ParentChildNsDiffer],
        excludes: &[F::NsAnswersDisjoint, F::NewNsUnusable],
        supports: &[],
        prior: 30,
        cap: 95,
        blame: Blame::Nobody,
        alone: Alone::Warn,
        remedy: "Make the NS set at the parent and the one in the zone the same.",
        not_excluded: &[],
    },
    Rule {
        cause: Cause::DnsDelegationMissing,
        over: Over::Zones,
        requires: &[F::ParentNxdomain],
        excludes: &[],
        supports: &[(F::OldNsAnswer, 10)],
        prior: 10,
        cap: 70,
        blame: Blame::Resolution,
        alone: Alone::Drop,
        remedy: "Look at the registration first (expired, on hold, deleted?), then have the NS set put back at the registrar.",
        not_excluded: NO_HOLD,
    },
    // The zone above does not deny the name: a wildcard of it answers.
    Rule {
        cause: Cause::DnsDelegationMissing,
        over: Over::Zones,
        requires: &[F::DelegationGone, F::WildcardAnswers],
        excludes: &[F::ParentNxdomain],
        supports: &[(F::OldNsAnswer, 10)],
        prior: 20,
        cap: 90,
        blame: Blame::ZoneData,
        alone: Alone::Drop,
        remedy: "Put the NS set back into the zone above; a wildcard there answers for every name of the zone that is gone.",
        not_excluded: &[
            "that the zone was given up on purpose: its records then belong into the zone above",
        ],
    },
    Rule {
        requires: &[F::NsIsCname],
        ..UNRESOLVABLE
    },
    Rule {
        requires: &[F::NsCycle],
        excludes: &[F::NsIsCname, F::NsAddressForbidden],
        ..UNRESOLVABLE
    },
    Rule {
        requires: &[F::NsAddressMissing],
        excludes: &[F::NsIsCname, F::NsCycle, F::NsNameDoubled],
        ..UNRESOLVABLE
    },
    Rule {
        requires: &[F::NsAddressForbidden],
        excludes: &[F::NsIsCname, F::NsAddressMissing],
        remedy: "Replace the address, at the parent (glue, at your registrar) and in the name server's own zone, by one that others can reach.",
        ..UNRESOLVABLE
    },
    Rule {
        over: Over::NameServers,
        requires: &[F::GlueAstray],
        remedy: "Have the glue beside the NS set at the parent (at your registrar) corrected: the name server itself answers, at another address.",
        ..UNRESOLVABLE
    },
    Rule {
        requires: &[F::NsRcode],
        excludes: &[F::AllNsServfail, F::GlueAstray],
        ..LAME
    },
    Rule {
        requires: &[F::NsNotAuthoritative],
        excludes: &[F::GlueAstray],
        ..LAME
    },
    Rule {
        requires: &[F::NsSilent],
        excludes: &[F::Port53Dead, F::GlueAstray],
        supports: &[(F::RepliesDiscarded, 0)],
        ..UNRESPONSIVE
    },
    Rule {
        requires: &[F::NsRcode, F::AllNsServfail],
        excludes: &[F::GlueAstray],
        cap: 80,
        ..UNRESPONSIVE
    },
    Rule {
        requires: &[F::NsTcpFails],
        excludes: &[F::NsSilent, F::NsTruncated, F::Port53TcpFails],
        blame: Blame::Nobody,
        cap: 85,
        remedy: "Open TCP port 53 to the name server (RFC 7766): large answers need it.",
        ..UNRESPONSIVE
    },
    Rule {
        cause: Cause::DnsAuthProtocolBug,
        requires: &[F::NsEdnsFails],
        excludes: &[],
        cap: 85,
        blame: Blame::StrictResolvers,
        remedy: "Let queries with EDNS (RFC 6891) through: a firewall or an old server drops them.",
        ..UNRESPONSIVE
    },
    Rule {
        cause: Cause::DnsAuthBlankZone,
        over: Over::NameServers,
        requires: &[F::NsDeniesExistingName],
        excludes: &[F::SerialBehind],
        supports: &[],
        prior: 30,
        cap: 95,
        blame: Blame::DenyingServers,
        alone: Alone::Warn,
        remedy: "Load the zone on that server again, or take the server out of the NS set until it has the zone.",
        not_excluded: &[],
    },
    // The same serial and other data: the zone was changed without a new serial, so that no transfer
    // is due.
    Rule {
        cause: Cause::DnsAuthStaleSecondary,
        over: Over::NameServers,
        requires: &[F::NsAnswersAlone],
        excludes: &[F::SerialBehind],
        supports: &[],
        prior: 15,
        cap: 75,
        blame: Blame::AnswersOfServers,
        alone: Alone::Notice,
        remedy: "Compare that server's copy with the others': raise the zone's serial and transfer it again, or take the server out of the NS set.",
        not_excluded: &[
            "that the copies differ on purpose, by region for instance: the operator would know",
        ],
    },
    Rule {
        cause: Cause::DnsAuthStaleSecondary,
        over: Over::NameServers,
        requires: &[F::SerialBehind],
        excludes: &[],
        supports: &[],
        prior: 30,
        cap: 95,
        blame: Blame::AnswersOfServers,
        alone: Alone::Notice,
        remedy: "Mend the zone transfer to that server (NOTIFY, AXFR over TCP 53, TSIG key), or take it out of the NS set.",
        not_excluded: &[],
    },
    Rule {
        cause: Cause::DnsZoneRecordMissing,
        over: Over::Zones,
        requires: &[F::RrsetEmptyEverywhere],
        excludes: &[F::ParentNxdomain, F::CnameLoop, F::CnameTargetMissing],
        supports: &[],
        prior: 30,
        cap: 95,
        blame: Blame::Resolution,
        alone: Alone::Drop,
        remedy: "Put the record back into the zone. Resolvers keep the denial for the zone's negative TTL (SOA minimum).",
        not_excluded: &[],
    },
    Rule {
        requires: &[F::CnameLoop],
        ..RECORD_WRONG
    },
    Rule {
        requires: &[F::CnameTargetMissing],
        excludes: &[F::CnameLoop],
        ..RECORD_WRONG
    },
    Rule {
        requires: &[F::PrivateAddress],
        ..RECORD_WRONG
    },
    // In some answers only: a rotation, one server's copy, or an answer that changes between two
    // questions.
    Rule {
        over: Over::Addresses,
        requires: &[F::PrivateAddress],
        prior: 20,
        cap: 90,
        blame: Blame::Addresses,
        ..RECORD_WRONG
    },
    Rule {
        requires: &[F::RecordsChanged, F::OwnerChanged],
        excludes: &[F::ParentNsChanged, F::NsUnexpected, F::PrivateAddress],
        prior: 10,
        cap: 80,
        ..RECORD_WRONG
    },
    Rule {
        requires: &[F::AddressUnexpected],
        excludes: &[F::ParentNsChanged, F::NsUnexpected, F::PrivateAddress],
        prior: 20,
        cap: 90,
        ..RECORD_WRONG
    },
    // Beside addresses that are right.
    Rule {
        over: Over::Addresses,
        requires: &[F::OwnerChanged, F::CertNamesDiffer],
        prior: 15,
        cap: 80,
        blame: Blame::Addresses,
        ..RECORD_WRONG
    },
    Rule {
        requires: &[F::ExpectationFailed],
        prior: 20,
        cap: 90,
        ..RECORD_WRONG
    },
    Rule {
        requires: &[F::WildcardAnswers, F::WildcardStranger],
        excludes: &[F::ParentNsChanged, F::NsUnexpected, F::PrivateAddress],
        prior: 15,
        cap: 80,
        not_excluded: &[
            "that the name is meant, and the server behind the wildcard lost its certificate: a baseline would tell",
        ],
        ..RECORD_WRONG
    },
];
