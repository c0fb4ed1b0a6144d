package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	defsync "defendersync/sync"
)

func (a *app) planBackfill(ctx context.Context, c *config, s *session, show *progress, r defsync.BackfillRequest) error {
	if err := s.recall(ctx); err != nil {
		return err
	}
	plans := s.worker.PlanBackfill(ctx, r)
	show.finish()
	return a.printPlans(ctx, c, plans)
}

// printPlans writes what a backfill would do and what it would cost.
func (a *app) printPlans(ctx context.Context, c *config, plans []defsync.Plan) error {
	l := a.look()
	t := planTable()
	var failed causes
	for _, p := range plans {
		if p.Err != nil {
			failed.add(defsync.Result{Tenant: p.Tenant, Stream: p.Stream}, reason(p.Err))
			continue
		}
		addPlan(t, p, c.allowance(p.Tenant, p.Stream))
	}
	if err := t.print(a.stdout, l); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	for _, p := range plans {
		if p.Err == nil {
			explainPlan(a.stdout, l, p)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if failed != nil {
		return &exitError{exitFailed, fmt.Errorf("not planned: %s", failed)}
	}
	return nil
}

// allowance is what of a limit a stream may use.
type allowance struct{ perMinute, of int }

// allowance are the calls per minute that a stream of the tenant may use.
func (c *config) allowance(tenant, stream string) allowance {
	for _, t := range c.Tenants {
		switch {
		case string(t.Name) != tenant:
		case hunts(stream):
			return allowance{t.Limits.hunting().PerMinute, int(t.Limits.HuntingPerMinute)}
		default:
			return allowance{t.Limits.incidents().PerMinute, int(t.Limits.IncidentsPerMinute)}
		}
	}
	return allowance{}
}

// hunts says whether a stream is one of advanced hunting.
func hunts(stream string) bool { return strings.HasPrefix(stream, defsync.HuntingStream("")) }

// callTakes is what an answer takes, roughly, beside the wait for its turn.
const callTakes = 2 * time.Second

// eta is how long so many calls take at least.
func (q allowance) eta(calls int64) time.Duration {
	waits := max(calls-1, 0) / int64(max(q.perMinute, 1))
	return max(time.Duration(waits)*time.Minute, time.Duration(calls)*callTakes)
}

// minutes is how much of the quota so many calls use up.
func (q allowance) minutes(calls int64) float64 { return float64(calls) / float64(max(q.perMinute, 1)) }

// planTable is too wide for most terminals, where it becomes a block for each plan.
func planTable() *table {
	return newTable(column{name: "TENANT"}, column{name: "STREAM"}, column{name: "FROM"}, column{name: "TO"}, column{name: "HELD"}, column{name: "TO READ"},
		number("ROWS"), number("WINDOWS"), number("CALLS"), number("QUOTA"), number("MINUTES"), number("ETA"), number("DISK"))
}

func addPlan(t *table, p defsync.Plan, q allowance) {
	rows, disk := "?", "?"
	if p.Rows >= 0 {
		rows = grouped(p.Rows)
	}
	if p.Disk > 0 || p.Rows == 0 {
		disk = size(p.Disk)
	}
	t.add(p.Tenant, p.Stream, clock(&p.From), clock(&p.To), lasts(p.Held), lasts(p.Missing), rows, grouped(int64(p.Windows)),
		grouped(p.Calls), fmt.Sprintf("%d of %d/min", q.perMinute, q.of), fmt.Sprintf("%.1f", q.minutes(p.Calls)), lasts(q.eta(p.Calls)), disk)
}

// explainPlan writes what the table cannot show.
func explainPlan(w io.Writer, l look, p defsync.Plan) {
	say := func(format string, args ...any) {
		fmt.Fprintln(w, l.prose(p.Tenant+": "+fmt.Sprintf(format, args...)))
	}
	if p.Beyond > 0 {
		say("%s of the range are older than the service keeps and cannot be had", lasts(p.Beyond))
	}
	if p.Rows < 0 {
		say("the service cannot count %s; windows and calls are what its rows so far suggest", p.Stream)
	}
	if p.Missing == 0 && p.From.Before(p.To) {
		say("all of the range is complete; a backfill would do nothing")
	}
	if p.Counted > 0 {
		say("this plan took %s to count, and stored nothing", counted(int(p.Counted), "call"))
	}
}

// lasts writes a duration in days and hours, hours and minutes, or less.
func lasts(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = d.Round(time.Second); {
	case d >= day:
		days, hours := d/day, d%day/time.Hour
		if hours == 0 {
			return fmt.Sprintf("%dd", days)
		}
		return fmt.Sprintf("%dd%dh", days, hours)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return d.String()
}

// size writes a number of bytes.
func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MB", n>>20)
	}
	return fmt.Sprintf("%d kB", n>>10)
}
