//go:build !unix

package pglocal

import (
	"context"
	"errors"
	"os"
)

type account struct{}

type lock struct{ file *os.File }

// Start always fails: a private PostgreSQL needs unix sockets, process groups
// and file locks as Linux and macOS have them.
func Start(context.Context, Options) (*Server, error) {
	return nil, errors.New("private PostgreSQL: not supported on this system: set database.url in the configuration")
}

// Stop does nothing, because Start never succeeds.
func (s *Server) Stop(context.Context) error { return nil }

// Remove always fails, because Start never succeeds.
func Remove(string) (bool, error) {
	return false, errors.New("private PostgreSQL: not supported on this system")
}
