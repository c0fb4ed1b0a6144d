package defender

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxDecodeSample = 64 << 10 // bytes of an unreadable body kept for the quarantine
	maxErrorBody    = 64 << 10 // bytes read of an answer that is no success
)

// readPage decodes the body of a success as a stream. It fails with a
// *TooLargeError, or with a *DecodeError for anything else, a cut connection included.
func readPage(resp *http.Response, maxBody int64) (*Page, error) {
	sample := &prefix{max: maxDecodeSample}
	page, err := decodeBody(resp, maxBody, sample)
	if err == nil {
		page.Incomplete = page.Incomplete || resp.StatusCode == http.StatusPartialContent
		page.ServerTime, _ = http.ParseTime(resp.Header.Get("Date"))
		return page, nil
	}
	return nil, undecoded(resp, err, sample)
}

// undecoded is the *TooLargeError or *DecodeError that a success ends in whose
// body could not be read because of err.
func undecoded(resp *http.Response, err error, sample *prefix) error {
	if tooLarge, ok := errors.AsType[*TooLargeError](err); ok {
		return tooLarge
	}
	reason := err.Error()
	if notJSON(sample.kept) {
		reason = fmt.Sprintf("the service answered %d with %s", resp.StatusCode, foreign(resp.Header))
	}
	return &DecodeError{Reason: reason, Body: sample.kept}
}

// notJSON reports whether a body is something else from its first byte on, such
// as a page in HTML. An empty one is not.
func notJSON(body []byte) bool {
	body = bytes.TrimLeft(bytes.TrimPrefix(body, byteOrderMark), " \t\r\n")
	for _, literal := range []string{"null", "true", "false"} {
		if bytes.HasPrefix(body, []byte(literal)) {
			return false
		}
	}
	return len(body) > 0 && bytes.IndexByte([]byte(`{["-0123456789`), body[0]) < 0
}

// foreign says of an answer that is not JSON who may have given it.
func foreign(h http.Header) string {
	return contentType(h) + " where JSON should be: a proxy in between may have answered"
}

func decodeBody(resp *http.Response, maxBody int64, sample *prefix) (*Page, error) {
	body, err := plainBody(resp)
	if err != nil {
		return nil, err
	}
	filtered := newJSONFilter(io.TeeReader(body, sample)) // the sample is what was served
	return decodePage(&boundedReader{r: filtered, left: maxBody, limit: maxBody})
}

// plainBody undoes the Content-Encoding, which is ours to do because we ask
// for gzip ourselves.
func plainBody(resp *http.Response) (io.Reader, error) {
	switch enc := strings.ToLower(resp.Header.Get("Content-Encoding")); enc {
	case "", "identity":
		return resp.Body, nil
	case "gzip", "x-gzip":
		zr, err := gzip.NewReader(resp.Body)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return zr, nil
	default:
		return nil, fmt.Errorf("content encoding %.40q was not asked for", enc)
	}
}

// decodePage reads one OData collection. Its members may come in any order;
// only value, @odata.nextLink and error matter.
func decodePage(r io.Reader) (*Page, error) {
	d := jsontext.NewDecoder(r, lenient()...)
	if k := d.PeekKind(); k != jsontext.KindBeginObject && k != jsontext.KindInvalid {
		return nil, fmt.Errorf("want an object, got %s", kindName(k))
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, cutOff(err)
	}
	e := envelope{page: new(Page)}
	for d.PeekKind() != jsontext.KindEndObject {
		if err := e.decodeMember(d); err != nil {
			return nil, cutOff(err)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, cutOff(err)
	}
	if _, err := d.ReadToken(); err == nil {
		return nil, errors.New("data after the answer")
	} else if err != io.EOF {
		return nil, err
	}
	return e.open()
}

// envelope is what surrounds the records of an answer.
type envelope struct {
	page   *Page
	found  bool     // there is an array of records
	failed *refusal // the answer says that something went wrong, for all that it is a success
}

// open returns the page. An answer that has records and says that something
// went wrong broke off behind them: they are good, but not all.
func (e *envelope) open() (*Page, error) {
	switch {
	case e.found:
		e.page.Incomplete = e.failed != nil
		return e.page, nil
	case e.failed != nil:
		return nil, fmt.Errorf("the answer is a success and holds an error: %s", e.failed)
	}
	return nil, errors.New("the answer has no value")
}

// decodeMember reads one member of the envelope.
func (e *envelope) decodeMember(d *jsontext.Decoder) error {
	tok, err := d.ReadToken()
	if err != nil {
		return err
	}
	switch tok.String() {
	case "value":
		e.found = true
		return e.page.decodeRecords(d)
	case "@odata.nextLink":
		return e.page.decodeNext(d)
	case "error":
		e.failed, err = decodeFailure(d)
		return err
	default:
		return d.SkipValue()
	}
}

// decodeFailure reads the error that an answer holds though it is a success;
// nil for a null.
func decodeFailure(d *jsontext.Decoder) (*refusal, error) {
	v, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	if o, err := ParseObject(v); err == nil {
		failed := new(refusal)
		failed.read(o)
		return failed, nil
	}
	if v.Kind() == jsontext.KindString {
		return &refusal{message: bounded(unquote(v))}, nil
	}
	return nil, nil
}

func (p *Page) decodeNext(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	switch v.Kind() {
	case jsontext.KindString:
		p.Next = unquote(v)
	case jsontext.KindNull:
	default: // not knowing whether there is more is not the same as there being no more
		return fmt.Errorf("@odata.nextLink: want string, got %s", kindName(v.Kind()))
	}
	return nil
}

func (p *Page) decodeRecords(d *jsontext.Decoder) error {
	tok, err := d.ReadToken()
	if err != nil {
		return err
	}
	if tok.Kind() != jsontext.KindBeginArray {
		return fmt.Errorf("value: want array, got %s", kindName(tok.Kind()))
	}
	for d.PeekKind() != jsontext.KindEndArray {
		v, err := d.ReadValue()
		if err != nil {
			return err
		}
		p.Records = append(p.Records, bytes.Clone(v)) // the decoder reuses its buffer
	}
	_, err = d.ReadToken()
	return err
}

// cutOff keeps an end of input from reading as a normal end.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// boundedReader fails with a *TooLargeError instead of passing on more than
// its limit, so that neither a huge body nor a small one that inflates to a
// huge one is ever held.
type boundedReader struct {
	r           io.Reader
	left, limit int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, &TooLargeError{Limit: b.limit}
	}
	if int64(len(p)) > b.left+1 { // one more byte tells a full body from a larger one
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, &TooLargeError{Limit: b.limit}
	}
	return n, err
}

// prefix keeps the first max bytes written to it.
type prefix struct {
	kept []byte
	max  int
}

func (p *prefix) Write(b []byte) (int, error) {
	room := min(p.max-len(p.kept), len(b))
	p.kept = append(p.kept, b[:room]...)
	return len(b), nil
}
