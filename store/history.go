package store

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
)

// tracked is one column whose changes are history, as text; nil is NULL.
type tracked struct {
	field string
	value *string
}

// difference is one change of a tracked column.
type difference struct {
	field    string
	old, new *string
}

// differences compares two versions of a record, column by column.
func differences(before, after []tracked) []difference {
	var all []difference
	for i, b := range before {
		a := after[i]
		if (a.value == nil) != (b.value == nil) || a.value != nil && *a.value != *b.value {
			all = append(all, difference{b.field, b.value, a.value})
		}
	}
	return all
}

// changedAt is when a change happened: the new version's time, or when it was
// read where the source changed a record without moving its version.
func changedAt(before, after, read time.Time) time.Time {
	if after.After(before) {
		return after
	}
	return read
}

// listText returns list as JSON. An empty list is nil: one dialect says null
// where the other says [], and that is no change.
func listText(list []string) *string {
	if len(list) == 0 {
		return nil
	}
	b, err := json.Marshal(list)
	if err != nil {
		return nil // only for invalid UTF-8, which PostgreSQL refuses before it is asked for history
	}
	s := string(b)
	return &s
}

// numberText returns n in digits.
func numberText(n *int64) *string {
	if n == nil {
		return nil
	}
	s := strconv.FormatInt(*n, 10)
	return &s
}

// scanWritten reads (key, inserted) pairs, counts them, and returns the keys.
func scanWritten[K comparable](rows pgx.Rows, counts *Counts) (map[K]bool, error) {
	written := map[K]bool{}
	var key K
	var inserted bool
	_, err := pgx.ForEachRow(rows, []any{&key, &inserted}, func() error {
		written[key] = true
		if inserted {
			counts.Inserted++
		} else {
			counts.Updated++
		}
		return nil
	})
	return written, err
}

// mapRows returns f of every row.
func mapRows[T, U any](rows []*T, f func(*T) *U) []*U {
	out := make([]*U, len(rows))
	for i, row := range rows {
		out[i] = f(row)
	}
	return out
}

// filter returns the rows that keep says to keep.
func filter[T any](rows []*T, keep func(*T) bool) []*T {
	var out []*T
	for _, row := range rows {
		if keep(row) {
			out = append(out, row)
		}
	}
	return out
}
