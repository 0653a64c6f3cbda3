//! The keys directory of a deployment: what `access` makes, and what the NATS servers are told of it.

use std::path::PathBuf;

use access::{
    Layout,
    keys::{self, KeysError},
};
use messaging::accounts::{self, ACCOUNTS, PARTNER_ACCOUNTS, PARTNER_EXPORTS, UnknownUser};
use time::OffsetDateTime;

/// Why the keys directory is not complete.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A key could not be made, or a file not be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// There is a key for somebody who may do nothing on NATS.
    #[error(transparent)]
    User(#[from] UnknownUser),
}

/// Makes every key that is not there, and the accounts of the NATS servers as this version wants them; what partners were
/// given stays. Safe to repeat, also by two at once. `names` are host names and addresses under which the servers are
/// reached, besides the local ones and their own.
///
/// Gives the files it wrote, relative to the directory.
///
/// # Errors
/// When a file cannot be read or written, or what is there does not fit together.
pub fn init(layout: &Layout, names: &[String], now: OffsetDateTime) -> Result<Vec<PathBuf>, InitError> {
    with_accounts(layout, keys::init(layout, names, now)?)
}

/// The same, and makes anew whatever certificate of a server or the operator an earlier authority signed.
///
/// # Errors
/// When a file cannot be read or written, or what is there does not fit together.
pub fn renew(layout: &Layout, names: &[String], now: OffsetDateTime) -> Result<Vec<PathBuf>, InitError> {
    with_accounts(layout, keys::renew(layout, names, now)?)
}

fn with_accounts(layout: &Layout, mut made: Vec<PathBuf>) -> Result<Vec<PathBuf>, InitError> {
    let users = keys::nats_users(layout).map_err(KeysError::from)?;
    let users = users.into_iter().map(|(name, nkey)| Ok((name.parse()?, nkey)));
    let users = users.collect::<Result<Vec<_>, UnknownUser>>()?;
    let nats = layout.of("nats");
    let partners = [PARTNER_EXPORTS, PARTNER_ACCOUNTS].into_iter().filter(|file| !nats.join(file).exists());
    for (file, text) in partners.map(|file| (file, String::new())).chain([(ACCOUNTS, accounts::accounts(&users))]) {
        if keys::put(&nats.join(file), &text).map_err(KeysError::from)? {
            made.push(PathBuf::from("nats").join(file));
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use runtime::{Clock as _, SystemClock};

    use super::*;

    #[test]
    fn accounts_are_brought_up_to_date_and_partners_stay() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path().join("keys"));
        let now = SystemClock.now();
        let made = init(&layout, &[], now).unwrap();
        assert!(made.contains(&PathBuf::from("nats/accounts.conf")), "{made:?}");
        let nats = layout.of("nats");
        let accounts = fs::read_to_string(nats.join(ACCOUNTS)).unwrap();
        for (name, nkey) in keys::nats_users(&layout).unwrap() {
            let seed = fs::read_to_string(layout.nats_seed(&name)).unwrap();
            assert!(accounts.contains(&format!("nkey: {nkey}")) && !accounts.contains(seed.trim()), "{accounts}");
        }
        assert_eq!(init(&layout, &[], now).unwrap(), Vec::<PathBuf>::new(), "nothing changes");

        fs::write(nats.join(ACCOUNTS), "of an older version").unwrap();
        fs::write(nats.join(PARTNER_ACCOUNTS), "# a partner").unwrap();
        assert_eq!(init(&layout, &[], now).unwrap(), [PathBuf::from("nats/accounts.conf")]);
        assert_eq!(fs::read_to_string(nats.join(ACCOUNTS)).unwrap(), accounts);
        assert_eq!(fs::read_to_string(nats.join(PARTNER_ACCOUNTS)).unwrap(), "# a partner");
    }
}
