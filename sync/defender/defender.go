// Package defender speaks HTTP to Microsoft: app-only tokens, the two API
// dialects (Microsoft Graph and the older api.security.microsoft.com), their
// limits, their errors, and the stream decoding of their pages. It knows
// nothing of PostgreSQL, windows or checkpoints.
package defender

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Dialect is the API a tenant is read through. Both serve the same incidents
// and alerts, in different shapes and with different caps.
type Dialect string

const (
	// Graph is Microsoft Graph, /v1.0/security.
	Graph Dialect = "graph"
	// Older is api.security.microsoft.com, which Graph replaces on 2027-02-01.
	Older Dialect = "defender"
)

// Caps on one page. Asking for more is answered with 400.
const (
	GraphIncidentsTop = 50
	GraphAlertsTop    = 500
	OlderIncidentsTop = 100
)

// Request is one page of incidents or alerts: those last updated in the
// half-open window [Since, Until).
type Request struct {
	Since, Until time.Time
	Top          int    // records asked for; 0 means the endpoint's cap
	Skip         int    // older API only, and only inside one microsecond
	Next         string // a Page.Next to follow verbatim; the other fields are then not sent
	NoAlerts     bool   // Graph incidents only: leave out $expand=alerts
	Attempts     int    // sends at most, when the service fails; 0 means the client's own bound
}

// Page is one answer.
type Page struct {
	Records    []jsontext.Value // the elements of "value", each as served
	Next       string           // @odata.nextLink; "" when there is none
	Incomplete bool             // 206: the service itself says that something is missing
	ServerTime time.Time        // the Date header; the zero time when there is none
}

// Meter counts what the calls made under one context cost. The zero value is
// ready, and it may be shared by goroutines.
type Meter struct {
	Calls     atomic.Int64 // requests sent, retries and token refreshes' repeats included; token requests not
	Throttled atomic.Int64 // nanoseconds spent waiting for a quota or a Retry-After

	// Waiting, if there is one, is told of a wait of more than a second before it
	// is made, once for each limit that a call waits for.
	Waiting func(Wait)
}

// Wait is what a call does before it may be sent.
type Wait struct {
	For   time.Duration
	Limit int           // as many calls in Per are made already; 0 where the service asked for the wait
	Per   time.Duration // a minute or an hour
}

type meterKey struct{}

// ContextWithMeter makes the calls under ctx count in m.
func ContextWithMeter(ctx context.Context, m *Meter) context.Context {
	return context.WithValue(ctx, meterKey{}, m)
}

func meterFrom(ctx context.Context) *Meter {
	if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
		return m
	}
	return new(Meter)
}
