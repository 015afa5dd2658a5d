//! What both ends of a link are called, and the token that names the authority of both.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// The name in the hub's certificate, whatever it is dialled by: who the hub is is said by its
/// authority, which is its own, and not by a name that others give out.
pub const SERVER_NAME: &str = "hub.bellwether.internal";

/// The protocol inside TLS (ALPN, RFC 7301).
pub const ALPN: &[u8] = b"bellwether/1";

/// The port at which hubs listen for agents.
pub const PORT: u16 = 8401;

/// What a token begins with: whoever finds one knows what it is.
const TOKEN_HEAD: &str = "bwe_";

/// Characters of the secret of a token: 32 bytes in base64.
const SECRET_LEN: usize = 43;

/// What makes somebody an agent, once: `bwe_SECRET.AUTHORITY`, both in base64 for URLs.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolToken {
    /// What only the hub and whoever was given it know; said in `ToHub::Enrol`.
    pub secret: String,
    /// SHA-256 of the certificate of the hub's authority, DER: by it the agent knows the hub.
    pub authority: [u8; 32],
}

/// What was given is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token looks like `bwe_….…`, 91 characters in one piece")]
pub struct NoToken;

impl EnrolToken {
    /// A token of these random bytes, for agents of the hub with this authority (its certificate, DER).
    #[must_use]
    pub fn mint(random: [u8; 32], authority: &[u8]) -> Self {
        Self {
            secret: URL_SAFE_NO_PAD.encode(random),
            authority: fingerprint(authority),
        }
    }
}

impl std::fmt::Display for EnrolToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = URL_SAFE_NO_PAD.encode(self.authority);
        write!(f, "{TOKEN_HEAD}{}.{authority}", self.secret)
    }
}

/// Logs do not hold it.
impl std::fmt::Debug for EnrolToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EnrolToken(…)")
    }
}

impl std::str::FromStr for EnrolToken {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let inside = text.trim().strip_prefix(TOKEN_HEAD).ok_or(NoToken)?;
        let (secret, authority) = inside.split_once('.').ok_or(NoToken)?;
        let is_secret = secret.len() == SECRET_LEN && URL_SAFE_NO_PAD.decode(secret).is_ok();
        let authority = URL_SAFE_NO_PAD.decode(authority).map_err(|_| NoToken)?;
        let authority = authority.try_into().map_err(|_| NoToken)?;
        is_secret
            .then(|| Self {
                secret: secret.to_owned(),
                authority,
            })
            .ok_or(NoToken)
    }
}

/// By what a certificate (DER) is known.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_minted() {
        let token = EnrolToken::mint([7; 32], b"certificate");
        let text = token.to_string();
        assert_eq!(text.len(), 91);
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token));
        for cut in 0..text.len() {
            assert_eq!(text[..cut].parse::<EnrolToken>(), Err(NoToken), "{cut}");
        }
    }
}
