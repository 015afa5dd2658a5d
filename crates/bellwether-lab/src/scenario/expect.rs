//! What a check step must find.

use bellwether_model::{Cause, FactKind, Layer, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// What a check step must find. What is left out is not compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectSpec {
    /// The verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The diagnosis's cause, or else that of the first warning; `null`: neither.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub cause: Option<Option<Cause>>,
    /// The layer of the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// Causes listed as consequences, among others.
    #[schemars(with = "Vec<String>")]
    pub consequences: Vec<Cause>,
    /// Facts that something was concluded from, among others.
    #[schemars(with = "Vec<String>")]
    pub facts: Vec<FactKind>,
    /// Who is affected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeExpect>,
    /// The diagnosis may not be surer than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence_at_most: Option<f64>,
    /// DNS queries sent may not be more than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries_at_most: Option<u32>,
    /// No root and no consequence besides those named, and no warning if no cause is named.
    pub nothing_else: bool,
}

/// Keys of a scope; each that is given equals as a set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScopeExpect {
    /// Vantages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vantages: Option<Vec<String>>,
    /// Resolvers, as asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolvers: Option<Vec<String>>,
    /// Name servers, `NAME@ADDRESS` or `NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_servers: Option<Vec<String>>,
    /// Addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<String>>,
    /// Address families.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub families: Option<Vec<String>>,
    /// Client profiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<Vec<String>>,
    /// Owners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owners: Option<Vec<String>>,
    /// The chance that a user's attempt fails, to two places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Since when, RFC 3339; `null` if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Keeps `null` apart from a key that is left out.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Cause>>, D::Error> {
    Option::<Cause>::deserialize(deserializer).map(Some)
}
