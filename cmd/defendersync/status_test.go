package main

import (
	"strings"
	"testing"
	"time"

	defsync "defendersync/sync"
)

func TestPrintStatus(t *testing.T) {
	at := func(minute int) *time.Time {
		v := time.Date(2026, 11, 22, 10, minute, 0, 0, time.UTC)
		return &v
	}
	lag, percent := 125.7, 99.5
	status := defsync.Status{Tenants: []defsync.TenantStatus{{
		Name:  "contoso",
		Quota: defsync.QuotaStatus{PerMinute: 50, PerHour: 1500, RemainingMinute: 49, RemainingHour: 1400},
		Streams: []defsync.StreamStatus{
			{Stream: "incidents", Watermark: at(0), LagSeconds: &lag, CoveragePercent: &percent, Rows: 1234, Quarantine: 2,
				Gaps:    []defsync.GapStatus{{From: *at(1), To: *at(2), Reason: "never read"}},
				LastRun: &defsync.RunStatus{StartedAt: *at(3), Outcome: "failed", Error: "first\nsecond", Warning: "past"}, NextRun: at(5), Stale: true,
				Warnings: []defsync.Warning{{Kind: defsync.WarningVolume, Text: "odd"}, {Kind: defsync.WarningExpiring, Text: "much\nis lost"}}},
			{Stream: "alerts", NextRun: at(5), Stale: true},
			{Stream: "hunting/device_events", NextRun: at(5), NextReconcile: at(17),
				LastRun: &defsync.RunStatus{StartedAt: *at(2), Outcome: "interrupted", Error: "told to stop"}},
			{Stream: "hunting/email_events", NextRun: at(5), Reconciled: &defsync.RunStatus{StartedAt: *at(4), Outcome: "ok"}},
			{Stream: "hunting/url_click_events", NextRun: at(5), Reconciled: &defsync.RunStatus{StartedAt: *at(4), Outcome: "failed"}},
		},
		Hunting: &defsync.HuntingQuota{PerMinute: 15, RemainingMinute: 3, BlockedUntil: at(15)},
	}, {Name: "fabrikam"}}}
	var b strings.Builder
	if err := printStatus(&b, look{}, status); err != nil {
		t.Fatal(err)
	}
	const want = `TENANT   STREAM                    COVERED   LAG  ROWS  GAPS  QUARANTINE  LAST RUN                             NEXT RUN              RECONCILED
contoso  incidents                  99.50%  2m5s  1234     1           2  failed (stale) 2026-11-22 10:03:00Z  2026-11-22 10:05:00Z  -
contoso  alerts                          -     -     0     0           0  never                                2026-11-22 10:05:00Z  -
contoso  hunting/device_events           -     -     0     0           0  interrupted 2026-11-22 10:02:00Z     2026-11-22 10:05:00Z  never
contoso  hunting/email_events            -     -     0     0           0  never                                2026-11-22 10:05:00Z  2026-11-22 10:04:00Z
contoso  hunting/url_click_events        -     -     0     0           0  never                                2026-11-22 10:05:00Z  failed 2026-11-22 10:04:00Z

TENANT    CALLS LEFT THIS MINUTE  THIS HOUR     HUNTING THIS MINUTE
contoso   49 of 50                1400 of 1500  3 of 15
fabrikam  0 of 0                  0 of 0        -

hunting of contoso is paused until 2026-11-22 10:15:00Z: the service said that the tenant's allotment, as of CPU time, is used up
gap in incidents of contoso from 2026-11-22 10:01:00Z to 2026-11-22 10:02:00Z: never read
last run of incidents of contoso failed: first; second
warning for incidents of contoso: odd
warning for incidents of contoso: much; is lost
last run of hunting/device_events of contoso was interrupted: told to stop
`
	if got := b.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	b.Reset()
	status.GeneratedAt = *at(4)
	if err := printStatus(&b, look{columns: 100}, status); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if width(line) > 101 {
			t.Errorf("wider than the terminal: %q", line)
		}
	}
	if first := "incidents               99.50%  2m5s  1,234     1     2  failed (stale) 1m ago  in 1m  "; !strings.Contains(b.String(), first) {
		t.Errorf("%q is missing in:\n%s", first, b.String())
	}
}
