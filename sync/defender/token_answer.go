package defender

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	assumeLifetime = 5 * time.Minute // of a token that does not say, or says nonsense
	maxTokenAnswer = 1 << 20         // bytes
)

// tokenTransport carries token requests, which oauth2 builds and whose answers
// it reads. It adds the User-Agent header and makes answers such as oauth2 can
// read: one that is a token in all but the form is brought into form, one that
// is no token is a *TokenError.
type tokenTransport struct {
	next      http.RoundTripper
	userAgent string
}

func (t tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.userAgent != "" {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", t.userAgent)
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil || resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer))
	if err != nil {
		return nil, err
	}
	if body, err = plainToken(body); err != nil {
		const fix = "check endpoints.login and any proxy in between"
		return nil, &TokenError{Status: resp.StatusCode, Advice: fmt.Sprintf("%s (%s): %s", err, contentType(resp.Header), fix), Fix: fix}
	}
	resp.Header = http.Header{"Content-Type": {"application/json"}}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// plainToken is the answer reduced to what is needed of it, with expires_in as
// a whole number of seconds. A refusal that came as a success is left alone.
func plainToken(body []byte) ([]byte, error) {
	o, err := ParseObject(jsontext.Value(bytes.TrimPrefix(body, byteOrderMark)))
	if err != nil {
		return nil, errors.New("the answer is no JSON object")
	}
	if code, _, _ := o.Text("error"); code != "" {
		return body, nil
	}
	value, _, _ := o.Text("access_token")
	if value == "" {
		return nil, errors.New("the answer holds no access_token")
	}
	return json.Marshal(struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}{value, int64(lifetime(o) / time.Second)})
}

// lifetime is how long the answer says that its token is good, in whole
// seconds: served as a number or as text, with a fraction or without.
func lifetime(o Object) time.Duration {
	v, _ := o.Get("expires_in")
	digits := string(v)
	if v.Kind() == jsontext.KindString {
		digits = unquote(v)
	}
	seconds, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(seconds >= 1) { // NaN too
		return assumeLifetime
	}
	return time.Duration(min(seconds, math.MaxInt32)) * time.Second
}

// contentType names what an answer says it is, for messages.
func contentType(h http.Header) string {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || kind == "" {
		return "no content type"
	}
	return bounded(kind)
}
