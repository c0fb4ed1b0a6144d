package page

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestFigures reads in the browser what the known world holds.
func TestFigures(t *testing.T) {
	p := open(t, serve(t), 1440, "light")
	for script, want := range map[string]string{
		`document.title`:                         "7 warnings · defendersync",
		`document.querySelector("h1").innerText`: "7 warnings",
		`[...document.querySelectorAll("h2")].map(e => e.innerText).join()`:                                                              "contoso,fabrikam",
		`[...document.querySelectorAll("#t1-streams .badge")].map(e => e.innerText).join()`:                                              "incomplete,failed, stale,incomplete,catching up,complete,waiting for its first run",
		`document.querySelector("#t1-streams .ends").innerText.replace(/\s+/g, " ")`:                                                     "1 Jun 99.35 % complete 11:58:00",
		`document.querySelectorAll("#t1-incidents .day").length + " days"`:                                                               "30 days",
		`document.querySelector("#t1-incidents .daily .legend").innerText.replace(/\s+/g, " ")`:                                          "opened 7 resolved 7 in the last 30 days",
		`document.querySelector("#t1-incidents .day:last-of-type title").textContent`:                                                    "Fri 20 Nov: 3 opened, 1 resolved",
		`[...document.querySelectorAll("#t1-incidents .backlog tbody tr")].map(r => r.innerText.replace(/\s+/g, " ").trim()).join("; ")`: "high 2 28 h; medium 1 10 h; low 1 29 d; informational 0 –; other 1 29 d",
		`document.querySelectorAll("#t1-runs tbody tr").length + " runs"`:                                                                "8 runs",
		`document.querySelector("#t1-runs tbody tr").innerText.replace(/\s+/g, " ")`:                                                     `11:55:01 alerts run failed list alerts: service answered 503: <script>document.title = "taken over"</script> (request-id 42) 0 0 0 4 30 s`,
		`Math.round(100 * document.querySelector("#t1-s4-name").closest("article").querySelector(".read").getBoundingClientRect().width / document.querySelector("#t1-s4-name").closest("article").querySelector(".track").getBoundingClientRect().width) + " %"`: "48 %",
	} {
		if got := eval[string](p, script); got != want {
			t.Errorf("%s is %q, want %q", script, got, want)
		}
	}
	p.quiet()
}

// TestWithoutScript says that the page is whole without its script.
func TestWithoutScript(t *testing.T) {
	server := serve(t)
	p := open(t, server, 1440, "light")
	call(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	must(p, chromedp.Navigate(server+"/"))
	text := must(p, chromedp.Text(chromedp.CSS("body")))
	for _, want := range []string{"7 warnings", "99.35 % complete", "Last runs", "open now"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "Refreshed") {
		t.Error("it says that it was refreshed")
	}
}

// TestReadable is what tools for accessibility look at: names of everything that
// has to have one, order of headings, headers of tables, contrast in both
// colour schemes.
func TestReadable(t *testing.T) {
	views(t, func(t *testing.T, p *tab) {
		eval[chromedp.Void](p, `document.querySelectorAll("details").forEach(d => d.open = true)`)
		for _, problem := range eval[[]string](p, readable) {
			t.Error(problem)
		}
	})
}

const readable = `(() => {
	const problems = [];
	const say = (what, e) => problems.push(what + ": " + (e ? e.outerHTML.slice(0, 150) : ""));
	const all = (s) => [...document.querySelectorAll(s)];
	const name = (e) => e.getAttribute("aria-label") || (e.getAttribute("aria-labelledby") || "").split(" ").map(i => document.getElementById(i)).filter(Boolean).map(n => n.textContent).join(" ") || e.textContent;
	if (document.documentElement.lang !== "en" || !document.title) say("no language or title");
	for (const s of ["main", "header", "footer", "h1"]) if (all(s).length !== 1) say(all(s).length + " of " + s);
	const ids = all("[id]").map(e => e.id);
	if (new Set(ids).size !== ids.length) say("ids are not unique: " + ids.filter((x, i) => ids.indexOf(x) !== i));
	for (const e of all("[aria-labelledby]")) if (!name(e).trim()) say("names nothing", e);
	for (const e of all("a, summary, nav, section, article, [tabindex='0'], svg[role]")) if (!name(e).trim()) say("no name", e);
	for (const e of all("svg")) if (!e.getAttribute("aria-label") && e.getAttribute("aria-hidden") !== "true") say("a drawing without a name", e);
	for (const e of all("th")) if (!e.scope) say("a header of what", e);
	for (const e of all("table")) if (!e.caption && !e.getAttribute("aria-labelledby")) say("a table without a name", e);
	for (const e of all("dl > div")) if (!e.querySelector("dt") || !e.querySelector("dd")) say("half a term", e);
	for (const e of all("[data-live] :is(a, summary, [tabindex])")) if (!(e.tagName === "SUMMARY" ? e.parentElement : e).id) say("would lose the focus", e);
	let last = 0;
	for (const e of all("h1, h2, h3, h4, h5")) {
		const level = +e.tagName[1];
		if (level > last + 1) say("a level is left out", e);
		last = level;
	}
	const light = (c) => [0, 1, 2].map(i => c[i] / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const colour = (s) => (s.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = colour(getComputedStyle(e).backgroundColor);
			if (c.length < 4 || c[3] > 0) return c;
		}
		return [255, 255, 255];
	};
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	let texts = 0;
	while (walker.nextNode()) {
		const e = walker.currentNode.parentElement;
		if (!walker.currentNode.textContent.trim() || e.closest("title, foreignObject, .hidden")) continue;
		texts++;
		const style = getComputedStyle(e);
		const r = ratio(colour(e.closest("svg") ? style.fill : style.color), ground(e));
		if (r < 4.5) say("contrast of " + r.toFixed(2), e);
		if (parseFloat(style.fontSize) < 12) say("small", e);
	}
	if (texts < 200) say("only " + texts + " texts were looked at");
	for (const e of all(".bar .read, .gap > rect, rect.opened, rect.resolved, .used, .sev")) {
		const r = ratio(colour(getComputedStyle(e).fill), ground(e));
		if (r < 3) say("contrast of a drawing of " + r.toFixed(2), e);
	}
	return problems;
})()`

// TestKeyboard steps through the page with the Tab key: the link past the
// header, each gap, which then says what it is, each list.
func TestKeyboard(t *testing.T) {
	p := open(t, serve(t), 375, "light")
	var stops []string
	for range 40 {
		must(p, chromedp.KeyEvent(kb.Tab))
		stop := eval[string](p, `(() => {
			const e = document.activeElement;
			if (e === document.body) return "";
			const tip = e.querySelector(".tip");
			if (tip && (getComputedStyle(tip).display === "none" || tip.getBoundingClientRect().height < 20)) return "hidden: " + e.id;
			if (tip && (tip.firstChild.getBoundingClientRect().right > innerWidth || tip.firstChild.getBoundingClientRect().left < 0)) return "beside the window: " + e.id;
			if (!tip && getComputedStyle(e).outlineStyle === "none") return "no outline: " + e.outerHTML;
			return e.id || e.parentElement.id || e.textContent;
		})()`)
		if stop == "" {
			break
		}
		stops = append(stops, stop)
	}
	want := []string{"Skip to the content", "t1-jump", "t2-jump", "t1-s1-g0", "t1-s1-g1", "t1-s1-gaps", "t1-s3-g0", "t1-s3-gaps", "t1-days", "t2-days", "Status as JSON", "Readiness", "Health", "Metrics"}
	if !slices.Equal(stops, want) {
		t.Errorf("the Tab key stops at %q, want %q", stops, want)
	}
	p.quiet()
}
