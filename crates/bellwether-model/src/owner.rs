//! Who owns an address, by the operator's offline table.

use serde::{Deserialize, Serialize};

/// The origin AS and the owner of an address's prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Autonomous system number, if the table has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// The owner's name; may be empty.
    #[serde(default)]
    pub name: String,
    /// The prefix that matched, for example `192.0.2.0/24`.
    #[serde(default)]
    pub prefix: String,
}

impl Owner {
    /// The same operator: by number where both have one, else by name.
    #[must_use]
    pub fn same_operator(&self, other: &Self) -> bool {
        match (self.asn, other.asn) {
            (Some(a), Some(b)) => a == b,
            _ => self.name == other.name,
        }
    }
}

/// `AS64511 Foreign`.
impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.asn, self.name.as_str()) {
            (Some(asn), "") => write!(f, "AS{asn}"),
            (Some(asn), name) => write!(f, "AS{asn} {name}"),
            (None, name) => f.write_str(name),
        }
    }
}
