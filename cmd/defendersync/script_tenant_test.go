package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"defendersync/migrations"
	"defendersync/store"
	"defendersync/store/storetest"
	"defendersync/sync/defendersim"

	"github.com/rogpeppe/go-internal/testscript"
)

// workerConfig connects the script's simulated tenant and its database.
const workerConfig = `database: {url: "${DATABASE_URL:-}", auto_migrate: "${AUTO_MIGRATE:-true}"}
server: {listen: "${LISTEN:-}"}
tenants:
  - name: contoso
    tenant_id: ${SIM_TENANT}
    client_id: ${SIM_CLIENT}
    credential: {client_secret: "${SIM_SECRET}"}
    api: ${API:-graph}
    endpoints: {login: "${SIM_URL}", graph: "${SIM_URL}", defender: "${SIM_URL}"}
    limits: {incidents_per_minute: 10000, incidents_per_hour: 10000, hunting_per_minute: "${HUNTS:-10000}"}
streams:
  defaults: {schedule: "@every 1s", start: 180d, overlap: 10m, settle: 1s}
  incidents: {enabled: "${LISTS:-true}"}
  alerts: {enabled: "${LISTS:-true}"}
  hunting:
    - {table: DeviceProcessEvents, start: 30d, enabled: "${HUNTING:-false}", columns: {drop: [AccountSid], hash: [AccountUpn]}}
    - {table: AlertEvidence, start: "${EVIDENCE:-30d}", enabled: "${HUNTING:-false}"}
    - {table: DeviceTvmSoftwareVulnerabilities, schedule: "@daily", enabled: "${HUNTING:-false}"}
    - {name: encoded_powershell, query: "${QUERY:-DeviceProcessEvents | where ProcessCommandLine contains '-enc'}", mode: "${MODE:-events}",
       time_column: Timestamp, key: [DeviceId, Timestamp, "${KEY:-ReportId}"], on_new_column: "${NEW:-add}", start: 30d, enabled: "${HUNTING:-false}"}
`

// stage is what one script has set up around the command.
type stage struct {
	t   testing.TB
	sim *defendersim.Sim
	bg  []*exec.Cmd // the background commands that were sent a signal, or remembered
}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value("stage").(*stage) }

// tenantCommands are the script commands that set a stage:
//
//	tenant [N]                 serves a simulated tenant of N incidents and sets SIM_URL, SIM_TENANT, SIM_CLIENT, SIM_SECRET
//	sim VERB [ARG...]          does something to it: see cmdSim
//	database [empty]           makes a database, migrated unless empty, and sets DATABASE_URL
//	reader                     makes the commands connect to it as a role that may only read
//	writer                     makes them connect as a role with every right on tables, and none to make any
//	sql STATEMENT              executes it there, as the owner; $ROLE is the role that the commands connect as
//	newer                      makes it one that a newer program has migrated
//	hold OWNER                 takes the tenant's lease in that database
//	kept VAR                   puts the ID of the one record in quarantine in VAR
//	port VAR                   puts a free loopback address in VAR
//	room VAR                   puts a folder that every account can enter in VAR
//	await URL                  waits until URL answers 200
//	called N                   waits until the tenant has had N calls
//	signal NAME                sends a signal to the one background command
//	remember                   keeps the background commands in mind
//	exited CODE                checks how they ended, after wait
func tenantCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"tenant": cmdTenant, "sim": cmdSim, "database": cmdDatabase, "hold": cmdHold, "reader": cmdReader, "writer": cmdWriter, "sql": cmdSQL, "newer": cmdNewer, "port": cmdPort, "kept": cmdKept,
		"room": cmdRoom, "await": cmdAwait, "called": cmdCalled, "signal": cmdSignal, "exited": cmdExited,
		"remember": func(ts *testscript.TestScript, _ bool, _ []string) { stageOf(ts).bg = ts.BackgroundCmds() },
	}
}

func cmdTenant(ts *testscript.TestScript, _ bool, args []string) {
	incidents := 30
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		ts.Check(err)
		incidents = n
	}
	world := defendersim.NewWorld(defendersim.WorldOptions{Seed: 7, Incidents: incidents})
	sim := defendersim.New(defendersim.Options{World: world, Hunting: world.DemoHunting(1)})
	server := httptest.NewServer(sim)
	ts.Defer(func() {
		server.CloseClientConnections() // a stalled answer would hold Close up
		server.Close()
	})
	stageOf(ts).sim = sim
	app := sim.Config()
	ts.Setenv("SIM_URL", server.URL)
	ts.Setenv("SIM_TENANT", app.TenantID)
	ts.Setenv("SIM_CLIENT", app.ClientID)
	ts.Setenv("SIM_SECRET", app.Secret)
}

// cmdSim does one of
//
//	sim step N         lets N things happen
//	sim roles [ROLE...]  gives the app these Graph roles instead of the ones it needs
//	sim secret TEXT    makes another secret the right one
//	sim poison         makes the alerts of one incident unreadable
//	sim heal           makes them readable again
//	sim late N         tells of N processes of the last days only now
//	sim odd            answers a query for evidence with an element that is no row
//	sim stall          answers no API call any more, and counts from none
func cmdSim(ts *testscript.TestScript, _ bool, args []string) {
	sim := stageOf(ts).sim
	victim := strconv.FormatInt(sim.World().Incidents()[0].ID, 10)
	switch args[0] {
	case "step":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		sim.World().StepN(n)
	case "roles":
		sim.SetRoles(append([]string{}, args[1:]...), nil)
		sim.RevokeTokens()
	case "secret":
		sim.SetSecret(args[1])
	case "poison":
		sim.Poison(victim, true)
	case "heal":
		sim.Heal(victim)
	case "odd":
		sim.Inject(defendersim.Fault{Kind: defendersim.FaultNotJSON, Endpoint: defendersim.Hunting, Times: 1,
			Body: `{"schema":[{"name":"Timestamp","type":"DateTime"}],"results":["odd"]}`,
			Query: func(kql, _ string) bool {
				return strings.HasPrefix(kql, "AlertEvidence") && !strings.Contains(kql, "summarize")
			}})
	case "late":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		late(sim, n)
	case "stall":
		sim.ForgetRequests()
		sim.Inject(defendersim.Fault{Kind: defendersim.FaultSlow, Delay: time.Hour})
	default:
		ts.Fatalf("sim does not know %q", args[0])
	}
}

// late adds events with times before those that are there already.
func late(sim *defendersim.Sim, n int) {
	const table = "DeviceProcessEvents"
	h := sim.Hunting()
	rows := h.Rows(table, time.Now())
	for i := range n {
		row := rows[len(rows)-1-i]
		row.Values = slices.Clone(row.Values)
		row.Ticks -= int64(50 * time.Hour / 100)
		h.AddRows(table, row)
	}
}

func cmdDatabase(ts *testscript.TestScript, _ bool, args []string) {
	t := stageOf(ts).t
	url := ""
	if slices.Contains(args, "empty") {
		url = storetest.Empty(t)
	} else {
		url = storetest.URL(t)
	}
	ts.Setenv("DATABASE_URL", url)
}

func cmdHold(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	s, err := store.Open(ctx, ts.Getenv("DATABASE_URL"), 2)
	ts.Check(err)
	ts.Defer(s.Close)
	_, err = s.Acquire(ctx, ts.Getenv("SIM_TENANT"), args[0], time.Hour)
	ts.Check(err)
}

func cmdKept(ts *testscript.TestScript, _ bool, args []string) {
	s, err := store.Open(context.Background(), ts.Getenv("DATABASE_URL"), 2)
	ts.Check(err)
	defer s.Close()
	list, err := s.QuarantineList(context.Background(), store.QuarantineFilter{})
	ts.Check(err)
	if len(list) != 1 {
		ts.Fatalf("%d records are in quarantine, want one", len(list))
	}
	ts.Setenv(args[0], list[0].ID)
}

func cmdReader(ts *testscript.TestScript, _ bool, _ []string) {
	role := becomeRole(ts, "reader")
	s := openOwned(ts)
	defer s.Close()
	ts.Check(migrations.GrantRead(context.Background(), s.Pool(), role))
}

func cmdWriter(ts *testscript.TestScript, _ bool, _ []string) {
	becomeRole(ts, "writer")
	cmdSQL(ts, false, []string{"GRANT USAGE ON SCHEMA bi, defender, hunting, sync TO $ROLE"})
	cmdSQL(ts, false, []string{"GRANT ALL ON ALL TABLES IN SCHEMA bi, defender, hunting, sync TO $ROLE"})
}

func cmdSQL(ts *testscript.TestScript, _ bool, args []string) {
	s := openOwned(ts)
	defer s.Close()
	_, err := s.Pool().Exec(context.Background(), strings.ReplaceAll(args[0], "$ROLE", ts.Getenv("ROLE")))
	ts.Check(err)
}

// openOwned opens the script's database as its owner, whoever the commands are.
func openOwned(ts *testscript.TestScript) *store.Store {
	u, err := url.Parse(ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	q := u.Query()
	q.Del("options")
	u.RawQuery = q.Encode()
	s, err := store.Open(context.Background(), u.String(), 2)
	ts.Check(err)
	return s
}

// becomeRole makes a role that lasts as long as the script, and the commands
// connect as it.
func becomeRole(ts *testscript.TestScript, kind string) string {
	role := fmt.Sprintf("defendersync_%s_%d", kind, os.Getpid())
	s := openOwned(ts)
	exec := func(sql string) {
		_, err := s.Pool().Exec(context.Background(), sql)
		ts.Check(err)
	}
	exec("CREATE ROLE " + role)
	ts.Defer(func() {
		defer s.Close()
		exec("DROP OWNED BY " + role)
		exec("DROP ROLE " + role)
	})
	u, err := url.Parse(ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	q := u.Query()
	q.Set("options", "-crole="+role)
	u.RawQuery = q.Encode()
	ts.Setenv("DATABASE_URL", u.String())
	ts.Setenv("ROLE", role)
	return role
}

func cmdNewer(ts *testscript.TestScript, _ bool, _ []string) {
	ctx := context.Background()
	s, err := store.Open(ctx, ts.Getenv("DATABASE_URL"), 2)
	ts.Check(err)
	defer s.Close()
	_, err = s.Pool().Exec(ctx, `INSERT INTO sync.goose_db_version (version_id, is_applied) VALUES (99999, true)`)
	ts.Check(err)
}

func cmdPort(ts *testscript.TestScript, _ bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], ln.Addr().String())
	ts.Check(ln.Close())
}

func cmdRoom(ts *testscript.TestScript, _ bool, args []string) {
	dir, err := os.MkdirTemp("", "defendersync-script-")
	ts.Check(err)
	ts.Check(os.Chmod(dir, 0o755))
	ts.Defer(func() { os.RemoveAll(dir) })
	ts.Setenv(args[0], dir)
}

func cmdAwait(ts *testscript.TestScript, _ bool, args []string) {
	poll(ts, args[0]+" to answer", func() bool {
		resp, err := http.Get(args[0])
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func cmdCalled(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	poll(ts, "a call of the tenant", func() bool { return stageOf(ts).sim.Calls() >= n })
}

// poll waits for what only another process can bring about.
func poll(ts *testscript.TestScript, what string, ready func() bool) {
	ctx, cancel := context.WithTimeout(stageOf(ts).t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			ts.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

func cmdSignal(ts *testscript.TestScript, _ bool, args []string) {
	running := ts.BackgroundCmds()
	if len(running) != 1 {
		ts.Fatalf("%d background commands, want 1", len(running))
	}
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	stageOf(ts).bg = running
	ts.Check(running[0].Process.Signal(signals[args[0]]))
}

func cmdExited(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	for _, cmd := range stageOf(ts).bg {
		if got := cmd.ProcessState.ExitCode(); got != want {
			ts.Fatalf("%s ended with exit %d, want %d", strings.Join(cmd.Args, " "), got, want)
		}
	}
}

// setStage writes the configuration and remembers the script's test.
func setStage(env *testscript.Env) error {
	t, ok := env.T().(testing.TB)
	if !ok {
		return fmt.Errorf("%T is no testing.TB", env.T())
	}
	env.Values["stage"] = &stage{t: t}
	return os.WriteFile(env.WorkDir+"/worker.yaml", []byte(strings.TrimLeft(workerConfig, "\n")), 0o600)
}
