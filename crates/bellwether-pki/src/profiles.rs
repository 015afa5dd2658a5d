//! The same chain as different clients see it.

use bellwether_model::tls::{CertProblem, ClientProfile, ProfileVerdict};

/// Where the best path ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// At some root.
    pub(crate) anchored: bool,
    /// At one that the operator gave.
    pub(crate) given: bool,
    /// Were any given?
    pub(crate) has_given: bool,
}

/// What each profile makes of a chain with these problems.
pub(crate) fn verdicts(problems: &[CertProblem], reach: Reach) -> Vec<ProfileVerdict> {
    let of = |profile: ClientProfile| ProfileVerdict {
        profile,
        refuses: problems
            .iter()
            .find(|problem| refuses(profile, problem))
            .map(words),
    };
    let mut all = vec![of(ClientProfile::Browser), of(ClientProfile::Openssl)];
    // A chain to a public root is no matter of the operator's own.
    if reach.has_given && (reach.given || !reach.anchored) {
        all.push(of(ClientProfile::OwnRoots));
    }
    all
}

/// Does this kind of client refuse a chain for that?
fn refuses(profile: ClientProfile, problem: &CertProblem) -> bool {
    let is_browser = profile == ClientProfile::Browser;
    match problem {
        // Browsers fetch what is missing, or remember it from other sites.
        CertProblem::ChainIncomplete { fetchable, .. } => !(is_browser && *fetchable),
        // Only browsers ask for proof of logging, and look at staples; OpenSSL follows 100.
        CertProblem::LongPath { .. }
        | CertProblem::NotLogged { .. }
        | CertProblem::Staple { .. }
        | CertProblem::Revoked { .. } => is_browser,
        CertProblem::Expired { .. }
        | CertProblem::NotYetValid { .. }
        | CertProblem::NameMismatch { .. }
        | CertProblem::UntrustedRoot { .. }
        | CertProblem::Policy { .. }
        | CertProblem::BadSignature { .. }
        | CertProblem::Malformed { .. }
        | CertProblem::Other { .. } => true,
    }
}

fn words(problem: &CertProblem) -> String {
    match problem {
        CertProblem::Expired { index: 0, .. } => "the certificate ended".to_owned(),
        CertProblem::Expired { .. } => "an intermediate certificate ended".to_owned(),
        CertProblem::NotYetValid { .. } => "a certificate has not begun".to_owned(),
        CertProblem::NameMismatch { .. } => "the certificate is for other names".to_owned(),
        CertProblem::UntrustedRoot { .. } => "no trusted root".to_owned(),
        CertProblem::ChainIncomplete { .. } => "an intermediate is not sent".to_owned(),
        CertProblem::Policy { reason, .. } => reason.clone(),
        CertProblem::LongPath { .. } => "too many intermediates".to_owned(),
        CertProblem::BadSignature { .. } => "a signature does not verify".to_owned(),
        CertProblem::Malformed { .. } => "a certificate cannot be parsed".to_owned(),
        CertProblem::NotLogged { .. } => "too few signed certificate timestamps".to_owned(),
        CertProblem::Staple { reason, .. } => reason.clone(),
        CertProblem::Revoked { .. } => "the certificate is revoked".to_owned(),
        CertProblem::Other { detail } => detail.clone(),
    }
}
