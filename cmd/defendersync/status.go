package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	defsync "defendersync/sync"

	"github.com/spf13/cobra"
)

// schemaAdvice is what to do about a database without an up-to-date schema.
const schemaAdvice = "run `defendersync migrate up`"

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	cmd := a.databaseCommand("status", "Show coverage, lag, runs, gaps, quarantine and quota of each stream",
		func(ctx context.Context, o *opened) error {
			if err := o.db.requireCurrent(ctx, schemaAdvice); err != nil {
				return err
			}
			tenants, limits, err := o.cfg.tenants(o.db, o.log)
			if err != nil {
				return err
			}
			status, err := defsync.ReadStatus(ctx, o.db.Store, tenants, limits, time.Now())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.stdout, status)
			}
			return printStatus(a.stdout, status)
		})
	cmd.Flags().BoolVar(&asJSON, "json", false, "machine-readable")
	return cmd
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printStatus writes the status as tables: streams, quotas, and what is wrong.
func printStatus(w io.Writer, s defsync.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TENANT\tSTREAM\tCOVERED\tLAG\tROWS\tGAPS\tQUARANTINE\tLAST RUN\tOUTCOME\tNEXT RUN\tRECONCILED")
	for _, tenant := range s.Tenants {
		for _, st := range tenant.Streams {
			last, outcome := lastRun(st)
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", tenant.Name, st.Stream, covered(st), lag(st),
				st.Rows, len(st.Gaps), st.Quarantine, last, outcome, clock(st.NextRun), compared(st))
		}
	}
	fmt.Fprintln(t, "\nTENANT\tCALLS LEFT THIS MINUTE\tTHIS HOUR\tHUNTING THIS MINUTE")
	for _, tenant := range s.Tenants {
		q, hunting := tenant.Quota, "-"
		if h := tenant.Hunting; h != nil {
			hunting = fmt.Sprintf("%d of %d", h.RemainingMinute, h.PerMinute)
		}
		fmt.Fprintf(t, "%s\t%d of %d\t%d of %d\t%s\n", tenant.Name, q.RemainingMinute, q.PerMinute, q.RemainingHour, q.PerHour, hunting)
	}
	fmt.Fprintln(t)
	for _, tenant := range s.Tenants {
		if until := tenant.Quota.BlockedUntil; until != nil {
			fmt.Fprintf(t, "%s is not called before %s: the service asked for the wait\n", tenant.Name, clock(until))
		}
		if h := tenant.Hunting; h != nil && h.BlockedUntil != nil {
			fmt.Fprintf(t, "hunting of %s is paused until %s: the service said that the tenant's allotment, as of CPU time, is used up\n",
				tenant.Name, clock(h.BlockedUntil))
		}
		for _, st := range tenant.Streams {
			printTroubles(t, tenant.Name, st)
		}
	}
	return t.Flush()
}

// leastExpiring is the part of an hour from which on a loss is worth a word.
const leastExpiring = 0.05

// printTroubles writes a line for each gap, and one for why the last run failed.
func printTroubles(w io.Writer, tenant string, st defsync.StreamStatus) {
	for _, g := range st.Gaps {
		fmt.Fprintf(w, "gap in %s of %s from %s to %s: %s\n", st.Stream, tenant, clock(&g.From), clock(&g.To), g.Reason)
	}
	if st.ExpiringHours >= leastExpiring {
		fmt.Fprintf(w, "%.1f hours of %s of %s that were not read fall over the 30-day edge within three days: run `defendersync backfill %s --from 30d`\n",
			st.ExpiringHours, st.Stream, tenant, st.Stream)
	}
	if r := st.LastRun; r != nil && r.Error != "" {
		fmt.Fprintf(w, "last run of %s of %s failed: %s\n", st.Stream, tenant, oneLine(r.Error))
	}
	if r := st.LastRun; r != nil && r.Warning != "" {
		fmt.Fprintf(w, "warning for %s of %s: %s\n", st.Stream, tenant, oneLine(r.Warning))
	}
}

func lastRun(st defsync.StreamStatus) (at, outcome string) {
	if st.LastRun == nil {
		return "never", "-"
	}
	outcome = st.LastRun.Outcome
	if st.Stale {
		outcome += " (stale)"
	}
	return clock(&st.LastRun.StartedAt), outcome
}

// compared is when the stream was compared with its source, and how that ended
// where it ended otherwise than well.
func compared(st defsync.StreamStatus) string {
	r := st.Reconciled
	switch {
	case r == nil && st.NextReconcile != nil:
		return "never"
	case r == nil:
		return "-"
	case r.Outcome != string(defsync.OutcomeComplete):
		return clock(&r.StartedAt) + " " + r.Outcome
	}
	return clock(&r.StartedAt)
}

func covered(st defsync.StreamStatus) string {
	if st.CoveragePercent == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f%%", *st.CoveragePercent)
}

func lag(st defsync.StreamStatus) string {
	if st.LagSeconds == nil {
		return "-"
	}
	return (time.Duration(*st.LagSeconds) * time.Second).String()
}

func clock(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}
