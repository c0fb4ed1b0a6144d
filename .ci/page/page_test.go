// Package page looks at the worker's page in a real Chromium. It is a module of
// its own, so that neither the program nor its tests need a browser.
package page

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"defendersync/web"
	"defendersync/web/webtest"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var shots = flag.String("shots", "", "folder to leave screenshots in")

// browser is one Chromium for all tests; each has a tab of its own.
var browser context.Context

func TestMain(m *testing.M) {
	flag.Parse()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	var end context.CancelFunc
	browser, end = chromedp.NewContext(allocator)
	err := chromedp.Do(browser)
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, "Chromium does not start:", err)
	}
	end()
	stop()
	os.Exit(code)
}

// tab is one page as a reader has it open, and what went on meanwhile.
type tab struct {
	context.Context
	t    *testing.T
	host string

	mu       sync.Mutex
	problems []string // of the console and of requests
	requests []string
}

// open shows the page of a server in a window of the given width.
func open(t *testing.T, server string, width int64, scheme string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	p := &tab{Context: ctx, t: t, host: u.Host}
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		t.Fatal(err)
	}
	call(p, network.Enable, network.EnableParams{})
	call(p, log.Enable, cdp.Empty{})
	call(p, runtime.Enable, cdp.Empty{})
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 500})
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	must(p, chromedp.Navigate(server+"/"))
	return p
}

func call[P any](p *tab, command cdp.Command[P, cdp.Empty], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p, command, params); err != nil {
		p.t.Fatal(err)
	}
}

func must[T any](p *tab, a chromedp.Action[T]) T {
	p.t.Helper()
	v, err := chromedp.Run(p, a)
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

func (p *tab) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			p.problems = append(p.problems, fmt.Sprintf("%s answered %d", e.Response.URL, e.Response.Status))
		}
	case *runtime.EventConsoleAPICalled:
		p.problems = append(p.problems, fmt.Sprintf("console.%s", e.Type))
	case *runtime.EventExceptionThrown:
		p.problems = append(p.problems, e.ExceptionDetails.Text)
	case *log.EventEntryAdded: // what the policy forbids is here, too
		p.problems = append(p.problems, e.Entry.Text)
	}
}

// eval runs a script in the page.
func eval[T any](p *tab, script string) T {
	p.t.Helper()
	return must(p, chromedp.Evaluate[T](script))
}

// quiet fails the test for what the console or the network had to say.
func (p *tab) quiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		p.t.Error(problem)
	}
	for _, r := range p.requests {
		if u, err := url.Parse(r); err != nil || u.Host != p.host {
			p.t.Errorf("it asks for %s", r)
		}
	}
	if len(p.requests) < 3 {
		p.t.Errorf("only %q was asked for", p.requests)
	}
}

func (p *tab) shot(name string) {
	p.t.Helper()
	if *shots == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*shots, name+".png"), must(p, chromedp.FullScreenshot(100)), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// serve serves the known world.
func serve(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(web.NewHandler(webtest.Config(t, webtest.World(t))))
	t.Cleanup(s.Close)
	return s.URL
}

// views are the windows and colours that the page has to be good in.
func views(t *testing.T, f func(t *testing.T, p *tab)) {
	server := serve(t)
	for _, width := range []int64{320, 375, 768, 1440} {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(fmt.Sprintf("%d-%s", width, scheme), func(t *testing.T) {
				p := open(t, server, width, scheme)
				f(t, p)
				p.quiet()
				p.shot(fmt.Sprintf("%d-%s", width, scheme))
			})
		}
	}
}

// TestFits says that nothing of the page is beside the window, that nothing is
// cut off, and that both colour schemes are there.
func TestFits(t *testing.T) {
	views(t, func(t *testing.T, p *tab) {
		if over := eval[int](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
			t.Errorf("%d pixels are beside the window: %v", over, eval[[]string](p, `[...document.querySelectorAll("body *")]
				.filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 120))`))
		}
		wide := eval[[]string](p, `[...document.querySelectorAll("h1, h2, h3, h4, p, dt, dd, td, th, li, summary")]
			.filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1 && getComputedStyle(e).display !== "inline" && !e.closest("foreignObject"))
			.map(e => e.outerHTML.slice(0, 120))`)
		if len(wide) > 0 {
			t.Errorf("too wide for their places: %q", wide)
		}
		dark := eval[bool](p, `getComputedStyle(document.body).backgroundColor.match(/\d+/g).every(c => c < 64)`)
		if dark != strings.HasSuffix(t.Name(), "dark") {
			t.Errorf("dark: %v", dark)
		}
	})
}
