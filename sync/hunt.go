package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
	"defendersync/sync/kql"
)

// huntingPrefix begins the names of hunting streams.
const huntingPrefix = "hunting/"

// HuntFamily is the name under which hunting calls are counted in sync.quota:
// advanced hunting has limits of its own.
const HuntFamily = "hunting"

// HuntingStream is the name of the stream of a table or query: hunting/ and its
// name in snake case.
func HuntingStream(name string) string { return huntingPrefix + store.SnakeCase(name) }

// HuntEntityColumns lists the columns of advanced hunting whose values may become
// sightings of entities.
func HuntEntityColumns() []string { return store.HuntEntityColumns() }

// Hunter is the tenant's advanced hunting. *defender.Client implements it.
type Hunter interface {
	Hunt(context.Context, defender.HuntRequest, defender.HuntSink) (*defender.HuntAnswer, error)
}

// Mode says what a hunting stream's table means.
type Mode string

// The modes. "" is decided by [Hunt.Resolve].
const (
	ModeEvents   Mode = "events"   // every row ever returned
	ModeReplace  Mode = "replace"  // the last complete result
	ModeSnapshot Mode = "snapshot" // every complete result, as validity ranges
)

// WindowTimespan windows a query by the request's Timespan alone, without a
// prelude in front of its text.
const WindowTimespan = "timespan"

// Hunt is what a hunting stream reads: a whole table, or a query of the user's own.
type Hunt struct {
	Name  string // of the table or the query, as configured
	Table string // a whole table; "" for a query
	Query string // KQL, sent byte for byte

	Mode        Mode
	TimeColumn  string        // "" until resolved, or where there is none
	Key         []string      // columns; nil until resolved, or for the whole row
	Drop, Hash  []string      // columns left out, and columns kept as a pseudonym
	OnNewColumn string        // "add" (or ""), "ignore", "fail"
	Entities    []string      // columns whose values become sightings; nil: all of HuntEntityColumns, empty: none
	Lookback    time.Duration // of a query in mode replace or snapshot
	RowLocal    bool          // the user vouches that the query is row-local
	Window      string        // "" or WindowTimespan
	Retention   time.Duration // rows older than this are dropped; 0 keeps all
	Reconcile   Schedule      // when to compare with the source; the zero Schedule never
	AutoMigrate bool          // make and widen the table without asking

	Cap int // rows that one answer holds; 0 is defender.HuntCap

	keyOnly bool       // the key alone tells rows apart
	mutable bool       // rows of the table change after they were written
	query   *kql.Query // of Query
}

// huntEdge is how far back advanced hunting looks.
const huntEdge = 30 * 24 * time.Hour

// Resolve fills in what the configuration leaves open from what is known of the
// table, or can be proven of the query. The error names the setting to change.
func (h Hunt) Resolve() (*Hunt, error) {
	if h.Cap == 0 {
		h.Cap = defender.HuntCap
	}
	h.keyOnly = len(h.Key) > 0
	if h.Table != "" {
		return &h, h.resolveTable()
	}
	h.query = kql.Parse(h.Query)
	return &h, h.resolveQuery()
}

func (h *Hunt) resolveTable() error {
	known, ok := kql.Lookup(h.Table)
	if h.TimeColumn == "" {
		if h.TimeColumn = known.Time; !ok && h.Mode != ModeSnapshot && h.Mode != ModeReplace {
			h.TimeColumn = "Timestamp" // what nearly all tables call it; the service says so where it is not
		}
	}
	if len(h.Key) == 0 {
		h.Key = known.Key
	}
	h.mutable = known.Mutable
	h.Drop = spelled(h.Drop, kql.Columns(h.Table))
	if h.Mode == "" {
		if h.Mode = ModeEvents; h.TimeColumn == "" {
			h.Mode = ModeSnapshot
		}
	}
	if h.Mode == ModeEvents && h.TimeColumn == "" {
		return fmt.Errorf("mode events needs a time, and %s has no time column; write mode: snapshot, or name one in time_column", h.Table)
	}
	if h.Mode != ModeEvents {
		h.keyOnly = len(h.Key) > 0
	}
	if h.Window != "" || h.RowLocal || h.Lookback != 0 {
		return errors.New("window, row_local and lookback are for queries, not for a whole table")
	}
	return nil
}

// spelled puts the documented spelling in the place of names in other capitals: the
// service, which is asked to leave the columns out, tells them apart.
func spelled(names, documented []string) []string {
	var all []string
	for _, name := range names {
		if slices.Contains(documented, name) {
			all = append(all, name)
			continue
		}
		before := len(all)
		for _, c := range documented {
			if strings.EqualFold(c, name) {
				all = append(all, c)
			}
		}
		if len(all) == before {
			all = append(all, name)
		}
	}
	return all
}

func (h *Hunt) resolveQuery() error {
	local := h.query.RowLocal()
	switch {
	case h.Mode == "" && local != nil:
		return fmt.Errorf("mode is needed: the query %w; write mode: replace for the last result, or mode: snapshot for its history", local)
	case h.Mode == "":
		h.Mode = ModeEvents
	case h.Mode == ModeEvents && local != nil && !h.RowLocal:
		return fmt.Errorf("mode: events would store rows that no window of its own can vouch for, because the query %w; "+
			"write mode: replace or snapshot, or row_local: true where you know better", local)
	}
	if h.Lookback == 0 {
		h.Lookback = huntEdge
	}
	if h.Lookback > huntEdge {
		return errors.New("lookback is longer than the 30 days that the service looks back")
	}
	return nil
}

// Warnings says what about the stream a person should know.
func (h *Hunt) Warnings() []string {
	if h.query == nil {
		return nil
	}
	var all []string
	if escaped := h.query.Unbounded(); len(escaped) > 0 {
		all = append(all, fmt.Sprintf("%s reads tables that no prelude can name: windowed by the request's Timespan alone, in whole seconds", strings.Join(escaped, ", ")))
	}
	if clock := h.query.Clock(); h.Mode == ModeEvents && len(clock) > 0 {
		all = append(all, fmt.Sprintf("the query says %s: it is read from now on, and its past cannot be had", strings.Join(clock, ", ")))
	}
	return all
}

// Backfillable says why a past range of the stream cannot be had; nil where it can.
func (h *Hunt) Backfillable() error {
	switch {
	case h.Mode != ModeEvents:
		return fmt.Errorf("a stream in mode %s has no past that could be read: the service shows what is there now", h.Mode)
	case h.query != nil && len(h.query.Clock()) > 0:
		return fmt.Errorf("the query says %s: asked about another time it would answer about the present, and every hour before would be stored as empty; "+
			"take that out, the window is put in front of the query anyway", strings.Join(h.query.Clock(), ", "))
	}
	return nil
}

// spec is how the stream's table is stored.
func (h *Hunt) spec(tenantID string) store.HuntSpec {
	return store.HuntSpec{
		TenantID:    tenantID,
		Name:        h.Name,
		Mode:        store.HuntMode(h.Mode),
		TimeColumn:  h.TimeColumn,
		Key:         slices.Clone(h.Key),
		KeyOnly:     h.keyOnly,
		Occurrences: len(h.Key) == 0 && (h.Table != "" || h.Mode != ModeEvents),
		Drop:        h.Drop,
		Hash:        h.Hash,
		OnNewColumn: h.OnNewColumn,
		Entities:    h.Entities,
		AutoMigrate: h.AutoMigrate,
	}
}

// byTimespan says whether windows are cut by the request's Timespan alone.
func (h *Hunt) byTimespan() bool {
	return h.query != nil && (h.Window == WindowTimespan || len(h.query.Unbounded()) > 0)
}
