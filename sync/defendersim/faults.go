package defendersim

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// FaultKind is what goes wrong.
type FaultKind int

const (
	// FaultStatus answers with Status and Body; an empty body becomes an
	// error in the API's own shape.
	FaultStatus FaultKind = iota
	// FaultThrottle answers 429, with a Retry-After when RetryAfter is not 0.
	// The older API's body names the wait in any case.
	FaultThrottle
	// FaultCut closes the connection before a byte is sent.
	FaultCut
	// FaultCutHalf closes the connection after half of the body.
	FaultCutHalf
	// FaultTruncated sends half of the JSON as if it were all.
	FaultTruncated
	// FaultNotJSON answers 200 with Body, or with a page of HTML.
	FaultNotJSON
	// FaultSlow waits for Delay, then answers as usual.
	FaultSlow
	// FaultPartial answers 206 with a Warning header, and the last record of
	// the page, or row of a hunting answer, is missing.
	FaultPartial
	// FaultForeignNext sends the client to another host for the next page.
	FaultForeignNext
	// FaultDuplicate serves the first record of the page, or the first row of
	// a hunting answer, twice.
	FaultDuplicate
	// FaultTruncatedGzip sends half of the body, compressed, as if it were all.
	FaultTruncatedGzip
	// FaultBadBytes puts a property beside the others of each record, or beside
	// the rows of a hunting answer, with what no text can hold: a NUL, half a
	// surrogate, bytes that are no UTF-8.
	FaultBadBytes
	// FaultDuplicateKeys serves the first member of each record of the page, or
	// of the first row of a hunting answer, twice.
	FaultDuplicateKeys
	// FaultLostNext serves a page as if it were the last, whatever follows it.
	FaultLostNext
	// FaultStale answers about incidents and alerts as things were at the last
	// [Sim.Replicate]: a machine of the service that lags behind the others. The
	// Date is the present one. Before that it answers as usual.
	FaultStale
)

// A Fault breaks some answers.
type Fault struct {
	Kind FaultKind
	// Endpoint and Match choose the requests. The zero endpoint is any API
	// endpoint, not the token's; a nil Match is any request.
	Endpoint Endpoint
	Match    func(*http.Request) bool
	Query    func(kql, timespan string) bool // of hunting queries; no other request when it is not nil
	Skip     int                             // that many of the chosen requests pass first
	Times    int                             // that many are hit then; 0 means all

	Status     int // of FaultStatus; 0 means 500
	Body       string
	RetryAfter time.Duration
	Delay      time.Duration // before the answer, of any kind
	Header     http.Header   // in the place of what the answer has, of any kind; an empty list takes one away
	DateOff    time.Duration // how wrong the Date header is, of any kind

	seen int
}

type faults struct {
	mu   sync.Mutex
	list []*Fault
}

// Inject switches a fault on. The function it returns switches it off. Of
// several faults that choose a request the one injected first has it.
func (s *Sim) Inject(f Fault) (remove func()) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	p := &f
	s.faults.list = append(s.faults.list, p)
	return func() {
		s.faults.mu.Lock()
		defer s.faults.mu.Unlock()
		s.faults.list = slices.DeleteFunc(s.faults.list, func(x *Fault) bool { return x == p })
	}
}

// ClearFaults switches every injected fault off. Poison and overlays stay.
func (s *Sim) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
}

// take returns the fault that hits a request, nil if none does.
func (fs *faults) take(c *call) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.list {
		if !f.chooses(c) {
			continue
		}
		f.seen++
		if f.seen > f.Skip && (f.Times == 0 || f.seen <= f.Skip+f.Times) {
			hit := *f
			return &hit
		}
	}
	return nil
}

func (f *Fault) chooses(c *call) bool {
	if f.Endpoint != c.endpoint && (f.Endpoint != "" || c.endpoint == Token) {
		return false
	}
	if f.Query != nil && !(c.hunting() && f.Query(c.hunt.Query, c.hunt.Timespan)) {
		return false
	}
	return f.Match == nil || f.Match(c.Request)
}

// wait sits out the delay; false means that the client has gone.
func (f *Fault) wait(ctx context.Context) bool {
	if f.Delay <= 0 {
		return true
	}
	t := time.NewTimer(f.Delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// instead is the answer of a fault that leaves nothing of the real one; nil
// when the real one is wanted.
func (f *Fault) instead(c *call) *answer {
	if f == nil {
		return nil
	}
	switch f.Kind {
	case FaultCut:
		panic(http.ErrAbortHandler)
	case FaultNotJSON:
		a := &answer{body: []byte(cmp.Or(f.Body, "<html><head><title>Sign in to your account</title></head></html>"))}
		a.set("Content-Type", "text/html; charset=utf-8")
		return a
	case FaultThrottle:
		a := c.throttled(50, time.Minute, seconds(f.RetryAfter))
		if f.RetryAfter > 0 {
			a.set("Retry-After", strconv.Itoa(seconds(f.RetryAfter)))
		}
		return a
	case FaultStatus:
		return f.status(c)
	}
	return nil
}

func (f *Fault) status(c *call) *answer {
	f.Status = cmp.Or(f.Status, http.StatusInternalServerError)
	a := &answer{status: f.Status, body: []byte(f.Body)}
	if f.Body == "" {
		code := strings.ReplaceAll(http.StatusText(f.Status), " ", "")
		a = c.fail(f.Status, code, "Injected.")
		if c.endpoint == Token {
			a = c.refuseToken(f.Status, "temporarily_unavailable", 90033, "A transient error has occurred. Please try again.")
		}
	}
	if f.RetryAfter > 0 {
		a.set("Retry-After", strconv.Itoa(seconds(f.RetryAfter)))
	}
	return a
}

// spoil changes a real answer that holds a page.
func (f *Fault) spoil(a *answer) {
	if f == nil || a.page == nil {
		if f != nil && a.rows != nil {
			f.spoilRows(a)
		}
		return
	}
	switch n := len(a.page.records); f.Kind {
	case FaultPartial:
		a.partial()
		a.page.records = a.page.records[:max(0, n-1)]
	case FaultDuplicate:
		if n > 0 {
			a.page.records = append(a.page.records, a.page.records[0])
		}
	case FaultForeignNext:
		a.page.next = "https://graph.attacker.example/v1.0/security/incidents?$skip=50"
	case FaultLostNext:
		a.page.next = ""
	case FaultBadBytes, FaultDuplicateKeys:
		for i, r := range a.page.records {
			a.page.records[i] = f.garble(r)
		}
	}
}

// spoilRows does it to a hunting answer.
func (f *Fault) spoilRows(a *answer) {
	r := a.rows
	switch f.Kind {
	case FaultPartial:
		a.partial()
		a.body = slices.Delete(a.body, r.last, r.end)
	case FaultDuplicate:
		if r.first < r.second {
			again := append(slices.Clone(a.body[r.first:r.second]), ',')
			a.body = slices.Insert(a.body, r.first, again...)
		}
	case FaultDuplicateKeys:
		a.body = slices.Concat(a.body[:r.first], f.garble(a.body[r.first:r.second]), a.body[r.second:])
	case FaultBadBytes:
		a.body = f.garble(a.body)
	}
}

// garble changes the bytes of an object; what is none stays as it is.
func (f *Fault) garble(object []byte) []byte {
	first := firstMember(object)
	if first == nil {
		return object
	}
	if f.Kind == FaultBadBytes {
		first = []byte("\"bad\":\"\x00\\u0000 \\ud800 \xff\xc3(\"")
	}
	return slices.Concat([]byte("{"), first, []byte(","), object[1:])
}

// firstMember is the first name of an object with its value, as written.
func firstMember(object []byte) []byte {
	d := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowInvalidUTF8(true))
	if tok, err := d.ReadToken(); err != nil || tok.Kind() != '{' || d.PeekKind() != '"' {
		return nil
	}
	if _, err := d.ReadToken(); err != nil {
		return nil
	}
	if err := d.SkipValue(); err != nil {
		return nil
	}
	return object[1:d.InputOffset()]
}

// mislead changes the headers of an answer that is about to be sent.
func (f *Fault) mislead(h http.Header, now time.Time) {
	if f == nil {
		return
	}
	if f.DateOff != 0 {
		h.Set("Date", now.Add(f.DateOff).UTC().Format(http.TimeFormat))
	}
	maps.Copy(h, f.Header)
}

// partial marks an answer as one that lacks what one of the sources has.
func (a *answer) partial() {
	a.status = http.StatusPartialContent
	a.set("Warning", `199 - "Microsoft/MDATP/504/10000"`)
}

func (f *Fault) isStale() bool { return f != nil && f.Kind == FaultStale }

func (f *Fault) truncates() bool { return f != nil && f.Kind == FaultTruncated }

func (f *Fault) truncatesGzip() bool { return f != nil && f.Kind == FaultTruncatedGzip }

func (f *Fault) cuts() bool { return f != nil && f.Kind == FaultCutHalf }
