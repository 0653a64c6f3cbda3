//! Whether a database is one that a service may work on: its schema, and that a commit is on disk.

use sqlx::migrate::Migrator;

use crate::{Store, StoreConfig, StoreError};

/// The migrations of this version.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!();

/// What a commit's being on disk rests on.
const DURABLE: [&str; 3] = ["fsync", "synchronous_commit", "full_page_writes"];

impl Store {
    /// Connects as a service does: to a database that was provisioned for it, and that keeps what it was given.
    ///
    /// # Errors
    /// When the database does not let us in, its schema is older than this version's or more than one newer, or a setting
    /// makes a commit less than durable.
    pub async fn open(service: &str, config: &StoreConfig) -> Result<Self, StoreError> {
        let store = Self::connect(service, config).await?;
        for setting in DURABLE {
            let found: String =
                sqlx::query_scalar("SELECT current_setting($1)").bind(setting).fetch_one(&store.pool).await?;
            if found == "off" {
                return Err(StoreError::NotDurable { setting, found });
            }
        }
        suits(store.schema().await?, newest())?;
        Ok(store)
    }

    /// The number of the schema: that of its last migration, none before the first.
    async fn schema(&self) -> Result<Option<i64>, StoreError> {
        let there: bool =
            sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&self.pool).await?;
        if !there {
            return Ok(None);
        }
        let last = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success");
        Ok(last.fetch_one(&self.pool).await?)
    }
}

/// The number of this version's schema.
fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// A service works on its own schema and on the next: the database is brought up to date first, then the services, one by
/// one. A migration therefore only adds; what nobody uses any more goes with a later one.
fn suits(found: Option<i64>, wanted: i64) -> Result<(), StoreError> {
    match found {
        None => Err(StoreError::NotProvisioned),
        Some(found) if found < wanted => Err(StoreError::SchemaTooOld { found, wanted }),
        Some(found) if found > wanted + 1 => Err(StoreError::SchemaTooNew { found, wanted }),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_schema_will_do_and_the_next() {
        assert!(matches!(suits(None, 7), Err(StoreError::NotProvisioned)));
        assert!(matches!(suits(Some(6), 7), Err(StoreError::SchemaTooOld { found: 6, wanted: 7 })));
        assert!(suits(Some(7), 7).is_ok() && suits(Some(8), 7).is_ok());
        assert!(matches!(suits(Some(9), 7), Err(StoreError::SchemaTooNew { found: 9, wanted: 7 })));
    }
}
