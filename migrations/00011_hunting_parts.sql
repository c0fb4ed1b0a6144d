-- +goose Up
-- What is lost with the server costs requests and no rows, and so it is not
-- worth its WAL: a table that is read again every day and found unchanged would
-- write all of itself.
CREATE UNLOGGED TABLE sync.hunting_parts (
    tenant_id uuid NOT NULL,
    stream    text NOT NULL,
    part_no   integer NOT NULL,
    reading   uuid NOT NULL,
    kept_at   timestamptz NOT NULL,
    bytes     bytea NOT NULL,
    PRIMARY KEY (tenant_id, stream, part_no),
    CONSTRAINT hunting_parts_part_no_check CHECK (part_no >= 1),
    CONSTRAINT hunting_parts_bytes_check CHECK (length(bytes) BETWEEN 1 AND 1048576)
);

-- The bytes live for minutes: they are not worth compressing.
ALTER TABLE sync.hunting_parts ALTER COLUMN bytes SET STORAGE EXTERNAL;

COMMENT ON TABLE sync.hunting_parts IS
    'Answers of a hunting table that is read whole and in several, until the last one has come. Not logged: after a crash of the server it is empty, and the reading begins again.';
COMMENT ON COLUMN sync.hunting_parts.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN sync.hunting_parts.stream IS 'The stream: hunting/NAME.';
COMMENT ON COLUMN sync.hunting_parts.part_no IS 'Where it belongs among the parts of the reading, counted from 1.';
COMMENT ON COLUMN sync.hunting_parts.reading IS 'The reading, as the stream''s resume point in sync.checkpoints names it.';
COMMENT ON COLUMN sync.hunting_parts.kept_at IS 'When the part was stored.';
COMMENT ON COLUMN sync.hunting_parts.bytes IS 'Rows as they will be stored: columns left out are not in here, and hashed ones are hashed.';

-- +goose Down
DROP TABLE sync.hunting_parts;
