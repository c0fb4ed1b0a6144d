package page

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	defsync "defendersync/sync"
	"defendersync/web"
	"defendersync/web/webtest"
)

// TestFollows has the page open while the state changes and the worker ends: the
// page follows without a reload, keeps what the reader opened and where the
// focus is, and says when it can't follow any more.
func TestFollows(t *testing.T) {
	cfg := webtest.Config(t, webtest.World(t))
	read := cfg.Status
	var calm atomic.Bool
	cfg.Status = func(ctx context.Context) (defsync.Status, error) {
		s, err := read(ctx)
		if calm.Load() {
			s.Tenants[0].Hunting.BlockedUntil = nil
		}
		return s, err
	}
	server := httptest.NewServer(web.NewHandler(cfg))
	t.Cleanup(server.Close)
	p := open(t, server.URL, 1440, "dark")
	if got := eval[string](p, `document.getElementById("announce").textContent`); got != "" {
		t.Errorf("%q is announced of a page that has just been opened", got)
	}
	eval[bool](p, `(() => {
		window.mine = true;
		document.getElementById("t1-s1-gaps").open = true;
		document.querySelector("#t1-s1-gaps summary").focus();
		return true;
	})()`)
	calm.Store(true)
	p.until(`document.querySelector("h1").innerText === "6 warnings"`)
	for script, want := range map[string]string{
		`String(window.mine)`:                                "true",
		`String(document.getElementById("t1-s1-gaps").open)`: "true",
		`document.getElementById("announce").textContent`:    "6 warnings",
		`document.title`:                                     "6 warnings · defendersync",
	} {
		if got := eval[string](p, script); got != want {
			t.Errorf("%s is %q, want %q", script, got, want)
		}
	}
	if got := eval[string](p, `document.activeElement.parentElement.id`); got != "t1-s1-gaps" {
		t.Errorf("the focus is in %q", got)
	}
	p.quiet()
	p.pauses()
	server.CloseClientConnections()
	server.Config.Close()
	p.until(`document.getElementById("refresh").innerText.startsWith("Not refreshed since ")`)
	if got := eval[string](p, `document.querySelector("h1").innerText`); got != "6 warnings" {
		t.Errorf("what was known is gone: %q", got)
	}
}

// until waits for something to become true on the page.
func (p *tab) until(script string) {
	p.t.Helper()
	for range 100 {
		if eval[bool](p, script) {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	p.t.Fatalf("never: %s", script)
}

// pauses says that a page that nobody sees asks for nothing, and asks at once
// when it is seen again.
func (p *tab) pauses() {
	p.t.Helper()
	hide := func(hidden string) {
		eval[bool](p, `(() => {
			Object.defineProperty(document, "hidden", {value: `+hidden+`, configurable: true});
			return document.dispatchEvent(new Event("visibilitychange"));
		})()`)
	}
	asked := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return strings.Count(strings.Join(p.requests, "\n"), "?live")
	}
	hide("true")
	time.Sleep(time.Second) // for a request under way
	before := asked()
	time.Sleep(6 * time.Second)
	if n := asked(); n != before {
		p.t.Errorf("%d requests while nobody looks", n-before)
	}
	hide("false")
	time.Sleep(500 * time.Millisecond)
	if n := asked(); n != before+1 {
		p.t.Errorf("%d requests at once when somebody looks again, want one", n-before)
	}
}

// TestSaysThatTheDatabaseIsDown is the page that is there all the same, and that
// comes to life when the database does.
func TestSaysThatTheDatabaseIsDown(t *testing.T) {
	cfg := webtest.Config(t, webtest.World(t))
	read := cfg.Status
	var up atomic.Bool
	cfg.Status = func(ctx context.Context) (defsync.Status, error) {
		if !up.Load() {
			return defsync.Status{}, context.DeadlineExceeded
		}
		return read(ctx)
	}
	server := httptest.NewServer(web.NewHandler(cfg))
	t.Cleanup(server.Close)
	p := open(t, server.URL, 375, "light")
	if got := eval[string](p, `document.querySelector("h1").innerText`); got != "The database does not answer" {
		t.Errorf("the page says %q", got)
	}
	p.shot("down")
	up.Store(true)
	p.until(`document.querySelectorAll("article").length === 7`)
}
