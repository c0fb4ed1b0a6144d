package store

import (
	"time"

	"github.com/jackc/pgx/v5"
)

// incidentPage is the incidents of one commit on their way into the database.
type incidentPage struct {
	rows  []*Incident         // sorted by id, no id twice
	known map[int64]*Incident // what the database held before: id, version and tracked columns only
	// resolved is when the last alert of an incident was resolved, for those
	// whose alerts came with them and are all resolved.
	resolved map[int64]time.Time
}

func newIncidentPage(rows []Incident, alerts *alertPage) *incidentPage {
	return &incidentPage{
		rows:     newest(rows, func(i *Incident) int64 { return i.IncidentID }, func(i *Incident) time.Time { return i.LastUpdateDateTime }),
		known:    map[int64]*Incident{},
		resolved: alerts.resolved(),
	}
}

// part is rows [lo, hi) of the page as a page of its own.
func (p *incidentPage) part(lo, hi int) *incidentPage {
	return &incidentPage{rows: p.rows[lo:hi], known: map[int64]*Incident{}, resolved: p.resolved}
}

// queueProbe asks which incidents are stored already. Those stored with the same
// content leave p.rows, so that they cost one index look-up and no write at
// all: an upsert would lock each row, and a lock is a write.
func (p *incidentPage) queueProbe(b *pgx.Batch) {
	const probe = `
		SELECT
			k.content_hash = i.content_hash, i.incident_id, i.last_update_date_time,
			i.status, i.severity, i.classification, i.determination, i.assigned_to, i.display_name,
			i.custom_tags, i.system_tags, i.redirect_incident_id
		FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS k (tenant_id, incident_id, content_hash)
		JOIN defender.incidents AS i ON i.tenant_id = k.tenant_id AND i.incident_id = k.incident_id`
	type key struct {
		TenantID    string   `db:"tenant_id"`
		IncidentID  int64    `db:"incident_id"`
		ContentHash [16]byte `db:"content_hash"`
	}
	if len(p.rows) == 0 {
		return
	}
	keys := mapRows(p.rows, func(i *Incident) *key { return &key{i.TenantID, i.IncidentID, i.ContentHash} })
	b.Queue(probe, columns(keys)...).Query(func(rows pgx.Rows) error {
		same := map[int64]bool{}
		for rows.Next() {
			var old Incident
			var unchanged bool
			err := rows.Scan(&unchanged, &old.IncidentID, &old.LastUpdateDateTime,
				&old.Status, &old.Severity, &old.Classification, &old.Determination, &old.AssignedTo, &old.DisplayName,
				&old.CustomTags, &old.SystemTags, &old.RedirectIncidentID)
			if err != nil {
				return err
			}
			same[old.IncidentID] = unchanged
			p.known[old.IncidentID] = &old
		}
		p.rows = filter(p.rows, func(i *Incident) bool { return !same[i.IncidentID] })
		return rows.Err()
	})
}

// queueUpsert writes the rows that are new, or newer than what is stored (with
// strict) or not older (without: of two readings of one version the later one
// counts). Those it does not write leave p.rows. Rows without any change are not
// among them: the probe, which saw the same state under the same lock, has
// dropped them. What had become of an incident before its first sync is
// written with its first version and never again.
func (p *incidentPage) queueUpsert(b *pgx.Batch, strict bool, counts *Counts) {
	const upsert = `
		INSERT INTO defender.incidents AS i (
			tenant_id, incident_id, redirect_incident_id, display_name, description, summary, status, severity, classification,
			determination, assigned_to, custom_tags, system_tags, comments, created_date_time, last_update_date_time,
			last_modified_by, tenant_id_2, resolving_comment, priority_score, incident_web_url, raw, content_hash, synced_at,
			first_synced_at, acknowledged_before_sync_at, resolved_before_sync_at, resolved_before_sync_from
		)
		SELECT
			x.tenant_id, x.incident_id, x.redirect_incident_id, x.display_name, x.description, x.summary, x.status, x.severity,
			x.classification, x.determination, x.assigned_to, x.custom_tags::text[], x.system_tags::text[], x.comments::jsonb,
			x.created_date_time, x.last_update_date_time, x.last_modified_by, x.tenant_id_2, x.resolving_comment,
			x.priority_score, x.incident_web_url, x.raw::jsonb, x.content_hash, x.synced_at, x.synced_at,
			x.acknowledged_before_sync_at, x.resolved_before_sync_at, x.resolved_before_sync_from
		FROM unnest(
			$1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
			$10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::timestamptz[], $16::timestamptz[],
			$17::text[], $18::text[], $19::text[], $20::integer[], $21::text[], $22::text[], $23::uuid[], $24::timestamptz[],
			$26::timestamptz[], $27::timestamptz[], $28::text[]
		) AS x (
			tenant_id, incident_id, redirect_incident_id, display_name, description, summary, status, severity, classification,
			determination, assigned_to, custom_tags, system_tags, comments, created_date_time, last_update_date_time,
			last_modified_by, tenant_id_2, resolving_comment, priority_score, incident_web_url, raw, content_hash, synced_at,
			acknowledged_before_sync_at, resolved_before_sync_at, resolved_before_sync_from
		)
		ON CONFLICT (tenant_id, incident_id) DO UPDATE SET
			redirect_incident_id = excluded.redirect_incident_id, display_name = excluded.display_name,
			description = excluded.description, summary = excluded.summary, status = excluded.status,
			severity = excluded.severity, classification = excluded.classification, determination = excluded.determination,
			assigned_to = excluded.assigned_to, custom_tags = excluded.custom_tags, system_tags = excluded.system_tags,
			comments = excluded.comments, created_date_time = excluded.created_date_time,
			last_update_date_time = excluded.last_update_date_time, last_modified_by = excluded.last_modified_by,
			tenant_id_2 = excluded.tenant_id_2, resolving_comment = excluded.resolving_comment,
			priority_score = excluded.priority_score, incident_web_url = excluded.incident_web_url, raw = excluded.raw,
			content_hash = excluded.content_hash, synced_at = excluded.synced_at
		WHERE i.last_update_date_time <= excluded.last_update_date_time
			AND (i.last_update_date_time < excluded.last_update_date_time OR NOT $25::boolean)
		RETURNING i.incident_id, i.xmax = 0`
	if len(p.rows) == 0 {
		return
	}
	before := mapRows(p.rows, func(i *Incident) *beforeSync { return i.beforeSync(p.resolved) })
	b.Queue(upsert, append(append(columns(p.rows), strict), columns(before)...)...).Query(func(rows pgx.Rows) error {
		written, err := scanWritten[int64](rows, counts)
		p.rows = filter(p.rows, func(i *Incident) bool { return written[i.IncidentID] })
		return err
	})
}

// queueRest writes what follows from the rows written: comments and history.
func (p *incidentPage) queueRest(b *pgx.Batch) {
	if len(p.rows) == 0 {
		return
	}
	p.queueComments(b)
	p.queueHistory(b)
}

// queueComments replaces the comments of the rows as a set, and writes those
// only that differ.
func (p *incidentPage) queueComments(b *pgx.Batch) {
	const surplus = `
		DELETE FROM defender.incident_comments AS c
		USING unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS k (tenant_id, incident_id, number)
		WHERE c.tenant_id = k.tenant_id AND c.incident_id = k.incident_id AND c.comment_no > k.number`
	const upsert = `
		INSERT INTO defender.incident_comments AS c (
			tenant_id, incident_id, comment_no, comment, created_by_display_name, created_date_time
		)
		SELECT
			x.tenant_id, x.incident_id, x.comment_no, x.comment, x.created_by_display_name, x.created_date_time
		FROM unnest(
			$1::uuid[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::timestamptz[]
		) AS x (
			tenant_id, incident_id, comment_no, comment, created_by_display_name, created_date_time
		)
		ON CONFLICT (tenant_id, incident_id, comment_no) DO UPDATE SET
			comment = excluded.comment, created_by_display_name = excluded.created_by_display_name,
			created_date_time = excluded.created_date_time
		WHERE (
			c.comment, c.created_by_display_name, c.created_date_time
		) IS DISTINCT FROM (
			excluded.comment, excluded.created_by_display_name, excluded.created_date_time
		)`
	type key struct {
		TenantID   string `db:"tenant_id"`
		IncidentID int64  `db:"incident_id"`
		Number     int64  `db:"number"`
	}
	keys := mapRows(p.rows, func(i *Incident) *key { return &key{i.TenantID, i.IncidentID, int64(len(i.CommentRows))} })
	b.Queue(surplus, columns(keys)...)
	var comments []*Comment
	for _, i := range p.rows {
		for n := range i.CommentRows {
			comments = append(comments, &i.CommentRows[n])
		}
	}
	if len(comments) > 0 {
		b.Queue(upsert, columns(comments)...)
	}
}

// queueHistory writes what the rows changed.
func (p *incidentPage) queueHistory(b *pgx.Batch) {
	const insert = `
		INSERT INTO defender.incident_history AS h (tenant_id, incident_id, changed_at, field, old_value, new_value)
		SELECT x.tenant_id, x.incident_id, x.changed_at, x.field, x.old_value, x.new_value
		FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[])
			AS x (tenant_id, incident_id, changed_at, field, old_value, new_value)
		ON CONFLICT (tenant_id, incident_id, changed_at, field) DO UPDATE SET
			-- Twice within one reading of the clock: one change, from the first value to the last.
			new_value = excluded.new_value`
	type change struct {
		TenantID   string    `db:"tenant_id"`
		IncidentID int64     `db:"incident_id"`
		ChangedAt  time.Time `db:"changed_at"`
		Field      string    `db:"field"`
		OldValue   *string   `db:"old_value"`
		NewValue   *string   `db:"new_value"`
	}
	var changes []*change
	for _, i := range p.rows {
		old := p.known[i.IncidentID]
		if old == nil {
			continue // first sight
		}
		at := changedAt(old.LastUpdateDateTime, i.LastUpdateDateTime, i.SyncedAt)
		for _, d := range differences(old.tracked(), i.tracked()) {
			changes = append(changes, &change{i.TenantID, i.IncidentID, at, d.field, d.old, d.new})
		}
	}
	if len(changes) > 0 {
		b.Queue(insert, columns(changes)...)
	}
}

// tracked returns the columns whose changes are history.
func (i *Incident) tracked() []tracked {
	return []tracked{
		{"status", i.Status},
		{"severity", i.Severity},
		{"classification", i.Classification},
		{"determination", i.Determination},
		{"assigned_to", i.AssignedTo},
		{"display_name", i.DisplayName},
		{"custom_tags", listText(i.CustomTags)},
		{"system_tags", listText(i.SystemTags)},
		{"redirect_incident_id", numberText(i.RedirectIncidentID)},
	}
}
