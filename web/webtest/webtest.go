// Package webtest is a database whose page is known, for the tests of package
// web and for those in a browser.
package webtest

import (
	"context"
	_ "embed"
	"testing"
	"time"

	"defendersync/store"
	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/web"
)

// Now is when the known world is looked at.
var Now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// The tenants of the known world, one with troubles and one without.
const (
	Contoso  = "11111111-1111-4111-8111-111111111111"
	Fabrikam = "22222222-2222-4222-8222-222222222222"
)

//go:embed world.sql
var world string

// World opens a database of the test's own with the known world in it; world.sql
// says what is there.
func World(t testing.TB) *store.Store {
	t.Helper()
	s := storetest.New(t)
	if _, err := s.Pool().Exec(t.Context(), world); err != nil {
		t.Fatal(err)
	}
	return s
}

// Config shows the tenants of the known world out of s, at Now.
func Config(t testing.TB, s *store.Store) web.Config {
	t.Helper()
	tenants := tenants(t)
	limits := defsync.Limits{PerMinute: 50, PerHour: 1500, HuntingPerMinute: 15}
	return web.Config{
		Version: "v1.2.3",
		Status: func(ctx context.Context) (defsync.Status, error) {
			return defsync.ReadStatus(ctx, s, tenants, map[string]defsync.Limits{Contoso: limits, Fabrikam: limits}, Now)
		},
		Runs: func(ctx context.Context) (map[string][]defsync.StreamRun, error) {
			return defsync.ReadRuns(ctx, s, tenants, web.PageRuns)
		},
		Incidents: func(ctx context.Context) (map[string]defsync.IncidentFigures, error) {
			return defsync.ReadIncidents(ctx, s, tenants, web.PageDays, Now)
		},
	}
}

func tenants(t testing.TB) []defsync.Tenant {
	t.Helper()
	often, nightly := schedule(t, "*/5 * * * *"), schedule(t, "17 3 * * *")
	hunting := func(name string, mode defsync.Mode, reconcile defsync.Schedule) defsync.Stream {
		return defsync.Stream{Name: defsync.HuntingStream(name), Schedule: schedule(t, "*/15 * * * *"),
			Hunt: &defsync.Hunt{Name: name, Mode: mode, Reconcile: reconcile}}
	}
	hunter := struct{ defsync.Hunter }{} // is there, and never asked
	return []defsync.Tenant{
		{Name: "contoso", ID: Contoso, Dialect: defender.Graph, Hunter: hunter, Streams: []defsync.Stream{
			{Name: defsync.IncidentsStream, Schedule: often},
			{Name: defsync.AlertsStream, Schedule: often},
			hunting("DeviceProcessEvents", defsync.ModeEvents, nightly),
			hunting("EmailEvents", defsync.ModeEvents, nightly),
			hunting("DeviceInfo", defsync.ModeSnapshot, defsync.Schedule{}),
			hunting("encoded_powershell", defsync.ModeReplace, defsync.Schedule{}),
		}},
		{Name: "fabrikam", ID: Fabrikam, Dialect: defender.Older, Streams: []defsync.Stream{
			{Name: defsync.IncidentsStream, Schedule: often},
		}},
	}
}

func schedule(t testing.TB, expr string) defsync.Schedule {
	t.Helper()
	s, err := defsync.ParseSchedule(expr)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
