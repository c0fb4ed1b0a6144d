// Package deploy_test looks at what is deployed without the program that runs
// it: whether it says what it means, and names only what exists. That the SQL of
// the dashboards can be run is tested beside the demo's tenant, in sync.
package deploy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A dashboard as Grafana reads it, as far as it is looked at here.
type dashboard struct {
	UID, Title, Description string
	Version, SchemaVersion  int
	Tags                    []string
	Time                    struct{ From, To string }
	Links                   []struct{ Tags []string }
	Panels                  []panel
	Templating              struct{ List []variable }
}

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               *ref
	LibraryPanel             any
	Targets                  []struct {
		Datasource ref
		RawSQL     string
	}
	FieldConfig struct {
		Overrides []struct {
			Properties []struct {
				ID    string
				Value json.RawMessage
			}
		}
	}
}

type ref struct{ Type, UID string }

type variable struct {
	Name, Type string
	Query      string
	Datasource *ref
	Multi      bool
	IncludeAll bool
}

// source is what every panel and variable asks; it is provisioned in datasources.
var source = ref{"grafana-postgresql-datasource", "defendersync"}

// dashboards reads all of them, by uid.
func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil || len(files) != 6 {
		t.Fatalf("%q, %v", files, err)
	}
	all := map[string]dashboard{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if d.UID+".json" != filepath.Base(f) {
			t.Errorf("%s has the uid %q", f, d.UID)
		}
		all[d.UID] = d
	}
	return all
}

// TestDashboardsAreOfOneKind holds each to what makes six pages one product.
func TestDashboardsAreOfOneKind(t *testing.T) {
	for uid, d := range dashboards(t) {
		if !strings.HasPrefix(uid, "defendersync-") || !strings.HasPrefix(d.Title, "Defender: ") || d.Description == "" {
			t.Errorf("%s: %q, %q", uid, d.Title, d.Description)
		}
		if d.Version != 1 || d.SchemaVersion != 42 || d.Time.From != "now-30d" || !slices.Equal(d.Tags, []string{"defendersync"}) {
			t.Errorf("%s: version %d, schema %d, time %v, tags %q", uid, d.Version, d.SchemaVersion, d.Time, d.Tags)
		}
		if len(d.Links) != 1 || !slices.Equal(d.Links[0].Tags, d.Tags) {
			t.Errorf("%s does not lead to the others: %v", uid, d.Links)
		}
		for _, p := range d.Panels {
			look(t, uid, p)
		}
		for _, v := range d.Templating.List {
			if v.Type == "query" && (v.Datasource == nil || *v.Datasource != source) {
				t.Errorf("%s: the variable %s asks %v", uid, v.Name, v.Datasource)
			}
			if (v.Name == "tenant" || v.Name == "severity") && (!v.Multi || !v.IncludeAll) {
				t.Errorf("%s: the variable %s is not of many and all", uid, v.Name)
			}
		}
		apart(t, uid, d.Panels)
	}
}

// builtIn are the panels that every Grafana has, of which those used are listed.
var builtIn = []string{"stat", "timeseries", "barchart", "bargauge", "table", "state-timeline", "heatmap"}

func look(t *testing.T, uid string, p panel) {
	t.Helper()
	if p.Type == "row" {
		return
	}
	if !slices.Contains(builtIn, p.Type) || p.LibraryPanel != nil {
		t.Errorf("%s: %q is of the type %s, library %v", uid, p.Title, p.Type, p.LibraryPanel)
	}
	if p.Title == "" || len(p.Description) < 20 {
		t.Errorf("%s: %q is described as %q", uid, p.Title, p.Description)
	}
	if p.Datasource == nil || *p.Datasource != source || len(p.Targets) != 1 || p.Targets[0].Datasource != source {
		t.Errorf("%s: %q asks %v, %v", uid, p.Title, p.Datasource, p.Targets)
	}
}

// apart wants no two panels on one place, each inside the grid and with a number of its own.
func apart(t *testing.T, uid string, panels []panel) {
	t.Helper()
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range panels {
		if g := p.GridPos; g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 || ids[p.ID] {
			t.Errorf("%s: %q is at %v with the id %d", uid, p.Title, g, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("%s: %q lies on %q", uid, p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

var (
	used  = regexp.MustCompile(`\$\{(\w+):sqlstring\}`)
	bare  = regexp.MustCompile(`\$\{?([a-z]\w*)`)
	given = regexp.MustCompile(`var-(\w+)=|\$\{(\w+):queryparam\}`)
	page  = regexp.MustCompile(`^/d/([a-z-]+)\?`)
)

// TestDashboardsUseTheirVariables wants each variable quoted wherever SQL has it,
// known, and used by a panel; and the tenant in everything that has tenants.
func TestDashboardsUseTheirVariables(t *testing.T) {
	for uid, d := range dashboards(t) {
		known, seen := names(d), map[string]bool{}
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				for _, m := range bare.FindAllStringSubmatch(used.ReplaceAllString(q.RawSQL, ""), -1) {
					t.Errorf("%s: %q has %s without quotes", uid, p.Title, m[0])
				}
				for _, m := range used.FindAllStringSubmatch(q.RawSQL, -1) {
					seen[m[1]] = true
					if !slices.Contains(known, m[1]) {
						t.Errorf("%s: %q uses %s, which is no variable", uid, p.Title, m[1])
					}
				}
				if !strings.Contains(q.RawSQL, "${tenant:sqlstring}") && !strings.Contains(p.Description, "all tenants together") {
					t.Errorf("%s: %q shows every tenant's rows and does not say so", uid, p.Title)
				}
			}
		}
		for _, name := range known {
			if !seen[name] {
				t.Errorf("%s: no panel uses the variable %s", uid, name)
			}
		}
	}
}

func names(d dashboard) (all []string) {
	for _, v := range d.Templating.List {
		all = append(all, v.Name)
	}
	return all
}

// TestLinksLeadSomewhere wants the target of every link inside to exist and to
// have the variables that it sets. Columns that links read are looked at in sync.
func TestLinksLeadSomewhere(t *testing.T) {
	all, n := dashboards(t), 0
	for uid, d := range all {
		for _, p := range d.Panels {
			for _, url := range links(t, p) {
				n++
				follow(t, all, uid, url)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d links were found", n)
	}
}

func follow(t *testing.T, all map[string]dashboard, uid, url string) {
	t.Helper()
	m := page.FindStringSubmatch(url)
	if m == nil {
		if !strings.HasPrefix(url, "${") {
			t.Errorf("%s: a link to %s", uid, url)
		}
		return
	}
	target, ok := all[m[1]]
	if !ok {
		t.Errorf("%s: a link to %s, which is not there", uid, m[1])
	}
	if strings.Contains(url, "var-incident=") && !strings.Contains(url, "&var-incident=${__data.fields.tenant}/${__value.raw}&") {
		t.Errorf("%s: a link to an incident does not say whose it is: %s", uid, url)
	}
	for _, v := range given.FindAllStringSubmatch(url, -1) {
		if v[1] != "" && !slices.Contains(names(target), v[1]) || v[2] != "" && !(slices.Contains(names(target), v[2]) && slices.Contains(names(all[uid]), v[2])) {
			t.Errorf("%s: a link to %s sets %s, which it or this one does not have", uid, m[1], v[0])
		}
	}
}

// links are the addresses of a panel's columns.
func links(t *testing.T, p panel) (urls []string) {
	t.Helper()
	for _, o := range p.FieldConfig.Overrides {
		for _, property := range o.Properties {
			if property.ID != "links" {
				continue
			}
			var all []struct{ URL string }
			if err := json.Unmarshal(property.Value, &all); err != nil {
				t.Fatal(err)
			}
			for _, l := range all {
				urls = append(urls, l.URL)
			}
		}
	}
	return urls
}
