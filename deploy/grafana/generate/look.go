package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/barchart"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func targets(q *query) []variants.Dataquery { return []variants.Dataquery{q} }

// Colours mean the same everywhere, and are readable on dark and light.
const (
	bad, poor, fair, good, calm, faint = "red", "orange", "yellow", "green", "blue", "text"
)

// severityColours are by the names that severities have in the data.
var severityColours = map[string]string{"high": bad, "medium": poor, "low": fair, "informational": calm, "unknown": faint}

// unit is Grafana's name of one; s is seconds, shown as days and hours.
func unit(u string) look {
	return func(p *dashboard.Panel) { p.FieldConfig.Defaults.Unit = &u }
}

func decimals(n float64) look {
	return func(p *dashboard.Panel) { p.FieldConfig.Defaults.Decimals = &n }
}

// step is the colour from a value on.
type step struct {
	from   float64
	colour string
}

func steps(base string, more ...step) *dashboard.ThresholdsConfig {
	t := &dashboard.ThresholdsConfig{Mode: dashboard.ThresholdsModeAbsolute, Steps: []dashboard.Threshold{{Color: base}}}
	for _, s := range more {
		t.Steps = append(t.Steps, dashboard.Threshold{Value: &s.from, Color: s.colour})
	}
	return t
}

// thresholds colours the numbers of a panel.
func thresholds(base string, more ...step) look {
	return func(p *dashboard.Panel) {
		p.FieldConfig.Defaults.Thresholds = steps(base, more...)
		p.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds}
	}
}

// property is one that a column has of its own.
type property = dashboard.DynamicConfigValue

// column says what is different about one, by its name.
func column(name string, properties ...property) look {
	return func(p *dashboard.Panel) {
		p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, dashboard.DashboardFieldConfigSourceOverrides{
			Matcher: dashboard.MatcherConfig{Id: "byName", Options: name}, Properties: properties})
	}
}

func ofUnit(u string) property { return property{Id: "unit", Value: u} }
func ofWidth(w int) property   { return property{Id: "custom.width", Value: w} }
func ofColour(c string) property {
	return property{Id: "color", Value: dashboard.FieldColor{Mode: dashboard.FieldColorModeIdFixed, FixedColor: &c}}
}
func ofSteps(base string, more ...step) property {
	return property{Id: "thresholds", Value: steps(base, more...)}
}

// hide leaves a column out that links read. Older tables know the first setting,
// newer ones the second.
func hide(name string) look {
	return column(name, property{Id: "custom.hidden", Value: true}, property{Id: "custom.hideFrom.viz", Value: true})
}

// link leads from a column's values to url.
func link(title, url string, blank bool) property {
	type dataLink struct {
		Title       string `json:"title"`
		URL         string `json:"url"`
		TargetBlank bool   `json:"targetBlank"`
	}
	return property{Id: "links", Value: []dataLink{{title, url, blank}}}
}

// colouredText shows the mapping's colour.
func colouredText() property {
	return property{Id: "custom.cellOptions", Value: map[string]string{"type": "color-text"}}
}

// mapping gives values names and colours.
func mapping(values map[string]dashboard.ValueMappingResult) property {
	return property{Id: "mappings", Value: []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: values}}}}
}

// bySeverity colours series that are named after severities.
func bySeverity() look {
	return func(p *dashboard.Panel) {
		for _, s := range []string{"high", "medium", "low", "informational", "unknown"} {
			column(s, ofColour(severityColours[s]))(p)
		}
	}
}

// severityColumn colours the words in the column severity.
func severityColumn() look {
	values := map[string]dashboard.ValueMappingResult{}
	for s, c := range severityColours {
		values[s] = dashboard.ValueMappingResult{Color: &c}
	}
	return column("severity", mapping(values), colouredText(), ofWidth(110))
}

// incidentColumn leads to the incident's own page, for the same tenants and time.
// Whose incident it is stands in the column tenant.
func incidentColumn() look {
	return func(p *dashboard.Panel) {
		column("incident", ofWidth(100),
			link("Incident ${__value.raw}", "/d/"+incidentUID+"?${tenant:queryparam}&var-incident=${__data.fields.tenant}/${__value.raw}&${__url_time_range}", false))(p)
		hide("tenant")(p)
	}
}

// portalColumn leads to Defender's portal, where a record has an address there.
func portalColumn() look {
	shown := dashboard.ValueMapping{RegexMap: &dashboard.RegexMap{Type: dashboard.MappingTypeRegexToText,
		Options: dashboard.DashboardRegexMapOptions{Pattern: "^https://.*", Result: dashboard.ValueMappingResult{Text: new("open")}}}}
	return column("portal", ofWidth(80), property{Id: "mappings", Value: []dashboard.ValueMapping{shown}},
		link("Open in the Defender portal", "${__value.raw}", true))
}

// durations shows columns of seconds as days and hours.
func durations(names ...string) look {
	return func(p *dashboard.Panel) {
		for _, n := range names {
			column(n, ofUnit("s"), property{Id: "decimals", Value: 1})(p)
		}
	}
}

// apart lays bars beside each other.
func apart() look {
	return func(p *dashboard.Panel) {
		switch c := p.FieldConfig.Defaults.Custom.(type) {
		case *timeseries.FieldConfig:
			c.Stacking = nil
		case *barchart.FieldConfig:
			p.Options.(*barchart.Options).Stacking = "none"
		}
	}
}

// stacked lays areas one on another.
func stacked() look {
	return func(p *dashboard.Panel) {
		c := p.FieldConfig.Defaults.Custom.(*timeseries.FieldConfig)
		c.Stacking = &common.StackingConfig{Mode: new(common.StackingModeNormal), Group: new("A")}
		c.FillOpacity = new(40.0)
	}
}

// upTo is the end of the scale.
func upTo(n float64) look {
	return func(p *dashboard.Panel) { p.FieldConfig.Defaults.Max = &n }
}

// everywhere sets a mapping for all values of a panel.
func everywhere(m property) look {
	return func(p *dashboard.Panel) { p.FieldConfig.Defaults.Mappings = m.Value.([]dashboard.ValueMapping) }
}
