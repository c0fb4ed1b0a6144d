package defendersim_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"defendersync/sync/defendersim"
)

// TestKQLRefused sends what the service would not take.
func TestKQLRefused(t *testing.T) {
	s := kqlTenant(t)
	const fix = ". Fix semantic errors in your query."
	for query, want := range map[string]string{
		"EmailEvents | where 1 == 1":                "'where' operator: Failed to resolve table or column expression named 'EmailEvents'" + fix,
		"EmailEvents":                               "Failed to resolve table or column expression named 'EmailEvents'" + fix,
		"e | count":                                 "'count' operator: Failed to resolve table or column expression named 'e'" + fix,
		"let X = EmailEvents | take 1; E":           "'take' operator: Failed to resolve table or column expression named 'EmailEvents'" + fix,
		"E | where Hostname == 'a'":                 "'where' operator: Failed to resolve scalar expression named 'Hostname'" + fix,
		"E | project Host | where N == 1":           "'where' operator: Failed to resolve scalar expression named 'N'" + fix,
		"E | project-away Hostname":                 "'project-away' operator: Failed to resolve scalar expression named 'Hostname'" + fix,
		"Soft | where Timestamp > ago(1h)":          "'where' operator: Failed to resolve scalar expression named 'Timestamp'" + fix,
		"let x = y; E":                              "'let' operator: Failed to resolve scalar expression named 'y'" + fix,
		"let x = 1; let x = 2; E":                   "'let' operator: A variable with the name 'x' is already declared" + fix,
		"let E = E | take 1; let E = E | take 1; E": "'let' operator: A variable with the name 'E' is already declared" + fix,
		"E | join (E) on Host":                      "'join' operator: The operator is not one that the simulated tenant evaluates" + fix,
		"E | where magic(Host)":                     "'where' operator: Unknown function: 'magic'" + fix,
		"E | where strlen(Host, 1) == 1":            "'where' operator: strlen(): function expects 1 argument(s)" + fix,
		"E | where N":                               "'where' operator: The expression must have type bool" + fix,
		"E | summarize stdev(N)":                    "'summarize' operator: Unknown aggregate function: 'stdev'" + fix,
		"E | summarize count(N)":                    "'summarize' operator: count(): function expects 0 argument(s)" + fix,
		"E | take N":                                "'take' operator: The number of rows must be a constant that is not negative" + fix,
		"":                                          "A recognition error occurred. Unexpected end of the query. [line:position=1:1]. Fix syntax errors in your query.",
		"E |\n where":                               "A recognition error occurred. Unexpected end of the query. [line:position=2:7]. Fix syntax errors in your query.",
		"E | where Host == \"a":                     "A recognition error occurred. Unterminated string. [line:position=1:19]. Fix syntax errors in your query.",
		"E | where Host == 'a' E":                   "A recognition error occurred. Unexpected 'E'. [line:position=1:23]. Fix syntax errors in your query.",
		"E | where Timestamp > datetime(tonight)":   "A recognition error occurred. \"tonight\" is not a datetime. [line:position=1:23]. Fix syntax errors in your query.",
		"E | where (Host == 'a'":                    "A recognition error occurred. Unexpected end of the query. [line:position=1:23]. Fix syntax errors in your query.",
		"E | where Host == § ":                      "A recognition error occurred. Unexpected character \"\\xc2\". [line:position=1:19]. Fix syntax errors in your query.",
	} {
		s.refused(graphHunt, kql(query), 400, "BadRequest", want)
		s.refused(olderHunt, kql(query), 400, "BadRequest", want)
	}
}

func TestHuntingRejectsPrelude(t *testing.T) {
	s := huntTenant(t, defendersim.Options{HuntRejectPrelude: true})
	s.refused(graphHunt, kql("let DeviceEvents = DeviceEvents | take 1;\nDeviceEvents"), 400, "BadRequest",
		"'let' operator: The name 'DeviceEvents' is that of a table and cannot be declared. Fix semantic errors in your query.")
	if n := len(s.ask(graphHunt, "let Few = DeviceEvents | take 1;\nFew").Results); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// TestPublishedQueries throws real queries at a tenant that has every table.
// Each is answered or refused, and those that it evaluates are many.
func TestPublishedQueries(t *testing.T) {
	f, err := os.Open(shared(t, "fixtures", "kql", "queries.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := serve(t, defendersim.Options{Hunting: publishedTables(t)})
	token := bearer(t, s.sim, graphHunt)
	answered, unread := 0, []string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var q struct{ ID, Query string }
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			t.Fatal(err)
		}
		res := s.hunt(graphHunt, kql(q.Query), "Authorization", "Bearer "+token)
		body := fmt.Sprint(decode(t, res))
		switch {
		case res.StatusCode == 200:
			answered++
		case res.StatusCode != 400 || !strings.Contains(body, "errors in your query."):
			t.Errorf("%s: %d %s", q.ID, res.StatusCode, body)
		case strings.Contains(body, "Unexpected character") || strings.Contains(body, "Unterminated"):
			unread = append(unread, q.ID+" "+body)
		}
	}
	t.Logf("%d answered", answered)
	if answered < 100 || len(unread) > 1 { // one of them has a quote that does not end
		t.Errorf("%d answered; not split into words: %v", answered, unread)
	}
}

// publishedTables are all documented tables, empty.
func publishedTables(t *testing.T) *defendersim.HuntTables {
	t.Helper()
	b, err := os.ReadFile(shared(t, "reference", "hunting_tables.json"))
	if err != nil {
		t.Fatal(err)
	}
	var tables map[string]struct {
		Time    string
		Columns [][2]string
	}
	if err := json.Unmarshal(b, &tables); err != nil {
		t.Fatal(err)
	}
	h := defendersim.NewHunting()
	for name, table := range tables {
		var cols []defendersim.HuntColumn
		for _, c := range table.Columns {
			cols = append(cols, defendersim.HuntColumn{Name: c[0], Type: c[1]})
		}
		h.AddTable(defendersim.HuntTable{Name: name, Time: table.Time, Columns: cols})
	}
	return h
}
