package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"defendersync/migrations"
	"defendersync/store/pglocal"
	"github.com/spf13/cobra"
)

// demoDataDir is where the demo keeps its PostgreSQL unless told otherwise.
const demoDataDir = "./data"

// demoFlags are the demo's own.
type demoFlags struct {
	once    bool
	listen  string
	scale   int
	dataDir string
	logs    bool // --log-level was given
}

func (a *app) demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the real worker against a simulated tenant and a private PostgreSQL",
		Args:  noArguments,
		RunE: own(func(cmd *cobra.Command, _ []string) error {
			if f.scale < 1 || f.scale > 1000 {
				return usageErrorf("--scale: %d is outside 1 to 1000", f.scale)
			}
			if err := new(listenAddress).setText(f.listen); err != nil {
				return usageErrorf("--listen: %q %w", f.listen, err)
			}
			f.logs = cmd.Flags().Changed("log-level")
			return a.demo(cmd.Context(), f)
		}),
	}
	cmd.Flags().BoolVar(&f.once, "once", false, "sync twice, show the result and end, instead of running until Ctrl-C")
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8080", `address for HTTP while running; "" for none`)
	cmd.Flags().IntVar(&f.scale, "scale", 1, "size of the tenant, in units of 300 incidents")
	cmd.Flags().StringVar(&f.dataDir, "data-dir", demoDataDir, "the private PostgreSQL lives in its folder demo")
	return cmd
}

// demo runs the worker, with nothing in it replaced, against a tenant and a
// database that need no account and no network.
func (a *app) demo(ctx context.Context, f demoFlags) error {
	began := time.Now()
	if f.once && a.screen.terminal && !f.logs {
		a.logLevel = "warn" // the tables say it all
	}
	log, err := a.logger()
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Making a tenant with %s incidents ...\n", grouped(int64(f.scale*demoIncidents)))
	tenant, err := startTenant(ctx, f)
	if err != nil {
		return err
	}
	defer tenant.stop()
	fmt.Fprintln(a.stdout, "Starting PostgreSQL ...")
	db, err := a.demoDatabase(ctx, f.dataDir, log)
	if err != nil {
		return err
	}
	defer db.close(log)
	c, err := tenant.config(f)
	if err != nil {
		return err
	}
	show := newProgress(a.screen, log)
	defer show.start()()
	s, err := newSession(ctx, c, db, sessionOptions{"demo", log, show})
	if err != nil {
		return err
	}
	if f.once {
		return a.demoOnce(ctx, s, show, demoStart{began, f.again()})
	}
	return a.demoLive(ctx, s, tenant, f.listen)
}

// again is the command that starts the demo on the same PostgreSQL.
func (f demoFlags) again() string {
	if f.dataDir == demoDataDir {
		return "defendersync demo"
	}
	return "defendersync demo --data-dir '" + strings.ReplaceAll(f.dataDir, "'", `'\''`) + "'"
}

// demoStart is when the demo began, and how to begin it again.
type demoStart struct {
	at    time.Time
	again string
}

// demoOnce syncs twice and shows what came of it.
func (a *app) demoOnce(ctx context.Context, s *session, show *progress, began demoStart) error {
	var written int64
	for pass := 1; pass <= 2; pass++ {
		results := s.worker.Sync(ctx, "", nil)
		show.clear()
		if err := outcome(results); err != nil {
			return err
		}
		written = 0
		for _, r := range results {
			written += r.Inserted + r.Updated
		}
		fmt.Fprintf(a.stdout, "\nPass %d: %s rows written%s\n\n", pass, grouped(written), besides(written))
		if err := printResults(a.stdout, a.look(), results); err != nil {
			return err
		}
	}
	if written != 0 {
		return errors.New("the second pass wrote rows, although nothing had changed")
	}
	if err := showDemo(ctx, a.stdout, a.look(), s.db); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "\nDone in %s.", time.Since(began.at).Round(100*time.Millisecond))
	if !isTerminal(a.stdin) || !isTerminal(a.stdout) {
		fmt.Fprintf(a.stdout, " PostgreSQL stops now.\nTo look for yourself, run `%s` and, while it runs:\n\n  %s\n", began.again, s.db.server.PSQL())
		return nil
	}
	fmt.Fprintf(a.stdout, " To look for yourself, in another terminal:\n\n  %s\n", s.db.server.PSQL())
	a.waitForEnter(ctx)
	return nil
}

// besides says why the tables have more rows than were counted.
func besides(written int64) string {
	if written == 0 {
		return ""
	}
	return ", besides the comments, evidence and techniques that belong to them"
}

// waitForEnter keeps PostgreSQL up for somebody at a terminal to look at.
func (a *app) waitForEnter(ctx context.Context) {
	fmt.Fprint(a.stdout, "\nPress Enter to stop PostgreSQL. ")
	pressed := make(chan struct{})
	go func() {
		defer close(pressed)
		_, _ = bufio.NewReader(a.stdin).ReadString('\n') // the end of the input ends the demo, too
	}()
	select {
	case <-pressed:
	case <-ctx.Done():
	}
}

// demoLive lets the tenant change and the worker follow until ctx ends.
func (a *app) demoLive(ctx context.Context, s *session, tenant *demoTenant, address string) error {
	ln, err := listen(ctx, address)
	if err != nil {
		return fmt.Errorf("%w (choose another with --listen)", err)
	}
	fmt.Fprintf(a.stdout, "The worker runs until Ctrl-C; the tenant changes every second.\n\n  %s\n", s.db.server.PSQL())
	if ln != nil {
		fmt.Fprintf(a.stdout, "  http://%s/\n", ln.Addr())
	}
	fmt.Fprintln(a.stdout)
	go tenant.live(ctx)
	return s.serve(ctx, ln)
}

// demoDatabase starts an empty PostgreSQL under dataDir, or, where its account
// cannot enter that, in a temporary folder.
func (a *app) demoDatabase(ctx context.Context, dataDir string, log *slog.Logger) (*database, error) {
	dir := filepath.Join(dataDir, "demo")
	db, err := openPrivate(ctx, dir, demoConnections, log)
	var unreachable *pglocal.UnreachableError
	if errors.As(err, &unreachable) {
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("defendersync-demo-%d", os.Getuid()))
		fmt.Fprintf(a.stdout, "PostgreSQL runs as %s, who cannot enter %s: using %s instead.\n", unreachable.Account, unreachable.Blocked, dir)
		db, err = openPrivate(ctx, dir, demoConnections, log)
	}
	if err != nil {
		return nil, err
	}
	if db.server.How == pglocal.Attached {
		db.close(log)
		return nil, fmt.Errorf("another demo runs in %s: stop it, or choose another folder with --data-dir", dir)
	}
	if _, err := migrations.DownTo(ctx, db.Pool(), 0); err != nil { // what an earlier demo left
		db.close(log)
		return nil, err
	}
	return db, nil
}
