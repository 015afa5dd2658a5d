//! What a service entry aims at, as far as the lab has to know.

use bellwether_model::Target;
use serde_json::Value;

/// The target of a service's first check, as the command line takes it.
pub(crate) fn target_text(service: &Value) -> Option<String> {
    if let Some(url) = service["url"].as_str() {
        return Some(url.to_owned());
    }
    let check = service["checks"].as_array()?.first()?;
    let address = |kind: &str| check[kind]["address"].as_str();
    if let Some(url) = check["http"]["url"].as_str() {
        return Some(url.to_owned());
    }
    for kind in ["tls", "tcp"] {
        if let Some(address) = address(kind) {
            return Some(format!("{kind}://{address}"));
        }
    }
    if let Some(name) = check["dns"]["name"].as_str() {
        let rtype = check["dns"]["type"].as_str();
        let query = rtype.map(|t| format!("?type={t}")).unwrap_or_default();
        return Some(format!("dns://{name}{query}"));
    }
    let icmp = &check["icmp"];
    icmp.as_str()
        .or_else(|| icmp["address"].as_str())
        .map(ToOwned::to_owned)
}

/// The host name that a service's first check resolves.
pub(crate) fn target_host(service: &Value) -> Option<String> {
    let target: Target = target_text(service)?.parse().ok()?;
    target.name().map(|name| name.without_dot().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_service_entries() {
        let text = |json: &str| target_text(&serde_json::from_str(json).unwrap()).unwrap();
        assert_eq!(text(r#"{"url":"https://a.test/"}"#), "https://a.test/");
        let dns = r#"{"checks":[{"name":"x","dns":{"name":"a.test","type":"MX"}}]}"#;
        assert_eq!(text(dns), "dns://a.test?type=MX");
        let tls = r#"{"checks":[{"name":"x","tls":{"address":"a.test:5671"}}]}"#;
        assert_eq!(text(tls), "tls://a.test:5671");
    }
}
