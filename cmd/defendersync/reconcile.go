package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	defsync "defendersync/sync"

	"github.com/spf13/cobra"
)

// reconcileFlags are the flags of reconcile, as given.
type reconcileFlags struct {
	tenant, from, to string
	dryRun           bool
}

func (a *app) reconcileCommand() *cobra.Command {
	var f reconcileFlags
	cmd := &cobra.Command{
		Use:   "reconcile [STREAM ...]",
		Short: "Compare the source's counts with what is stored, and read again what differs",
		Args:  cobra.ArbitraryArgs,
		RunE: own(func(cmd *cobra.Command, streams []string) error {
			return a.reconcile(cmd.Context(), streams, f)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.tenant, "tenant", "", "only the tenant of this name")
	flags.StringVar(&f.from, "from", "", "begin of the range, which is widened to whole hours, of incidents and alerts days: "+instantForms+" (default: as far back as rows come late)")
	flags.StringVar(&f.to, "to", "", "end of the range, itself not in it (default now)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "compare only, and change nothing")
	return cmd
}

func (a *app) reconcile(ctx context.Context, streams []string, f reconcileFlags) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	if _, err := c.choose(f.tenant, streams); err != nil {
		return err
	}
	r := defsync.ReconcileRequest{Tenant: f.tenant, Streams: streams, DryRun: f.dryRun}
	if r.From, r.To, err = timeRange(f.from, f.to, time.Now()); err != nil {
		return err
	}
	return a.atWork(ctx, c, "reconcile", func(s *session, show *progress) error {
		all := s.worker.Reconcile(ctx, r)
		show.finish()
		if err := printReconciled(a.stdout, a.look(), all); err != nil {
			return err
		}
		return reconciled(ctx, all, len(streams) > 0)
	})
}

// printReconciled writes what each comparison found as a table.
func printReconciled(w io.Writer, l look, all []defsync.Reconciled) error {
	t := newTable(column{name: "TENANT", common: true}, column{name: "STREAM", elastic: true}, column{name: "FROM"}, column{name: "TO"},
		number("CHECKED"), column{name: "DIFFERING", right: true, tone: troubleTone}, number("HEALED"), number("EXPLAINED"),
		number("SOURCE"), number("STORED"), number("AFTER"), number("CALLS"))
	for _, r := range all {
		switch {
		case r.Skipped != "":
			t.add(r.Tenant, r.Stream, "not compared")
		case r.Err != nil:
			t.add(r.Tenant, r.Stream, told(asResult(r)))
		default:
			t.add(r.Tenant, r.Stream, clock(&r.From), clock(&r.To), counted(r.Checked, unit(r.Unit)), l.number(int64(r.Differing)),
				l.number(int64(r.Healed)), l.number(int64(r.Explained)), l.number(r.Source), l.number(r.Stored), l.number(r.After), l.number(r.Calls))
		}
	}
	if err := t.print(w, l); err != nil {
		return err
	}
	for _, r := range all {
		if r.Skipped != "" {
			fmt.Fprintf(w, "\n%s\n", l.prose(fmt.Sprintf("%s of %s is not compared: %s", r.Stream, r.Tenant, r.Skipped)))
		}
	}
	return nil
}

// unit is what a comparison counts by.
func unit(d time.Duration) string {
	if d >= 24*time.Hour {
		return "day"
	}
	return "hour"
}

// asResult is a comparison that could not be made as a pass that could not.
func asResult(r defsync.Reconciled) defsync.Result {
	return defsync.Result{Tenant: r.Tenant, Stream: r.Stream, Outcome: defsync.OutcomeFailed, Err: r.Err}
}

// reconciled is the exit of a command that made these comparisons. A stream that
// was named has been asked for, whether it can be compared or not.
func reconciled(ctx context.Context, all []defsync.Reconciled, named bool) error {
	var failed []defsync.Result
	var differ, skipped causes
	for _, r := range all {
		if r.Skipped != "" && named {
			skipped.add(defsync.Result{Tenant: r.Tenant, Stream: r.Stream}, r.Skipped)
		}
		if r.Err != nil {
			failed = append(failed, asResult(r))
		} else if n := r.Unexplained(); n > 0 {
			differ.add(defsync.Result{Tenant: r.Tenant, Stream: r.Stream}, fmt.Sprintf("%s of %d", counted(n, unit(r.Unit)), r.Checked))
		}
	}
	switch {
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, errors.New("interrupted; the next run compares again")}
	case failed != nil:
		return outcome(failed)
	case differ != nil:
		return &exitError{exitPartial, fmt.Errorf("what is stored differs from the source: %s", differ)}
	case skipped != nil:
		return &exitError{exitPartial, fmt.Errorf("not compared: %s", skipped)}
	}
	return nil
}
