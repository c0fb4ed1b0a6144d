//go:build soak && linux

package sync_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"defendersync/sync/defender"
	"defendersync/sync/defendersim"
)

// soakTenant is a simulated tenant that changes by itself, behind a line that
// goes bad, and with a face that lies now and then.
type soakTenant struct {
	s          *soak
	plan       soakPlan
	world      *defendersim.World
	tables     *defendersim.HuntTables
	sim        *defendersim.Sim
	line       *line
	secretFile string
	face       *face
	life, luck *rand.Rand // of what happens in the tenant, and of its service's faults

	restored []func() // takes back what is wrong at the moment, with records and permissions
}

// softwareTable is a snapshot: it is read whole and has no time.
var softwareTable = defendersim.HuntTable{Name: "DeviceTvmSoftwareVulnerabilities", Columns: []defendersim.HuntColumn{
	{Name: "DeviceId", Type: "string"}, {Name: "SoftwareVendor", Type: "string"}, {Name: "SoftwareName", Type: "string"},
	{Name: "SoftwareVersion", Type: "string"}, {Name: "CveId", Type: "string"}, {Name: "VulnerabilitySeverityLevel", Type: "string"},
}}

func newSoakTenant(s *soak, plan soakPlan, n uint64) *soakTenant {
	s.t.Helper()
	seed := *soakSeed*10 + n
	x := &soakTenant{s: s, plan: plan, tables: defendersim.NewHunting(), secretFile: filepath.Join(s.program.dir, plan.name+".secret"),
		life: rand.New(rand.NewPCG(seed, 1)), luck: rand.New(rand.NewPCG(seed, 2))}
	x.world = defendersim.NewWorld(defendersim.WorldOptions{Seed: seed, Incidents: 150, Tie: 60, Now: s.clock.Now,
		TenantID:            fmt.Sprintf("8c1f7a52-3d64-4e0b-9a57-%012x", 0xabc000+n),
		AlertsTouchIncident: plan.dialect == defender.Older})
	fill(x.tables, seed, 300, s.clock.Now().Add(-2*time.Hour))
	x.tables.AddTable(softwareTable)
	x.inventory()
	x.sim = defendersim.New(defendersim.Options{World: x.world, Now: s.clock.Now, Hunting: x.tables, HuntMaxBytes: 60_000,
		TokenLifetime: plan.lifetime, SkipToken: n == 2, Order: defendersim.OrderAsked})
	x.face = &face{sim: x.sim, clock: s.clock, journal: s.journal}
	server := httptest.NewServer(x.face)
	s.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	x.line = newLine(s.t, strings.TrimPrefix(server.URL, "http://"))
	x.writeSecret(s.t, x.sim.Config().Secret)
	return x
}

func (x *soakTenant) writeSecret(t testing.TB, secret string) {
	whole := x.secretFile + ".new"
	if err := os.WriteFile(whole, []byte(secret), 0o600); err != nil {
		t.Error(err)
	}
	if err := os.Rename(whole, x.secretFile); err != nil {
		t.Error(err)
	}
}

// live lets things happen in the tenant until ctx ends.
func (x *soakTenant) live(ctx context.Context) {
	for pause(ctx, between(x.life, 200*time.Millisecond, 1200*time.Millisecond)) {
		x.world.StepN(1 + x.life.IntN(2))
		if x.life.IntN(40) == 0 {
			x.tie()
		}
		x.events()
		if x.life.IntN(12) == 0 {
			x.inventory()
		}
	}
}

// tie lets a few incidents share the same last update.
func (x *soakTenant) tie() {
	all := x.world.Incidents()
	var ids []int64
	for range 2 + x.life.IntN(6) {
		ids = append(ids, all[x.life.IntN(len(all))].ID)
	}
	_, _ = x.world.Tied(ids...) // which are the world's own
}

// events lets hunting rows come in: most of them fresh, some late by less than
// the overlap, some by hours or days, which only a comparison finds.
func (x *soakTenant) events() {
	at := func(most time.Duration) int64 {
		return int64(defendersim.TicksOf(x.s.clock.Now().Add(-between(x.life, 0, most))))
	}
	late := func() int64 {
		return int64(defendersim.TicksOf(x.s.clock.Now().Add(-between(x.life, 70*time.Minute, 72*time.Hour))))
	}
	pick := func(words ...string) string { return words[x.life.IntN(len(words))] }
	process := func(ticks int64) defendersim.HuntRow {
		return defendersim.HuntRow{Ticks: ticks, Values: []any{nil, fmt.Sprintf("dev%d", x.life.IntN(9)), "host", pick("cmd.exe", "a\x00b", "ünï"), int64(1)<<53 + x.life.Int64N(99),
			pick("-enc", ""), x.life.Int64(), "7", true, int64(x.life.Int32()), nil, x.life.Int64()}}
	}
	evidence := func(ticks int64) defendersim.HuntRow {
		return defendersim.HuntRow{Ticks: ticks, Values: []any{nil, fmt.Sprintf("da%d", x.life.IntN(40)), pick("File", "Ip"), "abab", int64(x.life.IntN(3)),
			float64(x.life.IntN(5)) / 4, "1.02:03:04.5000000"}}
	}
	x.tables.AddRows(processTable.Name, process(at(20*time.Second)))
	row := evidence(at(20 * time.Second))
	x.tables.AddRows(evidenceTable.Name, row, row)
	x.tables.AddRows(mailTable.Name, defendersim.HuntRow{Ticks: at(time.Minute) / 10_000_000 * 10_000_000, Values: []any{nil, guidOf(x.life), "u1@contoso.com",
		pick("cmd.exe", "hello", ""), x.life.Int64(), "0.25", fmt.Sprint(x.life.Int64())}})
	if x.life.IntN(15) == 0 {
		x.tables.AddRows(processTable.Name, process(late()))
		x.tables.AddRows(evidenceTable.Name, evidence(late()))
		x.s.journal.did("late rows")
	}
}

// inventory is the next edition of the snapshot.
func (x *soakTenant) inventory() {
	var rows []defendersim.HuntRow
	for i := range 120 {
		if x.life.IntN(6) > 0 {
			rows = append(rows, defendersim.HuntRow{Values: []any{fmt.Sprintf("dev%d", i%9), "contoso", fmt.Sprintf("tool %d", i), "1.0",
				fmt.Sprintf("CVE-2026-%d", i), []string{"High", "Low"}[x.life.IntN(2)]}})
		}
	}
	x.tables.Replace(softwareTable.Name, rows...)
}

// face stands before the tenant: it notes what was asked and what waits were
// served, and tells lies about the time and cuts answers where it is told to.
type face struct {
	sim     *defendersim.Sim
	clock   *clock
	journal *journal

	mu    sync.Mutex
	lie   time.Duration // what Date is wrong by, of the next answers
	lies  int
	trunc int // that many of the next compressed answers are cut short
	calls []soakCall
	waits []soakWait
}

// soakCall is a request as the tenant saw it.
type soakCall struct {
	at     time.Time
	family string // the limits that it counts for
	status int
}

// soakWait is a Retry-After that was served.
type soakWait struct {
	at     time.Time
	length time.Duration
	family string
}

// ServeHTTP implements [http.Handler].
func (f *face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	n := len(f.calls)
	f.calls = append(f.calls, soakCall{at: time.Now(), family: familyOf(r)})
	f.mu.Unlock()
	recorder := httptest.NewRecorder()
	broken := true
	defer func() {
		if broken && recorder.Body.Len() > 0 { // the simulator has cut its answer
			f.send(w, r, n, recorder, recorder.Body.Len())
		}
	}()
	f.sim.ServeHTTP(recorder, r)
	broken = false
	f.send(w, r, n, recorder, f.shorten(recorder))
}

// shorten says how much of an answer is sent, with a length that says no more.
func (f *face) shorten(a *httptest.ResponseRecorder) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	size := a.Body.Len()
	if f.trunc > 0 && a.Header().Get("Content-Encoding") == "gzip" {
		f.trunc--
		f.journal.did("fault truncated gzip")
		size /= 2
		a.Header().Set("Content-Length", strconv.Itoa(size))
	}
	return size
}

func (f *face) send(w http.ResponseWriter, r *http.Request, n int, a *httptest.ResponseRecorder, size int) {
	f.mu.Lock()
	if f.lies > 0 {
		f.lies--
		f.journal.did("fault wrong Date")
		a.Header().Set("Date", f.clock.Now().Add(f.lie).UTC().Format(http.TimeFormat))
	}
	f.calls[n].status = a.Code
	if secs, err := strconv.Atoi(a.Header().Get("Retry-After")); err == nil {
		f.waits = append(f.waits, soakWait{time.Now(), time.Duration(secs) * time.Second, familyOf(r)})
	}
	f.mu.Unlock()
	for k, v := range a.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(a.Code)
	_, _ = bytes.NewReader(a.Body.Bytes()[:size]).WriteTo(w) // the worker may have gone
}

// cutTo makes the next answers short.
func (f *face) cutTo(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trunc = n
}

// lieBy makes the clock of the next answers wrong.
func (f *face) lieBy(d time.Duration, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lie, f.lies = d, n
}
