package defendersim

import (
	"fmt"
	"slices"
	"time"
)

// Step makes one random change at the world's clock. It returns what it did,
// for the log of a test that fails; "" when the world is frozen.
func (w *World) Step() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.step()
}

// StepN makes n random changes and returns what they were.
func (w *World) StepN(n int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var done []string
	for range n {
		if what := w.step(); what != "" {
			done = append(done, what)
		}
	}
	return done
}

// changes is what can happen, and how often.
var changes = []struct {
	weight int
	do     func(*World, *incident, time.Time) string
}{
	{12, (*World).newIncident},
	{14, (*World).newAlert},
	{8, (*World).moveOn},
	{9, (*World).close},
	{6, (*World).classify},
	{6, (*World).assign},
	{9, (*World).comment},
	{6, (*World).tag},
	{4, (*World).escalate},
	{4, (*World).rename},
	{14, (*World).alertOnly},
	{8, (*World).lateEvidence},
	{6, (*World).mergeSome},
	{6, (*World).moveSome},
}

func (w *World) step() string {
	if w.frozen {
		return ""
	}
	total := 0
	for _, c := range changes {
		total += c.weight
	}
	n := w.rand.IntN(total)
	for _, c := range changes {
		if n -= c.weight; n < 0 {
			return c.do(w, w.anyIncident(), w.stamp())
		}
	}
	return ""
}

// anyIncident is mostly a recent one that is still open to change.
func (w *World) anyIncident() *incident {
	for range 8 {
		i := w.rand.IntN(len(w.order))
		if recent := min(len(w.order), 60); chance(w.rand, 60) {
			i = len(w.order) - 1 - w.rand.IntN(recent)
		}
		if w.order[i].Status != "redirected" {
			return w.order[i]
		}
	}
	w.newIncident(nil, w.stamp()) // a world of nothing but tombstones
	return w.order[len(w.order)-1]
}

func (w *World) newIncident(_ *incident, at time.Time) string {
	in := w.open(at)
	w.incidentIndex.insert(in)
	for _, a := range in.alerts {
		a.born(at)
		w.alertIndex.insert(a)
	}
	return fmt.Sprintf("new incident %d with %d alerts", in.ID, len(in.alerts))
}

func (w *World) newAlert(in *incident, at time.Time) string {
	a := w.raise(in, len(in.alerts), at)
	a.born(at)
	w.alertIndex.insert(a)
	w.describe(in)
	if in.Status == "resolved" {
		in.Status = "active" // new alerts open a closed incident again
	}
	w.touch(in, at)
	return fmt.Sprintf("new alert %s on incident %d", a.ID, in.ID)
}

func (w *World) moveOn(in *incident, at time.Time) string {
	in.Status = pick(w.rand, []string{"inProgress", "active", "inProgress", "awaitingAction"})
	in.LastModifiedBy = pick(w.rand, analysts)
	for _, a := range in.alerts {
		if a.Status == "new" && in.Status == "inProgress" {
			a.Status = "inProgress"
			w.touchAlert(a, at)
		}
	}
	w.touch(in, at)
	return fmt.Sprintf("incident %d is %s", in.ID, in.Status)
}

func (w *World) close(in *incident, at time.Time) string {
	w.resolve(in, at)
	for _, a := range in.alerts {
		w.touchAlert(a, at)
	}
	w.touch(in, at)
	return fmt.Sprintf("incident %d is resolved", in.ID)
}

func (w *World) classify(in *incident, at time.Time) string {
	in.Classification, in.Determination = in.story.judgement[0], in.story.judgement[1]
	w.touch(in, at)
	return fmt.Sprintf("incident %d is %s", in.ID, in.Classification)
}

func (w *World) assign(in *incident, at time.Time) string {
	in.AssignedTo = pick(w.rand, append([]string{""}, analysts...))
	w.touch(in, at)
	return fmt.Sprintf("incident %d is %q's", in.ID, in.AssignedTo)
}

func (w *World) comment(in *incident, at time.Time) string {
	w.remark(in, at)
	w.touch(in, at)
	return fmt.Sprintf("comment on incident %d", in.ID)
}

func (w *World) tag(in *incident, at time.Time) string {
	if t := pick(w.rand, tagWords); !slices.Contains(in.CustomTags, t) {
		in.CustomTags = append(slices.Clone(in.CustomTags), t)
	} else {
		in.CustomTags = slices.DeleteFunc(slices.Clone(in.CustomTags), func(s string) bool { return s == t })
	}
	w.touch(in, at)
	return fmt.Sprintf("tags of incident %d", in.ID)
}

func (w *World) escalate(in *incident, at time.Time) string {
	in.Severity = pick(w.rand, severities[1:])
	w.touch(in, at)
	return fmt.Sprintf("incident %d has severity %s", in.ID, in.Severity)
}

func (w *World) rename(in *incident, at time.Time) string {
	in.Name = fmt.Sprintf("%s (case %d)", in.Name, 1000+w.rand.IntN(9000))
	w.touch(in, at)
	return fmt.Sprintf("incident %d has another name", in.ID)
}

// alertOnly changes an alert; its incident does not notice.
func (w *World) alertOnly(in *incident, at time.Time) string {
	if len(in.alerts) == 0 {
		return w.comment(in, at)
	}
	a := pick(w.rand, in.alerts)
	switch w.rand.IntN(4) {
	case 0:
		w.settle(a, at)
	case 1:
		a.judged, a.InvestigationState = true, "successfullyRemediated"
	case 2:
		a.Severity = pick(w.rand, severities[1:])
	case 3:
		a.AssignedTo, a.Last = pick(w.rand, analysts), at
	}
	w.touchAlert(a, at)
	return fmt.Sprintf("alert %s of incident %d changed", a.ID, in.ID)
}

func (w *World) lateEvidence(in *incident, at time.Time) string {
	if len(in.alerts) == 0 {
		return w.comment(in, at)
	}
	a := pick(w.rand, in.alerts)
	a.late = append(slices.Clone(a.late), lateEvidence{w.rand.Uint64(), at})
	w.touchAlert(a, at)
	return fmt.Sprintf("late evidence on alert %s of incident %d", a.ID, in.ID)
}

// mergeSome merges an incident into another one that it may be merged with.
func (w *World) mergeSome(from *incident, at time.Time) string {
	for range 30 {
		to := w.anyIncident()
		if to != from && mergeable(from) && mergeable(to) && from.AssignedTo == to.AssignedTo && from.Classification == to.Classification {
			w.merge(from, to, at)
			return fmt.Sprintf("incident %d merged into %d", from.ID, to.ID)
		}
	}
	return w.comment(from, at)
}

func mergeable(in *incident) bool { return in.Status != "resolved" && in.Status != "redirected" }

// merge empties one incident into another, at one stamp. The alerts' own last
// update moves in half of the cases.
func (w *World) merge(from, to *incident, at time.Time) {
	moved := w.empty(from, to, at)
	if chance(w.rand, 50) {
		for _, a := range moved {
			w.touchAlert(a, at)
		}
	}
	w.touch(from, at)
	w.touch(to, at)
}

// empty moves alerts and tags and leaves a tombstone. Comments stay behind.
func (w *World) empty(from, to *incident, at time.Time) []*alert {
	moved := slices.Clone(from.alerts)
	for _, a := range moved {
		w.attach(a, to)
	}
	to.CustomTags = union(to.CustomTags, from.CustomTags)
	from.CustomTags, from.SystemTags = []string{"Redirected"}, nil
	from.Status, from.RedirectID = "redirected", to.ID
	from.Classification, from.Determination = "unknown", "unknown"
	w.describe(to)
	return moved
}

// moveSome moves one alert by hand to another incident or to a new one.
func (w *World) moveSome(from *incident, at time.Time) string {
	if len(from.alerts) == 0 {
		return w.comment(from, at)
	}
	a, to := pick(w.rand, from.alerts), w.anyIncident()
	if to == from || chance(w.rand, 30) {
		to = w.blank(from, at)
	}
	w.move(a, to, at, chance(w.rand, 50))
	return fmt.Sprintf("alert %s moved from incident %d to %d", a.ID, from.ID, to.ID)
}

// blank opens an incident with no alerts, in the image of another.
func (w *World) blank(like *incident, at time.Time) *incident {
	w.nextID++
	in := &incident{story: like.story, cast: like.cast}
	in.Incident = Incident{ID: w.nextID, Status: "active", Severity: "informational", Classification: "unknown", Determination: "unknown",
		LastModifiedBy: pick(w.rand, analysts), Created: at, LastUpdate: at}
	w.incidents[in.ID] = in
	w.order = append(w.order, in)
	w.incidentIndex.insert(in)
	return in
}

// move hands one alert over and touches both incidents, the alert itself only
// when asked to.
func (w *World) move(a *alert, to *incident, at time.Time, touch bool) {
	from := a.incident
	w.attach(a, to)
	w.describe(to)
	if touch {
		w.touchAlert(a, at)
	}
	w.touch(from, at)
	w.touch(to, at)
}

// union is a with what b has more.
func union(a, b []string) []string {
	a = slices.Clone(a)
	for _, t := range b {
		if !slices.Contains(a, t) {
			a = append(a, t)
		}
	}
	return a
}
