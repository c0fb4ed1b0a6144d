package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// sighting is one row of defender.entity_sightings: an entity that the evidence
// of an alert names.
type sighting struct {
	TenantID      string    `db:"tenant_id"`
	AlertID       string    `db:"alert_id"`
	EntityType    string    `db:"entity_type"`
	EntityKey     string    `db:"entity_key"`
	Name          string    `db:"name"`
	FirstSeenAt   time.Time `db:"first_seen_at"`
	LastSeenAt    time.Time `db:"last_seen_at"`
	EvidenceCount int64     `db:"evidence_count"`
	Properties    []string  `db:"properties"`
	EvidenceTypes []string  `db:"evidence_types"`
	Roles         []string  `db:"roles"`
	Verdicts      []string  `db:"verdicts"`

	lastNo int32 // of the evidence counted
}

// sightings works out what the alert's evidence names, in the order of the keys.
// The view defender.alert_entities says the same of what is stored, and tests
// compare them: asking it for every page took longer than all the rest of a commit.
func (a *Alert) sightings() []*sighting {
	if len(a.AlertID) > maxIndexed { // leaves no room for the key in an index
		return nil
	}
	type id struct{ kind, key string }
	found := map[id]*sighting{}
	for n := range a.Evidence {
		e := a.Evidence[n].indexable()
		at := firstOf(e.CreatedDateTime, a.FirstActivityDateTime, a.CreatedDateTime, &a.LastUpdateDateTime)
		e.eachName(func(kind, property, value string) {
			k := id{kind, entityKey(kind, value)}
			s := found[k]
			if s == nil {
				s = &sighting{TenantID: a.TenantID, AlertID: a.AlertID, EntityType: k.kind, EntityKey: k.key, Name: value,
					FirstSeenAt: at, LastSeenAt: at, Roles: []string{}, Verdicts: []string{}}
				found[k] = s
			}
			s.add(e, property, value, at)
		})
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *sighting) int {
		return cmp.Or(cmp.Compare(a.EntityType, b.EntityType), cmp.Compare(a.EntityKey, b.EntityKey))
	})
}

// add counts one column of one piece of evidence in.
func (s *sighting) add(e *Evidence, property, value string, at time.Time) {
	s.Name = min(s.Name, value)
	if at.Before(s.FirstSeenAt) {
		s.FirstSeenAt = at
	}
	if at.After(s.LastSeenAt) {
		s.LastSeenAt = at
	}
	if e.EvidenceNo != s.lastNo {
		s.EvidenceCount, s.lastNo = s.EvidenceCount+1, e.EvidenceNo
	}
	s.Properties, s.EvidenceTypes = include(s.Properties, property), include(s.EvidenceTypes, e.EvidenceType)
	for _, r := range e.Roles {
		s.Roles = include(s.Roles, r)
	}
	if e.Verdict != nil {
		s.Verdicts = include(s.Verdicts, *e.Verdict)
	}
}

// eachName calls f with each entity that e names and the column that names it.
func (e *Evidence) eachName(f func(kind, property, value string)) {
	name := func(kind, property string, value *string) {
		if value != nil && *value != "" {
			f(kind, property, *value)
		}
	}
	has := func(s *string) bool { return s != nil && *s != "" }
	name("host", "host_name", e.HostName)
	if !has(e.HostName) && e.EvidenceType == "device" {
		name("host", "mde_device_id", e.MDEDeviceID)
	}
	name("user", "user_principal_name", e.UserPrincipalName)
	// The accounts of a code host are not users of this organisation.
	if !has(e.UserPrincipalName) && has(e.AccountName) && !strings.HasPrefix(e.EvidenceType, "git_hub_") {
		account := *e.AccountName
		if has(e.DomainName) {
			account = *e.DomainName + `\` + account
		}
		name("user", "account_name", &account)
	}
	name("ip", "ip_address", e.IPAddress)
	name("ip", "sender_ip", e.SenderIP)
	name("ip", "last_ip_address", e.LastIPAddress)
	name("ip", "last_external_ip_address", e.LastExternalIPAddress)
	name("url", "url", e.URL)
	name("hash", "sha256", e.SHA256)
	name("hash", "sha1", e.SHA1)
	name("hash", "md5", e.MD5)
	name("mailbox", "primary_address", e.PrimaryAddress)
	name("mailbox", "recipient_email_address", e.RecipientEmailAddress)
	name("mailbox", "sender_address", e.SenderAddress)
}

// entityKey is what an entity is known by: its name in small letters of ASCII,
// which is what a database of any locale makes of it too, but for URLs, whose case
// counts. Of one too long for an index it is the beginning and a digest.
func entityKey(kind, name string) string {
	if kind != "url" {
		name = strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, name)
	}
	if len(name) <= maxIndexed {
		return name
	}
	sum, end := sha256.Sum256([]byte(name)), 0
	for range 200 {
		_, size := utf8.DecodeRuneInString(name[end:])
		end += size
	}
	return name[:end] + "#" + hex.EncodeToString(sum[:])
}

// firstOf returns the first time that there is.
func firstOf(times ...*time.Time) time.Time {
	i := slices.IndexFunc(times, func(t *time.Time) bool { return t != nil })
	return *times[i]
}

// include keeps list a sorted set.
func include(list []string, s string) []string {
	if i, found := slices.BinarySearch(list, s); !found {
		return slices.Insert(list, i, s)
	}
	return list
}

// queueEntities brings defender.entity_sightings and defender.entities up to
// what the evidence of the rows names now. What is stored already is not written
// again, so that an alert that only changes its status costs reading.
//
// An entity's row is counted up and down instead of worked out anew, or the cost
// of a sighting would grow with the sightings before it. A tenant's commits pass
// one by one, so nobody counts at the same time. Times widen likewise; only an
// entity that lost a sighting has its others looked up.
//
// OFFSET 0 keeps a look-up by key one: where the planner takes a tenant for small,
// it would read all of it instead.
func (p *alertPage) queueEntities(b *pgx.Batch) {
	// Before the sightings change: the difference is what the entities change by.
	const entities = `
		WITH fresh AS (
			SELECT *
			FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[])
				AS x (alert_id, entity_type, entity_key, name, first_seen_at, last_seen_at)
		), stored AS (
			SELECT s.entity_type, s.entity_key, s.alert_id, s.first_seen_at, s.last_seen_at
			FROM unnest($2::text[]) AS k (alert_id)
			CROSS JOIN LATERAL (
				SELECT * FROM defender.entity_sightings AS s WHERE s.tenant_id = $1::uuid AND s.alert_id = k.alert_id OFFSET 0
			) AS s
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
			CASE WHEN c.lost THEN least(c.first_seen_at, o.first_seen_at) ELSE least(c.first_seen_at, e.first_seen_at) END,
			CASE WHEN c.lost THEN greatest(c.last_seen_at, o.last_seen_at) ELSE greatest(c.last_seen_at, e.last_seen_at) END,
			coalesce(e.alert_count, 0) + c.gained
		FROM changed AS c
		LEFT JOIN LATERAL (
			SELECT e.name, e.first_seen_at, e.last_seen_at, e.alert_count
			FROM defender.entities AS e
			WHERE e.tenant_id = $1::uuid AND e.entity_type = c.entity_type AND e.entity_key = c.entity_key
			OFFSET 0
		) AS e ON true
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
	// Not NOT EXISTS: without hash joins that would compare each with each. What no
	// alert names any more, as the statement before has found, and hunting never did,
	// goes with its last sighting.
	const gone = `
		WITH gone AS (
			DELETE FROM defender.entity_sightings AS s
			USING unnest($1::uuid[], $2::text[]) AS k (tenant_id, alert_id)
			WHERE s.tenant_id = k.tenant_id AND s.alert_id = k.alert_id
				AND (s.alert_id, s.entity_type, s.entity_key) NOT IN (
					SELECT x.alert_id, x.entity_type, x.entity_key
					FROM unnest($3::text[], $4::text[], $5::text[]) AS x (alert_id, entity_type, entity_key)
				)
			RETURNING s.tenant_id, s.entity_type, s.entity_key
		)
		DELETE FROM defender.entities AS e
		USING (SELECT DISTINCT tenant_id, entity_type, entity_key FROM gone) AS g
		WHERE e.tenant_id = g.tenant_id AND e.entity_type = g.entity_type AND e.entity_key = g.entity_key
			AND e.alert_count = 0 AND e.hunting_first_seen_at IS NULL`
	const sightings = `
		INSERT INTO defender.entity_sightings AS s (
			tenant_id, alert_id, entity_type, entity_key, name, first_seen_at, last_seen_at, evidence_count,
			properties, evidence_types, roles, verdicts
		)
		SELECT
			x.tenant_id, x.alert_id, x.entity_type, x.entity_key, x.name, x.first_seen_at, x.last_seen_at, x.evidence_count,
			x.properties::text[], x.evidence_types::text[], x.roles::text[], x.verdicts::text[]
		FROM unnest(
			$3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::timestamptz[], $10::bigint[],
			$11::text[], $12::text[], $13::text[], $14::text[]
		) AS x (
			tenant_id, alert_id, entity_type, entity_key, name, first_seen_at, last_seen_at, evidence_count,
			properties, evidence_types, roles, verdicts
		)
		EXCEPT
		SELECT
			tenant_id, alert_id, entity_type, entity_key, name, first_seen_at, last_seen_at, evidence_count,
			properties, evidence_types, roles, verdicts
		FROM unnest($2::text[]) AS k (id)
		CROSS JOIN LATERAL (
			SELECT * FROM defender.entity_sightings AS s WHERE s.tenant_id = $1::uuid AND s.alert_id = k.id OFFSET 0
		) AS s
		ORDER BY 2, 3, 4
		ON CONFLICT (tenant_id, alert_id, entity_type, entity_key) DO UPDATE SET
			name = excluded.name, first_seen_at = excluded.first_seen_at, last_seen_at = excluded.last_seen_at,
			evidence_count = excluded.evidence_count, properties = excluded.properties,
			evidence_types = excluded.evidence_types, roles = excluded.roles, verdicts = excluded.verdicts`
	tenant := p.rows[0].TenantID
	ids, tenants := make([]string, len(p.rows)), make([]string, len(p.rows))
	var fresh []*sighting
	for n, a := range p.rows {
		ids[n], tenants[n] = a.AlertID, tenant
		fresh = append(fresh, a.sightings()...)
	}
	all := columns(fresh) // tenant, alert, type, key, name, first, last, …
	b.Queue(entities, append([]any{tenant, ids}, all[1:7]...)...)
	b.Queue(gone, append([]any{tenants, ids}, all[1:4]...)...)
	if len(fresh) > 0 {
		b.Queue(sightings, append([]any{tenant, ids}, all...)...)
	}
}
