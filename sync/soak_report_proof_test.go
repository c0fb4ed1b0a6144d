//go:build soak && linux

package sync_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what somebody wants to know who has not looked on.
func (s *soak) report() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(what, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", what, fmt.Sprintf(format, args...)) }
	line("soak", "seed %d, %g minutes of faults, %s in all", *soakSeed, *soakMinutes, time.Since(s.began).Round(time.Second))
	s.reportCalls(line)
	line("rows", "%s", s.rows())
	for _, c := range []struct{ what, prefix string }{
		{"broken", "broke "}, {"faults of the services", "fault "}, {"lines to tenants", "tenant line "}, {"line to the database", "database line "},
		{"commands by exit code", "exit "},
	} {
		list, sum := s.journal.of(c.prefix)
		line(c.what, "%d: %s", sum, list)
	}
	for _, c := range []struct{ what, prefix string }{
		{"calls, most in a minute", "most in a minute "}, {"calls on record, and seen", "calls on record "}, {"Retry-After", "waits "},
	} {
		line(c.what, "%s", s.journal.facts(c.prefix))
	}
	line("lives of the first worker", "%d, slowest end after SIGTERM %s", s.first.lives, s.watch.slowest.Round(10*time.Millisecond))
	line("runs", "%s", s.figures(`SELECT command || ' ' || outcome, count(*) FROM sync.runs GROUP BY 1 ORDER BY 1`))
	line("bookkeeping", "%s", s.figures(`
		SELECT 'coverage', count(*) FROM sync.coverage UNION ALL SELECT 'runs', count(*) FROM sync.runs UNION ALL SELECT 'quota', count(*) FROM sync.quota
		UNION ALL SELECT 'schema_changes', count(*) FROM sync.schema_changes UNION ALL SELECT 'reconciliations', count(*) FROM sync.reconciliations`))
	s.reportSamples(line)
	for _, x := range s.tenants {
		line("differences in "+x.plan.name, "%s", s.journal.facts("compared "+x.plan.name+" "))
	}
	_, differ := s.journal.of("differs")
	line("differences", "%d", differ)
	w.Flush()
	return b.String()
}

// reportCalls counts requests by kind and status.
func (s *soak) reportCalls(line func(string, string, ...any)) {
	total := 0
	for _, x := range s.tenants {
		x.face.mu.Lock()
		counts := map[string]int{}
		for _, c := range x.face.calls {
			counts[fmt.Sprintf("%s %d", c.family, c.status)]++
		}
		n := len(x.face.calls)
		x.face.mu.Unlock()
		total += n
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(counts)) {
			parts = append(parts, fmt.Sprintf("%s: %d", k, counts[k]))
		}
		line("requests of "+x.plan.name, "%d: %s", n, strings.Join(parts, ", "))
	}
	line("requests", "%d", total)
}

func (s *soak) reportSamples(line func(string, string, ...any)) {
	for _, name := range []string{"first", "second"} {
		w := s.watch.workers[name]
		for _, c := range []struct {
			what string
			of   func(sample) float64
		}{
			{"memory, MiB", func(x sample) float64 { return x.rss }},
			{"heap in use, MiB", func(x sample) float64 { return x.heap }},
			{"goroutines", func(x sample) float64 { return x.goroutines }},
			{"open files", func(x sample) float64 { return x.files }},
			{"connections", func(x sample) float64 { return x.connects }},
		} {
			line(name+": "+c.what, "%s (most %.0f)", tenNumbers(w.samples, c.of), most(w.samples, c.of))
		}
		var answers []string
		for _, k := range slices.Sorted(maps.Keys(w.answers)) {
			answers = append(answers, fmt.Sprintf("%s: %d", k, w.answers[k]))
		}
		line(name+": HTTP", "%s", strings.Join(answers, ", "))
	}
}

func most(samples []sample, of func(sample) float64) (m float64) {
	for _, x := range samples {
		m = max(m, of(x))
	}
	return m
}

// rows counts what is stored.
func (s *soak) rows() string {
	return s.figures(`
		SELECT 'incidents', count(*) FROM defender.incidents UNION ALL SELECT 'alerts', count(*) FROM defender.alerts
		UNION ALL SELECT 'evidence', count(*) FROM defender.alert_evidence UNION ALL SELECT 'history', count(*) FROM defender.alert_history
		UNION ALL SELECT 'processes', count(*) FROM hunting.device_process_events UNION ALL SELECT 'alert evidence', count(*) FROM hunting.alert_evidence
		UNION ALL SELECT 'query', count(*) FROM hunting.shells UNION ALL SELECT 'snapshot ranges', count(*) FROM hunting.device_tvm_software_vulnerabilities`)
}

// figures are a statement's names and numbers on one line.
func (s *soak) figures(sql string) string {
	var all []string
	for _, f := range query[struct {
		Name string
		N    int64
	}](s.t, s.admin, sql) {
		all = append(all, fmt.Sprintf("%s %d", f.Name, f.N))
	}
	return strings.Join(all, ", ")
}
