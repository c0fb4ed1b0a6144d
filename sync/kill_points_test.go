package sync_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"defendersync/store/storetest"
	"defendersync/sync/defender"
)

// Points are the named instants of a pass at which a test can end, stop or
// signal the process that makes it. They are seen from outside, on the wires to
// the service and to the database: nothing of the product knows of them.
//
//	fetch/before, /headers, /middle, /after   a request is sent, and this much of its answer has come
//	call/…                                    the request is put on record, before it is sent
//	stage/TABLE/…                             rows of a commit are written; stage/rows is the COPY into a hunting table
//	commit/…                                  the COMMIT of rows with their checkpoint
//	lease/take, renewal, release, lock/…      lock is what a commit does
//	run/start, finish/…                       the record in sync.runs
//	tidy/…, migration/…                       the COMMIT of a tidied ledger; of a hunting table's migration
//
// What follows the last / is explained at [storetest.Gate].
type points struct {
	mu     sync.Mutex
	seen   map[string]int
	armed  point
	strike storetest.PointFunc // nil for no point
	struck bool
	every  func(name string) // may be nil
}

// point is one occurrence of a name, counted from 1.
type point struct {
	name string
	nth  int
}

// arm begins anew, with what happens at the point.
func (p *points) arm(at point, strike storetest.PointFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen, p.armed, p.strike, p.struck = map[string]int{}, at, strike, false
}

// onEvery has f called at all points.
func (p *points) onEvery(f func(name string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every = f
}

// at is called at every point.
func (p *points) at(name string, gone <-chan struct{}) (cut bool) {
	p.mu.Lock()
	p.seen[name]++
	var strike storetest.PointFunc
	if p.armed == (point{name, p.seen[name]}) {
		strike, p.struck = p.strike, true
	}
	every := p.every
	p.mu.Unlock()
	if every != nil {
		every(name)
	}
	return strike != nil && strike(name, gone)
}

// reached says whether the point that was armed has come.
func (p *points) reached() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.struck
}

// counted is how often each point has come since arm.
func (p *points) counted() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.seen)
}

var written = regexp.MustCompile(`(?:INSERT INTO|^COPY|^UPDATE) "?(defender|sync|hunting)"?\."?(\w+)`)

// statementName is what the points of a statement are called.
func statementName(sql string, tx []string) string {
	sql = strings.TrimSpace(sql)
	holds := func(part string) bool { return strings.Contains(sql, part) }
	switch {
	case sql == "commit":
		return commitName(tx)
	case holds("SET owner = $2, until ="):
		return "lease/take"
	case holds("UPDATE sync.leases") && holds("clock_timestamp() + $4"):
		return "lease/renewal"
	case holds("UPDATE sync.leases") && holds("released_at = clock_timestamp()"):
		return "lease/release"
	case holds("FROM sync.leases") && holds("FOR NO KEY UPDATE"):
		return "lease/lock"
	case holds("INSERT INTO sync.runs"):
		return "run/start"
	case holds("UPDATE sync.runs") && holds("finished_at = $3"):
		return "run/finish"
	case holds("INSERT INTO sync.quota"):
		return "call"
	case holds("DELETE FROM sync.hunting_parts"):
		return "stage/old_parts"
	case holds("INSERT INTO sync.hunting_migrations"):
		return "migration"
	}
	m := written.FindStringSubmatch(sql)
	switch {
	case m == nil || m[2] == "runs" || m[2] == "hunting_columns" || m[2] == "goose_hunting_version":
		return ""
	case m[1] == "hunting":
		return "stage/rows"
	}
	return "stage/" + m[2]
}

// commitName tells commits apart by what their transactions did.
func commitName(tx []string) string {
	switch {
	case slices.Contains(tx, "stage/checkpoints"):
		return "commit"
	case slices.Contains(tx, "lease/take"):
		return "lease/take/commit"
	case slices.Contains(tx, "migration"):
		return "migration/commit"
	case slices.Contains(tx, "lease/lock"):
		return "tidy"
	}
	return ""
}

// stage is a rig whose worker is a process of its own, watched at the points.
type stage struct {
	*rig
	points
	throughGate string        // URL of the database
	scratch     string        // where the process may leave files
	watch       *pgxpool.Pool // for a look while db waits
}

// pageOf is how many records the stage's service gives at most to a request on
// Graph, so that few of them make several pages.
const pageOf = 5

// newStage puts the points between the rig's service and database and whoever
// is given its url and throughGate.
func newStage(t testing.TB, r *rig) *stage {
	t.Helper()
	s := &stage{rig: r, scratch: t.TempDir()}
	s.watch = s.openPool(t)
	s.arm(point{}, nil)
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	s.url = front.URL
	s.worker = s.newWorker(t, s.store, "first") // by the new address
	s.throughGate = storetest.NewGate(t, r.dsn, statementName, s.at).URL()
	return s
}

// ServeHTTP answers as the simulated tenant does, in pieces.
func (s *stage) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if strings.Contains(req.URL.Path, "/oauth2/") {
		s.sim.ServeHTTP(w, req)
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body)) // a server hears that its client goes once it has read all
	s.pass("fetch/before", req)
	if q := req.URL.Query(); s.opt.dialect == defender.Graph && req.Method == http.MethodGet {
		q.Set("$top", strconv.Itoa(pageOf))
		req.URL.RawQuery = q.Encode()
	}
	answer := httptest.NewRecorder()
	s.sim.ServeHTTP(answer, req)
	body = answer.Body.Bytes()
	maps.Copy(w.Header(), answer.Header())
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(answer.Code)
	half := len(body) / 2
	for _, piece := range []struct {
		name  string
		bytes []byte
	}{{"fetch/headers", nil}, {"fetch/middle", body[:half]}, {"fetch/after", body[half:]}} {
		_, _ = w.Write(piece.bytes) // an error is that the process has gone
		_ = http.NewResponseController(w).Flush()
		s.pass(piece.name, req)
	}
}

// pass breaks the connection off where the test wants that.
func (s *stage) pass(name string, req *http.Request) {
	if s.at(name, req.Context().Done()) {
		panic(http.ErrAbortHandler)
	}
}
