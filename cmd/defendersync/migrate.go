package main

import (
	"context"
	"errors"
	"fmt"
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
	if err != nil {
		return err
	}
	for _, name := range applied {
		fmt.Fprintln(a.stdout, "applied", name)
	}
	if len(applied) == 0 {
		fmt.Fprintln(a.stdout, "nothing is pending")
	}
	if reader.role == "" {
		return nil
	}
	if len(tenants) == 0 {
		err = migrations.GrantRead(ctx, o.db.Pool(), reader.role)
	} else {
		err = migrations.GrantReadTenant(ctx, o.db.Pool(), reader.role, string(tenants[0].TenantID))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, "read access granted to", reader.role+reader.only())
	return err
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
	if undone == "" {
		_, err = fmt.Fprintln(a.stdout, "nothing is applied")
		return err
	}
	_, err = fmt.Fprintln(a.stdout, "took back", undone)
	return err
}

func (a *app) migrateStatus(ctx context.Context, o *opened) error {
	all, err := migrations.Status(ctx, o.db.Pool())
	if err != nil {
		return err
	}
	t := newTable(column{name: "MIGRATION", elastic: true}, column{name: "APPLIED", tone: pendingTone})
	for _, m := range all {
		at := pending
		if !m.AppliedAt.IsZero() {
			at = m.AppliedAt.UTC().Format(time.RFC3339)
		}
		t.add(m.Name, at)
	}
	return t.print(a.stdout, a.look())
}

// pending is when a migration was applied that was not.
const pending = "pending"

func pendingTone(at string) tone {
	if at == pending {
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
