package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	defsync "defendersync/sync"
	"defendersync/sync/defender"

	"github.com/spf13/cobra"
)

func (a *app) queryCommand() *cobra.Command {
	var check bool
	var tenant string
	cmd := &cobra.Command{
		Use:   "query NAME --check",
		Short: "Check a hunting stream against what the service answers, and print what that makes of its table",
		Args:  oneHunt,
		PreRunE: func(*cobra.Command, []string) error {
			if !check {
				return errors.New("--check is missing: queries run on their schedule, or by `defendersync sync`; here they are only checked")
			}
			return nil
		},
		RunE: own(func(cmd *cobra.Command, args []string) error {
			return a.checkQuery(cmd.Context(), args[0], tenant)
		}),
	}
	cmd.Flags().BoolVar(&check, "check", false, "ask for one minute, and compare the columns of the answer with the configuration")
	cmd.Flags().StringVar(&tenant, "tenant", "", "only the tenant of this name")
	return cmd
}

// oneHunt refuses anything but one name.
func oneHunt(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want the name of one query or table, found %s", counted(len(args), "argument"))
	}
	return nil
}

func (a *app) checkQuery(ctx context.Context, name, tenant string) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	stream := c.huntNamed(name)
	if stream == "" {
		return usageErrorf("there is no %q under streams.hunting: there are %s", clip(name), orNone(c.huntLabels()))
	}
	if _, err := c.choose(tenant, nil); err != nil {
		return err
	}
	log, err := a.logger()
	if err != nil {
		return err
	}
	s, err := a.openSession(ctx, c, "query", log, nil)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.recall(ctx); err != nil {
		return err
	}
	meter := defender.Meter{Waiting: tellWaits(a.screen, defsync.HuntFamily, 0)}
	checks := s.worker.CheckQuery(defender.ContextWithMeter(ctx, &meter), tenant, stream)
	for _, q := range checks {
		if err := printCheck(a.stdout, q); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return checked(checks)
}

// huntNamed is the stream of the entry that a person calls by its name, its
// table's or its stream's; "" for none. The entry is enabled for it: whoever
// writes a new one may want to see it checked before it runs.
func (c *config) huntNamed(name string) string {
	stream := defsync.HuntingStream(strings.TrimPrefix(name, defsync.HuntingStream("")))
	for i := range c.Streams.Hunting {
		if h := &c.Streams.Hunting[i]; defsync.HuntingStream(h.label()) == stream {
			h.Enabled = true
			return stream
		}
	}
	return ""
}

func (c *config) huntLabels() []string {
	var all []string
	for i := range c.Streams.Hunting {
		all = append(all, c.Streams.Hunting[i].label())
	}
	return all
}

// printCheck writes the columns of an answer and the table that it would fill.
func printCheck(w io.Writer, q defsync.QueryCheck) error {
	if q.Err != nil {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "-- %s of %s answers with %s\n", q.Stream, q.Tenant, counted(len(q.Plan.Columns), "column"))
	fmt.Fprintln(t, "-- COLUMN\tTYPE\tGOES TO")
	for i, c := range q.Plan.Columns {
		fmt.Fprintf(t, "-- %s\t%s\t%s\n", c.Name, c.Type, goesTo(q, i))
	}
	switch p := q.Plan; {
	case p.SQL != "":
		fmt.Fprintf(t, "\n%s\n", strings.TrimSpace(p.SQL))
	case p.Refused == nil:
		fmt.Fprint(t, "\n-- the table is there, and stays as it is\n")
	}
	for _, p := range q.Problems {
		fmt.Fprintf(t, "\n-- problem: %s\n", p)
	}
	return t.Flush()
}

// goesTo says where the values of a column of the answer are stored.
func goesTo(q defsync.QueryCheck, column int) string {
	c := q.Plan.Columns[column]
	switch {
	case c.Dropped:
		return "nowhere: columns.drop"
	case c.Column == "" && q.Plan.Refused != nil:
		return "nowhere: see below"
	case c.Column == "":
		return "extra: on_new_column is ignore"
	}
	to := c.Column + " " + c.Kind
	if c.Hashed {
		to += ", hashed"
	}
	if !c.Fits {
		to += ", or extra where a value does not fit"
	}
	return to
}

// checked is the exit of these checks: a problem is one of the configuration.
func checked(checks []defsync.QueryCheck) error {
	var failed []defsync.Result
	var wrong causes
	for _, q := range checks {
		r := defsync.Result{Tenant: q.Tenant, Stream: q.Stream, Outcome: defsync.OutcomeFailed, Err: q.Err}
		if q.Err != nil {
			failed = append(failed, r)
		}
		for _, p := range q.Problems {
			wrong.add(r, p)
		}
	}
	if wrong != nil {
		return &exitError{exitUsage, errors.New(wrong.String())}
	}
	return outcome(failed)
}
