//! Scenario files, `bellwether.scenario/1`: what people write, as types.
//!
//! - [`parse()`]: text to a checked [`Spec`], with errors that name the place
//! - `rules`: what the types alone do not say
//! - [`words`]: the behaviour words, each a variant of a closed enum
//! - [`behaviour`]: words for one server, resolver or control
//! - [`place`]: where resolvers are, and how they are spoken to
//! - [`hostile`]: hostile servers, and paths that lose
//! - [`signing`]: how zones are signed
//! - [`forgery`]: answers that are not the authority's
//! - [`software`]: real servers in the place of scripted ones
//! - [`peer`]: peers that misbehave, and client certificates
//! - [`lists`]: lists that may be written as one item
//! - [`time`]: lengths of time and moments
//! - [`step`]: what happens, step by step
//! - [`serve`]: a running program: what is done with it, and what is waited for
//! - [`expect`]: what a step must find
//! - [`look`]: what a running program must say
//! - [`vantage`]: agents elsewhere: where they stand, and what is done to them

pub mod behaviour;
pub mod certificate;
pub mod expect;
pub mod forgery;
pub mod hostile;
pub mod http;
pub(crate) mod line;
pub mod lists;
pub mod look;
pub mod parse;
pub mod peer;
pub mod place;
mod rules;
pub mod serve;
pub mod signing;
pub mod software;
pub mod step;
pub mod time;
pub mod vantage;
pub mod words;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use behaviour::{ControlsSpec, ResolverWords, ServerWords};
pub use certificate::CertificateSpec;
pub use expect::ExpectSpec;
pub use forgery::{InjectedSpec, RewriteSpec};
pub use hostile::{CapitalsWord, Hostile, PathSpec, ServerBug};
pub use http::{
    H2Word, Hex, HttpSpec, RawPiece, RawSpec, RawThen, RawWhen, RefusesSpec, SometimesSpec,
};
pub use lists::{Addresses, Delegation};
pub use look::{IncidentExpect, MetricExpect, MomentExpect, ServiceExpect};
pub(crate) use parse::meant;
pub use parse::parse;
pub use peer::{
    ClientAuthSpec, ClientAuthWord, ClientCertSpec, OldTls, PeerWord, RefusalWord, ShareSpec,
    TlsVersion,
};
pub use place::{ResolverPlace, ResolverPort};
pub use serve::{ServeWord, UntilSpec};
pub use signing::{
    Algorithm, CdsWord, Denial, DenialFault, DsWords, KeysWord, Nsec3Spec, SignaturesSpec,
    SignerWord,
};
pub use software::Software;
pub use step::{SetSpec, StepSpec};
pub use time::{Moment, Span};
pub use vantage::{
    AgentWord, LinkWord, Names, PingWord, PresenceWord, RunsExpect, VantagePatch, VantageSpec,
};
pub use words::{Answers, Bug, Cache, Edns, IcmpWord, Issuer, StaleSpec, TcpWord};

/// The schema that a scenario names.
pub const SCENARIO_SCHEMA: &str = "bellwether.scenario/1";

/// A scenario as it stands in its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `bellwether.scenario/1`.
    pub schema: String,
    /// The scenario's name.
    pub name: String,
    /// What is rehearsed, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The world's clock; left out: the real clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub now: Option<Timestamp>,
    /// Keep the names and addresses as written: a drill of a real incident.
    #[serde(default)]
    pub fixed: bool,
    /// The Internet of this scenario.
    #[serde(default)]
    pub world: WorldSpec,
    /// What is checked; each entry exactly as in `bellwether.yaml`.
    #[serde(default)]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub services: Vec<serde_json::Value>,
    /// What happens, in order.
    #[serde(default)]
    pub steps: Vec<StepSpec>,
    /// What each `check` and each `look` must find, by the step's name.
    #[serde(default)]
    pub expect: BTreeMap<String, ExpectSpec>,
}

/// The Internet of a scenario.
///
/// Root, top-level domains, the zones that hold the servers' names, SOA records and NS sets exist
/// by themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorldSpec {
    /// Who owns which prefix: `192.0.2.0/24: AS64511 Foreign`.
    #[schemars(with = "BTreeMap<String, String>")]
    pub owners: BTreeMap<IpNet, String>,
    /// Zones with their servers.
    pub zones: Vec<ZoneSpec>,
    /// Behaviour of DNS servers, by address or name.
    pub servers: BTreeMap<String, ServerWords>,
    /// What the path to port 53 of everybody loses.
    pub path: PathSpec,
    /// Real server programs at the places of scripted servers, resolvers and hosts: by the
    /// address or name of a server, the address of a resolver, or `192.0.2.1:443` of a host.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub software: BTreeMap<String, Software>,
    /// Recursive resolvers; every check asks each of them.
    pub resolvers: Vec<ResolverSpec>,
    /// What answers on addresses of services.
    pub hosts: Vec<HostSpec>,
    /// Client certificates, by the name of their file without `.pem`.
    pub client_certs: BTreeMap<String, ClientCertSpec>,
    /// NS sets at parents that differ from the zone's own servers, by apex.
    pub delegation: BTreeMap<String, Delegation>,
    /// Addresses that unbound clients in the box dial from, at most one for each family.
    #[schemars(with = "Vec<String>")]
    pub vantage: Vec<IpAddr>,
    /// Vantages that agents stand at, each with addresses of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vantages: Vec<VantageSpec>,
    /// A delay of every scripted server that has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
}

/// A zone. Several may have the same apex if all but one are `undelegated`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneSpec {
    /// How the scenario speaks of it.
    pub name: String,
    /// Its apex.
    pub apex: String,
    /// Its name servers: name to address or list of addresses.
    pub servers: BTreeMap<String, Addresses>,
    /// Records as lines of a zone file, `OWNER [TTL] TYPE DATA`, relative to the apex.
    #[serde(default)]
    pub records: Vec<String>,
    /// Records by vantage, in place of the sets of the same owner and type: what its own packets,
    /// and the resolvers that are `from` it alone, are answered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub records_for: BTreeMap<String, Vec<String>>,
    /// No parent delegates to it.
    #[serde(default)]
    pub undelegated: bool,
    /// Signed with DNSSEC. The parent has the DS record of its key until `set: ds` says something
    /// else.
    #[serde(default)]
    pub signed: bool,
    /// DNSSEC algorithm by its number; 13 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// One key, or a key-signing and a zone-signing key, which is usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeysWord>,
    /// How often the key-signing key was rolled; the DS set at the parent stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ksk_rolls: Option<u32>,
    /// How often the zone-signing key was rolled; given, the keys before and after it are
    /// published beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zsk_rolls: Option<u32>,
    /// Does the signer run?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerWord>,
    /// From when to when signatures hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<SignaturesSpec>,
    /// Records put in place of the set of the same owner and type after it was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altered: Option<Vec<String>>,
    /// Sets whose signatures are missing, each `OWNER` or `OWNER TYPE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_rrsig: Option<Vec<String>>,
    /// How it proves that something does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
    /// What is wrong with these proofs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial_fault: Option<DenialFault>,
    /// So many more keys with the tag of each real one, which sign nothing (KeyTrap, CVE-2023-50387).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoy_keys: Option<u16>,
    /// CDS and CDNSKEY records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cds: Option<CdsWord>,
    /// The NS set in the zone itself, where it is not the list of its servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns: Option<Vec<String>>,
    /// TTL of the NS sets at parent and child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns_ttl: Option<Span>,
    /// Serial of the SOA record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// The other fields of the SOA record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soa: Option<SoaSpec>,
    /// Glue at the parent, where it is not the servers' own addresses; an empty list removes it.
    #[serde(default)]
    pub glue: BTreeMap<String, Addresses>,
}

/// What `set: zones` may change of a zone; what is left out stays. A change of records without
/// a serial raises the serial by one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ZonePatch {
    /// Name servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<BTreeMap<String, Addresses>>,
    /// All records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Vec<String>>,
    /// Records by vantage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records_for: Option<BTreeMap<String, Vec<String>>>,
    /// Delegated or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undelegated: Option<bool>,
    /// Signed or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<bool>,
    /// DNSSEC algorithm by its number; 13 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// One key, or a key-signing and a zone-signing key, which is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeysWord>,
    /// How often the key-signing key was rolled; the DS set at the parent stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ksk_rolls: Option<u32>,
    /// How often the zone-signing key was rolled; given, the keys before and after it are
    /// published beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zsk_rolls: Option<u32>,
    /// Does the signer run?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerWord>,
    /// From when to when signatures hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures: Option<SignaturesSpec>,
    /// Records put in place of the set of the same owner and type after it was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub altered: Option<Vec<String>>,
    /// Sets whose signatures are missing, each `OWNER` or `OWNER TYPE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_rrsig: Option<Vec<String>>,
    /// How it proves that something does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
    /// What is wrong with these proofs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denial_fault: Option<DenialFault>,
    /// So many more keys with the tag of each real one, which sign nothing (KeyTrap, CVE-2023-50387).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoy_keys: Option<u16>,
    /// CDS and CDNSKEY records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cds: Option<CdsWord>,
    /// The NS set in the zone itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns: Option<Vec<String>>,
    /// TTL of the NS sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_ttl: Option<Span>,
    /// Serial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<u32>,
    /// The other fields of the SOA record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soa: Option<SoaSpec>,
    /// Glue at the parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glue: Option<BTreeMap<String, Addresses>>,
}

/// Timers of a SOA record (RFC 1035 section 3.3.13).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SoaSpec {
    /// Primary server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mname: Option<String>,
    /// Mailbox, as a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rname: Option<String>,
    /// Refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Span>,
    /// Retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Span>,
    /// Expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire: Option<Span>,
    /// TTL of negative answers (RFC 2308).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Span>,
}

/// A recursive resolver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolverSpec {
    /// Its address; `tls://ADDRESS[#NAME]` for DNS over TLS, `https://NAME/PATH@ADDRESS` for DNS
    /// over HTTPS. Checks name it so.
    #[schemars(with = "String")]
    pub address: ResolverPlace,
    /// Does it keep answers for their TTL?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// How long before the first step it filled its cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
    /// Does it validate DNSSEC?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validates: Option<bool>,
    /// Does it speak EDNS?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edns: Option<Edns>,
    /// How it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// What it gets wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bug: Option<Bug>,
    /// How long it takes to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// What it sends instead of answers, or around them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostile: Option<Hostile>,
    /// Does it fail where the question does not come back in the case that it was sent in (0x20)?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks_case: Option<bool>,
    /// Over TLS or HTTPS: the certificate; one for its name that is well if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Over HTTPS: what is answered instead of DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSpec>,
    /// Over TLS or HTTPS: what becomes of connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<TcpWord>,
    /// Does it go on with what it kept when no name server answers (RFC 8767)?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serve_stale: Option<bool>,
    /// The least TTL by which it keeps answers, whatever the zone says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_floor: Option<Span>,
    /// Forged answers that arrive before its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injected: Option<InjectedSpec>,
    /// It is the vantage's own, from its `resolv.conf`; of those that it is `from`, if any are named.
    #[serde(default)]
    pub system: bool,
    /// The vantages that ask it, `local` among them; all of them if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
}

/// One port of one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostSpec {
    /// The address, or a list of addresses that are all alike.
    pub address: Addresses,
    /// The port.
    #[serde(default = "https_port")]
    pub port: u16,
    /// What becomes of connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpWord>,
    /// The certificate; without it, no TLS is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// The response; without it, 200 with a small body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSpec>,
    /// What stands there in the place of TLS and HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerWord>,
    /// What a share of the connections meets instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sometimes: Option<ShareSpec>,
    /// How it speaks HTTP/2; without it, it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub h2: Option<H2Word>,
    /// Bytes as they are, instead of a response over HTTP/1.1; `http` ends them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<RawSpec>,
    /// The largest packet, in bytes, that comes from it to its clients: segments that do not fit
    /// are lost without a word. 1500 mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_mtu: Option<u16>,
    /// Does the address answer echo requests?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpWord>,
    /// How long it takes before each of its answers, TLS and HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
}

fn https_port() -> u16 {
    443
}

/// What `set: hosts` may change of a host; what is left out stays, also inside `tls` and `http`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HostPatch {
    /// What becomes of connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpWord>,
    /// The certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// The response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSpec>,
    /// What stands there in the place of TLS and HTTP; `none` puts them back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerWord>,
    /// What a share of the connections meets instead; a share of 0 ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sometimes: Option<ShareSpec>,
    /// How it speaks HTTP/2; without it, it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2: Option<H2Word>,
    /// Bytes as they are, instead of a response over HTTP/1.1; `http` ends them again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<RawSpec>,
    /// The largest packet, in bytes, that comes from it to its clients: segments that do not fit
    /// are lost without a word. 1500 mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_mtu: Option<u16>,
    /// Does the address answer echo requests?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp: Option<IcmpWord>,
    /// How long it takes before each answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
}

/// A host's certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSpec {
    /// Names in the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// Begin of validity; 30 days ago if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Moment>,
    /// End of validity; in 60 days if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Moment>,
    /// Who signs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Issuer>,
    /// Names of another certificate, the server's default: shown to clients that send no server
    /// name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_sni: Option<Vec<String>>,
    /// Versions that it speaks; both if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<TlsVersion>>,
    /// Client certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuthSpec>,
    /// ClientHellos longer than this many bytes are dropped, and so is what follows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hello_max: Option<usize>,
    /// Session tickets of TLS 1.3; 2 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tickets: Option<usize>,
    /// Application protocols that it takes (ALPN); `http/1.1` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<Vec<String>>,
    /// What is wrong, or odd, with the certificate and what goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateSpec>,
    /// Does the server take up sessions from before a change of its certificate?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumes: Option<bool>,
}

impl TlsSpec {
    /// With what another gives put over it.
    pub(crate) fn patched(self, new: Self) -> Self {
        Self {
            names: new.names.or(self.names),
            not_before: new.not_before.or(self.not_before),
            not_after: new.not_after.or(self.not_after),
            issuer: new.issuer.or(self.issuer),
            without_sni: new.without_sni.or(self.without_sni),
            versions: new.versions.or(self.versions),
            client_auth: new.client_auth.or(self.client_auth),
            hello_max: new.hello_max.or(self.hello_max),
            certificate: match (new.certificate, self.certificate) {
                (Some(new), Some(old)) => Some(new.over(old)),
                (new, old) => new.or(old),
            },
            resumes: new.resumes.or(self.resumes),
            tickets: new.tickets.or(self.tickets),
            alpn: new.alpn.or(self.alpn),
        }
    }
}

/// The JSON Schema of scenario files.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Spec).to_value()
}
