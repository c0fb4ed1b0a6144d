package sync

import (
	"context"
	"fmt"
	"slices"
	"time"

	"defendersync/store"
)

// Status is what `status --json` and /api/status print. Names in it are stable;
// times are RFC 3339, durations are seconds.
type Status struct {
	GeneratedAt time.Time      `json:"generated_at"`
	Tenants     []TenantStatus `json:"tenants"`
}

// TenantStatus is one tenant with its streams and what is left of its quota.
type TenantStatus struct {
	Name     string         `json:"name"`
	TenantID string         `json:"tenant_id"`
	API      string         `json:"api"`
	Quota    QuotaStatus    `json:"quota"`
	Hunting  *HuntingQuota  `json:"hunting_quota"` // null where no stream hunts
	Streams  []StreamStatus `json:"streams"`
}

// Limits are how many calls of incidents and alerts together this worker
// allows itself, in any minute and in any hour, and how many hunting queries.
type Limits struct{ PerMinute, PerHour, HuntingPerMinute int }

// HuntingQuota is how many hunting queries are left, and until when the service
// wants none: it has an allotment of processing, too, which begins anew every
// quarter of an hour.
type HuntingQuota struct {
	PerMinute       int        `json:"per_minute"`
	RemainingMinute int        `json:"remaining_minute"`
	BlockedUntil    *time.Time `json:"blocked_until"` // null when free
}

// QuotaStatus is how much of Limits is used and left.
type QuotaStatus struct {
	PerMinute       int `json:"per_minute"`
	PerHour         int `json:"per_hour"`
	RemainingMinute int `json:"remaining_minute"`
	RemainingHour   int `json:"remaining_hour"`

	BlockedUntil *time.Time `json:"blocked_until"` // no call before this, because the service said so; null when free
}

// StreamStatus is one stream. Pointers are null before the first pass.
type StreamStatus struct {
	Stream          string      `json:"stream"`
	Schedule        string      `json:"schedule"`
	Start           *time.Time  `json:"start"`
	Watermark       *time.Time  `json:"watermark"`
	LagSeconds      *float64    `json:"lag_seconds"`      // from the watermark to now
	CoveragePercent *float64    `json:"coverage_percent"` // of start to watermark; to now until the first pass has ended
	InPass          bool        `json:"in_pass"`          // a pass is under way, or was cut off and will resume
	Stale           bool        `json:"stale"`            // no pass has ended for three firings
	Rows            int64       `json:"rows"`             // incidents or alerts of the tenant in the database, whichever stream brought them
	Gaps            []GapStatus `json:"gaps"`
	Quarantine      int         `json:"quarantine"`
	Warnings        []Warning   `json:"warnings"`  // what looks wrong although nothing failed; see also stale, gaps and quarantine
	PassedAt        *time.Time  `json:"passed_at"` // start of the last pass that ended
	LastRun         *RunStatus  `json:"last_run"`  // one that was locked read nothing, and does not hide how the last real one ended
	NextRun         *time.Time  `json:"next_run"`

	Mode          string     `json:"mode,omitempty"`           // of a hunting stream
	Reconciled    *RunStatus `json:"reconciled"`               // the last comparison with the source; null before the first
	ExpiringHours float64    `json:"expiring_hours,omitempty"` // of hunting, not read yet, that the service keeps for three days more at most
	NextReconcile *time.Time `json:"next_reconcile,omitempty"`
	Locked        *RunStatus `json:"locked,omitempty"` // the newest run, where it was given up because another worker held the tenant
}

// GapStatus is one range of sync.gaps.
type GapStatus struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Reason string    `json:"reason"`
}

// RunStatus is one row of sync.runs.
type RunStatus struct {
	RunID            string     `json:"run_id"`
	Command          string     `json:"command"`
	StartedAt        time.Time  `json:"started_at"`
	FinishedAt       *time.Time `json:"finished_at"`
	Outcome          string     `json:"outcome"`
	RowsRead         int64      `json:"rows_read"`
	RowsInserted     int64      `json:"rows_inserted"`
	RowsUpdated      int64      `json:"rows_updated"`
	RowsUnchanged    int64      `json:"rows_unchanged"`
	Calls            int64      `json:"calls"`
	ThrottledSeconds float64    `json:"throttled_seconds"`
	Error            string     `json:"error,omitempty"`
	Warning          string     `json:"warning,omitempty"`
}

// QuotaFamily is the name under which calls for incidents and alerts are
// counted in sync.quota.
const QuotaFamily = "incidents"

// ReadStatus reads the state of the given tenants' streams at now. limits says
// what each tenant may use, by tenant id.
func ReadStatus(ctx context.Context, s *store.Store, tenants []Tenant, limits map[string]Limits, now time.Time) (Status, error) {
	status := Status{GeneratedAt: now.UTC().Truncate(time.Millisecond), Tenants: []TenantStatus{}}
	states, err := s.StreamStates(ctx)
	if err != nil {
		return status, err
	}
	r := statusReader{store: s, states: states, now: now}
	for _, t := range tenants {
		ts, err := r.tenant(ctx, t, limits[t.ID])
		if err != nil {
			return status, err
		}
		status.Tenants = append(status.Tenants, ts)
	}
	return status, nil
}

// statusReader is one reading of the state.
type statusReader struct {
	store  *store.Store
	states []store.StreamState // of all streams
	now    time.Time
}

func (r *statusReader) tenant(ctx context.Context, t Tenant, l Limits) (TenantStatus, error) {
	ts := TenantStatus{Name: t.Name, TenantID: t.ID, API: string(t.Dialect)}
	var err error
	if ts.Quota, err = r.quota(ctx, t.ID, l); err != nil {
		return ts, err
	}
	if t.Hunter != nil {
		if ts.Hunting, err = r.huntingQuota(ctx, t.ID, l.HuntingPerMinute); err != nil {
			return ts, err
		}
	}
	stored, err := r.store.Stored(ctx, t.ID)
	if err != nil {
		return ts, err
	}
	for _, stream := range t.Streams {
		st, err := r.stream(ctx, t.ID, stream)
		if err != nil {
			return ts, err
		}
		switch {
		case stream.Hunt != nil:
			if st.Rows, err = r.store.HuntStored(ctx, t.ID, stream.Hunt.Name); err != nil {
				return ts, err
			}
		case stream.Name == AlertsStream:
			st.Rows = stored.Alerts
		default:
			st.Rows = stored.Incidents
		}
		ts.Streams = append(ts.Streams, st)
	}
	return ts, nil
}

func (r *statusReader) quota(ctx context.Context, tenantID string, l Limits) (QuotaStatus, error) {
	q := QuotaStatus{PerMinute: l.PerMinute, PerHour: l.PerHour}
	calls, err := r.store.RecentCalls(ctx, tenantID, QuotaFamily, r.now.Add(-time.Hour))
	if err != nil {
		return q, err
	}
	minute, hour := 0, 0
	for _, c := range calls {
		hour += c.Calls
		if c.Second.After(r.now.Add(-time.Minute)) {
			minute += c.Calls
		}
	}
	q.RemainingMinute, q.RemainingHour = max(l.PerMinute-minute, 0), max(l.PerHour-hour, 0)
	blocked, err := r.store.BlockedUntil(ctx, tenantID)
	if blocked.After(r.now) {
		q.BlockedUntil = &blocked
	}
	return q, err
}

func (r *statusReader) huntingQuota(ctx context.Context, tenantID string, perMinute int) (*HuntingQuota, error) {
	q := &HuntingQuota{PerMinute: perMinute}
	calls, err := r.store.RecentCalls(ctx, tenantID, HuntFamily, r.now.Add(-time.Minute))
	if err != nil {
		return q, err
	}
	used := 0
	for _, c := range calls {
		if c.Second.After(r.now.Add(-time.Minute)) {
			used += c.Calls
		}
	}
	q.RemainingMinute = max(perMinute-used, 0)
	blocked, err := r.store.HuntingBlockedUntil(ctx, tenantID)
	if blocked.After(r.now) {
		q.BlockedUntil = &blocked
	}
	return q, err
}

func (r *statusReader) stream(ctx context.Context, tenantID string, stream Stream) (StreamStatus, error) {
	st := StreamStatus{Stream: stream.Name, Schedule: stream.Schedule.String(), Stale: true, Gaps: []GapStatus{}, Warnings: []Warning{}}
	if next := stream.Schedule.Next(r.now); !next.IsZero() {
		next = next.UTC()
		st.NextRun = &next
	}
	if h := stream.Hunt; h != nil {
		st.Mode = string(h.Mode)
		if next := h.Reconcile.Next(r.now); !next.IsZero() {
			next = next.UTC()
			st.NextReconcile = &next
		}
	}
	i := slices.IndexFunc(r.states, func(x store.StreamState) bool { return x.TenantID == tenantID && x.Stream == stream.Name })
	if i < 0 {
		return st, nil
	}
	state := r.states[i]
	st.LastRun, st.Reconciled, st.Locked, st.Quarantine = runStatus(state.LastRun), runStatus(state.LastReconcile), runStatus(state.Locked), state.Quarantine
	if cp := state.Checkpoint; cp.Revision > 0 {
		lag := r.now.Sub(cp.Watermark).Seconds()
		st.Start, st.Watermark, st.LagSeconds = &cp.StartTime, &cp.Watermark, &lag
		st.InPass = cp.ResumePoint != nil
		if !cp.PassedAt.IsZero() {
			st.PassedAt = &cp.PassedAt
		}
	}
	st.Stale = stale(state.Checkpoint.PassedAt, stream.Schedule, r.now)
	gaps, err := r.store.Gaps(ctx, tenantID, stream.Name)
	if err != nil {
		return st, err
	}
	for _, g := range gaps {
		st.Gaps = append(st.Gaps, GapStatus{From: g.From, To: g.To, Reason: g.Reason})
	}
	st.CoveragePercent = covered(state.Checkpoint, gaps, r.now.Add(-stream.Settle))
	if stream.Hunt != nil && stream.Hunt.Mode == ModeEvents && state.Checkpoint.Revision > 0 {
		st.ExpiringHours = expiring(state.Checkpoint.Watermark, gaps, r.now).Hours()
	}
	warnings, err := warner{r.store, stream, state.Checkpoint, gaps}.warnings(ctx)
	st.Warnings = append(append(st.Warnings, warnings...), st.standing()...)
	return st, err
}

// leastExpiring is the part of an hour from which on a loss is worth a word.
const leastExpiring = 0.05

// standing are the warnings that follow from the rest of the status. What a pass
// has warned of is looked at anew; a backfill and a comparison are not made again
// soon, and what they said stands until the next run.
func (s *StreamStatus) standing() []Warning {
	var all []Warning
	if s.ExpiringHours >= leastExpiring {
		all = append(all, Warning{WarningExpiring, fmt.Sprintf("%.1f hours that were not read fall over the 30-day edge within three days: run `defendersync backfill %s --from 30d`",
			s.ExpiringHours, s.Stream)})
	}
	if r := s.LastRun; r != nil && r.Warning != "" && (r.Command == "backfill" || r.Command == "reconcile") {
		all = append(all, Warning{WarningRun, "the last " + r.Command + " says: " + r.Warning})
	} else if r != nil {
		for _, text := range standingNotes(r.Warning) {
			all = append(all, Warning{WarningRun, text})
		}
	}
	return all
}

// expiringSoon is how long before the service forgets it a range that was not
// read is worth a warning.
const expiringSoon = 3 * 24 * time.Hour

// expiring is how much of what was not read yet falls over the 30-day edge soon.
func expiring(watermark time.Time, gaps []store.Gap, now time.Time) time.Duration {
	danger := span{edgeAt(now), edgeAt(now).Add(expiringSoon)}
	lost := func(from, to time.Time) time.Duration {
		return max(earlier(to, danger.until).Sub(later(from, danger.since)), 0)
	}
	total := lost(watermark, danger.until)
	for _, g := range gaps {
		total += lost(g.From, g.To)
	}
	return total
}

// covered is how much of the time between start and watermark is complete, in percent;
// of that up to now while the first pass, which has all of it to read, has not ended.
func covered(cp store.Checkpoint, gaps []store.Gap, now time.Time) *float64 {
	whole, missing := cp.Watermark.Sub(cp.StartTime), time.Duration(0)
	if whole <= 0 {
		return nil
	}
	if cp.PassedAt.IsZero() && now.After(cp.Watermark) {
		missing = now.Sub(cp.Watermark)
		whole += missing
	}
	for _, g := range gaps {
		missing += g.To.Sub(g.From)
	}
	percent := 100 * (float64(whole-missing) / float64(whole)) // in this order nothing missing is 100 and not a bit more
	return &percent
}

// staleAtLeast keeps a stream that fires every few seconds from being called
// stale at the first hiccup.
const staleAtLeast = 5 * time.Minute

// stale says whether three firings have gone by without a pass that ended.
func stale(passed time.Time, schedule Schedule, now time.Time) bool {
	if passed.IsZero() {
		return true
	}
	third := passed
	for range 3 {
		third = schedule.Next(third)
	}
	return now.After(third) && now.Sub(passed) > staleAtLeast
}

func runStatus(r *store.Run) *RunStatus {
	if r == nil {
		return nil
	}
	st := &RunStatus{RunID: r.RunID, Command: r.Command, StartedAt: r.StartedAt, Outcome: r.Outcome,
		RowsRead: r.RowsRead, RowsInserted: r.Inserted, RowsUpdated: r.Updated, RowsUnchanged: r.Unchanged,
		Calls: r.Calls, ThrottledSeconds: r.ThrottledSeconds, Error: r.Error, Warning: r.Warning}
	if !r.FinishedAt.IsZero() {
		st.FinishedAt = &r.FinishedAt
	}
	return st
}
