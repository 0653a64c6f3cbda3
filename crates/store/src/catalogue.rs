//! The tables of the catalogue: what SQL must know of it.

use domain::{Catalogue, CatalogueVersion, Timestamp, UnitVersion};
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;

use crate::{Snapshot, Store, StoreError};

impl Store {
    /// Stores a catalogue with the files it was read from (path and bytes) and makes it the current one. Storing the same
    /// version again changes nothing. Says whether it was new.
    ///
    /// # Errors
    /// When it gives stored numbers another meaning, or the database fails.
    pub async fn provision_catalogue(
        &self,
        catalogue: &Catalogue,
        org_units: &[UnitVersion],
        files: &[(String, Vec<u8>)],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let version = catalogue.version().as_str();
        let mut transaction = self.pool.begin().await?;
        sqlx::query("LOCK TABLE catalogue_version IN SHARE ROW EXCLUSIVE MODE").execute(&mut *transaction).await?;
        sqlx::query("UPDATE catalogue_version SET is_current = false WHERE is_current AND version <> $1")
            .bind(version)
            .execute(&mut *transaction)
            .await?;
        let inserted = sqlx::query("INSERT INTO catalogue_version (version, loaded_at, is_current) VALUES ($1, $2, true) ON CONFLICT DO NOTHING")
            .bind(version)
            .bind(OffsetDateTime::from(now))
            .execute(&mut *transaction)
            .await?;
        let is_new = inserted.rows_affected() == 1;
        if is_new {
            insert_org_units(&mut transaction, catalogue, org_units).await?;
            insert_data_sets(&mut transaction, catalogue).await?;
        } else {
            sqlx::query("UPDATE catalogue_version SET is_current = true WHERE version = $1")
                .bind(version)
                .execute(&mut *transaction)
                .await?;
        }
        // Also one that was in use before: reports may have filled cells since that it has not.
        refuse_lost_levels(&mut transaction, catalogue).await?;
        refuse_moved_periods(&mut transaction, version).await?;
        refuse_moved_cells(&mut transaction, version).await?;
        insert_files(&mut transaction, version, files).await?;
        transaction.commit().await?;
        Ok(is_new)
    }

    /// The version of the catalogue in use, none where none was provisioned.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn current_catalogue(&self) -> Result<Option<CatalogueVersion>, StoreError> {
        let version = sqlx::query_scalar::<_, String>("SELECT version FROM catalogue_version WHERE is_current");
        Ok(version.fetch_optional(&self.pool).await?.as_deref().map(CatalogueVersion::new))
    }

    /// The files of a catalogue that was provisioned: path and bytes. None where it was not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn catalogue_files(
        &self,
        version: &CatalogueVersion,
    ) -> Result<Option<Vec<(String, Vec<u8>)>>, StoreError> {
        read_files(&self.pool, version).await
    }
}

impl Snapshot {
    /// The files of a catalogue that was provisioned: path and bytes. None where it was not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn catalogue_files(
        &mut self,
        version: &CatalogueVersion,
    ) -> Result<Option<Vec<(String, Vec<u8>)>>, StoreError> {
        read_files(&mut *self.0, version).await
    }
}

async fn read_files(
    executor: impl PgExecutor<'_>,
    version: &CatalogueVersion,
) -> Result<Option<Vec<(String, Vec<u8>)>>, StoreError> {
    let files: Vec<(String, Vec<u8>)> =
        sqlx::query_as("SELECT path, content FROM catalogue_file WHERE catalogue_version = $1 ORDER BY path")
            .bind(version.as_str())
            .fetch_all(executor)
            .await?;
    Ok((!files.is_empty()).then_some(files))
}

/// Reports and totals keep their numbers in the order of the form's cells: a form that was reported may get cells at its
/// end, and lose, move or redefine none.
async fn refuse_moved_cells(connection: &mut PgConnection, version: &str) -> Result<(), StoreError> {
    let moved: Option<(String, i32, String)> = sqlx::query_as(
        "SELECT old.data_set, old.place, old.data_element || coalesce('[' || old.option || ']', '')
         FROM cell AS old
         WHERE EXISTS (SELECT FROM report WHERE report.catalogue_version = old.catalogue_version AND report.data_set = old.data_set)
           AND NOT EXISTS (
               SELECT FROM cell AS new
               WHERE new.catalogue_version = $1 AND new.data_set = old.data_set AND new.place = old.place
                 AND new.data_element = old.data_element AND new.option IS NOT DISTINCT FROM old.option
                 AND new.decimals = old.decimals AND new.additive = old.additive
                 AND new.time_aggregation = old.time_aggregation)
         ORDER BY 1, 2 LIMIT 1",
    )
    .bind(version)
    .fetch_optional(connection)
    .await?;
    match moved {
        None => Ok(()),
        Some((data_set, place, cell)) => Err(StoreError::CellMoved { data_set, place, cell }),
    }
}

/// A catalogue that was provisioned before its files were kept gets them now.
async fn insert_files(
    connection: &mut PgConnection,
    version: &str,
    files: &[(String, Vec<u8>)],
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO catalogue_file (catalogue_version, path, content)
         SELECT $1, path, content FROM unnest($2::text[], $3::bytea[]) AS file (path, content) ON CONFLICT DO NOTHING",
    )
    .bind(version)
    .bind(files.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>())
    .bind(files.iter().map(|(_, content)| content.as_slice()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_org_units(
    connection: &mut PgConnection,
    catalogue: &Catalogue,
    org_units: &[UnitVersion],
) -> Result<(), StoreError> {
    macro_rules! column {
        ($unit:ident => $value:expr) => {
            org_units.iter().map(|$unit| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query(
        "INSERT INTO org_unit (catalogue_version, code, valid_from, valid_to, name, level, kind, parent_code)
         SELECT $1, code, coalesce(valid_from, '-infinity'), coalesce(valid_to, 'infinity'), name, level, kind, parent_code
         FROM unnest($2::text[], $3::date[], $4::date[], $5::text[], $6::text[], $7::text[], $8::text[])
             AS row (code, valid_from, valid_to, name, level, kind, parent_code)",
    )
    .bind(catalogue.version().as_str())
    .bind(column!(unit => unit.code.as_str()))
    .bind(column!(unit => unit.valid_from))
    .bind(column!(unit => unit.valid_to))
    .bind(column!(unit => unit.name.as_str()))
    .bind(column!(unit => catalogue.level(unit.level).code.as_str()))
    .bind(column!(unit => unit.kind.as_str()))
    .bind(column!(unit => unit.parent.as_ref().map(|parent| parent.as_str())))
    .execute(&mut *connection)
    .await?;
    sqlx::query("INSERT INTO recoding (catalogue_version, day) SELECT $1, unnest($2::date[])")
        .bind(catalogue.version().as_str())
        .bind(catalogue.tree().recoded())
        .execute(connection)
        .await?;
    Ok(())
}

/// Totals are kept by the level whose reports they add: under a level that is not there any more nobody would find them.
async fn refuse_lost_levels(connection: &mut PgConnection, catalogue: &Catalogue) -> Result<(), StoreError> {
    let lost: Option<String> =
        sqlx::query_scalar("SELECT level FROM total WHERE level <> ALL ($1) ORDER BY level LIMIT 1")
            .bind(catalogue.levels().iter().map(|level| level.code.as_str()).collect::<Vec<_>>())
            .fetch_optional(connection)
            .await?;
    lost.map_or(Ok(()), |level| Err(StoreError::LevelLost { level }))
}

/// A form that was reported keeps the kind of its periods and how they are cut.
async fn refuse_moved_periods(connection: &mut PgConnection, version: &str) -> Result<(), StoreError> {
    let moved: Option<String> = sqlx::query_scalar(
        "SELECT old.code FROM data_set AS old
         JOIN data_set AS new ON new.catalogue_version = $1 AND new.code = old.code
         WHERE (new.calendar, new.period_type) <> (old.calendar, old.period_type)
           AND EXISTS (SELECT FROM report WHERE report.catalogue_version = old.catalogue_version AND report.data_set = old.code)
         LIMIT 1",
    )
    .bind(version)
    .fetch_optional(connection)
    .await?;
    moved.map_or(Ok(()), |data_set| Err(StoreError::PeriodsMoved { data_set }))
}

async fn insert_data_sets(connection: &mut PgConnection, catalogue: &Catalogue) -> Result<(), StoreError> {
    for data_set in catalogue.data_sets() {
        sqlx::query("INSERT INTO data_set (catalogue_version, code, calendar, period_type, longer_periods) VALUES ($1, $2, $3, $4, $5)")
            .bind(catalogue.version().as_str())
            .bind(data_set.code().as_str())
            .bind(data_set.calendar().as_str())
            .bind(data_set.period_type().as_str())
            .bind(data_set.longer_periods().iter().map(|kind| kind.as_str()).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
        macro_rules! column {
            ($cell:ident => $value:expr) => {
                data_set.cells().iter().map(|$cell| $value).collect::<Vec<_>>()
            };
        }
        sqlx::query(
            "INSERT INTO cell (catalogue_version, data_set, place, data_element, option, decimals, additive, time_aggregation)
             SELECT $1, $2, place, data_element, option, decimals, additive, time_aggregation
             FROM unnest($3::text[], $4::text[], $5::smallint[], $6::boolean[], $7::text[]) WITH ORDINALITY
                 AS row (data_element, option, decimals, additive, time_aggregation, place)",
        )
        .bind(catalogue.version().as_str())
        .bind(data_set.code().as_str())
        .bind(column!(cell => cell.element.code.as_str()))
        .bind(column!(cell => cell.option.as_ref().map(|option| option.code.as_str())))
        .bind(column!(cell => i16::from(cell.element.value_type.decimals())))
        .bind(column!(cell => cell.element.space_aggregation.is_additive()))
        .bind(column!(cell => cell.element.time_aggregation.as_str()))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
