//! The table `reopening`: closed periods that were opened again.

use domain::{DataSetCode, OrgUnitCode, Period, Timestamp};
use sqlx::{Row as _, postgres::PgRow};
use time::OffsetDateTime;

use crate::{Store, StoreError};

/// A period that is to be opened again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reopen {
    /// The form.
    pub data_set: DataSetCode,
    /// The span.
    pub period: Period,
    /// The unit that may report again, with all units below it; none for all there are.
    pub org_unit: Option<OrgUnitCode>,
    /// The instant from which it is closed again.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who opens it.
    pub principal: String,
    /// When.
    pub opened_at: Timestamp,
}

/// A period that was opened again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reopening {
    /// A number to speak of it by.
    pub id: i64,
    /// The form.
    pub data_set: DataSetCode,
    /// The span.
    pub period: Period,
    /// The unit that may report again, with all units below it.
    pub org_unit: OrgUnitCode,
    /// The instant from which it is closed again.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who opened it.
    pub principal: String,
    /// When.
    pub opened_at: Timestamp,
}

impl Reopening {
    /// Whether a report that came in at an instant came while the period was open again.
    #[must_use]
    pub fn covers(&self, received_at: Timestamp) -> bool {
        self.opened_at <= received_at && received_at < self.until
    }
}

/// Why a period cannot be opened again.
#[derive(Debug, thiserror::Error)]
pub enum ReopenError {
    /// The current catalogue has no such form.
    #[error("the current catalogue has no data set {0}")]
    DataSet(DataSetCode),
    /// The form is reported for other periods.
    #[error("data set {data_set} is reported by {period_type}")]
    PeriodType {
        /// The form.
        data_set: DataSetCode,
        /// Its kind of period, by the name catalogue files have for it.
        period_type: String,
    },
    /// There was no such unit.
    #[error("no org unit had the code {0} on the last day of {1}")]
    OrgUnit(OrgUnitCode, Period),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ReopenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Opens a period again, and records by whom and why.
    ///
    /// # Errors
    /// When the current catalogue has not what it names, or the database fails.
    pub async fn reopen(&self, reopen: &Reopen) -> Result<Reopening, ReopenError> {
        let Reopen { data_set, period, org_unit, until, reason, principal, opened_at } = reopen;
        let mut transaction = self.pool.begin().await?;
        let form = sqlx::query(
            "SELECT data_set.period_type, data_set.catalogue_version, data_set.calendar FROM data_set
             JOIN catalogue_version AS catalogue ON catalogue.version = data_set.catalogue_version AND catalogue.is_current
             WHERE data_set.code = $1",
        )
        .bind(data_set.as_str())
        .fetch_optional(&mut *transaction)
        .await?
        .ok_or_else(|| ReopenError::DataSet(data_set.clone()))?;
        let period_type: String = form.try_get("period_type")?;
        if period_type != period.kind().as_str() {
            return Err(ReopenError::PeriodType { data_set: data_set.clone(), period_type });
        }
        let unit: Option<String> = sqlx::query_scalar(
            "SELECT code FROM org_unit
             WHERE catalogue_version = $1 AND CASE WHEN $2::text IS NULL THEN parent_code IS NULL ELSE code = $2 END
                 AND valid_from <= period_last_day($3, $4) AND period_last_day($3, $4) < valid_to",
        )
        .bind(form.try_get::<String, _>("catalogue_version")?)
        .bind(org_unit.as_ref().map(OrgUnitCode::as_str))
        .bind(period.to_string())
        .bind(form.try_get::<String, _>("calendar")?)
        .fetch_optional(&mut *transaction)
        .await?;
        let unit = match (unit, org_unit) {
            (Some(unit), _) => unit.parse().map_err(|_| StoreError::Malformed("org unit code"))?,
            (None, Some(unit)) => return Err(ReopenError::OrgUnit(unit.clone(), *period)),
            (None, None) => return Err(StoreError::Malformed("tree without a root").into()),
        };
        let row = sqlx::query(
            "INSERT INTO reopening (data_set, period, org_unit, until, reason, principal, opened_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *",
        )
        .bind(data_set.as_str())
        .bind(period.to_string())
        .bind(OrgUnitCode::as_str(&unit))
        .bind(OffsetDateTime::from(*until))
        .bind(reason)
        .bind(principal)
        .bind(OffsetDateTime::from(*opened_at))
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(read(&row)?)
    }

    /// What was opened again of some forms' periods, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reopenings(&self, periods: &[(DataSetCode, Period)]) -> Result<Vec<Reopening>, StoreError> {
        let rows = sqlx::query(
            "SELECT reopening.* FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) AS wanted (data_set, period)
             JOIN reopening USING (data_set, period) ORDER BY id",
        )
        .bind(periods.iter().map(|(data_set, _)| data_set.as_str()).collect::<Vec<_>>())
        .bind(periods.iter().map(|(_, period)| period.to_string()).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// The last periods that were opened again, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_reopenings(&self, most: u32) -> Result<Vec<Reopening>, StoreError> {
        let rows = sqlx::query("SELECT * FROM reopening ORDER BY id DESC LIMIT $1")
            .bind(i64::from(most))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &PgRow) -> Result<Reopening, StoreError> {
    let malformed = StoreError::Malformed;
    let instant = |column| row.try_get::<OffsetDateTime, _>(column).map(Timestamp::from);
    Ok(Reopening {
        id: row.try_get("id")?,
        data_set: row.try_get::<&str, _>("data_set")?.parse().map_err(|_| malformed("data set code"))?,
        period: row.try_get::<&str, _>("period")?.parse().map_err(|_| malformed("period"))?,
        org_unit: row.try_get::<&str, _>("org_unit")?.parse().map_err(|_| malformed("org unit code"))?,
        until: instant("until")?,
        reason: row.try_get("reason")?,
        principal: row.try_get("principal")?,
        opened_at: instant("opened_at")?,
    })
}
