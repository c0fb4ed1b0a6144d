package defendersim

import (
	"slices"
	"time"
)

// The changes below are for tests that need a certain one. They work on a
// frozen world too. Each stamps what it touches with the world's clock.

// AddIncident opens an incident with the given number of alerts and returns its id.
func (w *World) AddIncident(alerts int) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.stamp()
	in := w.blank(&incident{story: &stories[0], cast: w.rand.Uint64()}, at)
	for i := range alerts {
		a := w.raise(in, i, at)
		a.born(at)
		w.alertIndex.insert(a)
	}
	w.describe(in)
	return in.ID
}

// AddAlert raises one more alert on an incident and returns the alert's id.
func (w *World) AddAlert(incidentID int64) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	in, ok := w.incidents[incidentID]
	if !ok {
		return "", ErrUnknown
	}
	w.newAlert(in, w.stamp())
	return in.alerts[len(in.alerts)-1].ID, nil
}

// Edit changes an incident. Its id, its alerts and its last update are not
// the function's to change.
func (w *World) Edit(id int64, change func(*Incident)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	in, ok := w.incidents[id]
	if !ok {
		return ErrUnknown
	}
	s := in.snapshot()
	change(&s)
	s.ID, s.LastUpdate, s.AlertIDs = in.ID, in.LastUpdate, nil
	in.Incident = s
	w.touch(in, w.stamp())
	return nil
}

// EditAlert changes an alert and leaves its incident alone, unless the
// world's options say that alerts touch their incidents.
func (w *World) EditAlert(id string, change func(*Alert)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.alerts[id]
	if !ok {
		return ErrUnknown
	}
	s := a.Alert
	change(&s)
	s.ID, s.IncidentID, s.LastUpdate, s.Evidence = a.ID, a.IncidentID, a.LastUpdate, nil
	a.Alert = s
	w.touchAlert(a, w.stamp())
	return nil
}

// AddEvidence lets an alert find one more piece of evidence.
func (w *World) AddEvidence(alertID string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.alerts[alertID]
	if !ok {
		return ErrUnknown
	}
	at := w.stamp()
	a.late = append(slices.Clone(a.late), lateEvidence{w.rand.Uint64(), at})
	w.touchAlert(a, at)
	return nil
}

// Merge empties one incident into another, whatever their states.
func (w *World) Merge(from, to int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, b := w.incidents[from], w.incidents[to]
	if a == nil || b == nil || a == b {
		return ErrUnknown
	}
	w.merge(a, b, w.stamp())
	return nil
}

// MoveAlert moves one alert by hand to another incident, or to a new one when
// to is 0. Both incidents are touched; the alert's own last update only when
// touch is true. It returns the incident that holds the alert now.
func (w *World) MoveAlert(alertID string, to int64, touch bool) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, target := w.alerts[alertID], w.incidents[to]
	if a == nil || target == nil && to != 0 {
		return 0, ErrUnknown
	}
	at := w.stamp()
	if to == 0 {
		target = w.blank(a.incident, at)
	}
	w.move(a, target, at, touch)
	return target.ID, nil
}

// Tied gives incidents, and their alerts, the same last update: now.
func (w *World) Tied(ids ...int64) (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.stamp()
	for _, id := range ids {
		in, ok := w.incidents[id]
		if !ok {
			return at, ErrUnknown
		}
		w.touch(in, at)
		for _, a := range in.alerts {
			w.touchAlert(a, at)
		}
	}
	return at, nil
}
