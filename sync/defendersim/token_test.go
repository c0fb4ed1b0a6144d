package defendersim_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

func TestTokenRefusals(t *testing.T) {
	s := serve(t, defendersim.Options{})
	c := s.sim.Config()
	v2, v1 := "/"+c.TenantID+"/oauth2/v2.0/token", "/"+c.TenantID+"/oauth2/token"
	for name, tc := range map[string]struct {
		path   string
		change url.Values
		status int
		kind   string
		code   float64
	}{
		"wrong secret":     {v2, url.Values{"client_secret": {"x"}}, 401, "invalid_client", 7000215},
		"wrong secret, v1": {v1, url.Values{"client_secret": {"x"}}, 401, "invalid_client", 7000215},
		"no secret":        {v2, url.Values{"client_secret": nil}, 401, "invalid_client", 7000218},
		"unknown cert":     {v2, url.Values{"client_secret": nil, "client_assertion": {"x.y.z"}}, 401, "invalid_client", 700027},
		"other tenant":     {"/00000000-0000-4000-8000-000000000000/oauth2/v2.0/token", nil, 400, "invalid_request", 90002},
		"no tenant id":     {"/contoso/oauth2/v2.0/token", nil, 400, "invalid_request", 900023},
		"unknown app":      {v2, url.Values{"client_id": {"00000000-0000-4000-8000-000000000000"}}, 400, "unauthorized_client", 700016},
		"no app":           {v2, url.Values{"client_id": nil}, 400, "invalid_request", 900144},
		"bare scope":       {v2, url.Values{"scope": {"https://graph.microsoft.com"}}, 400, "invalid_scope", 70011},
		"two scopes":       {v2, url.Values{"scope": {"https://graph.microsoft.com/.default https://api.security.microsoft.com/.default"}}, 400, "invalid_scope", 700022},
		"unknown resource": {v2, url.Values{"scope": {"https://nowhere.example/.default"}}, 400, "invalid_resource", 500011},
		"no resource, v1":  {v1, url.Values{"resource": nil}, 400, "invalid_request", 900144},
		"no grant":         {v2, url.Values{"grant_type": nil}, 400, "invalid_request", 900144},
		"other grant":      {v2, url.Values{"grant_type": {"password"}}, 400, "unsupported_grant_type", 70003},
	} {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ClientID}, "client_secret": {c.Secret},
			"scope": {graphScope + "/.default"}, "resource": {graphScope}}
		for k, v := range tc.change {
			form[k] = v
		}
		status, body := s.post(tc.path, form)
		codes, _ := body["error_codes"].([]any)
		if status != tc.status || body["error"] != tc.kind || len(codes) != 1 || codes[0] != tc.code {
			t.Errorf("%s: %d %v", name, status, body)
		}
		for _, k := range []string{"error_description", "timestamp", "trace_id", "correlation_id", "error_uri"} {
			if body[k] == nil {
				t.Errorf("%s: no %s", name, k)
			}
		}
	}
}

// TestWrongSecretText is the documented body, word for word.
func TestWrongSecretText(t *testing.T) {
	s := serve(t, defendersim.Options{})
	c := s.sim.Config()
	_, body := s.post("/"+c.TenantID+"/oauth2/v2.0/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ClientID},
		"client_secret": {"x"}, "scope": {graphScope + "/.default"}})
	text := body["error_description"].(string)
	want := "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + c.ClientID + "'.\r\nTrace ID: "
	if !strings.HasPrefix(text, want) || !strings.HasSuffix(text, "\r\nTimestamp: 2026-11-22 12:00:00Z") {
		t.Errorf("%q", text)
	}
	if body["error_uri"] != "https://login.microsoftonline.com/error?code=7000215" {
		t.Errorf("error_uri %v", body["error_uri"])
	}
}

func TestTokenShapes(t *testing.T) {
	s := serve(t, defendersim.Options{TokenLifetime: 90 * time.Second})
	c := s.sim.Config()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ClientID}, "client_secret": {c.Secret},
		"scope": {olderScope + "/.default"}, "resource": {graphScope}}
	_, v2 := s.post("/"+c.TenantID+"/oauth2/v2.0/token", form)
	if v2["token_type"] != "Bearer" || v2["expires_in"] != 90.0 {
		t.Errorf("v2: %v", v2)
	}
	_, v1 := s.post("/"+strings.ToUpper(c.TenantID)+"/oauth2/token", form)
	if v1["expires_in"] != "90" || v1["resource"] != graphScope || v1["expires_on"] == nil {
		t.Errorf("v1: %v", v1)
	}
	parts := strings.Split(v2["access_token"].(string), ".")
	if len(parts) != 3 {
		t.Fatalf("token %v", v2["access_token"])
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Fatal(err)
	}
	roles, _ := claims["roles"].([]any)
	if claims["aud"] != olderScope || claims["tid"] != c.TenantID || claims["appid"] != c.ClientID || len(roles) != 2 || roles[0] != "Incident.Read.All" {
		t.Errorf("claims %v", claims)
	}
	if claims["exp"].(float64)-claims["iat"].(float64) != 90 {
		t.Errorf("lives from %v to %v", claims["iat"], claims["exp"])
	}
}

// TestBasicAuth is how x/oauth2 proves the client first.
func TestBasicAuth(t *testing.T) {
	s := serve(t, defendersim.Options{Secret: "p/q+r s~"})
	c := s.sim.Config()
	req, err := http.NewRequest(http.MethodPost, s.url+"/"+c.TenantID+"/oauth2/v2.0/token", strings.NewReader("grant_type=client_credentials&scope="+graphScope+"/.default"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.Secret))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if body := decode(t, res); body["access_token"] == nil {
		t.Errorf("%v", body)
	}
}

func TestSecretRotation(t *testing.T) {
	s := serve(t, defendersim.Options{})
	old := s.sim.Config()
	s.sim.SetSecret("second")
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {old.ClientID}, "client_secret": {old.Secret}, "scope": {graphScope + "/.default"}}
	if status, _ := s.post("/"+old.TenantID+"/oauth2/v2.0/token", form); status != 401 {
		t.Errorf("the old secret: %d", status)
	}
	s.token(graphScope)
	s.sim.ExpireSecret()
	form.Set("client_secret", "second")
	if _, body := s.post("/"+old.TenantID+"/oauth2/v2.0/token", form); body["error_codes"].([]any)[0] != 7000222.0 {
		t.Errorf("an expired secret: %v", body)
	}
}

func TestTokenIsChecked(t *testing.T) {
	s := serve(t, defendersim.Options{})
	graph := s.token(graphScope)
	for name, tc := range map[string]struct{ target, token, code, message string }{
		"none":            {"/v1.0/security/incidents", " ", "InvalidAuthenticationToken", "Access token is empty."},
		"garbage":         {"/v1.0/security/incidents", "Bearer x.y.z", "InvalidAuthenticationToken", "Access token validation failure."},
		"tampered":        {"/v1.0/security/incidents", "Bearer " + graph + "x", "InvalidAuthenticationToken", "Access token validation failure."},
		"wrong audience":  {"/v1.0/security/incidents", "Bearer " + s.token(olderScope), "InvalidAuthenticationToken", "Access token validation failure. Invalid audience."},
		"graph for older": {"/api/incidents", "Bearer " + graph, "Unauthorized", "Access token validation failure. Invalid audience."},
		"other api":       {"/api/incidents", "Bearer " + s.token("https://api.securitycenter.microsoft.com"), "Unauthorized", "Invalid audience"},
	} {
		status, body := s.get(tc.target, "Authorization", tc.token)
		e, _ := body["error"].(map[string]any)
		if status != 401 || e["code"] != tc.code || !strings.Contains(e["message"].(string), tc.message) {
			t.Errorf("%s: %d %v", name, status, body)
		}
	}
}

func TestTokenExpiresAndIsRevoked(t *testing.T) {
	s := serve(t, defendersim.Options{TokenLifetime: time.Minute})
	token := "Bearer " + s.token(graphScope)
	try := func() int {
		status, _ := s.get("/v1.0/security/incidents?$top=1", "Authorization", token)
		return status
	}
	if got := try(); got != 200 {
		t.Fatalf("fresh token: %d", got)
	}
	s.clock.Advance(61 * time.Second)
	if got := try(); got != 401 {
		t.Errorf("expired token: %d", got)
	}
	token = "Bearer " + s.token(graphScope)
	s.sim.RevokeTokens()
	if got := try(); got != 401 {
		t.Errorf("revoked token: %d", got)
	}
	token = "Bearer " + s.token(graphScope)
	if got := try(); got != 200 {
		t.Errorf("new token: %d", got)
	}
}

func TestMissingRoles(t *testing.T) {
	s := serve(t, defendersim.Options{GraphRoles: []string{}, OlderRoles: []string{"AdvancedHunting.Read.All"}})
	s.failure("/v1.0/security/incidents", 403, "Forbidden",
		"Missing application roles. API required roles: SecurityIncident.Read.All,SecurityIncident.ReadWrite.All, application roles: .")
	s.failure("/api/incidents", 403, "Forbidden",
		"Missing application roles. API required roles: Incident.Read.All,Incident.ReadWrite.All, application roles: AdvancedHunting.Read.All.")
	s.failure("/v1.0/security/alerts_v2", 403, "Forbidden", "API required roles: SecurityAlert.Read.All,")
	s.sim.SetRoles([]string{"SecurityIncident.Read.All"}, nil)
	for _, target := range []string{"/v1.0/security/incidents", "/v1.0/security/alerts_v2", "/api/incidents"} {
		if status, body := s.get(target); status != 200 {
			t.Errorf("%s: %d %v", target, status, body)
		}
	}
}
