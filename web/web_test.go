package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"

	"github.com/google/go-cmp/cmp"
)

// secret stands for whatever an inner error may hold: a password, a host name.
const secret = "postgres://admin:hunter2@db.internal/defender"

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// sample is a tenant with one stream that has run and one that has not.
func sample() defsync.Status {
	return defsync.Status{GeneratedAt: now, Tenants: []defsync.TenantStatus{{
		Name: "contoso", TenantID: "11111111-2222-3333-4444-555555555555", API: "graph",
		Quota: defsync.QuotaStatus{PerMinute: 50, PerHour: 1500, RemainingMinute: 47, RemainingHour: 1200},
		Streams: []defsync.StreamStatus{{
			Stream: "incidents", Schedule: "*/5 * * * *", Start: ptr(now.Add(-100 * time.Hour)), Watermark: ptr(now.Add(-150 * time.Second)),
			LagSeconds: ptr(150.0), CoveragePercent: ptr(99.5), InPass: true, Rows: 321,
			Gaps:       []defsync.GapStatus{{From: now.Add(-2 * time.Hour), To: now.Add(-90 * time.Minute), Reason: "truncated"}},
			Quarantine: 2, NextRun: ptr(now.Add(time.Minute)), PassedAt: ptr(now.Add(-4 * time.Minute)),
			Warnings: []defsync.Warning{{Kind: defsync.WarningVolume, Text: "no incidents\nbetween"}, {Kind: defsync.WarningExpiring, Text: "soon lost"}},
			LastRun: &defsync.RunStatus{RunID: "r1", Command: "run", StartedAt: now.Add(-4 * time.Minute), FinishedAt: ptr(now.Add(-3 * time.Minute)),
				Outcome: "partial", RowsRead: 40, RowsInserted: 3, RowsUpdated: 5, RowsUnchanged: 32, Calls: 7, ThrottledSeconds: 1.5},
		}, {
			Stream: "alerts", Schedule: "@hourly", Gaps: []defsync.GapStatus{},
		}},
	}}}
}

// steady always answers the same status.
func steady(s defsync.Status) func(context.Context) (defsync.Status, error) {
	return func(context.Context) (defsync.Status, error) { return s, nil }
}

func broken(context.Context) (defsync.Status, error) {
	return defsync.Status{}, errors.New("connect to " + secret)
}

// ask sends one request and answers the whole response.
func ask(t *testing.T, h http.Handler, method, path string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func wantCode(t *testing.T, r *http.Response, want int) {
	t.Helper()
	if r.StatusCode != want {
		t.Errorf("answered %s, want %d", r.Status, want)
	}
}

func TestStatusIsServedAsItIs(t *testing.T) {
	status := sample()
	status.Tenants[0].Streams[0].LastRun.Error = "a <b> & c"
	r, body := ask(t, NewHandler(Config{Status: steady(status)}), "GET", "/api/status")
	wantCode(t, r, http.StatusOK)
	if !strings.Contains(body, `"a <b> & c"`) {
		t.Errorf("not as status --json prints it: %s", body)
	}
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	var got defsync.Status
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if diff := cmp.Diff(status, got); diff != "" {
		t.Error(diff)
	}
}

func TestHealthAsksNothing(t *testing.T) {
	h := NewHandler(Config{
		Status: func(context.Context) (defsync.Status, error) { t.Error("read the status"); return broken(t.Context()) },
		Ready:  func(context.Context) (string, error) { t.Error("asked"); return "", nil },
	})
	r, body := ask(t, h, "GET", "/healthz")
	wantCode(t, r, http.StatusOK)
	if body != "ok\n" {
		t.Errorf("answered %q", body)
	}
}

func TestReady(t *testing.T) {
	pass := func(context.Context) (string, error) { return "", nil }
	down := func(context.Context) (string, error) {
		return "the database does not answer", errors.New("connect to " + secret)
	}
	late, filling, never, calm := sample(), sample(), sample(), sample()
	calm.Tenants[0].Streams[0].Warnings = nil
	late.Tenants[0].Streams[0].Stale, late.Tenants[0].Streams[0].InPass = true, false
	filling.Tenants[0].Streams[0].Stale = true
	never.Tenants[0].Streams[0].Stale, never.Tenants[0].Streams[1].Stale = true, true
	tests := map[string]struct {
		status  func(context.Context) (defsync.Status, error)
		ready   func(context.Context) (string, error)
		code    int
		reasons string
	}{
		"ready":           {steady(calm), pass, 200, "ok\n"},
		"warned of":       {steady(sample()), pass, 200, "ok\nwarning: contoso/incidents: no incidents between\nwarning: contoso/incidents: soon lost\n"},
		"database down":   {broken, down, 503, "the database does not answer\n"},
		"no status":       {broken, nil, 503, statusUnreadable + "\n"},
		"one stale":       {steady(late), nil, 503, "tenant contoso: stream incidents is stale: no pass has ended for three firings of its schedule, it lags 2m30s\n"},
		"long pass":       {steady(filling), nil, 503, "tenant contoso: stream incidents is stale: its pass has not ended yet, it lags 2m30s\n"},
		"every one stale": {steady(never), nil, 503, "tenant contoso: stream incidents is stale: its pass has not ended yet, it lags 2m30s\ntenant contoso: stream alerts is stale: nothing has been stored yet\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, body := ask(t, NewHandler(Config{Status: tt.status, Ready: tt.ready}), "GET", "/readyz")
			wantCode(t, r, tt.code)
			if diff := cmp.Diff(tt.reasons, body); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadyIsBounded(t *testing.T) {
	h := NewHandler(Config{Status: steady(sample()), Ready: func(ctx context.Context) (string, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the question may hang for ever")
		}
		return "", nil
	}})
	ask(t, h, "GET", "/readyz")
}

// TestNothingLeaks breaks everything and looks for the inner error: the log has it, no answer does.
func TestNothingLeaks(t *testing.T) {
	var logged bytes.Buffer
	inner := func(context.Context) (string, error) {
		_, err := broken(t.Context())
		return "the database does not answer", err
	}
	for path, want := range map[string]int{"/": 503, "/?live": 503, "/api/status": 503, "/readyz": 503, "/metrics": 200} {
		logged.Reset()
		h := NewHandler(Config{Status: broken, Ready: inner, Log: slog.New(slog.NewTextHandler(&logged, nil))})
		r, body := ask(t, h, "GET", path)
		wantCode(t, r, want)
		if strings.Contains(body, "hunter2") || strings.Contains(body, "db.internal") {
			t.Errorf("%s shows %s", path, body)
		}
		if !strings.Contains(logged.String(), "connect to") {
			t.Errorf("%s: the cause is not in the log: %s", path, logged.String())
		}
	}
}

func TestFailedStatusIsJSON(t *testing.T) {
	_, body := ask(t, NewHandler(Config{Status: broken}), "GET", "/api/status")
	var got struct{ Error string }
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Error != statusUnreadable {
		t.Errorf("answered %q, %v", body, err)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	h := NewHandler(Config{Status: steady(sample())})
	for _, path := range []string{"/", "/?live", "/api/status", "/healthz", "/readyz", "/metrics"} {
		for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 405} {
			r, _ := ask(t, h, method, path)
			if r.StatusCode != want {
				t.Errorf("%s %s answered %s, want %d", method, path, r.Status, want)
			}
			if want == 405 && r.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s allows %q", method, path, r.Header.Get("Allow"))
			}
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s %s: %s is %q, want %q", method, path, name, got, want)
				}
			}
			if got := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none';") {
				t.Errorf("%s %s: policy %q", method, path, got)
			}
		}
	}
	for _, path := range []string{"/index.html", "/api", "/api/status/x", "/metrics/", "/debug/pprof/", "/live", "/assets/", "/assets/page.html", "/favicon.ico"} {
		if r, _ := ask(t, h, "GET", path); r.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s answered %s", path, r.Status)
		}
	}
}
