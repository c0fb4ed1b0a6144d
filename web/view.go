package web

import (
	"fmt"
	"time"

	defsync "defendersync/sync"
)

// pageView is the page in words and places; the template adds nothing to it.
type pageView struct {
	Problem  string // why there is nothing else
	Missing  []string
	Headline string
	State    string // "ok", "busy", "warn" or "bad": the headline's colour
	Summary  string
	Warnings []warning
	More     int // warnings that are not among them
	Tenants  []tenantView
	Version  string
	Now      timeView
}

// timeView is a time in words, with all of it for machines and for pointing at.
type timeView struct{ Text, Exact string }

type tenantView struct {
	ID, Name, TenantID, API string
	Warnings                string // how many; "" for none
	Quotas                  []quotaView
	Paused                  []string
	Streams                 []streamView
	Incidents               *incidentsView // nil when they could not be read
	CopyNote                string         // why the figures of incidents may be low
	Runs                    []runView
}

// quotaView is one limit and how much of it is used.
type quotaView struct{ Name, Text, Used string }

type streamView struct {
	ID, Kind           string
	Name               []string // in pieces, between which it may break
	State, StateText   string
	Bar                *bar
	From, To, Coverage string
	Note               string // instead of a bar
	Facts              []fact
	Gaps               []string
	MoreGaps           int
	GapsText           string
	Error              string
}

// fact is a figure with its name. State is "" or "warn".
type fact struct{ Name, Value, Detail, Exact, State string }

type runView struct {
	At                                   timeView
	Stream                               []string
	Command, State, Outcome              string
	Read, Inserted, Updated, Calls, Took string
	Error, Warning                       string
}

// newPage says what the page says. runs and incidents are by tenant id.
func newPage(s defsync.Status, runs map[string][]defsync.StreamRun, incidents map[string]defsync.IncidentFigures) *pageView {
	now := s.GeneratedAt
	v := &pageView{Now: newTime(now, now)}
	streams, busy := 0, 0
	for i, t := range s.Tenants {
		tv := newTenant(t, fmt.Sprintf("t%d", i+1), now)
		if warnings := tenantWarnings(t, now); len(warnings) > 0 {
			tv.Warnings = count(len(warnings), "warning")
			v.Warnings = append(v.Warnings, warnings...)
		}
		if f, ok := incidents[t.TenantID]; ok {
			tv.Incidents = newIncidents(f, now)
		}
		for _, r := range runs[t.TenantID] {
			tv.Runs = append(tv.Runs, newRun(r, now))
		}
		for _, st := range tv.Streams {
			streams++
			if st.State == "busy" {
				busy++
			}
		}
		v.Tenants = append(v.Tenants, tv)
	}
	v.setHeadline(streams, busy)
	if n := len(v.Warnings); n > listedWarnings {
		v.Warnings, v.More = v.Warnings[:listedWarnings], n-listedWarnings
	}
	return v
}

func (v *pageView) setHeadline(streams, busy int) {
	switch {
	case len(v.Warnings) > 0:
		v.State, v.Headline = "warn", count(len(v.Warnings), "warning")
	case streams == 0:
		v.State, v.Headline = "busy", "No stream is configured"
	case busy > 0:
		v.State, v.Headline = "busy", fmt.Sprintf("No warnings, %s still catching up", isOrAre(busy, "stream"))
	default:
		v.State, v.Headline = "ok", "Everything is complete"
	}
	v.Summary = fmt.Sprintf("%s of %s", count(streams, "stream"), count(len(v.Tenants), "tenant"))
	if len(v.Warnings) > 0 && busy > 0 {
		v.Summary += fmt.Sprintf(", %s still catching up", isOrAre(busy, "stream"))
	}
}

func newTime(t, now time.Time) timeView {
	return timeView{moment(t, now), t.UTC().Format(time.RFC3339)}
}

func newTenant(t defsync.TenantStatus, id string, now time.Time) tenantView {
	v := tenantView{ID: id, Name: t.Name, TenantID: t.TenantID, API: apiName(t.API)}
	v.Quotas = []quotaView{
		newQuota("Incidents and alerts, this minute", t.Quota.PerMinute, t.Quota.RemainingMinute),
		newQuota("Incidents and alerts, this hour", t.Quota.PerHour, t.Quota.RemainingHour),
	}
	if t.Quota.BlockedUntil != nil {
		v.Paused = append(v.Paused, fmt.Sprintf("No call before %s UTC.", moment(*t.Quota.BlockedUntil, now)))
	}
	if h := t.Hunting; h != nil {
		v.Quotas = append(v.Quotas, newQuota("Hunting, this minute", h.PerMinute, h.RemainingMinute))
		if h.BlockedUntil != nil {
			v.Paused = append(v.Paused, fmt.Sprintf("Hunting is paused until %s UTC.", moment(*h.BlockedUntil, now)))
		}
	}
	for i, s := range t.Streams {
		v.Streams = append(v.Streams, newStream(s, fmt.Sprintf("%s-s%d", id, i+1), now))
		if s.Stream == defsync.IncidentsStream {
			v.CopyNote = copyNote(s)
		}
	}
	return v
}

// copyNote says why the figures of incidents may be low.
func copyNote(s defsync.StreamStatus) string {
	switch {
	case s.Watermark == nil || s.Stale && catchingUp(s):
		return "The incidents are still being read, so these figures may be low."
	case len(s.Gaps) > 0:
		return "Ranges of incidents are missing, so these figures may be low."
	}
	return ""
}

func apiName(dialect string) string {
	if dialect == "graph" {
		return "Microsoft Graph"
	}
	return "the older Defender API"
}

func newQuota(name string, limit, left int) quotaView {
	used := max(limit-left, 0)
	share := 0.0
	if limit > 0 {
		share = min(100*float64(used)/float64(limit), 100)
	}
	return quotaView{name, fmt.Sprintf("%s of %s calls used", grouped(int64(used)), grouped(int64(limit))), place(share)}
}

// How much the page lists before it only counts.
const (
	listedWarnings = 50
	listedGaps     = 20
)

func newStream(s defsync.StreamStatus, id string, now time.Time) streamView {
	v := streamView{ID: id, Name: pieces(s.Stream), Kind: kind(s)}
	v.State, v.StateText = streamState(s)
	whole := s.Mode != "" && s.Mode != string(defsync.ModeEvents)
	switch {
	case s.Watermark == nil || s.Start == nil:
		v.Note = "Nothing is stored yet."
	case whole:
		v.Note = fmt.Sprintf("Each run reads the whole result. The last one that was stored is of %s UTC.", moment(*s.Watermark, now))
	default:
		v.Bar, v.From, v.To = newBar(s, now), day(*s.Start, now), moment(*s.Watermark, now)
		if s.CoveragePercent != nil {
			v.Coverage = percent(*s.CoveragePercent) + " complete"
		}
		if v.State == "busy" && v.Bar != nil {
			v.Coverage = percent(v.Bar.way) + " of the way"
		}
	}
	for i, g := range s.Gaps {
		if i == listedGaps {
			v.MoreGaps = len(s.Gaps) - i
			break
		}
		v.Gaps = append(v.Gaps, gapText(g, now))
	}
	if n := len(s.Gaps); n > 0 {
		v.GapsText = fmt.Sprintf("%s missing, %s together", count(n, "range"), length(gapsLength(s.Gaps)))
	}
	if r := s.LastRun; r != nil {
		v.Error = sentence(r.Error)
	}
	v.Facts = facts(s, whole, now)
	return v
}

// kind is what a stream is, for those who don't know its modes.
func kind(s defsync.StreamStatus) string {
	switch defsync.Mode(s.Mode) {
	case defsync.ModeEvents:
		return "hunting: every row is kept"
	case defsync.ModeReplace:
		return "hunting: the last result is kept"
	case defsync.ModeSnapshot:
		return "hunting: a snapshot, with its history"
	}
	return "every change, by its time"
}

// streamState is the stream in a word, and its colour.
func streamState(s defsync.StreamStatus) (state, text string) {
	failed := s.LastRun != nil && s.LastRun.Outcome == string(defsync.OutcomeFailed)
	switch {
	case failed && s.Stale:
		return "bad", "failed, stale"
	case failed:
		return "bad", "failed"
	case catchingUp(s) && s.LastRun == nil:
		return "busy", "waiting for its first run"
	case s.Stale && catchingUp(s):
		return "busy", "catching up"
	case s.Stale:
		return "bad", "stale"
	case len(s.Gaps) > 0 || s.Quarantine > 0:
		return "warn", "incomplete"
	}
	return "ok", "complete"
}

func facts(s defsync.StreamStatus, whole bool, now time.Time) []fact {
	age := fact{Name: "Lag", Value: "–"}
	if whole {
		age.Name = "Age"
	}
	if s.LagSeconds != nil {
		age.Value, age.Exact = length(seconds(*s.LagSeconds)), "up to "+s.Watermark.UTC().Format(time.RFC3339)
	}
	if s.Stale && !catchingUp(s) {
		age.State = "warn"
	}
	all := []fact{age, {Name: "Rows", Value: grouped(s.Rows)}, lastRunFact(s.LastRun, now), {Name: "Next run", Value: "–"}, comparedFact(s, now)}
	if s.NextRun != nil {
		all[3].Value, all[3].Exact = fromNow(*s.NextRun, now), s.NextRun.UTC().Format(time.RFC3339)+", schedule "+s.Schedule
	}
	quarantine := fact{Name: "Quarantine", Value: "none"}
	if s.Quarantine > 0 {
		quarantine.Value, quarantine.State = count(s.Quarantine, "record"), "warn"
	}
	all = append(all, quarantine)
	if s.Mode == string(defsync.ModeEvents) {
		all = append(all, expiringFact(s.ExpiringHours))
	}
	return all
}

// expiringFact is what the service will soon not have any more.
func expiringFact(hours float64) fact {
	f := fact{Name: "Soon lost", Value: "none", Exact: "unread, and at the source for three days more at most"}
	if hours >= leastExpiring {
		f.Value, f.State = fmt.Sprintf("%.1f h", hours), "warn"
	}
	return f
}

func lastRunFact(r *defsync.RunStatus, now time.Time) fact {
	if r == nil {
		return fact{Name: "Last run", Value: "never"}
	}
	f := fact{Name: "Last run", Exact: r.StartedAt.UTC().Format(time.RFC3339)}
	if r.FinishedAt == nil {
		f.Value, f.Detail = "running", "for "+coarse(now.Sub(r.StartedAt))
		return f
	}
	f.Value, f.Detail = fromNow(*r.FinishedAt, now), r.Outcome
	if r.Outcome == string(defsync.OutcomeOK) {
		f.Detail = written(r)
	}
	if r.Outcome == string(defsync.OutcomeFailed) || r.Outcome == string(defsync.OutcomePartial) {
		f.State = "warn"
	}
	return f
}

// written is what a complete run did.
func written(r *defsync.RunStatus) string {
	inserted, updated := grouped(r.RowsInserted)+" new", grouped(r.RowsUpdated)+" changed"
	switch {
	case r.RowsInserted > 0 && r.RowsUpdated > 0:
		return inserted + ", " + updated
	case r.RowsInserted > 0:
		return inserted
	case r.RowsUpdated > 0:
		return updated
	}
	return "nothing new"
}

// comparedFact is the last comparison with the source. Incidents and alerts are
// compared when somebody says so, hunting tables by a schedule of their own.
func comparedFact(s defsync.StreamStatus, now time.Time) fact {
	f := fact{Name: "Compared", Value: "never"}
	if s.NextReconcile != nil {
		f.Detail, f.Exact = "next "+fromNow(*s.NextReconcile, now), s.NextReconcile.UTC().Format(time.RFC3339)
	}
	r := s.Reconciled
	if r == nil {
		if s.Mode != "" && s.NextReconcile == nil {
			f.Value, f.Exact = "–", "the source cannot count it"
		}
		return f
	}
	f.Value, f.Exact = fromNow(ended(r), now), ended(r).UTC().Format(time.RFC3339)
	switch r.Outcome {
	case string(defsync.OutcomeOK):
		f.Detail = "equal"
	case string(defsync.OutcomePartial):
		f.Detail, f.State = "still differed", "warn"
	default:
		f.Detail, f.State = r.Outcome, "warn"
	}
	return f
}

func newRun(r defsync.StreamRun, now time.Time) runView {
	v := runView{At: newTime(r.StartedAt, now), Stream: pieces(r.Stream), Command: r.Command, Outcome: r.Outcome,
		Read: grouped(r.RowsRead), Inserted: grouped(r.RowsInserted), Updated: grouped(r.RowsUpdated), Calls: grouped(r.Calls),
		Error: sentence(r.Error), Warning: sentence(r.Warning)}
	switch defsync.Outcome(r.Outcome) {
	case defsync.OutcomeOK:
		v.State = "ok"
	case defsync.OutcomePartial:
		v.State = "warn"
	case defsync.OutcomeFailed:
		v.State = "bad"
	default:
		v.State = "busy"
	}
	v.Took = took(ended(&r.RunStatus).Sub(r.StartedAt))
	if r.FinishedAt == nil {
		v.Took = length(now.Sub(r.StartedAt)) + " so far"
	}
	return v
}
