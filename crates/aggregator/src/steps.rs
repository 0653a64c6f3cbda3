//! The reports of a batch whose way through the pipeline is recorded.

use domain::settle::{Origin, Position};
use messaging::{Traced, totals::Cause};
use runtime::trace::{MOST, Span};

/// A step for each of them, in its own trace: from the beginning of the transaction to its end.
#[derive(Debug, Default)]
pub(crate) struct Steps(Vec<(Origin, Span)>);

impl Steps {
    /// Begins the steps. Each is linked to the first: they are one transaction.
    pub(crate) fn begin(traced: &[Traced]) -> Self {
        let first = traced.first().map_or("", |first| &first.traceparent);
        let steps = traced.iter().take(MOST).enumerate().filter_map(|(place, Traced { origin, traceparent })| {
            let mut step = Span::next("count", traceparent)?;
            if place > 0 {
                step.link(first);
            }
            Some((*origin, step))
        });
        Self(steps.collect())
    }

    /// The step of the first report of a cause that has one.
    pub(crate) fn of(&self, cause: &Cause) -> Option<String> {
        let mut listed =
            cause.listed.iter().map(|report| Origin { sequence: report.log_sequence, index: report.log_index });
        listed.find_map(|origin| self.0.iter().find(|(of, _)| *of == origin)).map(|(_, step)| step.traceparent())
    }

    /// Ends them: all is committed.
    pub(crate) fn committed(self, position: Position) {
        for (_, mut step) in self.0 {
            step.number("position", position.0);
        }
    }
}
