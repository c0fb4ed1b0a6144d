// Package web is the HTTP surface of the worker: health, readiness, metrics,
// status and a small page. It only reads, answers GET and HEAD alone, and shows
// neither a secret nor the content of a record: what went wrong inside is
// logged and named to the outside in general words.
package web

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"time"

	defsync "defendersync/sync"
)

// readyTimeout bounds what Config.Ready may take.
const readyTimeout = 3 * time.Second

// Config is what a handler shows. Status and Version are needed.
type Config struct {
	Status  func(context.Context) (defsync.Status, error)
	Version string
	Log     *slog.Logger // nil logs nothing

	// Ready is what /readyz asks before it looks how fresh the streams are: why the
	// worker is not ready, such as "the database does not answer", which is shown,
	// with an error that is logged and not shown; "" when it is. Nil is always ready.
	Ready func(context.Context) (reason string, err error)

	// What the page shows beside the status, by tenant id; nil leaves it out.
	Runs      func(context.Context) (map[string][]defsync.StreamRun, error)
	Incidents func(context.Context) (map[string]defsync.IncidentFigures, error)
}

// handler answers from a status that is at most statusAge old.
type handler struct {
	status  *cache[defsync.Status]
	ready   func(context.Context) (string, error)
	version string
	log     *slog.Logger

	runs      *cache[map[string][]defsync.StreamRun] // nil where the page has none
	incidents *cache[map[string]defsync.IncidentFigures]
}

// Counting incidents takes longer the more there are: seconds for a million. It
// gets no more than a fiftieth of one connection's time.
const (
	incidentsRest    = 50
	incidentsTimeout = 15 * time.Second
)

// NewHandler answers
//
//	/            a page for people; 503 when the status can't be read
//	/assets/...  the page's style, script and icon
//	/api/status  the JSON of `defendersync status --json`; 503 when it can't be read
//	/healthz     200 while the process lives; asks nothing of the database
//	/readyz      200 when Config.Ready has nothing against it and no stream is stale; else 503, one reason a line
//	/metrics     Prometheus; names begin defendersync_, those of the process defendersync_go_ and defendersync_process_
//
// with 404 for any other path and 405 for any method but GET and HEAD.
func NewHandler(cfg Config) http.Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Ready == nil {
		cfg.Ready = func(context.Context) (string, error) { return "", nil }
	}
	h := &handler{status: newStatusCache(cfg.Status), ready: cfg.Ready, version: cfg.Version, log: cfg.Log}
	if cfg.Runs != nil {
		h.runs = newCache(cfg.Runs)
	}
	if cfg.Incidents != nil {
		h.incidents = newCache(cfg.Incidents)
		h.incidents.rest, h.incidents.timeout = incidentsRest, incidentsTimeout
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.page)
	mux.HandleFunc("GET /assets/page.css", asset("page.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /assets/page.js", asset("page.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("GET /assets/icon.svg", asset("icon.svg", "image/svg+xml"))
	mux.HandleFunc("GET /api/status", h.apiStatus)
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", h.metrics())
	return secured(mux)
}

// secured sets the headers that every answer carries: nothing is kept by a
// cache, guessed at, framed, or loads anything but what this server serves.
func secured(next http.Handler) http.Handler {
	const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", policy)
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func healthz(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") }

func text(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body) // the client went away
}

func (h *handler) apiStatus(w http.ResponseWriter, r *http.Request) {
	status, err := h.status.get(r.Context())
	if err != nil {
		h.log.Warn("the status could not be read", "err", err)
		answerJSON(w, http.StatusServiceUnavailable, map[string]string{"error": statusUnreadable})
		return
	}
	answerJSON(w, http.StatusOK, status)
}

// statusUnreadable is all that the outside learns of a failed read.
const statusUnreadable = "the status could not be read from the database; the log says why"

func answerJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // as `status --json` prints it
	e.SetIndent("", "  ")
	_ = e.Encode(v) // plain structs encode; else the client went away
}
