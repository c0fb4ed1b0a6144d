// Command mutate proves that the tests notice when a safety device is gone. It
// copies the tree, takes the devices away one at a time, and runs the test that
// is meant to fail without each. A device whose test passes nonetheless has
// survived: a test is missing.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"defendersync/store/pglocal"
)

// mutant is one device and how to take it away.
type mutant struct {
	device string
	pkg    string // of the test, in the tree
	test   string // that has to fail
	file   string
	edits  []edit
}

// edit replaces a text that occurs exactly once.
type edit struct{ old, new string }

// of names a mutant; texts are what is replaced, each followed by what takes its place.
func of(device, pkg, test, file string, texts ...string) mutant {
	m := mutant{device: device, pkg: pkg, test: test, file: file}
	for pair := range slices.Chunk(texts, 2) {
		m.edits = append(m.edits, edit{pair[0], pair[1]})
	}
	return m
}

// apply returns the file's text without the device.
func (m mutant) apply(text string) (string, error) {
	for _, e := range m.edits {
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("in %s there is %d times:\n%s", m.file, n, e.old)
		}
		text = strings.Replace(text, e.old, e.new, 1)
	}
	return text, nil
}

func main() {
	only := flag.String("only", "", "regular expression that a device, its package or its test has to match")
	limit := flag.Duration("limit", 2*time.Minute, "time that one test may take")
	why := flag.Bool("why", false, "show what the failing test said")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	meant := regexp.MustCompile(*only)
	chosen := slices.DeleteFunc(mutants(), func(m mutant) bool {
		return !meant.MatchString(m.device + "\n" + m.pkg + "\n" + m.test)
	})
	bad, err := prove(ctx, chosen, *limit, *why)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
	}
	if err != nil || bad > 0 {
		stop()
		os.Exit(1)
	}
}

// prove judges the mutants and returns how many were not killed.
func prove(ctx context.Context, all []mutant, limit time.Duration, why bool) (bad int, err error) {
	if len(all) == 0 {
		return 0, errors.New("no mutant is meant")
	}
	began := time.Now()
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := copyTree(dir, "."); err != nil {
		return 0, err
	}
	env, end, err := environment(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	r := &runner{dir: dir, env: env, limit: limit}
	if err := r.plan(all); err != nil {
		return 0, err
	}
	if err := r.build(ctx, all); err != nil {
		return 0, err
	}
	fmt.Printf("built in %s\n", time.Since(began).Round(time.Second))
	if err := r.unmutated(ctx, all); err != nil {
		return 0, fmt.Errorf("before anything was taken away: %w", err)
	}
	fmt.Printf("%-16s %5s  %-56s %s\n", "verdict", "sec", "device", "test")
	for n, m := range all {
		start := time.Now()
		verdict, said := r.judge(ctx, n, m)
		if ctx.Err() != nil {
			return bad, context.Cause(ctx)
		}
		fmt.Printf("%-16s %5.1f  %-56s %s %s\n", verdict, time.Since(start).Seconds(), m.device, m.pkg, m.test)
		good := verdict == killed || verdict == hung
		if !good {
			bad++
		}
		if said != "" && (why || !good) {
			fmt.Println(said)
		}
	}
	// A server that no longer answers fails every test, too.
	if err := r.unmutated(ctx, all); err != nil {
		return bad, fmt.Errorf("after everything was put back: %w", err)
	}
	fmt.Printf("%d mutants, %d killed, %d not; %s\n", len(all), len(all)-bad, bad, time.Since(began).Round(time.Second))
	return bad, nil
}

// environment is what the tests are to find: the published samples from where the
// copy is, and one server for all of them, unless they are given one.
func environment(ctx context.Context) (env []string, end func(), err error) {
	fixtures, err := filepath.Abs(cmp.Or(os.Getenv("DEFENDERSYNC_FIXTURES"), filepath.Join("..", "shared", "fixtures")))
	if err != nil {
		return nil, nil, err
	}
	env = append(os.Environ(), "DEFENDERSYNC_FIXTURES="+fixtures, "GOFLAGS=-buildvcs=false")
	if os.Getenv("TEST_DATABASE_URL") != "" {
		return env, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "mutate-postgres-")
	if err != nil {
		return nil, nil, err
	}
	server, err := pglocal.Start(ctx, pglocal.Options{Dir: dir, Throwaway: true})
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return append(env, "TEST_DATABASE_URL="+server.URL("postgres")), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := errors.Join(server.Stop(ctx), os.RemoveAll(dir)); err != nil {
			fmt.Fprintln(os.Stderr, "mutate:", err)
		}
	}, nil
}
