//go:build soak && linux

package sync_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// watch looks at the workers and at the database every few seconds.
type watch struct {
	s    *soak
	db   *pgxpool.Pool
	http *http.Client
	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	workers map[string]*seenWorker
	slowest time.Duration // end of a worker after SIGTERM
	marks   map[string]time.Time
}

// seenWorker is what was seen of a worker.
type seenWorker struct {
	pid, life int // pid is 0 while it is dead
	listen    string
	samples   []sample
	answers   map[string]int // of its HTTP
}

// sample is a worker at an instant; -1 is what could not be seen.
type sample struct {
	life                              int
	rss                               float64 // MiB
	goroutines, files, heap, connects float64
}

func newWatch(s *soak) *watch {
	return &watch{s: s, db: s.pool(""), http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
		workers: map[string]*seenWorker{}, marks: map[string]time.Time{}}
}

func (w *watch) alive(name string, pid int, listen string, life int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.workers[name] == nil {
		w.workers[name] = &seenWorker{answers: map[string]int{}}
	}
	seen := w.workers[name]
	seen.pid, seen.listen, seen.life = pid, listen, life
}

func (w *watch) dead(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.workers[name].pid = 0
}

func (w *watch) stopped(took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slowest = max(w.slowest, took)
}

func (w *watch) begin(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	w.done.Go(func() {
		for pause(ctx, 2*time.Second) {
			w.sample()
		}
	})
}

func (w *watch) end() {
	w.stop()
	w.done.Wait()
}

// sample looks once.
func (w *watch) sample() {
	ctx, cancel := context.WithTimeout(w.s.t.Context(), 5*time.Second)
	defer cancel()
	w.watermarks(ctx)
	connects := w.connections(ctx)
	for _, name := range []string{"first", "second"} {
		w.mu.Lock()
		seen := w.workers[name]
		w.mu.Unlock()
		if seen != nil {
			w.look(ctx, name, seen, connects)
		}
	}
}

func (w *watch) look(ctx context.Context, name string, seen *seenWorker, connects map[string]float64) {
	w.mu.Lock()
	pid, listen, life := seen.pid, seen.listen, seen.life
	w.mu.Unlock()
	if pid == 0 {
		return
	}
	at := sample{life: life, rss: rssOf(pid), goroutines: -1, files: -1, heap: -1, connects: -1}
	if n, ok := connects[fmt.Sprintf("%s-%d", name, life)]; ok {
		at.connects = n
	}
	health, _ := w.get(ctx, listen, "/healthz")
	ready, _ := w.get(ctx, listen, "/readyz")
	if _, body := w.get(ctx, listen, "/metrics"); body != "" {
		at.goroutines, at.files, at.heap = metric(body, "defendersync_go_goroutines"), metric(body, "defendersync_process_open_fds"), metric(body, "defendersync_go_memstats_heap_inuse_bytes")/(1<<20)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	seen.answers["healthz "+health]++
	seen.answers["readyz "+ready]++
	if seen.pid == pid && at.rss > 0 {
		seen.samples = append(seen.samples, at)
	}
}

// get asks a worker's HTTP; the status is "no answer" where none came.
func (w *watch) get(ctx context.Context, listen, path string) (status, body string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+path, nil)
	if err != nil {
		return err.Error(), ""
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return "no answer", ""
	}
	defer resp.Body.Close()
	all, _ := io.ReadAll(resp.Body)
	return strconv.Itoa(resp.StatusCode), string(all)
}

// ready is why the worker that lives on is not.
func (w *watch) ready() error {
	status, body := w.get(w.s.t.Context(), w.s.second.listen, "/readyz")
	if status != "200" {
		return errors.New(status + " " + body)
	}
	return nil
}

// metric is a value of Prometheus's text form.
func metric(body, name string) float64 {
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, _ := strconv.ParseFloat(value, 64)
			return v
		}
	}
	return -1
}

// rssOf is a process's resident memory in MiB, -1 when it has gone.
func rssOf(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kib, _ := strconv.ParseFloat(f[1], 64)
			return kib / 1024
		}
	}
	return -1
}

// connections counts them by who has them; nil while the database is away.
func (w *watch) connections(ctx context.Context) map[string]float64 {
	const count = `SELECT application_name, count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1`
	rows, err := w.db.Query(ctx, count)
	if err != nil {
		return nil
	}
	defer rows.Close()
	found := map[string]float64{}
	for rows.Next() {
		var name string
		var n float64
		if rows.Scan(&name, &n) == nil {
			found[name] = n
		}
	}
	if rows.Err() != nil {
		return nil
	}
	return found
}

// watermarks fails where one has moved back.
func (w *watch) watermarks(ctx context.Context) {
	const read = `SELECT tenant_id::text || ' ' || stream, watermark FROM sync.checkpoints`
	rows, err := w.db.Query(ctx, read)
	if err != nil {
		return
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var mark time.Time
		if rows.Scan(&name, &mark) != nil {
			return
		}
		if before := w.marks[name]; mark.Before(before) {
			w.s.t.Errorf("%s: the watermark moved back from %s to %s", name, before, mark)
		}
		w.marks[name] = mark
	}
}
