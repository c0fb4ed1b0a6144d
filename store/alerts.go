package store

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// alertPage is the alerts of one commit on their way into the database. It
// mirrors incidentPage.
type alertPage struct {
	rows  []*Alert          // sorted by id, no id twice
	known map[string]*Alert // what the database held before: id, version and tracked columns only
}

func newAlertPage(rows []Alert) *alertPage {
	return &alertPage{
		rows:  newest(rows, func(a *Alert) string { return a.AlertID }, func(a *Alert) time.Time { return a.LastUpdateDateTime }),
		known: map[string]*Alert{},
	}
}

// queueProbe asks which alerts are stored already; those stored with the same
// content leave p.rows.
func (p *alertPage) queueProbe(b *pgx.Batch) {
	const probe = `
		SELECT
			k.content_hash = a.content_hash, a.alert_id, a.last_update_date_time,
			a.status, a.severity, a.classification, a.determination, a.assigned_to, a.title,
			a.system_tags, a.incident_id
		FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS k (tenant_id, alert_id, content_hash)
		JOIN defender.alerts AS a ON a.tenant_id = k.tenant_id AND a.alert_id = k.alert_id`
	type key struct {
		TenantID    string   `db:"tenant_id"`
		AlertID     string   `db:"alert_id"`
		ContentHash [16]byte `db:"content_hash"`
	}
	if len(p.rows) == 0 {
		return
	}
	keys := mapRows(p.rows, func(a *Alert) *key { return &key{a.TenantID, a.AlertID, a.ContentHash} })
	b.Queue(probe, columns(keys)...).Query(func(rows pgx.Rows) error {
		same := map[string]bool{}
		for rows.Next() {
			var old Alert
			var unchanged bool
			err := rows.Scan(&unchanged, &old.AlertID, &old.LastUpdateDateTime,
				&old.Status, &old.Severity, &old.Classification, &old.Determination, &old.AssignedTo, &old.Title,
				&old.SystemTags, &old.IncidentID)
			if err != nil {
				return err
			}
			same[old.AlertID] = unchanged
			p.known[old.AlertID] = &old
		}
		p.rows = filter(p.rows, func(a *Alert) bool { return !same[a.AlertID] })
		p.keepIncidents()
		return rows.Err()
	})
}

// keepIncidents leaves an alert that names no incident in the one it is known
// to be in: every alert is in one, and a list that leaves it out does not say
// that it has left.
func (p *alertPage) keepIncidents() {
	for _, a := range p.rows {
		if old := p.known[a.AlertID]; old != nil && a.IncidentID == nil {
			a.IncidentID = old.IncidentID
		}
	}
}

// queueUpsert writes the rows that are new, newer, or (without strict) of the
// same version; those it does not write leave p.rows.
func (p *alertPage) queueUpsert(b *pgx.Batch, strict bool, counts *Counts) {
	const upsert = `
		INSERT INTO defender.alerts AS a (
			tenant_id, alert_id, incident_id, provider_alert_id, title, description, recommended_actions, category, categories,
			status, severity, classification, determination, investigation_state, service_source, detection_source,
			detector_id, product_name, alert_policy_id, tenant_id_2, assigned_to, actor_display_name, threat_display_name,
			threat_family_name, mitre_techniques, system_tags, comments, additional_data, custom_details, created_date_time,
			last_update_date_time, resolved_date_time, first_activity_date_time, last_activity_date_time, alert_web_url,
			incident_web_url, raw, content_hash, synced_at, first_synced_at
		)
		SELECT
			x.tenant_id, x.alert_id, x.incident_id, x.provider_alert_id, x.title, x.description, x.recommended_actions,
			x.category, x.categories::text[], x.status, x.severity, x.classification, x.determination, x.investigation_state,
			x.service_source, x.detection_source, x.detector_id, x.product_name, x.alert_policy_id, x.tenant_id_2,
			x.assigned_to, x.actor_display_name, x.threat_display_name, x.threat_family_name, x.mitre_techniques::text[],
			x.system_tags::text[], x.comments::jsonb, x.additional_data::jsonb, x.custom_details::jsonb, x.created_date_time,
			x.last_update_date_time, x.resolved_date_time, x.first_activity_date_time, x.last_activity_date_time,
			x.alert_web_url, x.incident_web_url, x.raw::jsonb, x.content_hash, x.synced_at, x.synced_at
		FROM unnest(
			$1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
			$10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[],
			$18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::text[],
			$26::text[], $27::text[], $28::text[], $29::text[], $30::timestamptz[], $31::timestamptz[], $32::timestamptz[],
			$33::timestamptz[], $34::timestamptz[], $35::text[], $36::text[], $37::text[], $38::uuid[], $39::timestamptz[]
		) AS x (
			tenant_id, alert_id, incident_id, provider_alert_id, title, description, recommended_actions, category, categories,
			status, severity, classification, determination, investigation_state, service_source, detection_source,
			detector_id, product_name, alert_policy_id, tenant_id_2, assigned_to, actor_display_name, threat_display_name,
			threat_family_name, mitre_techniques, system_tags, comments, additional_data, custom_details, created_date_time,
			last_update_date_time, resolved_date_time, first_activity_date_time, last_activity_date_time, alert_web_url,
			incident_web_url, raw, content_hash, synced_at
		)
		ON CONFLICT (tenant_id, alert_id) DO UPDATE SET
			incident_id = excluded.incident_id, provider_alert_id = excluded.provider_alert_id, title = excluded.title,
			description = excluded.description, recommended_actions = excluded.recommended_actions,
			category = excluded.category, categories = excluded.categories, status = excluded.status,
			severity = excluded.severity, classification = excluded.classification, determination = excluded.determination,
			investigation_state = excluded.investigation_state, service_source = excluded.service_source,
			detection_source = excluded.detection_source, detector_id = excluded.detector_id,
			product_name = excluded.product_name, alert_policy_id = excluded.alert_policy_id,
			tenant_id_2 = excluded.tenant_id_2, assigned_to = excluded.assigned_to,
			actor_display_name = excluded.actor_display_name, threat_display_name = excluded.threat_display_name,
			threat_family_name = excluded.threat_family_name, mitre_techniques = excluded.mitre_techniques,
			system_tags = excluded.system_tags, comments = excluded.comments, additional_data = excluded.additional_data,
			custom_details = excluded.custom_details, created_date_time = excluded.created_date_time,
			last_update_date_time = excluded.last_update_date_time, resolved_date_time = excluded.resolved_date_time,
			first_activity_date_time = excluded.first_activity_date_time,
			last_activity_date_time = excluded.last_activity_date_time, alert_web_url = excluded.alert_web_url,
			incident_web_url = excluded.incident_web_url, raw = excluded.raw, content_hash = excluded.content_hash,
			synced_at = excluded.synced_at
		WHERE a.last_update_date_time <= excluded.last_update_date_time
			AND (a.last_update_date_time < excluded.last_update_date_time OR NOT $40::boolean)
		RETURNING a.alert_id, a.xmax = 0`
	if len(p.rows) == 0 {
		return
	}
	b.Queue(upsert, append(columns(p.rows), strict)...).Query(func(rows pgx.Rows) error {
		written, err := scanWritten[string](rows, counts)
		p.rows = filter(p.rows, func(a *Alert) bool { return written[a.AlertID] })
		return err
	})
}

// queueRest writes what follows from the rows written: evidence, what it names,
// techniques and history.
func (p *alertPage) queueRest(b *pgx.Batch) {
	if len(p.rows) == 0 {
		return
	}
	p.queueEvidence(b)
	p.queueEntities(b)
	p.queueTechniques(b)
	p.queueHistory(b)
}

// queueTechniques replaces the techniques of the rows as a set.
func (p *alertPage) queueTechniques(b *pgx.Batch) {
	const surplus = `
		DELETE FROM defender.alert_techniques AS t
		USING unnest($1::uuid[], $2::text[], $3::text[]) AS k (tenant_id, alert_id, techniques)
		WHERE t.tenant_id = k.tenant_id AND t.alert_id = k.alert_id AND t.technique <> ALL (k.techniques::text[])`
	const insert = `
		INSERT INTO defender.alert_techniques (tenant_id, alert_id, technique)
		SELECT x.tenant_id, x.alert_id, x.technique
		FROM unnest($1::uuid[], $2::text[], $3::text[]) AS x (tenant_id, alert_id, technique)
		ON CONFLICT (tenant_id, alert_id, technique) DO NOTHING`
	type set struct {
		TenantID   string   `db:"tenant_id"`
		AlertID    string   `db:"alert_id"`
		Techniques []string `db:"techniques"`
	}
	type row struct {
		TenantID  string `db:"tenant_id"`
		AlertID   string `db:"alert_id"`
		Technique string `db:"technique"`
	}
	var rows []*row
	sets := mapRows(p.rows, func(a *Alert) *set { return &set{a.TenantID, a.AlertID, a.techniques()} })
	for _, s := range sets {
		for _, technique := range s.Techniques {
			rows = append(rows, &row{s.TenantID, s.AlertID, technique})
		}
	}
	b.Queue(surplus, columns(sets)...)
	if len(rows) > 0 {
		b.Queue(insert, columns(rows)...)
	}
}

// techniques returns the distinct techniques that an index can hold, never nil.
func (a *Alert) techniques() []string {
	list := append([]string{}, a.MitreTechniques...)
	list = slices.DeleteFunc(list, func(s string) bool { return s == "" || len(s) > maxIndexed })
	slices.Sort(list)
	return slices.Compact(list)
}

// queueHistory writes what the rows changed.
func (p *alertPage) queueHistory(b *pgx.Batch) {
	const insert = `
		INSERT INTO defender.alert_history AS h (tenant_id, alert_id, changed_at, field, old_value, new_value)
		SELECT x.tenant_id, x.alert_id, x.changed_at, x.field, x.old_value, x.new_value
		FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[])
			AS x (tenant_id, alert_id, changed_at, field, old_value, new_value)
		ON CONFLICT (tenant_id, alert_id, changed_at, field) DO UPDATE SET
			-- Twice within one reading of the clock: one change, from the first value to the last.
			new_value = excluded.new_value`
	type change struct {
		TenantID  string    `db:"tenant_id"`
		AlertID   string    `db:"alert_id"`
		ChangedAt time.Time `db:"changed_at"`
		Field     string    `db:"field"`
		OldValue  *string   `db:"old_value"`
		NewValue  *string   `db:"new_value"`
	}
	var changes []*change
	for _, a := range p.rows {
		old := p.known[a.AlertID]
		if old == nil {
			continue // first sight
		}
		at := changedAt(old.LastUpdateDateTime, a.LastUpdateDateTime, a.SyncedAt)
		for _, d := range differences(old.tracked(), a.tracked()) {
			changes = append(changes, &change{a.TenantID, a.AlertID, at, d.field, d.old, d.new})
		}
	}
	if len(changes) > 0 {
		b.Queue(insert, columns(changes)...)
	}
}

// tracked returns the columns whose changes are history.
func (a *Alert) tracked() []tracked {
	return []tracked{
		{"status", a.Status},
		{"severity", a.Severity},
		{"classification", a.Classification},
		{"determination", a.Determination},
		{"assigned_to", a.AssignedTo},
		{"title", a.Title},
		{"system_tags", listText(a.SystemTags)},
		{"incident_id", numberText(a.IncidentID)},
	}
}
