package defendersim

import (
	"cmp"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options configures a Sim. The zero value is a tenant of 300 incidents with
// no limits and no faults.
type Options struct {
	World     *World     // what is served; nil means a new one
	Documents *Documents // served instead of a world

	ClientID, Secret string           // "" means fixed ones
	Now              func() time.Time // nil means the world's clock

	TokenLifetime time.Duration // 0 means 3599 s
	GraphRoles    []string      // application roles of the app; nil means the ones needed, empty none
	OlderRoles    []string

	Order     Order  // what lists do about $orderby
	SkipToken bool   // next links hold an opaque $skiptoken, not $skip
	MaxSkip   int    // a deeper $skip is answered with 400; 0 means no limit
	Limits    Limits // quotas; none by default

	Hunting           *HuntTables  // what advanced hunting answers from; nil means no tables
	HuntCap           int          // rows in one answer, more are cut off without a sign; 0 means 100,000
	HuntMaxBytes      int64        // a longer answer is an error; 0 means 50 MB
	HuntEncoding      HuntEncoding // what the documentation leaves open
	HuntRejectPrelude bool         // a let that shadows a table is an error

	// ExpandLimit makes $expand=alerts answer 500 for an incident with more
	// alerts than that; 0 means never. Poison does it for chosen incidents.
	ExpandLimit int

	// ChangeEvery makes the world take one step after every that many API
	// requests, before the answer is sent; 0 means never.
	ChangeEvery int
	// OnRequest is called before the n-th API request is answered, OnAnswer
	// when its answer has been made and not one byte of it has been sent.
	// Token requests do not count.
	OnRequest, OnAnswer func(n int)
}

// Endpoint names what a request asked for.
type Endpoint string

// The endpoints. The zero value is a request for anything else.
const (
	Token          Endpoint = "token"
	Incidents      Endpoint = "incidents"       // /v1.0/security/incidents
	IncidentByID   Endpoint = "incident"        // /v1.0/security/incidents/{id}
	IncidentAlerts Endpoint = "incident_alerts" // /v1.0/security/incidents/{id}/alerts
	Alerts         Endpoint = "alerts"          // /v1.0/security/alerts_v2
	AlertByID      Endpoint = "alert"           // /v1.0/security/alerts_v2/{id}
	OlderIncidents Endpoint = "older_incidents" // /api/incidents
	OlderIncident  Endpoint = "older_incident"  // /api/incidents/{id}
	Hunting        Endpoint = "hunting"         // /v1.0/security/runHuntingQuery
	OlderHunting   Endpoint = "older_hunting"   // /api/advancedhunting/run
)

// Sim is the simulated tenant. It is safe for concurrent use.
type Sim struct {
	opt    Options
	source source
	world  *World // nil when documents are served
	now    func() time.Time
	quota  *quota
	log    requestLog
	faults faults

	mu       sync.Mutex // guards what follows
	secret   string
	expired  bool
	epoch    int
	roles    [2][]string // by audience
	overlays map[string][]byte
	extras   map[Endpoint][]record
	poisoned map[string]bool // id → its alerts fail as well
	replica  *World          // as of the last Replicate; nil before it
}

// Config is what an application is given to reach the tenant.
type Config struct{ TenantID, ClientID, Secret string }

// New returns a simulated tenant.
func New(opt Options) *Sim {
	s := &Sim{opt: opt, world: opt.World, quota: newQuota(opt.Limits),
		overlays: map[string][]byte{}, extras: map[Endpoint][]record{}, poisoned: map[string]bool{}}
	switch {
	case opt.Documents != nil:
		s.source = opt.Documents
		s.now = time.Now
	case opt.World == nil:
		s.world = NewWorld(WorldOptions{Now: opt.Now})
		fallthrough
	default:
		s.source, s.now = s.world, s.world.opt.Now
	}
	if opt.Now != nil {
		s.now = opt.Now
	}
	if opt.Hunting == nil {
		s.opt.Hunting = NewHunting()
	}
	s.opt.HuntCap = cmp.Or(opt.HuntCap, defaultHuntCap)
	s.opt.HuntMaxBytes = cmp.Or(opt.HuntMaxBytes, defaultHuntMaxBytes)
	s.opt.ClientID = cmp.Or(opt.ClientID, "2f9d1c5e-6b7a-4e83-a1d4-5c0b9e8f7a61")
	s.opt.TokenLifetime = cmp.Or(opt.TokenLifetime, 3599*time.Second)
	s.secret = cmp.Or(opt.Secret, "sim~Secret.Value~1")
	s.SetRoles(opt.GraphRoles, opt.OlderRoles)
	return s
}

// Hunting is what the Sim answers hunting queries from.
func (s *Sim) Hunting() *HuntTables { return s.opt.Hunting }

// World is what the Sim serves; nil when it serves documents.
func (s *Sim) World() *World { return s.world }

// Config returns the tenant, the app and its present secret.
func (s *Sim) Config() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Config{s.tenant(), s.opt.ClientID, s.secret}
}

func (s *Sim) tenant() string {
	if s.world == nil {
		return DefaultTenant
	}
	return s.world.TenantID()
}

// A call is one request on its way through the Sim.
type call struct {
	*http.Request
	endpoint Endpoint
	id       string // the id or tenant in the path
	seq      int    // of the request, from 1
	n        int    // of the API request, from 1; 0 for the token endpoint
	at       time.Time
	source   source      // that answers it
	hunt     huntRequest // of a hunting query
}

// hunting tells whether the request is a hunting query.
func (c *call) hunting() bool { return c.endpoint == Hunting || c.endpoint == OlderHunting }

// older tells which dialect errors are answered in.
func (c *call) older() bool { return strings.HasPrefix(c.URL.Path, "/api/") }

// route finds the endpoint that a request is for.
func route(r *http.Request) (Endpoint, string) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	at := func(i int) string {
		if i < len(parts) {
			return parts[i]
		}
		return ""
	}
	n := len(parts)
	switch {
	case at(1) == "oauth2" && at(n-1) == "token" && (n == 3 || n == 4 && at(2) == "v2.0"):
		if r.Method == http.MethodPost {
			return Token, at(0)
		}
	case r.Method == http.MethodPost:
		return huntRoute(r.URL.Path), ""
	case r.Method != http.MethodGet:
	case at(0) == "v1.0" && at(1) == "security" && at(2) == "incidents":
		return pathEnd(n-3, at(3), at(4), Incidents, IncidentByID)
	case at(0) == "v1.0" && at(1) == "security" && at(2) == "alerts_v2":
		return pathEnd(n-3, at(3), at(4), Alerts, AlertByID)
	case at(0) == "api" && at(1) == "incidents":
		return pathEnd(n-2, at(2), at(3), OlderIncidents, OlderIncident)
	}
	return "", ""
}

// pathEnd tells a collection, one of its members and a member's alerts apart.
func pathEnd(n int, id, rest string, all, one Endpoint) (Endpoint, string) {
	switch {
	case n == 0:
		return all, ""
	case n == 1:
		return one, id
	case n == 2 && rest == "alerts" && one == IncidentByID:
		return IncidentAlerts, id
	}
	return "", ""
}

// ServeHTTP implements [http.Handler].
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Request: r, at: s.now(), source: s.source}
	c.endpoint, c.id = route(r)
	if c.hunting() {
		c.readHunt()
	}
	s.log.begin(c)
	if s.opt.OnRequest != nil && c.n > 0 {
		s.opt.OnRequest(c.n)
	}
	f := s.faults.take(c)
	if f != nil && !f.wait(r.Context()) {
		return
	}
	if f.isStale() {
		c.source = s.behind(c.source)
	}
	a := f.instead(c)
	if a == nil {
		a = s.answer(c)
		f.spoil(a)
	}
	s.changed(c)
	a.status = cmp.Or(a.status, http.StatusOK)
	s.log.end(c.seq, a.status)
	s.send(w, c, a, f)
}

// changed lets the world go on between two requests.
func (s *Sim) changed(c *call) {
	if c.n == 0 {
		return
	}
	if k := s.opt.ChangeEvery; k > 0 && c.n%k == 0 && s.world != nil {
		s.world.Step()
	}
	if s.opt.OnAnswer != nil {
		s.opt.OnAnswer(c.n)
	}
}

// answer does what the service would do when nothing is wrong with it.
func (s *Sim) answer(c *call) *answer {
	if c.endpoint == Token {
		if a := s.throttle(c); a != nil {
			return a
		}
		return s.token(c)
	}
	if c.endpoint == "" {
		return c.fail(http.StatusNotFound, "ResourceNotFound", "Resource not found for the segment '"+c.URL.Path+"'.")
	}
	if a := s.authorize(c); a != nil {
		return a
	}
	if a := s.throttle(c); a != nil {
		return a
	}
	switch c.endpoint {
	case Hunting, OlderHunting:
		return s.huntAnswer(c)
	case Incidents:
		return s.list(c, &graphIncidentList)
	case Alerts:
		return s.list(c, &graphAlertList)
	case OlderIncidents:
		return s.list(c, &olderList)
	case IncidentAlerts:
		return s.incidentAlerts(c)
	}
	return s.one(c)
}
