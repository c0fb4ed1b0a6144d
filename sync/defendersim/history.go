package defendersim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// lull is how long before the beginning nothing has happened, so that a
// reader that keeps away from the last minutes sees the whole history.
const lull = 10 * time.Minute

// live fills the world with incidents spread over the span up to the lull.
func (w *World) live(now time.Time) {
	now = now.Add(-lull)
	w.last = now
	step := w.opt.Span / time.Duration(w.opt.Incidents+1)
	for i := range w.opt.Incidents {
		at := now.Add(-w.opt.Span + time.Duration(i)*step + time.Duration(w.rand.Int64N(int64(step)+1)))
		w.past(w.open(sqlTick(w.rand, at)), now)
	}
	w.redirects()
	w.tie(now)
	w.incidentIndex.load(w.order)
	w.alertIndex.load(w.all)
}

// sqlTick gives a time the resolution that a service might have stored it in:
// 100 ns ticks, the three-hundredths of a second of an old database type, or
// whole seconds.
func sqlTick(r *rand.Rand, t time.Time) time.Time {
	t = tick(t)
	switch r.IntN(10) {
	case 0:
		return t.Truncate(time.Second)
	case 1, 2, 3, 4:
		third := t.Nanosecond() / (int(time.Second) / 300) // 3.33 ms
		ns := (int64(third)*int64(time.Second)/300 + 50) / 100 * 100
		return t.Truncate(time.Second).Add(time.Duration(ns))
	}
	return t
}

// open starts a new incident with the alerts of a story.
func (w *World) open(at time.Time) *incident {
	r := w.rand
	s := w.pickStory()
	in := &incident{story: s, cast: w.castFor(s)}
	w.nextID += int64(1 + r.IntN(3)) // ids have gaps: other incidents were of no interest
	in.Incident = Incident{
		ID: w.nextID, Status: "active", Severity: "informational", Classification: "unknown", Determination: "unknown",
		LastModifiedBy: "Microsoft 365 Defender-IncidentCreation", Created: at, LastUpdate: at,
	}
	w.incidents[in.ID] = in
	w.order = append(w.order, in)
	for i := range w.alertCount(s) {
		w.raise(in, i, at.Add(time.Duration(i)*time.Duration(r.Int64N(int64(40*time.Minute))+1)))
	}
	if chance(r, 7) {
		in.CustomTags = append(in.CustomTags, pick(r, tagWords))
	}
	w.describe(in)
	return in
}

// castFor finds a cast whose malware suits the story.
func (w *World) castFor(s *story) uint64 {
	for {
		seed := w.rand.Uint64()
		family := w.estate.cast(seed).files[0].family
		if s.family == "" && !strings.HasPrefix(family, "PUA") || s.family != "" && strings.HasPrefix(family, s.family) {
			return seed
		}
	}
}

func (w *World) pickStory() *story {
	total := 0
	for i := range stories {
		total += stories[i].weight
	}
	n := w.rand.IntN(total)
	for i := range stories {
		if n -= stories[i].weight; n < 0 {
			return &stories[i]
		}
	}
	return &stories[0]
}

// alertCount is mostly what the story says; now and then a campaign gathers many.
func (w *World) alertCount(s *story) int {
	if s.high > 4 && chance(w.rand, 2) {
		return s.high * 3
	}
	return s.low + w.rand.IntN(s.high-s.low+1)
}

// raise adds the n-th alert of the incident's story. It leaves the indexes alone.
func (w *World) raise(in *incident, n int, at time.Time) *alert {
	d := w.nextDetection(in, n)
	a := &alert{detection: d, cast: in.cast, seed: w.rand.Uint64()}
	r := rand.New(rand.NewPCG(a.seed, 0x616c6572))
	c := w.estate.cast(a.cast)
	at = sqlTick(r, at)
	label := labels[d.product]
	provider := guid(r)
	if d.product == endpoint {
		provider += "_1"
	}
	a.Alert = Alert{
		ID: label.prefix + provider, ProviderID: provider, Title: c.fill(r, d.title), Description: c.fill(r, d.text),
		Category: d.category, Techniques: d.techniques, Status: "new", Severity: d.severity,
		ServiceSource: label.service, DetectionSource: label.source, DetectorID: guid(rand.New(rand.NewPCG(uint64(len(d.title)), uint64(len(d.text))))),
		InvestigationState: pick(r, []string{"unsupportedAlertType", "queued", "running", "unsupportedOs", "pendingApproval"}),
		Created:            at, LastUpdate: at, First: tick(at.Add(-time.Duration(r.Int64N(int64(90 * time.Minute))))),
	}
	if d.source != "" {
		a.DetectionSource = d.source
	}
	if d.category == "Malware" || d.category == "Ransomware" {
		a.Threat, a.Family = c.files[0].family, familyName(c.files[0].family)
	}
	if in.story.high > 10 {
		a.Actor = "Storm-0" + fmt.Sprint(300+in.ID%600)
	}
	w.alerts[a.ID] = a
	w.all = append(w.all, a)
	w.attach(a, in)
	return a
}

// born makes the alert one that was created at that time, after its activity.
func (a *alert) born(at time.Time) {
	if a.First.After(at) {
		a.First = at
	}
	a.Created, a.LastUpdate = at, at
	a.Last = laterOf(a.First, a.First.Add(at.Sub(a.First)/2).Truncate(time.Second))
}

func (w *World) nextDetection(in *incident, n int) *detection {
	names := in.story.detections
	switch {
	case len(names) == 0:
		return detections["human"]
	case in.story.ordered:
		return detections[names[n%len(names)]]
	}
	return detections[pick(w.rand, names)]
}

var severities = []string{"unknown", "informational", "low", "medium", "high"}

func rank(severity string) int {
	for i, s := range severities {
		if s == severity {
			return i
		}
	}
	return 0
}

// describe gives the incident the name and severity that follow from its alerts.
func (w *World) describe(in *incident) {
	title := "Alerts"
	for i, a := range in.alerts {
		if i == 0 {
			title = a.Title
		}
		if rank(a.Severity) > rank(in.Severity) {
			in.Severity = a.Severity
		}
	}
	in.Name = strings.ReplaceAll(in.story.name, "{title}", title)
	in.Description = fmt.Sprintf("%d alerts that share users, devices or indicators.", len(in.alerts))
	in.Priority = min(99, 5+18*rank(in.Severity)+2*len(in.alerts))
}

// past gives an incident the work that analysts will have done on it by now.
func (w *World) past(in *incident, now time.Time) {
	r, age := w.rand, now.Sub(in.Created)
	newest := in.Created
	for _, a := range in.alerts {
		newest = clampTime(a.Created, newest, now)
	}
	done := time.Duration(r.Int64N(int64(min(age, 9*24*time.Hour)) + 1))
	at := clampTime(sqlTick(r, in.Created.Add(done)), newest, now)
	switch resolved := min(92, int(age/(24*time.Hour))*9); {
	case chance(r, resolved):
		w.resolve(in, at)
	case chance(r, 35):
		in.Status, in.AssignedTo = "inProgress", pick(r, analysts)
		w.remark(in, at)
	case chance(r, 15):
		in.Status = "awaitingAction"
	}
	in.LastUpdate = at
	if n := len(w.order); n > 1 && chance(r, 9) && !w.order[n-2].LastUpdate.Before(newest) {
		in.LastUpdate = w.order[n-2].LastUpdate // the same batch job as the one before
	}
	for _, a := range in.alerts {
		w.pastAlert(a, now)
	}
}

// pastAlert gives an alert a last update before, at or after its incident's.
func (w *World) pastAlert(a *alert, now time.Time) {
	r := w.rand
	a.judged = a.Status == "resolved" || chance(r, 50)
	switch r.IntN(3) {
	case 0:
		a.LastUpdate = laterOf(a.Created, a.incident.LastUpdate)
	case 1:
		a.LastUpdate = sqlTick(r, a.Created.Add(time.Duration(r.Int64N(int64(3*time.Hour)))))
	case 2:
		a.LastUpdate = sqlTick(r, laterOf(a.Created, a.incident.LastUpdate).Add(time.Duration(r.Int64N(int64(45*time.Minute)))))
	}
	if chance(r, 12) {
		a.late = append(a.late, lateEvidence{r.Uint64(), a.LastUpdate})
	}
	updated := a.LastUpdate
	a.born(clampTime(a.Created, time.Time{}, now))
	a.LastUpdate = clampTime(updated, a.Created, now)
}

func clampTime(t, from, to time.Time) time.Time {
	if t.After(to) {
		t = to
	}
	return laterOf(t, from)
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// resolve closes an incident and its alerts, with the story's judgement.
func (w *World) resolve(in *incident, at time.Time) {
	in.Status, in.AssignedTo = "resolved", pick(w.rand, analysts)
	in.Classification, in.Determination = in.story.judgement[0], in.story.judgement[1]
	if chance(w.rand, 25) {
		in.Classification, in.Determination, in.AssignedTo = "unknown", "unknown", ""
		in.ResolvingComment = "Closed automatically: every alert of the incident is resolved."
	}
	in.CustomTags = union(in.CustomTags, in.story.tags)
	if in.Classification == "truePositive" && len(in.alerts) > 3 {
		in.Summary = fmt.Sprintf("%s. %d alerts were raised; the first at %s.", in.Name, len(in.alerts), in.Created.Format(time.RFC1123))
	}
	if chance(w.rand, 60) {
		w.remark(in, at)
	}
	for _, a := range in.alerts {
		w.settle(a, at)
	}
}

// settle resolves an alert.
func (w *World) settle(a *alert, at time.Time) {
	a.Status, a.Resolved, a.judged = "resolved", laterOf(at, a.Created), true
	a.InvestigationState = pick(w.rand, []string{"successfullyRemediated", "benign", "partiallyRemediated", "terminatedByUser", "unsupportedAlertType"})
	a.AssignedTo = pick(w.rand, []string{"", "Automation", a.incident.AssignedTo})
	if a.incident.Classification != "unknown" {
		a.Classification, a.Determination = a.incident.Classification, a.incident.Determination
	}
}

func (w *World) remark(in *incident, at time.Time) {
	in.Comments = append(in.Comments, Comment{pick(w.rand, remarks), pick(w.rand, analysts), at})
	in.LastModifiedBy = in.Comments[len(in.Comments)-1].By
}

// redirects merges some neighbours, as the service does with incidents that
// turn out to be one.
func (w *World) redirects() {
	for i := 5; i < len(w.order); i += 17 + w.rand.IntN(20) {
		from, to := w.order[i], w.order[i-1-w.rand.IntN(3)]
		if from.Status == "redirected" || to.Status == "redirected" {
			continue
		}
		at := laterOf(from.LastUpdate, to.LastUpdate)
		w.empty(from, to, at)
		from.LastUpdate, to.LastUpdate = at, at
	}
}

// tie makes the newest incidents that the options ask for share a last update.
func (w *World) tie(now time.Time) {
	n := min(w.opt.Tie, len(w.order))
	at := now.Add(-time.Second).Truncate(time.Millisecond).Add(333_300 * time.Nanosecond)
	for _, in := range w.order[len(w.order)-n:] {
		in.Created = clampTime(in.Created, time.Time{}, at)
		in.LastUpdate = at
		for _, a := range in.alerts {
			a.born(clampTime(a.Created, time.Time{}, at))
			a.LastUpdate = at
		}
	}
}
