//! Asking a service how it fares, by `grpc.health.v1`.

use std::time::Duration;

use tonic::{Code, Status, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// Within what time a service must answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why it is not known how a service fares.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Nobody answers at that address.
    #[error("nobody answers")]
    Unreachable(#[source] tonic::transport::Error),
    /// Something answers that does not tell.
    #[error("no answer: {}", .0.message())]
    Refused(#[source] Box<Status>),
}

/// Whether a service at the URL of its admin port says that a part of it serves: `""` is its readiness,
/// [`LIVENESS`](crate::admin::LIVENESS) its life, and the name of a check that check. None where it knows no such part.
///
/// # Errors
/// When that cannot be known.
pub async fn is_serving(url: &str, part: &str) -> Result<Option<bool>, HealthError> {
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(HealthError::Unreachable)?;
    let endpoint = endpoint.connect_timeout(ANSWER_WITHIN).timeout(ANSWER_WITHIN);
    let mut client = HealthClient::new(endpoint.connect().await.map_err(HealthError::Unreachable)?);
    match client.check(HealthCheckRequest { service: part.to_owned() }).await {
        Ok(answer) => Ok(Some(answer.into_inner().status() == ServingStatus::Serving)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(HealthError::Refused(Box::new(status))),
    }
}
