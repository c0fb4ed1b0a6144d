package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// kindHuntingRow is the kind of quarantined hunting rows.
const kindHuntingRow = "hunting_row"

// UnstorableError says why a record in quarantine can never be stored, whatever
// is done to it: a person can look at it, and no more.
type UnstorableError struct{ Why string }

// Error implements error.
func (e *UnstorableError) Error() string { return e.Why }

// HuntReplay is a quarantined row of a table in mode events that PostgreSQL may
// take after all.
type HuntReplay struct {
	Lease Lease
	Row   QuarantineRow
	Spec  HuntSpec
}

// ReplayHunt stores the row from its bytes, under the key that it had, and takes
// it out of quarantine, in one transaction. What is stored under its key already
// came later, and stays, unless it is older by the table's time. The error may
// be an [*UnstorableError].
func (s *Store) ReplayHunt(ctx context.Context, r HuntReplay) (Counts, error) {
	counts, err := s.replayHunt(ctx, r)
	if err != nil {
		return Counts{}, fmt.Errorf("store: replay %s: %w", r.Row.ID, err)
	}
	return counts, nil
}

func (s *Store) replayHunt(ctx context.Context, r HuntReplay) (Counts, error) {
	key, members, err := readRefused(r.Row)
	if err != nil {
		return Counts{}, err
	}
	t, err := loadHuntTable(ctx, s.pool, r.Spec.table())
	if err != nil {
		return Counts{}, err
	}
	if !t.made {
		return Counts{}, fmt.Errorf("there is no table %s: a pass of the stream makes it", hunting(t.name))
	}
	rows := s.NewHuntRows(r.Spec)
	defer func() { _ = rows.Close() }() // nothing was written to a file
	if err := rows.addRefused(t, key, members); err != nil {
		return Counts{}, err
	}
	c := &Commit{Lease: r.Lease, Hunt: rows}
	c.Checkpoint.TenantID, c.Checkpoint.Stream = r.Lease.TenantID, r.Row.Stream
	if err := c.checkHunt(); err != nil {
		return Counts{}, err
	}
	return s.storeRefused(ctx, c, r.Row.ID)
}

// readRefused takes apart what servedRow has written.
func readRefused(q QuarantineRow) (rowKey, []HuntExtra, error) {
	switch _, notJSON := hex.DecodeString(string(q.Payload)); {
	case q.Kind != kindHuntingRow:
		return rowKey{}, nil, fmt.Errorf("a record of kind %s is no hunting row", q.Kind)
	case q.Key == "" && len(q.Payload) == 64 && notJSON == nil:
		return rowKey{}, nil, &UnstorableError{"an element of an answer that is no object is no row of any table, and its bytes were not kept because columns of this one are private"}
	case q.Key == "":
		return rowKey{}, nil, &UnstorableError{"an element of an answer that is no object is no row of any table"}
	}
	key, err := uuid.Parse(q.Key)
	members, broken := membersOf(q.Payload)
	if err != nil || broken != nil {
		return rowKey{}, nil, &UnstorableError{"the bytes of the row could not be kept, or are not what was kept"}
	}
	return rowKey(key), members, nil
}

// membersOf reads an object, every member of it and in their order.
func membersOf(doc []byte) ([]HuntExtra, error) {
	d := jsontext.NewDecoder(bytes.NewReader(doc), jsontext.AllowDuplicateNames(true))
	if d.PeekKind() != jsontext.KindBeginObject {
		return nil, errors.New("no object")
	}
	_, err := d.ReadToken()
	var all []HuntExtra
	for err == nil && d.PeekKind() != jsontext.KindEndObject {
		var name string
		var value jsontext.Value
		if err = json.UnmarshalDecode(d, &name); err == nil {
			value, err = d.ReadValue()
		}
		all = append(all, HuntExtra{Name: name, Value: slices.Clone(value)})
	}
	return all, err
}

// addRefused adds the row that members are of, for the columns that the table
// has now. Columns that were hashed when it was refused are not hashed again.
func (r *HuntRows) addRefused(t *huntTable, key rowKey, members []HuntExtra) error {
	for _, m := range members {
		var hashed []string
		if m.Name == hashedMember && json.Unmarshal(m.Value, &hashed) == nil {
			r.spec.Hash = slices.DeleteFunc(slices.Clone(r.spec.Hash), func(name string) bool { return containsFold(hashed, name) })
		}
	}
	var values [][]byte
	place := map[string]int{}
	for i, c := range t.columns {
		r.served = append(r.served, HuntColumn{Name: c.served, Type: c.typed})
		if values = append(values, nil); c.made {
			place[c.served] = i
		}
	}
	var rest []HuntExtra
	for _, m := range members {
		switch i, known := place[m.Name]; {
		case m.Name == hashedMember:
		case known && values[i] == nil:
			values[i] = m.Value
		default:
			rest = append(rest, m)
		}
	}
	r.shapes = []*huntShape{newShape(&r.spec, t, r.served)}
	err := r.Add(values, rest)
	if err == nil {
		r.index.entries[0].key = key
	}
	return err
}

// storeRefused writes the one row of c.
func (s *Store) storeRefused(ctx context.Context, c *Commit, id string) (Counts, error) {
	const release = `
		DELETE FROM sync.quarantine
		WHERE tenant_id = $1 AND id = $2`
	var counts Counts
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		w := &writer{tx: tx, batch: &pgx.Batch{}}
		l := &loader{w: w, c: c, rows: c.Hunt, table: hunting(c.Hunt.spec.table()), found: newFound(c.Hunt)}
		defer l.found.close()
		queueSettings(w.batch)
		queueGuard(w.batch, c.Lease, &w.now)
		if err := w.send(ctx); err != nil {
			return err
		}
		if err := l.loadRefused(ctx); err != nil {
			return err
		}
		if err := errors.Join(l.writeSightings(ctx), l.writeEntities(ctx)); err != nil {
			return err
		}
		w.batch.Queue(release, c.Lease.TenantID, id)
		counts = w.counts
		return w.send(ctx)
	})
	return counts, err
}

// loadRefused writes the row where nothing is stored under its key, or what is
// older than it.
func (l *loader) loadRefused(ctx context.Context) error {
	row := l.rows.index.entries[0]
	timed := row.time != noTime
	if timed {
		row.time-- // of the same time is not older
	}
	fresh, changed, err := l.probe(ctx, []huntEntry{row})
	if err != nil {
		return err
	}
	if condition, _ := l.stale(changed); !timed || condition == "false" {
		changed = nil
	}
	l.w.counts.Unchanged = int64(1 - len(fresh) - len(changed))
	if err := l.write(ctx, fresh, &l.w.counts.Inserted); err != nil {
		return err
	}
	return l.rewrite(ctx, changed)
}
