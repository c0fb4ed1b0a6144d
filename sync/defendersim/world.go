package defendersim

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Comment is a remark on an incident.
type Comment struct {
	Text, By string
	At       time.Time
}

// Incident is an incident as the world knows it, in Graph's vocabulary. An
// empty text or zero time is null on the wire.
type Incident struct {
	ID                         int64
	RedirectID                 int64 // the incident this one was merged into; 0 for none
	Name, Description          string
	Summary, ResolvingComment  string
	Status, Severity           string
	Classification             string
	Determination              string
	AssignedTo, LastModifiedBy string
	CustomTags, SystemTags     []string
	Comments                   []Comment
	Priority                   int
	Created, LastUpdate        time.Time
	AlertIDs                   []string // sorted; filled in by World.Incidents only
}

// Alert is an alert as the world knows it, in Graph's vocabulary.
type Alert struct {
	ID, ProviderID               string
	IncidentID                   int64 // of the incident that holds it now
	Title, Description, Category string
	Techniques                   []string
	Status, Severity             string
	Classification               string // "" is null, unlike on an incident
	Determination                string
	ServiceSource                string
	DetectionSource              string
	InvestigationState           string
	AssignedTo                   string
	Actor, Threat, Family        string
	DetectorID                   string
	Created, LastUpdate          time.Time
	Resolved, First, Last        time.Time
	Evidence                     []Evidence // filled in by World.Alerts only
}

type incident struct {
	Incident
	story  *story
	cast   uint64
	alerts []*alert
}

type alert struct {
	Alert
	incident  *incident
	detection *detection
	cast      uint64
	seed      uint64
	judged    bool // verdicts are in
	late      []lateEvidence
}

type lateEvidence struct {
	seed uint64
	at   time.Time
}

// WorldOptions describes the tenant to invent.
type WorldOptions struct {
	Seed      uint64
	Incidents int           // how many there are at first; 0 means 300
	Span      time.Duration // how far back the first one goes; 0 means 60 days
	TenantID  string        // "" means a fixed one
	Now       func() time.Time
	// Tie makes this many incidents, and their alerts, share one last update.
	Tie int
	// AlertsTouchIncident makes every change of an alert move its incident's
	// last update too. The older API cannot show the change otherwise.
	AlertsTouchIncident bool
}

// DefaultTenant is the tenant id of a world that was given none.
const DefaultTenant = "8c1f7a52-3d64-4e0b-9a57-1e2f90b6d3c4"

// A World is the state of a tenant. It changes only when told to. It is safe
// for concurrent use.
type World struct {
	mu     sync.RWMutex
	opt    WorldOptions
	rand   *rand.Rand
	estate *estate
	last   time.Time // the newest stamp given out
	nextID int64
	frozen bool

	incidents map[int64]*incident
	alerts    map[string]*alert
	order     []*incident // by id
	all       []*alert    // by age

	incidentIndex index[*incident]
	alertIndex    index[*alert]
}

// NewWorld invents a tenant with its history up to ten minutes ago. The same
// options and the same now give the same world.
func NewWorld(opt WorldOptions) *World {
	opt.Incidents = cmp.Or(opt.Incidents, 300)
	opt.Span = cmp.Or(opt.Span, 60*24*time.Hour)
	opt.TenantID = cmp.Or(opt.TenantID, DefaultTenant)
	if opt.Now == nil {
		opt.Now = time.Now
	}
	now := tick(opt.Now())
	w := &World{
		opt: opt, rand: rand.New(rand.NewPCG(opt.Seed, 0x776f726c)), estate: newEstate(opt.Seed, opt.Incidents, now),
		nextID: 41_000, incidents: make(map[int64]*incident, opt.Incidents), alerts: make(map[string]*alert, 4*opt.Incidents),
	}
	w.live(now)
	return w
}

// TenantID is the tenant's identifier.
func (w *World) TenantID() string { return w.opt.TenantID }

// Incidents returns every incident, redirected ones included, by id.
func (w *World) Incidents() []Incident {
	w.mu.RLock()
	defer w.mu.RUnlock()
	list := make([]Incident, len(w.order))
	for i, in := range w.order {
		list[i] = in.snapshot()
	}
	return list
}

func (in *incident) snapshot() Incident {
	s := in.Incident
	s.CustomTags = slices.Clone(s.CustomTags)
	s.SystemTags = slices.Clone(s.SystemTags)
	s.Comments = slices.Clone(s.Comments)
	for _, a := range in.alerts {
		s.AlertIDs = append(s.AlertIDs, a.ID)
	}
	slices.Sort(s.AlertIDs)
	return s
}

// Alerts returns every alert by id.
func (w *World) Alerts() []Alert {
	w.mu.RLock()
	defer w.mu.RUnlock()
	list := make([]Alert, len(w.all))
	for i, a := range w.all {
		list[i] = a.snapshot(w.estate)
	}
	slices.SortFunc(list, func(a, b Alert) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (a *alert) snapshot(e *estate) Alert {
	s := a.Alert
	for _, ev := range a.evidence(e) {
		s.Evidence = append(s.Evidence, Evidence{Type: ev.kind, Older: olderTypes[ev.kind]})
	}
	return s
}

// Updated returns the last updates in [from, to) of incidents and of alerts, by
// id. Unlike Incidents and Alerts it costs no more than what it returns.
func (w *World) Updated(from, to time.Time) (incidents map[int64]time.Time, alerts map[string]time.Time) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	incidents, alerts = map[int64]time.Time{}, map[string]time.Time{}
	if !from.Before(to) {
		return incidents, alerts
	}
	for _, in := range w.incidentIndex.between(from, to.Add(-1)) {
		incidents[in.ID] = in.LastUpdate
	}
	for _, a := range w.alertIndex.between(from, to.Add(-1)) {
		alerts[a.ID] = a.LastUpdate
	}
	return incidents, alerts
}

// Freeze stops changes: Step does nothing until Thaw.
func (w *World) Freeze() { w.setFrozen(true) }

// Thaw lets the world change again.
func (w *World) Thaw() { w.setFrozen(false) }

func (w *World) setFrozen(v bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen = v
}

// ErrUnknown says that the world has no such incident or alert.
var ErrUnknown = errors.New("no such incident or alert")

// stamp returns the time of a change made now. Stamps grow by at least one
// tick, so that two versions of a record never share one.
func (w *World) stamp() time.Time {
	t := tick(w.opt.Now())
	if !t.After(w.last) {
		t = w.last.Add(100 * time.Nanosecond)
	}
	w.last = t
	return t
}

// touch moves an incident's last update.
func (w *World) touch(in *incident, at time.Time) {
	w.incidentIndex.remove(in)
	in.LastUpdate = at
	w.incidentIndex.insert(in)
}

// touchAlert moves an alert's last update, and its incident's where the
// options say so.
func (w *World) touchAlert(a *alert, at time.Time) {
	w.alertIndex.remove(a)
	a.LastUpdate = at
	w.alertIndex.insert(a)
	if w.opt.AlertsTouchIncident {
		w.touch(a.incident, at)
	}
}

// attach gives an alert to an incident, which loses it elsewhere.
func (w *World) attach(a *alert, to *incident) {
	if from := a.incident; from != nil {
		from.alerts = slices.DeleteFunc(from.alerts, func(x *alert) bool { return x == a })
	}
	a.incident, a.IncidentID = to, to.ID
	to.alerts = append(to.alerts, a)
}
