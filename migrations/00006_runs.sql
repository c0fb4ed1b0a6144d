-- +goose Up
CREATE TABLE sync.runs (
    tenant_id         uuid NOT NULL,
    run_id            uuid NOT NULL,
    stream            text NOT NULL,
    command           text NOT NULL,
    started_at        timestamptz NOT NULL,
    finished_at       timestamptz,
    outcome           text NOT NULL,
    rows_read         bigint NOT NULL,
    rows_inserted     bigint NOT NULL,
    rows_updated      bigint NOT NULL,
    rows_unchanged    bigint NOT NULL,
    calls             bigint NOT NULL,
    throttled_seconds double precision NOT NULL,
    error             text,
    warning           text,
    fence             bigint NOT NULL,
    PRIMARY KEY (tenant_id, run_id),
    CONSTRAINT runs_outcome_check CHECK (outcome IN ('running', 'complete', 'incomplete', 'failed', 'interrupted')),
    CONSTRAINT runs_finished_check CHECK ((outcome = 'running') = (finished_at IS NULL))
);

CREATE INDEX runs_stream_started_at_idx ON sync.runs (tenant_id, stream, started_at);
CREATE INDEX runs_running_idx ON sync.runs (tenant_id) WHERE outcome = 'running';

COMMENT ON TABLE sync.runs IS
    'Every pass of every stream: what happened.';
COMMENT ON COLUMN sync.runs.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN sync.runs.run_id IS 'The run; time-ordered.';
COMMENT ON COLUMN sync.runs.stream IS 'The stream: incidents, alerts or hunting/NAME.';
COMMENT ON COLUMN sync.runs.command IS 'What started it: run, sync, demo and others.';
COMMENT ON COLUMN sync.runs.started_at IS 'Begin.';
COMMENT ON COLUMN sync.runs.finished_at IS 'End; NULL while it runs.';
COMMENT ON COLUMN sync.runs.outcome IS 'running, complete, incomplete (some range is in sync.gaps or some record in sync.quarantine), failed, or interrupted (stopped, or its worker died).';
COMMENT ON COLUMN sync.runs.rows_read IS 'Incidents and alerts that the source served.';
COMMENT ON COLUMN sync.runs.rows_inserted IS 'Of these: new.';
COMMENT ON COLUMN sync.runs.rows_updated IS 'Of these: changed.';
COMMENT ON COLUMN sync.runs.rows_unchanged IS 'Of these: already stored, or older than what is stored.';
COMMENT ON COLUMN sync.runs.calls IS 'Requests sent.';
COMMENT ON COLUMN sync.runs.throttled_seconds IS 'Time spent waiting because the source said so.';
COMMENT ON COLUMN sync.runs.error IS 'Why it failed.';
COMMENT ON COLUMN sync.runs.warning IS 'What looks wrong although it did not fail, such as an unexpected zero.';
COMMENT ON COLUMN sync.runs.fence IS 'The lease it ran under, in sync.leases.';

CREATE TABLE sync.quarantine (
    tenant_id       uuid NOT NULL,
    id              uuid NOT NULL,
    stream          text NOT NULL,
    kind            text NOT NULL,
    key             text NOT NULL,
    reason          text NOT NULL,
    attempts        integer NOT NULL,
    payload         bytea NOT NULL,
    first_seen_at   timestamptz NOT NULL,
    last_attempt_at timestamptz NOT NULL,
    run_id          uuid,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT quarantine_attempts_check CHECK (attempts >= 1)
);

CREATE INDEX quarantine_key_idx ON sync.quarantine (md5(key), kind, tenant_id);

COMMENT ON TABLE sync.quarantine IS
    'Records that could not be stored, with their bytes. They leave when they are replayed, or when a later version of the record is stored.';
COMMENT ON COLUMN sync.quarantine.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN sync.quarantine.id IS 'Digest of stream, kind and key: the same bad record has one row.';
COMMENT ON COLUMN sync.quarantine.stream IS 'The stream: incidents, alerts or hunting/NAME.';
COMMENT ON COLUMN sync.quarantine.kind IS 'What payload holds: incident, alert, incident_alerts or response.';
COMMENT ON COLUMN sync.quarantine.key IS 'The record''s id; empty where it is not known.';
COMMENT ON COLUMN sync.quarantine.reason IS 'Why it could not be stored.';
COMMENT ON COLUMN sync.quarantine.attempts IS 'How often storing it was tried with a new outcome.';
COMMENT ON COLUMN sync.quarantine.payload IS 'The bytes as served; need not be JSON or UTF-8.';
COMMENT ON COLUMN sync.quarantine.first_seen_at IS 'When it was first refused.';
COMMENT ON COLUMN sync.quarantine.last_attempt_at IS 'When it was last refused with a new outcome.';
COMMENT ON COLUMN sync.quarantine.run_id IS 'The run that brought it, in sync.runs.';

CREATE TABLE sync.schema_changes (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    object        text NOT NULL,
    property      text NOT NULL,
    change        text NOT NULL,
    detail        text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    run_id        uuid,
    PRIMARY KEY (tenant_id, id)
);

COMMENT ON TABLE sync.schema_changes IS
    'What the source served that this schema did not expect, each thing once.';
COMMENT ON COLUMN sync.schema_changes.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN sync.schema_changes.id IS 'Digest of object, property, change and detail.';
COMMENT ON COLUMN sync.schema_changes.object IS 'incident, alert, evidence, or a hunting table.';
COMMENT ON COLUMN sync.schema_changes.property IS 'Path of the property, such as evidence.userAccount.accountName.';
COMMENT ON COLUMN sync.schema_changes.change IS 'new_property, type_changed, unknown_enum_member or unknown_evidence_type.';
COMMENT ON COLUMN sync.schema_changes.detail IS 'The member, or what was expected and what came.';
COMMENT ON COLUMN sync.schema_changes.first_seen_at IS 'When it was first seen.';
COMMENT ON COLUMN sync.schema_changes.run_id IS 'The run that saw it first, in sync.runs.';

CREATE TABLE sync.quota (
    tenant_id uuid NOT NULL,
    family    text NOT NULL,
    second    timestamptz NOT NULL,
    calls     integer NOT NULL,
    PRIMARY KEY (tenant_id, family, second),
    CONSTRAINT quota_calls_check CHECK (calls >= 1)
);

COMMENT ON TABLE sync.quota IS
    'Requests sent, so that a restarted worker keeps within the limits of the last minute and hour. Kept for an hour.';
COMMENT ON COLUMN sync.quota.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN sync.quota.family IS 'The limit they count against: incidents or hunting.';
COMMENT ON COLUMN sync.quota.second IS 'When they were sent, truncated to the second.';
COMMENT ON COLUMN sync.quota.calls IS 'How many.';

-- goose's own table, which it makes before the first migration.
COMMENT ON TABLE sync.goose_db_version IS
    'The migrations that were applied; belongs to goose, which applies them.';
COMMENT ON COLUMN sync.goose_db_version.id IS 'The order in which they were applied.';
COMMENT ON COLUMN sync.goose_db_version.version_id IS 'The migration''s number; 0 is the empty database.';
COMMENT ON COLUMN sync.goose_db_version.is_applied IS 'Always true: a migration that is taken back loses its row.';
COMMENT ON COLUMN sync.goose_db_version.tstamp IS 'When it was applied, by the clock of whoever applied it and without a zone.';

-- +goose Down
COMMENT ON COLUMN sync.goose_db_version.tstamp IS NULL;
COMMENT ON COLUMN sync.goose_db_version.is_applied IS NULL;
COMMENT ON COLUMN sync.goose_db_version.version_id IS NULL;
COMMENT ON COLUMN sync.goose_db_version.id IS NULL;
COMMENT ON TABLE sync.goose_db_version IS NULL;
DROP TABLE sync.quota;
DROP TABLE sync.schema_changes;
DROP TABLE sync.quarantine;
DROP TABLE sync.runs;
