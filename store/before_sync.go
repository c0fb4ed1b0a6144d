package store

import "time"

// Where the time of what was resolved before the first sync comes from.
const (
	fromAlerts     = "alerts"
	fromLastUpdate = "last_update"
)

// beforeSync is what had become of an incident before it was first stored, as
// far as its first version and the alerts served with it tell. Each time is the
// latest that it can have been.
type beforeSync struct {
	AcknowledgedAt *time.Time `db:"acknowledged_before_sync_at"`
	ResolvedAt     *time.Time `db:"resolved_before_sync_at"`
	ResolvedFrom   *string    `db:"resolved_before_sync_from"`
}

// beforeSync takes i for the first version; alerts says when the last alert of an
// incident was resolved. One that was resolved after the version was made tells
// nothing of it.
func (i *Incident) beforeSync(alerts map[int64]time.Time) *beforeSync {
	status := text(i.Status)
	resolved := status == "resolved" || status == "redirected"
	if !resolved && (status == "active" || status == "") && text(i.AssignedTo) == "" {
		return &beforeSync{}
	}
	at, from := i.LastUpdateDateTime, fromLastUpdate
	if i.SyncedAt.Before(at) { // by a clock that is behind the source's
		at = i.SyncedAt
	}
	if last, ok := alerts[i.IncidentID]; ok && status == "resolved" && !last.After(at) {
		at, from = last, fromAlerts
	}
	if created := i.opened(); created.After(at) {
		at = created
	}
	b := &beforeSync{AcknowledgedAt: &at}
	if resolved {
		b.ResolvedAt, b.ResolvedFrom = &at, &from
	}
	return b
}

// opened is when the views count i as opened.
func (i *Incident) opened() time.Time {
	if i.CreatedDateTime != nil {
		return *i.CreatedDateTime
	}
	return i.SyncedAt
}

// resolved is when the last alert of each incident was resolved, for incidents
// whose alerts on the page are all resolved.
func (p *alertPage) resolved() map[int64]time.Time {
	last, open := map[int64]time.Time{}, map[int64]bool{}
	for _, a := range p.rows {
		switch {
		case a.IncidentID == nil:
		case text(a.Status) != "resolved" || a.ResolvedDateTime == nil:
			open[*a.IncidentID] = true
		case a.ResolvedDateTime.After(last[*a.IncidentID]):
			last[*a.IncidentID] = *a.ResolvedDateTime
		}
	}
	for id := range open {
		delete(last, id)
	}
	return last
}

// text is s, and "" for NULL.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
