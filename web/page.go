package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"path"

	defsync "defendersync/sync"
)

// What the page shows at most, and from how long ago.
const (
	PageRuns = 30 // of a tenant
	PageDays = 30 // of incidents
)

//go:embed assets
var assets embed.FS

var pageTemplate = template.Must(template.ParseFS(assets, "assets/page.html"))

// page answers the whole page, and with ?live only the part that changes, which
// the page's script asks for.
func (h *handler) page(w http.ResponseWriter, r *http.Request) {
	name, code, view := "page", http.StatusOK, h.view(r)
	if r.URL.Query().Has("live") {
		name = "live"
	}
	if view.Problem != "" {
		code = http.StatusServiceUnavailable
	}
	var body bytes.Buffer
	if err := pageTemplate.ExecuteTemplate(&body, name, view); err != nil {
		h.log.Error("the page could not be made", "err", err)
		http.Error(w, "the page could not be made; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = body.WriteTo(w) // the client went away
}

// view reads what the page shows. Without the status there is nothing to show;
// what else can't be read is left out, and said to be.
func (h *handler) view(r *http.Request) *pageView {
	status, err := h.status.get(r.Context())
	if err != nil {
		h.log.Warn("the status could not be read", "err", err)
		return &pageView{Problem: statusUnreadable, State: "bad", Headline: "The database does not answer", Version: h.version}
	}
	var runs map[string][]defsync.StreamRun
	var incidents map[string]defsync.IncidentFigures
	var missing []string
	if h.runs != nil {
		if runs, err = h.runs.get(r.Context()); err != nil {
			h.log.Warn("the runs could not be read", "err", err)
			missing = append(missing, "The runs could not be read; the log says why.")
		}
	}
	if h.incidents != nil {
		if incidents, err = h.incidents.get(r.Context()); err != nil {
			h.log.Warn("the incidents could not be counted", "err", err)
			missing = append(missing, "The incidents could not be counted; the log says why.")
		}
	}
	v := newPage(status, runs, incidents)
	v.Missing, v.Version = missing, h.version
	return v
}

// asset answers a file of the page's. Browsers keep it and ask whether it is
// still the same, by its tag.
func asset(name, contentType string) http.HandlerFunc {
	body, err := assets.ReadFile(path.Join("assets", name))
	if err != nil {
		panic(err) // it is embedded
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(body) // the client went away
	}
}
