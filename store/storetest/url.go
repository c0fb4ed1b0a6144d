package storetest

import (
	"net/url"
	"strings"
)

// url is the address of another database of the same server.
func (c *cluster) url(database string) string { return withDatabase(c.admin, database) }

// withDatabase takes both forms of a connection string: postgres://… and
// key=value pairs, of which the last counts.
func withDatabase(dsn, database string) string {
	if !strings.Contains(dsn, "://") {
		return dsn + " dbname=" + database
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return dsn // pgx connected with it before, so it is not reached
	}
	u.Path = "/" + database
	return u.String()
}
