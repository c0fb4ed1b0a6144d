package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"defendersync/migrations"

	"github.com/spf13/cobra"
)

func (a *app) migrateCommand() *cobra.Command {
	var reader readerFlags
	up := a.databaseCommand("up", "Apply what is pending", func(ctx context.Context, o *opened) error {
		return a.migrateUp(ctx, o, reader)
	})
	down := a.databaseCommand("down", "Take the newest migration back, with the data in what it drops", a.migrateDown)
	down.Long = down.Short + ".\n\n" + downOrder
	status := a.databaseCommand("status", "List the migrations", a.migrateStatus)
	sql := a.databaseCommand("sql", "Print what up would run, for an operator to apply", a.migrateSQL)
	cmd := group("migrate", "Bring the database's schema up to date", up, down, status, sql)
	cmd.RunE = up.RunE
	for _, c := range []*cobra.Command{cmd, up} {
		c.Flags().StringVar(&reader.role, "grant-read", "", "also let this role read every table")
		c.Flags().StringVar(&reader.tenant, "tenant", "", "with --grant-read: only the rows of the tenant of this name")
		c.PreRunE = func(cmd *cobra.Command, _ []string) error { return reader.check(cmd) }
	}
	return cmd
}

// downOrder is what of all migrations is the newest.
const downOrder = `Those of hunting tables go before the others, and of them any that is not
applied before any that is, whichever came first: it is forgotten, and no data
goes with it, so that a table that could not be made costs no table that could.
A stream that still needs its table makes it anew in its next pass.`

// readerFlags name a role that may read, and what of it.
type readerFlags struct{ role, tenant string }

func (f *readerFlags) check(cmd *cobra.Command) error {
	switch {
	case f.role == "" && cmd.Flags().Changed("grant-read"):
		return errors.New("--grant-read: no role is named")
	case f.tenant == "" && cmd.Flags().Changed("tenant"):
		return errors.New("--tenant: no tenant is named")
	case f.role == "" && f.tenant != "":
		return errors.New("--tenant: goes with --grant-read ROLE only")
	}
	return nil
}

func (a *app) migrateUp(ctx context.Context, o *opened, reader readerFlags) error {
	var tenants []tenantConfig
	if reader.tenant != "" {
		var err error
		if tenants, err = o.cfg.choose(reader.tenant, nil); err != nil {
			return err
		}
	}
	applied, err := migrations.Up(ctx, o.db.Pool())
	for _, name := range applied {
		fmt.Fprintln(a.stdout, "applied", name)
	}
	var stuck *migrations.HuntingError
	switch {
	case errors.As(err, &stuck): // what else there is to do is done all the same
	case err != nil:
		return err
	case len(applied) == 0:
		fmt.Fprintln(a.stdout, "nothing is pending")
	}
	failed := a.tellStuck(stuck, o.cfg.Streams.huntingTables())
	if reader.role == "" {
		return failed
	}
	if len(tenants) == 0 {
		err = migrations.GrantRead(ctx, o.db.Pool(), reader.role)
	} else {
		err = migrations.GrantReadTenant(ctx, o.db.Pool(), reader.role, string(tenants[0].TenantID))
	}
	if err != nil {
		return errors.Join(failed, err)
	}
	fmt.Fprintln(a.stdout, "read access granted to", reader.role+reader.only())
	return failed
}

// tellStuck returns why tables that a stream waits for could not be made, and
// only mentions others: nothing comes of them.
func (a *app) tellStuck(stuck *migrations.HuntingError, streams map[string]string) error {
	if stuck == nil {
		return nil
	}
	var failed []error
	for _, f := range stuck.Failed {
		if stream := streams[f.Table]; stream != "" {
			failed = append(failed, fmt.Errorf("%s waits: %w", stream, f.Err))
			continue
		}
		fmt.Fprintf(a.stdout, "left out %s, which no stream here needs: %v\n", f.Name, oneLine(f.Err.Error()))
	}
	return errors.Join(failed...)
}

// only says what of the database the reader sees.
func (f *readerFlags) only() string {
	if f.tenant == "" {
		return ""
	}
	return ", to the rows of " + f.tenant + " only"
}

func (a *app) migrateDown(ctx context.Context, o *opened) error {
	undone, err := migrations.Down(ctx, o.db.Pool())
	if err != nil {
		return err
	}
	switch {
	case undone.Name == "":
		_, err = fmt.Fprintln(a.stdout, "nothing is applied")
	case undone.AppliedAt.IsZero():
		_, err = fmt.Fprintf(a.stdout, "forgot %s, which was not applied\n", undone.Name)
	default:
		_, err = fmt.Fprintln(a.stdout, "took back", undone.Name)
	}
	return err
}

func (a *app) migrateStatus(ctx context.Context, o *opened) error {
	all, err := migrations.Status(ctx, o.db.Pool())
	if err != nil {
		return err
	}
	t := newTable(column{name: "MIGRATION", elastic: true}, column{name: "APPLIED", tone: pendingTone})
	streams := o.cfg.Streams.huntingTables()
	for _, m := range all {
		at := m.AppliedAt.UTC().Format(time.RFC3339)
		switch {
		case !m.AppliedAt.IsZero():
		case m.Table == "":
			at = pending
		case streams[m.Table] != "":
			at = pending + ", " + streams[m.Table] + " waits"
		default:
			at = pending + ", no stream here needs it"
		}
		t.add(m.Name, at)
	}
	return t.print(a.stdout, a.look())
}

// pending is when a migration was applied that was not.
const pending = "pending"

func pendingTone(at string) tone {
	if strings.HasPrefix(at, pending) {
		return odd
	}
	return plain
}

func (a *app) migrateSQL(ctx context.Context, o *opened) error {
	text, err := migrations.SQL(ctx, o.db.Pool())
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.stdout, text)
	return err
}
