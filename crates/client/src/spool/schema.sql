-- A report is spooled (0), then acknowledged (1) and finished (2), or refused and finished at once. One whose fate stays
-- unknown for long is spooled again. Times are milliseconds since 1970.
CREATE TABLE report (
    -- The order in which a unit's reports are sent. Numbers are not used again.
    place           INTEGER PRIMARY KEY AUTOINCREMENT,
    id              BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    -- The org unit: of a lane's reports one is under way at a time.
    lane            TEXT    NOT NULL,
    -- tonghop.report.v1.Report
    body            BLOB    NOT NULL,
    state           INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)),
    spooled_at      INTEGER NOT NULL,
    -- When it was first sent. Written before it is sent.
    sent_at         INTEGER,
    -- Until when the collector does not want to see it again.
    not_before      INTEGER NOT NULL DEFAULT 0,
    acknowledged_at INTEGER,
    -- tonghop.collector.v1.Acknowledgement
    acknowledgement BLOB,
    pushed_again    INTEGER NOT NULL DEFAULT 0,
    -- The order in which reports were finished.
    finished        INTEGER UNIQUE,
    finished_at     INTEGER,
    -- What the outcome is, and the message that tells it.
    outcome_kind    INTEGER,
    outcome         BLOB,
    CHECK ((state = 2) = (finished IS NOT NULL)),
    CHECK (state <> 1 OR acknowledgement IS NOT NULL)
) STRICT;

CREATE INDEX report_by_state ON report (state, place);

-- Reports that were spooled together, under the names and numbers that their sender has for them.
CREATE TABLE member (
    batch  TEXT    NOT NULL,
    number INTEGER NOT NULL,
    id     BLOB    NOT NULL,
    -- None where the id belongs to a report of other content.
    report INTEGER REFERENCES report (place),
    PRIMARY KEY (batch, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX member_by_report ON member (report);
