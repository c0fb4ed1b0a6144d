package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
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
	log, err := a.logger()
	if err != nil {
		return err
	}
	show := newProgress(a.screen, log)
	defer show.start()()
	s, err := a.openSession(ctx, c, "sync", log, show)
	if err != nil {
		return err
	}
	defer s.close()
	results := s.worker.Sync(ctx, tenant, streams)
	show.finish()
	if err := printResults(a.stdout, results); err != nil {
		return err
	}
	return outcome(results)
}

// printResults writes what each pass did as a table.
func printResults(w io.Writer, results []defsync.Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TENANT\tSTREAM\tOUTCOME\tREAD\tINSERTED\tUPDATED\tUNCHANGED\tCALLS\tGAPS\tQUARANTINED\tTIME")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", r.Tenant, r.Stream, told(r), r.Read,
			r.Inserted, r.Updated, r.Unchanged, r.Calls, r.Gaps, r.Quarantined, r.Elapsed.Round(time.Millisecond))
	}
	return t.Flush()
}
