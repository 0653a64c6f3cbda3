//! What units reported before: read by those who judge, from the table `report`.

use domain::{DataSetCode, OrgUnitCode, Period, Values};
use sqlx::Row as _;

use crate::{Store, StoreError};

/// A question for what a unit reported before a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierThan {
    /// The form.
    pub data_set: DataSetCode,
    /// The unit's code. Whether it meant the same unit then is for the catalogue to say.
    pub org_unit: OrgUnitCode,
    /// The period; those of its kind before it are meant.
    pub period: Period,
    /// How many reports at most.
    pub most: usize,
}

/// What counts for a unit in an earlier period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// The period.
    pub period: Period,
    /// The numbers, without words.
    pub values: Values,
}

impl Store {
    /// What counts for some units in earlier periods, newest first, in the order of the questions. What was withdrawn is left
    /// out. One statement, and for each question one look into the key of `report`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn earlier(&self, questions: &[EarlierThan]) -> Result<Vec<Vec<Earlier>>, StoreError> {
        // Names of one kind of period are ordered as their times are. The whole is not sorted by the database: with its numbers
        // it can be megabytes, and each answer is a few rows.
        let rows = sqlx::query(
            "SELECT question.place, earlier.period, earlier.cells
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY
                 AS question (data_set, org_unit, period, most, place)
             CROSS JOIN LATERAL (
                 SELECT period, cells FROM report
                 WHERE report.data_set = question.data_set AND report.org_unit = question.org_unit
                     AND report.period < question.period AND NOT report.withdrawn
                 ORDER BY report.period DESC LIMIT question.most
             ) AS earlier",
        )
        .bind(questions.iter().map(|question| question.data_set.as_str()).collect::<Vec<_>>())
        .bind(questions.iter().map(|question| question.org_unit.as_str()).collect::<Vec<_>>())
        .bind(questions.iter().map(|question| question.period.to_string()).collect::<Vec<_>>())
        .bind(questions.iter().map(|question| i64::try_from(question.most).unwrap_or(i64::MAX)).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        let mut answers = vec![Vec::new(); questions.len()];
        for row in &rows {
            let place: i64 = row.try_get("place")?;
            let place = usize::try_from(place - 1).map_err(|_| StoreError::Malformed("place"))?;
            let (Some(question), Some(answer)) = (questions.get(place), answers.get_mut(place)) else {
                return Err(StoreError::Malformed("place"));
            };
            // A form that was once reported for other periods left reports that do not compare.
            let period = row.try_get::<&str, _>("period")?.parse::<Period>();
            if let Some(period) = period.ok().filter(|period| period.kind() == question.period.kind()) {
                let values = Values::from(row.try_get::<Vec<Option<i64>>, _>("cells")?);
                answer.push(Earlier { period, values });
            }
        }
        for answer in &mut answers {
            answer.sort_unstable_by_key(|earlier: &Earlier| std::cmp::Reverse(earlier.period));
        }
        Ok(answers)
    }
}
