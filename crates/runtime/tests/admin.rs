//! Goal: an admin port says how its service fares, whatever the service waits for.

#![expect(
    clippy::unwrap_used,
    reason = "what does not hold has failed the test, also in the functions that tests share"
)]

use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use runtime::{
    Shutdown,
    admin::{Admin, AdminConfig, LIVENESS, Watched},
    health::is_serving,
};

/// An admin port with a check that succeeds while it is told so, and one more.
async fn admin<F>(
    well: &Arc<AtomicBool>,
    other: impl Fn() -> F + Send + Sync + 'static,
    shutdown: &Shutdown,
) -> (String, Watched)
where
    F: Future<Output = Result<(), io::Error>> + Send + 'static,
{
    let admin = Admin::bind("test", &AdminConfig::default()).await.unwrap();
    let url = format!("http://{}", admin.local_addr());
    let well = Arc::clone(well);
    let check = move || {
        let well = well.load(Ordering::SeqCst);
        async move { if well { Ok(()) } else { Err(io::Error::other("the disk is full")) } }
    };
    (url, admin.check("disk", check).check("other", other).start(shutdown).await)
}

async fn until(url: &str, part: &str, serving: bool) {
    let turned = async {
        while is_serving(url, part).await.unwrap() != Some(serving) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let turned = tokio::time::timeout(Duration::from_secs(30), turned).await;
    assert!(turned.is_ok(), "{part:?} never says {serving}");
}

#[tokio::test]
async fn it_is_ready_while_every_check_succeeds_and_not_once_it_is_to_stop() {
    let (well, shutdown) = (Arc::new(AtomicBool::new(true)), Shutdown::new());
    let (url, _watched) = admin(&well, async || Ok(()), &shutdown).await;
    until(&url, "", true).await;
    well.store(false, Ordering::SeqCst);
    until(&url, "", false).await;
    until(&url, "disk", false).await;
    assert_eq!(is_serving(&url, "other").await.unwrap(), Some(true));
    well.store(true, Ordering::SeqCst);
    until(&url, "", true).await;
    shutdown.request();
    until(&url, "", false).await;
    assert_eq!(is_serving(&url, LIVENESS).await.unwrap(), Some(true), "it still lives, and says so");
    assert_eq!(is_serving(&url, "nothing of ours").await.unwrap(), None);
}

#[tokio::test]
async fn a_check_that_hangs_is_a_check_that_fails() {
    let (well, shutdown) = (Arc::new(AtomicBool::new(true)), Shutdown::new());
    let (url, watched) = admin(&well, pending, &shutdown).await;
    until(&url, "disk", true).await;
    until(&url, "other", false).await;
    assert_eq!(is_serving(&url, "").await.unwrap(), Some(false));
    assert_eq!(is_serving(&url, LIVENESS).await.unwrap(), Some(true));
    drop(watched);
    let closed = async {
        while is_serving(&url, LIVENESS).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), closed).await.unwrap();
}
