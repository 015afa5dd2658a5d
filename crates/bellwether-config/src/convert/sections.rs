//! Sections of the hub: where it listens, whom it trusts, where agents stand, how long data live.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bellwether_model::job::Control;
use bellwether_model::{DnsName, Resolver, ResolverAddress};
use ipnet::IpNet;

use super::expect::network;
use super::{AGE_MAX, Reading};
use crate::config::{
    AGENTS_LISTEN_DEFAULT, Access, Defaults, Hub, LISTEN_DEFAULT, Retention, RootHintsFrom,
    StoreChoice, StoreEngine, Trust, TrustAnchorFrom, VERSION, Vantage,
};
use crate::error::ConfigError;
use crate::place::At;
use crate::spec::{
    DefaultsSpec, HubSpec, ResolverSpec, RetentionSpec, StoreSpec, TrustSpec, VantageSpec,
};
use crate::units;

/// Shortest time that data are kept: a day file is unlinked as a whole.
const AGE_MIN: Duration = Duration::from_secs(86_400);

/// Least size of all data: less holds no day.
const SIZE_MIN: u64 = 16 << 20;

/// Largest AS number (RFC 6793).
const ASN_MAX: u64 = u32::MAX as u64;

impl Reading<'_> {
    pub(crate) fn version(&self, version: Option<At<u32>>) -> u32 {
        if let Some(version) = version
            && version.value != VERSION
        {
            let why = format!(
                "{} is unknown; this program reads version {VERSION}",
                version.value
            );
            self.keep::<()>(Err(ConfigError::value(version.place, "version", why)));
        }
        VERSION
    }

    pub(crate) fn hub(&self, spec: HubSpec) -> Hub {
        let HubSpec {
            listen,
            agents_listen,
            data_dir,
            store,
        } = spec;
        let StoreSpec {
            state,
            observations,
        } = store.unwrap_or_default();
        let listen = listen.and_then(|at| self.keep(self.listen("listen", LISTEN_DEFAULT, at)));
        let agents_listen = agents_listen
            .and_then(|at| self.keep(self.listen("agents_listen", AGENTS_LISTEN_DEFAULT, at)));
        Hub {
            listen: listen.unwrap_or(LISTEN_DEFAULT),
            agents_listen,
            data_dir: data_dir.and_then(|dir| self.keep(self.path("data_dir", dir))),
            store: StoreChoice {
                state: self.engine("state", state),
                observations: self.engine("observations", observations),
            },
        }
    }

    fn listen(
        &self,
        key: &str,
        usual: SocketAddr,
        listen: At<String>,
    ) -> Result<SocketAddr, ConfigError> {
        let listen = self.text(key, listen)?;
        listen.value.parse().map_err(|_| {
            let why = format!(
                "`{}` is no address with a port; write `{usual}`, or `[::]:{}`",
                listen.value,
                usual.port()
            );
            listen.bad(key, why)
        })
    }

    fn path(&self, key: &str, path: At<String>) -> Result<PathBuf, ConfigError> {
        let path = self.text(key, path)?;
        if path.value.is_empty() || path.value.contains('\0') {
            return Err(path.bad(key, "is no path"));
        }
        Ok(PathBuf::from(path.value))
    }

    /// The address of a database holds a password, so it is not repeated.
    fn engine(&self, key: &str, engine: Option<At<String>>) -> StoreEngine {
        let read = |engine: At<String>| {
            let engine = self.text(key, engine)?;
            match engine.value.split("://").next().unwrap_or_default() {
                "embedded" => Ok(StoreEngine::Embedded),
                other @ ("postgres" | "postgresql" | "clickhouse") => {
                    let why = format!(
                        "`{other}://` comes with a later version; this one has `embedded` only"
                    );
                    Err(engine.bad(key, why))
                }
                _ => Err(engine.bad(key, "is no store; write `embedded`")),
            }
        };
        engine
            .and_then(|engine| self.keep(read(engine)))
            .unwrap_or_default()
    }

    pub(crate) fn trust(&self, spec: TrustSpec) -> Trust {
        let TrustSpec {
            ca_files,
            root_hints,
            trust_anchor,
            asn_table,
        } = spec;
        let file = |key: &str, path: Option<At<String>>| {
            path.and_then(|path| self.keep(self.path(key, path)))
        };
        let is =
            |text: &Option<At<String>>, word: &str| text.as_ref().is_some_and(|t| t.value == word);
        if is(&root_hints, "none") {
            let place = root_hints.as_ref().map(|t| t.place).unwrap_or_default();
            let why = "without root hints no name is found; write `shipped`, or a file";
            self.keep::<()>(Err(ConfigError::value(place, "root_hints", why)));
        }
        Trust {
            ca_files: self.each(ca_files, |path| self.path("ca_files", path)),
            root_hints: match root_hints {
                hints if is(&hints, "shipped") => RootHintsFrom::Shipped,
                hints => {
                    file("root_hints", hints).map_or(RootHintsFrom::Shipped, RootHintsFrom::File)
                }
            },
            trust_anchor: match trust_anchor {
                anchor if is(&anchor, "shipped") => TrustAnchorFrom::Shipped,
                anchor if is(&anchor, "none") => TrustAnchorFrom::None,
                anchor => file("trust_anchor", anchor)
                    .map_or(TrustAnchorFrom::Shipped, TrustAnchorFrom::File),
            },
            asn_table: file("asn_table", asn_table),
        }
    }

    pub(crate) fn defaults(&self, spec: DefaultsSpec) -> Defaults {
        let DefaultsSpec {
            every,
            timeout,
            deep_every,
        } = spec;
        self.cadence(every, timeout, deep_every, Defaults::default())
    }

    pub(crate) fn vantage(&self, spec: VantageSpec) -> Option<Vantage> {
        let VantageSpec {
            name,
            region,
            network,
            access,
        } = spec;
        let name = self.keep(self.name(name));
        let region = region.map(|region| self.keep(self.word("region", region)));
        let network = network.map(|network| self.keep(asn(&network)));
        let access = access.map(|access| self.keep(access_of(&access)));
        Some(Vantage {
            name: name?,
            region: region.flatten(),
            network: network.flatten(),
            access: access.flatten(),
        })
    }

    /// A text that is not empty.
    pub(super) fn word(&self, key: &str, text: At<String>) -> Result<String, ConfigError> {
        let text = self.text(key, text)?;
        if text.value.trim().is_empty() {
            return Err(text.bad(key, "must not be empty"));
        }
        Ok(text.value)
    }

    pub(crate) fn resolver(&self, spec: ResolverSpec) -> Result<Resolver, ConfigError> {
        let ResolverSpec {
            name,
            address,
            server_name,
            from,
        } = spec;
        let name = self.name(name)?;
        let address = self.text("address", address)?;
        let parsed: Option<ResolverAddress> = match address.value.as_str() {
            "system" => None,
            text => Some(text.parse().map_err(|why| address.bad("address", why))?),
        };
        let server_name = server_name
            .map(|named| self.text("server_name", named))
            .transpose()?;
        let parsed = match (parsed, server_name) {
            (parsed, None) => parsed,
            (None, Some(named)) => {
                let why = "`system` has no certificate to verify; leave it out";
                return Err(named.bad("server_name", why));
            }
            (Some(parsed), Some(named)) => {
                let wanted =
                    DnsName::typed(&named.value).map_err(|e| named.bad("server_name", e))?;
                Some(
                    parsed
                        .named(wanted)
                        .map_err(|why| named.bad("server_name", why))?,
                )
            }
        };
        Ok(Resolver {
            name,
            address: parsed,
            from: from.into_iter().map(|vantage| vantage.value).collect(),
        })
    }

    pub(crate) fn controls(&self, spec: Vec<At<String>>) -> Vec<Control> {
        self.each(spec, |control| {
            let control = self.text("controls", control)?;
            if let Ok(address) = control.value.parse::<IpAddr>() {
                return Ok(Control::Address(address));
            }
            DnsName::typed(&control.value)
                .map(Control::Name)
                .map_err(|error| control.bad("controls", error))
        })
    }

    pub(crate) fn allow_networks(&self, spec: Vec<At<String>>) -> Vec<IpNet> {
        self.each(spec, |net| {
            network("allow_networks", &self.text("allow_networks", net)?)
        })
    }

    pub(crate) fn retention(&self, spec: RetentionSpec) -> Retention {
        let RetentionSpec {
            raw,
            rollups,
            max_size,
        } = spec;
        let shipped = Retention::default();
        let size = |size| {
            let size = self.text("max_size", size)?;
            match units::size(&size.value) {
                Ok(bytes) if bytes >= SIZE_MIN => Ok(bytes),
                Ok(_) => {
                    let least = units::show_size(SIZE_MIN);
                    let why = format!("`{}` is too small; at least {least}", size.value);
                    Err(size.bad("max_size", why))
                }
                Err(why) => Err(size.bad("max_size", why)),
            }
        };
        let bounds = (AGE_MIN, AGE_MAX);
        Retention {
            raw: self.span("raw", raw, bounds).unwrap_or(shipped.raw),
            rollups: self
                .span("rollups", rollups, bounds)
                .unwrap_or(shipped.rollups),
            max_size: max_size
                .and_then(|text| self.keep(size(text)))
                .unwrap_or(shipped.max_size),
        }
    }
}

/// `AS3320`.
fn asn(text: &At<String>) -> Result<u32, ConfigError> {
    let number = text.value.strip_prefix("AS");
    let number = number.and_then(|number| number.parse::<u64>().ok());
    match number
        .filter(|n| (1..=ASN_MAX).contains(n))
        .map(u32::try_from)
    {
        Some(Ok(number)) => Ok(number),
        _ => {
            let why = format!("`{}` is no AS number; write `AS3320`", text.value);
            Err(ConfigError::value(text.place, "network", why))
        }
    }
}

fn access_of(text: &At<String>) -> Result<Access, ConfigError> {
    match text.value.as_str() {
        "eyeball" => Ok(Access::Eyeball),
        "cloud" => Ok(Access::Cloud),
        "transit" => Ok(Access::Transit),
        other => {
            let why = format!("`{other}` is unknown; write eyeball, cloud or transit");
            Err(ConfigError::value(text.place, "access", why))
        }
    }
}
