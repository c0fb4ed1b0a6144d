package defendersim

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// RequestRecord is one request that came in.
type RequestRecord struct {
	Seq      int // from 1, token requests included
	Time     time.Time
	Endpoint Endpoint
	Method   string
	Path     string
	RawQuery string
	Header   http.Header // without Authorization
	Query    string      // KQL, of a hunting query whose body could be read
	Timespan string
	Status   int // 0 while it is being answered, or when it was cut off before
}

// maxLog bounds the request log of a Sim that runs for long: the older half
// is dropped when it is full.
const maxLog = 100_000

type requestLog struct {
	mu      sync.Mutex
	records []RequestRecord
	dropped int
	api     int
	counts  map[Endpoint]int
}

// begin records a request and numbers it.
func (l *requestLog) begin(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.records) >= maxLog {
		l.dropped += maxLog / 2
		l.records = slices.Clone(l.records[maxLog/2:])
	}
	c.seq = l.dropped + len(l.records) + 1
	if c.endpoint != Token {
		l.api++
		c.n = l.api
	}
	if l.counts == nil {
		l.counts = map[Endpoint]int{}
	}
	l.counts[c.endpoint]++
	h := c.Header.Clone()
	h.Del("Authorization")
	l.records = append(l.records, RequestRecord{Seq: c.seq, Time: c.at, Endpoint: c.endpoint, Method: c.Method,
		Path: c.URL.Path, RawQuery: c.URL.RawQuery, Header: h, Query: c.hunt.Query, Timespan: c.hunt.Timespan})
}

func (l *requestLog) end(seq, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := seq - 1 - l.dropped; i >= 0 {
		l.records[i].Status = status
	}
}

// Requests returns the requests so far, the oldest first.
func (s *Sim) Requests() []RequestRecord {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return slices.Clone(s.log.records)
}

// Calls counts the requests to the given endpoints; to all but the token
// endpoint when none is given.
func (s *Sim) Calls(of ...Endpoint) int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if len(of) == 0 {
		return s.log.api
	}
	n := 0
	for _, e := range of {
		n += s.log.counts[e]
	}
	return n
}

// ForgetRequests empties the log and the counters.
func (s *Sim) ForgetRequests() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.dropped += len(s.log.records)
	s.log.records, s.log.api, s.log.counts = nil, 0, nil
}
