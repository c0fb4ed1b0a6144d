-- +goose Up
CREATE TABLE defender.alerts (
    tenant_id                uuid NOT NULL,
    alert_id                 text NOT NULL,
    incident_id              bigint,
    provider_alert_id        text,
    title                    text,
    description              text,
    recommended_actions      text,
    category                 text,
    categories               text[],
    status                   text,
    severity                 text,
    classification           text,
    determination            text,
    investigation_state      text,
    service_source           text,
    detection_source         text,
    detector_id              text,
    product_name             text,
    alert_policy_id          text,
    tenant_id_2              text,
    assigned_to              text,
    actor_display_name       text,
    threat_display_name      text,
    threat_family_name       text,
    mitre_techniques         text[],
    system_tags              text[],
    comments                 jsonb,
    additional_data          jsonb,
    custom_details           jsonb,
    created_date_time        timestamptz,
    last_update_date_time    timestamptz NOT NULL,
    resolved_date_time       timestamptz,
    first_activity_date_time timestamptz,
    last_activity_date_time  timestamptz,
    alert_web_url            text,
    incident_web_url         text,
    raw                      jsonb NOT NULL,
    content_hash             uuid NOT NULL,
    first_synced_at          timestamptz NOT NULL,
    synced_at                timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, alert_id)
);

-- In the order that 00002 explains.
CREATE INDEX alerts_incident_id_idx ON defender.alerts (incident_id, tenant_id);
CREATE INDEX alerts_last_update_date_time_idx ON defender.alerts (last_update_date_time, tenant_id);
CREATE INDEX alerts_created_date_time_idx ON defender.alerts (created_date_time, tenant_id);
CREATE INDEX alerts_open_idx ON defender.alerts (last_update_date_time, tenant_id)
    WHERE status IN ('new', 'inProgress');

COMMENT ON TABLE defender.alerts IS
    'One row per alert as last served, whichever list it came in.';
COMMENT ON COLUMN defender.alerts.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN defender.alerts.alert_id IS 'The alert; its first letters tell the product it comes from. Graph: id. Older API: alertId.';
COMMENT ON COLUMN defender.alerts.incident_id IS 'The incident that holds the alert now, as the alert itself says; a merge or a person may move it. Graph: incidentId. Older API: incidentId.';
COMMENT ON COLUMN defender.alerts.provider_alert_id IS 'The alert''s id in the product it comes from. Graph: providerAlertId. Older API: providerAlertId.';
COMMENT ON COLUMN defender.alerts.title IS 'Title. Graph: title. Older API: title.';
COMMENT ON COLUMN defender.alerts.description IS 'Description. Graph: description. Older API: description.';
COMMENT ON COLUMN defender.alerts.recommended_actions IS 'What to do about it. Graph: recommendedActions.';
COMMENT ON COLUMN defender.alerts.category IS 'Kill-chain category. Graph: category. Older API: category.';
COMMENT ON COLUMN defender.alerts.categories IS 'All categories. Graph: categories.';
COMMENT ON COLUMN defender.alerts.status IS 'new, inProgress, resolved or unknown. Graph: status. Older API: status.';
COMMENT ON COLUMN defender.alerts.severity IS 'informational, low, medium, high or unknown. Graph: severity. Older API: severity (UnSpecified becomes unknown).';
COMMENT ON COLUMN defender.alerts.classification IS 'truePositive, falsePositive, informationalExpectedActivity or unknown. Graph: classification. Older API: classification.';
COMMENT ON COLUMN defender.alerts.determination IS 'malware, phishing, securityTesting and others. Graph: determination. Older API: determination.';
COMMENT ON COLUMN defender.alerts.investigation_state IS 'State of the automated investigation. Graph: investigationState. Older API: investigationState.';
COMMENT ON COLUMN defender.alerts.service_source IS 'Product that raised the alert. Graph: serviceSource. Older API: serviceSource (MicrosoftDefenderATP becomes microsoftDefenderForEndpoint).';
COMMENT ON COLUMN defender.alerts.detection_source IS 'Detector inside the product. Graph: detectionSource. Older API: detectionSource (WindowsDefenderAv becomes antivirus).';
COMMENT ON COLUMN defender.alerts.detector_id IS 'Id of the detector. Graph: detectorId. Older API: detectorId.';
COMMENT ON COLUMN defender.alerts.product_name IS 'Name of the product. Graph: productName.';
COMMENT ON COLUMN defender.alerts.alert_policy_id IS 'Policy that raised the alert. Graph: alertPolicyId.';
COMMENT ON COLUMN defender.alerts.tenant_id_2 IS 'The record''s own tenant. Graph: tenantId.';
COMMENT ON COLUMN defender.alerts.assigned_to IS 'Owner: a user principal name, or a word such as Automation. Graph: assignedTo. Older API: assignedTo.';
COMMENT ON COLUMN defender.alerts.actor_display_name IS 'Adversary or activity group. Graph: actorDisplayName. Older API: actorName.';
COMMENT ON COLUMN defender.alerts.threat_display_name IS 'Threat. Graph: threatDisplayName.';
COMMENT ON COLUMN defender.alerts.threat_family_name IS 'Threat family. Graph: threatFamilyName. Older API: threatFamilyName.';
COMMENT ON COLUMN defender.alerts.mitre_techniques IS 'MITRE ATT&CK techniques; one row each in defender.alert_techniques. Graph: mitreTechniques. Older API: mitreTechniques.';
COMMENT ON COLUMN defender.alerts.system_tags IS 'Tags set by Defender. Graph: systemTags.';
COMMENT ON COLUMN defender.alerts.comments IS 'Comments as served. Graph: comments.';
COMMENT ON COLUMN defender.alerts.additional_data IS 'Further properties. Graph: additionalData.';
COMMENT ON COLUMN defender.alerts.custom_details IS 'Properties defined by the detection rule. Graph: customDetails.';
COMMENT ON COLUMN defender.alerts.created_date_time IS 'When the alert was created. Graph: createdDateTime. Older API: creationTime.';
COMMENT ON COLUMN defender.alerts.last_update_date_time IS 'Version of the record, truncated to microseconds: an older one never overwrites a newer one. Graph: lastUpdateDateTime. Older API: lastUpdatedTime.';
COMMENT ON COLUMN defender.alerts.resolved_date_time IS 'When the alert was resolved. Graph: resolvedDateTime. Older API: resolvedTime.';
COMMENT ON COLUMN defender.alerts.first_activity_date_time IS 'Earliest activity. Graph: firstActivityDateTime. Older API: firstActivity.';
COMMENT ON COLUMN defender.alerts.last_activity_date_time IS 'Latest activity. Graph: lastActivityDateTime. Older API: lastActivity.';
COMMENT ON COLUMN defender.alerts.alert_web_url IS 'Address of the alert in the portal. Graph: alertWebUrl.';
COMMENT ON COLUMN defender.alerts.incident_web_url IS 'Address of its incident in the portal. Graph: incidentWebUrl.';
COMMENT ON COLUMN defender.alerts.raw IS 'The document as served, less its evidence, devices and entities.';
COMMENT ON COLUMN defender.alerts.content_hash IS '128-bit digest of the served record with its evidence: an equal one is not written again.';
COMMENT ON COLUMN defender.alerts.first_synced_at IS 'When the alert was first stored.';
COMMENT ON COLUMN defender.alerts.synced_at IS 'When this version was stored.';

CREATE TABLE defender.alert_techniques (
    tenant_id uuid NOT NULL,
    alert_id  text NOT NULL,
    technique text NOT NULL,
    PRIMARY KEY (tenant_id, alert_id, technique)
);

CREATE INDEX alert_techniques_technique_idx ON defender.alert_techniques (technique, tenant_id);

COMMENT ON TABLE defender.alert_techniques IS
    'MITRE ATT&CK techniques of alerts.';
COMMENT ON COLUMN defender.alert_techniques.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN defender.alert_techniques.alert_id IS 'The alert.';
COMMENT ON COLUMN defender.alert_techniques.technique IS 'Technique id such as T1566.002. Graph: mitreTechniques. Older API: mitreTechniques.';

CREATE TABLE defender.alert_history (
    tenant_id  uuid NOT NULL,
    alert_id   text NOT NULL,
    changed_at timestamptz NOT NULL,
    field      text NOT NULL,
    old_value  text,
    new_value  text,
    PRIMARY KEY (tenant_id, alert_id, changed_at, field)
);

CREATE INDEX alert_history_changed_at_idx ON defender.alert_history (changed_at, tenant_id);

COMMENT ON TABLE defender.alert_history IS
    'Every change of an alert seen since the first synchronisation, one row per field.';
COMMENT ON COLUMN defender.alert_history.tenant_id IS 'The tenant, as configured: its Microsoft Entra tenant id.';
COMMENT ON COLUMN defender.alert_history.alert_id IS 'The alert.';
COMMENT ON COLUMN defender.alert_history.changed_at IS 'last_update_date_time of the version that brought the change, or the time it was stored where the version did not move.';
COMMENT ON COLUMN defender.alert_history.field IS 'Column of defender.alerts that changed: status, severity, classification, determination, assigned_to, title, system_tags or incident_id.';
COMMENT ON COLUMN defender.alert_history.old_value IS 'Value before; lists as JSON; NULL where there was none.';
COMMENT ON COLUMN defender.alert_history.new_value IS 'Value after; lists as JSON; NULL where there is none.';

-- +goose Down
DROP TABLE defender.alert_history;
DROP TABLE defender.alert_techniques;
DROP TABLE defender.alerts;
