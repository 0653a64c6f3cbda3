//! Whether what was published is ahead of the database: then it was restored to an older state.

use messaging::{Partition, subjects};
use store::Fence;

use crate::Shared;

type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Makes sure that nothing was published of a partition that the database does not know of. Events follow their commit: where
/// they are ahead, the database is not the one that they came from. Counting on would use their versions again.
pub(crate) async fn is_behind(shared: &Shared, partition: Partition, counted: Fence) -> Result<(), Broken> {
    let catalogues = shared.versions.known();
    for data_set in catalogues.current().data_sets() {
        if shared.partitions.of(data_set.code().as_str()) != partition {
            continue;
        }
        let told = shared.connection.last_told(&subjects::totals_of_data_set(data_set.code())).await?;
        if let Some(told) = told.filter(|told| is_ahead((told.epoch, told.log_position), counted)) {
            return Err(format!(
                "the database counts up to {}, but totals were published up to {}: it is older than what was published; run `tonghop restored`",
                counted.position.0, told.log_position
            )
            .into());
        }
    }
    Ok(())
}

/// Whether an epoch and a position are ahead of what is counted. A new epoch knows of all that was published before it, and
/// begins where counting stands.
fn is_ahead((epoch, log_position): (u64, u64), counted: Fence) -> bool {
    (epoch, log_position) > (counted.epoch, counted.position.0)
}

#[cfg(test)]
mod tests {
    use domain::settle::Position;

    use super::*;

    #[test]
    fn a_database_from_before_what_was_published_is_seen() {
        let counted = Fence { position: Position(10), epoch: 2 };
        assert!(is_ahead((2, 11), counted), "counted on since");
        assert!(is_ahead((3, 10), counted), "replayed since, at the same place");
        assert!(!is_ahead((2, 10), counted) && !is_ahead((2, 9), counted));
        assert!(!is_ahead((1, 11), counted), "counted again after a restore, which began another epoch");
    }
}
