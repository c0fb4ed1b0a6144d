// Package pglocal runs a private PostgreSQL, from server binaries that are
// already on the machine, for people who have no database to point at.
//
// The server listens on a unix socket in a folder that only its account can
// enter, and on nothing else. It is a child of the process that started it and
// ends with it, however that ends. A second process that starts the same
// directory attaches to the running server and leaves it running.
//
// Nothing here downloads anything, and data made by another major version is
// refused and left as it was.
package pglocal

import (
	"log/slog"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// Database names the database and the superuser of every private server.
const Database = "defendersync"

// port only names the socket file: there is no TCP listener.
const port = 5432

// Options say where a private server lives and how it runs. Only Dir is
// required.
type Options struct {
	// Dir holds the data, the socket, the lock and the server's log. It is
	// made when missing, and it belongs to this package: mode 0700, owned by
	// the account that the server runs as.
	Dir string

	// BinDir is the directory of initdb and postgres. When it is empty the
	// environment's PG_BIN is used; when that is empty too, the usual places
	// are searched. A directory named by either is the only one tried.
	BinDir string

	// Throwaway gives up every durability for speed: for tests.
	Throwaway bool

	Log *slog.Logger // nil discards
}

// How says what Start did to make the server available.
type How string

const (
	Started  How = "started"  // this process started it and will stop it
	Adopted  How = "adopted"  // its starter died without it; this process will stop it
	Attached How = "attached" // another live process runs it and will stop it
)

// Server is a private PostgreSQL that answers.
type Server struct {
	How How
	Dir string // absolute

	instance instance
	owner    *lock // nil when attached
	pid      int   // the postmaster; 0 when attached
	done     chan struct{}
	quit     chan struct{} // closed by Stop: ends the watch on a server that is not our child
	stop     sync.Once
}

// URL is the address of one of the server's databases, as pgx and psql take
// it. It holds no password: the socket's folder is the protection.
func (s *Server) URL(database string) string { return s.instance.url(database) }

// PSQL is a command line, quoted for a shell, that opens the database.
func (s *Server) PSQL() string {
	psql := filepath.Join(s.instance.install.binDir, "psql")
	if _, err := exec.LookPath(psql); err != nil {
		psql = "psql" // a copy of the server alone, as npm's: the person's own
	}
	return strings.Join([]string{
		shellQuote(psql), "-h", shellQuote(s.instance.socket), "-p", strconv.Itoa(port), "-U", Database, Database,
	}, " ")
}

// Done is closed when the server is gone, whoever ended it.
func (s *Server) Done() <-chan struct{} { return s.done }

// instance is one data directory with the binaries that serve it and the
// account that they run as.
type instance struct {
	install   install
	account   account
	dir       string // Options.Dir, absolute
	data      string // dir/pg<major>
	socket    string // folder of the socket
	throwaway bool
	log       *slog.Logger
}

// install is one set of PostgreSQL server binaries that runs here.
type install struct {
	binDir string
	major  int
}

func (in *instance) url(database string) string {
	query := url.Values{"host": {in.socket}, "port": {strconv.Itoa(port)}}.Encode()
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(Database),
		Path:     "/" + database,
		RawQuery: strings.ReplaceAll(query, "+", "%20"), // psql and pgx take a plus as it is
	}
	return u.String()
}

func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r == '/' || r == '.' || r == '-' || r == '_' || r == '+' ||
			'0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
