//go:build unix

package pglocal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTimeout leaves room for crash recovery, which replays up to a
// checkpoint's worth of WAL.
const startTimeout = 2 * time.Minute

// Start makes the private server of a directory available: it starts one,
// adopts one whose starter died, or attaches to one that another process runs.
// The caller stops what it got.
//
// Errors to branch on: [ErrNoBinaries], [*VersionError], [*UnreachableError].
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", err)
	}
	s.instance.log.Debug("private PostgreSQL answers", "how", string(s.How), "dir", s.Dir)
	return s, nil
}

func start(ctx context.Context, o Options) (*Server, error) {
	in, err := newInstance(o)
	if err != nil {
		return nil, err
	}
	if err := in.prepare(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return in.acquire(ctx)
}

func newInstance(o Options) (*instance, error) {
	if o.Dir == "" {
		return nil, errors.New("no directory given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", o.Dir, err)
	}
	as := serverAccount(dir)
	installs, err := find(cmp.Or(o.BinDir, os.Getenv("PG_BIN")), places(), as)
	if err != nil {
		return nil, err
	}
	in := &instance{account: as, dir: dir, socket: socketFolder(dir, as), throwaway: o.Throwaway, log: o.Log}
	if in.log == nil {
		in.log = slog.New(slog.DiscardHandler)
	}
	in.install, err = choose(dir, installs)
	in.data = dataDir(dir, in.install.major)
	return in, err
}

func dataDir(dir string, major int) string {
	return filepath.Join(dir, "pg"+strconv.Itoa(major))
}

// choose picks the binaries that made the data that is already there, or else
// the first.
func choose(dir string, installs []install) (install, error) {
	made, _ := filepath.Glob(filepath.Join(dir, "pg[0-9]*", "PG_VERSION"))
	foreign := 0
	for _, file := range slices.Backward(made) {
		b, err := os.ReadFile(file)
		if err != nil {
			return install{}, fmt.Errorf("read the version of the data: %w", err)
		}
		major, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return install{}, fmt.Errorf("read the version of the data: %s holds %q", file, b)
		}
		if i := slices.IndexFunc(installs, func(in install) bool { return in.major == major }); i >= 0 {
			return installs[i], nil
		}
		foreign = major
	}
	if foreign != 0 {
		return install{}, &VersionError{Dir: dir, Found: foreign, Installed: installs[0].major}
	}
	return installs[0], nil
}

// acquire asks again and again who runs the server until it has an answer that
// holds: the holder of the lock may still be making the data, or die at it,
// and a server whose starter was killed may answer for a moment longer while
// it shuts down.
func (in *instance) acquire(ctx context.Context) (*Server, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		s, err := in.try(ctx)
		var no *notYet
		if err == nil || !errors.As(err, &no) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the server of %s: %w", in.dir, cmp.Or(no.why, ctx.Err()))
		case <-time.After(wait):
		}
	}
}

// notYet is what a try returns when another one may do better.
type notYet struct{ why error }

func (e *notYet) Error() string { return e.why.Error() }

func (in *instance) try(ctx context.Context) (*Server, error) {
	owner, err := tryLock(in.dir, ownerLock)
	if err != nil {
		return nil, err
	}
	if owner == nil {
		return in.attach(ctx)
	}
	s, err := in.own(ctx)
	if err != nil {
		owner.release()
		return nil, err
	}
	s.owner = owner
	return s, nil
}

func (in *instance) attach(ctx context.Context) (*Server, error) {
	if err := in.ping(ctx, Database); err != nil {
		return nil, &notYet{err}
	}
	s := in.server(Attached)
	go s.watch(in.postmaster())
	return s, nil
}

// own gets the server running while this process holds the owner's lock.
func (in *instance) own(ctx context.Context) (*Server, error) {
	free, err := tryLock(in.dir, serverLock)
	if err != nil {
		return nil, err
	}
	if free == nil {
		return in.adopt(ctx)
	}
	defer free.release() // the server keeps it from here on
	if in.anyProcess() { // started by hand, without the lock
		return in.adopt(ctx)
	}
	return in.launch(ctx, free)
}

// adopt takes over a server that nobody owns, unless it is on its way out:
// then the next try finds it gone. Without the process that postmaster.pid
// names, what runs are the children of a killed server, or of a killed initdb.
// They end by themselves; starting beside them would destroy the data.
func (in *instance) adopt(ctx context.Context) (*Server, error) {
	pid := in.postmaster()
	if !in.serves(pid) {
		return nil, &notYet{fmt.Errorf("what is left of a killed server still runs in %s", in.dir)}
	}
	if err := in.ping(ctx, "postgres"); err != nil {
		return nil, &notYet{fmt.Errorf("process %d serves %s but does not answer: %w", pid, in.data, err)}
	}
	if err := in.ensureDatabase(ctx); err != nil {
		return nil, &notYet{err}
	}
	s := in.server(Adopted)
	s.pid = pid
	go s.watch(pid)
	return s, nil
}

// launch starts the server, and makes its data before when there is none. Both
// inherit the lock that says that nobody did.
func (in *instance) launch(ctx context.Context, free *lock) (*Server, error) {
	if err := in.makeData(ctx, free); err != nil {
		return nil, err
	}
	if err := in.removeStale(); err != nil {
		return nil, err
	}
	s := in.server(Started)
	if err := s.spawn(free); err != nil {
		return nil, err
	}
	if err := s.waitReady(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, in.logTail()), s.end(ctx))
	}
	if err := in.ensureDatabase(ctx); err != nil {
		return nil, errors.Join(err, s.end(ctx))
	}
	return s, nil
}

func (in *instance) server(how How) *Server {
	return &Server{How: how, Dir: in.dir, instance: *in, done: make(chan struct{}), quit: make(chan struct{})}
}

func (in *instance) ping(ctx context.Context, database string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, in.url(database))
	if err != nil {
		return err
	}
	return c.Close(ctx)
}

// ensureDatabase makes the database that everybody uses. Only the lock's
// holder calls it.
func (in *instance) ensureDatabase(ctx context.Context) error {
	c, err := pgx.Connect(ctx, in.url("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	var exists bool
	const q = "SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)"
	if err := c.QueryRow(ctx, q, Database).Scan(&exists); err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := c.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{Database}.Sanitize()); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}
