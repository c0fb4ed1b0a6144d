package defender

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// wireTime is how times are sent: UTC with the services' seven digits.
const wireTime = "2006-01-02T15:04:05.0000000Z"

// endpoint is one kind of call: how it is named in errors, where it goes and
// which application permissions let it through.
type endpoint struct {
	name string
	path string
	need []string
	top  int    // cap on one page
	time string // the property that windows are cut by
}

func graphIncidents() endpoint {
	return endpoint{"list incidents", "/v1.0/security/incidents", Permissions(Graph, "incidents"), GraphIncidentsTop, "lastUpdateDateTime"}
}

func graphAlerts() endpoint {
	return endpoint{"list alerts", "/v1.0/security/alerts_v2", Permissions(Graph, "alerts"), GraphAlertsTop, "lastUpdateDateTime"}
}

func graphIncidentAlerts(id string) endpoint {
	return endpoint{name: "list alerts of incident", path: "/v1.0/security/incidents/" + url.PathEscape(id) + "/alerts",
		need: Permissions(Graph, "incidents")}
}

func olderIncidents() endpoint {
	return endpoint{"list incidents", "/api/incidents", Permissions(Older, "incidents"), OlderIncidentsTop, "lastUpdateTime"}
}

func graphHunt() endpoint {
	return endpoint{name: "run hunting query", path: "/v1.0/security/runHuntingQuery", need: Permissions(Graph, huntStreams)}
}

func olderHunt() endpoint {
	return endpoint{name: "run hunting query", path: "/api/advancedhunting/run", need: Permissions(Older, huntStreams)}
}

// huntStreams begins the name of every hunting stream.
const huntStreams = "hunting/"

// Permissions returns the application permissions of which any one lets an
// app read the stream incidents, alerts or hunting/NAME through d; nil for a
// stream that d does not have.
func Permissions(d Dialect, stream string) []string {
	switch {
	case d == Graph && stream == "incidents":
		return []string{"SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"}
	case d == Graph && stream == "alerts":
		return []string{"SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All", "SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"}
	case d == Older && stream == "incidents":
		return []string{"Incident.Read.All", "Incident.ReadWrite.All"}
	case d == Graph && strings.HasPrefix(stream, huntStreams):
		return []string{"ThreatHunting.Read.All"}
	case d == Older && strings.HasPrefix(stream, huntStreams):
		return []string{"AdvancedHunting.Read.All"}
	default:
		return nil
	}
}

// param is one query option; their order on the wire is fixed.
type param struct{ name, value string }

// query is the part after the question mark. The dollar of the names stays
// as it is and a space becomes %20, which every server reads the same.
func query(params []param) string {
	parts := make([]string, len(params))
	for i, p := range params {
		parts[i] = p.name + "=" + strings.ReplaceAll(url.QueryEscape(p.value), "+", "%20")
	}
	return strings.Join(parts, "&")
}

// page returns the URL of one page of e.
func (e endpoint) page(base *url.URL, req Request, d Dialect) (*url.URL, error) {
	if req.Next != "" {
		return follow(base, req.Next)
	}
	if !req.Since.Before(req.Until) {
		return nil, emptyWindow(req.Since, req.Until)
	}
	if req.Skip != 0 && d == Graph {
		return nil, errors.New("skip is for the older API: Graph pages by next link")
	}
	top := req.Top
	if top <= 0 || top > e.top {
		top = e.top
	}
	params := []param{{"$filter", fmt.Sprintf("%s ge %s and %s lt %s", e.time, wire(req.Since), e.time, wire(req.Until))}}
	if d == Graph {
		params = append(params, param{"$orderby", e.time + " asc"})
	}
	params = append(params, param{"$top", strconv.Itoa(top)})
	if d == Graph && !req.NoAlerts && e.path == graphIncidents().path {
		params = append(params, param{"$expand", "alerts"})
	}
	if req.Skip > 0 {
		params = append(params, param{"$skip", strconv.Itoa(req.Skip)})
	}
	u := base.JoinPath(e.path)
	u.RawQuery = query(params)
	return u, nil
}

func emptyWindow(since, until time.Time) error {
	return fmt.Errorf("window [%s, %s) is empty", wire(since), wire(until))
}

func wire(t time.Time) string { return t.UTC().Format(wireTime) }

// follow reads a next link, which is sent as it came, token and all, and so
// only to the host that the base URL names. The error is a *LinkError.
func follow(base *url.URL, next string) (*url.URL, error) {
	u, err := url.Parse(next)
	if err != nil {
		return nil, &LinkError{"cannot be parsed"}
	}
	if u.User != nil || !sameHost(base, u) {
		return nil, &LinkError{fmt.Sprintf("leads to %s://%s, not to %s://%s: it is not followed", u.Scheme, u.Host, base.Scheme, base.Host)}
	}
	u.RawQuery = strings.ReplaceAll(u.RawQuery, " ", "%20") // a bare space would break the request line
	return u, nil
}

func sameHost(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && slices.Equal(hostPort(a), hostPort(b))
}

// hostPort is a URL's host and port in one spelling.
func hostPort(u *url.URL) []string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	host := strings.ToLower(u.Hostname())
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String()
	}
	return []string{host, port}
}
