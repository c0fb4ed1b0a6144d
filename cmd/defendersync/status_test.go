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
				LastRun: &defsync.RunStatus{StartedAt: *at(3), Outcome: "failed", Error: "first\nsecond", Warning: "odd"}, NextRun: at(5), Stale: true},
			{Stream: "alerts", NextRun: at(5), Stale: true},
		},
	}}}
	var b strings.Builder
	if err := printStatus(&b, status); err != nil {
		t.Fatal(err)
	}
	const want = `TENANT   STREAM     COVERED  LAG   ROWS  GAPS  QUARANTINE  LAST RUN              OUTCOME         NEXT RUN
contoso  incidents  99.50%   2m5s  1234  1     2           2026-11-22 10:03:00Z  failed (stale)  2026-11-22 10:05:00Z
contoso  alerts     -        -     0     0     0           never                 -               2026-11-22 10:05:00Z

TENANT   CALLS LEFT THIS MINUTE  THIS HOUR
contoso  49 of 50                1400 of 1500

gap in incidents of contoso from 2026-11-22 10:01:00Z to 2026-11-22 10:02:00Z: never read
last run of incidents of contoso failed: first; second
warning for incidents of contoso: odd
`
	if got := b.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
