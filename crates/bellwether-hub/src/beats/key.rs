//! Where the secret of a hub is kept: in a file for the owner alone, as the authority's key is. What is
//! in the store is in every backup too, and whoever knows the secret may report in everybody's name.

use std::io;
use std::path::Path;

use bellwether_link::private;
use bellwether_store::{Change, StateStore, StoreError};

use super::Secret;

/// The file, in the data directory.
pub(super) const FILE: &str = "heartbeats.key";
/// The key in the store under which it was kept before.
const FORMER: &str = "heartbeats/secret";

/// The secret as it was left, or one of `random`.
///
/// # Errors
/// It cannot be read, or be kept.
pub(super) fn open(
    state: &dyn StateStore,
    data_dir: &Path,
    random: [u8; 32],
) -> Result<Secret, StoreError> {
    let path = data_dir.join(FILE);
    let failed = |error: io::Error| StoreError::Io {
        path: path.clone(),
        source: error.into(),
    };
    let former = state.checkpoint(FORMER)?.as_deref().and_then(Secret::kept);
    let found = match std::fs::read(&path) {
        Ok(bytes) => Some(Secret::kept(&bytes).ok_or_else(|| StoreError::Damaged {
            path: path.clone(),
            what: format!("{} bytes instead of 32", bytes.len()),
            cure: "put the file back from where secrets are kept, or remove it: URLs of heartbeats are others then",
        })?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let secret = match (found, &former) {
        (Some(found), _) => found,
        (None, former) => {
            let secret = former.clone().unwrap_or_else(|| Secret::new(random));
            private::write(&path, &secret.to_bytes()).map_err(failed)?;
            secret
        }
    };
    if former.is_some() {
        // Only now: should it have ended before, it is found again.
        let gone = Change::Checkpoint {
            key: FORMER.to_owned(),
            bytes: None,
        };
        state.commit(&[gone])?;
        tracing::info!(file = %path.display(), "the secret of heartbeats' URLs is kept beside the store now, and in no backup");
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use bellwether_store::embedded::{Embedded, Options};
    use jiff::Timestamp;

    use super::*;
    use crate::testing::Memory;

    fn bytes(secret: &Secret) -> Vec<u8> {
        secret.to_bytes()
    }

    #[test]
    fn p23_what_the_store_had_moves_out_of_it_and_out_of_backups() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let store = Embedded::open(&data, Options::new(Timestamp::UNIX_EPOCH)).unwrap();
        let former: [u8; 32] = std::array::from_fn(|n| 100 + u8::try_from(n).unwrap());
        let kept = Change::Checkpoint {
            key: FORMER.to_owned(),
            bytes: Some(former.to_vec()),
        };
        store.commit(&[kept]).unwrap();
        let holds = |to: &str| {
            let to = dir.path().join(to);
            store.backup(&to).unwrap();
            assert!(!to.join(FILE).exists());
            let state = std::fs::read(to.join("state.db")).unwrap();
            state.windows(32).any(|at| at == former)
        };
        assert!(holds("before"), "it is there to be found");
        for _ in 0..2 {
            let secret = open(&store, &data, [9; 32]).unwrap();
            assert_eq!(bytes(&secret), former, "URLs stay as they are");
        }
        assert_eq!(store.checkpoint(FORMER).unwrap(), None);
        assert!(!holds("after"));
        let mode = data.join(FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn it_moves_as_a_whole_or_not_at_all_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::default();
        let kept = Change::Checkpoint {
            key: FORMER.to_owned(),
            bytes: Some(vec![5; 32]),
        };
        memory.commit(&[kept]).unwrap();
        assert!(open(&memory, &dir.path().join("none"), [9; 32]).is_err());
        assert!(memory.checkpoint(FORMER).unwrap().is_some(), "still there");
        // It ended between the two.
        std::fs::write(dir.path().join(FILE), [5; 32]).unwrap();
        assert_eq!(bytes(&open(&memory, dir.path(), [9; 32]).unwrap()), [5; 32]);
        assert_eq!(memory.checkpoint(FORMER).unwrap(), None);
        std::fs::write(dir.path().join(FILE), [5; 31]).unwrap();
        let damaged = open(&memory, dir.path(), [9; 32]);
        assert!(
            matches!(damaged, Err(StoreError::Damaged { .. })),
            "{damaged:?}"
        );
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        assert_eq!(bytes(&open(&memory, dir.path(), [9; 32]).unwrap()), [9; 32]);
        assert_eq!(bytes(&open(&memory, dir.path(), [1; 32]).unwrap()), [9; 32]);
    }
}
