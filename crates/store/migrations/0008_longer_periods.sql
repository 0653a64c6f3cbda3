-- A form says which longer periods it has totals for. Those of before had all that there are.

ALTER TABLE data_set ADD COLUMN longer_periods text[] NOT NULL DEFAULT ARRAY['month', 'quarter', 'half_year', 'year', 'latest'];
COMMENT ON COLUMN data_set.longer_periods IS 'The kinds of longer period that have totals too, as far as longer than the form''s own: month, quarter, half_year, year, latest.';
