package defendersim

import (
	"bytes"
	"io"
	"net/http"
)

// Transport returns a round tripper that asks the Sim without a network, for
// tests in a synctest bubble. A connection that a fault cuts ends in
// [io.ErrUnexpectedEOF].
func (s *Sim) Transport() http.RoundTripper { return transport{s} }

type transport struct{ sim *Sim }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	if in.Host == "" {
		in.Host = in.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer in.Body.Close()
	w := &wire{header: http.Header{}}
	w.run(t.sim, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if w.status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	var body io.Reader = &w.body
	if w.aborted {
		body = io.MultiReader(body, broken{})
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(body), ContentLength: -1, Request: r,
	}, nil
}

// wire collects a response, whole or cut.
type wire struct {
	header  http.Header
	status  int
	body    bytes.Buffer
	aborted bool
}

func (w *wire) run(h http.Handler, r *http.Request) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		} else if p != nil {
			w.aborted = true
		}
	}()
	h.ServeHTTP(w, r)
}

func (w *wire) Header() http.Header         { return w.header }
func (w *wire) WriteHeader(status int)      { w.status = status }
func (w *wire) Write(b []byte) (int, error) { return w.body.Write(b) }
func (w *wire) Flush()                      {}

// broken is the rest of a body that never comes.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
