package sync

import (
	"context"
	"fmt"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
	"defendersync/sync/translate"

	"github.com/go-json-experiment/json/jsontext"
)

// Names of the streams. A stream is one ordered source of records of one tenant.
const (
	IncidentsStream = "incidents"
	AlertsStream    = "alerts"
)

// Start is where a stream begins: an age, counted back from its first pass, or
// a fixed time. The first pass writes it into the checkpoint and it stays there.
type Start struct {
	Age time.Duration
	At  time.Time // used when it is not zero
}

// Time resolves s at the time of the first pass.
func (s Start) Time(now time.Time) time.Time {
	if !s.At.IsZero() {
		return micro(s.At)
	}
	return micro(now.Add(-s.Age))
}

// Stream is how one stream of one tenant is synced.
type Stream struct {
	Name     string
	Schedule Schedule
	Start    Start
	Overlap  time.Duration // re-read before the watermark, for records that became visible late
	Settle   time.Duration // kept from the server's own clock
	Hunt     *Hunt         // what a hunting stream reads, resolved; nil for incidents and alerts
}

// Source is the tenant's API. *defender.Client implements it.
type Source interface {
	Incidents(context.Context, defender.Request) (*defender.Page, error)
	Alerts(context.Context, defender.Request) (*defender.Page, error)
	IncidentAlerts(ctx context.Context, id, next string) (*defender.Page, error)
}

// Tenant is one tenant and the streams that are read from it.
type Tenant struct {
	Name    string // label
	ID      string // GUID
	Dialect defender.Dialect
	Source  Source
	Hunter  Hunter // may be nil where no stream hunts
	Streams []Stream
}

// check reports a stream that the tenant's API does not have.
func (t *Tenant) check(s Stream) error {
	switch {
	case s.Hunt == nil:
		_, err := t.endpoint(s.Name)
		return err
	case t.Hunter == nil:
		return fmt.Errorf("tenant %s: stream %s needs a client for advanced hunting", t.Name, s.Name)
	case t.Dialect == defender.Older && s.Hunt.byTimespan():
		return fmt.Errorf("tenant %s: stream %s can only be windowed by a Timespan, which the older API does not take; use api: graph", t.Name, s.Name)
	}
	return nil
}

// endpoint is how the pages of one stream are asked for, and what is known of
// their answers.
type endpoint struct {
	limit     int  // records in one answer, at most
	ordered   bool // answers come in order of time: a full one is whole up to its last record
	bare      bool // records can be had without their alerts, when those make the answer fail
	skips     bool // pages inside a microsecond by $skip, not by next link
	fetch     func(context.Context, defender.Request) (*defender.Page, error)
	translate func(records []jsontext.Value, at time.Time) translate.Rows
}

func (t *Tenant) endpoint(stream string) (endpoint, error) {
	incidents := func(records []jsontext.Value, at time.Time) translate.Rows {
		return translate.Incidents(t.Dialect, t.ID, records, at)
	}
	alerts := func(records []jsontext.Value, at time.Time) translate.Rows {
		return translate.Alerts(t.ID, records, at)
	}
	switch {
	case stream == IncidentsStream && t.Dialect == defender.Graph:
		return endpoint{limit: defender.GraphIncidentsTop, ordered: true, bare: true, fetch: t.Source.Incidents, translate: incidents}, nil
	case stream == IncidentsStream:
		return endpoint{limit: defender.OlderIncidentsTop, skips: true, fetch: t.Source.Incidents, translate: incidents}, nil
	case stream == AlertsStream && t.Dialect == defender.Graph:
		return endpoint{limit: defender.GraphAlertsTop, ordered: true, fetch: t.Source.Alerts, translate: alerts}, nil
	}
	return endpoint{}, fmt.Errorf("tenant %s: the %s API has no stream %q", t.Name, t.Dialect, stream)
}

// ledger is where a pass commits. *store.Store implements it.
type ledger interface {
	Commit(context.Context, *store.Commit) (store.Checkpoint, store.Counts, error)
}
