//! Who may do what in the database: one role for each service, which may do what its statements do and nothing else.
//!
//! History is added to and never changed: no service may update or delete a row of what it has written down for ever. The
//! owner of the tables is the role of `tonghop provision`, as which no service runs.

use postgres_protocol::password::scram_sha_256;
use sqlx::{AssertSqlSafe, Executor as _, Postgres, Transaction};

use crate::{Store, StoreError};

/// Who connects to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Judges reports: knows what units reported before, and what was opened again.
    Validator,
    /// Counts reports.
    Aggregator,
    /// Answers questions.
    Query,
    /// Owns the tables and makes what services use.
    Provision,
    /// Looks at everything and changes nothing.
    Monitor,
}

use Role::{Aggregator, Monitor, Query, Validator};

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Validator, Self::Aggregator, Self::Query, Self::Provision, Self::Monitor];

    /// The service that has the role, as its directory of keys is named.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match self {
            Self::Validator => "validator",
            Self::Aggregator => "aggregator",
            Self::Query => "query",
            Self::Provision => "provision",
            Self::Monitor => "monitor",
        }
    }

    /// Its name in the database.
    #[must_use]
    pub fn name(self) -> String {
        format!("tonghop_{}", self.service())
    }

    /// How long a statement may take. Recomputing every total, and a migration, take as long as they take.
    const fn statement_timeout(self) -> &'static str {
        match self {
            Self::Validator | Self::Aggregator | Self::Query => "60s",
            Self::Monitor => "1h",
            Self::Provision => "0",
        }
    }
}

/// What services may do to which table; the monitor may read all of them. A test tries everything else.
const GRANTS: &[(&str, &[(Role, &str)])] = &[
    ("_sqlx_migrations", &[(Validator, READ), (Aggregator, READ), (Query, READ)]),
    ("catalogue_version", &[(Aggregator, READ)]),
    ("catalogue_file", &[(Aggregator, READ), (Query, READ)]),
    ("org_unit", &[(Aggregator, READ)]),
    ("recoding", &[(Aggregator, READ)]),
    ("data_set", &[(Aggregator, READ)]),
    ("cell", &[(Aggregator, READ)]),
    ("report", &[(Validator, READ), (Aggregator, CHANGE), (Query, READ)]),
    ("report_history", &[(Aggregator, APPEND), (Query, READ)]),
    ("submission", &[(Aggregator, APPEND), (Query, READ)]),
    ("total", &[(Aggregator, CHANGE), (Query, READ)]),
    ("partition_progress", &[(Aggregator, "SELECT, UPDATE"), (Query, READ)]),
    ("outbox", &[(Aggregator, "SELECT, INSERT, DELETE")]),
    ("quarantine", &[(Aggregator, APPEND)]),
    ("audit", &[(Aggregator, APPEND)]),
    ("reconciliation", &[(Aggregator, "SELECT, INSERT, UPDATE, DELETE")]),
    ("reopening", &[(Validator, READ), (Query, READ)]),
    ("probe", &[(Aggregator, CHANGE)]),
];

const READ: &str = "SELECT";
const APPEND: &str = "SELECT, INSERT";
const CHANGE: &str = "SELECT, INSERT, UPDATE";

impl Store {
    /// Makes the roles with these passwords, or gives them these passwords and the settings of this version. Only who may
    /// make roles can do this: the owner of the server, not a role of ours.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn provision_roles(&self, passwords: &[(Role, String)]) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        alone(&mut transaction).await?;
        let there = existing(&mut transaction).await?;
        for (role, password) in passwords {
            let name = role.name();
            if !there.contains(role) {
                run(&mut transaction, format!("CREATE ROLE {name}")).await?;
            }
            // What is sent is what the server keeps: the password itself must not stand in its log.
            let verifier = scram_sha_256(password.as_bytes());
            run(&mut transaction, format!("ALTER ROLE {name} LOGIN PASSWORD '{verifier}'")).await?;
            for (setting, value) in [
                ("statement_timeout", role.statement_timeout()),
                // A lock that is not to be had must not hold a partition for ever.
                ("lock_timeout", "15s"),
                ("idle_in_transaction_session_timeout", "60s"),
                // Nothing is looked up where somebody else may have put it.
                ("search_path", "public"),
            ] {
                run(&mut transaction, format!("ALTER ROLE {name} SET {setting} = '{value}'")).await?;
            }
        }
        let database: String =
            sqlx::query_scalar("SELECT quote_ident(current_database())").fetch_one(&mut *transaction).await?;
        let all = Role::ALL.map(Role::name).join(", ");
        let (provision, monitor, aggregator) = (Role::Provision.name(), Monitor.name(), Aggregator.name());
        for statement in [
            format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
            "REVOKE ALL ON SCHEMA public FROM PUBLIC".to_owned(),
            format!("GRANT CONNECT ON DATABASE {database} TO {all}"),
            format!("GRANT USAGE ON SCHEMA public TO {all}"),
            format!("GRANT CREATE ON SCHEMA public TO {provision}"),
            // Recomputing every total takes temporary tables.
            format!("GRANT TEMPORARY ON DATABASE {database} TO {provision}, {monitor}, {aggregator}"),
            // Who holds which lease, and how far a standby is behind, stands in the server's own views.
            format!("GRANT pg_read_all_stats TO {monitor}, {aggregator}"),
        ] {
            run(&mut transaction, statement).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Gives every role what it may do to each table of this version's schema, and takes everything else. Only the owner of
    /// the tables can do this. Where the roles were not made there is nobody to give anything to.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn grant(&self) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        alone(&mut transaction).await?;
        let there = existing(&mut transaction).await?;
        run(&mut transaction, "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC".to_owned()).await?;
        run(&mut transaction, "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC".to_owned()).await?;
        for role in [Validator, Aggregator, Query, Monitor].into_iter().filter(|role| there.contains(role)) {
            let name = role.name();
            run(&mut transaction, format!("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}")).await?;
            if role == Monitor {
                run(&mut transaction, format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")).await?;
            }
            if matches!(role, Monitor | Aggregator) {
                run(&mut transaction, format!("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {name}")).await?;
            }
            for (table, grants) in GRANTS {
                for (_, privileges) in grants.iter().filter(|(granted, _)| *granted == role) {
                    run(&mut transaction, format!("GRANT {privileges} ON {table} TO {name}")).await?;
                }
            }
        }
        Ok(transaction.commit().await?)
    }
}

/// Waits until nobody else provisions the database, and keeps others from it until the end of the transaction.
async fn alone(transaction: &mut Transaction<'_, Postgres>) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
        .bind(crate::lease::LOCK_CLASS)
        .bind(crate::lease::PROVISIONING)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn existing(transaction: &mut Transaction<'_, Postgres>) -> Result<Vec<Role>, StoreError> {
    let names: Vec<String> =
        sqlx::query_scalar("SELECT rolname::text FROM pg_roles").fetch_all(&mut **transaction).await?;
    Ok(Role::ALL.into_iter().filter(|role| names.contains(&role.name())).collect())
}

/// `statement` is made of names and words of this file alone.
async fn run(transaction: &mut Transaction<'_, Postgres>, statement: String) -> Result<(), StoreError> {
    transaction.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await?;
    Ok(())
}
