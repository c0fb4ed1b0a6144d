package defendersim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The audiences of the two APIs, in every cloud, without a slash at the end.
var (
	graphAudiences = []string{"https://graph.microsoft.com", "https://graph.microsoft.us", "https://dod-graph.microsoft.us"}
	olderAudiences = []string{"https://api.security.microsoft.com", "https://api-gcc.security.microsoft.us",
		"https://api-gov.security.microsoft.us", "https://security.microsoft.com/mtp"}
	otherAudiences = []string{"https://api.securitycenter.microsoft.com", "https://management.azure.com"}
)

// Which API a token is for, as an index of Sim.roles.
const (
	graphAPI = iota
	olderAPI
)

// SetRoles changes the application permissions of the app. Tokens that are
// out keep the old ones. Nil stands for those that a reader needs.
func (s *Sim) SetRoles(graph, older []string) {
	if graph == nil {
		graph = []string{"SecurityIncident.Read.All", "SecurityAlert.Read.All", "ThreatHunting.Read.All"}
	}
	if older == nil {
		older = []string{"Incident.Read.All", "AdvancedHunting.Read.All"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles = [2][]string{slices.Clone(graph), slices.Clone(older)}
}

// SetSecret rotates the app's secret.
func (s *Sim) SetSecret(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret, s.expired = secret, false
}

// ExpireSecret lets the secret run out.
func (s *Sim) ExpireSecret() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = true
}

// RevokeTokens makes every token that is out invalid.
func (s *Sim) RevokeTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
}

// claims is what a token says.
type claims struct {
	Audience string   `json:"aud"`
	Issuer   string   `json:"iss"`
	IssuedAt int64    `json:"iat"`
	Before   int64    `json:"nbf"`
	Expires  int64    `json:"exp"`
	AppID    string   `json:"appid"`
	Object   string   `json:"oid"`
	Roles    []string `json:"roles,omitempty"`
	Tenant   string   `json:"tid"`
	Version  string   `json:"ver"`
	Epoch    int      `json:"xms_epoch"` // ours: what RevokeTokens counts
}

// token answers the token endpoint.
func (s *Sim) token(c *call) *answer {
	if err := c.ParseForm(); err != nil {
		return c.refuseToken(http.StatusBadRequest, "invalid_request", 9000411, "The request is not properly formatted.")
	}
	id, secret := c.PostForm.Get("client_id"), c.PostForm.Get("client_secret")
	if user, password, ok := c.BasicAuth(); ok {
		id, _ = url.QueryUnescape(user)
		secret, _ = url.QueryUnescape(password)
	}
	if a := s.checkClient(c, id, secret); a != nil {
		return a
	}
	audience, a := s.audience(c)
	if a != nil {
		return a
	}
	return s.issue(c, audience)
}

// checkClient refuses a request that does not prove to be the app of this tenant.
func (s *Sim) checkClient(c *call, id, secret string) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	grant := c.PostForm.Get("grant_type")
	switch {
	case !strings.EqualFold(c.id, s.tenant()) && !strings.Contains(c.id, ".") && len(c.id) != len(DefaultTenant):
		return c.refuseToken(400, "invalid_request", 900023, fmt.Sprintf("Specified tenant identifier '%s' is neither a valid DNS name, nor a valid external domain.", c.id))
	case !strings.EqualFold(c.id, s.tenant()):
		return c.refuseToken(400, "invalid_request", 90002, fmt.Sprintf("Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.", c.id))
	case grant == "":
		return c.refuseToken(400, "invalid_request", 900144, "The request body must contain the following parameter: 'grant_type'.")
	case grant != "client_credentials":
		return c.refuseToken(400, "unsupported_grant_type", 70003, fmt.Sprintf("The app requested an unsupported grant type '%s'.", grant))
	case id == "":
		return c.refuseToken(400, "invalid_request", 900144, "The request body must contain the following parameter: 'client_id'.")
	case !strings.EqualFold(id, s.opt.ClientID):
		return c.refuseToken(400, "unauthorized_client", 700016, fmt.Sprintf("Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.", id, c.id))
	case secret == "" && c.PostForm.Has("client_assertion"):
		return c.refuseToken(401, "invalid_client", 700027, "The certificate with identifier used to sign the client assertion is not registered on application.")
	case secret == "":
		return c.refuseToken(401, "invalid_client", 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	case secret != s.secret:
		return c.refuseToken(401, "invalid_client", 7000215, fmt.Sprintf("Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", id))
	case s.expired:
		return c.refuseToken(401, "invalid_client", 7000222, fmt.Sprintf("The provided client secret keys for app '%s' are expired. Visit the Azure portal to create new keys for your app.", id))
	}
	return nil
}

// version1 tells the endpoint that takes a resource from the one that takes a scope.
func (c *call) version1() bool { return !strings.Contains(c.URL.Path, "/v2.0/") }

// audience finds what the token is to be for.
func (s *Sim) audience(c *call) (string, *answer) {
	want := c.PostForm.Get("resource")
	if !c.version1() {
		scope := c.PostForm.Get("scope")
		if len(strings.Fields(scope)) > 1 {
			return "", c.refuseToken(400, "invalid_scope", 700022, "The provided value for the input parameter scope is not valid because it contains more than one resource.")
		}
		resource, ok := strings.CutSuffix(scope, "/.default")
		if !ok {
			return "", c.refuseToken(400, "invalid_scope", 70011, fmt.Sprintf("The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope %s is not valid.", scope))
		}
		want = resource
	}
	if want == "" {
		return "", c.refuseToken(400, "invalid_request", 900144, "The request body must contain the following parameter: 'resource'.")
	}
	want = strings.TrimSuffix(want, "/")
	if api(want) < 0 {
		return "", c.refuseToken(400, "invalid_resource", 500011, fmt.Sprintf("The resource principal named %s was not found in the tenant named %s. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.", want, c.id))
	}
	return want, nil
}

// api tells which API an audience belongs to, -1 for none that is known here.
func api(audience string) int {
	for i, known := range [][]string{graphAudiences, olderAudiences, otherAudiences} {
		if slices.Contains(known, strings.TrimSuffix(audience, "/")) {
			return i
		}
	}
	return -1
}

func (s *Sim) issue(c *call, audience string) *answer {
	s.mu.Lock()
	cl := claims{Audience: audience, Issuer: "https://sts.windows.net/" + s.tenant() + "/", IssuedAt: c.at.Unix(), Before: c.at.Unix(),
		Expires: c.at.Add(s.opt.TokenLifetime).Unix(), AppID: s.opt.ClientID, Object: "0a1f2e3d-4c5b-4a69-8877-665544332211", Tenant: s.tenant(), Version: "1.0", Epoch: s.epoch}
	if i := api(audience); i < len(s.roles) {
		cl.Roles = s.roles[i]
	}
	s.mu.Unlock()
	life := int(s.opt.TokenLifetime / time.Second)
	token := quote(sign(cl))
	a := &answer{body: fmt.Appendf(nil, `{"token_type":"Bearer","expires_in":%d,"ext_expires_in":%d,"access_token":%s}`, life, life, token)}
	if c.version1() {
		a.body = fmt.Appendf(nil, `{"token_type":"Bearer","expires_in":"%d","ext_expires_in":"%d","expires_on":"%d","not_before":"%d","resource":%s,"access_token":%s}`,
			life, life, cl.Expires, cl.Before, quote(audience), token)
	}
	a.set("Cache-Control", "no-store, no-cache")
	return a
}

// signingKey makes tokens checkable. It guards nothing.
const signingKey = "defendersim"

func sign(c claims) string {
	payload, _ := json.Marshal(c) // a struct of texts and numbers
	body := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	return body + "." + signature(body)
}

func signature(body string) string {
	m := hmac.New(sha256.New, []byte(signingKey))
	m.Write([]byte(body))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// open reads a token that sign made.
func open(token string) (c claims, ok bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 || signature(token[:i]) != token[i+1:] {
		return c, false
	}
	_, payload, _ := strings.Cut(token[:i], ".")
	b, err := base64.RawURLEncoding.DecodeString(payload)
	return c, err == nil && json.Unmarshal(b, &c) == nil
}

// refuseToken is an error of the token endpoint.
func (c *call) refuseToken(status int, kind string, code int, message string) *answer {
	stamp := c.at.UTC().Format("2006-01-02 15:04:05Z")
	trace := c.guid()
	text := fmt.Sprintf("AADSTS%d: %s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s", code, message, trace, trace, stamp)
	n := strconv.Itoa(code)
	return &answer{status: status, body: fmt.Appendf(nil,
		`{"error":%s,"error_description":%s,"error_codes":[%s],"timestamp":%s,"trace_id":%s,"correlation_id":%s,"error_uri":%s}`,
		quote(kind), quote(text), n, quote(stamp), quote(trace), quote(trace), quote("https://login.microsoftonline.com/error?code="+n))}
}
