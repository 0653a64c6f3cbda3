-- Everything is keyed by the codes people know: (data set, period, org unit). Which unit a code means follows from the
-- period's last day. Codes sort by their bytes, whatever the server's locale.

CREATE TABLE catalogue_version (
    version text PRIMARY KEY,
    loaded_at timestamptz NOT NULL,
    is_current boolean NOT NULL
);
COMMENT ON TABLE catalogue_version IS 'The catalogues that were provisioned. Reports keep the version they were judged by.';
COMMENT ON COLUMN catalogue_version.version IS 'The name in the catalogue''s own file, and a hash over all its files.';
COMMENT ON COLUMN catalogue_version.loaded_at IS 'When it was provisioned.';
COMMENT ON COLUMN catalogue_version.is_current IS 'Whether reports are judged by it now.';
CREATE UNIQUE INDEX catalogue_version_current ON catalogue_version (is_current) WHERE is_current;

CREATE TABLE org_unit (
    catalogue_version text NOT NULL REFERENCES catalogue_version,
    code text COLLATE "C" NOT NULL,
    valid_from date NOT NULL,
    valid_to date NOT NULL,
    name text NOT NULL,
    level text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    parent_code text COLLATE "C",
    PRIMARY KEY (catalogue_version, code, valid_from)
);
COMMENT ON TABLE org_unit IS 'The administrative tree over time: one row for each unit and span of days.';
COMMENT ON COLUMN org_unit.catalogue_version IS 'The catalogue the row belongs to.';
COMMENT ON COLUMN org_unit.code IS 'The code of the statistics office; unique on one day, not over time.';
COMMENT ON COLUMN org_unit.valid_from IS 'The first day; -infinity where the beginning is unknown.';
COMMENT ON COLUMN org_unit.valid_to IS 'The first day it is no more; infinity while in force.';
COMMENT ON COLUMN org_unit.name IS 'The registry''s spelling.';
COMMENT ON COLUMN org_unit.level IS 'national, ministry, province, district, commune.';
COMMENT ON COLUMN org_unit.kind IS 'The kind within the level, for people.';
COMMENT ON COLUMN org_unit.parent_code IS 'The unit above; null for the root.';

CREATE TABLE data_set (
    catalogue_version text NOT NULL REFERENCES catalogue_version,
    code text COLLATE "C" NOT NULL,
    calendar text NOT NULL,
    period_type text NOT NULL,
    PRIMARY KEY (catalogue_version, code)
);
COMMENT ON TABLE data_set IS 'The forms.';
COMMENT ON COLUMN data_set.catalogue_version IS 'The catalogue the row belongs to.';
COMMENT ON COLUMN data_set.code IS 'The form''s code.';
COMMENT ON COLUMN data_set.calendar IS 'gregorian or decree09.';
COMMENT ON COLUMN data_set.period_type IS 'day, week, month, quarter, half_year, year.';

CREATE TABLE cell (
    catalogue_version text NOT NULL,
    data_set text COLLATE "C" NOT NULL,
    place integer NOT NULL,
    data_element text COLLATE "C" NOT NULL,
    option text COLLATE "C",
    decimals smallint NOT NULL,
    additive boolean NOT NULL,
    PRIMARY KEY (catalogue_version, data_set, place),
    FOREIGN KEY (catalogue_version, data_set) REFERENCES data_set
);
COMMENT ON TABLE cell IS 'The numbers of each form, in order.';
COMMENT ON COLUMN cell.catalogue_version IS 'The catalogue the row belongs to.';
COMMENT ON COLUMN cell.data_set IS 'The form.';
COMMENT ON COLUMN cell.place IS 'The place in the arrays of report and total, from 1.';
COMMENT ON COLUMN cell.data_element IS 'What is counted.';
COMMENT ON COLUMN cell.option IS 'For which option, where it is disaggregated.';
COMMENT ON COLUMN cell.decimals IS 'The stored integer is the number times ten to this power.';
COMMENT ON COLUMN cell.additive IS 'Whether a unit''s value goes into the totals above it.';

CREATE TABLE report (
    data_set text COLLATE "C" NOT NULL,
    period text COLLATE "C" NOT NULL,
    org_unit text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    submission_id uuid NOT NULL,
    digest bytea NOT NULL,
    withdrawn boolean NOT NULL,
    cells bigint[] NOT NULL,
    catalogue_version text NOT NULL,
    principal text NOT NULL,
    received_at timestamptz NOT NULL,
    log_sequence bigint NOT NULL,
    log_index integer NOT NULL,
    position bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (data_set, period, org_unit)
) WITH (fillfactor = 85);
COMMENT ON TABLE report IS 'What counts: the highest revision of each unit''s report.';
COMMENT ON COLUMN report.data_set IS 'The form.';
COMMENT ON COLUMN report.period IS 'The span, as 202211.';
COMMENT ON COLUMN report.org_unit IS 'The unit that had this code on the period''s last day.';
COMMENT ON COLUMN report.revision IS 'The sender''s version number; the highest counts.';
COMMENT ON COLUMN report.submission_id IS 'The sender''s name for the submission.';
COMMENT ON COLUMN report.digest IS 'Tells the content from another: the first 16 bytes of a SHA-256.';
COMMENT ON COLUMN report.withdrawn IS 'Whether this revision takes the report back; then there are no cells.';
COMMENT ON COLUMN report.cells IS 'The numbers in the order of the form''s cells, scaled; null is absent, not zero.';
COMMENT ON COLUMN report.catalogue_version IS 'The catalogue it was judged by.';
COMMENT ON COLUMN report.principal IS 'Who sent it.';
COMMENT ON COLUMN report.received_at IS 'When the collector took it.';
COMMENT ON COLUMN report.log_sequence IS 'The message of the log of submitted reports it came in.';
COMMENT ON COLUMN report.log_index IS 'The place in that message.';
COMMENT ON COLUMN report.position IS 'The position of its verdict in the log of verdicts.';
COMMENT ON COLUMN report.version IS 'Grows by one each time the key''s report changes.';

CREATE TABLE report_history (
    LIKE report INCLUDING COMMENTS,
    since bigint NOT NULL,
    PRIMARY KEY (data_set, period, org_unit, revision, log_sequence, log_index)
);
COMMENT ON TABLE report_history IS 'Every revision that counts no longer. Rows are added, never changed.';
COMMENT ON COLUMN report_history.since IS 'The position from which it does not count; its own where it never did.';

CREATE TABLE submission (
    log_sequence bigint NOT NULL,
    log_index integer NOT NULL,
    submission_id uuid,
    data_set text COLLATE "C" NOT NULL,
    period text COLLATE "C" NOT NULL,
    org_unit text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    fate text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    principal text NOT NULL,
    received_at timestamptz NOT NULL,
    position bigint NOT NULL,
    violations jsonb,
    violations_omitted integer NOT NULL,
    PRIMARY KEY (log_sequence, log_index)
);
COMMENT ON TABLE submission IS 'The ledger: each acknowledged report and its one fate. Rows are added, never changed.';
COMMENT ON COLUMN submission.log_sequence IS 'The message of the log of submitted reports it came in.';
COMMENT ON COLUMN submission.log_index IS 'The place in that message.';
COMMENT ON COLUMN submission.submission_id IS 'The sender''s name for it; null where it could not be read.';
COMMENT ON COLUMN submission.data_set IS 'The form it was for, in the sender''s words.';
COMMENT ON COLUMN submission.period IS 'The span it was for, in the sender''s words.';
COMMENT ON COLUMN submission.org_unit IS 'The unit it was for, in the sender''s words.';
COMMENT ON COLUMN submission.revision IS 'The revision it had.';
COMMENT ON COLUMN submission.fate IS 'ACCEPTED, REJECTED, DUPLICATE or SUPERSEDED.';
COMMENT ON COLUMN submission.digest IS 'Tells the content from another.';
COMMENT ON COLUMN submission.principal IS 'Who sent it.';
COMMENT ON COLUMN submission.received_at IS 'When the collector took it.';
COMMENT ON COLUMN submission.position IS 'The position of its verdict in the log of verdicts.';
COMMENT ON COLUMN submission.violations IS 'Why it was rejected, or what is odd about it: [{reason, severity, field, vi, en}].';
COMMENT ON COLUMN submission.violations_omitted IS 'How many more violations there were.';
-- Each row is in one of the two: what was said is asked for in every batch, however often it was rejected before.
CREATE INDEX submission_said ON submission (submission_id) WHERE fate <> 'REJECTED';
CREATE INDEX submission_rejected ON submission (submission_id) WHERE fate = 'REJECTED';

CREATE TABLE total (
    data_set text COLLATE "C" NOT NULL,
    period text COLLATE "C" NOT NULL,
    org_unit text COLLATE "C" NOT NULL,
    level text COLLATE "C" NOT NULL,
    reported bigint NOT NULL,
    sums bigint[] NOT NULL,
    contributing bigint[] NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (data_set, period, org_unit, level)
) WITH (fillfactor = 50);
COMMENT ON TABLE total IS 'The totals of each unit that has units below it. A unit without has its report.';
COMMENT ON COLUMN total.data_set IS 'The form.';
COMMENT ON COLUMN total.period IS 'The span.';
COMMENT ON COLUMN total.org_unit IS 'The unit whose subtree is added.';
COMMENT ON COLUMN total.level IS 'The level whose reports are added.';
COMMENT ON COLUMN total.reported IS 'How many units'' reports are in it.';
COMMENT ON COLUMN total.sums IS 'The sum of each cell, in the form''s order, scaled.';
COMMENT ON COLUMN total.contributing IS 'How many reports gave each cell a value.';
COMMENT ON COLUMN total.version IS 'The unit''s totals together grow by one with each change; this level last changed at that.';
COMMENT ON COLUMN total.position IS 'The position of the log of verdicts at which it last changed.';
COMMENT ON COLUMN total.changed_at IS 'When it last changed.';

CREATE TABLE partition_progress (
    partition integer PRIMARY KEY,
    position bigint NOT NULL
);
COMMENT ON TABLE partition_progress IS 'How far each partition of the log of verdicts is counted. Moves in the transaction that counts.';
COMMENT ON COLUMN partition_progress.partition IS 'The partition.';
COMMENT ON COLUMN partition_progress.position IS 'Every verdict of the partition up to this position is counted, none after it.';

CREATE TABLE outbox (
    partition integer NOT NULL,
    position bigint NOT NULL,
    events bytea NOT NULL,
    PRIMARY KEY (partition, position)
);
COMMENT ON TABLE outbox IS 'Events about totals that are not known to be published. A row goes when they are.';
COMMENT ON COLUMN outbox.partition IS 'The partition whose batch made them.';
COMMENT ON COLUMN outbox.position IS 'The position the batch reached.';
COMMENT ON COLUMN outbox.events IS 'All events of the batch, packed.';

CREATE TABLE quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    position bigint NOT NULL UNIQUE,
    log_sequence bigint NOT NULL,
    subject text NOT NULL,
    error text NOT NULL,
    payload bytea NOT NULL,
    found_at timestamptz NOT NULL
);
COMMENT ON TABLE quarantine IS 'Messages that could not be read, kept for a person to look at.';
COMMENT ON COLUMN quarantine.id IS 'A number to speak of it by.';
COMMENT ON COLUMN quarantine.position IS 'Its position in the log of verdicts.';
COMMENT ON COLUMN quarantine.log_sequence IS 'Where it stood in the log it was found in.';
COMMENT ON COLUMN quarantine.subject IS 'The subject it was published on.';
COMMENT ON COLUMN quarantine.error IS 'Why it could not be read.';
COMMENT ON COLUMN quarantine.payload IS 'Its bytes, cut to a bound.';
COMMENT ON COLUMN quarantine.found_at IS 'When it was written down.';

-- The last day of a period, in plain SQL and on purpose not in the words of the services: what `tonghop verify` recomputes
-- must not share their mistakes.
CREATE FUNCTION period_last_day(period text, calendar text) RETURNS date
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN period ~ '^\d{8}$' THEN to_date(period, 'YYYYMMDD')
        WHEN period ~ '^\d{4}W\d{2}$' THEN to_date(left(period, 4) || '-' || right(period, 2) || '-7', 'IYYY-IW-ID')
        WHEN calendar = 'decree09' THEN make_date(left(period, 4)::int, month, 14)
        ELSE (make_date(left(period, 4)::int, month, 1) + interval '1 month' - interval '1 day')::date
    END
    FROM (SELECT CASE
        WHEN period ~ '^\d{6}$' THEN right(period, 2)::int
        WHEN period ~ 'Q\d$' THEN right(period, 1)::int * 3
        WHEN period ~ 'S\d$' THEN right(period, 1)::int * 6
        ELSE 12
    END AS month) AS last
$$;
