package web

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"time"

	defsync "defendersync/sync"
)

const style = `body{font:15px/1.5 system-ui,sans-serif;margin:2rem}td,th{padding:.2rem 1rem .2rem 0;text-align:left}`

// styleHash is what lets a browser apply style under the Content-Security-Policy.
func styleHash() string {
	sum := sha256.Sum256([]byte(style))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"lag": lag}).Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>defendersync</title><style>{{.Style}}</style>
<h1>defendersync</h1>
{{with .Problem}}<p>{{.}}</p>{{end -}}
{{with .Status.Tenants}}<table>
<tr><th>tenant<th>stream<th>lag<th>rows<th>gaps<th>quarantine<th>last run
{{range $t := .}}{{range .Streams}}<tr><td>{{$t.Name}}<td>{{.Stream}}<td>{{lag .LagSeconds}}{{if .Stale}} (stale){{end}}<td>{{.Rows}}<td>{{len .Gaps}}<td>{{.Quarantine}}<td>{{with .LastRun}}{{.Outcome}}{{else}}none{{end}}
{{end}}{{end}}</table>{{end}}
<p><a href="/api/status">status</a> <a href="/readyz">readiness</a> <a href="/healthz">health</a> <a href="/metrics">metrics</a></p>
<p>version {{.Version}}</p>
</html>
`))

// lag is a lag in words, to the second.
func lag(seconds *float64) string {
	if seconds == nil {
		return "nothing stored yet"
	}
	return time.Duration(*seconds * float64(time.Second)).Round(time.Second).String()
}

func (h *handler) page(w http.ResponseWriter, r *http.Request) {
	view := struct {
		Style            template.CSS
		Problem, Version string
		Status           defsync.Status
	}{Style: style, Version: h.version}
	var err error
	if view.Status, err = h.status.get(r.Context()); err != nil {
		h.log.Warn("the status could not be read", "err", err)
		view.Problem, view.Status = statusUnreadable, defsync.Status{}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := pageTemplate.Execute(w, view); err != nil {
		h.log.Debug("the page was not delivered", "err", err)
	}
}
