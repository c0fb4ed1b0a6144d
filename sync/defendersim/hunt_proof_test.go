package defendersim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

// TestWindowsAreFoundByPredicate asks for random spans of time in all the ways
// they can be written, and once with the time in disguise, where no index
// helps: the answers are the same, and those that a Go loop finds.
func TestWindowsAreFoundByPredicate(t *testing.T) {
	c := newClock()
	h := numbers(c, 200)
	s := serve(t, defendersim.Options{Hunting: h})
	r := rand.New(rand.NewPCG(9, 9))
	rows := h.Rows("Numbers", time.Time{})
	literal := func(ticks int64) string {
		return "datetime(" + defendersim.HuntTicks(ticks).Time().Format(kqlTime) + ")"
	}
	for range 60 {
		a, b := rows[r.IntN(len(rows))].Ticks+int64(r.IntN(3)-1), rows[r.IntN(len(rows))].Ticks+int64(r.IntN(3)-1)
		from, to := min(a, b), max(a, b)
		x, y := literal(from), literal(to)
		for form, in := range map[string]func(t int64) bool{
			"T >= %s and T < %s":                    func(t int64) bool { return t >= from && t < to },
			"T > %s and T <= %s":                    func(t int64) bool { return t > from && t <= to },
			"%s <= T and %s > T":                    func(t int64) bool { return t >= from && t < to },
			"%s < T and %s >= T":                    func(t int64) bool { return t > from && t <= to },
			"T between (%s .. %s)":                  func(t int64) bool { return t >= from && t <= to },
			"T == %s or T == %s":                    func(t int64) bool { return t == from || t == to },
			"not(T >= %s) and T < %s":               func(t int64) bool { return t < from },
			"T > %s | where N >= 0 | where T <= %s": func(t int64) bool { return t > from && t <= to },
			"T !between (%s .. %s)":                 func(t int64) bool { return t < from || t > to },
		} {
			predicate := fmt.Sprintf(form, x, y)
			var want []string
			for i, row := range rows {
				if in(row.Ticks) {
					want = append(want, fmt.Sprint(i))
				}
			}
			slices.Sort(want)
			plain := "Numbers | where " + regexp.MustCompile(`\bT\b`).ReplaceAllString(form, "Timestamp")
			plain = fmt.Sprintf(plain, x, y)
			for _, query := range []string{plain, "Numbers | extend T = Timestamp | where " + predicate} {
				if got := rowNumbers(s, query); !slices.Equal(got, want) {
					t.Fatalf("%s\n got %v\nwant %v", query, got, want)
				}
			}
		}
	}
}

// rowNumbers asks without a network, for it is asked often.
func rowNumbers(s *tenant, query string) []string {
	s.t.Helper()
	var f found
	if err := json.Unmarshal(direct(s, query+" | project N"), &f); err != nil {
		s.t.Fatal(err)
	}
	return f.sortedCells()
}

func direct(s *tenant, query string) []byte {
	s.t.Helper()
	req := httptest.NewRequest(http.MethodPost, olderHunt, strings.NewReader(kql(query)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+bearer(s.t, s.sim, olderHunt))
	rec := httptest.NewRecorder()
	if s.sim.ServeHTTP(rec, req); rec.Code != http.StatusOK {
		s.t.Fatalf("%s: %d %s", query, rec.Code, rec.Body)
	}
	return rec.Body.Bytes()
}

// TestAnswersAreWholeWhileTablesChange asks while rows come and columns
// change: each answer is of one moment. The race detector looks on.
func TestAnswersAreWholeWhileTablesChange(t *testing.T) {
	c := newClock()
	h := defendersim.DemoHunting(1, c.Now(), 1)
	s := serve(t, defendersim.Options{Hunting: h})
	edition := h.Rows("DeviceTvmSoftwareVulnerabilities", c.Now())
	var changes sync.WaitGroup
	changes.Go(func() {
		for i := range 40 {
			h.LiveStep(c.Now())
			h.AddColumn("EmailEvents", defendersim.HuntColumn{Name: fmt.Sprint("Extra", i), Type: "long"})
			h.SetColumnType("EmailEvents", "UrlCount", []string{"int", "long", "string"}[i%3])
			h.Replace("DeviceTvmSoftwareVulnerabilities", edition[:len(edition)-i]...)
			h.Remove("AlertEvidence", func(r defendersim.HuntRow) bool { return r.Ticks%97 == int64(i) })
		}
	})
	for range 5 {
		for _, table := range h.Tables() {
			var f found
			if err := json.Unmarshal(direct(s, table), &f); err != nil {
				t.Fatalf("%s: %v", table, err)
			}
			for _, row := range f.Results {
				if len(row) != len(f.Schema) {
					t.Fatalf("%s: a row has %d values of %d columns", table, len(row), len(f.Schema))
				}
			}
		}
	}
	changes.Wait()
}

// paths lists the members of a JSON document with the kinds of their values.
func paths(v any, at string, into map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			paths(inner, at+"."+k, into)
		}
	case []any:
		for _, inner := range v {
			paths(inner, at+"[]", into)
		}
	default:
		into[at] = fmt.Sprintf("%T", v)
	}
}

// TestPublishedHuntingShape compares with the answer in Microsoft's documentation.
func TestPublishedHuntingShape(t *testing.T) {
	b, err := os.ReadFile(shared(t, "fixtures", "hunting", "msdocs-api-advanced-hunting-2.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := newClock()
	s := serve(t, defendersim.Options{Hunting: defendersim.DemoHunting(1, c.Now(), 1)})
	var published, ours any
	if err := json.Unmarshal(b, &published); err != nil {
		t.Fatal(err)
	}
	answer := direct(s, `DeviceProcessEvents | where InitiatingProcessFileName =~ "powershell.exe" | project Timestamp, FileName, InitiatingProcessFileName | order by Timestamp desc | limit 2`)
	if err := json.Unmarshal(answer, &ours); err != nil {
		t.Fatal(err)
	}
	want, got := map[string]string{}, map[string]string{}
	paths(published, "", want)
	paths(ours, "", got)
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	for _, name := range []string{"Stats", "Schema", "Results"} {
		if i, j := strings.Index(string(answer), `"`+name+`"`), strings.Index(string(b), `"`+name+`"`); i < 0 || j < 0 {
			t.Errorf("%s stands at %d and %d", name, i, j)
		}
	}
}

// FuzzKQL feeds it texts: it answers or refuses, and never falls over.
func FuzzKQL(f *testing.F) {
	for _, text := range []string{"E", "E | where N == 1 // x", "let E = E | where Timestamp >= datetime(2026-11-22);\nE | summarize arg_max(Timestamp, *) by Host", "E | where a.b[0].c in~ (dynamic(['x']), h@'y''z', ```q```)",
		"E | top 2 by bin(Timestamp, 1h) asc nulls last, N | project-away T*", "E | where N between (1 .. 2) and not(isempty(Cmd)) or hash(tostring(pack_all()), 3) == 1", "E | extend X = -N * 1h / 2 % 3, Y = ['Host']",
		"(E | take 1) | distinct *", "E | where Cmd matches regex '(' or Ok == bool(null) | getschema", `E | where Host == "\u00e9\x41\`, "let x = x; let y = (E); y | count;", "E | summarize by Host, bin(N, 0)", "E | where timespan(1.02:03:04) > 1tick"} {
		f.Add(text)
	}
	c := newClock()
	sim := defendersim.New(defendersim.Options{Now: c.Now, Hunting: kqlTables(f), World: defendersim.NewWorld(defendersim.WorldOptions{Incidents: 1, Now: c.Now})})
	token := bearer(f, sim, olderHunt)
	f.Fuzz(func(t *testing.T, text string) {
		req := httptest.NewRequest(http.MethodPost, olderHunt, strings.NewReader(kql(text)))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		rec := httptest.NewRecorder()
		sim.ServeHTTP(rec, req)
		b, err := io.ReadAll(rec.Body)
		if err != nil || rec.Code != 200 && rec.Code != 400 || !json.Valid(b) {
			t.Errorf("%d %v %s", rec.Code, err, b)
		}
	})
}
