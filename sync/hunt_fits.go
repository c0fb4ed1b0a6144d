package sync

import (
	"fmt"
	"slices"
	"strings"

	"defendersync/store"
	"defendersync/sync/kql"
)

// UnknownColumnError says that the configuration of a hunting stream names a
// column that the answer does not have. Nothing of the answer was stored.
type UnknownColumnError struct {
	Setting string // such as "key"
	Column  string // as configured
	Stream  string
}

// Error implements error.
func (e *UnknownColumnError) Error() string {
	harm := map[string]string{
		"key":          "rows would be taken for one another",
		"columns.drop": "what it is to leave out would be stored",
		"columns.hash": "what it is to hide would be stored in clear",
		"time_column":  "nobody could say which of two rows is newer",
	}
	return fmt.Sprintf("%s names %s, which the answer does not have, and %s: nothing was stored; correct it under streams.hunting "+
		"(`defendersync query %s --check` lists the columns)", e.Setting, e.Column, harm[e.Setting], strings.TrimPrefix(e.Stream, huntingPrefix))
}

// fits reports a name in the configuration that is no column of an answer, before
// its first row is looked at. What is documented of a whole table is spelled right,
// and the service leaves it out: see lacking. An answer without a schema says
// nothing.
func (h *Hunt) fits(columns []store.HuntColumn) error {
	if len(columns) == 0 {
		return nil
	}
	for _, s := range h.named() {
		for _, name := range s.names {
			if name != "" && !served(columns, name) && !h.documents(name) {
				return &UnknownColumnError{Setting: s.setting, Column: name, Stream: HuntingStream(h.Name)}
			}
		}
	}
	return nil
}

// setting is a setting that names columns of the answer.
type setting struct {
	setting string
	names   []string
}

// named lists them. What a whole table is to be without, the service has left out
// already, or has refused to; and by its time windows are cut.
func (h *Hunt) named() []setting {
	all := []setting{{"key", h.Key}, {"columns.hash", h.Hash}}
	if h.Table == "" {
		all = append(all, setting{"columns.drop", h.Drop})
	}
	if h.Table == "" && h.Mode == ModeEvents {
		all = append(all, setting{"time_column", []string{h.TimeColumn}})
	}
	return all
}

// lacking lists the columns of the key that the service leaves out.
func (h *Hunt) lacking(columns []store.HuntColumn) []string {
	if len(columns) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(h.Key), func(name string) bool { return served(columns, name) })
}

// served says whether an answer has a column. Rules for columns mean every
// spelling of a name, as the two APIs differ in capitals.
func served(columns []store.HuntColumn, name string) bool {
	return slices.ContainsFunc(columns, func(c store.HuntColumn) bool { return strings.EqualFold(c.Name, name) })
}

// documents says whether the stream reads a table that is known to have the column.
func (h *Hunt) documents(column string) bool {
	return slices.ContainsFunc(kql.Columns(h.Table), func(c string) bool { return strings.EqualFold(c, column) })
}

// lostKey begins the note that a key has lost a column, by which the status finds it.
const lostKey = "the service leaves out "

// lostKeyNote says what comes of it.
func lostKeyNote(stream string, columns []string) string {
	return fmt.Sprintf("%s%s, by which rows of %s are told apart: they are kept apart by all that they hold, "+
		"and what is read again may be stored a second time, now and when it is back", lostKey, strings.Join(columns, ", "), stream)
}

// standingNotes are the notes of a run that are true until another run has ended.
func standingNotes(warning string) []string {
	all := strings.Split(warning, noteEnd)
	return slices.DeleteFunc(all, func(text string) bool { return !strings.HasPrefix(text, lostKey) })
}
