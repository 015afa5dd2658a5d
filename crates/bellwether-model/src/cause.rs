//! The cause taxonomy: stable, dotted codes, one documentation page each.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Layer;

macro_rules! causes {
    ($($name:ident = $code:literal, $definition:literal;)*) => {
        /// Why a service cannot be reached. The codes are public API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Cause {
            $(#[doc = concat!("`", $code, "`: ", $definition, ".")] $name,)*
            /// `unknown`: something is broken and no rule fires.
            Unknown,
        }

        impl Cause {
            /// Every cause of the taxonomy, in its order. `unknown` is not among them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The dotted code, for example `dns.delegation.wrong_ns`.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                    Self::Unknown => "unknown",
                }
            }

            /// What the code means, in one clause.
            #[must_use]
            pub fn definition(self) -> &'static str {
                match self {
                    $(Self::$name => $definition,)*
                    Self::Unknown => "something is broken and no rule explains it",
                }
            }
        }
    };
}

causes! {
    MonitorVantageOffline = "monitor.vantage_offline", "agent delivers nothing";
    MonitorVantageUplink = "monitor.vantage_uplink", "agent alive, its own access path bad";
    MonitorVantageResolver = "monitor.vantage_resolver", "the resolver configured at the vantage is bad";
    MonitorVantageIntercepted = "monitor.vantage_intercepted", "captive portal, TLS or DNS interception close to the vantage";
    MonitorClockSkew = "monitor.clock_skew", "vantage clock wrong";
    MonitorProbeHung = "monitor.probe_hung", "a check or scheduler stops making progress";
    MonitorCheckPoisoned = "monitor.check_poisoned", "one malformed input blocks or breaks others";
    MonitorCoverageGap = "monitor.coverage_gap", "known object (CT, DNS, LB pool) without a check";
    MonitorPipelineLag = "monitor.pipeline_lag", "results late or dropped between agent and core";
    MonitorNotifyFailed = "monitor.notify_failed", "incident exists, nobody provably told";
    MonitorStatusStale = "monitor.status_stale", "public status page old, wrong or unreachable";
    MonitorSharedFate = "monitor.shared_fate", "monitor/status/notify depends on the watched thing";
    MonitorFalseSignal = "monitor.false_signal", "our expectation is out of date or our metric lies";
    RegDomainExpired = "reg.domain_expired", "registration lapsed";
    RegHold = "reg.hold", "registry/registrar hold or suspension";
    RegNsHijack = "reg.ns_hijack", "unauthorised change of NS/DS/registrar";
    RegTldUnreachable = "reg.tld_unreachable", "parent zone's servers fail";
    RegTldBadData = "reg.tld_bad_data", "some/all parent servers serve wrong data";
    DnsDelegationWrongNs = "dns.delegation.wrong_ns", "parent NS lead to servers of another operator that answer with other data";
    DnsDelegationNsMismatch = "dns.delegation.ns_mismatch", "parent and child NS sets differ, data still agree";
    DnsDelegationLame = "dns.delegation.lame", "a listed NS is not authoritative";
    DnsDelegationUnresolvable = "dns.delegation.unresolvable", "NS host has no usable address, wrong/missing glue, is a CNAME, or depends on the zone itself (cycle)";
    DnsDelegationMissing = "dns.delegation.missing", "no delegation and no hold";
    DnsAuthUnresponsive = "dns.auth.unresponsive", "NS addresses do not answer (all or some, timeouts or SERVFAIL for all names)";
    DnsAuthStaleSecondary = "dns.auth.stale_secondary", "NS serves an older zone, or SERVFAIL once SOA expire has passed";
    DnsAuthBlankZone = "dns.auth.blank_zone", "NS authoritative for an empty/partial zone";
    DnsAuthProtocolBug = "dns.auth.protocol_bug", "wrong protocol behaviour";
    DnsZoneRecordMissing = "dns.zone.record_missing", "all NS agree that a needed RRset is absent/empty";
    DnsZoneRecordWrong = "dns.zone.record_wrong", "all NS agree on wrong data (address, CNAME loop/dangling, missing dot)";
    DnsSteeringStaleFailover = "dns.steering.stale_failover", "traffic manager acts on an old plan, a wrong pool, or oscillates";
    DnsSteeringDeadTarget = "dns.steering.dead_target", "answers include members that fail";
    DnsSteeringWrongView = "dns.steering.wrong_view", "client gets another region's or the internal view (split horizon)";
    DnsAnswerTooManyRecords = "dns.answer.too_many_records", "RRset count/size above policy, some resolvers fail";
    DnsTransportUdpLargeDropped = "dns.transport.udp_large_dropped", "big UDP answers or fragments lost on a path";
    DnsTransportPort53Filtered = "dns.transport.port53_filtered", "UDP or TCP 53 blocked or hijacked on a path";
    DnsResolverDown = "dns.resolver.down", "resolver silent/REFUSED/SERVFAIL for control names too";
    DnsResolverBug = "dns.resolver.bug", "resolver returns a wrong result for this name, or for a class of names (signed, large, one type)";
    DnsResolverStaleCache = "dns.resolver.stale_cache", "resolver serves old or negative data that authority no longer has";
    DnsResolverFiltered = "dns.resolver.filtered", "policy rewriting/blocking";
    DnsResolverSlow = "dns.resolver.slow", "correct but slow, quantised";
    DnsDnssecSigExpired = "dns.dnssec.sig_expired", "the signatures of a record set ended";
    DnsDnssecSigNotYetValid = "dns.dnssec.sig_not_yet_valid", "the signatures of a record set begin in the future";
    DnsDnssecDsMismatch = "dns.dnssec.ds_mismatch", "DS matches no usable DNSKEY (rollover, unsigned child, parent error)";
    DnsDnssecSigBad = "dns.dnssec.sig_bad", "signature missing or not verifying (all or some NS/types)";
    DnsDnssecDenialBroken = "dns.dnssec.denial_broken", "NSEC/NSEC3 wrong or absent";
    RouteWithdrawn = "route.withdrawn", "prefix not announced";
    RouteHijack = "route.hijack", "same or more-specific prefix from a foreign origin";
    RouteLeak = "route.leak", "legitimate origin, wrong path";
    RouteRpkiInvalid = "route.rpki_invalid", "valid announcement dropped by ROV";
    RouteBlackhole = "route.blackhole", "announced but not forwarded";
    IpOwnerUnexpected = "ip.owner_unexpected", "address in use belongs to someone else (reassigned, wrong pool)";
    IpBlockedByNetwork = "ip.blocked_by_network", "one network blocks these addresses";
    NetPathLoss = "net.path.loss", "packet loss or congestion on a path";
    NetPathLatency = "net.path.latency", "added delay/jitter";
    NetPathPmtuBlackhole = "net.path.pmtu_blackhole", "big packets vanish, no ICMP";
    NetPathEcmpPartial = "net.path.ecmp_partial", "some flow hashes die";
    NetPathV6Broken = "net.path.v6_broken", "IPv6 fails, IPv4 works";
    NetTcpRefused = "net.tcp.refused", "RST to SYN";
    NetTcpFiltered = "net.tcp.filtered", "SYN silently dropped or ICMP prohibited";
    NetTcpBacklogOverflow = "net.tcp.backlog_overflow", "listener queue full";
    NetTcpResetFlap = "net.tcp.reset_flap", "RSTs at a share of attempts";
    NetTcpMidstreamStall = "net.tcp.midstream_stall", "connection dies or stalls after start";
    TlsNameMismatch = "tls.name_mismatch", "right server, wrong certificate identity, incl. default certificate for an unknown SNI";
    TlsNegotiationFailed = "tls.negotiation_failed", "no common version/cipher/group/signature or ALPN";
    TlsHandshakeStall = "tls.handshake_stall", "TCP open, no/partial handshake";
    TlsClientCertRejected = "tls.client_cert_rejected", "mTLS refused (expired, unknown CA, unexpected request)";
    TlsIntercepted = "tls.intercepted", "third party terminates TLS on the path to the target";
    CertExpired = "cert.expired", "the certificate ended, by trusted time";
    CertNotYetValid = "cert.not_yet_valid", "the certificate begins in the future, by trusted time";
    CertChainIncomplete = "cert.chain_incomplete", "intermediate not sent";
    CertChainExpiredLink = "cert.chain_expired_link", "intermediate or cross-sign expired in the served chain";
    CertUntrustedRoot = "cert.untrusted_root", "anchor not in the profile's store, self-signed";
    CertRevoked = "cert.revoked", "revoked, truly or falsely, or about to be in bulk";
    CertRevocationUnavailable = "cert.revocation_unavailable", "OCSP/CRL slow or down, bad/missing staple";
    CertPolicyRejected = "cert.policy_rejected", "SHA-1, small key, missing SCTs, too-long life, EKU";
    CertMixedFleet = "cert.mixed_fleet", "endpoints serve different certificates/expiry";
    CertMalformed = "cert.malformed", "unparsable/ill-formed certificate";
    CaRenewalFailing = "ca.renewal_failing", "renewal due, not succeeding, or renewed but not served";
    CaValidationBlocked = "ca.validation_blocked", "CA cannot reach challenge (geo-block, DNS, CAA, rate limit)";
    HttpStatus5xx = "http.status_5xx", "origin/app answers errors";
    HttpOriginUnreachable = "http.origin_unreachable", "edge cannot reach origin";
    HttpWrongContent = "http.wrong_content", "2xx/3xx/4xx with wrong, empty or truncated body, wrong tenant, provider 404 template, redirect loop";
    HttpSlowFirstByte = "http.slow_first_byte", "server think time";
    HttpBlockedByPolicy = "http.blocked_by_policy", "WAF, rate limit, geo, bot or auth policy";
    HttpH2Broken = "http.h2_broken", "GOAWAY/RST/flow-control misbehaviour";
    HttpH3Unreachable = "http.h3_unreachable", "h3 advertised, QUIC fails";
    CdnPopDegraded = "cdn.pop_degraded", "one POP or the edge fabric fails";
    CdnBadCache = "cdn.bad_cache", "edge serves a stale, poisoned, cross-user or other backend's object";
    AppStepFailed = "app.step_failed", "a transaction step fails with healthy transport, first-party or third-party host; or a scheduled job missed or failed its heartbeat";
    PromiseIpRangeContract = "promise.ip_range_contract", "address in use not published, or published <14 days ago";
    PromiseAnswerPolicy = "promise.answer_policy", "answer size/TTL/subset rules broken";
    PromiseCertRotation = "promise.cert_rotation", "rotation deadline near, hosts not on new certificate/trust";
    PromiseStatusCadence = "promise.status_cadence", ">30 min without update in an open incident";
    PromiseRedundancy = "promise.redundancy", "NS/IPs share one prefix, AS, site, TLD or provider";
}

impl Cause {
    /// The layer that the code belongs to; `None` for `unknown`, whose layer is the failing one.
    #[must_use]
    pub fn layer(self) -> Option<Layer> {
        match self.code().split('.').next() {
            Some("monitor") => Some(Layer::Monitor),
            Some("reg") => Some(Layer::Reg),
            Some("dns") => Some(Layer::Dns),
            Some("route" | "ip") => Some(Layer::Route),
            Some("net") => Some(Layer::Net),
            Some("tls" | "cert" | "ca") => Some(Layer::Tls),
            Some("http" | "cdn") => Some(Layer::Http),
            Some("app") => Some(Layer::App),
            Some("promise") => Some(Layer::Promise),
            _ => None,
        }
    }

    /// The order of causes inside one layer, lowest first.
    ///
    /// For dns: delegation, then auth, dnssec, zone and steering, then answer and transport, then
    /// resolver; the other layers have one rank.
    #[must_use]
    pub fn rank(self) -> u8 {
        match self.code().split('.').nth(1) {
            Some("delegation") => 0,
            Some("auth" | "dnssec" | "zone" | "steering") => 1,
            Some("answer" | "transport") => 2,
            Some("resolver") => 3,
            _ => 0,
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

/// A text that is no cause code.
#[derive(Debug, thiserror::Error)]
#[error("unknown cause `{0}`")]
pub struct UnknownCause(pub String);

impl FromStr for Cause {
    type Err = UnknownCause;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .chain([Self::Unknown])
            .find(|cause| cause.code() == text)
            .ok_or_else(|| UnknownCause(text.to_owned()))
    }
}

impl Serialize for Cause {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_94_codes_each_with_a_layer() {
        assert_eq!(Cause::ALL.len(), 94);
        for cause in Cause::ALL {
            assert!(cause.layer().is_some(), "{cause} has no layer");
            assert_eq!(cause.code().parse::<Cause>().ok(), Some(*cause));
        }
    }

    #[test]
    fn codes_of_one_layer_with_another_first_word() {
        assert_eq!(Cause::IpOwnerUnexpected.layer(), Some(Layer::Route));
        assert_eq!(Cause::CertExpired.layer(), Some(Layer::Tls));
        assert_eq!(Cause::CdnBadCache.layer(), Some(Layer::Http));
    }
}
