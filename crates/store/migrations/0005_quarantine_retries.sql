-- What is in quarantine is judged again once its cause is mended.

ALTER TABLE quarantine
    ADD COLUMN retried_at timestamptz,
    ADD COLUMN retried_by text;
COMMENT ON COLUMN quarantine.retried_at IS 'When it was last given to be judged again; null where never.';
COMMENT ON COLUMN quarantine.retried_by IS 'Who gave it.';
