package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/barchart"
	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// size is a panel's, in units of the grid.
type size struct{ w, h uint32 }

// text is for whoever reads it: about says what is counted.
type text struct{ title, about string }

// look changes how a panel shows what it shows.
type look func(*dashboard.Panel)

// newPanel is what all have in common.
func newPanel(kind string, s size, t text, q *query) dashboard.Panel {
	return dashboard.Panel{
		Type: kind, Title: &t.title, Description: &t.about,
		Datasource: source(), Targets: targets(q),
		GridPos:     &dashboard.GridPos{W: s.w, H: s.h},
		FieldConfig: &dashboard.FieldConfigSource{Overrides: []dashboard.DashboardFieldConfigSourceOverrides{}},
	}
}

func with(p dashboard.Panel, looks []look) dashboard.Panel {
	for _, l := range looks {
		l(&p)
	}
	return p
}

// numbers shows each column of one row in big letters.
func numbers(s size, t text, sql string, looks ...look) dashboard.Panel {
	p := newPanel("stat", s, t, newQuery(rows, sql))
	o := stat.NewOptions()
	o.GraphMode, o.Orientation = common.BigValueGraphModeNone, common.VizOrientationAuto
	o.ReduceOptions = reduce(false)
	p.Options = o
	p.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds}
	p.FieldConfig.Defaults.Thresholds = steps("text")
	return with(p, looks)
}

// lines shows how something changed.
func lines(s size, t text, sql string, looks ...look) dashboard.Panel {
	p := newPanel("timeseries", s, t, newQuery(series, sql))
	o := timeseries.NewOptions()
	o.Legend = legend()
	o.Tooltip = common.VizTooltipOptions{Mode: common.TooltipDisplayModeMulti, Sort: common.SortOrderDescending}
	p.Options = o
	p.FieldConfig.Defaults.Custom = &timeseries.FieldConfig{
		DrawStyle: new(common.GraphDrawStyleLine), LineWidth: new(2.0), FillOpacity: new(10.0),
		ShowPoints: new(common.VisibilityModeAuto), SpanNulls: &common.BoolOrFloat64{Bool: new(true)}, AxisSoftMin: new(0.0),
	}
	p.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdPaletteClassicByName}
	return with(p, looks)
}

// bars shows how many there were of each in each piece of time, one on another.
func bars(s size, t text, sql string, looks ...look) dashboard.Panel {
	p := lines(s, t, sql)
	c := p.FieldConfig.Defaults.Custom.(*timeseries.FieldConfig)
	c.DrawStyle, c.FillOpacity, c.LineWidth = new(common.GraphDrawStyleBars), new(80.0), new(1.0)
	c.SpanNulls, c.ShowPoints = nil, new(common.VisibilityModeNever)
	c.Stacking = &common.StackingConfig{Mode: new(common.StackingModeNormal), Group: new("A")}
	return with(p, looks)
}

// columns shows each number of a row as a part of a bar.
func columns(s size, t text, sql string, looks ...look) dashboard.Panel {
	p := newPanel("barchart", s, t, newQuery(rows, sql))
	o := barchart.NewOptions()
	o.Orientation, o.Stacking, o.Legend = common.VizOrientationHorizontal, common.StackingModeNormal, legend()
	o.Tooltip = common.VizTooltipOptions{Mode: common.TooltipDisplayModeMulti, Sort: common.SortOrderNone}
	p.Options = o
	p.FieldConfig.Defaults.Custom = &barchart.FieldConfig{FillOpacity: new(int32(80)), LineWidth: new(int32(0))}
	p.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdPaletteClassicByName}
	return with(p, looks)
}

// gauges shows the number of each row as a bar of its own.
func gauges(s size, t text, sql string, looks ...look) dashboard.Panel {
	p := newPanel("bargauge", s, t, newQuery(rows, sql))
	o := bargauge.NewOptions()
	o.DisplayMode, o.Orientation = common.BarGaugeDisplayModeBasic, common.VizOrientationHorizontal
	o.ReduceOptions, o.Legend = reduce(true), legend()
	o.Legend.ShowLegend = false
	p.Options = o
	p.FieldConfig.Defaults.Min = new(0.0)
	p.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdFixed, FixedColor: new("blue")}
	p.FieldConfig.Defaults.Thresholds = steps("blue")
	return with(p, looks)
}

// list shows rows as they are.
func list(s size, t text, sql string, looks ...look) dashboard.Panel {
	p := newPanel("table", s, t, newQuery(rows, sql))
	o := table.NewOptions()
	o.Footer = nil
	p.Options = o
	p.FieldConfig.Defaults.Custom = &table.FieldConfig{Align: common.FieldTextAlignmentAuto, Filterable: new(true)}
	p.FieldConfig.Defaults.NoValue = new("")
	return with(p, looks)
}

// states shows which value held when. Of series the value is a number, for which
// there is a mapping; of rows it may be a text.
func states(s size, t text, q *query, looks ...look) dashboard.Panel {
	p := newPanel("state-timeline", s, t, q)
	o := statetimeline.NewOptions()
	o.ShowValue, o.Legend = common.VisibilityModeAuto, legend()
	o.Tooltip = common.VizTooltipOptions{Mode: common.TooltipDisplayModeSingle, Sort: common.SortOrderNone}
	p.Options = o
	p.FieldConfig.Defaults.Custom = &statetimeline.FieldConfig{FillOpacity: new(uint32(80)), LineWidth: new(uint32(0))}
	p.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdPaletteClassicByName}
	return with(p, looks)
}

// heat shows each series as a line, darker where it is more.
func heat(s size, t text, sql string, looks ...look) dashboard.Panel {
	p := newPanel("heatmap", s, t, newQuery(series, sql))
	o := heatmap.NewOptions()
	o.Color.Mode, o.Color.Scale = new(heatmap.HeatmapColorModeScheme), new(heatmap.HeatmapColorScaleExponential)
	o.YAxis.AxisPlacement = new(common.AxisPlacementLeft)
	o.YAxis.Reverse = new(true)
	o.Tooltip.Mode = common.TooltipDisplayModeSingle
	p.Options = o
	p.FieldConfig.Defaults.Custom = heatmap.NewFieldConfig()
	return with(p, looks)
}

// legend is below what it explains.
func legend() common.VizLegendOptions {
	return common.VizLegendOptions{DisplayMode: common.LegendDisplayModeList, Placement: common.LegendPlacementBottom, ShowLegend: true, Calcs: []string{}}
}

// reduce takes every row for a value of its own, or the last of each column.
func reduce(every bool) common.ReduceDataOptions {
	return common.ReduceDataOptions{Values: &every, Calcs: []string{"lastNotNull"}, Fields: new("")}
}
