//! The sentences of facts, up to names and their resolution.

use bellwether_model::FactKind;

use FactKind as K;

/// How a kind of fact is told.
pub(super) struct Sentence {
    pub(super) kind: FactKind,
    /// The key of what the fact speaks of: facts that say the same of several are told as one.
    pub(super) about: &'static str,
    /// The key of what may differ between them nevertheless, and is listed.
    pub(super) each: &'static str,
    /// `{key}` is what stands in the value; of `[does|do]` the first is for one, the second for
    /// several of what it speaks of.
    pub(super) text: &'static str,
}

impl Sentence {
    pub(super) const fn new(
        kind: FactKind,
        about: &'static str,
        each: &'static str,
        text: &'static str,
    ) -> Self {
        Self {
            kind,
            about,
            each,
            text,
        }
    }
}

/// What tells most stands first. A fact whose value lacks one of the keys, or that is not listed,
/// is told by its meaning and its value.
pub(super) const SENTENCES: &[Sentence] = &[
    Sentence::new(
        K::ControlsFailed,
        "",
        "",
        "{failed} of {of} controls fail too: {controls}",
    ),
    Sentence::new(
        K::NoRoute,
        "",
        "",
        "this machine has no route: {attempts} connection attempts ended before a packet left",
    ),
    Sentence::new(
        K::NothingLeaves,
        "",
        "",
        "this machine has no route: {attempts} attempts ended before a packet left",
    ),
    Sentence::new(
        K::CanaryResolves,
        "server",
        "",
        "{server}, a root server's address, [answers|answer] {addresses} for {name}, which must not exist",
    ),
    Sentence::new(
        K::RootAnswersItself,
        "servers",
        "",
        "{servers}, addresses of root servers, [gives|give] a final answer for {name}",
    ),
    Sentence::new(
        K::ClockOff,
        "",
        "",
        "no signature of {zones} holds at {clock}, by this machine's clock",
    ),
    Sentence::new(
        K::DatesDiffer,
        "",
        "",
        "the service's Date header says {date}",
    ),
    Sentence::new(
        K::AnchorUnfit,
        "",
        "",
        "trust anchor: key {anchor_tags}; keys of the root: {key_tags}",
    ),
    Sentence::new(
        K::ProbesNotRun,
        "",
        "",
        "probes that are needed did not run: {reason}",
    ),
    Sentence::new(
        K::ParentNsChanged,
        "",
        "",
        "NS set at the parent changed since the baseline{baseline}: {before} → {after}",
    ),
    Sentence::new(
        K::NsUnexpected,
        "",
        "",
        "{zone} is delegated to {unexpected}; declared are {expected}",
    ),
    Sentence::new(
        K::CacheNsDiffer,
        "resolver",
        "",
        "{resolver} still [holds|hold] {held} in cache; the parent gives {parent}",
    ),
    Sentence::new(
        K::CacheNsDiffer,
        "resolver",
        "",
        "caches hold {held}; the parent gives {parent}",
    ),
    Sentence::new(
        K::ParentChildNsDiffer,
        "",
        "",
        "the parent gives {parent}, the zone itself {child}",
    ),
    Sentence::new(
        K::ParentNxdomain,
        "given_by",
        "",
        "{given_by} [answers|answer] {rcode} for {zone}",
    ),
    Sentence::new(
        K::OldNsAnswer,
        "name_servers",
        "",
        "{name_servers} still [gives|give] {addresses}, with authority",
    ),
    Sentence::new(
        K::OldNsAnswer,
        "name_servers",
        "",
        "{name_servers} still [answers|answer] for {zone}, with authority",
    ),
    Sentence::new(
        K::ParentServersFail,
        "name_servers",
        "",
        "{name_servers} of {zone} [gives|give] no usable answer",
    ),
    Sentence::new(
        K::RegistryServersFail,
        "name_servers",
        "",
        "{name_servers} of {zone} [gives|give] no usable answer",
    ),
    Sentence::new(
        K::RegistryServerFails,
        "name_server",
        "answer",
        "{name_server} of {zone} [gives|give] no usable answer ({answer})",
    ),
    Sentence::new(
        K::RegistryServerDenies,
        "name_server",
        "",
        "{name_server} of {zone} [says|say] {answer} for {name}, with authority; {others_have_it} delegate it",
    ),
    Sentence::new(
        K::NsRcode,
        "name_server",
        "rcode",
        "{name_server} [answers|answer] {rcode}",
    ),
    Sentence::new(
        K::NsNotAuthoritative,
        "name_server",
        "",
        "{name_server} [answers|answer] without authority",
    ),
    Sentence::new(
        K::NsAddressMissing,
        "name_server",
        "",
        "{name_server} [has|have] no address: {because}",
    ),
    Sentence::new(
        K::NsAddressForbidden,
        "name_server",
        "addresses",
        "{name_server} [stands|stand] at {addresses}, which nobody outside can reach; not asked",
    ),
    Sentence::new(
        K::NsIsCname,
        "name_server",
        "alias_of",
        "{name_server} [is an alias|are aliases] of {alias_of}; a name server must not be one",
    ),
    Sentence::new(
        K::NsNameDoubled,
        "name_server",
        "meant",
        "{name_server} [does|do] not exist: `{parent}` was appended to {meant}",
    ),
    Sentence::new(
        K::NsCycle,
        "name_server",
        "",
        "{name_server} can be found only in a circle: {cycle/0} → {cycle/1} → …",
    ),
    Sentence::new(
        K::NsCycle,
        "name_server",
        "",
        "{name_server} can be found only by asking [itself|themselves]",
    ),
    Sentence::new(
        K::AllNsServfail,
        "name_servers",
        "",
        "{name_servers} [answers|answer] SERVFAIL for {zone}",
    ),
    Sentence::new(
        K::NsSilent,
        "name_server",
        "",
        "{name_server} [does|do] not answer",
    ),
    Sentence::new(
        K::NsTcpFails,
        "name_server",
        "",
        "{name_server} [answers|answer] over UDP and not over TCP",
    ),
    Sentence::new(
        K::NsTruncated,
        "name_server",
        "",
        "the answer of {name_server} for {name} is truncated, and does not come over TCP",
    ),
    Sentence::new(
        K::NsMalformed,
        "name_server",
        "because",
        "{name_server} [sends|send] what cannot be read: {because}",
    ),
    Sentence::new(
        K::NsLargeUdpLost,
        "name_server",
        "",
        "{name} {type} of {name_server} does not arrive over UDP with room for {offered} octets; over TCP it has {size}",
    ),
    Sentence::new(
        K::NsLargeUdpLost,
        "name_server",
        "",
        "{name} {type} of {name_server} does not arrive over UDP with room for {offered} octets",
    ),
    Sentence::new(
        K::NsVariantFails,
        "name_server",
        "",
        "{name_server} [fails|fail] questions {variant}: {answer}",
    ),
    Sentence::new(
        K::NsDeniesByType,
        "name_server",
        "",
        "{name_server} [says|say] NXDOMAIN for {name} {types}, and [has|have] the name",
    ),
    Sentence::new(
        K::NsCaseNotKept,
        "name_server",
        "how",
        "{name_server}: {how}",
    ),
    Sentence::new(
        K::RepliesDiscarded,
        "name_server",
        "",
        "{count} messages in the name of {name_server} answer no question",
    ),
    Sentence::new(
        K::Port53TcpFails,
        "name_servers",
        "",
        "{name_servers} [answers|answer] over UDP and not over TCP; servers of other zones asked: {elsewhere}",
    ),
    Sentence::new(
        K::Port53Dead,
        "",
        "",
        "nothing answers on port 53 over {protocols}; {addresses} addresses of the service connect",
    ),
    Sentence::new(
        K::ResolverTruncated,
        "resolver",
        "",
        "{resolver} [truncates|truncate] the answer, and it does not come over TCP",
    ),
    Sentence::new(
        K::NsEdnsFails,
        "name_server",
        "",
        "{name_server} [answers|answer] plain queries and not those with EDNS",
    ),
    Sentence::new(
        K::NsDeniesExistingName,
        "name_server",
        "",
        "{name_server} [says|say] {answer} for {name}, with authority; {others_have_it} have it",
    ),
    Sentence::new(
        K::SerialBehind,
        "name_server",
        "",
        "{name_server} [serves|serve] serial {serial}; the newest is {newest}",
    ),
    Sentence::new(
        K::NewNsUnusable,
        "name_servers",
        "",
        "{name_servers} [gives|give] no usable answer",
    ),
    Sentence::new(
        K::SidesUndecided,
        "",
        "",
        "{groups/0} and {groups/1} disagree, and nothing tells who is right",
    ),
    Sentence::new(
        K::RrsetEmptyEverywhere,
        "name_servers",
        "",
        "{name_servers} [says|say], with authority, that {name} has no such record",
    ),
    Sentence::new(
        K::WildcardAnswers,
        "",
        "",
        "{given_by} gives the same for {canary}, which nobody registered: a wildcard",
    ),
    Sentence::new(
        K::WildcardStranger,
        "addresses",
        "",
        "{addresses} [shows|show] a certificate for {presented}",
    ),
    Sentence::new(
        K::RecordsChanged,
        "",
        "",
        "addresses changed since the baseline{baseline}: {before} → {after}; the NS set did not",
    ),
    Sentence::new(
        K::PrivateAddress,
        "address",
        "",
        "the public answer holds {address}: [it is|they are] {class}",
    ),
    Sentence::new(
        K::AddressUnexpected,
        "address",
        "",
        "{address} [lies|lie] outside of what is declared: {expected}",
    ),
    Sentence::new(
        K::AddressUnexpected,
        "addresses",
        "",
        "{addresses} [lies|lie] outside of what is declared: {expected}",
    ),
    Sentence::new(
        K::CnameLoop,
        "",
        "",
        "{aliases}: the aliases lead back to themselves",
    ),
    Sentence::new(
        K::CnameTargetMissing,
        "",
        "",
        "{alias} leads to {target}, which has no address",
    ),
    Sentence::new(
        K::AnswerTooLarge,
        "",
        "",
        "{records} addresses in one answer (IP{family}, {bytes} bytes); policy: at most {policy/max_addresses}",
    ),
    Sentence::new(
        K::AnswerTooLarge,
        "",
        "",
        "{records} addresses in one answer (IP{family}); policy: at most {policy/max_addresses}",
    ),
    Sentence::new(
        K::RrsigEnded,
        "",
        "",
        "signatures of {name} {type} ended {ended} (key {key_tag}): {name_servers}",
    ),
    Sentence::new(
        K::RrsigNotBegun,
        "",
        "",
        "signatures of {name} {type} begin only {begins} (key {key_tag}): {name_servers}",
    ),
    Sentence::new(
        K::RrsigMissing,
        "",
        "",
        "{name} {type} has no signature, and {zone} is signed: {name_servers}",
    ),
    Sentence::new(
        K::RrsigWrong,
        "",
        "",
        "the signature of {name} {type} by key {key_tag} does not fit: {name_servers}",
    ),
    Sentence::new(
        K::SignaturesTooComplex,
        "",
        "",
        "{name} {type} has more signatures, or keys of tag {key_tag}, than validators try: {name_servers}",
    ),
    Sentence::new(
        K::DsMatchesNoKey,
        "",
        "",
        "DS at the parent: key {ds_tags}; keys of {zone}: {key_tags}",
    ),
    Sentence::new(
        K::DnskeyMissing,
        "",
        "",
        "DS at the parent: key {ds_tags}; {zone} has no keys: {name_servers}",
    ),
    Sentence::new(
        K::DenialUnproven,
        "",
        "",
        "nothing proves that {name} {type} is not there: {name_servers}",
    ),
    Sentence::new(
        K::NsRrsigEnded,
        "",
        "",
        "at {name_server} the signatures of {name} {type} ended {ended}; others' hold",
    ),
    Sentence::new(
        K::NsRrsigBad,
        "",
        "",
        "at {name_server} {name} {type} does not stand a check ({problem}); others' does",
    ),
    Sentence::new(
        K::RrsigEndsSoon,
        "",
        "",
        "signatures of {zone} end {ends}; the newest is of {newest}",
    ),
    Sentence::new(
        K::CdsMatchesNoKey,
        "",
        "",
        "CDS of {zone}: key {cds_tags}; its keys: {key_tags}",
    ),
    Sentence::new(
        K::Nsec3IterationsHigh,
        "",
        "",
        "NSEC3 of {zone} asks for {iterations} iterations; validators count {limit}",
    ),
    Sentence::new(
        K::FailsOnlyChecked,
        "",
        "",
        "with checking of signatures {resolvers} answer with an error, without (CD=1) with data",
    ),
    Sentence::new(
        K::FailsOnlyChecked,
        "resolver",
        "",
        "with checking of signatures {resolver} [answers|answer] with an error, without (CD=1) with data",
    ),
    Sentence::new(
        K::ResolverFailsSigned,
        "resolver",
        "",
        "{resolver} [refuses|refuse] signed names above too: {names}",
    ),
    Sentence::new(
        K::ResolverLacksAlgorithm,
        "resolver",
        "",
        "{resolver} [checks|check] zones of algorithm {checked_with}, and [refuses|refuse] {zone}, of algorithm {algorithms}",
    ),
    Sentence::new(
        K::ResolverDeniesExistingName,
        "resolver",
        "",
        "{resolver} [answers|answer] {answer}; the name servers have the name",
    ),
    Sentence::new(
        K::ResolverChannelFails,
        "resolver",
        "",
        "{resolver} cannot be asked over {over}: {because}",
    ),
    Sentence::new(
        K::ResolverFailsControls,
        "resolver",
        "",
        "{resolver} [fails|fail] control names too",
    ),
    Sentence::new(
        K::ResolverServfail,
        "resolver",
        "answer",
        "{resolver} [gives|give] no usable answer: {answer}",
    ),
    Sentence::new(
        K::ResolverAnswerDiffers,
        "resolver",
        "",
        "{resolver} [answers|answer] {addresses}; the name servers say {authority}",
    ),
    Sentence::new(
        K::ResolverServesOldAnswer,
        "resolver",
        "",
        "{resolver} still [answers|answer] {addresses} from cache; the name servers say {authority}",
    ),
    Sentence::new(
        K::ResolverServesStale,
        "resolver",
        "",
        "{resolver} [says|say] that [its answer is|their answers are] older than the TTL (extended error {extended_errors})",
    ),
    Sentence::new(
        K::ResolverTtlAboveZone,
        "resolver",
        "seconds_left",
        "{resolver} [keeps|keep] the answer for {seconds_left} s more; the zone's TTL is {zone_ttl} s",
    ),
    Sentence::new(
        K::ResolverHoldsOldDs,
        "resolver",
        "",
        "{resolver} [holds|hold] DS records for key {held} of {zone}; the parent gives {parent}",
    ),
    Sentence::new(
        K::ResolverTwoAnswers,
        "resolver",
        "",
        "from {resolver} {first} came first (TTL {first_ttl}), then {second} (TTL {second_ttl})",
    ),
    Sentence::new(
        K::ResolverAnswerForeign,
        "resolver",
        "",
        "what {resolver} [gives|give] belongs to {owners}, not to the service's operators",
    ),
    Sentence::new(
        K::ResolverAnswersCanary,
        "resolver",
        "",
        "{resolver} [gives|give] {addresses} for a name that must not exist",
    ),
    Sentence::new(
        K::ResolverSlow,
        "resolver",
        "",
        "{resolver} [takes|take] at least {least_ms} ms for each of {answers} answers",
    ),
    Sentence::new(
        K::ResolverSinkhole,
        "resolver",
        "",
        "{resolver} [rewrites|rewrite] the answer: {addresses} (extended errors {extended_errors})",
    ),
    Sentence::new(
        K::ResolverNegativeCached,
        "resolver",
        "",
        "{resolver} [denies|deny] from cache, for {seconds_left} s more",
    ),
];
