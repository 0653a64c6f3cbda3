//! `tonghop health`: whether a service is ready, for container runtimes and people.

use runtime::{admin::LIVENESS, health::is_serving};
use serde_json::json;

use crate::{
    Ended,
    args::Health,
    output::{Failure, Output, both},
};

pub(crate) async fn run(Health { admin, live }: &Health, output: &Output) -> Result<Ended, Failure> {
    let serving = is_serving(admin, if *live { LIVENESS } else { "" }).await.map_err(|error| {
        let (vi, en) =
            (format!("dịch vụ tại {admin} không trả lời"), format!("the service at {admin} does not answer"));
        Failure { reason: "UNREACHABLE".to_owned(), ..Failure::caused(&vi, &en, &error) }
    })?;
    let serving = serving.unwrap_or_default();
    let object = || json!({ "admin": admin, "serving": serving });
    if serving {
        output.result(object, || output.say(&both("sẵn sàng", "ready")));
        return Ok(Ended::Well);
    }
    let why = both(
        format!("dịch vụ tại {admin} chưa sẵn sàng; lý do ở {admin}/readyz"),
        format!("the service at {admin} is not ready; {admin}/readyz says why"),
    );
    output.complaint(object, || output.say(&why));
    Ok(Ended::Badly)
}
