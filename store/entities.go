package store

import "github.com/jackc/pgx/v5"

// queueEntities brings defender.entity_sightings and defender.entities up to
// what the evidence of the rows, written before it in the same batch, names now.
// defender.alert_entities says what that is, asked for one alert at a time: for
// many at once the planner may read the evidence of all. What is stored already
// is not written again, so that an alert that only changes its status costs reading.
//
// An entity's row is counted up and down instead of worked out anew, or the cost
// of a sighting would grow with the sightings before it. A tenant's commits pass
// one by one, so nobody counts at the same time. Times widen likewise; only an
// entity that lost a sighting has its others looked up.
func (p *alertPage) queueEntities(b *pgx.Batch) {
	// Before the sightings change: the difference is what the entities change by.
	const entities = `
		WITH fresh AS (
			SELECT f.entity_type, f.entity_key, f.alert_id, f.name, f.first_seen_at, f.last_seen_at
			FROM unnest($2::text[]) AS k (alert_id)
			CROSS JOIN LATERAL (SELECT * FROM defender.alert_entities AS f WHERE f.tenant_id = $1::uuid AND f.alert_id = k.alert_id OFFSET 0) AS f
		), stored AS (
			SELECT entity_type, entity_key, alert_id, first_seen_at, last_seen_at
			FROM defender.entity_sightings
			WHERE tenant_id = $1::uuid AND alert_id = ANY ($2::text[])
		), changed AS (
			SELECT
				entity_type, entity_key, min(f.name COLLATE "C") AS name,
				min(f.first_seen_at) AS first_seen_at, max(f.last_seen_at) AS last_seen_at,
				count(f.name) - count(s.first_seen_at) AS gained,
				bool_or(
					s.first_seen_at IS NOT NULL
					AND (f.name IS NULL OR f.first_seen_at > s.first_seen_at OR f.last_seen_at < s.last_seen_at)
				) AS lost
			FROM fresh AS f
			FULL JOIN stored AS s USING (entity_type, entity_key, alert_id)
			GROUP BY entity_type, entity_key
			HAVING bool_or((f.first_seen_at, f.last_seen_at) IS DISTINCT FROM (s.first_seen_at, s.last_seen_at))
		)
		INSERT INTO defender.entities AS e (tenant_id, entity_type, entity_key, name, first_seen_at, last_seen_at, alert_count)
		SELECT
			$1::uuid, c.entity_type, c.entity_key, coalesce(e.name, c.name),
			CASE WHEN c.lost THEN coalesce(least(c.first_seen_at, o.first_seen_at), e.first_seen_at) ELSE least(c.first_seen_at, e.first_seen_at) END,
			CASE WHEN c.lost THEN coalesce(greatest(c.last_seen_at, o.last_seen_at), e.last_seen_at) ELSE greatest(c.last_seen_at, e.last_seen_at) END,
			coalesce(e.alert_count, 0) + c.gained
		FROM changed AS c
		LEFT JOIN defender.entities AS e
			ON e.tenant_id = $1::uuid AND e.entity_type = c.entity_type AND e.entity_key = c.entity_key
		LEFT JOIN LATERAL (
			SELECT min(s.first_seen_at) AS first_seen_at, max(s.last_seen_at) AS last_seen_at
			FROM defender.entity_sightings AS s
			WHERE c.lost AND s.entity_key = c.entity_key AND s.entity_type = c.entity_type AND s.tenant_id = $1::uuid
				AND s.alert_id <> ALL ($2::text[])
		) AS o ON true
		ORDER BY c.entity_type, c.entity_key
		ON CONFLICT (tenant_id, entity_type, entity_key) DO UPDATE SET
			first_seen_at = excluded.first_seen_at, last_seen_at = excluded.last_seen_at, alert_count = excluded.alert_count
		WHERE (e.first_seen_at, e.last_seen_at, e.alert_count)
			IS DISTINCT FROM (excluded.first_seen_at, excluded.last_seen_at, excluded.alert_count)`
	// Not NOT EXISTS: without hash joins that would compare each with each.
	const gone = `
		DELETE FROM defender.entity_sightings AS s
		WHERE s.tenant_id = $1::uuid AND s.alert_id = ANY ($2::text[])
			AND (s.alert_id, s.entity_type, s.entity_key) NOT IN (
				SELECT f.alert_id, f.entity_type, f.entity_key
				FROM unnest($2::text[]) AS k (alert_id)
				CROSS JOIN LATERAL (SELECT * FROM defender.alert_entities AS f WHERE f.tenant_id = $1::uuid AND f.alert_id = k.alert_id OFFSET 0) AS f
			)`
	const sightings = `
		INSERT INTO defender.entity_sightings AS s (
			tenant_id, alert_id, entity_type, entity_key, name, first_seen_at, last_seen_at, evidence_count,
			properties, evidence_types, roles, verdicts
		)
		SELECT
			f.tenant_id, f.alert_id, f.entity_type, f.entity_key, f.name, f.first_seen_at, f.last_seen_at, f.evidence_count,
			f.properties, f.evidence_types, f.roles, f.verdicts
		FROM unnest($2::text[]) AS k (alert_id)
		CROSS JOIN LATERAL (SELECT * FROM defender.alert_entities AS f WHERE f.tenant_id = $1::uuid AND f.alert_id = k.alert_id OFFSET 0) AS f
		EXCEPT
		SELECT
			tenant_id, alert_id, entity_type, entity_key, name, first_seen_at, last_seen_at, evidence_count,
			properties, evidence_types, roles, verdicts
		FROM defender.entity_sightings
		WHERE tenant_id = $1::uuid AND alert_id = ANY ($2::text[])
		ORDER BY 2, 3, 4
		ON CONFLICT (tenant_id, alert_id, entity_type, entity_key) DO UPDATE SET
			name = excluded.name, first_seen_at = excluded.first_seen_at, last_seen_at = excluded.last_seen_at,
			evidence_count = excluded.evidence_count, properties = excluded.properties,
			evidence_types = excluded.evidence_types, roles = excluded.roles, verdicts = excluded.verdicts`
	const unseen = `
		DELETE FROM defender.entities
		WHERE tenant_id = $1::uuid AND alert_count = 0`
	tenant := p.rows[0].TenantID
	ids := make([]string, len(p.rows))
	for n, a := range p.rows {
		ids[n] = a.AlertID
	}
	b.Queue(entities, tenant, ids)
	b.Queue(gone, tenant, ids)
	b.Queue(sightings, tenant, ids)
	b.Queue(unseen, tenant)
}
