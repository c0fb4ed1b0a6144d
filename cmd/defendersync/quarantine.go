package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"text/tabwriter"
	"time"

	"defendersync/store"

	"github.com/spf13/cobra"
)

func (a *app) quarantineCommand() *cobra.Command {
	list := a.quarantineList()
	show := &cobra.Command{
		Use:   "show ID",
		Short: "Show one record, with its bytes as served",
		Args:  oneRecord,
		RunE: own(func(cmd *cobra.Command, args []string) error {
			return a.withDatabase(cmd.Context(), func(ctx context.Context, o *opened) error {
				return a.quarantineShow(ctx, o, args[0])
			})
		}),
	}
	var discard bool
	retry := &cobra.Command{
		Use:   "retry [ID ...]",
		Short: "Try to store the records again, all of them if none is named",
		Args: func(cmd *cobra.Command, args []string) error {
			if discard && len(args) == 0 {
				return errors.New("--discard needs the IDs of the records that somebody has looked at")
			}
			return records(cmd, args)
		},
		RunE: own(func(cmd *cobra.Command, args []string) error {
			return a.quarantineRetry(cmd.Context(), args, discard)
		}),
	}
	retry.Flags().BoolVar(&discard, "discard", false, "let go of the named records that can never be stored")
	cmd := group("quarantine", "Look at records that could not be stored, and replay them", list, show, retry)
	cmd.RunE = list.RunE
	return cmd
}

// recordID is the form of a record's ID, or of as much of it as tells it from the others.
var recordID = regexp.MustCompile(`^[0-9A-Fa-f][0-9A-Fa-f-]{0,35}$`)

// oneRecord refuses anything but one record's ID.
func oneRecord(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want the ID of a record, as `quarantine list` prints it, found %s", counted(len(args), "argument"))
	}
	return records(cmd, args)
}

// records refuses what cannot be a record's ID.
func records(_ *cobra.Command, args []string) error {
	for _, id := range args {
		if !recordID.MatchString(id) {
			return fmt.Errorf("%q is not the ID of a record: `quarantine list` prints them", clip(id))
		}
	}
	return nil
}

func (a *app) quarantineList() *cobra.Command {
	var tenant, stream string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the records, oldest first",
		Args:  noArguments,
		RunE: own(func(cmd *cobra.Command, _ []string) error {
			return a.withDatabase(cmd.Context(), func(ctx context.Context, o *opened) error {
				filter, err := o.cfg.quarantineFilter(tenant, stream)
				if err != nil {
					return err
				}
				if err := o.db.requireCurrent(ctx, schemaAdvice); err != nil {
					return err
				}
				rows, err := o.db.QuarantineList(ctx, filter)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, quarantineJSON(rows))
				}
				return printQuarantine(a.stdout, a.look(), rows)
			})
		}),
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "only the tenant of this name")
	cmd.Flags().StringVar(&stream, "stream", "", "only this stream")
	cmd.Flags().BoolVar(&asJSON, "json", false, "machine-readable")
	return cmd
}

func (c *config) quarantineFilter(tenant, stream string) (store.QuarantineFilter, error) {
	f := store.QuarantineFilter{Stream: stream}
	var streams []string
	if stream != "" {
		streams = []string{stream}
	}
	chosen, err := c.choose(tenant, streams)
	if err == nil && tenant != "" {
		f.TenantID = string(chosen[0].TenantID)
	}
	return f, err
}

// quarantineEntry is one record in `quarantine list --json`. Names in it are stable.
type quarantineEntry struct {
	ID            string    `json:"id"`
	TenantID      string    `json:"tenant_id"`
	Stream        string    `json:"stream"`
	Kind          string    `json:"kind"`
	Key           string    `json:"key"`
	Reason        string    `json:"reason"`
	Attempts      int       `json:"attempts"`
	Size          int64     `json:"size"`
	FirstSeenAt   time.Time `json:"first_seen_at"`
	LastAttemptAt time.Time `json:"last_attempt_at"`
	RunID         string    `json:"run_id,omitempty"`
}

func quarantineJSON(rows []store.QuarantineRow) []quarantineEntry {
	entries := make([]quarantineEntry, 0, len(rows))
	for _, r := range rows {
		entries = append(entries, quarantineEntry{r.ID, r.TenantID, r.Stream, r.Kind, r.Key, r.Reason,
			r.Attempts, r.Size, r.FirstSeenAt, r.LastAttemptAt, r.RunID})
	}
	return entries
}

func printQuarantine(w io.Writer, l look, rows []store.QuarantineRow) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "nothing is in quarantine")
		return err
	}
	t := newTable(column{name: "ID"}, column{name: "STREAM", elastic: true}, column{name: "KIND"}, column{name: "KEY", elastic: true},
		column{name: "FIRST SEEN"}, number("ATTEMPTS"), number("BYTES"), column{name: "REASON", elastic: true})
	for _, r := range rows {
		id := r.ID
		if l.terminal() {
			id = id[:8] // as much as the other commands need
		}
		t.add(id, r.Stream, r.Kind, r.Key, l.when(&r.FirstSeenAt), l.number(int64(r.Attempts)), l.number(r.Size), clip(oneLine(r.Reason)))
	}
	return t.print(w, l)
}

// quarantineShow writes what is known of a record, an empty line, and its bytes.
func (a *app) quarantineShow(ctx context.Context, o *opened, id string) error {
	if err := o.db.requireCurrent(ctx, schemaAdvice); err != nil {
		return err
	}
	r, err := o.db.QuarantineGet(ctx, id)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "id\t%s\ntenant_id\t%s\nstream\t%s\nkind\t%s\nkey\t%s\nreason\t%s\nattempts\t%d\nfirst_seen_at\t%s\nlast_attempt_at\t%s\nrun_id\t%s\n",
		r.ID, r.TenantID, r.Stream, r.Kind, r.Key, oneLine(r.Reason), r.Attempts, clock(&r.FirstSeenAt), clock(&r.LastAttemptAt), r.RunID)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "\n%s\n", r.Payload)
	return err
}

func (a *app) quarantineRetry(ctx context.Context, ids []string, discard bool) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	log, err := a.logger()
	if err != nil {
		return err
	}
	s, err := a.openSession(ctx, c, "quarantine", log, nil)
	if err != nil {
		return err
	}
	defer s.close()
	named := len(ids) > 0
	if !named {
		if ids, err = s.allQuarantined(ctx); err != nil {
			return err
		}
	}
	left := 0
	for _, id := range ids {
		stays, err := a.replay(ctx, s, id, discard)
		switch {
		case errors.Is(err, store.ErrNotFound) && !named: // stored by another worker since it was listed
		case err != nil:
			return err
		case stays:
			left++
		}
	}
	if left > 0 {
		return &exitError{exitPartial, fmt.Errorf("still in quarantine: %d of %s", left, counted(len(ids), "record"))}
	}
	return nil
}

// allQuarantined are the IDs of all records: their bytes could be more than fits in memory.
func (s *session) allQuarantined(ctx context.Context) ([]string, error) {
	all, err := s.db.QuarantineList(ctx, store.QuarantineFilter{})
	ids := make([]string, 0, len(all))
	for _, r := range all {
		ids = append(ids, r.ID)
	}
	return ids, err
}

// replay tries one record again and prints what came of it. One that can never
// be stored is let go of where that is asked for. The error is one that would
// meet the next record, too.
func (a *app) replay(ctx context.Context, s *session, id string, discard bool) (stays bool, err error) {
	row, err := s.db.QuarantineGet(ctx, id)
	if err != nil {
		return true, err
	}
	r := s.worker.Replay(ctx, []store.QuarantineRow{row})[0]
	var never *store.UnstorableError
	switch {
	case r.Stored:
		fmt.Fprintln(a.stdout, "stored", r.ID)
		return false, nil
	case ctx.Err() != nil:
		return true, ctx.Err()
	case elsewhere(r.Err):
		return true, &exitError{exitLocked, fmt.Errorf("try later: %s: %s", s.tenantName(row.TenantID), reason(r.Err))}
	case !errors.As(r.Err, &never):
		fmt.Fprintf(a.stdout, "still in quarantine %s: %s\n", r.ID, oneLine(r.Err.Error()))
		return true, nil
	case !discard:
		fmt.Fprintf(a.stdout, "still in quarantine %s: %s; when you have looked at it, `quarantine retry --discard %[1]s` lets go of it\n", r.ID, oneLine(never.Why))
		return true, nil
	}
	if err := s.worker.Discard(ctx, row); err != nil {
		return true, err
	}
	fmt.Fprintf(a.stdout, "discarded %s: %s\n", r.ID, oneLine(never.Why))
	return false, nil
}

// tenantName is the label of a tenant, or its ID where it has none.
func (s *session) tenantName(id string) string {
	for _, t := range s.tenants {
		if t.ID == id {
			return t.Name
		}
	}
	return id
}
