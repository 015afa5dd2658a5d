//! By what URL a heartbeat is spoken of: whoever knows it may report, and nobody can guess it.
//!
//! Ids that the configuration does not give are made of a secret of this hub and the heartbeat's name:
//! they survive restarts, and who knows one of them knows none of the others. Those that are looked for
//! are looked up by their digest, so that the time which that takes tells nothing of them.

use std::collections::HashMap;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bellwether_config::telling::Heartbeat;
use sha2::{Digest as _, Sha256};

/// Longest id that is looked at, bytes: a slug has 100 at most.
const ID_LEN_MAX: usize = 128;

/// The secret of a hub, of which ids are made.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Secret {
    /// From random bytes.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// From what was kept of one.
    #[must_use]
    pub fn kept(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes, to be kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// Sixteen bytes for a purpose and a name.
    fn derive(&self, purpose: &str, name: &str) -> [u8; 16] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, format!("{purpose}\0{name}").as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&tag.as_ref()[..16]);
        bytes
    }

    /// The UUID of a heartbeat, in the shape of a random one (RFC 9562 section 5.4), which all clients
    /// take.
    fn uuid(&self, name: &str) -> String {
        let mut bytes = self.derive("uuid", name);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        parts.join("-")
    }

    /// The key before slugs: one for all heartbeats.
    #[must_use]
    pub fn ping_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.derive("ping key", ""))
    }
}

/// The paths under which a heartbeat reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// By UUID, as clients of healthchecks know it.
    pub ping: String,
    /// By ping key and slug, as they know it too; none where the name gives no slug, or another
    /// heartbeat has the same.
    pub slug: Option<String>,
    /// As push monitors of Uptime Kuma know it.
    pub push: String,
}

/// What a URL says of whom it speaks.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// `/ping/<uuid>`.
    Uuid(&'a str),
    /// `/ping/<ping-key>/<slug>`.
    Slug(&'a str, &'a str),
    /// `/api/push/<token>`.
    Push(&'a str),
}

/// Whom it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This heartbeat.
    One(String),
    /// Several have this slug.
    Several,
    /// Nobody.
    Nobody,
}

/// Which id means which heartbeat.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// By the digest of an id; `None` for several.
    known: HashMap<[u8; 32], Option<String>>,
}

fn digest(kind: &str, id: &str) -> [u8; 32] {
    Sha256::digest(format!("{kind}\0{id}").as_bytes()).into()
}

/// The id of a slug, with the key before it.
fn slugged(key: &str, slug: &str) -> [u8; 32] {
    digest("slug", &format!("{key}/{slug}"))
}

fn uuid_of(secret: &Secret, heartbeat: &Heartbeat) -> String {
    let given = heartbeat.uuid.as_ref();
    given.map_or_else(|| secret.uuid(&heartbeat.name), |u| u.expose().to_owned())
}

impl Ids {
    pub(super) fn of(secret: &Secret, heartbeats: &[Heartbeat]) -> Self {
        let key = secret.ping_key();
        let mut ids = Self::default();
        for heartbeat in heartbeats {
            let uuid = uuid_of(secret, heartbeat);
            ids.add(digest("push", &uuid.replace('-', "")), &heartbeat.name);
            ids.add(digest("push", &uuid), &heartbeat.name);
            ids.add(digest("uuid", &uuid), &heartbeat.name);
            if let Some(token) = &heartbeat.token {
                ids.add(digest("push", token.expose()), &heartbeat.name);
            }
            let slug = heartbeat.slug();
            if !slug.is_empty() {
                ids.add(slugged(&key, &slug), &heartbeat.name);
            }
        }
        ids
    }

    fn add(&mut self, id: [u8; 32], name: &str) {
        let known = self
            .known
            .entry(id)
            .or_insert_with(|| Some(name.to_owned()));
        if known.as_deref() != Some(name) {
            *known = None;
        }
    }

    pub(super) fn find(&self, asked: Asked<'_>) -> Found {
        let id = match asked {
            Asked::Uuid(uuid) if uuid.len() <= ID_LEN_MAX => {
                digest("uuid", &uuid.to_ascii_lowercase())
            }
            Asked::Slug(key, slug) if key.len() + slug.len() <= ID_LEN_MAX => slugged(key, slug),
            Asked::Push(token) if token.len() <= ID_LEN_MAX => digest("push", token),
            Asked::Uuid(_) | Asked::Slug(..) | Asked::Push(_) => return Found::Nobody,
        };
        match self.known.get(&id) {
            Some(Some(name)) => Found::One(name.clone()),
            Some(None) => Found::Several,
            None => Found::Nobody,
        }
    }

    /// The paths of a heartbeat.
    pub(super) fn paths(&self, secret: &Secret, heartbeat: &Heartbeat) -> Paths {
        let uuid = uuid_of(secret, heartbeat);
        let (key, slug) = (secret.ping_key(), heartbeat.slug());
        let is_plain = matches!(self.find(Asked::Slug(&key, &slug)), Found::One(_));
        let token = heartbeat.token.as_ref().map(|t| t.expose().to_owned());
        let token = token.unwrap_or_else(|| uuid.replace('-', ""));
        Paths {
            ping: format!("/ping/{uuid}"),
            slug: is_plain.then(|| format!("/ping/{key}/{slug}")),
            push: format!("/api/push/{token}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeats(text: &str) -> Vec<Heartbeat> {
        let text = format!("heartbeats: {text}");
        let config = bellwether_config::parse(&text, "b.yaml".as_ref()).unwrap();
        config.heartbeats
    }

    #[test]
    fn ids_are_stable_and_differ() {
        let all = heartbeats("[{ name: a, every: 1d }, { name: b, every: 1d }]");
        let paths = |byte: u8| {
            let secret = Secret::new([byte; 32]);
            let ids = Ids::of(&secret, &all);
            [0, 1].map(|n| ids.paths(&secret, &all[n]))
        };
        assert_eq!(paths(1), paths(1), "as after a restart");
        assert_ne!(paths(1)[0].ping, paths(1)[1].ping);
        assert_ne!(paths(1)[0].ping, paths(2)[0].ping);
        let [a, _] = paths(1);
        let uuid = a.ping.strip_prefix("/ping/").unwrap();
        assert!(uuid.split('-').map(str::len).eq([8, 4, 4, 4, 12]), "{uuid}");
        assert_eq!(&uuid[14..15], "4");
        assert!(a.slug.unwrap().ends_with("/a"));
    }

    #[test]
    fn old_ids_are_kept_and_those_of_two_are_nobodys() {
        let uuid = "123e4567-e89b-12d3-a456-426614174000";
        let all = heartbeats(&format!(
            "[{{ name: a, every: 1d, uuid: {uuid}, token: aB3dE6gH9j, slug: s }},
              {{ name: X y, every: 1d }}, {{ name: x Y, every: 1d }}]"
        ));
        let secret = Secret::new([7; 32]);
        let ids = Ids::of(&secret, &all);
        let a = Found::One("a".to_owned());
        let key = secret.ping_key();
        assert_eq!(ids.find(Asked::Uuid(uuid)), a);
        assert_eq!(ids.find(Asked::Uuid(&uuid.to_uppercase())), a);
        assert_eq!(ids.find(Asked::Push(&uuid.replace('-', ""))), a);
        assert_eq!(ids.find(Asked::Push("aB3dE6gH9j")), a);
        assert_eq!(ids.find(Asked::Slug(&key, "s")), a);
        assert_eq!(ids.find(Asked::Slug(&key, "x-y")), Found::Several);
        for asked in [
            Asked::Uuid("s"),
            Asked::Uuid(""),
            Asked::Uuid(&"1".repeat(10_000)),
            Asked::Push("s"),
            Asked::Push("ab3de6gh9j"),
            Asked::Slug("", "s"),
            Asked::Slug("key", "s"),
            Asked::Slug(&key, ""),
        ] {
            assert_eq!(ids.find(asked), Found::Nobody, "{asked:?}");
        }
        assert_eq!(ids.paths(&secret, &all[0]).push, "/api/push/aB3dE6gH9j");
        assert_eq!(ids.paths(&secret, &all[1]).slug, None);
    }
}
