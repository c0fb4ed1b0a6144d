package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"defendersync/migrations"
	"defendersync/store"
	"defendersync/store/pglocal"

	"github.com/spf13/cobra"
)

// stopTimeout is how long a private server may take to shut down.
const stopTimeout = 10 * time.Second

// database is an open Store and the private server behind it, if there is one.
type database struct {
	*store.Store
	server *pglocal.Server // nil when database.url is set
}

// openDatabase connects to database.url, or starts the private PostgreSQL.
// It changes nothing in the database.
func openDatabase(ctx context.Context, c *config, log *slog.Logger) (*database, error) {
	if c.Database.URL != "" {
		s, err := store.Open(ctx, string(c.Database.URL), c.Database.MaxConnections)
		if err != nil {
			return nil, err
		}
		return &database{Store: s}, nil
	}
	return openPrivate(ctx, filepath.Join(c.DataDir, "postgres"), c.Database.MaxConnections, log)
}

// openPrivate starts the private PostgreSQL of a directory and connects to it.
func openPrivate(ctx context.Context, dir string, connections int, log *slog.Logger) (*database, error) {
	server, err := pglocal.Start(ctx, pglocal.Options{Dir: dir, Log: log})
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, server.URL(pglocal.Database), connections)
	if err != nil {
		stopServer(server, log)
		return nil, err
	}
	return &database{Store: s, server: server}, nil
}

// close gives everything back that opening took.
func (d *database) close(log *slog.Logger) {
	d.Store.Close()
	if d.server != nil {
		stopServer(d.server, log)
	}
}

func stopServer(server *pglocal.Server, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		log.Warn("the private PostgreSQL did not stop cleanly; the next start recovers", "err", err)
	}
}

// gone is closed when the private server ends by itself; nil without one.
func (d *database) gone() <-chan struct{} {
	if d.server == nil {
		return nil
	}
	return d.server.Done()
}

// migrate brings the schema up to date, or refuses to go on where that is the
// operator's to do. The tables of hunting are left to their streams: one that
// cannot be made is no reason not to begin.
func (d *database) migrate(ctx context.Context, auto bool, log *slog.Logger) error {
	if !auto {
		return d.requireCurrent(ctx, "apply what `defendersync migrate sql` prints (database.auto_migrate is off)")
	}
	applied, err := migrations.UpFiles(ctx, d.Pool())
	if len(applied) > 0 {
		log.Info("database migrated", "applied", strings.Join(applied, " "))
	}
	return err
}

func (d *database) requireCurrent(ctx context.Context, advice string) error {
	current, err := migrations.Current(ctx, d.Pool())
	if err == nil && !current {
		err = errors.New("the database's schema is not up to date: " + advice)
	}
	return err
}

// opened is what a command gets that works on the database, in whatever state
// its schema is.
type opened struct {
	cfg *config
	db  *database
	log *slog.Logger
}

// databaseCommand is such a command.
func (a *app) databaseCommand(use, short string, f func(context.Context, *opened) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  noArguments,
		RunE: own(func(cmd *cobra.Command, _ []string) error {
			return a.withDatabase(cmd.Context(), f)
		}),
	}
}

func (a *app) withDatabase(ctx context.Context, f func(context.Context, *opened) error) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	log, err := a.logger()
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, c, log)
	if err != nil {
		return err
	}
	defer db.close(log)
	return f(ctx, &opened{c, db, log})
}
