-- +goose Up
CREATE SCHEMA defender;

COMMENT ON SCHEMA defender IS
    'Microsoft 365 Defender as it is now, and what changed: incidents, alerts, evidence.';

-- The schema sync exists before the first migration: goose keeps its own table there.
COMMENT ON SCHEMA sync IS
    'How far the copy has come and what vouches for it: checkpoints, coverage, runs, quarantine.';

-- +goose Down
COMMENT ON SCHEMA sync IS NULL;

DROP SCHEMA defender;
