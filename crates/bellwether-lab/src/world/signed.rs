//! From a zone's words about DNSSEC to how it is signed, and to the DS set of its parent.

use std::sync::Arc;

use domain::base::iana::Rtype;
use domain::base::rdata::ComposeRecordData;

use super::topology::{Declared, Mistake, is_registry, named};
use super::zone::{Name, Rr, record};
use crate::scenario::line::is_absolute;
use crate::scenario::{Algorithm, Denial, DsWords, KeysWord, Moment, SignaturesSpec, ZoneSpec};
use crate::sign::denial::unhex;
use crate::sign::key::{Key, Keys, Role};
use crate::sign::{Given, Pick, Signer, Signing};

/// The number of a key that no zone has.
const STRANGER: u32 = u32::MAX;
/// The root, as its keys are called.
const ROOT: &str = ".";

impl Declared {
    /// How a zone of the scenario is signed; `None` if it is not.
    pub(crate) fn signing(&self, spec: &ZoneSpec) -> Result<Option<Signing>, Mistake> {
        if !spec.signed {
            return Ok(None);
        }
        let apex = named(&spec.apex)?;
        let algorithm = spec.algorithm.unwrap_or_default();
        let key = |role, rolls| self.keys.key(&spec.name, role, rolls, algorithm);
        let ksk = self.ksk(spec);
        let zsk = match spec.keys.unwrap_or_default() {
            KeysWord::Split => key(Role::ZoneSigning, spec.zsk_rolls.unwrap_or(0)),
            KeysWord::Single => Arc::clone(&ksk),
        };
        let stranger = key(Role::KeySigning, STRANGER);
        let mut signing = Signing::new(ksk, zsk, stranger, self.signer(&spec.name));
        let SignaturesSpec {
            inception,
            expiration,
            only,
        } = spec.signatures.clone().unwrap_or_default();
        let picks = |texts: &Vec<String>| self.picks(texts, &apex);
        signing.given = Given {
            inception: inception.map(|at| self.second(at)),
            expiration: expiration.map(|at| self.second(at)),
            only: only.as_ref().map(picks).transpose()?,
        };
        if let Some(rolls) = spec.zsk_rolls {
            let around = [rolls.checked_sub(1), rolls.checked_add(1)].into_iter();
            let keys = around.flatten().map(|rolls| key(Role::ZoneSigning, rolls));
            signing.beside = keys.collect();
        }
        signing.denial = spec.denial.clone().unwrap_or_default();
        signing.fault = spec.denial_fault.unwrap_or_default();
        signing.decoy_keys = spec.decoy_keys.unwrap_or(0);
        signing.cds = spec.cds.unwrap_or_default();
        signing.without = picks(&spec.without_rrsig.clone().unwrap_or_default())?;
        for line in spec.altered.iter().flatten() {
            let rr = record(line, &apex, &self.tlds)
                .map_err(|e| Mistake::new(line, format!("zone `{}`: {e}", spec.name)))?;
            signing.altered.push(rr);
        }
        if let Denial::Nsec3(nsec3) = &signing.denial
            && let Some(salt) = nsec3.salt.as_ref().filter(|salt| unhex(salt).is_none())
        {
            let message = format!("zone `{}`: salt `{salt}` is not hexadecimal", spec.name);
            return Err(Mistake::new(salt, message));
        }
        Ok(Some(signing))
    }

    /// How the root and the top-level domains are signed, which every world has.
    pub(crate) fn registry(&self, apex: &Name) -> Signing {
        let label = apex.fmt_with_dot().to_string();
        let key = |role, rolls| self.keys.key(&label, role, rolls, Algorithm::default());
        let signer = Signer::Since(self.begun);
        let (ksk, zsk) = (key(Role::KeySigning, 0), key(Role::ZoneSigning, 0));
        Signing::new(ksk, zsk, key(Role::KeySigning, STRANGER), signer)
    }

    fn ksk(&self, spec: &ZoneSpec) -> Arc<Key> {
        let rolls = spec.ksk_rolls.unwrap_or(0);
        let algorithm = spec.algorithm.unwrap_or_default();
        self.keys
            .key(&spec.name, Role::KeySigning, rolls, algorithm)
    }

    /// When a zone of the scenario is signed.
    pub(crate) fn signer(&self, label: &str) -> Signer {
        match self.stopped.get(label) {
            Some(at) => Signer::Stopped(*at),
            None => Signer::Since(self.begun),
        }
    }

    fn second(&self, moment: Moment) -> i64 {
        let begun = jiff::Timestamp::from_second(self.begun).unwrap_or_default();
        moment.second(begun)
    }

    /// Sets of a zone: `OWNER` or `OWNER TYPE`.
    fn picks(&self, texts: &[String], apex: &Name) -> Result<Vec<Pick>, Mistake> {
        let pick = |text: &String| {
            let (owner, rtype) = match text.split_once(' ') {
                Some((owner, rtype)) => (owner, Some(rtype)),
                None => (text.as_str(), None),
            };
            let bad = || {
                let message = format!("`{text}` is no set; write `OWNER` or `OWNER TYPE`");
                Mistake::new(text, message)
            };
            let rtype = rtype.map(str::parse::<Rtype>).transpose();
            let absolute =
                owner.ends_with('.') || is_absolute(owner, self.tlds.iter().map(String::as_str));
            let owner = match owner {
                "@" => apex.clone(),
                _ if absolute => Name::bytes_from_str(owner).map_err(|_| bad())?,
                _ => {
                    let full = format!("{owner}.{}", apex.fmt_with_dot());
                    Name::bytes_from_str(&full).map_err(|_| bad())?
                }
            };
            let rtype = rtype.map_err(|_| bad())?;
            Ok(Pick { owner, rtype })
        };
        texts.iter().map(pick).collect()
    }

    /// The DS set of each signed zone that is delegated and has none yet. What stands there stays
    /// until it is set.
    pub(crate) fn publish_ds(&mut self) -> Result<(), Mistake> {
        for index in 0..self.zones.len() {
            let apex = named(&self.zones[index].apex)?;
            if self.ds.contains_key(&apex) {
                continue;
            }
            if let Some(spec) = self.zone_at(&apex).filter(|spec| spec.signed) {
                let text = ds_text(&apex, &self.ksk(spec));
                self.ds.insert(apex, vec![text]);
            }
        }
        Ok(())
    }

    /// Changes the DS set of an apex.
    pub(crate) fn set_ds(&mut self, apex: &str, words: &DsWords) -> Result<(), Mistake> {
        let name = named(apex)?;
        let records = match words {
            DsWords::Records(records) => records.clone(),
            DsWords::Right => {
                let key = match self.zone_at(&name) {
                    Some(spec) => spec.signed.then(|| self.ksk(spec)),
                    // The root has no parent that could hold its DS set.
                    None => {
                        (is_registry(&name) && !name.is_root()).then(|| self.registry(&name).ksk)
                    }
                };
                let missing = || Mistake::new(apex, format!("no zone `{apex}` is signed"));
                vec![ds_text(&name, &*key.ok_or_else(missing)?)]
            }
            DsWords::Wrong => {
                let spec = self.zone_at(&name);
                let label = spec.map_or_else(|| apex.to_owned(), |spec| spec.name.clone());
                let algorithm = spec.and_then(|spec| spec.algorithm).unwrap_or_default();
                let key = self.keys.key(&label, Role::KeySigning, STRANGER, algorithm);
                vec![ds_text(&name, &key)]
            }
        };
        self.ds.insert(name, records);
        Ok(())
    }

    /// The zone to which the world's parents lead.
    fn zone_at(&self, apex: &Name) -> Option<&ZoneSpec> {
        let mut all = self
            .zones
            .iter()
            .filter(|spec| named(&spec.apex).is_ok_and(|own| own == *apex));
        let names = self.delegation.get(apex).map(|(names, _)| names);
        let serves = |spec: &&ZoneSpec| {
            let hosts = spec.servers.keys().filter_map(|host| named(host).ok());
            names.is_some_and(|names| hosts.into_iter().any(|host| names.contains(&host)))
        };
        all.clone()
            .find(serves)
            .or_else(|| all.find(|spec| !spec.undelegated))
    }
}

/// The root's key as a trust anchor (formats.md section 2): a DNSKEY record of a zone file.
pub(crate) fn root_key(keys: &Keys) -> String {
    anchor(keys, 0)
}

/// A key that the root does not have, as a trust anchor.
pub(crate) fn other_root_key(keys: &Keys) -> String {
    anchor(keys, STRANGER)
}

fn anchor(keys: &Keys, generation: u32) -> String {
    let key = keys.key(ROOT, Role::KeySigning, generation, Algorithm::default());
    let dnskey = Rr::new(Name::root_bytes(), 172_800, key.dnskey().clone());
    format!(". 172800 IN DNSKEY {}\n", dnskey.data)
}

/// The digest of a key, as `KEYTAG ALGORITHM DIGESTTYPE DIGEST`.
pub(crate) fn ds_text(apex: &Name, key: &Key) -> String {
    let mut octets = Vec::new();
    // Writing to a vector cannot fail.
    let _ = key.ds(apex).compose_rdata(&mut octets);
    let hex: String = octets[4..].iter().map(|o| format!("{o:02X}")).collect();
    let algorithm = key.algorithm().to_int();
    format!("{} {algorithm} 2 {hex}", key.tag())
}
