//! The shape of what people write: `bellwether.yaml`, the services here.
//!
//! Every struct refuses keys that it does not know. Whatever may be complained about later
//! carries its place ([`At`]).
//!
//! - [`sections`]: all sections but `services:`

mod sections;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use sections::{
    DefaultsSpec, EscalationSpec, HeartbeatSpec, HubSpec, JiraSpec, MaintenanceSpec, ReceiverSpec,
    RetentionSpec, RouteSpec, SlackSpec, StatusGroupSpec, StatusPageSpec, StoreSpec, TrustSpec,
    VantageSpec,
};

use crate::place::At;
use crate::secret::Secret;

/// A file, or all files of a directory together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "bellwether.yaml")]
pub struct ConfigSpec {
    /// Version of the format: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u32>", range(min = 1, max = 1), extend("default" = 1))]
    pub version: Option<At<u32>>,
    /// Where the hub listens and keeps its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubSpec>,
    /// Whom to trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustSpec>,
    /// What checks inherit where neither they nor their service say otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defaults: Option<DefaultsSpec>,
    /// Where agents stand, besides the built-in `local`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vantages: Vec<At<VantageSpec>>,
    /// Resolvers to ask; left out: the system's, and for public names three public ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resolvers: Vec<At<ResolverSpec>>,
    /// What must work if the vantage works: names, resolved through each resolver and by our own
    /// iteration, and addresses, asked on port 53. `[]` switches this off; left out: names and
    /// addresses of the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controls: Option<Vec<At<String>>>,
    /// Networks that answers, redirects and the like may lead to, besides public addresses:
    /// `10.0.0.0/8`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_networks: Vec<At<String>>,
    /// What is watched.
    pub services: Vec<At<ServiceSpec>>,
    /// Who must report in time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heartbeats: Vec<At<HeartbeatSpec>>,
    /// Who can be told; everything critical goes to the first unless `route` says otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receivers: Vec<At<ReceiverSpec>>,
    /// Who is told what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<At<RouteSpec>>,
    /// When faults of some services are expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<At<MaintenanceSpec>>,
    /// What the public is shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status_pages: Vec<At<StatusPageSpec>>,
    /// How long data are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionSpec>,
}

/// A resolver to ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Resolver")]
pub struct ResolverSpec {
    /// Its name, unique.
    pub name: At<String>,
    /// Where it is: `9.9.9.9`, `9.9.9.9:5353`, `tls://9.9.9.9` (DNS over TLS),
    /// `https://dns.quad9.net/dns-query@9.9.9.9` (DNS over HTTPS, with the address behind the
    /// URL), or `system`.
    pub address: At<String>,
    /// The name that its certificate must have, where that is not in the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<At<String>>,
    /// The vantages that use it; all if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<At<String>>,
}

/// What users reach, with what was promised of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Service")]
pub struct ServiceSpec {
    /// Its name, unique.
    pub name: At<String>,
    /// Short for one check called `main` of this URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<At<String>>,
    /// What is asked of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<At<CheckSpec>>,
    /// Labels for routing notices.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Services whose incidents may explain this one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<At<String>>,
    /// How often its checks run, a number with its unit of time: `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::units::DURATION_PATTERN))]
    pub every: Option<At<String>>,
    /// How long one attempt may take, a number with its unit of time: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::units::DURATION_PATTERN))]
    pub timeout: Option<At<String>>,
    /// How often a deep trace is made besides on each failure or change, a number with its unit of
    /// time: `15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::units::DURATION_PATTERN))]
    pub deep_every: Option<At<String>>,
    /// What a healthy answer is like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<ExpectSpec>,
    /// What was promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promises: Option<PromisesSpec>,
}

/// A configured question: exactly one of `http`, `tcp`, `tls`, `dns`, `icmp`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Check")]
pub struct CheckSpec {
    /// Its name, unique in its service.
    pub name: At<String>,
    /// How often, a number with its unit of time: `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::units::DURATION_PATTERN))]
    pub every: Option<At<String>>,
    /// How long one attempt may take, a number with its unit of time: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::units::DURATION_PATTERN))]
    pub timeout: Option<At<String>>,
    /// How often a deep trace is made besides on each failure or change, a number with its unit of
    /// time: `15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::units::DURATION_PATTERN))]
    pub deep_every: Option<At<String>>,
    /// A request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSpec>,
    /// A connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<AddressSpec>,
    /// A handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// A question to the name servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsSpec>,
    /// An echo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<AddressSpec>,
    /// Connections to make to each address, 1 to 200, where a share of them is looked for; left
    /// out: one, and a few more where it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u32>", range(min = 1, max = 200))]
    pub tries: Option<At<u32>>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HttpCheck")]
pub struct HttpSpec {
    /// Where to: `https://` or `http://`.
    pub url: At<String>,
    /// The client certificate to show where the server asks for one: PEM with the certificate,
    /// those that lead to its root, and the private key; usually `${file:/path}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<At<Secret>>,
}

/// A handshake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TlsCheck")]
pub struct TlsSpec {
    /// `host:port`.
    pub address: At<String>,
    /// The client certificate to show where the server asks for one, as in `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<At<Secret>>,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AddressCheck")]
pub struct AddressSpec {
    /// `host:port`; `host` alone for an echo.
    pub address: At<String>,
}

/// A question to the name servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DnsCheck")]
pub struct DnsSpec {
    /// The name.
    pub name: At<String>,
    /// The record type; addresses if left out.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub rtype: Option<At<String>>,
    /// Record data that must be there, in zone-file form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<At<String>>,
}

/// What a healthy answer is like. What is not declared is not judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Expect")]
pub struct ExpectSpec {
    /// Healthy status codes; 200–399 if left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<At<StatusSpec>>,
    /// What the body must hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<At<BodySpec>>,
    /// Longest time for the whole exchange: `800ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::units::DURATION_PATTERN))]
    pub within: Option<At<String>>,
    /// A header by which every address that answers says what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleSpec>,
    /// Every name server that the delegation may name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub name_servers: Vec<At<String>>,
    /// Names whose answers are large (above 1,232 octets), for example of a TXT record set made for
    /// this: each resolver must bring them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub large_answers: Vec<LargeAnswerSpec>,
    /// Networks or addresses that answers must lie in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<At<String>>,
    /// `false`: healthy when every name server says that the name does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
}

/// A status, `200`, or a range, `"200-399"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusSpec {
    /// One.
    One(u64),
    /// A range as written.
    Range(String),
}

impl Serialize for StatusSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(status) => serializer.serialize_u64(*status),
            Self::Range(range) => serializer.serialize_str(range),
        }
    }
}

impl<'de> Deserialize<'de> for StatusSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = StatusSpec;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a status like 200 or a range like \"200-399\"")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<StatusSpec, E> {
                Ok(StatusSpec::One(value))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<StatusSpec, E> {
                u64::try_from(value)
                    .map(StatusSpec::One)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<StatusSpec, E> {
                Ok(StatusSpec::Range(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for StatusSpec {
    fn schema_name() -> Cow<'static, str> {
        "Status".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A status, or a range of them.",
            "oneOf": [
                { "type": "integer", "minimum": 100, "maximum": 999 },
                { "type": "string", "pattern": "^[1-9][0-9]{2}(-[1-9][0-9]{2})?$" }
            ]
        })
    }
}

/// What the body must hold: exactly one of the three.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Body")]
pub struct BodySpec {
    /// This text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<At<String>>,
    /// A match of this regular expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<At<String>>,
    /// JSON values by JSON Pointer or dotted path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<BTreeMap<String, serde_json::Value>>,
}

/// A response header with the value it must have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Role")]
pub struct RoleSpec {
    /// Header name.
    pub header: At<String>,
    /// Its value.
    pub value: At<String>,
}

/// A name whose answer is large.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LargeAnswer")]
pub struct LargeAnswerSpec {
    /// The name.
    pub name: At<String>,
    /// The record type.
    #[serde(rename = "type")]
    pub rtype: At<String>,
}

/// What was promised.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Promises")]
pub struct PromisesSpec {
    /// How long before its end a certificate is renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificatePromiseSpec>,
    /// How large answers may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerPromiseSpec>,
    /// Addresses are published before they are used; validated, and not judged by this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_contract: Option<AddressContractSpec>,
}

/// How long before its end a certificate is renewed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "CertificatePromise")]
pub struct CertificatePromiseSpec {
    /// Days that it must have left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_left: Option<u32>,
    /// Who is told when it is broken, a name of `receivers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tell: Option<At<String>>,
}

/// How large answers may be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "AnswerPromise")]
pub struct AnswerPromiseSpec {
    /// Above this many addresses: a warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warn_addresses: Option<u32>,
    /// Above this many addresses: a breach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_addresses: Option<u32>,
    /// Above this many bytes: a breach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u32>,
    /// Who is told when it is broken, a name of `receivers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tell: Option<At<String>>,
}

/// Addresses are published before they are used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AddressContract")]
pub struct AddressContractSpec {
    /// Where they are published.
    pub url: At<String>,
    /// Least time between publication and use: `14d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::units::DURATION_PATTERN))]
    pub notice: Option<At<String>>,
    /// Who is told when it is broken, a name of `receivers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tell: Option<At<String>>,
}
