package sync_test

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"defendersync/sync/defendersim"
)

// A witness looks at the world at each sync, as the worker does, and keeps what
// it saw: the truth that the views of bi are measured by. It knows of no SQL.
type witness struct {
	incidents map[int64]*life
	alerts    map[string]defendersim.Alert
}

// life is one incident in the versions that were seen of it.
type life struct {
	firstSeen time.Time // by the worker's clock
	versions  []defendersim.Incident

	resolved     time.Time // before it was first seen, as was known then; zero if it was open
	resolvedFrom string
}

// observe is to be called when a sync has ended and the world has not moved since.
func (w *witness) observe(r *rig) {
	if w.incidents == nil {
		w.incidents = map[int64]*life{}
	}
	w.alerts = map[string]defendersim.Alert{}
	for _, a := range r.world.Alerts() {
		w.alerts[a.ID] = a
	}
	for _, i := range r.world.Incidents() {
		i.Created, i.LastUpdate = cut(i.Created), cut(i.LastUpdate)
		l := w.incidents[i.ID]
		if l == nil {
			l = &life{firstSeen: r.clock.Now()}
			l.resolved, l.resolvedFrom = w.before(i)
			w.incidents[i.ID] = l
		}
		if n := len(l.versions); n == 0 || !l.versions[n-1].LastUpdate.Equal(i.LastUpdate) {
			l.versions = append(l.versions, i)
		}
	}
}

// before is when an incident that is seen for the first time had been resolved,
// and how that is known.
func (w *witness) before(i defendersim.Incident) (time.Time, string) {
	if open(i.Status) {
		return time.Time{}, ""
	}
	var last time.Time
	for _, id := range i.AlertIDs {
		a := w.alerts[id]
		if a.Status != "resolved" || a.Resolved.IsZero() {
			return i.LastUpdate, "last_update"
		}
		if at := cut(a.Resolved); at.After(last) {
			last = at
		}
	}
	if i.Status != "resolved" || last.IsZero() || last.After(i.LastUpdate) {
		return i.LastUpdate, "last_update"
	}
	if last.Before(i.Created) {
		last = i.Created
	}
	return last, "alerts"
}

func (l *life) first() defendersim.Incident { return l.versions[0] }
func (l *life) last() defendersim.Incident  { return l.versions[len(l.versions)-1] }

func open(status string) bool { return status != "resolved" && status != "redirected" }

// root of an incident, and of what is merged into each.
func (w *witness) roots() (root map[int64]int64, merged map[int64][]int64) {
	redirects := map[int64]int64{}
	for id, l := range w.incidents {
		redirects[id] = l.last().RedirectID
	}
	root, merged = map[int64]int64{}, map[int64][]int64{}
	for id := range redirects {
		if root[id] = rootOf(redirects, id); root[id] != id {
			merged[root[id]] = append(merged[root[id]], id)
		}
	}
	for _, ids := range merged {
		slices.Sort(ids)
	}
	return root, merged
}

// biIncident is a row of bi.incidents, as far as the truth of it is known.
type biIncident struct {
	ID                         int64
	Status, Severity, Assigned string
	IsOpen                     bool
	Acknowledged               time.Time
	AcknowledgedFrom           string
	Resolved                   time.Time
	ResolvedFrom               string
	ToAcknowledge, ToResolve   time.Duration // 0 for NULL
	Age                        time.Duration
	Reopened, Alerts, Open     int64
	SLABreached                string // "true", "false", "" for NULL
	LateAcknowledged           string
	Merged                     []int64
}

// truth is what bi.incidents should hold at now, and the transitions it follows from.
func (w *witness) truth(now time.Time) map[int64]biIncident {
	root, merged := w.roots()
	alerts, unresolved := map[int64]int64{}, map[int64]int64{}
	for _, a := range w.alerts {
		alerts[root[a.IncidentID]]++
		if a.Status != "resolved" {
			unresolved[root[a.IncidentID]]++
		}
	}
	target := map[string]time.Duration{"high": 24 * time.Hour, "medium": 72 * time.Hour, "low": 168 * time.Hour}
	all := map[int64]biIncident{}
	for id, l := range w.incidents {
		if root[id] != id {
			continue
		}
		i := l.last()
		b := biIncident{ID: id, Status: i.Status, Severity: i.Severity, Assigned: i.AssignedTo, IsOpen: open(i.Status),
			Alerts: alerts[id], Open: unresolved[id], Merged: append([]int64{}, merged[id]...)}
		b.Acknowledged, b.AcknowledgedFrom = w.acknowledged(l)
		b.Resolved, b.ResolvedFrom = w.resolved(l)
		b.Reopened = int64(len(l.reopened()))
		if b.AcknowledgedFrom != "" {
			b.ToAcknowledge = b.Acknowledged.Sub(i.Created)
		}
		end := now
		if b.ResolvedFrom != "" {
			b.ToResolve, end = b.Resolved.Sub(i.Created), b.Resolved
		}
		if b.IsOpen {
			b.Age = now.Sub(i.Created)
		}
		if d, ok := target[l.severityAt(end)]; ok && i.Status != "redirected" {
			b.SLABreached = fmt.Sprint(end.After(i.Created.Add(d)))
		}
		b.LateAcknowledged = w.lateAcknowledged(i, b, l.severityAt(end), now)
		all[id] = b
	}
	return all
}

// lateAcknowledged is whether the incident was taken too late, "" where that is not known.
func (w *witness) lateAcknowledged(i defendersim.Incident, b biIncident, severity string, now time.Time) string {
	target := map[string]time.Duration{"high": time.Hour, "medium": 4 * time.Hour, "low": 24 * time.Hour}
	d, ok := target[severity]
	if !ok || i.Status == "redirected" {
		return ""
	}
	late := now.After(i.Created.Add(d))
	if b.AcknowledgedFrom != "" {
		late = b.ToAcknowledge > d
	}
	if late && b.AcknowledgedFrom == "first_sync" {
		return ""
	}
	return fmt.Sprint(late)
}

// earliest of those that are not zero.
func earliest(times ...time.Time) (t time.Time) {
	for _, u := range times {
		if !u.IsZero() && (t.IsZero() || u.Before(t)) {
			t = u
		}
	}
	return t
}

// acknowledged is when somebody took the incident, and how that is known.
func (w *witness) acknowledged(l *life) (time.Time, string) {
	taken := func(i defendersim.Incident) bool { return i.Status != "active" || i.AssignedTo != "" }
	if taken(l.first()) {
		return earliest(l.first().LastUpdate, l.resolved), "first_sync"
	}
	for _, v := range l.versions {
		if taken(v) && v.Status != "redirected" {
			return v.LastUpdate, "history"
		}
	}
	return time.Time{}, ""
}

// resolved is when the incident was resolved for the last time.
func (w *witness) resolved(l *life) (time.Time, string) {
	if l.last().Status != "resolved" {
		return time.Time{}, ""
	}
	for n := len(l.versions) - 1; n > 0; n-- {
		if l.versions[n].Status == "resolved" && l.versions[n-1].Status != "resolved" {
			return l.versions[n].LastUpdate, "history"
		}
	}
	return l.resolved, l.resolvedFrom
}

// severityAt is the severity that the incident had at t, as far as it was seen.
func (l *life) severityAt(t time.Time) string {
	severity := l.first().Severity
	for _, v := range l.versions {
		if !v.LastUpdate.After(t) {
			severity = v.Severity
		}
	}
	return severity
}

// reopened is when the incident went from resolved to open.
func (l *life) reopened() (at []time.Time) {
	for n := 1; n < len(l.versions); n++ {
		if l.versions[n-1].Status == "resolved" && open(l.versions[n].Status) {
			at = append(at, l.versions[n].LastUpdate)
		}
	}
	return at
}

// closed is when it went from open to closed, the time before it was first seen included.
func (w *witness) closed(l *life) (at []time.Time) {
	if !l.resolved.IsZero() {
		at = append(at, l.resolved)
	}
	for n := 1; n < len(l.versions); n++ {
		if open(l.versions[n-1].Status) && !open(l.versions[n].Status) {
			at = append(at, l.versions[n].LastUpdate)
		}
	}
	return at
}

// daily is what bi.incident_daily should hold.
type daily struct {
	Day, Severity                       string
	Opened, Resolved, Reopened, Backlog int64
}

func (w *witness) daily(now time.Time) (all []daily) {
	root, _ := w.roots()
	type key struct{ day, severity string }
	counts := map[key]*daily{}
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	severities := map[string]bool{"high": true, "medium": true, "low": true, "informational": true}
	first, last := day(now), day(now)
	count := func(t time.Time, severity string, add func(*daily)) {
		k := key{day(t), severity}
		if counts[k] == nil {
			counts[k] = &daily{}
		}
		add(counts[k])
		severities[severity] = true
		first, last = min(first, k.day), max(last, k.day)
	}
	for id, l := range w.incidents {
		if root[id] != id {
			continue
		}
		severity := l.last().Severity
		count(l.last().Created, severity, func(d *daily) { d.Opened++ })
		for _, t := range l.reopened() {
			count(t, severity, func(d *daily) { d.Reopened++ })
		}
		for _, t := range w.closed(l) {
			count(t, severity, func(d *daily) { d.Resolved++ })
		}
	}
	for severity := range severities {
		backlog := int64(0)
		at, _ := time.Parse(time.DateOnly, first)
		for ; day(at) <= last; at = at.AddDate(0, 0, 1) {
			d := daily{Day: day(at), Severity: severity}
			if c := counts[key{d.Day, severity}]; c != nil {
				d.Opened, d.Resolved, d.Reopened = c.Opened, c.Resolved, c.Reopened
			}
			backlog += d.Opened + d.Reopened - d.Resolved
			d.Backlog = backlog
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b daily) int { return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Severity, b.Severity)) })
	return all
}
