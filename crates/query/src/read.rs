//! Reading from PostgreSQL: one statement a question, so that every answer is one snapshot.

use std::{error::Error, future::Future, sync::Arc, time::Duration};

use domain::{Catalogue, SubmissionId, UnitIx};
use messaging::Partitions;
use proto::pb::query::v1 as pb;
use store::{Store, StoreError, Submission};

use crate::{answer, expected::Expected, question::Question, refused::Refused};

/// Answers from what is stored.
#[derive(Debug)]
pub(crate) struct Reader {
    catalogue: Arc<Catalogue>,
    expected: Expected,
    store: Store,
    partitions: Partitions,
    answer_within: Duration,
}

impl Reader {
    pub(crate) fn new(
        catalogue: Arc<Catalogue>,
        store: Store,
        partitions: Partitions,
        answer_within: Duration,
    ) -> Self {
        let expected = Expected::count(&catalogue);
        Self { catalogue, expected, store, partitions, answer_within }
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The totals of the unit that is asked about.
    pub(crate) async fn totals(&self, question: Question) -> Result<pb::Totals, Refused> {
        self.totals_of(question, &[question.unit]).await?.pop().ok_or(Refused::DatabaseMalformed)
    }

    /// The totals of some units of the tree that is asked about, in their order.
    pub(crate) async fn totals_of(&self, question: Question, units: &[UnitIx]) -> Result<Vec<pb::Totals>, Refused> {
        let catalogue = &*self.catalogue;
        let (data_set, vintage) = (question.data_set(catalogue).code(), question.vintage(catalogue));
        let partition = self.partitions.of(data_set.as_str()).number();
        let codes: Vec<&str> = units.iter().map(|unit| vintage.unit(*unit).code.as_str()).collect();
        let (stored, up_to) = self.ask(self.store.totals(partition, data_set, question.period, &codes)).await?;
        let answers = units.iter().zip(stored).map(|(unit, stored)| {
            let question = Question { unit: *unit, ..question };
            answer::totals(catalogue, question, self.expected.of(question), stored, up_to)
        });
        Ok(answers.collect())
    }

    /// What became of a submission.
    pub(crate) async fn submission(&self, id: SubmissionId) -> Result<Submission, Refused> {
        self.ask(self.store.submission(id)).await?.ok_or(Refused::SubmissionUnknown(id))
    }

    /// Bounds the wait for an answer, and keeps what went wrong for the log: no caller sees the database's words.
    async fn ask<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, Refused> {
        match tokio::time::timeout(self.answer_within, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error @ StoreError::Malformed(_))) => {
                tracing::error!(error = causes(&error), "what PostgreSQL holds cannot be read");
                Err(Refused::DatabaseMalformed)
            }
            Ok(Err(error)) => {
                tracing::warn!(error = causes(&error), "PostgreSQL did not answer a question");
                Err(Refused::DatabaseAway)
            }
            Err(_elapsed) => {
                tracing::warn!(answer_within = ?self.answer_within, "PostgreSQL took too long over a question");
                Err(Refused::DatabaseAway)
            }
        }
    }
}

/// An error and what caused it, outermost first.
fn causes(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
