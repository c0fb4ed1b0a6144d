package web_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"defendersync/store"
	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/web"
	"defendersync/web/webtest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func get(t *testing.T, h http.Handler, path string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

// text is what a reader sees of a page, an element or a table's row a line.
func text(page string) string {
	page = regexp.MustCompile(`</?(b|time|code|small|wbr|span|a)\b[^>]*>`).ReplaceAllString(page, "")
	page = regexp.MustCompile(`</t[dh]><t[dh][^>]*>`).ReplaceAllString(page, " | ")
	page = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, "\n")
	page = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&#34;", `"`, "&#39;", "'", "&amp;", "&").Replace(page)
	return strings.TrimSpace(regexp.MustCompile(`\s*\n\s*`).ReplaceAllString(page, "\n"))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (go test ./web -run %s -update writes it):\n%s", name, t.Name(), diff)
	}
}

// TestPageOfAKnownWorld reads the page of a database whose figures are known,
// word by word.
func TestPageOfAKnownWorld(t *testing.T) {
	h := web.NewHandler(webtest.Config(t, webtest.World(t)))
	r, page := get(t, h, "/")
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("answered %s, %s", r.Status, r.Header.Get("Content-Type"))
	}
	golden(t, "world.txt", text(page)+"\n")
	for _, secret := range []string{"PAYLOAD", "TITLE-OF-AN-INCIDENT", "<script>document", "<b>more"} {
		if strings.Contains(page, secret) {
			t.Errorf("the page shows %s", secret)
		}
	}
	_, live := get(t, h, "/?live")
	if !strings.Contains(page, live) || strings.Contains(live, "<html") {
		t.Error("what the script asks for is not what the page holds")
	}
}

// TestPageCountsLikeTheViews compares each day on the page with bi.incident_daily.
func TestPageCountsLikeTheViews(t *testing.T) {
	s := webtest.World(t)
	figures, err := webtest.Config(t, s).Incidents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{webtest.Contoso, webtest.Fabrikam} {
		days, resolved := figures[tenant].Days, int64(0)
		for _, d := range days {
			const daily = `SELECT coalesce(sum(opened), 0)::bigint, coalesce(sum(resolved), 0)::bigint FROM bi.incident_daily WHERE tenant_id = $1 AND day = $2`
			want := store.IncidentDay{Day: d.Day}
			if err := s.Pool().QueryRow(t.Context(), daily, tenant, d.Day).Scan(&want.Opened, &want.Resolved); err != nil {
				t.Fatal(err)
			}
			if d != want {
				t.Errorf("the page has %+v, the view %+v", d, want)
			}
			resolved += d.Resolved
		}
		if len(days) != web.PageDays || resolved == 0 {
			t.Errorf("%d days of %s, %d resolved: the world shows too little", len(days), tenant, resolved)
		}
	}
}

// TestDrawings looks at places and sizes.
func TestDrawings(t *testing.T) {
	_, page := get(t, web.NewHandler(webtest.Config(t, webtest.World(t))), "/")
	bars := regexp.MustCompile(`(?s)<svg class="bar".*?</svg>`).FindAllString(page, -1)
	if len(bars) != 5 {
		t.Fatalf("%d coverage bars, want one for each stream that has a coverage", len(bars))
	}
	_, chart, _ := strings.Cut(page, `<svg class="plot"`)
	chart, _, _ = strings.Cut(chart, "</svg>")
	golden(t, "drawings.html", bars[0]+"\n"+bars[3]+"\n"+chart+"\n")
}

func TestPageOfAnEmptyDatabase(t *testing.T) {
	r, page := get(t, web.NewHandler(webtest.Config(t, storetest.New(t))), "/")
	if r.StatusCode != http.StatusOK {
		t.Errorf("answered %s", r.Status)
	}
	got := text(page)
	for _, want := range []string{"No warnings, 7 streams are still catching up", "Nothing is stored yet.", "waiting for its first run", "open now 0",
		"opened 0", "The incidents are still being read, so these figures may be low."} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "Last runs") {
		t.Error("an empty history is shown")
	}
}

func TestPageWithoutADatabase(t *testing.T) {
	s := webtest.World(t)
	h := web.NewHandler(webtest.Config(t, s))
	s.Close()
	for _, path := range []string{"/", "/?live"} {
		r, page := get(t, h, path)
		if r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s answered %s", path, r.Status)
		}
		if got := text(page); !strings.Contains(got, "The database does not answer\nthe status could not be read from the database; the log says why") {
			t.Errorf("%s says\n%s", path, got)
		}
	}
}

// TestPageWithoutItsFigures says that what can't be read is left out, and the
// status shown all the same.
func TestPageWithoutItsFigures(t *testing.T) {
	cfg := webtest.Config(t, webtest.World(t))
	cfg.Log = slog.New(slog.DiscardHandler)
	cfg.Runs = func(context.Context) (map[string][]defsync.StreamRun, error) { return nil, errors.New("hunter2") }
	cfg.Incidents = func(context.Context) (map[string]defsync.IncidentFigures, error) { return nil, errors.New("hunter2") }
	r, page := get(t, web.NewHandler(cfg), "/")
	if r.StatusCode != http.StatusOK {
		t.Errorf("answered %s", r.Status)
	}
	got := text(page)
	for want, there := range map[string]bool{"7 warnings": true, "The runs could not be read; the log says why.": true,
		"The incidents could not be counted; the log says why.": true, "Last runs": false, "open now": false, "hunter2": false} {
		if strings.Contains(got, want) != there {
			t.Errorf("%q is there: %v", want, !there)
		}
	}
}

// TestEverythingComplete is the page that an operator wants to see.
func TestEverythingComplete(t *testing.T) {
	cfg := webtest.Config(t, webtest.World(t))
	read := cfg.Status
	cfg.Status = func(ctx context.Context) (defsync.Status, error) {
		s, err := read(ctx)
		s.Tenants = s.Tenants[1:] // fabrikam
		return s, err
	}
	_, page := get(t, web.NewHandler(cfg), "/")
	got := text(page)
	for want, there := range map[string]bool{"Everything is complete": true, "1 stream of 1 tenant": true, "100 % complete": true, "warning": false, "contoso": false} {
		if strings.Contains(got, want) != there {
			t.Errorf("%q is there: %v", want, !there)
		}
	}
}

// TestAssets asks for what the page refers to, as a browser does.
func TestAssets(t *testing.T) {
	h := web.NewHandler(webtest.Config(t, webtest.World(t)))
	_, page := get(t, h, "/")
	found := regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(found) != 3 {
		t.Fatalf("the page refers to %d files, want three", len(found))
	}
	for _, f := range found {
		r, body := get(t, h, f[1])
		if r.StatusCode != http.StatusOK || body == "" || r.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s answered %s, %d bytes, Cache-Control %q", f[1], r.Status, len(body), r.Header.Get("Cache-Control"))
		}
		again := httptest.NewRequestWithContext(t.Context(), "GET", f[1], nil)
		again.Header.Set("If-None-Match", r.Header.Get("ETag"))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, again)
		if w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("%s asked for again answered %d, %d bytes", f[1], w.Code, w.Body.Len())
		}
	}
	if strings.Contains(page, "style=") || regexp.MustCompile(`<script[^>]*>[^<]|\son\w+=`).MatchString(page) {
		t.Error("the page has style or script of its own, which the policy forbids")
	}
	if outside := regexp.MustCompile(`(?:href|src)="(?:https?:)?//`).FindString(page); outside != "" {
		t.Errorf("the page refers to the outside: %s", outside)
	}
}
