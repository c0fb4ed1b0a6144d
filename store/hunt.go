package store

import (
	"fmt"
	"strings"
)

// HuntMode says what the rows of a hunting table mean.
type HuntMode string

const (
	HuntEvents   HuntMode = "events"   // every distinct row ever returned, or the newest per key
	HuntReplace  HuntMode = "replace"  // the last complete result
	HuntSnapshot HuntMode = "snapshot" // results as validity ranges
)

// HuntSpec is what is known of a hunting table before an answer has come.
// Names of columns are those the source serves.
type HuntSpec struct {
	TenantID   string
	Name       string // table or query as configured; the table is hunting.<SnakeCase(Name)>
	Mode       HuntMode
	TimeColumn string   // "" for none
	Key        []string // nil: the whole row is the identity

	// KeyOnly makes Key alone the identity: of two rows the newer one by
	// TimeColumn counts, or where there is none the later one. Without it the
	// served text of TimeColumn is part of the identity.
	KeyOnly bool

	// Occurrences keeps exact duplicates within one result as rows of their own,
	// numbered; without it one of them is kept.
	Occurrences bool

	Drop, Hash  []string // columns left out; columns replaced by a pseudonym
	Entities    []string // columns whose values become sightings, of HuntEntityColumns; nil: all of those
	OnNewColumn string   // "add" (also ""), "ignore" or "fail"
	AutoMigrate bool     // make and widen the table; else ask for it by [*SchemaPendingError]
}

// HuntColumn is one column of an answer as served: "Timestamp", "DateTime".
type HuntColumn struct{ Name, Type string }

// HuntExtra is one member of a row that no column of its answer names.
type HuntExtra struct {
	Name  string
	Value []byte // JSON
}

// maxHuntName is the longest name of a hunting table, in bytes: PostgreSQL cuts
// names at 63, and a view's ends in _current.
const maxHuntName = 55

// SchemaPendingError says that a hunting table must be made or widened before
// its rows can be stored, and that this is the operator's to do. Nothing was
// touched; the migration is listed as pending.
type SchemaPendingError struct {
	Table string // such as "hunting.device_events"
	SQL   string // what applies it, as one transaction
}

// Error implements error.
func (e *SchemaPendingError) Error() string {
	return fmt.Sprintf("%s waits for a migration: apply what `defendersync migrate sql` prints (database.auto_migrate is off)", e.Table)
}

// NewColumnError says that the source serves columns that the table does not
// have and, by its configuration, must not get. Nothing was touched.
type NewColumnError struct {
	Table   string
	Columns []string // as served
}

// Error implements error.
func (e *NewColumnError) Error() string {
	return fmt.Sprintf("%s has no column for %s, which the source serves now: set on_new_column to add or ignore", e.Table, strings.Join(e.Columns, ", "))
}

// table returns the table's name without its schema.
func (s *HuntSpec) table() string { return SnakeCase(s.Name) }

// check reports a spec that no table can be made of.
func (s *HuntSpec) check() error {
	switch s.Mode {
	case HuntEvents, HuntReplace, HuntSnapshot:
	default:
		return fmt.Errorf("hunting table %q has the mode %q", s.Name, s.Mode)
	}
	if n := len(s.table()); n == 0 || n > maxHuntName {
		return fmt.Errorf("the name %q cannot be that of a hunting table: as %q it has %d bytes, and may have 1 to %d", s.Name, s.table(), n, maxHuntName)
	}
	return nil
}
