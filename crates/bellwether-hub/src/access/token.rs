//! Making and recognising tokens.
//!
//! A token is 256 random bits; only its SHA-256 is kept. That many bits cannot be guessed from
//! the hash, so no slow hash is needed, and a thief of the data directory holds nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bellwether_model::Digest;
use bellwether_store::{Change, StateStore, StoreError, Token};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::Scope;

/// What every token begins with, so that it is recognised where it leaks.
pub const PREFIX: &str = "bw_";

/// The name of the token that the first start makes.
pub const FIRST_NAME: &str = "admin";

/// How long the list of tokens is believed: a revoked token lives no longer, and requests one after
/// the other read the list once in that time. Those that come together when it is over each read it.
const BELIEVED_FOR: Duration = Duration::from_secs(1);

/// Longest token that is looked at, bytes: ours have 46.
const SECRET_LEN_MAX: usize = 256;

/// Makes a token. What is kept is the first, what its holder gets is the second, and is to be had
/// only here.
#[must_use]
pub fn mint(name: &str, scopes: &[Scope], now: Timestamp, random: [u8; 32]) -> (Token, String) {
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let token = Token {
        name: name.to_owned(),
        hash: hash(&secret),
        scopes: scopes.iter().map(|scope| scope.name().to_owned()).collect(),
        created: now,
        expires: None,
    };
    (token, secret)
}

/// Makes the first token, with every scope, if there is none at all. `None` where there is one:
/// then it was printed by an earlier start, and cannot be shown again.
///
/// # Errors
/// What the store says.
pub fn first_token(
    state: &dyn StateStore,
    now: Timestamp,
    random: [u8; 32],
) -> Result<Option<String>, StoreError> {
    let tokens = state.tokens()?;
    if !tokens.is_empty() {
        // The first token opens everything, also what did not exist when it was made.
        if let Some(first) = tokens.into_iter().find(is_of_former_version) {
            let scopes = Scope::ALL.map(|scope| scope.name().to_owned()).to_vec();
            state.commit(&[Change::Token(Token { scopes, ..first })])?;
        }
        return Ok(None);
    }
    let (token, secret) = mint(FIRST_NAME, &Scope::ALL, now, random);
    state.commit(&[Change::Token(token)])?;
    Ok(Some(secret))
}

/// Is it the first token, with every scope that there was before agents could stand elsewhere?
fn is_of_former_version(token: &Token) -> bool {
    let mut scopes = Scope::ALL.into_iter();
    let had = |scope: Scope| token.scopes.iter().any(|has| has == scope.name());
    token.name == FIRST_NAME && scopes.all(|scope| had(scope) != (scope == Scope::Agents))
}

/// The token that has this secret. Every one is compared, and each in constant time.
pub(super) fn find<'a>(tokens: &'a [Token], secret: &str, now: Timestamp) -> Option<&'a Token> {
    if secret.len() > SECRET_LEN_MAX {
        return None;
    }
    let given = hash(secret);
    let mut found = None;
    for token in tokens {
        let equal = verify_slices_are_equal(&token.hash.0, &given.0).is_ok();
        let alive = token.expires.is_none_or(|expires| now < expires);
        if equal && alive {
            found = Some(token);
        }
    }
    found
}

/// The tokens, as they were a moment ago.
#[derive(Default)]
pub(crate) struct Known(Mutex<Option<(Timestamp, Arc<Vec<Token>>)>>);

impl Known {
    /// The tokens, read again if what is known is older than [`BELIEVED_FOR`]. Where the store
    /// cannot be read, what was known goes on: who is to repair it must get in.
    ///
    /// # Errors
    /// The store cannot be read, and never could.
    pub(super) async fn tokens(
        &self,
        state: Arc<dyn StateStore>,
        now: Timestamp,
    ) -> Result<Arc<Vec<Token>>, StoreError> {
        let known = self.lock().clone();
        if let Some((at, tokens)) = &known
            && now >= *at
            && now.duration_since(*at).unsigned_abs() < BELIEVED_FOR
        {
            return Ok(Arc::clone(tokens));
        }
        let read = tokio::task::spawn_blocking(move || state.tokens()).await;
        let read = read.unwrap_or_else(|panic| Err(StoreError::Other(panic.to_string())));
        match (read, known) {
            (Ok(tokens), _) => {
                let tokens = Arc::new(tokens);
                *self.lock() = Some((now, Arc::clone(&tokens)));
                Ok(tokens)
            }
            (Err(error), Some((_, tokens))) => {
                tracing::error!(%error, "tokens cannot be read; those known go on");
                Ok(tokens)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Timestamp, Arc<Vec<Token>>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(secret: &str) -> Digest {
    Digest(Sha256::digest(secret.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    #[test]
    fn the_first_token_is_made_once_and_kept_as_a_hash() {
        let state = Memory::default();
        let now = Timestamp::UNIX_EPOCH;
        let secret = first_token(&state, now, [7; 32]).unwrap().unwrap();
        assert!(secret.starts_with(PREFIX) && secret.len() == 46, "{secret}");
        assert_eq!(first_token(&state, now, [8; 32]).unwrap(), None);
        let tokens = state.tokens().unwrap();
        assert!(!serde_json::to_string(&tokens).unwrap().contains(&secret));
        let found = find(&tokens, &secret, now).map(|token| token.name.as_str());
        assert_eq!(found, Some(FIRST_NAME));
        assert_eq!(find(&tokens, &secret[..45], now), None);
        assert_eq!(find(&tokens, "", now), None);
    }

    #[test]
    fn the_first_token_of_a_former_version_opens_what_is_new_too() {
        let state = Memory::default();
        let now = Timestamp::UNIX_EPOCH;
        let former = Scope::ALL[..4].to_vec();
        for (name, scopes) in [
            (FIRST_NAME, &former[..]),
            ("other", &former[..]),
            ("few", &former[..1]),
        ] {
            let (token, _) = mint(name, scopes, now, [7; 32]);
            state.commit(&[Change::Token(token)]).unwrap();
        }
        assert_eq!(first_token(&state, now, [8; 32]).unwrap(), None);
        let scopes = |name: &str| {
            let tokens = state.tokens().unwrap();
            tokens
                .iter()
                .find(|token| token.name == name)
                .unwrap()
                .scopes
                .len()
        };
        assert_eq!([FIRST_NAME, "other", "few"].map(scopes), [5, 4, 1]);
    }

    #[test]
    fn an_expired_token_is_none() {
        let now = Timestamp::UNIX_EPOCH;
        let (mut token, secret) = mint("a", &[Scope::Read], now, [1; 32]);
        token.expires = Some(now);
        assert_eq!(find(&[token], &secret, now), None);
    }
}
