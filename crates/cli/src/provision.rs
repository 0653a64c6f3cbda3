//! Making everything the services use: streams, consumers, schema, partitions, catalogue.

use std::{io, path::Path};

use catalogue::Loaded;
use domain::Timestamp;
use messaging::{Connection, ProvisionError, Provisioned, Topology};
use runtime::{Clock, SystemClock};
use serde_json::{Value, json};
use store::{Role, Store, StoreConfig, StoreError};

use crate::{
    Ended, args, audit, check,
    output::{Failure, Output, both},
    partner, verify,
};

/// Why provisioning failed. What was made until then stays; doing it again goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The streams are not as wanted.
    #[error(transparent)]
    Streams(#[from] ProvisionError),
    /// The database could not be brought up to date.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Done {
    /// The streams.
    pub streams: Provisioned,
    /// The catalogue's version.
    pub catalogue_version: String,
    /// Whether this catalogue was new to the database.
    pub catalogue_is_new: bool,
}

/// Makes everything the services use, or finds it as wanted. Safe to do at any time, by several at once.
///
/// # Errors
/// When something exists and differs from what is wanted, or a server does not do what it is asked.
pub async fn provision(
    connection: &Connection,
    store: &Store,
    topology: &Topology,
    loaded: &Loaded,
    clock: &dyn Clock,
) -> Result<Done, Error> {
    let now = Timestamp::from(clock.now());
    let streams = messaging::provision(connection, topology, now.unix_micros().unsigned_abs()).await?;
    store.migrate().await?;
    store.grant().await?;
    store.provision_partitions(topology.partitions).await?;
    let catalogue_is_new = store.provision_catalogue(&loaded.catalogue, &loaded.org_units, &loaded.files, now).await?;
    Ok(Done { streams, catalogue_version: loaded.catalogue.version().to_string(), catalogue_is_new })
}

/// Why the roles were not made.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// A password cannot be read.
    #[error("cannot read the password of {0}")]
    Password(&'static str, #[source] io::Error),
    /// The database refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Gives every service its role in the database, with the password in its directory of keys. `store` is connected as the
/// database's superuser.
///
/// # Errors
/// When a password cannot be read, or the database refuses.
pub async fn roles(store: &Store, keys: &Path) -> Result<(), RolesError> {
    let mut passwords = Vec::new();
    for role in Role::ALL {
        let password = std::fs::read_to_string(keys.join(role.service()).join("postgres.password"));
        let password = password.map_err(|error| RolesError::Password(role.service(), error))?;
        passwords.push((role, password.trim_end().to_owned()));
    }
    Ok(store.provision_roles(&passwords).await?)
}

pub(crate) async fn run(args: &args::Provision, output: &Output) -> Result<Ended, Failure> {
    let topology = topology(args);
    let (nats, database) = (args.nats.config()?, args.database.config()?);
    let loaded = check::load_whole(&args.catalogue)?;
    if let Some(keys) = &args.roles {
        let password = Some(keys.join("postgres/superuser.password"));
        let superuser = StoreConfig { user: Some(args.superuser.clone()), password, ..database.clone() };
        let store = verify::open(&superuser).await?;
        roles(&store, keys).await.map_err(|error| {
            Failure::caused("không tạo được vai trò trong cơ sở dữ liệu", "cannot make the database's roles", &error)
        })?;
        store.close().await;
    }
    let connection = partner::connect(&nats).await?;
    let store = verify::open(&database).await?;
    let done = provision(&connection, &store, &topology, &loaded, &SystemClock).await;
    let done = done.map_err(|error| {
        let differs = matches!(error, Error::Streams(ProvisionError::Drift { .. }));
        let failure = Failure::caused("không thiết lập được", "cannot provision", &error);
        if differs { Failure { reason: "DRIFT".to_owned(), ..failure } } else { failure }
    })?;
    audit::operated(&store, &args.by.principal, "provision", &object(&done)).await?;
    store.close().await;
    connection.close().await;
    output.result(|| object(&done), || said(&done, &topology, output));
    Ok(Ended::Well)
}

fn topology(args: &args::Provision) -> Topology {
    Topology {
        replicas: args.replicas.into(),
        partitions: args.partitions,
        reports_max_bytes: args.reports_max_bytes,
        verdicts_max_bytes: args.verdicts_max_bytes,
        totals_max_bytes: args.totals_max_bytes,
        fates_max_bytes: args.fates_max_bytes,
        max_age_days: args.max_age_days,
        fates_max_age_days: args.fates_max_age_days,
    }
}

fn object(done: &Done) -> Value {
    let Done { streams: Provisioned { made, kept }, catalogue_version, catalogue_is_new } = done;
    json!({
        "streams_made": made, "streams_kept": kept,
        "catalogue_version": catalogue_version, "catalogue_is_new": catalogue_is_new,
    })
}

fn said(done: &Done, topology: &Topology, output: &Output) -> String {
    let Done { streams: Provisioned { made, kept }, catalogue_version, catalogue_is_new } = done;
    let made = made.iter().map(|stream| (*stream, true));
    let streams = made.chain(kept.iter().map(|stream| (*stream, false)));
    let partitions = topology.partitions;
    let mut lines: Vec<String> = streams
        .map(|(stream, is_new)| {
            format!("{}: {}", both_of(output, "luồng", "stream", stream), new_or_kept(output, is_new))
        })
        .collect();
    lines.push(output.say(&both(
        format!("cơ sở dữ liệu: lược đồ mới nhất, {partitions} phân vùng"),
        format!("database: schema up to date, {partitions} partitions"),
    )));
    let catalogue = both_of(output, "danh mục", "catalogue", catalogue_version);
    lines.push(format!("{catalogue}: {}", new_or_kept(output, *catalogue_is_new)));
    lines.join("\n")
}

fn both_of(output: &Output, vi: &str, en: &str, name: &str) -> String {
    format!("{} {name}", output.lang().of(vi, en))
}

fn new_or_kept(output: &Output, is_new: bool) -> String {
    output.lang().of(if is_new { "đã tạo" } else { "giữ nguyên" }, if is_new { "made" } else { "kept" })
}
