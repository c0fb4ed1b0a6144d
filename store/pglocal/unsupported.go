//go:build !unix

package pglocal

import (
	"context"
	"errors"
	"os"
)

type account struct{}

type lock struct{ file *os.File }

func unsupported() error {
	return errors.New("private PostgreSQL: not supported on this system: set database.url in the configuration")
}

// Start always fails: a private PostgreSQL needs unix sockets, process groups
// and file locks as Linux and macOS have them.
func Start(context.Context, Options) (*Server, error) { return nil, unsupported() }

// Find always fails, because Start does.
func Find(string) (string, error) { return "", unsupported() }

// Stop does nothing, because Start never succeeds.
func (s *Server) Stop(context.Context) error { return nil }

// Remove always fails, because Start never succeeds.
func Remove(string) (bool, error) { return false, unsupported() }
