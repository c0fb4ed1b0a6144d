package store

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
)

// found is what the rows of a commit name, on its way into the tables of entities.
//
// Sightings are their stream's own, and are written whenever they have become
// many. Entities are every stream's: they wait for the lease's row, under which a
// tenant's commits pass one by one, or two commits would each wait for an entity
// of the other's. What waits is in a spool.
type found struct {
	sights
	spool spool
	parts []foundPart
}

// foundPart is where in the spool the entities of one writing are.
type foundPart struct {
	at   int64
	size int
}

func newFound(r *HuntRows) *found { return &found{sights: sights{limit: r.sights}} }

func (f *found) close() { _ = f.spool.close() } // a file without a name

// foundIn runs write, and forgets what it found where its rows are not stored.
func (l *loader) foundIn(write func() error) error {
	before := l.found.sights
	l.found.sights = sights{}
	err := write()
	if err == nil {
		before.merge(&l.found.sights)
	}
	l.found.sights = before
	return err
}

// properties are the table's columns by the bit of what they name.
func (l *loader) properties() map[uint64]string {
	all := map[uint64]string{}
	for _, shape := range l.rows.shapes {
		for _, n := range shape.names {
			all[n.bit] = n.property
		}
	}
	return all
}

// writeSightings writes what was gathered, and keeps what it means for the
// entities. What is stored already, or lies between the times stored, is left
// alone. OFFSET 0 keeps a look-up by key one.
func (l *loader) writeSightings(ctx context.Context) error {
	const sightings = `
		INSERT INTO defender.hunting_sightings (tenant_id, day, table_name, entity_type, entity_key, first_seen_at, last_seen_at, properties)
		SELECT
			$1::uuid, x.day, $2, x.entity_type, x.entity_key,
			least(x.first_seen_at, s.first_seen_at), greatest(x.last_seen_at, s.last_seen_at),
			CASE
				WHEN s.properties @> x.properties::text[] THEN s.properties
				ELSE ARRAY(SELECT DISTINCT p COLLATE "C" FROM unnest(x.properties::text[] || s.properties) AS p ORDER BY 1)
			END
		FROM unnest($3::date[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::text[])
			AS x (day, entity_type, entity_key, first_seen_at, last_seen_at, properties)
		LEFT JOIN LATERAL (
			SELECT s.first_seen_at, s.last_seen_at, s.properties
			FROM defender.hunting_sightings AS s
			WHERE s.tenant_id = $1::uuid AND s.day = x.day AND s.table_name = $2 AND s.entity_type = x.entity_type AND s.entity_key = x.entity_key
			OFFSET 0
		) AS s ON true
		WHERE s.first_seen_at IS NULL OR x.first_seen_at < s.first_seen_at OR x.last_seen_at > s.last_seen_at OR NOT s.properties @> x.properties::text[]
		ORDER BY x.day, x.entity_type COLLATE "C", x.entity_key COLLATE "C"
		ON CONFLICT (tenant_id, day, table_name, entity_type, entity_key) DO UPDATE SET
			first_seen_at = excluded.first_seen_at, last_seen_at = excluded.last_seen_at, properties = excluded.properties`
	f := l.found
	if len(f.seen) == 0 {
		return nil
	}
	rows := f.rows(l.properties())
	f.reset()
	entities, err := json.Marshal(entitiesOf(rows))
	if err != nil {
		return fmt.Errorf("keep what rows name: %w", err)
	}
	at, err := f.spool.append(entities)
	if err != nil {
		return err
	}
	f.parts = append(f.parts, foundPart{at, len(entities)})
	l.w.batch.Queue(sightings, append([]any{l.c.Lease.TenantID, l.rows.spec.table()}, columns(rows)...)...)
	return l.w.send(ctx)
}

// writeEntities makes the entities that the sightings name, and widens when they
// were seen. It is for the holder of the lease's row.
func (l *loader) writeEntities(ctx context.Context) error {
	const entities = `
		INSERT INTO defender.entities AS e (tenant_id, entity_type, entity_key, name, alert_count, hunting_first_seen_at, hunting_last_seen_at)
		SELECT $1::uuid, x.entity_type, x.entity_key, x.name, 0, x.first_seen_at, x.last_seen_at
		FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[])
			AS x (entity_type, entity_key, name, first_seen_at, last_seen_at)
		LEFT JOIN LATERAL (
			SELECT e.hunting_first_seen_at, e.hunting_last_seen_at
			FROM defender.entities AS e
			WHERE e.tenant_id = $1::uuid AND e.entity_type = x.entity_type AND e.entity_key = x.entity_key
			OFFSET 0
		) AS e ON true
		WHERE e.hunting_first_seen_at IS NULL OR x.first_seen_at < e.hunting_first_seen_at OR x.last_seen_at > e.hunting_last_seen_at
		ORDER BY x.entity_type COLLATE "C", x.entity_key COLLATE "C"
		ON CONFLICT (tenant_id, entity_type, entity_key) DO UPDATE SET
			hunting_first_seen_at = least(e.hunting_first_seen_at, excluded.hunting_first_seen_at),
			hunting_last_seen_at = greatest(e.hunting_last_seen_at, excluded.hunting_last_seen_at)`
	for _, part := range l.found.parts {
		b, err := l.found.spool.read(nil, part.at, part.size)
		if err != nil {
			return err
		}
		var rows []*huntEntity
		if err := json.Unmarshal(b, &rows); err != nil {
			return fmt.Errorf("read what rows name: %w", err)
		}
		l.w.batch.Queue(entities, append([]any{l.c.Lease.TenantID}, columns(rows)...)...)
		if err := l.w.send(ctx); err != nil {
			return err
		}
	}
	return nil
}
