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
		page.Incomplete = resp.StatusCode == http.StatusPartialContent
		page.ServerTime, _ = http.ParseTime(resp.Header.Get("Date"))
		return page, nil
	}
	if tooLarge, ok := errors.AsType[*TooLargeError](err); ok {
		return nil, tooLarge
	}
	return nil, &DecodeError{Reason: err.Error(), Body: sample.kept}
}

func decodeBody(resp *http.Response, maxBody int64, sample *prefix) (*Page, error) {
	body, err := plainBody(resp)
	if err != nil {
		return nil, err
	}
	return decodePage(io.TeeReader(&boundedReader{r: body, left: maxBody, limit: maxBody}, sample))
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
// only value and @odata.nextLink matter.
func decodePage(r io.Reader) (*Page, error) {
	d := jsontext.NewDecoder(r, lenient()...)
	if k := d.PeekKind(); k != jsontext.KindBeginObject && k != jsontext.KindInvalid {
		return nil, fmt.Errorf("want an object, got %s", kindName(k))
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, cutOff(err)
	}
	page, found := new(Page), false
	for d.PeekKind() != jsontext.KindEndObject {
		isValue, err := page.decodeMember(d)
		if err != nil {
			return nil, cutOff(err)
		}
		found = found || isValue
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, cutOff(err)
	}
	if !found {
		return nil, errors.New("the answer has no value")
	}
	if _, err := d.ReadToken(); err == nil {
		return nil, errors.New("data after the answer")
	} else if err != io.EOF {
		return nil, err
	}
	return page, nil
}

// decodeMember reads one member of the envelope and reports whether it was
// the array of records.
func (p *Page) decodeMember(d *jsontext.Decoder) (bool, error) {
	tok, err := d.ReadToken()
	if err != nil {
		return false, err
	}
	switch tok.String() {
	case "value":
		return true, p.decodeRecords(d)
	case "@odata.nextLink":
		v, err := d.ReadValue()
		if err != nil {
			return false, err
		}
		switch v.Kind() {
		case jsontext.KindString:
			p.Next = unquote(v)
		case jsontext.KindNull:
		default: // not knowing whether there is more is not the same as there being no more
			return false, fmt.Errorf("@odata.nextLink: want string, got %s", kindName(v.Kind()))
		}
		return false, nil
	default:
		return false, d.SkipValue()
	}
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
