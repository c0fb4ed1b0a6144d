package defendersim_test

import (
	"fmt"
	"net/http"
	"sort"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

const preferUnknown = "include-unknown-enum-members"

// TestListsHoldTheWorld pages through every list and finds each record once.
func TestListsHoldTheWorld(t *testing.T) {
	for _, token := range []bool{false, true} {
		s := serve(t, defendersim.Options{SkipToken: token})
		w := s.sim.World()
		incidents := s.all("/v1.0/security/incidents?$expand=alerts&$orderby=lastUpdateDateTime asc")
		if got, want := ids(incidents, "id"), incidentIDs(w); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("skip token %v: %d incidents, want %d", token, len(got), len(want))
		}
		alerts := s.all("/v1.0/security/alerts_v2?$top=70")
		if got, want := ids(alerts, "id"), alertIDs(w); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("skip token %v: %d alerts, want %d", token, len(got), len(want))
		}
		inline := 0
		for _, in := range incidents {
			inline += len(in["alerts"].([]any))
		}
		if inline != len(alerts) {
			t.Errorf("%d alerts inline, want %d", inline, len(alerts))
		}
	}
}

func TestOlderListHoldsTheWorld(t *testing.T) {
	s := serve(t, defendersim.Options{})
	var list []map[string]any
	for skip := 0; ; skip += 50 {
		page, next := s.onePage(fmt.Sprintf("/api/incidents?$top=50&$skip=%d", skip))
		if next != "" {
			t.Fatal("the older API has no next link")
		}
		list = append(list, page...)
		if len(page) < 50 {
			break
		}
	}
	if got, want := len(list), len(s.sim.World().Incidents()); got != want {
		t.Errorf("%d incidents, want %d", got, want)
	}
	var newest string
	for i, in := range list {
		at := in["lastUpdateTime"].(string)
		if i > 0 && parse(t, at).After(parse(t, newest)) {
			t.Fatalf("%s after %s: not most recent first", at, newest)
		}
		newest = at
	}
}

func ids(list []map[string]any, key string) []string {
	var out []string
	for _, r := range list {
		out = append(out, fmt.Sprint(r[key]))
	}
	sort.Strings(out)
	return out
}

func incidentIDs(w *defendersim.World) []string {
	var out []string
	for _, in := range w.Incidents() {
		out = append(out, fmt.Sprint(in.ID))
	}
	sort.Strings(out)
	return out
}

func alertIDs(w *defendersim.World) []string {
	var out []string
	for _, a := range w.Alerts() {
		out = append(out, a.ID)
	}
	return out
}

func parse(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestCaps(t *testing.T) {
	s := serve(t, defendersim.Options{MaxSkip: 500})
	s.failure("/v1.0/security/incidents?$top=100", http.StatusBadRequest, "",
		"The query specified in the URI is not valid. The limit of '50' for Top query has been exceeded. The value from the incoming request is '100'.")
	s.failure("/v1.0/security/alerts_v2?$top=1001", http.StatusBadRequest, "", "The limit of '1000' for Top query")
	s.failure("/api/incidents?$top=101", http.StatusBadRequest, "BadRequest", "The limit of '100' for Top query")
	s.failure("/v1.0/security/incidents?$skip=501", http.StatusBadRequest, "BadRequest", "$skip is 500")
	s.failure("/v1.0/security/incidents?$top=-1", http.StatusBadRequest, "BadRequest", "non-negative integer")
	s.failure("/v1.0/security/incidents?$foo=1", http.StatusBadRequest, "BadRequest", "'$foo' is not supported")
	s.failure("/v1.0/security/incidents?$expand=comments", http.StatusBadRequest, "BadRequest", "'comments'")
	s.failure("/api/incidents?$orderby=createdTime", http.StatusBadRequest, "ODataError", "Invalid OData URI query")
	for target, want := range map[string]int{"/v1.0/security/incidents": 50, "/v1.0/security/alerts_v2": 100, "/api/incidents": 100, "/v1.0/security/incidents?$top=3": 3} {
		if got := len(s.values(target)); got != want {
			t.Errorf("%s: %d records, want %d", target, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	s := serve(t, defendersim.Options{})
	_, body := s.get("/v1.0/security/incidents?$count=true&$top=1")
	if got, want := body["@odata.count"], float64(len(s.sim.World().Incidents())); got != want {
		t.Errorf("count %v, want %v", got, want)
	}
	for _, list := range []string{"/v1.0/security/incidents", "/v1.0/security/alerts_v2"} {
		filter := "$filter=lastUpdateDateTime ge 2026-11-01T00:00:00Z and lastUpdateDateTime lt 2026-11-15T00:00:00.0000000Z"
		_, counted := s.get(list + "?$count=true&$top=1&" + filter)
		if got, want := counted["@odata.count"], float64(len(s.all(list+"?"+filter))); got != want || want < 2 || len(counted["value"].([]any)) != 1 {
			t.Errorf("%s: count %v, want %v", list, got, want)
		}
	}
	if body["@odata.context"] != "https://graph.microsoft.com/v1.0/$metadata#security/incidents" {
		t.Errorf("context %v", body["@odata.context"])
	}
}

func TestOne(t *testing.T) {
	s := serve(t, defendersim.Options{})
	in := withAlerts(s.sim.World())
	_, one := s.get(fmt.Sprintf("/v1.0/security/incidents/%d", in.ID))
	if one["id"] != fmt.Sprint(in.ID) || one["alerts"] != nil {
		t.Errorf("incident %v with alerts %v", one["id"], one["alerts"])
	}
	_, one = s.get(fmt.Sprintf("/v1.0/security/incidents/%d?$expand=alerts", in.ID))
	if got := len(one["alerts"].([]any)); got != len(in.AlertIDs) {
		t.Errorf("%d alerts expanded, want %d", got, len(in.AlertIDs))
	}
	if got := ids(s.values(fmt.Sprintf("/v1.0/security/incidents/%d/alerts", in.ID)), "id"); fmt.Sprint(got) != fmt.Sprint(in.AlertIDs) {
		t.Errorf("alerts %v, want %v", got, in.AlertIDs)
	}
	_, one = s.get("/v1.0/security/alerts_v2/" + in.AlertIDs[0])
	if one["id"] != in.AlertIDs[0] || one["incidentId"] != fmt.Sprint(in.ID) {
		t.Errorf("alert %v of %v", one["id"], one["incidentId"])
	}
	_, one = s.get(fmt.Sprintf("/api/incidents/%d", in.ID))
	if one["incidentId"] != float64(in.ID) || len(one["alerts"].([]any)) != len(in.AlertIDs) {
		t.Errorf("older incident %v", one["incidentId"])
	}
	s.failure("/v1.0/security/incidents/1", http.StatusNotFound, "ResourceNotFound", "was not found")
	s.failure("/api/incidents/x", http.StatusNotFound, "ResourceNotFound", "was not found")
	s.failure("/v1.0/security/alerts_v2/nope", http.StatusNotFound, "ResourceNotFound", "was not found")
	s.failure("/v1.0/security/secureScores", http.StatusNotFound, "ResourceNotFound", "not found")
}

func withAlerts(w *defendersim.World) defendersim.Incident {
	for _, in := range w.Incidents() {
		if len(in.AlertIDs) > 2 {
			return in
		}
	}
	panic("no incident with alerts")
}

// TestFolding hides the members that an old client cannot know.
func TestFolding(t *testing.T) {
	s := serve(t, defendersim.Options{})
	in := withAlerts(s.sim.World())
	if err := s.sim.World().Edit(in.ID, func(in *defendersim.Incident) { in.Status = "awaitingAction" }); err != nil {
		t.Fatal(err)
	}
	if err := s.sim.World().EditAlert(in.AlertIDs[0], func(a *defendersim.Alert) { a.ServiceSource = "microsoftSentinel" }); err != nil {
		t.Fatal(err)
	}
	for prefer, want := range map[string][2]string{"": {"unknownFutureValue", "unknownFutureValue"}, preferUnknown: {"awaitingAction", "microsoftSentinel"}} {
		_, one := s.get(fmt.Sprintf("/v1.0/security/incidents/%d", in.ID), "Prefer", prefer)
		_, a := s.get("/v1.0/security/alerts_v2/"+in.AlertIDs[0], "Prefer", prefer)
		if got := [2]string{one["status"].(string), a["serviceSource"].(string)}; got != want {
			t.Errorf("Prefer %q: %v, want %v", prefer, got, want)
		}
	}
}

func TestOrders(t *testing.T) {
	const target = "/v1.0/security/incidents?$orderby=lastUpdateDateTime asc&$top=20"
	first := map[defendersim.Order][]string{}
	for _, o := range []defendersim.Order{defendersim.OrderAsked, defendersim.OrderNewest, defendersim.OrderNone, defendersim.OrderShuffled} {
		s := serve(t, defendersim.Options{Order: o})
		a, b := times(t, s.values(target)), times(t, s.values(target))
		if same := fmt.Sprint(a) == fmt.Sprint(b); same == (o == defendersim.OrderShuffled) {
			t.Errorf("order %d: two requests give the same order: %v", o, same)
		}
		first[o] = a
	}
	if !sort.StringsAreSorted(first[defendersim.OrderAsked]) {
		t.Error("asked for ascending, got something else")
	}
	if sort.StringsAreSorted(first[defendersim.OrderNone]) || sort.StringsAreSorted(first[defendersim.OrderShuffled]) {
		t.Error("unordered lists are ordered")
	}
	n := first[defendersim.OrderNewest]
	sort.Sort(sort.Reverse(sort.StringSlice(n)))
	if fmt.Sprint(n) != fmt.Sprint(first[defendersim.OrderNewest]) {
		t.Error("newest first is not")
	}
}

// times returns comparable last updates.
func times(t *testing.T, list []map[string]any) []string {
	t.Helper()
	var out []string
	for _, r := range list {
		out = append(out, parse(t, r["lastUpdateDateTime"].(string)).Format("2006-01-02T15:04:05.0000000"))
	}
	return out
}
