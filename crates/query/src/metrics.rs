//! The query service's numbers besides those of its calls; `deploy/prometheus/METRICS.md` says what each means.

use std::{convert::Infallible, sync::Arc, time::Duration};

use crate::watch::Hub;

/// Counts again and again who watches.
pub(crate) async fn look(hub: Arc<Hub>) -> Infallible {
    const EVERY: Duration = Duration::from_secs(2);
    let watchers = metrics::gauge!("tonghop_query_watchers");
    loop {
        watchers.set(hub.watchers() as f64);
        tokio::time::sleep(EVERY).await;
    }
}
