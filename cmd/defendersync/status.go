package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
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
			return printStatus(a.stdout, a.look(), status)
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
func printStatus(w io.Writer, l look, s defsync.Status) error {
	l.now = s.GeneratedAt
	streams := newTable(column{name: "TENANT", common: true}, column{name: "STREAM", elastic: true}, number("COVERED"), number("LAG"), number("ROWS"),
		trouble("GAPS"), column{name: "QUARANTINE", short: "QUAR", right: true, quiet: true, tone: troubleTone},
		column{name: "LAST RUN", tone: outcomeTone}, column{name: "NEXT RUN", short: "NEXT"},
		column{name: "RECONCILED", short: "COMPARED", quiet: true, tone: comparedTone})
	quotas := newTable(column{name: "TENANT"}, column{name: "CALLS LEFT THIS MINUTE"}, column{name: "THIS HOUR"}, column{name: "HUNTING THIS MINUTE"})
	for _, t := range s.Tenants {
		for _, st := range t.Streams {
			streams.add(t.Name, st.Stream, covered(st), lag(l, st), l.number(st.Rows), l.number(int64(len(st.Gaps))), l.number(int64(st.Quarantine)),
				lastRun(l, st), l.when(st.NextRun), compared(l, st))
		}
		hunting := "-"
		if h := t.Hunting; h != nil {
			hunting = fmt.Sprintf("%s of %s", l.number(int64(h.RemainingMinute)), l.number(int64(h.PerMinute)))
		}
		q := t.Quota
		quotas.add(t.Name, fmt.Sprintf("%s of %s", l.number(int64(q.RemainingMinute)), l.number(int64(q.PerMinute))),
			fmt.Sprintf("%s of %s", l.number(int64(q.RemainingHour)), l.number(int64(q.PerHour))), hunting)
	}
	if err := streams.print(w, l); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := quotas.print(w, l); err != nil {
		return err
	}
	return printTroubles(w, l, s)
}

// printTroubles writes a sentence for each thing that is not as it should be.
func printTroubles(w io.Writer, l look, s defsync.Status) error {
	var all []string
	for _, t := range s.Tenants {
		all = append(all, waits(t)...)
		for _, st := range t.Streams {
			all = append(all, troubles(t.Name, st)...)
		}
	}
	if len(all) > 0 {
		fmt.Fprintln(w)
	}
	for _, sentence := range all {
		if _, err := fmt.Fprintln(w, l.prose(sentence)); err != nil {
			return err
		}
	}
	return nil
}

// waits are those that the service asked for.
func waits(t defsync.TenantStatus) []string {
	var all []string
	if until := t.Quota.BlockedUntil; until != nil {
		all = append(all, fmt.Sprintf("%s is not called before %s: the service asked for the wait", t.Name, clock(until)))
	}
	if h := t.Hunting; h != nil && h.BlockedUntil != nil {
		all = append(all, fmt.Sprintf("hunting of %s is paused until %s: the service said that the tenant's allotment, as of CPU time, is used up",
			t.Name, clock(h.BlockedUntil)))
	}
	return all
}

// troubles are a sentence for each gap, and for what the last run has to say.
func troubles(tenant string, st defsync.StreamStatus) []string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, g := range st.Gaps {
		say("gap in %s of %s from %s to %s: %s", st.Stream, tenant, clock(&g.From), clock(&g.To), g.Reason)
	}
	if r := st.LastRun; r != nil && r.Error != "" {
		how := "failed"
		if r.Outcome == string(defsync.OutcomeInterrupted) {
			how = "was interrupted"
		}
		say("last run of %s of %s %s: %s", st.Stream, tenant, how, oneLine(r.Error))
	}
	if r := st.Locked; r != nil {
		say("%s of %s of %s gave up at %s: %s", r.Command, st.Stream, tenant, clock(&r.StartedAt), oneLine(r.Error))
	}
	for _, w := range st.Warnings {
		say("warning for %s of %s: %s", st.Stream, tenant, oneLine(w.Text))
	}
	return all
}

// lastRun is how the last run ended, and when it began.
func lastRun(l look, st defsync.StreamStatus) string {
	if st.LastRun == nil {
		return "never"
	}
	outcome := st.LastRun.Outcome
	if st.Stale {
		outcome += " (stale)"
	}
	return outcome + " " + l.when(&st.LastRun.StartedAt)
}

// compared is when the stream was compared with its source, and how that ended
// where it ended otherwise than well.
func compared(l look, st defsync.StreamStatus) string {
	r := st.Reconciled
	switch {
	case r == nil && st.NextReconcile != nil:
		return "never"
	case r == nil:
		return "-"
	case r.Outcome != string(defsync.OutcomeOK):
		return r.Outcome + " " + l.when(&r.StartedAt)
	}
	return l.when(&r.StartedAt)
}

func comparedTone(cell string) tone {
	if word, _, _ := strings.Cut(cell, " "); word == "failed" || word == "partial" || word == "interrupted" {
		return outcomeTone(cell)
	}
	return plain
}

func covered(st defsync.StreamStatus) string {
	if st.CoveragePercent == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f%%", *st.CoveragePercent)
}

func lag(l look, st defsync.StreamStatus) string {
	if st.LagSeconds == nil {
		return "-"
	}
	return l.span(time.Duration(*st.LagSeconds) * time.Second)
}

func clock(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}
