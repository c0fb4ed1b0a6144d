package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"defendersync/store"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
)

func TestTimeRange(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		from, to     string
		since, until time.Time
		err          string
	}{
		{"", "", time.Time{}, time.Time{}, ""},
		{"3d", "", at("2026-11-19T10:00:00Z"), testNow, ""},
		{"3d", "1d12h", at("2026-11-19T10:00:00Z"), at("2026-11-20T22:00:00Z"), ""},
		{"2026-11-01", "2026-11-02", at("2026-11-01T00:00:00Z"), at("2026-11-02T00:00:00Z"), ""},
		{"2026-11-01T01:00:00+02:00", "", at("2026-10-31T23:00:00Z"), testNow, ""},
		{"2026-11-01", "2026-12-24", at("2026-11-01T00:00:00Z"), testNow, ""},
		{"", "2026-11-02", time.Time{}, at("2026-11-02T00:00:00Z"), ""},
		{"1d", "1d", testNow, testNow, "--from: 2026-11-21T10:00:00Z is not before --to, 2026-11-21T10:00:00Z"},
		{"1d", "2d", testNow, testNow, "is not before --to"},
		{"2026-11-23", "", testNow, testNow, "--from: 2026-11-23T00:00:00Z is in the future"},
		{"-3d", "", testNow, testNow, `--from: "-3d" is not a time`},
		{"0s", "", testNow, testNow, `--from: "0s" is not a time`},
		{"3d", "soon", testNow, testNow, `--to: "soon" is not a time`},
		{"2026-02-30", "", testNow, testNow, "is not a time"},
	} {
		since, until, err := timeRange(c.from, c.to, testNow)
		var exit *exitError
		switch {
		case c.err == "" && (err != nil || !since.Equal(c.since) || !until.Equal(c.until)):
			t.Errorf("%q to %q: %s to %s, %v", c.from, c.to, since, until, err)
		case c.err != "" && (!errors.As(err, &exit) || exit.code != exitUsage || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%q to %q: error %v, want %s", c.from, c.to, err, c.err)
		}
	}
}

// A budget is a part of the share, and leaves each stream's own limits a call.
func TestBudgetIsAPartOfTheShare(t *testing.T) {
	for _, k := range []struct {
		budget, stream string
		want           string
	}{
		{"", "incidents", "22 of 45, 7 of 15"}, {"100%", "incidents", "22 of 45, 7 of 15"}, {"50%", "incidents", "11 of 45, 3 of 15"},
		{"50", "hunting/device_events", "11 of 45, 3 of 15"}, {"10%", "incidents", "2 of 45, 0 of 15"},
		{"10%", "hunting/device_events", "--budget: 10% leaves tenant one less than one call"}, {"2%", "incidents", "less than one call"},
		{"0", "incidents", `"0" is not a percentage`}, {"101%", "incidents", "is not a percentage"}, {"x%", "incidents", "is not a percentage"},
	} {
		c := parseText(t, twoTenants+"  hunting: [{table: DeviceEvents}]\n")
		err := c.spare(k.budget, k.stream)
		lists, hunting := c.allowance("one", "incidents"), c.allowance("one", "hunting/device_events")
		got := fmt.Sprintf("%d of %d, %d of %d", lists.perMinute, lists.of, hunting.perMinute, hunting.of)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, k.want) {
			t.Errorf("%s of %s: %s, want %s", k.budget, k.stream, got, k.want)
		}
	}
}

func TestPlanIsPrinted(t *testing.T) {
	from := time.Date(2026, 10, 24, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	var b strings.Builder
	p := defsync.Plan{Tenant: "contoso", Stream: "hunting/x", From: from, To: from.Add(30 * day), Beyond: 60 * day, Held: 10*day + 5*time.Hour,
		Missing: 19*day + 19*time.Hour, Rows: 1234567, Windows: 31, Calls: 32, Disk: 900 << 20, Counted: 1}
	plans := planTable()
	addPlan(plans, p, allowance{15, 30})
	explainPlan(&b, look{}, p)
	p.Rows, p.Disk, p.Beyond, p.Counted, p.Missing = -1, 0, 0, 0, 0
	addPlan(plans, p, allowance{15, 15})
	explainPlan(&b, look{}, p)
	if err := plans.print(&b, look{}); err != nil {
		t.Fatal(err)
	}
	const want = "contoso: 60d of the range are older than the service keeps and cannot be had\n" +
		"contoso: this plan took 1 call to count, and stored nothing\n" +
		"contoso: the service cannot count hunting/x; windows and calls are what its rows so far suggest\n" +
		"contoso: all of the range is complete; a backfill would do nothing\n" +
		"TENANT   STREAM     FROM                  TO                    HELD   TO READ       ROWS  WINDOWS  CALLS         QUOTA  MINUTES   ETA    DISK\n" +
		"contoso  hunting/x  2026-10-24 00:00:00Z  2026-11-23 00:00:00Z  10d5h  19d19h   1,234,567       31     32  15 of 30/min      2.1  2m0s  900 MB\n" +
		"contoso  hunting/x  2026-10-24 00:00:00Z  2026-11-23 00:00:00Z  10d5h  0s               ?       31     32  15 of 15/min      2.1  2m0s       ?\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// The first minute's calls are made at once; each further minute has its own.
func TestETAIsWhatTheQuotaAllows(t *testing.T) {
	q := allowance{perMinute: 15}
	for calls, want := range map[int64]time.Duration{0: 0, 1: 2 * time.Second, 15: 30 * time.Second, 16: time.Minute, 31: 2 * time.Minute, 1500: 99 * time.Minute} {
		if got := q.eta(calls); got != want {
			t.Errorf("%d calls: %s, want %s", calls, got, want)
		}
	}
}

func TestLastsAndSize(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 1499 * time.Millisecond: "1s", 90 * time.Second: "1m30s", 3 * time.Hour: "3h0m",
		26 * time.Hour: "1d2h", 48 * time.Hour: "2d", 30*24*time.Hour - time.Second: "29d23h"} {
		if got := lasts(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 kB", 2048: "2 kB", 10 << 20: "10 MB", 9 << 30: "9216 MB", 10 << 30: "10 GB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestOutcomeOfComparisons(t *testing.T) {
	someone := &store.HeldError{Owner: "somebody", Until: testNow}
	agrees := defsync.Reconciled{Tenant: "a", Stream: "incidents", Unit: 24 * time.Hour, Checked: 30}
	healed := defsync.Reconciled{Tenant: "a", Stream: "hunting/x", Unit: time.Hour, Checked: 720, Differing: 5, Healed: 3, Explained: 2}
	differs := defsync.Reconciled{Tenant: "a", Stream: "hunting/y", Unit: time.Hour, Checked: 720, Differing: 5, Healed: 3, Explained: 1}
	skipped := defsync.Reconciled{Tenant: "a", Stream: "hunting/z", Skipped: "no counts"}
	held := defsync.Reconciled{Tenant: "b", Stream: "hunting/x", Err: fmt.Errorf("store: %w", someone)}
	failed := defsync.Reconciled{Tenant: "c", Stream: "hunting/x", Err: errors.New("boom")}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx   context.Context
		all   []defsync.Reconciled
		named bool
		code  int
		said  string
	}{
		{t.Context(), nil, false, 0, ""},
		{t.Context(), []defsync.Reconciled{agrees, healed, skipped}, false, 0, ""},
		{t.Context(), []defsync.Reconciled{agrees, skipped}, true, exitPartial, "not compared: hunting/z of a: no counts\n"},
		{t.Context(), []defsync.Reconciled{agrees, differs}, false, exitPartial, "what is stored differs from the source: hunting/y of a: 1 hour of 720\n"},
		{t.Context(), []defsync.Reconciled{differs, held}, false, exitLocked, "try later: hunting/x of b: somebody holds the tenant"},
		{t.Context(), []defsync.Reconciled{differs, held, failed}, true, exitFailed, "hunting/x of c: boom\n"},
		{interrupted, []defsync.Reconciled{failed}, false, exitInterrupted, "interrupted"},
	} {
		var said strings.Builder
		if code := exitCode(c.ctx, reconciled(c.ctx, c.all, c.named), &said); code != c.code || !strings.Contains(said.String(), c.said) {
			t.Errorf("%+v: exit %d saying %q, want %d with %q", c.all, code, said.String(), c.code, c.said)
		}
	}
	var b strings.Builder
	if err := printReconciled(&b, look{}, []defsync.Reconciled{agrees, differs, skipped, held, failed}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"30 days", " 720 hours          5       3          1 ", "not compared\n", "locked\n", "failed\n", "hunting/z of a is not compared: no counts\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestOutcomeOfChecks(t *testing.T) {
	fine := defsync.QueryCheck{Tenant: "a", Stream: "hunting/x", Plan: store.HuntPlan{SQL: "CREATE TABLE x ();\n", Columns: []store.HuntPlacement{
		{HuntColumn: store.HuntColumn{Name: "T", Type: "DateTime"}, Column: "t", Kind: "text", Hashed: true},
		{HuntColumn: store.HuntColumn{Name: "Sid", Type: "String"}, Dropped: true}, {HuntColumn: store.HuntColumn{Name: "New", Type: "String"}}}}}
	wrong := defsync.QueryCheck{Tenant: "a", Stream: "hunting/x", Problems: []string{"key names K", "hash names H"}}
	refused := defsync.QueryCheck{Tenant: "b", Stream: "hunting/x", Err: &defender.QueryError{Message: "A recognition error occurred."}}
	for _, c := range []struct {
		checks []defsync.QueryCheck
		code   int
		said   string
	}{
		{[]defsync.QueryCheck{fine}, 0, ""},
		{[]defsync.QueryCheck{fine, wrong}, exitUsage, "hunting/x of a: key names K; hunting/x of a: hash names H\n"},
		{[]defsync.QueryCheck{refused, fine}, exitFailed, "hunting/x of b: query rejected: A recognition error occurred.\n"},
		{[]defsync.QueryCheck{refused, wrong}, exitUsage, "key names K"},
	} {
		var said strings.Builder
		if code := exitCode(t.Context(), checked(c.checks), &said); code != c.code || !strings.Contains(said.String(), c.said) {
			t.Errorf("%+v: exit %d saying %q, want %d with %q", c.checks, code, said.String(), c.code, c.said)
		}
	}
	var b strings.Builder
	const want = "-- hunting/x of a answers with 3 columns\n-- COLUMN  TYPE      GOES TO\n" +
		"-- T       DateTime  t text, hashed, or extra where a value does not fit\n-- Sid     String    nowhere: columns.drop\n" +
		"-- New     String    extra: on_new_column is ignore\n\nCREATE TABLE x ();\n"
	if err := printCheck(&b, fine); err != nil || b.String() != want {
		t.Errorf("%q, %v", b.String(), err)
	}
}
