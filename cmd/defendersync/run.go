package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"defendersync/migrations"
	defsync "defendersync/sync"
	"defendersync/web"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Sync every stream on its schedule and serve HTTP, until SIGTERM",
		Args:  noArguments,
		RunE: own(func(cmd *cobra.Command, _ []string) error {
			err := a.work(cmd.Context())
			if cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil // being told to stop is how a worker ends, even while it still starts
			}
			return err
		}),
	}
}

func (a *app) work(ctx context.Context) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	log, err := a.logger()
	if err != nil {
		return err
	}
	ln, err := listen(ctx, string(c.Server.Listen))
	if err != nil {
		return fmt.Errorf("%w (%s)", err, listenAdvice(err))
	}
	show := newProgress(a.screen, log)
	defer show.start()()
	s, err := a.openSession(ctx, c, "run", log, show)
	if err != nil {
		if ln != nil {
			ln.Close()
		}
		return err
	}
	defer s.close()
	log.Info("worker started", "version", version(), "tenants", len(s.tenants), "http", httpSummary(c))
	defer log.Info("worker stopped")
	return s.serve(ctx, ln)
}

// listen takes the address for HTTP, or answers nil for none, before any work starts.
func listen(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	return web.Listen(ctx, address)
}

// listenAdvice is what to do about an address that cannot be had.
func listenAdvice(err error) string {
	if errors.Is(err, syscall.EADDRINUSE) {
		return "write another port in server.listen, or stop the program that has this one"
	}
	return "write another address in server.listen"
}

// serve follows the schedules and answers HTTP on ln, which may be nil, until
// ctx ends or one of the two, or the private server, fails.
func (s *session) serve(ctx context.Context, ln net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		s.worker.Run(ctx)
		return nil
	})
	if ln != nil {
		group.Go(func() error { return web.Serve(ctx, ln, web.NewHandler(s.webConfig()), s.log) })
	}
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-s.db.gone():
			return errors.New("the private PostgreSQL ended; its log is in the data directory")
		}
	})
	return group.Wait()
}

// webConfig is what HTTP shows of the session.
func (s *session) webConfig() web.Config {
	return web.Config{
		Status:  s.status,
		Version: version(),
		Log:     s.log,
		Runs: func(ctx context.Context) (map[string][]defsync.StreamRun, error) {
			return defsync.ReadRuns(ctx, s.db.Store, s.tenants, web.PageRuns)
		},
		Incidents: func(ctx context.Context) (map[string]defsync.IncidentFigures, error) {
			return defsync.ReadIncidents(ctx, s.db.Store, s.tenants, web.PageDays, time.Now())
		},
		Ready: s.ready,
	}
}

// ready says why the database is not ready for the worker; "" when it is.
func (s *session) ready(ctx context.Context) (reason string, err error) {
	if err := s.db.Ping(ctx); err != nil {
		return "the database does not answer", err
	}
	current, err := migrations.Current(ctx, s.db.Pool())
	switch {
	case err != nil:
		return "the database does not say how far its schema is", err
	case !current:
		return "the database's schema is not up to date", errors.New("run `defendersync migrate up`")
	}
	return "", nil
}
