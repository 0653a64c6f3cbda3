-- Totals of longer periods, punctuality, warnings, words; catalogues side by side; closed periods that are opened again.

CREATE TABLE catalogue_file (
    catalogue_version text NOT NULL REFERENCES catalogue_version,
    path text COLLATE "C" NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (catalogue_version, path)
);
COMMENT ON TABLE catalogue_file IS 'The files of each catalogue: a report is counted by the catalogue it was judged by, for as long as it counts.';
COMMENT ON COLUMN catalogue_file.catalogue_version IS 'The catalogue the file belongs to.';
COMMENT ON COLUMN catalogue_file.path IS 'Its path in the catalogue''s directory, with slashes.';
COMMENT ON COLUMN catalogue_file.content IS 'Its bytes.';

CREATE TABLE recoding (
    catalogue_version text NOT NULL REFERENCES catalogue_version,
    day date NOT NULL,
    PRIMARY KEY (catalogue_version, day)
);
COMMENT ON TABLE recoding IS 'Days on which codes were given anew: the same code before and after means two units.';
COMMENT ON COLUMN recoding.catalogue_version IS 'The catalogue that says so.';
COMMENT ON COLUMN recoding.day IS 'The first day of the new codes.';

ALTER TABLE cell ADD COLUMN time_aggregation text COLLATE "C" NOT NULL DEFAULT 'none';
ALTER TABLE cell ALTER COLUMN time_aggregation DROP DEFAULT;
COMMENT ON COLUMN cell.time_aggregation IS 'How it adds up over periods: sum, last or none.';

ALTER TABLE report
    ADD COLUMN on_time boolean NOT NULL DEFAULT true,
    ADD COLUMN warnings integer NOT NULL DEFAULT 0,
    ADD COLUMN notes jsonb;
ALTER TABLE report
    ALTER COLUMN on_time DROP DEFAULT,
    ALTER COLUMN warnings DROP DEFAULT;
COMMENT ON COLUMN report.on_time IS 'Whether a revision with values came in before the deadline.';
COMMENT ON COLUMN report.warnings IS 'How many warnings it was given; they are in the ledger, with the submission.';
COMMENT ON COLUMN report.notes IS 'The words of the cells that take words: {place from 0: text}; null without any.';
-- A unit's reports of one form together: the totals of a longer period need the unit's report before and after.
ALTER TABLE report DROP CONSTRAINT report_pkey;
ALTER TABLE report ADD PRIMARY KEY (data_set, org_unit, period);

ALTER TABLE report_history
    ADD COLUMN on_time boolean NOT NULL DEFAULT true,
    ADD COLUMN warnings integer NOT NULL DEFAULT 0,
    ADD COLUMN notes jsonb;
ALTER TABLE report_history
    ALTER COLUMN on_time DROP DEFAULT,
    ALTER COLUMN warnings DROP DEFAULT;
COMMENT ON COLUMN report_history.on_time IS 'Whether a revision with values came in before the deadline.';
COMMENT ON COLUMN report_history.warnings IS 'How many warnings it was given.';
COMMENT ON COLUMN report_history.notes IS 'The words of the cells that take words.';

ALTER TABLE total
    ADD COLUMN on_time bigint NOT NULL DEFAULT 0,
    ADD COLUMN warned bigint NOT NULL DEFAULT 0;
ALTER TABLE total
    ALTER COLUMN on_time DROP DEFAULT,
    ALTER COLUMN warned DROP DEFAULT;
COMMENT ON COLUMN total.on_time IS 'How many of the reports were on time. Of a longer period 0: it has no deadline.';
COMMENT ON COLUMN total.warned IS 'How many of the reports have warnings. Of a longer period 0.';
COMMENT ON COLUMN total.period IS 'The span: one of the form''s own, or a longer one that its reports are added up for.';

CREATE TABLE reopening (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    data_set text COLLATE "C" NOT NULL,
    period text COLLATE "C" NOT NULL,
    org_unit text COLLATE "C" NOT NULL,
    until timestamptz NOT NULL,
    reason text NOT NULL,
    principal text NOT NULL,
    opened_at timestamptz NOT NULL
);
COMMENT ON TABLE reopening IS 'Closed periods that were opened again, by whom and why. Rows are added, never changed.';
COMMENT ON COLUMN reopening.id IS 'A number to speak of it by.';
COMMENT ON COLUMN reopening.data_set IS 'The form.';
COMMENT ON COLUMN reopening.period IS 'The span.';
COMMENT ON COLUMN reopening.org_unit IS 'The unit that may report again, with all units below it.';
COMMENT ON COLUMN reopening.until IS 'The instant from which it is closed again.';
COMMENT ON COLUMN reopening.reason IS 'Why.';
COMMENT ON COLUMN reopening.principal IS 'Who opened it.';
COMMENT ON COLUMN reopening.opened_at IS 'When.';
CREATE INDEX reopening_of ON reopening (data_set, period);
