-- What nobody can read, and nobody has to any more, is looked at and done with.

ALTER TABLE quarantine
    ADD COLUMN closed_at timestamptz,
    ADD COLUMN closed_by text;
COMMENT ON COLUMN quarantine.closed_at IS 'When somebody said that nothing is left to do about it; null where nobody did.';
COMMENT ON COLUMN quarantine.closed_by IS 'Who said it.';
