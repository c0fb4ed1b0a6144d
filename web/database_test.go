package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"defendersync/migrations"
	"defendersync/store"
	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
)

// realConfig shows a database of the test's own.
func realConfig(t *testing.T, s *store.Store) Config {
	t.Helper()
	schedule, err := defsync.ParseSchedule("@hourly")
	if err != nil {
		t.Fatal(err)
	}
	tenants := []defsync.Tenant{{Name: "contoso", ID: "11111111-2222-3333-4444-555555555555", Dialect: defender.Graph,
		Streams: []defsync.Stream{{Name: defsync.IncidentsStream, Schedule: schedule}}}}
	return Config{
		Status: func(ctx context.Context) (defsync.Status, error) {
			return defsync.ReadStatus(ctx, s, tenants, nil, time.Now())
		},
		Ready: func(ctx context.Context) (string, error) {
			current, err := migrations.Current(ctx, s.Pool())
			switch {
			case err != nil:
				return "the database does not answer", err
			case !current:
				return "migrations are not current", errors.New("some are pending")
			}
			return "", nil
		},
	}
}

func TestOverARealDatabase(t *testing.T) {
	s, err := store.Open(t.Context(), storetest.URL(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cfg := realConfig(t, s)
	r, body := ask(t, NewHandler(cfg), "GET", "/api/status")
	wantCode(t, r, http.StatusOK)
	if !strings.Contains(body, `"stream": "incidents"`) {
		t.Errorf("the status is %s", body)
	}
	_, body = ask(t, NewHandler(cfg), "GET", "/readyz")
	if want := "tenant contoso: stream incidents is stale: nothing has been stored yet\n"; body != want {
		t.Errorf("before the first pass: %q, want %q", body, want)
	}
	s.Close()
	r, body = ask(t, NewHandler(cfg), "GET", "/readyz")
	wantCode(t, r, http.StatusServiceUnavailable)
	if want := "the database does not answer\n"; body != want {
		t.Errorf("without a database: %q, want %q", body, want)
	}
	r, _ = ask(t, NewHandler(cfg), "GET", "/api/status")
	wantCode(t, r, http.StatusServiceUnavailable)
}
