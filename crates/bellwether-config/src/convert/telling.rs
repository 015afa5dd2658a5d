//! Sections of telling people: heartbeats, receivers, routes, maintenance, status pages.

use std::time::Duration;

use bellwether_model::DnsName;
use jiff::tz::TimeZone;

use super::{AGE_MAX, EVERY_MAX, EVERY_MIN, Reading};
use crate::error::{ConfigError, Problem};
use crate::nearest::nearest;
use crate::place::{At, Place};
use crate::secret::Secret;
use crate::spec::{
    EscalationSpec, HeartbeatSpec, JiraSpec, MaintenanceSpec, ReceiverSpec, RouteSpec, SlackSpec,
    StatusGroupSpec, StatusPageSpec,
};
use crate::telling::{
    CADENCE_DEFAULT, Cron, Due, Escalation, GRACE_DEFAULT, Heartbeat, Maintenance, Matcher,
    REPEAT_DEFAULT, Receiver, ReceiverKind, Route, StatusGroup, StatusPage, is_label,
};

/// Shortest time between two notices of one incident: below it they are noise.
const REPEAT_MIN: Duration = Duration::from_secs(60);

/// Longest maintenance: what is expected to fail for longer is not served.
const MAINTENANCE_MAX: Duration = Duration::from_secs(31 * 86_400);

/// Longest slug: it becomes part of a URL.
const SLUG_LEN_MAX: usize = 100;

/// Shortest push token: Uptime Kuma made them so long at first, and later longer.
const TOKEN_LEN_MIN: usize = 10;

/// Longest push token: what Uptime Kuma makes is half of it.
const TOKEN_LEN_MAX: usize = 64;

/// What a route hands down to those inside.
#[derive(Clone)]
struct Around {
    receiver: Option<String>,
    group_by: Vec<String>,
    repeat_interval: Duration,
}

impl Reading<'_> {
    pub(crate) fn heartbeat(&self, spec: At<HeartbeatSpec>) -> Option<Heartbeat> {
        let place = spec.place;
        let HeartbeatSpec {
            name,
            every,
            cron,
            time_zone,
            grace,
            max_run,
            slug,
            uuid,
            token,
        } = spec.value;
        let name = self.keep(self.name(name));
        let due = match (every, cron) {
            (Some(every), None) => {
                if let Some(zone) = time_zone {
                    let why = "is for `cron`; leave it out";
                    self.keep::<()>(Err(ConfigError::value(zone.place, "time_zone", why)));
                }
                let every = self.span("every", Some(every), (EVERY_MIN, EVERY_MAX * 12));
                every.map(Due::Every)
            }
            (None, Some(cron)) => self.cron(cron, time_zone).map(Due::Cron),
            _ => {
                let why = "a heartbeat needs exactly one of every, cron";
                self.lacks(ConfigError::value(place, "heartbeats", why))
            }
        };
        let grace = self
            .span("grace", grace, (Duration::ZERO, EVERY_MAX))
            .unwrap_or(GRACE_DEFAULT);
        let max_run = self.span("max_run", max_run, (EVERY_MIN, EVERY_MAX));
        let slug = slug.and_then(|slug| self.keep(slug_of(slug)));
        let uuid = uuid.and_then(|uuid| self.keep(self.uuid(uuid)));
        let token = token.and_then(|token| self.keep(self.token(token)));
        Some(Heartbeat {
            name: name?,
            due: due?,
            grace,
            max_run,
            slug,
            uuid,
            token,
        })
    }

    /// RFC 9562 section 4, in small letters. It is a secret, and is not said again.
    fn uuid(&self, uuid: At<Secret>) -> Result<Secret, ConfigError> {
        let place = uuid.place;
        let uuid = self.secret("uuid", uuid)?;
        let text = uuid.expose();
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        let is_hex = text.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
        if is_hex && lengths == [8, 4, 4, 4, 12] {
            return Ok(Secret::new(text.to_ascii_lowercase()));
        }
        let why = "is no UUID; write `123e4567-e89b-12d3-a456-426614174000`, as it stands behind `/ping/`";
        Err(ConfigError::value(place, "uuid", why))
    }

    fn token(&self, token: At<Secret>) -> Result<Secret, ConfigError> {
        let place = token.place;
        let token = self.secret("token", token)?;
        let text = token.expose();
        let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric());
        if is_plain && (TOKEN_LEN_MIN..=TOKEN_LEN_MAX).contains(&text.len()) {
            return Ok(token);
        }
        let why = format!(
            "is no push token; it has {TOKEN_LEN_MIN} to {TOKEN_LEN_MAX} letters and digits, as it stands behind `/api/push/`"
        );
        Err(ConfigError::value(place, "token", why))
    }

    fn cron(&self, pattern: At<String>, zone: Option<At<String>>) -> Option<Cron> {
        let zone = match zone {
            None => Some(TimeZone::UTC),
            Some(zone) => self.keep(time_zone(&zone)),
        };
        let cron = |zone| {
            Cron::new(&pattern.value, zone)
                .map_err(|why| ConfigError::value(pattern.place, "cron", why))
        };
        // The pattern is judged also where the zone is unknown.
        let read = self.keep(cron(zone.clone().unwrap_or(TimeZone::UTC)));
        zone.and(read)
    }

    pub(crate) fn receiver(&self, spec: At<ReceiverSpec>) -> Option<Receiver> {
        let place = spec.place;
        let ReceiverSpec { name, slack, jira } = spec.value;
        let name = self.keep(self.name(name));
        let kind = match (slack, jira) {
            (Some(SlackSpec { webhook }), None) => {
                let place = webhook.place;
                let webhook = self.keep(self.secret("webhook", webhook));
                let is_url = |w: &crate::Secret| {
                    w.expose().starts_with("https://") || w.expose().starts_with("http://")
                };
                let webhook = webhook.and_then(|webhook| {
                    if is_url(&webhook) {
                        return Some(webhook);
                    }
                    let why = "is no URL; it is not shown, since it is a secret";
                    self.keep(Err(ConfigError::value(place, "webhook", why)))
                });
                webhook.map(|webhook| ReceiverKind::Slack { webhook })
            }
            (None, Some(jira)) => self.jira(jira),
            _ => {
                let why = "a receiver needs exactly one of slack, jira";
                self.lacks(ConfigError::value(place, "receivers", why))
            }
        };
        Some(Receiver {
            name: name?,
            kind: kind?,
        })
    }

    fn jira(&self, spec: JiraSpec) -> Option<ReceiverKind> {
        let JiraSpec {
            url,
            project,
            token,
        } = spec;
        let url = self.keep(self.web_url("url", url));
        let project = self.keep(self.word("project", project));
        let token = self.keep(self.secret("token", token));
        Some(ReceiverKind::Jira {
            url: url?,
            project: project?,
            token: token?,
        })
    }

    /// The root of the tree of routes.
    pub(crate) fn route(&self, spec: At<RouteSpec>) -> Option<Route> {
        if let Some(matcher) = spec.value.matchers.first() {
            let why = "the root takes all incidents; write them in an entry of `routes:`";
            self.keep::<()>(Err(ConfigError::value(matcher.place, "matchers", why)));
        }
        if spec.value.receiver.is_none() {
            let problem = Problem::Missing {
                key: "receiver".to_owned(),
                of: "the route, which would lead to nobody".to_owned(),
                example: "`receiver: oncall`".to_owned(),
            };
            self.lacks::<()>(ConfigError::new(spec.place, problem));
        }
        let around = Around {
            receiver: None,
            group_by: Vec::new(),
            repeat_interval: REPEAT_DEFAULT,
        };
        self.branch(spec, &around)
    }

    fn branch(&self, spec: At<RouteSpec>, around: &Around) -> Option<Route> {
        let RouteSpec {
            matchers,
            receiver,
            group_by,
            repeat_interval,
            escalate,
            routes,
        } = spec.value;
        let matchers = self.each(matchers, |matcher| {
            let parsed: Result<Matcher, String> = matcher.value.parse();
            parsed.map_err(|why| ConfigError::value(matcher.place, "matchers", why))
        });
        let group_by = group_by.map(|all| {
            self.each(all, |label| match is_label(&label.value) {
                true => Ok(label.value),
                false => {
                    let why = format!("`{}` is no label", label.value);
                    Err(ConfigError::value(label.place, "group_by", why))
                }
            })
        });
        let repeat = self.span("repeat_interval", repeat_interval, (REPEAT_MIN, EVERY_MAX));
        let inside = Around {
            receiver: receiver
                .map(|r| r.value)
                .or_else(|| around.receiver.clone()),
            group_by: group_by.unwrap_or_else(|| around.group_by.clone()),
            repeat_interval: repeat.unwrap_or(around.repeat_interval),
        };
        let escalate = escalate.into_iter().filter_map(|step| {
            let EscalationSpec { after, receiver } = step;
            let after = self.span("after", Some(after), (Duration::ZERO, AGE_MAX))?;
            Some(Escalation {
                after,
                receiver: receiver.value,
            })
        });
        let escalate = escalate.collect();
        let routes = routes
            .into_iter()
            .filter_map(|route| self.branch(route, &inside))
            .collect();
        Some(Route {
            matchers,
            receiver: inside.receiver?,
            group_by: inside.group_by,
            repeat_interval: inside.repeat_interval,
            escalate,
            routes,
        })
    }

    pub(crate) fn maintenance(&self, spec: MaintenanceSpec) -> Option<Maintenance> {
        let MaintenanceSpec {
            name,
            services,
            cron,
            time_zone,
            lasts,
        } = spec;
        let place = name.place;
        let name = self.keep(self.name(name));
        self.some("services", &services, place);
        let begins = self.cron(cron, time_zone);
        let lasts = self.span("for", Some(lasts), (Duration::ZERO, MAINTENANCE_MAX));
        Some(Maintenance {
            name: name?,
            services: services.into_iter().map(|service| service.value).collect(),
            begins: begins?,
            lasts: lasts?,
        })
    }

    pub(crate) fn status_page(&self, spec: StatusPageSpec) -> Option<StatusPage> {
        let StatusPageSpec {
            name,
            host,
            groups,
            cadence,
        } = spec;
        let place = name.place;
        let name = self.keep(self.name(name));
        self.some("groups", &groups, place);
        let host = self.keep(self.host(host));
        let cadence = self.span("cadence", cadence, (REPEAT_MIN, EVERY_MAX));
        let names: Vec<At<String>> = groups.iter().map(|g| g.value.name.clone()).collect();
        super::known::once("group", &names, &mut self.noted.borrow_mut().problems);
        let groups = groups.into_iter().filter_map(|group| {
            let StatusGroupSpec { name, services } = group.value;
            let place = name.place;
            self.some("services", &services, place);
            Some(StatusGroup {
                name: self.keep(self.word("name", name))?,
                services: services.into_iter().map(|service| service.value).collect(),
            })
        });
        let groups = groups.collect();
        Some(StatusPage {
            name: name?,
            host: host?,
            groups,
            cadence: cadence.unwrap_or(CADENCE_DEFAULT),
        })
    }

    fn host(&self, host: At<String>) -> Result<String, ConfigError> {
        let host = self.text("host", host)?;
        let named = DnsName::typed(&host.value).map_err(|error| host.bad("host", error))?;
        Ok(named.without_dot().to_owned())
    }

    /// A list that must hold something.
    fn some<T>(&self, key: &str, list: &[T], place: Place) {
        if list.is_empty() {
            self.lacks::<()>(ConfigError::value(place, key, "names nothing"));
        }
    }
}

/// A name of the IANA database.
fn time_zone(zone: &At<String>) -> Result<TimeZone, ConfigError> {
    TimeZone::get(&zone.value).map_err(|_| {
        let known: Vec<String> = jiff::tz::db()
            .available()
            .map(|name| name.as_str().to_owned())
            .collect();
        let near = nearest(&zone.value, known.iter().map(String::as_str));
        let cure = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write one like `Europe/Berlin`, or `UTC`".to_owned(),
        };
        let why = format!("there is no time zone `{}`; {cure}", zone.value);
        ConfigError::value(zone.place, "time_zone", why)
    })
}

fn slug_of(slug: At<String>) -> Result<String, ConfigError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    let begins = |c: char| c.is_ascii_alphanumeric();
    if slug.value.chars().all(plain)
        && slug.value.starts_with(begins)
        && slug.value.len() <= SLUG_LEN_MAX
    {
        return Ok(slug.value);
    }
    let why = format!(
        "`{}` is no slug; use small letters, digits, `-` and `_`",
        slug.value
    );
    Err(ConfigError::value(slug.place, "slug", why))
}
