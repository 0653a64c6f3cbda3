//! Three designs that somebody might pick instead, in SQL on the same PostgreSQL. None of them checks a rule, answers a sender,
//! keeps history or publishes anything; forms and units are small integers, which suits them.

use anyhow::Context as _;
use std::time::Duration;

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, pull},
    stream::{Config, StorageType},
};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use local::{NatsOptions, NatsServer, PostgresServer};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::Instant;

use crate::{
    limits::BATCH,
    mix::{CELLS, Mix},
    rows::{Rows, array},
};

/// Reports a second of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rivals {
    /// A row per value, upserted, and totals rebuilt with `GROUP BY`: the layout of DHIS2.
    pub(crate) row_per_value: f64,
    /// A row per report, and a trigger on each row that keeps the totals.
    pub(crate) triggers: f64,
    /// One statement a batch that writes the reports and adds the differences, fed from memory.
    pub(crate) set_based: f64,
    /// The same, fed from JetStream.
    pub(crate) set_based_from_jetstream: f64,
}

const SCHEMA: &str = "
CREATE TABLE above (commune integer, unit integer, PRIMARY KEY (commune, unit));
CREATE TABLE value (form integer, commune integer, cell smallint, number bigint NOT NULL, PRIMARY KEY (form, commune, cell));
CREATE TABLE report (form integer, commune integer, revision bigint NOT NULL, cells bigint[] NOT NULL, PRIMARY KEY (form, commune))
    WITH (fillfactor = 85);
CREATE TABLE total (form integer, unit integer, reported bigint NOT NULL, sums bigint[] NOT NULL, PRIMARY KEY (form, unit))
    WITH (fillfactor = 50);
CREATE FUNCTION keep_totals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE total SET reported = reported + (OLD IS NULL)::integer, sums = (
        SELECT array_agg(sum + one - coalesce(other, 0) ORDER BY place)
        FROM unnest(total.sums, NEW.cells, OLD.cells) WITH ORDINALITY AS cell (sum, one, other, place)
    ) FROM above WHERE above.commune = NEW.commune AND total.form = NEW.form AND total.unit = above.unit;
    RETURN NULL;
END $$";

/// Runs all of them.
///
/// # Errors
/// When a server does not answer, or a design gives wrong totals: then its figure would mean nothing.
pub(crate) async fn run(mix: &mut Mix, server: &PostgresServer, lasting: Duration) -> anyhow::Result<Rivals> {
    let mut connection = PgConnection::connect(&server.url_beside()).await?;
    sqlx::raw_sql(SCHEMA).execute(&mut connection).await?;
    let pairs = mix.tree.communes.iter().enumerate();
    let pairs = pairs.flat_map(|(commune, unit)| unit.above.iter().map(move |above| (commune, *above)));
    let (communes, units): (Vec<i32>, Vec<i32>) = pairs
        .map(|(commune, above)| anyhow::Ok((i32::try_from(commune)?, i32::try_from(above)?)))
        .collect::<Result<_, _>>()?;
    sqlx::query("INSERT INTO above SELECT * FROM unnest($1::integer[], $2::integer[])")
        .bind(communes)
        .bind(units)
        .execute(&mut connection)
        .await?;
    sqlx::raw_sql("ANALYZE above").execute(&mut connection).await?;

    let row_per_value = row_per_value(mix, &mut connection, lasting).await?;
    let triggers = triggers(mix, &mut connection, lasting).await?;
    let set_based = set_based(mix, &mut connection, lasting).await?;
    let set_based_from_jetstream = from_jetstream(mix, &mut connection, lasting, set_based).await?;
    connection.close().await?;
    Ok(Rivals { row_per_value, triggers, set_based, set_based_from_jetstream })
}

/// Every month's totals begin at nothing, so that a batch has only to add.
async fn begin(mix: &mut Mix, connection: &mut PgConnection) -> anyhow::Result<()> {
    mix.begin(3)?;
    sqlx::raw_sql("TRUNCATE value, report, total").execute(connection).await?;
    Ok(())
}

/// Makes the rows of total that a batch needs.
async fn make_totals(rows: &Rows, known: &mut Vec<i32>, connection: &mut PgConnection) -> anyhow::Result<()> {
    let mut forms: Vec<i32> = rows.forms.iter().copied().filter(|form| !known.contains(form)).collect();
    forms.sort_unstable();
    forms.dedup();
    if !forms.is_empty() {
        sqlx::query(
            "INSERT INTO total SELECT form, unit, 0, array_fill(0::bigint, ARRAY[$2::integer])
             FROM unnest($1::integer[]) AS form CROSS JOIN (SELECT DISTINCT unit FROM above) AS units",
        )
        .bind(&forms)
        .bind(i32::try_from(CELLS)?)
        .execute(connection)
        .await?;
        known.extend(forms);
    }
    Ok(())
}

async fn row_per_value(mix: &mut Mix, connection: &mut PgConnection, lasting: Duration) -> anyhow::Result<f64> {
    const REPORTS: usize = 500;
    begin(mix, connection).await?;
    let cells: Vec<i16> = (1..=i16::try_from(CELLS)?).collect();
    let (mut written, mut spent) = (0_usize, Duration::ZERO);
    // The rebuild takes its part of the time.
    while spent < lasting.mul_f64(0.7) {
        let rows = Rows::next(mix, REPORTS)?;
        let each = |places: &[i32]| places.iter().flat_map(|place| [*place; CELLS]).collect::<Vec<i32>>();
        let (forms, communes) = (each(&rows.forms), each(&rows.communes));
        let places = cells.repeat(rows.len());
        let numbers = rows.numbers.concat();
        let began = Instant::now();
        sqlx::query(
            "INSERT INTO value SELECT * FROM unnest($1::integer[], $2::integer[], $3::smallint[], $4::bigint[])
             ON CONFLICT (form, commune, cell) DO UPDATE SET number = excluded.number",
        )
        .bind(forms)
        .bind(communes)
        .bind(places)
        .bind(numbers)
        .execute(&mut *connection)
        .await?;
        spent += began.elapsed();
        written += rows.len();
    }
    let began = Instant::now();
    let rebuilt = sqlx::query(
        "INSERT INTO total SELECT form, unit, max(reports), array_agg(sum ORDER BY cell) FROM (
             SELECT form, unit, cell, sum(number)::bigint AS sum, count(*) AS reports
             FROM value JOIN above USING (commune) GROUP BY form, unit, cell
         ) AS cells GROUP BY form, unit",
    )
    .execute(&mut *connection)
    .await?;
    spent += began.elapsed();
    anyhow::ensure!(rebuilt.rows_affected() > 0, "the rebuild gave no totals");
    // Cell by cell, not as the statement under test put them together.
    let wrong: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (
             SELECT form, unit, cell, sum(number)::bigint AS sum FROM value JOIN above USING (commune) GROUP BY form, unit, cell
         ) AS wanted FULL JOIN (
             SELECT form, unit, cell, sum FROM total CROSS JOIN unnest(sums) WITH ORDINALITY AS cells (sum, cell)
         ) AS found USING (form, unit, cell) WHERE wanted.sum IS DISTINCT FROM found.sum",
    )
    .fetch_one(&mut *connection)
    .await?;
    anyhow::ensure!(wrong == 0, "a row a value gives {wrong} wrong cells of totals");
    Ok(written as f64 / spent.as_secs_f64())
}

async fn triggers(mix: &mut Mix, connection: &mut PgConnection, lasting: Duration) -> anyhow::Result<f64> {
    const REPORTS: usize = 200;
    begin(mix, connection).await?;
    sqlx::raw_sql(
        "CREATE TRIGGER keep_totals AFTER INSERT OR UPDATE ON report FOR EACH ROW EXECUTE FUNCTION keep_totals()",
    )
    .execute(&mut *connection)
    .await?;
    let (mut written, mut spent, mut known) = (0_usize, Duration::ZERO, Vec::new());
    while spent < lasting {
        let rows = Rows::next(mix, REPORTS)?;
        make_totals(&rows, &mut known, connection).await?;
        let began = Instant::now();
        sqlx::query(
            "INSERT INTO report SELECT form, commune, revision, cells::bigint[]
             FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::text[]) AS new (form, commune, revision, cells)
             ON CONFLICT (form, commune) DO UPDATE SET revision = excluded.revision, cells = excluded.cells
             WHERE report.revision < excluded.revision",
        )
        .bind(&rows.forms)
        .bind(&rows.communes)
        .bind(&rows.revisions)
        .bind(&rows.cells)
        .execute(&mut *connection)
        .await?;
        spent += began.elapsed();
        written += rows.len();
    }
    sqlx::raw_sql("DROP TRIGGER keep_totals ON report").execute(&mut *connection).await?;
    right(connection).await?;
    Ok(written as f64 / spent.as_secs_f64())
}

/// One statement: the reports, their differences to what stood, and the totals above.
fn delta() -> String {
    let cells = |each: &dyn Fn(usize) -> String| (1..=CELLS).map(each).collect::<Vec<_>>().join(", ");
    let differences =
        cells(&|cell| format!("sum(kept.cells[{cell}] - coalesce(old.cells[{cell}], 0))::bigint AS c{cell}"));
    let added = cells(&|cell| format!("total.sums[{cell}] + delta.c{cell}"));
    format!(
        "WITH batch AS MATERIALIZED (
             SELECT form, commune, revision, cells::bigint[] AS cells
             FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::text[]) AS new (form, commune, revision, cells)
         ), old AS MATERIALIZED (
             SELECT report.form, report.commune, report.cells FROM batch JOIN report USING (form, commune)
         ), kept AS (
             INSERT INTO report SELECT * FROM batch
             ON CONFLICT (form, commune) DO UPDATE SET revision = excluded.revision, cells = excluded.cells
             WHERE report.revision < excluded.revision
             RETURNING form, commune, cells
         ), delta AS (
             SELECT form, unit, count(*) FILTER (WHERE old.form IS NULL) AS new, {differences}
             FROM kept LEFT JOIN old USING (form, commune) JOIN above USING (commune) GROUP BY form, unit
         )
         UPDATE total SET reported = reported + new, sums = ARRAY[{added}]
         FROM delta WHERE total.form = delta.form AND total.unit = delta.unit"
    )
}

async fn count(rows: &Rows, statement: &str, connection: &mut PgConnection) -> anyhow::Result<()> {
    sqlx::query(AssertSqlSafe(statement))
        .bind(&rows.forms)
        .bind(&rows.communes)
        .bind(&rows.revisions)
        .bind(&rows.cells)
        .execute(connection)
        .await?;
    Ok(())
}

async fn set_based(mix: &mut Mix, connection: &mut PgConnection, lasting: Duration) -> anyhow::Result<f64> {
    begin(mix, connection).await?;
    let (mut written, mut spent, mut known, statement) = (0_usize, Duration::ZERO, Vec::new(), delta());
    while spent < lasting {
        let rows = Rows::next(mix, BATCH)?;
        make_totals(&rows, &mut known, connection).await?;
        let began = Instant::now();
        count(&rows, &statement, connection).await?;
        spent += began.elapsed();
        written += rows.len();
    }
    right(connection).await?;
    Ok(written as f64 / spent.as_secs_f64())
}

/// The totals are what the reports add up to.
async fn right(connection: &mut PgConnection) -> anyhow::Result<()> {
    let wrong: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM total LEFT JOIN (
             SELECT form, unit, max(reported) AS reported, array_agg(sum ORDER BY cell) AS sums FROM (
                 SELECT form, unit, cell, count(*) AS reported, sum(number)::bigint AS sum
                 FROM report JOIN above USING (commune) CROSS JOIN unnest(cells) WITH ORDINALITY AS each (number, cell)
                 GROUP BY form, unit, cell
             ) AS cells GROUP BY form, unit
         ) AS wanted USING (form, unit)
         WHERE (total.reported, total.sums) IS DISTINCT FROM (coalesce(wanted.reported, 0), coalesce(wanted.sums, $1))",
    )
    .bind(vec![0_i64; CELLS])
    .fetch_one(connection)
    .await?;
    anyhow::ensure!(wrong == 0, "a design in SQL that is compared with gives {wrong} wrong totals");
    Ok(())
}

/// The same statement, with batches that come out of JetStream while others go in, each on disk before it is acknowledged.
///
/// Twice as many are made as come to be counted from memory, `set_based` a second.
async fn from_jetstream(
    mix: &mut Mix,
    connection: &mut PgConnection,
    lasting: Duration,
    set_based: f64,
) -> anyhow::Result<f64> {
    /// Reports in a message.
    const REPORTS: usize = 500;
    begin(mix, connection).await?;
    let nats = NatsServer::start(NatsOptions::default()).await?;
    let context = jetstream::new(async_nats::connect(nats.url()).await?);
    let config = Config {
        name: "RIVAL".to_owned(),
        subjects: vec!["rival".to_owned()],
        storage: StorageType::File,
        max_bytes: 8 << 30,
        ..Config::default()
    };
    let stream = context.create_stream(config).await?;
    let config = pull::Config {
        durable_name: Some("rival".to_owned()),
        ack_policy: AckPolicy::All,
        max_ack_pending: -1,
        ..pull::Config::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;

    // Made before: to make them is nobody's work here. More than can be counted in the time.
    let mut made: Vec<Bytes> = Vec::new();
    let mut known = Vec::new();
    while (made.len() * REPORTS) as f64 / lasting.as_secs_f64() < 2.0 * set_based {
        let rows = Rows::next(mix, REPORTS)?;
        make_totals(&rows, &mut known, connection).await?;
        made.push(pack(&rows));
    }
    let publishing = tokio::spawn(async move {
        for message in made {
            context.publish("rival", message).await?.await?;
        }
        anyhow::Ok(())
    });
    let (mut written, statement, began) = (0_usize, delta(), Instant::now());
    while began.elapsed() < lasting {
        let mut rows = Rows::default();
        let mut last = None;
        while rows.forms.len() < BATCH {
            // What is there, or the first that comes.
            let next =
                tokio::time::timeout(Duration::from_millis(if last.is_none() { 1_000 } else { 1 }), messages.next());
            let Ok(Some(message)) = next.await else { break };
            let message = message?;
            unpack(message.payload.clone(), &mut rows)?;
            last = Some(message);
        }
        let last = last.context("the stream of a design that is compared with ran dry")?;
        written += rows.forms.len();
        count_latest(&mut rows);
        count(&rows, &statement, connection).await?;
        last.ack().await.map_err(|error| anyhow::anyhow!("an acknowledgement was not sent: {error}"))?;
    }
    let rate = written as f64 / began.elapsed().as_secs_f64();
    publishing.abort();
    right(connection).await?;
    Ok(rate)
}

/// Of reports on the same form from the same commune, the last alone: a statement cannot write a row twice.
fn count_latest(rows: &mut Rows) {
    let mut latest = std::collections::BTreeMap::new();
    for place in 0..rows.forms.len() {
        latest.insert((rows.forms[place], rows.communes[place]), place);
    }
    let places: Vec<usize> = latest.into_values().collect();
    rows.revisions = places.iter().map(|place| rows.revisions[*place]).collect();
    rows.cells = places.iter().map(|place| std::mem::take(&mut rows.cells[*place])).collect();
    rows.forms = places.iter().map(|place| rows.forms[*place]).collect::<Vec<_>>();
    rows.communes = places.iter().map(|place| rows.communes[*place]).collect();
}

fn pack(rows: &Rows) -> Bytes {
    let mut bytes = BytesMut::with_capacity(rows.len() * (16 + CELLS * 8));
    for place in 0..rows.len() {
        bytes.put_i32(rows.forms[place]);
        bytes.put_i32(rows.communes[place]);
        bytes.put_i64(rows.revisions[place]);
        rows.numbers[place].iter().for_each(|number| bytes.put_i64(*number));
    }
    bytes.freeze()
}

fn unpack(mut bytes: Bytes, rows: &mut Rows) -> anyhow::Result<()> {
    while bytes.has_remaining() {
        rows.forms.push(bytes.try_get_i32()?);
        rows.communes.push(bytes.try_get_i32()?);
        rows.revisions.push(bytes.try_get_i64()?);
        let mut numbers = [0; CELLS];
        for number in &mut numbers {
            *number = bytes.try_get_i64()?;
        }
        rows.cells.push(array(&numbers));
    }
    Ok(())
}
