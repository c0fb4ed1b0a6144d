package sync

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"

	"github.com/go-json-experiment/json/jsontext"
)

// rowSink hands an answer over to the store row by row, as it is decoded.
type rowSink struct {
	ctx    context.Context // of the call that the rows come from
	hunt   *Hunt
	rows   *store.HuntRows
	times  *timeSample  // may be nil
	note   func(string) // takes what a person should know
	values [][]byte
	rest   []store.HuntExtra
}

// sampleEvery is how many rows there are to one whose time is noted.
const sampleEvery = 64

// timeSample is when some of an answer's rows are from. Where one answer does
// not hold a window, it shows where the window should be cut.
type timeSample struct {
	column string
	at     int // place of the column; under zero where there is none
	seen   int
	texts  []string
}

func (s *timeSample) begin(columns []defender.HuntColumn) {
	s.at, s.seen, s.texts = -1, 0, s.texts[:0]
	for i, c := range columns {
		if c.Name == s.column {
			s.at = i
		}
	}
}

func (s *timeSample) row(values []jsontext.Value) {
	if s.at >= 0 && s.seen%sampleEvery == 0 {
		s.texts = append(s.texts, string(values[s.at]))
	}
	s.seen++
}

// middle is the median of the sample: half of the rows are before it.
func (s *timeSample) middle() (time.Time, bool) {
	var all []time.Time
	for _, text := range s.texts {
		if at, err := time.Parse(time.RFC3339Nano, strings.Trim(text, `"`)); err == nil {
			all = append(all, micro(at))
		}
	}
	if len(all) == 0 {
		return time.Time{}, false
	}
	slices.SortFunc(all, time.Time.Compare)
	return all[len(all)/2], true
}

// Begin implements [defender.HuntSink].
func (s *rowSink) Begin(columns []defender.HuntColumn) error {
	as := make([]store.HuntColumn, len(columns))
	for i, c := range columns {
		as[i] = store.HuntColumn(c)
	}
	if err := s.hunt.fits(as); err != nil {
		return err
	}
	if lost := s.hunt.lacking(as); len(lost) > 0 {
		s.note(lostKeyNote(HuntingStream(s.hunt.Name), lost))
	}
	s.values = make([][]byte, len(columns))
	if s.times != nil {
		s.times.begin(columns)
	}
	return s.rows.Begin(s.ctx, as)
}

// Row implements [defender.HuntSink].
func (s *rowSink) Row(values []jsontext.Value, rest []defender.HuntMember) error {
	for i, v := range values {
		s.values[i] = v
	}
	if s.times != nil {
		s.times.row(values)
	}
	s.rest = s.rest[:0]
	for _, m := range rest {
		s.rest = append(s.rest, store.HuntExtra{Name: m.Name, Value: m.Value})
	}
	return s.rows.Add(s.values, s.rest)
}

// Odd implements [defender.HuntSink].
func (s *rowSink) Odd(raw []byte) error {
	s.rows.AddOdd(raw, "an element of the results is no row: it is not a JSON object")
	return nil
}

// countSink reads the answer to a count: rows by hour, or in all where the
// table has no time.
type countSink struct {
	rows, hour int // places of the columns; under zero where there is none
	counts     []store.HourCount
}

// Begin implements [defender.HuntSink].
func (s *countSink) Begin(columns []defender.HuntColumn) error {
	s.rows, s.hour, s.counts = -1, -1, nil
	for i, c := range columns {
		switch {
		case strings.EqualFold(c.Name, "Rows"):
			s.rows = i
		case strings.EqualFold(c.Name, "Hour"):
			s.hour = i
		}
	}
	if s.rows < 0 {
		return fmt.Errorf("the answer to a count has no column Rows")
	}
	return nil
}

// Row implements [defender.HuntSink].
func (s *countSink) Row(values []jsontext.Value, _ []defender.HuntMember) error {
	var c store.HourCount
	if _, err := fmt.Sscan(strings.Trim(string(values[s.rows]), `"`), &c.Rows); err != nil {
		return fmt.Errorf("the answer to a count has Rows %s, which is no number", values[s.rows])
	}
	if s.hour >= 0 {
		at, err := time.Parse(time.RFC3339Nano, strings.Trim(string(values[s.hour]), `"`))
		if err != nil {
			return nil // rows without a time: in no window, and so not to be had by one
		}
		c.Hour = at.UTC()
	}
	s.counts = append(s.counts, c)
	return nil
}

// Odd implements [defender.HuntSink].
func (s *countSink) Odd([]byte) error {
	return fmt.Errorf("the answer to a count holds something that is no row")
}

func (s *countSink) total() int64 {
	var n int64
	for _, c := range s.counts {
		n += c.Rows
	}
	return n
}
