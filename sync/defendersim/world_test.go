package defendersim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

func newWorld(seed uint64, opt ...func(*defendersim.WorldOptions)) (*defendersim.World, *clock) {
	c := newClock()
	o := defendersim.WorldOptions{Seed: seed, Now: c.Now}
	for _, f := range opt {
		f(&o)
	}
	return defendersim.NewWorld(o), c
}

// TestSameSeedSameBytes renders two worlds that lived alike.
func TestSameSeedSameBytes(t *testing.T) {
	render := func(seed uint64) string {
		w, c := newWorld(seed)
		for range 50 {
			c.Advance(time.Second)
			w.StepN(3)
		}
		sim := defendersim.New(defendersim.Options{World: w})
		var b strings.Builder
		for _, target := range []string{"/v1.0/security/incidents?$expand=alerts&$top=50", "/v1.0/security/alerts_v2?$top=500", "/api/incidents?$top=100"} {
			rec := httptest.NewRecorder()
			req := httptest.NewRequest(http.MethodGet, target, nil)
			req.Header.Set("Authorization", "Bearer "+bearer(t, sim, target))
			sim.ServeHTTP(rec, req)
			if rec.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", target, rec.Code, rec.Body)
			}
			b.WriteString(rec.Body.String())
		}
		return b.String()
	}
	first := render(7)
	if render(7) != first {
		t.Error("the same seed gives different bytes")
	}
	if render(8) == first {
		t.Error("another seed gives the same bytes")
	}
}

func TestSize(t *testing.T) {
	for seed := range uint64(5) {
		w, c := newWorld(seed)
		incidents, alerts := w.Incidents(), w.Alerts()
		if len(incidents) != 300 || len(alerts) < 1000 || len(alerts) > 2000 {
			t.Errorf("seed %d: %d incidents, %d alerts", seed, len(incidents), len(alerts))
		}
		begin := c.Now().Add(-61 * 24 * time.Hour)
		for _, in := range incidents {
			if in.Created.Before(begin) || in.LastUpdate.Before(in.Created) || in.LastUpdate.After(c.Now().Add(-9*time.Minute)) {
				t.Fatalf("incident %d: created %v, updated %v", in.ID, in.Created, in.LastUpdate)
			}
		}
	}
}

// TestReadsLikeATenant looks for the variety that a reader has to cope with.
func TestReadsLikeATenant(t *testing.T) {
	w, _ := newWorld(3)
	seen := map[string]int{}
	stamps := map[time.Time]int{}
	for _, in := range w.Incidents() {
		seen["status "+in.Status]++
		seen["severity "+in.Severity]++
		stamps[in.LastUpdate]++
		if stamps[in.LastUpdate] == 2 {
			seen["tie"]++
		}
		if len(in.AlertIDs) == 0 && in.Status != "redirected" {
			seen["empty"]++
		}
		if len(in.AlertIDs) > 20 {
			seen["crowded"]++
		}
		if strings.HasSuffix(in.Created.Format("2006-01-02T15:04:05.9999999Z"), "3333333Z") {
			seen["thirds"]++
		}
		if strings.ContainsAny(in.Name, "{}") {
			t.Errorf("name %q", in.Name)
		}
	}
	updated := map[int64]time.Time{}
	for _, in := range w.Incidents() {
		updated[in.ID] = in.LastUpdate
	}
	for _, a := range w.Alerts() {
		seen["source "+a.ServiceSource]++
		seen["category "+a.Category]++
		for _, ev := range a.Evidence {
			seen["evidence "+ev.Type]++
		}
		if n := len(a.Evidence); n < 1 || n > 10 {
			t.Errorf("alert %s has %d pieces of evidence", a.ID, n)
		}
		if a.LastUpdate.After(updated[a.IncidentID]) {
			seen["alert later than incident"]++
		}
		if strings.ContainsAny(a.Title+a.Description, "{}") {
			t.Errorf("title %q %q", a.Title, a.Description)
		}
	}
	for _, want := range []string{"status active", "status inProgress", "status resolved", "status redirected", "status awaitingAction",
		"severity high", "severity medium", "severity low", "tie", "empty", "crowded", "thirds", "alert later than incident",
		"source microsoftSentinel", "source microsoftDefenderForEndpoint", "source microsoftDefenderForOffice365", "category CredentialAccess",
		"evidence device", "evidence user", "evidence process", "evidence file", "evidence ip", "evidence url", "evidence mailbox",
		"evidence analyzedMessage", "evidence mailCluster", "evidence registryValue", "evidence securityGroup", "evidence cloudApplication",
		"evidence oauthApplication", "evidence agentSession"} {
		if seen[want] == 0 {
			t.Errorf("no %s in %v", want, seen)
		}
	}
}

func TestTieOption(t *testing.T) {
	w, _ := newWorld(1, func(o *defendersim.WorldOptions) { o.Tie = 70 })
	incidents, alerts := map[time.Time]int{}, map[time.Time]int{}
	for _, in := range w.Incidents() {
		incidents[in.LastUpdate]++
	}
	for _, a := range w.Alerts() {
		alerts[a.LastUpdate]++
	}
	if n := most(incidents); n < 70 {
		t.Errorf("the largest tie has %d incidents", n)
	}
	if n := most(alerts); n < 150 {
		t.Errorf("the largest tie has %d alerts", n)
	}
}

func most(m map[time.Time]int) (n int) {
	for _, v := range m {
		n = max(n, v)
	}
	return n
}

// checkWorld holds a world to what is always true of a tenant.
func checkWorld(t *testing.T, w *defendersim.World) {
	t.Helper()
	incidents, owner := map[int64]defendersim.Incident{}, map[string]int64{}
	for _, in := range w.Incidents() {
		incidents[in.ID] = in
		for _, id := range in.AlertIDs {
			if other, ok := owner[id]; ok {
				t.Fatalf("alert %s is in incidents %d and %d", id, other, in.ID)
			}
			owner[id] = in.ID
		}
	}
	for _, a := range w.Alerts() {
		if owner[a.ID] != a.IncidentID {
			t.Fatalf("alert %s says incident %d, is in %d", a.ID, a.IncidentID, owner[a.ID])
		}
		delete(owner, a.ID)
	}
	if len(owner) > 0 {
		t.Fatalf("%d alerts are in no list of alerts", len(owner))
	}
	for _, in := range incidents {
		if (in.Status == "redirected") != (in.RedirectID != 0) {
			t.Fatalf("incident %d: status %s, redirected to %d", in.ID, in.Status, in.RedirectID)
		}
		if in.RedirectID != 0 && (len(in.AlertIDs) > 0 || !slices.Contains(in.CustomTags, "Redirected")) {
			t.Fatalf("tombstone %d holds %v, tags %v", in.ID, in.AlertIDs, in.CustomTags)
		}
		for hops, at := 0, in; at.RedirectID != 0; hops++ {
			var ok bool
			if at, ok = incidents[at.RedirectID]; !ok || hops > len(incidents) {
				t.Fatalf("incident %d redirects nowhere or in a circle", in.ID)
			}
		}
	}
}

func TestStepsKeepTheInvariants(t *testing.T) {
	for seed := range uint64(10) {
		w, c := newWorld(seed, func(o *defendersim.WorldOptions) { o.Incidents = 40 })
		checkWorld(t, w)
		kinds := map[string]bool{}
		for range 60 {
			c.Advance(time.Second)
			for _, what := range w.StepN(10) {
				kinds[shape(what)] = true
			}
			checkWorld(t, w)
		}
		if len(kinds) < 14 {
			t.Errorf("seed %d: only %d kinds of change: %v", seed, len(kinds), kinds)
		}
	}
}

// shape is a change without its numbers.
func shape(what string) string {
	words := strings.Fields(what)
	for i, w := range words {
		if strings.ContainsAny(w, "0123456789@\"") {
			words[i] = "_"
		}
	}
	return strings.Join(words, " ")
}

// TestStepMovesTime wants every change to be found by its last update.
func TestStepMovesTime(t *testing.T) {
	for _, touch := range []bool{false, true} {
		w, c := newWorld(4, func(o *defendersim.WorldOptions) { o.Incidents = 60; o.AlertsTouchIncident = touch })
		alone := 0
		for range 200 {
			before, beforeAlerts := byID(w.Incidents()), byAlertID(w.Alerts())
			c.Advance(time.Minute)
			what := w.Step()
			moved := map[int64]bool{}
			for id, in := range byID(w.Incidents()) {
				if in.LastUpdate.Equal(before[id].LastUpdate) && !reflect.DeepEqual(in, before[id]) {
					t.Fatalf("%s: incident %d changed and kept its last update", what, id)
				}
				moved[id] = !in.LastUpdate.Equal(before[id].LastUpdate)
			}
			for id, a := range byAlertID(w.Alerts()) {
				b := beforeAlerts[id]
				if a.LastUpdate.Equal(b.LastUpdate) && !reflect.DeepEqual(a, b) && a.IncidentID == b.IncidentID {
					t.Fatalf("%s: alert %s changed and kept its last update", what, id)
				}
				if !a.LastUpdate.Equal(b.LastUpdate) && !moved[a.IncidentID] {
					alone++
				}
			}
		}
		if (alone == 0) != touch {
			t.Errorf("alerts touch incidents %v: %d changes of alerts alone", touch, alone)
		}
	}
}

func byID(list []defendersim.Incident) map[int64]defendersim.Incident {
	m := map[int64]defendersim.Incident{}
	for _, in := range list {
		m[in.ID] = in
	}
	return m
}

func byAlertID(list []defendersim.Alert) map[string]defendersim.Alert {
	m := map[string]defendersim.Alert{}
	for _, a := range list {
		m[a.ID] = a
	}
	return m
}

func TestStampsGrowOnAStoppedClock(t *testing.T) {
	w, c := newWorld(1)
	id := w.AddIncident(1)
	last := byID(w.Incidents())[id].LastUpdate
	for range 20 {
		if err := w.Edit(id, func(in *defendersim.Incident) { in.AssignedTo += "x" }); err != nil {
			t.Fatal(err)
		}
		now := byID(w.Incidents())[id].LastUpdate
		if !now.After(last) || now.Sub(c.Now()) > time.Millisecond {
			t.Fatalf("%v after %v", now, last)
		}
		last = now
	}
}

func TestFreeze(t *testing.T) {
	w, _ := newWorld(1)
	w.Freeze()
	if what := w.StepN(5); len(what) != 0 {
		t.Errorf("a frozen world did %v", what)
	}
	w.Thaw()
	if what := w.StepN(5); len(what) != 5 {
		t.Errorf("a thawed world did %v", what)
	}
}

func TestMergeChain(t *testing.T) {
	w, _ := newWorld(1, func(o *defendersim.WorldOptions) { o.Incidents = 1 })
	a, b, c := w.AddIncident(2), w.AddIncident(1), w.AddIncident(0)
	for _, m := range [][2]int64{{a, b}, {b, c}} {
		if err := w.Merge(m[0], m[1]); err != nil {
			t.Fatal(err)
		}
	}
	checkWorld(t, w)
	got := byID(w.Incidents())
	if got[a].RedirectID != b || got[b].RedirectID != c || len(got[c].AlertIDs) != 3 {
		t.Errorf("%d→%d→%d with %d alerts", a, got[a].RedirectID, got[b].RedirectID, len(got[c].AlertIDs))
	}
	if err := w.Merge(a, a); err == nil {
		t.Error("merged an incident into itself")
	}
}

func TestMoveAlert(t *testing.T) {
	w, c := newWorld(1)
	from := w.AddIncident(2)
	id := byID(w.Incidents())[from].AlertIDs[0]
	before := byAlertID(w.Alerts())[id].LastUpdate
	c.Advance(time.Minute)
	to, err := w.MoveAlert(id, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	a, in := byAlertID(w.Alerts())[id], byID(w.Incidents())
	if a.IncidentID != to || !a.LastUpdate.Equal(before) {
		t.Errorf("alert in %d, updated %v", a.IncidentID, a.LastUpdate)
	}
	if !in[from].LastUpdate.Equal(c.Now()) || !in[to].LastUpdate.Equal(c.Now()) {
		t.Errorf("incidents updated %v and %v, want %v", in[from].LastUpdate, in[to].LastUpdate, c.Now())
	}
	if _, err := w.MoveAlert("nope", 0, true); err == nil {
		t.Error("moved an unknown alert")
	}
	checkWorld(t, w)
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	s := serve(t, defendersim.Options{ChangeEvery: 1})
	token := s.token(graphScope)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				res, err := s.request("/v1.0/security/incidents?$expand=alerts&$top=5", "Authorization", "Bearer "+token)
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
				s.sim.World().Step()
				s.sim.World().Incidents()
			}
		})
	}
	wg.Wait()
	if n := s.sim.Calls(defendersim.Incidents); n != 20 {
		t.Errorf("%d calls", n)
	}
}

func BenchmarkPage(b *testing.B) {
	w, _ := newWorld(7)
	sim := defendersim.New(defendersim.Options{World: w})
	const target = "/v1.0/security/incidents?$expand=alerts&$top=50"
	token := bearer(b, sim, target)
	for b.Loop() {
		rec := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodGet, target, nil)
		req.Header.Set("Authorization", "Bearer "+token)
		sim.ServeHTTP(rec, req)
		b.SetBytes(int64(rec.Body.Len()))
	}
}

// bearer gets a token without a network.
func bearer(t testing.TB, sim *defendersim.Sim, target string) string {
	t.Helper()
	c, scope := sim.Config(), graphScope
	if strings.HasPrefix(target, "/api") {
		scope = olderScope
	}
	form := fmt.Sprintf("grant_type=client_credentials&client_id=%s&client_secret=%s&scope=%s/.default", c.ClientID, c.Secret, scope)
	req := httptest.NewRequest(http.MethodPost, "/"+c.TenantID+"/oauth2/v2.0/token", strings.NewReader(form))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	sim.ServeHTTP(rec, req)
	_, rest, _ := strings.Cut(rec.Body.String(), `"access_token":"`)
	token, _, ok := strings.Cut(rest, `"`)
	if !ok {
		t.Fatalf("token: %d %s", rec.Code, rec.Body)
	}
	return token
}
