-- +goose Up
-- A reader sees what is in quarantine and not the bytes, which may hold what
-- privacy settings keep out of the tables; how many there are it may see.
ALTER TABLE sync.quarantine ADD COLUMN payload_size integer NOT NULL GENERATED ALWAYS AS (octet_length(payload)) STORED;

COMMENT ON COLUMN sync.quarantine.payload IS 'The bytes as served; need not be JSON or UTF-8. Not for readers.';
COMMENT ON COLUMN sync.quarantine.payload_size IS 'How many bytes payload has.';

-- +goose Down
ALTER TABLE sync.quarantine DROP COLUMN payload_size;

COMMENT ON COLUMN sync.quarantine.payload IS 'The bytes as served; need not be JSON or UTF-8.';
