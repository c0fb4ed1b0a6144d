package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/migrations"
)

// cluster is the server that this process's tests share, and the template that
// their databases are cloned from.
type cluster struct {
	admin     string // URL of a database to give orders from
	local     *local // nil when TEST_DATABASE_URL named the server
	template  string
	strategy  string // clause of CREATE DATABASE
	id        int32  // tells this process's databases from another's
	presence  *pgx.Conn
	databases atomic.Int64
}

func open() (*cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c := &cluster{admin: os.Getenv("TEST_DATABASE_URL"), id: rand.Int32()}
	if c.admin == "" {
		var err error
		if c.local, err = startLocal(ctx); err != nil {
			return nil, err
		}
		c.admin = c.local.server.URL("postgres")
	}
	for _, step := range []func(context.Context) error{c.announce, c.sweep, c.makeTemplate} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// announce opens a session that lives as long as this process does, under a
// name that tells others whose databases are in use.
func (c *cluster) announce(ctx context.Context) error {
	config, err := pgx.ParseConfig(c.admin)
	if err != nil {
		return fmt.Errorf("read TEST_DATABASE_URL: %w", err)
	}
	config.RuntimeParams["application_name"] = c.owner()
	if c.presence, err = pgx.ConnectConfig(ctx, config); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	var version int
	if err := c.presence.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return fmt.Errorf("ask for the version: %w", err)
	}
	if version >= 150000 {
		c.strategy = " STRATEGY file_copy" // half the time of the default, wal_log
	}
	return nil
}

// sweep drops the databases of processes that were killed; those that were kept
// on purpose have a comment.
func (c *cluster) sweep(ctx context.Context) error {
	const q = `
		SELECT datname FROM pg_catalog.pg_database d
		WHERE datname ~ '^defendersync_test_[0-9a-f]{8}_'
		  AND datname <> current_database()
		  AND pg_get_userbyid(datdba) = current_user
		  AND shobj_description(oid, 'pg_database') IS NULL
		  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
		                  WHERE application_name = substr(d.datname, 1, 26))`
	rows, err := c.presence.Query(ctx, q)
	if err != nil {
		return fmt.Errorf("look for left databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for left databases: %w", err)
	}
	for _, name := range names {
		if err := c.drop(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// makeTemplate migrates one database for all tests of the process.
func (c *cluster) makeTemplate(ctx context.Context) error {
	c.template = c.name("template")
	if err := c.create(ctx, c.template, "template0"); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, c.url(c.template))
	if err != nil {
		return fmt.Errorf("connect to the template: %w", err)
	}
	defer pool.Close() // a template in use cannot be cloned
	if _, err := migrations.Up(ctx, pool); err != nil {
		return fmt.Errorf("migrate the template: %w", err)
	}
	return nil
}

// owner begins the names of all databases of this process: 26 bytes.
func (c *cluster) owner() string { return fmt.Sprintf("defendersync_test_%08x", uint32(c.id)) }

// name is unique on the server and recalls the test; PostgreSQL would cut it
// at 63 bytes.
func (c *cluster) name(test string) string {
	slug := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(test), "_")
	name := fmt.Sprintf("%s_%d_%s", c.owner(), c.databases.Add(1), slug)
	return name[:min(len(name), 63)]
}

func (c *cluster) create(ctx context.Context, name, template string) error {
	return c.order(ctx, "create database", "CREATE DATABASE "+quoted(name)+" TEMPLATE "+quoted(template)+c.strategy)
}

func (c *cluster) drop(ctx context.Context, name string) error {
	return c.order(ctx, "drop database", "DROP DATABASE IF EXISTS "+quoted(name)+" WITH (FORCE)")
}

// keep protects a database from being swept and returns a command that opens
// it.
func (c *cluster) keep(ctx context.Context, name string) string {
	if err := c.order(ctx, "keep database", "COMMENT ON DATABASE "+quoted(name)+" IS 'kept: its test failed'"); err != nil {
		return "(" + err.Error() + ")"
	}
	if c.local == nil {
		return "psql \"$TEST_DATABASE_URL\", then \\c " + name
	}
	return c.local.keep(name)
}

// order runs one statement on a connection of its own, so that parallel tests
// need not wait for each other.
func (c *cluster) order(ctx context.Context, what, sql string) error {
	conn, err := pgx.Connect(ctx, c.admin)
	if err != nil {
		return fmt.Errorf("%s: connect: %w", what, err)
	}
	_, err = conn.Exec(ctx, sql)
	if closeErr := conn.Close(ctx); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }
