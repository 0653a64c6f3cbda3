-- Whether the database takes writes, asked by writing.

CREATE TABLE probe (
    service text COLLATE "C" PRIMARY KEY,
    at timestamptz NOT NULL
);
COMMENT ON TABLE probe IS 'When each service last tried whether it can write.';
COMMENT ON COLUMN probe.service IS 'The service.';
COMMENT ON COLUMN probe.at IS 'When, by the database''s clock.';
