package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"defendersync/migrations"

	"github.com/spf13/cobra"
)

func (a *app) migrateCommand() *cobra.Command {
	var grantRead string
	up := a.databaseCommand("up", "Apply what is pending", func(ctx context.Context, o *opened) error {
		return a.migrateUp(ctx, o.db, grantRead)
	})
	down := a.databaseCommand("down", "Take the newest migration back, with the data in what it drops", a.migrateDown)
	status := a.databaseCommand("status", "List the migrations", a.migrateStatus)
	sql := a.databaseCommand("sql", "Print what up would run, for an operator to apply", a.migrateSQL)
	cmd := group("migrate", "Bring the database's schema up to date", up, down, status, sql)
	cmd.RunE = up.RunE
	for _, c := range []*cobra.Command{cmd, up} {
		c.Flags().StringVar(&grantRead, "grant-read", "", "also let this role read every table")
		c.PreRunE = func(cmd *cobra.Command, _ []string) error {
			if grantRead == "" && cmd.Flags().Changed("grant-read") {
				return errors.New("--grant-read: no role is named")
			}
			return nil
		}
	}
	return cmd
}

func (a *app) migrateUp(ctx context.Context, db *database, grantRead string) error {
	applied, err := migrations.Up(ctx, db.Pool())
	if err != nil {
		return err
	}
	for _, name := range applied {
		fmt.Fprintln(a.stdout, "applied", name)
	}
	if len(applied) == 0 {
		fmt.Fprintln(a.stdout, "nothing is pending")
	}
	if grantRead == "" {
		return nil
	}
	if err := migrations.GrantRead(ctx, db.Pool(), grantRead); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, "read access granted to", grantRead)
	return err
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
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MIGRATION\tAPPLIED")
	for _, m := range all {
		at := "pending"
		if !m.AppliedAt.IsZero() {
			at = m.AppliedAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(t, "%s\t%s\n", m.Name, at)
	}
	return t.Flush()
}

func (a *app) migrateSQL(ctx context.Context, o *opened) error {
	text, err := migrations.SQL(ctx, o.db.Pool())
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.stdout, text)
	return err
}
