package defendersim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

// dump writes all rows of all tables.
func dump(h *defendersim.HuntTables) string {
	var b strings.Builder
	for _, name := range h.Tables() {
		for _, r := range h.Rows(name, time.Time{}) {
			fmt.Fprintf(&b, "%s %d %q\n", name, r.Ticks, r.Values)
		}
	}
	return b.String()
}

func TestDemoHuntingIsDeterministic(t *testing.T) {
	now := newClock().Now()
	a, b := defendersim.DemoHunting(3, now, 1), defendersim.DemoHunting(3, now, 1)
	for range 5 {
		now = now.Add(time.Minute)
		if n, m := a.LiveStep(now), b.LiveStep(now); n != m || n == 0 {
			t.Errorf("%d and %d rows in one step", n, m)
		}
	}
	if dump(a) != dump(b) {
		t.Error("the same seed gives other rows")
	}
	if dump(a) == dump(defendersim.DemoHunting(4, now, 1)) {
		t.Error("another seed gives the same rows")
	}
}

// traits counts what the rows of a demo must have for a test to be worth it.
type traits struct{ ties, twins, wholeSeconds, huge, nul, nulls, bad int }

func traitsOf(h *defendersim.HuntTables, table string, now time.Time) (c traits) {
	seen := map[string]bool{}
	var last int64
	for _, r := range h.Rows(table, now) {
		text := fmt.Sprintf("%q", r.Values)
		if seen[text] {
			c.twins++
		} else if r.Ticks == last {
			c.ties++
		}
		seen[text], last = true, r.Ticks
		if r.Ticks%1e7 == 0 {
			c.wholeSeconds++
		}
		if d := now.Sub(defendersim.HuntTicks(r.Ticks).Time()); r.Ticks != 0 && (d < 0 || d > 30*24*time.Hour) {
			c.bad++
		}
		for i, v := range r.Values {
			if n, ok := v.(int64); ok && n > 1<<53 && int64(float64(n)) != n {
				c.huge++
			}
			if s, ok := v.(string); ok && strings.Contains(s, "\x00") {
				c.nul++
			}
			if v == nil && h.Table(table).Columns[i].Type == "string" {
				c.bad++
			} else if v == nil {
				c.nulls++
			}
		}
	}
	return c
}

func TestDemoHuntingHasWhatIsHard(t *testing.T) {
	now := newClock().Now()
	h := defendersim.DemoHunting(3, now, 3)
	for table, want := range map[string]func(c traits, rows int) bool{
		"DeviceProcessEvents": func(c traits, n int) bool {
			return n == 3000 && c.ties > 50 && c.twins > 5 && c.huge > 50 && c.nul > 3 && c.nulls > 100
		},
		"DeviceLogonEvents": func(c traits, n int) bool { return n == 1500 && c.ties > 20 && c.twins > 2 && c.nulls > 100 },
		"EmailEvents":       func(c traits, n int) bool { return n == 1200 && c.wholeSeconds == n && c.huge > 500 && c.nulls > 100 },
		"AlertEvidence":     func(c traits, n int) bool { return n > 500 && c.ties > 300 && c.twins > 30 },
		"DeviceTvmSoftwareVulnerabilities": func(c traits, n int) bool {
			return n > 300 && c.twins == 0 && c.wholeSeconds == n && c.nulls > 10
		},
	} {
		if n, c := len(h.Rows(table, now)), traitsOf(h, table, now); !want(c, n) || c.bad > 0 {
			t.Errorf("%s: %d rows, %+v", table, n, c)
		}
	}
	names := fmt.Sprint(h.Table("DeviceProcessEvents").Columns)
	if !strings.Contains(names, "{LogonId long}") || !strings.Contains(names, "{LogonID long}") {
		t.Errorf("columns %s", names)
	}
	if c := h.Table("DeviceTvmSoftwareVulnerabilities"); c.Time != "" || len(c.Columns) != 13 {
		t.Errorf("%+v", c)
	}
}

// TestDemoHuntingIsOfTheWorld asks for the same alerts in both places.
func TestDemoHuntingIsOfTheWorld(t *testing.T) {
	c := newClock()
	w := defendersim.NewWorld(defendersim.WorldOptions{Seed: 8, Incidents: 40, Now: c.Now})
	s := serve(t, defendersim.Options{World: w, Hunting: w.DemoHunting(1)})
	known := map[string]bool{}
	for _, a := range w.Alerts() {
		known[a.ID] = true
	}
	rows := s.ask(graphHunt, "AlertEvidence | distinct AlertId").Results
	for _, r := range rows {
		if !known[r["AlertId"].(string)] {
			t.Errorf("alert %s is not the world's", r["AlertId"])
		}
	}
	if len(rows) < 10 {
		t.Errorf("%d alerts", len(rows))
	}
}

// TestLiveStep sees new rows in the answers, and now and then a late one.
func TestLiveStep(t *testing.T) {
	c := newClock()
	s := serve(t, defendersim.Options{Hunting: defendersim.DemoHunting(5, c.Now(), 1)})
	count := func() int {
		n, err := s.ask(graphHunt, "DeviceProcessEvents | summarize Rows = count()").Results[0]["Rows"].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	old := func() (n int) {
		for _, r := range s.sim.Hunting().Rows("DeviceProcessEvents", time.Time{}) {
			if defendersim.HuntTicks(r.Ticks).Time().Before(c.Now()) {
				n++
			}
		}
		return n
	}
	before, oldBefore := count(), old()
	for range 100 {
		s.clock.Advance(10 * time.Second)
		s.sim.Hunting().LiveStep(s.clock.Now())
	}
	if n := count() - before; n < 100 || n > 200 {
		t.Errorf("%d new rows", n)
	}
	if late := old() - oldBefore; late < 2 || late > 30 {
		t.Errorf("%d late rows", late)
	}
	if n := defendersim.NewHunting().LiveStep(c.Now()); n != 0 {
		t.Errorf("%d rows where there is no demo", n)
	}
}
