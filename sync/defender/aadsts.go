package defender

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/oauth2"
)

const maxMessage = 500 // runes of a service's message that an error repeats

var aadstsCode = regexp.MustCompile(`AADSTS(\d{1,9})\b`)

// parseTokenError turns a refusal of the token endpoint into one sentence. What
// it repeats of the answer has nothing of form in it. Sentences of our own are
// not searched: to blank a word in one would tell that it is the secret.
func parseTokenError(refused *oauth2.RetrieveError, form url.Values) *TokenError {
	e := &TokenError{Status: refused.Response.StatusCode}
	body, _ := ParseObject(jsontext.Value(refused.Body)) // a proxy's page is no JSON, and then there is no code
	if codes, _, _ := body.Array("error_codes"); len(codes) > 0 {
		e.Code, _ = strconv.Atoi(string(codes[0]))
	}
	if m := aadstsCode.FindStringSubmatch(refused.ErrorDescription); e.Code == 0 && m != nil {
		e.Code, _ = strconv.Atoi(m[1])
	}
	e.Advice = advice(e.Code)
	_, e.Fix, _ = strings.Cut(e.Advice, ": ")
	if e.Advice == "" {
		e.Advice = firstLine(refused.ErrorDescription)
		for _, values := range form {
			for _, v := range values {
				e.Advice = redact(e.Advice, v)
			}
		}
	}
	if e.Advice == "" {
		e.Advice = plainAdvice(e.Status)
		_, e.Fix, _ = strings.Cut(e.Advice, ": ")
	}
	return e
}

// transient reports whether the same request may succeed later.
func (e *TokenError) transient() bool {
	switch e.Code {
	case 90006, 90012, 90024, 90033, 90055, 90090:
		return true
	}
	return retryable(e.Status)
}

// firstLine is the sentence of an error_description, without its code and
// without the trace ids that follow it on the same or the next line.
func firstLine(description string) string {
	s, _, _ := strings.Cut(description, "\n")
	s, _, _ = strings.Cut(s, "Trace ID:")
	if loc := aadstsCode.FindStringIndex(s); loc != nil && loc[0] == 0 {
		s = strings.TrimPrefix(s[loc[1]:], ":")
	}
	return bounded(s)
}

func plainAdvice(status int) string {
	switch {
	case status >= 300 && status < 400:
		return "it redirects elsewhere, which is not followed: check endpoints.login"
	case status == http.StatusTooManyRequests:
		return "it is throttling this app: try again later"
	case status >= 500:
		return "it is not available: try again later"
	default:
		return "the answer holds no error code: check endpoints.login and any proxy in between"
	}
}

// advice says what to change for the codes that have one cure; "" for others.
func advice(code int) string {
	switch code {
	case 7000215:
		return "the client secret is wrong: configure the secret's value, not its id, of a secret of this app"
	case 7000222:
		return "the client secret has expired: create a new one for this app and configure its value"
	case 7000216, 7000218:
		return "the request held no client secret or assertion: configure a credential for this tenant"
	case 700027:
		return "the certificate is not one of this app's: upload its public part to the app registration, or configure the certificate that is there"
	case 700024:
		return "the assertion is outside its time range: set this machine's clock right"
	case 700016:
		return "the app is not known in this tenant: check client_id and tenant_id, and give admin consent in this tenant"
	case 7000112:
		return "the app is disabled in this tenant: enable it under Enterprise applications"
	case 90002:
		return "the tenant was not found: check tenant_id, and that cloud is the one the tenant lives in"
	case 900023:
		return "tenant_id is neither a GUID nor a verified domain: copy the directory (tenant) id from the app's overview page"
	case 70011, 1002012:
		return "the scope is not valid: the configured audience must be the API's base URL, without a path"
	case 700022:
		return "the scope names more than one API: configure exactly one audience"
	case 500011:
		return "the API is not known in this tenant: check the configured audience and cloud, and that the tenant has a Defender licence"
	case 650057, 901002:
		return "the endpoint does not accept this resource: check the configured audience, or set oauth to v2"
	case 70021, 700211, 700212, 700213, 700229:
		return "no federated credential of the app matches this identity: compare issuer, subject and audience with the app registration"
	case 53003:
		return "Conditional Access blocks this app: let the tenant's policy for workload identities allow it from this address"
	case 50196:
		return "the same token was asked for too often: stop other copies of this app and try again later"
	case 90055:
		return "the tenant has too many requests: try again later"
	case 90006, 90012, 90024, 90033, 90090:
		return "the endpoint has a passing fault: try again later"
	default:
		return ""
	}
}

// bounded makes a service's text fit for one line of an error: white space
// and control characters collapsed, at most maxMessage runes.
func bounded(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7F }), " ")
	if runes := []rune(s); len(runes) > maxMessage {
		return string(runes[:maxMessage]) + "…"
	}
	return s
}
