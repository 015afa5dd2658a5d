//! The sentences of facts that stand behind others.

use bellwether_model::FactKind as K;

use super::sentences::Sentence;

/// What supports the others, told after them and after what follows from them.
pub(super) const SUPPORTING: &[Sentence] = &[
    Sentence::new(
        K::ChainSecure,
        "",
        "",
        "the signatures from the root to {name} hold",
    ),
    Sentence::new(
        K::NsAnswersDisjoint,
        "",
        "",
        "by {groups/0/name_servers} the answer is {groups/0/addresses}, by {groups/1/name_servers} it is {groups/1/addresses}",
    ),
    Sentence::new(
        K::OwnerChanged,
        "",
        "",
        "answers belong to {after}; before, to {before}",
    ),
    Sentence::new(
        K::GlueDiffers,
        "",
        "",
        "the parent says that {name_server} is {glue}; its own zone says {own}",
    ),
    Sentence::new(
        K::ClientProfiles,
        "address",
        "",
        "the chain at {address} is taken by {accept}, refused by {refuse}",
    ),
    Sentence::new(
        K::IntermediateKnown,
        "",
        "",
        "the missing one is known: {sent_by} {when}",
    ),
    Sentence::new(
        K::CertsDiffer,
        "",
        "",
        "serial {groups/0/serial} at {groups/0/addresses}, {groups/1/serial} at {groups/1/addresses}",
    ),
    Sentence::new(
        K::CertDependsOnSni,
        "address",
        "",
        "{address} [shows|show] {with_sni} with SNI and {without_sni} without",
    ),
    Sentence::new(
        K::SameCertWithoutSni,
        "address",
        "",
        "{address} [shows|show] the same certificate without SNI",
    ),
    Sentence::new(
        K::AddressUnchanged,
        "address",
        "",
        "{address} [is an address|are addresses] of the baseline, with the same owner",
    ),
    Sentence::new(
        K::ResolverOtherNamesRight,
        "resolver",
        "",
        "{resolver} [answers|answer] other names rightly",
    ),
    Sentence::new(
        K::ResolverPlainWorks,
        "address",
        "",
        "{address} [answers|answer] in plain DNS",
    ),
    Sentence::new(
        K::ResolverIsSystem,
        "resolver",
        "",
        "{resolver} is this machine's own resolver",
    ),
    Sentence::new(
        K::HttpWorksAtTimes,
        "",
        "",
        "{worked} of {of} requests for {url} are answered as expected",
    ),
    Sentence::new(
        K::BrowsersServed,
        "",
        "",
        "a request for {url} in the manner of a browser is answered as expected",
    ),
    Sentence::new(
        K::OtherFamilyWorks,
        "",
        "",
        "the other family works: {works}",
    ),
    Sentence::new(
        K::OtherAddressesWork,
        "",
        "",
        "other addresses work: {addresses}",
    ),
    Sentence::new(
        K::PingAnswers,
        "address",
        "",
        "{address} [answers|answer] ICMP echo",
    ),
    Sentence::new(
        K::AddressOwner,
        "address",
        "",
        "{address} [belongs|belong] to {owner}",
    ),
];
