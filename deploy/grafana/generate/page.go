package main

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// tag is what the links at the top of each dashboard list.
const tag = "defendersync"

// gridWidth is Grafana's.
const gridWidth = 24

// board is a dashboard in the classic model, which every Grafana reads from files;
// the newer one is for its API.
//
//lint:ignore SA1019 see above
type board = dashboard.Dashboard

// page is one dashboard in what differs between them.
type page struct {
	uid, title, about string
	variables         []dashboard.VariableModel
	sections          []section
}

// section is a titled row of the grid and what stands under it.
type section struct {
	title  string
	panels []dashboard.Panel
}

// build lays the panels out from left to right and top to bottom.
func (p page) build() board {
	d := *dashboard.NewDashboard()
	d.Uid, d.Title, d.Description = &p.uid, &p.title, &p.about
	d.Tags = []string{tag}
	d.Version = new(uint32(1))
	d.GraphTooltip = new(dashboard.DashboardCursorSyncCrosshair)
	d.Time = &dashboard.DashboardDashboardTime{From: "now-30d", To: "now"}
	d.Refresh = new("5m")
	d.Preload = new(false)
	d.Links = []dashboard.DashboardLink{others()}
	d.Templating.List = p.variables
	var y uint32
	for _, s := range p.sections {
		y = s.place(&d, y)
	}
	return d
}

// place adds a section that begins at the line y, and returns where it ends.
func (s section) place(d *board, y uint32) uint32 {
	row := dashboard.NewRowPanel()
	row.Title, row.Id = &s.title, id(d)
	row.GridPos = &dashboard.GridPos{H: 1, W: gridWidth, Y: y}
	d.Panels = append(d.Panels, dashboard.PanelOrRowPanel{RowPanel: row})
	y++
	var x, height uint32
	for _, p := range s.panels {
		if x+p.GridPos.W > gridWidth {
			x, y, height = 0, y+height, 0
		}
		p.GridPos.X, p.GridPos.Y, p.Id = x, y, new(id(d))
		x, height = x+p.GridPos.W, max(height, p.GridPos.H)
		d.Panels = append(d.Panels, dashboard.PanelOrRowPanel{Panel: &p})
	}
	return y + height
}

// id is the next that is free.
func id(d *board) uint32 { return uint32(len(d.Panels)) + 1 }

// others lists the dashboards beside this one, and keeps what was chosen.
func others() dashboard.DashboardLink {
	l := *dashboard.NewDashboardLink()
	l.Title, l.Type, l.Tags = "Defender", dashboard.DashboardLinkTypeDashboards, []string{tag}
	l.KeepTime, l.IncludeVars, l.Placement = true, true, nil
	return l
}

// tenants chooses tenants. The database holds no names of them.
func tenants() dashboard.VariableModel {
	return choice("tenant", "Tenant", "Directory (tenant) IDs, as configured.",
		`SELECT DISTINCT tenant_id::text FROM sync.checkpoints ORDER BY 1`)
}

// severities chooses by name; other is one that is not known yet, or none.
func severities() dashboard.VariableModel {
	v := newVariable(dashboard.VariableTypeCustom, "severity", "Severity")
	v.Multi, v.IncludeAll, v.AllowCustomValue = new(true), new(true), new(false)
	names := []string{"high", "medium", "low", "informational", "other"}
	v.Query = &dashboard.StringOrMap{String: new(strings.Join(names, ","))}
	v.Options = append(v.Options, dashboard.VariableOption{Selected: new(true), Text: one("All"), Value: one("$__all")})
	for _, n := range names {
		v.Options = append(v.Options, dashboard.VariableOption{Selected: new(false), Text: one(n), Value: one(n)})
	}
	v.Current = all()
	return v
}

// choice is of any number of what sql returns, and of all at first.
func choice(name, label, about, sql string) dashboard.VariableModel {
	v := pick(name, label, about, sql)
	v.Multi, v.IncludeAll, v.Current = new(true), new(true), all()
	return v
}

// pick is of one of what sql returns, and of the first at first.
func pick(name, label, about, sql string) dashboard.VariableModel {
	v := newVariable(dashboard.VariableTypeQuery, name, label)
	sql = chosen(sql)
	v.Datasource, v.Description = source(), &about
	v.Query, v.Definition = &dashboard.StringOrMap{String: &sql}, &sql
	v.Multi, v.IncludeAll, v.AllowCustomValue = new(false), new(false), new(true)
	v.Refresh = new(dashboard.VariableRefreshOnTimeRangeChanged)
	v.Sort = new(dashboard.VariableSortDisabled)
	return v
}

// words is a text that is typed.
func words(name, label, about string) dashboard.VariableModel {
	v := newVariable(dashboard.VariableTypeTextbox, name, label)
	v.Description, v.Query = &about, &dashboard.StringOrMap{String: new("")}
	v.Current = &dashboard.VariableOption{Text: one(""), Value: one("")}
	return v
}

// newVariable has nothing of those of other types, which Grafana's types begin with.
func newVariable(kind dashboard.VariableType, name, label string) dashboard.VariableModel {
	return dashboard.VariableModel{Type: kind, Name: name, Label: &label, SkipUrlSync: new(false)}
}

func all() *dashboard.VariableOption {
	many := func(s string) dashboard.StringOrArrayOfString {
		return dashboard.StringOrArrayOfString{ArrayOfString: []string{s}}
	}
	return &dashboard.VariableOption{Selected: new(true), Text: many("All"), Value: many("$__all")}
}

func one(s string) dashboard.StringOrArrayOfString {
	return dashboard.StringOrArrayOfString{String: &s}
}
