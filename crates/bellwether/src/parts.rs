//! Stand-ins for what other crates do not offer yet.

pub(crate) mod probe {
    use bellwether_model::job::{Control, RootHint};
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    pub(crate) const DEFAULT_RESOLVERS: [IpAddr; 3] = [
        IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)),
        IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)),
        IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    ];
    pub(crate) fn system_resolvers(_: &str) -> Vec<SocketAddr> {
        Vec::new()
    }
    pub(crate) fn default_controls() -> Vec<Control> {
        Vec::new()
    }
    pub(crate) fn shipped_hints() -> Vec<RootHint> {
        Vec::new()
    }
    pub(crate) fn parse_hints(_: &str) -> Result<Vec<RootHint>, String> {
        Err("not yet".to_owned())
    }
    pub(crate) fn parse_trust_anchor(_: &str) -> Result<Vec<()>, String> {
        Err("not yet".to_owned())
    }
    pub(crate) mod worker {
        use bellwether_model::{Observation, job::Job};
        pub(crate) struct Supervised {
            pub(crate) observations: Vec<Observation>,
            pub(crate) queries: u32,
        }
        pub(crate) async fn supervise(
            _: impl FnMut() -> tokio::process::Command,
            _: &Job,
            _: impl FnMut(&Observation),
        ) -> Supervised {
            Supervised {
                observations: Vec::new(),
                queries: 0,
            }
        }
        pub(crate) async fn serve() -> std::io::Result<()> {
            Ok(())
        }
    }
}
pub(crate) mod diagnose {
    use bellwether_model::report::*;
    use bellwether_model::*;
    pub(crate) struct Situation {
        pub(crate) context: Context,
        pub(crate) observations: Vec<Observation>,
    }
    pub(crate) struct Judged {
        pub(crate) verdict: Verdict,
        pub(crate) diagnosis: Option<Diagnosis>,
        pub(crate) findings: Vec<Finding>,
        pub(crate) layers: Vec<LayerReport>,
        pub(crate) controls: Vec<ControlReport>,
    }
    pub(crate) fn diagnose(_: &Situation) -> Judged {
        Judged {
            verdict: Verdict::Healthy,
            diagnosis: None,
            findings: vec![],
            layers: vec![],
            controls: vec![],
        }
    }
    pub(crate) fn baseline_of(_: &Report) -> Option<Baseline> {
        None
    }
    pub(crate) fn causes_with_rules() -> Vec<Cause> {
        Vec::new()
    }
}
pub(crate) fn lab_schema() -> serde_json::Value {
    serde_json::Value::Null
}
