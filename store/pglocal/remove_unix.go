//go:build unix

package pglocal

import (
	"fmt"
	"os"
	"path/filepath"
)

// Remove deletes a private server's directory, data and all, and reports
// whether it did: a directory that a live process uses is left as it is.
func Remove(dir string) (bool, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false, fmt.Errorf("private PostgreSQL: resolve %s: %w", dir, err)
	}
	for _, name := range []string{ownerLock, serverLock} {
		l, err := tryLock(dir, name)
		if err != nil {
			return false, fmt.Errorf("private PostgreSQL: %w", err)
		}
		if l == nil {
			return false, nil
		}
		defer l.release()
	}
	for _, d := range []string{socketFolder(dir, serverAccount(dir)), dir} {
		if err := os.RemoveAll(d); err != nil {
			return false, fmt.Errorf("private PostgreSQL: remove directory: %w", err)
		}
	}
	return true, nil
}
