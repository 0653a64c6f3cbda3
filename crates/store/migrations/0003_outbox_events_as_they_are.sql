-- The events of a batch are packed by who writes them. To squeeze them once more costs time in every batch and saves nothing.

ALTER TABLE outbox ALTER COLUMN events SET STORAGE EXTERNAL;
COMMENT ON TABLE outbox IS 'Events about totals and fates that are not known to be published. A row goes when they are.';
