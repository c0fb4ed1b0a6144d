// Package store is the only place with SQL. It keeps a tenant's rows together
// with the checkpoint and the coverage that vouch for them: one Commit is one
// transaction, and everything in it is stored or nothing is.
package store

import (
	"errors"
	"time"
)

var (
	// ErrLeaseHeld means that another worker holds the tenant.
	ErrLeaseHeld = errors.New("another worker holds the tenant")
	// ErrFenced means that the lease was lost to another worker: nothing was written.
	ErrFenced = errors.New("the lease on the tenant was lost to another worker")
	// ErrConflict means that somebody else moved the checkpoint: nothing was written.
	ErrConflict = errors.New("the checkpoint was moved by somebody else")
)

// Lease is one worker's hold on one tenant. Fence grows by one with every
// change of hands; a commit under an older fence writes nothing.
type Lease struct {
	TenantID string
	Owner    string
	Fence    int64
}

// Checkpoint says how far a stream has come. All times have microseconds.
type Checkpoint struct {
	TenantID  string
	Stream    string
	StartTime time.Time // where the stream begins; set at first contact, moved back only by a backfill
	Watermark time.Time // everything in [StartTime, Watermark) is vouched for by sync.coverage or listed in sync.gaps

	// NextFrom is where the next fresh pass begins: overlap before the
	// watermark, or further back where ground was read too soon after its time
	// for late arrivals to be in.
	NextFrom time.Time

	// ResumePoint is the position inside a pass that has not ended, as JSON of
	// the sync package; nil between passes.
	ResumePoint []byte

	WindowWidth time.Duration // remembered width of the next window; 0 when not yet known
	PassedAt    time.Time     // start of the last pass that ended; the zero time before the first
	Rows        int64         // records this stream has inserted so far; kept by the store
	Changed     int64         // records this stream has inserted or updated so far; kept by the store
	Revision    int64         // compare-and-swap token; 0 means that the row does not exist yet
}

// Verdict of one range of sync.coverage.
type Verdict string

const (
	Complete  Verdict = "complete"  // every record of the range is stored (or in quarantine)
	Truncated Verdict = "truncated" // the source would not give all of it
	Failed    Verdict = "failed"    // the source would not give any of it
)

// Coverage vouches for one half-open range of one stream. Committing it
// replaces what was recorded for the same instants.
type Coverage struct {
	From, To time.Time
	Rows     int64 // records read from the source in this range
	Calls    int64
	Verdict  Verdict
	Reason   string // why it is not complete; empty otherwise

	// Late says that more was expected to have come since the range was read
	// before: what was said of it then no longer counts, complete or not.
	Late bool
}

// Quarantined is one record that could not be stored.
type Quarantined struct {
	Kind    string // "incident", "alert", "incident_alerts", "hunting_row" or "response": what Payload holds, and so how it is replayed
	Key     string // the record's id where it is known
	Reason  string
	Payload []byte // bytes as served, bounded; need not be JSON or UTF-8
}

// SchemaChange is something the source served that the schema did not expect.
// Each distinct (Object, Property, Change, Detail) is recorded once per tenant.
type SchemaChange struct {
	Object   string // "incident", "alert", "evidence", or a hunting table
	Property string // path, such as "evidence.userAccount.accountName"
	Change   string // "new_property", "type_changed", "unknown_enum_member", "unknown_evidence_type"
	Detail   string // the member, or "expected string, got number"
}

// Commit is everything that one transaction stores. Checkpoint carries the
// new values and, in Revision, the revision they were derived from. Hunt keeps
// its rows: after an error they can be committed again.
type Commit struct {
	Lease         Lease
	RunID         string
	Checkpoint    Checkpoint
	Coverage      []Coverage
	Incidents     []Incident
	Alerts        []Alert
	Hunt          *HuntRows // a hunting result; nil for none
	Parts         HuntParts // what becomes of its parts
	Quarantine    []Quarantined
	Resolved      []QuarantineKey // stored now: their quarantine rows, if any, are removed
	SchemaChanges []SchemaChange
}

// QuarantineKey names what a quarantine row is about.
type QuarantineKey struct{ Kind, Key string }

// Counts says what a commit did to defender.incidents and defender.alerts, or to
// a hunting table: one count per incident, alert or row handed in, after
// duplicates inside the commit are folded. Stale versions count as unchanged.
type Counts struct{ Inserted, Updated, Unchanged int64 }

// Run is one pass of one stream in sync.runs.
type Run struct {
	RunID      string
	TenantID   string
	Stream     string
	Command    string // "run", "sync", "demo", ...
	StartedAt  time.Time
	FinishedAt time.Time // zero while it runs
	Outcome    string    // "running", "ok", "partial", "failed", "interrupted", "locked"
	RowsRead   int64
	Counts
	Calls            int64
	ThrottledSeconds float64
	Error            string
	Warning          string // such as an unexpected zero
}
