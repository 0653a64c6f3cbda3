//! Making the streams and consumers, and refusing those that are not as wanted.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::{
    self, ErrorCode,
    consumer::{AckPolicy, pull},
    context::{CreateStreamErrorKind, GetStreamErrorKind},
    stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
};

use crate::{Connection, Partitions, subjects};

/// What the deployment asks of the streams.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// On how many servers each message is kept: 1 on one machine, 3 in production.
    pub replicas: usize,
    /// How many partitions the verdicts are spread over. Cannot be changed later.
    pub partitions: u16,
    /// The most bytes REPORTS keeps. When it is full, senders are told to wait.
    pub reports_max_bytes: i64,
    /// The most bytes VERDICTS keeps. When it is full, validators wait, then REPORTS fills.
    pub verdicts_max_bytes: i64,
    /// The most bytes TOTALS keeps: one event for each unit with units below it, data set and period.
    pub totals_max_bytes: i64,
    /// The most bytes FATES keeps. When it is full, the oldest go.
    pub fates_max_bytes: i64,
    /// After how many days REPORTS and VERDICTS let go of a message.
    pub max_age_days: u64,
    /// After how many days FATES lets go of an event.
    pub fates_max_age_days: u64,
}

impl Default for Topology {
    /// One machine with some gigabytes to spare.
    fn default() -> Self {
        const GIB: i64 = 1 << 30;
        Self {
            replicas: 1,
            partitions: 32,
            reports_max_bytes: 8 * GIB,
            verdicts_max_bytes: 8 * GIB,
            totals_max_bytes: 2 * GIB,
            fates_max_bytes: 2 * GIB,
            max_age_days: 90,
            fates_max_age_days: 30,
        }
    }
}

/// Why the streams are not as wanted.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The number of partitions is not from 1 to 1,024.
    #[error("there must be 1 to 1024 partitions, not {0}")]
    Partitions(u16),
    /// A stream exists and differs; it is left as it is.
    #[error(
        "stream {stream} exists with {setting} {found} where {wanted} is wanted; change the stream or the configuration"
    )]
    Drift {
        /// The stream.
        stream: &'static str,
        /// What differs.
        setting: &'static str,
        /// As it is.
        found: String,
        /// As it should be.
        wanted: String,
    },
    /// JetStream would not make or show a stream.
    #[error("JetStream refuses stream {stream}: {message}")]
    Stream {
        /// The stream.
        stream: &'static str,
        /// What the server or the client says.
        message: String,
    },
    /// JetStream would not make or show a consumer.
    #[error("JetStream refuses consumer {consumer}: {message}")]
    Consumer {
        /// The consumer.
        consumer: &'static str,
        /// What the server or the client says.
        message: String,
    },
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provisioned {
    /// The streams that were made.
    pub made: Vec<&'static str>,
    /// The streams that were there already, as wanted.
    pub kept: Vec<&'static str>,
}

const PARTITIONS_KEY: &str = "tonghop_partitions";

/// Makes the streams and the validators' consumer, or finds them as wanted. `now_micros` numbers the first message of a
/// stream that is made: microseconds since 1970.
///
/// # Errors
/// When JetStream refuses, or something exists and differs from what is wanted.
pub async fn provision(
    connection: &Connection,
    topology: &Topology,
    now_micros: u64,
) -> Result<Provisioned, ProvisionError> {
    let partitions = Partitions::new(topology.partitions).ok_or(ProvisionError::Partitions(topology.partitions))?;
    let mut done = Provisioned::default();
    let wanted = [
        reports(topology),
        verdicts(topology, partitions),
        totals(topology),
        fates(topology),
        probes(topology),
        audit(topology),
    ];
    for (name, config) in subjects::STREAMS.into_iter().zip(wanted) {
        let config = Config { name: name.to_owned(), first_sequence: Some(now_micros), ..config };
        if ensure_stream(&connection.context, name, config).await? {
            done.made.push(name)
        } else {
            done.kept.push(name)
        }
    }
    let refused = |error: &dyn std::fmt::Display| ProvisionError::Consumer {
        consumer: subjects::VALIDATOR,
        message: error.to_string(),
    };
    connection
        .context
        .create_consumer_strict_on_stream(validator(), subjects::REPORTS)
        .await
        .map_err(|error| refused(&error))?;
    Ok(done)
}

fn reports(topology: &Topology) -> Config {
    Config {
        subjects: subjects::REPORTS_SUBJECTS.map(str::to_owned).to_vec(),
        max_bytes: topology.reports_max_bytes,
        deny_purge: true,
        description: Some("The durable log of submitted reports, batch by batch".to_owned()),
        ..log(topology)
    }
}

fn verdicts(topology: &Topology, partitions: Partitions) -> Config {
    Config {
        subjects: subjects::VERDICTS_SUBJECTS.map(str::to_owned).to_vec(),
        max_bytes: topology.verdicts_max_bytes,
        deny_purge: true,
        allow_atomic_publish: true,
        description: Some("The verdicts on submitted reports, by partition".to_owned()),
        metadata: HashMap::from([(PARTITIONS_KEY.to_owned(), partitions.count().to_string())]),
        ..log(topology)
    }
}

/// What the logs have in common. When REPORTS and VERDICTS are full they refuse what is new: dropping the oldest would lose reports.
fn log(topology: &Topology) -> Config {
    Config {
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        max_messages_per_subject: -1, // as the server says it: no limit
        max_age: Duration::from_secs(topology.max_age_days * 24 * 60 * 60),
        num_replicas: topology.replicas,
        duplicate_window: Duration::from_secs(120),
        deny_delete: true,
        ..Config::default()
    }
}

fn totals(topology: &Topology) -> Config {
    Config {
        subjects: subjects::TOTALS_SUBJECTS.map(str::to_owned).to_vec(),
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_bytes: topology.totals_max_bytes,
        max_messages_per_subject: 1,
        storage: StorageType::File,
        num_replicas: topology.replicas,
        allow_direct: true,
        allow_atomic_publish: true,
        duplicate_window: Duration::from_secs(120),
        deny_delete: true,
        description: Some("The last event of every total".to_owned()),
        ..Config::default()
    }
}

/// News for the senders' back offices: when it is full the oldest go, because nothing may wait for whoever does not read
/// them. The ledger has every fate for ever.
fn fates(topology: &Topology) -> Config {
    Config {
        subjects: subjects::FATES_SUBJECTS.map(str::to_owned).to_vec(),
        max_bytes: topology.fates_max_bytes,
        discard: DiscardPolicy::Old,
        max_age: Duration::from_secs(topology.fates_max_age_days * 24 * 60 * 60),
        allow_atomic_publish: true,
        description: Some("What became of acknowledged reports, by province, data set and fate".to_owned()),
        ..log(topology)
    }
}

/// What readiness publishes: one message a service, each replaced by the next.
fn probes(topology: &Topology) -> Config {
    Config {
        subjects: subjects::PROBES_SUBJECTS.map(str::to_owned).to_vec(),
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        storage: StorageType::File,
        max_bytes: 1 << 20,
        max_messages_per_subject: 1,
        num_replicas: topology.replicas,
        duplicate_window: Duration::from_secs(120),
        deny_delete: true,
        description: Some("Whether each service can publish".to_owned()),
        ..Config::default()
    }
}

/// On its way into the database, where it is kept: when it is full the oldest go, because no sender may wait for it.
fn audit(topology: &Topology) -> Config {
    Config {
        subjects: subjects::AUDIT_SUBJECTS.map(str::to_owned).to_vec(),
        max_bytes: 256 << 20,
        discard: DiscardPolicy::Old,
        description: Some("What collectors and query services refused, on its way into the audit log".to_owned()),
        ..log(topology)
    }
}

fn validator() -> pull::Config {
    pull::Config {
        durable_name: Some(subjects::VALIDATOR.to_owned()),
        description: Some("Validators compete for submitted batches".to_owned()),
        ack_policy: AckPolicy::Explicit,
        // Judging a batch takes milliseconds; a validator that is silent for so long is gone, and another takes over.
        ack_wait: Duration::from_secs(10),
        max_ack_pending: 512,
        // A batch is never given up: poison is quarantined and acknowledged, not redelivered.
        max_deliver: -1,
        ..pull::Config::default()
    }
}

/// Makes the stream and says true, or finds it as wanted and says false.
async fn ensure_stream(
    context: &jetstream::Context,
    name: &'static str,
    wanted: Config,
) -> Result<bool, ProvisionError> {
    let refused = |error: &dyn std::fmt::Display| ProvisionError::Stream { stream: name, message: error.to_string() };
    match context.get_stream(name).await {
        Ok(stream) => compare(name, &stream.cached_info().config, &wanted).map(|()| false),
        Err(error) if matches!(error.kind(), GetStreamErrorKind::JetStream(ref error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND) =>
        {
            match context.create_stream(wanted.clone()).await {
                Ok(_) => Ok(true),
                // Somebody else was quicker: what they made must be what is wanted.
                Err(error) if matches!(error.kind(), CreateStreamErrorKind::JetStream(ref error) if error.error_code() == ErrorCode::STREAM_NAME_EXIST) =>
                {
                    let stream = context.get_stream(name).await.map_err(|error| refused(&error))?;
                    compare(name, &stream.cached_info().config, &wanted).map(|()| false)
                }
                Err(error) => Err(refused(&error)),
            }
        }
        Err(error) => Err(refused(&error)),
    }
}

fn compare(stream: &'static str, found: &Config, wanted: &Config) -> Result<(), ProvisionError> {
    fn same<T: PartialEq + std::fmt::Debug>(
        stream: &'static str,
        setting: &'static str,
        found: &T,
        wanted: &T,
    ) -> Result<(), ProvisionError> {
        if found == wanted {
            return Ok(());
        }
        Err(ProvisionError::Drift { stream, setting, found: format!("{found:?}"), wanted: format!("{wanted:?}") })
    }
    same(stream, "subjects", &found.subjects, &wanted.subjects)?;
    same(stream, "retention", &found.retention, &wanted.retention)?;
    same(stream, "discard", &found.discard, &wanted.discard)?;
    same(stream, "storage", &found.storage, &wanted.storage)?;
    same(stream, "max_bytes", &found.max_bytes, &wanted.max_bytes)?;
    same(stream, "max_age", &found.max_age, &wanted.max_age)?;
    same(stream, "max_msgs_per_subject", &found.max_messages_per_subject, &wanted.max_messages_per_subject)?;
    same(stream, "num_replicas", &found.num_replicas, &wanted.num_replicas)?;
    same(stream, "duplicate_window", &found.duplicate_window, &wanted.duplicate_window)?;
    same(stream, "allow_direct", &found.allow_direct, &wanted.allow_direct)?;
    same(stream, "allow_atomic", &found.allow_atomic_publish, &wanted.allow_atomic_publish)?;
    same(stream, "deny_delete", &found.deny_delete, &wanted.deny_delete)?;
    same(stream, "deny_purge", &found.deny_purge, &wanted.deny_purge)?;
    same(stream, "partitions", &found.metadata.get(PARTITIONS_KEY), &wanted.metadata.get(PARTITIONS_KEY))
}

impl Connection {
    /// How many partitions the verdicts are spread over, as provisioned.
    ///
    /// # Errors
    /// When the streams were not provisioned, or JetStream does not answer.
    pub async fn partitions(&self) -> Result<Partitions, ProvisionError> {
        let refused = |message: String| ProvisionError::Stream { stream: subjects::VERDICTS, message };
        let stream = self
            .context
            .get_stream(subjects::VERDICTS)
            .await
            .map_err(|error| refused(format!("{error}; run `tonghop provision` first")))?;
        let stated = stream.cached_info().config.metadata.get(PARTITIONS_KEY).and_then(|count| count.parse().ok());
        stated
            .and_then(Partitions::new)
            .ok_or_else(|| refused("it does not say how many partitions it has; run `tonghop provision`".to_owned()))
    }
}
