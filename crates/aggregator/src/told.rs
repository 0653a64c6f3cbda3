//! Whether what was published is ahead of the database: then it was restored to an older state.

use messaging::{Partition, subjects, totals::Told};
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
        // A new epoch knows of all that was published before it.
        let is_ahead = |told: &Told| told.epoch >= counted.epoch && told.log_position > counted.position.0;
        if let Some(told) = told.filter(is_ahead) {
            return Err(format!(
                "the database counts up to {}, but totals were published up to {}: it is older than what was published; run `tonghop restored`",
                counted.position.0, told.log_position
            )
            .into());
        }
    }
    Ok(())
}
