//! What is known: typed statements computed from observations, from which causes are concluded.

use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DnsName;

macro_rules! facts {
    ($($name:ident = $code:literal, $meaning:literal;)*) => {
        /// The kinds of fact. Their names are public API, like cause codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FactKind {
            $(#[doc = concat!("`", $code, "`: ", $meaning, ".")] $name,)*
        }

        impl FactKind {
            /// Every kind of fact.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name as it stands in reports.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What the fact states, in one clause.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

facts! {
    ControlsFailed = "controls_failed", "controls that have nothing to do with the target failed too";
    NoRoute = "no_route", "the vantage has no route: connecting fails at once, before a packet leaves";
    OutOfReach = "out_of_reach", "this machine has no route to any of the name servers or addresses that the check needs";
    NothingLeaves = "nothing_leaves", "every question and connection ended here before a packet left, since there is no route";
    CanaryResolves = "canary_resolves", "a root server's address answers a name that must not exist: somebody else answers in its place";
    RootAnswersItself = "root_answers_itself", "the root servers' addresses give final answers without authority, as a resolver does";
    RegistryAnswersItself = "registry_answers_itself", "the addresses of the servers under which names are registered give final answers without authority, as a resolver does";
    ClockOff = "clock_off", "the signatures of root and TLD zones, of several operators, do not hold by this machine's clock";
    DatesDiffer = "dates_differ", "servers' Date headers differ from this machine's clock in the same direction";
    SharesFate = "shares_fate", "something of the monitor's own needs what a watched service needs too";
    AnchorUnfit = "anchor_unfit", "the trust anchor fits no key of the root";
    ProbesNotRun = "probes_not_run", "probes needed for a verdict did not run";
    ParentNsChanged = "parent_ns_changed", "the NS set at the parent differs from the baseline's";
    ParentChildNsDiffer = "parent_child_ns_differ", "the NS sets at the parent and in the zone itself differ";
    CacheNsDiffer = "cache_ns_differ", "resolvers hold an NS set in their caches that the parent no longer gives";
    NsUnexpected = "ns_unexpected", "the parent's NS set holds names that `expect.name_servers` does not";
    NsAnswersDisjoint = "ns_answers_disjoint", "two groups of name servers, each authoritative, answer with nothing in common";
    OwnerChanged = "owner_changed", "the addresses in the answer belong to another operator than before";
    NewNsUnusable = "new_ns_unusable", "the name servers that the parent gives now, and did not before, give no usable answer";
    SidesUndecided = "sides_undecided", "two groups of name servers disagree and nothing tells which is right";
    OldNsAnswer = "old_ns_answer", "name servers of the earlier NS set still answer, with authority";
    NsRcode = "ns_rcode", "a name server answers with an error rcode";
    NsNotAuthoritative = "ns_not_authoritative", "a listed name server answers without authority (AA=0, or an upward referral)";
    NsAddressMissing = "ns_address_missing", "a listed name server's name has no address";
    NsAddressForbidden = "ns_address_forbidden", "every address of a listed name server is one that nobody outside can reach: private, loopback, link-local";
    NsIsCname = "ns_is_cname", "a listed name server's name is an alias (RFC 2181 section 10.3)";
    NsCycle = "ns_cycle", "the addresses of name servers can only be found by asking those same name servers";
    NsNameDoubled = "ns_name_doubled", "a listed name server's name ends in the parent zone's name twice, as one without its final dot does";
    NsShareNetwork = "ns_share_network", "every name server stands in one network";
    NsShareOwner = "ns_share_owner", "every name server belongs to one operator's AS";
    GlueDiffers = "glue_differs", "glue at the parent and the name server's own address records differ";
    GlueAstray = "glue_astray", "the parent's glue for a name server leads where nothing usable answers; the name server itself answers at another address";
    ParentNxdomain = "parent_nxdomain", "the parent's servers say that the delegated name does not exist";
    DelegationGone = "delegation_gone", "a zone of the baseline is no longer delegated, and the zone above it answers for its names";
    ParentServersFail = "parent_servers_fail", "no server of the parent zone gives a usable answer";
    ParentServersDiffer = "parent_servers_differ", "servers of the parent zone give different NS sets";
    RegistryServersFail = "registry_servers_fail", "no server of the zone under which names are registered gives a usable answer";
    RegistryServerFails = "registry_server_fails", "a server of the zone under which names are registered gives no usable answer, others delegate";
    RegistryServerDenies = "registry_server_denies", "a server of the zone under which names are registered denies, with authority, a name that others delegate";
    NsDeniesExistingName = "ns_denies_existing_name", "one name server denies, with authority, a name that others have";
    AllNsServfail = "all_ns_servfail", "every name server answers SERVFAIL";
    SerialBehind = "serial_behind", "a name server serves an older serial of the zone than others";
    NsAnswersAlone = "ns_answers_alone", "one name server gives addresses that no other gives, all others agree, and the serials are the same";
    NsSilent = "ns_silent", "a name server's address does not answer";
    NsTcpFails = "ns_tcp_fails", "a name server answers over UDP and not over TCP";
    NsTruncated = "ns_truncated", "a name server's answer is truncated over UDP and does not come over TCP";
    NsMalformed = "ns_malformed", "what a name server sends cannot be read";
    NsLargeUdpLost = "ns_large_udp_lost", "large answers of a name server do not arrive over UDP, small ones and TCP do";
    NsVariantFails = "ns_variant_fails", "a name server fails a question that is out of the ordinary, and answers the ordinary one";
    NsDeniesByType = "ns_denies_by_type", "a name server says NXDOMAIN for one type of a name that it has records of";
    NsTypeFails = "ns_type_fails", "a name server gives no usable answer for one type of a name, and answers another";
    NsSmallLettersOnly = "ns_small_letters_only", "a name server answers questions in small letters only";
    NsCaseNotKept = "ns_case_not_kept", "a name server does not send the question back in the case that it was sent in (0x20)";
    RepliesDiscarded = "replies_discarded", "messages came in a name server's name that answer no question of ours";
    Port53TcpFails = "port53_tcp_fails", "DNS over TCP fails at every server that was asked over it, while UDP works";
    Port53Dead = "port53_dead", "nothing on port 53 answers, wherever it is asked, while other ports work";
    ResolverLosesLarge = "resolver_loses_large", "a resolver does not bring an answer that is large, and which name servers give";
    ResolverTruncated = "resolver_truncated", "a resolver's answer is truncated over UDP and does not come over TCP";
    NsEdnsFails = "ns_edns_fails", "a name server answers plain queries and not those with EDNS";
    RrsetEmptyEverywhere = "rrset_empty_everywhere", "every name server that answers says that the name or its addresses do not exist";
    WildcardAnswers = "wildcard_answers", "the zone answers a name that nobody registered as it answers this one: a wildcard";
    WildcardStranger = "wildcard_stranger", "what the wildcard leads to shows certificates for other names";
    RecordsChanged = "records_changed", "the zone's addresses for the name differ from the baseline's while the NS set is the same";
    PrivateAddress = "private_address", "a public answer holds an address that is private, loopback or link-local";
    AddressUnexpected = "address_unexpected", "an answer holds an address outside `expect.addresses`";
    CnameLoop = "cname_loop", "the aliases lead back to themselves";
    CnameTargetMissing = "cname_target_missing", "an alias leads to a name that does not exist or has no address";
    AnswerTooLarge = "answer_too_large", "the address record set is above the answer policy in records or bytes";
    ResolverDeniesExistingName = "resolver_denies_existing_name", "a resolver denies a name that the authority has";
    ResolverFailsControls = "resolver_fails_controls", "a resolver gives no usable answer for control names either";
    ResolverChannelFails = "resolver_channel_fails", "a resolver over TLS or HTTPS cannot be asked: its certificate, its handshake or what HTTP answers is at fault";
    ResolverPlainWorks = "resolver_plain_works", "the same address answers in plain DNS";
    ResolverIsSystem = "resolver_is_system", "the resolver is the vantage's own";
    ResolverServfail = "resolver_servfail", "a resolver gives no usable answer for this name, and does for controls";
    ResolverAnswerDiffers = "resolver_answer_differs", "a resolver answers with addresses that no name server gives";
    ResolverServesOldAnswer = "resolver_serves_old_answer", "a resolver still answers as in the baseline, the authority no longer does";
    ResolverNegativeCached = "resolver_negative_cached", "a resolver's denial comes from its cache: the TTL of its SOA record is running down";
    RrsigEnded = "rrsig_ended", "the signatures of a record set ended";
    RrsigNotBegun = "rrsig_not_begun", "the signatures of a record set begin in the future";
    RrsigMissing = "rrsig_missing", "a record set of a signed zone has no signature";
    SignaturesTooComplex = "signatures_too_complex", "a record set has more signatures, or the zone more keys of one tag, than validators try";
    RrsigWrong = "rrsig_wrong", "a record set's signature does not verify, although key and time fit";
    DsMatchesNoKey = "ds_matches_no_key", "no DS record at the parent fits a key that signs the zone's keys";
    DnskeyMissing = "dnskey_missing", "the parent has DS records for the zone, and the zone has no keys";
    DenialUnproven = "denial_unproven", "the NSEC or NSEC3 records of an answer do not prove what it denies";
    NsRrsigEnded = "ns_rrsig_ended", "one name server gives signatures that ended, others give signatures that hold";
    NsRrsigBad = "ns_rrsig_bad", "what one name server gives does not validate, what others give does";
    RrsigEndsSoon = "rrsig_ends_soon", "a zone's signatures end within 48 hours, and the newest is old";
    CdsMatchesNoKey = "cds_matches_no_key", "no CDS record of the zone fits one of its keys";
    Nsec3IterationsHigh = "nsec3_iterations_high", "a zone's NSEC3 records ask for more iterations than validators count";
    ChainSecure = "chain_secure", "the signatures from the root to the answers hold, by our own check";
    FailsOnlyChecked = "fails_only_checked", "resolvers answer with an error, and with data when asked not to check signatures (CD=1)";
    ResolverFailsSigned = "resolver_fails_signed", "a resolver gives no usable answer for signed names above the target's zone either";
    ResolverLacksAlgorithm = "resolver_lacks_algorithm", "a resolver checks other zones, and refuses this one, whose algorithm those do not use";
    ResolverServesStale = "resolver_serves_stale", "a resolver says that its answer is older than its TTL, since no name server answers (RFC 8767)";
    ResolverTtlAboveZone = "resolver_ttl_above_zone", "a resolver keeps its answer for longer than the zone's TTL";
    ResolverAnswerKept = "resolver_answer_kept", "a resolver's answer, which no name server gives, has less time left than the zone's TTL: it was looked up earlier";
    ResolverHoldsOldDs = "resolver_holds_old_ds", "a resolver holds DS records that the parent no longer gives";
    ResolverTwoAnswers = "resolver_two_answers", "two answers come to one question, the first of them unlike the authority's";
    ResolverAnswerForeign = "resolver_answer_foreign", "a resolver's addresses belong to an operator that neither the authority's nor the baseline's do";
    ResolverAnswersCanary = "resolver_answers_canary", "a resolver gives addresses for a name that must not exist";
    ResolverSlow = "resolver_slow", "a resolver answers rightly and late, while name servers and other resolvers are quick";
    ResolverSinkhole = "resolver_sinkhole", "a resolver rewrites the answer, or says so by an extended error (RFC 8914)";
    ResolverOtherNamesRight = "resolver_other_names_right", "the same resolver answers controls and sibling names rightly";
    AddressRefused = "address_refused", "an address answers a connection attempt with a reset";
    AddressTimesOut = "address_times_out", "an address does not answer connection attempts";
    AddressUnreachable = "address_unreachable", "a connection attempt is answered by an ICMP error";
    AddressResets = "address_resets", "an address resets connections after they opened";
    ResetUnasked = "reset_unasked", "an address resets connections before anything is said over them";
    AddressOwner = "address_owner", "who owns an address, by the table given";
    PingAnswers = "ping_answers", "an address answers ICMP echo";
    OtherAddressesWork = "other_addresses_work", "other addresses of the same name work";
    OtherFamilyWorks = "other_family_works", "every IPv6 address fails, IPv4 works";
    CertEnded = "cert_ended", "a certificate's validity ended";
    CertNotBegun = "cert_not_begun", "a certificate's validity has not begun";
    CertNamesDiffer = "cert_names_differ", "the certificate does not name the host";
    CertDependsOnSni = "cert_depends_on_sni", "another certificate is shown without SNI or for another name";
    SameCertWithoutSni = "same_cert_without_sni", "the certificate shown for the name is the one shown without SNI";
    NoTrustAnchor = "no_trust_anchor", "no path leads to a trust anchor";
    CertSelfSigned = "cert_self_signed", "the certificate is signed by its own key";
    IntermediateMissing = "intermediate_missing", "the chain lacks the certificate that issued its last one";
    ChainLinkEnded = "chain_link_ended", "an intermediate certificate's validity ended";
    CertMalformed = "cert_malformed", "a certificate cannot be parsed";
    CertWeak = "cert_weak", "a certificate's key, signature or usage is refused by client policy";
    CertsDiffer = "certs_differ", "addresses of one name show different certificates";
    WorksSometimes = "works_sometimes", "of several attempts at the address some work and some fail";
    OthersRenewed = "others_renewed", "other addresses of the name show a newer certificate that is good";
    OldCertStays = "old_cert_stays", "an address still shows a certificate that ends soon, while others show a newer one";
    SctsMissing = "scts_missing", "a publicly trusted certificate carries fewer signed certificate timestamps than browsers want";
    SctsGone = "scts_gone", "the certificate carries no signed certificate timestamps; the issuer's earlier one did";
    StapleMissing = "staple_missing", "the certificate demands a stapled OCSP response and none came";
    StapleBad = "staple_bad", "the certificate demands a stapled OCSP response, and the one that came is no good";
    StapleStale = "staple_stale", "the stapled OCSP response is no good; the certificate does not demand one";
    CertRevoked = "cert_revoked", "the stapled OCSP response says that the certificate is revoked";
    IntermediateKnown = "intermediate_known", "the certificate that the chain lacks was sent before, or is sent by another address";
    ClientProfiles = "client_profiles", "some kinds of clients take the chain, others refuse it";
    AddressUnchanged = "address_unchanged", "the failing address is the one of the baseline, with the same owner";
    TlsAlert = "tls_alert", "the server ended the handshake with an alert";
    TlsStalled = "tls_stalled", "the connection opened, the handshake did not go on";
    TlsNotSpoken = "tls_not_spoken", "what answers on the port is not TLS";
    TlsClosed = "tls_closed", "the connection was closed or reset during the handshake";
    TlsMalformed = "tls_malformed", "what the server sends breaks the rules of TLS";
    TlsOldVersionsOnly = "tls_old_versions_only", "the server speaks only versions of TLS that clients have dropped";
    TlsOldSuitesOnly = "tls_old_suites_only", "the server takes only key exchanges and ciphers that clients have dropped";
    TlsVersionIntolerant = "tls_version_intolerant", "the server answers if only TLS 1.2 is offered, and not if TLS 1.3 is offered too";
    TlsLargeHelloStalls = "tls_large_hello_stalls", "a small ClientHello is answered, one of two segments is not";
    TlsNoHelloAnswered = "tls_no_hello_answered", "no ClientHello is answered, whatever it offers";
    TlsNameRefused = "tls_name_refused", "a handshake that names the host is ended, and one without a name completes";
    AlpnRefused = "alpn_refused", "the server refuses the application protocol that is offered (ALPN)";
    ChainTooLarge = "chain_too_large", "the server's part of the handshake is larger than clients take";
    ClientCertRequested = "client_cert_requested", "the server asked for a client certificate";
    ClientCertRefused = "client_cert_refused", "the server refused the client over its certificate, or over the lack of one";
    ClientCertNotAskedBefore = "client_cert_not_asked_before", "at the time of the baseline the server did not ask for a client certificate";
    ClientCertEnded = "client_cert_ended", "the validity of the client certificate that we show ended";
    ClientCertNotBegun = "client_cert_not_begun", "the validity of the client certificate that we show has not begun";
    ClientCertNotListed = "client_cert_not_listed", "the authorities that the server names did not issue the client certificate that we show";
    HttpStatus = "http_status", "the status is not among the expected ones";
    HttpServerError = "http_server_error", "the unexpected status is of the 5xx class (RFC 9110 section 15.6)";
    HttpDenied = "http_denied", "the unexpected status says that this client is not let in: 401, 403, 407, 429, 451";
    HttpStalled = "http_stalled", "the request was sent, no whole response came";
    HttpClosed = "http_closed", "the connection ends after the request, before the head of an answer is whole";
    HttpMalformed = "http_malformed", "what came is not HTTP";
    HttpBodyStalled = "http_body_stalled", "a body stops before all that was announced has come, and the connection stays open";
    HttpNeverEnds = "http_never_ends", "a body does not end in time, although nothing announced is missing or bytes still come";
    HttpFramingWrong = "http_framing_wrong", "the lengths or chunks of a body contradict each other or are no numbers";
    HttpCodingWrong = "http_coding_wrong", "a body is coded otherwise than it says, or than the client takes";
    HttpInflates = "http_inflates", "a small body decodes to more than is read of any";
    HttpOdd = "http_odd", "an answer breaks a rule in a way that browsers pass over";
    HttpWorksAtTimes = "http_works_at_times", "the same request, made again, is answered as expected";
    HttpChallenge = "http_challenge", "the answer is a page by which a client shall prove that a person uses it";
    BrowsersRefused = "browsers_refused", "we get what is declared, and the same request under a browser's name does not";
    BrowsersServed = "browsers_served", "the same request in the manner of a browser is answered as expected";
    FirstByteSlow = "first_byte_slow", "without the wait for the first byte the answer would have come in time";
    H2Fails = "h2_fails", "a request over HTTP/2 fails; over HTTP/1.1, at the same address, it does not";
    AlpnNotSpoken = "alpn_not_spoken", "the server agrees on a protocol (ALPN) and speaks another";
    LargeSegmentsLost = "large_segments_lost", "what stalls works over a connection whose segments are small";
    CutByMemory = "cut_by_memory", "reading stopped because the memory for all probes together was spent";
    HttpTruncated = "http_truncated", "the body is shorter than announced";
    RedirectLoop = "redirect_loop", "redirects lead back to themselves, or on past the limit";
    RedirectRefused = "redirect_refused", "a redirect leads to where we may not go";
    RedirectFails = "redirect_fails", "a redirect leads to a host that fails";
    RedirectNowhere = "redirect_nowhere", "a redirect names no location, or one that no client can follow";
    NotModifiedUnasked = "not_modified_unasked", "the answer says that nothing has changed (304), and the request did not ask for that";
    EdgeGenerated = "edge_generated", "the error was made by an edge or proxy, not by the origin";
    ExpectationFailed = "expectation_failed", "what was declared by `expect` was not met";
    RoleDiffers = "role_differs", "an address answers in another role than declared by `expect.role`";
    RoleOfAnother = "role_of_another", "an address says, by the header of `expect.role`, that it is something else";
    PoolMemberUnseen = "pool_member_unseen", "a single address of `expect.addresses` stands in no answer, however often the name servers are asked";
    OthersInRole = "others_in_role", "an address fails at the application, and others of the same answer work in the declared role";
    SlowerThanDeclared = "slower_than_declared", "the answer took longer than `expect.within`";
    HeartbeatMissed = "heartbeat_missed", "a job that must report did not do so by the time that it was due, or did not end within its limit";
    HeartbeatFailed = "heartbeat_failed", "a job reported that it failed";
}

impl std::fmt::Display for FactKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FactKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("unknown fact `{text}`"))
    }
}

impl Serialize for FactKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for FactKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a fact speaks of. Judging groups facts by it; reports show it inside `value`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The vantage itself.
    Vantage,
    /// A zone.
    Zone(DnsName),
    /// A name server at one of its addresses; `None` where it has none.
    NameServer(DnsName, Option<IpAddr>),
    /// A resolver, as asked.
    Resolver(String),
    /// An address of the service.
    Address(IpAddr),
    /// The service as a whole.
    Service,
}

/// One fact as it stands in a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// The kind of fact.
    #[schemars(with = "String")]
    pub fact: FactKind,
    /// What exactly was seen: JSON, never prose.
    pub value: serde_json::Value,
    /// The observations that prove it.
    #[serde(default)]
    pub from: Vec<String>,
}
