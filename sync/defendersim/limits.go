package defendersim

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits are quotas: requests in any minute or hour. 0 means no limit. A
// request that is refused does not count.
type Limits struct {
	IncidentsPerMinute, IncidentsPerHour int // lists of incidents, of both dialects
	IncidentPerMinute, IncidentPerHour   int // single incidents
	AlertsPerMinute                      int // everything else about alerts
	TokensPerMinute                      int

	HuntingPerMinute int // hunting queries, of both dialects
	// HuntingCPU is how much processing hunting queries may use in each
	// quarter of an hour by the clock; the one that crosses it still runs.
	// [HuntCost] is what a query uses.
	HuntingCPU time.Duration
	// HuntingRetryAfter adds the header to the refusal for want of CPU, whose
	// body names the wait in any case.
	HuntingRetryAfter bool

	// NoRetryAfter leaves the header out, on the older API only: its body
	// says how long to wait.
	NoRetryAfter bool
}

// DocumentedLimits are the quotas that Microsoft publishes.
func DocumentedLimits() Limits {
	return Limits{IncidentsPerMinute: 50, IncidentsPerHour: 1500, IncidentPerMinute: 100, IncidentPerHour: 1500, AlertsPerMinute: 150,
		HuntingPerMinute: 45}
}

// quota counts by sliding window, the strictest reading of "per minute".
type quota struct {
	mu           sync.Mutex
	noRetryAfter bool
	windows      map[Endpoint][]*window
	hunting      huntBudget
}

type window struct {
	max  int
	per  time.Duration
	hits []time.Time
}

func newQuota(l Limits) *quota {
	incidents := windows(l.IncidentsPerMinute, l.IncidentsPerHour)
	incident := windows(l.IncidentPerMinute, l.IncidentPerHour)
	alerts := windows(l.AlertsPerMinute, 0)
	hunting := windows(l.HuntingPerMinute, 0)
	return &quota{noRetryAfter: l.NoRetryAfter, hunting: huntBudget{max: l.HuntingCPU, retryAfter: l.HuntingRetryAfter}, windows: map[Endpoint][]*window{
		Incidents: incidents, OlderIncidents: incidents, IncidentByID: incident, OlderIncident: incident,
		Alerts: alerts, AlertByID: alerts, IncidentAlerts: alerts, Token: windows(l.TokensPerMinute, 0),
		Hunting: hunting, OlderHunting: hunting,
	}}
}

func windows(perMinute, perHour int) []*window {
	var w []*window
	if perMinute > 0 {
		w = append(w, &window{max: perMinute, per: time.Minute})
	}
	if perHour > 0 {
		w = append(w, &window{max: perHour, per: time.Hour})
	}
	return w
}

// take counts a request, or returns the window that is full and how long it
// stays so.
func (q *quota) take(e Endpoint, now time.Time) (*window, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.windows[e] {
		for len(w.hits) > 0 && !w.hits[0].After(now.Add(-w.per)) {
			w.hits = w.hits[1:]
		}
		if len(w.hits) >= w.max {
			return w, w.hits[0].Add(w.per).Sub(now)
		}
	}
	for _, w := range q.windows[e] {
		w.hits = append(w.hits, now)
	}
	return nil, 0
}

// throttle refuses a request that is over a quota; nil lets it pass.
func (s *Sim) throttle(c *call) *answer {
	w, wait := s.quota.take(c.endpoint, c.at)
	if w == nil {
		return nil
	}
	a := c.throttled(w.max, w.per, seconds(wait))
	if !s.quota.noRetryAfter || !c.older() {
		a.set("Retry-After", strconv.Itoa(seconds(wait)))
	}
	return a
}

// throttled is a 429 in the dialect of the request, without a Retry-After.
func (c *call) throttled(max int, per time.Duration, wait int) *answer {
	switch {
	case c.endpoint == Token:
		return c.refuseToken(http.StatusTooManyRequests, "temporarily_unavailable", 90055, "The tenant has exceeded its throttling limit.")
	case c.older():
		return c.fail(http.StatusTooManyRequests, "429", fmt.Sprintf(
			"API calls quota exceeded! Maximum allowed %d per %s for the key Destination+TenantID+AppID. You can send requests again in %d seconds.",
			max, time.Time{}.Add(per).Format("15:04:05"), wait))
	}
	return c.fail(http.StatusTooManyRequests, "TooManyRequests", "Too many requests.")
}
