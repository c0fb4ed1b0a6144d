package main

import (
	"context"
	"io"
	"time"

	defsync "defendersync/sync"

	"github.com/spf13/cobra"
)

func (a *app) syncCommand() *cobra.Command {
	var tenant string
	cmd := &cobra.Command{
		Use:   "sync [STREAM ...]",
		Short: "Make one pass of the named streams, or of all, up to now",
		Args:  cobra.ArbitraryArgs,
		RunE: own(func(cmd *cobra.Command, streams []string) error {
			return a.sync(cmd.Context(), tenant, streams)
		}),
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "only the tenant of this name")
	return cmd
}

func (a *app) sync(ctx context.Context, tenant string, streams []string) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	if _, err := c.choose(tenant, streams); err != nil {
		return err
	}
	return a.atWork(ctx, c, "sync", func(s *session, show *progress) error {
		results := s.worker.Sync(ctx, tenant, streams)
		show.finish()
		if err := printResults(a.stdout, a.look(), results); err != nil {
			return err
		}
		return outcome(results)
	})
}

// atWork opens what a one-shot command works with, shows how far it is, and
// closes all again.
func (a *app) atWork(ctx context.Context, c *config, command string, work func(*session, *progress) error) error {
	log, err := a.logger()
	if err != nil {
		return err
	}
	show := newProgress(a.screen, log)
	defer show.start()()
	s, err := a.openSession(ctx, c, command, log, show)
	if err != nil {
		return err
	}
	defer s.close()
	return work(s, show)
}

// printResults writes what each pass did as a table.
func printResults(w io.Writer, l look, results []defsync.Result) error {
	t := newTable(column{name: "TENANT", common: true}, column{name: "STREAM", elastic: true}, column{name: "OUTCOME", tone: outcomeTone},
		number("READ"), number("INSERTED"), column{name: "UPDATED", right: true, quiet: true}, number("UNCHANGED"), number("CALLS"),
		trouble("GAPS"), trouble("QUARANTINED"), number("TIME"))
	for _, r := range results {
		t.add(r.Tenant, r.Stream, told(r), l.number(r.Read), l.number(r.Inserted), l.number(r.Updated), l.number(r.Unchanged),
			l.number(r.Calls), l.number(int64(r.Gaps)), l.number(int64(r.Quarantined)), l.span(r.Elapsed.Round(time.Millisecond)))
	}
	return t.print(w, l)
}
