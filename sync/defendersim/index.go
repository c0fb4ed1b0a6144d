package defendersim

import (
	"cmp"
	"slices"
	"time"
)

// A record is an incident or an alert that can be listed.
type record interface {
	id() string
	updated() time.Time
	created() time.Time
	// text is a filterable property in Graph's vocabulary; "" is null.
	text(f field) string
}

// field names a property that a list can be filtered or ordered by.
type field int

const (
	lastUpdate field = iota
	created
	status
	severity
	classification
	determination
	assignedTo
	serviceSource
)

func (in *incident) id() string         { return itoa(in.ID) }
func (in *incident) updated() time.Time { return in.LastUpdate }
func (in *incident) created() time.Time { return in.Created }

func (in *incident) text(f field) string {
	switch f {
	case status:
		return in.Status
	case severity:
		return in.Severity
	case classification:
		return in.Classification
	case determination:
		return in.Determination
	case assignedTo:
		return in.AssignedTo
	}
	return ""
}

func (a *alert) id() string         { return a.ID }
func (a *alert) updated() time.Time { return a.LastUpdate }
func (a *alert) created() time.Time { return a.Created }

func (a *alert) text(f field) string {
	switch f {
	case status:
		return a.Status
	case severity:
		return a.Severity
	case classification:
		return a.Classification
	case determination:
		return a.Determination
	case assignedTo:
		return a.AssignedTo
	case serviceSource:
		return a.ServiceSource
	}
	return ""
}

// byUpdate orders by last update, then by id.
func byUpdate[R record](a, b R) int {
	if c := a.updated().Compare(b.updated()); c != 0 {
		return c
	}
	return cmp.Compare(a.id(), b.id())
}

// An index keeps records by last update, so that a window of a large world is
// found without looking at the rest.
type index[R record] struct{ list []R }

func (x *index[R]) insert(r R) {
	i, _ := slices.BinarySearchFunc(x.list, r, byUpdate)
	x.list = slices.Insert(x.list, i, r)
}

// remove must be called before the record's last update changes.
func (x *index[R]) remove(r R) {
	if i, ok := slices.BinarySearchFunc(x.list, r, byUpdate); ok {
		x.list = slices.Delete(x.list, i, i+1)
	}
}

// load replaces the whole index.
func (x *index[R]) load(list []R) {
	x.list = slices.Clone(list)
	slices.SortFunc(x.list, byUpdate)
}

// between returns the records last updated in [from, to], both included; a
// zero to is no limit.
func (x *index[R]) between(from, to time.Time) []R {
	less := func(r R, t time.Time) int {
		if r.updated().Before(t) {
			return -1
		}
		return 1
	}
	lo, _ := slices.BinarySearchFunc(x.list, from, less)
	hi := len(x.list)
	if !to.IsZero() {
		hi, _ = slices.BinarySearchFunc(x.list, to.Add(1), less)
	}
	return x.list[min(lo, hi):hi]
}
