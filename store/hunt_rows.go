package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// HuntRows is one result of a hunting table on its way into the database. Each
// row is typed and encoded as it is added, and kept, in memory or in a file,
// until [Store.Commit] loads them all. It is not safe for concurrent use.
type HuntRows struct {
	store  *Store
	spec   HuntSpec
	served []HuntColumn // of the last Begin; nil before the first
	shapes []*huntShape // how the rows of each answer are laid out; the last is in use

	row   huntRow
	spool spool
	index huntIndex
	odd   []oddRow
	news  []SchemaChange

	keptSize int64 // of spool: what was accepted
	keptOdd  int   // of odd: likewise
	head     []byte
	sights   int // how much of what the rows name is held at a time; 0 means maxSights

	// Of a result that is read whole; see parts.
	answers, keptAnswers int    // begun, and accepted
	reading              string // "" until it matters
	parts                int    // stored
	partsSize            int64  // of spool: what is in them
	used                 bool   // a commit was tried: the next Begin starts another result
	doubtful             bool   // it failed: the table may have been changed by hand
}

// oddRow is something in an answer that is no row, in the spool.
type oddRow struct {
	at     int64
	size   int
	reason string
}

// NewHuntRows returns an empty result of the table.
func (s *Store) NewHuntRows(spec HuntSpec) *HuntRows {
	return &HuntRows{store: s, spec: spec}
}

// Begin starts an answer with these columns: the table is made or widened
// where it lacks one, in a transaction of its own, and what was added since
// the last Keep is forgotten; after a commit everything is. The error may be a [*SchemaPendingError] or a
// [*NewColumnError].
func (r *HuntRows) Begin(ctx context.Context, columns []HuntColumn) error {
	if r.used {
		r.Reset()
	}
	r.rewind()
	err := r.begin(ctx, columns)
	if err == nil {
		err = r.recordHead()
	}
	if err != nil {
		return fmt.Errorf("store: prepare hunting table %s: %w", r.spec.table(), err)
	}
	return nil
}

func (r *HuntRows) begin(ctx context.Context, columns []HuntColumn) error {
	if err := r.spec.check(); err != nil {
		return err
	}
	served := make([]HuntColumn, len(columns))
	for i, c := range columns {
		served[i] = HuntColumn{Name: CleanText(c.Name), Type: CleanText(c.Type)}
	}
	if r.served != nil && !r.doubtful && slices.Equal(r.served, served) {
		return nil
	}
	t, err := r.store.prepare(ctx, &r.spec, served)
	if err != nil {
		return err
	}
	r.served, r.doubtful = served, false
	r.shapes = append(r.shapes, newShape(&r.spec, t, served))
	for _, n := range t.differences(&r.spec, served) {
		if !slices.Contains(r.news, n) {
			r.news = append(r.news, n)
		}
	}
	return nil
}

// differences is what an answer has that its table does not expect.
func (t *huntTable) differences(spec *HuntSpec, served []HuntColumn) []SchemaChange {
	var all []SchemaChange
	for i, c := range t.match(served) {
		s := served[i]
		switch {
		case spec.drops(s.Name):
		case c == nil || !c.made:
			if !duplicate(served[:i], s.Name) {
				all = append(all, leftOut(spec, s))
			}
		case spec.kindOf(s) != c.kind:
			all = append(all, typeChanged(spec, *c, s.Type))
		}
	}
	return all
}

func duplicate(before []HuntColumn, name string) bool {
	return slices.ContainsFunc(before, func(c HuntColumn) bool { return c.Name == name })
}

// Add takes one row: its values as JSON in the order of the columns, nil where
// there is none, and the members that no column names. What does not fit its
// column goes to the row's extra.
func (r *HuntRows) Add(values [][]byte, rest []HuntExtra) error {
	if len(r.shapes) == 0 {
		return errors.New("store: add a hunting row: Begin must come first")
	}
	shape := len(r.shapes) - 1
	r.row.encode(&r.spec, r.shapes[shape], values, rest)
	if r.recorded() {
		r.head = appendRowHead(r.head[:0], &r.row)
		if _, err := r.spool.append(r.head); err != nil {
			return fmt.Errorf("store: add a hunting row: %w", err)
		}
	}
	at, err := r.spool.append(r.row.body)
	if err != nil {
		return fmt.Errorf("store: add a hunting row: %w", err)
	}
	r.index.add(huntEntry{
		key: r.row.key, hash: r.row.hash, time: r.row.time,
		at: at, size: int32(len(r.row.body)), shape: int32(shape),
	})
	return nil
}

// maxOdd is how much of what is no row is kept for the quarantine.
const maxOdd = 1 << 20

// AddOdd takes an element of an answer that is no row; it goes to quarantine
// with the commit. Where columns are private its bytes are not kept: nobody can
// say what is in them.
func (r *HuntRows) AddOdd(raw []byte, reason string) {
	if len(r.spec.Drop)+len(r.spec.Hash) > 0 {
		reason = fmt.Sprintf("%s (%d bytes, not kept because columns of the table are private)", reason, len(raw))
		raw = appendPseudonym(nil, r.spec.TenantID, raw)
	}
	raw = raw[:min(len(raw), maxOdd)]
	var head []byte
	if r.recorded() {
		head = oddHead(reason, len(raw))
	}
	at, err := r.spool.append(append(head, raw...))
	if err != nil {
		at, raw, reason = r.spool.size(), nil, reason+"; and its bytes are lost: "+err.Error()
		head = nil
	}
	r.odd = append(r.odd, oddRow{at: at + int64(len(head)), size: len(raw), reason: reason})
}

// Keep accepts the answer: a next Begin adds to its rows.
func (r *HuntRows) Keep() {
	r.keepIndex()
	r.keptSize, r.keptOdd, r.keptAnswers = r.spool.size(), len(r.odd), r.answers
}

func (r *HuntRows) keepIndex() {
	if err := r.index.keep(); err != nil {
		// The rows stay in memory, where they were: what could not be written is
		// tried again with the next answer.
		r.index.limit = 2 * len(r.index.entries)
	}
}

// rewind forgets what was added since the last Keep.
func (r *HuntRows) rewind() {
	r.spool.truncate(r.keptSize)
	r.index.rewind()
	r.odd, r.answers = r.odd[:r.keptOdd], r.keptAnswers
}

// Reset forgets everything; the next Begin starts another result.
func (r *HuntRows) Reset() {
	r.keptSize, r.keptOdd, r.keptAnswers, r.used = 0, 0, 0, false
	r.reading, r.parts, r.partsSize = "", 0, 0
	r.index.reset()
	r.rewind()
	if n := len(r.shapes); n > 0 {
		r.shapes = append(r.shapes[:0], r.shapes[n-1])
	}
}

// Len is how many rows were added.
func (r *HuntRows) Len() int64 { return r.index.len() }

// Bytes is how much room the rows take.
func (r *HuntRows) Bytes() int64 { return r.spool.size() }

// Close gives back the file that rows may be in. The rows are gone.
func (r *HuntRows) Close() error {
	r.Reset()
	return errors.Join(r.spool.close(), r.index.close())
}
