// Package storetest gives each test a PostgreSQL database of its own, cloned
// from a migrated template.
//
// The server is a throwaway one that the test process starts for itself when
// the first test asks, in memory where there is room; it ends and vanishes with
// the process, so that no TestMain is needed. TEST_DATABASE_URL names a server
// to use instead; its role needs CREATEDB. A machine without PostgreSQL fails
// the test: it never skips.
//
// The database of a test that failed is kept, and its log says how to open it.
package storetest

import (
	"context"
	"sync"
	"testing"
	"time"
)

// timeout bounds what is done for one test; the first one waits for initdb.
const timeout = 3 * time.Minute

// shared is the process's server, started by the first test that asks.
var shared = sync.OnceValues(open)

// URL is the address of a fresh, migrated database of the test's own, as pgx
// takes it. The database is dropped when the test has passed.
func URL(t testing.TB) string {
	t.Helper()
	c := mustCluster(t)
	return c.database(t, c.template)
}

// Empty is like [URL], of a database that no migration has touched.
func Empty(t testing.TB) string {
	t.Helper()
	return mustCluster(t).database(t, "template0")
}

func mustCluster(t testing.TB) *cluster {
	t.Helper()
	c, err := shared()
	if err != nil {
		t.Fatalf("storetest needs PostgreSQL, or TEST_DATABASE_URL: %v", err)
	}
	return c
}

// database makes one for the test, and drops it at its end.
func (c *cluster) database(t testing.TB, template string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	name := c.name(t.Name())
	if err := c.create(ctx, name, template); err != nil {
		t.Fatalf("storetest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout) // t's own has ended
		defer cancel()
		if t.Failed() {
			t.Logf("storetest: database kept; open it with: %s", c.keep(ctx, name))
			return
		}
		if err := c.drop(ctx, name); err != nil {
			t.Errorf("storetest: %v", err)
		}
	})
	return c.url(name)
}
