package defendersim

import (
	"net/http"
	"slices"
	"strings"
)

// required lists the roles of which an endpoint wants one.
func (e Endpoint) required() []string {
	switch e {
	case Incidents, IncidentByID:
		return []string{"SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"}
	case OlderIncidents, OlderIncident:
		return []string{"Incident.Read.All", "Incident.ReadWrite.All"}
	case Hunting:
		return []string{"ThreatHunting.Read.All"}
	case OlderHunting:
		return []string{"AdvancedHunting.Read.All"}
	}
	return []string{"SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All", "SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"}
}

// authorize refuses a request whose token is missing, bad, for another API or
// without the role; nil lets it pass.
func (s *Sim) authorize(c *call) *answer {
	token, ok := strings.CutPrefix(c.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return c.unauthorized("Access token is empty.")
	}
	cl, ok := open(token)
	s.mu.Lock()
	epoch := s.epoch
	s.mu.Unlock()
	wanted := graphAPI
	if c.older() {
		wanted = olderAPI
	}
	switch {
	case !ok || cl.Epoch != epoch || cl.Tenant != s.tenant():
		return c.unauthorized("Access token validation failure.")
	case c.at.Unix() >= cl.Expires:
		return c.unauthorized("Lifetime validation failed, the token is expired.")
	case api(cl.Audience) != wanted:
		return c.unauthorized("Access token validation failure. Invalid audience.")
	}
	need := c.endpoint.required()
	if slices.ContainsFunc(need, func(role string) bool { return slices.Contains(cl.Roles, role) }) {
		return nil
	}
	return c.fail(http.StatusForbidden, "Forbidden", "Missing application roles. API required roles: "+
		strings.Join(need, ",")+", application roles: "+strings.Join(cl.Roles, ",")+".")
}

func (c *call) unauthorized(message string) *answer {
	code := "InvalidAuthenticationToken"
	if c.older() {
		code = "Unauthorized"
	}
	a := c.fail(http.StatusUnauthorized, code, message)
	a.set("WWW-Authenticate", `Bearer error="invalid_token"`)
	return a
}
