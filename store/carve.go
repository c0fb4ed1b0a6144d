package store

import (
	"slices"
	"time"
)

// ledgerRow is one row of sync.coverage.
type ledgerRow struct {
	TenantID   string    `db:"tenant_id"`
	Stream     string    `db:"stream"`
	From       time.Time `db:"from_time"`
	To         time.Time `db:"to_time"`
	Rows       int64     `db:"rows"`
	Calls      int64     `db:"calls"`
	Verdict    string    `db:"verdict"`
	Reason     *string   `db:"reason"`
	RunID      *string   `db:"run_id"`
	RecordedAt time.Time `db:"recorded_at"`
}

func (r *ledgerRow) complete() bool { return r.Verdict == string(Complete) }

// carve returns the ledger after fresh was recorded over old, sorted by time
// and without overlaps. The latest verdict about an instant wins, except that
// an incomplete reading does not take back a complete one: the records of that
// are stored. fresh is taken in order.
func carve(old, fresh []*ledgerRow) []*ledgerRow {
	ledger := slices.Clone(old)
	for _, f := range fresh {
		pieces := []*ledgerRow{f}
		if !f.complete() {
			for _, l := range ledger {
				if l.complete() {
					pieces = subtract(pieces, l)
				}
			}
		}
		for _, p := range pieces {
			ledger = append(subtract(ledger, p), p)
		}
	}
	slices.SortFunc(ledger, func(a, b *ledgerRow) int { return a.From.Compare(b.From) })
	return ledger
}

// subtract returns rows without the instants of hole. A row that loses some is
// copied, and keeps its share of the counts.
func subtract(rows []*ledgerRow, hole *ledgerRow) []*ledgerRow {
	var out []*ledgerRow
	for _, r := range rows {
		if !r.From.Before(hole.To) || !hole.From.Before(r.To) {
			out = append(out, r)
			continue
		}
		if r.From.Before(hole.From) {
			out = append(out, r.part(r.From, hole.From))
		}
		if hole.To.Before(r.To) {
			out = append(out, r.part(hole.To, r.To))
		}
	}
	return out
}

// part returns the piece [from, to) of r with its share of the counts by
// duration, rounded down: nobody knows where in r its records were.
func (r *ledgerRow) part(from, to time.Time) *ledgerRow {
	share := float64(to.Sub(from)) / float64(r.To.Sub(r.From))
	p := *r
	p.From, p.To = from, to
	p.Rows = int64(float64(r.Rows) * share)
	p.Calls = int64(float64(r.Calls) * share)
	return &p
}

// merge returns ledger, sorted by time, with every run of complete ranges that
// touch made one. The counts are added up, and the run is the last one's. What
// is empty at the end stays apart from what is before it: how long a stream has
// been silent is to be seen from where its last records were.
func merge(ledger []*ledgerRow) []*ledgerRow {
	silence := len(ledger)
	for silence > 0 && ledger[silence-1].complete() && ledger[silence-1].Rows == 0 {
		silence--
	}
	return append(mergeAll(ledger[:silence]), mergeAll(ledger[silence:])...)
}

func mergeAll(ledger []*ledgerRow) []*ledgerRow {
	var out []*ledgerRow
	for _, r := range ledger {
		if len(out) > 0 {
			last := out[len(out)-1]
			if last.complete() && r.complete() && last.To.Equal(r.From) {
				joined := *r
				joined.From = last.From
				joined.Rows += last.Rows
				joined.Calls += last.Calls
				out[len(out)-1] = &joined
				continue
			}
		}
		out = append(out, r)
	}
	return out
}
