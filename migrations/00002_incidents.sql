-- +goose Up
CREATE TABLE defender.incidents (
    tenant_id             uuid NOT NULL,
    incident_id           bigint NOT NULL,
    redirect_incident_id  bigint,
    display_name          text,
    description           text,
    summary               text,
    status                text,
    severity              text,
    classification        text,
    determination         text,
    assigned_to           text,
    custom_tags           text[],
    system_tags           text[],
    comments              jsonb,
    created_date_time     timestamptz,
    last_update_date_time timestamptz NOT NULL,
    last_modified_by      text,
    tenant_id_2           text,
    resolving_comment     text,
    priority_score        integer,
    incident_web_url      text,
    raw                   jsonb NOT NULL,
    content_hash          uuid NOT NULL,
    first_synced_at       timestamptz NOT NULL,
    synced_at             timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, incident_id)
);

-- No index but a primary key begins with tenant_id: before the first ANALYZE the
-- planner would take it for a look-up by key, and read all of a tenant's rows for each.
CREATE INDEX incidents_last_update_date_time_idx ON defender.incidents (last_update_date_time, tenant_id);
CREATE INDEX incidents_created_date_time_idx ON defender.incidents (created_date_time, tenant_id);
-- Not on (tenant_id, status): no text that the source may make long is part of a B-tree key.
CREATE INDEX incidents_open_idx ON defender.incidents (last_update_date_time, tenant_id)
    WHERE status IN ('active', 'inProgress', 'awaitingAction');
CREATE INDEX incidents_redirect_incident_id_idx ON defender.incidents (redirect_incident_id, tenant_id)
    WHERE redirect_incident_id IS NOT NULL;

COMMENT ON TABLE defender.incidents IS
    'One row per incident as last served, merged ones included.';
COMMENT ON COLUMN defender.incidents.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN defender.incidents.incident_id IS 'The incident. Graph: id. Older API: incidentId.';
COMMENT ON COLUMN defender.incidents.redirect_incident_id IS 'The incident that this one was merged into; its alerts are there now. defender.incident_roots follows the chain. Graph: redirectIncidentId. Older API: redirectIncidentId.';
COMMENT ON COLUMN defender.incidents.display_name IS 'Name; changes as alerts arrive. Graph: displayName. Older API: incidentName.';
COMMENT ON COLUMN defender.incidents.description IS 'Description. Graph: description.';
COMMENT ON COLUMN defender.incidents.summary IS 'Summary written by an analyst or by Security Copilot. Graph: summary.';
COMMENT ON COLUMN defender.incidents.status IS 'active, inProgress, awaitingAction, resolved, redirected, or a member not known yet. Graph: status. Older API: status (Active becomes active).';
COMMENT ON COLUMN defender.incidents.severity IS 'informational, low, medium, high or unknown. Graph: severity. Older API: severity (UnSpecified becomes unknown).';
COMMENT ON COLUMN defender.incidents.classification IS 'truePositive, falsePositive, informationalExpectedActivity or unknown. Graph: classification. Older API: classification.';
COMMENT ON COLUMN defender.incidents.determination IS 'malware, phishing, securityTesting and others. Graph: determination. Older API: determination (NotAvailable becomes unknown).';
COMMENT ON COLUMN defender.incidents.assigned_to IS 'Owner: a user principal name, or a word such as Automation. Graph: assignedTo. Older API: assignedTo.';
COMMENT ON COLUMN defender.incidents.custom_tags IS 'Tags set by people. Graph: customTags. Older API: tags.';
COMMENT ON COLUMN defender.incidents.system_tags IS 'Tags set by Defender. Graph: systemTags.';
COMMENT ON COLUMN defender.incidents.comments IS 'Comments as served; one row each in defender.incident_comments. Graph: comments. Older API: comments.';
COMMENT ON COLUMN defender.incidents.created_date_time IS 'When the incident was first created. Graph: createdDateTime. Older API: createdTime.';
COMMENT ON COLUMN defender.incidents.last_update_date_time IS 'Version of the record, truncated to microseconds: an older one never overwrites a newer one. Graph: lastUpdateDateTime. Older API: lastUpdateTime.';
COMMENT ON COLUMN defender.incidents.last_modified_by IS 'Who changed the incident last. Graph: lastModifiedBy.';
COMMENT ON COLUMN defender.incidents.tenant_id_2 IS 'The record''s own tenant. Graph: tenantId.';
COMMENT ON COLUMN defender.incidents.resolving_comment IS 'Why the incident was resolved. Graph: resolvingComment.';
COMMENT ON COLUMN defender.incidents.priority_score IS 'Priority from 0 to 100. Graph: priorityScore.';
COMMENT ON COLUMN defender.incidents.incident_web_url IS 'Address of the incident in the portal. Graph: incidentWebUrl. Older API: incidentUri.';
COMMENT ON COLUMN defender.incidents.raw IS 'The document as served, less its alerts.';
COMMENT ON COLUMN defender.incidents.content_hash IS '128-bit digest of the served record: an equal one is not written again.';
COMMENT ON COLUMN defender.incidents.first_synced_at IS 'When the incident was first stored.';
COMMENT ON COLUMN defender.incidents.synced_at IS 'When this version was stored.';

CREATE TABLE defender.incident_comments (
    tenant_id               uuid NOT NULL,
    incident_id             bigint NOT NULL,
    comment_no              integer NOT NULL,
    comment                 text,
    created_by_display_name text,
    created_date_time       timestamptz,
    PRIMARY KEY (tenant_id, incident_id, comment_no),
    CONSTRAINT incident_comments_comment_no_check CHECK (comment_no >= 1)
);

COMMENT ON TABLE defender.incident_comments IS
    'Comments of incidents, replaced as a set with their incident.';
COMMENT ON COLUMN defender.incident_comments.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN defender.incident_comments.incident_id IS 'The incident. Graph: id. Older API: incidentId.';
COMMENT ON COLUMN defender.incident_comments.comment_no IS 'Position in the order served, from 1: the source gives comments no id.';
COMMENT ON COLUMN defender.incident_comments.comment IS 'Text. Graph: comments.comment. Older API: comments.comment.';
COMMENT ON COLUMN defender.incident_comments.created_by_display_name IS 'Author. Graph: comments.createdByDisplayName. Older API: comments.createdBy.';
COMMENT ON COLUMN defender.incident_comments.created_date_time IS 'When it was written. Graph: comments.createdDateTime. Older API: comments.createdTime.';

CREATE TABLE defender.incident_history (
    tenant_id   uuid NOT NULL,
    incident_id bigint NOT NULL,
    changed_at  timestamptz NOT NULL,
    field       text NOT NULL,
    old_value   text,
    new_value   text,
    PRIMARY KEY (tenant_id, incident_id, changed_at, field)
);

CREATE INDEX incident_history_changed_at_idx ON defender.incident_history (changed_at, tenant_id);

COMMENT ON TABLE defender.incident_history IS
    'Every change of an incident seen since the first synchronisation, one row per field.';
COMMENT ON COLUMN defender.incident_history.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN defender.incident_history.incident_id IS 'The incident.';
COMMENT ON COLUMN defender.incident_history.changed_at IS 'last_update_date_time of the version that brought the change, or the time it was stored where the version did not move.';
COMMENT ON COLUMN defender.incident_history.field IS 'Column of defender.incidents that changed: status, severity, classification, determination, assigned_to, display_name, custom_tags, system_tags or redirect_incident_id.';
COMMENT ON COLUMN defender.incident_history.old_value IS 'Value before; lists as JSON; NULL where there was none.';
COMMENT ON COLUMN defender.incident_history.new_value IS 'Value after; lists as JSON; NULL where there is none.';

CREATE VIEW defender.incident_roots AS
SELECT i.tenant_id, i.incident_id, i.incident_id AS root_incident_id
FROM defender.incidents AS i
WHERE i.redirect_incident_id IS NULL
UNION ALL
SELECT r.tenant_id, r.incident_id, r.root_incident_id
FROM (
    WITH RECURSIVE chain AS (
        SELECT i.tenant_id, i.incident_id, i.redirect_incident_id AS next_id, ARRAY[i.incident_id] AS path
        FROM defender.incidents AS i
        WHERE i.redirect_incident_id IS NOT NULL
        UNION ALL
        SELECT c.tenant_id, c.incident_id, i.redirect_incident_id, c.path || i.incident_id
        FROM chain AS c
        JOIN defender.incidents AS i ON i.tenant_id = c.tenant_id AND i.incident_id = c.next_id
        WHERE c.next_id <> ALL (c.path)
    )
    SELECT DISTINCT ON (c.tenant_id, c.incident_id)
        c.tenant_id, c.incident_id,
        CASE
            -- A loop, from where it closes to its end: every member has the same root.
            WHEN c.next_id = ANY (c.path)
                THEN (SELECT min(p) FROM unnest(c.path[array_position(c.path, c.next_id):]) AS p)
            ELSE c.path[cardinality(c.path)]
        END AS root_incident_id
    FROM chain AS c
    ORDER BY c.tenant_id, c.incident_id, cardinality(c.path) DESC
) AS r;

COMMENT ON VIEW defender.incident_roots IS
    'The incident at the end of each chain of merges. A chain ends where its next incident is not stored; in a loop the smallest id is the root.';
COMMENT ON COLUMN defender.incident_roots.tenant_id IS 'The tenant, as configured.';
COMMENT ON COLUMN defender.incident_roots.incident_id IS 'Any stored incident.';
COMMENT ON COLUMN defender.incident_roots.root_incident_id IS 'The incident that holds its alerts now: itself where it was never merged.';

-- +goose Down
DROP VIEW defender.incident_roots;
DROP TABLE defender.incident_history;
DROP TABLE defender.incident_comments;
DROP TABLE defender.incidents;
