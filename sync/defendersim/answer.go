package defendersim

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// An answer is a response before it is sent: a page of records or a body.
type answer struct {
	status int // 0 means 200
	header http.Header
	body   []byte
	page   *page
	rows   *rowPlaces // where the rows are in the body of a hunting answer
}

type page struct {
	context string
	count   int // -1 when it was not asked for
	next    string
	records [][]byte
}

func (a *answer) set(k, v string) {
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set(k, v)
}

// bytes is the body as it would be sent whole.
func (a *answer) bytes() []byte {
	if a.page == nil {
		return a.body
	}
	e := &encoder{}
	e.braces(func() {
		e.text("@odata.context", a.page.context)
		if a.page.count >= 0 {
			e.int("@odata.count", int64(a.page.count))
		}
		if a.page.next != "" {
			e.text("@odata.nextLink", a.page.next)
		}
		e.list("value", len(a.page.records), func(i int) { e.b = append(e.b, a.page.records[i]...) })
	})
	return e.b
}

// guid is an identifier that belongs to the request.
func (c *call) guid() string {
	return guid(rand.New(rand.NewPCG(uint64(c.seq), 0x67756964)))
}

// fail is an error in the dialect of the request.
func (c *call) fail(status int, code, message string) *answer {
	if c.older() {
		return &answer{status: status, body: fmt.Appendf(nil, `{"error":{"code":%s,"message":%s,"target":%s}}`, quote(code), quote(message), quote(c.guid()))}
	}
	id := c.guid()
	client := c.Header.Get("client-request-id")
	if client == "" {
		client = id
	}
	return &answer{status: status, body: fmt.Appendf(nil, `{"error":{"code":%s,"message":%s,"details":[],"innerError":{"date":%s,"request-id":%s,"client-request-id":%s}}}`,
		quote(code), quote(message), quote(c.at.UTC().Format("2006-01-02T15:04:05")), quote(id), quote(client))}
}

func quote(s string) []byte {
	b, _ := jsontext.AppendQuote(nil, s) // invalid UTF-8 is replaced
	return b
}

// refused is the answer to a query option that is not taken.
func (c *call) refused(err error) *answer {
	code := "BadRequest"
	if b, ok := err.(*badQuery); ok {
		code = b.code
	}
	if !c.older() {
		return c.fail(http.StatusBadRequest, code, err.Error())
	}
	if code == "" { // $top
		return c.fail(http.StatusBadRequest, "BadRequest", err.Error())
	}
	return c.fail(http.StatusBadRequest, "ODataError", "Invalid OData URI query "+err.Error())
}

// send writes the answer, or as much of it as the fault allows.
func (s *Sim) send(w http.ResponseWriter, c *call, a *answer, f *Fault) {
	h := w.Header()
	h.Set("Content-Type", "application/json; odata.metadata=minimal; charset=utf-8")
	h.Set("Date", s.now().UTC().Format(http.TimeFormat))
	h.Set("request-id", c.guid())
	h.Set("client-request-id", c.guid())
	for k, v := range a.header {
		h[k] = v
	}
	body := a.bytes()
	if f.truncates() {
		body = body[:len(body)/2]
	}
	if f.truncatesGzip() || strings.Contains(c.Header.Get("Accept-Encoding"), "gzip") && len(body) > 512 {
		body = compress(body)
		h.Set("Content-Encoding", "gzip")
	}
	if f.truncatesGzip() {
		body = body[:len(body)/2]
	}
	f.mislead(h, s.now())
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	if f.cuts() {
		w.Write(body[:len(body)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Write(body)
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is valid
	z.Write(body)
	z.Close()
	return b.Bytes()
}

// seconds rounds a wait up to whole seconds, at least one.
func seconds(d time.Duration) int {
	return max(1, int((d+time.Second-1)/time.Second))
}
