//! What limits the pipeline: each thing it rests on, alone, with the settings it has there. On servers of their own, like
//! those of the local stack.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use domain::{
    Catalogue, Period,
    fold::{Entry, Tally, TotalOf, fold},
};
use local::{Door, Keys, NatsOptions, NatsServer, PostgresServer};
use messaging::{
    Connection, Exact, Outgoing, Publisher, Topology, subjects,
    totals::{Cause, CausingReport, CellTotal, LevelTotals, TotalsData, TotalsEvent},
};
use proto::pb::collector::v1::{
    Acknowledgement, SubmitRequest, SubmitResponse, SubmitStreamRequest, SubmitStreamResponse,
    collector_service_server::{CollectorService, CollectorServiceServer},
    submit_stream_response::Outcome,
};
use runtime::{Shutdown, grpc::Listener};
use rustc_hash::FxHashMap;
use sqlx::{Connection as _, PgConnection};
use tokio::{task::JoinSet, time::Instant};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    mix::{DATA_SETS, Kind, Mix, Purity, Tree},
    rows::Rows,
    send::{Counts, Parcel, Senders},
    wire::Writer,
};

/// Messages that a collector has on their way at a time.
const LANES: u16 = 2;
/// Reports on their way to an echo.
const ON_THEIR_WAY: u64 = 10_000;
/// Reports in a transaction.
pub(crate) const BATCH: usize = 5_000;

/// JetStream alone: messages of that many reports and bytes, published as a collector does. Reports a second.
pub(crate) async fn jetstream(reports: f64, bytes: usize, lasting: Duration) -> anyhow::Result<f64> {
    let (_nats, connection) = jetstream_alone().await?;
    let publisher = Publisher::new(connection.clone());
    let published = Arc::<AtomicU64>::default();
    let payload = Bytes::from(vec![0x5a; bytes]);
    let (began, mut lanes) = (Instant::now(), JoinSet::new());
    for lane in 0..LANES {
        let (publisher, published, payload) = (publisher.clone(), Arc::clone(&published), payload.clone());
        lanes.spawn(async move {
            while began.elapsed() < lasting {
                let message = Outgoing {
                    subject: subjects::submitted(lane),
                    message_id: uuid::Uuid::now_v7().to_string(),
                    content_type: None,
                    payload: payload.clone(),
                };
                publisher.publish(&message).await?;
                published.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    let rate = published.load(Ordering::Relaxed) as f64 * reports / began.elapsed().as_secs_f64();
    connection.close().await;
    Ok(rate)
}

/// A server as that of the local stack, with TLS and accounts and all streams.
async fn jetstream_alone() -> anyhow::Result<(NatsServer, Connection)> {
    let keys = Keys::make()?;
    let options =
        NatsOptions { max_file_store: 32 << 30, keys: Some(keys.layout().of("nats")), ..NatsOptions::default() };
    let nats = NatsServer::start(options).await?;
    let connection = Connection::open("load", &keys.nats("operator", &nats)).await?;
    messaging::provision(&connection, &Topology::default(), 1).await?;
    Ok((nats, connection))
}

/// Events of a transaction where there are 5,000 reports a second.
const EVENTS: usize = 300;

/// JetStream alone: events such as districts' totals have, of which each takes the place of the one before, published as an aggregator
/// does for two transactions at a time. Events a second.
pub(crate) async fn events(catalogue: &Catalogue, tree: &Tree, lasting: Duration) -> anyhow::Result<f64> {
    let (_nats, connection) = jetstream_alone().await?;
    let publisher = Publisher::new(connection.clone());
    let published = Arc::<AtomicU64>::default();
    let districts = tree.above.iter().filter(|above| above.level == "district");
    let districts: Vec<_> = districts.map(|district| district.code.clone()).collect();
    let (began, mut lanes) = (Instant::now(), JoinSet::new());
    for data_set in DATA_SETS.into_iter().take(2) {
        let event = event(catalogue, data_set)?;
        let (publisher, published, districts) = (publisher.clone(), Arc::clone(&published), districts.clone());
        lanes.spawn(async move {
            let mut number = 0_u64;
            let mut districts = districts.iter().cycle();
            while began.elapsed() < lasting {
                let mut message = |district: &String| {
                    number += 1;
                    let subject = format!("totals.v1.district.{district}.{data_set}.202211");
                    Outgoing { message_id: format!("{subject}@{number}"), subject, ..event.clone() }
                };
                let batch: Vec<_> = districts.by_ref().take(EVENTS).map(&mut message).collect();
                publisher.publish_all(&batch).await?;
                published.fetch_add(EVENTS as u64, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    let rate = published.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    connection.close().await;
    Ok(rate)
}

/// An event about a form's totals, with all its cells.
fn event(catalogue: &Catalogue, data_set: &str) -> anyhow::Result<Outgoing> {
    let form = catalogue.find_data_set(data_set).context("the catalogue is not that of the load")?;
    let cell = |cell: &domain::catalogue::Cell| CellTotal {
        data_element: cell.element.code.to_string(),
        option: cell.option.as_ref().map(|option| option.code.to_string()),
        sum: Exact(1_234_567),
        decimals: cell.element.value_type.decimals(),
        contributing: 15,
    };
    let level = LevelTotals {
        level: "commune".to_owned(),
        reported: 15,
        expected: 15,
        on_time: 15,
        warned: 0,
        cells: form.cells().iter().map(cell).collect(),
    };
    let report = CausingReport {
        org_unit: "00001".to_owned(),
        period: "202211".to_owned(),
        revision: Exact(1),
        submission_id: uuid::Uuid::now_v7().to_string(),
        log_sequence: 1_700_000_000_000_000,
        log_index: 100,
    };
    let data = TotalsData {
        org_unit: "001".to_owned(),
        level: "district".to_owned(),
        data_set: data_set.to_owned(),
        period: "202211".to_owned(),
        version: 15,
        previous_version: 14,
        epoch: 0,
        log_position: 1_700_000_000_000_000,
        catalogue_version: catalogue.version().to_string(),
        cause: Cause { reports: Cause::LIMIT, listed: vec![report; Cause::LIMIT] },
        levels: vec![level],
    };
    let subject = format!("totals.v1.district.001.{data_set}.202211");
    Ok(TotalsEvent::of(subject, "2022-12-01T00:00:00.000001Z".to_owned(), data).message()?)
}

/// Answers every report at once.
struct Echo;

#[tonic::async_trait]
impl CollectorService for Echo {
    async fn submit(&self, _: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        Ok(Response::new(SubmitResponse { acknowledgement: Some(Acknowledgement::default()) }))
    }

    type SubmitStreamStream = Pin<Box<dyn Stream<Item = Result<SubmitStreamResponse, Status>> + Send>>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<SubmitStreamRequest>>,
    ) -> Result<Response<Self::SubmitStreamStream>, Status> {
        let mut index = 0;
        let answers = request.into_inner().map(move |request| {
            let report = request?.report.unwrap_or_default();
            let acknowledgement = Acknowledgement { submission_id: report.submission_id, ..Acknowledgement::default() };
            let outcome = Some(Outcome::Acknowledgement(acknowledgement));
            index += 1;
            Ok(SubmitStreamResponse { submission_id: String::new(), index: index - 1, outcome })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// gRPC alone: the same reports over the same TLS to a service that answers at once. Reports a second.
pub(crate) async fn grpc(mix: &mut Mix, writer: &Writer, senders: usize, lasting: Duration) -> anyhow::Result<f64> {
    let keys = Keys::make()?;
    let listener = Listener::bind(&keys.grpc("collector", ([127, 0, 0, 1], 0).into())).await?;
    let door = Door::to(listener.local_addr()?, keys.credentials("load")?);
    let shutdown = Shutdown::new();
    let stopped = shutdown.clone();
    let service = CollectorServiceServer::new(Echo);
    let serving = tokio::spawn(async move { listener.serve(|server| server.add_service(service), &stopped).await });
    // The same few over and over: what it costs to make them is not what is measured.
    let mut few = Vec::new();
    for _ in 0..1_000 {
        let order = mix.next(Purity::Firsts)?;
        few.push(writer.request(mix, &order));
    }
    let senders = Senders::connect(&door, senders).await?;
    let counts = Arc::clone(&senders.counts);
    let began = Instant::now();
    while began.elapsed() < lasting {
        if Counts::get(&counts.sent) >= Counts::get(&counts.acknowledged) + ON_THEIR_WAY {
            tokio::time::sleep(Duration::from_millis(1)).await;
            anyhow::ensure!(!senders.is_broken(), "the echo broke off");
            continue;
        }
        for (place, request) in few.iter().enumerate() {
            senders.send(place, Parcel { request: request.clone(), due: Instant::now() });
        }
        tokio::task::yield_now().await;
    }
    let (_, counts) = senders.finish(Duration::from_secs(30)).await?;
    let rate = Counts::get(&counts.acknowledged) as f64 / began.elapsed().as_secs_f64();
    shutdown.request();
    serving.await??;
    Ok(rate)
}

/// PostgreSQL alone: a row a report, written as few statements. Reports a second.
pub(crate) async fn postgres(mix: &mut Mix, server: &PostgresServer, lasting: Duration) -> anyhow::Result<f64> {
    let mut connection = PgConnection::connect(&server.url_beside()).await?;
    sqlx::raw_sql(
        r#"CREATE TABLE plain (
            data_set text COLLATE "C", period text COLLATE "C", org_unit text COLLATE "C", revision bigint NOT NULL,
            submission_id uuid NOT NULL, cells bigint[] NOT NULL, received_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (data_set, org_unit, period)
        ) WITH (fillfactor = 85)"#,
    )
    .execute(&mut connection)
    .await?;
    let (mut written, mut spent) = (0_usize, Duration::ZERO);
    while spent < lasting {
        let rows = Rows::next(mix, BATCH)?;
        let began = Instant::now();
        sqlx::query(
            "INSERT INTO plain (data_set, period, org_unit, revision, submission_id, cells)
             SELECT data_set, period, org_unit, revision, submission_id, cells::bigint[]
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::uuid[], $6::text[])
                 AS new (data_set, period, org_unit, revision, submission_id, cells)
             ON CONFLICT (data_set, org_unit, period) DO UPDATE
             SET revision = excluded.revision, submission_id = excluded.submission_id, cells = excluded.cells
             WHERE plain.revision < excluded.revision",
        )
        .bind(&rows.data_sets)
        .bind(&rows.periods)
        .bind(&rows.org_units)
        .bind(&rows.revisions)
        .bind(&rows.ids)
        .bind(&rows.cells)
        .execute(&mut connection)
        .await?;
        spent += began.elapsed();
        written += rows.len();
    }
    sqlx::raw_sql("DROP TABLE plain").execute(&mut connection).await?;
    connection.close().await?;
    Ok(written as f64 / spent.as_secs_f64())
}

/// The fold alone, on one core and in memory: reports a second into the totals of all units above.
pub(crate) fn in_memory(catalogue: &Catalogue, mix: &Mix, lasting: Duration) -> anyhow::Result<f64> {
    let data_set = catalogue.find_data_set(DATA_SETS[0]).context("the catalogue is not that of the load")?;
    let vintage = catalogue.vintage(data_set, "202211".parse::<Period>()?);
    let mut reports = Vec::new();
    for (place, commune) in mix.tree.communes.iter().enumerate() {
        let unit = vintage.find(&commune.code).context("a commune that is not in the tree")?;
        let sums = mix.numbers.of(0, place, 1, Kind::Counts).to_vec();
        let contributing = vec![1; sums.len()];
        let difference = Tally { reported: 1, on_time: 1, warned: 0, sums, contributing };
        reports.push((Entry { unit, is_own: true, level: vintage.unit(unit).level }, difference));
    }
    let (mut folded, began) = (0, Instant::now());
    while began.elapsed() < lasting {
        let mut deltas: FxHashMap<TotalOf, Tally> = FxHashMap::default();
        for (entry, difference) in &reports {
            fold(&mut deltas, data_set, vintage, *entry, difference);
        }
        std::hint::black_box(&deltas);
        folded += reports.len();
    }
    Ok(folded as f64 / began.elapsed().as_secs_f64())
}
