package migrations_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3/lock"

	"defendersync/migrations"
	"defendersync/store"
	"defendersync/store/storetest"
)

// stuckInventory has a store meet two tables of which the first cannot be made,
// because something else has the name of its view.
func stuckInventory(t *testing.T, s *store.Store) {
	t.Helper()
	if _, err := s.Pool().Exec(t.Context(), `CREATE TABLE hunting.software_inventory_current (tenant_id uuid)`); err != nil {
		t.Fatal(err)
	}
	for _, columns := range [][]string{{"Name"}, {"Name", "Vendor"}} {
		if err := meet(t, s, false, "SoftwareInventory", columns...); err == nil {
			t.Fatal("no error")
		}
	}
	mustMeet(t, s, "DeviceEvents", "Name")
}

const (
	stuck        = "hunting/00001_software_inventory.sql"
	stuckColumns = "hunting/00002_software_inventory_columns.sql"
	healthy      = "hunting/00003_device_events.sql"
)

// A generated migration that fails holds up its own table, and neither the files
// nor other tables; it is tried again, and heals.
func TestStuckMigrationIsAlone(t *testing.T) {
	s := storetest.New(t)
	ctx, pool := t.Context(), s.Pool()
	stuckInventory(t, s) // and another table was made already
	wantGenerated(t, pool, stuck+" pending", stuckColumns+" pending", healthy)
	if err := meet(t, s, false, "EmailEvents"); err == nil {
		t.Fatal("no error")
	}
	if applied, err := migrations.UpFiles(ctx, pool); len(applied) > 0 || err != nil {
		t.Errorf("the files: applied %q, %v", applied, err)
	}
	var failed *migrations.HuntingError
	applied, err := migrations.Up(ctx, pool)
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].Name != stuck || failed.Failed[0].Table != "software_inventory" {
		t.Fatalf("error %v", err)
	}
	if want := "migrations: apply " + stuck + `: ERROR: "software_inventory_current" is not a view (SQLSTATE 42809)`; err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if want := []string{"hunting/00004_email_events.sql"}; !slices.Equal(applied, want) {
		t.Errorf("applied %q, want %q", applied, want)
	}
	for range 2 {
		if err := meet(t, s, true, "SoftwareInventory", "Name"); err == nil || !strings.Contains(err.Error(), "apply "+stuck) {
			t.Errorf("error %v", err)
		}
	}
	mustMeet(t, s, "DeviceEvents", "Name", "More")
	if err := migrations.TryHunting(ctx, pool, "software_inventory"); err == nil || !strings.Contains(err.Error(), "apply "+stuck) {
		t.Errorf("a try: %v", err)
	}
	if _, err := pool.Exec(ctx, `DROP TABLE hunting.software_inventory_current`); err != nil {
		t.Fatal(err)
	}
	if err := migrations.TryHunting(ctx, pool, "software_inventory"); err != nil {
		t.Errorf("a try: %v", err)
	}
	if there := texts(t, pool, `SELECT relname::text FROM pg_class WHERE relname LIKE 'software%'`); len(there) > 0 {
		t.Errorf("a try has made %q", there)
	}
	mustMeet(t, s, "SoftwareInventory", "Name")
	wantGenerated(t, pool, stuck, stuckColumns, healthy, "hunting/00004_email_events.sql", "hunting/00005_device_events_columns.sql")
}

// What an operator applies by hand is held up by it no more than what is applied.
func TestStuckMigrationByHand(t *testing.T) {
	s := storetest.New(t)
	ctx, pool := t.Context(), s.Pool()
	stuckInventory(t, s)
	if err := meet(t, s, false, "EmailEvents"); err == nil {
		t.Fatal("no error")
	}
	if _, err := migrations.Down(ctx, pool); err != nil { // of the newest, to have it asked for again below
		t.Fatal(err)
	}
	if err := meet(t, s, false, "EmailEvents"); err == nil {
		t.Fatal("no error")
	}
	text, err := migrations.SQL(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	tables := strings.SplitAfter(text, "COMMIT;\n")
	if len(tables) != 3 || tables[2] != "" {
		t.Fatalf("%d transactions:\n%s", len(tables)-1, text)
	}
	if _, err := pool.Exec(ctx, tables[0]); err == nil { // as psql does, which goes on
		t.Error("no error")
	}
	if _, err := pool.Exec(ctx, tables[1]); err != nil {
		t.Error(err)
	}
	wantGenerated(t, pool, stuck+" pending", stuckColumns+" pending", healthy, "hunting/00004_email_events.sql")
}

// Down forgets what is not applied before it takes a table back, whichever came
// first.
func TestDownForgetsWhatIsStuck(t *testing.T) {
	s := storetest.New(t)
	ctx, pool := t.Context(), s.Pool()
	stuckInventory(t, s)
	for _, name := range []string{stuckColumns, stuck} {
		if undone, err := migrations.Down(ctx, pool); undone.Name != name || !undone.AppliedAt.IsZero() || err != nil {
			t.Fatalf("took back %+v, %v", undone, err)
		}
	}
	wantGenerated(t, pool, healthy)
	mustMeet(t, s, "DeviceEvents", "Name")
	if left := texts(t, pool, `SELECT table_name FROM sync.hunting_columns WHERE table_name <> 'device_events'`); len(left) > 0 {
		t.Errorf("columns of %q stay", left)
	}
	if undone, err := migrations.Down(ctx, pool); undone.Name != healthy || undone.AppliedAt.IsZero() || err != nil {
		t.Errorf("then took back %+v, %v", undone, err)
	}
}

// sighting is closed when a statement with the text is about to be sent.
type sighting struct {
	text string
	once sync.Once
	seen chan struct{}
}

// TraceQueryStart implements [pgx.QueryTracer].
func (s *sighting) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.Contains(data.SQL, s.text) {
		s.once.Do(func() { close(s.seen) })
	}
	return ctx
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (s *sighting) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// What is forgotten while another process is about to apply it is not applied:
// nobody would know of the table.
func TestForgottenMigrationIsNotApplied(t *testing.T) {
	s := storetest.New(t)
	ctx, pool := t.Context(), s.Pool()
	if err := meet(t, s, false, "DeviceEvents"); err == nil {
		t.Fatal("no error")
	}
	held, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	if _, err := held.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(lock.DefaultLockID)); err != nil {
		t.Fatal(err)
	}
	config := pool.Config()
	waits := &sighting{text: "pg_try_advisory_lock", seen: make(chan struct{})}
	config.ConnConfig.Tracer = waits
	other, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	applied := make(chan error, 1)
	go func() { applied <- migrations.UpHunting(ctx, other, "device_events") }()
	<-waits.seen // so that it has read what is to do
	if undone, err := migrations.Down(ctx, pool); undone.Name != events || err != nil {
		t.Errorf("took back %+v, %v", undone, err)
	}
	if _, err := held.Exec(ctx, `SELECT pg_advisory_unlock($1)`, int64(lock.DefaultLockID)); err != nil {
		t.Fatal(err)
	}
	if err := <-applied; err == nil || !strings.Contains(err.Error(), "taken back meanwhile") {
		t.Errorf("error %v", err)
	}
	if there := texts(t, pool, `SELECT relname::text FROM pg_class WHERE relname = 'device_events'`); len(there) > 0 {
		t.Errorf("%q is made", there)
	}
	mustMeet(t, s, "DeviceEvents")
}

// The role is told which right it lacks in the schema hunting, and the table is
// made once it has it.
func TestHuntingSaysWhichGrantIsMissing(t *testing.T) {
	address := storetest.URL(t)
	owner := connect(t, address)
	const role = "defendersync_test_widener"
	const owns = `"defendersync_test_owner"`
	withRole(t, owner, role)
	withRole(t, owner, strings.Trim(owns, `"`))
	exec := func(sql string) {
		t.Helper()
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`GRANT USAGE ON SCHEMA defender, hunting, sync TO "` + role + `"`)
	exec(`GRANT ALL ON ALL TABLES IN SCHEMA defender, hunting, sync TO "` + role + `"`)
	exec(`GRANT USAGE ON ALL SEQUENCES IN SCHEMA sync TO "` + role + `"`)
	s, err := store.Open(t.Context(), withParameter(t, address, "role", role), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	grant := `GRANT CREATE ON SCHEMA hunting TO "` + role + `"`
	for range 2 { // again as often as it is tried
		if err := meet(t, s, true, "DeviceEvents", "Name"); err == nil || !strings.Contains(err.Error(), "run "+grant+": ERROR: permission denied for schema hunting") {
			t.Fatalf("error %v", err)
		}
	}
	if _, err := migrations.UpFiles(t.Context(), s.Pool()); err != nil {
		t.Errorf("the files: %v", err)
	}
	exec(grant)
	mustMeet(t, s, "DeviceEvents", "Name")
	exec(`REASSIGN OWNED BY "` + role + `" TO CURRENT_USER`)
	exec(`GRANT ALL ON hunting.device_events TO "` + role + `"`)
	for _, of := range []struct{ owner, advice string }{
		{"CURRENT_USER", "; migrate as that role: ERROR"}, // the tests' superuser, whom nobody is to become
		{owns, "; migrate as that role, or as it run GRANT " + owns + ` TO "` + role + `": ERROR`},
	} {
		exec(`ALTER TABLE hunting.device_events OWNER TO ` + of.owner)
		err := meet(t, s, true, "DeviceEvents", "Name", "More")
		if err == nil || !strings.Contains(err.Error(), `does not own hunting.device_events`) || !strings.Contains(err.Error(), of.advice) {
			t.Errorf("error %v", err)
		}
	}
}
