//! The sentences of facts.

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
    const fn new(
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
        K::NsIsCname,
        "name_server",
        "alias_of",
        "{name_server} [is an alias|are aliases] of {alias_of}; a name server must not be one",
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
    Sentence::new(
        K::AddressRefused,
        "address",
        "",
        "{address} [refuses|refuse] connections (a reset answers the SYN)",
    ),
    Sentence::new(
        K::AddressTimesOut,
        "address",
        "",
        "{address} [does|do] not answer connection attempts",
    ),
    Sentence::new(
        K::AddressUnreachable,
        "address",
        "",
        "{address} [is|are] unreachable: {error}",
    ),
    Sentence::new(
        K::AddressResets,
        "address",
        "",
        "{address} [resets|reset] connections after they opened",
    ),
    Sentence::new(
        K::CertEnded,
        "address",
        "",
        "the certificate at {address} ended {not_after}",
    ),
    Sentence::new(
        K::CertNotBegun,
        "address",
        "",
        "the certificate at {address} begins {not_before}",
    ),
    Sentence::new(
        K::CertNamesDiffer,
        "address",
        "",
        "{address} [shows|show] a certificate for {presented}, not for {expected}",
    ),
    Sentence::new(
        K::CertSelfSigned,
        "address",
        "",
        "the certificate at {address} is signed by its own key",
    ),
    Sentence::new(
        K::NoTrustAnchor,
        "address",
        "",
        "the chain at {address} ends at `{issuer}`, which is no trust anchor",
    ),
    Sentence::new(
        K::IntermediateMissing,
        "address",
        "",
        "the chain at {address} lacks `{missing}`",
    ),
    Sentence::new(
        K::ChainLinkEnded,
        "address",
        "",
        "`{subject}` in the chain at {address} ended {not_after}",
    ),
    Sentence::new(
        K::CertMalformed,
        "address",
        "",
        "a certificate at {address} cannot be parsed: {error}",
    ),
    Sentence::new(
        K::CertWeak,
        "address",
        "",
        "a certificate at {address} is refused: {reason}",
    ),
    Sentence::new(
        K::TlsAlert,
        "address",
        "",
        "{address} [ends|end] the handshake with alert {alert}, {name}",
    ),
    Sentence::new(
        K::TlsStalled,
        "address",
        "",
        "{address} [opens|open] the connection and [does|do] not go on with the handshake",
    ),
    Sentence::new(
        K::TlsNotSpoken,
        "address",
        "",
        "what answers at {address} is not TLS: {looks_like}",
    ),
    Sentence::new(
        K::TlsClosed,
        "address",
        "",
        "{address} [closes|close] the connection during the handshake",
    ),
    Sentence::new(
        K::ClientCertRequested,
        "address",
        "",
        "{address} [asks|ask] for a client certificate",
    ),
    Sentence::new(
        K::HttpServerError,
        "",
        "",
        "{url} answers {status}, an error of the server's own",
    ),
    Sentence::new(
        K::HttpDenied,
        "",
        "",
        "{url} answers {status}: this client is not let in",
    ),
    Sentence::new(
        K::HttpStatus,
        "",
        "",
        "{url} answers {status}; expected is {expected}",
    ),
    Sentence::new(K::HttpStatus, "", "", "{url} answers {status}"),
    Sentence::new(
        K::HttpStalled,
        "",
        "",
        "{url} did not answer within {waited_ms} ms",
    ),
    Sentence::new(
        K::HttpMalformed,
        "",
        "",
        "what {url} answers is not HTTP: {error}",
    ),
    Sentence::new(
        K::HttpTruncated,
        "",
        "",
        "the body of {url} has {read} bytes; {announced} were announced",
    ),
    Sentence::new(
        K::RedirectLoop,
        "",
        "",
        "{url} redirects to {location}: {reason}",
    ),
    Sentence::new(
        K::RedirectRefused,
        "",
        "",
        "{url} redirects to {location}: {reason}",
    ),
    Sentence::new(
        K::RedirectFails,
        "",
        "",
        "the redirect to {url} fails: {error}",
    ),
    Sentence::new(
        K::EdgeGenerated,
        "",
        "",
        "the error was made by an edge: `{header}: {value}`",
    ),
    Sentence::new(
        K::ExpectationFailed,
        "",
        "",
        "declared of the {what}: {expected}; it was {found}",
    ),
    Sentence::new(
        K::RoleDiffers,
        "",
        "",
        "declared role {expected}, found {found}",
    ),
    Sentence::new(
        K::SlowerThanDeclared,
        "",
        "",
        "the answer took {found}; declared is {expected}",
    ),
];

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
