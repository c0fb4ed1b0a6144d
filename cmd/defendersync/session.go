package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	defsync "defendersync/sync"

	"github.com/google/uuid"
)

// session is what a command that syncs works with: an open and migrated
// database, the tenants, and a worker for them.
type session struct {
	db      *database
	log     *slog.Logger
	tenants []defsync.Tenant
	limits  map[string]defsync.Limits // by tenant id
	worker  *defsync.Worker
}

// openSession opens and migrates the database and makes a worker. The caller
// closes it.
func (a *app) openSession(ctx context.Context, c *config, command string, log *slog.Logger, show *progress) (*session, error) {
	db, err := openDatabase(ctx, c, log)
	if err != nil {
		return nil, err
	}
	s, err := newSession(ctx, c, db, sessionOptions{command, log, show})
	if err != nil {
		db.close(log)
	}
	return s, err
}

// sessionOptions are what sessions differ in.
type sessionOptions struct {
	command string // recorded in sync.runs
	log     *slog.Logger
	show    *progress // may be nil
}

// newSession is openSession on a database that is open.
func newSession(ctx context.Context, c *config, db *database, o sessionOptions) (*session, error) {
	if err := db.migrate(ctx, c.Database.AutoMigrate, o.log); err != nil {
		return nil, err
	}
	for _, w := range c.warnings() {
		o.log.Warn(w)
	}
	s := &session{db: db, log: o.log}
	var err error
	if s.tenants, s.limits, err = c.tenants(db, o.log); err != nil {
		return nil, err
	}
	cfg := defsync.WorkerConfig{
		Store:   db.Store,
		Tenants: s.tenants,
		Owner:   owner(),
		Command: o.command,
		Log:     o.log,
		Waiting: func(tenant string, held error) {
			o.log.Info("the tenant is held by another worker; waiting up to 20s", "tenant", tenant, "err", held)
		},
	}
	if o.show != nil {
		cfg.Progress = o.show.observe
	}
	s.worker, err = defsync.NewWorker(cfg)
	return s, err
}

// recall tells the clients what is on record of calls and waits. A worker that
// takes a tenant does so by itself; this is for calls without the lease.
func (s *session) recall(ctx context.Context) error {
	for _, t := range s.tenants {
		for _, of := range []struct {
			client any
			family callFamily
		}{{t.Source, incidentCalls()}, {t.Hunter, huntingCalls()}} {
			client, ok := of.client.(limited)
			if !ok {
				continue
			}
			calls, err := of.family.recent(ctx, s.db.Store, t.ID)
			if err != nil {
				return err
			}
			client.Seed(calls)
			if err := of.family.close(ctx, s.db.Store, t.ID, client); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) close() { s.db.close(s.log) }

// status is what `status` and /api/status show.
func (s *session) status(ctx context.Context) (defsync.Status, error) {
	return defsync.ReadStatus(ctx, s.db.Store, s.tenants, s.limits, time.Now())
}

// tenants are all configured tenants as the worker needs them, and the calls
// that each may make.
func (c *config) tenants(db *database, log *slog.Logger) ([]defsync.Tenant, map[string]defsync.Limits, error) {
	var tenants []defsync.Tenant
	limits := make(map[string]defsync.Limits)
	for _, t := range c.Tenants {
		tenant, err := c.tenant(t, db.Store, log)
		if err != nil {
			return nil, nil, err
		}
		tenants = append(tenants, tenant)
		limits[tenant.ID] = t.Limits.status()
	}
	return tenants, limits, nil
}

// owner names this process in leases: unique, and telling where to look.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), uuid.NewString()[:8])
}

func join(names []string) string { return strings.Join(names, ", ") }
