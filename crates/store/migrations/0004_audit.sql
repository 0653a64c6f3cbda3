-- The audit log: who did what, in chains that cannot be changed without being seen.

CREATE TABLE audit (
    chain text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    position bigint NOT NULL,
    entries text NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (chain, number)
);
COMMENT ON TABLE audit IS 'Reports that were counted, reports that were refused, and what operators did. Rows are added, never changed.';
COMMENT ON COLUMN audit.chain IS 'counted.PARTITION, refused or operated.';
COMMENT ON COLUMN audit.number IS 'The place in the chain, from 1, without gaps.';
COMMENT ON COLUMN audit.at IS 'When it was written down.';
COMMENT ON COLUMN audit.position IS 'How far the log was read that the entries are from; 0 of what operators did.';
COMMENT ON COLUMN audit.entries IS 'Lines, each with a line feed at its end and tabs between its fields.';
COMMENT ON COLUMN audit.hash IS 'SHA-256 of the hash before it (none for the first), then in UTF-8: chain, number, microseconds since 1970 and position with tabs between, a line feed, and the entries.';
CREATE INDEX audit_at ON audit (at);

-- Thousands of entries a row, written once and seldom read: the quick compression where the server has it, else none.
DO $$ BEGIN
    ALTER TABLE audit ALTER COLUMN entries SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    ALTER TABLE audit ALTER COLUMN entries SET STORAGE EXTERNAL;
END $$;

-- Grants keep services from changing history; this keeps the owner from doing so by mistake.
CREATE FUNCTION only_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are added, never changed or removed', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON audit EXECUTE FUNCTION only_added();
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON submission EXECUTE FUNCTION only_added();
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON report_history EXECUTE FUNCTION only_added();
CREATE TRIGGER only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON reopening EXECUTE FUNCTION only_added();

-- Adds the next link of a chain. Whoever calls it holds a lock under which nobody else adds to the chain.
CREATE FUNCTION audit_append(of_chain text, at timestamptz, read_to bigint, entries text) RETURNS bigint
LANGUAGE sql AS $$
    WITH before AS (
        SELECT 0 AS number, ''::bytea AS hash
        UNION ALL SELECT * FROM (SELECT number, hash FROM audit WHERE chain = of_chain ORDER BY number DESC LIMIT 1) AS head
        ORDER BY number DESC LIMIT 1
    )
    INSERT INTO audit (chain, number, at, position, entries, hash)
    SELECT of_chain, before.number + 1, at, read_to, entries, sha256(before.hash || convert_to(
        concat_ws(E'\t', of_chain, before.number + 1, (extract(epoch FROM at) * 1000000)::bigint, read_to) || E'\n' || entries, 'UTF8'))
    FROM before RETURNING number
$$;

-- Fates from before there was a log are in the ledger alone: the first entry says how many.
SELECT audit_append('operated', clock_timestamp(), 0, concat_ws(E'\t', 'migration', 'begin', jsonb_build_object('fates_before', count(*))) || E'\n') FROM submission;
