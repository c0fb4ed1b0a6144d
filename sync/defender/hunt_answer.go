package defender

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// What is held of an answer at once.
const (
	maxHuntSchema = 1 << 20
	maxHuntRow    = 16 << 20
	maxHuntEarly  = 8 << 20 // rows that come before their schema
)

// sinkError is the sink's own, which no other send would cure.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }
func (e *sinkError) Unwrap() error { return e.err }

// sunk marks an error of the sink as that.
func sunk(err error) error {
	if err == nil {
		return nil
	}
	return &sinkError{err}
}

// readHunt decodes the body of a success into sink. It fails with a
// *TooLargeError, an *OversizeError, a *sinkError, or with a *DecodeError for
// anything else, a cut connection included.
func readHunt(resp *http.Response, maxBody int64, sink HuntSink) (*HuntAnswer, error) {
	sample := &prefix{max: maxDecodeSample}
	answer, err := decodeHuntBody(resp, maxBody, sink, sample)
	if err == nil {
		answer.Incomplete = answer.Incomplete || resp.StatusCode == http.StatusPartialContent
		answer.ServerTime, _ = http.ParseTime(resp.Header.Get("Date"))
		return answer, nil
	}
	if e, ok := errors.AsType[*sinkError](err); ok {
		return nil, e
	}
	if e, ok := errors.AsType[*OversizeError](err); ok {
		return nil, e
	}
	return nil, undecoded(resp, err, sample)
}

func decodeHuntBody(resp *http.Response, maxBody int64, sink HuntSink, sample *prefix) (*HuntAnswer, error) {
	body, err := plainBody(resp)
	if err != nil {
		return nil, err
	}
	served := &counter{w: sample}
	filtered := newJSONFilter(io.TeeReader(body, served)) // what was served is sampled and counted
	answer, err := decodeHunt(&boundedReader{r: filtered, left: maxBody, limit: maxBody}, sink)
	if err != nil {
		return nil, err
	}
	answer.Bytes = served.n
	return answer, nil
}

// counter counts what passes on to w.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.w.Write(p)
}

// leash lets its reader go only so far from the last tug, so that no single
// value fills the memory.
type leash struct {
	r           io.Reader
	what        string
	left, limit int
}

// tug lets the next value, which is what, take up to limit bytes.
func (l *leash) tug(what string, limit int) { l.what, l.left, l.limit = what, limit, limit }

func (l *leash) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, &OversizeError{Reason: fmt.Sprintf("%s is larger than %d bytes", l.what, l.limit)}
	}
	n, err := l.r.Read(p)
	l.left -= n
	return n, err
}

// hunting is one answer while it is decoded.
type hunting struct {
	d      *jsontext.Decoder
	leash  *leash
	rows   *huntRows // nil until there is a schema
	sink   HuntSink
	answer HuntAnswer

	found  bool           // there is an array of rows
	early  jsontext.Value // rows that came before the schema
	failed *refusal       // the answer says that something went wrong, for all that it is a success
}

// decodeHunt reads one answer. Its members may come in any order and, as both
// spellings occur, in upper and lower case.
func decodeHunt(r io.Reader, sink HuntSink) (*HuntAnswer, error) {
	l := &leash{r: r}
	h := &hunting{d: jsontext.NewDecoder(l, lenient()...), leash: l, sink: sink}
	l.tug("the answer's frame", maxHuntRow)
	if k := h.d.PeekKind(); k != jsontext.KindBeginObject && k != jsontext.KindInvalid {
		return nil, fmt.Errorf("want an object, got %s", kindName(k))
	}
	if _, err := h.d.ReadToken(); err != nil {
		return nil, cutOff(err)
	}
	for h.d.PeekKind() != jsontext.KindEndObject {
		if err := h.member(); err != nil {
			return nil, cutOff(err)
		}
		l.tug("the answer's frame", maxHuntRow)
	}
	if err := h.end(); err != nil {
		return nil, err
	}
	return h.open()
}

// end reads the end of the object and of the body.
func (h *hunting) end() error {
	if _, err := h.d.ReadToken(); err != nil {
		return cutOff(err)
	}
	if _, err := h.d.ReadToken(); err == nil {
		return errors.New("data after the answer")
	} else if err != io.EOF {
		return err
	}
	return nil
}

// open returns the answer. One that has rows and says that something went wrong
// broke off behind them.
func (h *hunting) open() (*HuntAnswer, error) {
	switch {
	case h.failed != nil && (h.rows == nil || !h.found):
		if err := oversized(h.failed.message); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("the answer is a success and holds an error: %s", h.failed)
	case h.rows == nil:
		return nil, errors.New("the answer has no schema")
	case !h.found:
		return nil, errors.New("the answer has no results")
	}
	h.answer.Columns, h.answer.Rows = h.rows.columns, h.rows.n
	h.answer.Incomplete = h.failed != nil
	return &h.answer, nil
}

// member reads one member of the answer.
func (h *hunting) member() error {
	tok, err := h.d.ReadToken()
	if err != nil {
		return err
	}
	switch strings.ToLower(tok.String()) {
	case "schema":
		return h.schema()
	case "results":
		h.found = true
		return h.results()
	case "error":
		h.failed, err = decodeFailure(h.d)
		return err
	default:
		return h.d.SkipValue()
	}
}

func (h *hunting) schema() error {
	h.leash.tug("the schema", maxHuntSchema)
	v, err := h.d.ReadValue()
	if err != nil {
		return err
	}
	if h.rows != nil {
		return errors.New("the answer has two schemas")
	}
	columns, err := huntColumns(v)
	if err != nil {
		return err
	}
	if err := h.sink.Begin(columns); err != nil {
		return sunk(err)
	}
	h.rows = newHuntRows(columns, h.sink)
	if h.early == nil {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(h.early), lenient()...)
	h.early = nil
	return h.rows.decode(d, h.leash)
}

// results reads the rows, or keeps them until the schema says what they are.
func (h *hunting) results() error {
	if k := h.d.PeekKind(); k != jsontext.KindBeginArray && k != jsontext.KindInvalid {
		return fmt.Errorf("results: want array, got %s", kindName(k))
	}
	if h.rows != nil {
		return h.rows.decode(h.d, h.leash)
	}
	if h.early != nil {
		return errors.New("the answer has two results before a schema")
	}
	h.leash.tug("what precedes the schema", maxHuntEarly)
	v, err := h.d.ReadValue()
	h.early = bytes.Clone(v) // the decoder reuses its buffer
	return err
}

// huntColumns reads a schema.
func huntColumns(v jsontext.Value) ([]HuntColumn, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(v), lenient()...)
	if v.Kind() != jsontext.KindBeginArray {
		return nil, fmt.Errorf("schema: want array, got %s", kindName(v.Kind()))
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	columns := []HuntColumn{}
	for d.PeekKind() != jsontext.KindEndArray {
		v, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		c, err := huntColumn(v)
		if err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return columns, nil
}

func huntColumn(v jsontext.Value) (HuntColumn, error) {
	var c HuntColumn
	o, err := ParseObject(v)
	if err != nil {
		return c, fmt.Errorf("schema: column: %w", err)
	}
	for _, name := range o.Names() {
		text, ok, _ := o.Text(name) // a type that is no string is one that nobody knows
		switch {
		case !ok:
		case strings.EqualFold(name, "name"):
			c.Name = text
		case strings.EqualFold(name, "type"):
			c.Type = text
		}
	}
	if c.Name == "" {
		return c, errors.New("schema: a column has no name")
	}
	return c, nil
}
