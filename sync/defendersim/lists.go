package defendersim

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A style is how records are written.
type style struct {
	older   bool
	expand  bool // Graph incidents with their alerts
	unknown bool // Prefer: include-unknown-enum-members
}

// A source is what the lists are made of. Between hold and release it does
// not change.
type source interface {
	hold()
	release()
	// window returns what was last updated in [from, to] by last update; a
	// zero to is no limit. The slice is the caller's.
	window(e Endpoint, from, to time.Time) []record
	// find returns a record by its id, nil if there is none.
	find(e Endpoint, id string) record
	// alertsOf returns an incident's alerts.
	alertsOf(incident record) []record
	render(r record, st style) []byte
}

func (w *World) hold()    { w.mu.RLock() }
func (w *World) release() { w.mu.RUnlock() }

func (w *World) window(e Endpoint, from, to time.Time) []record {
	if e == Alerts {
		return records(w.alertIndex.between(from, to))
	}
	return records(w.incidentIndex.between(from, to))
}

func records[R record](list []R) []record {
	out := make([]record, len(list))
	for i, r := range list {
		out[i] = r
	}
	return out
}

func (w *World) find(e Endpoint, id string) record {
	if e == AlertByID {
		if a, ok := w.alerts[id]; ok {
			return a
		}
		return nil
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if in, ok := w.incidents[n]; ok && err == nil {
		return in
	}
	return nil
}

func (w *World) alertsOf(r record) []record { return records(r.(*incident).alerts) }

func (w *World) render(r record, st style) []byte {
	e := &encoder{tenant: w.opt.TenantID, unknown: st.unknown, b: make([]byte, 0, sizeHint(r, st))}
	switch r := r.(type) {
	case *incident:
		if st.older {
			e.olderIncident(w, r)
		} else {
			e.graphIncident(w, r, st.expand)
		}
	case *alert:
		e.graphAlert(w, r)
	}
	return e.b
}

// sizeHint is about how long a record will be.
func sizeHint(r record, st style) int {
	if in, ok := r.(*incident); ok && (st.expand || st.older) {
		return 4<<10 + len(in.alerts)*8<<10
	}
	return 8 << 10
}

// style is how the request wants records to be written.
func (c *call) style(expand bool) style {
	st := style{older: c.older(), expand: expand}
	for _, v := range c.Header.Values("Prefer") {
		if strings.Contains(v, "include-unknown-enum-members") {
			st.unknown = true
		}
	}
	return st
}

// list answers a request for a collection.
func (s *Sim) list(c *call, l *list) *answer {
	values, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return c.refused(refuse("Malformed query string."))
	}
	q, err := l.parse(values)
	if err != nil {
		return c.refused(err)
	}
	if s.opt.MaxSkip > 0 && q.skip > s.opt.MaxSkip {
		return c.refused(refuse("The maximum value of $skip is %d.", s.opt.MaxSkip))
	}
	c.source.hold()
	defer c.source.release()
	found := s.matches(c, q)
	sorted(found, q.order, s.opt.Order, uint64(c.n))
	lo := min(q.skip, len(found))
	hi := min(lo+q.top, len(found))
	p := &page{context: c.context(), count: -1}
	if q.count {
		p.count = len(found)
	}
	if hi < len(found) && !c.older() {
		p.next = s.nextLink(c, values, hi)
	}
	return s.page(c, p, found[lo:hi], c.style(q.expand))
}

// matches is what the filter lets through of the source and of the records
// that were put beside it.
func (s *Sim) matches(c *call, q query) []record {
	var from, to time.Time
	if q.filter != nil {
		from, to = bounds(q.filter)
	}
	all := c.source.window(c.endpoint, from, to)
	all = s.withExtras(c.endpoint, all)
	if q.filter == nil {
		return all
	}
	n := 0
	for _, r := range all {
		if q.filter.match(r) {
			all[n] = r
			n++
		}
	}
	return all[:n]
}

// page renders records, unless one of them is poison.
func (s *Sim) page(c *call, p *page, records []record, st style) *answer {
	for _, r := range records {
		if s.fails(c, r, st) {
			return c.poisoned()
		}
		p.records = append(p.records, s.document(c, r, st))
	}
	return &answer{page: p}
}

// fails tells whether a record cannot be rendered in this style.
func (s *Sim) fails(c *call, r record, st style) bool {
	if !st.expand && !st.older {
		return false
	}
	return s.isPoison(r.id()) || st.expand && s.opt.ExpandLimit > 0 && len(c.source.alertsOf(r)) > s.opt.ExpandLimit
}

func (c *call) poisoned() *answer {
	if c.older() {
		return c.fail(http.StatusInternalServerError, "InternalServerError", "An internal error occurred.")
	}
	return c.fail(http.StatusInternalServerError, "UnknownError", "")
}

func (c *call) context() string {
	if c.older() {
		return "https://api.security.microsoft.com/api/$metadata#Incidents"
	}
	path, _ := strings.CutPrefix(c.URL.Path, "/v1.0/")
	return "https://graph.microsoft.com/v1.0/$metadata#" + path
}

// nextLink repeats the request's own options and adds where to go on.
func (s *Sim) nextLink(c *call, values url.Values, offset int) string {
	values.Del("$skip")
	values.Del("$skiptoken")
	if s.opt.SkipToken {
		values.Set("$skiptoken", skipToken(offset))
	} else {
		values.Set("$skip", strconv.Itoa(offset))
	}
	scheme := cmp.Or(c.URL.Scheme, "http")
	if c.TLS != nil {
		scheme = "https"
	}
	query := strings.ReplaceAll(values.Encode(), "%24", "$")
	return scheme + "://" + c.Host + c.URL.Path + "?" + query
}

// incidentAlerts answers /incidents/{id}/alerts, which has no paging.
func (s *Sim) incidentAlerts(c *call) *answer {
	c.source.hold()
	defer c.source.release()
	r := c.source.find(c.endpoint, c.id)
	if r == nil {
		return c.missing()
	}
	if s.alertsArePoison(c.id) {
		return c.poisoned()
	}
	p := &page{context: "https://graph.microsoft.com/v1.0/$metadata#security/incidents('" + c.id + "')/alerts", count: -1}
	return s.page(c, p, c.source.alertsOf(r), c.style(false))
}

func (c *call) missing() *answer {
	return c.fail(http.StatusNotFound, "ResourceNotFound", "Resource "+c.id+" was not found")
}

// one answers a request for one record.
func (s *Sim) one(c *call) *answer {
	c.source.hold()
	defer c.source.release()
	r := c.source.find(c.endpoint, c.id)
	if r == nil {
		return c.missing()
	}
	st := c.style(c.URL.Query().Get("$expand") == "alerts")
	if s.fails(c, r, st) {
		return c.poisoned()
	}
	doc := s.document(c, r, st)
	if len(doc) < 3 || doc[0] != '{' {
		return &answer{body: doc}
	}
	context := "https://graph.microsoft.com/v1.0/$metadata#security/incidents/$entity"
	if c.endpoint == AlertByID {
		context = "https://graph.microsoft.com/v1.0/$metadata#security/alerts_v2/$entity"
	}
	if st.older {
		context = "https://api.security.microsoft.com/api/$metadata#Incidents/$entity"
	}
	head := append([]byte(`{"@odata.context":`), quote(context)...)
	return &answer{body: append(append(head, ','), doc[1:]...)}
}
