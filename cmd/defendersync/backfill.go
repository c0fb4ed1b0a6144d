package main

import (
	"context"
	"fmt"
	"time"

	defsync "defendersync/sync"

	"github.com/spf13/cobra"
)

// backfillFlags are the flags of backfill, as given.
type backfillFlags struct {
	tenant, from, to string
	budget           string
	plan             bool
	newestFirst      bool
}

func (a *app) backfillCommand() *cobra.Command {
	var f backfillFlags
	cmd := &cobra.Command{
		Use:   "backfill STREAM --from T [--to T]",
		Short: "Fill what is missing of a past range of a stream; can be cut off and run again",
		Args:  oneStream,
		RunE: own(func(cmd *cobra.Command, args []string) error {
			return a.backfill(cmd.Context(), args[0], f)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "begin of the range: "+instantForms)
	flags.StringVar(&f.to, "to", "", "end of the range, itself not in it (default now)")
	flags.StringVar(&f.tenant, "tenant", "", "only the tenant of this name")
	flags.BoolVar(&f.plan, "plan", false, "say what would be done, and fetch nothing but counts")
	flags.StringVar(&f.budget, "budget", "", "percentage of limits.share to use at most, such as 50%")
	flags.BoolVar(&f.newestFirst, "newest-first", false, "begin at the end of the range")
	return cmd
}

// oneStream refuses anything but one stream's name.
func oneStream(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want the name of one stream, found %s", counted(len(args), "argument"))
	}
	return nil
}

func (a *app) backfill(ctx context.Context, stream string, f backfillFlags) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	r, err := c.backfillRequest(stream, f, time.Now())
	if err != nil {
		return err
	}
	return a.atWork(ctx, c, "backfill", func(s *session, show *progress) error {
		if f.plan {
			return a.planBackfill(ctx, c, s, show, r)
		}
		results := s.worker.Backfill(ctx, r)
		show.finish()
		if err := printResults(a.stdout, a.look(), results); err != nil {
			return err
		}
		return outcome(results)
	})
}

// backfillRequest is what the arguments ask for. It takes the budget off the
// shares of c.
func (c *config) backfillRequest(stream string, f backfillFlags, now time.Time) (defsync.BackfillRequest, error) {
	r := defsync.BackfillRequest{Tenant: f.tenant, Stream: stream, NewestFirst: f.newestFirst}
	chosen, err := c.choose(f.tenant, []string{stream})
	if err != nil {
		return r, err
	}
	if f.from == "" {
		return r, usageErrorf("--from is missing: write where the range begins, %s", instantForms)
	}
	if r.From, r.To, err = timeRange(f.from, f.to, now); err != nil {
		return r, err
	}
	for _, s := range c.streamsOf(chosen[0]) {
		if s.Name != stream || s.Hunt == nil {
			continue
		}
		if err := s.Hunt.Backfillable(); err != nil {
			return r, usageErrorf("%s cannot be backfilled: %w", stream, err)
		}
	}
	return r, c.spare(f.budget, stream)
}

// spare leaves only a part of each tenant's share to use. What that leaves has
// to be enough for the stream.
func (c *config) spare(budget, stream string) error {
	if budget == "" {
		return nil
	}
	var part share
	if part.setText(budget) != nil && part.setText(budget+"%") != nil {
		return usageErrorf("--budget: %q is not a percentage from 1 to 100, such as 50%%", clip(budget))
	}
	for i := range c.Tenants {
		t := &c.Tenants[i]
		t.Limits.Share *= part
		least := min(t.Limits.incidents().PerMinute, t.Limits.incidents().PerHour)
		if hunts(stream) {
			least = t.Limits.hunting().PerMinute
		}
		if least < 1 {
			return usageErrorf("--budget: %s leaves tenant %s less than one call; allow more", budget, t.Name)
		}
	}
	return nil
}

// instantForms are the ways to write a time.
const instantForms = "an age such as 30d, a date such as 2026-01-31, or a time such as 2026-01-31T08:00:00Z"

// timeRange reads --from and --to, either of which may be missing: then it is
// the zero time, for a default to be filled in. An end in the future is now.
func timeRange(from, to string, now time.Time) (since, until time.Time, err error) {
	if since, err = instant("--from", from, now); err != nil {
		return since, until, err
	}
	if until, err = instant("--to", to, now); err != nil {
		return since, until, err
	}
	if until.After(now) || until.IsZero() && !since.IsZero() {
		until = now
	}
	switch {
	case since.After(now):
		return since, until, usageErrorf("--from: %s is in the future", since.Format(time.RFC3339))
	case !until.IsZero() && !since.Before(until):
		return since, until, usageErrorf("--from: %s is not before --to, %s", since.Format(time.RFC3339), until.Format(time.RFC3339))
	}
	return since, until, nil
}

// instant is the time that a flag names; zero for none.
func instant(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	var p startPoint
	if p.setText(text) != nil {
		return time.Time{}, usageErrorf("%s: %q is not a time; write %s", flag, clip(text), instantForms)
	}
	return defsync.Start(p).Time(now).UTC(), nil
}
