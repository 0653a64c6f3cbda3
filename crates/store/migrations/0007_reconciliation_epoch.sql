-- Totals are checked all the time, put right where they are wrong, and brought together with what was published after a restore.

CREATE TABLE reconciliation (
    data_set text COLLATE "C" NOT NULL,
    period text COLLATE "C" NOT NULL,
    checked_at timestamptz NOT NULL,
    totals bigint NOT NULL,
    mismatches bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (data_set, period)
);
COMMENT ON TABLE reconciliation IS 'What the last recomputation of each form''s period found.';
COMMENT ON COLUMN reconciliation.data_set IS 'The form; * for all at once.';
COMMENT ON COLUMN reconciliation.period IS 'The span, also a longer one; * for all at once.';
COMMENT ON COLUMN reconciliation.checked_at IS 'When it was recomputed.';
COMMENT ON COLUMN reconciliation.totals IS 'How many totals were compared.';
COMMENT ON COLUMN reconciliation.mismatches IS 'How many were not what the reports add up to.';
COMMENT ON COLUMN reconciliation.position IS 'Every verdict up to this position may have been counted.';

ALTER TABLE partition_progress ADD COLUMN epoch bigint NOT NULL DEFAULT 1;
COMMENT ON COLUMN partition_progress.epoch IS 'Grows each time totals are changed by anything else than counting: whoever counts starts over then.';

-- Several rows at one position: what a replay corrects is published after the events of the batch that reached it.
ALTER TABLE outbox ADD COLUMN part integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN outbox.part IS '0 for the events of the batch; what follows them is numbered.';
ALTER TABLE outbox DROP CONSTRAINT outbox_pkey;
ALTER TABLE outbox ADD PRIMARY KEY (partition, position, part);
