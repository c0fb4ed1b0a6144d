package store

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"
)

// The entities that the rows of a commit name go to defender.hunting_sightings,
// one row for an entity, a table and a day, and to defender.entities. They are
// gathered from the rows that are really written, so that rows read again cost
// nothing. Both merge by the earliest and the latest time: rows may come in any
// order, and again.

// huntSighting is one row of defender.hunting_sightings.
type huntSighting struct {
	Day         time.Time `db:"day"`
	EntityType  string    `db:"entity_type"`
	EntityKey   string    `db:"entity_key"`
	FirstSeenAt time.Time `db:"first_seen_at"`
	LastSeenAt  time.Time `db:"last_seen_at"`
	Properties  []string  `db:"properties"`

	Name string // as served
	sight
}

// sights gathers what rows name. Values are told apart as served; only when they
// are written are those that mean the same brought together.
type sights struct {
	seen   map[string]*sight // by day, kind and value, see sightID
	bytes  int               // of the keys
	limit  int               // 0 means maxSights
	id     []byte
	fields [][]byte
}

// sight is what the rows of a day say of one value.
type sight struct {
	first, last int64  // microseconds after epoch
	columns     uint64 // a bit for each of huntNamings that has the value
}

// What is gathered is written when it is this much, so that memory does not grow
// with the rows of a commit.
const (
	maxSights     = 1 << 14
	maxSightBytes = 4 << 20
)

// add takes the entities that a row names. A row without a time was seen on no day,
// and services write the year 1 where they have none, or 9999.
func (s *sights) add(shape *huntShape, at int64, body []byte) {
	if at < earliestSight || at > latestSight || len(shape.names) == 0 {
		return
	}
	s.fields = shape.split(s.fields, body)
	day := int32(floorDiv(at, microsOfDay))
	for i := range shape.names {
		n := &shape.names[i]
		s.id = appendSightID(s.id[:0], day, n.kind)
		head := len(s.id)
		if s.id = n.value(s.id, s.fields); len(s.id) > head {
			s.see(sight{first: at, last: at, columns: n.bit})
		}
	}
}

// see counts the value in id in.
func (s *sights) see(v sight) {
	known := s.seen[string(s.id)]
	if known != nil {
		known.widen(&v)
		return
	}
	if s.seen == nil {
		s.seen = map[string]*sight{}
	}
	s.seen[string(s.id)] = &v
	s.bytes += len(s.id)
}

func (s *sight) widen(o *sight) {
	s.first, s.last, s.columns = min(s.first, o.first), max(s.last, o.last), s.columns|o.columns
}

// full reports whether it is time to write.
func (s *sights) full() bool {
	return len(s.seen) >= cmp.Or(s.limit, maxSights) || s.bytes >= maxSightBytes
}

// merge takes what another has gathered.
func (s *sights) merge(other *sights) {
	for id, v := range other.seen {
		s.id = append(s.id[:0], id...)
		s.see(*v)
	}
}

// reset forgets everything.
func (s *sights) reset() {
	clear(s.seen)
	s.bytes = 0
}

// The times at which something may be seen: from 1970 to 2999.
const (
	earliestSight = -946_684_800 * 1e6
	latestSight   = 31_556_995_200*1e6 - 1
)

const microsOfDay = 24 * 3600 * 1e6

// appendSightID begins a key of sights: the value follows.
func appendSightID(dst []byte, day int32, kind string) []byte {
	return append(append(binary.BigEndian.AppendUint32(dst, uint32(day)), kind...), 0)
}

// rows are what is gathered as rows of the table, in the order of its key.
func (s *sights) rows(properties map[uint64]string) []*huntSighting {
	all := make([]*huntSighting, 0, len(s.seen))
	for id, v := range s.seen {
		kind, value, _ := strings.Cut(id[4:], "\x00")
		name := entityName(kind, value)
		all = append(all, &huntSighting{
			Day:        epoch.AddDate(0, 0, int(int32(binary.BigEndian.Uint32([]byte(id[:4]))))),
			EntityType: kind, EntityKey: entityKey(kind, name), Name: name, sight: *v,
		})
	}
	slices.SortFunc(all, func(a, b *huntSighting) int { return cmp.Or(a.compare(b), cmp.Compare(a.Name, b.Name)) })
	all = together(all)
	for _, r := range all {
		r.FirstSeenAt, r.LastSeenAt = instant(r.first), instant(r.last)
		for bits := r.columns; bits != 0; bits &= bits - 1 {
			r.Properties = include(r.Properties, properties[bits&-bits])
		}
	}
	return all
}

// together makes one of those, sorted, that only a spelling told apart.
func together(all []*huntSighting) []*huntSighting {
	var out []*huntSighting
	for _, s := range all {
		if n := len(out); n > 0 && out[n-1].compare(s) == 0 {
			out[n-1].widen(&s.sight)
			continue
		}
		out = append(out, s)
	}
	return out
}

func (s *huntSighting) compare(o *huntSighting) int {
	return cmp.Or(s.Day.Compare(o.Day), cmp.Compare(s.EntityType, o.EntityType), cmp.Compare(s.EntityKey, o.EntityKey))
}

// huntEntity is what sightings change about an entity.
type huntEntity struct {
	EntityType  string    `db:"entity_type"`
	EntityKey   string    `db:"entity_key"`
	Name        string    `db:"name"`
	FirstSeenAt time.Time `db:"first_seen_at"`
	LastSeenAt  time.Time `db:"last_seen_at"`
}

// entitiesOf sums sightings up, in the order of the entities' keys.
func entitiesOf(all []*huntSighting) []*huntEntity {
	type id struct{ kind, key string }
	found := map[id]*huntEntity{}
	for _, s := range all {
		e := found[id{s.EntityType, s.EntityKey}]
		if e == nil {
			e = &huntEntity{s.EntityType, s.EntityKey, s.Name, s.FirstSeenAt, s.LastSeenAt}
			found[id{s.EntityType, s.EntityKey}] = e
		}
		if s.FirstSeenAt.Before(e.FirstSeenAt) {
			e.FirstSeenAt = s.FirstSeenAt
		}
		if s.LastSeenAt.After(e.LastSeenAt) {
			e.LastSeenAt = s.LastSeenAt
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *huntEntity) int {
		return cmp.Or(cmp.Compare(a.EntityType, b.EntityType), cmp.Compare(a.EntityKey, b.EntityKey))
	})
}
